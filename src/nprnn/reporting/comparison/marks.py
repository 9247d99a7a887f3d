"""What the marks on the bars of a comparison mean: the line above the panels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nprnn.experiments.comparison import Bar, ComparisonFindings
from nprnn.reporting.comparison.looks import GREY, MARGIN, SMALL, add, box, in_paper
from nprnn.reporting.comparison.words import amount
from nprnn.reporting.ruler import Ruler
from nprnn.reporting.sheet import Sheet

PASS, MISS = "#007A5A", "#C44E00"
LOST = "#D55E00"
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
    def of(cls, findings: ComparisonFindings, width: float) -> Marks:
        """The marks of a picture of that width in inches."""
        ruler, x = Ruler(), 0.0
        rows: list[list[tuple[str, str, float]]] = [[]]
        for sign, words in _entries(findings):
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


def _entries(findings: ComparisonFindings) -> list[tuple[str, str]]:
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


def _room(sign: str, ruler: Ruler) -> float:
    wide = {"hatch": 0.32, "dot": 0.12, "lost": 0.14, "dashed": 0.28, "tick": 0.28}
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
        case _:
            sheet.text(x, y, sign, fontsize=10, color=PASS if sign == "✓" else MISS)
