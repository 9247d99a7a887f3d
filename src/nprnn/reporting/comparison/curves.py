"""Learning curves of a comparison: a panel for each value of the axis, for final counts swing at a constant rate."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nprnn.experiments.comparison import At, ComparisonFindings, Course, Trained
from nprnn.reporting.comparison.looks import MARGIN, Head, Look, looks, of_counts
from nprnn.reporting.comparison.standing import standing
from nprnn.reporting.comparison.words import place, shares
from nprnn.reporting.drawing import any_script, png
from nprnn.reporting.ruler import Ruler
from nprnn.reporting.sheet import Sheet, plain
from nprnn.training.readings import side, told

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curve = list[tuple[int, float]]

# In inches.
_LEFT = 0.95
_BETWEEN = 0.3
_PANEL = (3.75, 2.9)
_ALONE = (7.3, 3.7)
_TITLE = 0.35
_TICKS = 0.3
_FOOT = 0.3


def curve(findings: ComparisonFindings, run: Trained, course: Course | None = None) -> Curve:
    """Updates and the count of each evaluation of a run, or the metric of a course."""
    experiment = findings.experiment
    metric, times = (experiment.metric, experiment.of) if course is None else (course.metric, 1.0)
    found = [(e["update"], times * told(e)[metric]) for e in findings.record.evaluations(run)]
    return [(update, value) for update, value in found if math.isfinite(value)]


def median(findings: ComparisonFindings, runs: Sequence[Trained], course: Course | None = None) -> Curve:
    """The median of the runs of a bar over the updates.

    Args:
        findings: of the comparison.
        runs: of one series at one value.
        course: whose metric is taken; None takes the counts.

    Returns:
        Of the runs that ended, where there are any, a run that diverged counting 0, or more than any error, from there
        on; else of all that have begun, as far as all of them are.
    """
    ended = [run for run in runs if run.ended]
    curves = [dict(curve(findings, run, course)) for run in ended or runs]
    lost = 0.0 if course is None else math.inf
    if ended:
        found = [(u, statistics.median(c.get(u, lost) for c in curves)) for u in sorted(set().union(*curves))]
        return [(u, value) for u, value in found if math.isfinite(value)]
    common = set(curves[0]).intersection(*curves) if curves else set()
    return [(u, statistics.median(c[u] for c in curves)) for u in sorted(common)]


def curve_picture(findings: ComparisonFindings) -> bytes | None:
    """Counts over the updates, a panel for each value: every run thin, the median of a series' runs thick.

    Args:
        findings: of the comparison.

    Returns:
        The PNG's bytes; None where nothing was evaluated.
    """
    panels = findings.experiment.along.ordered(run.at for run in findings.record.runs if curve(findings, run))
    if not panels:
        return None
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    wide, high = _ALONE if columns == 1 else _PANEL
    width = _LEFT + columns * wide + (columns - 1) * _BETWEEN + MARGIN
    with any_script():
        head = Head.of(findings, width, "line", _about(findings))
        body = rows * (_TITLE + high + _TICKS)
        sheet = Sheet.of(width, head.height + body + _FOOT)
        top = head.draw(sheet)
        lowest = top - body + _TICKS
        for k, at in enumerate(panels):
            row, column = divmod(k, columns)
            left = _LEFT + column * (wide + _BETWEEN)
            upper = top - row * (_TITLE + high + _TICKS)
            axes = sheet.axes(left, upper - _TITLE - high, wide, high)
            _panel(axes, findings, at, first=column == 0)
            title = sheet.text(left, upper - _TITLE / 2, plain(place(findings.experiment, at)), fontsize=11)
            title.set_fontweight("bold")
            sheet.fit(title, wide, f", {standing(findings, at).words}")
        lines = Ruler().lines(plain(findings.experiment.counted), body - _TITLE - _TICKS, 10, most=2)
        middle = (lowest + top - _TITLE) / 2
        for k, line in enumerate(lines):
            sheet.text(0.2 + 0.17 * k, middle, line, fontsize=10, rotation=90, ha="center")
        sheet.text(_LEFT + (width - _LEFT - MARGIN) / 2, _FOOT / 2, unit(findings), fontsize=10, ha="center")
        return png(sheet.figure)


def _panel(axes: Axes, findings: ComparisonFindings, at: At, *, first: bool) -> None:
    of_counts(axes, findings.experiment, findings.constant)
    draw_runs(axes, findings, at)
    if not first:
        axes.tick_params(labelleft=False)


def draw_runs(axes: Axes, findings: ComparisonFindings, at: At, course: Course | None = None) -> None:
    """Draw every run at a value thin, and the median of a series' runs thick.

    Args:
        axes: whose y axis is that of what is drawn; its x axis becomes that of updates, or epochs.
        findings: of the comparison.
        at: the value.
        course: whose metric is drawn; None draws the counts.
    """
    for k, (name, look) in enumerate(looks(findings.experiment).items()):
        runs = [run for run in findings.record.runs if (run.series, run.at) == (name, at)]
        for run in runs:
            _run(axes, findings, run, look, course)
        if points := over(findings, median(findings, runs, course)):
            style: dict[str, Any] = {"color": look.colour, "linestyle": look.style, "linewidth": 2.0}
            axes.plot(*zip(*points, strict=True), zorder=4 + 0.01 * k, **style)
    of_updates(axes)


def _run(axes: Axes, findings: ComparisonFindings, run: Trained, look: Look, course: Course | None) -> None:
    points = over(findings, curve(findings, run, course))
    if points:
        axes.plot(*zip(*points, strict=True), color=look.colour, linewidth=0.6, alpha=0.45, zorder=2)
    if run.state == "diverged":
        # Nothing is counted of what is lost, and its error is beyond all that is drawn.
        lost, top = (0.0, math.inf) if course is None else (course.top, course.top)
        x, y = points[-1] if points else (along(findings, run.update), lost)
        axes.plot(x, min(y, top), "X", markersize=7, mfc=look.colour, mec="white", mew=0.7, clip_on=False, zorder=5)
    elif run.state == "not finished" and points:
        axes.plot(*points[-1], "o", markersize=2.5, color=look.colour, zorder=3)


def over(findings: ComparisonFindings, points: Curve) -> list[tuple[float, float]]:
    """A curve over the updates, or over epochs where the experiment says how long these are."""
    return [(along(findings, update), value) for update, value in points]


def along(findings: ComparisonFindings, update: int) -> float:
    """Where an update is on the axis of curves."""
    return update / (findings.experiment.epoch or 1)


def unit(findings: ComparisonFindings) -> str:
    """What curves are over."""
    return "epochs" if findings.experiment.epoch else "updates"


def of_updates(axes: Axes) -> None:
    """Make the x axis that of updates, or epochs."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(lambda value, _: _thousands(value))


def _thousands(value: float) -> str:
    return f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def split(findings: ComparisonFindings) -> str:
    """The set that curves are of."""
    runs = findings.record.runs
    sides = {side(evaluation) for run in runs for evaluation in findings.record.evaluations(run)}
    return "validation" if sides == {"valid"} else "test"


def _about(findings: ComparisonFindings) -> str:
    return " ".join(_sentences(findings))


def _sentences(findings: ComparisonFindings) -> Iterator[str]:
    runs = findings.record.runs
    counts = shares(findings.experiment).capitalize()
    yield f"{counts} of the {split(findings)} set at every evaluation: each run thin, the median of a series thick."
    if any(run.state == "diverged" for run in runs):
        yield "×: where a run diverged."
    if any(not run.ended for run in runs):
        yield "Dots: how far a run is that has not ended."
    yield "Dashed grey: the constant answer."
