"""From a trained run to a folder with a file that was run and found to be the same network."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nprnn.errors import ConfigError, RunError, unknown
from nprnn.export.c_format import write_c
from nprnn.export.executorch_format import write_executorch
from nprnn.export.footprint import footprint
from nprnn.export.format import Exported, Wanted, Writer
from nprnn.export.network import Network, network_of
from nprnn.export.onnx_format import write_onnx
from nprnn.export.torch_format import write_torch
from nprnn.export.verifying import Verification, demand, verify_on_data, verify_on_drawn
from nprnn.files import write_atomically
from nprnn.tasks.base import TaskData
from nprnn.training import Trained, environment

FORMATS: dict[str, Writer] = {
    "onnx": write_onnx,
    "executorch": write_executorch,
    "c": write_c,
    "torch": write_torch,
}
RECORD = "export.json"
# Training sequences that ranges of numbers are taken from.
CALIBRATION = 256


@dataclass(frozen=True)
class Written:
    """An export that was verified and is in its place.

    Attributes:
        folder: where it is.
        files: what is in it, what is shipped first.
        verification: how it compares with the network.
        record: what ``export.json`` in the folder says.
    """

    folder: Path
    files: tuple[Path, ...]
    verification: Verification | None
    record: Mapping[str, Any]


def network_of_run(trained: Trained) -> Network:
    """What is exported of a run.

    Raises:
        InputError: an LSTM, or weights that are no finite numbers.
    """
    model = trained.model
    about = {
        "nprnn.run": trained.run.folder.name,
        "nprnn.task": str(trained.run.config.get("task")),
        "nprnn.model": trained.config.model,
        "nprnn.update": str(trained.update),
        "nprnn.version": str(environment()["nprnn"]),
    }
    return network_of(
        model.rnn,
        model.head,  # type: ignore[arg-type]  # a run's model is no ensemble
        at=trained.at,
        mean=model.input_mean,
        scale=model.input_scale,
        class_names=trained.class_names,
        about=about,
    )


def export(
    network: Network,
    name: str,
    folder: Path,
    wanted: Wanted,
    *,
    data: TaskData | None = None,
    sequences: int | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Written:
    """Write a network in a format, run what was written, and put it in place if it is the same network.

    Args:
        network: the network.
        name: a key of ``FORMATS``.
        folder: where the files go; an export that is there already is replaced once the new one is found right.
        wanted: mode and precision; calibration is taken from ``data`` where it is needed.
        data: the task, to compare on its test set and, for int8, to calibrate on its training set; None compares on
            drawn inputs.
        sequences: of the test set at most; None is all.
        facts: JSON values for the record.

    Returns:
        What was written.

    Raises:
        ConfigError: unknown format, options that it does not have, or int8 without data.
        RunError: the folder cannot be written, is something else, or what was written is not the network.
    """
    if name not in FORMATS:
        raise unknown("format", name, FORMATS)
    if wanted.precision == "int8" and wanted.calibration is None:
        if data is None:
            raise ConfigError("int8 needs the task's data, for the ranges of the numbers; tell where with --data-dir")
        wanted = replace(wanted, calibration=calibration(data))
    try:
        _check_place(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            fresh = Path(scratch) / folder.name
            fresh.mkdir()
            exported = FORMATS[name](network, fresh, wanted)
            verification = _verified(network, exported, wanted, data, sequences)
            record = _record(network, name, wanted, exported, verification, facts or {})
            write_atomically(fresh / RECORD, json.dumps(record, indent=1).encode())
            files = tuple(folder / path.relative_to(fresh) for path in exported.files)
            _put(fresh, folder, Path(scratch))
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror or error}") from error
    return Written(folder, files, verification, record)


def calibration(data: TaskData) -> tuple[Tensor, Tensor | None]:
    """Some training sequences, evenly from the whole set: inputs [T, B, I] and lengths [B] or None."""
    count = min(CALIBRATION, len(data.train))
    batch = data.train.batch(torch.linspace(0, len(data.train) - 1, count).long())
    return batch.x, batch.lengths


def _verified(
    network: Network, exported: Exported, wanted: Wanted, data: TaskData | None, sequences: int | None
) -> Verification | None:
    if exported.answer is None:
        return None
    if data is None:
        verification = verify_on_drawn(network, exported.answer)
    else:
        verification = verify_on_data(network, exported.answer, data, sequences)
    demand(verification, wanted.precision)
    return verification


def _record(
    network: Network,
    name: str,
    wanted: Wanted,
    exported: Exported,
    verification: Verification | None,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "format": name,
        "mode": wanted.mode,
        "precision": wanted.precision,
        "files": {path.name: path.stat().st_size for path in exported.files},
        "weight_bytes": exported.weight_bytes,
        "state_bytes": exported.state_bytes,
        "network": {
            "input_size": network.input_size,
            "hidden_size": network.hidden_size,
            "output_size": network.output_size,
            "layers": len(network.layers),
            "directions": network.directions,
            "nonlinearity": network.nonlinearity,
            "at": network.at,
        },
        "about": dict(network.about),
        "verification": None if verification is None else verification.as_record(),
        "details": dict(exported.details),
        "footprint": footprint(network, exported.answer),
        **facts,
        "env": environment(),
    }


def _check_place(folder: Path) -> None:
    """Refuse to replace what is no export."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise RunError(f"{folder} is there and is no folder; name another with --out")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / RECORD).is_file():
        raise RunError(f"{folder} holds something else than an export (it has no {RECORD}); name another with --out")


def _put(fresh: Path, folder: Path, scratch: Path) -> None:
    try:
        if folder.exists():
            folder.rename(scratch / "old")
        fresh.rename(folder)
    # Ctrl-C too: the scratch folder goes with all that is in it.
    except BaseException:
        if not folder.exists() and (scratch / "old").exists():
            (scratch / "old").rename(folder)
        raise
    shutil.rmtree(scratch / "old", ignore_errors=True)
