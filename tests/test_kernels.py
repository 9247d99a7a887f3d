"""The compiled kernels on every instruction set of this machine, against the definition in float64."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import nprnn
from conftest import absent
from nprnn.errors import ConfigError
from nprnn.ops import cpu, reference, rnn, use_kernel
from nprnn.ops.reference import members_of

SETS = cpu.instruction_sets()


@pytest.fixture(scope="module", params=SETS)
def kernel(request: pytest.FixtureRequest) -> str:
    """The name of each kernel of this machine in turn."""
    return str(request.param)


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

    def __init__(self, case: Case, inputs: list[Any], y: Tensor) -> None:
        self.case, self.inputs, self.y = case, inputs, y
        self.eps = torch.finfo(torch.float64 if case.dtype == torch.float64 else torch.float32).eps
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


def check(case: Case, kernel: str) -> None:
    inputs, cotangents = case.tensors()
    exact, exact_cotangents = doubled(inputs), doubled(cotangents)
    want_y, want_h = reference.forward(*exact, *case.options)
    with use_kernel(kernel):
        y, h_n = forward(case, inputs)
    bound = Bounds(case, exact, want_y).forward()
    close("y", case, y, want_y, bound)
    close("h_n", case, h_n, want_h, bound)

    # Both sides differentiate at the same y, so that no rounding turns a relu off on one of them alone.
    y = LAYOUTS[case.layout.get("y", "plain")](want_y.to(case.dtype))
    at = y.double()
    wants = reference.backward(*exact_cotangents, *exact, at, *case.options, case.need_dx)
    with use_kernel(kernel):
        gots = backward(case, inputs, cotangents, y)
    bounds = Bounds(case, exact, at).backward(*exact_cotangents)
    names = ("dx", "dh0", "dweight_ih", "dweight_hh", "dbias")
    for name, got, want, bound in zip(names, gots, wants, bounds, strict=True):
        if want is None:
            assert got.numel() == 0, name
        else:
            close(name, case, got, want, bound)


# --- values -----------------------------------------------------------------------------------------------------------

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


@settings(max_examples=200, deadline=None)
@given(case=st.one_of(cases, cases, growing))
def test_values_and_gradients_are_the_references(kernel: str, case: Case) -> None:
    check(case, kernel)


@pytest.mark.slow
@settings(max_examples=5000, deadline=None)
@given(case=st.one_of(cases, cases, growing))
def test_values_and_gradients_are_the_references_in_many_cases(kernel: str, case: Case) -> None:
    check(case, kernel)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "case",
    [
        # More steps and rows than the backward pass gathers at a time.
        Case(700, 1, 2, 20),
        Case(700, 1, 2, 20, nonlinearity="tanh", reverse=True),
        Case(90, 9, 2, 20, lengths=True),
        Case(90, 9, 2, 20, lengths=True, reverse=True, threads=2),
        Case(3, 300, 1, 20, lengths=True),
        Case(6, 300, 1, 100),
        Case(9, 150, 1, 100, lengths=True, reverse=True),
        Case(9, 300, 3, 20, threads=3),
        Case(129, 2, 1, 20, members=3, lead={"x": "own"}),
        # Rows wider than one panel of a single row, and than a kilobyte.
        Case(6, 1, 2, 392),
        Case(6, 1, 2, 520),
        Case(6, 1, 2, 520, nonlinearity="tanh"),
        Case(6, 2, 2, 512, linear=3),
        Case(6, 5, 2, 520, lengths=True),
        # Inputs wider than the state.
        Case(9, 17, 300, 20),
        Case(9, 1, 300, 5),
        # One member to a thread, more members than threads, members cut for the threads.
        Case(20, 1, 2, 100, members=28, lead={"weight_hh": "own", "weight_ih": "own", "bias": "own"}, threads=2),
        Case(20, 4, 2, 100, members=3, lead={"weight_hh": "own", "x": "spread"}, threads=2),
        Case(20, 4, 2, 100, members=3, lead={"h0": "own", "lengths": "own"}, lengths=True, threads=5),
        # All units linear; all sequences of one step.
        Case(10, 4, 2, 33, linear=33),
        Case(1, 70, 3, 100, threads=2),
    ],
    ids=lambda case: f"T{case.steps} B{case.batch} I{case.inputs} H{case.hidden} E{case.members}",
)
def test_where_work_is_cut_into_pieces(kernel: str, case: Case, dtype: torch.dtype) -> None:
    check(replace(case, dtype=dtype), kernel)


def test_sequences_of_no_steps(kernel: str) -> None:
    inputs, cotangents = Case(4, 3, 2, 5).tensors()
    inputs[5] = torch.zeros(3, dtype=torch.int64)
    with use_kernel(kernel):
        y, h_n = forward(Case(4, 3, 2, 5), inputs)
        dx, dh0, *weights = backward(Case(4, 3, 2, 5), inputs, cotangents, y)
    assert torch.equal(h_n, inputs[1])  # type: ignore[arg-type]
    assert torch.equal(dh0, cotangents[1])  # type: ignore[arg-type]
    assert not any(v.any() for v in (y, dx, *weights))


@pytest.mark.parametrize("reverse", [False, True])
def test_lengths_beyond_the_axis_end_with_it(kernel: str, reverse: bool) -> None:
    case = Case(4, 3, 2, 5, reverse=reverse)
    inputs, cotangents = case.tensors()
    got = []
    with use_kernel(kernel):
        for lengths in ([4, 0, 2], [1 << 40, -(1 << 40), 2]):
            inputs[5] = torch.tensor(lengths)
            y, h_n = forward(case, inputs)
            got.append([y, h_n, *backward(case, inputs, cotangents, y)])
    assert same(*got)


SPLIT = [
    Case(90, 9, 2, 40, lengths=True),
    Case(90, 9, 2, 40, nonlinearity="tanh", reverse=True),
    Case(90, 2, 2, 40, members=3, lead={"x": "own"}),
    Case(90, 2, 2, 40, members=5, lead={"weight_hh": "own"}, dtype=torch.float64),
]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("case", SPLIT)
def test_the_same_numbers_from_run_to_run_for_any_number_of_threads(kernel: str, case: Case, count: int) -> None:
    case = replace(case, threads=count)
    check(case, kernel)
    with use_kernel(kernel):
        first = results(case)
        # What another call leaves in memory must not matter.
        results(Case(50, 9, 3, 70, threads=count, norm=1.5, dtype=case.dtype))
        assert same(results(case), first)


@pytest.mark.parametrize("layout", SAME_VALUES)
@pytest.mark.parametrize("members", [0, 3])
@pytest.mark.parametrize("batch", [1, 7])
def test_the_same_numbers_however_tensors_lie_in_memory(kernel: str, batch: int, members: int, layout: str) -> None:
    case = Case(6, batch, 3, 19, members=members, lead=dict.fromkeys(CARRIERS, "own"), nonlinearity="tanh")
    with use_kernel(kernel):
        assert same(results(replace(case, layout=dict.fromkeys(LAID_OUT, layout))), results(case))


def test_a_tensor_that_stands_for_its_negative(kernel: str) -> None:
    inputs, _ = Case(4, 3, 2, 5).tensors()
    x = torch.complex(torch.zeros(4, 3, 2), -inputs[0]).conj().imag  # type: ignore[operator]
    assert x.is_neg()
    with use_kernel(kernel):
        assert same(list(forward(Case(4, 3, 2, 5), [x, *inputs[1:]])), list(forward(Case(4, 3, 2, 5), inputs)))


@pytest.mark.parametrize("name", ["portable", "avx2", "avx512", "neon"])
def test_a_kernel_asked_for_is_the_one_that_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not SETS:
        absent(f"NO KERNEL IS TESTED: the native module is missing ({cpu.MISSING})")
    if name not in SETS:
        message = f"NOT COVERED HERE: the {name} kernel, which this processor does not run"
        if name == ("neon" if platform.machine().lower() in ("aarch64", "arm64") else "avx2"):
            absent(message)
        pytest.skip(message)
    ran = []
    for direction in ("forward", "backward"):
        run = getattr(cpu._native, direction)
        monkeypatch.setattr(cpu._native, direction, lambda *a, run=run: (ran.append(SETS[a[0]]), run(*a))[1])
    with use_kernel(name):
        rnn(*nprnn_arguments(requires_grad=True), nonlinearity="relu")[0].sum().backward()
    assert ran == [name, name]


def nprnn_arguments(requires_grad: bool = False) -> list[Tensor]:
    """x, h0, weight_ih, weight_hh, bias of a small problem."""
    inputs, _ = Case(5, 3, 2, 4).tensors()
    return [v.requires_grad_(requires_grad) for v in inputs[:5] if v is not None]


# --- activations ------------------------------------------------------------------------------------------------------


def activate(x: Tensor, nonlinearity: str, hidden: int = 33) -> Tensor:
    """The nonlinearity alone: [N] numbers through one step with input weights 1, one column for every unit."""
    ones, zeros = x.new_ones(hidden, 1), x.new_zeros(hidden, hidden)
    y, _ = rnn(x[None, :, None], x.new_zeros(len(x), hidden), ones, zeros, nonlinearity=nonlinearity)  # type: ignore[arg-type]
    return y[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tanh_is_good_to_a_few_units_in_the_last_place(kernel: str, dtype: torch.dtype) -> None:
    inf = float("inf")
    # 0.625 and 20 are where the kernel goes from one formula to another.
    near = torch.cat([torch.linspace(c - 1e-3, c + 1e-3, 501, dtype=dtype) for c in (0.625, 20, -0.625, -20)])
    tiny = torch.logspace(-30, -1, 500, dtype=dtype)
    special = torch.tensor([0.0, -0.0, inf, -inf, 88.0, 800.0, -1e30], dtype=dtype)
    x = torch.cat([torch.linspace(-25, 25, 20001, dtype=dtype), near, tiny, -tiny, special])
    want = torch.tanh(x.double())[:, None]
    with use_kernel(kernel):
        y = activate(x, "tanh")
        alone = torch.cat([activate(v, "tanh") for v in x[-40:].split(1)])
    assert ((y.double() - want).abs() <= 2 * torch.finfo(dtype).eps * want.abs()).all()
    assert (y.abs() <= 1).all()
    assert torch.equal(alone, y[-40:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
@pytest.mark.parametrize("batch", [1, 3, 9])
def test_nan_stays_nan_and_infinity_infinity(kernel: str, batch: int, nonlinearity: str, dtype: torch.dtype) -> None:
    x = torch.tensor([NAN, float("inf"), -float("inf")], dtype=dtype).repeat(3)[:batch]
    with use_kernel(kernel):
        y = activate(x, nonlinearity)
    f = torch.relu if nonlinearity == "relu" else torch.tanh
    torch.testing.assert_close(y, f(x)[:, None].expand(y.shape), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [1, 3])
def test_nan_in_one_unit_reaches_all_of_its_sequence(kernel: str, batch: int, dtype: torch.dtype) -> None:
    # Linear, so that no slope of 0 stops it.
    case = Case(5, batch, 2, 40, linear=40, dtype=dtype)
    (x, h0, *rest), (dy, dh_n) = case.tensors()
    assert h0 is not None
    assert dy is not None
    with use_kernel(kernel):
        y, _ = forward(case, [x, h0, *rest])
        dy[3, 0, 7] = NAN
        dx, dh0, *_ = backward(case, [x, h0, *rest], [dy, dh_n], y)
        h0[0, 7] = NAN
        y, h_n = forward(case, [x, h0, *rest])
    for v in (y, h_n, dx[:4], dh0):
        assert v[..., 0, :].isnan().all()
        assert v[..., 1:, :].isfinite().all()
    assert dx[4].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("bad", [NAN, float("inf")])
def test_a_bad_recurrent_weight_is_seen_even_where_the_state_is_0(
    kernel: str, bad: float, batch: int, dtype: torch.dtype
) -> None:
    hidden = 20
    for place in (0, 7, hidden - 1):
        weight = torch.zeros(hidden, hidden, dtype=dtype)
        weight[place, 3] = bad
        h0, x = torch.zeros(batch, hidden, dtype=dtype), torch.zeros(3, batch, 1, dtype=dtype)
        inputs = [x, h0, torch.ones(hidden, 1, dtype=dtype), weight, None, None]
        options = ("relu", False, hidden)
        dy = torch.zeros(3, batch, hidden, dtype=dtype)
        with use_kernel(kernel):
            y, _ = torch.ops.nprnn.rnn_forward(*inputs, *options)
            _, dh0, *_ = torch.ops.nprnn.rnn_backward(dy, None, *inputs, y.nan_to_num(), *options, False)
        assert torch.equal(y.isnan(), reference.forward(*inputs, *options)[0].isnan())  # type: ignore[arg-type]
        assert y[:, :, place].isnan().all()
        assert dh0[:, 3].isnan().all()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("batch", [1, 4])
def test_what_lies_beyond_a_sequence_is_never_read(kernel: str, batch: int, reverse: bool) -> None:
    case = Case(9, batch, 3, 20, reverse=reverse)
    (x, *rest), (dy, dh_n) = case.tensors()
    assert x is not None
    assert dy is not None
    lengths = torch.tensor([4, 9, 0, 8])[:batch]
    beyond = torch.arange(9)[:, None] >= lengths
    with use_kernel(kernel):
        got = []
        for padding in (0.0, NAN):
            inputs = [x.masked_fill(beyond[..., None], padding), *rest[:4], lengths]
            y, h_n = forward(case, inputs)
            spoilt = [v.masked_fill(beyond[..., None], padding) for v in (dy, y)]
            got.append([y, h_n, *backward(case, inputs, [spoilt[0], dh_n], spoilt[1])])
    assert same(*got)
    assert not got[0][0][beyond].any()


# --- denormal numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_torchs_own_flushing_is_left_as_it_was(kernel: str, count: int, flush: bool) -> None:
    # Long enough for torch to split over its threads.
    small = torch.full((1 << 17,), 1e-30)

    def flushes() -> list[bool]:
        return (small * 1e-10 == 0).unique().tolist()

    with threads(count), use_kernel(kernel):
        if not torch.set_flush_denormal(flush):
            pytest.skip("this processor does not flush denormal numbers")
        try:
            before = flushes()
            results(Case(90, 9, 2, 40, threads=count))
            after = flushes()
        finally:
            torch.set_flush_denormal(False)
    assert flush in before
    assert after == before


def test_states_that_decay_are_flushed_to_0(kernel: str) -> None:
    steps = 160
    x, h0, one = torch.zeros(steps, 1, 1), torch.ones(1, 1), torch.ones(1, 1)
    with use_kernel(kernel):
        y, _ = rnn(x, h0, one, one / 2, nonlinearity="relu")
    smallest = -126
    assert torch.equal(y.flatten(), torch.tensor([2.0**-t if -t >= smallest else 0 for t in range(1, steps + 1)]))


# --- which kernel runs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(4, 0, 2, 3), (4, 2, 0, 3), (4, 2, 2, 0)], ids=["B=0", "I=0", "H=0"])
def test_empty_axes_go_to_the_reference(sizes: tuple[int, int, int, int]) -> None:
    steps, batch, inputs, hidden = sizes
    shapes = ((steps, batch, inputs), (batch, hidden), (hidden, inputs), (hidden, hidden), (hidden,))
    p = [torch.ones(shape, requires_grad=True) for shape in shapes]
    assert cpu.obstacle(p[0], p[3]) == "an axis is empty"
    y, h_n = rnn(*p, nonlinearity="tanh")
    assert y.shape == (steps, batch, hidden)
    assert h_n.shape == (batch, hidden)
    (y.sum() + h_n.sum()).backward()
    assert all(v.grad is not None and v.grad.shape == v.shape for v in p)


@pytest.mark.parametrize("carrier", range(5))
def test_an_ensemble_of_no_members(carrier: int) -> None:
    p = nprnn_arguments()
    p[carrier] = p[carrier].expand(0, *p[carrier].shape)
    p = [v.clone().requires_grad_() for v in p]
    y, h_n = rnn(*p, nonlinearity="relu")
    assert y.shape == (0, 5, 3, 4)
    assert h_n.shape == (0, 3, 4)
    y.sum().backward()
    assert all(v.grad is not None and v.grad.shape == v.shape and not v.grad.any() for v in p)


def test_what_the_kernel_does_not_take_has_a_reason() -> None:
    weight = torch.zeros(2, 2)
    assert cpu.obstacle(torch.zeros(1, 1, 1, device="meta"), weight) == "x is on meta"
    assert cpu.obstacle(torch.zeros(1, 1, 1, dtype=torch.complex64), weight) == "x is torch.complex64"
    assert cpu.obstacle(torch.zeros(1, 1, 1), weight) is None


def test_use_kernel_nests_and_puts_back_what_was() -> None:
    def in_use() -> str:
        return nprnn.ops.kernel_in_use()

    best = in_use()
    with use_kernel("reference"):
        with use_kernel("portable"):
            assert in_use() == "portable"
        assert in_use() == "reference"
        with pytest.raises(KeyError), use_kernel("portable"):
            raise KeyError
        assert in_use() == "reference"
        with use_kernel("auto"):
            assert in_use() == best
    assert in_use() == best == SETS[-1]


def test_a_kernel_that_is_unknown_or_not_there_is_refused() -> None:
    other = "neon" if "neon" not in SETS else "avx2"
    with pytest.raises(ConfigError, match=r"unknown kernel 'avx5'\. Did you mean 'avx512'\?"), use_kernel("avx5"):
        pass
    there = ", ".join(("reference", *SETS))
    with pytest.raises(ConfigError, match=f"the {other} kernel .* this machine has {there}"), use_kernel(other):
        pass
    assert nprnn.ops.kernel_in_use() == SETS[-1]


def test_the_status_has_a_line_for_every_kernel() -> None:
    best = SETS[-1]
    status = nprnn.backend_status()
    assert status[best] == "in use for CPU tensors"
    for name in SETS[:-1]:
        assert status[name] == f"available; {best} is better"
    assert set(status) >= {"portable", "avx2", "avx512", "neon", "reference", "native module"}
    for name in {"avx2", "avx512", "neon"} - set(SETS):
        assert status[name] == "not for this processor"
    with use_kernel("portable"):
        status = nprnn.backend_status()
        assert status["portable"] == "in use for CPU tensors (NPRNN_KERNEL=portable)"
        assert all(status[name] == "available; portable is asked for" for name in SETS[1:])
    with use_kernel("reference"):
        status = nprnn.backend_status()
        assert status["reference"] == "in use for every device and dtype (NPRNN_KERNEL=reference)"
        assert all(status[name] == "available; reference is asked for" for name in SETS)


def python(code: str, *arguments: str) -> str:
    """What a fresh interpreter prints; one that hangs is ended with all its children."""
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            printed, errors = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 0, errors
    return printed


FROM_THE_ENVIRONMENT = """
import os, sys, torch
for name in sys.argv[1:]:
    if os.fork() == 0:
        os.environ["NPRNN_KERNEL"] = name
        import nprnn
        from nprnn.errors import NprnnError
        try:
            nprnn.NPRNN(2, 4)(torch.ones(3, 1, 2))
            print(name, "->", nprnn.ops.kernel_in_use(), flush=True)
        except NprnnError as error:
            print(name, "->", error, flush=True)
        os._exit(0)
    os.wait()
"""


def test_the_environment_chooses_the_kernel() -> None:
    other = "neon" if "neon" not in SETS else "avx2"
    names = ("reference", *SETS, "", "auto", other, "portible")
    said = dict(line.split(" -> ") for line in python(FROM_THE_ENVIRONMENT, *names).splitlines())
    assert [said[name] for name in ("reference", *SETS)] == ["reference", *SETS]
    assert said[""] == said["auto"] == SETS[-1]
    assert f"the {other} kernel was asked for (NPRNN_KERNEL), but this machine has reference, portable" in said[other]
    assert "unknown kernel 'portible'. Did you mean 'portable'?" in said["portible"]


# --- threads, processes, memory ---------------------------------------------------------------------------------------


def test_calls_from_many_python_threads_at_once(kernel: str) -> None:
    todo = [replace(case, threads=2, seed=seed) for case in SPLIT for seed in range(6)]
    inputs = [case.tensors() for case in todo]

    def run(k: int) -> list[Tensor]:
        given_, cotangents = inputs[k]
        y, h_n = torch.ops.nprnn.rnn_forward(*given_, *todo[k].options)
        return [y, h_n, *torch.ops.nprnn.rnn_backward(*cotangents, *given_, y, *todo[k].options, True)]

    with use_kernel(kernel), threads(2), ThreadPoolExecutor(4) as pool:
        wants = [run(k) for k in range(len(todo))]
        for got, want in zip(pool.map(run, range(len(todo))), wants, strict=True):
            assert same(got, want)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_python_runs_on_while_the_kernel_computes(direction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    native = getattr(cpu._native, direction)
    inside = threading.Event()

    def watched(*arguments: Any) -> None:
        inside.set()
        native(*arguments)
        inside.clear()

    monkeypatch.setattr(cpu._native, direction, watched)
    worker = threading.Thread(target=results, args=(Case(2000, 16, 2, 150),))
    interval = sys.getswitchinterval()
    # So long that only a thread that lets go of the lock by itself makes way for another.
    sys.setswitchinterval(1000)
    try:
        worker.start()
        seen = False
        while worker.is_alive():
            seen |= inside.is_set()
            time.sleep(1e-4)
    finally:
        sys.setswitchinterval(interval)
        worker.join()
    assert seen


PROBLEM = """
import os, torch, nprnn
torch.set_num_threads(2)
def numbers():
    g = torch.Generator().manual_seed(0)
    x, h0, wi, wh, b = (torch.randn(s, generator=g) * 0.1 for s in ((90, 9, 2), (9, 40), (40, 2), (40, 40), (40,)))
    options = ("relu", False, 0)
    y, h_n = torch.ops.nprnn.rnn_forward(x, h0, wi, wh, b, None, *options)
    gradients = torch.ops.nprnn.rnn_backward(y, h_n, x, h0, wi, wh, b, None, y, *options, True)
    return [v.tolist() for v in (y, h_n, *gradients)]
before = numbers()
"""
# In the parent the kernel's threads have run; none of them lives on in a child.
CHILDREN = {
    "fork": """
for generation in range(2):
    if os.fork() == 0:
        torch.set_num_threads(2)
        assert numbers() == before
        assert "own" in nprnn.backend_status()["native module"]
        # A second fork, with the child's own threads to lose.
        if generation or os.fork() == 0:
            assert numbers() == before
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
    assert os.wait()[1] == 0
assert numbers() == before
""",
    "multiprocessing": """
import multiprocessing
def child(k):
    torch.set_num_threads(2)
    return numbers()
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(child, range(6), chunksize=1) == [before] * 6
""",
    "DataLoader": """
class Set(torch.utils.data.Dataset):
    def __len__(self):
        return 6
    def __getitem__(self, k):
        torch.set_num_threads(2)
        return numbers()
loader = torch.utils.data.DataLoader(Set(), batch_size=None, num_workers=2, multiprocessing_context="fork")
assert list(loader) == [before] * 6
""",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.parametrize("how", CHILDREN)
def test_children_of_a_process_that_used_the_kernel(how: str) -> None:
    assert python(PROBLEM + CHILDREN[how] + "print('done')").endswith("done\n")


def resident() -> int:
    """Bytes of memory that this process holds."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("this system does not tell how much memory a process holds")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def grown(call: Callable[[], Any], times: int) -> int:
    """The least growth of three rounds: a leak grows in each, the allocator's own stock does not."""
    rounds = []
    for _ in range(3):
        before = resident()
        for _ in range(times):
            call()
        rounds.append(resident() - before)
    return min(rounds)


def test_calls_leave_no_memory_behind() -> None:
    case = Case(50, 4, 2, 32, lengths=True)
    inputs, cotangents = case.tensors()

    def call() -> None:
        y, _ = forward(case, inputs)
        backward(case, inputs, cotangents, y)

    # A fraction of any of the buffers would do to exceed this.
    assert grown(call, 2000) < 2000 * 1024


def test_threads_that_end_leave_no_memory_behind() -> None:
    case = Case(100, 9, 2, 100)

    def call() -> None:
        worker = threading.Thread(target=results, args=(case,))
        worker.start()
        worker.join()

    working_memory = 100 * 100 * 4
    assert grown(call, 200) < 200 * working_memory / 2


@pytest.mark.parametrize("name", ["reference", *SETS])
def test_a_unit_that_is_off_passes_no_nan_on(name: str) -> None:
    # As torch.relu: the slope there is a choice between the gradient and 0, not a factor of 0.
    p = [v.requires_grad_() for v in nprnn_arguments()]
    with use_kernel(name):
        y, _ = rnn(*p, nonlinearity="relu")
        off = (y == 0).detach()
        assert off.any()
        gradients = torch.autograd.grad(y, p, torch.where(off, torch.nan, torch.ones_like(y)))
    assert all(bool(v.isfinite().all()) for v in gradients)
