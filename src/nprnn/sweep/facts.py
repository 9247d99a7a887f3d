"""What a plan must know of the data of each task setting, learnt by loading them once."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nprnn.configs import as_record
from nprnn.errors import ConfigError
from nprnn.sweep.members import SweepMember
from nprnn.tasks import Split, TaskConfig, TaskData
from nprnn.training import check_fits

_LOOKED_AT = 64


@dataclass(frozen=True)
class TaskFacts:
    """Of the data of one task setting, which are alike for every seed.

    Attributes:
        fingerprint: of the data.
        steps: T of a batch.
        input_size: I.
        output_size: O.
        judged: sequences in the validation and test sets.
        data_bytes: memory of all sets.
        headline: the metric to choose by.
        higher_is_better: of the headline.
        seconds: how long loading took.
    """

    fingerprint: str
    steps: int
    input_size: int
    output_size: int
    judged: int
    data_bytes: int
    headline: str
    higher_is_better: bool
    seconds: float

    @classmethod
    def of(cls, data: TaskData, seconds: float) -> TaskFacts:
        """The facts of data that took so many seconds to load."""
        first = data.train.batch(torch.arange(min(len(data.train), _LOOKED_AT)))
        return cls(
            fingerprint=data.fingerprint,
            steps=len(first.x),
            input_size=data.input_size,
            output_size=data.output_size,
            judged=len(data.test) + (0 if data.valid is None else len(data.valid)),
            data_bytes=_bytes([s for s in (data.train, data.valid, data.test) if s is not None]),
            headline=data.objective.headline,
            higher_is_better=data.objective.higher_is_better,
            seconds=seconds,
        )


def learn_facts(members: Sequence[SweepMember]) -> dict[TaskConfig, TaskFacts]:
    """Load the data of every task setting once, and hold every member's settings against them.

    Args:
        members: of a sweep.

    Returns:
        Task settings to facts.

    Raises:
        ConfigError: a member's settings do not go with the data; the message names it.
        DataError: missing or damaged data.
    """
    by_task: dict[TaskConfig, list[SweepMember]] = {}
    for member in members:
        by_task.setdefault(member.task, []).append(member)
    facts = {}
    for task, own in by_task.items():
        began = time.perf_counter()
        data = task.load(own[0].config.seed)
        facts[task] = TaskFacts.of(data, time.perf_counter() - began)
        for member in own:
            try:
                check_fits(member.config, data)
            except ConfigError as error:
                raise ConfigError(f"member {member.label}: {error}") from error
    return facts


def identity(task_name: str, member: SweepMember, fingerprint: str) -> str:
    """One text for what makes a run the run it is, as its ``config.json`` has it."""
    return spelled(
        {
            "task": task_name,
            "task_config": as_record(member.task),
            "train_config": as_record(member.config),
            "data": fingerprint,
        }
    )


def spelled(config: Mapping[str, Any]) -> str:
    """The identity in the contents of a ``config.json``."""
    return json.dumps([config.get(name) for name in ("task", "task_config", "train_config", "data")], sort_keys=True)


def _bytes(sets: Sequence[Split]) -> int:
    """Memory of the tensors of some sets, those that they share counted once."""
    storages = {}
    for split in sets:
        for value in vars(split).values():
            if isinstance(value, Tensor):
                storages[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
    return sum(storages.values())
