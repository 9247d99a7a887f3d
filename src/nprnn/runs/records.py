"""The lines of ``metrics.jsonl``: an evaluation each, with a checksum, for a wrong digit is still a number."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nprnn.errors import RunError
from nprnn.files import parse_json

CHECK = "check"


def line_of(record: Mapping[str, Any]) -> str:
    """A record as a line, its checksum last."""
    return json.dumps({**record, CHECK: _checksum(record)}) + "\n"


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of a file; a last line cut short by a kill is left out.

    Lines of before this package wrote checksums have none, and are taken as they are.

    Raises:
        RunError: a line is damaged, or the file cannot be read.
    """
    try:
        text = path.read_text() if path.exists() else ""
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    lines = text.splitlines()
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(_read(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if number == len(lines) and not text.endswith("\n"):
                break
            raise RunError(f"{path} line {number} is damaged: {error!r}; delete the line to go on") from error
    return records


def _read(line: str) -> dict[str, Any]:
    """A line, if it has what readers of records count on."""
    record = parse_json(line)
    check = record.pop(CHECK, None)
    if check is not None and check != _checksum(record):
        raise ValueError("its checksum does not fit its content")
    if type(record["update"]) is not int:
        raise ValueError("update is not a whole number")
    for name in ("loss", "gradient_norm", "lr", "updates_per_second"):
        float(record[name])
    for split in ("valid", "test"):
        for value in record.get(split, {}).values():
            float(value)
    if not (record["test"] if "test" in record else record["valid"]):
        raise ValueError("no metrics")
    return dict(record)


def _checksum(record: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(record).encode()):08x}"
