"""Which kernels there are, which one runs, and why another does not. The one place where a kernel is chosen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from nprnn.errors import ConfigError, unknown
from nprnn.ops import cpu

# What NPRNN_KERNEL and `use_kernel` take: the best there is, the definition, or one instruction set.
AUTO, REFERENCE = "auto", "reference"
_KNOWN = (AUTO, REFERENCE, "portable", "avx2", "avx512", "neon")
_asked = os.environ.get("NPRNN_KERNEL", "") or AUTO


def instruction_set(x: Tensor, *others: Tensor | None) -> int | None:
    """The number of the instruction set whose kernel takes these arguments, or None for the reference.

    Raises:
        ConfigError: the kernel asked for is not there.
    """
    if cpu.obstacle(x, *others) is not None:
        return None
    return chosen_instruction_set()


def chosen_instruction_set() -> int | None:
    """The number of the instruction set in use on the CPU, or None for the reference.

    Raises:
        ConfigError: the kernel asked for is not there.
    """
    sets = cpu.instruction_sets()
    if _asked in (AUTO, REFERENCE):
        return None if _asked == REFERENCE or not sets else len(sets) - 1
    if _asked not in _KNOWN:
        raise unknown("kernel", _asked, _KNOWN)
    if _asked not in sets:
        there = ", ".join([REFERENCE, *sets])
        raise ConfigError(f"the {_asked} kernel was asked for (NPRNN_KERNEL), but this machine has {there}")
    return sets.index(_asked)


def kernel_in_use() -> str:
    """The kernel that runs on the CPU: ``"reference"``, or the name of its instruction set.

    Raises:
        ConfigError: the kernel asked for is not there.
    """
    chosen = chosen_instruction_set()
    return REFERENCE if chosen is None else cpu.instruction_sets()[chosen]


@contextmanager
def use_kernel(name: str) -> Iterator[None]:
    """Run on one kernel within a ``with`` block (for the whole process), as ``NPRNN_KERNEL`` does from the start.

    Args:
        name: ``"auto"`` (the best there is), ``"reference"``, ``"portable"``, ``"avx2"``, ``"avx512"`` or ``"neon"``.

    Raises:
        ConfigError: the kernel is unknown, or this machine does not have it.
    """
    global _asked
    before, _asked = _asked, name
    try:
        chosen_instruction_set()
        yield
    finally:
        _asked = before


def backend_status() -> dict[str, str]:
    """One line on each kernel: in use, or why not.

    Returns:
        Name to status; ``reference`` is the definition in plain torch operations and runs for every device and dtype.

    Raises:
        ConfigError: the kernel asked for is not there.
    """
    used = kernel_in_use()
    sets = cpu.instruction_sets()
    why = "" if _asked == AUTO else f" (NPRNN_KERNEL={_asked})"
    status = {}
    for name in _KNOWN[2:]:
        if name == used:
            status[name] = f"in use for CPU tensors{why}"
        elif name in sets:
            status[name] = f"available; {used} is {'better' if not why else 'asked for'}"
        elif not cpu.MISSING:
            status[name] = "not for this processor"
    if cpu.MISSING:
        status["native module"] = f"missing ({cpu.MISSING}); install with a C++ compiler to have it"
    else:
        status["native module"] = f"built with {cpu.compiler()}; threads: {cpu.pool()}"
    status[REFERENCE] = (
        f"in use for every device and dtype{why}"
        if used == REFERENCE
        else "in use for what the kernel does not cover: other devices and dtypes, forward mode, second derivatives"
    )
    return status
