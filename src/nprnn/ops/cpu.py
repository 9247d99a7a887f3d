"""The compiled CPU kernel through one checked door: tensors in, addresses and strides to the native module.

Forward and backward have the signatures of ``nprnn.ops.reference``. ``obstacle`` says what the kernel does not cover.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nprnn.ops.reference import members_of

_native: Any = None
MISSING = ""
try:
    _native = import_module("nprnn._native")
except ImportError as error:
    # It goes into records, which should not tell where a machine has its files.
    MISSING = str(error) if error.path is None else str(error).replace(error.path, Path(error.path).name)

_SETS = () if MISSING else tuple(_native.instruction_sets())

Gradients = tuple[Tensor | None, Tensor | None, Tensor, Tensor, Tensor | None]

# Half precision is stored so and computed in float32.
_COMPUTED_IN = {
    torch.float32: torch.float32,
    torch.float64: torch.float64,
    torch.bfloat16: torch.float32,
    torch.float16: torch.float32,
}


def instruction_sets() -> tuple[str, ...]:
    """Instruction sets of this processor that the kernel is built for, the most capable last; empty without it."""
    return _SETS


def compiler() -> str:
    """What the kernel was built with."""
    return str(_native.compiler)


def pool() -> str:
    """Whose threads the kernel runs on."""
    return str(_native.pool())


def streamer(instruction_set: int, dtype: torch.dtype, streams: int = 1) -> Any:
    """An empty stack of layers to run step by step, for so many streams at once; see ``nprnn.Streamer``."""
    made = _native.Streamer64 if dtype == torch.float64 else _native.Streamer32
    return made(instruction_set, streams)


def obstacle(x: Tensor, *others: Tensor | None) -> str | None:
    """Why the kernel cannot take these arguments; None if it can."""
    if _native is None:
        return f"not built ({MISSING})"
    if x.device.type != "cpu":
        return f"x is on {x.device}"
    if x.dtype not in _COMPUTED_IN:
        return f"x is {x.dtype}"
    if x.numel() == 0 or any(v is not None and v.numel() == 0 for v in others):
        return "an axis is empty"
    return None


def forward(
    instruction_set: int,
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
    """``reference.forward`` on the kernel for instruction set number ``instruction_set``."""
    dtype = x.dtype
    call = _Call(x, h0, weight_ih, weight_hh, bias, lengths, nonlinearity, reverse, linear_units)
    y = call.x.new_empty((*call.lead, call.steps, call.batch, call.hidden))
    h_n = call.x.new_empty((*call.lead, call.batch, call.hidden))
    _native.forward(instruction_set, torch.get_num_threads(), *call.words, y.data_ptr(), h_n.data_ptr())
    return (y, h_n) if y.dtype == dtype else (y.to(dtype), h_n.to(dtype))


def backward(
    instruction_set: int,
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
    """``reference.backward`` on the kernel for instruction set number ``instruction_set``; dh0 only when asked for."""
    call = _Call(x, h0, weight_ih, weight_hh, bias, lengths, nonlinearity, reverse, linear_units)
    dtype, lead, members = call.x.dtype, call.lead, call.members
    y = _as(y, dtype).contiguous()
    dy = None if dy is None else _rows(_as(dy, dtype))
    dh_n = None if dh_n is None else _as(dh_n, dtype).contiguous()
    # Shared by all members, the sum over them is the kernel's; shared in part, the sum comes after.
    carried = [weight_ih.dim() > 2, weight_hh.dim() > 2, *([] if bias is None else [bias.dim() > 1])]
    summed = members > 1 and not any(carried)
    own = () if summed else lead
    new = call.x.new_empty
    dx = new((*lead, call.steps, call.batch, call.inputs)) if need_dx else None
    dh0 = new((*lead, call.batch, call.hidden)) if need_dh0 else None
    dweight_ih = new((*own, call.hidden, call.inputs))
    dweight_hh = new((*own, call.hidden, call.hidden))
    dbias = None if bias is None else new((*own, call.hidden))
    _native.backward(
        instruction_set,
        torch.get_num_threads(),
        *call.words,
        y.data_ptr(),
        *((0, 0, 0, 0) if dy is None else _address(dy)),
        *((0, 0) if dh_n is None else (dh_n.data_ptr(), call.batch * call.hidden)),
        0 if dx is None else dx.data_ptr(),
        0 if dh0 is None else dh0.data_ptr(),
        dweight_ih.data_ptr(),
        dweight_hh.data_ptr(),
        0 if dbias is None else dbias.data_ptr(),
        summed,
    )
    return (
        None if dx is None else _like(dx, x),
        None if dh0 is None else _like(dh0, h0),
        _like(dweight_ih, weight_ih),
        _like(dweight_hh, weight_hh),
        None if dbias is None or bias is None else _like(dbias, bias),
    )


class _Call:
    """The arguments shared by both directions as the native module takes them; ``kept`` are alive as long as this."""

    def __init__(
        self,
        x: Tensor,
        h0: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias: Tensor | None,
        lengths: Tensor | None,
        nonlinearity: str,
        reverse: bool,
        linear_units: int,
    ) -> None:
        dtype = _COMPUTED_IN[x.dtype]
        self.steps, self.batch, self.inputs = x.shape[-3:]
        self.hidden = weight_hh.shape[-1]
        self.lead = members_of(x, h0, weight_ih, weight_hh, bias, lengths)
        self.members = self.lead[0] if self.lead else 1
        self.x = _rows(_as(x, dtype))
        self.kept = []
        words: list[Any] = []
        given = ((h0, 2), (weight_ih, 2), (weight_hh, 2), (bias, 1), (lengths, 1))
        for tensor, dims in given:
            if tensor is None:
                words += (0, 0)
                continue
            tensor = _as(tensor, torch.int64 if tensor is lengths else dtype)
            member = 0
            if tensor.dim() == dims:
                tensor = tensor.contiguous()
            else:
                # Members may lie apart (rows of a wider matrix) or be one and the same (stride 0).
                if not tensor.is_contiguous() and tensor.stride()[1:] != (tensor.shape[-1], 1)[-dims:]:
                    tensor = tensor.contiguous()
                member = tensor.stride(0)
            self.kept.append(tensor)
            words += (tensor.data_ptr(), member)
        self.words = (
            dtype == torch.float64,
            self.members,
            self.steps,
            self.batch,
            self.inputs,
            self.hidden,
            nonlinearity == "tanh",
            reverse,
            linear_units,
            *_address(self.x),
            *words,
        )


def _as(v: Tensor, dtype: torch.dtype) -> Tensor:
    return v if v.dtype is dtype else v.to(dtype)


def _rows(v: Tensor) -> Tensor:
    """v with its last axis contiguous; the others may lie in any order, or be spread."""
    return v if v.stride(-1) == 1 or v.shape[-1] == 1 else v.contiguous()


def _address(v: Tensor) -> tuple[int, int, int, int]:
    """Where v [T, B, .], or that with a leading E, lies: address and strides of E, T and B."""
    *member, step, row, _ = v.stride()
    return v.data_ptr(), member[0] if member else 0, step, row


def _like(gradient: Tensor, of: Tensor) -> Tensor:
    return _as(gradient if gradient.shape == of.shape else gradient.sum_to_size(of.shape), of.dtype)
