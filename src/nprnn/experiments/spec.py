"""An experiment as data: a TOML file that says what is run, how one setting is chosen, and what would be shown.

It is written before the runs. Its arms are sweeps of one grid that differ in how data are divided or fed; `choose_by`
names the arms that choose a setting for each model, and the runs of the first of these are the ones that are tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any, Literal

from nprnn.errors import ConfigError, unknown
from nprnn.experiments.parsing import all_taken, filled, parse, taken
from nprnn.experiments.sweeps import sweep_of
from nprnn.files import is_plain_name
from nprnn.models import MODELS
from nprnn.sweep import SweepFile

Scale = Literal["quick", "half", "paper"]
SCALES: tuple[Scale, ...] = ("quick", "half", "paper")
ClaimKind = Literal["test", "spread"]
Unit = tuple[Literal["label", "group"], ...]


@dataclass(frozen=True)
class Arm:
    """One sweep of an experiment.

    Attributes:
        name: for its folder.
        about: what tells it from the others.
        seeds: of each setting.
        models: those it takes; empty takes all of the experiment.
        settings: over the experiment's.
        grid: besides the experiment's; what is listed here makes no setting of its own, such as folds.
    """

    name: str
    about: str
    seeds: tuple[int, ...]
    models: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    grid: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """What would be shown by the paired difference of two models.

    Attributes:
        says: the claim, for a person.
        kind: test: of test accuracy; spread: of the least accuracy over the grid, by an arm's validation clips.
        better: the model whose accuracy comes first in the difference.
        worse: the model whose accuracy is taken away.
        beyond: shown where the whole interval is above this number, contradicted where all of it is below.
        arm: of spread, the arm whose grid counts.
    """

    says: str
    kind: ClaimKind
    better: str
    worse: str
    beyond: float
    arm: str = ""


@dataclass(frozen=True)
class Published:
    """What the paper has for a model.

    Attributes:
        best: the setting that it chose.
        validation: accuracy of that.
        test: accuracy of that.
        grid: least and greatest validation accuracy over its grid.
    """

    best: str
    validation: float
    test: float
    grid: tuple[float, ...]


@dataclass(frozen=True)
class Experiment:
    """A selection experiment: a grid of settings for each model, one chosen on validation, tested once.

    Attributes:
        key: short name, from its file's.
        title: what it is.
        names: the figures and tables that it makes.
        task: name of the task.
        models: in the order of the table.
        unit: what clips must have in common to be resampled together.
        choose_by: names of the arms that choose; the first one's runs are tested.
        differs: how it departs from the paper, in sentences.
        settings: of task and training, of all runs.
        grid: setting to values, crossed.
        arms: the sweeps.
        claims: what would be shown.
        source: where in the paper its numbers are.
        paper: model to the paper's numbers.
        text: its file's content.
        takes: time and memory, as measured.
        unit_name: what a source of clips is called, such as "video".
        paper_on: what the paper's numbers are of, where that is something else, such as "101 classes".
    """

    key: str
    title: str
    names: tuple[str, ...]
    task: str
    models: tuple[str, ...]
    unit: Unit
    choose_by: tuple[str, ...]
    differs: tuple[str, ...]
    settings: Mapping[str, Any]
    grid: Mapping[str, Sequence[Any]]
    arms: tuple[Arm, ...]
    claims: tuple[Claim, ...]
    source: str
    paper: Mapping[str, Published]
    text: str = field(repr=False)
    takes: str = ""
    unit_name: str = ""
    paper_on: str = ""

    def arm(self, name: str) -> Arm:
        """An arm by its name."""
        return next(arm for arm in self.arms if arm.name == name)

    @property
    def scales(self) -> tuple[Scale, ...]:
        """Those it has."""
        return ("quick", "paper")

    def count(self, scale: Scale) -> int:
        """How many runs there are at a scale before a choice."""
        return self.at(scale).runs

    def lasts(self, scale: Scale) -> str:
        """What a scale takes, where it was measured."""
        return self.takes if scale == "paper" else ""

    def at(self, scale: Scale) -> Experiment:
        """The experiment at a scale: quick keeps the arm whose runs are tested, with its first seed."""
        if scale == "paper":
            return self
        arm = self.arm(self.choose_by[0])
        return replace(self, arms=(replace(arm, seeds=arm.seeds[:1]),), choose_by=(arm.name,))

    @property
    def runs(self) -> int:
        """How many runs there are before a choice."""
        own = (prod(map(len, (arm.seeds, self.models_of(arm), *arm.grid.values()))) for arm in self.arms)
        return prod(map(len, self.grid.values())) * sum(own)

    def models_of(self, arm: Arm) -> tuple[str, ...]:
        """The models that an arm trains."""
        return arm.models or self.models

    def sweep(self, arm: Arm, locations: Mapping[str, Path]) -> SweepFile:
        """An arm as a sweep file.

        Args:
            arm: which.
            locations: setting to where data lie.

        Raises:
            ConfigError: settings that the task or the training does not have.
        """
        grid = {"model": list(self.models_of(arm)), **self.grid, **arm.grid}
        return sweep_of(f"{self.key}, {arm.name}", self.task, arm.seeds, self._settings(arm, locations), grid=grid)

    def sweep_of_chosen(
        self,
        name: str,
        arm: Arm,
        chosen: Sequence[tuple[str, Mapping[str, Any]]],
        locations: Mapping[str, Path],
        **more: Any,
    ) -> SweepFile:
        """Runs like an arm's, of chosen settings.

        Args:
            name: for its folder.
            arm: whose settings and seeds are taken.
            chosen: models, each with settings of the grid.
            locations: setting to where data lie.
            **more: settings over the arm's.
        """
        entries = [{"model": model, **setting, **more} for model, setting in chosen]
        settings = self._settings(arm, locations)
        return sweep_of(f"{self.key}, {name}", self.task, arm.seeds, settings, entries=entries)

    def _settings(self, arm: Arm, locations: Mapping[str, Path]) -> dict[str, Any]:
        places = {key: str(path.absolute()) for key, path in locations.items()}
        return {**self.settings, **arm.settings, **places}


def parse_experiment(key: str, text: str) -> Experiment:
    """Read an experiment.

    Raises:
        ConfigError: no TOML, an unknown key, a value of the wrong kind, or names that do not fit one another.
    """
    return parse(key, text, {"selection": experiment_from})


def experiment_from(key: str, found: dict[str, Any], text: str) -> Experiment:
    """An experiment of what ``parse`` hands on; ``found`` is emptied.

    Raises:
        ConfigError: an unknown key, a value of the wrong kind, or names that do not fit one another.
    """
    paper, settings, grid = taken(found, "paper", "settings", "grid")
    source, paper_on = (str(paper.pop(name, "")) for name in ("source", "on"))
    arms, claims = all_taken(found, "arms", "claims")
    experiment = Experiment(
        key=key,
        **filled(_Plain, found).__dict__,
        settings=settings,
        grid=grid,
        arms=tuple(filled(Arm, arm) for arm in arms),
        claims=tuple(filled(Claim, claim) for claim in claims),
        source=source,
        paper_on=paper_on,
        paper={model: filled(Published, numbers) for model, numbers in paper.items()},
        text=text,
    )
    _check_names(experiment)
    return experiment


@dataclass(frozen=True)
class _Plain:
    title: str
    names: tuple[str, ...]
    task: str
    models: tuple[str, ...]
    unit: tuple[str, ...]
    choose_by: tuple[str, ...]
    differs: tuple[str, ...]
    takes: str = ""
    unit_name: str = ""


def _check_names(experiment: Experiment) -> None:
    arms = [arm.name for arm in experiment.arms]
    used = [*experiment.choose_by, *(claim.arm for claim in experiment.claims if claim.kind == "spread")]
    for name in used:
        if name not in arms:
            raise unknown("arm", name, arms)
    for name in arms:
        if not is_plain_name(name):
            raise ConfigError(f"an arm's name is that of the folder of its runs, and {name!r} is none; choose another")
    if not experiment.grid or any(not isinstance(values, list) or not values for values in experiment.grid.values()):
        raise ConfigError("an experiment needs a [grid] of settings, each with a list of values")
    if not experiment.choose_by or len(set(arms)) < len(arms):
        raise ConfigError("an experiment needs arms of different names, and one at least in choose_by")
    for model in experiment.models:
        if model not in MODELS:
            raise unknown("model", model, MODELS)
    named = [m for claim in experiment.claims for m in (claim.better, claim.worse)]
    for model in [*named, *experiment.paper, *(m for arm in experiment.arms for m in arm.models)]:
        if model not in experiment.models:
            raise unknown("model of the experiment", model, experiment.models)
    for word in experiment.unit:
        if word not in ("label", "group"):
            raise unknown("unit", word, ("label", "group"))
