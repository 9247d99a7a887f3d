"""Whole training steps of ``nprnn train TASK --preset paper``, against the same loop with ``torch.nn.RNN`` inside.

Both go through ``nprnn.training`` itself, in stretches of updates that alternate.  Beside them, in the same rounds, the
layer alone runs forward and backward on the shape of a batch: what is left of a step is the loop's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import tyro
from rich.console import Console
from torch import Tensor, nn

from nprnn.bench import Shape, Times, limited, line_up, make_record, ratio, write_record
from nprnn.bench.denormals import flushing
from nprnn.bench.records import FOLDER, script_command
from nprnn.bench.stretches import stretch
from nprnn.bench.threads import most_threads
from nprnn.bench.timing import sample
from nprnn.models import SequenceModel
from nprnn.rnn import freeze_bias_hh_
from nprnn.tasks import TaskData, find_task
from nprnn.training import Member, TrainConfig, find_preset, loop, start_model, start_run

LAYERS = ("nprnn", "torch")
console = Console(highlight=False)


def main(
    tasks: tuple[str, ...] = ("addition", "mnist"),
    preset: str = "paper",
    data_dir: Path | None = None,
    threads: int | None = None,
    rounds: int = 7,
    seconds: float = 2.0,
    out: Path = FOLDER / "end-to-end.json",
) -> None:
    """Time whole training steps with either layer, and how much of them is the layer's.

    Args:
        tasks: which, of those that have the preset.
        preset: settings of the task and the training.
        data_dir: folder with the MNIST files; None looks where ``nprnn train mnist`` does.
        threads: threads of both; None is one for each core.
        rounds: stretches of each layer.
        seconds: about how long a stretch lasts, with the slower layer.
        out: the record.
    """
    threads = most_threads() if threads is None else threads
    results = {}
    # As the command line has it.
    with limited(threads), flushing(True):
        for name in tasks:
            results[name] = compare(name, preset, data_dir, threads, rounds, seconds)
            show(name, results[name])
        record = make_record("end_to_end", script_command(__file__), threads, preset=preset, tasks=results)
    write_record(out, record)


def compare(
    name: str, preset_name: str, data_dir: Path | None, threads: int, rounds: int, seconds: float
) -> dict[str, Any]:
    """Updates a second with either layer, their ratio, and the share of the layer in a step."""
    preset = find_preset(name, preset_name)
    where = {"data_dir": data_dir} if name == "mnist" else {}
    task = find_task(name)(**preset.task, **where)
    # No evaluation falls into a stretch.
    longest = {"updates": 10**9, "eval_every": 10**9, "cool_at": ()}
    config = TrainConfig(**{**preset.for_model(TrainConfig.model), **longest})
    data = task.load(config.seed)
    batch = data.train.batch(torch.arange(config.batch))
    rivals, _ = line_up(Shape(name, len(batch.x), config.batch, data.input_size, config.hidden), threads, LAYERS)
    with tempfile.TemporaryDirectory() as folder:
        runs = {layer: start_run(name, task, config, data, Path(folder) / layer) for layer in LAYERS}
        train = {layer: partial(train_on, layer, [Member(config, data, run)]) for layer, run in runs.items()}
        updates = max(3, round(seconds / train["torch"](3)))
        samples: dict[str, list[float]] = {}
        for number in range(rounds):
            for layer in LAYERS if number % 2 == 0 else LAYERS[::-1]:
                samples.setdefault(layer, []).append(train[layer](updates))
                samples.setdefault(f"{layer} alone", []).append(sample(rivals[layer].run, updates))
    times = {what: Times(tuple(values)) for what, values in samples.items()}
    return {
        "updates": updates,
        "updates_per_second": {layer: 1 / times[layer].median for layer in LAYERS},
        "ratio": ratio(times["torch"], times["nprnn"]),
        "recurrence": {layer: ratio(times[f"{layer} alone"], times[layer]) for layer in LAYERS},
    }


def train_on(layer: str, members: Sequence[Member], updates: int) -> float:
    """Seconds an update of the loop with a layer."""
    with patch.object(loop, "start_model", start_model if layer == "nprnn" else start_torch):
        return stretch(members, updates)


def start_torch(config: TrainConfig, data: TaskData) -> SequenceModel:
    """The model of the loop, with torch's layer in it."""
    model: SequenceModel = start_model(config, data)
    layer = TorchLayer(config.hidden, data.input_size)
    layer.rnn.load_state_dict(model.rnn.state_dict())
    model.rnn = layer  # type: ignore[assignment]
    return model


class TorchLayer(nn.Module):
    """``torch.nn.RNN`` with the answers of ``torch.nn.LSTM``: the state is a tuple, as the model wants it."""

    def __init__(self, hidden: int, inputs: int) -> None:
        super().__init__()
        self.rnn = freeze_bias_hh_(nn.RNN(inputs, hidden, nonlinearity="relu"))

    def forward(self, x: Tensor, state: tuple[Tensor, ...] | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """States, and the last one."""
        y, h_n = self.rnn(x, None if state is None else state[0])
        return y, (h_n,)


def show(name: str, result: dict[str, Any]) -> None:
    """A task's result."""
    speeds = ", ".join(
        f"{layer} {result['updates_per_second'][layer]:.3g} ({100 * result['recurrence'][layer]:.0f} % recurrence)"
        for layer in LAYERS
    )
    console.print(f"{name}: updates a second: {speeds}; ratio {result['ratio']:.3g}x")


if __name__ == "__main__":
    tyro.cli(main)
