"""The peak memory of one step of a rival, in a process of its own."""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from nprnn.bench.problem import make_problem
from nprnn.bench.rivals import RIVALS
from nprnn.bench.shapes import Shape
from nprnn.bench.threads import limited
from nprnn.errors import NprnnError

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory(name: str, shape: Shape, threads: int) -> int | None:
    """Bytes that one call of a rival adds, at its peak, to a process that holds the data and the weights.

    In a fresh process, which has loaded the rival's code by a problem of two steps before. What a call leaves behind
    counts, gradients and kept scratch; compiling does not.

    Args:
        name: the rival's.
        shape: the shape; of an ensemble the bytes are those of all members that the rival computes at once.
        threads: threads.

    Returns:
        Bytes, or None where the system does not tell (it needs Linux).

    Raises:
        NprnnError: the process failed.
    """
    if not os.access(_RESET, os.W_OK):
        return None
    question = json.dumps({"name": name, "threads": threads, "shape": dataclasses.asdict(shape)})
    command = [sys.executable, "-c", "from nprnn.bench.memory import main; main()", question]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NprnnError(f"measuring the memory of {name} failed: {done.stderr.strip()[-2000:]}")
    return int(done.stdout.split()[-1])


def main() -> None:
    """Answer one question of ``peak_memory``."""
    question = json.loads(sys.argv[1])
    shape, build = Shape(**question["shape"]), RIVALS[question["name"]][1]
    with limited(question["threads"]):
        small = dataclasses.replace(shape, steps=2, batch=1)
        build(make_problem(small), question["threads"]).run()
        rival = build(make_problem(shape), question["threads"])
        before = _settle()
        rival.run()
        _settle()
        rival.run()
        print(_read("VmHWM") - before)


def _settle() -> int:
    """Give free memory back to the system and forget the peak so far; the bytes that are in use."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    # The peak of getrusage would do, were it not that a child's begins at its parent's.
    _RESET.write_text("5")
    return _read("VmRSS")


def _read(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", _STATUS.read_text(), re.M)
    if found is None:
        raise NprnnError(f"{_STATUS} does not tell {name}")
    return int(found[1]) * 1024
