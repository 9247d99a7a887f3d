"""How settings were tuned: a heat strip of trials for each series, the score of every setting, what was chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nprnn.experiments.comparison import At, ComparisonFindings, Tried, Tuned
from nprnn.reporting.blocks import Block, Heading, Paragraph, Picture, Table
from nprnn.reporting.comparison.looks import GREY, MARGIN, SMALL, Head
from nprnn.reporting.comparison.words import NOTHING, amount, place, shares
from nprnn.reporting.drawing import any_script, png
from nprnn.reporting.heat_cells import NO_MEAN, frame, paint
from nprnn.reporting.members import show
from nprnn.reporting.ruler import Ruler
from nprnn.reporting.selection.words import counted
from nprnn.reporting.sheet import Sheet, plain
from nprnn.reporting.tables import Row

# In inches.
_NARROWEST = 8.5
_CELL = (0.72, 0.3)
_WIDEST_CELL = 1.1
_TITLE = 0.34
_LINE = 0.19
_GAP = 0.25
_LONGEST_NAME = 2.2
_BAR = (1.6, 0.14)


def trial_picture(findings: ComparisonFindings) -> bytes | None:
    """Scores of the trials on the validation set: a strip a series, a cell a setting, a block a value.

    Args:
        findings: of the comparison.

    Returns:
        The PNG's bytes; None where nothing was tuned.
    """
    tune, blocks = findings.experiment.tune, _blocks(findings)
    if tune is None or not blocks:
        return None
    with any_script():
        ruler, heads = Ruler(), [_lines(setting) for setting in tune.grid]
        names = {one.series: ruler.squeezed(plain(one.series), _LONGEST_NAME, SMALL) for one in findings.tuned}
        gutter = MARGIN + max(ruler.width(name, SMALL) for name in names.values()) + 0.15
        widest = max(ruler.width(line, SMALL) for lines in heads for line in lines) + 0.1
        cell = min(max(_CELL[0], widest), _WIDEST_CELL)
        width = max(_NARROWEST, gutter + cell * len(heads) + MARGIN)
        head = Head.of(findings, width, "line", _about(findings), {})
        foot = _LINE * max(map(len, heads)) + 0.1
        high = sum(_TITLE + _CELL[1] * len(rows) + foot + _GAP for rows in blocks.values())
        sheet = Sheet.of(width, head.height + 0.35 + high)
        top = head.draw(sheet)
        _legend(sheet, findings, top)
        top -= 0.35
        for at, rows in blocks.items():
            title = plain(place(findings.experiment, at))
            sheet.text(gutter, top - _TITLE / 2, title, fontsize=11, fontweight="bold")
            top -= _TITLE
            size = (cell * len(heads), _CELL[1] * len(rows))
            axes = sheet.axes(gutter, top - size[1], *size)
            axes.set_xlim(-0.5, len(heads) - 0.5)
            axes.set_ylim(len(rows) - 0.5, -0.5)
            axes.set_axis_off()
            for y, one in enumerate(rows):
                sheet.text(gutter - 0.1, top - (y + 0.5) * _CELL[1], names[one.series], fontsize=SMALL, ha="right")
                for x, tried in enumerate(one.tried):
                    face, words = _cell(findings, tried)
                    paint(axes, x, y, face, words, hatched=bool(tried.diverged), size=9)
                    if tried is one.chosen:
                        frame(axes, x, y)
            top -= size[1]
            for x, lines in enumerate(heads):
                for k, line in enumerate(lines):
                    short = ruler.cut(line, cell - 0.04, SMALL)
                    low = top - 0.13 - k * _LINE
                    sheet.text(gutter + (x + 0.5) * cell, low, short, fontsize=SMALL, ha="center", color=GREY)
            top -= foot + _GAP
        return png(sheet.figure)


def trial_blocks(findings: ComparisonFindings) -> list[Block]:
    """How settings were chosen: the rule, the picture, a table of scores for each value; none where none were."""
    experiment, tune = findings.experiment, findings.experiment.tune
    if tune is None:
        return []
    blocks: list[Block] = [Heading("How settings were chosen"), Paragraph(_rule(findings))]
    if _blocks(findings):
        caption = f"Scores of the trials on the validation set, in {shares(experiment)}. {_TOUCHY}"
        blocks.append(Picture("trials", "Scores of the trials on the validation set", caption))
    for at, rows in _blocks(findings).items():
        blocks += [Heading(f"Trials: {place(experiment, at)}", 3), _table(findings, rows)]
    return blocks


def trial_rows(findings: ComparisonFindings) -> list[Row]:
    """A row a trial's setting, for a CSV."""
    found: list[Row] = []
    for one in findings.tuned:
        for tried in one.tried:
            row: Row = {"series": one.series, findings.experiment.axis: one.at}
            row |= {f"setting {name}": tried.setting.get(name) for name in _names(findings)}
            row |= {"score": tried.score, "scores by seed": " ".join(map(repr, tried.scores))}
            row |= {"diverged": tried.diverged, "complete": str(tried.complete).lower()}
            found.append({**row, "chosen": str(tried is one.chosen).lower()})
    return found


_TOUCHY = "The width of a series' scores over the grid tells how touchy its start is."


def _names(findings: ComparisonFindings) -> tuple[str, ...]:
    return findings.experiment.tune.names if findings.experiment.tune else ()


def _blocks(findings: ComparisonFindings) -> dict[At, list[Tuned]]:
    found: dict[At, list[Tuned]] = {}
    for one in findings.tuned:
        found.setdefault(one.at, []).append(one)
    return found


def _lines(setting: Mapping[str, Any]) -> list[str]:
    """A setting in lines: words as they are, numbers with their names."""
    return [_pair(name, value) for name, value in setting.items()]


def _pair(name: str, value: Any) -> str:
    return plain(value) if isinstance(value, str) else f"{name} {show(value)}"


def _setting(setting: Mapping[str, Any]) -> str:
    return " ".join(_lines(setting))


def _cell(findings: ComparisonFindings, tried: Tried) -> tuple[tuple[float, ...], str]:
    from matplotlib import colormaps

    of = findings.experiment.of
    if tried.score is None:
        return (1.0, 1.0, 1.0, 1.0), NOTHING
    words = _short(tried.score, of) if tried.complete else f"{_short(tried.score, of)}*"
    if tried.diverged == len(tried.scores):
        return NO_MEAN, "×"
    return tuple(colormaps["viridis"](tried.score / of)), words


def _short(score: float, of: float) -> str:
    return f"{score:.1f}" if of <= 100 else f"{score:,.0f}"


def _legend(sheet: Sheet, findings: ComparisonFindings, top: float) -> None:
    """What frames and signs mean, and the colours."""
    y, of = top - 0.14, findings.experiment.of
    axes = sheet.axes(MARGIN, y - 0.11, 0.32, 0.22)
    axes.set_xlim(-0.5, 0.5)
    axes.set_ylim(-0.5, 0.5)
    axes.set_axis_off()
    paint(axes, 0, 0, (1.0, 1.0, 1.0, 1.0), "")
    frame(axes, 0, 0)
    words = "chosen"
    if any(tried.diverged for one in findings.tuned for tried in one.tried):
        words += "    ×, hatched: diverged, counts 0"
    if any(not tried.complete for one in findings.tuned for tried in one.tried):
        words += f"    *, {NOTHING}: trials have not ended"
    sheet.text(MARGIN + 0.4, y, words, fontsize=SMALL)
    right = sheet.width - MARGIN - 0.6
    bar = sheet.axes(right - _BAR[0], y - _BAR[1] / 2, *_BAR)
    bar.imshow([[k / 255 for k in range(256)]], aspect="auto", cmap="viridis", vmin=0, vmax=1)
    bar.set_axis_off()
    sheet.text(right - _BAR[0] - 0.07, y, "0", fontsize=SMALL, ha="right")
    sheet.text(right + 0.07, y, f"{of:,.0f}", fontsize=SMALL)


def _about(findings: ComparisonFindings) -> str:
    return f"Trials, {shares(findings.experiment)} on the validation set: a row a series, a cell a setting."


def _rule(findings: ComparisonFindings) -> str:
    return " ".join(_sentences(findings))


def _sentences(findings: ComparisonFindings) -> Iterator[str]:
    experiment, tune = findings.experiment, findings.experiment.tune
    if tune is None:
        return
    trials = len(tune.grid) * len(tune.seeds)
    yield f"Equal terms: every series at every value of {experiment.axis} has {counted(trials, 'trial')}, of the same"
    yield f"{counted(len(tune.grid), 'setting')} ({', '.join(map(_setting, tune.grid))}), with"
    yield f"{'the seeds' if len(tune.seeds) > 1 else 'the seed'} {', '.join(map(str, tune.seeds))} and the test set"
    yield "withheld."
    settings = tune.of_trials(quick=findings.record.scale == "quick")
    own = ", ".join(f"{name} {show(value)}" for name, value in settings.items() if name != "withhold_test")
    if own:
        yield f"Trials: {own}."
    what = "its last evaluation" if tune.rule == "last" else "the mean of the last tenth of its evaluations"
    yield f"A trial's score is {what} on the validation set; one that diverged scores 0. The greatest mean is chosen,"
    yield "of equals the first in the order above. All choices are written to the record before the first run that is"
    yield "compared begins; these have other seeds. A second try with other choices is refused."


def _table(findings: ComparisonFindings, rows: Sequence[Tuned]) -> Table:
    grid, of = findings.experiment.tune.grid if findings.experiment.tune else (), findings.experiment.of
    heads = tuple(map(_setting, grid))
    found = []
    for one in rows:
        scores = [tried.score for tried in one.tried if tried.score is not None]
        width = f"{amount(min(scores), of)} to {amount(max(scores), of)}" if scores else NOTHING
        chosen = _setting(one.chosen.setting) if one.chosen else "not all trials have ended"
        found.append((one.series, chosen, width, *(_told(tried, of) for tried in one.tried)))
    return Table(("series", "chosen", "least to greatest", *heads), found, ("series", "chosen"))


def _told(tried: Tried, of: float) -> str:
    if tried.score is None:
        return NOTHING
    if tried.diverged == len(tried.scores):
        return "diverged"
    lost = f", {tried.diverged} diverged" if tried.diverged else ""
    return f"{amount(tried.score, of)}{lost}{'' if tried.complete else ' so far'}"
