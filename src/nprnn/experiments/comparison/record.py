"""What was found of a comparison, as JSON: every evaluation of every run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from nprnn.experiments.comparison.axis import At
from nprnn.experiments.spec import Scale
from nprnn.experiments.storing import Entries, load, named, store
from nprnn.files import is_plain_name

FORMAT = 1
KIND = "comparison"
State = Literal["finished", "diverged", "not finished"]
# Metrics are kept to so many digits: they come from float32.
_DIGITS = 7


class Trained(NamedTuple):
    """A run and all that was evaluated of it.

    Attributes:
        series: its series.
        at: its value of the axis.
        seed: its seed.
        folder: name of its run folder.
        identity: digest of its settings and data.
        state: finished, diverged, or not finished.
        update: the last that was done, or the one it diverged at.
        env: number of its environment in ``Record.envs``.
        evaluations: update, loss, and the metrics in the order of ``Record.columns``.
    """

    series: str
    at: At
    seed: int
    folder: str
    identity: str
    state: State
    update: int
    env: int
    evaluations: list[list[float]]

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to train."""
        return self.state != "not finished"


class Trial(NamedTuple):
    """A run that tries a setting, and all that was evaluated of it on the validation set.

    Attributes:
        setting: of the grid.
        run: the rest; evaluations in the order of ``Record.trial_columns``.
    """

    setting: dict[str, Any]
    run: Trained


class Choice(NamedTuple):
    """What trials chose for a series at a value, before any run of it was compared.

    Attributes:
        series: its series.
        at: its value of the axis.
        setting: of the grid.
        scores: of all settings of the grid, in its order: the mean over seeds of the metric on the validation set.
    """

    series: str
    at: At
    setting: dict[str, Any]
    scores: list[float]


@dataclass
class ComparisonRecord:
    """A comparison's facts.

    Attributes:
        key: of the experiment.
        experiment: its file's content.
        scale: the largest that was asked.
        command: what was asked last.
        env: what put the record together.
        headline: the metric that chooses an iterate.
        higher_is_better: of the headline.
        baseline: what a constant answer scores, by metric.
        columns: set and metric of each number of an evaluation, after update and loss.
        envs: what computed runs.
        runs: all of them, in the order of the figure.
        trial_columns: set and metric of each number of a trial's evaluation, after update and loss.
        trials: what was tried, in the order of the figure and of the grid.
        choices: what the trials chose, written before the first run that it sets.
    """

    key: str
    experiment: str
    scale: Scale
    command: list[str]
    env: dict[str, Any]
    headline: str = ""
    higher_is_better: bool = False
    baseline: dict[str, float] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    envs: list[dict[str, Any]] = field(default_factory=list)
    runs: list[Trained] = field(default_factory=list)
    trial_columns: list[str] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what was evaluated; none before anything was."""
        return tuple(dict.fromkeys(column.split(" ", 1)[1] for column in (*self.columns, *self.trial_columns)))

    def write(self, folder: Path) -> Path:
        """Put the record into a folder.

        Raises:
            RunError: it cannot be written.
        """
        return store(folder, KIND, FORMAT, self, {**_RUNS, **_TRIALS})

    def evaluations(self, run: Trained, *, trial: bool = False) -> list[dict[str, Any]]:
        """The evaluations of a run, or of a trial's, as ``nprnn.training.readings`` takes them."""
        found = []
        for update, loss, *values in run.evaluations:
            one: dict[str, Any] = {"update": int(update), "loss": loss}
            for column, value in zip(self.trial_columns if trial else self.columns, values, strict=True):
                split, metric = column.split(" ", 1)
                one.setdefault(split, {})[metric] = value
            found.append(one)
        return found

    def row(self, evaluation: Mapping[str, Any], *, trial: bool = False) -> list[float]:
        """An evaluation of a run folder as numbers in the order of the columns, which the first one sets."""
        found = {
            f"{split} {metric}": value
            for split in ("valid", "test")
            for metric, value in evaluation.get(split, {}).items()
        }
        if trial:
            columns = self.trial_columns = self.trial_columns or list(found)
        else:
            columns = self.columns = self.columns or list(found)
        return [evaluation["update"], *(_short(v) for v in (evaluation["loss"], *(found[c] for c in columns)))]

    def env_number(self, env: Mapping[str, Any]) -> int:
        """The place in ``envs`` of what computed a run, without what is of that run alone."""
        kept = _lasting(env)
        # Where a run went on elsewhere, without when that was.
        if isinstance(later := kept.get("continued"), list):
            kept["continued"] = [_lasting(one) for one in later]
        if kept not in self.envs:
            self.envs.append(kept)
        return self.envs.index(kept)


def _lasting(env: Mapping[str, Any]) -> dict[str, Any]:
    own = ("seed", "started", "command", "locations", "update")
    return {name: value for name, value in env.items() if name not in own}


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


_RUNS: Mapping[str, Entries] = {"runs": named(Trained)}
# Records from before there were trials have none of these.
_TRIALS: Mapping[str, Entries] = {
    "trials": Entries(
        lambda trial: {"setting": trial.setting, **trial.run._asdict()},
        lambda found: Trial(found["setting"], Trained(**{k: v for k, v in found.items() if k != "setting"})),
    ),
    "choices": named(Choice),
}


def read_comparison_record(folder: Path) -> ComparisonRecord:
    """Read a record back.

    Raises:
        RunError: there is none, or it is damaged or of another kind or version.
    """

    def build(**content: Any) -> ComparisonRecord:
        for name, entries in _TRIALS.items():
            content[name] = [entries.read(entry) for entry in content.get(name, [])]
        record = ComparisonRecord(**content)
        # Folders of those names are copied and deleted.
        for run in (*record.runs, *(trial.run for trial in record.trials)):
            if not is_plain_name(run.folder):
                raise ValueError(f"{run.folder!r} is no name of a run folder")
        return record

    return load(folder, KIND, FORMAT, _RUNS, build)
