"""Settings as JSON and back: frozen dataclasses of plain values, unknown keys refused."""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from nprnn.errors import ConfigError, unknown

Config = TypeVar("Config")

# Marks a field that says where data lie, not what they are: it takes no part in a run's identity.
LOCATION: Mapping[str, bool] = {"location": True}
# Marks a field that came after runs had been recorded: its default is left out, so that their identity stays theirs.
LATER: Mapping[str, bool] = {"later": True}


def as_record(config: Any, *, locations: bool = False, later: bool = False) -> dict[str, Any]:
    """The settings of a dataclass as JSON values: those that identify a run, or those that say where its data lie.

    Args:
        config: the dataclass.
        locations: those that say where data lie.
        later: with defaults of settings that came later, which are no part of a run's identity.

    Returns:
        Values by their names.
    """
    return {
        field.name: _plain(getattr(config, field.name))
        for field in dataclasses.fields(config)
        if bool(field.metadata.get("location")) is locations
        and (later or not field.metadata.get("later") or getattr(config, field.name) != field.default)
    }


def check_range(config: Any) -> None:
    """See that whole numbers are no larger than tensors and files count.

    Raises:
        ConfigError: one takes more than 64 bits.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ConfigError(f"{field.name} must be a whole number of 64 bits, got one of {value.bit_length()}")


def from_record(kind: type[Config], record: Mapping[str, Any]) -> Config:
    """The dataclass that ``as_record`` described.

    Raises:
        ConfigError: an unknown key (the nearest right one is named), a value of the wrong type, or a missing one.
    """
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in record.items():
        if key not in hints:
            raise unknown("setting", key, hints)
        values[key] = _typed(key, value, hints[key])
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if field.name not in values and field.default is field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"setting {field.name!r} is missing")
    return kind(**values)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def _typed(key: str, value: Any, hint: Any) -> Any:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for option in options:
        origin, arguments = typing.get_origin(option) or option, typing.get_args(option)
        if origin is typing.Literal and value in arguments:
            return value
        if origin is tuple and isinstance(value, (list, tuple)):
            return tuple(_typed(key, v, arguments[0]) for v in value)
        if origin is Path and isinstance(value, str):
            return Path(value)
        if origin is float and isinstance(value, (int, float)) and not isinstance(value, bool):
            with contextlib.suppress(OverflowError):
                return float(value)
        if isinstance(origin, type) and origin is not tuple and type(value) is origin:
            return value
    if isinstance(value, str) and {int, float} & set(options):
        hint = ": leave the quotes out" if _is_number(value) else ""
        raise ConfigError(f"setting {key!r} must be a number, got the text {value!r}{hint}")
    raise ConfigError(f"setting {key!r} must be {getattr(hint, '__name__', hint)}, got {value!r}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
