"""The processes of a sweep: started, listened to, started again where one dies, and asked to stop."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Protocol

from nprnn.errors import RunError
from nprnn.files import write_atomically
from nprnn.processes import cause_of_death, signals_held
from nprnn.sweep.account import Account
from nprnn.sweep.board import Board, Working
from nprnn.sweep.messages import Broken, Doing, Ended, Message, Moved, Opened, Order, Recorded, Refused, Spent
from nprnn.sweep.shards import Shard
from nprnn.sweep.survey import FAILED
from nprnn.sweep.worker import labour

# Never fork: a forked child has none of torch's threads, and hangs when it asks them.
_PROCESSES = multiprocessing.get_context("spawn")
_SECONDS_ASLEEP = 0.25
_SECONDS_TO_EXIT = 10.0


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
    number: int
    shard: Shard
    process: SpawnProcess
    channel: Connection
    began: float = field(default_factory=time.monotonic)
    errors: dict[int, str] = field(default_factory=dict)
    broken: Broken | None = None
    spent: Spent = field(default_factory=lambda: Spent(0.0, 0.0))


class Runner:
    """Runs shards, some processes at once.

    Args:
        board: the members; it is kept true.
        task_name: name of the task.
        folder: the sweep's folder.
        workers: processes at once.
        account: what is written down.
        watcher: told of members.
        device: where the workers compute, by name.
    """

    def __init__(
        self,
        board: Board,
        task_name: str,
        folder: Path,
        workers: int,
        account: Account,
        watcher: Watcher,
        device: str = "cpu",
    ) -> None:
        self._board = board
        self._task_name = task_name
        self._folder = folder
        self._most = workers
        self._account = account
        self._watcher = watcher
        self._device = device
        self._workers: dict[Connection, _Worker] = {}
        self._queue: list[Shard] = []
        self._stopping = False

    def run(self, shards: Sequence[Shard], stop: Callable[[], bool]) -> None:
        """Train the shards in their order.

        A worker that dies leaves its unfinished members to one more process, after all other shards; those that are
        left by that one too are failed.

        Args:
            shards: what to train.
            stop: asked several times a second; true lets every worker write checkpoints and end.

        Raises:
            RunError: no process can be started.
        """
        self._queue = list(shards)
        try:
            while self._workers or (self._queue and not self._stopping):
                self._listen()
                if stop() and not self._stopping:
                    self._stopping = True
                    self._watcher.on_note("stopping: each worker writes its checkpoints; Ctrl-C again kills them")
                    for worker in self._workers.values():
                        worker.process.terminate()
                while self._queue and len(self._workers) < self._most and not self._stopping:
                    self._start(self._queue.pop(0))
                self._watcher.draw()
                self._account.save()
        except KeyboardInterrupt:
            for worker in self._workers.values():
                worker.process.kill()
            raise
        finally:
            # Some are left after an error of ours. Nobody listens any more, and a full pipe would hold them up.
            for channel, worker in self._workers.items():
                channel.close()
                worker.process.terminate()
                worker.process.join()
                self._put_aside(worker.shard)
            self._account.save(now=True)

    def _start(self, shard: Shard) -> None:
        members = tuple((k, self._board.members[k].task, self._board.members[k].config) for k in shard.members)
        ours, theirs = _PROCESSES.Pipe(duplex=False)
        order = Order(self._task_name, members, self._folder, os.getpid(), self._device)
        process = _PROCESSES.Process(target=labour, args=(theirs, order), daemon=True)
        try:
            with signals_held():
                process.start()
        except OSError as error:
            raise RunError(f"cannot start a process: {error.strerror or error}") from error
        finally:
            # Ours would keep the pipe open after the worker's death.
            theirs.close()
        taken = {worker.number for worker in self._workers.values()}
        number = next(k for k in range(self._most) if k not in taken)
        self._workers[ours] = _Worker(number, shard, process, ours)
        self._board.workers[number] = Working(shard)

    def _listen(self) -> None:
        for channel in wait(list(self._workers), timeout=_SECONDS_ASLEEP if self._workers else 0):
            assert isinstance(channel, Connection)
            worker = self._workers[channel]
            try:
                message: Message = channel.recv()
            except (EOFError, OSError):
                self._conclude(worker)
            else:
                self._take(worker, message)

    def _take(self, worker: _Worker, message: Message) -> None:
        board = self._board
        match message:
            case Doing(what):
                board.workers[worker.number].doing = what
            case Opened(member, folder, update):
                board.open(member, folder, update)
            case Moved(updates):
                board.move(updates)
            case Recorded(member, record):
                board.note(member, record)
            case Ended(member, state, update, text):
                # One that diverged keeps a checkpoint from before; how far it came is what is told of it.
                if state != "diverged":
                    board.move({member: update})
                board.put(member, state, text)
                if state != "stopped":
                    self._watcher.on_end(member)
            case Refused(member, error):
                worker.errors[member] = error
            case Broken():
                worker.broken = message
            case Spent():
                worker.spent = message

    def _conclude(self, worker: _Worker) -> None:
        """The worker's end: count its time, and see to the members it leaves."""
        worker.process.join(_SECONDS_TO_EXIT)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.channel.close()
        del self._workers[worker.channel], self._board.workers[worker.number]
        self._account.shard(
            members=len(worker.shard),
            again=worker.shard.again,
            seconds=round(time.monotonic() - worker.began, 3),
            loading_seconds=round(worker.spent.loading, 3),
            training_seconds=round(worker.spent.training, 3),
            exit_status=worker.process.exitcode,
        )
        left = [k for k in worker.shard.members if self._board.standings[k].open]
        if not left:
            return
        error = worker.broken.error if worker.broken else cause_of_death(worker.process.exitcode)
        if self._stopping:
            self._put_aside(worker.shard)
        elif not worker.shard.again:
            for member in left:
                self._board.put(member, "waiting", worker.errors.get(member, error))
            reasons = "; ".join(dict.fromkeys(worker.errors.get(member, error) for member in left))
            self._watcher.on_note(f"{len(left)} members are tried once more later: {reasons}")
            self._queue.append(replace(worker.shard, members=tuple(left), again=True))
        else:
            for member in left:
                self._fail(member, worker.errors.get(member, error), worker.broken.trace if worker.broken else "")

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
