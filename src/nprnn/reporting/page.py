"""The report's files: one self-contained HTML page with the pictures and their tables inside, CSV, JSON, a picture."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nprnn.errors import RunError
from nprnn.files import write_atomically
from nprnn.reporting.explained import FEW, sentences
from nprnn.reporting.layout import PAGE, template
from nprnn.reporting.members import Member, show
from nprnn.reporting.record import as_study_record, best_results
from nprnn.reporting.report import Report, Section
from nprnn.reporting.study import Study
from nprnn.reporting.tables import Row, as_csv, cell_rows, footprint_rows
from nprnn.training.readings import readings

# A longer table of runs is folded away.
_MOST_OPEN = 30
# Some browsers refuse to save a link of more than 2 MB; base64 makes four of three.
_LONGEST_LINK = 1_200_000


def write_report(report: Report, path: Path) -> Path:
    """Write a report as one HTML file.

    Args:
        report: from ``assemble``.
        path: the file.

    Returns:
        ``path``.

    Raises:
        RunError: it cannot be written.
    """
    sections = [_view(section) for section in report.sections]
    html = template(PAGE).render(
        sections=sections, left_out=report.left_out, harmed=report.harmed, notes=report.notes, least=FEW
    )
    return put(path, html.encode())


def write_tables(report: Report, folder: Path) -> list[Path]:
    """Write the numbers behind every picture, and the runs, as CSV files into a folder.

    Raises:
        RunError: one cannot be written.
    """
    return [
        put(folder / f"{section.name}-{kind}.csv", as_csv(rows).encode())
        for section in report.sections
        for kind, rows in _tables(section).items()
    ]


def write_record(report: Report, path: Path, command: Sequence[str]) -> Path:
    """Write a report as JSON.

    Args:
        report: from ``assemble``.
        path: the file.
        command: what was asked, in words.

    Returns:
        ``path``.

    Raises:
        RunError: it cannot be written.
    """
    return put(path, (json.dumps(as_study_record(report, command), indent=1, allow_nan=False) + "\n").encode())


def write_picture(png: bytes, path: Path) -> Path:
    """Write a picture.

    Raises:
        RunError: it cannot be written.
    """
    return put(path, png)


def put(path: Path, content: bytes) -> Path:
    """Write a file, and its folder where there is none.

    Raises:
        RunError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path.resolve(), content)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _tables(section: Section) -> dict[str, list[Row]]:
    study = section.study
    found = {picture.kind: picture.rows for picture in section.pictures}
    if study.best and study.keys:
        found["best"] = cell_rows(study, list(study.best.values()))
    if study.keys:
        found["settings"] = cell_rows(study, study.settings)
    if section.footprint.lines:
        found["footprint"] = footprint_rows(study, section.footprint.lines)
    return {**found, "runs": section.runs}


def _view(section: Section) -> dict[str, Any]:
    """A section as the template wants it."""
    study = section.study
    tables = _tables(section)
    best: list[dict[str, Any]] = []
    for model, cell in study.best.items():
        if study.keys and cell.finished:
            tests = best_results(study, cell)
            facts = {"model": model, "text": cell.text, "n": len(cell.finished), "validation": cell.validation}
            best.append({**facts, "tests": tests})
    return {
        "study": study,
        "about": sentences(study),
        "few": section.few,
        "criterion": section.criterion,
        "varied": {key: _range(study, key) for key in study.keys},
        "unfinished": [m for m in study.members if not m.ended],
        "pictures": [
            {
                "kind": p.kind,
                "heading": p.heading,
                "png": p.png,
                "caption": p.caption,
                "links": _links(section.name, p.kind, p.rows),
            }
            for p in section.pictures
        ],
        "rates": section.rates,
        "best": best,
        "readings": list(best[0]["tests"]) if best else [],
        "best_links": _links(section.name, "best", tables["best"]) if "best" in tables else [],
        "runs": [_run(study, member) for member in study.members],
        "run_links": [
            link for kind in ("runs", "settings") if kind in tables for link in _links(section.name, kind, tables[kind])
        ],
        "folded": len(study.members) > _MOST_OPEN,
        "footprint": section.footprint,
        "footprint_links": _links(section.name, "footprint", tables.get("footprint", [])),
        "footprint_folded": len(section.footprint.lines) > _MOST_OPEN,
    }


def _range(study: Study, key: str) -> str:
    values = [show(value) for value in study.values(key)]
    return ", ".join(values) if len(values) <= 12 else f"{len(values)} values from {values[0]} to {values[-1]}"


def _run(study: Study, member: Member) -> dict[str, Any]:
    state = f"diverged at update {member.ended_at}" if member.state == "diverged" else member.state
    last = member.records[-1]["update"] if member.records else 0
    found: Mapping[str, Mapping[str, float]] = {"": {}}
    if member.records:
        found = readings(member.records, study.headline, study.higher_is_better)
    rows = [
        {"name": name, "update": metrics.get("update", last), "metrics": metrics} for name, metrics in found.items()
    ]
    return {"label": study.label(member), "member": member, "state": state, "readings": rows}


def _links(section: str, kind: str, rows: Sequence[Row]) -> list[dict[str, str]]:
    """Links that hold a table; a long one in parts."""
    size = len(as_csv(rows))
    parts = max(1, math.ceil(size / _LONGEST_LINK))
    length = max(1, math.ceil(len(rows) / parts))
    found = []
    for k in range(0, max(len(rows), 1), length):
        part = "" if parts == 1 else f"-{k // length + 1}"
        text = base64.b64encode(as_csv(rows[k : k + length]).encode()).decode()
        words = f"{kind} as CSV" + (f", part {part[1:]}" if part else "")
        uri = f"data:text/csv;charset=utf-8;base64,{text}"
        found.append({"name": f"{section}-{kind}{part}.csv", "uri": uri, "text": words})
    return found
