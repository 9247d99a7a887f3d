"""The part of a comparison's page on which series is nearest to the paper, and whether other values confirm it."""

from __future__ import annotations

from nprnn.experiments.comparison import At, ComparisonFindings
from nprnn.reporting.blocks import Block, Bullets, Heading, Paragraph, Table
from nprnn.reporting.comparison.standing import bar_at, so_far, values
from nprnn.reporting.comparison.words import NOTHING, amount, beside_paper, place, symbol, where
from nprnn.reporting.selection.words import counted


def choice_blocks(findings: ComparisonFindings) -> list[Block]:
    """The ranking, what is not complete, and the nearest beside the first series at other values.

    Args:
        findings: of the comparison.

    Returns:
        The blocks; none where nothing is chosen.
    """
    experiment, ranking = findings.experiment, findings.ranking
    if not experiment.choose:
        return []
    blocks: list[Block] = [Heading("Which reading is nearest"), Paragraph(_rule(findings))]
    if findings.record.scale == "quick":
        return [*blocks, Paragraph("Scale quick chooses nothing: its runs are cut.")]
    if ranking.ranked:
        blocks.append(_ranking(findings))
    if ranking.lacking:
        count, whole = len(ranking.lacking), len(ranking.lacking) + len(ranking.ranked)
        told = f"Not complete, and so not ranked: {count} of {counted(whole, 'series', 'series')}."
        blocks += [Paragraph(told), Bullets(_lacking(findings))]
    if ranking.nearest is not None:
        blocks += [Heading("Do other values confirm it?", 3), *_confirmed(findings, ranking.nearest)]
    return blocks


def nearest_words(findings: ComparisonFindings) -> str:
    """The nearest series and its distance, such as "nearest so far: A, 300 from the paper's bars at T = 5, 7"."""
    experiment, ranking = findings.experiment, findings.ranking
    at = place(experiment, *experiment.choose)
    if not ranking.ranked:
        return f"no series has runs that ended at each of {at}, so none is nearest yet"
    far, first = " so far" if so_far(findings) else "", ranking.ranked[0]
    distance = amount(first.distance, experiment.of)
    return f"nearest{far}: {first.series}, on validation sets {distance} from the paper's bars (mean of {at})"


def _rule(findings: ComparisonFindings) -> str:
    experiment = findings.experiment
    return (
        "Distance: how far the mean of the last iterates on the validation set, as a share times "
        f"{amount(experiment.of, experiment.of)}, is from the paper's bar, averaged over "
        f"{place(experiment, *experiment.choose)}; a run that diverged counts 0. The least is the nearest. What "
        "the same iterates score on the test set stands beside it and plays no part in the choice."
    )


def _ranking(findings: ComparisonFindings) -> Table:
    experiment = findings.experiment
    of = experiment.of
    heads = [f"{place(experiment, at)}: {what}" for at in experiment.choose for what in ("validation", "test", "n")]
    rows = []
    for k, one in enumerate(findings.ranking.ranked, 1):
        cells = []
        for near in one.near:
            bar = bar_at(findings, one.series, near.at)
            cells += [amount(near.mean, of), amount(bar.mean(), of) if bar else NOTHING, str(len(near.seeds))]
        rows.append((str(k), one.series, amount(one.distance, of), *cells))
    return Table(("rank", "series", "distance", *heads), rows, ("series",))


def _lacking(findings: ComparisonFindings) -> list[str]:
    """The series by the values that they lack, such as "No run has ended at T = 7: A; B."."""
    groups: dict[tuple[At, ...], list[str]] = {}
    for name, missing in findings.ranking.lacking.items():
        groups.setdefault(missing, []).append(name)
    total = len(findings.experiment.series)
    who = {missing: "all series" if len(names) == total else "; ".join(names) for missing, names in groups.items()}
    return [f"No run has ended {where(findings.experiment, *missing)}: {told}." for missing, told in who.items()]


def _confirmed(findings: ComparisonFindings, nearest: str) -> list[Block]:
    experiment = findings.experiment
    first = experiment.series[0].name
    rows = []
    for name in dict.fromkeys((nearest, first)):
        for at in values(findings):
            if at not in experiment.choose and (bar := bar_at(findings, name, at)):
                rows.append((name, str(at), str(bar.n), *beside_paper(bar, experiment.of)))
    chosen = place(experiment, *experiment.choose)
    who = f"{nearest}, the nearest" + (", which is the first series too" if first == nearest else "")
    if not any(name == nearest for name, *_ in rows):
        told = f"{who}, has not been run to an end at values other than {chosen}: nothing confirms the choice so far."
    else:
        beside = "" if first == nearest else f", beside {first}, the first series"
        told = f"{who}{beside}: last iterates on the test set, at values that the choice did not see."
    columns = ("series", symbol(experiment), "n", "here", "paper", "here less paper", "outcome")
    return [Paragraph(told), *([Table(columns, rows, ("series", "outcome"))] if rows else [])]
