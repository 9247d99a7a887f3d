"""Every start at every size in one line of numbers: what its gradients, states and active units do before training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from nprnn.dynamics.growth import geometric_mean, gradient_curve
from nprnn.dynamics.spectra import active_radii, departure_from_normality, singular_values, spectral_radius
from nprnn.dynamics.system import System
from nprnn.dynamics.trajectory import run
from nprnn.errors import InputError
from nprnn.init import SCHEMES, find_scheme
from nprnn.init.weights import Fan
from nprnn.seeds import derive

SIZES = (2, 10, 40, 100, 400)


@dataclass(frozen=True)
class GrowthRow:
    """A start at a size. Means are over draws, and geometric where a factor is meant.

    Attributes:
        scheme: a name of ``nprnn.init.SCHEMES``.
        hidden: N.
        draws: independent starts.
        steps: T.
        growth: of the gradient per step, (‖g_0‖/‖g_T‖)^(1/T), over those that did not vanish; 0 if all did.
        lowest: the least of them.
        highest: the greatest of them.
        far_growth: the same from the slope over the (at most) 100 steps furthest from the loss.
        vanished: share of gradients that became exactly 0 on the way.
        state_ratio: ‖h_T‖/‖h_1‖, over those where neither is 0; NaN if there are none.
        active: mean share of ReLU units that are on, over steps; None for tanh.
        dead: mean share of units that are on at no step of any sequence; None for tanh.
        radius: mean spectral radius of W_hh.
        norm: mean largest singular value of W_hh.
        departure: mean departure from normality of W_hh, relative to its Frobenius norm.
        active_radius: mean spectral radius of D_t W_hh, over a few steps; None if none were asked for.
    """

    scheme: str
    hidden: int
    draws: int
    steps: int
    growth: float
    lowest: float
    highest: float
    far_growth: float
    vanished: float
    state_ratio: float
    active: float | None
    dead: float | None
    radius: float
    norm: float
    departure: float
    active_radius: float | None


def growth_table(
    x: Tensor,
    *,
    schemes: Iterable[str] | None = None,
    sizes: Iterable[int] = SIZES,
    draws: int = 30,
    cotangents: int = 1,
    fan: Fan = "hidden",
    radius_steps: int = 3,
    seed: int = 0,
) -> list[GrowthRow]:
    """Measure starts on given inputs.

    Args:
        x: inputs [T, B, I], the same for every draw, or [E, T, B, I] with E = ``draws``, each draw its own.
        schemes: names of ``nprnn.init.SCHEMES``; None means all.
        sizes: values of N.
        draws: independent starts of each; at one size and draw all schemes have the same seed.
        cotangents: Gaussian ones for each draw and sequence.
        fan: what N is in the input weight. With ReLU it changes nothing here: biases are 0, so a factor of the inputs
            is a factor of the states, and masks do not see it.
        radius_steps: at how many steps, evenly spaced, ``active_radius`` looks; 0 leaves it out.
        seed: of weights and cotangents.

    Returns:
        One row for each scheme and size.

    Raises:
        ConfigError: unknown scheme.
        InputError: inputs of another shape, or numbers out of range.

    Source: section 5 of our reading of the paper, whose numbers are those of N = 100, addition, T = 150, 30 draws.
    """
    if draws < 1 or radius_steps < 0:
        raise InputError(f"draws must be at least 1 and radius_steps at least 0, got {draws} and {radius_steps}")
    if x.dim() == 4 and len(x) != draws:
        raise InputError(f"x is [E, T, B, I] with E={len(x)}, but there are {draws} draws: E must be that")
    names = [find_scheme(name).name for name in (SCHEMES if schemes is None else schemes)]
    sizes = tuple(sizes)
    return [_row(name, n, x, draws, cotangents, fan, radius_steps, seed) for name in names for n in sizes]


def _row(
    name: str, hidden: int, x: Tensor, draws: int, cotangents: int, fan: Fan, radius_steps: int, seed: int
) -> GrowthRow:
    generator = derive(seed, "dynamics", "start", hidden)
    system = System.start(name, hidden, x.shape[-1], fan=fan, ensemble=draws, generator=generator)
    path = run(system, x)
    curve = gradient_curve(path, count=cotangents, generator=derive(seed, "dynamics", "cotangents", hidden))
    gone = curve.vanished()
    growth = curve.per_step()[~gone]
    ratio = path.log_norms.select(-2, -1) - path.log_norms.select(-2, 0)
    relu = system.nonlinearity == "relu"
    weight = system.weight_hh
    return GrowthRow(
        scheme=name,
        hidden=hidden,
        draws=draws,
        steps=path.steps,
        growth=_or_zero(growth, "mean"),
        lowest=_or_zero(growth, "min"),
        highest=_or_zero(growth, "max"),
        far_growth=_or_zero(curve.far_per_step()[~gone], "mean"),
        vanished=float(gone.double().mean()),
        state_ratio=float(ratio[ratio.isfinite()].mean().exp()),
        active=float(path.active_share().mean()) if relu else None,
        dead=float(path.dead_units().double().mean()) if relu else None,
        radius=float(spectral_radius(weight).mean()),
        norm=float(singular_values(weight)[..., 0].mean()),
        departure=float(departure_from_normality(weight, relative=True).mean()),
        active_radius=(
            float(active_radii(path, every=max(1, path.steps // radius_steps)).mean()) if radius_steps else None
        ),
    )


def _or_zero(factors: Tensor, kind: str) -> float:
    if not factors.numel():
        return 0.0
    return float(geometric_mean(factors) if kind == "mean" else factors.amin() if kind == "min" else factors.amax())
