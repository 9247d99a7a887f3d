"""What goes where in the picture of the grids: the settings across and down, the models of a line, all sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from nprnn.errors import unknown
from nprnn.experiments.findings import Cell, Findings
from nprnn.reporting.ruler import Ruler
from nprnn.reporting.selection.ranges import Ranges
from nprnn.reporting.selection.words import brief, grids_of, paper_setting, whole
from nprnn.reporting.sheet import plain

# All in inches; the picture is made to be printed at its size.
WIDTH = 10.0
MARGIN = 0.2
LINE = 0.2
GAP = 0.12
MARK = (0.36, 0.25)
LEAST = 0.345
"""A narrower cell has no room for its number."""
_WIDEST, _HIGH = 0.5, 0.31
_BAR = 2.2
_LONGEST = 12


@dataclass(frozen=True)
class GridPlan:
    """What goes where.

    Attributes:
        findings: of the experiment.
        arms: those to draw.
        models: those that any of them takes.
        across: the setting whose values go across.
        columns: its values.
        down: the names of all others.
        rows: their values, crossed.
        per_line: models side by side.
        cell: width and height of one.
        gutter: room for the names of rows.
        ticks: room for the values across, more than a line where they stand upright.
        decimals: of the numbers in percent.
        title: its lines.
        words: arm to the lines about it.
        marks: lines of signs, each with its words and its place from the left.
        ranges: the panel below.
    """

    findings: Findings
    arms: tuple[str, ...]
    models: tuple[str, ...]
    across: str
    columns: list[Any]
    down: str
    rows: list[dict[str, Any]]
    per_line: int
    cell: tuple[float, float]
    gutter: float
    ticks: float
    decimals: int
    title: list[str]
    words: Mapping[str, list[str]]
    marks: list[list[tuple[str, str, float]]]
    ranges: Ranges

    @classmethod
    def of(cls, findings: Findings, arms: Sequence[str] | None) -> GridPlan:
        """The plan for some arms; None takes those that choose.

        Raises:
            ConfigError: an arm that the experiment does not have.
        """
        experiment, ruler = findings.experiment, Ruler()
        names = tuple(experiment.choose_by if arms is None else arms)
        known = [arm.name for arm in experiment.arms]
        for name in names:
            if name not in known:
                raise unknown("arm", name, known)
        taken = {model for name in names for model in experiment.models_of(experiment.arm(name))}
        models = tuple(model for model in experiment.models if model in taken)
        across, *rest = experiment.grid
        columns = list(experiment.grid[across])
        rows = [dict(zip(rest, values, strict=True)) for values in product(*(experiment.grid[key] for key in rest))]
        down = ", ".join(rest)
        labels = [*map(row_words, rows), down, across]
        gutter = min(max((ruler.width(plain(label), 9.5) for label in labels), default=0.0), 1.7) + 0.12
        wide = WIDTH - 2 * MARGIN - gutter
        most = max(1, int((wide + GAP) / (len(columns) * LEAST + GAP)))
        per_line = math.ceil(len(models) / math.ceil(len(models) / most))
        cell = min(_WIDEST, (wide - (per_line - 1) * GAP) / per_line / len(columns))
        widest = max(ruler.width(tick_words(value), 9) for value in columns)
        tall = any(cell.diverged and cell.accuracy is not None for name in names for cell in _cells(findings, name))
        decimals = decimals_for(findings, names)
        return cls(
            findings,
            names,
            models,
            across,
            columns,
            down,
            rows,
            per_line,
            (cell, _HIGH + 0.13 * tall),
            gutter,
            0.24 if widest < cell - 0.03 else widest + 0.12,
            decimals,
            ruler.lines(plain(experiment.title), wide + gutter, 14, most=2, fontweight="bold"),
            {name: ruler.lines(plain(experiment.arm(name).about), wide + gutter, 10, most=2) for name in names},
            _marks(marks_in(findings, names), ruler),
            # Arms that choose nothing depart from those that do, so their ranges want these beside them.
            Ranges.of(findings, list(dict.fromkeys([*experiment.choose_by, *names])), models, decimals, WIDTH),
        )

    @property
    def line(self) -> float:
        """A line of heat maps, from the names of the models to the values below."""
        return 0.27 + len(self.rows) * self.cell[1] + self.ticks + 0.06

    @property
    def head(self) -> float:
        """Title, scale and signs."""
        return MARGIN + 0.27 * len(self.title) + LINE + 0.33 * len(self.marks) + 0.2

    @property
    def lines(self) -> int:
        """Lines of heat maps in an arm."""
        return math.ceil(len(self.models) / self.per_line)

    def block(self, arm: str) -> float:
        """The height of an arm."""
        maps = self.lines * self.line if grids_of(self.findings, arm) else 0.0
        return LINE * (2 + len(self.words[arm])) + maps + 0.1

    @property
    def height(self) -> float:
        """Of the picture."""
        return self.head + sum(map(self.block, self.arms)) + GAP + self.ranges.height + 0.1


def _cells(findings: Findings, arm: str) -> list[Cell]:
    return [cell for grid in grids_of(findings, arm) for cell in grid.cells]


def row_words(row: Mapping[str, Any]) -> str:
    """The values of a row."""
    return ", ".join(brief(value) for value in row.values())


def tick_words(value: Any) -> str:
    """A value across."""
    text = plain(brief(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _marks(found: Mapping[str, str], ruler: Ruler) -> list[list[tuple[str, str, float]]]:
    """The signs with their words and places from the left, in lines that leave room for the colour bar."""
    lines: list[list[tuple[str, str, float]]] = [[]]
    x = 0.0
    for sign, words in found.items():
        width = MARK[0] + 0.08 + ruler.width(words, 9.5) + 0.25
        if lines[-1] and x + width > WIDTH - 2 * MARGIN - _BAR:
            lines.append([])
            x = 0.0
        lines[-1].append((sign, words, x))
        x += width
    return lines


def marks_in(findings: Findings, arms: Sequence[str]) -> dict[str, str]:
    """The signs in the heat maps of some arms, and what each says."""
    grids = [grid for arm in arms for grid in grids_of(findings, arm)]
    cells = [cell for grid in grids for cell in grid.cells]
    found = {"frame": _frame(findings, arms)} if any(grid.chosen for grid in grids) else {}
    if any(paper_setting(findings.experiment, grid.model) for grid in grids):
        found["corner"] = "the paper's choice"
    if any(cell.diverged for cell in cells):
        found["×k"] = "k runs diverged"
    if any(cell.missing and (cell.accuracy is not None or cell.diverged) for cell in cells):
        found["*"] = "some runs are missing"
    if any(cell.accuracy is None and not cell.diverged for cell in cells):
        found["–"] = "no run has ended"
    return found


def _frame(findings: Findings, arms: Sequence[str]) -> str:
    if not all(whole(findings, arm) for arm in arms if grids_of(findings, arm)):
        return "the best on validation so far"
    return "chosen, the best on validation" if set(arms) & set(findings.experiment.choose_by) else "the best setting"


def decimals_for(findings: Findings, arms: Sequence[str]) -> int:
    """How many decimals of a percent are shown: none where whole percents tell settings apart, else one."""
    grids = [grid for arm in arms for grid in grids_of(findings, arm)]
    known = [cell.accuracy for grid in grids for cell in grid.cells if cell.accuracy is not None]
    close = bool(known) and max(known) - min(known) < 0.1
    return 1 if close or any(0.995 <= value < 1 or 0 < value < 0.005 for value in known) else 0
