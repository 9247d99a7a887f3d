"""What the commands share: the console, and options out of words."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import operator
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import tyro
from rich.console import Console
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from nprnn.runs import BEST, LAST

console = Console(highlight=False)

Options = TypeVar("Options")
Which = Literal["last", "best"]
_NONE = "None"
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


def _without_none(found: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """How an option that may be None is read: by the rest of its type, which its help shows, or as the word None."""
    types = get_args(found.type)
    if type(None) not in types:
        return None
    rest: Any = functools.reduce(operator.or_, (kind for kind in types if kind is not type(None)))
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(rest, found.markers))
    if not isinstance(spec, PrimitiveConstructorSpec) or spec.nargs != 1:
        return None
    plain = spec
    return dataclasses.replace(
        plain,
        instance_from_str=lambda words: None if words == [_NONE] else plain.instance_from_str(words),
        is_instance=lambda value: value is None or plain.is_instance(value),
        str_from_instance=lambda value: [_NONE] if value is None else plain.str_from_instance(value),
        choices=None if plain.choices is None else (*plain.choices, _NONE),
    )


_REGISTRY = ConstructorRegistry()
_REGISTRY.primitive_rule(_without_none)


def parse(kind: type[Options], words: list[str], prog: str, about: str | None, default: Any = None) -> Options:
    """The options of a command: an instance of a dataclass filled from words; exits with 2 on words that do not fit."""
    extra = {} if default is None else {"default": default}
    with _REGISTRY:
        options: Options = tyro.cli(kind, prog=prog, description=(about or "").splitlines()[0], args=words, **extra)
    return options
