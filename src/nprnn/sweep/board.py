"""The state of a sweep while it runs: what the live view, the account and the last words are made of."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nprnn.sweep.costs import work
from nprnn.sweep.facts import TaskFacts
from nprnn.sweep.members import SweepMember
from nprnn.sweep.shards import Shard
from nprnn.sweep.survey import Standing, State
from nprnn.tasks import TaskConfig


@dataclass
class Working:
    """A worker and what it is at.

    Attributes:
        shard: its members.
        doing: starting, loading or training.
        where: on which machine, if not on this one.
    """

    shard: Shard
    doing: str = "starting"
    where: str = ""


class Board:
    """Members and how they stand. Totals are kept, not summed up anew: there may be thousands of members.

    Args:
        members: of the sweep.
        standings: theirs, as found.
        facts: of each task setting.

    Attributes:
        members: of the sweep.
        standings: theirs; changed through the methods only.
        facts: of each task setting.
        counts: how many members are in which state.
        workers: those at work now, by number.
        updates: updates done since the start, over all members.
    """

    def __init__(
        self, members: Sequence[SweepMember], standings: Sequence[Standing], facts: Mapping[TaskConfig, TaskFacts]
    ) -> None:
        self.members = members
        self.standings = standings
        self.facts = facts
        self.counts: Counter[State] = Counter(standing.state for standing in standings)
        self.workers: dict[int, Working] = {}
        self.updates = 0
        self._unit = [work(member.config, facts[member.task], 1) for member in members]
        self._left = sum(self._left_of(k) for k in range(len(members)))
        self._done = 0.0
        self._since: float | None = None
        self._latest = 0.0
        self._leaders: dict[TaskConfig, int] = {}
        for k in range(len(members)):
            self._consider(k)

    def open(self, member: int, folder: str, update: int) -> None:
        """A worker has the member's folder and goes on from an update."""
        self.standings[member].folder = folder
        self._place(member, update)
        self.put(member, "running")

    def put(self, member: int, state: State, error: str = "") -> None:
        """A member is in another state."""
        standing = self.standings[member]
        self._left -= self._left_of(member)
        self.counts[standing.state] -= 1
        standing.state, standing.error = state, error
        self.counts[state] += 1
        self._left += self._left_of(member)

    def move(self, updates: Mapping[int, int]) -> None:
        """Members are that far in their training."""
        now = time.monotonic()
        for member, update in updates.items():
            done = update - self.standings[member].update
            self._place(member, update)
            # The first report comes with the work of an unknown time before it: it only starts the clock.
            if self._since is not None:
                self.updates += done
                self._done += done * self._unit[member]
        self._since = now if self._since is None else self._since
        self._latest = now

    def note(self, member: int, record: Mapping[str, Any]) -> None:
        """A member has been evaluated."""
        self.standings[member].note(record, self.facts[self.members[member].task])
        self._consider(member)

    def speed(self) -> float:
        """Updates of members a second, over all workers."""
        return self.updates / self._seconds()

    def seconds_left(self) -> float | None:
        """Until all is done, at the speed so far; None before it is known."""
        return self._left / self._done * self._seconds() if self._done > 0 else None

    def leaders(self) -> list[int]:
        """The best member of every task setting, by its best validation metric; the earlier of equals."""
        return sorted(self._leaders.values())

    def progress(self, shard: Shard) -> float:
        """Share of a shard's updates that are done; members that have ended count as done."""
        whole = sum(self.members[k].config.updates for k in shard.members)
        left = sum(
            self.members[k].config.updates - self.standings[k].update for k in shard.members if self.standings[k].open
        )
        return 1 - left / whole

    def _place(self, member: int, update: int) -> None:
        self._left -= self._left_of(member)
        self.standings[member].update = update
        self._left += self._left_of(member)

    def _left_of(self, member: int) -> float:
        standing = self.standings[member]
        return self._unit[member] * (self.members[member].config.updates - standing.update) if standing.open else 0.0

    def _consider(self, member: int) -> None:
        task, own = self.members[member].task, self.standings[member].best
        if own is None:
            return
        leader = self._leaders.setdefault(task, member)
        other, facts = self.standings[leader].best, self.facts[task]
        if other is None or leader == member:
            return
        a, b = own.valid[facts.headline], other.valid[facts.headline]
        if (a > b if facts.higher_is_better else a < b) or (a == b and member < leader):
            self._leaders[task] = member

    def _seconds(self) -> float:
        return max(self._latest - (self._since or self._latest), 1e-9)
