"""The fastest long-run growth of each case by the angle of its leading eigenvector, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nprnn.experiments.planes import PlanesFindings
from nprnn.reporting.drawing import COLOURS, STYLES, bare, png
from nprnn.reporting.sheet import apart, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ABOVE, _BELOW = (0.0, 90.0), (-90.0, 0.0)


def turn_picture(findings: PlanesFindings) -> bytes:
    """A line a case over the angles, with a dot where a frame of the other picture stands, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(*_BELOW, color="0.93", zorder=0)
    angles = [frame.angle for frame in findings.experiment.frames if frame.angle is not None]
    for k, case in enumerate(findings.experiment.cases):
        found = {turn.angle: turn.growth for turn in findings.turns if turn.case == case.name}
        look: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "linestyle": STYLES[k % len(STYLES)]}
        axes.plot(list(found), list(found.values()), linewidth=2.2, zorder=3, **look)
        shown = [angle for angle in angles if angle in found]
        axes.plot(shown, [found[angle] for angle in shown], "o", color=look["color"], markersize=6, zorder=4)
    axes.axhline(1, color="0.3", linewidth=0.8, zorder=1)
    bare(axes)
    axes.set_xlim(-90, 90)
    axes.set_xticks(range(-90, 91, 30))
    axes.tick_params(labelsize=10)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.12 * (high - low))
    for (left, right), words in ((_BELOW, "mixed signs: the ReLU cuts it off"), (_ABOVE, "one sign: it survives")):
        axes.text((left + right) / 2, high + 0.05 * (high - low), words, fontsize=10, ha="center", va="center")
    _names(axes, findings)
    axes.set_xlabel("angle of the leading eigenvector to the axis of unit 1, degrees", fontsize=10.5)
    axes.set_ylabel("fastest growth per step", fontsize=10.5)
    return png(figure)


def _names(axes: Axes, findings: PlanesFindings) -> None:
    """Of each case, at the right end of its line."""
    low, high = axes.get_ylim()
    ends = []
    for k, case in enumerate(findings.experiment.cases):
        found = {turn.angle: turn.growth for turn in findings.turns if turn.case == case.name}
        values = ", ".join(f"{value:g}" for value in case.eigenvalues)
        if found:
            ends.append((found[max(found)], f"({case.name}) eigenvalues {values}", COLOURS[k % len(COLOURS)]))
    ends.sort(key=lambda end: end[0])
    places = apart([end[0] for end in ends], 0.075 * (high - low), low, high)
    for place, (_, words, colour) in zip(places, ends, strict=True):
        look: dict[str, Any] = {"textcoords": "offset points", "va": "center", "annotation_clip": False}
        axes.annotate(plain(words), (90, place), xytext=(7, 0), fontsize=10, color=colour, **look)
