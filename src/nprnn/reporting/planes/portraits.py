"""Phase planes of two units: linear regions, trajectories, invariant rays with their growth, fixed points and lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nprnn.experiments.planes import FateVerdict, FixedSet, Plane, PlanesFindings
from nprnn.reporting.drawing import png
from nprnn.reporting.planes.words import KEEPS, growth_colour, origin_stability, times
from nprnn.reporting.ruler import Ruler
from nprnn.reporting.sheet import Sheet, plain

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

Corner = tuple[float, float]

# In inches.
_LEFT, _SIDE, _GAP, _RIGHT = 0.62, 2.22, 0.2, 0.15
_HEAD, _ROW_HEAD, _BELOW, _FOOT = 1.3, 0.32, 0.76, 1.35
# What is seen of the plane.
_LOW, _HIGH = -0.42, 1.18
_REGIONS = (
    ((True, True), "#FFFFFF", "both on"),
    ((True, False), "#E4EDF6", "only the first on"),
    ((False, True), "#F8EEDB", "only the second on"),
    ((False, False), "#DDDDDD", "both off"),
)
_INK = "0.2"


def plane_picture(findings: PlanesFindings) -> bytes:
    """All cases (columns) in all frames (rows), as a PNG."""
    cases, frames = findings.experiment.cases, findings.experiment.frames
    row = _ROW_HEAD + _SIDE + _BELOW
    width = _LEFT + len(cases) * (_SIDE + _GAP) - _GAP + _RIGHT
    sheet = Sheet.of(width, _HEAD + len(frames) * row + _FOOT)
    ruler = Ruler()
    title = "Two units without input or bias, step by step: h becomes max(0, W h)"
    sheet.text(_LEFT, sheet.height - 0.22, title, fontsize=13, fontweight="bold")
    for k, case in enumerate(cases):
        x = _LEFT + k * (_SIDE + _GAP)
        values = ", ".join(f"{value:g}" for value in case.eigenvalues)
        sheet.text(x, sheet.height - 0.58, f"({case.name})  eigenvalues {values}", fontsize=11, fontweight="bold")
        for n, line in enumerate(ruler.lines(plain(f"Paper: {case.says}"), _SIDE, 8.8, most=3)):
            sheet.text(x, sheet.height - 0.79 - 0.155 * n, line, fontsize=8.8, color=_INK)
    for n, frame in enumerate(frames):
        top = sheet.height - _HEAD - n * row
        sheet.text(_LEFT, top - 0.14, plain(f"{_roman(n)}  {frame.about}"), fontsize=10.5, fontweight="bold")
        for k, case in enumerate(cases):
            verdict = next((v for v in findings.fates if (v.case, v.frame) == (case, frame)), None)
            if verdict is not None:
                place = (_LEFT + k * (_SIDE + _GAP), top - _ROW_HEAD - _SIDE)
                _panel(sheet, verdict, place, first=k == 0)
    _legend(sheet)
    return png(sheet.figure)


def _roman(n: int) -> str:
    return f"({('i', 'ii', 'iii', 'iv', 'v')[n]})" if n < 5 else f"({n + 1})"


def _panel(sheet: Sheet, verdict: FateVerdict, place: Corner, *, first: bool) -> None:
    plane, axes = verdict.plane, sheet.axes(*place, _SIDE, _SIDE)
    axes.set_xlim(_LOW, _HIGH)
    axes.set_ylim(_LOW, _HIGH)
    _regions(axes, plane)
    axes.axhline(0, color="0.45", linewidth=0.8, zorder=1)
    axes.axvline(0, color="0.45", linewidth=0.8, zorder=1)
    _rays(axes, plane)
    for path in plane.paths:
        _path(axes, path)
    _fixed(axes, plane)
    axes.set_xticks([0, 1])
    axes.set_yticks([0, 1], ["0", "1"] if first else ["", ""])
    axes.tick_params(labelsize=8.5, length=2.5, pad=2)
    names = ("leading coordinate", "second coordinate") if verdict.frame.angle is None else ("unit 1", "unit 2")
    axes.set_xlabel(names[0], fontsize=9, labelpad=1)
    if first:
        axes.set_ylabel(names[1], fontsize=9, labelpad=3)
    axes.spines[:].set(color="0.6", linewidth=0.7)
    mark = "✓" if verdict.holds else "✗"
    look: dict[str, Any] = {"fontsize": 9.3, "fontweight": "bold"}
    sheet.text(place[0], place[1] - 0.5, f"{mark} {plane.fate}", **look)
    look |= {"ha": "right", "color": growth_colour(plane.growth)}
    sheet.text(place[0] + _SIDE, place[1] - 0.5, times(plane.growth), **look)


def _regions(axes: Axes, plane: Plane) -> None:
    """The plane by which units the next step leaves on; a line between two of them."""
    from matplotlib.patches import Polygon

    square = [(_LOW, _LOW), (_HIGH, _LOW), (_HIGH, _HIGH), (_LOW, _HIGH)]
    for signs, colour, _ in _REGIONS:
        corners: Sequence[Corner] = square
        for (a, b), on in zip(plane.weight, signs, strict=True):
            corners = _cut(corners, (a, b) if on else (-a, -b))
        if len(corners) > 2:
            axes.add_patch(Polygon(corners, facecolor=colour, edgecolor="0.7", linewidth=0.6, zorder=0))


def _cut(corners: Sequence[Corner], normal: Corner) -> list[Corner]:
    """The part of a convex polygon where normal · corner >= 0."""
    kept: list[Corner] = []
    heights = [normal[0] * x + normal[1] * y for x, y in corners]
    for k, (corner, height) in enumerate(zip(corners, heights, strict=True)):
        before, was = corners[k - 1], heights[k - 1]
        if (height > 0) != (was > 0) and height != was:
            share = was / (was - height)
            kept.append((before[0] + share * (corner[0] - before[0]), before[1] + share * (corner[1] - before[1])))
        if height > 0:
            kept.append(corner)
    return kept


def _rays(axes: Axes, plane: Plane) -> None:
    """Rays that a step keeps, with their growth at their ends."""
    if any(fixed.dimension == 2 for fixed in plane.fixed):
        return
    for ray in plane.rays:
        (x, y), colour = ray.direction, growth_colour(ray.growth)
        reach = _HIGH / max(x, y)
        kept = ray.growth == 1
        axes.plot([0, reach * x], [0, reach * y], color=colour, linewidth=4.2 if kept else 3.2, alpha=0.5, zorder=2)
        look: dict[str, Any] = {"ha": "center", "va": "center", "xytext": (0, 0)}
        at = (0.87 * reach * x, 0.87 * reach * y)
        if y == 0:
            at, look = (_HIGH - 0.02, 0), {"ha": "right", "va": "center", "xytext": (0, -9)}
        elif x == 0:
            at, look = (0, _HIGH - 0.08), {"ha": "right", "va": "center", "xytext": (-4, 0)}
        axes.annotate(
            times(ray.growth),
            at,
            textcoords="offset points",
            fontsize=8.5,
            color=colour,
            fontweight="bold",
            zorder=7,
            bbox={"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
            **look,
        )


def _path(axes: Axes, path: Sequence[Corner]) -> None:
    """A start, an arrow for its first step, and a dot for every state."""
    start, first = path[0], path[1]
    axes.plot(*start, marker="o", markersize=3.4, color="white", markeredgecolor=_INK, markeredgewidth=0.8, zorder=5)
    seen = [state for state in path if max(map(abs, state)) < 50]
    outside = min(start) < 0
    axes.plot(
        [x for x, _ in seen[1 if outside else 0 :]],
        [y for _, y in seen[1 if outside else 0 :]],
        color=_INK,
        linewidth=0.6,
        marker="o",
        markersize=2.2,
        markeredgewidth=0,
        zorder=4,
    )
    if math.dist(start, first) > 0.02 and max(first) < _HIGH:
        style = (0, (2.5, 1.5)) if outside else "-"
        arrow: dict[str, Any] = {"arrowstyle": "-|>,head_width=0.13,head_length=0.26", "color": _INK, "shrinkA": 2}
        arrow |= {"shrinkB": 0, "linewidth": 0.8, "linestyle": style}
        axes.annotate("", first, start, arrowprops=arrow, zorder=4, annotation_clip=False)


def _fixed(axes: Axes, plane: Plane) -> None:
    for fixed in plane.fixed:
        if fixed.dimension == 2:
            axes.fill_between([0, _HIGH], 0, _HIGH, color=KEEPS, alpha=0.18, linewidth=0, zorder=0.5)
            axes.plot([0, 0, _HIGH], [_HIGH, 0, 0], color=KEEPS, linewidth=4.2, alpha=0.5, zorder=2)
        elif fixed.dimension == 1:
            _line(axes, fixed)
        else:
            stable = origin_stability(plane) == "stable"
            face = "black" if stable else "white"
            look: dict[str, Any] = {"markerfacecolor": face, "markeredgecolor": "black", "markeredgewidth": 1.4}
            axes.plot(*fixed.point, marker="o", markersize=7, zorder=6, linestyle="none", **look)


def _line(axes: Axes, fixed: FixedSet) -> None:
    """A line of fixed points, from the origin on."""
    x, y = fixed.directions[0]
    sign = 1 if x + y > 0 else -1
    axes.plot([0, 3 * sign * x], [0, 3 * sign * y], color=KEEPS, linewidth=2.4, zorder=5, solid_capstyle="round")


def _legend(sheet: Sheet) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    def line(**look: Any) -> Line2D:
        return Line2D([], [], **look)

    dot: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 7, "markeredgecolor": "black"}
    regions: list[tuple[Artist, str]] = [
        (Patch(facecolor=colour, edgecolor="0.6"), words) for _, colour, words in _REGIONS
    ]
    marks: list[tuple[Artist, str]] = [
        (line(color=_INK, linewidth=0.8, marker="o", markersize=2.2), "a state, step by step"),
        (line(**dot, markerfacecolor="black"), "stable fixed point"),
        (line(**dot, markerfacecolor="white"), "unstable fixed point"),
        (line(color=KEEPS, linewidth=2.6), "fixed points (green area: all)"),
    ]
    rays: list[tuple[Artist, str]] = [
        (line(color=growth_colour(growth), linewidth=4, alpha=0.5), words)
        for growth, words in ((0.5, "shrinks by the factor beside it"), (2.0, "grows"))
    ]
    lines: list[tuple[str, list[tuple[Artist, str]]]] = [
        ("After the next step:", regions),
        ("", marks),
        ("A ray that a step keeps:", rays),
    ]
    for n, (words, entries) in enumerate(lines):
        y = _FOOT - 0.28 - 0.27 * n
        sheet.text(_LEFT, y, words, fontsize=9.5)
        legend = sheet.figure.legend(
            [handle for handle, _ in entries],
            [label for _, label in entries],
            loc="center left",
            bbox_to_anchor=((_LEFT + 1.75 if words else _LEFT) / sheet.width, y / sheet.height),
            ncols=len(entries),
            frameon=False,
            fontsize=9.5,
            columnspacing=1.6,
            handletextpad=0.5,
            borderpad=0,
            borderaxespad=0,
        )
        sheet.figure.add_artist(legend)
    words = "✓ as the paper says, ✗ not so; beside it the fastest growth per step in the long run."
    sheet.text(_LEFT, _FOOT - 0.28 - 0.27 * len(lines), words, fontsize=9.5)
