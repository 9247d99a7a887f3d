"""Does the kernel fight with torch's threads over the cores? Alternating the two should cost the sum of each alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import tyro
from rich.console import Console

from nprnn.bench import Shape, interleave, limited, line_up, make_record, write_record
from nprnn.bench.records import FOLDER, script_command
from nprnn.bench.threads import most_threads
from nprnn.bench.timing import Times, ratio


def main(
    size: int = 416,
    repeats: int = 10,
    threads: int | None = None,
    rounds: int = 30,
    out: Path = FOLDER / "pools.json",
) -> None:
    """Time a matrix product of torch's, the recurrence forward and backward, and both in turn.

    Args:
        size: of the square matrices; 416 takes about a millisecond on two fast cores.
        repeats: calls of each in a sample, in turn where it is both.
        threads: threads of both; None is one for each core.
        rounds: samples of each.
        out: the record.
    """
    threads = most_threads() if threads is None else threads
    with limited(threads):
        a, b, product = (torch.rand(size, size) for _ in range(3))
        multiply = partial(torch.mm, a, b, out=product)
        rivals, _ = line_up(Shape("multiplication-200", 200, 16, 2), threads, ("nprnn", "torch"))
        recur = rivals["nprnn"].run
        calls: dict[str, list[Callable[[], object]]] = {"mm": [multiply], "nprnn": [recur], "both": [multiply, recur]}
        times = interleave({name: partial(in_turn, each, repeats) for name, each in calls.items()}, rounds)
        alone = Times(tuple(map(sum, zip(times["mm"].samples, times["nprnn"].samples, strict=True))))
        excess = ratio(times["both"], alone)
        medians = {name: time.median / repeats for name, time in times.items()}
        record = make_record(
            "pools", script_command(__file__), threads, size=size, repeats=repeats, seconds=medians, excess=excess
        )
    write_record(out, record)
    text = ", ".join(f"{name} {1e3 * median:.3g} ms" for name, median in medians.items())
    Console(highlight=False).print(f"{text}; both in turn take {excess:.3f}x the sum of each alone")


def in_turn(calls: list[Callable[[], object]], repeats: int) -> None:
    """Call each once, and that so often."""
    for _ in range(repeats):
        for call in calls:
            call()


if __name__ == "__main__":
    tyro.cli(main)
