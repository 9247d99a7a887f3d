"""Curves of another metric than the figure's, such as the cross-entropy, with what the paper's curves end at."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nprnn.experiments.comparison import At, ComparisonFindings, Course
from nprnn.reporting.blocks import Block, Heading, Paragraph, Picture, Table
from nprnn.reporting.comparison.curves import along, curve, draw_runs, split, unit
from nprnn.reporting.comparison.looks import SMALL, Head, looks
from nprnn.reporting.comparison.standing import standing
from nprnn.reporting.comparison.words import NOTHING, place, sentence
from nprnn.reporting.drawing import any_script, png
from nprnn.reporting.ruler import Ruler
from nprnn.reporting.sheet import Sheet, apart, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# In inches.
_LEFT = 0.95
_BETWEEN = 1.3
_PANEL = (4.7, 3.5)
_ALONE = (7.3, 3.9)
_COLUMNS = 2
_TITLE = 0.35
_TICKS = 0.3
_FOOT = 0.3
_NUMBERS = 1.05


def course_picture(findings: ComparisonFindings, course: Course) -> bytes | None:
    """A metric over the updates, a panel for each value; diamonds stand where the paper's curves end.

    Args:
        findings: of the comparison.
        course: the metric.

    Returns:
        The PNG's bytes; None where nothing was evaluated.
    """
    at = _shown(findings, course)
    if not at:
        return None
    columns = min(_COLUMNS, len(at))
    rows = math.ceil(len(at) / columns)
    wide, high = _ALONE if columns == 1 else _PANEL
    width = _LEFT + columns * wide + (columns - 1) * _BETWEEN + _NUMBERS
    with any_script():
        head = Head.of(findings, width, "line", _about(findings, course))
        body = rows * (_TITLE + high + _TICKS)
        sheet = Sheet.of(width, head.height + body + _FOOT)
        top = head.draw(sheet)
        for k, value in enumerate(at):
            row, column = divmod(k, columns)
            left, upper = _LEFT + column * (wide + _BETWEEN), top - row * (_TITLE + high + _TICKS)
            axes = sheet.axes(left, upper - _TITLE - high, wide, high)
            _panel(axes, findings, course, value)
            _ends(sheet, axes, findings, course, value)
            title = sheet.text(left, upper - _TITLE / 2, plain(place(findings.experiment, value)), fontsize=11)
            title.set_fontweight("bold")
            sheet.fit(title, wide, f", {standing(findings, value).words}")
        words = Ruler().cut(plain(course.counted), body - _TITLE - _TICKS, 10)
        sheet.text(0.25, top - body / 2, words, fontsize=10, rotation=90, ha="center")
        sheet.text(_LEFT + (width - _LEFT - _NUMBERS) / 2, _FOOT / 2, unit(findings), fontsize=10, ha="center")
        return png(sheet.figure)


def course_blocks(findings: ComparisonFindings) -> list[Block]:
    """Each course's picture, and what its runs end at beside the paper's curves."""
    blocks: list[Block] = []
    for course in findings.experiment.courses:
        if _shown(findings, course):
            title = sentence(course.counted)
            blocks += [Heading(title), Picture(course.metric, title, _caption(findings, course))]
            blocks += [Paragraph(_told(course)), _table(findings, course)]
    return blocks


def _shown(findings: ComparisonFindings, course: Course) -> list[At]:
    runs = findings.record.runs
    return list(findings.experiment.along.ordered(run.at for run in runs if curve(findings, run, course)))


def _panel(axes: Axes, findings: ComparisonFindings, course: Course, at: At) -> None:
    axes.set_ylim(0, course.top)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL, length=0)
    axes.spines[["top", "right"]].set_visible(False)
    draw_runs(axes, findings, at, course)
    axes.set_xlim(0, _end(findings, at))


def _end(findings: ComparisonFindings, at: At) -> float:
    """Where the schedule of a value's runs ends: at what their settings say, or as far as a run has come."""
    experiment, quick = findings.experiment, findings.record.scale == "quick"
    runs = [run for run in findings.record.runs if run.at == at]
    begun = {(run.series, run.at) for run in runs}
    # Half and paper are one record.
    batches = [b for scale, found in experiment.scales.items() if (scale == "quick") is quick for b in found]
    settled = (one for batch in batches for one in experiment.settled(batch))
    asked = [int(settings.get("updates", 0)) for series, value, settings in settled if (series.name, value) in begun]
    return along(findings, max([*asked, *(run.update for run in runs)]))


def _ends(sheet: Sheet, axes: Axes, findings: ComparisonFindings, course: Course, at: At) -> None:
    """A diamond for each of the paper's readings at the right edge, its number beside it."""
    if at != course.at or not course.ends:
        return
    found, end = looks(findings.experiment), _end(findings, at)
    ends = sorted(course.ends.items(), key=lambda item: float(item[1]))
    box = axes.get_position()
    low, high, right = box.y0 * sheet.height, box.y1 * sheet.height, box.x1 * sheet.width
    wishes = [low + min(number / course.top, 1) * (high - low) for _, number in ends]
    for (name, number), y in zip(ends, apart(wishes, 0.17, low, high), strict=True):
        look: dict[str, Any] = {"mfc": found[name].colour, "mec": "black", "mew": 0.9, "linestyle": "none"}
        axes.plot([end], [min(number, course.top)], marker="D", markersize=7, clip_on=False, zorder=6, **look)
        sheet.text(right + 0.12, y, f"paper {number:g}", fontsize=SMALL, color=found[name].colour)


def _about(findings: ComparisonFindings, course: Course) -> str:
    words = f"{sentence(course.counted)}, at every evaluation: each run thin, the median of a series thick."
    if any(run.state == "diverged" for run in findings.record.runs):
        words += " ×: where a run diverged."
    if any(not run.ended for run in findings.record.runs):
        words += " Dots: how far a run is that has not ended."
    if course.ends and course.at in _shown(findings, course):
        words += f" Diamonds: what the paper's curves end at ({course.source}); their way there is not drawn."
    return words


def _caption(findings: ComparisonFindings, course: Course) -> str:
    above = f"What is above {course.top:g} is beyond the picture; curves.csv has it."
    return f"Of the {split(findings)} set, over the {unit(findings)}. {above}"


def _told(course: Course) -> str:
    words = "Of each run: its last evaluation, and its highest, which tells of spikes on the way."
    if course.ends or course.peaks:
        words += f" The paper's are {course.source}; how often it evaluated, it does not say."
    return words


def _table(findings: ComparisonFindings, course: Course) -> Table:
    experiment = findings.experiment
    published = bool(course.ends or course.peaks)
    columns = ("series", experiment.axis, "seed", "last", *(("paper's last",) if published else ()), "highest")
    columns += ("paper's highest",) if published else ()
    rows = []
    for run in findings.record.runs:
        points = curve(findings, run, course)
        if not points:
            continue
        beside = run.at == course.at
        end, peak = (_number(found.get(run.series) if beside else None) for found in (course.ends, course.peaks))
        last = "diverged" if run.state == "diverged" else _number(points[-1][1])
        last += "" if run.ended else f" after {along(findings, points[-1][0]):g} {unit(findings)}"
        cells = [last, *((end,) if published else ()), _number(max(value for _, value in points))]
        rows.append((run.series, str(run.at), str(run.seed), *cells, *((peak,) if published else ())))
    return Table(columns, rows, ("series",))


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"
