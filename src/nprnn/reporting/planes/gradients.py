"""What is left of a gradient on its way back through every start, by the number of units, as a picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nprnn.dynamics import GrowthRow
from nprnn.experiments.planes import PlanesFindings
from nprnn.reporting.drawing import COLOURS, MARKERS, cut, png
from nprnn.reporting.sheet import Sheet, apart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# In inches.
_WIDTH, _LEFT, _PANEL, _BOTTOM, _HIGH, _TOP = 10.0, 0.95, 6.1, 0.62, 4.7, 0.5
_LABEL = 0.24
# There are more starts than hues that everybody tells apart; markers do the rest.
_COLOURS = (*COLOURS, "#8B5A2B", "#808080")
# Below the least normal number of float32 a gradient is cut to nothing, as the command line has processors do.
_FLOAT32 = -37.93
# Powers of ten up to which the axis is linear.
_LINEAR = 1.0
_TICKS = (-1000, -300, -100, -30, -10, -3, -1, 0, 1, 3, 10, 30, 100, 300, 1000)
# The part of a size's room that the starts share.
_SPREAD = 0.7


def gradient_picture(findings: PlanesFindings) -> bytes:
    """A mark a start and size at the geometric mean of what is left, with a bar from the least to the greatest draw."""
    growth, sheet = findings.experiment.growth, Sheet.of(_WIDTH, _BOTTOM + _HIGH + _TOP)
    axes = sheet.axes(_LEFT, _BOTTOM, _PANEL, _HIGH)
    ends = [_left(row, value) for row in findings.rows for value in (row.lowest, row.growth, row.highest)]
    finite = [end for end in ends if math.isfinite(end)]
    low, high = min([1.6 * min(finite, default=0.0), -1.5]), max([1.6 * max(finite, default=0.0), 1.5])
    axes.set_yscale("symlog", linthresh=_LINEAR, linscale=0.9)
    axes.set_ylim(low, high)
    axes.set_xlim(-0.5, len(growth.sizes) - 0.5)
    _scale(axes, low, high)
    marks = []
    for k, name in enumerate(findings.starts):
        shift = _SPREAD * ((k + 0.5) / len(findings.starts) - 0.5)
        look = {"color": _COLOURS[k % len(_COLOURS)], "marker": MARKERS[k % len(MARKERS)]}
        rows = sorted((row for row in findings.rows if row.scheme == name), key=lambda row: row.hidden)
        places = [growth.sizes.index(row.hidden) + shift for row in rows]
        _start(axes, rows, places, look)
        if rows:
            marks.append((places[-1], rows[-1], look))
    axes.set_xticks(range(len(growth.sizes)), [str(size) for size in growth.sizes])
    axes.set_xlabel("N, units", fontsize=10.5)
    axes.set_ylabel(f"gradient left after {growth.length} steps, powers of ten", fontsize=10.5)
    title = f"Gradients at the start, on their way back: {growth.task}, T = {growth.length}, {growth.draws} draws"
    sheet.text(0.15, sheet.height - 0.24, title, fontsize=12, fontweight="bold")
    _labels(sheet, axes, marks)
    return png(sheet.figure)


def _left(row: GrowthRow, growth: float) -> float:
    """What is left of a gradient after all steps, as a power of ten."""
    return row.steps * math.log10(growth) if growth > 0 else -math.inf


def _scale(axes: Axes, low: float, high: float) -> None:
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick}".replace("-", "−") for tick in ticks])
    axes.minorticks_off()
    axes.tick_params(labelsize=10)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.axhline(0, color="0.2", linewidth=1.0, zorder=1)
    if low < _FLOAT32:
        axes.axhspan(low, _FLOAT32, color="0.93", zorder=0)
        at: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "top"}
        axes.text(0.8, 1.12 * _FLOAT32, "less than float32 holds", fontsize=9.5, color="0.3", **at)


def _start(axes: Axes, rows: list[GrowthRow], places: list[float], look: dict[str, Any]) -> None:
    middles = [_left(row, row.growth) for row in rows]
    axes.plot(places, middles, color=look["color"], linewidth=0.9, alpha=0.55, zorder=2)
    for x, row in zip(places, rows, strict=True):
        ends = [_left(row, row.lowest), _left(row, row.highest)]
        axes.plot([x, x], ends, color=look["color"], linewidth=2.0, zorder=3)
    axes.plot(places, middles, linestyle="none", markersize=6.5, markeredgecolor="white", zorder=4, **look)


def _labels(sheet: Sheet, axes: Axes, marks: list[tuple[float, GrowthRow, dict[str, Any]]]) -> None:
    """The names at the right, each near its last mark."""
    found = []
    for x, row, look in marks:
        level = max(_left(row, row.growth), axes.get_ylim()[0])
        place = axes.transData.transform((x, level)) / sheet.figure.dpi
        found.append((float(place[1]), float(place[0]), row, look))
    found.sort(key=lambda entry: entry[0])
    edge = _LEFT + _PANEL
    for y, (mark, x, row, look) in zip(
        apart([entry[0] for entry in found], _LABEL, _BOTTOM, _BOTTOM + _HIGH), found, strict=True
    ):
        sheet.line([x + 0.06, edge, edge + 0.1], [mark, y, y], color=look["color"], linewidth=0.7, alpha=0.7)
        sheet.line([edge + 0.2], [y], markersize=6, **look)
        text = sheet.text(edge + 0.33, y, cut(row.scheme), fontsize=10.5)
        sheet.fit(text, _WIDTH - edge - 0.4, tail=f"  ×{row.growth:.3f} a step")
