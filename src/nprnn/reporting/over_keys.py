"""Every run as a dot over the values of a setting: for one setting, or for values too many for a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nprnn.reporting.drawing import COLOURS, MARKERS, Scale, bare, cut, png
from nprnn.reporting.heatmaps import MOST_VALUES
from nprnn.reporting.members import exactly, is_number, show
from nprnn.reporting.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def final_scale(study: Study) -> Scale:
    """The axis of the test headline by the last iterates."""
    values = [m.final[study.headline] for m in study.members if m.state == "finished"]
    return Scale.of(study.headline, values, study.baseline.get(study.headline), study.side)


def dots_over_keys(study: Study) -> tuple[bytes, str]:
    """The final test headline of every finished run over the axes of a study, a panel an axis, and each model's means.

    Returns:
        The PNG's bytes, and what the picture does not say itself.
    """
    from matplotlib.figure import Figure

    scale = final_scale(study)
    figure = Figure(figsize=(8.4 if len(study.axes) == 1 else 10.4, 4.0), layout="constrained")
    grid = figure.subplots(1, len(study.axes), sharey=True, squeeze=False)[0]
    joined = [_panel(axes, study, key, scale) for axes, key in zip(grid, study.axes, strict=True)]
    scale.apply(grid[0], "y")
    grid[0].set_ylabel(scale.name, fontsize=11, parse_math=False)
    lines, names = grid[0].get_legend_handles_labels()
    legend = figure.legend(lines, names, loc="outside right upper", frameon=False, fontsize=10)
    for text in legend.get_texts():
        text.set_parse_math(False)
    words = [
        "Each small mark is a finished run by its last iterate" + ("; lines join the means." if any(joined) else ".")
    ]
    if len(study.keys) > 1:
        words.append(
            f"{len(study.keys)} settings vary ({', '.join(study.keys)}); each panel pools over all but its own."
        )
    if any(m.state == "diverged" for m in study.members):
        words.append("×k: k runs diverged; they are not in the means.")
    return png(figure), " ".join(words)


def _panel(axes: Axes, study: Study, key: str, scale: Scale) -> bool:
    """Draw one panel; whether its values are few enough to be steps with a mean each."""
    values = study.values(key)
    rank = {exactly(value): k for k, value in enumerate(values)}
    steps = len(values) <= MOST_VALUES or not all(map(is_number, values))
    for k, model in enumerate(study.models):
        cells = [cell for cell in study.pooled([key]) if cell.model == model]
        cells.sort(key=lambda cell: rank[exactly(cell.values[key])])
        # Beside one another, or the models would hide each other's dots.
        shift = 0.5 * ((k + 0.5) / len(study.models) - 0.5)
        places = [rank[exactly(c.values[key])] + shift if steps else float(c.values[key]) for c in cells]
        look: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)]}
        dots = [(x, scale.within(v)) for x, c in zip(places, cells, strict=True) for v in c.tests]
        means = [(x, scale.within(c.mean)) for x, c in zip(places, cells, strict=True) if c.mean is not None and steps]
        x, y = ([dot[axis] for dot in dots] for axis in (0, 1))
        axes.scatter(x, y, s=24, alpha=0.6, linewidths=0, zorder=2, **look)
        x, y = ([dot[axis] for dot in means] for axis in (0, 1))
        look |= {"linestyle": "-" if steps else "none", "markersize": 8, "linewidth": 1.6}
        axes.plot(x, y, label=cut(model), zorder=3, **look)
        for place, cell in zip(places, cells, strict=True):
            if cell.diverged:
                height = 0.03 + 0.06 * k if study.higher_is_better else 0.97 - 0.06 * k
                told, across = f"×{len(cell.diverged)}", axes.get_xaxis_transform()
                axes.text(place, height, told, color=look["color"], ha="center", va="center", transform=across)
    scale.constant(axes, "y")
    bare(axes)
    if steps:
        words = [cut(show(value)) for value in values]
        crowded = max(map(len, words)) * len(words) > 90 / len(study.axes)
        axes.set_xticks(range(len(values)), words, rotation=90 if crowded else 0, parse_math=False)
    elif _spans_decades(values):
        axes.set_xscale("log")
    axes.tick_params(labelsize=10)
    axes.set_xlabel(cut(key), fontsize=11, parse_math=False)
    return steps


def _spans_decades(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) > 20 * min(values)
