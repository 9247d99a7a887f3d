"""The page of a selection experiment, as Markdown and as one HTML file: what was asked, run and found."""

from __future__ import annotations

from nprnn.experiments.findings import Findings, Grid, Row, Verdict
from nprnn.reporting.blocks import Block, Bullets, Heading, Notice, Paragraph, Picture, Table
from nprnn.reporting.experiment_page import how_to_redo, what_computed_it
from nprnn.reporting.selection import prose
from nprnn.reporting.selection.grids import grid_picture
from nprnn.reporting.selection.tables import selection_csv
from nprnn.reporting.selection.tested import test_picture
from nprnn.reporting.selection.words import (
    NOTHING,
    difference,
    grids_of,
    lost,
    outcome_word,
    paper_name,
    percent,
    points,
    printed,
    setting_words,
    untested,
    with_interval,
)


def selection_pictures(findings: Findings) -> dict[str, bytes]:
    """All pictures of the page by name, as PNG: test, grids, and arms where there are arms that choose nothing."""
    found = {"test": test_picture(findings), "grids": grid_picture(findings)}
    others = _others(findings)
    return {**found, "arms": grid_picture(findings, others)} if others else found


def selection_blocks(findings: Findings, command: str) -> list[Block]:
    """The page as blocks, from which both forms are made.

    Args:
        findings: of the experiment.
        command: what redoes it.
    """
    experiment, title = findings.experiment, findings.experiment.title
    others = _others(findings)
    blocks: list[Block] = [
        Heading(title, 1),
        Paragraph(prose.scale_line(findings)),
        *map(Notice, prose.notices(findings)),
        Heading("What was run"),
        Paragraph(prose.protocol(findings)),
        Bullets([prose.arm_line(findings, arm.name) for arm in experiment.arms]),
    ]
    if findings.verdicts:
        blocks += [Heading("What becomes of the claims"), Paragraph(prose.tally(findings)), _verdicts(findings)]
    blocks += [
        Heading("Test"),
        Paragraph(prose.tested_words(findings)),
        _tests(findings),
        Paragraph("Beside them, on the same test clips:"),
        _yardsticks(findings),
        Picture("test", f"Test accuracies and claims: {title}", prose.tested_caption(findings)),
        Heading("The grid"),
        Paragraph(prose.grid_words(findings)),
        _ranges(findings),
        Picture("grids", f"Validation over the grid: {title}", prose.grid_caption(findings, experiment.choose_by)),
    ]
    if others:
        alt = f"Validation over the grid, other arms: {title}"
        blocks.append(Picture("arms", alt, prose.grid_caption(findings, others)))
    blocks.append(Heading("What differs from the paper, and what may be compared"))
    blocks += [Bullets(experiment.differs)] if experiment.differs else []
    blocks.append(Paragraph(prose.comparable(findings)))
    numbers = "The numbers in full, as shares and not in percent"
    blocks += how_to_redo(command, experiment.takes, numbers, selection_csv(findings))
    return blocks + what_computed_it(findings.env)


def _others(findings: Findings) -> list[str]:
    """Arms that choose nothing, and of which something was run."""
    experiment = findings.experiment
    return [a.name for a in experiment.arms if a.name not in experiment.choose_by and grids_of(findings, a.name)]


def _verdicts(findings: Findings) -> Table:
    rows = [
        (
            verdict.claim.says,
            _of(verdict),
            NOTHING if verdict.difference is None else difference(verdict.difference, verdict.claim.beyond),
            points(verdict.claim.beyond),
            outcome_word(verdict.outcome),
        )
        for verdict in findings.verdicts
    ]
    return Table(("claim", "of", "difference, points (95 %)", "bound", "verdict"), rows, ("claim", "of", "verdict"))


def _of(verdict: Verdict) -> str:
    if verdict.claim.kind == "test":
        return f"test, settings by {verdict.chosen_by}"
    return f"validation, worst settings in {verdict.chosen_by}"


def _tests(findings: Findings) -> Table:
    experiment = findings.experiment
    columns = ["model", "chosen by", "setting", "validation", "test", "each seed", "frames shuffled", "order effect"]
    columns += ["parameters", "times the least"]
    paper = paper_name(experiment)
    if experiment.paper:
        columns += [f"{paper}: setting", f"{paper}: validation", f"{paper}: test"]
    rows = []
    for arm in experiment.choose_by:
        found = {row.model: row for row in findings.rows if row.chosen_by == arm}
        for model in experiment.models_of(experiment.arm(arm)) if grids_of(findings, arm) or found else ():
            row = [model, arm, *_test(findings, arm, model, found.get(model))]
            published = experiment.paper.get(model)
            if published is not None:
                row += [published.best, printed(published.validation), printed(published.test)]
            rows.append(row + [NOTHING] * (len(columns) - len(row)))
    return Table(columns, rows, ("model", "chosen by", "setting", f"{paper}: setting"))


def _test(findings: Findings, arm: str, model: str, row: Row | None) -> list[str]:
    if row is None:
        return [NOTHING, NOTHING, untested(findings, arm, model), *[NOTHING] * 5]
    return [
        setting_words(row.setting),
        with_interval(row.validation),
        with_interval(row.test),
        ", ".join(map(percent, row.by_seed)),
        "not run" if row.shuffled is None else with_interval(row.shuffled),
        "not run" if row.order is None else difference(row.order),
        f"{row.parameters:,}",
        f"×{row.times:.1f}",
    ]


def _yardsticks(findings: Findings) -> Table:
    rows = [(y.name, y.about, with_interval(y.test), f"{y.parameters:,}") for y in findings.yardsticks]
    constant = ("constant answer", "the most frequent class", percent(findings.constant), NOTHING)
    columns = ("without a network", "what it is", "test", "parameters")
    return Table(columns, [*rows, constant], columns[:2])


def _ranges(findings: Findings) -> Table:
    columns = ("model", "arm", "least", "greatest", "settings", "lost", "best setting")
    rows: list[tuple[str, ...]] = []
    for model in findings.experiment.models:
        published = findings.experiment.paper.get(model)
        if published is not None and published.grid:
            ends = (printed(min(published.grid)), printed(max(published.grid)))
            rows.append((model, paper_name(findings.experiment), *ends, NOTHING, NOTHING, published.best))
        rows += [_range(grid) for grid in findings.grids if grid.model == model and grid.cells]
    return Table(columns, rows, ("model", "arm", "lost", "best setting"))


def _range(grid: Grid) -> tuple[str, ...]:
    ends = (NOTHING, NOTHING) if grid.range is None else tuple(map(percent, grid.range))
    best = NOTHING if grid.chosen is None else setting_words(grid.chosen.setting)
    return (grid.model, grid.arm.name, *ends, str(len(grid.cells)), lost(grid.cells) or "none", best)
