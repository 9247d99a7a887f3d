"""What the machine can do at best: matrix products and copies, to hold results against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from nprnn.bench.shapes import Shape
from nprnn.bench.timing import Times, interleave

# Which size is fastest differs from machine to machine and from dtype to dtype.
GEMM_SIZES = (512, 1024, 1536)
# Beyond the last-level cache of nearly every machine.
_COPIED = 1 << 27
_COPY = "copy"


def gemm_calls(dtype: torch.dtype) -> dict[str, Callable[[], object]]:
    """Products of square matrices of the sizes that machines do best, ready to be timed; by name."""
    calls: dict[str, Callable[[], object]] = {}
    for size in GEMM_SIZES:
        a, b, out = (torch.rand(size, size, dtype=dtype) for _ in range(3))
        calls[_gemm_name(dtype, size)] = partial(torch.mm, a, b, out=out)
    return calls


def gemm_peak(times: Mapping[str, Times], dtype: torch.dtype) -> float:
    """Floating-point operations a second of the best size among ``times``, by its median."""
    return max(2 * size**3 / times[_gemm_name(dtype, size)].median for size in GEMM_SIZES)


def _gemm_name(dtype: torch.dtype, size: int) -> str:
    return f"gemm {str(dtype).removeprefix('torch.')} {size}"


def machine_limits(rounds: int) -> dict[str, Any]:
    """Measure the machine alone.

    Args:
        rounds: samples of each.

    Returns:
        GEMM peaks in flops a second by dtype, and bytes a second of copying (read and written) beyond the caches.
    """
    source, target = torch.ones(_COPIED // 4), torch.empty(_COPIED // 4)
    calls = {**gemm_calls(torch.float32), **gemm_calls(torch.float64), _COPY: lambda: target.copy_(source)}
    times = interleave(calls, rounds)
    return {
        "gemm_float32": gemm_peak(times, torch.float32),
        "gemm_float64": gemm_peak(times, torch.float64),
        "bandwidth": 2 * _COPIED / times[_COPY].median,
    }


def first_order_limit(shape: Shape, gemm: float, bandwidth: float) -> dict[str, Any]:
    """What bounds a shape if arithmetic runs at the GEMM peak and everything goes through memory once.

    Args:
        shape: the shape.
        gemm: flops a second.
        bandwidth: bytes a second.

    Returns:
        Seconds of arithmetic, seconds of traffic, and which of the two binds. Neither knows of the chain of T steps,
        each waiting for the one before, which binds where a step is small.
    """
    arithmetic, traffic = shape.flops / gemm, shape.traffic / bandwidth
    binds = "arithmetic" if arithmetic >= traffic else "bandwidth"
    return {"arithmetic": arithmetic, "traffic": traffic, "binds": binds}
