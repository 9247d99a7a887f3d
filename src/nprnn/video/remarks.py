"""What a person should know of single clips, kept beside the store: ``remarks.csv``."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal

from nprnn.errors import DataError
from nprnn.files import write_atomically

NAME = "remarks.csv"
_HEADER = ("name", "what", "remark")
What = Literal["left out", "kept"]


class Remarks:
    """The remarks on a store's clips.

    Args:
        folder: of the store.
        kept: names of its clips; older remarks on these stay, those on others are dropped, as these are tried again.

    Raises:
        DataError: the file cannot be written.
    """

    def __init__(self, folder: Path, kept: Collection[str]) -> None:
        self.path = folder / NAME
        self._rows = [row for row in self._old() if row[0] in kept]
        if self._rows or self.path.exists():
            with _writing(self.path):
                write_atomically(self.path, "".join(map(_line, (_HEADER, *self._rows))).encode())

    def add(self, name: str, what: What, remark: str) -> None:
        """Write a remark down at once: a kill loses none.

        Raises:
            DataError: the file cannot be written.
        """
        with _writing(self.path):
            fresh = not self.path.exists()
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write((_line(_HEADER) if fresh else "") + _line((name, what, remark)))

    def _old(self) -> list[tuple[str, ...]]:
        """The remarks of earlier sessions; what is no remark, such as a line cut short by a kill, is left out."""
        try:
            with self.path.open(encoding="utf-8", newline="") as file:
                return [tuple(row) for row in csv.reader(file) if len(row) == len(_HEADER) and row[1] == "kept"]
        except (OSError, UnicodeDecodeError, csv.Error):
            return []


def _line(cells: tuple[str, ...]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error
