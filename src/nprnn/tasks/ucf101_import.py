"""Features of UCF-101 clips that others have taken, from quantised .npz files into a feature store.

The folder holds ``index.csv`` (class, clip, row, group, and train or test in split01, split02, split03) and a
``<class>.npz`` for each class: ``q`` uint8 [clips, F, T] in 0..levels, ``name`` [clips], ``xmax``, ``levels``. A
feature is xmax * (q / levels)².
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nprnn.errors import DataError, unknown
from nprnn.feature_store import ClipRow, FeatureStore
from nprnn.tasks.csv_rows import rows_of
from nprnn.tasks.npz import read_arrays
from nprnn.tasks.ready_features import Clips, Part, ReadyFeatures

INDEX = "index.csv"
MAX_INDEX_BYTES = 1 << 28
"""The largest index."""
_ARRAYS = ("q", "name", "xmax", "levels")
_COLUMNS = ("class", "clip", "row", "group")
_SPLIT = re.compile(r"split(.+)")


class _Line(NamedTuple):
    """A clip as the index tells it: its name, its class, where it is in the class's file, what it belongs to."""

    name: str
    label: str
    place: int
    group: int
    splits: dict[str, str]


def import_ucf101(
    source: Path,
    folder: Path,
    *,
    classes: Collection[str] | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> FeatureStore:
    """Fill a feature store from a folder of quantised features, a class at a time; what is there already is kept.

    Args:
        source: the folder with ``index.csv`` and a .npz file a class.
        folder: the store; made, or gone on with.
        classes: the classes to take; None takes all of the index.
        progress: called after each clip with the clips done and the clips in all.

    Returns:
        The store.

    Raises:
        ConfigError: a class that the index does not have.
        DataError: missing, damaged or unexpected files, or a store that holds other features or is in use.
    """
    ready = read_ucf101(source, classes)
    store = ready.open_store(folder)
    ready.fill(store, progress=progress)
    return store


def read_ucf101(source: Path, classes: Collection[str] | None = None) -> ReadyFeatures:
    """Read the index of a folder of quantised features; the features are read class by class when a store is filled.

    Args:
        source: the folder with ``index.csv`` and a .npz file a class.
        classes: the classes to take; None takes all of the index.

    Returns:
        The clips, ready to go into a store.

    Raises:
        ConfigError: a class that the index does not have.
        DataError: an index that is missing or damaged, or names no clips.
    """
    content = _read(source / INDEX)
    by_class: defaultdict[str, list[_Line]] = defaultdict(list)
    for line in _lines(content, source / INDEX):
        by_class[line.label].append(line)
    for name in classes or ():
        if name not in by_class:
            raise unknown("class", name, by_class)
    chosen = [label for label in sorted(by_class) if classes is None or label in classes]
    if not chosen:
        raise DataError(f"{source / INDEX} names no clips")
    # However the folder is named to us, an import that was stopped goes on.
    whole = Path(os.path.abspath(source))
    provenance = {
        "source": f"{whole.parent.name}/{whole.name}",
        "index_sha256": hashlib.sha256(content).hexdigest(),
        "values": "xmax * (q / levels)², q uint8",
    }
    return ReadyFeatures(provenance, [_part(source / f"{label}.npz", by_class[label]) for label in chosen])


def _part(path: Path, lines: list[_Line]) -> Part:
    """The clips of a class."""

    def clips() -> Clips:
        q, table = _quantised(path, lines)
        rows = [ClipRow(line.name, line.label, line.group, line.splits, q.shape[2]) for line in lines]
        return Clips(rows, q.shape[1], lambda k: table[q[lines[k].place].T])

    return Part(path, [line.name for line in lines], clips)


def _read(path: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > MAX_INDEX_BYTES:
            raise DataError(f"{path}: {size} bytes, over the limit of {MAX_INDEX_BYTES}; is it the right file?")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _lines(content: bytes, path: Path) -> Iterator[_Line]:
    """The clips of an index."""
    try:
        rows = rows_of(content.decode("utf-8-sig").splitlines(keepends=True), path)
        _, columns = next(rows, (1, []))
        if missing := [name for name in _COLUMNS if name not in columns]:
            raise DataError(f"{path} lacks the column {missing[0]!r}; expected {', '.join(_COLUMNS)} and splitNN")
        names = {column: found[1] for column in columns if (found := _SPLIT.fullmatch(column))}
        seen = set()
        for number, row in rows:
            if not row:
                continue
            if len(row) != len(columns):
                raise ValueError(f"line {number} has {len(row)} cells, but line 1 names {len(columns)} columns")
            record = dict(zip(columns, row, strict=True))
            splits = {name: record[column] for column, name in names.items() if record[column]}
            line = _Line(record["clip"], record["class"], int(record["row"]), int(record["group"]), splits)
            # The class is a file's name too, and must not lead out of the folder.
            if not re.fullmatch(r"\w+", line.label) or line.name in seen or line.place < 0:
                raise ValueError(f"clip {line.name!r} of class {line.label!r} is odd or twice there")
            seen.add(line.name)
            yield line
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is not an index of clips: {error}") from error


def _quantised(path: Path, lines: list[_Line]) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """q [clips, F, T] of a class, checked against the index, and the feature that each value of q stands for."""
    try:
        arrays = read_arrays(path, _ARRAYS)
        q, names = arrays["q"], arrays["name"]
        largest, levels = float(arrays["xmax"]), int(arrays["levels"])
    except (OSError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{path} cannot be read ({error}); expected q, name, xmax and levels") from error
    if q.dtype != np.uint8 or q.ndim != 3 or 0 in q.shape or not 0 < levels < 256 or not 0 < largest < 65504:
        raise DataError(
            f"{path}: expected q uint8 [clips, features, frames], levels in 1..255 and xmax in float16's range, got "
            f"{q.dtype} {list(q.shape)}, {levels} and {largest}"
        )
    if q.max() > levels:
        raise DataError(f"{path}: q must be at most {levels}, its levels, but reaches {q.max()}; the file is damaged")
    for line in lines:
        if line.place >= len(q) or names.shape != (len(q),) or str(names[line.place]) != line.name:
            raise DataError(
                f"{path}: row {line.place} is not {line.name}, as {INDEX} says; the two do not belong together"
            )
    values: NDArray[Any] = largest * (np.arange(levels + 1) / levels) ** 2
    return q, values.astype(np.float16)
