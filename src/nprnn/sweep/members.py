"""From a sweep file to its members: the task and training settings of every run."""

from __future__ import annotations

import dataclasses
import itertools
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nprnn.configs import as_record, from_record
from nprnn.errors import ConfigError
from nprnn.models import find_model
from nprnn.sweep.file import MOST_MEMBERS, SweepFile
from nprnn.tasks import TaskConfig, find_task
from nprnn.training import TrainConfig


@dataclass(frozen=True)
class SweepMember:
    """One run of a sweep.

    Attributes:
        task: settings of the task.
        config: settings of the training.
        varied: the settings that the file varies, with the seed last.
    """

    task: TaskConfig
    config: TrainConfig
    varied: Mapping[str, Any] = dataclasses.field(hash=False)

    @property
    def label(self) -> str:
        """The settings that tell it from the others, for a person."""
        return " ".join(f"{name}={value}" for name, value in self.varied.items())


def expand(file: SweepFile, most: int = MOST_MEMBERS) -> list[SweepMember]:
    """All members, in the order of the file: entries of the list, then the grid, then seeds.

    Args:
        file: the sweep file.
        most: members allowed.

    Returns:
        Every member once.

    Raises:
        ConfigError: too many members, a setting of the wrong kind or range (the message names the member), or two
            members that are the same run.
    """
    file.check_count(most)
    members: list[SweepMember] = []
    seen: dict[tuple[Any, ...], str] = {}
    tasks: dict[tuple[tuple[str, Any], ...], TaskConfig] = {}
    for entry in file.entries:
        for values in itertools.product(*file.grid.values()):
            given = {**file.settings, **entry, **dict(zip(file.grid, values, strict=True))}
            varied = {name: given[name] for name in given if name in file.grid or name in entry}
            first = {**varied, "seed": file.seeds[0]}
            label = " ".join(f"{name}={value}" for name, value in first.items())
            try:
                task, config = _settings(file, given)
            except ConfigError as error:
                raise ConfigError(f"{file.path}: member {label}: {error}") from error
            key = (*as_record(task).items(), *as_record(config).items())
            same = seen.setdefault(_frozen(key), label)
            if same is not label:
                raise ConfigError(f"{file.path}: two members are the same run, {same} and {label}; leave one out")
            # One object for equal task settings: they are grouped by it, and there may be thousands of members.
            task = tasks.setdefault(_frozen(tuple(as_record(task).items())), task)
            for seed in file.seeds:
                members.append(SweepMember(task, dataclasses.replace(config, seed=seed), {**varied, "seed": seed}))
    return members


def _settings(file: SweepFile, given: Mapping[str, Any]) -> tuple[TaskConfig, TrainConfig]:
    task_class = find_task(file.task)
    model = given.get("model", file.preset.model)
    if not isinstance(model, str):
        raise ConfigError(f"model must be a name in quotes, got {model!r}")
    settings: dict[type[Any], dict[str, Any]] = {
        task_class: dict(file.preset.task),
        TrainConfig: file.preset.for_model(find_model(model)),
    }
    for kind, record in settings.items():
        hints = typing.get_type_hints(kind)
        record.update({name: _or_none(value, hints[name]) for name, value in given.items() if name in hints})
    task: TaskConfig = from_record(task_class, settings[task_class])
    return task, from_record(TrainConfig, settings[TrainConfig])


def _or_none(value: Any, hint: Any) -> Any:
    """TOML has no null: where a setting may be None, "none" says so (but it may be the name of a file)."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else ()
    return None if value == "none" and types.NoneType in options and Path not in options else value


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, (list, tuple)) else value
