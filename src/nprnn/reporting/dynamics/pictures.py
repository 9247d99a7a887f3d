"""The pictures of an analysis: spectra, what is carried over time, which units are on, and what training did to it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from nprnn.reporting.drawing import COLOURS, MARKERS, bare, cut, png
from nprnn.reporting.dynamics.numbers import quantities
from nprnn.reporting.dynamics.portrait import Portrait
from nprnn.reporting.dynamics.rows import BEFORE, Column, Portrayed, Rows, band, whole
from nprnn.reporting.factors import near

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TEN = math.log(10)
_ACTIVE = "#00795A"
_TRAINED = {
    "radius": "spectral radius of W",
    "growth": "gradient: growth per step",
    "active_radius": "spectral radius of D W",
    "exponent": "largest Lyapunov exponent",
    "active": "units that are on",
    "departure": "departure from normality",
}


def analysis_pictures(found: Sequence[Portrayed]) -> dict[str, bytes]:
    """All pictures by name, as PNG; that of training where a run has more than its start."""
    pictures = {"spectra": _spectra(found), "carried": _carried(found), "units": _units(found)}
    trained = [entry for entry in found if len(entry.portraits) > 1]
    return {**pictures, "training": _training(trained)} if trained else pictures


def _spectra(found: Sequence[Portrayed]) -> bytes:
    twice = any(len(entry.portraits) > 1 for entry in found)
    columns = [Column("Eigenvalues of W" + (", before" if twice else ""), "real part", "imaginary part", True)]
    columns += [Column("Eigenvalues of W, after", "real part", "", True)] if twice else []
    columns += [
        Column("Singular values of W", "number", "singular value"),
        Column("Lyapunov exponents", "number", "nats per step", least=0.01),
    ]
    rows = Rows(found, columns)
    for entry, panels in zip(found, rows.panels, strict=True):
        for k in range(2 if twice else 1):
            if k < len(entry.shown):
                _eigenvalues(panels[k], entry.shown[k][1], entry.shown[k][2])
            else:
                panels[k].text(0.5, 0.5, "no training", ha="center", transform=panels[k].transAxes, color="0.4")
                panels[k].set(xlim=(-1, 1), ylim=(-1, 1))
        for _, portrait, look in entry.shown:
            values = portrait.singular_values
            band(panels[-2], torch.arange(1, values.shape[-1] + 1), values, look)
            _exponents(panels[-1], portrait, look)
        panels[-2].set_ylim(bottom=0)
    # Joint limits put the edge lower in some panels than it was when they were drawn.
    return rows.finish()


def _eigenvalues(axes: Axes, portrait: Portrait, look: Mapping[str, Any]) -> None:
    from matplotlib.patches import Circle

    values = portrait.eigenvalues.flatten()
    axes.add_patch(Circle((0, 0), 1, fill=False, edgecolor="black", linewidth=1.1, zorder=1))
    radius = float(portrait.radii.mean())
    inner: dict[str, Any] = {"fill": False, "edgecolor": _ACTIVE, "linewidth": 1.3, "linestyle": (0, (1.5, 1.2))}
    axes.add_patch(Circle((0, 0), radius, zorder=1, **inner))
    # Below both circles: inside of them are the dots.
    axes.annotate(
        "ρ(D W)",
        (0, -max(1.0, radius)),
        xytext=(0, -3),
        textcoords="offset points",
        fontsize=8.5,
        color=_ACTIVE,
        ha="center",
        va="top",
    )
    # Of many draws no dot matters, but where they lie thick.
    alpha = max(0.04, min(0.75, 75 / len(values)))
    axes.scatter(
        values.real.numpy(), values.imag.numpy(), s=15, color=look["color"], alpha=alpha, linewidths=0, zorder=3
    )
    # Room for the name below.
    reach = max(1.12 * float(values.abs().max()), 1.3 * max(1.0, radius))
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach))


def _exponents(axes: Axes, portrait: Portrait, look: Mapping[str, Any]) -> None:
    numbers = torch.arange(1, len(portrait.exponents) + 1)
    finite = portrait.exponents.isfinite()
    errors = portrait.exponent_errors.nan_to_num(0.0)
    axes.axhline(0, color="0.2", linewidth=0.9, zorder=1)
    marker = "o" if look["color"] == BEFORE["color"] else "s"
    if bool(finite.any()):
        axes.errorbar(
            numbers[finite].numpy(),
            portrait.exponents[finite].numpy(),
            yerr=errors[finite].numpy(),
            color=look["color"],
            marker=marker,
            markersize=4,
            linewidth=0.8,
            elinewidth=1.4,
        )
    # At the lower edge, wherever that will be.
    lost = numbers[~finite].tolist()
    edge: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False, "linestyle": "none"}
    axes.plot(lost, [0.0 if marker == "o" else 0.05] * len(lost), "v", color=look["color"], markersize=5, **edge)
    axes.set_xlim(0.5, len(numbers) + 0.5)


def _carried(found: Sequence[Portrayed]) -> bytes:
    columns = [
        Column("States", "step", "‖h‖, powers of ten", least=0.5),
        Column("Gradient on its way back", "steps before the last", "‖g‖, powers of ten", least=0.5),
        Column("Change of an early input", "steps after it", "‖δh‖ / ‖δx‖, powers of ten", least=0.5),
    ]
    rows = Rows(found, columns)
    for entry, panels in zip(found, rows.panels, strict=True):
        for _, portrait, look in entry.shown:
            curves = (portrait.log_norms, portrait.gradient, portrait.input_change)
            for axes, values, first in zip(panels, curves, (1, 0, 0), strict=True):
                axes.axhline(0, color="0.6", linewidth=0.8, zorder=1)
                band(axes, torch.arange(first, first + values.shape[-1]), values / _TEN, look)
        for axes, key in ((panels[1], "growth"), (panels[2], "input_growth")):
            for k, (_, portrait, look) in enumerate(entry.shown):
                growth = next(q.value for q in quantities(portrait) if q.key == key)
                _note(axes, f"×{near(growth)} a step" if growth else "becomes exactly 0", k, look)
    return rows.finish()


def _note(axes: Axes, words: str, line: int, look: Mapping[str, Any]) -> None:
    """Words in a panel's lower left corner, a line for each stage."""
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
    at: dict[str, Any] = {"transform": axes.transAxes, "va": "bottom", "bbox": box, "zorder": 6}
    axes.text(0.04, 0.05 + 0.1 * line, words, fontsize=9.5, color=look["color"], fontweight="bold", **at)


def _units(found: Sequence[Portrayed]) -> bytes:
    columns = [
        Column("Units that are on", "step", "share of units"),
        Column("How often each unit is on", "unit, most often first", "share of steps"),
        Column("Spectral radius of D W", "step", "spectral radius"),
    ]
    rows = Rows(found, columns)
    for entry, panels in zip(found, rows.panels, strict=True):
        for _, portrait, look in entry.shown:
            if portrait.on is None or portrait.unit_on is None:
                for axes in panels[:2]:
                    words = "a tanh unit is never off"
                    axes.text(0.5, 0.5, words, ha="center", transform=axes.transAxes, color="0.4", fontsize=10)
            else:
                band(panels[0], torch.arange(1, portrait.steps + 1), portrait.on, look)
                ordered = portrait.unit_on.sort(-1, descending=True).values
                band(panels[1], torch.arange(1, ordered.shape[-1] + 1), ordered, look)
            band(panels[2], portrait.radii_at, portrait.radii, look)
        for axes in panels[:2]:
            axes.set_ylim(-0.02, 1.02)
        panels[2].axhline(1, color="0.2", linewidth=0.9, zorder=1)
        panels[2].set_ylim(bottom=0)
    return rows.finish()


def _training(found: Sequence[Portrayed]) -> bytes:
    """Six numbers over the updates of all checkpoints, a line a run."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    height = 5.3 + 0.22 * math.ceil(len(found) / 2)
    figure = Figure(figsize=(10.4, height), layout=ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.08))
    grid = figure.subplots(2, 3).flat
    tables = [[{q.key: q for q in quantities(portrait)} for portrait in entry.portraits] for entry in found]
    for axes, (key, title) in zip(grid, _TRAINED.items(), strict=True):
        for k, (entry, table) in enumerate(zip(found, tables, strict=True)):
            points = [(s.update, row[key].value) for s, row in zip(entry.subject.stages, table, strict=True)]
            kept = [(x, y) for x, y in points if y is not None and math.isfinite(y)]
            look: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)]}
            label = cut(entry.subject.title, 60)
            xs, ys = [x for x, _ in kept], [y for _, y in kept]
            # Between checkpoints nothing is known.
            axes.plot(xs, ys, color=look["color"], linewidth=0.9, linestyle=(0, (2, 2)), alpha=0.7)
            axes.plot(xs, ys, linestyle="none", markersize=5.5, label=label, **look)
        if key in ("radius", "growth", "active_radius"):
            axes.axhline(1, color="0.2", linewidth=0.9, zorder=1)
        if key == "exponent":
            axes.axhline(0, color="0.2", linewidth=0.9, zorder=1)
        axes.set_title(title, fontsize=10.5, loc="left")
        axes.ticklabel_format(useOffset=False)
        axes.xaxis.set_major_locator(whole())
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.tick_params(labelsize=9)
        axes.set_xlabel("updates", fontsize=9.5)
        bare(axes)
    lines, names = figure.axes[0].get_legend_handles_labels()
    legend = figure.legend(lines, names, loc="outside lower center", ncols=2, frameon=False, fontsize=10)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return png(figure)
