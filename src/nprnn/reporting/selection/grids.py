"""Validation accuracy over the grid of a selection experiment: a heat map a model and arm, ranges below (Fig. 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nprnn.experiments.findings import Cell, Findings, Grid
from nprnn.reporting.drawing import any_script, png
from nprnn.reporting.heat_cells import NO_MEAN, frame, paint
from nprnn.reporting.members import exactly
from nprnn.reporting.selection.plan import GAP, LEAST, LINE, MARGIN, MARK, WIDTH, GridPlan, row_words, tick_words
from nprnn.reporting.selection.words import counted, grids_of, judged_words, paper_setting, percent
from nprnn.reporting.sheet import Sheet, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLANK = (1.0, 1.0, 1.0, 1.0)
_GREY = "0.3"


def grid_picture(findings: Findings, arms: Sequence[str] | None = None) -> bytes:
    """Heat maps of validation accuracy, a row of models for each arm; below, the ranges beside the paper's.

    Args:
        findings: of the experiment.
        arms: names of those to draw; None draws those that choose.

    Returns:
        The PNG's bytes.

    Raises:
        ConfigError: an arm that the experiment does not have.
    """
    with any_script():
        plan = GridPlan.of(findings, arms)
        sheet = Sheet.of(WIDTH, plan.height)
        top = _header(sheet, plan)
        for arm in plan.arms:
            top = _arm(sheet, plan, arm, top)
        plan.ranges.draw(sheet, top - GAP)
        return png(sheet.figure)


def _header(sheet: Sheet, plan: GridPlan) -> float:
    """Title, scale, what the signs mean, colours. Returns where they end."""
    top = plan.height - MARGIN
    for line in plan.title:
        sheet.text(MARGIN, top - 0.12, line, fontsize=14, fontweight="bold")
        top -= 0.27
    settings = counted(len(plan.rows) * len(plan.columns), "setting")
    about = f"Validation accuracy in percent (not test accuracy), {settings} a model. Scale: {plan.findings.scale}."
    sheet.text(MARGIN, top - 0.08, about, fontsize=10.5)
    top -= LINE + 0.05
    for marks in plan.marks:
        for sign, words, x in marks:
            axes = sheet.axes(MARGIN + x, top - 0.05 - MARK[1], *MARK)
            _bare(axes, 1, 1)
            _sign(axes, sign)
            sheet.text(MARGIN + x + MARK[0] + 0.08, top - 0.05 - MARK[1] / 2, words, fontsize=9.5)
        top -= 0.33
    _colour_bar(sheet, top + 0.33 - 0.1)
    return top - 0.15


def _sign(axes: Axes, sign: str) -> None:
    if sign == "frame":
        paint(axes, 0, 0, _colour(0.9), "")
        frame(axes, 0, 0)
    elif sign == "corner":
        paint(axes, 0, 0, _colour(0.9), "")
        _corner(axes, 0, 0)
    elif sign == "×k":
        paint(axes, 0, 0, NO_MEAN, sign, hatched=True, size=9)
    else:
        paint(axes, 0, 0, _BLANK, sign, size=9)
        axes.spines[:].set(visible=True, color="0.7")


def _colour_bar(sheet: Sheet, top: float) -> None:
    width, right = 1.25, WIDTH - MARGIN - 0.55
    axes = sheet.axes(right - width, top - 0.14, width, 0.14)
    axes.imshow([[k / 255 for k in range(256)]], aspect="auto", cmap="viridis", vmin=0, vmax=1)
    axes.set_axis_off()
    sheet.text(right - width - 0.07, top - 0.07, "0", fontsize=9.5, ha="right")
    sheet.text(right + 0.07, top - 0.07, "100 %", fontsize=9.5)


def _colour(share: float) -> tuple[float, ...]:
    from matplotlib import colormaps

    return tuple(colormaps["viridis"](share))


def _arm(sheet: Sheet, plan: GridPlan, arm: str, top: float) -> float:
    """An arm's heat maps. Returns where they end."""
    grids = {grid.model: grid for grid in grids_of(plan.findings, arm)}
    bottom = top - plan.block(arm)
    sheet.text(MARGIN, top - 0.1, plain(arm), fontsize=11.5, fontweight="bold")
    for line in plan.words[arm]:
        top -= LINE
        sheet.text(MARGIN, top - 0.1, line, fontsize=10)
    top -= LINE
    words = judged_words(plan.findings, list(grids.values())) if grids else "not run"
    sheet.text(MARGIN, top - 0.1, words, fontsize=10, color=_GREY)
    top -= LINE
    for k, model in enumerate(plan.models if grids else ()):
        at = MARGIN + plan.gutter + (k % plan.per_line) * (len(plan.columns) * plan.cell[0] + GAP)
        place = top - (k // plan.per_line) * plan.line - 0.27
        name = sheet.text(at, place + 0.12, plain(model), fontsize=10.5, fontweight="bold")
        sheet.fit(name, len(plan.columns) * plan.cell[0])
        size = (len(plan.columns) * plan.cell[0], len(plan.rows) * plan.cell[1])
        axes = sheet.axes(at, place - size[1], *size)
        _bare(axes, len(plan.columns), len(plan.rows))
        if model not in grids:
            axes.text(
                0.5, 0.5, "not run", ha="center", va="center", fontsize=9.5, color=_GREY, transform=axes.transAxes
            )
            continue
        _map(axes, plan, grids[model])
        _scale(axes, sheet, plan, (place, place - size[1]), first=k % plan.per_line == 0)
    return bottom


def _bare(axes: Axes, columns: int, rows: int) -> None:
    """Axes for cells, the first row on top."""
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _map(axes: Axes, plan: GridPlan, grid: Grid) -> None:
    column = {exactly(value): k for k, value in enumerate(plan.columns)}
    row = {exactly(values): k for k, values in enumerate(plan.rows)}
    paper = paper_setting(plan.findings.experiment, grid.model)
    for cell in grid.cells:
        rest = {key: cell.setting[key] for key in plan.findings.experiment.grid if key != plan.across}
        x, y = column[exactly(cell.setting[plan.across])], row[exactly(rest)]
        none = NO_MEAN if cell.diverged else _BLANK
        face = none if cell.accuracy is None else _colour(cell.accuracy)
        words = _cell_words(cell, plan.decimals) if plan.cell[0] >= LEAST - 1e-9 else ""
        paint(axes, x, y, face, words, hatched=bool(cell.diverged), size=9)
        if paper is not None and exactly(dict(cell.setting)) == exactly(paper):
            _corner(axes, x, y)
        if cell is grid.chosen or (grid.chosen and exactly(dict(cell.setting)) == exactly(dict(grid.chosen.setting))):
            frame(axes, x, y)
    axes.spines[:].set(visible=True, color="0.8")


def _cell_words(cell: Cell, decimals: int) -> str:
    star = "*" if cell.missing and (cell.accuracy is not None or cell.diverged) else ""
    parts = [] if cell.accuracy is None else [percent(cell.accuracy, decimals)]
    if cell.diverged:
        parts.append(f"×{cell.diverged}")
    return "\n".join(parts) + star if parts else "–"


def _corner(axes: Axes, x: float, y: float) -> None:
    """A triangle in the cell's upper left corner."""
    from matplotlib.patches import Polygon

    corners = [(x - 0.5, y - 0.5), (x - 0.2, y - 0.5), (x - 0.5, y - 0.15)]
    axes.add_patch(Polygon(corners, facecolor="white", edgecolor="black", linewidth=1.1, zorder=4))


def _scale(axes: Axes, sheet: Sheet, plan: GridPlan, ends: tuple[float, float], first: bool) -> None:
    """The values below, and at the left of a line those of the rows with the settings' names."""
    upright = plan.ticks > 0.25
    axes.set_xticks(range(len(plan.columns)), list(map(tick_words, plan.columns)), fontsize=9, parse_math=False)
    axes.tick_params(axis="x", length=0, pad=3, rotation=90 if upright else 0)
    if not first:
        return
    right = MARGIN + plan.gutter - 0.07
    names = [(ends[0] + 0.12, plan.down), (ends[1] - 0.12, plan.across)]
    middles = [(ends[0] - (k + 0.5) * plan.cell[1], row_words(values)) for k, values in enumerate(plan.rows)]
    for k, (y, words) in enumerate(names + middles):
        text = sheet.text(right, y, plain(words), fontsize=9.5, ha="right", color=_GREY if k < len(names) else "black")
        sheet.fit(text, plan.gutter - 0.1)
