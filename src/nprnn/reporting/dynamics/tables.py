"""The numbers behind the pictures of an analysis as CSV."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nprnn.reporting.dynamics.numbers import quantities
from nprnn.reporting.dynamics.orbits import orbit_entries
from nprnn.reporting.dynamics.portrait import Portrait
from nprnn.reporting.dynamics.rows import Portrayed, spread
from nprnn.reporting.tables import Row, as_csv

_TEN = math.log(10)


def analysis_csv(found: Sequence[Portrayed], *, brief: bool = False) -> Mapping[str, str]:
    """What the pictures and tables show.

    Args:
        found: subjects with their portraits.
        brief: only numbers.csv and orbits.csv.

    Returns:
        File name to CSV: numbers.csv has a row a quantity, eigenvalues.csv one for each eigenvalue and singular value,
        curves.csv one a step (means, least and greatest over samples; powers of ten where it says log10), units.csv one
        a unit, exponents.csv one a Lyapunov exponent, orbits.csv one a fixed point or cycle. One without rows is left
        out.
    """
    names = ("numbers", "orbits") if brief else ("numbers", "eigenvalues", "curves", "units", "exponents", "orbits")
    files: dict[str, list[Row]] = {name: [] for name in names}
    for subject, portraits in found:
        for stage, portrait in zip(subject.stages, portraits, strict=True):
            who: Row = {"subject": subject.title, "folder": subject.facts.get("folder", "")}
            who |= {"stage": stage.name, "update": stage.update}
            rows = {
                "numbers": _numbers(portrait),
                "eigenvalues": _eigenvalues(portrait),
                "curves": _curves(portrait),
                "units": _units(portrait),
                "exponents": _exponents(portrait),
                "orbits": [_orbit(entry) for entry in orbit_entries(stage, portrait)],
            }
            for name in names:
                files[name] += [{**who, **row} for row in rows[name]]
    return {f"{name}.csv": as_csv(rows) for name, rows in files.items() if rows}


def _numbers(portrait: Portrait) -> list[Row]:
    return [
        {"quantity": q.key, "label": q.label, "value": q.value, "least": q.least, "greatest": q.greatest}
        for q in quantities(portrait)
    ]


def _eigenvalues(portrait: Portrait) -> list[Row]:
    return [
        {"draw": draw, "number": k + 1, "real": value.real, "imaginary": value.imag, "singular value": size}
        for draw, (values, sizes) in enumerate(
            zip(portrait.eigenvalues.tolist(), portrait.singular_values.tolist(), strict=True)
        )
        for k, (value, size) in enumerate(zip(values, sizes, strict=True))
    ]


def _curves(portrait: Portrait) -> list[Row]:
    """A row a step 0..T; of the states and units the step's own, of the others so many steps after the beginning."""
    rows: list[Row] = [{"step": step} for step in range(portrait.steps + 1)]
    _fill(rows, "log10 state norm", portrait.log_norms / _TEN, range(1, portrait.steps + 1))
    _fill(rows, "log10 gradient", portrait.gradient / _TEN, range(portrait.steps + 1))
    _fill(rows, "log10 input change", portrait.input_change / _TEN, range(portrait.input_change.shape[-1]))
    if portrait.on is not None:
        _fill(rows, "units on", portrait.on, range(1, portrait.steps + 1))
    _fill(rows, "active radius", portrait.radii, portrait.radii_at.tolist())
    return rows


def _fill(rows: list[Row], name: str, values: Tensor, steps: Sequence[int]) -> None:
    if not len(values):
        return
    for what, column in zip(("", ", least", ", greatest"), spread(values), strict=True):
        for step, value in zip(steps, column.tolist(), strict=True):
            rows[step][f"{name}{what}"] = value if math.isfinite(value) else None


def _units(portrait: Portrait) -> list[Row]:
    if portrait.unit_on is None:
        return []
    ordered = portrait.unit_on.sort(-1, descending=True).values
    columns = (torch.arange(1, ordered.shape[-1] + 1), *spread(ordered))
    return [
        {"rank": int(rank), "share of steps on": mean, "least": low, "greatest": high}
        for rank, mean, low, high in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _orbit(entry: Row) -> Row:
    """Without its states, which are in the JSON; lists over the steps of a cycle in one cell."""
    output = entry["output"] or []
    lists = {
        "units_on": " ".join(map(str, entry["units_on"])),
        "output": "; ".join(" ".join(map(repr, v)) for v in output),
    }
    return {**{k: v for k, v in entry.items() if k != "points"}, **lists}


def _exponents(portrait: Portrait) -> list[Row]:
    return [
        {
            "number": k + 1,
            "exponent": value if math.isfinite(value) else "minus infinity",
            "standard error": error if math.isfinite(error) else None,
        }
        for k, (value, error) in enumerate(
            zip(portrait.exponents.tolist(), portrait.exponent_errors.tolist(), strict=True)
        )
    ]
