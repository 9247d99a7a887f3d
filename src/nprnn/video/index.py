"""Reading an ``index.csv`` of videos: path, label, group, splits. It may be a stranger's, so no path may lead out."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from nprnn.errors import DataError, nearest
from nprnn.tasks.csv_rows import read_rows

PATHS = ("path", "file")
LABELS = ("label", "class")
SIDES = ("train", "valid", "test")
KNOWN = "path (or file), label (or class), group, split, split01, split02, ..."
"""The columns, for a person."""
MAX_BYTES = 1 << 28
"""The largest index."""

_SPLIT = re.compile(r"split[ _-]?(\w*)")
_GROUP = re.compile(r"g?(\d{1,18})", re.IGNORECASE)


@dataclass(frozen=True)
class Entry:
    """A video that is listed.

    Attributes:
        name: its path inside the folder, with ``/``.
        label: name of its class.
        group: its number, or None.
        splits: by name of a split, the side.
        fault: why it cannot be taken, or nothing.
    """

    name: str
    label: str
    group: int | None
    splits: Mapping[str, str]
    fault: str = ""


class Index(NamedTuple):
    """What an index lists.

    Attributes:
        entries: the videos, in their order.
        unused: columns that are not read, each in quotation marks and perhaps with the name that was meant.
    """

    entries: list[Entry]
    unused: tuple[str, ...]


def read_index(index: Path) -> Index:
    """What an index lists.

    The columns are ``path`` (or ``file``), ``label`` (or ``class``), and, if they are there, ``group`` and ``split`` or
    any number of ``split01``, ``split02``, whose names are then 01, 02. Other columns are left unread.

    Args:
        index: the file; paths in it are relative to its folder.

    Returns:
        The entries, of which it is not asked whether the files are there, and the columns that were left unread.

    Raises:
        DataError: a missing column, a path that leads out of the folder, a line that makes no sense.
        OSError: it cannot be read.
    """
    rows = _rows(index)
    _, header = next(rows, (1, []))
    columns = [column.lower() for column in header]
    path, label = (_column(index, columns, names) for names in (PATHS, LABELS))
    group = columns.index("group") if "group" in columns else None
    splits = {(match[1] or "split"): k for k, c in enumerate(columns) if (match := _SPLIT.fullmatch(c))}
    for column in ("group", *(c for c in columns if _SPLIT.fullmatch(c))):
        if columns.count(column) > 1:
            raise DataError(f"{index}, line 1: column {column!r} is there twice; rename or delete one")
    entries: list[Entry] = []
    seen: dict[str, int] = {}
    for line, row in rows:
        if not row:
            continue
        where = f"{index}, line {line}"
        if len(row) != len(columns):
            raise DataError(f"{where}: {len(row)} cells, but line 1 names {len(columns)} columns")
        name = _inside(index.parent, row[path], where)
        if name in seen:
            raise DataError(f"{where}: {name!r} is in line {seen[name]} already; list each video once")
        if not row[label]:
            raise DataError(f"{where}: the cell in column {columns[label]!r} is empty; name the clip's class")
        seen[name] = line
        sides = {split: _side(row[k], columns[k], where) for split, k in splits.items() if row[k]}
        entries.append(Entry(name, row[label], None if group is None else _group(row[group], where), sides))
    if not entries:
        raise DataError(f"{index}: lists no videos; expected lines below the header, one a video")
    return Index(entries, _unused(header, {path, label, *([] if group is None else [group]), *splits.values()}))


def _unused(header: Sequence[str], used: Collection[int]) -> tuple[str, ...]:
    """The columns that are not among those used; a name that another column has already was not meant."""
    columns = {header[k].lower() for k in used}
    free = [names for names in (PATHS, LABELS, ("group",)) if columns.isdisjoint(names)]
    meant = [name for names in free for name in names] + ["split"]
    told = []
    for k, column in enumerate(header):
        if k not in used:
            guess = nearest(column, meant)
            told.append(f"{column!r} (did you mean {guess!r}?)" if guess else repr(column))
    return tuple(told)


def _column(index: Path, columns: Sequence[str], names: Sequence[str]) -> int:
    found = [k for k, column in enumerate(columns) if column in names]
    if len(found) != 1:
        wanted, got = " or ".join(map(repr, names)), ", ".join(columns) or "nothing"
        raise DataError(f"{index}, line 1: expected one column {wanted}, got {got}")
    return found[0]


def _inside(folder: Path, text: str, where: str) -> str:
    """The path as a name, once it is sure that it stays in the folder."""
    if not text:
        raise DataError(f"{where}: the path is empty; name a video inside {folder}")
    if "\0" in text:
        raise DataError(f"{where}: {text!r} is not a path")
    # Drives, and backslashes with two dots between them, are dangerous on one system and odd on the others.
    windows, path = PureWindowsPath(text), PurePosixPath(text)
    if path.is_absolute() or windows.drive or windows.root or ".." in (*path.parts, *windows.parts):
        raise DataError(f"{where}: {text!r} leads out of {folder}; expected a path inside it, without '..'")
    try:
        real = (folder / path).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{where}: {text!r} is not a path ({error})") from error
    if not real.is_relative_to(folder.resolve()):
        raise DataError(f"{where}: {text!r} is a link that leads out of {folder}; copy the video into the folder")
    return str(path)


def _group(cell: str, where: str) -> int | None:
    if not cell:
        return None
    number = _GROUP.fullmatch(cell)
    if number is None:
        raise DataError(f"{where}: group {cell!r} is not a number; expected such as 7 or g07, or an empty cell")
    return int(number[1])


def _side(cell: str, column: str, where: str) -> str:
    if cell in SIDES:
        return cell
    guess = nearest(cell, SIDES)
    hint = f" Did you mean {guess!r}?" if guess else ""
    raise DataError(f"{where}: unknown side {cell!r} in column {column!r}.{hint} Known: {', '.join(SIDES)}.")


def _rows(index: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells without surrounding blanks); no cells for a blank line."""
    if not index.is_file():
        raise DataError(f"{index} is not a file; expected a CSV text file with a line a video")
    if (size := index.stat().st_size) > MAX_BYTES:
        raise DataError(f"{index}: {size} bytes, over the limit of {MAX_BYTES}; is it the right file?")
    yield from read_rows(index)
