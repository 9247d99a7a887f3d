"""nprnn predict."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor

from nprnn.cli.common import CHECKPOINTS, OnDevice, RunFolder, WhichCheckpoint, console, parse
from nprnn.cli.predicting_videos import VideoOptions, predict_videos
from nprnn.devices import computing_on, find_device, move
from nprnn.errors import ConfigError, DataError, RunError
from nprnn.files import write_atomically
from nprnn.reporting import as_csv, prediction_rows
from nprnn.tasks.sequence_files import read_inputs
from nprnn.training import Trained, load_trained
from nprnn.video import SUFFIXES


@dataclasses.dataclass(frozen=True)
class _Arguments:
    run: RunFolder
    files: Annotated[
        tyro.conf.Positional[tuple[Path, ...]],
        tyro.conf.arg(
            metavar="FILE",
            help="For a run on videos (task ucf101): video files, and folders of them. For others: a .npz with x, a "
            "CSV file, or a folder of CSV files with an index.csv.",
        ),
    ]
    checkpoint: WhichCheckpoint = "last"
    out: Annotated[
        Path | None,
        tyro.conf.arg(
            help="Videos: folder for the pictures and scores; None is `predictions` in the run folder. Sequences: CSV "
            "file to write; None prints the table."
        ),
    ] = None
    device: OnDevice = "cpu"
    video: tyro.conf.OmitArgPrefixes[VideoOptions] = dataclasses.field(default_factory=VideoOptions)


def command_predict(words: list[str]) -> int:
    """Predict for new data: videos, with a picture of the scores over time, or sequences in .npz or CSV files."""
    options = parse(_Arguments, words, "nprnn predict", command_predict.__doc__)
    device = find_device(options.device)
    trained = load_trained(options.run, CHECKPOINTS[options.checkpoint])
    if not options.files:
        raise ConfigError("name what to predict for, behind the run folder")
    if trained.run.config.get("task") == "ucf101":
        if device.type != "cpu":
            raise ConfigError(f"videos are answered for on the CPU; leave out --device {device}")
        return predict_videos(trained, options.files, options.checkpoint, options.out, options.video)
    _check_sequences(trained, options)
    return _predict_sequences(trained, options.files[0], options.out, device)


def _check_sequences(trained: Trained, options: _Arguments) -> None:
    """Refuse what goes with videos only."""
    task = trained.run.config.get("task")
    if given := options.video.given():
        raise ConfigError(f"{', '.join(given)}: only for runs on videos; {trained.run.folder} is of task {task}")
    if len(options.files) > 1:
        raise ConfigError(f"a run of task {task} takes one file or folder at a time, got {len(options.files)}")
    if options.files[0].suffix.lower() in SUFFIXES:
        raise DataError(
            f"{options.files[0]} is a video, but {trained.run.folder} is of task {task}, which takes sequences: a .npz "
            "with x, a CSV file, or a folder of CSV files. Runs of task ucf101 take videos"
        )


def _predict_sequences(trained: Trained, file: Path, out: Path | None, device: torch.device) -> int:
    window, stride = _windows(trained)
    inputs = read_inputs(file, recording=window is not None)
    rows: list[dict[str, str | float]] = []
    model = trained.model.to(device)
    with torch.no_grad(), computing_on(device):
        for name, sequence in zip(inputs.names, inputs.sequences, strict=True):
            if sequence.shape[1] != trained.input_size:
                raise DataError(
                    f"{file}, sequence {name}: the model takes {trained.input_size} features a step, this has "
                    f"{sequence.shape[1]} (shape {sequence.shape})"
                )
            for label, part in _cut(name, torch.from_numpy(sequence), window, stride):
                output = model(move(part.unsqueeze(1), device), at=trained.at).cpu()
                rows += prediction_rows(
                    label, output.squeeze(1) if trained.at == "each" else output, trained.class_names
                )
    text = as_csv(rows)
    if out is None:
        console.print(text.rstrip("\n"), markup=False, soft_wrap=True)
        return 0
    try:
        write_atomically(out.resolve(), text.encode())
    except OSError as error:
        raise RunError(f"cannot write {out}: {error.strerror or error}") from error
    console.print(f"{len(rows)} predictions: {out}", markup=False, soft_wrap=True)
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
