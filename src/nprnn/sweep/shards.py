"""Cutting members into shards: what one process trains at once, as one ensemble."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

# For a processor; on a device a group stays whole as far as memory allows (``nprnn.sweep.room``).
MOST_TOGETHER = 64
# What a shard's models take. More, and states leave the processor's cache between the forward and the backward pass,
# which costs more than sharing a call saves: at T = 784, B = 16, H = 100 eight members together are slower than four
# and four.
MEMORY = 64 * 2**20
# A group with less than this share of one worker's part is not cut for the sake of balance: others fill the gap.
_SMALL = 0.25
# Groups are left whole where the last worker then ends no later than this, in even shares of the work.
_EVEN = 1.1


@dataclass(frozen=True)
class Job:
    """A member that is still to be trained.

    Attributes:
        member: its number in the sweep.
        group: members of equal groups can be one ensemble.
        seed: those of one seed share their training data.
        work: how much is left.
        memory: bytes it takes.
        begun: whether some of it is done.
        data: bytes of data that it takes as well, where these count.
    """

    member: int
    group: Hashable
    seed: int
    work: float
    memory: int
    begun: bool = False
    data: int = 0


@dataclass(frozen=True)
class Shard:
    """Members that one process trains at once.

    Attributes:
        members: their numbers in the sweep.
        work: how much is left for all.
        memory: bytes for all, without the data.
        seeds: how many training sets they need.
        begun: whether some of it is done.
        again: whether it is tried for the second time.
        lost: how often its worker was lost through no fault of its own.
    """

    members: tuple[int, ...]
    work: float
    memory: int
    seeds: int
    begun: bool = False
    again: bool = False
    lost: int = 0

    def __len__(self) -> int:
        """E."""
        return len(self.members)


def cut(jobs: Sequence[Job], workers: int, *, together: int = MOST_TOGETHER, memory: int = MEMORY) -> list[Shard]:
    """Every job in one shard: those that are begun first, then the longest.

    A group becomes as few shards as memory and ``together`` allow. Where the workers, each taking the next shard as
    soon as it is free, would not end together with these (the last after more than 1.1 even shares of the work), a
    big group is cut further, to a multiple of the workers. Nothing else is a reason to cut: a joint update of nine
    members costs little more than one of four. Sizes of a group's shards differ by 1 at most, and members of one seed
    stay together where that allows it.

    Args:
        jobs: what is to be trained.
        workers: processes at once.
        together: the largest shard.
        memory: bytes of the largest shard; a member that takes more has a shard of its own.

    Returns:
        The shards.
    """
    groups: dict[Hashable, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.group, []).append(job)
    fewest = []
    for group in groups.values():
        group.sort(key=lambda job: (not job.begun, job.seed, job.member))
        cap = max(1, min(together, memory // max(1, *(job.memory + job.data for job in group))))
        fewest.append(math.ceil(len(group) / cap))
    share = sum(job.work for job in jobs) / workers
    shards = _shards(groups.values(), fewest)
    if end_of(shards, workers, lambda shard: shard.work) <= _EVEN * share:
        return shards
    further = [
        min(len(group), math.ceil(pieces / workers) * workers)
        if sum(job.work for job in group) > _SMALL * share
        else pieces
        for group, pieces in zip(groups.values(), fewest, strict=True)
    ]
    return _shards(groups.values(), further)


def end_of(shards: Sequence[Shard], workers: int, seconds: Callable[[Shard], float]) -> float:
    """When the last of so many workers ends, each taking the next shard as soon as it is free.

    Args:
        shards: in the order in which they are started.
        workers: how many.
        seconds: that a shard takes.

    Returns:
        Seconds from the start.
    """
    free = [0.0] * workers
    for shard in shards:
        heapq.heapreplace(free, free[0] + seconds(shard))
    return max(free)


def _shards(groups: Iterable[Sequence[Job]], pieces: Iterable[int]) -> list[Shard]:
    """Groups in so many pieces each, in the order in which they are started."""
    shards = [
        _shard(group[len(group) * k // count : len(group) * (k + 1) // count])
        for group, count in zip(groups, pieces, strict=True)
        for k in range(count)
    ]
    return sorted(shards, key=lambda shard: (not shard.begun, -shard.work))


def _shard(jobs: Sequence[Job]) -> Shard:
    return Shard(
        members=tuple(job.member for job in jobs),
        work=sum(job.work for job in jobs),
        memory=sum(job.memory for job in jobs),
        seeds=len({job.seed for job in jobs}),
        begun=any(job.begun for job in jobs),
    )
