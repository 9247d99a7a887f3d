"""What the trials of a comparison say: the score of every setting, and the one that each series takes at each value."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nprnn.experiments.comparison.axis import At
from nprnn.experiments.comparison.record import Choice, ComparisonRecord, Trial
from nprnn.experiments.comparison.spec import Comparison
from nprnn.experiments.comparison.tune import Tune
from nprnn.training.readings import FINAL, LAST_TENTH, readings

_READ = {"last": FINAL, "last tenth": LAST_TENTH}


@dataclass(frozen=True)
class Tried:
    """A setting of the grid, as one series took it at one value.

    Attributes:
        setting: of the grid.
        scores: of the trials that ended, in the order of their seeds; one that diverged has 0.
        diverged: how many diverged.
        complete: whether the trials of all seeds have ended.
    """

    setting: Mapping[str, Any]
    scores: tuple[float, ...]
    diverged: int
    complete: bool

    @property
    def score(self) -> float | None:
        """Mean over the trials that ended; None where none has."""
        return statistics.fmean(self.scores) if self.scores else None


@dataclass(frozen=True)
class Tuned:
    """The trials of a series at a value.

    Attributes:
        series: its name.
        at: the value.
        tried: every setting, in the order of the grid.
    """

    series: str
    at: At
    tried: tuple[Tried, ...]

    @property
    def chosen(self) -> Tried | None:
        """The setting with the greatest score; of equals the first of the grid. None before all trials have ended."""
        if not all(one.complete for one in self.tried):
            return None
        return max(self.tried, key=lambda one: one.score or 0.0)

    @property
    def choice(self) -> Choice | None:
        """What is written down of it."""
        best = self.chosen
        scores = [one.score or 0.0 for one in self.tried]
        return Choice(self.series, self.at, dict(best.setting), scores) if best else None


def tuned(record: ComparisonRecord, experiment: Comparison) -> list[Tuned]:
    """Every series at every value of which trials are asked at the record's scale, or have begun.

    Args:
        record: the facts.
        experiment: what was asked.
    """
    tune = experiment.tune
    if tune is None:
        return []
    own: dict[tuple[str, At], list[Trial]] = {}
    for trial in record.trials:
        own.setdefault((trial.run.series, trial.run.at), []).append(trial)
    asked = {(series.name, at) for series, at in experiment.places(experiment.scales.get(record.scale, ()))}
    found = []
    for at in experiment.along.ordered(at for _, at in {*asked, *own}):
        for series in experiment.series:
            if (series.name, at) in asked or (series.name, at) in own:
                trials = own.get((series.name, at), [])
                tried = [_tried(record, experiment, tune, setting, trials) for setting in tune.grid]
                found.append(Tuned(series.name, at, tuple(tried)))
    return found


def _tried(
    record: ComparisonRecord, experiment: Comparison, tune: Tune, setting: Mapping[str, Any], trials: Sequence[Trial]
) -> Tried:
    ended = [trial for trial in trials if trial.setting == setting and trial.run.ended]
    scores = [_score(record, experiment, tune, trial) for trial in ended]
    complete = {trial.run.seed for trial in ended} >= set(tune.seeds)
    return Tried(setting, tuple(scores), sum(trial.run.state == "diverged" for trial in ended), complete)


def _score(record: ComparisonRecord, experiment: Comparison, tune: Tune, trial: Trial) -> float:
    if trial.run.state == "diverged":
        return 0.0
    evaluations = record.evaluations(trial.run, trial=True)
    read = readings(evaluations, record.headline, record.higher_is_better)
    return experiment.of * read[_READ[tune.rule]][experiment.metric]
