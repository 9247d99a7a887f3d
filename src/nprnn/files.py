"""Writing files so that a kill or a full disk at any moment leaves the old file or the new one, never half of one; and
the texts of settings and records, JSON and TOML, which may be a stranger's.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import tomllib
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``. A device or pipe is written to instead: it must not become a file.

    Raises:
        OSError: the folder cannot be written or the disk is full; the old file is untouched.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; a result is as readable as any other file of the user's.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def keep_copy(path: Path, copy: Path) -> None:
    """Make ``copy`` the present content of ``path``, atomically and without writing it again where links allow.

    Raises:
        OSError: the folder cannot be written or the disk is full; an old ``copy`` is untouched.
    """
    temporary = copy.with_name(f".{copy.name}.link")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    try:
        os.link(path, temporary)
    except OSError:
        write_atomically(copy, path.read_bytes())
    else:
        os.replace(temporary, copy)
        # Where both are links to one file already, as after a kill at this place, replacing does nothing.
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def is_plain_name(name: object) -> bool:
    """Whether a name is one of a file or folder inside another, on any system: no path, and not that folder itself."""
    return isinstance(name, str) and name.strip() not in ("", ".", "..") and not re.search(r"[/\\:\x00]", name)


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: no JSON, or nested so deeply that nobody meant it.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        ValueError: no TOML, nested so deeply that nobody meant it, or with a whole number of more digits than Python
            writes out.
    """
    try:
        found = tomllib.loads(text)
        # A number in base 16 is read however long it is, and then no message could show it.
        str(found)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None
    return found
