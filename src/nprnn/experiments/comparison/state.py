"""Runs that are not at their end, kept where they can be committed, so that anyone's clone can go on with them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from nprnn.errors import RunError
from nprnn.files import write_atomically
from nprnn.runs import LAST

_KEPT = ("config.json", "env.json", "metrics.jsonl", "best.safetensors")


def bring_back(kept: Path, runs: Path, names: Iterable[str]) -> list[str]:
    """Copy kept runs to where they go on; what is there already stays.

    Args:
        kept: folder of kept runs.
        runs: folder of runs.
        names: of those that are wanted.

    Returns:
        The names of those that were copied.

    Raises:
        RunError: one cannot be copied.
    """
    brought = []
    for name in names:
        if (kept / name / LAST).exists() and not (runs / name).exists():
            _copy(kept / name, runs / name)
            brought.append(name)
    return brought


def keep(runs: Path, kept: Path, begun: Iterable[str], ended: Iterable[str]) -> None:
    """Keep what has begun, and forget what has ended.

    Args:
        runs: folder of runs.
        kept: folder of kept runs.
        begun: names of runs with something left to train.
        ended: names of runs with nothing left.

    Raises:
        RunError: one cannot be copied.
    """
    for name in begun:
        if (runs / name / LAST).exists():
            _copy(runs / name, kept / name)
    for name in ended:
        shutil.rmtree(kept / name, ignore_errors=True)
    if kept.is_dir() and not any(kept.iterdir()):
        kept.rmdir()


def _copy(source: Path, target: Path) -> None:
    """File by file; the run may be in training.

    The checkpoint is read first, so that the records are not behind it, and written last: a run is brought back only
    where it is there.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        checkpoint = (source / LAST).read_bytes()
        for name in _KEPT:
            if (source / name).exists():
                write_atomically(target / name, (source / name).read_bytes())
        write_atomically(target / LAST, checkpoint)
    except OSError as error:
        raise RunError(f"cannot copy the run {source} to {target}: {error.strerror or error}") from error
