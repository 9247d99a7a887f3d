"""Giving every library the same number of threads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from nprnn.bench.denormals import flushes, flushing
from nprnn.errors import ConfigError

# Elements of a tensor that torch splits over all of its threads.
_MANY = 1 << 22


@contextlib.contextmanager
def limited(threads: int) -> Iterator[None]:
    """Hold this process to so many threads, each on a core of its own where the system can do that.

    torch is told (``torch.set_num_threads``). JAX has no such switch: its pool has a thread for each core that the
    process may run on at the time JAX starts, so the process is held to ``threads`` cores; a JAX that was in use before
    keeps the pool it has. ONNX Runtime is told when a session is made.

    torch's pool is started with denormals flushed: workers keep what they are born with, and
    ``torch.set_flush_denormal`` called later would leave all but the first of torch's threads slow.

    Args:
        threads: how many.

    Yields:
        Nothing; threads, cores and denormals are as before afterwards.

    Raises:
        ConfigError: fewer than 1, or more than there are cores for this process.
    """
    cores = _cores()
    if not 1 <= threads <= len(cores):
        raise ConfigError(f"threads must be from 1 to the {len(cores)} cores this process may use, got {threads}")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores[:threads])
    try:
        with flushing(True):
            torch.zeros(_MANY).add_(1)
        # ONNX Runtime switches it for the thread that calls it, and leaves it so.
        with flushing(flushes()):
            yield
    finally:
        torch.set_num_threads(before)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)


def most_threads() -> int:
    """How many cores this process may use."""
    return len(_cores())


def _cores() -> list[int]:
    """Cores this process may use, those that share a physical core with an earlier one last."""
    if not hasattr(os, "sched_getaffinity"):
        return list(range(os.cpu_count() or 1))
    return sorted(os.sched_getaffinity(0), key=lambda core: (_place_among_siblings(core), core))


def _place_among_siblings(core: int) -> int:
    try:
        words = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").read_text()
        ranges = [word.split("-") for word in words.strip().split(",")]
        return [k for ends in ranges for k in range(int(ends[0]), int(ends[-1]) + 1)].index(core)
    except (OSError, ValueError):
        return 0
