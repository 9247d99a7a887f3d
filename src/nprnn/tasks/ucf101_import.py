"""Features of UCF-101 clips that others have taken, from quantised .npz files into a feature store.

The folder holds ``index.csv`` (class, clip, row, group, and train or test in split01, split02, split03) and a
``<class>.npz`` for each class: ``q`` uint8 [clips, F, T] in 0..levels, ``name`` [clips], ``xmax``, ``levels``. A
feature is xmax * (q / levels)².
"""

from __future__ import annotations

import csv
import hashlib
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nprnn.errors import DataError, unknown
from nprnn.feature_store import ClipRow, FeatureStore

INDEX = "index.csv"
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
    content = _read(source / INDEX)
    by_class: defaultdict[str, list[_Line]] = defaultdict(list)
    for line in _lines(content, source / INDEX):
        by_class[line.label].append(line)
    for name in classes or ():
        if name not in by_class:
            raise unknown("class", name, by_class)
    chosen = {label: lines for label, lines in sorted(by_class.items()) if classes is None or label in classes}
    provenance = {
        "source": f"{source.parent.name}/{source.name}",
        "index_sha256": hashlib.sha256(content).hexdigest(),
        "values": "xmax * (q / levels)², q uint8",
    }
    done, total = 0, sum(map(len, chosen.values()))
    store: FeatureStore | None = None
    for label, lines in chosen.items():
        if store is not None and store.names.issuperset(line.name for line in lines):
            progress(done := done + len(lines), total)
            continue
        q, table = _quantised(source / f"{label}.npz", lines)
        if store is None:
            store = FeatureStore.create(folder, provenance, q.shape[1])
        if q.shape[1] != store.width:
            raise DataError(f"{source / label}.npz has {q.shape[1]} features a frame, the others {store.width}")
        with store.lock():
            there = store.names
            for line in lines:
                if line.name not in there:
                    row = ClipRow(line.name, line.label, line.group, line.splits, q.shape[2])
                    store.append(row, table[q[line.place].T])
                progress(done := done + 1, total)
    if store is None:
        raise DataError(f"{source / INDEX} names no clips")
    return store


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _lines(content: bytes, path: Path) -> Iterator[_Line]:
    """The clips of an index."""
    try:
        reader = csv.DictReader(content.decode("utf-8-sig").splitlines(), strict=True)
        if missing := [name for name in _COLUMNS if name not in (reader.fieldnames or ())]:
            raise DataError(f"{path} lacks the column {missing[0]!r}; expected {', '.join(_COLUMNS)} and splitNN")
        names = {column: found[1] for column in reader.fieldnames or () if (found := _SPLIT.fullmatch(column))}
        seen = set()
        for record in reader:
            splits = {name: record[column] for column, name in names.items() if record[column]}
            line = _Line(record["clip"], record["class"], int(record["row"]), int(record["group"]), splits)
            # The class is a file's name too, and must not lead out of the folder.
            if not re.fullmatch(r"\w+", line.label) or line.name in seen or line.place < 0:
                raise ValueError(f"clip {line.name!r} of class {line.label!r} is odd or twice there")
            seen.add(line.name)
            yield line
    except (ValueError, TypeError, csv.Error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is not an index of clips: {error}") from error


def _quantised(path: Path, lines: list[_Line]) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """q [clips, F, T] of a class, checked against the index, and the feature that each value of q stands for."""
    try:
        with np.load(path, allow_pickle=False) as file:
            q, names = file["q"], file["name"]
            largest, levels = float(file["xmax"]), int(file["levels"])
    except (OSError, KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
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
