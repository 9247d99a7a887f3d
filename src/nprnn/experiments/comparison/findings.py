"""What a comparison's record says: bars in three readings, beside the paper's, and what becomes of each claim."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from nprnn.errors import unknown
from nprnn.experiments.comparison.axis import At
from nprnn.experiments.comparison.ranking import Ranking, rank
from nprnn.experiments.comparison.record import ComparisonRecord, Trained
from nprnn.experiments.comparison.spec import Claim, Comparison
from nprnn.experiments.comparison.trials import Tuned, tuned
from nprnn.experiments.findings import Interval
from nprnn.experiments.intervals import mean_of
from nprnn.training.readings import CHOSEN, LAST_TENTH, readings, told
from nprnn.training.readings import FINAL as FINAL

READINGS = (FINAL, LAST_TENTH, CHOSEN)
BEST_ON_TEST = "best on the test set"
Outcome = Literal["PASS", "MISS"]
Holds = Literal["holds", "holds in part", "does not hold here"]


@dataclass(frozen=True)
class Bar:
    """A series at one value of the axis.

    Attributes:
        series: its name.
        at: the value.
        values: reading to a number for each run that ended, in the order of ``seeds``; a run that diverged counts 0.
        seeds: of the runs that ended.
        diverged: seeds of those that diverged.
        unfinished: runs with something left to train.
        paper: the paper's number; None where it has none.
        tolerance: how far from it a bar may be.
    """

    series: str
    at: At
    values: Mapping[str, tuple[float, ...]]
    seeds: tuple[int, ...]
    diverged: tuple[int, ...]
    unfinished: int
    paper: float | None
    tolerance: float

    @property
    def n(self) -> int:
        """Runs that ended."""
        return len(self.seeds)

    @property
    def complete(self) -> bool:
        """Whether all that began has ended: runs that diverge end first, and alone would tell too little."""
        return self.n > 0 and not self.unfinished

    def mean(self, reading: str = FINAL) -> float:
        """Over the runs that ended."""
        return statistics.fmean(self.values[reading])

    def interval(self, reading: str = FINAL) -> Interval:
        """The mean, with the middle 95 % of those of seeds drawn with replacement."""
        return mean_of(self.values[reading])

    @property
    def outcome(self) -> Outcome | None:
        """PASS within the tolerance of the paper's bar; None where there is nothing to compare, or not yet."""
        if self.paper is None or not self.complete:
            return None
        return "PASS" if abs(self.mean() - self.paper) <= self.tolerance else "MISS"


@dataclass(frozen=True)
class Asked:
    """A claim at one value of the axis.

    Attributes:
        at: the value.
        number: the bar, or the lead of a bar over the best of others.
        rival: the best of those; "" for a bar alone.
        bound: what the number must be beyond.
        holds: whether it is.
        n: seeds of the bar.
        single: how many pairs of runs, or runs, agree with the verdict, of how many.
    """

    at: At
    number: float
    rival: str
    bound: float
    holds: bool
    n: int
    single: tuple[int, int]


@dataclass(frozen=True)
class ClaimVerdict:
    """What becomes of a claim.

    Attributes:
        claim: the claim.
        asked: at each of its values that was run.
        missing: its values that were not, or not to the end.
    """

    claim: Claim
    asked: tuple[Asked, ...]
    missing: tuple[At, ...]

    @property
    def outcome(self) -> Holds | None:
        """None where it was not run at any of its values."""
        if not self.asked:
            return None
        held = sum(one.holds for one in self.asked)
        return "holds" if held == len(self.asked) else "holds in part" if held else "does not hold here"


@dataclass(frozen=True)
class ComparisonFindings:
    """All that a page is made of.

    Attributes:
        experiment: what was asked.
        record: the facts.
        at: values of the axis with a run that ended, or that the paper has.
        bars: by series, then value; those of which no run has begun are left out.
        verdicts: of the claims.
        constant: what a constant answer scores.
        ranking: the series by their distance from the paper's bars; empty where nothing is chosen.
        tuned: what the trials of each series at each value say; empty where nothing is tuned.
    """

    experiment: Comparison
    record: ComparisonRecord
    at: tuple[At, ...]
    bars: Mapping[str, Mapping[At, Bar]]
    verdicts: tuple[ClaimVerdict, ...]
    constant: float
    ranking: Ranking
    tuned: Sequence[Tuned] = ()

    @property
    def readings(self) -> tuple[str, ...]:
        """Those that every bar has."""
        return _readings(self.experiment)

    @property
    def passed(self) -> tuple[int, int]:
        """Bars that pass, and bars that could."""
        outcomes = [bar.outcome for row in self.bars.values() for bar in row.values()]
        return outcomes.count("PASS"), sum(outcome is not None for outcome in outcomes)


def conclude_comparison(record: ComparisonRecord, experiment: Comparison) -> ComparisonFindings:
    """Findings from a record.

    Args:
        record: the facts.
        experiment: what was asked.

    Raises:
        ConfigError: it asks for a metric that the runs do not have.
    """
    check_metrics(experiment, record.metrics)
    paper, place = experiment.paper, experiment.along.ordered
    published = {name: dict(zip(paper.at, values, strict=True)) for name, values in paper.bars.items()} if paper else {}
    own: dict[tuple[str, At], list[Trained]] = {}
    for run in record.runs:
        own.setdefault((run.series, run.at), []).append(run)
    bars: dict[str, dict[At, Bar]] = {series.name: {} for series in experiment.series}
    for name, at in ((name, at) for at in place(at for _, at in own) for name in bars if (name, at) in own):
        runs = own[name, at]
        ended = [run for run in runs if run.ended]
        read = [_read(record, experiment, run) for run in ended]
        bars[name][at] = Bar(
            name,
            at,
            {reading: tuple(one[reading] for one in read) for reading in _readings(experiment)},
            tuple(run.seed for run in ended),
            tuple(run.seed for run in ended if run.state == "diverged"),
            len(runs) - len(ended),
            published.get(name, {}).get(at),
            paper.tolerance if paper else math.inf,
        )
    values = {value for row in bars.values() for value, bar in row.items() if bar.n}
    if record.scale != "quick" and paper:
        values |= set(paper.at)
    verdicts = tuple(_verdict(claim, bars) for claim in experiment.claims)
    constant = experiment.of * record.baseline.get(experiment.metric, 0.0)
    shown, ranking, tried = tuple(place(values)), rank(record, experiment), tuned(record, experiment)
    return ComparisonFindings(experiment, record, shown, bars, verdicts, constant, ranking, tried)


def check_metrics(experiment: Comparison, known: Collection[str]) -> None:
    """Refuse metrics that runs do not have.

    Args:
        experiment: what is asked.
        known: the runs' metrics; none where nothing was evaluated, and then nothing is refused.

    Raises:
        ConfigError: it asks for another one.
    """
    for metric in (experiment.metric, *(course.metric for course in experiment.courses)):
        if known and metric not in known:
            raise unknown("metric", metric, known)


def _read(record: ComparisonRecord, experiment: Comparison, run: Trained) -> dict[str, float]:
    if run.state == "diverged":
        return dict.fromkeys(_readings(experiment), 0.0)
    evaluations = record.evaluations(run)
    found: dict[str, Mapping[str, float]] = {}
    found |= readings(evaluations, record.headline, record.higher_is_better)
    sign = 1 if record.higher_is_better else -1
    found[BEST_ON_TEST] = max((told(one) for one in evaluations), key=lambda metrics: sign * metrics[record.headline])
    return {
        reading: experiment.of * found.get(reading, found[FINAL])[experiment.metric]
        for reading in _readings(experiment)
    }


def _readings(experiment: Comparison) -> tuple[str, ...]:
    """Without a validation set there is no iterate that it would have chosen."""
    own = tuple(reading for reading in READINGS if reading != CHOSEN or experiment.validates)
    return (*own, BEST_ON_TEST) if experiment.flattering else own


def _verdict(claim: Claim, bars: Mapping[str, Mapping[At, Bar]]) -> ClaimVerdict:
    asked, missing = [], []
    for at in claim.at:
        bar = _measured(bars, claim.better, at)
        rivals = [rival for name in claim.worse if (rival := _measured(bars, name, at))]
        # A lead over some of the rivals says nothing of the others.
        if bar is None or len(rivals) < len(claim.worse):
            missing.append(at)
        else:
            asked.append(_ask(claim, bar, rivals))
    return ClaimVerdict(claim, tuple(asked), tuple(missing))


def _measured(bars: Mapping[str, Mapping[At, Bar]], name: str, at: At) -> Bar | None:
    bar = bars[name].get(at)
    return bar if bar is not None and bar.complete else None


def _ask(claim: Claim, bar: Bar, rivals: Sequence[Bar]) -> Asked:
    values: Sequence[float] = bar.values[FINAL]
    if rivals:
        best = max(rivals, key=lambda rival: rival.mean())
        number, name, bound = bar.mean() - best.mean(), best.series, claim.beyond
        singles = [mine - theirs > bound for mine in values for theirs in best.values[FINAL]]
        holds = number > bound
    else:
        number, name = bar.mean(), ""
        above, below = claim.above, claim.below
        bound = above if above is not None else below if below is not None else 0.0
        singles = [_within(value, above, below) for value in values]
        holds = _within(number, above, below)
    return Asked(bar.at, number, name, bound, holds, bar.n, (sum(one is holds for one in singles), len(singles)))


def _within(value: float, above: float | None, below: float | None) -> bool:
    return (above is None or value > above) and (below is None or value < below)
