"""What the marks on the bars of a comparison mean: the line above the panels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nprnn.experiments.comparison import Bar, ComparisonFindings
from nprnn.reporting.comparison.looks import GREY, MARGIN, SMALL, add, box, in_paper
from nprnn.reporting.comparison.standing import values
from nprnn.reporting.comparison.words import amount
from nprnn.reporting.ruler import Ruler
from nprnn.reporting.sheet import Sheet

PASS, MISS = "#007A5A", "#C44E00"
LOST = "#D55E00"
# Of rows: the paper's line and what is within the tolerance of it, and the row that is nearest.
PUBLISHED, BAND, TINT = "#4A3AA8", "#DCD8F3", "#FFF3C4"
_ROW = 0.23
_APART = 0.25


def verdict_mark(bar: Bar) -> tuple[str, str]:
    """Sign and colour of a bar that stands beside the paper's: PASS, or MISS with its direction."""
    if bar.outcome == "PASS" or bar.paper is None:
        return "✓", PASS
    return ("▼" if bar.mean() < bar.paper else "▲"), MISS


@dataclass(frozen=True)
class Marks:
    """The marks that occur, each with its words.

    Attributes:
        rows: of sign, words, and how far from the left they stand.
    """

    rows: Sequence[Sequence[tuple[str, str, float]]]

    @classmethod
    def of(cls, entries: Sequence[tuple[str, str]], width: float) -> Marks:
        """Signs and their words, in a picture of that width in inches."""
        ruler, x = Ruler(), 0.0
        rows: list[list[tuple[str, str, float]]] = [[]]
        for sign, words in entries:
            wide = _room(sign, ruler) + ruler.width(words, SMALL) + _APART
            if rows[-1] and x + wide - _APART > width - 2 * MARGIN:
                rows.append([])
                x = 0.0
            rows[-1].append((sign, words, x))
            x += wide
        return cls(rows)

    @property
    def height(self) -> float:
        """In inches."""
        return _ROW * len(self.rows)

    def draw(self, sheet: Sheet, top: float) -> None:
        """Draw them below ``top``."""
        ruler = Ruler()
        for k, row in enumerate(self.rows):
            y = top - (k + 0.5) * _ROW
            for sign, words, x in row:
                _draw(sheet, sign, MARGIN + x, y)
                sheet.text(MARGIN + x + _room(sign, ruler), y, words, fontsize=SMALL)


def bar_marks(findings: ComparisonFindings) -> list[tuple[str, str]]:
    """Signs and words of the picture of bars."""
    experiment = findings.experiment
    bars = [bar for row in findings.bars.values() for bar in row.values() if bar.n]
    found = []
    if any(not in_paper(experiment, series.name) for series in experiment.series):
        found.append(("hatch", "not in the paper"))
    if bars:
        alone = all(bar.n == 1 for bar in bars)
        found.append(("dot", "a seed" if alone else "a seed; line: 95 % interval"))
    if any(bar.diverged for bar in bars):
        found.append(("lost", "diverged, counts 0"))
    found.append(("dashed", f"constant answer {amount(findings.constant, experiment.of)}"))
    if experiment.paper and any(bar.outcome for bar in bars):
        tolerance = amount(experiment.paper.tolerance, experiment.of)
        found += [("tick", "the paper's"), ("✓", f"PASS: within {tolerance} of it"), ("▼▲", "MISS: below, above")]
    return found


def row_marks(findings: ComparisonFindings) -> list[tuple[str, str]]:
    """Signs and words of the picture of rows."""
    experiment = findings.experiment
    bars = [bar for row in findings.bars.values() for bar in row.values() if bar.n]
    found = []
    if bars:
        found.append(("ring", "a seed"))
    if any(bar.n > 1 for bar in bars):
        found.append(("mean", "mean; line: 95 % interval"))
    if any(bar.diverged for bar in bars):
        found.append(("lost", "diverged, counts 0"))
    found.append(("upright", f"constant answer {amount(findings.constant, experiment.of)}"))
    if experiment.paper and set(values(findings)) & set(experiment.paper.at):
        tolerance = amount(experiment.paper.tolerance, experiment.of)
        found.append(("band", f"the paper's, and {tolerance} to each side"))
        if any(bar.outcome == "PASS" for bar in bars):
            found.append(("✓", "PASS: the mean is in the band"))
    if findings.ranking.nearest:
        found.append(("tint", "nearest by the validation sets"))
    return found


def _room(sign: str, ruler: Ruler) -> float:
    wide = {"hatch": 0.32, "dot": 0.12, "lost": 0.14, "dashed": 0.28, "tick": 0.28}
    wide |= {"ring": 0.1, "mean": 0.28, "upright": 0.06, "band": 0.28, "tint": 0.28}
    return wide[sign] + 0.06 if sign in wide else ruler.width(sign, 10) + 0.05


def _draw(sheet: Sheet, sign: str, x: float, y: float) -> None:
    look: dict[str, Any] = {"linestyle": "none", "markeredgewidth": 0.7}
    match sign:
        case "hatch":
            grey = {"facecolor": "white", "edgecolor": GREY, "hatch": "//////", "linewidth": 0.8}
            add(sheet, box(sheet, x, y - 0.065, 0.32, 0.13, **grey))
        case "dot":
            sheet.line([x + 0.06], [y], marker="o", markersize=5, mfc="white", mec="black", **look)
        case "lost":
            sheet.line([x + 0.07], [y], marker="X", markersize=7, mfc=LOST, mec="white", **look)
        case "dashed":
            sheet.line([x, x + 0.28], [y, y], color=GREY, linewidth=1.4, linestyle=(0, (4, 2)))
        case "tick":
            sheet.line([x, x + 0.28], [y, y], color="black", linewidth=1.6)
        case "ring":
            sheet.line([x + 0.05], [y], marker="o", markersize=4.5, mfc="white", mec=GREY, **look)
        case "mean":
            sheet.line([x, x + 0.28], [y, y], color="black", linewidth=1)
            sheet.line([x + 0.14] * 2, [y - 0.07, y + 0.07], color="black", linewidth=2)
        case "upright":
            sheet.line([x + 0.03] * 2, [y - 0.09, y + 0.09], color=GREY, linewidth=1.2, linestyle=(0, (3, 1.5)))
        case "band":
            add(sheet, box(sheet, x, y - 0.08, 0.28, 0.16, facecolor=BAND, linewidth=0))
            sheet.line([x + 0.14] * 2, [y - 0.08, y + 0.08], color=PUBLISHED, linewidth=1.4)
        case "tint":
            add(sheet, box(sheet, x, y - 0.08, 0.28, 0.16, facecolor=TINT, linewidth=0))
        case _:
            sheet.text(x, y, sign, fontsize=10, color=PASS if sign == "✓" else MISS)
