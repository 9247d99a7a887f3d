"""A sweep in n parts, for as many commands that know nothing of each other but share a folder."""

from __future__ import annotations

import heapq
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nprnn.errors import ConfigError
from nprnn.sweep.costs import memory, work
from nprnn.sweep.facts import TaskFacts
from nprnn.sweep.members import SweepMember
from nprnn.sweep.shards import Job, cut
from nprnn.tasks import TaskConfig
from nprnn.training import ensemble_key


class Part(NamedTuple):
    """The k-th of n parts, counted from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        """As it is given."""
        return f"{self.number}/{self.of}"


def parse_part(text: str) -> Part:
    """Read ``k/n``.

    Args:
        text: such as ``2/4``.

    Returns:
        The part.

    Raises:
        ConfigError: no such part.
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"shard is k/n, the k-th of n parts, counted from 1, such as 2/4; got {text!r}")
    return Part(int(match[1]), int(match[2]))


def divide(members: Sequence[SweepMember], facts: Mapping[TaskConfig, TaskFacts], parts: int) -> list[list[int]]:
    """Every member in one of n parts of about equal work; what can be one ensemble stays together as far as that goes.

    It depends on the members alone and not on what is done, so that commands which start at different times agree.

    Args:
        members: of the sweep.
        facts: of each task setting.
        parts: n.

    Returns:
        For each part its members' numbers, rising.
    """
    jobs = []
    for k, (task, config, _) in enumerate((m.task, m.config, m.varied) for m in members):
        whole = work(config, facts[task], config.updates)
        jobs.append(Job(k, (task, ensemble_key(config)), config.seed, whole, memory(config, facts[task])))
    loads: list[tuple[float, int]] = [(0.0, part) for part in range(parts)]
    found: list[list[int]] = [[] for _ in range(parts)]
    # The longest first, each to whoever has least.
    for shard in cut(jobs, parts):
        load, part = heapq.heappop(loads)
        found[part] += shard.members
        heapq.heappush(loads, (load + shard.work, part))
    return [sorted(part) for part in found]
