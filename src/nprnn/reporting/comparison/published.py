"""Published results beside ours: a table with what is not comparable, and a row of open symbols for each."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nprnn.experiments.comparison import FINAL, At, Bar, ComparisonFindings, Reference
from nprnn.experiments.comparison.spec import Series
from nprnn.reporting.blocks import Block, Heading, Paragraph, Picture, Table
from nprnn.reporting.comparison.curves import along
from nprnn.reporting.comparison.looks import GREY, MARGIN, SMALL, Head, looks
from nprnn.reporting.comparison.marks import LOST
from nprnn.reporting.comparison.standing import bar_at, values
from nprnn.reporting.comparison.words import NOTHING, amount, place
from nprnn.reporting.drawing import any_script, png, spread
from nprnn.reporting.ruler import Ruler
from nprnn.reporting.sheet import Sheet, plain
from nprnn.training import TrainConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# In inches.
_PANEL = 3.7
_BETWEEN = 0.45
_ROW = 0.25
_GAP = 0.14
_TITLE = 0.34
_FOOT = 0.55
_LONGEST = 4.3
# Where nothing lies below this share, the axis begins there.
_ZOOM = 0.5


@dataclass(frozen=True)
class _Line:
    """A row: a series of ours, or a published result."""

    words: str
    ours: str = ""
    reference: Reference | None = None


def published_picture(findings: ComparisonFindings) -> bytes | None:
    """A row a series of ours, then a row a published result: dots are runs of ours, open diamonds are not ours.

    Args:
        findings: of the comparison.

    Returns:
        The PNG's bytes; None where nothing is published.
    """
    at = _at(findings)
    if not at:
        return None
    groups = _groups(findings)
    with any_script():
        ruler = Ruler()
        lines = [line for group in groups for line in group]
        words = [ruler.squeezed(plain(line.words), _LONGEST, SMALL) for line in lines]
        left = MARGIN + max(ruler.width(text, SMALL) for text in words) + 0.15
        width = left + len(at) * _PANEL + (len(at) - 1) * _BETWEEN + MARGIN + 0.1
        head = Head.of(findings, width, "line", _ABOUT, {})
        body = _ROW * len(lines) + _GAP * (len(groups) - 1)
        sheet = Sheet.of(width, head.height + _TITLE + body + _FOOT)
        head.draw(sheet)
        gaps = [k * _GAP for k, group in enumerate(groups) for _ in group]
        middles = [body - (k + 0.5) * _ROW - gap for k, gap in enumerate(gaps)]
        for middle, text in zip(middles, words, strict=True):
            sheet.text(left - 0.12, _FOOT + middle, text, fontsize=SMALL, ha="right")
        low = _low(findings, at)
        for k, value in enumerate(at):
            start = left + k * (_PANEL + _BETWEEN)
            axes = sheet.axes(start, _FOOT, _PANEL, body)
            _axis(axes, findings, low, body)
            title = plain(place(findings.experiment, value))
            sheet.text(start, _FOOT + body + _TITLE / 2, title, fontsize=11, fontweight="bold")
            for line, middle in zip(lines, middles, strict=True):
                _row(axes, findings, line, value, middle)
        counted = ruler.cut(plain(findings.experiment.counted), width - left - MARGIN, 10)
        sheet.text(left + (width - left - MARGIN) / 2, 0.16, counted, fontsize=10, ha="center")
        return png(sheet.figure)


def published_blocks(findings: ComparisonFindings) -> list[Block]:
    """The published results beside ours; none where the file names none."""
    experiment, at = findings.experiment, _at(findings)
    if not at:
        return []
    rows = []
    for series in experiment.series:
        told = [_ours(bar_at(findings, series.name, value), experiment.of) for value in at]
        rows.append((series.name, *_facts(findings, series), *told, "here", NOTHING))
    for reference in _references(findings):
        numbers = [reference.at(value) for value in at]
        told = [NOTHING if number is None else amount(number, experiment.of) for number in numbers]
        hidden, epochs = str(reference.hidden or NOTHING), str(reference.epochs or NOTHING)
        name = f"{reference.name} ({reference.kind})"
        rows.append((name, hidden, epochs, *told, reference.source, reference.apart or NOTHING))
    heads = tuple(place(experiment, value) for value in at)
    columns = ("result", "hidden", "epochs", *heads, "source", "not comparable")
    return [
        Heading("Beside published results"),
        Picture("published", "Published results and ours", _CAPTION),
        Paragraph(_CAPTION_OF_TABLE),
        Table(columns, rows, ("result", "source", "not comparable")),
    ]


_ABOUT = "Above: ours, a dot a seed, an upright line the mean. Below, open diamonds: published, not measured here."
_CAPTION = "Ours are last iterates on the test set. Diamonds are what their sources print, whatever they trained how."
_CAPTION_OF_TABLE = (
    "Plain RNN: one recurrent layer of plain units, as ours. What a source does not say, or we do not know, is –. None "
    "of the published was tuned by our rule or judged by our code."
)


def _at(findings: ComparisonFindings) -> list[At]:
    """Values that something is published of."""
    references = findings.experiment.references
    known = [value.name for value in findings.experiment.values] or values(findings)
    return [at for at in known if any(reference.at(at) is not None for reference in references)]


def _references(findings: ComparisonFindings) -> list[Reference]:
    """Plain RNNs first, as the file has them."""
    return sorted(findings.experiment.references, key=lambda reference: reference.kind != "plain RNN")


def _groups(findings: ComparisonFindings) -> list[list[_Line]]:
    ours = [_Line(f"{series.name}, here", series.name) for series in findings.experiment.series]
    found = [ours]
    for kind in ("plain RNN", "other"):
        references = [reference for reference in findings.experiment.references if reference.kind == kind]
        lines = [_Line(_name(reference), reference=reference) for reference in references]
        found += [lines] if lines else []
    return found


def _name(reference: Reference) -> str:
    epochs = f", {reference.epochs} epochs" if reference.epochs else ""
    hidden = f", {reference.hidden} units" if reference.hidden else ""
    return f"{reference.name}{hidden}{epochs}; {reference.source}"


def _facts(findings: ComparisonFindings, series: Series) -> tuple[str, str]:
    """Hidden units of a series of ours, and the epochs of its runs that finished."""
    experiment, runs = findings.experiment, findings.record.runs
    hidden = {**experiment.settings, **series.settings}.get("hidden", TrainConfig.hidden)
    updates = sorted({run.update for run in runs if run.series == series.name and run.state == "finished"})
    epochs = ", ".join(f"{along(findings, update):g}" for update in updates) if experiment.epoch else ""
    return str(hidden), epochs or NOTHING


def _ours(bar: Bar | None, of: float) -> str:
    return "not run" if bar is None else f"{amount(bar.mean(), of)} (n = {bar.n})"


def _low(findings: ComparisonFindings, at: list[At]) -> float:
    """Where the axis begins: at nothing, or halfway where all is beyond."""
    found = [reference.at(value) for reference in findings.experiment.references for value in at]
    for series in findings.experiment.series:
        for value in at:
            if bar := bar_at(findings, series.name, value):
                found += bar.values[FINAL]
    numbers = [number for number in found if number is not None and math.isfinite(number)]
    half = _ZOOM * findings.experiment.of
    return half if numbers and min(numbers) > half else 0.0


def _axis(axes: Axes, findings: ComparisonFindings, low: float, body: float) -> None:
    axes.set_xlim(low, findings.experiment.of)
    axes.set_ylim(0, body)
    axes.set_yticks([])
    axes.tick_params(labelsize=SMALL, length=0)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    if findings.constant > low:
        axes.axvline(findings.constant, color=GREY, linewidth=1.1, linestyle=(0, (4, 2)), zorder=1.5)


def _row(axes: Axes, findings: ComparisonFindings, line: _Line, at: At, y: float) -> None:
    axes.axhline(y, color="0.93", linewidth=0.6, zorder=0.2)
    look: dict[str, Any] = {"linestyle": "none", "clip_on": False, "zorder": 4}
    if line.reference is not None:
        if (number := line.reference.at(at)) is not None:
            axes.plot([number], [y], marker="D", markersize=6, mfc="white", mec=GREY, mew=1.3, **look)
        return
    bar = bar_at(findings, line.ours, at)
    if bar is None:
        quiet: dict[str, Any] = {"ha": "left", "va": "center", "fontsize": 8.5, "color": "0.4"}
        axes.text(0.01, y, "not run", transform=axes.get_yaxis_transform(), **quiet)
        return
    colour, offsets = looks(findings.experiment)[line.ours].colour, spread(bar.n)
    for seed, value, offset in zip(bar.seeds, bar.values[FINAL], offsets, strict=True):
        place_of = y + 0.5 * _ROW * (offset - statistics.fmean(offsets))
        if seed in bar.diverged:
            axes.plot([value], [place_of], marker="X", markersize=6, mfc=LOST, mec="white", **look)
        else:
            axes.plot([value], [place_of], marker="o", markersize=4.5, mfc=colour, mec="white", mew=0.6, **look)
    axes.vlines(bar.mean(), y - 0.4 * _ROW, y + 0.4 * _ROW, color="black", linewidth=1.8, zorder=5)
