"""Where the bars of a comparison stand: panels, a group of slots for each value of the axis, a slot a series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from nprnn.experiments.comparison import At, Comparison, ComparisonFindings
from nprnn.reporting.comparison.looks import MARGIN, in_paper
from nprnn.reporting.comparison.standing import standing

# In inches.
_WIDEST = 13.0
_NARROWEST = 8.5
_LEFT = 0.95
_BETWEEN = 0.35
# Of a bar at most, with the gap beside it; between groups, in bars; of a group that has none.
_SLOT = 0.34
_APART = 1.3
_EMPTY = 0.78


@dataclass(frozen=True)
class Panel:
    """A group of slots for each value of the axis.

    Attributes:
        ours: or the paper's.
        names: of the series, a slot each.
        left: where it begins on the sheet.
        edges: where groups begin and end, from there.
    """

    ours: bool
    names: Sequence[str]
    left: float
    edges: Sequence[float]

    @property
    def width(self) -> float:
        """Of all groups."""
        return self.edges[-1]

    def middle(self, group: int) -> float:
        """Of a group, from where the panel begins."""
        return (self.edges[group] + self.edges[group + 1]) / 2


def panels_of(findings: ComparisonFindings, at: Sequence[At]) -> tuple[float, float, list[Panel]]:
    """The sheet's width, a slot's, and the panels: groups without a bar are narrow, so that others have room.

    Args:
        findings: of the comparison.
        at: values of the axis; at least one.
    """
    experiment = findings.experiment
    names = [series.name for series in experiment.series]
    sides = [(True, names, [standing(findings, value).run for value in at])]
    if beside(experiment, at) and experiment.paper:
        published = [name for name in names if in_paper(experiment, name)]
        sides.insert(0, (False, published, [value in experiment.paper.at for value in at]))
    rest = _LEFT + _BETWEEN * (len(sides) - 1) + MARGIN
    units = [(len(found) + _APART) * full for _, found, filled in sides for full in filled]
    idle = _EMPTY * units.count(0)
    width = min(_WIDEST, max(_NARROWEST, rest + idle + _SLOT * sum(units)))
    wide = min(_SLOT, (width - rest - idle) / max(sum(units), 1))
    if wide * max(units) < _EMPTY:
        # Where all are crowded, groups without a bar are as wide as others.
        units, idle = [len(names) + _APART] * len(units), 0.0
        wide = min(_SLOT, (width - rest) / sum(units))
    spare = (width - rest - idle - wide * sum(units)) / len(units)
    panels, left, groups = [], _LEFT, iter(units)
    for ours, found, filled in sides:
        edges = [0.0]
        for unit in islice(groups, len(filled)):
            edges.append(edges[-1] + spare + (wide * unit or _EMPTY))
        panels.append(Panel(ours, found, left, edges))
        left += edges[-1] + _BETWEEN
    return width, wide, panels


def beside(experiment: Comparison, at: Sequence[At]) -> bool:
    """Whether the paper has a bar at any of the values."""
    return experiment.paper is not None and bool(set(at) & set(experiment.paper.at))
