"""An analysis as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nprnn.reporting.dynamics.numbers import quantities
from nprnn.reporting.dynamics.orbits import orbit_entries
from nprnn.reporting.dynamics.portrait import Portrait
from nprnn.reporting.dynamics.rows import Portrayed
from nprnn.reporting.dynamics.subjects import Stage, Subject
from nprnn.reporting.members import LeftOut
from nprnn.reporting.page import put

FORMAT = 1
NOTE = (
    'Logarithms are natural, where a name does not say log10. "-inf" is minus infinity (the logarithm of exactly 0); '
    "null is a number that there is none of. docs/dynamics.md has the definitions."
)


def write_analysis_record(
    found: Sequence[Portrayed],
    left_out: Sequence[LeftOut],
    path: Path,
    command: Sequence[str],
    env: Mapping[str, Any],
    *,
    brief: bool = False,
) -> Path:
    """Write an analysis as JSON.

    Args:
        found: subjects with their portraits.
        left_out: what could not be analysed, and why.
        path: the file.
        command: what was asked, in words.
        env: what computed it.
        brief: without the arrays, which have a number for every sample and step.

    Returns:
        ``path``.

    Raises:
        RunError: it cannot be written.
    """
    record = {
        "format": FORMAT,
        "note": NOTE,
        "command": list(command),
        "env": dict(env),
        "left_out": [entry._asdict() for entry in left_out],
        "subjects": [_subject(entry, brief) for entry in found],
    }
    return put(path, (json.dumps(record, allow_nan=False, indent=1 if brief else None) + "\n").encode())


def _subject(found: Portrayed, brief: bool) -> dict[str, Any]:
    subject = found.subject
    return {
        "title": subject.title,
        "kind": subject.kind,
        "model": subject.model,
        "hidden": subject.hidden,
        "seed": subject.seed,
        "inputs": subject.drive.about,
        "cotangents": subject.cotangents,
        "notices": list(subject.notices),
        **subject.facts,
        "stages": [_stage(subject, s, p, brief) for s, p in zip(subject.stages, found.portraits, strict=True)],
    }


def _stage(subject: Subject, stage: Stage, found: Portrait, brief: bool) -> dict[str, Any]:
    arrays: dict[str, Tensor | None] = {
        "eigenvalues": torch.view_as_real(found.eigenvalues),
        "singular_values": found.singular_values,
        "departure": found.departure,
        "log_state_norms": found.log_norms,
        "log_gradients": found.gradient,
        "growth": found.growth,
        "far_growth": found.far_growth,
        "log_input_change": found.input_change,
        "active_radii": found.radii,
        "active_radii_at": found.radii_at,
        "exponents": found.exponents,
        "exponent_errors": found.exponent_errors,
        "each_exponent": found.each_exponent,
        "units_on": found.on,
        "unit_on": found.unit_on,
    }
    looked = [
        {"draw": e.draw, "period": e.period, "exhaustive": e.exhaustive, "examined": e.examined}
        for e in found.orbits or ()
    ]
    return {
        "name": stage.name,
        "update": stage.update,
        "numbers": {
            q.key: {"value": _plain(q.value), "least": _plain(q.least), "greatest": _plain(q.greatest)}
            for q in quantities(found)
        },
        "warmup": found.warmup,
        "input_step": found.input_step,
        **({} if brief else {"arrays": {k: None if v is None else _nested(v) for k, v in arrays.items()}}),
        "looked_for_orbits": looked,
        "orbits": orbit_entries(stage, found),
    }


def _nested(values: Tensor) -> Any:
    if values.dtype == torch.int64 or bool(values.isfinite().all()):
        return values.tolist()
    return _plain(values.tolist())


def _plain(value: Any) -> Any:
    """JSON has neither NaN nor infinity."""
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "-inf" if value < 0 else "inf"
    return value
