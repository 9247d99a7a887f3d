"""Reading the official split lists of UCF-101: ``trainlist01.txt``, ``testlist01.txt``, ..., ``classInd.txt``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nprnn.errors import DataError

MAX_BYTES = 1 << 26
"""The largest list."""

_LIST = re.compile(r"(train|valid|test)list(\w+)\.txt")
_LINE = re.compile(r"(?P<name>[^/]+/.*?\S)(?:\s+(?P<number>\d+))?")
_CLASS = re.compile(r"(?P<number>\d+)\s+(?P<name>\S.*)")


@dataclass(frozen=True)
class Lists:
    """The lists of a folder. Names are compared without regard to case: copies of the data set differ in it.

    Attributes:
        folder: where they were read.
        classes: the official spelling of a class, by the name in small letters; nothing without ``classInd.txt``.
        example: a clip that is listed.
    """

    folder: Path
    classes: Mapping[str, str]
    example: str
    _sides: Mapping[str, Mapping[str, str]]

    @classmethod
    def read(cls, folder: Path) -> Lists:
        """Read all lists of a folder.

        Raises:
            DataError: no lists, a line that is no clip, a clip on both sides, a number that is not its class's.
        """
        try:
            files = sorted(path for path in folder.iterdir() if _LIST.fullmatch(path.name))
        except OSError as error:
            raise DataError(f"{folder} cannot be read: {error.strerror or error}; expected split lists") from error
        if not files:
            raise DataError(f"{folder} holds no split lists: expected trainlist01.txt, testlist01.txt, classInd.txt")
        numbers = _classes(folder / "classInd.txt")
        sides: dict[str, dict[str, str]] = {}
        example = ""
        for path in files:
            match = _LIST.fullmatch(path.name)
            assert match is not None
            side, split = match[1], match[2]
            for line, text in _lines(path):
                name = _name(text, numbers, f"{path}, line {line}")
                example = example or name
                before = sides.setdefault(name.casefold(), {}).setdefault(split, side)
                if before != side:
                    raise DataError(f"{path}, line {line}: {name} is in the {before} list of {split} too")
        return cls(folder, {name.casefold(): name for name in numbers.values()}, example, sides)

    def sides(self, name: str) -> Mapping[str, str]:
        """By name of a split, such as "01", the side of a clip; nothing for a clip that is in no list."""
        return self._sides.get(name.casefold(), {})


def _name(text: str, numbers: Mapping[int, str], where: str) -> str:
    """The clip of a line, once its number is known to be its class's."""
    match = _LINE.fullmatch(text)
    if match is None:
        raise DataError(f"{where}: {text!r} is no clip; expected such as Archery/v_Archery_g01_c01.avi 3")
    name, number = match["name"], match["number"]
    if number is not None and numbers:
        known = numbers.get(int(number))
        if known is None or known.casefold() != name.partition("/")[0].casefold():
            raise DataError(f"{where}: {name} has number {number}, which classInd.txt gives to {known}")
    return name


def _classes(path: Path) -> dict[int, str]:
    numbers: dict[int, str] = {}
    if not path.exists():
        return numbers
    for line, text in _lines(path):
        match = _CLASS.fullmatch(text)
        if match is None:
            raise DataError(f"{path}, line {line}: {text!r} is no class; expected such as 3 Archery")
        if int(match["number"]) in numbers:
            raise DataError(f"{path}, line {line}: number {match['number']} is there already")
        numbers[int(match["number"])] = match["name"]
    return numbers


def _lines(path: Path) -> list[tuple[int, str]]:
    """(number, text without surrounding blanks) of the lines that are not blank, however they end."""
    if path.is_file() and (size := path.stat().st_size) > MAX_BYTES:
        raise DataError(f"{path}: {size} bytes, over the limit of {MAX_BYTES}; is it the right file?")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text in UTF-8 ({error})") from error
    return [(k, line.strip()) for k, line in enumerate(lines, 1) if line.strip()]
