"""The compiled kernels on every instruction set of this machine, against the definition in float64."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
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
from operator_cases import (
    CARRIERS,
    LAID_OUT,
    NAN,
    SAME_VALUES,
    Case,
    backward,
    cases,
    check,
    forward,
    growing,
    results,
    same,
    threads,
)

SETS = cpu.instruction_sets()


@pytest.fixture(scope="module", params=SETS)
def kernel(request: pytest.FixtureRequest) -> str:
    """The name of each kernel of this machine in turn."""
    return str(request.param)


# --- values -----------------------------------------------------------------------------------------------------------


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
