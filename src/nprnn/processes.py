"""What commands that work with several processes share."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM came. As Ctrl-C does, it lets whoever is writing put things in order."""


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """In here SIGTERM raises ``Terminated``; else it would end the process on the spot and leave half-written files.

    Whoever listens to it in another way does so still. Outside the main thread, where Python handles no signals,
    nothing changes.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """A process started in here begins with Ctrl-C and SIGTERM blocked, until it can answer them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # It unblocks both signals when it starts, so it must have started.
    resource_tracker.ensure_running()
    old = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def cause_of_death(status: int | None) -> str:
    """What a process died of, from its exit status."""
    if status is None or status >= 0:
        return f"its process ended too early, with status {status}"
    name = signal.Signals(-status).name
    hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return f"its process was killed by {name}{hint}"
