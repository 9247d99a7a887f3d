"""One process of a sweep: it trains the members of one shard as an ensemble, and tells how they come along."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

import torch

from nprnn.errors import NprnnError, RunError
from nprnn.runs import Run
from nprnn.sweep.messages import Broken, Doing, Ended, Message, Moved, Opened, Order, Recorded, Refused, Spent
from nprnn.sweep.shelf import Shelf
from nprnn.sweep.survey import FAILED
from nprnn.training import Member, Outcome, start_run, train_ensemble

# A worker whose parent was killed ends after the update in hand; only an evaluation takes longer than a moment.
_LOCKS_SECONDS = 10.0
_SECONDS_BETWEEN_REPORTS = 0.25


def labour(channel: Connection, order: Order) -> None:
    """What the process does, from start to end.

    Args:
        channel: where to tell.
        order: what to do.
    """
    stop = Stop(order.parent)
    # A process for each core: one thread for each process. Flush-to-zero as in the command line.
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    desk = Desk(channel)
    try:
        _train(order, desk, lambda: stop() or desk.alone)
    except Exception as error:
        text = str(error) if isinstance(error, NprnnError) else f"{type(error).__name__}: {error}"
        if isinstance(error, torch.OutOfMemoryError):
            text += "; train fewer members at once with --ensemble"
        desk.tell(Broken(text, traceback.format_exc()))
    desk.tell(Spent(desk.loading, desk.training))
    channel.close()


class Stop:
    """Whether to write checkpoints and end: SIGTERM has come, or the parent process is gone.

    Ctrl-C reaches every process of a terminal; it is left to the parent, which passes it on as SIGTERM.

    Args:
        parent: process id of the parent.
    """

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._asked = False
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._note)
        # The parent starts its workers with both blocked, so that none is lost before there is someone to listen.
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))

    def __call__(self) -> bool:
        """Whether to stop."""
        return self._asked or os.getppid() != self._parent

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._asked = True


class Desk:
    """Where the worker tells from: the training's listener, and the clock.

    Args:
        channel: where to tell.

    Attributes:
        numbers: of the members in training, in the sweep.
        alone: whether nobody listens any more.
        loading: seconds spent on loading data.
        training: seconds spent inside the training.
    """

    def __init__(self, channel: Connection) -> None:
        self.numbers: list[int] = []
        self.alone = False
        self.loading = self.training = 0.0
        self._channel = channel
        self._moved: dict[int, int] = {}
        self._told = 0.0

    def tell(self, message: Message) -> None:
        """Send a message; without a listener, nothing happens but that ``alone`` is set."""
        try:
            self._channel.send(message)
        except OSError:
            self.alone = True

    def on_updates(self, member: int, update: int, losses: Sequence[float]) -> None:
        """Tell how far members are, now and then."""
        self._moved[self.numbers[member]] = update
        if time.monotonic() - self._told > _SECONDS_BETWEEN_REPORTS:
            self._flush()

    def on_record(self, member: int, record: dict[str, Any]) -> None:
        """Tell of an evaluation."""
        self.tell(Recorded(self.numbers[member], record))

    def on_end(self, member: int, outcome: Outcome) -> None:
        """Tell that a member is through."""
        number = self.numbers[member]
        self._moved.pop(number, None)
        if outcome.state == "failed":
            self.tell(Refused(number, outcome.message))
        else:
            self.tell(Ended(number, outcome.state, outcome.update, outcome.message))

    def _flush(self) -> None:
        self.tell(Moved(self._moved))
        self._moved, self._told = {}, time.monotonic()


def _train(order: Order, desk: Desk, stop: Callable[[], bool]) -> None:
    desk.tell(Doing("loading"))
    shelf = Shelf()
    members = []
    for number, task, config, fingerprint, _ in order.members:
        if stop():
            return
        began = time.perf_counter()
        data = shelf.get(task, config.seed)
        desk.loading += time.perf_counter() - began
        try:
            if data.fingerprint != fingerprint:
                raise RunError("the data here are not those that the sweep was planned with (fingerprints differ)")
            run = start_run(order.task_name, task, config, data, order.folder)
            update = run.progress()
            _forget_failure(run)
        except RunError as error:
            desk.tell(Refused(number, str(error)))
            continue
        desk.tell(Opened(number, run.folder.name, update))
        members.append(Member(config, data, run))
        desk.numbers.append(number)
    _await_locks([member.run for member in members], stop)
    if not members or stop():
        return
    desk.tell(Doing("training"))
    began = time.perf_counter()
    try:
        train_ensemble(members, stop=stop, listener=desk, device=order.device)
    finally:
        desk.training = time.perf_counter() - began


def _forget_failure(run: Run) -> None:
    try:
        (run.folder / FAILED).unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"cannot write {run.folder / FAILED}: {error.strerror or error}") from error


def _await_locks(runs: Sequence[Run], stop: Callable[[], bool]) -> None:
    """Give the workers of an earlier sweep, whose parent was killed, the time to end."""
    until = time.monotonic() + _LOCKS_SECONDS
    while any(run.in_use() for run in runs) and time.monotonic() < until and not stop():
        time.sleep(0.1)
