"""A step from Python: at batch 1 the cells, the streamer, and a bound function that does nothing; then many streams and
chunks with a head, against ``torch.nn.RNN``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import nprnn
from nprnn.bench import interleave, limited, make_record, ratio, write_record
from nprnn.bench.denormals import flushing
from nprnn.bench.records import FOLDER, script_command
from nprnn.bench.threads import most_threads

EMPTY, STREAMER = "empty bound function", "nprnn.Streamer"
TORCH = "torch.nn.RNN"
OUTPUTS = 10


class Empty:
    """The least that a step can cost: a method called with the same argument."""

    def step(self, x: Tensor) -> None:
        """Do nothing."""


def main(
    hidden: int = 100,
    inputs: int = 2,
    threads: int | None = None,
    rounds: int = 50,
    streams: tuple[int, ...] = (1, 4, 16, 64, 256),
    chunk: int = 100,
    out: Path = FOLDER / "streaming.json",
) -> None:
    """Time one step of each, and a chunk of steps, without gradients.

    Args:
        hidden: H.
        inputs: I.
        threads: threads of all; None is one for each core.
        rounds: samples of each.
        streams: how many at once, one measurement for each.
        chunk: steps of a chunk.
        out: the record.
    """
    threads = most_threads() if threads is None else threads
    with limited(threads), torch.inference_mode():
        times = interleave(steps(inputs, hidden), rounds, around=lambda name: flushing(True))
        empty = times[EMPTY].median
        results = {
            name: dict(zip(("lower", "upper"), time.quartiles, strict=True))
            | {"median": time.median, "above_empty": time.median - empty}
            for name, time in times.items()
        }
        many = [
            {"nonlinearity": nonlinearity, "streams": count, "steps": length}
            | against_torch(inputs, hidden, nonlinearity, count, length, rounds)
            for nonlinearity in ("relu", "tanh")
            for count in streams
            for length in (1, chunk)
        ]
        record = make_record(
            "streaming",
            script_command(__file__),
            threads,
            H=hidden,
            I=inputs,
            steps=results,
            many=many,
        )
    write_record(out, record)
    table = Table("one step", "µs", "quartiles", "above the empty function")
    for name, result in results.items():
        median, lower, upper, above = (
            f"{1e6 * result[key]:.2f}" for key in ("median", "lower", "upper", "above_empty")
        )
        table.add_row(name, median, f"{lower}–{upper}", above)
    console = Console(highlight=False)
    console.print(table)
    table = Table("f", "streams", "steps a call", "µs a step", TORCH, "times as fast")
    for line in many:
        times = (f"{1e6 * line[key]:.2f}" for key in (STREAMER, TORCH))
        table.add_row(line["nonlinearity"], str(line["streams"]), str(line["steps"]), *times, f"{line['ratio']:.1f}")
    console.print(table)


def steps(inputs: int, hidden: int) -> dict[str, Callable[[], object]]:
    """One step of each with the same weights, by name."""
    generator = torch.Generator().manual_seed(0)
    cell = nprnn.RNNCell(inputs, hidden, init="np-RNN", generator=generator)
    torch_cell = nn.RNNCell(inputs, hidden, nonlinearity="relu")
    torch_cell.load_state_dict(cell.state_dict())
    lstm = nn.LSTMCell(inputs, hidden)
    x, h = torch.rand(1, inputs, generator=generator), torch.rand(1, hidden, generator=generator)
    calls: dict[str, Callable[[], object]] = {
        EMPTY: partial(Empty().step, x),
        "nprnn.RNNCell": partial(cell, x, h),
        "torch.nn.RNNCell": partial(torch_cell, x, h),
        "torch.nn.LSTMCell": partial(lstm, x, (h, h)),
    }
    calls[STREAMER] = partial(nprnn.Streamer(cell).step, x[0])
    return calls


def against_torch(
    inputs: int, hidden: int, nonlinearity: str, streams: int, steps: int, rounds: int
) -> dict[str, float]:
    """Seconds a step of so many streams with carried state and head, and how many times as long torch takes."""
    generator = torch.Generator().manual_seed(0)
    module = nn.RNN(inputs, hidden, nonlinearity=nonlinearity)
    if nonlinearity == "relu":
        nprnn.init_rnn_(module, "np-RNN", generator=generator)
    head = nn.Linear(hidden, OUTPUTS)
    streamer = nprnn.Streamer(module, head, streams=streams)
    x = torch.rand(steps, streams, inputs, generator=generator)
    state = torch.zeros(1, streams, hidden)

    def torch_run() -> Tensor:
        y, h_n = module(x, state)
        state.copy_(h_n)
        return head(y)

    ours = partial(streamer.step, x[0]) if steps == 1 else partial(streamer.run, x)
    times = interleave({STREAMER: ours, TORCH: torch_run}, rounds, around=lambda name: flushing(True))
    medians = {name: time.median / steps for name, time in times.items()}
    return medians | {"ratio": ratio(times[TORCH], times[STREAMER])}


if __name__ == "__main__":
    tyro.cli(main)
