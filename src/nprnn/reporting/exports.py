"""Exports in run folders: their ``export.json`` read and made safe to show; a damaged one is listed, never fatal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nprnn.export import RECORD
from nprnn.export.footprint import Size
from nprnn.files import parse_json
from nprnn.reporting.members import LeftOut, clean, is_number

PRECISIONS = ("float32", "int8")
# No network that a person trained is larger; a number beyond is damage.
_MOST = 10**12


class ExportRecord(NamedTuple):
    """What ``export.json`` says, made safe to show.

    Attributes:
        name: of its folder.
        kind: the format, with its mode where that is not the usual one.
        precision: float32 or int8.
        size: of the network.
        weight_bytes: as the format counts them.
        state_bytes: likewise.
        update: updates of the weights that were exported; None where it is not told.
        checkpoint: last or best.
        compared_on: where the sequences are from that it was compared on.
        expected: the task's metrics of the network; empty without the task's data.
        found: likewise, of the export.
        agreement: share of answers with the same class; None where there are no classes.
        seconds: a step, by candidate (``nprnn.export.footprint``).
        machine: what they were measured on, in words.
        made: when, as ISO 8601.
    """

    name: str
    kind: str
    precision: str
    size: Size
    weight_bytes: int
    state_bytes: int
    update: int | None
    checkpoint: str
    compared_on: str
    expected: dict[str, float]
    found: dict[str, float]
    agreement: float | None
    seconds: dict[str, float]
    machine: str
    made: str


def read_exports(folder: Path) -> list[ExportRecord | LeftOut]:
    """The exports in a run folder by name; one that cannot be read stands there with the reason."""
    found: list[ExportRecord | LeftOut] = []
    for path in sorted((folder / "exports").glob(f"*/{RECORD}")):
        # What a killed export leaves begins with a dot.
        if path.parent.name.startswith("."):
            continue
        try:
            found.append(_read(path))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            shown = clean(f"{folder.name}/exports/{path.parent.name}")
            reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            found.append(LeftOut(shown, clean(f"{RECORD} cannot be read ({reason}); export it anew")))
    return found


def _read(path: Path) -> ExportRecord:
    record = parse_json(path.read_text())
    network, mode = record["network"], clean(record["mode"])
    if record["precision"] not in PRECISIONS:
        raise ValueError(f"precision is {record['precision']!r}")
    sizes = [count(network[name], 1) for name in ("input_size", "hidden_size", "output_size", "layers", "directions")]
    verification = record["verification"] or {}
    measured = record.get("footprint") or {}
    env = record.get("env") or {}
    update, agreement = record.get("update"), {"agreement": verification.get("agreement")}
    return ExportRecord(
        name=clean(path.parent.name),
        kind=clean(record["format"]) + ("" if mode == "sequence" else f", {mode}"),
        precision=record["precision"],
        size=Size(*sizes),
        weight_bytes=count(record["weight_bytes"], 0),
        state_bytes=count(record["state_bytes"], 0),
        update=None if update is None else count(update, 0),
        checkpoint=clean(record.get("checkpoint") or "last"),
        compared_on=clean(verification["inputs"]) if verification else "not run where it was written",
        expected=_numbers(verification.get("expected")),
        found=_numbers(verification.get("found")),
        agreement=_numbers(agreement).get("agreement"),
        seconds={name: s for name, s in _numbers(measured.get("seconds_per_step")).items() if s > 0},
        machine=_machine(measured.get("measured") or {}, env),
        made=clean(env.get("started") or ""),
    )


def _machine(measured: Mapping[str, Any], env: Mapping[str, Any]) -> str:
    known = {**env, **measured}
    words = [clean(known.get("processor") or "a processor without a name")]
    words += [f"{name} {clean(known[name])}" for name in ("kernel", "torch") if known.get(name)]
    return ", ".join(words)


def count(value: Any, least: int) -> int:
    """A JSON value that is to be an integer of at least ``least``.

    Raises:
        ValueError: it is none, or absurdly large.
    """
    if not is_number(value) or not least <= value <= _MOST or int(value) != value:
        raise ValueError(f"expected a count of at least {least}, got {clean(repr(value))}")
    return int(value)


def _numbers(values: Any) -> dict[str, float]:
    """The finite numbers of a JSON object; empty for null."""
    found = {} if values is None else {clean(k): v for k, v in values.items() if v is not None}
    for name, value in found.items():
        if not is_number(value):
            raise ValueError(f"{name} is no number: {clean(repr(value))}")
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}
