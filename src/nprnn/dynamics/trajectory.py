"""States over time with a power of two kept apart, so that no length and no weights make them over- or underflow."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from nprnn.dynamics.system import System
from nprnn.errors import InputError


@dataclass(frozen=True, eq=False)
class Trajectory:
    r"""The states of a system along sequences, :math:`h_t = u_t 2^{c_t}`.

    A ReLU (and the identity) commutes with positive factors, so u and c can be carried exactly; a power of two changes
    no digit. For tanh c is 0.

    Attributes:
        system: what was run.
        scaled: u [T, B, H]; the largest entry of each state lies in [1/2, 1), or all are 0.
        exponents: c [T, B], whole numbers; -inf where a state is 0.
    """

    system: System
    scaled: Tensor
    exponents: Tensor

    @property
    def steps(self) -> int:
        """T."""
        return self.scaled.shape[-3]

    @property
    def states(self) -> Tensor:
        """h [T, B, H]; infinite or 0 where float64 cannot hold them."""
        return self.scaled * torch.exp2(self.exponents)[..., None]

    @property
    def log_norms(self) -> Tensor:
        """log ‖h_t‖ [T, B] in nats; -inf where a state is exactly 0."""
        norms: Tensor = torch.linalg.vector_norm(self.scaled, dim=-1)
        return norms.log() + self.exponents.nan_to_num(neginf=0) * math.log(2)

    @property
    def slopes(self) -> Tensor:
        """f'(z_t) [T, B, H], the diagonal of D_t: 1 where a ReLU is on (linear units always), 0 where it is off."""
        return self.system.slopes(self.scaled)

    @property
    def active(self) -> Tensor:
        """Which units are on [T, B, H]; linear units always are.

        Raises:
            InputError: tanh, which never is off.
        """
        if self.system.nonlinearity != "relu":
            raise InputError("a tanh unit is never off: activity is asked of ReLU networks")
        return self.slopes > 0

    def active_share(self) -> Tensor:
        """The share of units that are on [T, B], in [0, 1].

        Raises:
            InputError: tanh.
        """
        return self.active.double().mean(-1)

    def dead_units(self) -> Tensor:
        """Units that are on at no step of no sequence [H].

        Raises:
            InputError: tanh.
        """
        return ~self.active.any(-2).any(-2)


@dataclass(frozen=True, eq=False)
class Scaled:
    """A state u 2^c: u [B, H], c [B, 1]."""

    units: Tensor
    exponents: Tensor


def run(system: System, x: Tensor | None = None, h0: Tensor | None = None, *, steps: int | None = None) -> Trajectory:
    """All states of a sequence.

    Args:
        system: the network, or E of them.
        x: inputs [T, B, I], or that with a leading E; None means zero input.
        h0: state before the first step [B, H], or that with a leading E; None means 0.
        steps: T where ``x`` is None.

    Returns:
        The trajectory.

    Raises:
        InputError: shapes that do not fit; ``steps`` left out without ``x``, or given with it; the states of a tanh
            network with linear units overflow.

    Source: section 2, first equation.
    """
    parts = list(walk(system, x, h0, steps=steps))
    scaled = torch.stack([part.units for part in parts], -3)
    exponents = torch.stack([part.exponents.squeeze(-1) for part in parts], -2)
    if not bool(scaled.isfinite().all()):
        raise InputError("the states overflow: tanh with linear units cannot be rescaled; run fewer steps")
    return Trajectory(system, scaled, exponents)


def walk(
    system: System, x: Tensor | None = None, h0: Tensor | None = None, *, steps: int | None = None
) -> Iterator[Scaled]:
    """The states of ``run`` one by one, for sequences too long to be kept.

    Args, Raises: as ``run``.

    Yields:
        The state after each step, [B, H] (with a leading E if anything has one).
    """
    if (x is None) == (steps is None):
        raise InputError("give either inputs x or, for zero input, the number of steps")
    drive = system.drive(x)
    total = drive.shape[-3] if steps is None else steps
    if total < 1:
        raise InputError(f"steps must be at least 1, got {total}")
    h = drive.new_zeros(1, system.hidden) if h0 is None else system.states_like(h0)
    # One shape from the first step on.
    rows = {t.shape[-2] for t in (drive, h)}
    if len(rows - {1}) > 1:
        raise InputError(f"inputs are B={drive.shape[-2]} sequences, but there are B={h.shape[-2]} states before them")
    batch = max(rows), system.hidden
    members = {v for v in (system.ensemble, *(t.shape[0] for t, d in ((drive, 4), (h, 3)) if t.dim() == d)) if v}
    if len(members) > 1:
        raise InputError(f"inputs, states and weights disagree on the number of ensemble members E: {sorted(members)}")
    state = _normalised(system, h.expand(*members, *batch), torch.zeros(*members, batch[0], 1, dtype=torch.float64))
    for t in range(total):
        state = _advance(system, state, drive.select(-3, min(t, drive.shape[-3] - 1)))
        yield state


def _advance(system: System, state: Scaled, drive: Tensor) -> Scaled:
    if system.nonlinearity == "tanh":
        z = state.units @ system.weight_hh.mT + drive
        return Scaled(system.activation(z), state.exponents)
    # Both summands are brought to the larger one's power of two; what underflows then is below rounding.
    own = _exponent(drive)
    common = torch.maximum(state.exponents, own)
    common = torch.where(common.isneginf(), 0.0, common)
    before = state.units * torch.exp2(state.exponents - common)
    outside = drive * torch.where(own.isneginf(), 0.0, torch.exp2(-common))
    return _normalised(system, system.activation(before @ system.weight_hh.mT + outside), common)


def _normalised(system: System, y: Tensor, exponents: Tensor) -> Scaled:
    if system.nonlinearity == "tanh":
        return Scaled(y, exponents)
    own = _exponent(y)
    return Scaled(y * torch.where(own.isneginf(), 0.0, torch.exp2(-own)), exponents + own)


def _exponent(v: Tensor) -> Tensor:
    """The power of two just above the largest entry of each row, [..., 1]; -inf for rows of 0."""
    largest = v.abs().amax(-1, keepdim=True)
    # Numbers next to underflow count as 1e-300: their power's inverse would overflow.
    return torch.where(largest == 0, -math.inf, torch.frexp(largest.clamp(min=1e-300)).exponent.double())
