"""A clip's file: "features" float16 [T, F] as safetensors, with the clip's row and two checksums in the metadata.

One checksum is of the header, so that rows can be trusted without reading features; the other is of the features.
safetensors has none of its own, and a flipped bit is no error to it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nprnn.errors import DataError
from nprnn.files import parse_json

SIDES = ("train", "valid", "test")
SUFFIX = ".safetensors"


class ClipRow(NamedTuple):
    """What is known of a clip.

    Attributes:
        name: of the clip; no other in the store has it.
        label: name of its class.
        group: number of what must stay on one side of a split, such as the video it was cut from; None if unknown.
        splits: by name of a split, the side it is on: train, valid or test.
        length: T, its steps.
    """

    name: str
    label: str
    group: int | None
    splits: Mapping[str, str]
    length: int


class Header(NamedTuple):
    """What the head of a file says: the clip's row, and the checksum of its features."""

    row: ClipRow
    checksum: str


def pack(row: ClipRow, features: NDArray[Any]) -> tuple[Header, bytes]:
    """A clip as the bytes of a file.

    Args:
        row: what is known of it.
        features: finite numbers [T, F]; they are rounded to float16.

    Returns:
        The header that reading the file will give, and the file's content.

    Raises:
        DataError: a row that makes no sense, or features that are no numbers in float16's range.
    """
    from safetensors.numpy import save

    row = checked(row)
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(features, "<f2")
    if not np.isfinite(values).all():
        raise DataError(f"{row.name} has features that are NaN or beyond float16 (65504)")
    header = Header(row, checksum(values))
    facts = {"row": row._asdict(), "features": header.checksum}
    # One entry, because safetensors writes several in any order: equal clips shall be equal files.
    return header, save({"features": values}, metadata={"nprnn": json.dumps({**facts, "seal": seal(facts)})})


def read_header(path: Path, width: int) -> Header:
    """The header of a clip's file; its features are not read.

    Args:
        path: the file.
        width: F, the features a step that it must have.

    Raises:
        DataError: the file is damaged, cut short, or not such a file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            facts = parse_json((file.metadata() or {})["nprnn"])
            names, part = list(file.keys()), file.get_slice("features")
            found = f"{names} {part.get_dtype()} {part.get_shape()}"
        if facts.pop("seal") != seal(facts):
            raise ValueError("the checksum of its header does not fit")
        row = checked(ClipRow(**facts["row"]))
        if found != (expected := f"['features'] F16 [{row.length}, {width}]"):
            raise ValueError(f"expected {expected}, found {found}")
        if path.name != file_name(row.name):
            raise ValueError(f"it holds {row.name!r}, which belongs in {file_name(row.name)}")
        return Header(row, str(facts["features"]))
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, OSError, RecursionError) as error:
        raise damaged(path, error) from error


def map_features(path: Path, length: int, width: int) -> NDArray[np.float16]:
    """The features [T, F] of a file whose header was read, mapped into memory and read-only.

    Raises:
        DataError: the file is gone, or too short by now.
    """
    try:
        # The one tensor fills the file behind the header; safetensors has seen to that when the header was read.
        return np.memmap(path, np.dtype("<f2"), "r", path.stat().st_size - 2 * length * width, (length, width))
    except (OSError, ValueError, OverflowError) as error:
        raise damaged(path, error) from error


def checked(row: ClipRow) -> ClipRow:
    """The row, if it says what rows say.

    Raises:
        DataError: it does not.
    """
    if any(not isinstance(text, str) or not text for text in (row.name, row.label)):
        raise DataError(f"a clip needs a name and a label, both text, got {row.name!r} and {row.label!r}")
    try:
        f"{row.name}{row.label}".encode()
    except UnicodeEncodeError:
        raise DataError(f"a clip's name and label must be text that UTF-8 can write, got {row.name!r}") from None
    if row.group is not None and type(row.group) is not int:
        raise DataError(f"{row.name}: group must be a whole number or None, got {row.group!r}")
    if not isinstance(row.splits, Mapping) or any(
        not isinstance(split, str) or side not in SIDES for split, side in row.splits.items()
    ):
        raise DataError(f"{row.name}: splits must name {', '.join(SIDES)} for each split, got {row.splits!r}")
    if type(row.length) is not int or row.length < 1:
        raise DataError(f"{row.name}: length must be a whole number of steps from 1, got {row.length!r}")
    return row._replace(splits=dict(row.splits))


def file_name(name: str) -> str:
    """The file of the clip of that name: names may hold anything, and differ by case where file systems do not."""
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower())[:40]
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:32]}{SUFFIX}"


def checksum(values: NDArray[np.float16]) -> str:
    """Of features; whose file they are in, the header's seal says."""
    return hashlib.sha256(values.data).hexdigest()


def seal(facts: Mapping[str, Any]) -> str:
    """A checksum of JSON values."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def damaged(path: Path, why: object) -> DataError:
    """The error that says what to do about a damaged file."""
    return DataError(f"{path} is damaged ({why}); delete it and make its clip again")
