"""The numbers behind the pictures of planes and of gradients at the start as CSV."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict

from nprnn.experiments.planes import PlanesFindings
from nprnn.reporting.planes.words import origin_stability, verdict_word
from nprnn.reporting.tables import Row, as_csv


def planes_csv(findings: PlanesFindings) -> Mapping[str, str]:
    """The numbers in full.

    Args:
        findings: of the experiment.

    Returns:
        File name to CSV: planes.csv has a row a panel, rays.csv and fixed.csv one for each ray and set of fixed points
        in it, states.csv one a state, turns.csv one for each case and angle, gradients.csv one for each start and size,
        expected.csv one for each number that was expected.
    """
    found = {
        "planes.csv": _planes(findings),
        "rays.csv": _rays(findings),
        "fixed.csv": _fixed(findings),
        "states.csv": _states(findings),
        "turns.csv": [{"case": t.case, "angle": t.angle, "growth": t.growth} for t in findings.turns],
        "gradients.csv": _gradients(findings),
        "expected.csv": _expected(findings),
    }
    return {name: as_csv(rows) for name, rows in found.items()}


def _planes(findings: PlanesFindings) -> list[Row]:
    rows: list[Row] = []
    for verdict in findings.fates:
        plane, (leading, second) = verdict.plane, verdict.case.eigenvalues
        row: Row = {"case": plane.case, "frame": plane.frame, "eigenvalue 1": leading, "eigenvalue 2": second}
        row |= {"angle": verdict.frame.angle}
        row |= {f"w{i + 1}{j + 1}": w for i, line in enumerate(plane.weight) for j, w in enumerate(line)}
        row |= {"growth": plane.growth, "fate": plane.fate, "the paper's": verdict.case.fate}
        rows.append({**row, "claim": verdict_word(verdict)})
    return rows


def _rays(findings: PlanesFindings) -> list[Row]:
    return [
        {"case": v.plane.case, "frame": v.plane.frame, "x": x, "y": y, "growth": growth}
        for v in findings.fates
        for (x, y), growth in v.plane.rays
    ]


def _fixed(findings: PlanesFindings) -> list[Row]:
    rows: list[Row] = []
    for plane in (verdict.plane for verdict in findings.fates):
        for fixed in plane.fixed:
            row: Row = {"case": plane.case, "frame": plane.frame, "dimension": fixed.dimension}
            row |= {"x": fixed.point[0], "y": fixed.point[1]}
            row |= {"stability by its region": fixed.stability}
            rows.append({**row, "stability by the rays": None if fixed.dimension else origin_stability(plane)})
    return rows


def _states(findings: PlanesFindings) -> list[Row]:
    return [
        {"case": v.plane.case, "frame": v.plane.frame, "start": number, "step": step, "x": x, "y": y}
        for v in findings.fates
        for number, path in enumerate(v.plane.paths)
        for step, (x, y) in enumerate(path)
    ]


def _gradients(findings: PlanesFindings) -> list[Row]:
    rows = []
    for row in findings.rows:
        found = asdict(row)
        found["state_ratio"] = row.state_ratio if math.isfinite(row.state_ratio) else None
        rows.append(found)
    return rows


def _expected(findings: PlanesFindings) -> list[Row]:
    return [
        {**asdict(number.expected), "measured": number.measured, "outcome": number.outcome or "not measured"}
        for number in findings.numbers
    ]
