"""A comparison as data: a TOML file that says what is trained how, at which values of an axis, and what is claimed.

It is written before the runs. A series is a model with settings of its own; a scale is a list of batches of runs, which
are carried out in their order. Scales cut values, seeds and series; what is cut besides stands in the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nprnn.experiments.spec import Scale
from nprnn.experiments.sweeps import sweep_of
from nprnn.sweep import SweepFile


@dataclass(frozen=True)
class Series:
    """What is compared: a bar at each value of the axis.

    Attributes:
        name: of the series.
        model: its model; the series' name where that is one.
        settings: over the experiment's.
        note: what tells it from the others, for a person.
    """

    name: str
    model: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Batch:
    """Runs that are carried out together, as one sweep.

    Attributes:
        at: values of the axis, in their order.
        seeds: of each series at each value.
        series: names of those that run; empty takes all.
        settings: over the experiment's and the series'.
    """

    at: tuple[int, ...]
    seeds: tuple[int, ...]
    series: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """What is said of the bars, asked at each value of the axis.

    Attributes:
        says: the claim, for a person.
        source: where it is said.
        better: the series that it is of.
        at: the values at which it is asked.
        worse: series whose best is taken away from ``better``.
        beyond: the difference must be greater than this.
        above: without ``worse``, the bar must be greater than this.
        below: without ``worse``, the bar must be less than this.
    """

    says: str
    source: str
    better: str
    at: tuple[int, ...]
    worse: tuple[str, ...] = ()
    beyond: float = 0.0
    above: float | None = None
    below: float | None = None


@dataclass(frozen=True)
class Published:
    """What the paper has.

    Attributes:
        source: where.
        tolerance: a bar of ours passes where it is no further than this from the paper's.
        at: values of the axis.
        bars: series to a number at each value.
    """

    source: str
    tolerance: float
    at: tuple[int, ...]
    bars: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Comparison:
    """Series of models trained by one protocol at several values of an axis, such as the length of sequences.

    Attributes:
        key: short name, from its file's.
        title: what it is.
        names: the figures that it makes.
        task: name of the task.
        axis: the setting whose values are the axis.
        metric: what is compared, a share; bars show it times ``of``.
        of: how many sequences a whole share is.
        counted: what a bar counts, for a person.
        differs: how it departs from the paper, in sentences.
        settings: of task and training, of all runs.
        series: in the order of the figure.
        scales: scale to its batches.
        paper: the paper's bars; None where it has none.
        claims: what is said of the bars.
        takes: scale to time and memory, as measured.
        flattering: also read the evaluation that is best on the test set, as some of those do who are compared with.
        choose: values of the axis at which the series nearest to the paper is chosen, on validation sets; empty where
            nothing is chosen.
        cross: settings whose values were crossed with the series of the file.
        text: its file's content.
    """

    key: str
    title: str
    names: tuple[str, ...]
    task: str
    axis: str
    metric: str
    of: float
    counted: str
    differs: tuple[str, ...]
    settings: Mapping[str, Any]
    series: tuple[Series, ...]
    scales: Mapping[Scale, tuple[Batch, ...]]
    paper: Published | None
    claims: tuple[Claim, ...]
    takes: Mapping[str, str]
    text: str = field(repr=False)
    flattering: bool = False
    choose: tuple[int, ...] = ()
    cross: tuple[str, ...] = ()

    def asks_the_same(self, other: Comparison) -> bool:
        """Whether two versions of a file train alike and are judged alike; batches may come, and words may change."""
        names = ("key", "task", "axis", "metric", "of", "settings", "series", "paper", "choose")
        judged = [[replace(claim, says="", source="") for claim in one.claims] for one in (self, other)]
        return judged[0] == judged[1] and all(getattr(self, name) == getattr(other, name) for name in names)

    def lasts(self, scale: Scale) -> str:
        """What a scale takes, where it was measured."""
        return self.takes.get(scale, "")

    def count(self, scale: Scale) -> int:
        """How many runs there are at a scale; 0 where it has none."""
        batches = self.scales.get(scale, ())
        return sum(len(batch.at) * len(batch.seeds) * len(self.of_batch(batch)) for batch in batches)

    def factors(self, series: Series) -> tuple[str, ...]:
        """What the name of a series is made of: its name in the file, and its value of each crossed setting."""
        values = [str(series.settings[name]) for name in self.cross]
        return (series.name.removesuffix("".join(f", {value}" for value in values)), *values)

    def of_batch(self, batch: Batch) -> tuple[Series, ...]:
        """The series that a batch runs."""
        return tuple(series for series in self.series if not batch.series or series.name in batch.series)

    def sweep(self, batch: Batch) -> SweepFile:
        """The runs of a batch as one sweep file: value by value, every series, every seed.

        Raises:
            ConfigError: settings that the task or the training does not have.
        """
        common = {**self.settings, **batch.settings}
        entries = [
            {self.axis: value, "model": series.model or series.name, **series.settings}
            for value in batch.at
            for series in self.of_batch(batch)
        ]
        own = {name for entry in entries for name in entry}
        entries = [{**{name: common[name] for name in own & common.keys()}, **entry} for entry in entries]
        rest = {name: setting for name, setting in common.items() if name not in own}
        return sweep_of(self.heading(batch), self.task, batch.seeds, rest, entries=entries)

    def heading(self, batch: Batch) -> str:
        """A batch by its values, such as "fig3, length 150, 300"."""
        return f"{self.key}, {self.axis} {', '.join(map(str, batch.at))}"
