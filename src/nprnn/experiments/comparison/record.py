"""What was found of a comparison, as JSON: every evaluation of every run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from nprnn.experiments.spec import Scale
from nprnn.experiments.storing import Entries, load, named, store

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
    at: int
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

    def write(self, folder: Path) -> Path:
        """Put the record into a folder.

        Raises:
            RunError: it cannot be written.
        """
        return store(folder, KIND, FORMAT, self, _LISTS)

    def evaluations(self, run: Trained) -> list[dict[str, Any]]:
        """The evaluations of a run as ``nprnn.training.readings`` takes them."""
        found = []
        for update, loss, *values in run.evaluations:
            one: dict[str, Any] = {"update": int(update), "loss": loss}
            for column, value in zip(self.columns, values, strict=True):
                split, metric = column.split(" ", 1)
                one.setdefault(split, {})[metric] = value
            found.append(one)
        return found

    def row(self, evaluation: Mapping[str, Any]) -> list[float]:
        """An evaluation of a run folder as numbers in the order of ``columns``, which the first one sets."""
        found = {
            f"{split} {metric}": value
            for split in ("valid", "test")
            for metric, value in evaluation.get(split, {}).items()
        }
        self.columns = self.columns or list(found)
        return [evaluation["update"], *(_short(v) for v in (evaluation["loss"], *(found[c] for c in self.columns)))]

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


_LISTS: Mapping[str, Entries] = {"runs": named(Trained)}


def read_comparison_record(folder: Path) -> ComparisonRecord:
    """Read a record back.

    Raises:
        RunError: there is none, or it is damaged or of another kind or version.
    """
    return load(folder, KIND, FORMAT, _LISTS, ComparisonRecord)
