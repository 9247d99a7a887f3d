"""A sweep while it runs: shards handed to workers, listened to, handed out again where one dies, and asked to stop."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from nprnn.files import write_atomically
from nprnn.processes import cause_of_death
from nprnn.sweep import messages as told
from nprnn.sweep.account import Account
from nprnn.sweep.board import Board, Working
from nprnn.sweep.crew import Crew
from nprnn.sweep.messages import Given, Message
from nprnn.sweep.shards import Shard
from nprnn.sweep.survey import FAILED

_SECONDS_ASLEEP = 0.25
# A machine that is lost says nothing of the shard it had; one shard that loses so many is another matter.
_MOST_LOSSES = 3


class Watcher(Protocol):
    """Told what happens to members, and asked to draw."""

    def on_end(self, member: int) -> None:
        """A member finished, diverged or failed; the board says which."""

    def on_note(self, text: str) -> None:
        """Something a person should know."""

    def draw(self) -> None:
        """Called several times a second."""


@dataclass
class _Worker:
    shard: Shard
    began: float = field(default_factory=time.monotonic)
    errors: dict[int, str] = field(default_factory=dict)
    broken: told.Broken | None = None
    spent: told.Spent = field(default_factory=lambda: told.Spent(0.0, 0.0))
    where: str = ""


class Runner:
    """Runs shards, some workers at once.

    Args:
        board: the members; it is kept true.
        folder: the sweep's folder.
        crew: the workers.
        account: what is written down.
        watcher: told of members.
    """

    def __init__(self, board: Board, folder: Path, crew: Crew, account: Account, watcher: Watcher) -> None:
        self._board = board
        self._folder = folder
        self._crew = crew
        self._account = account
        self._watcher = watcher
        self._workers: dict[int, _Worker] = {}
        self._queue: list[Shard] = []
        self._stopping = False

    def run(self, shards: Sequence[Shard], stop: Callable[[], bool]) -> None:
        """Train the shards in their order.

        A worker that dies leaves its unfinished members to one more worker, after all other shards; those that are
        left by that one too are failed. Where not the worker but its machine is lost, members are tried three times
        more.

        Args:
            shards: what to train.
            stop: asked several times a second; true lets every worker write checkpoints and end.

        Raises:
            RunError: no worker can be had.
        """
        self._queue = list(shards)
        try:
            while self._workers or (self._queue and not self._stopping):
                for number, message in self._crew.listen(_SECONDS_ASLEEP):
                    self._take(number, self._workers[number], message)
                if stop() and not self._stopping:
                    self._stopping = True
                    self._watcher.on_note("stopping: each worker writes its checkpoints; Ctrl-C again kills them")
                    self._crew.stop()
                while self._queue and len(self._workers) < self._crew.most() and not self._stopping:
                    self._start(self._queue.pop(0))
                self._watcher.draw()
                self._account.save()
        except KeyboardInterrupt:
            self._crew.kill()
            raise
        finally:
            # Some are left after an error of ours.
            self._crew.close()
            for worker in self._workers.values():
                self._put_aside(worker.shard)
            self._account.save(now=True)

    def _start(self, shard: Shard) -> None:
        board = self._board
        given = []
        for k in shard.members:
            member = board.members[k]
            fingerprint = board.facts[member.task].fingerprint
            given.append(Given(k, member.task, member.config, fingerprint, board.standings[k].folder))
        number = next(k for k in range(len(self._workers) + 1) if k not in self._workers)
        self._crew.start(number, shard, given)
        self._workers[number] = _Worker(shard)
        board.workers[number] = Working(shard)

    def _take(self, number: int, worker: _Worker, message: Message) -> None:
        board = self._board
        match message:
            case told.Placed(where):
                worker.where = board.workers[number].where = where
            case told.Doing(what):
                board.workers[number].doing = what
            case told.Opened(member, folder, update):
                board.open(member, folder, update)
            case told.Moved(updates):
                board.move(updates)
            case told.Recorded(member, record):
                board.note(member, record)
            case told.Ended(member, state, update, text):
                # One that diverged keeps a checkpoint from before; how far it came is what is told of it.
                if state != "diverged":
                    board.move({member: update})
                board.put(member, state, text)
                if state != "stopped":
                    self._watcher.on_end(member)
            case told.Refused(member, error):
                worker.errors[member] = error
            case told.Broken():
                worker.broken = message
            case told.Spent():
                worker.spent = message
            case told.Gone():
                self._conclude(number, worker, message)

    def _conclude(self, number: int, worker: _Worker, gone: told.Gone) -> None:
        """The worker's end: count its time, and see to the members it leaves."""
        del self._workers[number], self._board.workers[number]
        self._account.shard(
            members=len(worker.shard),
            again=worker.shard.again,
            seconds=round(time.monotonic() - worker.began, 3),
            loading_seconds=round(worker.spent.loading, 3),
            training_seconds=round(worker.spent.training, 3),
            exit_status=gone.status,
            **({"where": worker.where} if worker.where else {}),
            **({"lost": gone.lost} if gone.lost else {}),
        )
        left = [k for k in worker.shard.members if self._board.standings[k].open]
        if not left:
            return
        error = gone.lost or (worker.broken.error if worker.broken else cause_of_death(gone.status))
        if self._stopping:
            self._put_aside(worker.shard)
        elif gone.lost and worker.shard.lost < _MOST_LOSSES:
            self._try_again(worker, replace(worker.shard, members=tuple(left), lost=worker.shard.lost + 1), error)
        elif not gone.lost and not worker.shard.again:
            self._try_again(worker, replace(worker.shard, members=tuple(left), again=True), error)
        else:
            for member in left:
                self._fail(member, worker.errors.get(member, error), worker.broken.trace if worker.broken else "")

    def _try_again(self, worker: _Worker, shard: Shard, error: str) -> None:
        """Put what a worker left behind all other shards."""
        for member in shard.members:
            self._board.put(member, "waiting", worker.errors.get(member, error))
        reasons = "; ".join(dict.fromkeys(worker.errors.get(member, error) for member in shard.members))
        once = "" if shard.lost > worker.shard.lost else "once "
        self._watcher.on_note(f"{len(shard)} members are tried {once}more later: {reasons}")
        self._queue.append(shard)

    def _put_aside(self, shard: Shard) -> None:
        """Members that nobody trains any more, and another session will."""
        for member in shard.members:
            standing = self._board.standings[member]
            if standing.open:
                self._board.put(member, "stopped" if standing.update else "waiting")

    def _fail(self, member: int, error: str, trace: str) -> None:
        self._board.put(member, "failed", error)
        standing = self._board.standings[member]
        path = self._folder / (standing.folder or "") / FAILED
        if standing.folder and path.parent.is_dir():
            content = {"error": error, "update": standing.update, "trace": trace}
            # The account has it too.
            with contextlib.suppress(OSError):
                write_atomically(path, json.dumps(content, indent=1).encode())
        self._watcher.on_end(member)
