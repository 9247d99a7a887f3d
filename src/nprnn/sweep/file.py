"""A sweep file: TOML that says which settings to try, read and checked before anything is expanded."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from nprnn.errors import ConfigError, unknown
from nprnn.files import parse_toml
from nprnn.models import find_model
from nprnn.tasks import find_task
from nprnn.training import Preset, TrainConfig, find_preset

TOP = ("task", "preset", "seeds", "settings", "grid", "list")
MOST_MEMBERS = 10_000


@dataclass(frozen=True)
class SweepFile:
    """What a sweep file asks for.

    Attributes:
        path: where it was read.
        content: its bytes.
        task: name of the task.
        preset: what the settings start from.
        seeds: every member is trained once with each.
        settings: fixed settings.
        grid: setting to values; every combination is a member.
        entries: settings of single members, each crossed with the grid; one empty entry where the file lists none.
    """

    path: Path
    content: bytes
    task: str
    preset: Preset
    seeds: Sequence[int]
    settings: Mapping[str, Any]
    grid: Mapping[str, Sequence[Any]]
    entries: Sequence[Mapping[str, Any]]

    def count(self) -> int:
        """How many members there are, without making them."""
        return prod([len(self.seeds), len(self.entries), *map(len, self.grid.values())])

    def check_count(self, most: int) -> None:
        """Refuse more members than are allowed.

        Args:
            most: the largest number.

        Raises:
            ConfigError: there are more; the message shows the product.
        """
        if self.count() <= most:
            return
        factors = [f"{len(self.seeds):,} seeds"]
        if self.entries != ({},):
            factors.append(f"{len(self.entries):,} entries of the list")
        factors += [f"{len(values):,} {name}" for name, values in self.grid.items()]
        raise ConfigError(
            f"{self.path} asks for {self.count():,} members ({' × '.join(factors)}), more than {most:,}; "
            f"if that is meant, say --max-members {self.count()}"
        )


def read_sweep(path: Path) -> SweepFile:
    """Read a sweep file.

    Args:
        path: the TOML file.

    Returns:
        What it asks for; the values of settings are checked when members are made of them.

    Raises:
        ConfigError: no such file, no TOML, an unknown key, or a grid, list or seeds that make no sense.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the sweep file {path}: {error.strerror or error}") from error
    return parse_sweep(path, content)


def parse_sweep(path: Path, content: bytes) -> SweepFile:
    """Read the content of a sweep file.

    Args:
        path: what to call it.
        content: TOML.

    Returns:
        What it asks for.

    Raises:
        ConfigError: as ``read_sweep``.
    """
    try:
        found = parse_toml(content.decode())
    except ValueError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    try:
        return _checked(path, content, found)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _checked(path: Path, content: bytes, found: dict[str, Any]) -> SweepFile:
    _refuse_unknown("key", found, TOP)
    if "task" not in found:
        raise ConfigError('name the task first, such as task = "addition"')
    task, preset = _text("task", found["task"]), _text("preset", found.get("preset", "default"))
    task_class = find_task(task)
    fields = [*dataclasses.fields(task_class), *dataclasses.fields(TrainConfig)]  # type: ignore[arg-type]
    places = {field.name for field in fields if field.metadata.get("location")}
    known = [field.name for field in fields if field.name != "seed"]
    settings = _table("settings", found.get("settings", {}), known)
    grid = _table("grid", found.get("grid", {}), known)
    entries = found.get("list", [{}])
    if not isinstance(entries, list) or not entries:
        raise ConfigError("list takes one or more tables, each under [[list]]")
    entries = [_table("list", entry, known) for entry in entries]
    for name, values in grid.items():
        _check_values(name, values)
        if name in settings:
            raise ConfigError(f"{name!r} is in [settings] and in [grid]; leave it in one of them")
        if any(name in entry for entry in entries):
            raise ConfigError(f"{name!r} is in [grid] and in [[list]]; leave it in one of them")
    for name in [*grid, *(name for entry in entries for name in entry)]:
        if name in places:
            raise ConfigError(f"{name!r} says where data lie, which is one place for all members: put it in [settings]")
    seeds = _seeds(found.get("seeds", 1))
    return SweepFile(path, content, task, find_preset(task, preset), seeds, settings, grid, tuple(entries))


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be a name in quotes, got {value!r}")
    return value


def _table(name: str, value: Any, known: Iterable[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{name} must be a table of settings, got {value!r}")
    if "seed" in value:
        raise ConfigError(f"the seed is in [{name}]; seeds are named at the top, such as seeds = [0, 1, 2]")
    _refuse_unknown(f"setting in [{name}]", value, known)
    return value


def _refuse_unknown(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise unknown(kind, name, known)


def _check_values(name: str, values: Any) -> None:
    if not isinstance(values, list):
        raise ConfigError(f"[grid] {name} must be a list of values, got {values!r}; a fixed value is for [settings]")
    if not values:
        raise ConfigError(
            f"[grid] {name} is an empty list, which makes a sweep of nothing; name a value or leave it out"
        )
    seen = set()
    for value in values:
        spelling = _spelling(name, value)
        if spelling in seen:
            raise ConfigError(f"[grid] {name} holds {value!r} twice; leave one out")
        seen.add(spelling)


def _spelling(name: str, value: Any) -> str:
    """One text for equal values: 1 and 1.0 are the same setting, true and 1 are not."""
    if name == "model" and isinstance(value, str):
        return find_model(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        value = float(value)
    return json.dumps(value, default=repr)


def _seeds(value: Any) -> Sequence[int]:
    if isinstance(value, bool) or not isinstance(value, (int, list)):
        raise ConfigError(f"seeds must be a list such as [0, 1, 2], or how many there are; got {value!r}")
    if isinstance(value, int):
        if value < 1:
            raise ConfigError(f"seeds must be at least 1, got {value}")
        if value >= 2**63:
            raise ConfigError(f"seeds = {value} is how many there are; to name a single seed write seeds = [{value}]")
        return range(value)
    if not value:
        raise ConfigError("seeds is an empty list, a sweep of nothing; name one, such as seeds = [0]")
    for seed in value:
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ConfigError(f"seeds must be whole numbers, 0 or more; got {seed!r}")
    if len(set(value)) < len(value):
        twice = next(seed for k, seed in enumerate(value) if seed in value[:k])
        raise ConfigError(f"seeds holds {twice} twice; leave one out")
    return tuple(value)
