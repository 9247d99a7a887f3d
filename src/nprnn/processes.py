"""What commands that work with several processes share."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from multiprocessing import resource_tracker


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
