"""The page of a comparison, as Markdown and as one HTML file: bars beside the paper's, curves, readings, claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nprnn.experiments.comparison import FINAL, At, Bar, ComparisonFindings
from nprnn.reporting.blocks import Block, Bullets, Heading, Notice, Paragraph, Picture, Table
from nprnn.reporting.comparison import prose
from nprnn.reporting.comparison.bars import bar_picture
from nprnn.reporting.comparison.choice import choice_blocks
from nprnn.reporting.comparison.claims import claims_table, numbers_table
from nprnn.reporting.comparison.courses import course_blocks, course_picture
from nprnn.reporting.comparison.curves import curve_picture
from nprnn.reporting.comparison.families import family_picture
from nprnn.reporting.comparison.looks import many
from nprnn.reporting.comparison.published import published_blocks, published_picture
from nprnn.reporting.comparison.rows import row_picture
from nprnn.reporting.comparison.standing import bar_at, slot, standing, values, wanted
from nprnn.reporting.comparison.tables import comparison_csv
from nprnn.reporting.comparison.trials import trial_blocks, trial_picture
from nprnn.reporting.comparison.words import NOTHING, amount, beside_paper, place, spread_of
from nprnn.reporting.experiment_page import how_to_redo, what_computed_it
from nprnn.reporting.selection.words import counted
from nprnn.training.readings import LAST_TENTH

_EACH = "each seed's last iterate"
_COUNTS = {2: "two", 3: "three", 4: "four"}


def comparison_pictures(findings: ComparisonFindings) -> dict[str, bytes]:
    """All pictures of the page by name, as PNG.

    Bars, or rows of many series; curves where they can be read; those of other metrics, trials and published results
    where there are any.
    """
    crowd = many(findings.experiment)
    curves = family_picture(findings) if crowd else curve_picture(findings)
    bars = row_picture(findings) if crowd else bar_picture(findings)
    found = {"bars": bars, "curves": curves}
    found |= {course.metric: course_picture(findings, course) for course in findings.experiment.courses}
    found |= {"trials": trial_picture(findings), "published": published_picture(findings)}
    return {name: picture for name, picture in found.items() if picture is not None}


def comparison_blocks(findings: ComparisonFindings, command: str) -> list[Block]:
    """The page as blocks, from which both forms are made.

    Args:
        findings: of the comparison.
        command: what redoes it.
    """
    experiment, title = findings.experiment, findings.experiment.title
    in_short = [*prose.orders(findings), *([prose.tally(findings)] if findings.verdicts else [])]
    blocks: list[Block] = [
        Heading(title, 1),
        Paragraph(prose.head(findings)),
        *map(Notice, prose.notices(findings)),
        Paragraph(prose.answer(findings)),
        *([Bullets(in_short)] if in_short else []),
        Picture("bars", f"The paper's bars and ours: {title}", prose.bars_caption(findings)),
        *_curves(findings),
        *course_blocks(findings),
        *trial_blocks(findings),
        *published_blocks(findings),
        *choice_blocks(findings),
        Heading(f"The bars in {_COUNTS[len(findings.readings)]} readings"),
        Paragraph(prose.readings_told(findings)),
    ]
    found = [standing(findings, at) for at in values(findings)]
    for one in found:
        if one.ended:
            blocks += [Heading(f"{place(experiment, one.at)}, {one.words}", 3), _bars(findings, one.at)]
    if idle := [one.at for one in found if not one.ended]:
        blocks.append(Paragraph(f"Not run: {place(experiment, *idle)}."))
    if findings.verdicts:
        blocks += [Heading("What becomes of the claims"), Paragraph(prose.tally(findings)), claims_table(findings)]
    if any(verdict.asked for verdict in findings.verdicts):
        blocks += [Heading("Their numbers", 3), Paragraph(prose.CLAIMS_TOLD), numbers_table(findings)]
    blocks += [Heading("What was run"), Paragraph(prose.protocol(findings)), Bullets(prose.series_lines(findings))]
    blocks += [Heading("How it departs from the paper"), Bullets(experiment.differs)] if experiment.differs else []
    takes = experiment.lasts(findings.record.scale)
    blocks += how_to_redo(command, takes, "The numbers in full", comparison_csv(findings))
    return [*blocks, *_computed(findings)]


def _curves(findings: ComparisonFindings) -> list[Block]:
    experiment = findings.experiment
    if many(experiment) and not experiment.cross:
        return [Paragraph(f"Curves of {len(experiment.series)} series would hide one another: curves.csv has them.")]
    return [Picture("curves", f"Learning curves: {experiment.title}", prose.curves_caption(findings))]


def _bars(findings: ComparisonFindings, at: At) -> Table:
    paper = findings.experiment.paper
    published = paper is not None and at in paper.at
    beside = ("paper", "here less paper", "outcome") if published else ()
    columns = ("series", "n", "diverged", "last iterate", *beside, *_others(findings))
    asked, rows = wanted(findings), []
    for series in findings.experiment.series:
        bar = findings.bars.get(series.name, {}).get(at)
        n = _n(bar, len(asked.get((series.name, at), ())))
        first, others = _readings(findings, series.name, at)
        rows.append((series.name, n, *first, *(_beside(findings, series.name, at) if published else ()), *others))
    return Table(columns, rows, ("series", "outcome", _EACH))


def _others(findings: ComparisonFindings) -> tuple[str, ...]:
    told = {LAST_TENTH: "mean of the last tenth"}
    return (*(told.get(reading, reading) for reading in findings.readings[1:]), _EACH)


def _n(bar: Bar | None, seeds: int) -> str:
    ended = bar.n if bar else 0
    return str(ended) if ended >= seeds else f"{ended} of {seeds}"


def _readings(findings: ComparisonFindings, name: str, at: At) -> tuple[Sequence[str], Sequence[str]]:
    """Diverged and the last iterate; the other readings and each seed."""
    bar, of = bar_at(findings, name, at), findings.experiment.of
    if bar is None:
        return (NOTHING, slot(findings, name, at)), [NOTHING] * len(_others(findings))
    final, *told = [spread_of(bar.values[reading], of) for reading in findings.readings]
    seeds = zip(bar.seeds, bar.values[FINAL], strict=True)
    each = ", ".join("diverged" if seed in bar.diverged else amount(value, of) for seed, value in seeds)
    return (str(len(bar.diverged)), final), (*told, each)


def _beside(findings: ComparisonFindings, name: str, at: At) -> Sequence[str]:
    paper, of, bar = findings.experiment.paper, findings.experiment.of, bar_at(findings, name, at)
    if paper is None or name not in paper.bars:
        return NOTHING, NOTHING, "not in the paper"
    published = paper.bars[name][paper.at.index(at)]
    if bar is None:
        return amount(published, of), NOTHING, slot(findings, name, at)
    return beside_paper(bar, of)[1:]


def _computed(findings: ComparisonFindings) -> list[Block]:
    """What computed the runs, and what put the page together, side by side."""
    record = findings.record
    columns: list[tuple[str, Mapping[str, str]]] = []
    for number, env in enumerate(record.envs):
        runs = sum(run.env == number for run in record.runs)
        columns.append((counted(runs, "run"), _rows(env)))
    columns.append(("this page", _rows(record.env)))
    names = list(dict.fromkeys(name for _, rows in columns for name in rows))
    if not names:
        return []
    cells = [(name, *(rows.get(name, NOTHING) for _, rows in columns)) for name in sorted(names)]
    heads = ("what", *(f"{name} [{k}]" if len(columns) > 2 else name for k, (name, _) in enumerate(columns, 1)))
    return [Heading("What computed it"), Table(heads, cells, heads)]


def _rows(env: Mapping[str, Any]) -> dict[str, str]:
    tables = (block for block in what_computed_it(env) if isinstance(block, Table))
    return {row[0]: row[1] for table in tables for row in table.rows}
