"""The plan of a sweep: its members, what of them is done, and the shards that are left."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from nprnn.devices import CPU
from nprnn.sweep.costs import PROCESS, disk, judging, memory, work
from nprnn.sweep.facts import TaskFacts, learn_facts
from nprnn.sweep.file import MOST_MEMBERS, SweepFile
from nprnn.sweep.members import SweepMember, expand
from nprnn.sweep.room import room
from nprnn.sweep.shards import MOST_TOGETHER, Job, Shard, cut
from nprnn.sweep.survey import Standing, survey
from nprnn.tasks import TaskConfig
from nprnn.training import ensemble_key


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Attributes:
        file: the sweep file.
        folder: the sweep's folder.
        workers: processes at once.
        members: all members.
        facts: of each task setting.
        standings: how each member stands.
        strangers: run folders there of no member.
        shards: what is left, in the order in which they are started.
        device: where the workers compute.
    """

    file: SweepFile
    folder: Path
    workers: int
    members: Sequence[SweepMember]
    facts: Mapping[TaskConfig, TaskFacts]
    standings: list[Standing]
    strangers: Sequence[str]
    shards: Sequence[Shard]
    device: torch.device = CPU

    def group(self, member: int) -> Hashable:
        """Members of equal groups can be one ensemble."""
        return _group(self.members[member])

    def memory(self, shard: Shard) -> tuple[int, int]:
        """Bytes that a shard takes: for its models in training, and for their data."""
        first = self.members[shard.members[0]]
        facts = self.facts[first.task]
        return shard.memory + judging(first.config, facts, self.device), shard.seeds * facts.data_bytes

    def memory_at_once(self) -> int:
        """Bytes that the workers take at most, whichever shards meet."""
        largest = sorted((sum(self.memory(shard)) for shard in self.shards), reverse=True)[: self.workers]
        return sum(largest) + len(largest) * PROCESS

    def disk_needed(self) -> int:
        """Bytes that the folders of the members without one will take."""
        pairs = zip(self.members, self.standings, strict=True)
        return sum(disk(m.config, self.facts[m.task]) for m, standing in pairs if standing.folder is None)

    def updates_left(self, member: int) -> int:
        """Updates of a member's schedule that are not done."""
        return self.members[member].config.updates - self.standings[member].update

    def evaluations_left(self, member: int) -> int:
        """Evaluations of a member that are not done."""
        config, done = self.members[member].config, self.standings[member].update
        whole = config.updates // config.eval_every + (config.updates % config.eval_every > 0)
        return whole - done // config.eval_every


def prepare(file: SweepFile, most: int = MOST_MEMBERS) -> tuple[list[SweepMember], dict[TaskConfig, TaskFacts]]:
    """Everything about a sweep that can be wrong, before anything is written.

    Args:
        file: the sweep file.
        most: members allowed.

    Returns:
        The members, and the facts of each task setting.

    Raises:
        ConfigError: too many members, or settings that are wrong or do not go with the data.
        DataError: missing or damaged data.
    """
    members = expand(file, most)
    return members, learn_facts(members)


def make_plan(
    file: SweepFile,
    folder: Path,
    members: Sequence[SweepMember],
    facts: Mapping[TaskConfig, TaskFacts],
    workers: int,
    together: int | None = None,
    device: torch.device = CPU,
    only: Sequence[int] | None = None,
    away: bool = False,
) -> Plan:
    """Look at what is done and cut what is left.

    Args:
        file: the sweep file.
        folder: the sweep's folder; it need not exist.
        members: of the sweep.
        facts: of each task setting.
        workers: processes at once.
        together: the largest shard; None is 64 on a CPU and away, and what memory allows on a device here.
        device: where the workers compute.
        only: numbers of the members that are planned for; None is all.
        away: whether the workers are on other machines, whose devices cannot be asked for their memory.

    Returns:
        The plan.

    Raises:
        RunError: the device does not tell how much memory it has.
    """
    found = survey(folder, file.task, members, facts)
    standings = found.standings
    if only is not None:
        members, standings = [members[k] for k in only], [standings[k] for k in only]
    jobs = _jobs(members, facts, standings, device)
    if device.type == "cpu":
        shards = cut(jobs, workers, together=together or MOST_TOGETHER)
    elif away:
        shards = cut(jobs, workers, together=together or MOST_TOGETHER, memory=sys.maxsize)
    else:
        shards = cut(jobs, workers, together=together or max(len(jobs), 1), memory=room(device) // workers)
    return Plan(file, folder, workers, members, facts, standings, found.strangers, shards, device)


def _jobs(
    members: Sequence[SweepMember],
    facts: Mapping[TaskConfig, TaskFacts],
    standings: Sequence[Standing],
    device: torch.device,
) -> list[Job]:
    """What is left to train. On a device the data take memory too: each member its part of what its group shares."""
    left = {k: _group(members[k]) for k, standing in enumerate(standings) if standing.open}
    sizes = Counter(left.values())
    seeds = Counter(group for group, _ in {(group, members[k].config.seed) for k, group in left.items()})
    jobs = []
    for k, group in left.items():
        config, known, done = members[k].config, facts[members[k].task], standings[k].update
        data = 0 if device.type == "cpu" else known.data_bytes * seeds[group] // sizes[group]
        updates = work(config, known, config.updates - done)
        jobs.append(Job(k, group, config.seed, updates, memory(config, known), done > 0, data))
    return jobs


def _group(member: SweepMember) -> Hashable:
    return member.task, ensemble_key(member.config)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
