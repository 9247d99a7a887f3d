"""From the worst to the best setting of each model in each arm, beside the paper's range over its grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nprnn.experiments.findings import Findings, Grid
from nprnn.reporting.drawing import COLOURS, MARKERS
from nprnn.reporting.ruler import Ruler
from nprnn.reporting.selection.words import grids_of, lost, paper_name, percent, printed
from nprnn.reporting.sheet import Sheet, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# In inches.
_HIGH = 0.235
_APART = 0.15
_HEAD = 0.5
_FOOT = 0.45
_MARGIN = 0.2
# Room beside 0 and 100 for the numbers at the ends, in percent.
_BESIDE = 7
_GREY = "0.4"


@dataclass(frozen=True)
class Ranges:
    """A panel of ranges: a group of lines a model, the paper's line first.

    Attributes:
        findings: of the experiment.
        decimals: of the numbers in percent.
        width: of the picture, in inches.
        names: room for the names of models.
        labels: room for the names of lines.
        notes: room for what a range is without.
        groups: model to its lines: the paper's, without a grid, and those of arms.
    """

    findings: Findings
    decimals: int
    width: float
    names: float
    labels: float
    notes: float
    groups: tuple[tuple[str, tuple[tuple[str, Grid | None], ...]], ...]

    @classmethod
    def of(cls, findings: Findings, arms: Sequence[str], models: Sequence[str], decimals: int, width: float) -> Ranges:
        """The panel of some arms."""
        ruler, experiment = Ruler(), findings.experiment
        groups = []
        for model in models:
            published = experiment.paper.get(model)
            lines: list[tuple[str, Grid | None]] = []
            if published is not None and published.grid:
                lines.append((paper_name(experiment), None))
            grids = [grid for arm in arms for grid in grids_of(findings, arm) if grid.model == model]
            groups.append((model, (*lines, *((grid.arm.name, grid) for grid in grids))))
        names = max((ruler.width(plain(model), 10.5, fontweight="bold") for model in models), default=0.0)
        labels = max((ruler.width(plain(name), 9.5) for _, lines in groups for name, _ in lines), default=0.0)
        notes = max((ruler.width(_note(grid), 9.5) for _, lines in groups for _, grid in lines), default=0.0)
        rooms = (min(names, 1.6) + 0.15, min(labels, 2.0) + 0.1, min(notes, 2.2) + 0.25)
        return cls(findings, decimals, width, *rooms, tuple(groups))

    @property
    def height(self) -> float:
        """Of the panel, in inches."""
        return _HEAD + self._body + _FOOT

    @property
    def _body(self) -> float:
        return sum(len(lines) * _HIGH + _APART for _, lines in self.groups)

    def draw(self, sheet: Sheet, top: float) -> None:
        """Draw it below ``top``."""
        paper = any(grid is None for _, lines in self.groups for _, grid in lines)
        sheet.text(_MARGIN, top - 0.1, "Range over the grid", fontsize=11.5, fontweight="bold")
        words = "From the worst setting to the best; a tick for each setting, a mark for the chosen one."
        if paper:
            words += " Dashed: the paper's, on the paper's data."
        sheet.text(_MARGIN, top - 0.31, words, fontsize=9.5)
        ruler, left = Ruler(), _MARGIN + self.names + self.labels
        wide = self.width - left - self.notes
        body = self._body
        axes = sheet.axes(left, top - _HEAD - body, wide, body)
        axes.set_xlim(-_BESIDE, 100 + _BESIDE)
        axes.set_ylim(body, 0)
        axes.set_xticks(range(0, 101, 20))
        axes.set_yticks([])
        axes.grid(axis="x", alpha=0.25)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=9.5)
        axes.set_xlabel("validation accuracy, %", fontsize=10)
        axes.spines[["top", "right", "left"]].set_visible(False)
        y = 0.0
        for k, (model, lines) in enumerate(self.groups):
            y += _APART / 2
            at = top - _HEAD - y - _HIGH / 2
            name = sheet.text(_MARGIN, at, plain(model), fontsize=10.5, fontweight="bold")
            sheet.fit(name, self.names - 0.1)
            for label, grid in lines:
                at = top - _HEAD - y - _HIGH / 2
                place = self.findings.experiment.models.index(model)
                style = "italic" if grid is None else "normal"
                words = ruler.squeezed(plain(label), self.labels - 0.08, 9.5, style=style)
                sheet.text(left - 0.05, at, words, fontsize=9.5, ha="right", style=style)
                if grid is None:
                    self._paper(axes, model, y)
                else:
                    self._ours(axes, grid, y, place)
                beside = sheet.text(self.width - self.notes + 0.05, at, _note(grid), fontsize=9.5, color=_GREY)
                sheet.fit(beside, self.notes - 0.15)
                y += _HIGH
            y += _APART / 2
            if k < len(self.groups) - 1:
                axes.axhline(y, color="0.85", linewidth=0.8)

    def _paper(self, axes: Axes, model: str, y: float) -> None:
        published = self.findings.experiment.paper[model]
        low, high, middle = min(published.grid), max(published.grid), y + _HIGH / 2
        look: dict[str, Any] = {"color": _GREY, "linewidth": 1.4, "linestyle": (0, (3, 1.5))}
        axes.plot([100 * low, 100 * high], [middle, middle], **look)
        for end in (low, high):
            axes.plot([100 * end] * 2, [middle - 0.06, middle + 0.06], color=_GREY, linewidth=1.4)
        axes.plot(100 * published.validation, middle, "D", markersize=5.5, markerfacecolor="white", color=_GREY)
        low_end, high_end = (low, printed(low)), (max(high, published.validation), printed(high))
        self._ends(axes, low_end, high_end, middle, _GREY)

    def _ours(self, axes: Axes, grid: Grid, y: float, place: int) -> None:
        found, middle = grid.range, y + _HIGH / 2
        if found is None:
            return
        colour = COLOURS[place % len(COLOURS)]
        axes.plot([100 * end for end in found], [middle, middle], color=colour, linewidth=2, solid_capstyle="butt")
        values = [cell.accuracy for cell in grid.cells if cell.accuracy is not None]
        axes.vlines([100 * v for v in values], middle - 0.065, middle + 0.065, color=colour, linewidth=0.9)
        if any(cell.accuracy is None and cell.diverged for cell in grid.cells):
            axes.plot(0, middle, "x", color=colour, markersize=6, markeredgewidth=1.6, clip_on=False)
        if grid.chosen is not None and grid.chosen.accuracy is not None:
            marker = MARKERS[place % len(MARKERS)]
            look: dict[str, Any] = {"color": colour, "markeredgecolor": "white", "markeredgewidth": 0.8}
            axes.plot(100 * grid.chosen.accuracy, middle, marker=marker, markersize=7.5, zorder=4, **look)
        if values:
            low, high = ((value, percent(value, self.decimals)) for value in found)
            self._ends(axes, low, high, middle, "black")

    def _ends(self, axes: Axes, low: tuple[float, str], high: tuple[float, str], y: float, colour: str) -> None:
        """The two numbers outside of the line."""
        for (value, words), side, away in ((low, "right", -7), (high, "left", 7)):
            look: dict[str, Any] = {
                "fontsize": 9.5,
                "color": colour,
                "ha": side,
                "va": "center",
                "annotation_clip": False,
            }
            axes.annotate(words, (100 * value, y), xytext=(away, 0), textcoords="offset points", **look)


def _note(grid: Grid | None) -> str:
    """What a range is without."""
    if grid is None:
        return ""
    if all(cell.accuracy is None for cell in grid.cells):
        return "every setting diverged" if all(cell.diverged for cell in grid.cells) else "no run finished"
    words = lost(grid.cells)
    return f"{words} of {len(grid.cells)}" if words else ""
