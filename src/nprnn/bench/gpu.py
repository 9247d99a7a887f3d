"""The kernels of a GPU against cuDNN, cell by cell, timed by the device's own clock."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nprnn.bench.problem import make_problem
from nprnn.bench.records import write_record
from nprnn.bench.shapes import Shape
from nprnn.errors import NprnnError
from nprnn.ops import rnn

# What a cell's states may take: cuDNN keeps about as much again.
_LARGEST = 20e9
_INPUTS = 2
# Float32 over hundreds of steps, summed in another order.
_TOLERANCE = 1e-3
# A sample shorter than this is mostly the call.
_LEAST = 0.02
_COPIED = 1 << 30


class Cell(NamedTuple):
    """Sizes of a problem.

    Attributes:
        hidden: H.
        batch: B.
        steps: T.
        members: E.
    """

    hidden: int
    batch: int
    steps: int
    members: int

    @property
    def shape(self) -> Shape:
        """The same as the other benchmarks have it."""
        label = f"H={self.hidden} B={self.batch} T={self.steps} E={self.members}"
        return Shape(label, self.steps, self.batch, _INPUTS, self.hidden, self.members)


def cells() -> list[Cell]:
    """About forty: every size at E = 1, ensembles and pixels at H = 100; none whose states would not fit.

    Returns:
        The cells, those that others are judged by first.
    """
    judged = [Cell(100, batch, 150, members) for members in (1, 132) for batch in (1, 16, 256)]
    sizes = [Cell(hidden, batch, 150, 1) for hidden in (100, 64, 128, 256, 512) for batch in (1, 16, 100, 256, 1024)]
    ensembles = [Cell(100, batch, 150, members) for members in (32, 512) for batch in (1, 16, 100, 256)]
    pixels = [Cell(100, batch, 784, members) for members in (1, 32, 132) for batch in (1, 16, 100)]
    found = dict.fromkeys(itertools.chain(judged, sizes, pixels, ensembles))
    return [c for c in found if 4 * c.hidden * c.batch * c.steps * c.members <= _LARGEST]


def measure_cells(
    record: dict[str, Any],
    path: Path,
    wanted: Sequence[Cell],
    *,
    rounds: int,
    seconds: Callable[[int], float],
    tell: Callable[[str], None],
) -> bool:
    """Cell by cell, the record written after each: what was measured is kept, whatever happens.

    Args:
        record: of kind ``gpu``; its device, limits and cells are filled in.
        path: where it is written.
        wanted: the cells.
        rounds: samples of each.
        seconds: what the next cell may take, of how many are left; no time ends it.
        tell: takes a line after each cell.

    Returns:
        Whether all were measured, or tried and found wrong or too large.

    Raises:
        DataError: the record cannot be written.
    """
    record |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda, "cells": []}
    record["limits"] = limits = device_limits()
    for number, cell in enumerate(wanted):
        time_left = seconds(len(wanted) - number)
        if time_left <= 0:
            return False
        try:
            found = measure_cell(cell, limits, rounds=rounds, seconds=time_left)
        except (NprnnError, torch.OutOfMemoryError) as error:
            found = {"cell": cell._asdict(), "failed": str(error)}
            torch.cuda.empty_cache()
        record["cells"].append(found)
        write_record(path, record)
        ratios = found.get("times_cudnn")
        tell(f"{cell}: " + (f"{ratios['forward']:.1f}x, {ratios['both']:.1f}x" if ratios else found["failed"]))
    return True


def measure_cell(cell: Cell, limits: dict[str, float], *, rounds: int, seconds: float) -> dict[str, Any]:
    """Ours and cuDNN (``torch.nn.RNN``, one after another for an ensemble), forward alone and with backward.

    Both are checked against each other before they are timed. Rivals take turns, round by round.

    Args:
        cell: the sizes.
        limits: what the device does at best, as ``device_limits`` has it.
        rounds: samples of each.
        seconds: about how long the cell may take; fewer rounds where it would take longer.

    Returns:
        Microseconds a call by rival and way (``graph`` is ours without the calls of Python, replayed by the device),
        the rivals' ratios to ours, microseconds of a step, and how near the first-order limit ours is.

    Raises:
        NprnnError: the two compute something else.
    """
    calls = _calls(cell)
    own, theirs = calls["nprnn"], calls["cudnn"]
    error = max(
        float((a - b).norm() / b.norm().clamp(min=1e-30)) for a, b in zip(own.answer(), theirs.answer(), strict=True)
    )
    if not error <= _TOLERANCE:
        raise NprnnError(f"{cell}: ours and cuDNN differ by {error:.1e} of the norm; there is nothing to time")
    ways: dict[str, Callable[[], object]] = {}
    for name, call in calls.items():
        ways[f"{name} forward"], ways[f"{name} both"] = call.forward, call.both
    try:
        ways["graph both"] = _graph(own.both)
    except RuntimeError:
        # Not what is measured here; a device that cannot capture leaves it out.
        torch.cuda.synchronize()
    samples = _interleave(ways, rounds, seconds)
    micro = {name: 1e6 * statistics.median(times) for name, times in samples.items()}
    shape = cell.shape
    bound = cell.members * max(shape.flops / limits["gemm_float32"], shape.traffic / limits["bandwidth"])
    return {
        "cell": cell._asdict(),
        "microseconds": micro,
        "rounds": len(next(iter(samples.values()))),
        "times_cudnn": {way: micro[f"cudnn {way}"] / micro[f"nprnn {way}"] for way in ("forward", "both")},
        "forward_microseconds_a_step": micro["nprnn forward"] / cell.steps,
        "of_first_order_limit": 1e6 * bound / micro["nprnn both"],
        "error": error,
    }


def device_limits() -> dict[str, float]:
    """GEMM peak in flops a second, float32 (exact, no tensor cores), and bytes a second of copying."""
    a, b = (torch.rand(8192, 8192, device="cuda") for _ in range(2))
    source = torch.empty(_COPIED // 4, device="cuda")
    target = torch.empty_like(source)
    times = _interleave({"gemm": lambda: a @ b, "copy": lambda: target.copy_(source)}, 5, 10.0)
    gemm, copy = (statistics.median(times[name]) for name in ("gemm", "copy"))
    return {"gemm_float32": 2 * 8192**3 / gemm, "bandwidth": 2 * _COPIED / copy}


class _Call(NamedTuple):
    forward: Callable[[], object]
    both: Callable[[], object]
    answer: Callable[[], list[Tensor]]


def _calls(cell: Cell) -> dict[str, _Call]:
    problem = make_problem(cell.shape)
    x, weight_ih, weight_hh, bias, direction = (
        v.cuda() for v in (problem.x, problem.weight_ih, problem.weight_hh, problem.bias, problem.direction)
    )
    leaves = [v.requires_grad_() for v in (weight_ih, weight_hh, bias)]
    h0 = x.new_zeros(*x.shape[:-3], cell.batch, cell.hidden)

    def ours() -> Tensor:
        return rnn(x, h0, weight_ih, weight_hh, bias, nonlinearity="relu")[1]

    def ours_both() -> list[Tensor]:
        return list(torch.autograd.grad(ours(), leaves, direction))

    lead = (lambda v: v.unbind()) if cell.members > 1 else (lambda v: (v,))
    modules = []
    for ih, hh, b in zip(*(lead(v.detach()) for v in leaves), strict=True):
        module = nn.RNN(_INPUTS, cell.hidden, nonlinearity="relu", device="cuda")
        with torch.no_grad():
            for name, value in (("weight_ih_l0", ih), ("weight_hh_l0", hh), ("bias_ih_l0", b), ("bias_hh_l0", 0 * b)):
                module.get_parameter(name).copy_(value)
        module.get_parameter("bias_hh_l0").requires_grad_(False)
        modules.append(module)
    xs, directions = lead(x), lead(direction)

    def theirs() -> None:
        for module, one in zip(modules, xs, strict=True):
            module(one)

    def theirs_both() -> list[list[Tensor]]:
        found = []
        for module, one, toward in zip(modules, xs, directions, strict=True):
            trained = [p for p in module.parameters() if p.requires_grad]
            found.append(list(torch.autograd.grad(module(one)[1][0], trained, toward)))
        return found

    def answer() -> list[Tensor]:
        gradients = [torch.stack(each) for each in zip(*theirs_both(), strict=True)]
        return gradients if cell.members > 1 else [g[0] for g in gradients]

    return {
        "nprnn": _Call(_without_gradients(ours), ours_both, ours_both),
        "cudnn": _Call(_without_gradients(theirs), theirs_both, answer),
    }


def _without_gradients(call: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        with torch.no_grad():
            return call()

    return run


def _graph(call: Callable[[], object]) -> Callable[[], object]:
    """The same work captured once, replayed by the device."""
    side: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def _interleave(calls: dict[str, Callable[[], object]], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Seconds a call by the device's events; what the host takes counts where the device waits for it."""
    repeats = {}
    for name, call in calls.items():
        call()
        once = _burst(call, 1)
        repeats[name] = max(1, min(1000, int(_LEAST / max(once, 1e-6))))
    samples: dict[str, list[float]] = {name: [] for name in calls}
    began = time.perf_counter()
    for number in _rounds(rounds):
        for name in list(calls) if number % 2 else list(reversed(calls)):
            samples[name].append(_burst(calls[name], repeats[name]))
        if time.perf_counter() - began > seconds:
            break
    return samples


def _rounds(rounds: int) -> Iterator[int]:
    yield from range(max(1, rounds))


def _burst(call: Callable[[], object], repeats: int) -> float:
    first, last = (_event() for _ in range(2))
    torch.cuda.synchronize()
    first.record()
    for _ in range(repeats):
        call()
    last.record()
    torch.cuda.synchronize()
    return float(first.elapsed_time(last)) / 1e3 / repeats


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
