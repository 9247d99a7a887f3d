"""nprnn explore."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from nprnn.cli.common import console, parse
from nprnn.reporting.explorer import write_explorer


def command_explore(words: list[str]) -> int:
    """Write one HTML page on the phase plane of two units, as the paper draws it and as the network moves."""

    @dataclasses.dataclass(frozen=True)
    class Arguments:
        out: Annotated[Path, tyro.conf.arg(help="The file to write.")] = Path("explorer.html")

    options = parse(Arguments, words, "nprnn explore", command_explore.__doc__)
    console.print(f"explorer to open: {write_explorer(options.out)}", markup=False, soft_wrap=True)
    return 0
