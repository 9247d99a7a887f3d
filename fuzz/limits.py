"""What an input may cost: seconds, and memory over what the process has already."""

from __future__ import annotations

import contextlib
import resource
import signal
from collections.abc import Iterator
from types import FrameType

SECONDS = 10
"""An input that takes longer hangs."""
MEMORY = 1 << 30
"""Bytes of address space that an input may add."""


class HangError(Exception):
    """An input took too long."""


@contextlib.contextmanager
def bounded(seconds: float = SECONDS, memory: int = MEMORY) -> Iterator[None]:
    """Raise a HangError after so many seconds of processor time, and a MemoryError where more memory is asked for.

    In the main thread alone, as signals arrive there.
    """

    def hang(_: int, __: FrameType | None) -> None:
        raise HangError(f"it took more than {seconds} seconds of the processor's time")

    before = signal.signal(signal.SIGPROF, hang)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        with memory_bounded(memory):
            yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextlib.contextmanager
def memory_bounded(memory: int = MEMORY) -> Iterator[None]:
    """Let the process have so many bytes of address space more than it has now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + memory, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _address_space() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
