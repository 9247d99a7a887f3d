"""How a problem is cut for a GPU: which kernel, and how much of it a program takes."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch

# Rows and columns of a block where the step matrix is streamed.
_BLOCK = 64
# Rows a program takes. Few, and more programs work side by side; many, and each reading of the step matrix serves more.
# Tensor cores take 16 at a time, wanted or not; products that are exact in float32 know no such bound.
_TILES_EXACT = (2, 4, 8, 16, 32)
_TILES_TENSOR = (16, 32)
# Entries of a tile for each thread, found by looking at what the compiler makes of them: more, and registers spill.
_ENTRIES_EXACT, _ENTRIES_TENSOR = 2, 8
_THREADS = (128, 512)


class Plan(NamedTuple):
    """How a problem is cut.

    Attributes:
        resident: whether the step matrix stays on the multiprocessor.
        tile: rows of the batch in a program.
        padded: hidden units with what fills them up, or those of a block where the matrix is streamed.
        warps: of a program.
    """

    resident: bool
    tile: int
    padded: int
    warps: int


class Device(NamedTuple):
    """What a device has.

    Attributes:
        multiprocessors: how many.
        shared: bytes of shared memory that a program may have.
    """

    multiprocessors: int
    shared: int


def plan(members: int, batch: int, hidden: int, itemsize: int, *, exact: bool, device: Device) -> Plan:
    """The one place where kernel and tile are chosen.

    Args:
        members: E.
        batch: B.
        hidden: H.
        itemsize: bytes of a weight.
        exact: whether products are those of float32, without tensor cores.
        device: what it runs on.

    Returns:
        The largest tile that leaves a program for every multiprocessor; the smallest where none does.
    """
    tiles, entries = (_TILES_EXACT, _ENTRIES_EXACT) if exact else (_TILES_TENSOR, _ENTRIES_TENSOR)
    tile = max((t for t in tiles if members * -(-batch // t) >= device.multiprocessors), default=tiles[0])
    padded = max(16, 1 << (hidden - 1).bit_length())
    # Beside the matrix a tile of states, twice in float32.
    resident = padded * padded * itemsize + 8 * tile * padded <= device.shared
    if not resident:
        padded = _BLOCK
    threads = min(max(tile * padded // entries, _THREADS[0]), _THREADS[1])
    return Plan(resident, tile, padded, threads // 32)


@functools.cache
def properties(device: torch.device) -> Device:
    """What a device has."""
    if device.type != "cuda":
        # The interpreter has neither; what a Hopper has lets it take the same ways.
        return Device(132, 227 * 1024)
    found = torch.cuda.get_device_properties(device)
    return Device(found.multi_processor_count, getattr(found, "shared_memory_per_block_optin", 48 * 1024))
