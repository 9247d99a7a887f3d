"""The page of an experiment on planes, as Markdown and as one HTML file: what the paper says, and what moves how."""

from __future__ import annotations

import math

from nprnn.dynamics import GrowthRow
from nprnn.experiments.planes import PlanesFindings
from nprnn.reporting.blocks import Block, Bullets, Heading, Link, Notice, Paragraph, Picture, Table
from nprnn.reporting.experiment_page import how_to_redo, what_computed_it
from nprnn.reporting.factors import near, ten
from nprnn.reporting.planes import prose
from nprnn.reporting.planes.gradients import gradient_picture
from nprnn.reporting.planes.portraits import plane_picture
from nprnn.reporting.planes.tables import planes_csv
from nprnn.reporting.planes.turns import turn_picture
from nprnn.reporting.planes.words import NOTHING, fixed_words, times, verdict_word

# The explorer, beside the page.
EXPLORER = "explorer.html"
_BY_HAND = (
    "A page that runs in a browser has both readings side by side, with sliders for eigenvalues, angles and biases; "
    "nprnn explore writes it too. Where its text is shown instead, save it first."
)


def planes_pictures(findings: PlanesFindings) -> dict[str, bytes]:
    """All pictures of the page by name, as PNG."""
    return {
        "planes": plane_picture(findings),
        "turns": turn_picture(findings),
        "gradients": gradient_picture(findings),
    }


def planes_blocks(findings: PlanesFindings, command: str) -> list[Block]:
    """The page as blocks, from which both forms are made.

    Args:
        findings: of the experiment.
        command: what redoes it.
    """
    experiment = findings.experiment
    blocks: list[Block] = [
        Heading(experiment.title, 1),
        Paragraph(prose.what_it_is(findings)),
        *([Notice(prose.QUICK)] if findings.scale == "quick" else []),
        Bullets(prose.in_short(findings)),
        Heading("Two units"),
        Paragraph(prose.PLANES),
        Picture("planes", f"Phase planes: {experiment.title}", prose.planes_caption(findings)),
        _fates(findings),
        Paragraph(prose.RAYS),
        Paragraph(_BY_HAND),
        Link("Two units, to be moved by hand", EXPLORER),
        Heading("Why: the signs of the leading eigenvector"),
        Paragraph(prose.signs(findings)),
        Picture("turns", "Growth by the angle of the leading eigenvector", prose.turns_caption(findings)),
        Heading("N units: gradients at the start"),
        Paragraph(prose.gradients(findings)),
        Picture("gradients", "Gradients at the start, by start and size", prose.gradients_caption(findings)),
    ]
    if findings.numbers:
        blocks.append(Heading("Against what was expected", 3))
        if any(number.measured is not None for number in findings.numbers):
            blocks += [Paragraph(prose.EXPECTED), _expected(findings)]
        if told := prose.unmeasured(findings):
            blocks.append(Paragraph(told))
    blocks += [Heading("All starts", 3), *_rows(findings), Paragraph(prose.columns(findings)), _starts(findings)]
    blocks.append(Heading("What differs from the paper"))
    blocks += [Bullets(experiment.differs)] if experiment.differs else []
    blocks += how_to_redo(command, experiment.takes, "The numbers in full", planes_csv(findings))
    return blocks + what_computed_it(findings.env)


def _fates(findings: PlanesFindings) -> Table:
    columns = ("case", "eigenvalues", "ReLU", "what becomes of states", "fastest growth", "stands still", "the claim")
    rows = [
        (
            f"({verdict.case.name})",
            ", ".join(f"{value:g}" for value in verdict.case.eigenvalues),
            verdict.frame.name,
            verdict.plane.fate,
            times(verdict.plane.growth),
            fixed_words(verdict.plane),
            verdict_word(verdict),
        )
        for verdict in findings.fates
    ]
    rows.sort(key=lambda row: row[0])
    return Table(columns, rows, tuple(c for c in columns if c != "fastest growth"))


def _expected(findings: PlanesFindings) -> Table:
    columns = ("start", "N", "number", "expected", "within", "measured", "outcome", "who says so")
    rows = [
        (
            number.expected.scheme,
            str(number.expected.hidden),
            prose.QUANTITIES[number.expected.quantity],
            f"{number.expected.value:g}",
            f"{number.expected.within:g}",
            near(number.measured),
            str(number.outcome),
            number.expected.source,
        )
        for number in findings.numbers
        if number.measured is not None
    ]
    return Table(columns, rows, ("start", "number", "outcome", "who says so"))


def _rows(findings: PlanesFindings) -> list[Table]:
    """Two tables of the same rows: all columns in one are wider than a page."""
    columns = ["start", "N", "growth per step (least to greatest)", "far", "left", "vanished", "states", "on", "dead"]
    columns += ["ρ(W)", "‖W‖", "non-normal", "ρ(D W)"]
    cells = [_row(row) for row in findings.rows]
    halves = ([0, 1, 2, 3, 4, 5], [0, 1, *range(6, len(columns))])
    return [Table([columns[k] for k in half], [[row[k] for k in half] for row in cells], ("start",)) for half in halves]


def _row(row: GrowthRow) -> tuple[str, ...]:
    def share(value: float | None) -> str:
        return NOTHING if value is None else f"{100 * value:.0f} %"

    grown = f"{near(row.growth)} ({near(row.lowest)} to {near(row.highest)})"
    gone = row.vanished == 1
    return (
        row.scheme,
        str(row.hidden),
        NOTHING if gone else grown,
        NOTHING if gone else near(row.far_growth),
        ten(row.steps * math.log10(row.growth)) if row.growth > 0 else "0",
        share(row.vanished),
        f"{row.state_ratio:.3g}" if row.state_ratio == row.state_ratio else NOTHING,
        share(row.active),
        share(row.dead),
        f"{row.radius:.3f}",
        f"{row.norm:.3f}",
        f"{row.departure:.2f}",
        NOTHING if row.active_radius is None else f"{row.active_radius:.3f}",
    )


def _starts(findings: PlanesFindings) -> Table:
    return Table(("start", "what it is"), list(findings.starts.items()), ("start", "what it is"))
