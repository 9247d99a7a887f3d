"""nprnn sweep."""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table
from rich.text import Text

from nprnn.cli.common import OnDevice, console, parse
from nprnn.devices import find_device
from nprnn.errors import ConfigError
from nprnn.reporting.sweeping import SweepView, best_line, counts_text, size, span
from nprnn.sweep import (
    MOST_MEMBERS,
    Account,
    Board,
    Plan,
    Runner,
    SweepFile,
    cores,
    free_space,
    identity,
    keep_file,
    make_plan,
    occupied,
    prepare,
    read_sweep,
    refuse_unwritable,
    rehearse,
)
from nprnn.training import Interrupt

_MOST_ERRORS = 10
_MOST_NAMES = 3


@dataclasses.dataclass(frozen=True)
class _Arguments:
    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="The sweep file; docs/sweeps.md tells its format.")]
    out: Annotated[Path | None, tyro.conf.arg(help="The sweep's folder; None is runs/ and the file's name.")] = None
    workers: Annotated[
        int | None, tyro.conf.arg(help="Processes at once; None is one for each core, or one on a CUDA device.")
    ] = None
    ensemble: Annotated[
        int | None,
        tyro.conf.arg(help="Most members that one process trains at once; None is 64, or what fits on a CUDA device."),
    ] = None
    device: OnDevice = "cpu"
    max_members: Annotated[int, tyro.conf.arg(help="Refuse a file that asks for more members.")] = MOST_MEMBERS
    dry_run: Annotated[bool, tyro.conf.arg(help="Only tell what would run, its memory and its time.")] = False


def command_sweep(words: list[str]) -> int:
    """Train every combination of some settings, or go on with a sweep that was stopped."""
    began = time.monotonic()
    options = parse(_Arguments, words, "nprnn sweep", command_sweep.__doc__)
    file = read_sweep(options.file)
    folder = options.out if options.out is not None else Path("runs") / options.file.stem
    for name, value in (("workers", options.workers), ("ensemble", options.ensemble)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}")
    device = find_device(options.device)
    workers = (cores() if device.type == "cpu" else 1) if options.workers is None else options.workers
    if options.dry_run:
        refuse_unwritable(folder)
        plan = make_plan(file, folder, *prepare(file, options.max_members), workers, options.ensemble, device)
        _tell_found(plan)
        _tell_plan(plan)
        return 0
    return run_sweep(file, folder, workers, options.ensemble, options.max_members, began, device=options.device)


def run_sweep(
    file: SweepFile,
    folder: Path,
    workers: int,
    together: int | None = None,
    most: int = MOST_MEMBERS,
    began: float | None = None,
    without: Collection[str] = (),
    device: str = "cpu",
) -> int:
    """Train what is left of a sweep, with a view of it.

    Args:
        file: the sweep.
        folder: of its runs.
        workers: processes at once.
        together: most members that one process trains at once; None is 64 on a CPU, and what fits elsewhere.
        most: most members there may be.
        began: when the command did, by the monotonic clock; None is now.
        without: identities of members that are left out.
        device: where to compute.

    Returns:
        The exit status: 0, 1 where members failed, 130 or 143 where it was stopped.
    """
    began = time.monotonic() if began is None else began
    members, facts = prepare(file, most)
    members = [m for m in members if not without or identity(file.task, m, facts[m.task].fingerprint) not in without]
    with occupied(folder):
        plan = make_plan(file, folder, members, facts, workers, together, find_device(device))
        keep_file(folder, file)
        _tell_found(plan)
        board = Board(plan.members, plan.standings, plan.facts)
        account = Account(folder, file.task, board, workers, time.monotonic() - began, device)
        view = SweepView(console, board)
        with Interrupt() as interrupt, view:
            Runner(board, file.task, folder, workers, account, view, device).run(plan.shards, interrupt)
        return _last_words(plan, board, account, interrupt)


def _tell_found(plan: Plan) -> None:
    """What is there before anything runs."""
    counts = Board(plan.members, plan.standings, plan.facts).counts
    begun = f", {counts['stopped']} begun" if counts["stopped"] else ""
    _say(f"{plan.file.path}: {len(plan.members)} members of {plan.file.task} in {plan.folder}")
    if any(standing.folder for standing in plan.standings):
        _say(
            f"found: {counts['finished']} done{begun}, {counts['diverged']} diverged, {counts['failed']} failed; "
            "what is done or diverged is not run again"
        )
    if plan.strangers:
        _say(f"{len(plan.strangers)} run folders there are of no member and left alone: {_some(plan.strangers)}")
    if plan.shards:
        left = sum(map(len, plan.shards))
        _say(f"{left} members in {_count(len(plan.shards), 'shard')}, {_workers(plan)} at once{_on(plan)}")
    needed, free = plan.disk_needed(), free_space(plan.folder)
    if needed > free:
        _say(f"warning: the runs may take {size(needed)} of disk, and {size(free)} are free")


def _tell_plan(plan: Plan) -> None:
    """The table of a dry run."""
    if not plan.shards:
        _say("nothing is left to run")
        return
    _say("measuring, a few seconds for each kind of shard")
    estimate = rehearse(plan)
    table = Table()
    table.add_column("members like", overflow="fold")
    for name in ("shards", "members", "E", "T", "B", "H", "memory", "data", "time a shard"):
        table.add_column(name, justify="right")
    groups: dict[object, list[int]] = {}
    for k, shard in enumerate(plan.shards):
        groups.setdefault(plan.group(shard.members[0]), []).append(k)
    for numbers in groups.values():
        shards = [plan.shards[k] for k in numbers]
        member = plan.members[shards[0].members[0]]
        facts = plan.facts[member.task]
        sizes = sorted({len(shard) for shard in shards})
        table.add_row(
            Text(member.label),
            f"{len(shards)}",
            f"{sum(map(len, shards))}",
            "–".join(map(str, (sizes[0], sizes[-1]) if len(sizes) > 1 else sizes)),
            f"{facts.steps}",
            f"{member.config.batch}",
            f"{member.config.hidden}",
            size(max(plan.memory(shard)[0] for shard in shards)),
            size(max(plan.memory(shard)[1] for shard in shards)),
            span(max(estimate.shards[k] for k in numbers)),
        )
    console.print(table)
    _say(f"memory at once: at most about {size(plan.memory_at_once())}, for {_workers(plan)}{_on(plan)}")
    free = "on as many free cores" if plan.device.type == "cpu" else f"on {plan.device}"
    _say(f"estimated time: {span(estimate.seconds)} {free}; nothing was written to {plan.folder}")


def _last_words(plan: Plan, board: Board, account: Account, interrupt: Interrupt) -> int:
    if account.trouble:
        _say(account.trouble)
    _say(counts_text(board.counts))
    left = sum(standing.open for standing in board.standings)
    if left:
        _say(
            f"stopped; {board.counts['stopped']} members begun keep their checkpoints, {board.counts['waiting']} have "
            "not begun, and the same command goes on"
        )
        return 143 if interrupt.signal == signal.SIGTERM else 130
    leaders = board.leaders()
    for member in leaders:
        _say(f"best by validation: {best_line(board, member, test=True)}")
        _say(f"  {plan.folder / (board.standings[member].folder or '')}")
    if not leaders:
        _say("no validation set to choose by: no member is called the best")
    failed = [k for k, standing in enumerate(board.standings) if standing.state == "failed"]
    for member in failed[:_MOST_ERRORS]:
        _say(f"failed: {board.members[member].label}: {board.standings[member].error}")
    if len(failed) > _MOST_ERRORS:
        _say(f"and {len(failed) - _MOST_ERRORS} more; {plan.folder / 'sweep.json'} has all")
    if failed:
        _say("the same command tries failed members again")
    if board.counts["finished"]:
        _say(f"all runs: {plan.folder}    compare them: nprnn report {plan.folder}")
    return 1 if failed else 0


def _workers(plan: Plan) -> str:
    return _count(min(plan.workers, len(plan.shards)), "worker")


def _on(plan: Plan) -> str:
    return "" if plan.device.type == "cpu" else f" on {plan.device}"


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")


def _say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
