"""nprnn export."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.table import Table

from nprnn.cli.common import CHECKPOINTS, RunFolder, WhichCheckpoint, console, parse
from nprnn.errors import ConfigError, DataError, RunError
from nprnn.export import Wanted, Written, export, network_of_run
from nprnn.export.format import Mode
from nprnn.tasks.base import TaskData
from nprnn.training import Trained, load_data, load_trained


@dataclasses.dataclass(frozen=True)
class _Arguments:
    run: RunFolder
    format: Annotated[
        Literal["onnx", "executorch", "c", "torch"],
        tyro.conf.arg(
            help="onnx: a graph with one RNN node a layer and direction (extra [onnx]); executorch: a program for "
            "phones (extra [mobile]); c: one C99 file without dependencies; torch: the state_dict of a torch.nn.RNN."
        ),
    ] = "onnx"
    mode: Annotated[
        Mode, tyro.conf.arg(help="Whole sequences in one call, or a step at a time with the state in and out.")
    ] = "sequence"
    int8: Annotated[
        bool, tyro.conf.arg(help="Weights of 8 bits; the ranges of numbers are taken from training sequences.")
    ] = False
    opset: Annotated[int | None, tyro.conf.arg(help="Of ONNX; None is the oldest that has all that is needed.")] = None
    checkpoint: WhichCheckpoint = "last"
    out: Annotated[Path | None, tyro.conf.arg(help="Folder to write; None is exports/NAME in the run folder.")] = None
    data_dir: Annotated[
        Path | None,
        tyro.conf.arg(aliases=["--data", "--store"], help="Where the data are, if no longer where they were."),
    ] = None
    test_sequences: Annotated[
        int | None, tyro.conf.arg(help="Compare on so many test sequences at most; None is the whole test set.")
    ] = None


def command_export(words: list[str]) -> int:
    """Write a trained network for elsewhere: ONNX, ExecuTorch, C or plain torch, run and compared before it is kept."""
    options = parse(_Arguments, words, "nprnn export", command_export.__doc__)
    if options.test_sequences is not None and options.test_sequences < 1:
        raise ConfigError(f"--test-sequences must be at least 1, got {options.test_sequences}")
    if options.opset is not None and options.format != "onnx":
        raise ConfigError(f"--opset is of ONNX; leave it out of --format {options.format}")
    trained = load_trained(options.run, CHECKPOINTS[options.checkpoint])
    network = network_of_run(trained)
    data = _data(trained, options)
    name = "-".join(
        [options.format]
        + (["step"] if options.mode == "step" else [])
        + (["int8"] if options.int8 else [])
        + (["best"] if options.checkpoint == "best" else [])
    )
    written = export(
        network,
        options.format,
        (options.out or trained.run.folder / "exports" / name).resolve(),
        Wanted(options.mode, "int8" if options.int8 else "float32", options.opset),
        data=data,
        sequences=options.test_sequences,
        facts={"checkpoint": options.checkpoint, "update": trained.update},
    )
    _tell(written, trained)
    return 0


def _data(trained: Trained, options: _Arguments) -> TaskData | None:
    """The task's data, or None where they are not found and nobody said where."""
    place = options.data_dir
    try:
        return load_data(trained.run, data_dir=place, data=place, store=place)
    except (DataError, RunError, ConfigError) as error:
        if place is not None or options.int8:
            raise
        console.print(f"the run's data cannot be read, so drawn inputs are used ({error})", markup=False)
        return None


def _tell(written: Written, trained: Trained) -> None:
    found = written.verification
    table = Table(title=f"{trained.config.model}, update {trained.update}", title_justify="left")
    table.add_column("")
    table.add_column("torch", justify="right")
    table.add_column("exported", justify="right")
    if found is None:
        console.print("not run here: see export.json for what this machine lacks")
    else:
        for metric, value in (found.expected or {}).items():
            table.add_row(metric, f"{value:.6g}", f"{(found.found or {})[metric]:.6g}")
        if found.agreement is not None:
            table.add_row("same class", "", f"{found.agreement:.3%}")
        table.add_row("greatest difference", "", f"{found.max_difference:.2g}")
        console.print(table)
        console.print(f"compared on {found.inputs}: {found.rows} answers", markup=False)
    for line in written.record["details"].get("told", []):
        console.print(line, markup=False, soft_wrap=True)
    weights, state = written.record["weight_bytes"], written.record["state_bytes"]
    console.print(f"weights {weights:,} bytes, state {state:,} bytes")
    for path in written.files:
        console.print(f"written: {path} ({path.stat().st_size:,} bytes)", markup=False, soft_wrap=True)
