"""Heat maps of a metric over two settings, a panel a model, after the paper's Fig. 6."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nprnn.reporting.drawing import Scale, cut, png, short
from nprnn.reporting.heat_cells import NO_MEAN, frame, paint
from nprnn.reporting.members import exactly, show
from nprnn.reporting.study import Cell, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More values of a setting than this leave no room for a number in each cell.
MOST_VALUES = 24
_CELL = (0.66, 0.46)
_WIDEST = 8.2
# Errors past so many times the constant answer's share the last colour, so that those below keep theirs apart.
_WORST = 3


def heat_map(study: Study) -> tuple[bytes, str]:
    """The test headline of the last iterate over the two axes of a study: a panel a model, one scale for all.

    Args:
        study: with two axes of at most ``MOST_VALUES`` values.

    Returns:
        The PNG's bytes, and what the picture does not say itself.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    down, across = study.axes
    rows, columns = study.values(down), study.values(across)
    cells = study.pooled(study.axes)
    means = [cell.mean for cell in cells if cell.mean is not None]
    norm, logarithmic, capped = _norm(study, means)
    colours = ScalarMappable(norm, "viridis" if study.higher_is_better else "viridis_r")

    panel = (len(columns) * _CELL[0] + 0.25, len(rows) * _CELL[1] + 0.35)
    lines = math.ceil(len(study.models) * panel[0] / _WIDEST)
    wide = math.ceil(len(study.models) / lines)
    lines = math.ceil(len(study.models) / wide)
    size = (max(wide * panel[0], 2.4) + 2.1, lines * (panel[1] + 0.3) + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(lines, wide, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= len(study.models):
            axes.set_visible(False)
            continue
        model = study.models[place]
        _panel(axes, [cell for cell in cells if cell.model == model], rows, columns, study, colours)
        axes.set_title(cut(model), fontsize=12, loc="left", parse_math=False, fontweight="bold")
        axes.set_xticks(range(len(columns)), [cut(show(v), 12) for v in columns], fontsize=10, parse_math=False)
        names = [cut(show(v), 12) for v in rows] if place % wide == 0 else []
        axes.set_yticks(range(len(rows)) if names else [], names, fontsize=10, parse_math=False)
    figure.supxlabel(cut(across), fontsize=11, parse_math=False)
    figure.supylabel(cut(down), fontsize=11, parse_math=False)
    bar = figure.colorbar(colours, ax=list(grid.flat), extend="max" if capped else "neither", aspect=30, pad=0.02)
    label = f"{study.side} {cut(study.headline)}, last iterate" + (" (log scale)" if logarithmic else "")
    bar.set_label(label, fontsize=11, parse_math=False)
    bar.ax.tick_params(labelsize=10)
    level = study.baseline.get(study.headline)
    if level is not None and norm.vmin < level < norm.vmax:
        bar.ax.axhline(level, color="black", linewidth=2)
        bar.ax.axhline(level, color="white", linewidth=2, linestyle=(0, (2, 2)))
    return png(figure), _caption(study, cells)


def _panel(
    axes: Axes, cells: Sequence[Cell], rows: Sequence[Any], columns: Sequence[Any], study: Study, colours: Any
) -> None:
    down, across = study.axes
    row = {exactly(value): k for k, value in enumerate(rows)}
    column = {exactly(value): k for k, value in enumerate(columns)}
    best = study.best.get(cells[0].model) if cells else None
    for cell in cells:
        x, y = column[exactly(cell.values[across])], row[exactly(cell.values[down])]
        lost = f"×{len(cell.diverged)}" if cell.diverged else ""
        if cell.mean is None and not lost:
            continue
        face = NO_MEAN if cell.mean is None else colours.to_rgba(cell.mean)
        words = "\n".join(
            ([] if cell.mean is None else [short(cell.mean, study.higher_is_better)]) + [lost] * bool(lost)
        )
        # The survivors' mean flatters a cell that lost runs: it must not pass for its neighbours' like.
        paint(axes, x, y, face, words, hatched=bool(lost))
        if best and all(exactly(best.values[key]) == exactly(cell.values[key]) for key in study.axes):
            frame(axes, x, y)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.tick_params(length=0)
    axes.spines[:].set_color("0.8")


def _norm(study: Study, means: Sequence[float]) -> tuple[Any, bool, bool]:
    """The colour scale for some means, whether it is logarithmic, and whether some lie above it."""
    from matplotlib.colors import LogNorm, Normalize

    level = study.baseline.get(study.headline)
    scale = Scale.of(study.headline, means, None)
    if not scale.logarithmic:
        low, high = min(means, default=0.0), max(means, default=1.0)
        return Normalize(low, high if high > low else low + 1e-9), False, False
    low, high = min(v for v in means if v > 0), max(means)
    top = min(high, _WORST * level) if level and level > 0 else high
    top = max(top, low * 1.01)
    return LogNorm(low, top, clip=True), True, high > top


def _caption(study: Study, cells: Sequence[Cell]) -> str:
    counts = sorted({len(cell.finished) for cell in cells if cell.finished}) or [0]
    runs = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    words = [f"Each cell: the mean over {runs} finished run{'' if runs == '1' else 's'}. Bright is better."]
    rest = [key for key in study.keys if key not in study.axes]
    if rest:
        words.append(f"More settings vary, and are pooled over in each cell: {', '.join(rest)}.")
    if any(cell.diverged for cell in cells):
        words.append("×k: k runs of the cell diverged; they are not in its mean, and the cell is hatched.")
    if study.best:
        words.append("Framed: the cell of the setting that validation chose for the model.")
    if study.headline in study.baseline:
        words.append(f"Line in the colour bar: the constant answer, {study.baseline[study.headline]:.4g}.")
    drawn = sum(bool(cell.finished or cell.diverged) for cell in cells)
    if drawn < len(study.models) * math.prod(len(study.values(key)) for key in study.axes):
        words.append("Blank: no run has ended.")
    return " ".join(words)
