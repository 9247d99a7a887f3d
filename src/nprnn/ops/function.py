"""Derivatives of the recurrence in eager mode: reverse, forward, batched and of any order, all under ``torch.func``.

Reverse mode and batching are the two ``Function``s below.  Forward mode runs the reference, whose plain torch
operations torch differentiates itself: a ``jvp`` rule of a ``Function`` would do for one level, but nested (jacfwd of
jacfwd) torch 2.13 drops the outer tangents of any such rule and returns wrong numbers without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad

from nprnn.ops import reference

# Dimensions of one member's x, h0, weight_ih, weight_hh, bias, lengths.
_DIMS = (3, 2, 2, 2, 1, 1)


# Without this private question every call takes the slower door, which serves all transforms.
_transforms_active = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)


def recurrence(*arguments: Any) -> tuple[Tensor, Tensor]:
    """The differentiable recurrence; arguments and outputs as for ``Recurrence``."""
    if forward_mode():
        return reference.forward(*arguments[:-1])
    if _transforms_active():
        y, h_n = Recurrence.apply(*arguments)
    elif torch.is_grad_enabled() and any(v is not None and v.requires_grad for v in arguments[:5]):
        y, h_n = _apply(*arguments)
    else:
        y, h_n = torch.ops.nprnn.rnn_forward.default(*arguments[:-1])
    return y, h_n


def forward_mode() -> bool:
    """Whether a forward-mode level is open (``torch.func.jvp``, ``jacfwd``, ``forward_ad.dual_level``)."""
    # Should this private counter go away, forward mode raises for want of a jvp rule: never a silent zero.
    return getattr(forward_ad, "_current_level", -1) >= 0


class Recurrence(Function):
    """(x, h0, weight_ih, weight_hh, bias, lengths, nonlinearity, reverse, linear_units, recompute) -> (y, h_n)."""

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return torch.ops.nprnn.rnn_forward.default(*arguments[:-1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        *tensors, ctx.nonlinearity, ctx.reverse, ctx.linear_units, recompute = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, None if recompute else output[0])

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> Any:
        dy, dh_n = cotangents
        if dy is None and dh_n is None:
            return (None,) * 10
        *inputs, y = ctx.saved_tensors
        options = (ctx.nonlinearity, ctx.reverse, ctx.linear_units)
        if y is None:
            y, _ = recurrence(*inputs, *options, False)
        need_dx, need_dh0 = ctx.needs_input_grad[:2]
        arguments = (dy, dh_n, *inputs, y, *options, need_dx)
        gradients: Any
        if forward_mode():
            gradients = reference.backward(*arguments)
        elif torch.is_grad_enabled() or _transforms_active():
            gradients = Gradient.apply(*arguments)
        else:
            gradients = torch.ops.nprnn.rnn_backward.default(*arguments, need_dh0)
        dx, dh0, dweight_ih, dweight_hh, dbias = gradients
        first = (dx if need_dx else None, dh0 if need_dh0 else None)
        gradients = (*first, dweight_ih, dweight_hh, None if inputs[4] is None else dbias)
        return *gradients, None, None, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *arguments: Any) -> Any:
        tensors, members = _fold(info.batch_size, in_dims, arguments, _DIMS, share=range(6))
        outputs = Recurrence.apply(*tensors, *arguments[6:])
        return tuple(_unfold(v, info.batch_size, members) for v in outputs), (0, 0)


# `Function.apply` without its Python part, which asks for the signature of `forward` at every call (25 µs).
_apply = super(Function, Recurrence).apply


class Gradient(Function):
    """Gradients of a ``Recurrence``, differentiable in their turn through the reference.

    (dy, dh_n, x, h0, weight_ih, weight_hh, bias, lengths, y, nonlinearity, reverse, linear_units, need_dx)
    -> (dx, dh0, dweight_ih, dweight_hh, dbias); an empty tensor stands for a gradient that was not asked for.
    """

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return torch.ops.nprnn.rnn_backward.default(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        *tensors, nonlinearity, reverse, linear_units, need_dx = inputs
        ctx.options = (nonlinearity, reverse, linear_units, need_dx)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> Any:
        saved = ctx.saved_tensors
        places = [k for k, v in enumerate(saved) if v is not None and k != 7]

        def gradient(*values: Tensor) -> tuple[Tensor, ...]:
            filled = list(saved)
            for place, value in zip(places, values, strict=True):
                filled[place] = value
            outputs = reference.backward(*filled, *ctx.options)
            return tuple(values[0].new_zeros(0) if v is None else v for v in outputs)

        pull: Any
        outputs, pull = torch.func.vjp(gradient, *(saved[k] for k in places))  # type: ignore[misc]
        pulled = pull(tuple(torch.zeros_like(v) if d is None else d for v, d in zip(outputs, cotangents, strict=True)))
        result: list[Tensor | None] = [None] * 13
        for place, value in zip(places, pulled, strict=True):
            result[place] = value
        return tuple(result)

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *arguments: Any) -> Any:
        # Every row wants gradients of its own, so nothing differentiable may stay shared between rows.
        tensors, members = _fold(info.batch_size, in_dims, arguments, (3, 2, *_DIMS, 3), share=(7,))
        outputs = Gradient.apply(*tensors, *arguments[9:])
        result = []
        for k, gradient in enumerate(outputs, start=2):
            if gradient.numel() == 0 and gradient.dim() == 1:
                result.append(gradient.new_empty(info.batch_size, 0))
                continue
            gradient = _unfold(gradient, info.batch_size, members)
            shared = members is not None and arguments[k].dim() - (in_dims[k] is not None) == _DIMS[k - 2]
            result.append(gradient.sum(1) if shared else gradient)
        return tuple(result), (0,) * 5


def _fold(
    rows: int, in_dims: Sequence[int | None], arguments: Sequence[Any], dims: Sequence[int], share: Sequence[int]
) -> tuple[list[Tensor | None], int | None]:
    """Turn a vmap axis of V rows into the ensemble axis: [V, ...], or [V * E, ...] where members exist already.

    Tensors with neither axis are left alone at the places in ``share`` and spread (without a copy) elsewhere.
    """
    given = list(zip(arguments, in_dims, dims, strict=False))
    own = [None if v is None else v if d is None else v.movedim(d, 0)[0] for v, d, _ in given]
    members = next((v.shape[0] for v, n in zip(own, dims, strict=True) if v is not None and v.dim() > n), None)
    folded: list[Tensor | None] = []
    for place, (v, row_dim, own_dims) in enumerate(given):
        if v is None or (row_dim is None and v.dim() == own_dims and place in share):
            folded.append(v)
            continue
        v = v.expand(rows, *v.shape) if row_dim is None else v.movedim(row_dim, 0)
        if members is not None:
            v = v if v.dim() == own_dims + 2 else v.unsqueeze(1)
            v = v.expand(rows, members, *v.shape[2:]).flatten(0, 1)
        folded.append(v)
    return folded, members


def _unfold(v: Tensor, rows: int, members: int | None) -> Tensor:
    return v if members is None else v.unflatten(0, (rows, members))
