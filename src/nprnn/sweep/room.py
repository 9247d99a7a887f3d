"""How much memory the shards of a sweep may take on a device."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import torch

from nprnn.devices import free_memory
from nprnn.errors import RunError

# Of what is free. The rest is for what the plan does not count: the plain kernel's copies of the states, batches drawn
# ahead, and what the allocator holds back.
_SHARE = 1 / 3

Answer = TypeVar("Answer")


def room(device: torch.device) -> int:
    """Bytes that all shards in training may take at once, with their data.

    Args:
        device: a CUDA device.

    Returns:
        A third of what is free there.

    Raises:
        RunError: the device does not answer.
    """
    try:
        free = elsewhere(free_memory, str(device))
    except (RuntimeError, BrokenProcessPool) as error:
        raise RunError(f"{device} does not tell how much memory it has free: {error}") from error
    return int(free * _SHARE)


def elsewhere(ask: Callable[[str], Answer], argument: str) -> Answer:
    """An answer from a process of its own: one that asks a device starts CUDA, and keeps memory there to its end."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(ask, argument).result()
