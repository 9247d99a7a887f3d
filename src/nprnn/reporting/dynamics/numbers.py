"""The table of a portrait: every quantity as a mean with its least and greatest, and what a person is told of it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nprnn.dynamics import geometric_mean
from nprnn.reporting.dynamics.portrait import Found, Portrait
from nprnn.reporting.factors import near, ten

NOTHING = "–"
# Exponents (nats a step) below this are 0 but for rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Quantity:
    """A row of the table.

    Attributes:
        key: in JSON and CSV.
        label: for a person.
        value: the number; None where it is not defined, -inf where it is minus infinity.
        least: of the samples, where there are several.
        greatest: likewise.
        text: as a person reads it.
    """

    key: str
    label: str
    value: float | None
    least: float | None
    greatest: float | None
    text: str


def quantities(found: Portrait) -> list[Quantity]:
    """All rows of the table of a portrait."""
    kept = ~found.vanished
    steps = found.steps
    growth, far = found.growth[kept], found.far_growth[kept]
    changed = found.input_change
    through = changed[:, -1].isfinite()
    passed = max(1, changed.shape[-1] - 1)
    carried = ((changed[through, -1] - changed[through, 0]) / passed).exp()
    first, last = found.log_norms[:, 0], found.log_norms[:, -1]
    ratio = last - first
    lasted = found.lasting[~kept]
    ends = found.gradient[~kept].gather(-1, lasted[:, None]).squeeze(-1)
    until = (ends / lasted.clamp(min=1)).exp()
    rows = [
        _mean("radius", "spectral radius of W", found.radius),
        _mean("norm", "largest singular value of W", found.norm),
        _mean("departure", "departure from normality, over the Frobenius norm", found.departure),
        _factor("growth", "gradient: growth per step", growth),
        _factor("far_growth", f"gradient: growth per step, the furthest {min(100, steps)}", far),
        _decades("gradient_left", f"gradient: left after {steps} steps", steps * _or_zero(growth).log()),
        _share("vanished", "gradient: share that became exactly 0", found.vanished.double(), spread=False),
        _steps("lasted", "of those: steps until it is 0", lasted.double()),
        _factor("growth_until", "of those: growth per step until then", until, none=NOTHING),
        Quantity("input_step", "changed input: step", found.input_step, None, None, str(found.input_step)),
        _factor("input_growth", "changed input: growth per step", carried),
        _decades("input_left", "changed input: ‖δh‖ / ‖δx‖ in the last state", changed[through, -1]),
        _share("input_vanished", "changed input: share lost altogether", (~through).double(), spread=False),
        _decades("state_first", "states: ‖h_1‖", first[first.isfinite()]),
        _decades("state_last", "states: ‖h_T‖", last[last.isfinite()]),
        _decades("state_ratio", "states: ‖h_T‖ / ‖h_1‖", ratio[ratio.isfinite()]),
        _mean("active_radius", "spectral radius of D W, mean over steps", found.radii.mean(-1)),
    ]
    if found.on is not None and found.dead is not None:
        rows += [
            _share("active", "units that are on, mean over steps", found.on.mean(-1)),
            _share("dead", "units that are never on", found.dead),
        ]
    else:
        rows += [
            Quantity("active", "units that are on, mean over steps", None, None, None, "a tanh unit is never off"),
            Quantity("dead", "units that are never on", None, None, None, "a tanh unit is never off"),
        ]
    exponent = float(found.exponents[0])
    error = float(found.exponent_errors[0])
    positive = int((found.exponents > _ROUNDING).sum())
    told = f"{number(exponent)} ± {number(error)}" if math.isfinite(error) else number(exponent)
    if abs(exponent) < _ROUNDING:
        told = number(0.0)
    return [
        *rows,
        Quantity("exponent", "largest Lyapunov exponent, nats per step", exponent, None, None, told),
        Quantity(
            "positive_exponents",
            f"Lyapunov exponents above 0, of the first {len(found.exponents)}",
            float(positive),
            None,
            None,
            str(positive),
        ),
        *_orbit_rows(found),
    ]


def number(value: float) -> str:
    """A number with three decimals, or in powers of ten where that says more."""
    if math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.3f}" if value == 0 or 0.001 <= abs(value) < 1e4 else f"{value:.1e}"
    return text.replace("-", "−")


def _mean(key: str, label: str, values: Tensor) -> Quantity:
    return _row(key, label, values, float(values.mean()), number)


def _factor(key: str, label: str, values: Tensor, none: str = "0: all vanished") -> Quantity:
    """A geometric mean."""
    if not values.numel():
        return Quantity(key, label, None if none == NOTHING else 0.0, None, None, none)
    return _row(key, label, values, float(geometric_mean(values)), near)


def _steps(key: str, label: str, values: Tensor) -> Quantity:
    if not values.numel():
        return Quantity(key, label, None, None, None, NOTHING)
    return _row(key, label, values, float(values.mean()), lambda v: f"{v:.0f}")


def _decades(key: str, label: str, values: Tensor) -> Quantity:
    """A geometric mean by natural logarithms, in powers of ten, which float64 need not hold."""
    if not values.numel():
        return Quantity(f"log10_{key}", label, None, None, None, NOTHING)
    logs = values / math.log(10)
    low, mean, high = (float(v) for v in (logs.amin(), logs.mean(), logs.amax()))
    text = ten(mean) if ten(low) == ten(high) else f"{ten(mean)} ({ten(low)} to {ten(high)})"
    return Quantity(f"log10_{key}", label, mean, low, high, text)


def _share(key: str, label: str, values: Tensor, *, spread: bool = True) -> Quantity:
    row = _row(key, label, values, float(values.mean()), lambda v: f"{100 * v:.0f} %")
    return row if spread else Quantity(key, label, row.value, None, None, f"{100 * float(values.mean()):.0f} %")


def _row(key: str, label: str, values: Tensor, mean: float, say: Callable[[float], str]) -> Quantity:
    low, high = float(values.amin()), float(values.amax())
    several = len(values) > 1
    text = f"{say(mean)} ({say(low)} to {say(high)})" if several and say(low) != say(high) else say(mean)
    return Quantity(key, label, mean, low if several else None, high if several else None, text)


def _or_zero(values: Tensor) -> Tensor:
    return values if values.numel() else torch.zeros(1, dtype=torch.float64)


def _orbit_rows(found: Portrait) -> list[Quantity]:
    """What was found under zero input, a row a period."""
    if found.orbits is None:
        return []
    periods = sorted({entry.period for entry in found.orbits})
    return [_orbit_row(period, [e for e in found.orbits if e.period == period]) for period in periods]


def _orbit_row(period: int, looked: Sequence[Found]) -> Quantity:
    label = "fixed points under zero input" if period == 1 else f"cycles of {period} under zero input"
    counts = Counter(orbit_kind(orbit.dimension, orbit.stability) for entry in looked for orbit in entry.orbits)
    words = ", ".join(f"{count} {_several(kind, count)}" for kind, count in counts.items()) or "none"
    how = "all looked at" if all(entry.exhaustive for entry in looked) else "by search"
    networks = f" in {len(looked)} draws" if len(looked) > 1 else ""
    total = float(sum(counts.values()))
    return Quantity(f"orbits_{period}", label, total, None, None, f"{words}{networks} ({how})")


def _several(kind: str, count: int) -> str:
    return re.sub(r"line|plane|set", r"\g<0>s", kind) if count > 1 else kind


def orbit_kind(dimension: int, stability: str) -> str:
    """Such as "stable", or "neutral line"."""
    sets = {0: "", 1: " line", 2: " plane"}.get(dimension, f" set of {dimension} dimensions")
    return ("undecided" if stability == "border" else stability) + sets
