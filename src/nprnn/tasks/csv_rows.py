"""Rows of a CSV text that may be a stranger's: no row is longer than a bound, whatever lines and quotations say."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from nprnn.errors import DataError

MAX_ROW = 1 << 22
"""The most characters of a row."""


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells without surrounding blanks) of a CSV file; no cells for a blank line.

    Raises:
        DataError: no CSV text in UTF-8, or a row of more than ``MAX_ROW`` characters.
        OSError: it could not be read.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        # At most so much of a line is taken at once; the next piece of it then breaks the bound.
        yield from rows_of(iter(lambda: file.readline(MAX_ROW + 1), ""), path)


def rows_of(lines: Iterable[str], path: Path) -> Iterator[tuple[int, list[str]]]:
    """The same of lines.

    Args:
        lines: the text, line by line.
        path: what to call it.
    """
    held = 0

    def counted() -> Iterator[str]:
        nonlocal held
        for line in lines:
            held += len(line)
            if held > MAX_ROW:
                raise DataError(
                    f"{path}, line {reader.line_num + 1}: a row of more than {MAX_ROW} characters; a cell may lack the "
                    "quotation mark at its end, or the file is no CSV text"
                )
            yield line

    reader = csv.reader(counted(), strict=True)
    try:
        for row in reader:
            held = 0
            yield reader.line_num, [cell.strip() for cell in row]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a CSV text file in UTF-8 ({error})") from error
