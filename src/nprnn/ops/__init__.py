"""The one operator of this package: a whole recurrence over time, with derivatives.

``rnn`` is the front door. It checks its arguments, applies autocast, and takes one of two ways: in eager mode
``nprnn.ops.function`` (every transform of ``torch.func`` works), under ``torch.compile`` and ``torch.export`` the
registered operator ``torch.ops.nprnn.rnn`` (one node in the graph, whatever T is).
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Literal

import torch
from torch import Tensor

from nprnn.errors import InputError
from nprnn.ops import library as library
from nprnn.ops.backends import backend_status as backend_status
from nprnn.ops.backends import kernel_in_use as kernel_in_use
from nprnn.ops.backends import use_kernel as use_kernel
from nprnn.ops.function import forward_mode, recurrence

Nonlinearity = Literal["relu", "tanh"]
Save = Literal["all", "sqrt"]

_AXES = {
    "x": (3, "[T, B, I]"),
    "h0": (2, "[B, H]"),
    "weight_ih": (2, "[H, I]"),
    "weight_hh": (2, "[H, H]"),
    "bias": (1, "[H]"),
    "lengths": (1, "[B]"),
}


def rnn(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None = None,
    lengths: Tensor | None = None,
    *,
    nonlinearity: Nonlinearity,
    reverse: bool = False,
    linear_units: int = 0,
    save: Save = "all",
) -> tuple[Tensor, Tensor]:
    r"""Run a recurrence over all time steps: :math:`y_t = f(W_{ih} x_t + W_{hh} y_{t-1} + b)`, :math:`y_0` being
    ``h0``.

    Every tensor may carry a leading ensemble axis E, independently of the others; one that does not is shared by all
    members, and its gradient is the sum over them.

    Args:
        x: inputs [T, B, I].
        h0: state before the first step [B, H].
        weight_ih: input weights [H, I].
        weight_hh: recurrent weights [H, H].
        bias: [H], or None for no bias.
        lengths: integers [B], the number of steps of each sequence (1..T); beyond them ``y`` is 0 and the state stands
            still. None means all T.
        nonlinearity: f, ``"relu"`` or ``"tanh"``.
        reverse: run from the last step (of each sequence) to the first.
        linear_units: f is the identity on the first so many units (almost-linear RNNs).
        save: ``"all"`` keeps every state for the backward pass; ``"sqrt"`` keeps about √T and computes the others
            again.

    Returns:
        ``y`` [T, B, H] and the last state ``h_n`` [B, H], both with a leading E if any argument has one.

    Raises:
        InputError: shapes, dtypes, devices or options that do not fit together.

    Source: section 2, first equation; Eq. 5 with ``relu``.
    """
    shapes = (x.shape, h0.shape, weight_ih.shape, weight_hh.shape, bias is None or bias.shape)
    seen = (*shapes, lengths is None or lengths.shape, nonlinearity, linear_units, save)
    # While compiling a size may be a symbol, which cannot be remembered.
    compiling = torch.compiler.is_compiling()
    if compiling or seen not in _CHECKED:
        _check(x, h0, weight_ih, weight_hh, bias, lengths, nonlinearity, linear_units, save)
        if not compiling:
            _remember(seen)
    kind = x.device.type
    if autocast_enabled(kind):
        x, h0, weight_ih, weight_hh = (_cast(v, kind) for v in (x, h0, weight_ih, weight_hh))
        bias = None if bias is None else _cast(bias, kind)
    _check_alike(x, h0, weight_ih, weight_hh, bias, lengths)
    # Signed: lengths are subtracted from each other.
    inputs = (x, h0, weight_ih, weight_hh, bias, None if lengths is None else lengths.long())
    options = (nonlinearity, reverse, linear_units)
    return _rnn_sqrt(*inputs, *options) if save == "sqrt" else _call(*inputs, *options, False)


def _call(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    lengths: Tensor | None,
    nonlinearity: str,
    reverse: bool,
    linear_units: int,
    recompute: bool,
) -> tuple[Tensor, Tensor]:
    # Forward mode goes to the reference either way: the registered operator would give zeros.
    run = torch.ops.nprnn.rnn.default if torch.compiler.is_compiling() and not forward_mode() else recurrence
    y, h_n = run(x, h0, weight_ih, weight_hh, bias, lengths, nonlinearity, reverse, linear_units, recompute)
    return y, h_n


def _rnn_sqrt(
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
    """About √T chunks of about √T steps; each keeps only the state it starts from."""
    steps = x.shape[-3]
    size = math.isqrt(steps - 1) + 1
    starts = range(0, steps, size)
    h, ys = h0, {}
    for start in reversed(starts) if reverse else starts:
        length = min(size, steps - start)
        chunk = x.narrow(-3, start, length)
        left = None if lengths is None else (lengths - start).clamp(0, length)
        ys[start], h = _call(chunk, h, weight_ih, weight_hh, bias, left, nonlinearity, reverse, linear_units, True)
    return torch.cat([ys[start] for start in starts], -3), h


# Shapes and options found good: checking them again would cost more than a short sequence.
_CHECKED: set[Hashable] = set()


def _remember(seen: Hashable) -> None:
    if len(_CHECKED) >= 1024:
        _CHECKED.clear()
    _CHECKED.add(seen)


def autocast_enabled(kind: str) -> bool:
    """Whether autocast is on for a kind of device; never for one that has none, such as meta."""
    try:
        return torch.is_autocast_enabled(kind)
    except RuntimeError:
        return False


def _cast(v: Tensor, kind: str) -> Tensor:
    """What autocast does to the arguments of a matrix product (float64 it leaves alone)."""
    return v if v.dtype == torch.float64 else v.to(torch.get_autocast_dtype(kind))


def _check(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    lengths: Tensor | None,
    nonlinearity: str,
    linear_units: int,
    save: str,
) -> None:
    tensors = {"x": x, "h0": h0, "weight_ih": weight_ih, "weight_hh": weight_hh, "bias": bias, "lengths": lengths}
    shapes, members = {}, {}
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        dims, axes = _AXES[name]
        if tensor.dim() not in (dims, dims + 1):
            raise InputError(f"{name} must be {axes}, or that with a leading E; got shape {tuple(tensor.shape)}")
        shapes[name] = tuple(tensor.shape[-dims:])
        if tensor.dim() > dims:
            members[name] = tensor.shape[0]
    if len(set(members.values())) > 1:
        raise InputError(f"tensors disagree on the number of ensemble members E: {members}")
    (steps, batch, features), hidden = shapes["x"], shapes["weight_hh"][0]
    wanted = {
        "h0": (batch, hidden),
        "weight_ih": (hidden, features),
        "weight_hh": (hidden, hidden),
        "bias": (hidden,),
        "lengths": (batch,),
    }
    for name, shape in wanted.items():
        if name in shapes and shapes[name] != shape:
            raise InputError(
                f"{name} must be {_AXES[name][1]} = {shape} to go with x of T={steps}, B={batch}, I={features} and "
                f"weight_hh of H={hidden}; got {shapes[name]}"
            )
    if steps < 1:
        raise InputError(f"x needs at least one time step; got shape {tuple(x.shape)}")
    if nonlinearity not in ("relu", "tanh"):
        raise InputError(f"nonlinearity must be 'relu' or 'tanh', got {nonlinearity!r}")
    if not 0 <= linear_units <= hidden:
        raise InputError(f"linear_units must be between 0 and H={hidden}, got {linear_units}")
    if save not in ("all", "sqrt"):
        raise InputError(f"save must be 'all' or 'sqrt', got {save!r}")


def _check_alike(
    x: Tensor, h0: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor | None, lengths: Tensor | None
) -> None:
    for name, tensor in (("h0", h0), ("weight_ih", weight_ih), ("weight_hh", weight_hh), ("bias", bias)):
        if tensor is not None and (tensor.dtype != x.dtype or tensor.device != x.device):
            raise InputError(
                f"{name} is {tensor.dtype} on {tensor.device}, but x is {x.dtype} on {x.device}; "
                "convert one of them with .to()"
            )
    if not x.is_floating_point():
        raise InputError(f"x must be floating point, got {x.dtype}")
    if lengths is not None and (lengths.is_floating_point() or lengths.dtype == torch.bool):
        raise InputError(f"lengths must be integers, got {lengths.dtype}")
