"""Whole training steps of ``nprnn train TASK --preset paper``, against the same loop with ``torch.nn.RNN`` inside.

Both go through ``nprnn.training.train`` itself, in stretches of updates that alternate; the time counts from the first
update of a stretch to its last, so that checkpoints do not. A further stretch of each is profiled.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from nprnn.bench import Times, limited, make_record, ratio, write_record
from nprnn.bench.denormals import flushing
from nprnn.bench.probe import PARTS, Probe
from nprnn.bench.records import FOLDER, script_command
from nprnn.bench.threads import most_threads
from nprnn.models import SequenceModel
from nprnn.rnn import freeze_bias_hh_
from nprnn.tasks import TaskData, find_task
from nprnn.training import TrainConfig, find_preset, loop, start_run

LAYERS = ("nprnn", "torch")
console = Console(highlight=False)


def main(
    tasks: tuple[str, ...] = ("addition", "mnist"),
    preset: str = "paper",
    data_dir: Path | None = None,
    threads: int | None = None,
    stretches: int = 7,
    seconds: float = 2.0,
    out: Path = FOLDER / "end-to-end.json",
) -> None:
    """Time whole training steps with either layer, and tell where the time goes.

    Args:
        tasks: which, of those that have the preset.
        preset: settings of the task and the training.
        data_dir: folder with the MNIST files; None looks where ``nprnn train mnist`` does.
        threads: threads of both; None is one for each core.
        stretches: how many of each layer.
        seconds: about how long a stretch lasts, with the slower layer.
        out: the record.
    """
    threads = most_threads() if threads is None else threads
    results = {}
    # As the command line has it.
    with limited(threads), flushing(True):
        for name in tasks:
            results[name] = compare(name, preset, data_dir, stretches, seconds)
            show(name, results[name])
        record = make_record("end_to_end", script_command(__file__), threads, preset=preset, tasks=results)
    write_record(out, record)


def compare(name: str, preset_name: str, data_dir: Path | None, stretches: int, seconds: float) -> dict[str, Any]:
    """Updates a second with either layer, their ratio, and a profile of each."""
    preset = find_preset(name, preset_name)
    where = {"data_dir": data_dir} if name == "mnist" else {}
    task = find_task(name)(**preset.task, **where)
    config = TrainConfig(**preset.for_model(TrainConfig.model))
    # No evaluation falls into a stretch.
    config = dataclasses.replace(config, eval_every=config.updates)
    data = task.load(config.seed)
    with tempfile.TemporaryDirectory() as folder:
        trainings = {
            layer: Training(partial(start_run, name, task, config, data, Path(folder) / layer), config, data, layer)
            for layer in LAYERS
        }
        for training in trainings.values():
            training.stretch(3)
        updates = max(3, round(seconds / trainings["torch"].stretch(5)))
        samples: dict[str, list[float]] = {layer: [] for layer in LAYERS}
        for number in range(stretches):
            for layer in LAYERS if number % 2 == 0 else LAYERS[::-1]:
                samples[layer].append(trainings[layer].stretch(updates))
        times = {layer: Times(tuple(values)) for layer, values in samples.items()}
        profiles = {layer: trainings[layer].profile(updates) for layer in LAYERS}
    return {
        "updates": updates,
        "updates_per_second": {layer: 1 / time.median for layer, time in times.items()},
        "ratio": ratio(times["torch"], times["nprnn"]),
        "profile": profiles,
    }


class Training:
    """A run that is trained a stretch at a time."""

    def __init__(self, open_run: Callable[[], Any], config: TrainConfig, data: TaskData, layer: str) -> None:
        self.open_run = open_run
        self.config = config
        self.data = data
        self.layer = layer
        self.done = 0

    def stretch(self, updates: int, start_model: Callable[..., SequenceModel] | None = None) -> float:
        """Train on for so many updates (and one that is not timed); seconds an update."""
        clock = Clock()
        self.done += updates + 1
        with patch.object(loop, "start_model", start_model or self.start_model):
            loop.train(self.config, self.data, self.open_run(), stop_after=self.done, listener=clock)
        return (clock.last - clock.first) / updates

    def start_model(self, config: TrainConfig, data: TaskData, start: Any = loop.start_model) -> SequenceModel:
        """The model of the loop, with the layer that is asked for."""
        model: SequenceModel = start(config, data)
        if self.layer == "torch":
            layer = TorchLayer(config.hidden, data.input_size)
            layer.rnn.load_state_dict(model.rnn.state_dict())
            model.rnn = layer  # type: ignore[assignment]
        return model

    def profile(self, updates: int) -> dict[str, float]:
        """The share of each part in the time of an update."""
        probe = Probe()
        original, self.data = self.data, probe.of_data(self.data)
        with probe.watching(loop):
            each = self.stretch(updates, lambda config, data: probe.of_model(self.start_model(config, data)))
        self.data = original
        return probe.shares(each * (updates + 1))


class TorchLayer(nn.Module):
    """``torch.nn.RNN`` with the answers of ``torch.nn.LSTM``: the state is a tuple, as the model wants it."""

    def __init__(self, hidden: int, inputs: int) -> None:
        super().__init__()
        self.rnn = freeze_bias_hh_(nn.RNN(inputs, hidden, nonlinearity="relu"))

    def forward(self, x: Tensor, state: tuple[Tensor, ...] | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """States, and the last one."""
        y, h_n = self.rnn(x, None if state is None else state[0])
        return y, (h_n,)


class Clock:
    """A listener that looks at the clock after the first update and after the last."""

    first = last = 0.0

    def on_update(self, update: int, loss: float) -> None:
        """Remember when."""
        self.last = time.perf_counter()
        self.first = self.first or self.last

    def on_record(self, record: dict[str, Any]) -> None:
        """Nothing is evaluated."""


def show(name: str, result: dict[str, Any]) -> None:
    """A task's result."""
    table = Table("share of a step", *LAYERS, title=name, title_justify="left")
    for part in PARTS:
        table.add_row(part, *(f"{100 * result['profile'][layer][part]:.1f} %" for layer in LAYERS))
    console.print(table)
    speeds = ", ".join(f"{layer} {result['updates_per_second'][layer]:.3g}" for layer in LAYERS)
    console.print(f"updates a second: {speeds}; ratio {result['ratio']:.3g}x")


if __name__ == "__main__":
    tyro.cli(main)
