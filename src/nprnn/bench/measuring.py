"""Measuring one shape: rivals checked against each other, timed in one run, held against the machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from nprnn.bench.denormals import flushing
from nprnn.bench.limits import first_order_limit, gemm_calls, gemm_peak
from nprnn.bench.memory import peak_memory
from nprnn.bench.problem import Rival, check, make_problem
from nprnn.bench.rivals import OURS, RIVALS, TORCH, rivals_for
from nprnn.bench.shapes import Shape
from nprnn.bench.timing import Times, interleave, ratio

# Whatever time it takes, a median of fewer rounds says little.
FEWEST_ROUNDS = 5


def measure(
    shape: Shape,
    *,
    threads: int,
    rounds: int,
    bandwidth: float,
    seconds: float = 120.0,
    memory: bool = True,
    tell: Callable[[int, str], None] = lambda number, name: None,
) -> dict[str, Any]:
    """Time all rivals on a shape.

    Args:
        shape: the shape.
        threads: as given to ``limited``, inside of which this is to be called.
        rounds: samples of each rival.
        bandwidth: of the machine, bytes a second.
        seconds: after so much time no further round begins, once there are five.
        memory: measure the peak memory too, in a fresh process for each rival.
        tell: told the round's number and what comes next.

    Returns:
        The shape's part of a record: sizes, each rival's times, ratios with targets, flops a second, share of the GEMM
        peak of the same run, limits, memory.

    Raises:
        NprnnError: a rival computes something else than ``torch.nn.RNN``.
    """
    rivals, missing = line_up(shape, threads, rivals_for(shape.inference))
    times = race(
        rivals,
        rounds,
        beside=gemm_calls(torch.float32),
        seconds=seconds,
        fewest=min(rounds, FEWEST_ROUNDS),
        tell=tell,
    )
    ours, peak = times[OURS], gemm_peak(times, torch.float32)
    bytes_used: dict[str, int | None] = {}
    for name in rivals if memory else ():
        tell(len(ours.samples), f"memory of {RIVALS[name][0]}")
        bytes_used[name] = peak_memory(name, shape, threads)
    return {
        "label": shape.label,
        "T": shape.steps,
        "B": shape.batch,
        "I": shape.inputs,
        "H": shape.hidden,
        "E": shape.members,
        "inference": shape.inference,
        "rivals": {name: _time_record(times[name], rivals[name]) for name in rivals}
        | {name: {"missing": why} for name, why in missing.items()},
        "ratios": {
            name: judged(None if name in missing else ratio(times[name], ours), shape.targets.get(name))
            for name in (*rivals, *missing)
            if name != OURS
        },
        "flops": shape.flops,
        "flops_per_second": shape.flops / ours.median,
        "gemm_float32": peak,
        "peak_share": judged(shape.flops / ours.median / peak, shape.peak_target),
        "limit": first_order_limit(shape, peak, bandwidth),
        "memory": bytes_used,
    }


def line_up(shape: Shape, threads: int, names: Iterable[str]) -> tuple[dict[str, Rival], dict[str, str]]:
    """Build rivals for a shape, and let none start that computes something else than ``torch.nn.RNN``.

    Args:
        shape: the shape.
        threads: for those that take the number when they are built.
        names: which; ``torch`` is to be among them.

    Returns:
        The rivals, and for those that are not installed why they are missing, by name.

    Raises:
        NprnnError: a rival computes something else.
    """
    problem = make_problem(shape)
    rivals: dict[str, Rival] = {}
    missing = {}
    for name in names:
        try:
            rivals[name] = RIVALS[name][1](problem, threads)
        except ImportError as error:
            missing[name] = str(error)
    answers = {name: rival.answer() for name, rival in rivals.items() if rival.answer is not None}
    for name, answer in answers.items():
        check(RIVALS[name][0], answer, answers[TORCH])
    return rivals, missing


def race(
    rivals: Mapping[str, Rival],
    rounds: int,
    *,
    beside: Mapping[str, Callable[[], object]] | None = None,
    **options: Any,
) -> dict[str, Times]:
    """Time rivals in one run, each with denormals as it wants them.

    Args:
        rivals: by name.
        rounds: samples of each.
        beside: what else to time in the same run, by name.
        **options: as for ``interleave``.

    Returns:
        Name to times, a member's where a rival computes many at once.
    """

    def around(name: str) -> contextlib.AbstractContextManager[None]:
        return flushing(name in rivals and rivals[name].flush)

    calls = {name: rival.run for name, rival in rivals.items()} | dict(beside or {})
    times = interleave(calls, rounds, around=around, **options)
    return times | {name: times[name].shared_by(rival.members) for name, rival in rivals.items()}


def judged(value: float | None, target: float | None) -> dict[str, Any]:
    """A value, its target if it has one, and whether it is met: None where either is missing."""
    met = None if value is None or target is None else value >= target
    return {"value": value, "target": target, "met": met}


def _time_record(times: Times, rival: Rival) -> dict[str, Any]:
    lower, upper = times.quartiles
    record: dict[str, Any] = {"median": times.median, "lower": lower, "upper": upper, "n": len(times.samples)}
    if rival.members > 1:
        record["members"] = rival.members
    if rival.about:
        record["about"] = rival.about
    return record
