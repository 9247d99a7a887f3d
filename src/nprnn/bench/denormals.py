"""Whether this thread flushes denormal numbers to zero, and setting that for a while."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import torch


def flushes() -> bool:
    """Whether this thread flushes denormals; torch sets it but does not tell."""
    return sys.float_info.min / 2 == 0.0


@contextlib.contextmanager
def flushing(on: bool) -> Iterator[None]:
    """Switch ``torch.set_flush_denormal`` for this thread, and back as it was afterwards.

    It reaches this thread alone: the workers of a pool keep what their maker had when they were made.
    """
    before = flushes()
    torch.set_flush_denormal(on)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
