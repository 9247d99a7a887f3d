"""The page of an analysis, as Markdown and as one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nprnn.reporting.blocks import Block, Bullets, Code, Files, Heading, Notice, Paragraph, Picture, Table
from nprnn.reporting.dynamics.numbers import NOTHING, quantities
from nprnn.reporting.dynamics.orbits import COLUMNS, orbit_cells
from nprnn.reporting.dynamics.rows import Portrayed, stage_words
from nprnn.reporting.dynamics.tables import analysis_csv
from nprnn.reporting.members import LeftOut, show

# Of fixed points and cycles a page shows so many a subject; the files have all.
MOST_ORBITS = 30
# Some browsers refuse to save a link of more than 2 MB; base64 makes four of three.
_LONGEST_LINK = 1_200_000
_NOT_SHOWN = ("command", "started")
WHAT = (
    "W is the recurrent weight, D the diagonal matrix of the slopes f′ at a step (for the ReLU 1 where a unit is on "
    "and 0 where it is off), D W the part of W that is active there. Gradients go back through the actual masks, from "
    "a Gaussian vector at the last state; changes go forward from one of an early input. docs/dynamics.md has "
    "formulas and how to read them."
)
CAPTIONS = {
    "spectra": (
        "Black: the unit circle. Green, dotted: the mean spectral radius of the active part. Singular values: mean, "
        "and least to greatest of the draws. Lyapunov exponents: means with standard errors, counted after a third of "
        "the steps; ▼ at the edge: minus infinity, a direction that is lost altogether."
    ),
    "carried": (
        "Lines: means over samples (draws, or sequences), of logarithms; bands: from the least to the greatest. States "
        "and gradients that are exactly 0 are left out where they are. The input that is changed is that of the first "
        "step after which some unit is on in every sample."
    ),
    "units": (
        "Lines: means over samples; bands: from the least to the greatest. In the middle units are sorted by how often "
        "they are on, over all steps and sequences; those at 0 are dead."
    ),
    "training": "At each checkpoint there is. Between checkpoints nothing is known: the dots are joined for the eye.",
}
_ALT = {
    "spectra": "Eigenvalues, singular values and Lyapunov exponents",
    "carried": "States, gradients and changes of the input over time",
    "units": "Units that are on, and the active part's spectral radius",
    "training": "What training did to these numbers",
}


def analysis_blocks(
    found: Sequence[Portrayed], left_out: Sequence[LeftOut], command: str, env: Mapping[str, Any]
) -> list[Block]:
    """The page as blocks, from which both forms are made.

    Args:
        found: subjects with their portraits.
        left_out: what could not be analysed, and why.
        command: what redoes it.
        env: what computed it.
    """
    trained = any(len(entry.portraits) > 1 for entry in found)
    blocks: list[Block] = [
        Heading("nprnn analyse", 1),
        *(Notice(f"LEFT OUT: {entry.folder}: {entry.reason}") for entry in left_out),
        *(Notice(f"{entry.subject.title}: {told}") for entry in found for told in entry.subject.notices),
        Bullets([about(entry) for entry in found]),
        Paragraph(WHAT),
    ]
    names = ("spectra", "carried", "units", *(("training",) if trained else ()))
    headings = ("Spectra", "What is carried over time", "Which units are on", "Over training")
    for name, heading in zip(names, headings, strict=False):
        blocks += [Heading(heading), Picture(name, _ALT[name], CAPTIONS[name])]
    blocks.append(Heading("In numbers"))
    for entry in found:
        blocks += [Heading(entry.subject.title, 3), numbers_table(entry)]
    blocks += _orbits(found)
    blocks += [Heading("How to redo it"), Code(command)]
    files = analysis_csv(found)
    small = {name: text for name, text in files.items() if len(text) <= _LONGEST_LINK}
    blocks += [Paragraph("The numbers behind the pictures:"), Files(small)]
    if large := [name for name in files if name not in small]:
        blocks.append(Paragraph(f"Too large for a page, and written by --csv FOLDER: {', '.join(large)}."))
    if shown := [(key, show(value)) for key, value in sorted(env.items()) if key not in _NOT_SHOWN]:
        blocks += [Heading("What computed it"), Table(("what", "which"), shown, ("what", "which"))]
    return blocks


def about(entry: Portrayed) -> str:
    """A subject in a line: what drives it, and what there is of it."""
    subject = entry.subject
    words = f"{subject.title}: {subject.drive.about}"
    if subject.kind == "start":
        return words
    stages = "; ".join(stage_words(stage) for stage in subject.stages)
    return f"{words}, {subject.cotangents} gradients each; {subject.facts['folder']}: {stages}"


def numbers_table(entry: Portrayed) -> Table:
    """A row a quantity that is defined at some stage, a column a stage."""
    stages = entry.subject.stages
    names = [stage_words(stage) for stage in stages] if len(stages) > 1 else ["mean (least to greatest)"]
    tables = [quantities(portrait) for portrait in entry.portraits]
    rows = [(cells[0].label, *(cell.text for cell in cells)) for cells in zip(*tables, strict=True)]
    # What is told only of gradients that vanished says nothing where none did.
    rows = [row for row in rows if set(row[1:]) != {NOTHING}]
    return Table(("quantity", *names), rows, ("quantity",))


def _orbits(found: Sequence[Portrayed]) -> list[Block]:
    """What stands still or comes back under zero input, subject by subject."""
    blocks: list[Block] = []
    for entry in found:
        looked = [one for portrait in entry.portraits for one in portrait.orbits or ()]
        if not looked:
            continue
        subject = entry.subject
        rows = [
            row
            for stage, portrait in zip(subject.stages, entry.portraits, strict=True)
            for row in orbit_cells(subject, stage, stage_words(stage), portrait)
        ]
        empty = {k for k in range(len(COLUMNS)) if rows and not any(row[k] for row in rows)}
        kept = [k for k in range(len(COLUMNS)) if k not in empty]
        blocks.append(Heading(subject.title, 3))
        blocks.append(Paragraph(_searched(entry)))
        if rows:
            cells = [tuple(row[k] or NOTHING for k in kept) for row in rows[:MOST_ORBITS]]
            columns = tuple(COLUMNS[k] for k in kept)
            blocks.append(Table(columns, cells, ("stage", "what it is", "output there")))
        if len(rows) > MOST_ORBITS:
            blocks.append(Paragraph(f"{len(rows) - MOST_ORBITS} more are in orbits.csv."))
    return [Heading("Fixed points and cycles under zero input"), *blocks] if blocks else []


def _searched(entry: Portrayed) -> str:
    looked = [one for portrait in entry.portraits for one in portrait.orbits or ()]
    longest = max(one.period for one in looked)
    what = "Fixed points" if longest == 1 else f"Fixed points and cycles of up to {longest} steps"
    draws = len({one.draw for one in looked})
    first = "the first draw" if draws == 1 else f"the first {draws} draws"
    of = f" of {first}" if entry.subject.kind == "start" else ""
    if all(one.exhaustive for one in looked):
        return f"{what}{of}: every linear region was looked at, so these are all."
    words = sum(one.examined for one in looked)
    return f"{what}{of}, by a search through {words:,} words of linear regions: there may be more."
