"""How much of a comparison has been run: of each bar, and of each value of the axis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from nprnn.experiments.comparison import At, Bar, ComparisonFindings
from nprnn.reporting.comparison.words import behind, place

Slot = Literal["run", "begun", "not run"]


@dataclass(frozen=True)
class Standing:
    """What has been run at a value of the axis.

    Attributes:
        at: the value.
        ended: number of runs that ended of each series that is asked at this value or was run at it.
        unfinished: runs with something left to train.
        missing: runs that are asked at the record's scale and have not begun.
        all_series: whether every series of the experiment is among them.
    """

    at: At
    ended: tuple[int, ...]
    unfinished: int
    missing: int
    all_series: bool

    @property
    def run(self) -> bool:
        """Whether a run has ended."""
        return any(self.ended)

    @property
    def so_far(self) -> bool:
        """Whether there is something left to run."""
        return bool(self.unfinished or self.missing)

    @property
    def words(self) -> str:
        """How many seeds stand behind a bar, such as "n = 3" or "n = 1 to 3 so far"."""
        if not self.ended:
            return "not run"
        if not self.run:
            return "begun" if self.unfinished else "not run yet"
        low, high = min(self.ended), max(self.ended)
        count = f"n = {low}" if low == high else f"n = {low} to {high}"
        return f"{count} so far" if self.so_far else count


def wanted(findings: ComparisonFindings) -> dict[tuple[str, At], frozenset[int]]:
    """The seeds that the record's scale asks for, by series and value."""
    experiment = findings.experiment
    found: dict[tuple[str, At], frozenset[int]] = {}
    for batch in experiment.scales.get(findings.record.scale, ()):
        for series in experiment.of_batch(batch):
            for at in batch.at:
                found[series.name, at] = found.get((series.name, at), frozenset()) | set(batch.seeds)
    return found


def values(findings: ComparisonFindings) -> tuple[At, ...]:
    """Values of the axis that are shown: those of the findings, those that are asked, those that have begun."""
    asked = {at for _, at in wanted(findings)}
    begun = {run.at for run in findings.record.runs}
    return tuple(findings.experiment.along.ordered({*findings.at, *asked, *begun}))


def bar_at(findings: ComparisonFindings, series: str, at: At) -> Bar | None:
    """A bar of which a run has ended."""
    bar = findings.bars.get(series, {}).get(at)
    return bar if bar is not None and bar.n else None


def slot(findings: ComparisonFindings, series: str, at: At) -> Slot:
    """Whether there is a bar; where there is none, whether one has begun."""
    if bar_at(findings, series, at):
        return "run"
    return "begun" if at in findings.bars.get(series, {}) else "not run"


def standing(findings: ComparisonFindings, at: At) -> Standing:
    """What has been run at a value."""
    asked = wanted(findings)
    ended, unfinished, missing = [], 0, 0
    for series in findings.experiment.series:
        bar = findings.bars.get(series.name, {}).get(at)
        seeds = asked.get((series.name, at), frozenset())
        if bar is None and not seeds:
            continue
        begun = {run.seed for run in findings.record.runs if (run.series, run.at) == (series.name, at)}
        ended.append(bar.n if bar else 0)
        unfinished += bar.unfinished if bar else 0
        missing += len(seeds - begun)
    return Standing(at, tuple(ended), unfinished, missing, len(ended) == len(findings.experiment.series))


def so_far(findings: ComparisonFindings) -> bool:
    """Whether anything that the record's scale asks for is left to run."""
    return any(standing(findings, at).so_far for at in values(findings))


def scale_words(findings: ComparisonFindings) -> str:
    """The scale and what stands behind each value, such as "Scale half: T = 150 n = 5; not run: T = 300"."""
    return f"Scale {findings.record.scale}: {'; '.join(_parts(findings))}."


def _parts(findings: ComparisonFindings) -> Iterator[str]:
    experiment = findings.experiment
    found = [standing(findings, at) for at in values(findings)]
    for one in found:
        if one.ended:
            some = "" if one.all_series else f" ({len(one.ended)} of {len(experiment.series)} series)"
            yield behind(experiment, one.at, f"{one.words}{some}")
    if idle := [one.at for one in found if not one.ended]:
        yield f"not run: {place(experiment, *idle)}"
