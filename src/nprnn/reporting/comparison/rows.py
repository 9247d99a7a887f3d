"""The figure of a comparison with many series: a row a series, a panel a value, the paper's bars as lines."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

from nprnn.experiments.comparison import FINAL, At, Bar, ComparisonFindings
from nprnn.reporting.comparison.looks import GREY, SMALL, Head, Look, add, box, shades
from nprnn.reporting.comparison.marks import BAND, LOST, PASS, PUBLISHED, TINT, Marks, row_marks
from nprnn.reporting.comparison.row_layout import GUTTER, ROW, RowLayout, RowPanel
from nprnn.reporting.comparison.standing import bar_at, slot, standing
from nprnn.reporting.comparison.words import place, shares
from nprnn.reporting.drawing import COLOURS, any_script, png, spread
from nprnn.reporting.ruler import Ruler
from nprnn.reporting.sheet import Sheet, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

T = TypeVar("T")

# In inches.
_TITLE = 0.68
_TICKS = 0.3
_FOOT = 0.32
_QUIET: dict[str, Any] = {"color": "0.4", "fontsize": 8.5, "ha": "center", "va": "center", "parse_math": False}


def row_picture(findings: ComparisonFindings) -> bytes:
    """A row a series: every seed a dot, the mean of the last iterates with its 95 % interval, the paper's bar a line.

    Args:
        findings: of the comparison.

    Returns:
        The PNG's bytes.
    """
    with any_script():
        return png(_Picture.of(findings).draw())


@dataclass(frozen=True)
class _Picture:
    findings: ComparisonFindings
    layout: RowLayout
    head: Head
    marks: Marks
    shades: dict[str, Look]

    @classmethod
    def of(cls, findings: ComparisonFindings) -> _Picture:
        layout = RowLayout.of(findings)
        head = Head.of(findings, layout.width, "line", _about(findings), {})
        marks = Marks.of(row_marks(findings), layout.width)
        return cls(findings, layout, head, marks, shades(findings.experiment))

    def draw(self) -> Figure:
        layout, low = self.layout, _FOOT + _TICKS
        sheet = Sheet.of(layout.width, self.head.height + self.marks.height + _TITLE + layout.body + low)
        self.marks.draw(sheet, self.head.draw(sheet))
        self._tint(sheet, low)
        self._names(sheet, low)
        for panel in layout.panels:
            self._panel(sheet, panel, low)
        left, right = layout.panels[0].left, layout.panels[-1].left + layout.panels[-1].width
        words = Ruler().lines(plain(self.findings.experiment.counted), right - left, 10, most=1)[0]
        sheet.text((left + right) / 2, _FOOT / 2 + 0.02, words, fontsize=10, ha="center")
        return sheet.figure

    def _tint(self, sheet: Sheet, low: float) -> None:
        if nearest := self.findings.ranking.nearest:
            bottom = low + self.layout.middles[nearest] - ROW / 2
            add(sheet, box(sheet, 0.08, bottom, sheet.width - 0.16, ROW, facecolor=TINT, linewidth=0, zorder=-1))

    def _names(self, sheet: Sheet, low: float) -> None:
        layout, nearest = self.layout, self.findings.ranking.nearest
        crossed = self.findings.experiment.cross
        for head, x, texts in layout.columns:
            sheet.text(x, low + layout.body + 0.12, head, fontsize=SMALL, color=GREY)
            for series, words in zip(self.findings.experiment.series, texts, strict=True):
                first = crossed and head == "series"
                look: dict[str, Any] = {"fontweight": "bold" if first or series.name == nearest else "normal"}
                if crossed and head == plain(crossed[0]):
                    look["color"] = self._colour(series.name)
                sheet.text(x, low + layout.middles[series.name], words, fontsize=SMALL, **look)

    def _colour(self, name: str) -> str:
        experiment = self.findings.experiment
        factors = next(experiment.factors(series) for series in experiment.series if series.name == name)
        return self.shades[factors[1]].colour if self.shades else COLOURS[0]

    def _panel(self, sheet: Sheet, panel: RowPanel, low: float) -> None:
        findings, layout = self.findings, self.layout
        axes = sheet.axes(panel.left, low, panel.width, layout.body)
        axes.patch.set_visible(False)
        axes.set_xlim(0, findings.experiment.of)
        axes.set_ylim(0, layout.body)
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
        title, found = plain(place(findings.experiment, panel.at)), standing(findings, panel.at)
        words = sheet.text(panel.left, low + layout.body + 0.46, title, fontsize=11, fontweight="bold")
        sheet.fit(words, panel.width + (GUTTER if panel.used else 0.2))
        if not panel.used:
            self._empty(axes, 0, layout.body, "not run", rotation=90)
            axes.set_xticks([])
            return
        behind = Ruler().cut(found.words, panel.width, SMALL)
        sheet.text(panel.left, low + layout.body + 0.28, behind, fontsize=SMALL, color=GREY)
        self._axis(axes, panel)
        for names in layout.groups:
            ends = [layout.middles[names[-1]] - ROW / 2, layout.middles[names[0]] + ROW / 2]
            axes.plot([findings.constant] * 2, ends, color=GREY, linewidth=1.1, linestyle=(0, (4, 2)), zorder=1.5)
            self._published(axes, panel.at, names)
            for idle, run in _alike(names, lambda name: slot(findings, name, panel.at)):
                if idle != "run":
                    high, least = layout.middles[run[0]] + ROW / 2, layout.middles[run[-1]] - ROW / 2
                    self._empty(axes, least, high, idle)
        for name, middle in layout.middles.items():
            if bar := bar_at(findings, name, panel.at):
                self._row(axes, bar, middle)

    def _axis(self, axes: Axes, panel: RowPanel) -> None:
        of = self.findings.experiment.of
        axes.set_xticks([0, of / 4, of / 2, 3 * of / 4, of])
        wide = panel.width > 3.2
        axes.set_xticklabels([_number(tick) if wide or k % 2 == 0 else "" for k, tick in enumerate(axes.get_xticks())])
        axes.tick_params(labelsize=SMALL, length=0)
        axes.grid(axis="x", alpha=0.25)
        axes.set_axisbelow(True)
        for name in self.layout.middles:
            axes.axhline(self.layout.middles[name], color="0.93", linewidth=0.6, zorder=0.2)
        for height in self.layout.blocks:
            axes.axhline(height, color="0.75", linewidth=0.7, zorder=0.3)

    def _published(self, axes: Axes, at: At, names: Sequence[str]) -> None:
        """The paper's bar with its tolerance, over all rows that share it."""
        paper = self.findings.experiment.paper
        if paper is None or at not in paper.at:
            return
        middles, k = self.layout.middles, paper.at.index(at)
        for bar, run in _alike(names, lambda name: paper.bars[name][k] if name in paper.bars else None):
            if bar is not None:
                low, high = middles[run[-1]] - ROW / 2, middles[run[0]] + ROW / 2
                left = bar - paper.tolerance
                axes.fill_betweenx([low, high], left, bar + paper.tolerance, facecolor=BAND, linewidth=0, zorder=0.1)
                axes.vlines(bar, low, high, color=PUBLISHED, linewidth=1.4, capstyle="butt", zorder=1.6)

    def _empty(self, axes: Axes, low: float, high: float, words: str, rotation: float = 0) -> None:
        of = self.findings.experiment.of
        axes.fill_betweenx([low, high], 0, of, facecolor="0.95", linewidth=0, zorder=2)
        axes.hlines([low, high], 0, of, color="white", linewidth=1.5, zorder=2.5)
        axes.text(of / 2, (low + high) / 2, words, rotation=rotation, zorder=3, **_QUIET)

    def _row(self, axes: Axes, bar: Bar, middle: float) -> None:
        offsets = spread(bar.n)
        heights = [middle + 0.5 * ROW * (offset - statistics.fmean(offsets)) for offset in offsets]
        look: dict[str, Any] = {"linestyle": "none", "clip_on": False, "markeredgewidth": 1.0, "zorder": 4}
        for seed, value, height in zip(bar.seeds, bar.values[FINAL], heights, strict=True):
            if seed in bar.diverged:
                axes.plot(value, height, marker="X", markersize=6, mfc=LOST, mec="white", **look)
            else:
                axes.plot(value, height, marker="o", markersize=4.2, mfc="white", mec=self._colour(bar.series), **look)
        if bar.n > 1:
            interval = bar.interval()
            axes.hlines(middle, interval.low, interval.high, color="black", linewidth=1.0, zorder=3)
            axes.vlines(bar.mean(), middle - 0.36 * ROW, middle + 0.36 * ROW, color="black", linewidth=2, zorder=5)
        if bar.outcome == "PASS":
            right = 1 + GUTTER / 2 / (axes.get_position().width * self.layout.width)
            style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 10, "color": PASS}
            axes.text(right, middle, "✓", transform=axes.get_yaxis_transform(), **style)


def _number(tick: float) -> str:
    return f"{tick:,.0f}" if tick >= 1000 else f"{tick:.4g}"


def _alike(names: Sequence[str], of: Callable[[str], T]) -> Iterator[tuple[T, list[str]]]:
    """Neighbours of which the same is said."""
    for told, run in groupby(names, of):
        yield told, list(run)


def _about(findings: ComparisonFindings) -> str:
    words = f"A row a series: {shares(findings.experiment)} of the last iterates on the test set."
    if findings.experiment.cross:
        words += f" Colours: {findings.experiment.cross[0]}."
    return words if findings.experiment.paper else f"{words} There is no figure of a paper to stand beside."
