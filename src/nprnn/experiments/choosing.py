"""One setting for each model, by validation alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nprnn.experiments.record import Judged, Record
from nprnn.experiments.spec import Arm, Experiment


class Pooled(NamedTuple):
    """The runs of one setting in an arm.

    Attributes:
        setting: of the grid.
        runs: of every seed and part.
        seeds: those of which every part finished.
        correct: of these seeds and all judged clips, 1 or 0 [S, n].
        cross_entropy: mean over these seeds and clips; NaN without any.
    """

    setting: Mapping[str, Any]
    runs: Sequence[Judged]
    seeds: tuple[int, ...]
    correct: Tensor
    cross_entropy: float

    @property
    def accuracy(self) -> float | None:
        """Mean over seeds and clips."""
        return float(self.correct.double().mean()) if self.seeds else None


def judged_clips(record: Record, arm: str) -> list[int]:
    """The places of the clips that an arm judges, part after part."""
    return [place for entry in record.sets if entry.arm == arm for place in entry.valid]


def pool(record: Record, arm: str, model: str) -> list[Pooled]:
    """The settings of a model in an arm, in the order of the grid."""
    parts = [entry.part for entry in record.sets if entry.arm == arm]
    by_setting: dict[str, list[Judged]] = {}
    for run in record.runs:
        if (run.arm, run.model) == (arm, model):
            by_setting.setdefault(json.dumps(run.setting), []).append(run)
    return [_pooled(runs, parts) for runs in by_setting.values()]


def _pooled(runs: Sequence[Judged], parts: Sequence[str]) -> Pooled:
    of = {(run.seed, run.part): run for run in runs if run.state == "finished"}
    seeds = tuple(s for s in sorted({run.seed for run in runs}) if all((s, part) in of for part in parts))
    correct = [bits("".join(of[seed, part].correct for part in parts)) for seed in seeds]
    weighed = [(of[s, part].cross_entropy or 0.0, len(of[s, part].correct)) for s in seeds for part in parts]
    clips = sum(count for _, count in weighed)
    entropy = sum(value * count for value, count in weighed) / clips if clips else float("nan")
    return Pooled(runs[0].setting, runs, seeds, torch.stack(correct) if correct else torch.empty(0, 0), entropy)


def best(settings: Sequence[Pooled]) -> Pooled | None:
    """The setting with the most finished seeds; among equals by accuracy, then cross-entropy, then the first."""
    ranked = [(len(p.seeds), p.accuracy, -p.cross_entropy, p) for p in settings if p.accuracy is not None]
    return max(ranked, key=lambda entry: entry[:3])[3] if ranked else None


def complete(record: Record, arm: Arm) -> bool:
    """Whether every run of an arm has ended, so that there is nothing left to wait for before a choice."""
    runs = [run for run in record.runs if run.arm == arm.name]
    return bool(runs) and all(run.state in ("finished", "diverged") for run in runs)


def choose(record: Record, experiment: Experiment) -> None:
    """Put the choices of every arm that is to choose, and is complete, into the record."""
    record.choices = {}
    for name in experiment.choose_by:
        if complete(record, experiment.arm(name)):
            found = {model: best(pool(record, name, model)) for model in experiment.models}
            record.choices[name] = {model: dict(p.setting) for model, p in found.items() if p is not None}


def chosen_settings(record: Record) -> list[dict[str, Any]]:
    """Every chosen setting once, with its ``model``."""
    found: dict[str, dict[str, Any]] = {}
    for by_model in record.choices.values():
        for model, setting in by_model.items():
            entry = {"model": model, **setting}
            found.setdefault(json.dumps(entry), entry)
    return list(found.values())


def bits(text: str) -> Tensor:
    """A text of 1 and 0 as a tensor [n]."""
    return torch.tensor([character == "1" for character in text])
