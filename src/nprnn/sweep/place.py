"""The folder of a sweep: made, checked, and kept from a second sweep."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from nprnn.errors import RunError
from nprnn.files import write_atomically
from nprnn.sweep.file import SweepFile

COPY = "sweep.toml"
_LOCK = ".sweep.lock"


@contextlib.contextmanager
def occupied(folder: Path) -> Iterator[None]:
    """Make the folder and keep other sweeps out of it.

    Args:
        folder: the sweep's folder.

    Raises:
        RunError: another sweep is at work there, or it cannot be written.
    """
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # not on this system: go without
        yield
        return
    with _writing(folder / _LOCK):
        careful = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | careful, 0o666)
    try:
        with _writing(folder / _LOCK):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(
                    f"another sweep is at work in {folder}; wait until it ends, or name another folder (--out of "
                    "nprnn sweep, --runs of nprnn reproduce)"
                ) from None
        yield
    finally:
        os.close(descriptor)


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
