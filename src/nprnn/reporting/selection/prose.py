"""The sentences on a selection experiment's page; all that they say of numbers comes from the findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from nprnn.experiments.findings import Findings
from nprnn.reporting.selection.plan import decimals_for, marks_in
from nprnn.reporting.selection.words import (
    brief,
    counted,
    grids_of,
    judged_words,
    outcome_word,
    percent,
    source_words,
    untested,
)

_SIGNS = {"frame": "Framed", "corner": "Corner"}


def scale_line(findings: Findings) -> str:
    """What stands under the title."""
    finished, diverged, missing = findings.runs
    runs = f"{counted(finished, 'run')} finished, {diverged:,} diverged, {missing:,} missing"
    names = ", ".join(findings.experiment.names)
    beside = f" Stands beside: {findings.experiment.source}." if findings.experiment.source else ""
    return f"Experiment {findings.experiment.key} ({names}). Scale: {findings.scale}; {runs}.{beside}"


def notices(findings: Findings) -> Iterator[str]:
    """What must not be overlooked: a part instead of the whole, what is missing, a single seed."""
    if findings.scale == "quick":
        yield "Scale quick: a part of the experiment, run to see that all of it works. The claims need the scale paper."
    if gaps := [*_missing(findings), *_untested(findings)]:
        yield f"NOT COMPLETE: {'; '.join(gaps)}."
    if any(len(row.by_seed) == 1 for row in findings.rows):
        yield "Tested with one seed: intervals tell how clips differ, and not how seeds do."


def _missing(findings: Findings) -> Iterator[str]:
    if findings.runs[2]:
        yield f"{counted(findings.runs[2], 'run')} missing"
    absent = [arm.name for arm in findings.experiment.arms if not grids_of(findings, arm.name)]
    if absent and findings.scale != "quick":
        yield f"nothing was run of {', '.join(absent)}"


def _untested(findings: Findings) -> Iterator[str]:
    experiment = findings.experiment
    rows = {(row.chosen_by, row.model): row for row in findings.rows}
    seeds = len(experiment.arm(experiment.choose_by[0]).seeds)
    for arm in experiment.choose_by:
        for model in experiment.models_of(experiment.arm(arm)) if grids_of(findings, arm) else ():
            row = rows.get((arm, model))
            if row is None:
                yield f"{model}, to be chosen by {arm}: {untested(findings, arm, model)}, so it is not tested"
            elif len(row.by_seed) < seeds:
                yield f"{model}, chosen by {arm}: tested with {len(row.by_seed)} of {counted(seeds, 'seed')}"


def protocol(findings: Findings) -> str:
    """What was run, how a setting was chosen, on what it was tested."""
    experiment = findings.experiment
    axes = " × ".join(f"{key} {', '.join(map(brief, values))}" for key, values in experiment.grid.items())
    train, choose, test = findings.counts
    tested = f"{test:,} of {source_words(experiment, findings.units)}"
    parts = (
        f"{counted(len(experiment.models), 'model')} ({', '.join(experiment.models)}), each over the grid {axes}.",
        "For each model an arm chooses, once no run of it is missing, the setting with the best validation accuracy,",
        "of those that lost the fewest seeds; among equals cross-entropy decides.",
        f"The runs of {experiment.choose_by[0]} with that setting are then tested, once.",
        f"In it {counted(train, 'clip')} train, {choose:,} choose and {tested} test;",
        f"the constant answer scores {percent(findings.constant)} % on test.",
        f"A source: the clips that have {' and '.join(experiment.unit)} in common.",
        "95 % intervals resample whole sources, and seeds.",
    )
    return " ".join(parts)


def arm_line(findings: Findings, name: str) -> str:
    """An arm: what it is for, and how much of it was run."""
    experiment = findings.experiment
    arm, grids = experiment.arm(name), grids_of(findings, name)
    role = "compared over the grid"
    if name in experiment.choose_by:
        role = "chooses, and its runs are tested" if name == experiment.choose_by[0] else "chooses"
    models = f" Models: {', '.join(arm.models)}." if arm.models else ""
    return f"{name} ({role}): {arm.about}. {judged_words(findings, grids) if grids else 'Not run'}.{models}"


def tally(findings: Findings) -> str:
    """How many claims came out how, and what the verdicts mean."""
    count = Counter(outcome_word(verdict.outcome) for verdict in findings.verdicts)
    told = ", ".join(f"{count[word]} {word}" for word in ("shown", "contradicted", "open", "not run"))
    parts = (
        f"{counted(len(findings.verdicts), 'verdict')}: {told}.",
        "Shown: the whole 95 % interval of the paired difference lies above the bound. Contradicted: all of it lies",
        "below. Open: neither, so no order is told. Claims and bounds are written in the experiment's file.",
    )
    return " ".join(parts)


def tested_words(findings: Findings) -> str:
    """What the table of test accuracies holds."""
    parts = ["Accuracies in percent: means over seeds, with 95 % intervals."]
    parts.append("An order of two models is told among the claims alone, by the paired difference.")
    if any(row.order is not None for row in findings.rows):
        parts.append("Frames shuffled: the same settings, trained and tested on clips whose frames are shuffled;")
        parts.append("order effect: test less that, paired, in points.")
    if findings.experiment.paper:
        parts.append(f"The paper's columns: {findings.experiment.source or 'as published'}.")
    return " ".join(parts)


def grid_words(findings: Findings) -> str:
    """What the table of ranges holds."""
    parts = ["Validation accuracy in percent, from the worst setting to the best."]
    parts.append("A setting of which every run diverged counts as 0; one of which no run has ended does not count.")
    if findings.experiment.paper:
        parts.append(f"The paper's ranges: {findings.experiment.source or 'as published'}.")
    return " ".join(parts)


def grid_caption(findings: Findings, arms: Sequence[str]) -> str:
    """What the picture of some arms' grids does not say itself."""
    unit = "percent" if decimals_for(findings, arms) else "whole percents"
    marks = [f"{_SIGNS.get(sign, sign)}: {words}." for sign, words in marks_in(findings, arms).items()]
    scale = f"Validation accuracy in {unit}, one colour scale for all. Scale: {findings.scale}."
    return " ".join([scale, *marks])


def tested_caption(findings: Findings) -> str:
    """What the picture of the test does not say itself."""
    clips = f"{counted(findings.counts[2], 'clip')} of {source_words(findings.experiment, findings.units)}"
    parts = [f"Scale: {findings.scale}; {clips}. Above: test accuracy with its 95 % interval, a ring for each seed."]
    parts += ["Below: the paired difference of each claim."] if findings.verdicts else []
    if findings.experiment.paper:
        parts.append("The paper's accuracies stand beside the scale and not on it.")
    return " ".join(parts)


def comparable(findings: Findings) -> str:
    """What may be held against what."""
    parts = ["The models of this page may be compared with one another, by the paired differences:"]
    parts.append("the same clips trained, chose and tested.")
    if findings.experiment.paper and findings.experiment.differs:
        parts.append("With the paper may be compared which claims are shown, and how wide the ranges over the grid are")
        parts.append("from model to model. No accuracy of ours is better or worse than one of the paper's, for what is")
        parts.append("listed above differs.")
    return " ".join(parts)
