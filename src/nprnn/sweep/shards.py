"""Cutting members into shards: what one process trains at once, as one ensemble."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

MOST_TOGETHER = 64
# What a shard's models take. More, and states leave the processor's cache between the forward and the backward pass,
# which costs more than sharing a call saves: at T = 784, B = 16, H = 100 eight members together are slower than four
# and four.
MEMORY = 64 * 2**20
# A group with less than this share of one worker's part is not cut for the sake of balance: others fill the gap.
_SMALL = 0.25


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
    """

    member: int
    group: Hashable
    seed: int
    work: float
    memory: int
    begun: bool = False


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
    """

    members: tuple[int, ...]
    work: float
    memory: int
    seeds: int
    begun: bool = False
    again: bool = False

    def __len__(self) -> int:
        """E."""
        return len(self.members)


def cut(jobs: Sequence[Job], workers: int, *, together: int = MOST_TOGETHER, memory: int = MEMORY) -> list[Shard]:
    """Every job in one shard: those that are begun first, then the longest.

    A group becomes as few shards as memory and ``together`` allow; a big one is cut further, to a multiple of the
    workers, so that they end together. Sizes of a group's shards differ by 1 at most, and members of one seed stay
    together where that allows it.

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
    small = _SMALL * sum(job.work for job in jobs) / workers
    shards = []
    for group in groups.values():
        group.sort(key=lambda job: (not job.begun, job.seed, job.member))
        cap = max(1, min(together, memory // max(1, *(job.memory for job in group))))
        pieces = math.ceil(len(group) / cap)
        if sum(job.work for job in group) > small:
            pieces = min(len(group), math.ceil(pieces / workers) * workers)
        shards += [_shard(group[len(group) * k // pieces : len(group) * (k + 1) // pieces]) for k in range(pieces)]
    return sorted(shards, key=lambda shard: (not shard.begun, -shard.work))


def _shard(jobs: Sequence[Job]) -> Shard:
    return Shard(
        members=tuple(job.member for job in jobs),
        work=sum(job.work for job in jobs),
        memory=sum(job.memory for job in jobs),
        seeds=len({job.seed for job in jobs}),
        begun=any(job.begun for job in jobs),
    )
