"""One network on one thread, on several threads, and on several processes that share its batches.

    torchrun --standalone --nproc-per-node 2 benchmarks/data_parallel.py

Whole updates of the addition problem, in rounds of alternating order; while one process trains by itself the others
wait.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
import tyro
from rich.console import Console

from nprnn.bench import Times, make_record, ratio, write_record
from nprnn.bench.denormals import flushing
from nprnn.bench.records import FOLDER, script_command
from nprnn.bench.timing import sample
from nprnn.errors import ConfigError
from nprnn.tasks import Addition, TaskData
from nprnn.training import Partners, TrainConfig, joined, start_run, train
from nprnn.training.partners import ALONE

console = Console(highlight=False)


def main(
    length: int = 150,
    batches: tuple[int, ...] = (16, 256),
    hidden: int = 100,
    rounds: int = 7,
    seconds: float = 3.0,
    out: Path = FOLDER / "data-parallel.json",
) -> None:
    """Time updates of one process and of as many as torchrun started.

    Args:
        length: T of the addition problem.
        batches: B, of all processes together.
        hidden: H.
        rounds: samples of each.
        seconds: about how long a sample lasts.
        out: the record.
    """
    with joined() as partners, flushing(True):
        if partners.world == 1:
            raise ConfigError("start this with torchrun: torchrun --standalone --nproc-per-node 2 FILE")
        data = Addition(length=length, train_size=2000, valid_size=1, test_size=1).load(0)
        results = {f"batch-{batch}": compare(partners, data, batch, hidden, rounds, seconds) for batch in batches}
        if partners.rank == 0:
            sizes = {"length": length, "hidden": hidden, "processes": partners.world}
            command = [
                "torchrun",
                "--standalone",
                "--nproc-per-node",
                str(partners.world),
                *script_command(__file__)[1:],
            ]
            write_record(out, make_record("data-parallel", command, 1, **sizes, **results))


def compare(partners: Partners, data: TaskData, batch: int, hidden: int, rounds: int, seconds: float) -> dict[str, Any]:
    """What an update costs each side, taken in turns; complete on rank 0."""
    config = TrainConfig(hidden=hidden, batch=batch, lr=1e-3, clip=10.0, cool_at=())
    numbers = torch.zeros(hidden * (hidden + 4) + 5)

    def alone(threads: int) -> Side:
        return lambda updates: NOTHING if partners.rank else stretch(ALONE, config, data, updates, threads)

    def exchange(calls: int) -> Cost:
        began = time.process_time()
        return Cost(sample(lambda: torch.distributed.all_reduce(numbers), calls), (time.process_time() - began) / calls)

    sides: dict[str, Side] = {
        "one": alone(1),
        "threads": alone(partners.world),
        "processes": lambda updates: stretch(partners, config, data, updates, 1),
        "exchange": exchange,
    }
    counts = {name: agreed(max(3, round(seconds / (side(5).wall or 1.0)))) for name, side in sides.items()}
    costs: dict[str, list[Cost]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides) if number % 2 == 0 else reversed(list(sides)):
            partners.agree({})
            costs[name].append(sides[name](counts[name]))
    if partners.rank:
        return {}
    wall, cpu = ({name: Times(tuple(cost[k] for cost in found)) for name, found in costs.items()} for k in (0, 1))
    result = {
        "microseconds": {name: 1e6 * times.median for name, times in wall.items()},
        "quartiles": {name: [1e6 * v for v in times.quartiles] for name, times in wall.items()},
        "cpu_microseconds": {name: 1e6 * times.median for name, times in cpu.items()},
        "times_one": {name: ratio(wall["one"], wall[name]) for name in ("threads", "processes")},
    }
    for what in ("microseconds", "cpu_microseconds"):
        told = ", ".join(f"{name} {value:.0f}" for name, value in result[what].items())
        console.print(f"B={batch}: {what} an update: {told}", soft_wrap=True)
    return result


class Cost(NamedTuple):
    """Seconds an update takes, and seconds of processor time that rank 0 spends on it."""

    wall: float
    cpu: float


Side = Callable[[int], Cost]
NOTHING = Cost(0.0, 0.0)


def stretch(partners: Partners, config: TrainConfig, data: TaskData, updates: int, threads: int) -> Cost:
    """What an update of a fresh run costs, evaluations left out."""
    config = replace(config, updates=updates, eval_every=updates)
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        run = start_run("addition", Addition(), config, data, partners.folder(Path(folder)))
        began = time.process_time()
        train(config, data, run, partners=partners)
        spent = time.process_time() - began
        (record,) = run.records()
    torch.set_num_threads(1)
    return Cost(1 / float(record["updates_per_second"]), spent / updates)


def agreed(count: int) -> int:
    """Rank 0's number."""
    box = [count]
    torch.distributed.broadcast_object_list(box)
    return box[0]


if __name__ == "__main__":
    tyro.cli(main)
