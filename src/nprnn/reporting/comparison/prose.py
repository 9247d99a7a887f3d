"""The sentences on a comparison's page; all that they say of numbers comes from the findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from nprnn.experiments.comparison import Bar, ComparisonFindings
from nprnn.experiments.comparison.spec import Series
from nprnn.models import MODELS
from nprnn.reporting.comparison.choice import nearest_words
from nprnn.reporting.comparison.claims import NOT_RUN
from nprnn.reporting.comparison.curves import unit
from nprnn.reporting.comparison.looks import many
from nprnn.reporting.comparison.standing import bar_at, scale_words, so_far, standing, values, wanted
from nprnn.reporting.comparison.words import amount, mean_of_bar, place, sentence, shares, where
from nprnn.reporting.members import show
from nprnn.reporting.selection.words import counted

# One claim, and several.
_OUTCOMES: Mapping[str, tuple[str, str]] = {
    "holds": ("holds", "hold"),
    "holds in part": ("holds in part", "hold in part"),
    "does not hold here": ("does not hold here", "do not hold here"),
    NOT_RUN: ("was not run", "were not run"),
}
# Of many series, so many are told in a sentence.
_SHOWN = 3


def readings_told(findings: ComparisonFindings) -> str:
    """What the columns of the bars are."""
    experiment = findings.experiment
    told = (
        "Means over the seeds that ended, with the least and the greatest. Last iterate: after the last update, as the "
        f"paper has it. Mean of the last tenth: of the last tenth of the evaluations, because {shares(experiment)} "
        "swing at a constant rate. "
    )
    told += (
        "Chosen on validation: the iterate with the best validation error."
        if experiment.validates
        else "There is no validation set, as in the paper, and so no iterate that it would have chosen."
    )
    flattering = (
        " Best on the test set: the evaluation with the least test error, which nobody could have chosen; it is there "
        "because those that are compared with read it so."
    )
    return told + (flattering if experiment.flattering else "")


def head(findings: ComparisonFindings) -> str:
    """What stands under the title."""
    experiment = findings.experiment
    names = ", ".join(dict.fromkeys((experiment.key, *experiment.names)))
    paper = f" Stands beside: {experiment.paper.source}." if experiment.paper else ""
    return f"Experiment {names}. {scale_words(findings)}{paper}"


def notices(findings: ComparisonFindings) -> Iterator[str]:
    """What must not be overlooked: a part instead of the whole, what is missing, single seeds."""
    if findings.record.scale == "quick":
        whole = "The claims need" if findings.verdicts else "Findings need"
        yield f"Scale quick: a part, run to see that all of it works. {whole} the scales half or paper."
    found = [standing(findings, at) for at in values(findings)]
    unfinished, missing = sum(one.unfinished for one in found), sum(one.missing for one in found)
    if unfinished or missing:
        told = "Bars, means and claims" if findings.verdicts else "Bars and means"
        yield (
            f"NOT COMPLETE: {counted(unfinished, 'run')} unfinished, {missing:,} not begun. {told} are of the "
            "runs that have ended so far."
        )
    if any(bar.n == 1 for row in findings.bars.values() for bar in row.values()):
        yield "Some bars are of one seed: they tell nothing of how seeds differ."


def answer(findings: ComparisonFindings) -> str:
    """The finding in one sentence."""
    if not any(bar.n for row in findings.bars.values() for bar in row.values()):
        return "No run has ended so far."
    paper, experiment = findings.experiment.paper, findings.experiment
    passed, could = findings.passed
    far = " so far" if so_far(findings) else ""
    if not could or paper is None:
        best = (f"{bar.series} {where(experiment, bar.at)} ({_told(findings, bar)})" for bar in _highest(findings))
        constant = amount(findings.constant, experiment.of)
        return f"Highest here{far}: {', '.join(best)}; a constant answer scores {constant}."
    tolerance = amount(paper.tolerance, experiment.of)
    verb = "is" if could == 1 else "are"
    first = f"{passed} of {counted(could, 'bar')} here {verb} within {tolerance} of the paper's{far}"
    if experiment.choose:
        return f"{first}; {nearest_words(findings)}."
    lead = max(paper.bars, key=lambda name: sum(paper.bars[name]))
    own = [bar for at in values(findings) if (bar := bar_at(findings, lead, at)) and bar.paper is not None]
    if not own:
        return f"{first}; no run of {lead}, the paper's highest, has ended."
    told = []
    for bar in own:
        published = amount(bar.paper or 0.0, experiment.of)
        told.append(f"{_told(findings, bar)} {where(experiment, bar.at)} (paper {published})")
    return f"{first}; {lead}, the paper's highest, gets {', '.join(told)}."


def orders(findings: ComparisonFindings) -> list[str]:
    """The series from the highest bar, at each value; and the paper's order."""
    experiment, paper, asked = findings.experiment, findings.experiment.paper, wanted(findings)
    lines, shown = [], _SHOWN if many(experiment) else len(experiment.series)
    for at in values(findings):
        bars = [bar for series in experiment.series if (bar := bar_at(findings, series.name, at))]
        if not bars:
            continue
        bars.sort(key=Bar.mean, reverse=True)
        apart = "; " if experiment.cross else ", "
        told = apart.join(f"{bar.series} {_told(findings, bar)}" for bar in bars[:shown])
        told += f"{apart}and {len(bars) - shown} lower" if len(bars) > shown else ""
        lacking = [s.name for s in experiment.series if (s.name, at) in asked and not bar_at(findings, s.name, at)]
        line = f"{place(experiment, at)} ({standing(findings, at).words}), from the highest: {told}"
        none = ", ".join(lacking) if len(lacking) <= shown else f"{len(lacking)} series"
        line += f"; none has ended of {none}." if lacking else "."
        k = paper.at.index(at) if paper and at in paper.at else None
        # Readings of one bar have no order.
        if paper and k is not None and len({row[k] for row in paper.bars.values()}) > 1:
            line += f" The paper's order: {', '.join(sorted(paper.bars, key=lambda name: -paper.bars[name][k]))}."
        lines.append(line)
    return lines


def tally(findings: ComparisonFindings) -> str:
    """How many claims came out how."""
    count = Counter(verdict.outcome or NOT_RUN for verdict in findings.verdicts)
    told = ", ".join(f"{count[word]} {forms[count[word] > 1]}" for word, forms in _OUTCOMES.items() if count[word])
    some = any(verdict.missing for verdict in findings.verdicts if verdict.asked)
    return f"{counted(len(findings.verdicts), 'claim')}{', at the values that were run' if some else ''}: {told}."


CLAIMS_TOLD = (
    "Claims and bounds are written in the experiment's file. A claim is asked of the means of the last iterates, at "
    "each of its values: it holds where it does at all that were run, in part where at some. A lead is over the best "
    "of those that it is claimed over. Beside it stands how many single runs, or pairs of one run of each side, say "
    "what the means say."
)


def bars_caption(findings: ComparisonFindings) -> str:
    """What the picture of the bars does not say itself."""
    parts = [f"{sentence(findings.experiment.counted)}, last iterates. {scale_words(findings)}"]
    crowd = many(findings.experiment)
    if findings.experiment.paper:
        tolerance = amount(findings.experiment.paper.tolerance, findings.experiment.of)
        line = "upright line with its band" if crowd else "black line"
        parts.append(f"PASS: the mean is within {tolerance} of the paper's bar, which the {line} shows on ours.")
    parts.append("Line: the middle 95 % of the means of as many seeds drawn with replacement.")
    parts.append("A run that diverged counts 0. What was not run has no bar, and says so.")
    if findings.ranking.ranked:
        parts.append("Rank: by the distance of the validation sets from the paper's bars, below.")
    return " ".join(parts)


def curves_caption(findings: ComparisonFindings) -> str:
    """What the picture of the curves does not say itself."""
    medians = " Medians of each series' runs alone: curves.csv has every run." if many(findings.experiment) else ""
    counts = sentence(findings.experiment.counted)
    return (
        f"{counts}, over the {unit(findings)}. {scale_words(findings)}{medians} The median is of the runs that "
        "ended, one that diverged counting 0 from there on; where none has ended, of all, as far as all of them are."
    )


def protocol(findings: ComparisonFindings) -> str:
    """What all runs share, and what the scale changes."""
    experiment = findings.experiment
    own = [batch for batch in experiment.scales.get(findings.record.scale, ()) if batch.settings]
    cut = "".join(f" Scale {findings.record.scale}, {place(experiment, *b.at)}: {_settings(b.settings)}." for b in own)
    settings = f": {_settings(experiment.settings)}" if experiment.settings else ""
    named = [f" {place(experiment, v.name)}: {_settings(v.settings)}." for v in experiment.values if v.settings]
    epoch = f" An epoch is {experiment.epoch:,} updates." if experiment.epoch else ""
    return f"Task {experiment.task}{settings}.{''.join(named)}{epoch}{cut}"


def series_lines(findings: ComparisonFindings) -> list[str]:
    """Each series: its model, what is set otherwise, what it is; what was crossed is told once."""
    experiment = findings.experiment
    if not experiment.cross:
        return [_series(series) for series in experiment.series]
    parts = list(zip(*map(experiment.factors, experiment.series), strict=True))
    found = {}
    for series, name in zip(experiment.series, parts[0], strict=True):
        own = {key: value for key, value in series.settings.items() if key not in experiment.cross}
        found[name] = _series(replace(series, name=name, settings=own))
    crossed = (f"{key} {', '.join(dict.fromkeys(told))}" for key, told in zip(experiment.cross, parts[1:], strict=True))
    return [*found.values(), f"Each with every combination of {'; '.join(crossed)}: {len(experiment.series)} series"]


def _series(series: Series) -> str:
    model = series.model or series.name
    of = "" if model == series.name else f" ({model})"
    parts = [series.note or MODELS.get(model, ""), _settings(series.settings)]
    told = "; ".join(part for part in parts if part)
    return f"{series.name}{of}: {told}" if told else f"{series.name}{of}"


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {show(list(v) if isinstance(v, tuple) else v)}" for name, v in settings.items())


def _told(findings: ComparisonFindings, bar: Bar) -> str:
    return mean_of_bar(bar, findings.experiment.of)


def _highest(findings: ComparisonFindings) -> Iterator[Bar]:
    for at in values(findings):
        bars = [bar for series in findings.experiment.series if (bar := bar_at(findings, series.name, at))]
        if bars:
            yield max(bars, key=Bar.mean)
