"""Processes that work for a command, each heard through a pipe: how one is begun, and how its end is seen to."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from nprnn.errors import RunError
from nprnn.processes import signals_held

# Never fork: a forked child has none of torch's threads, and hangs when it asks them.
_PROCESSES = multiprocessing.get_context("spawn")
# How long a process that has said its last may take to end.
_SECONDS_TO_EXIT = 10.0


def spawn(work: Callable[..., None], order: Any, *, duplex: bool = False) -> tuple[SpawnProcess, Connection]:
    """Start a process.

    Args:
        work: what it does, called with its end of the pipe and ``order``.
        order: what it is told, which must go through a pipe.
        duplex: whether it is spoken to later, too.

    Returns:
        The process, at work, and our end of the pipe.

    Raises:
        RunError: the system gives none.
    """
    ours, theirs = _PROCESSES.Pipe(duplex)
    process = _PROCESSES.Process(target=work, args=(theirs, order), daemon=True)
    try:
        with signals_held():
            process.start()
    except OSError as error:
        raise RunError(f"cannot start a process: {error.strerror or error}") from error
    finally:
        # Ours would keep the pipe open after the worker's death.
        theirs.close()
    return process, ours


def end(process: SpawnProcess, channel: Connection) -> int | None:
    """See to the end of a process that is heard no more; its exit status."""
    process.join(_SECONDS_TO_EXIT)
    if process.is_alive():
        process.kill()
        process.join()
    channel.close()
    return process.exitcode
