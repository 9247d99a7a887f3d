"""Where on this machine a store's features came from: ``origin.json``, kept beside what they are.

It is no part of what the store is: it may be lost or become untrue, and then costs no more than an option.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nprnn.errors import DataError
from nprnn.files import parse_json, write_atomically

NAME = "origin.json"


def remember_origin(folder: Path, facts: Mapping[str, Any]) -> None:
    """Keep facts with a store, in place of those of before.

    Args:
        folder: of the store.
        facts: JSON values.

    Raises:
        DataError: the folder cannot be written.
    """
    if recall_origin(folder) == facts:
        return
    path = folder / NAME
    try:
        write_atomically(path, json.dumps(facts, indent=1, sort_keys=True).encode())
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error


def recall_origin(folder: Path) -> dict[str, Any]:
    """The facts kept with a store; nothing where there are none, or none that can be read."""
    try:
        facts = parse_json((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}
