"""nprnn sweep."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

import torch
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
    Away,
    Board,
    Cluster,
    Crew,
    Part,
    Plan,
    Processes,
    Runner,
    Standing,
    SweepFile,
    SweepMember,
    cores,
    divide,
    free_space,
    identity,
    keep_file,
    make_plan,
    occupied,
    parse_part,
    prepare,
    read_sweep,
    refuse_unwritable,
    rehearse,
)
from nprnn.training import Interrupt

_MOST_ERRORS = 10
_MOST_NAMES = 3
_NOTICES = 5


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
    shard: Annotated[
        str | None,
        tyro.conf.arg(
            help="Only the k-th of n parts, k/n, counted from 1. The n commands may share the folder and run anywhere."
        ),
    ] = None
    ray: Annotated[
        str | None,
        tyro.conf.arg(
            help="Train on the Ray cluster that this machine is of: auto or HOST:PORT; --workers is then for all of it."
        ),
    ] = None
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
    part = None if options.shard is None else parse_part(options.shard)
    with contextlib.ExitStack() as connection:
        cluster = None
        if options.ray is not None:
            if part is not None:
                raise ConfigError("--ray sees to every shard; leave --shard out, or --ray")
            if options.device not in ("cpu", "cuda"):
                raise ConfigError(
                    f"on a cluster the device is cpu or cuda, and Ray says which GPU; got {options.device!r}"
                )
            cluster = connection.enter_context(Cluster(options.ray))
            _say(cluster.about())
            workers = options.workers or max(1, cluster.count("CPU" if options.device == "cpu" else "GPU"))
        elif options.workers is not None:
            workers = options.workers
        else:
            workers = cores() if find_device(options.device).type == "cpu" else 1
        if options.dry_run:
            refuse_unwritable(folder)
            members, facts = prepare(file, options.max_members)
            only = None if part is None else divide(members, facts, part.of)[part.number - 1]
            device = find_device("cpu" if cluster else options.device)
            plan = make_plan(file, folder, members, facts, workers, options.ensemble, device, only)
            _tell_found(plan, part)
            _tell_plan(plan)
            return 0
        return run_sweep(
            file,
            folder,
            workers,
            options.ensemble,
            options.max_members,
            began,
            device=options.device,
            part=part,
            cluster=cluster,
            at_once=options.workers,
        )


def run_sweep(
    file: SweepFile,
    folder: Path,
    workers: int,
    together: int | None = None,
    most: int = MOST_MEMBERS,
    began: float | None = None,
    without: Collection[str] = (),
    device: str = "cpu",
    part: Part | None = None,
    cluster: Cluster | None = None,
    at_once: int | None = None,
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
        part: which part of the sweep; None is all.
        cluster: who trains; None is processes of this machine.
        at_once: workers at once on a cluster; None is as many as it comes to have room for.

    Returns:
        The exit status: 0, 1 where members failed, 130 or 143 where it was stopped.
    """
    began = time.monotonic() if began is None else began
    members, facts = prepare(file, most)
    members = [m for m in members if not without or identity(file.task, m, facts[m.task].fingerprint) not in without]
    only = None if part is None else divide(members, facts, part.of)[part.number - 1]
    with occupied(folder, file, part):
        place = torch.device(device) if cluster else find_device(device)
        plan = make_plan(file, folder, members, facts, workers, together, place, only, cluster is not None)
        keep_file(folder, file)
        _tell_found(plan, part)
        board = Board(plan.members, plan.standings, plan.facts)
        account = Account(folder, file.task, board, workers, time.monotonic() - began, device, part)
        view = SweepView(console, board)
        crew: Crew
        if cluster is None:
            crew = Processes(file.task, folder, workers, device)
        else:
            crew = Away(cluster, file.task, folder, lambda shard: sum(plan.memory(shard)), device, at_once)
        with Interrupt() as interrupt, view:
            Runner(board, folder, crew, account, view).run(plan.shards, interrupt)
        return _last_words(plan, board, account, interrupt)


def _tell_found(plan: Plan, part: Part | None = None) -> None:
    """What is there before anything runs."""
    counts = Board(plan.members, plan.standings, plan.facts).counts
    begun = f", {counts['stopped']} begun" if counts["stopped"] else ""
    whose = "" if part is None else f", part {part}"
    _say(f"{plan.file.path}{whose}: {len(plan.members)} members of {plan.file.task} in {plan.folder}")
    if any(standing.folder for standing in plan.standings):
        _say(
            f"found: {counts['finished']} done{begun}, {counts['diverged']} diverged, {counts['failed']} failed; "
            "what is done or diverged is not run again"
        )
    harmed = [standing.notice for standing in plan.standings if standing.notice]
    for notice in harmed[:_NOTICES]:
        _say(notice)
    if len(harmed) > _NOTICES:
        _say(f"and {len(harmed) - _NOTICES} run folders more were harmed")
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
    _tell_failed(plan.members, plan.standings)
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
    if interrupt.name:
        _say(f"{interrupt.name} came after the last update: nothing was left to stop, and nothing is lost")
    leaders = board.leaders()
    for member in leaders:
        _say(f"best by validation: {best_line(board, member, test=True)}")
        _say(f"  {plan.folder / (board.standings[member].folder or '')}")
    if not leaders:
        _say("no validation set to choose by: no member is called the best")
    failed = _tell_failed(board.members, board.standings)
    if failed > _MOST_ERRORS:
        _say(f"{account.path} has all of them")
    if failed:
        _say("the same command tries failed members again")
    if board.counts["finished"]:
        _say(f"all runs: {plan.folder}    compare them: nprnn report {plan.folder}")
    return 1 if failed else 0


def _tell_failed(members: Sequence[SweepMember], standings: Sequence[Standing]) -> int:
    """Why members failed, the first of them; returns how many did."""
    pairs = zip(members, standings, strict=True)
    failed = [f"{member.label}: {standing.error}" for member, standing in pairs if standing.state == "failed"]
    for told in failed[:_MOST_ERRORS]:
        _say(f"failed: {told}")
    if len(failed) > _MOST_ERRORS:
        _say(f"and {len(failed) - _MOST_ERRORS} more")
    return len(failed)


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
