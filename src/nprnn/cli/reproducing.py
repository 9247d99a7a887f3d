"""nprnn reproduce."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table

from nprnn.cli.common import console, parse
from nprnn.cli.sweeping import run_sweep
from nprnn.errors import ConfigError
from nprnn.experiments import (
    Experiment,
    Findings,
    Record,
    Scale,
    carry_out,
    catalogue,
    conclude,
    find_experiment,
    parse_experiment,
    read_record,
)
from nprnn.experiments.planes import (
    Planes,
    PlanesFindings,
    PlanesRecord,
    carry_out_planes,
    conclude_planes,
    parse_planes,
    read_planes_record,
)
from nprnn.reporting.planes import write_planes
from nprnn.reporting.selection import write_selection
from nprnn.sweep import cores


@dataclasses.dataclass(frozen=True)
class _Arguments:
    name: Annotated[
        tyro.conf.Positional[str | None],
        tyro.conf.arg(help="A table or figure of the paper, an experiment, or a TOML file of one; --list names them."),
    ] = None
    list: Annotated[bool, tyro.conf.arg(help="Only list what can be reproduced.")] = False
    store: Annotated[
        Path | None, tyro.conf.arg(help="Feature store with the clips; `nprnn features` and `nprnn import` make one.")
    ] = None
    scale: Annotated[
        Scale, tyro.conf.arg(help="paper: all of it. quick: the first seed of the arm whose runs are tested.")
    ] = "paper"
    out: Annotated[
        Path | None, tyro.conf.arg(help="Folder for record, pictures and page; None is results/ and the experiment.")
    ] = None
    runs: Annotated[
        Path | None, tyro.conf.arg(help="Folder of the runs; None is runs/reproduce/ and the experiment.")
    ] = None
    workers: Annotated[int | None, tyro.conf.arg(help="Processes at once; None is one for each core.")] = None
    report_only: Annotated[bool, tyro.conf.arg(help="Train nothing: draw what the record in the folder holds.")] = False


def command_reproduce(words: list[str]) -> int:
    """Redo a table or figure of the paper: train, choose, test, and draw it beside the paper's."""
    options = parse(_Arguments, words, "nprnn reproduce", command_reproduce.__doc__)
    if options.list:
        console.print(_catalogue())
        return 0
    if options.name is None:
        raise ConfigError("name what to reproduce; `nprnn reproduce --list` lists what there is")
    experiment = find_experiment(options.name)
    folder = experiment.key if options.scale == "paper" else f"{experiment.key}-{options.scale}"
    out = options.out or Path("results") / folder
    match experiment:
        case Experiment():
            return _selection(experiment, options, out, words)
        case Planes():
            return _planes(experiment, options, out, words)


def _selection(experiment: Experiment, options: _Arguments, out: Path, words: list[str]) -> int:
    if options.report_only:
        record = read_record(out)
        _show(record, out)
        return 0
    if options.store is None:
        raise ConfigError(
            f"{experiment.key} needs the features of its clips: name their store with --store; docs/reproduction.md "
            "tells how one is made"
        )
    workers = cores() if options.workers is None else options.workers
    if workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}")
    found, status = carry_out(
        experiment,
        options.store,
        options.runs or Path("runs") / "reproduce" / experiment.key,
        out,
        scale=options.scale,
        train=lambda file, runs: run_sweep(file, runs, workers),
        tell=_say,
        command=["nprnn", "reproduce", *words],
    )
    if found is not None:
        _show(found, out)
    return status


def _planes(experiment: Planes, options: _Arguments, out: Path, words: list[str]) -> int:
    given = {"store": options.store, "runs": options.runs, "workers": options.workers}
    if unused := [f"--{name}" for name, value in given.items() if value is not None]:
        raise ConfigError(f"{experiment.key} trains nothing and reads no data: leave out {', '.join(unused)}")
    if options.report_only:
        record = read_planes_record(out)
    else:
        command = ["nprnn", "reproduce", *words]
        record = carry_out_planes(experiment, out, scale=options.scale, tell=_say, command=command)
    _show_planes(record, out)
    return 0


def _show(record: Record, out: Path) -> None:
    findings = conclude(record, parse_experiment(record.key, record.experiment).at(record.scale))
    written = write_selection(findings, out, record.command)
    _tell(findings)
    _say_written(written)


def _show_planes(record: PlanesRecord, out: Path) -> None:
    findings = conclude_planes(record, parse_planes(record.key, record.experiment).at(record.scale))
    written = write_planes(findings, out, record.command)
    _tell_planes(findings)
    _say_written(written)


def _say_written(written: list[Path]) -> None:
    _say(f"page to open: {written[0]}")
    for path in written[1:]:
        _say(f"written: {path}")


def _tell(findings: Findings) -> None:
    """Table and verdicts in the terminal."""
    table = Table(title=f"{findings.experiment.title}, {findings.scale}", title_justify="left")
    for name in ("model", "chosen by", "setting", "validation", "test, 95 % interval", "parameters"):
        table.add_column(name)
    for row in findings.rows:
        setting = ", ".join(f"{key} {value:g}" for key, value in row.setting.items())
        test = f"{row.test.value:.1%} ({row.test.low:.1%} to {row.test.high:.1%})"
        share = f"{row.parameters:,} (×{row.times:.1f})"
        table.add_row(row.model, row.chosen_by, setting, f"{row.validation.value:.1%}", test, share)
    console.print(table)
    for verdict in findings.verdicts:
        d = verdict.difference
        measured = "" if d is None else f": {100 * d.value:+.1f} points ({100 * d.low:+.1f} to {100 * d.high:+.1f})"
        outcome = (verdict.outcome or "not run").upper()
        _say(f"{outcome}: {verdict.claim.says} [{verdict.chosen_by}]{measured}")


def _tell_planes(findings: PlanesFindings) -> None:
    """The growth table and the verdicts in the terminal."""
    sizes = findings.experiment.growth.sizes
    grown = {(row.scheme, row.hidden): f"{row.growth:.4f}" for row in findings.rows}
    table = Table(title=f"gradient growth per step at the start, {findings.scale}", title_justify="left")
    for name in ("start", *(f"N = {size}" for size in sizes)):
        table.add_column(name, justify="left" if name == "start" else "right")
    for start in findings.starts:
        table.add_row(start, *(grown.get((start, size), "–") for size in sizes))
    console.print(table)
    for fate in findings.fates:
        told = "HOLDS" if fate.holds else "DOES NOT HOLD"
        plane = fate.plane
        _say(f"{told}: ({plane.case}) {fate.case.says} [{plane.frame}]: {plane.fate}, {plane.growth:.3g} a step")
    for number in findings.numbers:
        expected = number.expected
        measured = "not measured" if number.measured is None else f"{number.measured:.4f}"
        bounds = f"{expected.value:g} ± {expected.within:g}, {expected.source}"
        outcome = number.outcome or "NOT MEASURED"
        _say(f"{outcome}: {expected.scheme}, N = {expected.hidden}, {expected.quantity} {measured} ({bounds})")


def _catalogue() -> Table:
    table = Table()
    for name in ("name", "what it is", "runs, quick", "runs, paper", "takes"):
        table.add_column(name)
    for experiment in catalogue().values():
        counts = [str(experiment.at(scale).runs or "none") for scale in ("quick", "paper")]
        names = ", ".join(dict.fromkeys((experiment.key, *experiment.names)))
        table.add_row(names, experiment.title, *counts, experiment.takes)
    return table


def _say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
