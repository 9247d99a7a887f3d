"""The processes of an extraction: clips handed out, features put into the store, deaths survived, a stop obeyed."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Protocol

from nprnn.errors import RunError
from nprnn.feature_store import ClipRow, FeatureStore
from nprnn.processes import cause_of_death, signals_held
from nprnn.video.layout import Clip
from nprnn.video.remarks import Remarks
from nprnn.video.worker import Begun, Broken, Done, Given, Message, Order, Ready, Refused, labour

# Never fork: a forked child has none of torch's threads, and hangs when it asks them.
_PROCESSES = multiprocessing.get_context("spawn")
_SECONDS_ASLEEP = 0.25
_SECONDS_TO_EXIT = 10.0


class Watcher(Protocol):
    """Told what becomes of clips, and asked to draw."""

    def on_done(self, name: str, remark: str) -> None:
        """A clip is in the store; the remark says what was amiss, or nothing."""

    def on_left_out(self, name: str, reason: str) -> None:
        """A clip gives no features."""

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


class Extraction:
    """Puts the features of clips into a store.

    Args:
        store: where to; its lock is held by the caller.
        order: how to.
        workers: processes at once.
        remarks: where to write down what is amiss with clips.
        watcher: told of clips.
    """

    def __init__(self, store: FeatureStore, order: Order, workers: int, remarks: Remarks, watcher: Watcher) -> None:
        self._store = store
        self._order = order
        self._most = workers
        self._remarks = remarks
        self._watcher = watcher
        self._clips: Sequence[Clip] = ()
        self._queue: deque[int] = deque()
        self._suspects: deque[int] = deque()
        self._workers: dict[Connection, _Worker] = {}

    def run(self, clips: Sequence[Clip], stop: Callable[[], bool]) -> bool:
        """Do the clips, in about their order.

        Where a process dies, the clips that it had are tried once more later, each by a process of its own; one
        that kills that too is left out.

        Args:
            clips: what to do; none of them is in the store.
            stop: asked several times a second; true ends the workers, whose clips in hand are lost.

        Returns:
            Whether all was done, and not stopped before.

        Raises:
            RunError: no process can be started, or none can work; says why.
            DataError: the store cannot be written.
        """
        self._clips = clips
        self._queue = deque(range(len(clips)))
        try:
            while self._workers or self._queue or self._suspects:
                if stop():
                    return False
                self._hire()
                self._listen()
                self._watcher.draw()
            return True
        finally:
            for channel, worker in self._workers.items():
                channel.close()
                worker.process.terminate()
            for worker in self._workers.values():
                worker.process.join(_SECONDS_TO_EXIT)
                worker.process.kill()
                worker.process.join()

    def _hire(self) -> None:
        while self._queue and len(self._workers) < self._most:
            self._start(alone=False)
        # Last of all, and one by one: it is sure then which clip it is.
        if self._suspects and not self._workers:
            self._start(alone=True)

    def _start(self, *, alone: bool) -> None:
        ours, theirs = _PROCESSES.Pipe()
        process = _PROCESSES.Process(target=labour, args=(theirs, self._order), daemon=True)
        try:
            with signals_held():
                process.start()
        except OSError as error:
            raise RunError(f"cannot start a process: {error.strerror or error}") from error
        finally:
            # Ours would keep the pipe open after the worker's death.
            theirs.close()
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
            channel.send(Given(clip, self._clips[clip].path))

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
            case Done(clip, features, remark):
                worker.given.remove(clip)
                found = self._clips[clip]
                # The remark first: one on a clip that is not in the store is dropped by the next session.
                if remark:
                    self._remarks.add(found.name, "kept", remark)
                self._store.append(ClipRow(found.name, found.label, found.group, found.splits, len(features)), features)
                self._watcher.on_done(found.name, remark)
            case Refused(clip, reason):
                worker.given.remove(clip)
                self._leave_out(clip, reason)
            case Broken(error):
                worker.broken = error

    def _leave_out(self, clip: int, reason: str) -> None:
        name = self._clips[clip].name
        self._remarks.add(name, "left out", reason)
        self._watcher.on_left_out(name, reason)

    def _conclude(self, channel: Connection, worker: _Worker) -> None:
        """The worker's end: see to the clips it leaves."""
        worker.process.join(_SECONDS_TO_EXIT)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        channel.close()
        del self._workers[channel]
        if worker.broken:
            raise RunError(worker.broken)
        if not worker.given:
            return
        death = cause_of_death(worker.process.exitcode)
        if not worker.ready:
            raise RunError(f"a process could not begin: {death}; try fewer --workers")
        if worker.alone:
            self._leave_out(worker.given[0], f"at it {death}, twice")
        else:
            self._suspects.extend(worker.given)
