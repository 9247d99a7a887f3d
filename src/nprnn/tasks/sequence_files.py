"""Reading sequences from a user's files, whichever of the known kinds they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nprnn.errors import DataError
from nprnn.tasks.sequence_csv import MAX_VALUES, read_csv, read_folder
from nprnn.tasks.sequence_npz import read_npz
from nprnn.tasks.sequence_table import SequenceTable


@dataclass(frozen=True, eq=False)
class Inputs:
    """Sequences without targets.

    Attributes:
        names: the file of each sequence; where they came in one file, what its ``name`` says, or "0", "1", ...
        sequences: float32 [T_i, I] each.
    """

    names: list[str]
    sequences: list[NDArray[np.float32]]


def read_inputs(path: Path, *, recording: bool = False) -> Inputs:
    """Read new sequences, whose targets are not known or do not matter.

    Args:
        path: A ``.npz`` with ``x`` and perhaps ``lengths``; or a ``.csv`` file, which is one sequence; or a folder with
            an ``index.csv``, whose ``label`` column may be missing. Targets, splits and groups are not looked at.
        recording: Take a two-dimensional ``x`` without ``lengths`` for one sequence [T, I] instead of N of one feature.

    Returns:
        The sequences and what to call them.

    Raises:
        DataError: Missing, damaged or unexpected files, or values that are not finite.
    """
    with _unreadable(path):
        if path.suffix.lower() == ".csv" and path.is_file():
            return Inputs([path.name], [read_csv(path, MAX_VALUES)[1]])
    table = read_table(path, labelled=False, recording=recording)
    return Inputs(table.names, np.split(table.x, np.cumsum(table.lengths)[:-1]))


def read_table(path: Path, *, labelled: bool = True, recording: bool = False) -> SequenceTable:
    """Read a ``.npz`` or a folder with an ``index.csv``.

    Args:
        path: The file or the folder, laid out as ``nprnn.tasks.sequences.Sequences`` tells.
        labelled: Whether targets are asked for; without them, splits and groups are left unread too.
        recording: Take a two-dimensional ``x`` without ``lengths`` for one sequence [T, I] instead of N of one feature.

    Returns:
        The sequences.

    Raises:
        DataError: Missing, damaged or unexpected files, or values that are not finite.
    """
    with _unreadable(path):
        if path.is_dir():
            return read_folder(path, labelled)
        if not path.is_file():
            raise DataError(f"{path}: there is no such file or folder; name a .npz file, or a folder with an index.csv")
        if path.suffix.lower() == ".npz":
            return read_npz(path, labelled, recording)
    raise DataError(f"{path}: expected a .npz file, or a folder with an index.csv that lists CSV files")


@contextmanager
def _unreadable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: could not be read: {error.strerror or error}") from error
