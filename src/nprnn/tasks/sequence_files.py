"""Reading sequences from a user's files: one ``.npz``, or a folder of CSV files with an ``index.csv``.

Nothing is ever unpickled, and nothing a header claims is believed before it has been held against what is there.
"""

from __future__ import annotations

import csv
import math
import re
import zipfile
import zlib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from nprnn.errors import DataError, nearest

MAX_BYTES = 4 << 30
"""The most bytes that the arrays of one ``.npz`` may declare."""
MAX_FILE_BYTES = 1 << 30
"""The largest CSV file."""
MAX_VALUES = 100_000_000
"""The most numbers in all CSV files of a folder together."""
KEYS = ("x", "y", "lengths", "split", "group", "class_names")
COLUMNS = ("file", "label", "split", "group")

_RAGGED = (
    "Save sequences of different lengths one after the other: "
    "np.savez(file, x=np.concatenate(sequences), lengths=[len(s) for s in sequences], y=...)."
)
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_LARGEST = float(np.finfo(np.float32).max)
_CHUNK = 1 << 20


@dataclass(frozen=True, eq=False)
class SequenceTable:
    """N sequences as they stand in the files, checked, one after the other.

    Attributes:
        x: float32 [S, I], the S steps of all sequences.
        lengths: int64 [N], steps of each; they add up to S.
        names: [N], what a person calls each sequence.
        y: targets as they came: [N] or [N, K] for whole sequences, [S] or [S, K] for steps; None if there are none.
        steps_have_targets: whether ``y`` belongs to steps.
        split: text [N], or None.
        group: integers or text [N], or None.
        class_names: in the order of the classes, or None.
    """

    x: NDArray[np.float32]
    lengths: NDArray[np.int64]
    names: list[str]
    y: NDArray[Any] | None = None
    steps_have_targets: bool = False
    split: NDArray[Any] | None = None
    group: NDArray[Any] | None = None
    class_names: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Inputs:
    """Sequences without targets.

    Attributes:
        names: the file of each sequence, or "0", "1", ... where they came in one file.
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
            return Inputs([path.name], [_read_csv(path, MAX_VALUES)[1]])
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
            return _read_folder(path, labelled)
        if not path.is_file():
            raise DataError(f"{path}: there is no such file or folder; name a .npz file, or a folder with an index.csv")
        if path.suffix.lower() == ".npz":
            return _read_npz(path, labelled, recording)
    raise DataError(f"{path}: expected a .npz file, or a folder with an index.csv that lists CSV files")


def to_float32(values: NDArray[Any], what: str) -> NDArray[np.float32]:
    """Numbers as float32.

    Args:
        values: Floats or integers of any shape.
        what: What they are, to begin an error with.

    Returns:
        The same shape; not a copy where they are float32 already.

    Raises:
        DataError: Another type, a value that is NaN or infinite, or one too large for float32.
    """
    if values.dtype.kind not in "fiu":
        hint = " with .astype(np.float32), if 0 and 1 are meant" if values.dtype.kind == "b" else ""
        raise DataError(f"{what} must be real numbers, got {values.dtype} {values.shape}; save floats{hint}")
    _refuse(~np.isfinite(values), values, f"{what} has", "NaN or infinite; mend or leave out those sequences")
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32, copy=False)
    _refuse(~np.isfinite(narrow), values, f"{what} has", f"beyond float32 (±{_LARGEST:.3g}); use another unit")
    return narrow


def _refuse(bad: NDArray[np.bool_], values: NDArray[Any], what: str, fault: str) -> None:
    if bad.any():
        first = np.unravel_index(int(bad.argmax()), bad.shape)
        place = ", ".join(str(int(k)) for k in first)
        raise DataError(
            f"{what} {int(bad.sum())} of {bad.size} values {fault}. The first is {values[first]} at [{place}]"
        )


@contextmanager
def _unreadable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: could not be read: {error.strerror or error}") from error


def _read_npz(path: Path, labelled: bool, recording: bool) -> SequenceTable:
    arrays = _arrays(path, KEYS if labelled else ("x", "lengths"))
    for key in ("x", "y") if labelled else ("x",):
        if key not in arrays:
            raise DataError(f"{path}: array {key!r} is missing; found {', '.join(arrays) or 'none'}")
    raw = arrays["x"]
    if raw.size == 0:
        raise DataError(f"{path}: x is empty, its shape is {raw.shape}")
    x, steps, lengths = _sequences(raw, arrays.get("lengths"), recording, f"{path}: x")
    count = len(lengths)
    table = SequenceTable(x, lengths, [str(k) for k in range(count)])
    if not labelled:
        return table
    y, per_step = _aligned(_text(arrays["y"]), count, len(x), steps, f"{path}: y")
    columns = {key: _text(arrays[key]) for key in ("split", "group", "class_names") if key in arrays}
    for key, column in columns.items():
        kinds, wanted = ("iuU", "integers or text") if key == "group" else ("U", "text")
        size = len(column) if key == "class_names" and column.ndim else count
        if column.dtype.kind not in kinds or column.shape != (size,):
            raise DataError(f"{path}: {key} must be {wanted} ({size},), got {column.dtype} {column.shape}")
    named = tuple(columns["class_names"].tolist()) if "class_names" in columns else None
    return SequenceTable(x, lengths, table.names, y, per_step, columns.get("split"), columns.get("group"), named)


def _sequences(
    raw: NDArray[Any], lengths: NDArray[Any] | None, recording: bool, what: str
) -> tuple[NDArray[np.float32], int | None, NDArray[np.int64]]:
    """Steps [S, I]; how many each sequence has where the array itself says that; and the lengths [N]."""
    shape = raw.shape
    if lengths is not None:
        if raw.ndim not in (1, 2):
            raise DataError(f"{what} with lengths must be (steps, I), got {shape}. {_RAGGED}")
        if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or not len(lengths):
            raise DataError(f"{what} has lengths {lengths.dtype} {lengths.shape}; expected integers (N,), N at least 1")
        _refuse((lengths < 1) | (lengths > shape[0]), lengths, f"{what} lengths:", f"outside 1..{shape[0]}")
        if (total := int(lengths.astype(np.int64).sum())) != shape[0]:
            raise DataError(f"{what} has {shape[0]} steps, but lengths add up to {total}")
        return to_float32(raw, what).reshape(shape[0], -1), None, lengths.astype(np.int64)
    if recording and raw.ndim in (1, 2):
        return to_float32(raw, what).reshape(shape[0], -1), None, np.array([shape[0]])
    if raw.ndim not in (2, 3):
        hint = " One long recording needs --window." if raw.ndim == 1 else ""
        raise DataError(f"{what} must be (N, T, I) or (N, T), or (steps, I) with lengths; got {shape}.{hint} {_RAGGED}")
    flat = to_float32(raw, what).reshape(shape[0] * shape[1], -1)
    return flat, shape[1], np.full(shape[0], shape[1], np.int64)


def _aligned(y: NDArray[Any], count: int, total: int, steps: int | None, what: str) -> tuple[NDArray[Any], bool]:
    """Targets [N], [N, K], [S] or [S, K], and whether they belong to steps."""
    if steps is not None and y.size and y.shape[:2] == (count, steps) and y.ndim <= 3:
        return y.reshape(total, *y.shape[2:]), True
    for rows, per_step in ((count, False), (total, True)):
        if y.size and y.ndim in (1, 2) and len(y) == rows and not (per_step and steps is not None):
            return y, per_step
    each = f"({count}, {steps}) or ({count}, {steps}, K)" if steps is not None else f"({total},) or ({total}, K)"
    raise DataError(
        f"{what} has shape {y.shape}, but x holds {count} sequences, {total} steps in all. "
        f"Expected ({count},) or ({count}, K), a target a sequence; or {each}, a target a step"
    )


def _text(values: NDArray[Any]) -> NDArray[Any]:
    return np.char.decode(values, "utf-8", "replace") if values.dtype.kind == "S" else values


def _arrays(path: Path, wanted: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The wanted arrays of a ``.npz``, in the file's order."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            for key in members:
                _known(f"{path}: unknown array", key, KEYS)
            declared = sum(member.file_size for member in archive.infolist())
            if declared > MAX_BYTES:
                raise DataError(f"{path}: its arrays declare {declared} bytes, over the limit of {MAX_BYTES}")
            return {k: _array(archive, m, f"{path}: array {k!r}") for k, m in members.items() if k in wanted}
    except DataError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise DataError(f"{path}: damaged, cut short, or not a .npz as np.savez writes it ({error})") from error


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, what: str) -> NDArray[Any]:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{what}: compression method {member.compress_type} is not what NumPy writes; use np.savez")
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise DataError(f"{what}: NPY version {version} is for records; expected a plain array")
        if dtype.hasobject:
            raise DataError(f"{what} holds Python objects, which are never read: they could run code. {_RAGGED}")
        claimed, there = math.prod(shape) * dtype.itemsize, member.file_size - stream.tell()
        data = bytearray()
        # Memory grows with what arrives, never with what was claimed.
        while claimed == there and (piece := stream.read(_CHUNK)):
            data += piece
    if claimed != len(data):
        raise DataError(f"{what} claims {dtype} {shape}, {claimed} bytes, but {there} follow: damaged or cut short")
    return np.ndarray(shape, dtype, data, order="F" if fortran else "C")


def _known(what: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        guess = nearest(name, names)
        hint = f" Did you mean {guess!r}?" if guess else ""
        raise DataError(f"{what} {name!r}.{hint} Known: {', '.join(names)}")


def _read_folder(folder: Path, labelled: bool) -> SequenceTable:
    index = folder / "index.csv"
    rows = _rows(index)
    _, columns = next(rows, (1, []))
    for column in columns:
        _known(f"{index}: unknown column", column, COLUMNS)
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
        header, values = _read_csv(path, room)
        if not pieces:
            names = header
        elif values.shape[1] != pieces[0].shape[1] or header != names:
            first = f"{paths[0].name} has {pieces[0].shape[1]} columns, header {names}"
            raise DataError(f"{path}: {values.shape[1]} columns, header {header}, but {first}; all must be alike")
        pieces.append(values)
        room -= values.size
    return np.concatenate(pieces), np.array([len(piece) for piece in pieces])


def _read_csv(path: Path, room: int) -> tuple[list[str] | None, NDArray[np.float32]]:
    """The names of the columns, if line 1 has them, and the numbers [T, I]."""
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
            if number is None or not -_LARGEST <= number <= _LARGEST:
                _wrong_cell(path, line, column + 1, row[column])
            values.append(number)
        if len(values) > room:
            raise DataError(f"{path}, line {line}: over the limit of {MAX_VALUES} numbers in all files; use a .npz")
    if not values:
        raise DataError(f"{path}: holds no rows of numbers; one row a step, one column a feature")
    return header, np.frombuffer(values, np.float32).reshape(-1, width)


def _wrong_cell(path: Path, line: int, column: int, cell: str) -> NoReturn:
    raise DataError(
        f"{path}, line {line}, column {column}: {cell!r} is not a finite number in the range of float32; "
        "expected numbers such as -1.5 or 2e-3, with commas between columns"
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
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, strict=True)
            for row in reader:
                yield reader.line_num, [cell.strip() for cell in row]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a CSV text file in UTF-8 ({error})") from error
