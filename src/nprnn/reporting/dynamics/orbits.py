"""The fixed points and cycles that were found, as rows for a person and for a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from nprnn.dynamics import Orbit
from nprnn.reporting.dynamics.numbers import number, orbit_kind
from nprnn.reporting.dynamics.portrait import Portrait
from nprnn.reporting.dynamics.subjects import Stage, Subject
from nprnn.reporting.factors import near

Row = dict[str, Any]
COLUMNS = ("stage", "draw", "period", "what it is", "growth around", "‖h‖", "units on", "output there")


def orbit_entries(stage: Stage, found: Portrait) -> list[Row]:
    """All that was found, as JSON values; the states themselves among them."""
    rows: list[Row] = []
    for looked in found.orbits or ():
        for orbit in looked.orbits:
            row: Row = {"draw": looked.draw, "period": looked.period, "dimension": orbit.dimension}
            row |= {"stability": orbit.stability, "radius": orbit.radius, "growth": orbit.growth}
            row |= {"border": orbit.border, "norm": float(orbit.points[0].norm())}
            row |= {"units_on": orbit.masks.sum(-1).tolist(), "output": _output(stage, orbit)}
            rows.append({**row, "points": orbit.points.tolist()})
    return rows


def orbit_cells(subject: Subject, stage: Stage, words: str, found: Portrait) -> list[tuple[str, ...]]:
    """A row of the page's table for each."""
    return [
        (
            words,
            str(entry["draw"]) if subject.kind == "start" else "",
            str(entry["period"]),
            orbit_kind(entry["dimension"], entry["stability"]),
            near(entry["growth"]),
            number(entry["norm"]) if not entry["dimension"] else "any",
            ", ".join(map(str, entry["units_on"])),
            _said(subject, entry),
        )
        for entry in orbit_entries(stage, found)
    ]


def _output(stage: Stage, orbit: Orbit) -> list[list[float]] | None:
    """What the head makes of each state of an orbit that stands alone."""
    if stage.head is None or orbit.dimension:
        return None
    weight, bias = stage.head
    found: list[list[float]] = (orbit.points @ weight.mT + bias).tolist()
    return found


def _said(subject: Subject, entry: Mapping[str, Any]) -> str:
    """The output in words: the number, or the class."""
    if entry["output"] is None:
        return ""
    outputs = torch.tensor(entry["output"])
    if subject.class_names is not None:
        return ", ".join(subject.class_names[k] for k in outputs.argmax(-1).tolist())
    if outputs.shape[-1] == 1:
        return ", ".join(number(v) for v in outputs.flatten().tolist())
    return ""
