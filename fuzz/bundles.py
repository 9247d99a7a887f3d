"""Several files in one input of the fuzzer: each begins with a line that names it.

    %% index.csv
    file,label
    a.csv,0
    %% a.csv
    1,2

What does not begin so is one file. The names are from a list of the target's: nothing else is ever written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

_MARK = b"%% "


def bundle(files: Mapping[str, bytes]) -> bytes:
    """The files as one input; an end of line follows each."""
    return b"".join(_MARK + name.encode() + b"\n" + content + b"\n" for name, content in files.items())


def unbundle(data: bytes, names: Collection[str], alone: str) -> dict[str, bytes]:
    """The files of an input.

    Args:
        data: the input.
        names: what files may be called; others are passed over.
        alone: the name of the one file of an input that names none.
    """
    if not data.startswith(_MARK):
        return {alone: data}
    found = {}
    for part in data[len(_MARK) :].removesuffix(b"\n").split(b"\n" + _MARK):
        name, _, content = part.partition(b"\n")
        key = name.decode("latin-1")
        if key in names:
            found[key] = content
    return found
