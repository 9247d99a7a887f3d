"""The page of an analysis as blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nprnn.reporting.blocks import Block, Bullets, Code, Heading, Notice, Paragraph, Picture, Table
from nprnn.reporting.dynamics.numbers import NOTHING, quantities
from nprnn.reporting.dynamics.orbits import COLUMNS, orbit_cells
from nprnn.reporting.dynamics.rows import Portrayed, stage_words
from nprnn.reporting.dynamics.tables import analysis_csv
from nprnn.reporting.experiment_page import how_to_redo, what_computed_it
from nprnn.reporting.explorer import explorer_address
from nprnn.reporting.members import LeftOut

# Of fixed points and cycles a page shows so many a subject; the files have all.
MOST_ORBITS = 30
# Some browsers refuse to save a link of more than 2 MB; base64 makes four of three.
_LONGEST_LINK = 1_200_000
# Of two subjects or more, what is set side by side.
_COLUMNS = {
    "growth": "gradient, growth per step",
    "far_growth": "far from the loss",
    "vanished": "became exactly 0",
    "log10_state_first": "‖h_1‖",
    "log10_state_last": "‖h_T‖",
    "radius": "ρ(W)",
    "active_radius": "ρ(D W)",
}
_BESIDE = (
    "Means with the least and the greatest sample, over those gradients that did not become exactly 0. Far from the "
    "loss: the slope over the (at most) 100 steps furthest from it. ρ: spectral radius."
)
_EXPLORE = (
    "With two units all of this can be seen in a plane. This command writes a page with sliders for W and b, on which "
    "two units move as the paper draws it and as a network does:"
)
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
    "training": "At the start and each checkpoint. In between nothing is known: the dots are joined for the eye.",
}
_ALT = {
    "spectra": "Eigenvalues, singular values and Lyapunov exponents",
    "carried": "States, gradients and changes of the input over time",
    "units": "Units that are on, and the active part's spectral radius",
    "training": "What training did to these numbers",
}


def analysis_blocks(
    found: Sequence[Portrayed],
    left_out: Sequence[LeftOut],
    command: str,
    env: Mapping[str, Any],
    *,
    brief: bool = False,
) -> list[Block]:
    """The page as blocks, from which both forms are made.

    Args:
        found: subjects with their portraits.
        left_out: what could not be analysed, and why.
        command: what redoes it.
        env: what computed it.
        brief: without pictures and what is behind them.
    """
    trained = any(len(entry.portraits) > 1 for entry in found)
    blocks: list[Block] = [
        Heading(f"nprnn analyse: {', '.join(dict.fromkeys(entry.subject.model for entry in found))}", 1),
        *(Notice(f"LEFT OUT: {entry.folder}: {entry.reason}") for entry in left_out),
        *(Notice(f"{entry.subject.title}: {told}") for entry in found for told in entry.subject.notices),
        Bullets([about(entry) for entry in found]),
        Paragraph(WHAT),
    ]
    if len(found) > 1:
        blocks += [Heading("Side by side"), beside(found), Paragraph(_BESIDE)]
    names = ("spectra", "carried", "units", *(("training",) if trained else ()))
    headings = ("Spectra", "What is carried over time", "Which units are on", "Over training")
    for name, heading in zip(() if brief else names, headings, strict=False):
        blocks += [Heading(heading), Picture(name, _ALT[name], CAPTIONS[name])]
    blocks.append(Heading("In numbers"))
    for entry in found:
        blocks += [Heading(entry.subject.title, 3), numbers_table(entry)]
    blocks += _orbits(found)
    blocks += [Heading("Two units, to be moved by hand"), Paragraph(_EXPLORE), Code("nprnn explore"), *_openings(found)]
    files = analysis_csv(found, brief=brief)
    small = {name: text for name, text in files.items() if len(text) <= _LONGEST_LINK}
    blocks += how_to_redo(command, "", "The numbers" if brief else "The numbers behind the pictures", small)
    if large := [name for name in files if name not in small]:
        blocks.append(Paragraph(f"Too large for a page, and written by --csv FOLDER: {', '.join(large)}."))
    return blocks + what_computed_it(env)


def about(entry: Portrayed) -> str:
    """A subject in a line: what drives it, and what there is of it."""
    subject = entry.subject
    words = f"{subject.title}: {subject.drive.about}"
    if subject.kind == "start":
        return words
    told = [stage_words(stage) for stage in subject.stages if stage.told]
    if snapshots := len(subject.stages) - len(told):
        told.append(f"{snapshots} snapshot{'s' if snapshots > 1 else ''} in between")
    stages = "; ".join(told)
    gradients = f"{subject.cotangents} gradient{'s' if subject.cotangents > 1 else ''} each"
    return f"{words}, {gradients}; {subject.facts['folder']}: {stages}"


def beside(found: Sequence[Portrayed]) -> Table:
    """A row a subject at its last stage, and at its first where it has several; a column a quantity that tells most."""
    rows = []
    for entry in found:
        for stage, portrait, _ in entry.shown:
            known = {q.key: q.text for q in quantities(portrait)}
            if known["growth_until"] != NOTHING:
                known["vanished"] += f", ×{known['growth_until']} a step until then"
            title = entry.subject.title
            name = title if len(entry.portraits) == 1 else f"{title}, {stage_words(stage)}"
            rows.append((name, *(known[key] for key in _COLUMNS)))
    # Cells are a mean with its range: they may be broken like words.
    columns = ("network", *_COLUMNS.values())
    return Table(columns, rows, columns)


def numbers_table(entry: Portrayed) -> Table:
    """A row a quantity that is defined at some stage, a column a stage that is no snapshot."""
    pairs = [pair for pair in zip(entry.subject.stages, entry.portraits, strict=True) if pair[0].told]
    names = [stage_words(stage) for stage, _ in pairs] if len(pairs) > 1 else ["mean (least to greatest)"]
    tables = [quantities(portrait) for _, portrait in pairs]
    rows = [(cells[0].label, *(cell.text for cell in cells)) for cells in zip(*tables, strict=True)]
    # What is told only of gradients that vanished says nothing where none did.
    rows = [row for row in rows if set(row[1:]) != {NOTHING}]
    columns = ("quantity", *names)
    return Table(columns, rows, columns)


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
            if stage.told
            for row in orbit_cells(subject, stage, stage_words(stage), portrait)
        ]
        blocks.append(Heading(subject.title, 3))
        blocks.append(Paragraph(_searched(entry) + ("" if rows else " None was found.")))
        if rows:
            # A column that says the same of all, or nothing, is left out.
            single = {"stage": subject.kind == "start", "draw": len({one.draw for one in looked}) == 1}
            empty = {name for k, name in enumerate(COLUMNS) if not any(row[k] for row in rows)}
            kept = [k for k, name in enumerate(COLUMNS) if name not in empty and not single.get(name)]
            cells = [tuple(row[k] or NOTHING for k in kept) for row in rows[:MOST_ORBITS]]
            columns = tuple(COLUMNS[k] for k in kept)
            blocks.append(Table(columns, cells, ("stage", "what it is", "output there")))
        if len(rows) > MOST_ORBITS:
            blocks.append(Paragraph(f"{len(rows) - MOST_ORBITS} more are in orbits.csv."))
    return [Heading("Fixed points and cycles under zero input"), *blocks] if blocks else []


def _openings(found: Sequence[Portrayed]) -> list[Block]:
    """The explorer's address at each network of two units that it can show: a start's first draw, a run's stages."""
    rows = []
    for subject, portraits in found:
        for stage, _, _ in Portrayed(subject, portraits).shown:
            start = stage.system.ensemble is not None
            address = explorer_address(stage.system.member(0) if start else stage.system)
            if address is not None:
                rows.append((f"{subject.title}, {'first draw' if start else stage_words(stage)}", address))
    if not rows:
        return []
    words = "Put behind its name in the address bar, these open it at networks of this page, as near as its sliders go:"
    return [Paragraph(words), Table(("network", "address"), rows, ("network", "address"))]


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
    return f"{what}{of}, by a search through {words:,} choices of units that are on, step by step: there may be more."
