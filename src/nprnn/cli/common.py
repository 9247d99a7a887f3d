"""What the commands share: the console, and options out of words."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro
from rich.console import Console

from nprnn.runs import BEST, LAST

console = Console(highlight=False)

Options = TypeVar("Options")
Which = Literal["last", "best"]
CHECKPOINTS: dict[str, str] = {"last": LAST, "best": BEST}

RunFolder = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="The run folder.")]
WhichCheckpoint = Annotated[
    Which, tyro.conf.arg(help="The last iterate, or the one that did best on the validation set.")
]

OnDevice = Annotated[
    str, tyro.conf.arg(help="Where to compute: cpu, cuda or cuda:N. A run may begin on one and go on on another.")
]


@contextlib.contextmanager
def any_text() -> Iterator[None]:
    """In here any text can be printed, names of files that are no Unicode among it: signs that cannot, as numbers."""
    out = sys.stdout
    if not isinstance(out, io.TextIOWrapper) or out.errors != "strict":
        yield
        return
    out.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        out.reconfigure(errors="strict")


def parse(kind: type[Options], words: list[str], prog: str, about: str | None, default: Any = None) -> Options:
    """The options of a command: an instance of a dataclass filled from words; exits with 2 on words that do not fit."""
    extra = {} if default is None else {"default": default}
    options: Options = tyro.cli(kind, prog=prog, description=(about or "").splitlines()[0], args=words, **extra)
    return options
