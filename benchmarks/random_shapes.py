"""nprnn.RNN against torch.nn.RNN (denormals flushed) over shapes drawn at random: is it slower anywhere?

T, B, I and H are drawn log-uniformly from 1..600. Every shape is written down as soon as it is measured, so that a run
can be stopped (or stops itself, --minutes) and the same command goes on with it.
"""

from __future__ import annotations

import json
import math
import random
import time
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from nprnn.bench import Shape, find_shape, limited, line_up, make_record, race, ratio, write_record
from nprnn.bench.records import FOLDER, script_command
from nprnn.bench.threads import most_threads
from nprnn.bench.timing import ratios
from nprnn.errors import RunError

LARGEST = 600
ROUNDS, SECONDS, FEWEST = 15, 3.0, 2
console = Console(highlight=False)


def main(
    shapes: int = 200,
    seed: int = 0,
    threads: int | None = None,
    minutes: float = math.inf,
    fresh: bool = False,
    out: Path = FOLDER / "random-shapes.json",
) -> None:
    """Measure shapes drawn at random, and tell the worst ten.

    Args:
        shapes: how many; more goes on with the same sequence.
        seed: of the drawing.
        threads: threads of both; None is one for each core.
        minutes: begin no further shape after so long.
        fresh: throw away what an earlier run wrote down.
        out: the record; a line per shape goes beside it, in a file ending in .jsonl.
    """
    threads = most_threads() if threads is None else threads
    with limited(threads):
        record = make_record("random_shapes", script_command(__file__), threads)
        notes = Notes(out.with_suffix(".jsonl"), {"seed": seed, **{k: record[k] for k in ("threads", "git", "kernel")}})
        if fresh:
            notes.path.unlink(missing_ok=True)
        done = notes.read()
        started = time.perf_counter()
        drawn = draw(shapes, seed)
        for number in track(range(len(done), shapes), "shapes", console=console, disable=not console.is_terminal):
            if time.perf_counter() - started > 60 * minutes:
                break
            done.append(compare(drawn[number], threads))
            notes.add(done[-1])
    done = done[:shapes]
    slower = [line for line in done if line["ratio"] < 1]
    write_record(out, record | {"seed": seed, "complete": len(done) == shapes, "slower": len(slower), "shapes": done})
    show(done, shapes, len(slower))


def draw(count: int, seed: int) -> list[Shape]:
    """Shapes whose sizes are log-uniform in 1..LARGEST, each size of its own."""
    source = random.Random(seed)
    sizes = [[int(math.exp(source.uniform(0, math.log(LARGEST + 1)))) for _ in range(4)] for _ in range(count)]
    return [find_shape(",".join(map(str, four))) for four in sizes]


def compare(shape: Shape, threads: int) -> dict[str, Any]:
    """Forward and backward of both, as a line of the notes."""
    rivals, _ = line_up(shape, threads, ("nprnn", "torch"))
    times = race(rivals, ROUNDS, seconds=SECONDS, fewest=FEWEST)
    every = sorted(ratios(times["torch"], times["nprnn"]))
    return {
        "T": shape.steps,
        "B": shape.batch,
        "I": shape.inputs,
        "H": shape.hidden,
        "rounds": len(every),
        "nprnn": times["nprnn"].median,
        "torch": times["torch"].median,
        "ratio": ratio(times["torch"], times["nprnn"]),
        "least": every[0],
        "greatest": every[-1],
    }


class Notes:
    """What is measured so far: a line on the conditions, then a line a shape."""

    def __init__(self, path: Path, conditions: dict[str, Any]) -> None:
        self.path = path
        self.conditions = conditions

    def read(self) -> list[dict[str, Any]]:
        """The shapes so far; begins the file where there is none."""
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.add(self.conditions)
        text = self.path.read_text()
        # A killed run may have left half a line.
        text = text[: text.rfind("\n") + 1]
        self.path.write_text(text)
        first, *lines = map(json.loads, text.splitlines())
        if first != self.conditions:
            raise RunError(f"{self.path} is of {first}, not of {self.conditions}: choose another --out, or add --fresh")
        return lines

    def add(self, line: dict[str, Any]) -> None:
        """Write a line down."""
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def show(done: list[dict[str, Any]], wanted: int, slower: int) -> None:
    """The worst ten."""
    table = Table("T", "B", "I", "H", "nprnn, ms", "torch.nn.RNN, ms", "takes", "least–greatest", "rounds")
    for line in sorted(done, key=lambda line: line["ratio"])[:10]:
        spread = f"{line['least']:.2f}–{line['greatest']:.2f}"
        milliseconds = (f"{1e3 * line[name]:.3g}" for name in ("nprnn", "torch"))
        sizes = (str(line[name]) for name in "TBIH")
        table.add_row(*sizes, *milliseconds, f"{line['ratio']:.2f}x", spread, str(line["rounds"]))
    console.print(table)
    console.print(f"{len(done)} of {wanted} shapes measured; nprnn.RNN is slower than torch.nn.RNN on {slower} of them")


if __name__ == "__main__":
    tyro.cli(main)
