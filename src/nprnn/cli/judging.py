"""nprnn eval and nprnn predict."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from torch import Tensor

from nprnn.cli.common import CHECKPOINTS, RunFolder, WhichCheckpoint, console, parse
from nprnn.errors import DataError, RunError
from nprnn.files import write_atomically
from nprnn.reporting import as_csv, judge, judgement_picture, judgement_tables, metrics_table, prediction_rows
from nprnn.tasks.sequence_files import read_inputs
from nprnn.training import Trained, environment, evaluate, load_data, load_trained, predict


def command_eval(words: list[str]) -> int:
    """Evaluate a run on the task's test set: metrics, the confusion matrix or errors, and a picture of them."""

    @dataclasses.dataclass(frozen=True)
    class Arguments:
        run: RunFolder
        checkpoint: WhichCheckpoint = "last"
        data_dir: Annotated[
            Path | None,
            tyro.conf.arg(aliases=["--data", "--store"], help="Where the data are, if no longer where they were."),
        ] = None

    options = parse(Arguments, words, "nprnn eval", command_eval.__doc__)
    trained = load_trained(options.run, CHECKPOINTS[options.checkpoint])
    data = load_data(trained.run, data_dir=options.data_dir, data=options.data_dir, store=options.data_dir)
    targets = {"at": trained.at, "steps_have_targets": data.steps_have_targets}
    metrics = evaluate(trained.model, data.test, data.objective, **targets)  # type: ignore[arg-type]
    outputs, truth = predict(trained.model, data.test, **targets)  # type: ignore[arg-type]
    found = judge(outputs, truth, trained.class_names)

    rows = {"test": metrics, "constant answer": dict(data.objective.baseline)}
    console.print(
        metrics_table(f"{trained.config.model}, update {trained.update}, {len(data.test)} test sequences", rows)
    )
    for table in judgement_tables(found):
        console.print(table)
    result: dict[str, Any] = {
        "checkpoint": options.checkpoint,
        "update": trained.update,
        "sequences": len(data.test),
        "test": metrics,
        **found.as_record(),
        "env": environment(),
    }
    suffix = "" if options.checkpoint == "last" else "-best"
    path = trained.run.write(f"eval{suffix}.json", json.dumps(result, indent=1).encode())
    picture = trained.run.write(f"eval{suffix}.png", judgement_picture(found))
    console.print(f"written to {path} and {picture}", markup=False, soft_wrap=True)
    return 0


def command_predict(words: list[str]) -> int:
    """Predict for new sequences: an .npz with x, a CSV file, or a folder of CSV files with an index.csv."""

    @dataclasses.dataclass(frozen=True)
    class Arguments:
        run: RunFolder
        file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="The sequences.")]
        checkpoint: WhichCheckpoint = "last"
        out: Annotated[Path | None, tyro.conf.arg(help="CSV file to write; None prints the table.")] = None

    options = parse(Arguments, words, "nprnn predict", command_predict.__doc__)
    trained = load_trained(options.run, CHECKPOINTS[options.checkpoint])
    window, stride = _windows(trained)
    inputs = read_inputs(options.file, recording=window is not None)
    rows: list[dict[str, str | float]] = []
    with torch.no_grad():
        for name, sequence in zip(inputs.names, inputs.sequences, strict=True):
            if sequence.shape[1] != trained.input_size:
                raise DataError(
                    f"{options.file}, sequence {name}: the model takes {trained.input_size} features a step, this has "
                    f"{sequence.shape[1]} (shape {sequence.shape})"
                )
            for label, part in _cut(name, torch.from_numpy(sequence), window, stride):
                output = trained.model(part.unsqueeze(1), at=trained.at)
                rows += prediction_rows(
                    label, output.squeeze(1) if trained.at == "each" else output, trained.class_names
                )
    text = as_csv(rows)
    if options.out is None:
        console.print(text.rstrip("\n"), markup=False, soft_wrap=True)
        return 0
    try:
        write_atomically(options.out.resolve(), text.encode())
    except OSError as error:
        raise RunError(f"cannot write {options.out}: {error.strerror or error}") from error
    console.print(f"{len(rows)} predictions: {options.out}", markup=False, soft_wrap=True)
    return 0


def _windows(trained: Trained) -> tuple[int | None, int]:
    """Length and stride of the windows the model was trained on; None for whole sequences."""
    settings = trained.run.config["task_config"]
    window = settings.get("window")
    return window, settings.get("stride") or window or 1


def _cut(name: str, sequence: Tensor, window: int | None, stride: int) -> Iterator[tuple[str, Tensor]]:
    """The windows of a sequence, or all of it, with names that tell their steps."""
    if window is None:
        yield name, sequence
        return
    if len(sequence) < window:
        raise DataError(f"sequence {name} has {len(sequence)} steps, but the model was trained on windows of {window}")
    for first in range(0, len(sequence) - window + 1, stride):
        yield f"{name}[{first}:{first + window}]", sequence[first : first + window]
