"""Which series comes nearest to the paper's bars, by validation sets at some values of the axis, never by test sets."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nprnn.experiments.comparison.axis import At
from nprnn.experiments.comparison.record import ComparisonRecord, Trained
from nprnn.experiments.comparison.spec import Comparison


@dataclass(frozen=True)
class Near:
    """A series at one of the values that the choice is made at.

    Attributes:
        at: the value.
        values: count of the last iterate on the validation set, of each run that ended; one that diverged counts 0.
        seeds: of these runs.
        paper: the paper's bar.
    """

    at: At
    values: tuple[float, ...]
    seeds: tuple[int, ...]
    paper: float

    @property
    def mean(self) -> float:
        """Over the runs that ended."""
        return statistics.fmean(self.values)

    @property
    def distance(self) -> float:
        """How far the mean is from the paper's bar."""
        return abs(self.mean - self.paper)


@dataclass(frozen=True)
class Ranked:
    """A series that has runs that ended at every value of the choice.

    Attributes:
        series: its name.
        near: where it stands at each of the values.
    """

    series: str
    near: tuple[Near, ...]

    @property
    def distance(self) -> float:
        """Mean over the values of how far it is from the paper's bars."""
        return statistics.fmean(one.distance for one in self.near)


@dataclass(frozen=True)
class Ranking:
    """The series by their distance.

    Attributes:
        ranked: the nearest first; of equals, the first in the experiment's file.
        lacking: those that are not complete, each with the values at which no run has ended.
    """

    ranked: tuple[Ranked, ...] = ()
    lacking: Mapping[str, tuple[At, ...]] = field(default_factory=dict)

    @property
    def nearest(self) -> str | None:
        """The series with the least distance; None where none is complete."""
        return self.ranked[0].series if self.ranked else None

    def places(self) -> dict[str, int]:
        """Series to its place, from 1."""
        return {one.series: place for place, one in enumerate(self.ranked, 1)}


def rank(record: ComparisonRecord, experiment: Comparison) -> Ranking:
    """The series that have a bar of the paper's, by how near they come to it.

    Args:
        record: the facts.
        experiment: what was asked; ``choose`` names the values.

    Returns:
        The ranking; an empty one where nothing is chosen, and at the scale quick, whose runs are cut.
    """
    paper = experiment.paper
    if not experiment.choose or paper is None or record.scale == "quick":
        return Ranking()
    ended: dict[tuple[str, At], list[Trained]] = {}
    for run in record.runs:
        if run.ended:
            ended.setdefault((run.series, run.at), []).append(run)
    ranked, lacking = [], {}
    for series in experiment.series:
        if series.name not in paper.bars:
            continue
        bars = dict(zip(paper.at, paper.bars[series.name], strict=True))
        found = [_near(record, experiment, ended.get((series.name, at), ()), at, bars[at]) for at in experiment.choose]
        if missing := tuple(near.at for near in found if not near.values):
            lacking[series.name] = missing
        else:
            ranked.append(Ranked(series.name, tuple(found)))
    return Ranking(tuple(sorted(ranked, key=lambda one: one.distance)), lacking)


def _near(record: ComparisonRecord, experiment: Comparison, runs: Sequence[Trained], at: At, paper: float) -> Near:
    counts = {run.seed: experiment.of * _share(record, run, experiment.metric) for run in runs}
    return Near(at, tuple(counts.values()), tuple(counts), paper)


def _share(record: ComparisonRecord, run: Trained, metric: str) -> float:
    if run.state == "diverged":
        return 0.0
    share: float = record.evaluations(run)[-1]["valid"][metric]
    return share
