"""Problems for the operator, and how far a kernel may lie from the definition in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from nprnn.ops import reference, use_kernel
from nprnn.ops.reference import members_of


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# --- a case: shapes, options and the way each tensor lies in memory ---------------------------------------------------

NAN = float("nan")
# What must not be read is NaN.
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda v: v,
    "gapped": lambda v: torch.nn.functional.pad(v, (2, 3), value=NAN)[..., 2:-3],
    "strided": lambda v: torch.stack((v, torch.full_like(v, NAN)), -1)[..., 0],
    "turned": lambda v: v.movedim(0, -1).contiguous().movedim(-1, 0),
    "batch first": lambda v: v.transpose(-3, -2).contiguous().transpose(-3, -2) if v.dim() > 2 else v,
    "spread": lambda v: v[:1].expand(v.shape),
}
SAME_VALUES = [name for name in LAYOUTS if name != "spread"]
LAID_OUT = ("x", "h0", "weight_ih", "weight_hh", "bias", "y", "dy", "dh_n")
CARRIERS = ("x", "h0", "weight_ih", "weight_hh", "bias", "lengths")


@dataclass(frozen=True)
class Case:
    """A problem for the operator; ``lead`` names the tensors that carry E, of their own or spread over it."""

    steps: int
    batch: int
    inputs: int
    hidden: int
    nonlinearity: str = "relu"
    reverse: bool = False
    linear: int = 0
    bias: bool = True
    lengths: bool = False
    members: int = 0
    lead: dict[str, str] = field(default_factory=dict)
    layout: dict[str, str] = field(default_factory=dict)
    cotangents: str = "dy and dh_n"
    need_dx: bool = True
    dtype: torch.dtype = torch.float32
    threads: int = 1
    norm: float = 1.0
    seed: int = 0

    @property
    def options(self) -> tuple[str, bool, int]:
        return self.nonlinearity, self.reverse, min(self.linear, self.hidden)

    def tensors(self) -> tuple[list[Tensor | None], list[Tensor | None]]:
        """(x, h0, weight_ih, weight_hh, bias, lengths) and (dy, dh_n)."""
        g = torch.Generator().manual_seed(self.seed)

        def draw(name: str, scale: float, *shape: int) -> Tensor:
            lead = self.lead.get(name) if self.members else None
            own = () if lead is None else (self.members,) if lead == "own" else (1,)
            lay = LAYOUTS[self.layout.get(name, "plain")]
            v = torch.randn((*own, *shape), generator=g, dtype=torch.float64)
            if name == "weight_hh":
                scale = self.norm / float(torch.linalg.matrix_norm(lay(v), 2).max())
            v = lay((v * scale).to(self.dtype))
            return v.expand(self.members, *shape) if lead == "spread" else v

        x = draw("x", 1, self.steps, self.batch, self.inputs)
        h0 = draw("h0", 1, self.batch, self.hidden)
        weight_ih = draw("weight_ih", self.inputs**-0.5, self.hidden, self.inputs)
        weight_hh = draw("weight_hh", 1, self.hidden, self.hidden)
        bias = draw("bias", 0.5, self.hidden) if self.bias else None
        lengths = None
        if self.lengths:
            own = (self.members,) if self.members and self.lead.get("lengths") else ()
            lengths = torch.randint(0, self.steps + 1, (*own, self.batch), generator=g)
        members = members_of(x, h0, weight_ih, weight_hh, bias, lengths)
        # Small enough for sums over all steps to stay within float16.
        dy = draw("dy", 0.1, *members, self.steps, self.batch, self.hidden) if "dy" in self.cotangents else None
        dh_n = draw("dh_n", 0.1, *members, self.batch, self.hidden) if "dh_n" in self.cotangents else None
        return [x, h0, weight_ih, weight_hh, bias, lengths], [dy, dh_n]


def forward(case: Case, inputs: list[Any]) -> tuple[Tensor, Tensor]:
    with threads(case.threads):
        y, h_n = torch.ops.nprnn.rnn_forward(*inputs, *case.options)
    return y, h_n


def backward(case: Case, inputs: list[Any], cotangents: list[Any], y: Tensor) -> list[Tensor]:
    with threads(case.threads):
        return list(torch.ops.nprnn.rnn_backward(*cotangents, *inputs, y, *case.options, case.need_dx))


def results(case: Case) -> list[Tensor]:
    """All outputs and gradients, on the kernel in use."""
    inputs, cotangents = case.tensors()
    y, h_n = forward(case, inputs)
    return [y, h_n, *backward(case, inputs, cotangents, LAYOUTS[case.layout.get("y", "plain")](y))]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(v, w) for v, w in zip(a, b, strict=True))


def doubled(tensors: list[Tensor | None]) -> list[Any]:
    return [v.double() if v is not None and v.is_floating_point() else v for v in tensors]


# --- how far rounding can carry the results from the definition's -----------------------------------------------------


def rounding(terms: int, eps: float) -> float:
    """Error of a sum of so many terms, relative to the sum of their magnitudes.

    The worst case, or, where it is less, what independent errors exceed with probability 2 exp(-7²/2) (Higham and Mary
    2019, "A new approach to probabilistic rounding error analysis"). Twice: the reference, too, rounds.
    """
    return 2 * min(terms, 7 * terms**0.5) * eps / 2


class Bounds:
    """How far each result may lie from that of the reference in float64.

    Every step adds the rounding of one sum. The state's slopes are at most 1, so that a step amplifies the error (its
    2-norm) by at most ‖W_hh‖₂: where that is at most 1, errors grow in proportion to T.
    """

    def __init__(self, case: Case, inputs: list[Any], y: Tensor, eps: float | None = None) -> None:
        self.case, self.inputs, self.y = case, inputs, y
        self.eps = eps or torch.finfo(torch.float64 if case.dtype == torch.float64 else torch.float32).eps
        norm = float(torch.linalg.matrix_norm(inputs[3], 2).max())
        self.growth = (case.steps + 1) * max(norm, 1.0) ** case.steps

    def forward(self) -> float:
        x, h0, weight_ih, weight_hh, bias, lengths = self.inputs
        alive = reference.live(lengths, self.case.steps, x.device)
        before = reference.previous(self.y, h0, lengths, self.case.reverse)
        sizes = reference.project(reference.without_padding(x, alive).abs(), weight_ih.abs())
        sizes = sizes + reference.project(before.abs(), weight_hh.abs())
        if bias is not None:
            sizes = sizes + bias[..., None, None, :].abs()
        # Besides the sum, tanh is good to a few units in the last place.
        terms = self.case.inputs + self.case.hidden + 5
        return self.growth * rounding(terms, self.eps) * float(sizes.norm(dim=-1).max())

    def backward(self, dy: Tensor | None, dh_n: Tensor | None) -> list[Tensor | float]:
        """Of dx, dh0, dweight_ih, dweight_hh, dbias."""
        x, h0, weight_ih, weight_hh, bias, lengths = self.inputs
        eye = torch.eye(self.case.hidden, dtype=torch.float64)
        # With the identity for input weight, the gradient of the input is dz.
        plain = (torch.zeros_like(self.y), h0, eye, weight_hh, None, lengths, self.y, *self.case.options, True)
        dz = reference.backward(dy, dh_n, *plain)[0]
        assert dz is not None
        sizes = reference.project(dz.abs(), weight_hh.mT.abs()) + (0 if dy is None else dy.abs())
        local = float(sizes.norm(dim=-1).max()) + (0 if dh_n is None else float(dh_n.norm(dim=-1).max()))
        error = self.growth * rounding(self.case.hidden + 6, self.eps) * local
        # Every gradient is a sum over dz: over units, or over steps, batch and the members that share a weight.
        terms = max(self.case.hidden, self.case.steps * self.case.batch * max(self.case.members, 1)) + 1
        dz = dz.abs() * rounding(terms, self.eps) + error
        alive = reference.live(lengths, self.case.steps, x.device)
        before = reference.previous(self.y, h0, lengths, self.case.reverse)
        return [
            reference.project(dz, weight_ih.mT.abs()).sum_to_size(x.shape),
            error * max(self.case.members, 1),
            reference.outer(dz, reference.without_padding(x, alive).abs()).sum_to_size(weight_ih.shape),
            reference.outer(dz, before.abs()).sum_to_size(weight_hh.shape),
            0.0 if bias is None else dz.sum((-3, -2)).sum_to_size(bias.shape),
        ]


def close(name: str, case: Case, got: Tensor, want: Tensor, bound: Tensor | float) -> None:
    assert got.dtype == case.dtype, name
    assert got.shape == want.shape, name
    # The result is stored in the case's dtype, and flushed where it is denormal.
    kind = torch.finfo(case.dtype)
    bound = bound + kind.eps / 2 * want.abs() + kind.tiny
    error = (got.double() - want).abs()
    assert (error <= bound).all(), f"{name} is off by {float((error / bound).max()):.3g} times the bound in {case}"


def check(case: Case, kernel: str, eps: float | None = None) -> None:
    """Values and gradients on a kernel against the reference; ``eps`` is that of the states, if not float32's."""
    inputs, cotangents = case.tensors()
    exact, exact_cotangents = doubled(inputs), doubled(cotangents)
    want_y, want_h = reference.forward(*exact, *case.options)
    with use_kernel(kernel):
        y, h_n = forward(case, inputs)
    bound = Bounds(case, exact, want_y, eps).forward()
    close("y", case, y, want_y, bound)
    close("h_n", case, h_n, want_h, bound)

    # Both sides differentiate at the same y, so that no rounding turns a relu off on one of them alone.
    y = LAYOUTS[case.layout.get("y", "plain")](want_y.to(case.dtype))
    at = y.double()
    wants = reference.backward(*exact_cotangents, *exact, at, *case.options, case.need_dx)
    with use_kernel(kernel):
        gots = backward(case, inputs, cotangents, y)
    bounds = Bounds(case, exact, at, eps).backward(*exact_cotangents)
    names = ("dx", "dh0", "dweight_ih", "dweight_hh", "dbias")
    for name, got, want, bound in zip(names, gots, wants, bounds, strict=True):
        if want is None:
            assert got.numel() == 0, name
        else:
            close(name, case, got, want, bound)


# --- many of them ---------------------------------------------------------------------------------------------------

# Around the widths of vectors and of tiles.
HIDDEN = (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 25, 31, 33, 47, 48, 49, 64, 65, 96, 100, 127, 128, 129, 150)
HALF = (torch.bfloat16, torch.float16)

cases = st.builds(
    Case,
    steps=st.integers(1, 40),
    batch=st.one_of(st.integers(1, 9), st.integers(1, 70)),
    inputs=st.sampled_from((1, 2, 3, 8, 17, 40, 65)),
    hidden=st.one_of(st.sampled_from(HIDDEN), st.integers(1, 150)),
    nonlinearity=st.sampled_from(("relu", "tanh")),
    reverse=st.booleans(),
    linear=st.one_of(st.just(0), st.integers(0, 150)),
    bias=st.booleans(),
    lengths=st.booleans(),
    members=st.sampled_from((0, 0, 1, 2, 3, 5)),
    lead=st.dictionaries(st.sampled_from(CARRIERS), st.sampled_from(("own", "spread"))),
    layout=st.dictionaries(st.sampled_from(LAID_OUT), st.sampled_from(list(LAYOUTS))),
    cotangents=st.sampled_from(("dy and dh_n", "dy", "dh_n")),
    need_dx=st.booleans(),
    dtype=st.sampled_from((torch.float32, torch.float64, *HALF)),
    threads=st.sampled_from((1, 2, 3, 5)),
    seed=st.integers(0, 2**16),
)
# Where a step may amplify, only short sequences tell errors from growth.
growing = st.builds(replace, cases, steps=st.integers(1, 6), norm=st.sampled_from((1.5, 3.0)))
