"""Results as JSON files: what was run, on what machine, and what came out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nprnn.errors import DataError
from nprnn.files import parse_json, write_atomically
from nprnn.ops import backend_status
from nprnn.training import environment

FORMAT = 1
# Where commands put them, and where the README's table looks.
FOLDER = Path("results/bench")
_PLACES = ("--out", "--data-dir")
_OPTIONAL = ("jax", "jaxlib", "onnx", "onnxruntime")


def make_record(kind: str, command: Sequence[str], threads: int, **results: Any) -> dict[str, Any]:
    """What every result begins with.

    Args:
        kind: which measurement it is; ``bench`` is the table of rivals.
        command: the words that repeat it.
        threads: threads it ran with.
        **results: JSON values.

    Returns:
        The record: commit, machine, versions, kernels, and the results.
    """
    env = environment()
    versions = {name: env[name] for name in ("nprnn", "torch", "numpy", "python")}
    machine = {name: env[name] for name in ("system", "processor", "cores")}
    return {
        "format": FORMAT,
        "kind": kind,
        "command": repeatable(command),
        "started": env["started"],
        "git": env["git"],
        # Others at work on the machine are the likeliest reason for odd numbers.
        "machine": {**machine, "caches": caches(), "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None},
        "versions": versions | {name: found for name in _OPTIONAL if (found := _version(name))},
        "kernel": env["kernel"],
        "kernels": backend_status(),
        "threads": threads,
        **results,
    }


def script_command(script: str) -> list[str]:
    """The words of the running process, which is one of the scripts in ``benchmarks/``, given by its ``__file__``."""
    return ["python", f"benchmarks/{Path(script).name}", *sys.argv[1:]]


def repeatable(words: Sequence[str]) -> list[str]:
    """A command's words without those that only say where something lies on this machine."""
    kept: list[str] = []
    skip = False
    for word in words:
        if not skip and word.partition("=")[0] not in _PLACES:
            kept.append(word)
        skip = word in _PLACES
    return kept


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record atomically, making its folder.

    Raises:
        DataError: it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (json.dumps(record, indent=1) + "\n").encode())
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}; choose another file with --out") from error


def read_record(path: Path) -> dict[str, Any]:
    """Read a record back.

    Raises:
        DataError: not a record of this format.
    """
    try:
        record = parse_json(path.read_text())
        known = record["format"] == FORMAT and isinstance(record["kind"], str)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not a record of a measurement: {error!r}") from error
    if not known:
        raise DataError(f"{path} has format {record['format']}, and this version reads {FORMAT}")
    return dict(record)


def newest(folder: Path, kind: str) -> dict[str, Any] | None:
    """The newest complete record of a kind in a folder, by when it was started; None if there is none.

    One of single shapes or of a few quick rounds (``complete`` is false) does not take the place of a whole one.

    Raises:
        DataError: a file there is not a record.
    """
    records = [read_record(path) for path in sorted(folder.glob("*.json"))]
    fitting = [record for record in records if record["kind"] == kind and record.get("complete", True)]
    return max(fitting, key=lambda record: str(record["started"]), default=None)


def caches() -> dict[str, int]:
    """Bytes of each cache that the first core sees, such as ``L1d``; empty where the system does not tell."""
    found = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
            units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
            letter = {"Data": "d", "Instruction": "i"}.get(kind, "")
            found[f"L{level}{letter}"] = int(size[:-1]) * units[size[-1]]
        except (OSError, ValueError, KeyError, IndexError):
            continue
    return found


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
