"""Timing on fake clocks, shapes and limits by hand."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from nprnn.bench import (
    SHAPES,
    Shape,
    Times,
    find_shape,
    gpu,
    interleave,
    limited,
    make_record,
    ratio,
)
from nprnn.bench import measuring as measuring
from nprnn.bench.denormals import flushes, flushing
from nprnn.bench.limits import GEMM_SIZES, first_order_limit, gemm_calls, gemm_peak
from nprnn.bench.records import read_record
from nprnn.bench.rivals import rivals_for
from nprnn.bench.threads import most_threads
from nprnn.bench.timing import PAUSE, ratios
from nprnn.cli.benching_gpu import gpu_table
from nprnn.errors import ConfigError, InputError


class FakeTime:
    """A clock that stands still but for what callables spend, and for sleep."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.log.append("sleep")
        assert seconds == PAUSE

    def spender(self, name: str, *seconds: float) -> Any:
        """A callable that spends these in turn, the last one for ever."""
        left = list(seconds)

        def call() -> None:
            self.log.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call


def timed(fake: FakeTime, calls: dict[str, Any], rounds: int, **options: Any) -> dict[str, Times]:
    return interleave(calls, rounds, clock=fake.clock, sleep=fake.sleep, **options)


def test_interleave_takes_turns_and_every_second_round_backwards() -> None:
    fake = FakeTime()
    told: list[tuple[int, str]] = []
    calls = {name: fake.spender(name, 1.0) for name in "abc"}
    timed(fake, calls, 3, tell=lambda number, name: told.append((number, name)))
    # Warm-up and the trial for the number of repeats; then the rounds.
    assert fake.log[:6] == ["a", "a", "b", "b", "c", "c"]
    assert [name for name in fake.log[6:] if name != "sleep"] == [*"abc", *"cba", *"abc"]
    assert fake.log[6:].count("sleep") == 9
    assert told == [(0, "a"), (0, "b"), (0, "c"), (1, "c"), (1, "b"), (1, "a"), (2, "a"), (2, "b"), (2, "c")]


def test_interleave_does_not_time_the_warm_up_and_keeps_samples_in_order() -> None:
    fake = FakeTime()
    times = timed(fake, {"a": fake.spender("a", 100.0, 2.0, 3.0, 5.0, 4.0)}, 3)
    assert times["a"].samples == (3.0, 5.0, 4.0)


def test_interleave_repeats_short_calls_until_a_sample_is_long_enough() -> None:
    fake = FakeTime()
    times = timed(fake, {"a": fake.spender("a", 0.25)}, 2, least=0.9)
    # Warm-up, trial, and in each round one that does not count and four that do.
    assert fake.log.count("a") == 2 + 2 * (1 + 4)
    assert times["a"].samples == (0.25, 0.25)


def test_interleave_stops_after_its_time_but_not_before_the_fewest_rounds() -> None:
    for fewest, wanted in ((1, 2), (3, 3), (9, 4)):
        fake = FakeTime()
        calls = {name: fake.spender(name, 1.0) for name in "ab"}
        times = timed(fake, calls, 4, seconds=3.0, fewest=fewest)
        assert [len(time.samples) for time in times.values()] == [wanted, wanted]


def test_interleave_enters_the_context_of_each_around_its_calls_alone() -> None:
    fake = FakeTime()

    @contextlib.contextmanager
    def around(name: str) -> Iterator[None]:
        fake.log.append(f"<{name}")
        yield
        fake.log.append(f"{name}>")

    timed(fake, {name: fake.spender(name, 1.0) for name in "ab"}, 1, around=around)
    assert fake.log[:8] == ["<a", "a", "a", "a>", "<b", "b", "b", "b>"]
    assert fake.log[8:] == ["sleep", "<a", "a", "a>", "sleep", "<b", "b", "b>"]


def test_times_have_median_quartiles_and_shares() -> None:
    times = Times((4.0, 1.0, 3.0, 2.0, 5.0))
    assert times.median == 3.0
    assert times.quartiles == (2.0, 4.0)
    assert times.shared_by(2).samples == (2.0, 0.5, 1.5, 1.0, 2.5)
    assert Times((7.0,)).quartiles == (7.0, 7.0)


def test_a_ratio_is_the_median_of_rounds_not_of_medians() -> None:
    slow, fast = Times((10.0, 40.0, 90.0)), Times((5.0, 40.0, 10.0))
    assert ratios(slow, fast) == [2.0, 1.0, 9.0]
    assert ratio(slow, fast) == 2.0
    assert slow.median / fast.median == 4.0


def test_flops_count_every_product_of_a_step_but_the_gradient_of_x() -> None:
    count = 0
    shape = Shape("", 3, 4, 5, 7)
    for _ in range(shape.steps * shape.batch):
        for rows, columns in (
            (shape.hidden, shape.hidden),  # W_hh y
            (shape.hidden, shape.inputs),  # W_ih x
            (shape.hidden, shape.hidden),  # W_hhᵀ dz
            (shape.hidden, shape.hidden),  # dz yᵀ
            (shape.hidden, shape.inputs),  # dz xᵀ
        ):
            count += 2 * rows * columns
    assert shape.flops == count
    assert shape.forward_only().flops == 3 * 4 * 7 * 2 * (5 + 7)
    assert Shape("", 3, 4, 5, 7, members=9).flops == count


def test_traffic_is_that_of_both_passes() -> None:
    shape = Shape("", 3, 4, 5, 7)
    y, x, weights = 3 * 4 * 7, 3 * 4 * 5, 7 * 7 + 7 * 5 + 7
    assert shape.forward_only().traffic == 4 * (y + x + weights)
    assert shape.traffic == 2 * 4 * (y + x + weights)


def test_shapes_are_found_by_label_or_sizes() -> None:
    assert find_shape("mnist-784") is SHAPES["mnist-784"]
    assert find_shape("1,2,3,4") == Shape("1,2,3,4", 1, 2, 3, 4)
    assert find_shape("1,2,3,4,5") == Shape("1,2,3,4,5", 1, 2, 3, 4, members=5)
    with pytest.raises(ConfigError, match="Did you mean 'mnist-784'"):
        find_shape("mnist-78")
    for word in ("1,2,3", "1,2,3,4,5,6", "1,2,3,x"):
        with pytest.raises(InputError, match="784,16,1,100"):
            find_shape(word)
    with pytest.raises(ConfigError, match="batch must be at least 1"):
        find_shape("1,0,3,4")


def test_forward_only_drops_the_targets_of_training() -> None:
    shape = SHAPES["mnist-784"].forward_only()
    assert (shape.inference, shape.targets, shape.peak_target) == (True, {}, None)
    assert SHAPES["inference-784"].forward_only() is SHAPES["inference-784"]


def test_every_target_names_a_rival() -> None:
    for shape in SHAPES.values():
        assert set(shape.targets) <= set(rivals_for(shape.inference))


def test_gemm_peak_is_that_of_the_best_size() -> None:
    seconds = dict(zip(gemm_calls(torch.float32), (1.0, 2.0, 40.0), strict=True))
    times = {name: Times((value, value)) for name, value in seconds.items()}
    assert gemm_peak(times, torch.float32) == 2 * GEMM_SIZES[1] ** 3 / 2.0


def test_the_first_order_limit_names_what_binds() -> None:
    shape = Shape("", 3, 4, 5, 7)
    fast = first_order_limit(shape, gemm=shape.flops / 2.0, bandwidth=shape.traffic / 3.0)
    assert fast == {"arithmetic": 2.0, "traffic": 3.0, "binds": "bandwidth"}
    assert first_order_limit(shape, gemm=shape.flops / 4.0, bandwidth=shape.traffic / 3.0)["binds"] == "arithmetic"


def test_flushing_is_switched_for_a_while() -> None:
    before = flushes()
    with flushing(True):
        assert flushes()
        assert float(torch.tensor(1e-40) * 1) == 0
        with flushing(False):
            assert not flushes()
            assert float(torch.tensor(1e-40) * 1) > 0
        assert flushes()
    assert flushes() == before


def test_threads_and_cores_are_as_before_afterwards() -> None:
    threads = torch.get_num_threads()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    with limited(1):
        assert torch.get_num_threads() == 1
        if cores:
            assert len(os.sched_getaffinity(0)) == 1
    assert torch.get_num_threads() == threads
    if cores:
        assert os.sched_getaffinity(0) == cores
    for wrong in (0, most_threads() + 1):
        with pytest.raises(ConfigError, match="threads must be from 1"), limited(wrong):
            pass


def test_the_table_of_a_gpu_has_what_was_measured_and_what_did_not_fit() -> None:
    cell = {"hidden": 100, "batch": 1, "steps": 150, "members": 1}
    micro = {"nprnn forward": 80.0, "cudnn forward": 240.0, "nprnn both": 200.0, "cudnn both": 500.0}
    measured = {
        "cell": cell,
        "microseconds": micro,
        "times_cudnn": {"forward": 3.0, "both": 2.5},
        "forward_microseconds_a_step": 80 / 150,
        "of_first_order_limit": 0.125,
        "error": 1e-6,
    }
    cells = [
        measured,
        {**measured, "microseconds": {**micro, "graph both": 100.0}},
        {"cell": cell, "failed": "no room"},
    ]
    record = {"gpu": "a GPU", "versions": {"torch": "2.11"}, "cells": cells}
    console = Console(width=200, record=True, file=StringIO())
    console.print(gpu_table(record))
    rows = [line.split("│") for line in console.export_text().splitlines() if "│" in line]
    rows = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    sizes = ["100", "1", "150", "1"]
    assert rows == [
        [*sizes, "0.08", "3.0x", "0.2", "2.5x", "-", "0.53", "12%"],
        [*sizes, "0.08", "3.0x", "0.2", "2.5x", "0.1", "0.53", "12%"],
        [*sizes, "failed"],
    ]


def test_cells_are_kept_as_they_come_and_what_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "device_limits", lambda: {"gemm_float32": 1.0, "bandwidth": 1.0})
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    path, told, kept = tmp_path / "gpu.json", list[str](), list[int]()

    def measure_cell(cell: gpu.Cell, limits: object, *, rounds: int, seconds: float) -> dict[str, Any]:
        kept.append(len(read_record(path)["cells"]) if path.exists() else 0)
        if cell.members == 2:
            raise torch.OutOfMemoryError("no room")
        return {"cell": cell._asdict(), "times_cudnn": {"forward": 3.0, "both": 2.5}}

    monkeypatch.setattr(gpu, "measure_cell", measure_cell)
    wanted = [gpu.Cell(5, 1, 4, members) for members in (1, 2, 3)]
    options: dict[str, Any] = {"rounds": 1, "tell": told.append}
    record = make_record("gpu", [], 1)
    assert gpu.measure_cells(record, path, wanted, seconds=lambda left: 1.0, **options)
    assert kept == [0, 1, 2]
    assert [line.split(": ")[1] for line in told] == ["3.0x, 2.5x", "no room", "3.0x, 2.5x"]
    assert read_record(path)["cells"][1] == {"cell": wanted[1]._asdict(), "failed": "no room"}
    # No time for the last of them.
    assert not gpu.measure_cells(record, path, wanted, seconds=lambda left: left - 1.0, **options)
    assert len(record["cells"]) == 2
