"""What computes: versions, processor, device, kernel; and keeping a run's note of it true."""

from __future__ import annotations

import functools
import importlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from nprnn.devices import CPU, about
from nprnn.ops import gpu, kernel_in_use
from nprnn.ops.backends import REFERENCE, TRITON, kernel
from nprnn.runs import Run

# With these equal, numbers are equal to the last bit.
_NUMBERS_DEPEND_ON = ("torch", "device", "cuda", "kernel", "threads", "processes")
# What notes from before there was a choice leave out.
_BEFORE = {"device": "cpu", "processes": 1}
_CONTINUED = "continued"


def environment(device: torch.device = CPU, processes: int = 1) -> dict[str, Any]:
    """What a result may depend on beyond its settings: versions, processor, device, kernel, threads, processes.

    Args:
        device: where it is computed.
        processes: how many share a batch.

    Returns:
        JSON values.
    """
    return {
        "command": ["nprnn", *sys.argv[1:]],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "nprnn": _own_version(),
        "git": commit(),
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "python": platform.python_version(),
        "system": platform.system(),
        "processor": processor(),
        "cores": os.cpu_count(),
        **about(device),
        "kernel": kernel_on(device),
        "threads": torch.get_num_threads(),
        "processes": processes,
    }


def note_environment(run: Run, now: Mapping[str, Any], done: int) -> None:
    """Keep ``env.json`` true of a run that goes on with something else than it was begun with.

    Before the first update it is what computes now; later what has changed is added under ``continued``, with the
    update from which on it is so.

    Args:
        run: the run; nobody else writes to it.
        now: ``environment``.
        done: updates done.

    Raises:
        RunError: the folder cannot be written.
    """
    env = run.env()
    earlier = env.get(_CONTINUED)
    earlier = [entry for entry in earlier if isinstance(entry, dict)] if isinstance(earlier, list) else []
    known = {**_BEFORE, **env}
    for entry in earlier:
        known |= entry
    if all(known.get(name) == now.get(name) for name in _NUMBERS_DEPEND_ON):
        return
    if done == 0:
        env = {name: value for name, value in env.items() if name not in (*_NUMBERS_DEPEND_ON, _CONTINUED)} | dict(now)
    else:
        names = (*now, *(name for name in _NUMBERS_DEPEND_ON if name in known and name not in now))
        changed = {name: now.get(name) for name in names if known.get(name) != now.get(name)}
        env[_CONTINUED] = [*earlier, {"update": done, **changed}]
    run.write("env.json", json.dumps(env, indent=1, sort_keys=True).encode())


def kernel_on(device: torch.device) -> str:
    """The kernel that runs on a device.

    Raises:
        ConfigError: the kernel asked for is not there.
    """
    if device.type == "cpu":
        return kernel_in_use()
    chosen = kernel(torch.empty(1, 1, 1, device=device))
    return TRITON if chosen.forward is gpu.forward else REFERENCE


def processor() -> str:
    """The processor's name, or the architecture's where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


@functools.cache
def commit() -> str | None:
    """The commit of the checkout this package is imported from; None where it is installed without one."""
    package = Path(__file__).resolve().parents[1]
    try:
        top = _git(package, "rev-parse", "--show-toplevel")
        # Another project's repository may surround an installed package.
        if Path(top).resolve() / "src" / "nprnn" != package:
            return None
        return _git(package, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, check=True).stdout.strip()


def _own_version() -> str:
    try:
        return version("nprnn")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return str(importlib.import_module("nprnn").__version__)
