"""The numbers behind the pictures of a selection experiment as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nprnn.experiments.findings import Findings, Interval
from nprnn.reporting.members import exactly, is_number, show
from nprnn.reporting.selection.words import outcome_word
from nprnn.reporting.tables import Row, as_csv


def selection_csv(findings: Findings) -> Mapping[str, str]:
    """The numbers in full, as shares and not in percent.

    Args:
        findings: of the experiment.

    Returns:
        File name to CSV: grids.csv has a row a setting, test.csv a row a tested model and yardstick, verdicts.csv a row
        a claim and choosing arm.
    """
    found = {"grids.csv": _grids(findings), "test.csv": _tests(findings), "verdicts.csv": _verdicts(findings)}
    return {name: as_csv(rows) for name, rows in found.items()}


def _grids(findings: Findings) -> list[Row]:
    rows = []
    for grid in findings.grids:
        best = None if grid.chosen is None else exactly(dict(grid.chosen.setting))
        for cell in grid.cells:
            found: Row = {"arm": grid.arm.name, "model": grid.model, **_setting(cell.setting)}
            found |= {"validation accuracy": cell.accuracy, "validation cross-entropy": cell.cross_entropy}
            found |= {"accuracy by seed": _by_seed(cell.by_seed), "diverged": cell.diverged, "missing": cell.missing}
            found |= {"best": str(exactly(dict(cell.setting)) == best).lower()}
            rows.append({**found, "clips": grid.clips, "sources": grid.units})
    return rows


def _tests(findings: Findings) -> list[Row]:
    rows: list[Row] = []
    for row in findings.rows:
        published = findings.experiment.paper.get(row.model)
        found: Row = {"kind": "model", "name": row.model, "chosen by": row.chosen_by, **_setting(row.setting)}
        found |= {**_interval("validation", row.validation), **_interval("test", row.test)}
        found |= {"test by seed": _by_seed(row.by_seed), **_interval("test, frames shuffled", row.shuffled)}
        found |= {**_interval("test less shuffled", row.order), "parameters": row.parameters, "times": row.times}
        if published is not None:
            found |= {"paper's setting": published.best, "paper's validation": published.validation}
            found["paper's test"] = published.test
        rows.append(found)
    for yardstick in findings.yardsticks:
        found = {"kind": "yardstick", "name": yardstick.name, "about": yardstick.about}
        rows.append({**found, **_interval("test", yardstick.test), "parameters": yardstick.parameters})
    rows.append({"kind": "constant answer", "test": findings.constant})
    return rows


def _verdicts(findings: Findings) -> list[Row]:
    return [
        {
            "claim": verdict.claim.says,
            "kind": verdict.claim.kind,
            "better": verdict.claim.better,
            "worse": verdict.claim.worse,
            "arm": verdict.chosen_by,
            "beyond": verdict.claim.beyond,
            **_interval("difference", verdict.difference),
            "outcome": outcome_word(verdict.outcome),
        }
        for verdict in findings.verdicts
    ]


def _setting(setting: Mapping[str, Any]) -> Row:
    return {f"setting {key}": value if is_number(value) else show(value) for key, value in setting.items()}


def _interval(name: str, found: Interval | None) -> Row:
    value, low, high = (None, None, None) if found is None else found
    return {name: value, f"{name}, low 95 %": low, f"{name}, high 95 %": high}


def _by_seed(values: Sequence[float]) -> str:
    return " ".join(map(repr, values))
