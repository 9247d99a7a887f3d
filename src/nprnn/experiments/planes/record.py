"""What was found of the planes and of the gradients, as JSON: all that the page is made of."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nprnn.dynamics import GrowthRow
from nprnn.errors import RunError
from nprnn.experiments.planes.plane import FixedSet, Plane, Ray, Turn
from nprnn.experiments.record import RECORD
from nprnn.experiments.spec import Scale
from nprnn.files import write_atomically

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
        path = folder / RECORD
        content: dict[str, Any] = {"format": FORMAT, "kind": "planes"}
        content |= {name: getattr(self, name) for name in ("key", "experiment", "scale", "command", "env", "starts")}
        content["planes"] = [_plane_entry(entry) for entry in self.planes]
        content["turns"] = [entry._asdict() for entry in self.turns]
        content["rows"] = [_row_entry(row) for row in self.rows]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, _lines(content).encode())
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror or error}") from error
        return path


def read_planes_record(folder: Path) -> PlanesRecord:
    """Read a record back.

    Raises:
        RunError: there is none, or it is damaged or of another kind or version.
    """
    path = folder / RECORD
    try:
        content = json.loads(path.read_bytes())
        if content.pop("format") != FORMAT or content.pop("kind") != "planes":
            raise RunError(f"{path} is not a record of planes of format {FORMAT}, which this version of nprnn reads")
        for name, make in _MAKERS.items():
            content[name] = [make(entry) for entry in content[name]]
        return PlanesRecord(**content)
    except FileNotFoundError:
        raise RunError(f"there is no record in {folder}: it has no {RECORD}; run `nprnn reproduce` first") from None
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {error!r}") from error


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


_MAKERS: Mapping[str, Callable[[Any], Any]] = {"planes": _plane, "turns": lambda e: Turn(**e), "rows": _row}


def _lines(content: Mapping[str, Any]) -> str:
    """JSON with a line for each entry of a list of entries: readable, and small changes stay small in a comparison."""
    parts = []
    for key, value in content.items():
        if key in _MAKERS and value:
            entries = ",\n  ".join(json.dumps(entry, ensure_ascii=False, allow_nan=False) for entry in value)
            parts.append(f"{json.dumps(key)}: [\n  {entries}\n ]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n " + ",\n ".join(parts) + "\n}\n"
