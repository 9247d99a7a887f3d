"""The numbers behind the pictures as rows, and rows as CSV that a spreadsheet can open without running any of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from nprnn.reporting.footprint import Line
from nprnn.reporting.members import Member, is_number, show
from nprnn.reporting.study import Cell, Study
from nprnn.reporting.success import Criterion, Rate
from nprnn.training.readings import FINAL, readings

Row = dict[str, Any]


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV with a header; numbers in full, text that a spreadsheet would take for a formula behind a quote."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(_cell, columns))
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    if value is None or (is_number(value) and not isinstance(value, bool)):
        return value
    text = str(value)
    # The wide signs are the ones that East Asian keyboards type, and count too.
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")) else text


def _value(value: Any) -> Any:
    return value if is_number(value) else show(value)


def _who(study: Study, member: Member) -> Row:
    settings = member.settings
    keys = {f"setting {key}": _value(settings.get(key)) for key in study.keys}
    return {"model": member.model, "seed": member.seed, **keys}


def curve_rows(study: Study) -> list[Row]:
    """A row an evaluation: the training loss and the headline on both sets."""
    name = study.headline
    return [
        {
            **_who(study, member),
            "update": record["update"],
            "training loss": record["loss"],
            **({f"valid {name}": record["valid"][name]} if "valid" in record else {}),
            **({f"test {name}": record["test"][name]} if "test" in record else {}),
        }
        for member in study.members
        for record in member.records
    ]


def run_rows(study: Study, criterion: Criterion | None) -> list[Row]:
    """A row a run and reading; a run without an evaluation has one."""
    rows = []
    for member in study.members:
        state: Row = {"state": member.state, "updates": member.ended_at, "of": member.updates}
        if criterion:
            state["success"] = str(criterion.met(member)).lower() if member.ended else "open"
        found: Mapping[str, Mapping[str, float]] = {"": {}}
        if member.records:
            found = readings(member.records, member.headline, member.higher_is_better)
        for reading, metrics in found.items():
            tests = {f"{study.side} {k}": metrics.get(k) for k in study.metrics}
            valid = member.validation if reading == FINAL else None
            row = {**_who(study, member), **state, "reading": reading, "chosen update": metrics.get("update")}
            rows.append({**row, **tests, f"valid {study.headline}": valid, "folder": member.folder})
    return rows


def cell_rows(study: Study, cells: Sequence[Cell]) -> list[Row]:
    """A row a cell of the heat map: the mean of its finished runs, and what the mean stands on."""
    return [
        {
            "model": cell.model,
            **{f"setting {key}": _value(value) for key, value in cell.values.items()},
            f"mean {study.side} {study.headline}": cell.mean,
            "least": min(cell.tests, default=None),
            "greatest": max(cell.tests, default=None),
            f"mean valid {study.headline}": cell.validation,
            "finished": len(cell.finished),
            "diverged": len(cell.diverged),
            "not finished": len(cell.members) - len(cell.finished) - len(cell.diverged),
            "seeds": " ".join(str(seed) for seed in sorted({m.seed for m in cell.members})),
        }
        for cell in cells
    ]


def dot_rows(study: Study) -> list[Row]:
    """A row a run that ended: the test headline of its last iterate, and whether its setting is the chosen one."""
    chosen = {id(member) for cell in study.best.values() for member in cell.members}
    return [
        {
            **_who(study, member),
            "state": member.state,
            f"{study.side} {study.headline}": member.final[study.headline] if member.state == "finished" else None,
            "best setting by validation": str(id(member) in chosen).lower(),
        }
        for member in study.members
        if member.ended
    ]


def rate_rows(found: Sequence[Rate], criterion: Criterion) -> list[Row]:
    """A row a model."""
    return [
        {
            "model": rate.model,
            "criterion": str(criterion),
            "successes": rate.successes,
            "runs": rate.runs,
            "rate": rate.rate,
            "low 95 %": rate.low,
            "high 95 %": rate.high,
            "diverged": rate.diverged,
            "not finished": rate.not_finished,
            "settings": rate.settings,
            "settings solved by every seed": rate.solved,
        }
        for rate in found
    ]


def footprint_rows(study: Study, lines: Sequence[Line]) -> list[Row]:
    """A row a network, export or LSTM: what it takes, and how well it does."""
    return [
        {
            "row": line.row,
            "model": line.model,
            "seed": line.seed,
            "export": line.export,
            "format": line.format,
            "hidden": line.hidden,
            "parameters": line.parameters,
            "weights, bytes, float32": line.weights_float32,
            "weights, bytes, int8": line.weights_int8,
            "state, bytes, float32": line.state_float32,
            "state, bytes, int8": line.state_int8,
            "flops a step": line.flops_per_step,
            "seconds a step": line.seconds_per_step,
            f"test {study.headline}, in torch": line.before,
            f"test {study.headline}, exported": line.after,
            "same class": line.agreement,
            "compared on": line.compared_on,
            "update": line.update,
            "checkpoint": line.checkpoint,
            "folder": line.folder,
            "measured on": line.machine,
        }
        for line in lines
    ]
