"""A record in its folder: one JSON file that says its kind, with a line for each entry of its lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from nprnn.errors import RunError
from nprnn.files import parse_json, write_atomically

RECORD = "record.json"
R = TypeVar("R")


class Entries(NamedTuple):
    """How the entries of a list become JSON values and come back.

    Attributes:
        write: an entry to a JSON value.
        read: the way back; of what it cannot read it may raise a ValueError, KeyError, IndexError, TypeError or
            AttributeError.
    """

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def named(kind: Callable[..., Any]) -> Entries:
    """Entries that are named tuples of JSON values, written by their names.

    Args:
        kind: the class of the named tuple.
    """
    return Entries(lambda entry: entry._asdict(), lambda found: kind(**found))


def store(
    folder: Path, kind: str, version: int, record: Any, lists: Mapping[str, Entries], *, allow_nan: bool = False
) -> Path:
    """Put a record into a folder.

    Args:
        folder: made where there is none.
        kind: of the record.
        version: of that kind's format.
        record: a dataclass; fields that are not in ``lists`` hold JSON values.
        lists: its fields that are lists, to what their entries are.
        allow_nan: write NaN and infinity as Python does, though JSON has neither.

    Returns:
        The file.

    Raises:
        RunError: it cannot be written, or it has a number that is not finite where none is allowed.
    """
    path = folder / RECORD
    content = {"format": version, "kind": kind, **{f.name: getattr(record, f.name) for f in fields(record)}}
    for name, entries in lists.items():
        content[name] = [entries.write(entry) for entry in content[name]]
    try:
        text = _text(content, lists, allow_nan)
    except ValueError as error:
        raise RunError(f"cannot write {path}: a number is not finite ({error})") from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def load(folder: Path, kind: str, version: int, lists: Mapping[str, Entries], build: Callable[..., R]) -> R:
    """Read a record back.

    Args:
        folder: where ``store`` put it.
        kind: of the record.
        version: of that kind's format.
        lists: as for ``store``.
        build: the record's class.

    Raises:
        RunError: there is none, or it is damaged or of another kind or version.
    """
    path = folder / RECORD
    try:
        content = parse_json(path.read_bytes())
        if content.pop("format") != version or content.pop("kind") != kind:
            raise RunError(f"{path} is not a {kind} record of format {version}, which this version of nprnn reads")
        for name, entries in lists.items():
            content[name] = [entries.read(entry) for entry in content[name]]
        return build(**content)
    except FileNotFoundError:
        raise RunError(f"there is no record in {folder}: it has no {RECORD}; run `nprnn reproduce` first") from None
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {error!r}") from error


def _text(content: Mapping[str, Any], lists: Collection[str], allow_nan: bool) -> str:
    """JSON with a line for each entry of a list of entries: readable, and small changes stay small in a comparison."""

    def dumped(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=allow_nan)

    parts = []
    for key, value in content.items():
        if key in lists and value:
            entries = ",\n  ".join(map(dumped, value))
            parts.append(f"{json.dumps(key)}: [\n  {entries}\n ]")
        else:
            parts.append(f"{json.dumps(key)}: {dumped(value)}")
    return "{\n " + ",\n ".join(parts) + "\n}\n"
