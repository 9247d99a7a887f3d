"""The test of a selection experiment as a picture (Table 3): accuracies with intervals, verdicts on the claims."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nprnn.experiments.findings import Findings, Interval, Row, Yardstick
from nprnn.reporting.drawing import COLOURS, MARKERS, any_script, png, spread
from nprnn.reporting.ruler import Ruler
from nprnn.reporting.selection.verdicts import Verdicts
from nprnn.reporting.selection.words import (
    counted,
    grids_of,
    paper_name,
    percent,
    printed,
    setting_words,
    source_words,
    untested,
    with_interval,
)
from nprnn.reporting.sheet import Sheet, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# All in inches; the picture is made to be printed at its size.
_WIDTH = 10.0
_MARGIN = 0.2
_LINE = 0.2
_GROUP = 0.3
_ROW = 0.3
_SHUFFLED = 0.2
_FOOT = 0.5
_NUMBERS = 1.62
_GREY = "0.35"


def test_picture(findings: Findings) -> bytes:
    """Test accuracies of the chosen settings, shuffled frames and yardsticks; below, the claims' paired differences.

    Args:
        findings: of the experiment.

    Returns:
        The PNG's bytes.
    """
    with any_script():
        panel = _Panel.of(findings)
        verdicts = Verdicts.of(findings, _WIDTH)
        sheet = Sheet.of(_WIDTH, panel.height + verdicts.height + 0.1)
        panel.draw(sheet)
        verdicts.draw(sheet, sheet.height - panel.height)
        return png(sheet.figure)


@dataclass(frozen=True)
class _Panel:
    """The accuracies: a group of rows for each choosing arm, then the yardsticks."""

    findings: Findings
    title: list[str]
    names: float
    left: float
    paper: list[str]
    right: float
    scale: tuple[float, float]

    @classmethod
    def of(cls, findings: Findings) -> _Panel:
        experiment, ruler = findings.experiment, Ruler()
        names = max((ruler.width(plain(m), 10.5, fontweight="bold") for m in experiment.models), default=0.0)
        settings = [ruler.width(plain(setting_words(row.setting)), 9.5) for row in findings.rows]
        yards = [ruler.width(plain(text), 9.5) for y in findings.yardsticks for text in (y.name, y.about)]
        names = min(names, 1.6) + 0.15
        wide = max([names + min(max(settings, default=0.0), 2.0), 2.2, *yards])
        head = plain(paper_name(experiment)).replace(" (", "\n(", 1).split("\n") if experiment.paper else []
        paper = [line for part in head for line in ruler.lines(part, 0.95, 9.5, style="italic")]
        right = _WIDTH - _MARGIN - _NUMBERS - (1.1 if paper else 0.0)
        title = ruler.lines(plain(experiment.title), _WIDTH - 2 * _MARGIN, 14, most=2, fontweight="bold")
        return cls(findings, title, names, _MARGIN + min(wide, 3.3) + 0.12, paper, right, _scale(findings))

    @property
    def _shuffled(self) -> bool:
        return any(row.shuffled is not None for row in self.findings.rows)

    @property
    def _top(self) -> float:
        """From the upper edge to the axes."""
        return _MARGIN + 0.27 * len(self.title) + 3 * _LINE + 0.1 + 0.16 * max(1, len(self.paper))

    @property
    def _body(self) -> float:
        yards = _GROUP + len(self.findings.yardsticks) * (_ROW + 0.14) if self.findings.yardsticks else 0.0
        groups = sum(_GROUP + sum(map(self._high, self._rows(arm))) for arm in self.findings.experiment.choose_by)
        return groups + yards + 0.06

    def _rows(self, arm: str) -> list[tuple[int, Row | None]]:
        """The models with their places and rows, if there is any row to show."""
        rows = {row.model: row for row in self.findings.rows if row.chosen_by == arm}
        experiment = self.findings.experiment
        models = experiment.models_of(experiment.arm(arm)) if grids_of(self.findings, arm) or rows else ()
        return [(experiment.models.index(model), rows.get(model)) for model in models]

    def _high(self, entry: tuple[int, Row | None]) -> float:
        return _ROW + (_SHUFFLED if self._shuffled and entry[1] is not None else 0.0)

    @property
    def height(self) -> float:
        return self._top + self._body + _FOOT + 0.25

    def draw(self, sheet: Sheet) -> None:
        findings, experiment = self.findings, self.findings.experiment
        self._header(sheet)
        top = sheet.height - self._top
        axes = sheet.axes(self.left, top - self._body, self.right - self.left, self._body)
        axes.set_xlim(*(100 * end for end in self.scale))
        axes.set_ylim(self._body, 0)
        axes.set_yticks([])
        axes.grid(axis="x", alpha=0.25)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=9.5)
        axes.set_xlabel("test accuracy, %", fontsize=10)
        axes.spines[["top", "right", "left"]].set_visible(False)
        self._constant(sheet, axes, top)
        y = 0.0
        for arm in experiment.choose_by:
            entries = self._rows(arm)
            words = f"Settings chosen by {plain(arm)}" + ("" if entries else ": not run")
            self._heading(sheet, axes, top, y, words)
            y += _GROUP
            for entry in entries:
                self._model(sheet, axes, top, y, arm, *entry)
                y += self._high(entry)
        if findings.yardsticks:
            self._heading(sheet, axes, top, y, "Without a network")
            y += _GROUP
        for yardstick in findings.yardsticks:
            self._yardstick(sheet, axes, top, y, yardstick)
            y += _ROW + 0.14

    def _header(self, sheet: Sheet) -> None:
        findings, top = self.findings, sheet.height - _MARGIN
        for line in self.title:
            sheet.text(_MARGIN, top - 0.12, line, fontsize=14, fontweight="bold")
            top -= 0.27
        seeds = counted(max((len(row.by_seed) for row in findings.rows), default=0), "seed")
        clips = f"{counted(findings.counts[2], 'clip')} of {source_words(findings.experiment, findings.units)}"
        about = f"Test accuracy of the settings that validation chose. Scale: {findings.scale}; {seeds}; {clips}."
        sheet.text(_MARGIN, top - 0.08, about, fontsize=10.5)
        top -= 2 * _LINE
        marks = [("o", "0.2", 7, "mean, with its 95 % interval"), ("o", "white", 3.6, "a seed")]
        if self._shuffled:
            marks.append(("s", "white", 6.5, "frames shuffled, in training and in testing"))
        x, ruler = _MARGIN, Ruler()
        for marker, face, size, words in marks:
            if size > 5:
                style = "-" if face != "white" else (0, (3, 1.5))
                sheet.line([x, x + 0.36], [top - 0.05] * 2, color="0.2", linewidth=2 if style == "-" else 1.2, ls=style)
            look = {"color": "0.2", "marker": marker, "markersize": size, "markerfacecolor": face}
            sheet.line([x + 0.18], [top - 0.05], linestyle="none", **look)
            sheet.text(x + 0.44, top - 0.05, words, fontsize=9.5)
            x += 0.44 + ruler.width(words, 9.5) + 0.3
        base = sheet.height - self._top + 0.1
        sheet.text(self.right + 0.12, base, "% (95 % interval)", fontsize=9.5, color=_GREY)
        for k, line in enumerate(reversed(self.paper)):
            sheet.text(_WIDTH - _MARGIN, base + 0.16 * k, line, fontsize=9.5, color=_GREY, ha="right", style="italic")

    def _heading(self, sheet: Sheet, axes: Axes, top: float, y: float, words: str) -> None:
        if y:
            axes.axhline(y, color="0.85", linewidth=0.8)
        text = sheet.text(_MARGIN, top - y - _GROUP / 2, words, fontsize=10.5, color=_GREY)
        sheet.fit(text, self.right - _MARGIN)

    def _model(self, sheet: Sheet, axes: Axes, top: float, y: float, arm: str, place: int, row: Row | None) -> None:
        experiment = self.findings.experiment
        model, middle = experiment.models[place], y + _ROW / 2
        name = sheet.text(_MARGIN, top - middle, plain(model), fontsize=10.5, fontweight="bold")
        sheet.fit(name, self.names - 0.1)
        published = experiment.paper.get(model)
        if published is not None:
            look: dict[str, Any] = {"ha": "right", "style": "italic", "color": _GREY}
            sheet.text(_WIDTH - _MARGIN, top - middle, printed(published.test), fontsize=9.5, **look)
        if row is None:
            sheet.text(self.right + 0.12, top - middle, untested(self.findings, arm, model), fontsize=9.5, color=_GREY)
            return
        colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
        words = sheet.text(self.left - 0.1, top - middle, plain(setting_words(row.setting)), fontsize=9.5, ha="right")
        sheet.fit(words, self.left - 0.1 - _MARGIN - self.names)
        _bar(axes, row.test, middle, colour, marker)
        heights = [middle - 0.095 + 0.03 * offset for offset in spread(len(row.by_seed))]
        look = {"s": 15, "facecolors": "white", "edgecolors": colour, "linewidths": 1.1, "zorder": 5, "clip_on": False}
        axes.scatter([100 * value for value in row.by_seed], heights, **look)
        sheet.text(self.right + 0.12, top - middle, with_interval(row.test), fontsize=9.5)
        if self._shuffled:
            middle += _SHUFFLED
            sheet.text(self.left - 0.1, top - middle, "frames shuffled", fontsize=9.5, ha="right", color=_GREY)
            told = "not run" if row.shuffled is None else with_interval(row.shuffled)
            sheet.text(self.right + 0.12, top - middle, told, fontsize=9.5, color=_GREY)
            if row.shuffled is not None:
                _bar(axes, row.shuffled, middle, colour, "s", hollow=True)

    def _yardstick(self, sheet: Sheet, axes: Axes, top: float, y: float, yardstick: Yardstick) -> None:
        middle = y + _ROW / 2
        room = self.left - _MARGIN - 0.1
        for k, (text, colour) in enumerate(((yardstick.name, "black"), (yardstick.about, _GREY))):
            words = sheet.text(_MARGIN, top - middle - 0.17 * k, plain(text), fontsize=9.5, color=colour)
            sheet.fit(words, room)
        _bar(axes, yardstick.test, middle, "0.25", "|")
        sheet.text(self.right + 0.12, top - middle, with_interval(yardstick.test), fontsize=9.5)

    def _constant(self, sheet: Sheet, axes: Axes, top: float) -> None:
        level = self.findings.constant
        beyond = level < self.scale[0]
        if not beyond:
            axes.axvline(100 * level, color=_GREY, linewidth=1.4, linestyle=(0, (4, 2)), zorder=1)
        words = f"{'◂' if beyond else 'dashed:'} constant answer {percent(level)} %"
        sheet.text(_MARGIN, top - self._body - _FOOT + 0.27, words, fontsize=9.5)


def _bar(axes: Axes, found: Interval, y: float, colour: str, marker: str, hollow: bool = False) -> None:
    """An interval with its middle marked."""
    ends = [100 * found.low, 100 * found.high]
    style: Any = (0, (3, 1.5)) if hollow else "-"
    look: dict[str, Any] = {"color": colour, "linewidth": 1.2 if hollow else 2.2, "solid_capstyle": "butt"}
    axes.plot(ends, [y, y], linestyle=style, clip_on=False, zorder=3, **look)
    axes.vlines(ends, y - 0.05, y + 0.05, color=colour, linewidth=1.2, clip_on=False, zorder=3)
    size, width = (11, 2.5) if marker == "|" else (7, 1.2) if hollow else (8, 0.8)
    edge, face = (colour, "white") if hollow else ("white", colour)
    if marker == "|":
        edge = colour
    look = {"markerfacecolor": face, "markeredgecolor": edge, "markeredgewidth": width, "zorder": 4, "clip_on": False}
    axes.plot(100 * found.value, y, marker=marker, markersize=size, linestyle="none", **look)


def _values(findings: Findings) -> Iterator[float]:
    intervals: Sequence[Interval | None] = [
        *(interval for row in findings.rows for interval in (row.test, row.shuffled)),
        *(yardstick.test for yardstick in findings.yardsticks),
    ]
    for interval in intervals:
        yield from () if interval is None else interval
    for row in findings.rows:
        yield from row.by_seed


def _scale(findings: Findings) -> tuple[float, float]:
    """The ends of the scale: all that is drawn, and the constant answer where that leaves most of the room."""
    values = list(_values(findings))
    if not values:
        return 0.0, 1.0
    low = min(values)
    if low - findings.constant < 0.5 * (1 - low):
        low = min(low, findings.constant)
    step = 0.05 if max(values) - low > 0.3 else 0.02 if max(values) - low > 0.1 else 0.01
    low, high = math.floor((low - step / 5) / step) * step, math.ceil((max(values) + step / 10) / step) * step
    return max(0.0, low), min(1.0, high)
