"""The processes that turn videos into features: files handed out, answers passed on, deaths survived, a stop obeyed."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Protocol

from nprnn.errors import RunError
from nprnn.processes import cause_of_death
from nprnn.spawning import end, spawn
from nprnn.video.worker import Begun, Broken, Done, Given, Message, Order, Ready, Refused, labour

_SECONDS_ASLEEP = 0.25


class Taker(Protocol):
    """Who gets what comes of the videos, each told of by its number, and is asked to draw."""

    def take(self, done: Done) -> None:
        """A video gave features."""

    def leave_out(self, clip: int, reason: str) -> None:
        """A video gives none."""

    def draw(self) -> None:
        """Called several times a second."""


@dataclass
class _Worker:
    """A process.

    Attributes:
        process: it.
        alone: whether it has one clip only, one that a process died of.
        given: clips that it has and has not answered, in order.
        ready: whether it has its backbone.
        broken: why it gives up, or nothing.
    """

    process: SpawnProcess
    alone: bool
    given: deque[int] = field(default_factory=deque)
    ready: bool = False
    broken: str = ""


class Crew:
    """Makes features of videos.

    Args:
        order: how to.
        workers: processes at once.
        taker: gets the features.
    """

    def __init__(self, order: Order, workers: int, taker: Taker) -> None:
        self._order = order
        self._most = workers
        self._taker = taker
        self._paths: Sequence[Path] = ()
        self._queue: deque[int] = deque()
        self._suspects: deque[int] = deque()
        self._workers: dict[Connection, _Worker] = {}

    def run(self, paths: Sequence[Path], stop: Callable[[], bool]) -> bool:
        """Do the videos, in about their order.

        Where a process dies, the videos that it had are tried once more later, each by a process of its own; one
        that kills that too is left out.

        Args:
            paths: the videos; the taker is told their places here.
            stop: asked several times a second; true ends the workers, whose videos in hand are lost.

        Returns:
            Whether all was done, and not stopped before.

        Raises:
            RunError: no process can be started, or none can work; says why.
        """
        self._paths = paths
        self._queue = deque(range(len(paths)))
        try:
            while self._workers or self._queue or self._suspects:
                if stop():
                    return False
                self._hire()
                self._listen()
                self._taker.draw()
            return True
        finally:
            for channel, worker in self._workers.items():
                channel.close()
                worker.process.terminate()
            for channel, worker in self._workers.items():
                end(worker.process, channel)

    def _hire(self) -> None:
        while self._queue and len(self._workers) < self._most:
            self._start(alone=False)
        # Last of all, and one by one: it is sure then which clip it is.
        if self._suspects and not self._workers:
            self._start(alone=True)

    def _start(self, *, alone: bool) -> None:
        process, ours = spawn(labour, self._order, duplex=True)
        self._workers[ours] = worker = _Worker(process, alone)
        self._give(ours, worker, self._suspects if alone else self._queue)

    def _give(self, channel: Connection, worker: _Worker, clips: deque[int]) -> None:
        """Hand out one clip more, or the end."""
        # A worker that died is noticed by its silence, when it is listened to.
        with contextlib.suppress(OSError):
            if not clips:
                channel.send(None)
                return
            clip = clips.popleft()
            worker.given.append(clip)
            channel.send(Given(clip, self._paths[clip]))

    def _listen(self) -> None:
        for channel in wait(list(self._workers), timeout=_SECONDS_ASLEEP):
            assert isinstance(channel, Connection)
            worker = self._workers[channel]
            try:
                message: Message = channel.recv()
            except (EOFError, OSError):
                self._conclude(channel, worker)
            else:
                self._take(channel, worker, message)

    def _take(self, channel: Connection, worker: _Worker, message: Message) -> None:
        match message:
            case Ready():
                worker.ready = True
            case Begun():
                # The next one waits in the pipe, so that the worker never waits for us.
                self._give(channel, worker, deque() if worker.alone else self._queue)
            case Done():
                worker.given.remove(message.clip)
                self._taker.take(message)
            case Refused(clip, reason):
                worker.given.remove(clip)
                self._taker.leave_out(clip, reason)
            case Broken(error):
                worker.broken = error

    def _conclude(self, channel: Connection, worker: _Worker) -> None:
        """The worker's end: see to the clips it leaves."""
        status = end(worker.process, channel)
        del self._workers[channel]
        if worker.broken:
            raise RunError(worker.broken)
        if not worker.given:
            return
        death = cause_of_death(status)
        if not worker.ready:
            raise RunError(f"a process could not begin: {death}; try fewer --workers")
        if worker.alone:
            self._taker.leave_out(worker.given[0], f"at it {death}, twice")
        else:
            self._suspects.extend(worker.given)
