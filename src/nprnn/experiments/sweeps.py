"""Sweeps as experiments make them: without a preset, and without a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nprnn.errors import ConfigError
from nprnn.sweep import SweepFile, parse_sweep


def sweep_of(
    name: str,
    task: str,
    seeds: Sequence[int],
    settings: Mapping[str, Any],
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    entries: Sequence[Mapping[str, Any]] = (),
) -> SweepFile:
    """A sweep file of plain values.

    Args:
        name: what to call it.
        task: name of the task.
        seeds: of every member.
        settings: the same for all members.
        grid: setting to values, crossed; None leaves it out.
        entries: settings of single members.

    Raises:
        ConfigError: settings that the task or the training does not have.
    """
    lines = [f"task = {json.dumps(task)}", 'preset = "none"', f"seeds = {json.dumps(list(seeds))}"]
    for table, values in {"settings": settings, "grid": grid}.items():
        if values is not None:
            lines += [f"\n[{table}]", *_pairs(values)]
    for entry in entries:
        lines += ["\n[[list]]", *_pairs(entry)]
    return parse_sweep(Path(name), ("\n".join(lines) + "\n").encode())


def _pairs(found: Mapping[str, Any]) -> list[str]:
    return [f"{_toml(name, name)} = {_toml(name, value)}" for name, value in found.items()]


def _toml(name: str, value: Any) -> str:
    """TOML of a plain value.

    Raises:
        ConfigError: it is none, such as a table or a date.
    """
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml(name, one) for one in value)}]"
    if isinstance(value, str):
        # JSON's text is TOML's but for this sign, and for what lies beyond 16 bits, which it would write in two halves.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    raise ConfigError(f"setting {name!r} must be a number, a text, true or false, or a list, got {value!r}")
