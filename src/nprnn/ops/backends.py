"""Which kernels there are, which one runs, and why another does not. The one place where a kernel is chosen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor

from nprnn.errors import ConfigError, unknown
from nprnn.ops import cpu, gpu, reference

# What NPRNN_KERNEL and `use_kernel` take: the best there is, the definition, one instruction set, or Triton's kernels,
# which are those of CUDA tensors anyway, for what its interpreter runs on a CPU.
AUTO, REFERENCE, TRITON = "auto", "reference", "triton"
_CPU = ("portable", "avx2", "avx512", "neon")
_KNOWN = (AUTO, REFERENCE, *_CPU, TRITON)
_asked = os.environ.get("NPRNN_KERNEL", "") or AUTO


class Kernel(NamedTuple):
    """One way to compute the operator; arguments and results as in ``nprnn.ops.reference``."""

    forward: Callable[..., tuple[Tensor, Tensor]]
    backward: Callable[..., Any]


_REFERENCE = Kernel(reference.forward, reference.backward)
_GPU = Kernel(gpu.forward, gpu.backward)
_SETS = tuple(Kernel(partial(cpu.forward, k), partial(cpu.backward, k)) for k in range(len(cpu.instruction_sets())))


def kernel(x: Tensor, *others: Tensor | None) -> Kernel:
    """The kernel that takes these arguments: the best, or the one asked for; the reference where there is none.

    Raises:
        ConfigError: the kernel asked for is not there.
    """
    if x.device.type == "cpu" and _asked != TRITON:
        chosen = None if cpu.obstacle(x, *others) is not None else chosen_instruction_set()
        return _REFERENCE if chosen is None else _SETS[chosen]
    chosen_instruction_set()
    return _REFERENCE if _asked == REFERENCE or gpu.obstacle(x, *others) is not None else _GPU


def chosen_instruction_set() -> int | None:
    """The number of the instruction set in use on the CPU, or None for the reference.

    Raises:
        ConfigError: the kernel asked for is not there.
    """
    sets = cpu.instruction_sets()
    if _asked == AUTO and sets:
        return len(sets) - 1
    if _asked not in _KNOWN:
        raise unknown("kernel", _asked, _KNOWN)
    if _asked == TRITON and gpu.missing():
        raise ConfigError(f"the triton kernel was asked for (NPRNN_KERNEL), but there is none here: {gpu.missing()}")
    if _asked in (AUTO, REFERENCE, TRITON):
        return None
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
        name: ``"auto"`` (the best there is), ``"reference"``, ``"portable"``, ``"avx2"``, ``"avx512"``, ``"neon"`` or
            ``"triton"``.

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
    for name in _CPU:
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
    why_not = "NPRNN_KERNEL=reference" if _asked == REFERENCE else gpu.missing()
    status[TRITON] = f"not in use: {why_not}" if why_not else gpu.whereabouts()
    status[REFERENCE] = (
        f"in use for every device and dtype{why}"
        if _asked == REFERENCE or (used == REFERENCE and gpu.missing())
        else "in use for what the kernel does not cover: other devices and dtypes, forward mode, second derivatives"
    )
    return status
