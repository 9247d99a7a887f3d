"""The folder of a sweep: made, checked, and kept from a second sweep."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from nprnn.errors import RunError
from nprnn.files import write_atomically
from nprnn.locks import locked
from nprnn.sweep.file import SweepFile
from nprnn.sweep.parts import Part

COPY = "sweep.toml"
_LOCK = ".sweep.lock"
_DIVISIONS = ".sweep-of-*-????????.lock"


@contextlib.contextmanager
def occupied(folder: Path, file: SweepFile | None = None, part: Part | None = None) -> Iterator[None]:
    """Make the folder and keep other sweeps out of it; parts of one sweep into as many parts may share it.

    Args:
        folder: the sweep's folder.
        file: the sweep file; only for a part.
        part: which part of the sweep it is; None is all.

    Raises:
        RunError: another sweep is at work there, the same part, or another division; or it cannot be written.
    """
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as locks:
        if part is None or file is None:
            if not locks.enter_context(_locked(folder / _LOCK, shared=False)):
                raise _occupied(folder, "another sweep is at work")
        else:
            division = f"of-{part.of}-{hashlib.sha256(file.content).hexdigest()[:8]}"
            if not locks.enter_context(_locked(folder / _LOCK, shared=True)):
                raise _occupied(folder, "a sweep that is no part of one is at work")
            if not locks.enter_context(_locked(folder / f".sweep-{division}-{part.number}.lock", shared=False)):
                raise _occupied(folder, f"part {part} is at work")
            locks.enter_context(_locked(folder / f".sweep-{division}.lock", shared=True))
            for other in folder.glob(_DIVISIONS):
                if other.name != f".sweep-{division}.lock":
                    with _locked(other, shared=False) as free:
                        if not free:
                            raise _occupied(
                                folder, f"parts of another file, or of other than {part.of} parts, are at work"
                            )
        yield


def _occupied(folder: Path, what: str) -> RunError:
    return RunError(
        f"{what} in {folder}; wait until it ends, or name another folder (--out of nprnn sweep, --runs of nprnn "
        "reproduce)"
    )


@contextlib.contextmanager
def _locked(path: Path, *, shared: bool) -> Iterator[bool]:
    """As ``locked``; a file that cannot be made is told in a sweep's words."""
    with contextlib.ExitStack() as held:
        with _writing(path):
            had = held.enter_context(locked(path, shared=shared))
        yield had


def keep_file(folder: Path, file: SweepFile) -> None:
    """Put a copy of the sweep file into the folder.

    Args:
        folder: the sweep's folder.
        file: the sweep file.

    Raises:
        RunError: it cannot be written.
    """
    with _writing(folder / COPY):
        write_atomically(folder / COPY, file.content)


def free_space(folder: Path) -> int:
    """Bytes free where the folder is or would be."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def refuse_unwritable(folder: Path) -> None:
    """Refuse a folder that could not be made or written, as far as can be told without writing.

    Args:
        folder: the sweep's folder.

    Raises:
        RunError: it is a file, or may not be written.
    """
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise RunError(f"cannot write {folder}: {place} is not a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise RunError(f"cannot write {folder}: {place} may not be written; name another folder with --out")


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}; name another folder with --out") from error
