"""One seed derives every random stream of a run, so that no stream depends on how much another one drew."""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, *purpose: str | int) -> torch.Generator:
    """A generator for one purpose of one seed.

    Args:
        seed: the run's seed.
        *purpose: what the stream is for, such as ``"order", epoch``; other words give independent streams.

    Returns:
        A fresh ``torch.Generator`` at the start of its stream.
    """
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    # 63 bits: torch takes signed 64-bit seeds.
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
