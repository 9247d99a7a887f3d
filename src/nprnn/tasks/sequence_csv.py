"""Reading sequences from CSV files: one alone, or a folder of them with an ``index.csv``."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from nprnn.errors import DataError
from nprnn.tasks.csv_rows import read_rows
from nprnn.tasks.sequence_table import LARGEST, SequenceTable, refuse_unknown

MAX_FILE_BYTES = 1 << 30
"""The largest CSV file."""
MAX_VALUES = 100_000_000
"""The most numbers in all CSV files of a folder together."""
COLUMNS = ("file", "label", "split", "group")

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


def read_folder(folder: Path, labelled: bool) -> SequenceTable:
    """Read the CSV files that a folder's ``index.csv`` lists.

    Args:
        folder: The folder.
        labelled: Whether targets are asked for; without them, splits and groups are left unread too.

    Returns:
        The sequences, in the order of the index.

    Raises:
        DataError: Missing, damaged or unexpected files, or values that are not finite.
        OSError: One could not be read.
    """
    index = folder / "index.csv"
    rows = _rows(index)
    _, columns = next(rows, (1, []))
    for column in columns:
        refuse_unknown(f"{index}: unknown column", column, COLUMNS)
    for column in ("file", "label") if labelled else ("file",):
        if columns.count(column) != 1:
            raise DataError(f"{index}: expected one column {column!r} in line 1, got {', '.join(columns) or 'nothing'}")
    cells: dict[str, list[str]] = {column: [] for column in columns}
    seen: dict[Path, int] = {}
    for line, row in rows:
        if not row:
            continue
        if len(row) != len(columns):
            raise DataError(f"{index}, line {line}: {len(row)} cells, but line 1 names {len(columns)} columns")
        for column, cell in zip(columns, row, strict=True):
            if not cell and (labelled or column == "file"):
                raise DataError(f"{index}, line {line}: the cell in column {column!r} is empty; fill it")
            cells[column].append(cell)
        path = _inside(folder, cells["file"][-1], f"{index}, line {line}")
        if path in seen:
            raise DataError(f"{index}, line {line}: {path.name} is in line {seen[path]} already; list each file once")
        seen[path] = line
    if not seen:
        raise DataError(f"{index}: lists no files; expected lines below the header, one a sequence")
    x, lengths = _read_all(list(seen))
    if not labelled:
        return SequenceTable(x, lengths, cells["file"])
    split, group = (np.array(cells[c]) if c in cells else None for c in ("split", "group"))
    return SequenceTable(x, lengths, cells["file"], _parsed(cells["label"]), False, split, group)


def _inside(folder: Path, name: str, where: str) -> Path:
    """The file of that name in the folder, with links followed."""
    try:
        path, root = (folder / name).resolve(), folder.resolve()
        escapes, there = not path.is_relative_to(root), path.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{where}: {name!r} is not a path ({error})") from error
    if escapes:
        raise DataError(f"{where}: {name!r} leads out of {folder}; copy the file into the folder")
    if not there:
        raise DataError(f"{where}: there is no file {name!r} in {folder}")
    if (size := path.stat().st_size) > MAX_FILE_BYTES:
        raise DataError(f"{where}: {name!r} has {size} bytes, over the limit of {MAX_FILE_BYTES}; use a .npz")
    return path


def _parsed(labels: list[str]) -> NDArray[Any]:
    """Labels as integers where all are, else as floats where all are, else as text."""
    if all(_INTEGER.fullmatch(label) for label in labels):
        return np.array([int(label) for label in labels])
    numbers = [_number(label) for label in labels]
    return np.array(labels if None in numbers else numbers)


def _read_all(paths: list[Path]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    pieces: list[NDArray[np.float32]] = []
    names: list[str] | None = None
    room = MAX_VALUES
    for path in paths:
        header, values = read_csv(path, room)
        if not pieces:
            names = header
        elif values.shape[1] != pieces[0].shape[1] or header != names:
            first = f"{paths[0].name} has {pieces[0].shape[1]} columns, header {names}"
            raise DataError(f"{path}: {values.shape[1]} columns, header {header}, but {first}; all must be alike")
        pieces.append(values)
        room -= values.size
    return np.concatenate(pieces), np.array([len(piece) for piece in pieces])


def read_csv(path: Path, room: int) -> tuple[list[str] | None, NDArray[np.float32]]:
    """Read one CSV file.

    Args:
        path: The file.
        room: The most numbers that it may hold.

    Returns:
        The names of the columns, if line 1 has them, and the numbers [T, I].

    Raises:
        DataError: A missing or damaged file, cells that are no finite numbers, or too many of them.
        OSError: It could not be read.
    """
    if (size := path.stat().st_size) > MAX_FILE_BYTES:
        raise DataError(f"{path}: {size} bytes, over the limit of {MAX_FILE_BYTES}; use a .npz")
    header: list[str] | None = None
    values, width, blank = array("f"), 0, 0
    for line, row in _rows(path):
        if not row:
            blank = blank or line
            continue
        if blank:
            raise DataError(f"{path}, line {blank}: it is blank, but rows follow; one row of numbers a step")
        numbers = [_number(cell) for cell in row]
        if not width:
            width = len(row)
            if all(number is None for number in numbers):
                if "" in row:
                    column = row.index("") + 1
                    raise DataError(f"{path}, line 1, column {column}: no name; leave out an index column, name others")
                header = row
                continue
        if len(row) != width:
            raise DataError(f"{path}, line {line}: {len(row)} cells, but the lines before have {width}")
        for column, number in enumerate(numbers):
            # Also false for NaN.
            if number is None or not -LARGEST <= number <= LARGEST:
                _wrong_cell(path, line, column + 1, row[column])
            values.append(number)
        if len(values) > room:
            raise DataError(f"{path}, line {line}: over the limit of {MAX_VALUES} numbers in all files; use a .npz")
    if not values:
        raise DataError(f"{path}: holds no rows of numbers; one row a step, one column a feature")
    return header, np.frombuffer(values, np.float32).reshape(-1, width)


def _wrong_cell(path: Path, line: int, column: int, cell: str) -> NoReturn:
    where = f"{path}, line {line}, column {column}"
    if not cell:
        raise DataError(f"{where}: the cell is empty; every step has a number in each column")
    parted = next((name for sign, name in ((";", "semicolons"), ("\t", "tabs")) if sign in cell), None)
    hint = f"; this file seems to have {parted}" if parted else ""
    raise DataError(
        f"{where}: {cell!r} is not a finite number in the range of float32; "
        f"expected numbers such as -1.5 or 2e-3, with commas between columns{hint}"
    )


def _number(cell: str) -> float | None:
    try:
        # Python's own 1_000 is no notation of data files.
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells without surrounding blanks) of a CSV file; no cells for a blank line."""
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; a folder of sequences has an index.csv with a column 'file'")
    yield from read_rows(path)
