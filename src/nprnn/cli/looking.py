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
from nprnn.errors import ConfigError
from nprnn.models import MODELS
from nprnn.reporting import by_task, find_runs, metrics_table, run_state, write_report
from nprnn.tasks import TASKS
from nprnn.training import environment


def command_runs(words: list[str]) -> int:
    """List the runs in a folder with their state."""

    @dataclasses.dataclass(frozen=True)
    class Arguments:
        folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="Folder of run folders.")] = Path("runs")

    options = parse(Arguments, words, "nprnn runs", command_runs.__doc__)
    table = Table()
    for name in ("run", "state", "updates", "metric", "test, final"):
        table.add_column(name, overflow="fold")
    for folder in sorted(path.parent for path in options.folder.glob("*/config.json")):
        table.add_row(*map(escape, (folder.name, *run_state(folder))))
    if not table.row_count:
        raise ConfigError(f"{options.folder} holds no run (a run has a config.json)")
    console.print(table)
    return 0


def command_report(words: list[str]) -> int:
    """Write one HTML file on some runs: learning curves and a table."""

    @dataclasses.dataclass(frozen=True)
    class Arguments:
        runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(help="Run folders, or folders of them.")]
        out: Annotated[Path, tyro.conf.arg(help="The file to write.")] = Path("report.html")

    options = parse(Arguments, words, "nprnn report", command_report.__doc__)
    if not options.runs:
        raise ConfigError("name at least one run folder, or a folder of runs")
    runs = find_runs(options.runs)
    for group in by_task(runs):
        rows = {f"{curve.label}, update {curve.records[-1]['update']}": curve.last for curve in group}
        console.print(metrics_table(group[0].task, {**rows, "constant answer": group[0].baseline}))
    path = write_report(runs, options.out)
    console.print(f"{len(runs)} runs, report to open: {path}", markup=False, soft_wrap=True)
    return 0


def command_info(words: list[str]) -> int:
    """Tell versions, kernels, tasks and models."""
    parse(dataclasses.make_dataclass("Arguments", []), words, "nprnn info", command_info.__doc__)
    rows = {key: value for key, value in environment().items() if key not in ("command", "started")}
    rows |= {f"kernel: {name}": status for name, status in nprnn.backend_status().items()}
    rows |= {"tasks": ", ".join(TASKS), "models": ", ".join(MODELS)}
    for key, value in rows.items():
        console.print(f"{key:<22} {value}", markup=False)
    return 0
