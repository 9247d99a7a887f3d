"""The recurrence in plain torch operations: the definition that every kernel is tested against.

Axes: T time, B batch, I input, H hidden, E ensemble member.  Each tensor may carry a leading E or not; those that do
not are shared by all members.

    x [T,B,I]   h0 [B,H]   weight_ih [H,I]   weight_hh [H,H]   bias [H]   lengths [B]   y [T,B,H]   h_n [B,H]

Everything here is differentiable, in reverse and forward mode and to any order, because nothing but torch is used.
"""

from __future__ import annotations

import torch
from torch import Tensor


def activation(s: Tensor, nonlinearity: str, linear_units: int) -> Tensor:
    """f(s): relu or tanh, and the identity on the first ``linear_units`` units of the last axis."""
    if linear_units:
        return torch.cat([s[..., :linear_units], activation(s[..., linear_units:], nonlinearity, 0)], -1)
    return torch.tanh(s) if nonlinearity == "tanh" else torch.relu(s)


def through(dy: Tensor, y: Tensor, nonlinearity: str, linear_units: int) -> Tensor:
    """f'(s) dy, f'(s) as a function of y = f(s): 1[y > 0] for relu, 1 - y² for tanh, 1 for linear units."""
    if linear_units:
        rest = through(dy[..., linear_units:], y[..., linear_units:], nonlinearity, 0)
        return torch.cat([dy[..., :linear_units], rest], -1)
    # Not a product for relu: a unit that is off passes nothing on, NaN included, as in torch.
    return dy * (1 - y * y) if nonlinearity == "tanh" else torch.where(y > 0, dy, 0)


def forward(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    lengths: Tensor | None,
    nonlinearity: str,
    reverse: bool,
    linear_units: int,
) -> tuple[Tensor, Tensor]:
    """y_t = f(W_ih x_t + W_hh y_{t-1} + b); past a sequence's length y is 0 and the state stands still."""
    alive = live(lengths, x.shape[-3], x.device)
    z = project(without_padding(x, alive), weight_ih)
    if bias is not None:
        z = z + bias[..., None, None, :]
    step_weight, h, ys = weight_hh.mT, h0, []
    for t in in_order(x.shape[-3], reverse):
        new = activation(z.select(-3, t) + h @ step_weight, nonlinearity, linear_units)
        if alive is None:
            h = new
            ys.append(new)
        else:
            h = torch.where(alive.select(-3, t), new, h)
            ys.append(torch.where(alive.select(-3, t), new, 0))
    return torch.stack(ys[::-1] if reverse else ys, -3), h


def backward(
    dy: Tensor | None,
    dh_n: Tensor | None,
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    lengths: Tensor | None,
    y: Tensor,
    nonlinearity: str,
    reverse: bool,
    linear_units: int,
    need_dx: bool = True,
    need_dh0: bool = True,
) -> tuple[Tensor | None, Tensor | None, Tensor, Tensor, Tensor | None]:
    """Gradients of x, h0, weight_ih, weight_hh and bias; each has the shape of what it belongs to (shared: summed over
    E), those of x and h0 only when asked for.

    With a_t = dL/dy_t + W_hh^T dz_{t+1} and dz_t = f'(s_t) a_t: dW_hh = Σ dz_t y_{t-1}^T, dW_ih = Σ dz_t x_t^T, db = Σ
    dz_t.
    """
    alive = live(lengths, y.shape[-3], y.device)
    dh, dzs = torch.zeros_like(y.select(-3, 0)) if dh_n is None else dh_n, []
    for t in in_order(y.shape[-3], not reverse):
        da = dh if dy is None else dh + dy.select(-3, t)
        dz = through(da, y.select(-3, t), nonlinearity, linear_units)
        if alive is None:
            dh = dz @ weight_hh
        else:
            dz = torch.where(alive.select(-3, t), dz, 0)
            dh = torch.where(alive.select(-3, t), dz @ weight_hh, dh)
        dzs.append(dz)
    dz = torch.stack(dzs if reverse else dzs[::-1], -3)
    return (
        project(dz, weight_ih.mT).sum_to_size(x.shape) if need_dx else None,
        dh.sum_to_size(h0.shape) if need_dh0 else None,
        outer(dz, without_padding(x, alive)).sum_to_size(weight_ih.shape),
        outer(dz, previous(y, h0, lengths, reverse)).sum_to_size(weight_hh.shape),
        None if bias is None else dz.sum((-3, -2)).sum_to_size(bias.shape),
    )


def in_order(steps: int, reverse: bool) -> range:
    """The time steps in the order the recurrence takes them."""
    return range(steps - 1, -1, -1) if reverse else range(steps)


def live(lengths: Tensor | None, steps: int, device: torch.device) -> Tensor | None:
    """[..., T, B, 1], true where a sequence still runs; None if all run to the end."""
    if lengths is None:
        return None
    return (torch.arange(steps, device=device)[:, None] < lengths.to(device)[..., None, :])[..., None]


def without_padding(v: Tensor, alive: Tensor | None) -> Tensor:
    """v with 0 beyond the end of each sequence: what stands there, NaN even, must not reach a sum."""
    return v if alive is None else torch.where(alive, v, 0)


def previous(y: Tensor, h0: Tensor, lengths: Tensor | None, reverse: bool) -> Tensor:
    """The state each step came from, y_{t-1} (y_{t+1} in reverse), [..., T, B, H]."""
    first = h0.expand(*y.shape[:-3], *y.shape[-2:]).unsqueeze(-3)
    if not reverse:
        return torch.cat([first, y.narrow(-3, 0, y.shape[-3] - 1)], -3)
    shifted = torch.cat([y.narrow(-3, 1, y.shape[-3] - 1), first], -3)
    if lengths is None:
        return shifted
    # A shorter sequence starts at its own last step, where y_{t+1} is padding.
    follows = live(lengths - 1, y.shape[-3], y.device)
    return shifted if follows is None else torch.where(follows, shifted, first)


def project(v: Tensor, weight: Tensor) -> Tensor:
    """weight v_t for every step: [..., T, B, K] and [..., N, K] to [..., T, B, N]."""
    return v @ (weight.mT if weight.dim() == 2 else weight.mT.unsqueeze(-3))


def outer(a: Tensor, b: Tensor) -> Tensor:
    """Σ_t,b a_tb b_tb^T: [..., T, B, N] and [..., T, B, K] to [..., N, K]."""
    return a.flatten(-3, -2).mT @ b.flatten(-3, -2)


def members_of(
    x: Tensor, h0: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor | None, lengths: Tensor | None
) -> tuple[int, ...]:
    """(E,) if any of the tensors carries the ensemble axis, else ()."""
    own = ((x, 3), (h0, 2), (weight_ih, 2), (weight_hh, 2), (bias, 1), (lengths, 1))
    return next(((t.shape[0],) for t, dims in own if t is not None and t.dim() > dims), ())
