"""What was found of the planes and of the gradients, as JSON: all that the page is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nprnn.dynamics import GrowthRow
from nprnn.experiments.planes.plane import FixedSet, Plane, Ray, Turn
from nprnn.experiments.spec import Scale
from nprnn.experiments.storing import Entries, load, named, store

FORMAT = 1


@dataclass
class PlanesRecord:
    """An experiment's facts.

    Attributes:
        key: of the experiment.
        experiment: its file's content.
        scale: quick or paper.
        command: what was asked.
        env: what computed it.
        starts: name of each start in the table to what it is.
        planes: each case in each frame.
        turns: each case by the angle of its leading eigenvector.
        rows: the growth table.
    """

    key: str
    experiment: str
    scale: Scale
    command: list[str]
    env: dict[str, Any]
    starts: dict[str, str] = field(default_factory=dict)
    planes: list[Plane] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    rows: list[GrowthRow] = field(default_factory=list)

    def write(self, folder: Path) -> Path:
        """Put the record into a folder.

        Raises:
            RunError: it cannot be written.
        """
        return store(folder, "planes", FORMAT, self, _LISTS)


def read_planes_record(folder: Path) -> PlanesRecord:
    """Read a record back.

    Raises:
        RunError: there is none, or it is damaged or of another kind or version.
    """
    return load(folder, "planes", FORMAT, _LISTS, PlanesRecord)


def _plane_entry(entry: Plane) -> dict[str, Any]:
    nested = {"rays": [ray._asdict() for ray in entry.rays], "fixed": [fixed._asdict() for fixed in entry.fixed]}
    return {**entry._asdict(), **nested}


def _plane(entry: Mapping[str, Any]) -> Plane:
    found = dict(entry)
    found["weight"] = _points(entry["weight"])
    found["rays"] = [Ray(_pair(ray["direction"]), float(ray["growth"])) for ray in entry["rays"]]
    found["fixed"] = [
        FixedSet(int(e["dimension"]), _pair(e["point"]), _points(e["directions"]), str(e["stability"]))
        for e in entry["fixed"]
    ]
    found["paths"] = [_points(path) for path in entry["paths"]]
    return Plane(**found)


def _row_entry(row: GrowthRow) -> dict[str, Any]:
    """JSON has no NaN or infinity: null stands for a ratio that there is none of."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(row).items()}


def _row(entry: Mapping[str, Any]) -> GrowthRow:
    ratio = entry["state_ratio"]
    return GrowthRow(**{**entry, "state_ratio": math.nan if ratio is None else float(ratio)})


def _points(found: Any) -> list[tuple[float, float]]:
    return [_pair(pair) for pair in found]


def _pair(found: Any) -> tuple[float, float]:
    x, y = found
    return float(x), float(y)


_LISTS: Mapping[str, Entries] = {
    "planes": Entries(_plane_entry, _plane),
    "turns": named(Turn),
    "rows": Entries(_row_entry, _row),
}
