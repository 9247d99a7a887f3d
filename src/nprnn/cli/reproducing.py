"""nprnn reproduce."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table

from nprnn.cli.common import OnDevice, console, parse
from nprnn.cli.findings_told import say
from nprnn.cli.reproductions import Asked, reproduce
from nprnn.devices import find_device
from nprnn.errors import AbsentDataError, ConfigError, DataError
from nprnn.experiments import RECORD, AnyExperiment, Experiment, Scale, catalogue, find_experiment
from nprnn.experiments.procedure import STOPPED

ALL = "all"
# Of data, as of every error in what was asked.
_UNUSABLE = 2


@dataclasses.dataclass(frozen=True)
class _Arguments:
    name: Annotated[
        tyro.conf.Positional[str | None],
        tyro.conf.arg(help="A table or figure, an experiment, a TOML file of one, or all; --list names them."),
    ] = None
    list: Annotated[bool, tyro.conf.arg(help="Only list what can be reproduced, and what it takes where measured.")] = (
        False
    )
    store: Annotated[
        Path | None, tyro.conf.arg(help="Feature store with the clips; `nprnn features` and `nprnn import` make one.")
    ] = None
    scale: Annotated[
        Scale,
        tyro.conf.arg(
            help="How much: paper is all of it; half, where there is one, and quick are parts, of fewer seeds, lengths "
            "or sizes. --list tells what each takes."
        ),
    ] = "paper"
    out: Annotated[
        Path | None,
        tyro.conf.arg(help="Folder for record, pictures and page, of all their parent; None is in results/."),
    ] = None
    runs: Annotated[Path | None, tyro.conf.arg(help="Folder of the runs; None is in runs/reproduce/.")] = None
    kept: Annotated[
        Path | None,
        tyro.conf.arg(
            help="Where runs that have begun are kept too, to be committed and brought back; None is in state/ beside "
            "the folder of --out, without --out in results/state/."
        ),
    ] = None
    workers: Annotated[
        int | None, tyro.conf.arg(help="Processes at once; None is one for each core, or one on a CUDA device.")
    ] = None
    device: OnDevice = "cpu"
    report_only: Annotated[bool, tyro.conf.arg(help="Train nothing: draw what the record in the folder holds.")] = False
    collect: Annotated[
        bool,
        tyro.conf.arg(help="Train nothing: take down what runs have reached, even while they run; draw that."),
    ] = False


def command_reproduce(words: list[str]) -> int:
    """Redo a table or figure of the paper: train, choose, test, and draw it beside the paper's."""
    options = parse(_Arguments, words, "nprnn reproduce", command_reproduce.__doc__)
    find_device(options.device)
    if options.list:
        console.print(_catalogue(list(catalogue().values())))
        return 0
    if options.name is None:
        raise ConfigError("name what to reproduce; `nprnn reproduce --list` lists what there is")
    if options.name == ALL:
        return _all(options, words)
    experiment = find_experiment(options.name)
    if options.scale not in experiment.scales:
        raise ConfigError(f"{experiment.key} has no scale {options.scale}; it has {', '.join(experiment.scales)}")
    return reproduce(experiment, _asked(options, experiment, options.out, words))


def _all(options: _Arguments, words: list[str]) -> int:
    """Everything that can be: what lacks its data, its scale or its record is named and left out.

    Data that are there and cannot be used are an error; what does not need them is done all the same.
    """
    status, tried = 0, 0
    for experiment in catalogue().values():
        out = None if options.out is None else options.out / _folder(experiment, options.scale)
        asked = _asked(options, experiment, out, words)
        if options.report_only and not (asked.out / RECORD).exists():
            say(f"{experiment.key}: no record in {asked.out}; left out")
        elif options.scale not in experiment.scales and not options.report_only:
            say(f"{experiment.key}: no scale {options.scale}; left out")
        elif isinstance(experiment, Experiment) and options.store is None and not options.report_only:
            say(f"{experiment.key}: needs --store; left out")
        else:
            try:
                found = reproduce(experiment, asked)
            except AbsentDataError as error:
                say(f"{experiment.key}: {error}; left out")
                continue
            except DataError as error:
                say(f"{experiment.key} FAILED: {error}")
                found = _UNUSABLE
            status, tried = max(status, found), tried + 1
            if status in STOPPED:
                break
    if not tried:
        raise ConfigError("nothing to reproduce: everything was left out")
    return status


def _asked(options: _Arguments, experiment: AnyExperiment, out: Path | None, words: Sequence[str]) -> Asked:
    return Asked(
        out=out or Path("results") / _folder(experiment, options.scale),
        store=options.store,
        scale=options.scale,
        runs=options.runs,
        kept=options.kept,
        workers=options.workers,
        device=options.device,
        report_only=options.report_only,
        collect=options.collect,
        command=("nprnn", "reproduce", *words),
        one_of_all=options.name == ALL,
    )


def _folder(experiment: AnyExperiment, scale: Scale) -> str:
    """Of an experiment's record: a part that is trained otherwise has one of its own."""
    return f"{experiment.key}-quick" if scale == "quick" else experiment.key


def _catalogue(known: Sequence[AnyExperiment]) -> Table:
    table = Table()
    for name in ("name", "what it is", "scale", "runs", "takes"):
        table.add_column(name)
    for experiment in known:
        names = ", ".join(dict.fromkeys((experiment.key, *experiment.names)))
        first = [names, experiment.title]
        for scale in experiment.scales:
            table.add_row(*first, scale, str(experiment.count(scale) or "none"), experiment.lasts(scale))
            first = ["", ""]
    return table
