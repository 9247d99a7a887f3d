"""The figure: the paper's bars and ours side by side, every seed a dot."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from nprnn.experiments.comparison import FINAL, At, Bar, ComparisonFindings
from nprnn.reporting.comparison.groups import Panel, beside, panels_of
from nprnn.reporting.comparison.looks import GREY, SMALL, Head, Look, looks, of_counts
from nprnn.reporting.comparison.marks import LOST, Marks, bar_marks, verdict_mark
from nprnn.reporting.comparison.standing import bar_at, slot, standing, values
from nprnn.reporting.comparison.words import place, symbol, where
from nprnn.reporting.drawing import any_script, png, spread
from nprnn.reporting.ruler import Ruler
from nprnn.reporting.sheet import Sheet, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# All in inches; the axes' x is in inches too.
_BODY = 3.7
_TITLE = 0.5
_FOOT = 0.8
_FILLED = 0.84
_LABEL = 10.5
_QUIET: dict[str, Any] = {"ha": "center", "color": "0.4", "rotation": 90, "parse_math": False}


def bar_picture(findings: ComparisonFindings) -> bytes:
    """The paper's bars on the left, ours on the right: the mean of the last iterates, every seed, the 95 % interval.

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
    at: Sequence[At]
    width: float
    slot: float
    panels: Sequence[Panel]
    head: Head
    marks: Marks
    looks: dict[str, Look]

    @classmethod
    def of(cls, findings: ComparisonFindings) -> _Picture:
        at = values(findings)
        width, wide, panels = panels_of(findings, at)
        head = Head.of(findings, width, "bar", _about(findings))
        return cls(
            findings, at, width, wide, panels, head, Marks.of(bar_marks(findings), width), looks(findings.experiment)
        )

    def draw(self) -> Figure:
        sheet = Sheet.of(self.width, self.head.height + self.marks.height + _TITLE + _BODY + _FOOT)
        self.marks.draw(sheet, self.head.draw(sheet))
        bare = not all(map(self._fits, self.panels))
        if bare:
            axis = Ruler().cut(plain(symbol(self.findings.experiment)), self.panels[0].left - 0.3, _LABEL)
            sign = ":" if self.findings.experiment.values else " ="
            sheet.text(self.panels[0].left - 0.1, _FOOT - 0.16, f"{axis}{sign}", ha="right", fontsize=_LABEL)
        for panel in self.panels:
            axes = self._axes(sheet, panel)
            for group, at in enumerate(self.at):
                label = plain(str(at)) if bare else plain(place(self.findings.experiment, at))
                if isinstance(at, str):
                    label = Ruler().squeezed(label, panel.edges[group + 1] - panel.edges[group] - 0.06, _LABEL)
                sheet.text(panel.left + panel.middle(group), _FOOT - 0.16, label, ha="center", fontsize=_LABEL)
                if panel.ours:
                    self._behind(sheet, panel, group, at)
                    self._ours(axes, panel, group, at)
                else:
                    self._published(axes, panel, group, at)
        return sheet.figure

    def _fits(self, panel: Panel) -> bool:
        """Whether every group has room for its value with the axis's name."""
        ruler, room = Ruler(), [right - left for left, right in pairwise(panel.edges)]
        labels = [plain(place(self.findings.experiment, at)) for at in self.at]
        return all(ruler.width(label, _LABEL) < wide - 0.08 for label, wide in zip(labels, room, strict=True))

    def _behind(self, sheet: Sheet, panel: Panel, group: int, at: At) -> None:
        """How many seeds stand behind a group, where there is room to say it."""
        words = standing(self.findings, at).words.replace(" = ", "\xa0=\xa0")
        room = panel.edges[group + 1] - panel.edges[group] - 0.05
        lines = Ruler().lines(words, room, SMALL, most=2)
        for k, line in enumerate(lines if "…" not in "".join(lines) else ()):
            y = _FOOT - 0.37 - 0.17 * k
            sheet.text(panel.left + panel.middle(group), y, line, ha="center", fontsize=SMALL, color=GREY)

    def _axes(self, sheet: Sheet, panel: Panel) -> Axes:
        experiment = self.findings.experiment
        axes = sheet.axes(panel.left, _FOOT, panel.width, _BODY)
        axes.set_xlim(0, panel.width)
        axes.set_xticks([])
        of_counts(axes, experiment, self.findings.constant)
        axes.grid(axis="x", visible=False)
        title = "Here"
        if not panel.ours and experiment.paper:
            title = plain(f"The paper: {experiment.paper.source}")
        words = sheet.text(panel.left, _FOOT + _BODY + _TITLE - 0.14, title, fontsize=11.5, fontweight="bold")
        sheet.fit(words, panel.width)
        if panel is self.panels[0]:
            lines = Ruler().lines(plain(experiment.counted), _BODY, 10, most=2)
            axes.set_ylabel("\n".join(lines), fontsize=10, parse_math=False)
        else:
            axes.tick_params(labelleft=False)
        for edge in panel.edges[1:-1]:
            axes.axvline(edge, color="0.85", linewidth=0.8, zorder=0)
        return axes

    def _size(self, points: float) -> float:
        """A font size, or as much of it as a slot has room for."""
        return min(points, 85 * self.slot)

    def _x(self, panel: Panel, group: int, series: int) -> float:
        return panel.middle(group) + (series - (len(panel.names) - 1) / 2) * self.slot

    def _published(self, axes: Axes, panel: Panel, group: int, at: At) -> None:
        paper = self.findings.experiment.paper
        if paper is None or at not in paper.at:
            self._empty(axes, panel, group, "not in the paper")
            return
        for k, name in enumerate(panel.names):
            height, look = paper.bars[name][paper.at.index(at)], self.looks[name].bar
            axes.bar(self._x(panel, group, k), height, _FILLED * self.slot, linewidth=0.8, zorder=2, **look)

    def _ours(self, axes: Axes, panel: Panel, group: int, at: At) -> None:
        findings, found = self.findings, standing(self.findings, at)
        if not found.run:
            self._empty(axes, panel, group, "begun, none ended" if found.unfinished else "not run")
            return
        for k, name in enumerate(panel.names):
            x = self._x(panel, group, k)
            if bar := bar_at(findings, name, at):
                self._bar(axes, bar, x)
            else:
                back = {"facecolor": "white", "linewidth": 0, "pad": 0.5}
                words, low = slot(findings, name, at), 0.02 * findings.experiment.of
                axes.text(x, low, words, va="bottom", fontsize=self._size(8), bbox=back, **_QUIET)

    def _empty(self, axes: Axes, panel: Panel, group: int, words: str) -> None:
        left, right = panel.edges[group], panel.edges[group + 1]
        axes.axvspan(left + 0.05, right - 0.05, facecolor="0.95", linewidth=0, zorder=0)
        of = self.findings.experiment.of
        axes.text(panel.middle(group), of / 2, words, va="center", fontsize=SMALL, **_QUIET)

    def _bar(self, axes: Axes, bar: Bar, x: float) -> None:
        wide, ends = _FILLED * self.slot, [x - 0.48 * self.slot, x + 0.48 * self.slot]
        axes.bar(x, bar.mean(), wide, linewidth=0.8, zorder=2, **self.looks[bar.series].bar)
        if bar.paper is not None:
            for colour, thick in (("white", 2.8), ("black", 1.5)):
                axes.plot(ends, [bar.paper] * 2, color=colour, linewidth=thick, solid_capstyle="butt", zorder=2.5)
        if bar.n > 1:
            interval = bar.interval()
            for colour, thick in (("white", 2.2), ("black", 1.1)):
                axes.vlines(x, interval.low, interval.high, color=colour, linewidth=thick, zorder=3)
        offsets = spread(bar.n)
        places = [x + 0.62 * wide * (offset - statistics.fmean(offsets)) for offset in offsets]
        size = 72 * min(0.075, 0.42 * self.slot)
        look: dict[str, Any] = {"linestyle": "none", "clip_on": False, "markeredgewidth": 0.7, "zorder": 4}
        for seed, value, spot in zip(bar.seeds, bar.values[FINAL], places, strict=True):
            if seed in bar.diverged:
                axes.plot(spot, value, marker="X", markersize=1.5 * size, mfc=LOST, mec="white", **look)
            else:
                axes.plot(spot, value, marker="o", markersize=size, mfc="white", mec="black", **look)
        if bar.outcome is not None:
            sign, colour = verdict_mark(bar)
            above = axes.get_xaxis_transform()
            style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": self._size(10), "color": colour}
            axes.text(x, 1 + 0.13 / _BODY, sign, transform=above, **style)


def _about(findings: ComparisonFindings) -> str:
    experiment, at = findings.experiment, values(findings)
    words = "Bars: means of the last iterates."
    if beside(experiment, at):
        return words
    if experiment.paper is None:
        return f"{words} There is no figure of a paper to stand beside."
    return f"{words} The paper has no bars {where(experiment, *at)}: ours alone."
