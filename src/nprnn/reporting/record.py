"""A report as JSON: what a study asked, what came of it, and what it was computed with."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from nprnn.reporting.members import Member, clean, exactly
from nprnn.reporting.report import Report, Section
from nprnn.reporting.study import Cell, Study
from nprnn.training.readings import readings

FORMAT = 1


def as_study_record(report: Report, command: Sequence[str]) -> dict[str, Any]:
    """A report as JSON values.

    Args:
        report: the report.
        command: what was asked, in words.

    Returns:
        The record: format 1, kind "study".
    """
    record = {
        "format": FORMAT,
        "kind": "study",
        "command": list(command),
        "metrics": "last iterate on the set named by side, unless a name says otherwise; means are over finished runs",
        "studies": [_section(section) for section in report.sections],
        "left_out": [entry._asdict() for entry in report.left_out],
        "harmed": [entry._asdict() for entry in report.harmed],
    }
    return {key: _finite(value) for key, value in record.items()}


def best_results(study: Study, cell: Cell) -> dict[str, dict[str, Any]]:
    """The test headline of a setting's finished runs in each reading: the values by seed, and their mean."""
    values: dict[str, list[float]] = defaultdict(list)
    for member in cell.finished:
        for name, metrics in readings(member.records, study.headline, study.higher_is_better).items():
            values[name].append(metrics[study.headline])
    return {name: {"mean": sum(found) / len(found), "values": found} for name, found in values.items()}


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity, but a damaged config may."""
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _section(section: Section) -> dict[str, Any]:
    study, criterion = section.study, section.criterion
    first = study.members[0]
    shared = {name: value for name, value in first.settings.items() if name not in study.keys}
    states = {state: sum(m.state == state for m in study.members) for state in ("finished", "diverged", "not finished")}
    return {
        "task": first.task,
        "task_settings": {k: v for k, v in first.task_settings.items() if k in shared},
        "train_settings": {k: v for k, v in first.train_settings.items() if k in shared},
        "keys": {key: study.values(key) for key in study.keys},
        "axes": list(study.axes),
        "models": study.models,
        "seeds": sorted({m.seed for m in study.members}),
        "headline": study.headline,
        "side": study.side,
        "higher_is_better": study.higher_is_better,
        "constant_answer": study.baseline,
        "criterion": asdict(criterion) if criterion else None,
        "runs": states,
        "not_finished": [
            {"folder": m.folder, "updates": m.ended_at, "of": m.updates} for m in study.members if not m.ended
        ],
        "success": [
            {
                "model": rate.model,
                "k": rate.successes,
                "n": rate.runs,
                "rate": rate.rate,
                "wilson_95": [rate.low, rate.high],
                "diverged": rate.diverged,
                "not_finished": rate.not_finished,
                "settings": rate.settings,
                "settings_solved_by_every_seed": rate.solved,
            }
            for rate in section.rates
        ],
        "cells": [_cell(cell) for cell in study.settings],
        "best_by_validation": [
            {**_cell(cell), "test": best_results(study, cell)} for cell in study.best.values() if cell.finished
        ],
        "footprint": {
            "lines": [asdict(line) for line in section.footprint.lines],
            "left_out": [entry._asdict() for entry in section.footprint.remarks],
        },
        "computed_with": _environments(study.members),
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "model": cell.model,
        "settings": cell.values,
        "n": len(cell.finished),
        "seeds": [m.seed for m in cell.finished],
        "diverged_seeds": [m.seed for m in cell.diverged],
        "mean": cell.mean,
        "values": cell.tests,
        "validation_mean": cell.validation,
    }


def _environments(members: Sequence[Member]) -> list[dict[str, Any]]:
    """The different versions and machines, with how many runs each computed."""
    counts: dict[str, dict[str, Any]] = {}
    for member in members:
        names = ("nprnn", "git", "torch", "python", "processor", "kernel", "threads")
        env = {name: clean(member.env[name]) for name in names if name in member.env}
        found = counts.setdefault(exactly(env), {**env, "runs": 0})
        found["runs"] += 1
    return list(counts.values())
