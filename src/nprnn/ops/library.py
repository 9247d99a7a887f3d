"""The operators registered with torch, so that compilers, exporters and tracers see one node for a whole recurrence.

``nprnn::rnn_forward`` and ``nprnn::rnn_backward`` are plain: shapes and kernels, no autograd, and next to no call
overhead. ``nprnn::rnn`` is their differentiable pair for ``torch.compile`` and ``torch.export``.  In eager mode
derivatives come from ``nprnn.ops.function`` instead: a registered autograd formula makes ``torch.func.grad`` raise and
``torch.func.jvp`` return zeros without a word.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nprnn.ops import reference
from nprnn.ops.backends import kernel

_INPUTS = "Tensor x, Tensor h0, Tensor weight_ih, Tensor weight_hh, Tensor? bias, Tensor? lengths"
_OPTIONS = "str nonlinearity, bool reverse, int linear_units"

torch.library.define("nprnn::rnn_forward", f"({_INPUTS}, {_OPTIONS}) -> (Tensor y, Tensor h_n)")
torch.library.define(
    "nprnn::rnn_backward",
    f"(Tensor? dy, Tensor? dh_n, {_INPUTS}, Tensor y, {_OPTIONS}, bool need_dx, bool need_dh0=True)"
    " -> (Tensor dx, Tensor dh0, Tensor dweight_ih, Tensor dweight_hh, Tensor dbias)",
)
torch.library.define("nprnn::rnn", f"({_INPUTS}, {_OPTIONS}, bool recompute) -> (Tensor y, Tensor h_n)")

Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


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
    """``nprnn::rnn_forward``, to be called where no tracer looks on: arguments and results as in ``nprnn.ops.rnn``."""
    arguments = (x, h0, weight_ih, weight_hh, bias, lengths, nonlinearity, reverse, linear_units)
    return kernel(x, h0, weight_ih, weight_hh, bias).forward(*arguments)


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
    need_dx: bool,
    need_dh0: bool = True,
) -> Gradients:
    """``nprnn::rnn_backward``, likewise; an empty tensor stands for a gradient that was not asked for."""
    inputs = (x, h0, weight_ih, weight_hh, bias, lengths)
    arguments = (dy, dh_n, *inputs, y, nonlinearity, reverse, linear_units, need_dx, need_dh0)
    dx, dh0, dweight_ih, dweight_hh, dbias = kernel(x, h0, weight_ih, weight_hh, bias).backward(*arguments)
    # An operator returns tensors only: an empty one stands for a gradient nobody asked for.
    return (
        x.new_empty(0) if dx is None else dx,
        x.new_empty(0) if dh0 is None else dh0,
        dweight_ih,
        dweight_hh,
        x.new_empty(0) if dbias is None else dbias,
    )


# As calls: what the decorator returns is no function.
torch.library.impl("nprnn::rnn_forward", "CompositeExplicitAutograd")(forward)
torch.library.impl("nprnn::rnn_backward", "CompositeExplicitAutograd")(backward)


@torch.library.register_fake("nprnn::rnn_forward")
def _forward_fake(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    lengths: Tensor | None,
    *options: Any,
) -> tuple[Tensor, Tensor]:
    members = reference.members_of(x, h0, weight_ih, weight_hh, bias, lengths)
    steps, batch, hidden = x.shape[-3], x.shape[-2], weight_hh.shape[-1]
    return x.new_empty((*members, steps, batch, hidden)), x.new_empty((*members, batch, hidden))


@torch.library.register_fake("nprnn::rnn_backward")
def _backward_fake(
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
    need_dx: bool,
    need_dh0: bool = True,
) -> Gradients:
    return (
        x.new_empty(x.shape if need_dx else (0,)),
        x.new_empty(h0.shape if need_dh0 else (0,)),
        x.new_empty(weight_ih.shape),
        x.new_empty(weight_hh.shape),
        x.new_empty((0,) if bias is None else bias.shape),
    )


@torch.library.impl("nprnn::rnn", "CompositeExplicitAutograd")
def _rnn(*arguments: Any) -> tuple[Tensor, Tensor]:
    y, h_n = torch.ops.nprnn.rnn_forward(*arguments[:-1])
    return y, h_n


@torch.library.register_fake("nprnn::rnn")
def _rnn_fake(*arguments: Any) -> tuple[Tensor, Tensor]:
    return _forward_fake(*arguments[:-1])


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.nonlinearity, ctx.reverse, ctx.linear_units, recompute = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, None if recompute else output[0])


def _rnn_backward(ctx: Any, dy: Tensor | None, dh_n: Tensor | None) -> tuple[Tensor | None, ...]:
    *inputs, y = ctx.saved_tensors
    options = (ctx.nonlinearity, ctx.reverse, ctx.linear_units)
    if y is None:
        y, _ = torch.ops.nprnn.rnn_forward(*inputs, *options)
    needs = ctx.needs_input_grad[:2]
    dx, dh0, dweight_ih, dweight_hh, dbias = torch.ops.nprnn.rnn_backward(dy, dh_n, *inputs, y, *options, *needs)
    first = (dx if needs[0] else None, dh0 if needs[1] else None)
    gradients = (*first, dweight_ih, dweight_hh, None if inputs[4] is None else dbias)
    return *gradients, None, None, None, None, None


torch.library.register_autograd("nprnn::rnn", _rnn_backward, setup_context=_setup_context)
