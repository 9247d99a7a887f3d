"""From the text of an experiment's file to an experiment of the kind that it says it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from nprnn.configs import from_record
from nprnn.errors import ConfigError
from nprnn.files import parse_toml

E = TypeVar("E")


def parse(key: str, text: str, kinds: Mapping[str, Callable[[str, dict[str, Any], str], E]]) -> E:
    """Read an experiment.

    Args:
        key: its name, from its file's.
        text: its file's content.
        kinds: the kinds that it may be of, each to what makes the experiment of the key, the tables without their
            ``kind``, and the text; that raises a ConfigError, which is told with the file's name.

    Raises:
        ConfigError: no TOML, a kind that is not among them, or what its kind refuses.
    """
    try:
        found = parse_toml(text)
    except ValueError as error:
        raise ConfigError(f"{key}.toml is not TOML: {error}") from error
    try:
        kind = found.pop("kind", None)
        if not isinstance(kind, str) or kind not in kinds:
            raise ConfigError(f"kind must be {' or '.join(map(repr, kinds))}, got {kind!r}")
        return kinds[kind](key, found, text)
    except ConfigError as error:
        raise ConfigError(f"{key}.toml: {error}") from error


def taken(found: dict[str, Any], *names: str) -> list[dict[str, Any]]:
    """The tables of those names, taken out; an empty one where there is none.

    Raises:
        ConfigError: one is no table.
    """
    tables = [found.pop(name, {}) for name in names]
    for name, table in zip(names, tables, strict=True):
        if not isinstance(table, dict):
            raise ConfigError(f"{name} must be a table, under [{name}]; got {table!r}")
    return tables


def all_taken(found: dict[str, Any], *names: str) -> list[list[Any]]:
    """The lists of tables of those names, taken out; an empty one where there is none.

    Raises:
        ConfigError: one is no list; what is in it is left for ``filled`` to refuse.
    """
    lists = [found.pop(name, []) for name in names]
    for name, entries in zip(names, lists, strict=True):
        if not isinstance(entries, list):
            raise ConfigError(f"{name} must be tables, each under [[{name}]]; got {entries!r}")
    return lists


def filled(kind: type[Any], found: Any) -> Any:
    """The dataclass of a table, all of whose keys without a default must be there.

    Raises:
        ConfigError: no table, a key that is missing or unknown, or a value of the wrong type.
    """
    if not isinstance(found, dict):
        raise ConfigError(f"{kind.__name__.lower()} must be a table, got {found!r}")
    missing = [f.name for f in fields(kind) if f.name not in found and f.default is f.default_factory is MISSING]
    if missing:
        raise ConfigError(f"{missing[0]} is missing ({kind.__name__.strip('_').lower()})")
    return from_record(kind, found)
