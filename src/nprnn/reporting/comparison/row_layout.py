"""Where the rows of a comparison with many series stand: columns of text, a panel for each value, a row a series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from nprnn.experiments.comparison import At, ComparisonFindings
from nprnn.reporting.comparison.looks import MARGIN, SMALL
from nprnn.reporting.comparison.standing import standing, values
from nprnn.reporting.comparison.words import NOTHING
from nprnn.reporting.ruler import Ruler
from nprnn.reporting.sheet import plain

# In inches.
WIDEST = 13.0
ROW = 0.2
GUTTER = 0.22
_NARROWEST = 8.5
_PANEL = 4.6
_IDLE = 0.62
_BETWEEN = 0.24
_COLUMN_GAP = 0.16
_LONGEST = 2.6
_GROUP_GAP = 0.14
# Of the first settings, only what differs from the row above is written.
_OUTLINED = 2


@dataclass(frozen=True)
class RowPanel:
    """A panel of a value.

    Attributes:
        at: the value.
        left: where it begins on the sheet.
        width: without the gutter for marks at its right.
        used: whether anything is asked or was run at this value.
    """

    at: At
    left: float
    width: float
    used: bool


@dataclass(frozen=True)
class RowLayout:
    """A picture of rows, in inches.

    Attributes:
        width: of the sheet.
        body: height of all rows.
        columns: head, left edge, and a text for each series.
        middles: series to the middle of its row, from the body's lower edge.
        groups: series in runs of the same first factor.
        blocks: heights between rows that differ in the second factor.
        panels: of the values.
    """

    width: float
    body: float
    columns: Sequence[tuple[str, float, Sequence[str]]]
    middles: Mapping[str, float]
    groups: Sequence[Sequence[str]]
    blocks: Sequence[float]
    panels: Sequence[RowPanel]

    @classmethod
    def of(cls, findings: ComparisonFindings) -> RowLayout:
        """The layout for findings."""
        columns, left = _columns(findings)
        experiment = findings.experiment
        groups: dict[str, list[str]] = {}
        for series in experiment.series:
            groups.setdefault(experiment.factors(series)[0] if experiment.cross else "", []).append(series.name)
        body = ROW * len(experiment.series) + _GROUP_GAP * (len(groups) - 1)
        middles, top = {}, body
        for names in groups.values():
            for name in names:
                middles[name] = top - ROW / 2
                top -= ROW
            top -= _GROUP_GAP
        second = {one.name: experiment.factors(one)[1:2] for one in experiment.series}
        neighbours = [pair for names in groups.values() for pair in pairwise(names)]
        blocks = [middles[a] - ROW / 2 for a, b in neighbours if experiment.cross and second[a] != second[b]]
        panels, width = _panels(findings, left)
        return cls(width, body, columns, middles, list(groups.values()), blocks, panels)


def _columns(findings: ComparisonFindings) -> tuple[list[tuple[str, float, Sequence[str]]], float]:
    """The columns of text, and where they end."""
    experiment, ruler = findings.experiment, Ruler()
    factors = [tuple(map(plain, experiment.factors(series))) for series in experiment.series]
    outlined = min(_OUTLINED, len(factors[0]) - 1)
    told = [("series", *map(plain, experiment.cross)), *factors]
    found: list[tuple[str, float, Sequence[str]]] = []
    x = MARGIN
    if findings.ranking.ranked:
        places = findings.ranking.places()
        ranks = [str(places.get(series.name, NOTHING)) for series in experiment.series]
        found.append(("rank", x, ranks))
        x += ruler.width("rank", SMALL) + _COLUMN_GAP
    for k, (head, *texts) in enumerate(zip(*told, strict=True)):
        short = [ruler.squeezed(text, _LONGEST, SMALL) for text in texts]
        wide = max(ruler.width(text, SMALL, fontweight="bold") for text in {head, *short})
        above = [None, *(one[: k + 1] for one in factors)]
        same = [k < outlined and one[: k + 1] == last for one, last in zip(factors, above, strict=False)]
        found.append((head, x, ["" if repeated else text for repeated, text in zip(same, short, strict=True)]))
        x += wide + _COLUMN_GAP
    return found, x


def _panels(findings: ComparisonFindings, left: float) -> tuple[list[RowPanel], float]:
    """The panels and the sheet's width: values at which nothing is asked are narrow."""
    at = values(findings)
    used = [bool(standing(findings, value).ended) for value in at]
    if not any(used):
        used = [True] * len(at)
    rest = left + MARGIN + GUTTER * sum(used) + _BETWEEN * (len(at) - 1) + _IDLE * used.count(False)
    wide = min(_PANEL, (WIDEST - rest) / max(sum(used), 1))
    width = max(_NARROWEST, rest + wide * sum(used))
    wide = (width - rest) / max(sum(used), 1)
    panels = []
    for value, full in zip(at, used, strict=True):
        panels.append(RowPanel(value, left, wide if full else _IDLE, full))
        left += (wide + GUTTER if full else _IDLE) + _BETWEEN
    return panels, width
