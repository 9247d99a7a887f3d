"""Every run as a dot, by model; and success rates with their intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nprnn.reporting.drawing import COLOURS, MARKERS, Scale, bare, cut, png, spread
from nprnn.reporting.members import Member
from nprnn.reporting.over_keys import final_scale
from nprnn.reporting.study import Study
from nprnn.reporting.success import Criterion, Rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def dots_by_model(study: Study, criterion: Criterion | None) -> tuple[bytes, str]:
    """The final test headline of every run that ended, a strip a model; and those of its best setting beside them.

    Returns:
        The PNG's bytes, and what the picture does not say itself.
    """
    from matplotlib.figure import Figure

    scale = final_scale(study)
    parts: list[tuple[str, dict[str, list[Member]]]] = [("all runs", {m: [] for m in study.models})]
    for member in study.members:
        if member.ended:
            parts[0][1][member.model].append(member)
    if study.keys and study.best:
        chosen = {model: [m for m in cell.members if m.ended] for model, cell in study.best.items()}
        parts.append(("best setting by validation", chosen))
    size = (9.6 if len(parts) == 2 else 6.4, 0.52 * len(study.models) + 1.6)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(1, len(parts), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (title, groups) in zip(grid, parts, strict=True):
        for k, model in enumerate(study.models):
            _strip(axes, groups.get(model, []), k, scale, study)
        scale.constant(axes, "x")
        if criterion and criterion.metric == study.headline:
            axes.axvline(criterion.bound, color="0.35", linewidth=1.4, linestyle=(0, (1, 2)), zorder=1)
        scale.apply(axes, "x")
        bare(axes)
        axes.set_title(title, fontsize=12, loc="left")
        axes.set_xlabel(scale.name, fontsize=11, parse_math=False)
        axes.tick_params(labelsize=10)
    grid[0].set_yticks(range(len(study.models)), list(map(cut, study.models)), fontsize=11, parse_math=False)
    grid[0].set_ylim(len(study.models) - 0.5, -0.5)
    return png(figure), _caption(study, scale, criterion)


def _strip(axes: Axes, members: Sequence[Member], place: int, scale: Scale, study: Study) -> None:
    values = [m.final[study.headline] for m in members if m.state == "finished"]
    heights = [place + 0.5 * offset for offset in spread(len(values))]
    look: dict[str, Any] = {"color": COLOURS[place % len(COLOURS)], "edgecolors": "white", "linewidths": 0.6}
    placed = [(scale.within(v), y, scale.within(v) == v) for v, y in zip(values, heights, strict=True)]
    for whole, size, marker in ((True, 34, MARKERS[place % len(MARKERS)]), (False, 48, ">")):
        x, y = ([dot[k] for dot in placed if dot[2] is whole] for k in (0, 1))
        axes.scatter(x, y, s=size, marker=marker, clip_on=whole, zorder=2 if whole else 3, **look)
    if values:
        middle = scale.within(statistics.median(values))
        axes.plot([middle, middle], [place - 0.4, place + 0.4], color="black", linewidth=2.5, zorder=1.5)
    lost = sum(m.state == "diverged" for m in members)
    if lost:
        edge = (0.95, place) if not study.higher_is_better else (0.05, place)
        side = "right" if not study.higher_is_better else "left"
        box = {"facecolor": "white", "edgecolor": "0.5", "pad": 1.5, "alpha": 0.9}
        axes.text(*edge, f"×{lost}", ha=side, va="center", fontsize=10, bbox=box, transform=axes.get_yaxis_transform())


def rate_picture(found: Sequence[Rate], study: Study) -> bytes:
    """Success rates as dots with their 95 % intervals, a line a model, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 0.46 * len(found) + 1.0), layout="constrained")
    axes = figure.subplots()
    for place, rate in enumerate(found):
        k = study.models.index(rate.model)
        colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
        axes.plot([rate.low, rate.high], [place, place], color=colour, linewidth=3, solid_capstyle="butt")
        axes.plot(rate.rate, place, marker=marker, color=colour, markersize=9, clip_on=False, zorder=3)
        words = f"{rate.successes} of {rate.runs}"
        axes.text(1.03, place, words, va="center", fontsize=11, transform=axes.get_yaxis_transform())
    axes.set_yticks(range(len(found)), [cut(rate.model) for rate in found], fontsize=11, parse_math=False)
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of runs that succeeded", fontsize=11)
    axes.tick_params(labelsize=10)
    bare(axes)
    return png(figure)


def _caption(study: Study, scale: Scale, criterion: Criterion | None) -> str:
    finished = [m.final[study.headline] for m in study.members if m.state == "finished"]
    words = ["Each mark is a run by its last iterate; bar: the median of the finished runs."]
    if scale.baseline is not None and math.isfinite(scale.baseline):
        words.append(f"Dashed: the constant answer, {scale.baseline:.4g}.")
    if criterion and criterion.metric == study.headline:
        words.append(f"Dotted: the bound of success, {criterion.bound:.4g}.")
    if any(m.state == "diverged" for m in study.members):
        words.append("×k: k runs that diverged.")
    if scale.beyond(finished):
        words.append(f"{scale.beyond(finished)} runs beyond the axis are drawn as triangles at its edge.")
    return " ".join(words)
