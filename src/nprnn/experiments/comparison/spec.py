"""A comparison as data: a TOML file that says what is trained how, at which values of an axis, and what is claimed.

It is written before the runs. A series is a model with settings of its own; a scale is a list of batches of runs, which
are carried out in their order. Scales cut values, seeds and series; what is cut besides stands in the batch. Where
settings are tuned, every series has trials of its own at every value first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nprnn.errors import ConfigError
from nprnn.experiments.comparison.axis import At, Axis, Value
from nprnn.experiments.comparison.beside import Course, Reference
from nprnn.experiments.comparison.tune import Tune
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
        settings: over the experiment's and the values'; a series' own go over them.
    """

    at: tuple[At, ...]
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
    at: tuple[At, ...]
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
    at: tuple[At, ...]
    bars: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Comparison:
    """Series of models trained by one protocol at several values of an axis, such as the length of sequences.

    Attributes:
        key: short name, from its file's.
        title: what it is.
        names: the figures that it makes.
        task: name of the task.
        axis: the setting whose values are the axis; or what its values with names are values of.
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
        values: of the axis, where they have names and settings of their own.
        tune: the trials that choose each series' settings; None where the file sets them.
        references: published results that stand beside the bars.
        courses: metrics whose curves are drawn besides.
        epoch: updates in an epoch, where curves are over epochs; 0 where they are over updates.
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
    choose: tuple[At, ...] = ()
    cross: tuple[str, ...] = ()
    values: tuple[Value, ...] = ()
    tune: Tune | None = None
    references: tuple[Reference, ...] = ()
    courses: tuple[Course, ...] = ()
    epoch: int = 0

    @property
    def along(self) -> Axis:
        """The axis."""
        return Axis(self.axis, self.values)

    @property
    def validates(self) -> bool:
        """Whether runs have a validation set, which all have or none."""
        batches = (batch for found in self.scales.values() for batch in found)
        return any(settings.get("valid_size") != 0 for batch in batches for *_, settings in self.settled(batch))

    def asks_the_same(self, other: Comparison) -> bool:
        """Whether a later version of the file trains and judges alike.

        Batches and values may come, and words may change.

        Args:
            other: the later version.
        """
        names = ("key", "task", "axis", "metric", "of", "settings", "series", "paper", "choose", "tune")
        judged = [[replace(claim, says="", source="") for claim in one.claims] for one in (self, other)]
        kept = all(value in other.values for value in self.values)
        return kept and judged[0] == judged[1] and all(getattr(self, name) == getattr(other, name) for name in names)

    def lasts(self, scale: Scale) -> str:
        """What a scale takes, where it was measured."""
        return self.takes.get(scale, "")

    def count(self, scale: Scale) -> int:
        """How many runs there are at a scale, with trials; 0 where it has none."""
        batches = self.scales.get(scale, ())
        tried = len(self.tried(scale)) * len(self.tune.seeds) if self.tune else 0
        return tried + sum(len(batch.at) * len(batch.seeds) * len(self.of_batch(batch)) for batch in batches)

    def factors(self, series: Series) -> tuple[str, ...]:
        """What the name of a series is made of: its name in the file, and its value of each crossed setting."""
        values = [str(series.settings[name]) for name in self.cross]
        return (series.name.removesuffix("".join(f", {value}" for value in values)), *values)

    def of_batch(self, batch: Batch) -> tuple[Series, ...]:
        """The series that a batch runs."""
        return tuple(series for series in self.series if not batch.series or series.name in batch.series)

    def places(self, batches: Iterable[Batch]) -> list[tuple[Series, At]]:
        """What batches run, each once: value by value, every series."""
        found = {(series.name, at): series for batch in batches for at in batch.at for series in self.of_batch(batch)}
        return [(series, at) for (_, at), series in found.items()]

    def settled(self, batch: Batch) -> Iterator[tuple[Series, At, dict[str, Any]]]:
        """What a batch runs, as ``places``, each with all that the file sets; what trials choose is not among it."""
        for series, at in self.places([batch]):
            yield series, at, {**self.settings, **batch.settings, **self._entry(series, at, batch.settings)}

    def sweep(self, batch: Batch, chosen: Mapping[tuple[str, At], Mapping[str, Any]] | None = None) -> SweepFile:
        """The runs of a batch as one sweep file: value by value, every series, every seed.

        Args:
            batch: which.
            chosen: series and value to the settings that trials chose; None where there are no trials.

        Raises:
            ConfigError: settings that the task or the training does not have.
        """
        runs = [(series, at, chosen[series.name, at] if chosen else {}) for series, at in self.places([batch])]
        return self._sweep(self.heading(batch), batch.seeds, batch.settings, runs)

    def tried(self, scale: Scale) -> list[tuple[Series, At, Mapping[str, Any]]]:
        """The trials of a scale but for seeds: for every series at each of its values the whole grid."""
        grid = self.tune.grid if self.tune else ()
        return [(series, at, setting) for series, at in self.places(self.scales.get(scale, ())) for setting in grid]

    def trials(self, scale: Scale) -> SweepFile:
        """The trials of a scale as one sweep file, in the order of ``tried``, every seed.

        Raises:
            ConfigError: there is nothing to tune, or settings that the task or the training does not have.
        """
        if self.tune is None:
            raise ConfigError(f"{self.key} tunes nothing: its file has no table [tune]")
        settings = self.tune.of_trials(quick=scale == "quick")
        return self._sweep(f"{self.key}, trials", self.tune.seeds, settings, self.tried(scale))

    def heading(self, batch: Batch) -> str:
        """A batch by its values, such as "fig3, length 150, 300"."""
        return f"{self.key}, {self.along.words(batch.at)}"

    def _sweep(
        self,
        name: str,
        seeds: Sequence[int],
        settings: Mapping[str, Any],
        runs: Iterable[tuple[Series, At, Mapping[str, Any]]],
    ) -> SweepFile:
        common = {**self.settings, **settings}
        entries = [{**self._entry(series, at, settings), **more} for series, at, more in runs]
        own = {key for entry in entries for key in entry}
        entries = [{**{key: common[key] for key in own & common.keys()}, **entry} for entry in entries]
        rest = {key: setting for key, setting in common.items() if key not in own}
        return sweep_of(name, self.task, seeds, rest, entries=entries)

    def _entry(self, series: Series, at: At, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What a series at a value sets over what its batch does."""
        # What is cut goes over what a name stands for, and never over a value of the setting that is the axis.
        place = dict(self.along.settings(at))
        place |= {key: settings[key] for key in place.keys() & settings.keys()} if self.values else {}
        return {**place, "model": series.model or series.name, **series.settings}
