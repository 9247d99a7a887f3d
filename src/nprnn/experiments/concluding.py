"""From the record to what it comes to: accuracies with intervals, and verdicts on claims made before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nprnn.experiments.choosing import Pooled, best, bits, judged_clips, pool
from nprnn.experiments.findings import Cell, Findings, Grid, Interval, Outcome, Row, Verdict, Yardstick
from nprnn.experiments.intervals import DRAWS, Resampler, interval
from nprnn.experiments.record import Judged, Record
from nprnn.experiments.spec import Claim, Experiment


def conclude(record: Record, experiment: Experiment, draws: int = DRAWS) -> Findings:
    """What a record comes to.

    Args:
        record: the facts.
        experiment: what was asked.
        draws: of the bootstrap.

    Returns:
        The findings; where runs are missing they say so and hold what is there.
    """
    first = experiment.choose_by[0]
    sets = next((entry for entry in record.sets if entry.arm == first), None)
    test = [] if sets is None else sets.test
    sources = _sources(record, experiment, test)
    labels = Counter(record.clips[place][1] for place in test)
    return Findings(
        experiment=experiment,
        scale=record.scale,
        counts=(0, 0, 0) if sets is None else (len(sets.train), len(sets.valid), len(test)),
        units=len(set(sources)),
        constant=max(labels.values()) / len(test) if test else 0.0,
        grids=[_grid(record, experiment, arm.name, m) for arm in experiment.arms for m in experiment.models_of(arm)],
        rows=_rows(record, experiment, sources, draws),
        yardsticks=[
            Yardstick(m.name, m.about, _accuracy(bits(m.correct)[None], sources, draws), m.parameters)
            for m in record.yardsticks
        ],
        verdicts=_verdicts(record, experiment, sources, draws),
        runs=(
            sum(run.state == "finished" for run in record.runs),
            sum(run.state == "diverged" for run in record.runs),
            sum(run.state not in ("finished", "diverged") for run in record.runs),
        ),
        env=record.env,
    )


def _sources(record: Record, experiment: Experiment, places: Sequence[int]) -> list[Hashable]:
    """What each clip was cut from; one without a group is a source of its own."""
    found: list[Hashable] = []
    for place in places:
        name, label, group = record.clips[place]
        facts = {"label": label, "group": name if group is None else group}
        found.append(tuple(facts[word] for word in experiment.unit))
    return found


def _accuracy(correct: Tensor, sources: Sequence[Hashable], draws: int) -> Interval:
    return interval(Resampler(sources, len(correct), draws).accuracies(correct))


def _grid(record: Record, experiment: Experiment, arm: str, model: str) -> Grid:
    settings = pool(record, arm, model)
    cells = tuple(map(_cell, settings))
    chosen = best(settings)
    clips = judged_clips(record, arm)
    return Grid(
        experiment.arm(arm),
        model,
        cells,
        None if chosen is None else cells[settings.index(chosen)],
        len(clips),
        len(set(_sources(record, experiment, clips))),
    )


def _cell(pooled: Pooled) -> Cell:
    states = Counter(run.state for run in pooled.runs)
    return Cell(
        pooled.setting,
        pooled.accuracy,
        pooled.cross_entropy if pooled.seeds else None,
        tuple(pooled.correct.double().mean(1).tolist()) if pooled.seeds else (),
        states["diverged"],
        sum(count for state, count in states.items() if state not in ("finished", "diverged")),
    )


def _rows(record: Record, experiment: Experiment, sources: Sequence[Hashable], draws: int) -> list[Row]:
    rows = []
    least = min(record.parameters.values(), default=1)
    for arm, chosen in record.choices.items():
        clips = _sources(record, experiment, judged_clips(record, arm))
        for model in experiment.models:
            setting = chosen.get(model)
            tested = None if setting is None else _answers(record.tested, model, setting)
            if setting is None or tested is None:
                continue
            pooled = next(p for p in pool(record, arm, model) if p.setting == setting)
            resampler = Resampler(sources, len(tested), draws)
            drawn = resampler.accuracies(tested)
            shuffled = _answers(record.shuffled, model, setting)
            again = resampler.accuracies(shuffled) if shuffled is not None and len(shuffled) == len(tested) else None
            rows.append(
                Row(
                    model=model,
                    chosen_by=arm,
                    setting=setting,
                    validation=_accuracy(pooled.correct, clips, draws),
                    test=interval(drawn),
                    by_seed=tuple(tested.double().mean(1).tolist()),
                    parameters=record.parameters[model],
                    times=record.parameters[model] / least,
                    shuffled=None if again is None else interval(again),
                    order=None if again is None else interval(drawn - again),
                )
            )
    return rows


def _answers(runs: Sequence[Judged], model: str, setting: Mapping[str, Any]) -> Tensor | None:
    """Which clips each seed got right [S, n]; None unless all seeds finished."""
    own = [run for run in runs if run.model == model and run.setting == setting]
    if not own or any(run.state != "finished" for run in own):
        return None
    return torch.stack([bits(run.correct) for run in sorted(own, key=lambda run: run.seed)])


def _verdicts(record: Record, experiment: Experiment, sources: Sequence[Hashable], draws: int) -> list[Verdict]:
    verdicts = []
    for claim in experiment.claims:
        if claim.kind == "spread":
            verdicts.append(_verdict(claim, claim.arm, _spread(record, experiment, claim, draws)))
            continue
        for arm in experiment.choose_by:
            found = record.choices.get(arm, {})
            tested = [
                _answers(record.tested, model, found[model]) if model in found else None
                for model in (claim.better, claim.worse)
            ]
            difference = None
            if tested[0] is not None and tested[1] is not None and len(tested[0]) == len(tested[1]):
                resampler = Resampler(sources, len(tested[0]), draws)
                difference = interval(resampler.accuracies(tested[0]) - resampler.accuracies(tested[1]))
            verdicts.append(_verdict(claim, arm, difference))
    return verdicts


def _spread(record: Record, experiment: Experiment, claim: Claim, draws: int) -> Interval | None:
    """The least accuracy over the grid of one model less that of the other; a setting that diverged counts as 0."""
    clips = _sources(record, experiment, judged_clips(record, claim.arm))
    seeds = {run.seed for run in record.runs if run.arm == claim.arm}
    if not clips:
        return None
    resampler = Resampler(clips, len(seeds), draws)
    least = []
    for model in (claim.better, claim.worse):
        settings = pool(record, claim.arm, model)
        if not settings or any(run.state not in ("finished", "diverged") for p in settings for run in p.runs):
            return None
        whole = [p.correct if len(p.seeds) == len(seeds) else torch.zeros(len(seeds), len(clips)) for p in settings]
        least.append(torch.stack([resampler.accuracies(correct) for correct in whole]).amin(0))
    return interval(least[0] - least[1])


def _verdict(claim: Claim, arm: str, difference: Interval | None) -> Verdict:
    outcome: Outcome | None = None
    if difference is not None:
        shown, contradicted = difference.low > claim.beyond, difference.high < claim.beyond
        outcome = "shown" if shown else "contradicted" if contradicted else "open"
    return Verdict(claim, arm, difference, outcome)
