"""Learning curves of many runs: a panel a model, every run a thin line, the runs of its best setting thick."""

from __future__ import annotations

import math

from nprnn.reporting.drawing import COLOURS, STYLES, Scale, bare, cut, png
from nprnn.reporting.study import Study
from nprnn.training.readings import told


def curve_panels(study: Study) -> tuple[bytes, str]:
    """Test headline over the updates of all runs, a panel a model on the same axes.

    Returns:
        The PNG's bytes, and what the picture does not say itself.
    """
    from matplotlib.figure import Figure

    name = study.headline
    values = [told(record)[name] for member in study.members for record in member.records]
    scale = Scale.of(name, values, study.baseline.get(name), study.side)
    columns = min(3, len(study.models))
    rows = math.ceil(len(study.models) / columns)
    figure = Figure(figsize=(9.6 if columns == 3 else 4.2 * columns, 2.9 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
    for k, (model, axes) in enumerate(zip(study.models, grid, strict=False)):
        best = study.best.get(model)
        chosen = [id(member) for member in best.members] if best else []
        for member in study.members:
            if member.model != model or not member.records:
                continue
            x = [record["update"] for record in member.records]
            y = [scale.within(told(record)[name]) for record in member.records]
            if id(member) in chosen:
                style = STYLES[chosen.index(id(member)) % len(STYLES)]
                axes.plot(x, y, color=COLOURS[k % len(COLOURS)], linewidth=2.2, linestyle=style, zorder=3)
            else:
                axes.plot(x, y, color="0.55", linewidth=0.7, alpha=0.7, zorder=2)
            if member.state == "diverged":
                axes.plot(x[-1], y[-1], "x", color="black", markersize=6, zorder=4)
        scale.constant(axes, "y")
        scale.apply(axes, "y")
        bare(axes)
        axes.set_title(cut(model, 14), fontsize=12, loc="left", parse_math=False, fontweight="bold")
        if best and study.keys:
            axes.annotate(
                cut(best.text, 36), (1, 1.02), xycoords="axes fraction", ha="right", fontsize=9, parse_math=False
            )
        axes.tick_params(labelsize=10, labelbottom=True)
        axes.ticklabel_format(axis="x", style="plain")
        axes.xaxis.set_major_locator(_few())
    for axes in grid:
        axes.set_visible(False)
    figure.supxlabel("updates", fontsize=11)
    figure.supylabel(scale.name, fontsize=11, parse_math=False)
    return png(figure), _caption(study, scale.beyond(values))


def _few() -> object:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4)


def _caption(study: Study, beyond: int) -> str:
    words = ["Each thin line is a run."]
    if study.best and study.keys:
        words.append(
            "Thick: the runs of the model's best setting, which stands above the panel; it was chosen by validation."
        )
    if not study.best:
        words.append("There are no validation records, so no setting is chosen.")
    if any(m.state == "diverged" and m.records for m in study.members):
        words.append("×: the last evaluation of a run that diverged.")
    if study.headline in study.baseline:
        words.append(f"Dashed: the constant answer, {study.baseline[study.headline]:.4g}.")
    if beyond:
        words.append(f"{beyond} evaluations beyond the axis are drawn at its edge.")
    return " ".join(words)
