"""Learning curves of many series: a row of panels for each that was crossed, coloured by the first setting."""

from __future__ import annotations

from typing import Any

from nprnn.experiments.comparison import At, ComparisonFindings
from nprnn.reporting.comparison.curves import curve, median, of_updates, over, split, unit
from nprnn.reporting.comparison.looks import GREY, MARGIN, Head, Look, of_counts, shades
from nprnn.reporting.comparison.words import place, shares
from nprnn.reporting.drawing import any_script, png
from nprnn.reporting.ruler import Ruler
from nprnn.reporting.sheet import Sheet, plain

# In inches.
_WIDEST = 13.0
_LEFT = 0.95
_BETWEEN = 0.25
_PANEL = (4.6, 2.7)
_NARROWEST = 8.5
_TITLE = 0.35
_TICKS = 0.3
_FOOT = 0.3


def family_picture(findings: ComparisonFindings) -> bytes | None:
    """Medians of the runs of each series over the updates: a row for each series of the file, a column for each value.

    Args:
        findings: of a comparison with many series.

    Returns:
        The PNG's bytes; None where nothing was crossed, for then no colour would tell them apart, or nothing evaluated.
    """
    experiment = findings.experiment
    at = experiment.along.ordered(run.at for run in findings.record.runs if curve(findings, run))
    if not at or not experiment.cross:
        return None
    families: dict[str, list[tuple[str, str]]] = {}
    for series in experiment.series:
        family, shade, *_ = experiment.factors(series)
        families.setdefault(family, []).append((series.name, shade))
    found, high = shades(experiment), _PANEL[1]
    rest = _LEFT + (len(at) - 1) * _BETWEEN + MARGIN
    width = min(_WIDEST, max(_NARROWEST, rest + _PANEL[0] * len(at)))
    wide = (width - rest) / len(at)
    with any_script():
        head = Head.of(findings, width, "line", _about(findings), found)
        body = len(families) * (_TITLE + high + _TICKS)
        sheet = Sheet.of(width, head.height + body + _FOOT)
        top = head.draw(sheet)
        for row, (family, members) in enumerate(families.items()):
            upper = top - row * (_TITLE + high + _TICKS)
            for column, value in enumerate(at):
                left = _LEFT + column * (wide + _BETWEEN)
                title = sheet.text(left, upper - _TITLE / 2, plain(family), fontsize=11, fontweight="bold")
                sheet.fit(title, wide, f", {plain(place(experiment, value))}")
                box = (left, upper - _TITLE - high, wide, high)
                _panel(
                    sheet, box, findings, value, [(name, found[shade]) for name, shade in members], first=column == 0
                )
        lines = Ruler().lines(plain(experiment.counted), body - _TITLE - _TICKS, 10, most=2)
        for k, line in enumerate(lines):
            sheet.text(0.2 + 0.17 * k, top - body / 2, line, fontsize=10, rotation=90, ha="center")
        sheet.text(_LEFT + (width - _LEFT - MARGIN) / 2, _FOOT / 2, unit(findings), fontsize=10, ha="center")
        return png(sheet.figure)


def _panel(
    sheet: Sheet,
    box: tuple[float, float, float, float],
    findings: ComparisonFindings,
    at: At,
    members: list[tuple[str, Look]],
    *,
    first: bool,
) -> None:
    axes = sheet.axes(*box)
    of_counts(axes, findings.experiment, findings.constant)
    drawn = False
    for k, (name, look) in enumerate(members):
        runs = [run for run in findings.record.runs if (run.series, run.at) == (name, at)]
        if points := over(findings, median(findings, runs)):
            style: dict[str, Any] = {"color": look.colour, "linestyle": look.style, "linewidth": 1.1, "alpha": 0.9}
            axes.plot(*zip(*points, strict=True), zorder=2 + 0.01 * k, **style)
            drawn = True
    # All panels of a value go as far as its longest run.
    own = [(run.update, 0.0) for run in findings.record.runs if run.at == at]
    axes.set_xlim(0, max(over(findings, own))[0])
    of_updates(axes)
    if not drawn:
        quiet: dict[str, Any] = {"ha": "center", "va": "center", "color": GREY, "fontsize": 9.5}
        axes.text(0.5, 0.5, "not run", transform=axes.transAxes, **quiet)
    if not first:
        axes.tick_params(labelleft=False)


def _about(findings: ComparisonFindings) -> str:
    counts = shares(findings.experiment).capitalize()
    return (
        f"{counts} of the {split(findings)} set at every evaluation: a line a series, the median of its runs. Colours: "
        f"{findings.experiment.cross[0]}. Dashed grey: the constant answer."
    )
