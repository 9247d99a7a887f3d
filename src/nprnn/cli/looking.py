"""nprnn runs, nprnn report and nprnn info."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro
from rich.markup import escape
from rich.table import Table

import nprnn
from nprnn.cli.common import console, parse
from nprnn.devices import cuda_status
from nprnn.errors import ConfigError
from nprnn.models import MODELS
from nprnn.reporting import (
    Report,
    assemble,
    find_runs,
    metrics_table,
    run_state,
    write_picture,
    write_record,
    write_report,
    write_tables,
)
from nprnn.reporting.explained import FEW
from nprnn.tasks import TASKS
from nprnn.training import environment

# A terminal shows no more runs one by one.
SHOWN_RUNS = 30
# Nor folders left out for one and the same reason.
SHOWN_ALIKE = 3


def command_runs(words: list[str]) -> int:
    """List the runs in a folder with their state."""

    @dataclasses.dataclass(frozen=True)
    class Arguments:
        folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="Folder of run folders.")] = Path("runs")

    options = parse(Arguments, words, "nprnn runs", command_runs.__doc__)
    table = Table()
    for name in ("run", "state", "updates", "metric", "test (or valid), final"):
        table.add_column(name, overflow="fold")
    for folder in sorted(path.parent for path in options.folder.glob("*/config.json")):
        table.add_row(*map(escape, (folder.name, *run_state(folder))))
    if not table.row_count:
        raise ConfigError(f"{options.folder} holds no run (a run has a config.json)")
    console.print(table)
    return 0


def command_report(words: list[str]) -> int:
    """Write one HTML file on some runs: learning curves, sensitivity to settings, success rates, tables."""

    @dataclasses.dataclass(frozen=True)
    class Arguments:
        runs: Annotated[
            tyro.conf.Positional[tuple[Path, ...]],
            tyro.conf.arg(
                help="Run folders, or folders of them. Of a sweep's folder those that its sweep.toml asks for."
            ),
        ]
        out: Annotated[Path, tyro.conf.arg(help="The file to write.")] = Path("report.html")
        keys: Annotated[
            tuple[str, ...], tyro.conf.arg(help="One or two settings to draw over; left out, those that vary most.")
        ] = ()
        success: Annotated[
            str | None,
            tyro.conf.arg(
                help="When a run succeeded, by the test metrics of its last iterate, such as 'mse<0.01' (quote it). "
                "None: an mse below a tenth of the constant answer's, an accuracy past halfway from its share to 1."
            ),
        ] = None
        csv: Annotated[Path | None, tyro.conf.arg(help="Folder for the numbers behind the pictures as CSV.")] = None
        json: Annotated[Path | None, tyro.conf.arg(help="File for the results as JSON.")] = None
        heatmap: Annotated[Path | None, tyro.conf.arg(help="File for the sensitivity picture as a PNG.")] = None

    options = parse(Arguments, words, "nprnn report", command_report.__doc__)
    if not options.runs:
        raise ConfigError("name at least one run folder, or a folder of runs")
    found = find_runs(options.runs)
    report = assemble(found, keys=options.keys, success=options.success, named=options.runs)
    picture = None if options.heatmap is None else report.sensitivity()
    _tell(report)
    written = [write_report(report, options.out)]
    if options.csv is not None:
        written += write_tables(report, options.csv)
    if options.json is not None:
        written.append(write_record(report, options.json, ["nprnn", "report", *words]))
    if options.heatmap is not None and picture is not None:
        written.append(write_picture(picture, options.heatmap))
    _say(f"{report.runs} runs, report to open: {written[0]}")
    for path in written[1:]:
        _say(f"written: {path}")
    return 0


def _tell(report: Report) -> None:
    """The report in the terminal: a row a run, or a row a model where runs are many; and what is not in it."""
    for section in report.sections:
        study = section.study
        if len(study.members) <= SHOWN_RUNS:
            rows = {f"{study.label(m)}, update {m.records[-1]['update']}": m.final for m in study.members if m.records}
            console.print(metrics_table(study.title, {**rows, "constant answer": study.baseline}))
        if section.criterion and section.rates and len(study.members) > 1:
            table = Table(
                title=escape(f"{study.title}: success is {study.side} {section.criterion}"), title_justify="left"
            )
            for name in ("model", "succeeded", "rate, 95 % interval", "diverged", "settings solved"):
                table.add_column(name, justify="left" if name == "model" else "right")
            for r in section.rates:
                interval = f"{r.rate:.3f} ({r.low:.3f} to {r.high:.3f})"
                counts = (f"{r.successes} of {r.runs}", interval, str(r.diverged), f"{r.solved} of {r.settings}")
                table.add_row(escape(r.model), *counts)
            console.print(table)
        if section.few:
            _say(f"no success rate of {', '.join(section.few)}: fewer than {FEW} runs have ended")
        unfinished = sum(not m.ended for m in study.members)
        if unfinished:
            _say(f"NOT FINISHED: {unfinished} of {len(study.members)} runs, left out of means and rates")
    alike: dict[str, list[str]] = {}
    for entry in report.left_out:
        alike.setdefault(entry.reason, []).append(entry.folder)
    for reason, names in alike.items():
        if len(names) <= SHOWN_ALIKE:
            for name in names:
                _say(f"LEFT OUT: {name}: {reason}")
        else:
            more = f"and {len(names) - SHOWN_ALIKE} more"
            _say(f"LEFT OUT: {len(names)} runs: {', '.join(names[:SHOWN_ALIKE])} {more}: {reason}")
    for note in report.notes:
        _say(f"note: {note}")
    for entry in report.harmed:
        _say(entry.reason)


def _say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)


def command_info(words: list[str]) -> int:
    """Tell versions, kernels, tasks and models."""
    parse(dataclasses.make_dataclass("Arguments", []), words, "nprnn info", command_info.__doc__)
    rows = {key: value for key, value in environment().items() if key not in ("command", "started")}
    rows |= {"device: cuda": cuda_status()}
    rows |= {f"kernel: {name}": status for name, status in nprnn.backend_status().items()}
    rows |= {"tasks": ", ".join(TASKS), "models": ", ".join(MODELS)}
    for key, value in rows.items():
        console.print(f"{key:<22} {value}", markup=False)
    return 0
