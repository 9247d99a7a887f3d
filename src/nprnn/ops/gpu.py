"""The Triton kernels through one checked door: what they take, and the products around them.

Forward and backward have the signatures of ``nprnn.ops.reference``. ``obstacle`` says what the kernels do not cover.
Triton is imported at the first call; under its interpreter (``TRITON_INTERPRET=1``) the kernels take CPU tensors.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from nprnn.ops.reference import live, members_of, without_padding
from nprnn.ops.tiles import Plan, plan, properties

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# Up to so many inputs a step the kernel forms W_ih x_t itself; beyond, one product over all steps comes before.
_FEW_INPUTS = 4
_CAPABLE = (7, 0)

Gradients = tuple[Tensor | None, Tensor | None, Tensor, Tensor, Tensor | None]


def interpreted() -> bool:
    """Whether Triton interprets its kernels in Python, on CPU tensors."""
    return os.environ.get("TRITON_INTERPRET", "") in ("1", "true", "on")


@functools.cache
def missing() -> str:
    """Why there is no Triton kernel on this machine, or ""."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if interpreted():
        return ""
    if not torch.cuda.is_available():
        return "no CUDA device"
    capability = torch.cuda.get_device_capability()
    if capability < _CAPABLE:
        return f"the device has compute capability {capability[0]}.{capability[1]}, triton needs {_CAPABLE[0]}.0"
    return ""


def whereabouts() -> str:
    """What the kernels run on; only where nothing is missing."""
    import triton

    where = "CPU tensors, interpreted" if interpreted() else f"CUDA tensors ({torch.cuda.get_device_name()})"
    return f"in use for {where}; triton {triton.__version__}"


def obstacle(x: Tensor, *others: Tensor | None) -> str | None:
    """Why the kernels cannot take these arguments; None if they can."""
    if x.device.type != ("cpu" if interpreted() else "cuda"):
        return f"x is on {x.device}"
    if x.dtype not in DTYPES:
        return f"x is {x.dtype}"
    if x.numel() == 0 or any(v is not None and v.numel() == 0 for v in others):
        return "an axis is empty"
    return missing() or None


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
    """``reference.forward`` on the device."""
    call = _Call(x, h0, weight_ih, weight_hh, bias, lengths)
    hidden, inputs = call.hidden, x.shape[-1]
    y = x.new_empty((*call.lead, call.steps, call.batch, hidden))
    h_n = x.new_empty((*call.lead, call.batch, hidden))
    few = call.plan.resident and inputs <= _FEW_INPUTS
    driving = _last_dense(x) if few else _driven(x, weight_ih, bias)
    flags = _flags(lengths, nonlinearity, reverse, call.plan)
    hh, ends = _dense(weight_hh, 2), _dense(lengths, 1)
    sizes = (call.steps, call.batch, hidden, linear_units)
    with call.device:
        if call.plan.resident:
            state, into, b = _dense(h0, 2), _dense(weight_ih, 2), _dense(bias, 1)
            _kernels().resident_forward[call.grid](
                driving, state, into, hh, b, ends, y, h_n,
                *_strides(driving), _member(state, 2), _member(into, 2), _member(hh, 2), _member(b, 1),
                _member(ends, 1), *sizes,
                INPUTS=inputs if few else 0, HAS_BIAS=bias is not None, PADDED=call.plan.padded, **flags,
            )  # fmt: skip
        else:
            states = x.new_empty((2, call.members, call.batch, hidden))
            states[0] = h0
            _kernels().streamed_forward[call.grid](
                driving, hh, ends, y, states,
                *_strides(driving), _member(hh, 2), _member(ends, 1), call.members, *sizes,
                BLOCK=call.plan.padded, **flags,
            )  # fmt: skip
            h_n.copy_(states[call.steps % 2].view_as(h_n))
    return y, h_n


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
    """``reference.backward`` on the device; dh0 only when asked for."""
    call = _Call(x, h0, weight_ih, weight_hh, bias, lengths)
    y = y.contiguous()
    dz, dh0 = torch.empty_like(y), h0.new_empty((*call.lead, call.batch, call.hidden))
    dy = None if dy is None else _last_dense(dy)
    flags = _flags(lengths, nonlinearity, reverse, call.plan)
    hh, ends = _dense(weight_hh, 2), _dense(lengths, 1)
    sizes = (call.steps, call.batch, call.hidden, linear_units)
    with call.device:
        if call.plan.resident:
            last = _dense(dh_n, 2)
            _kernels().resident_backward[call.grid](
                dy, last, hh, ends, y, dz, dh0,
                *_strides(dy), _member(last, 2), _member(hh, 2), _member(ends, 1), *sizes,
                HAS_DY=dy is not None, HAS_DH_N=dh_n is not None, PADDED=call.plan.padded, **flags,
            )  # fmt: skip
        else:
            states = x.new_zeros((2, call.members, call.batch, call.hidden), dtype=torch.float32)
            if dh_n is not None:
                states[0] = dh_n
            _kernels().streamed_backward[call.grid](
                dy, hh, ends, y, dz, states,
                *_strides(dy), _member(hh, 2), _member(ends, 1), call.members, *sizes,
                HAS_DY=dy is not None, BLOCK=call.plan.padded, **flags,
            )  # fmt: skip
            dh0.copy_(states[call.steps % 2].view_as(dh0))
    seen = without_padding(x, live(lengths, call.steps, x.device))
    return (
        _like(_times(dz, weight_ih), x) if need_dx else None,
        _like(dh0, h0) if need_dh0 else None,
        _like(_outer(dz, seen), weight_ih),
        _like(_step_gradient(dz, y, h0, lengths, reverse), weight_hh),
        None if bias is None else _like(dz.sum((-3, -2)), bias),
    )


class _Call:
    """What both directions ask of their arguments."""

    def __init__(
        self,
        x: Tensor,
        h0: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias: Tensor | None,
        lengths: Tensor | None,
    ) -> None:
        self.lead = members_of(x, h0, weight_ih, weight_hh, bias, lengths)
        self.members = self.lead[0] if self.lead else 1
        self.steps, self.batch = x.shape[-3:-1]
        self.hidden = weight_hh.shape[-1]
        exact = x.dtype == torch.float32 and _precision() == "ieee"
        sizes = (self.members, self.batch, self.hidden, x.element_size())
        self.plan = plan(*sizes, exact=exact, device=properties(x.device))
        self.grid = (-(-self.batch // self.plan.tile), self.members)
        self.device: AbstractContextManager[Any] = torch.cuda.device(x.device) if x.is_cuda else nullcontext()


def _kernels() -> Any:
    from nprnn.ops import triton_kernels

    return triton_kernels


def _precision() -> str:
    # float32 is exact unless torch's own switch allows its products less.
    return "tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee"


def _flags(lengths: Tensor | None, nonlinearity: str, reverse: bool, chosen: Plan) -> dict[str, Any]:
    return {
        "HAS_LENGTHS": lengths is not None,
        "TANH": nonlinearity == "tanh",
        "REVERSE": reverse,
        "TILE": chosen.tile,
        "PRECISION": _precision(),
        "WIDEN": interpreted(),
        "num_warps": chosen.warps,
    }


def _last_dense(v: Tensor) -> Tensor:
    """v with its last axis contiguous."""
    return v if v.stride(-1) == 1 or v.shape[-1] == 1 else v.contiguous()


def _dense(v: Tensor | None, dims: int) -> Tensor | None:
    """v with its last axes contiguous; members may lie apart, or be one and the same."""
    if v is None or v.is_contiguous():
        return v
    if v.dim() > dims and v.stride()[1:] == (v.shape[-1], 1)[-dims:]:
        return v
    return v.contiguous()


def _member(v: Tensor | None, dims: int) -> int:
    return v.stride(0) if v is not None and v.dim() > dims else 0


def _strides(v: Tensor | None) -> tuple[int, int, int]:
    """From member to member, step to step and row to row of v [T,B,.], or that with a leading E."""
    if v is None:
        return 0, 0, 0
    *member, step, row, _ = v.stride()
    return (member[0] if member else 0), step, row


def _driven(x: Tensor, weight_ih: Tensor, bias: Tensor | None) -> Tensor:
    """W_ih x_t + b for every step."""
    s = x @ (weight_ih.mT if weight_ih.dim() == 2 else weight_ih.mT.unsqueeze(-3))
    return _last_dense(s if bias is None else s + bias[..., None, None, :])


def _times(dz: Tensor, weight: Tensor) -> Tensor:
    return dz @ (weight if weight.dim() == 2 else weight.unsqueeze(-3))


def _step_gradient(dz: Tensor, y: Tensor, h0: Tensor, lengths: Tensor | None, reverse: bool) -> Tensor:
    """Σ dz_t h_prev^T over all steps; no copy of y is shifted for it."""
    steps = y.shape[-3]
    first = h0.expand(*y.shape[:-3], *h0.shape[-2:])
    if not reverse:
        started = dz.select(-3, 0)
        later = _outer(dz.narrow(-3, 1, steps - 1), y.narrow(-3, 0, steps - 1)) if steps > 1 else None
    else:
        if lengths is None:
            started = dz.select(-3, steps - 1)
        else:
            # Each sequence starts at its own end, beyond which dz and y are 0.
            at = (lengths - 1).clamp(min=0)[..., None, :, None].expand(*dz.shape[:-3], 1, *dz.shape[-2:])
            started = dz.gather(-3, at).squeeze(-3)
        later = _outer(dz.narrow(-3, 0, steps - 1), y.narrow(-3, 1, steps - 1)) if steps > 1 else None
    gradient = started.mT @ first
    return gradient if later is None else gradient + later


# A product with few columns and very many rows leaves most of the device idle unless it is cut along the rows.
_ROWS_OF_A_PIECE = 2048
_MOST_PIECES = 128


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """Σ_t,b a_tb b_tb^T: [..., T, B, N] and [..., T, B, K] to [..., N, K], in pieces of time."""
    steps, batch = a.shape[-3:-1]
    members = a.shape[0] if a.dim() > 3 else 1
    pieces = min(max(1, _MOST_PIECES // members), steps, max(1, steps * batch // _ROWS_OF_A_PIECE))
    length = steps // pieces
    even = length * pieces
    cut = [v.narrow(-3, 0, even).unflatten(-3, (pieces, length)).flatten(-3, -2) for v in (a, b)]
    total = (cut[0].mT @ cut[1]).sum(-3)
    if even < steps:
        rest = [v.narrow(-3, even, steps - even).flatten(-3, -2) for v in (a, b)]
        total = total + rest[0].mT @ rest[1]
    return total


def _like(gradient: Tensor, of: Tensor) -> Tensor:
    return gradient.sum_to_size(of.shape).to(of.dtype)
