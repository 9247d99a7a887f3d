"""A study: the runs of one task, what varies among them, and which setting validation chose for each model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nprnn.errors import ConfigError, unknown
from nprnn.models import MODELS
from nprnn.reporting.members import Member, exactly, is_number, show


@dataclass(frozen=True)
class Cell:
    """The runs of one model that agree in some keys.

    Attributes:
        model: the model.
        values: key to value.
        members: the runs; those that agree in all keys differ in their seed alone.
    """

    model: str
    values: dict[str, Any]
    members: list[Member]

    @cached_property
    def finished(self) -> list[Member]:
        """Those that reached the end of their schedule."""
        return [m for m in self.members if m.state == "finished"]

    @cached_property
    def diverged(self) -> list[Member]:
        """Those whose numbers blew up."""
        return [m for m in self.members if m.state == "diverged"]

    @cached_property
    def tests(self) -> list[float]:
        """The test headline of each finished run by its last iterate."""
        return [m.final[m.headline] for m in self.finished]

    @cached_property
    def mean(self) -> float | None:
        """The mean of ``tests``; None without any."""
        return sum(self.tests) / len(self.tests) if self.tests else None

    @cached_property
    def validation(self) -> float | None:
        """The validation headline of the last iterates, mean over the finished runs; None if one has none."""
        values = [m.validation for m in self.finished]
        known = [v for v in values if v is not None]
        return sum(known) / len(known) if known and len(known) == len(values) else None

    @property
    def text(self) -> str:
        """The values in words."""
        return ", ".join(f"{k} {show(v)}" for k, v in self.values.items())


@dataclass(frozen=True)
class Study:
    """The runs of one task.

    Attributes:
        members: the runs by model, settings and seed.
        keys: the settings that vary, those with the most values first.
        axes: one or two of them to draw over; empty where none varies.
    """

    members: list[Member]
    keys: tuple[str, ...]
    axes: tuple[str, ...]

    @property
    def headline(self) -> str:
        """The metric to watch."""
        return self.members[0].headline

    @property
    def higher_is_better(self) -> bool:
        """Of the headline."""
        return self.members[0].higher_is_better

    @property
    def baseline(self) -> dict[str, float]:
        """What a constant answer scores, by metric."""
        return self.members[0].baseline

    @property
    def side(self) -> str:
        """The set that its metrics are of: test, or valid where the test set is withheld."""
        return self.members[0].side

    @cached_property
    def models(self) -> list[str]:
        """The models, in the order of the catalogue."""
        known = list(MODELS)
        return sorted({m.model for m in self.members}, key=lambda n: (known.index(n) if n in MODELS else len(known), n))

    @cached_property
    def title(self) -> str:
        """The task with those of its settings that are the same for all and not off."""
        first = self.members[0]
        same = (f"{k} {show(v)}" for k, v in first.task_settings.items() if k not in self.keys)
        shared = ", ".join(s for s in same if not s.endswith((" none", " false")))
        return f"{first.task}: {shared}" if shared else first.task

    @cached_property
    def metrics(self) -> list[str]:
        """The names of all metrics."""
        return list(dict.fromkeys(name for m in self.members for name in m.final))

    @cached_property
    def settings(self) -> list[Cell]:
        """The runs by model and setting: those of a cell differ in their seed alone."""
        return self.pooled(self.keys)

    @cached_property
    def best(self) -> dict[str, Cell]:
        """For each model the setting that did best on validation, by the mean over its seeds; never by the test set.

        Settings with the most finished runs go first: one that lost a seed is not chosen for those that are left.
        A model without validation records has none.
        """
        sign = -1.0 if self.higher_is_better else 1.0
        found: dict[str, tuple[tuple[int, float], Cell]] = {}
        for cell in self.settings:
            if cell.validation is not None:
                rank = (-len(cell.finished), sign * cell.validation)
                if cell.model not in found or rank < found[cell.model][0]:
                    found[cell.model] = rank, cell
        return {model: found[model][1] for model in self.models if model in found}

    def pooled(self, keys: Sequence[str]) -> list[Cell]:
        """The runs by model and by the values of some keys, over all others."""
        cells: dict[tuple[str, ...], Cell] = {}
        for member in self.members:
            values = {key: member.settings.get(key) for key in keys}
            name = (member.model, *map(exactly, values.values()))
            cells.setdefault(name, Cell(member.model, values, [])).members.append(member)
        return list(cells.values())

    def values(self, key: str) -> list[Any]:
        """The values of a key, in order."""
        distinct = {exactly(value): value for value in (m.settings.get(key) for m in self.members)}
        return sorted(distinct.values(), key=_order)

    def label(self, member: Member) -> str:
        """Model, seed, and what varies."""
        words = (f"{key} {show(member.settings.get(key))}" for key in self.keys)
        return ", ".join([f"{member.model}, seed {member.seed}", *words])


def studies(members: Sequence[Member], keys: Sequence[str] = ()) -> list[Study]:
    """Sort runs into studies: one task, one metric, one constant answer, and task settings that can be compared.

    Runs whose task settings differ are of one study if some model was trained alike on both, and if they differ only in
    what ``keys`` names, or in numbers (such as ``length``) within one folder, as the runs of a sweep do.

    Args:
        members: the runs.
        keys: one or two settings to draw over; empty takes those that vary most.

    Returns:
        The studies, by task.

    Raises:
        ConfigError: ``keys`` are more than two, unknown, or vary nowhere.
    """
    if len(keys) > 2 or len(set(keys)) < len(keys):
        raise ConfigError(f"keys must be one setting or two different ones, got {' '.join(keys)}")
    known = list(dict.fromkeys(name for member in members for name in member.settings))
    for key in keys:
        if key not in known:
            raise unknown("setting", key, known)
    found = [_study(group, keys) for group in _groups(members, keys)]
    varying = list(dict.fromkeys(key for study in found for key in study.keys))
    for key in keys:
        if key not in varying:
            raise ConfigError(f"{key} does not vary among these runs; what varies: {', '.join(varying) or 'nothing'}")
    return found


def _study(members: list[Member], keys: Sequence[str]) -> Study:
    # In the order of their declaration, which sorting keeps among equals.
    names = dict.fromkeys(name for member in members for name in member.settings)
    counts = {name: len({exactly(member.settings.get(name)) for member in members}) for name in names}
    varying = tuple(sorted((name for name in names if counts[name] > 1), key=lambda name: -counts[name]))
    axes = tuple(key for key in keys if key in varying) or varying[:2]
    study = Study(list(members), varying, axes)
    order = {model: k for k, model in enumerate(study.models)}

    def place(member: Member) -> tuple[Any, ...]:
        return (order[member.model], *(_order(member.settings.get(key)) for key in varying), member.seed)

    study.members.sort(key=place)
    return study


def _groups(members: Sequence[Member], keys: Sequence[str]) -> list[list[Member]]:
    """Runs of equal task settings and data together, then those groups joined that can be compared."""
    parts: dict[tuple[str, ...], list[Member]] = defaultdict(list)
    for m in members:
        family = exactly([m.headline, m.higher_is_better, m.baseline, m.side])
        parts[m.task, family, exactly(m.task_settings), m.data].append(m)
    joined: list[tuple[list[tuple[str, ...]], set[str], list[Member]]] = []
    for name in sorted(parts):
        trained = {exactly([m.model, m.train_settings]) for m in parts[name]}
        for names, theirs, group in joined:
            # Equal settings on other data are another study: nothing in the settings would tell them apart.
            alike = names[0][:2] == name[:2] and all(n[2] != name[2] for n in names)
            if alike and trained & theirs and _comparable(group, parts[name], keys):
                names.append(name)
                theirs |= trained
                group += parts[name]
                break
        else:
            joined.append(([name], trained, list(parts[name])))
    return [group for _, _, group in joined]


def _comparable(group: Sequence[Member], others: Sequence[Member], keys: Sequence[str]) -> bool:
    a, b = group[0].task_settings, others[0].task_settings
    together = not {m.parent for m in group}.isdisjoint(m.parent for m in others)
    for name in a.keys() | b.keys():
        one, other = a.get(name), b.get(name)
        named = not {name, f"task.{name}"}.isdisjoint(keys)
        numbers = together and is_number(one) and is_number(other)
        if not (exactly(one) == exactly(other) or named or numbers):
            return False
    return True


def _order(value: Any) -> tuple[int, float, str]:
    return (0, float(value), "") if is_number(value) else (1, 0.0, show(value))
