"""Lyapunov exponents: mean rates at which a small ball of states is stretched along its axes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nprnn.dynamics.system import System
from nprnn.dynamics.trajectory import walk
from nprnn.errors import InputError


@dataclass(frozen=True, eq=False)
class Lyapunov:
    """A Lyapunov spectrum, in nats per step.

    Attributes:
        exponents: [K], means over the starts, in the order of the frame (falling, once the warm-up was long
            enough); -inf where a direction is lost altogether.
        standard_error: [K], of those means over the B starts; NaN for a single start or an infinite exponent.
        each: [B, K], start by start.
        steps: how many steps were averaged over.
    """

    exponents: Tensor
    standard_error: Tensor
    each: Tensor
    steps: int


def lyapunov_spectrum(
    system: System,
    x: Tensor | None = None,
    h0: Tensor | None = None,
    *,
    steps: int | None = None,
    warmup: int = 0,
    exponents: int | None = None,
    generator: torch.Generator | None = None,
) -> Lyapunov:
    r"""The K largest Lyapunov exponents by repeated QR.

    :math:`D_t W_{hh} Q_{t-1} = Q_t R_t`, and :math:`\lambda_k = \frac1T \sum_t \log |(R_t)_{kk}|`, where t runs over
    the T steps after the warm-up and :math:`Q_0` is a random orthonormal frame.

    A ReLU layer maps many directions to 0. A diagonal entry that is below the rounding of its step counts as 0, so
    exponents beyond the rank of the product are -inf and not a number that only tells of float64.

    Args:
        system: the network, or E of them.
        x: inputs [T', B, I], or that with a leading E, warm-up included; None means zero input.
        h0: states before the first step [B, H], or that with a leading E; None means 0.
        steps: T where ``x`` is None; with ``x`` it is what the warm-up leaves.
        warmup: steps taken before anything is counted, in which the state comes to the attractor and the frame to its
            directions.
        exponents: K; None means all H.
        generator: source of the first frame.

    Returns:
        The spectrum; with a leading E if anything has one.

    Raises:
        InputError: shapes that do not fit, no step left after the warm-up, K out of range, or ``steps`` given with
            ``x``.

    Source: Benettin, Galgani, Giorgilli & Strelcyn 1980.
    """
    k = system.hidden if exponents is None else exponents
    if not 1 <= k <= system.hidden:
        raise InputError(f"exponents must be between 1 and H={system.hidden}, got {k}")
    if warmup < 0 or (steps is not None and steps < 1) or (x is not None and x.dim() > 2 and x.shape[-3] <= warmup):
        given = f"x has {x.shape[-3]} steps" if x is not None else f"steps={steps}"
        raise InputError(f"after a warm-up of 0 or more steps at least one must be left; warmup={warmup}, {given}")
    frame: Tensor | None = None
    total: Tensor | None = None
    taken = 0
    for t, state in enumerate(walk(system, x, h0, steps=None if steps is None else warmup + steps)):
        if frame is None:
            shape = (*state.units.shape, k)
            frame = torch.linalg.qr(torch.randn(shape, dtype=torch.float64, generator=generator)).Q
        slopes = system.slopes(state.units)
        frame, stretch = _orthonormal(slopes[..., None] * (system.weight_hh.unsqueeze(-3) @ frame))
        if t >= warmup:
            total = stretch if total is None else total + stretch
            taken += 1
    assert total is not None
    each = total / taken
    mean, starts = each.mean(-2), each.shape[-2]
    spread = torch.full_like(mean, torch.nan) if starts == 1 else each.std(-2)
    return Lyapunov(mean, spread / starts**0.5, each, taken)


def _orthonormal(v: Tensor) -> tuple[Tensor, Tensor]:
    q, r = torch.linalg.qr(v)
    stretch = torch.diagonal(r, dim1=-2, dim2=-1).abs()
    rounding = v.shape[-2] * torch.finfo(v.dtype).eps * torch.linalg.vector_norm(v, dim=-2).amax(-1, keepdim=True)
    return q, torch.where(stretch <= rounding, 0.0, stretch).log()
