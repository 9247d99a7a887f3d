"""Many runs at once against one after another, whole training steps of both.

``addition``: 28 members (the seven models of Fig. 3, four seeds) at T = 150 and batch 1, in a one-thread process for
each core, as ``nprnn sweep`` runs them, and in one process.  Beside them, in the same rounds: the kernel alone on 28
members, and the plain loop that a researcher writes (``torch.nn.RNN``, ``nn.Linear``, ``torch.optim.SGD``,
``clip_grad_norm_``), for one run after another, and in one-thread processes side by side.

``pixels``: 16 members at T = 784 and batch 16 against our own loop for one run after another.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import tyro
from rich.console import Console
from torch import nn

from nprnn.bench import Shape, Times, limited, line_up, make_record, ratio, write_record
from nprnn.bench.denormals import flushing
from nprnn.bench.records import FOLDER, script_command
from nprnn.bench.stretches import stretch
from nprnn.bench.threads import most_threads
from nprnn.bench.timing import sample
from nprnn.ensembles import stack
from nprnn.rnn import RNN
from nprnn.sweep.shards import MOST_TOGETHER
from nprnn.tasks import Addition, TaskData
from nprnn.training import Member, TrainConfig, start_model, start_run

MODELS = ("gRNN", "oRNN", "iRNN", "IRNN", "nRNN", "np-RNN", "np-tanhRNN")
console = Console(highlight=False)


def main(
    length: int = 150,
    pixels: int = 784,
    seeds: int = 4,
    hidden: int = 100,
    rounds: int = 9,
    seconds: float = 1.5,
    out: Path = FOLDER / "ensembles.json",
) -> None:
    """Time ensembles against single runs, on all cores.

    Args:
        length: T of the addition problem.
        pixels: T of the longer sequences.
        seeds: of each of the seven models.
        hidden: H.
        rounds: samples of each.
        seconds: about how long a sample lasts.
        out: the record.
    """
    workers = most_threads()
    # The kernel and the ensembles of one process run here, on all cores.
    with limited(workers), flushing(True):
        many = addition(length, seeds, hidden, workers, rounds, seconds)
        few = long_sequences(pixels, hidden, workers, rounds, seconds)
    write_record(out, make_record("ensembles", script_command(__file__), workers, addition=many, pixels=few))


def addition(length: int, seeds: int, hidden: int, workers: int, rounds: int, seconds: float) -> dict[str, Any]:
    """28 members of the addition problem; times are those of one update of one member."""
    members = len(MODELS) * seeds
    recurrences = recurrences_of([settings(length, 1, MODELS, seeds, hidden, k) for k in range(members)], length)
    rivals, _ = line_up(Shape("addition", length, 1, 2, hidden, members), workers, ("nprnn", "torch"))
    # Dealt out as a sweep does: seeds together, sizes equal.
    shares = [list(range(k, members, workers)) for k in range(workers)]
    one_by_one = [[k] for k in range(workers)]
    own = partial(Side, length, 1, seeds, hidden)
    with (
        own("ensemble", shares, 1) as processes,
        own("ensemble", [list(range(members))], workers) as threads,
        own("plain", one_by_one[:1], workers) as plain,
        own("plain", one_by_one, 1) as plain_pair,
    ):
        times = race(
            {
                "processes": lambda n: processes.run(n) / members,
                "threads": lambda n: threads.run(n) / members,
                "kernel": lambda n: sample(rivals["nprnn"].run, n) / members,
                "kernel_on_these": lambda n: sample(recurrences, n) / members,
                "plain": plain.run,
                "plain_pair": lambda n: plain_pair.run(n) / workers,
            },
            rounds,
            seconds,
        )
    best = min(("processes", "threads"), key=lambda name: times[name].median)
    result = {
        "members": members,
        "microseconds": {name: 1e6 * each.median for name, each in times.items()},
        "best": best,
        "of_kernel_rate": ratio(times["kernel"], times[best]),
        "of_kernel_rate_on_these": ratio(times["kernel_on_these"], times[best]),
        "times_plain": ratio(times["plain"], times[best]),
        "times_plain_pair": ratio(times["plain_pair"], times[best]),
        "targets": {"of_kernel_rate": 0.85, "times_plain": 60, "times_plain_pair": 25},
    }
    show("addition", result)
    return result


def long_sequences(length: int, hidden: int, workers: int, rounds: int, seconds: float) -> dict[str, Any]:
    """16 members at batch 16, in shards of four as a sweep cuts them, and one after another."""
    members, seeds = 16, 4
    own = partial(Side, length, 16, seeds, hidden, models=("np-RNN", "IRNN", "nRNN", "iRNN"), together=4)
    shares = [list(range(k, members, workers)) for k in range(workers)]
    with own("ensemble", shares, 1) as together, own("ensemble", [[0]], workers) as alone:
        calls = {"together": lambda n: together.run(n) / members, "one_after_another": alone.run}
        times = race(calls, rounds, seconds)
    result = {
        "members": members,
        "microseconds": {name: 1e6 * each.median for name, each in times.items()},
        "times_one_after_another": ratio(times["one_after_another"], times["together"]),
        "targets": {"times_one_after_another": 1},
    }
    show("pixels", result)
    return result


class Side:
    """Processes that train side by side, each its share of the members with so many threads, when told to."""

    def __init__(
        self,
        length: int,
        batch: int,
        seeds: int,
        hidden: int,
        what: str,
        shares: Sequence[Sequence[int]],
        threads: int,
        models: Sequence[str] = MODELS,
        together: int = MOST_TOGETHER,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes, self._processes = [], []
        for share in shares:
            ours, theirs = context.Pipe()
            configs = [settings(length, batch, models, seeds, hidden, k) for k in share]
            arguments = (theirs, what, length, configs, threads, together)
            process = context.Process(target=work, args=arguments, daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Side:
        for pipe in self._pipes:
            pipe.recv()
        return self

    def __exit__(self, *error: object) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.send(None)
            process.join()

    def run(self, updates: int) -> float:
        """Seconds an update while all processes do so many; that of the slowest."""
        for pipe in self._pipes:
            pipe.send(updates)
        return max(pipe.recv() for pipe in self._pipes)


def recurrences_of(configs: Sequence[TrainConfig], length: int) -> Callable[[], object]:
    """The layers alone at their starts, forward and backward: with tanh no unit is off, and a member costs more."""
    data = Addition(length=length, train_size=1, test_size=1).load(0)
    rnns = [start_model(config, data).rnn for config in configs]
    layers = [
        stack([rnn for rnn in rnns if isinstance(rnn, RNN) and rnn.nonlinearity == name]) for name in ("relu", "tanh")
    ]
    xs = [torch.rand(layer.ensemble or 1, length, 1, data.input_size) for layer in layers]

    def run() -> None:
        for layer, x in zip(layers, xs, strict=True):
            h_n = layer.forward_padded(x)[1]
            torch.autograd.grad(h_n, [p for p in layer.parameters() if p.requires_grad], torch.ones_like(h_n))

    return run


def settings(length: int, batch: int, models: Sequence[str], seeds: int, hidden: int, number: int) -> TrainConfig:
    """Those of section 4.1 for one of the members; models change fastest."""
    seed, model = divmod(number, len(models))
    return TrainConfig(
        model=models[model],
        seed=seed % seeds,
        hidden=hidden,
        batch=batch,
        lr=1e-3,
        clip=10.0,
        cool_at=(),
        updates=10**9,
        eval_every=10**9,
    )


def work(pipe: Connection, what: str, length: int, configs: Sequence[TrainConfig], threads: int, together: int) -> None:
    """Train when told to, and tell how long an update took; in a process of its own."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    task = Addition(length=length)
    data = {seed: task.load(seed) for seed in {config.seed for config in configs}}
    with tempfile.TemporaryDirectory() as folder:
        if what == "plain":
            train = plain_loop(configs[0], data[configs[0].seed])
        else:
            members = [
                Member(c, data[c.seed], start_run("addition", task, c, data[c.seed], Path(folder))) for c in configs
            ]
            shards = [members[k : k + together] for k in range(0, len(members), together)]
            train = partial(one_after_another, shards)
        train(3)
        pipe.send("ready")
        while (updates := pipe.recv()) is not None:
            pipe.send(train(updates))


def one_after_another(shards: Sequence[Sequence[Member]], updates: int) -> float:
    """Seconds an update of all members, a shard at a time."""
    return sum(stretch(shard, updates) for shard in shards)


def plain_loop(config: TrainConfig, data: TaskData) -> Callable[[int], float]:
    """The loop that a researcher writes; a call trains for some updates and gives the seconds of each."""
    rnn = nn.RNN(data.input_size, config.hidden, nonlinearity="relu")
    head = nn.Linear(config.hidden, data.output_size)
    parameters = [*rnn.parameters(), *head.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=config.lr)
    loss_of = nn.MSELoss()

    def train(updates: int) -> float:
        start = time.perf_counter()
        for _ in range(updates):
            x, y, _ = data.train.batch(torch.randint(len(data.train), (config.batch,)))
            optimizer.zero_grad()
            states, _ = rnn(x)
            loss = loss_of(head(states[-1]).squeeze(-1), y)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, config.clip)
            optimizer.step()
            float(loss.detach())
        return (time.perf_counter() - start) / updates

    return train


def race(calls: dict[str, Callable[[int], float]], rounds: int, seconds: float) -> dict[str, Times]:
    """Each call's own seconds, in rounds of alternating order; so many updates a sample as take about ``seconds``."""
    updates = {}
    for name, call in calls.items():
        began = time.perf_counter()
        call(5)
        updates[name] = max(3, round(5 * seconds / (time.perf_counter() - began)))
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds):
        for name in list(calls) if number % 2 == 0 else reversed(list(calls)):
            samples[name].append(calls[name](updates[name]))
    return {name: Times(tuple(values)) for name, values in samples.items()}


def show(name: str, result: dict[str, Any]) -> None:
    """Times of an update of a member, and ratios against their targets."""
    times = ", ".join(f"{side} {value:.3g}" for side, value in result["microseconds"].items())
    console.print(f"{name}: µs an update of a member: {times}")
    for key, target in result["targets"].items():
        console.print(f"  {key} {result[key]:.3g} (target {target}: {'met' if result[key] >= target else 'missed'})")


if __name__ == "__main__":
    tyro.cli(main)
