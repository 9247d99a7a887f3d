"""All numbers of a network at a stage, under its inputs: ``nprnn.dynamics``, gathered sample by sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nprnn.dynamics import (
    Curve,
    Orbit,
    System,
    Trajectory,
    active_radii,
    departure_from_normality,
    eigenvalues,
    find_cycles,
    gradient_curve,
    input_curve,
    lyapunov_spectrum,
    run,
    singular_values,
)
from nprnn.reporting.dynamics.subjects import Stage, Subject
from nprnn.seeds import derive


@dataclass(frozen=True)
class Effort:
    """How hard to look.

    Attributes:
        exponents: K, of the Lyapunov spectrum.
        period: the longest cycles that are sought; 0 seeks no fixed points either.
        draws: of how many starts orbits are sought where every region can be looked at; of one where not.
        starts: words that a search follows side by side.
        rounds: how often each moves on.
        looks: at how many steps the active part's spectral radius is taken.
    """

    exponents: int = 10
    period: int = 2
    draws: int = 3
    starts: int = 32
    rounds: int = 15
    looks: int = 50


class Found(NamedTuple):
    """Cycles of a length that were looked for in one network.

    Attributes:
        draw: which.
        period: k; 1 are fixed points.
        exhaustive: whether every region was looked at.
        examined: how many words of regions were.
        orbits: what was found.
    """

    draw: int
    period: int
    exhaustive: bool
    examined: int
    orbits: tuple[Orbit, ...]


@dataclass(frozen=True, eq=False)
class Portrait:
    """A network's numbers. M: networks (draws; 1 for a run). S: samples: draws, or sequences; S' with cotangents.

    Attributes:
        eigenvalues: of W_hh [M, H], complex, by falling modulus.
        singular_values: [M, H], falling.
        departure: Henrici's, over the Frobenius norm [M].
        log_norms: log ‖h_t‖ [S, T], nats; -inf where a state is 0.
        gradient: log ‖g_{T-s}‖ less log ‖g_T‖ [S', T+1], s = 0..T.
        growth: of the gradient per step [S'].
        far_growth: by the slope over the (at most) 100 steps furthest from the loss [S'].
        input_step: s, the first step (1..T) after which some unit is on in every sample; 1 if there is none.
        input_change: log of ‖δh‖ / ‖δx_s‖ [S', T-s+1], 0..T-s steps after the state that saw the input of step s.
        radii: of D_t W_hh [S, T''].
        radii_at: the steps at which, 1..T [T''].
        exponents: Lyapunov exponents [K], nats a step, means over samples.
        exponent_errors: their standard errors [K]; NaN where there is one sample, or an exponent is -inf.
        each_exponent: [S, K].
        warmup: steps before exponents were counted.
        on: share of units that are on [S, T]; None for tanh.
        unit_on: share of steps and sequences at which a unit is on [M, H]; None for tanh.
        orbits: what was looked for and found under zero input; None where there are no regions.
    """

    eigenvalues: Tensor
    singular_values: Tensor
    departure: Tensor
    log_norms: Tensor
    gradient: Tensor
    growth: Tensor
    far_growth: Tensor
    input_step: int
    input_change: Tensor
    radii: Tensor
    radii_at: Tensor
    exponents: Tensor
    exponent_errors: Tensor
    each_exponent: Tensor
    warmup: int
    on: Tensor | None
    unit_on: Tensor | None
    orbits: tuple[Found, ...] | None

    @property
    def radius(self) -> Tensor:
        """The spectral radius of W_hh [M]."""
        return self.eigenvalues.abs().amax(-1)

    @property
    def norm(self) -> Tensor:
        """The largest singular value of W_hh [M]."""
        return self.singular_values[:, 0]

    @property
    def vanished(self) -> Tensor:
        """Which gradients became exactly 0 [S']."""
        return self.gradient[:, -1].isneginf()

    @property
    def lasting(self) -> Tensor:
        """How many steps each gradient was carried before it became exactly 0 [S']; T where it did not."""
        return self.gradient.isfinite().sum(-1) - 1

    @property
    def dead(self) -> Tensor | None:
        """The share of units that are on at no step of no sequence [M]; None for tanh."""
        return None if self.unit_on is None else (self.unit_on == 0).double().mean(-1)

    @property
    def steps(self) -> int:
        """T."""
        return self.log_norms.shape[-1]


def portray(subject: Subject, stage: Stage, effort: Effort) -> Portrait:
    """Work out the numbers of a stage.

    Args:
        subject: whose inputs and seed are taken.
        stage: the network.
        effort: how hard to look.

    Returns:
        The portrait; equal arguments give equal numbers.

    Raises:
        InputError: the states of a network that nothing bounds cannot be followed.
    """
    system, drive = stage.system, subject.drive
    path = run(system, drive.x, drive.h0)
    # The stream of cotangents is that of nprnn.dynamics.growth_table: a start's numbers are the table's.
    draw = derive(subject.seed, "dynamics", "cotangents", system.hidden)
    curve = gradient_curve(path, count=subject.cotangents, generator=draw)
    logs = _samples(curve)
    changed = _first_on(path)
    draw = derive(subject.seed, "dynamics", "input change", system.hidden)
    change = input_curve(path, step=changed, count=subject.cotangents, generator=draw)
    warmup = path.steps // 3
    spectrum = lyapunov_spectrum(
        system,
        drive.x,
        drive.h0,
        warmup=warmup,
        exponents=min(effort.exponents, system.hidden),
        generator=derive(subject.seed, "dynamics", "frame", system.hidden),
    )
    every = -(-path.steps // effort.looks)
    weight = system.weight_hh if system.weight_hh.dim() == 3 else system.weight_hh[None]
    each = spectrum.each.flatten(0, -2)
    finite = each.isfinite().all(0)
    error = each.std(0) / len(each) ** 0.5 if len(each) > 1 else torch.full_like(each[0], torch.nan)
    relu = system.nonlinearity == "relu"
    return Portrait(
        eigenvalues=eigenvalues(weight),
        singular_values=singular_values(weight),
        departure=departure_from_normality(weight, relative=True),
        log_norms=_rows(path.log_norms),
        gradient=logs - logs[:, :1],
        growth=curve.per_step().flatten(),
        far_growth=curve.far_per_step().flatten(),
        input_step=changed + 1,
        input_change=_samples(change),
        radii=_rows(active_radii(path, every=every)),
        radii_at=torch.arange(path.steps, 0, -every).flip(0),
        exponents=each.mean(0),
        exponent_errors=torch.where(finite, error, torch.nan),
        each_exponent=each,
        warmup=warmup,
        on=_rows(path.active_share()) if relu else None,
        unit_on=_unit_on(path) if relu else None,
        orbits=_orbits(system, effort, subject.seed) if relu and effort.period else None,
    )


def _rows(values: Tensor) -> Tensor:
    """[..., T, B] to [S, T]."""
    return values.movedim(-2, -1).flatten(0, -2)


def _samples(curve: Curve) -> Tensor:
    """[..., S+1, B, K] to [S', S+1]."""
    return curve.logs.movedim(-3, -1).flatten(0, -2)


def _first_on(path: Trajectory) -> int:
    """The first step from which on no sample is still at 0, where no change of an input would be passed on."""
    alive = _rows((path.slopes > 0).any(-1)).all(0)
    return int(alive.int().argmax())


def _unit_on(path: Trajectory) -> Tensor:
    share = path.active.double().mean((-3, -2))
    return share if share.dim() == 2 else share[None]


def _orbits(system: System, effort: Effort, seed: int) -> tuple[Found, ...]:
    networks = [system] if system.ensemble is None else [system.member(k) for k in range(system.ensemble)]
    found: list[Found] = []
    for draw, network in enumerate(networks[: effort.draws]):
        if found and not found[0].exhaustive:
            break
        for period in range(1, effort.period + 1):
            generator = derive(seed, "dynamics", "orbits", period, draw)
            looked = find_cycles(network, period, starts=effort.starts, rounds=effort.rounds, generator=generator)
            found.append(Found(draw, period, looked.exhaustive, looked.examined, looked.found))
    return tuple(found)
