"""How series look in all pictures of a comparison, and what stands above each picture: title, scale, legend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from nprnn.experiments.comparison import Comparison, ComparisonFindings
from nprnn.models import MODELS
from nprnn.reporting.comparison.standing import scale_words
from nprnn.reporting.drawing import COLOURS
from nprnn.reporting.ruler import Ruler
from nprnn.reporting.sheet import Sheet, plain

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

MARGIN = 0.2
GREY = "0.35"
SMALL = 9.5
# Okabe and Ito's grey is their eighth colour.
_COLOURS = (*COLOURS, "#8A8A8A")
# Hatch and line of the first series of a colour, of the second, and so on.
_PUBLISHED = (("", "-"), ("......", "-."), ("oo", (0, (6, 1, 1, 1, 1, 1))))
_OURS = (("//////", "--"), ("\\\\\\\\\\\\", (0, (1, 1))), ("xxxx", (0, (5, 1, 1, 1))))
_ROW = 0.23
_LONGEST_NAME = 2.2
_MOST_SERIES = 12
Kind = Literal["bar", "line"]


@dataclass(frozen=True)
class Look:
    """Of a series.

    Attributes:
        colour: of bar and line.
        hatch: of a bar; "" is filled.
        style: of a line.
    """

    colour: str
    hatch: str
    style: Any

    @property
    def bar(self) -> dict[str, Any]:
        """For a patch."""
        return {"facecolor": "white" if self.hatch else self.colour, "edgecolor": self.colour, "hatch": self.hatch}


def looks(experiment: Comparison) -> dict[str, Look]:
    """A look for each series: models of the package have the same colour in every experiment.

    What the paper's figure lacks is hatched, and its lines are dashed.
    """
    names = [series.name for series in experiment.series]
    known = list(MODELS) if all(name in MODELS for name in names) else names
    found, taken = {}, Counter[tuple[str, bool]]()
    for name in names:
        colour, published = _COLOURS[known.index(name) % len(_COLOURS)], in_paper(experiment, name)
        kinds = _PUBLISHED if published else _OURS
        found[name] = Look(colour, *kinds[taken[colour, published] % len(kinds)])
        taken[colour, published] += 1
    return found


def many(experiment: Comparison) -> bool:
    """Whether there are more series than bars side by side and curves in one panel can show."""
    return len(experiment.series) > _MOST_SERIES


def shades(experiment: Comparison) -> dict[str, Look]:
    """A look for each value of the first setting that was crossed; none where nothing was."""
    if not experiment.cross:
        return {}
    values = dict.fromkeys(experiment.factors(series)[1] for series in experiment.series)
    styles = [style for _, style in (*_PUBLISHED, *_OURS)]
    return {
        value: Look(_COLOURS[k % len(_COLOURS)], "", styles[k // len(_COLOURS) % len(styles)])
        for k, value in enumerate(values)
    }


def in_paper(experiment: Comparison, name: str) -> bool:
    """Whether the paper's figure has a series; with no figure, nothing is told apart."""
    return experiment.paper is None or name in experiment.paper.bars


@dataclass(frozen=True)
class Head:
    """Title, scale and legend above a picture.

    Attributes:
        title: its lines.
        about: lines below it.
        rows: of the legend, each of names and how far from the left they stand.
        kind: of the legend's samples.
        entries: of the legend, each with its look.
    """

    title: Sequence[str]
    about: Sequence[str]
    rows: Sequence[Sequence[tuple[str, float]]]
    kind: Kind
    entries: Mapping[str, Look]

    @classmethod
    def of(
        cls,
        findings: ComparisonFindings,
        width: float,
        kind: Kind,
        about: str,
        entries: Mapping[str, Look] | None = None,
    ) -> Head:
        """The head of a picture.

        Args:
            findings: of the comparison.
            width: of the picture, in inches.
            kind: of the legend's samples.
            about: what the picture shows; the scale stands before it.
            entries: of the legend; None takes the series.
        """
        entries = looks(findings.experiment) if entries is None else entries
        ruler, room = Ruler(), width - 2 * MARGIN
        title = ruler.lines(plain(findings.experiment.title), room, 14, most=2, fontweight="bold")
        # A value and its number stay on one line.
        words = f"{plain(scale_words(findings))} {plain(about)}".replace(" = ", "\xa0=\xa0")
        lines = ruler.lines(words, room, 10.5, most=5)
        rows: list[list[tuple[str, float]]] = [[]] if entries else []
        x = 0.0
        for name in entries:
            wide = 0.38 + min(ruler.width(plain(name), SMALL), _LONGEST_NAME) + 0.25
            if rows[-1] and x + wide - 0.25 > room:
                rows.append([])
                x = 0.0
            rows[-1].append((name, x))
            x += wide
        return cls(title, lines, rows, kind, entries)

    @property
    def height(self) -> float:
        """In inches, with the upper margin."""
        return MARGIN + 0.27 * len(self.title) + 0.2 * len(self.about) + 0.08 + _ROW * len(self.rows) + 0.05

    def draw(self, sheet: Sheet) -> float:
        """Draw it at the upper edge; returns where it ends."""
        top = sheet.height - MARGIN
        for line in self.title:
            sheet.text(MARGIN, top - 0.12, line, fontsize=14, fontweight="bold")
            top -= 0.27
        for line in self.about:
            sheet.text(MARGIN, top - 0.1, line, fontsize=10.5)
            top -= 0.2
        top -= 0.08
        ruler = Ruler()
        for row in self.rows:
            for name, x in row:
                self._sample(sheet, self.entries[name], MARGIN + x, top - _ROW / 2)
                words = ruler.squeezed(plain(name), _LONGEST_NAME, SMALL)
                sheet.text(MARGIN + x + 0.38, top - _ROW / 2, words, fontsize=SMALL)
            top -= _ROW
        return top - 0.05

    def _sample(self, sheet: Sheet, look: Look, x: float, y: float) -> None:
        if self.kind == "line":
            sheet.line([x, x + 0.32], [y, y], color=look.colour, linestyle=look.style, linewidth=2.2)
        else:
            add(sheet, box(sheet, x, y - 0.065, 0.32, 0.13, linewidth=0.8, **look.bar))


def of_counts(axes: Axes, experiment: Comparison, constant: float) -> None:
    """Make the y axis that of counts from nothing to all, with the constant answer's line."""
    axes.set_ylim(0, experiment.of)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL, length=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1000 else f"{value:.4g}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.axhline(constant, color=GREY, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1.5)


def box(sheet: Sheet, left: float, bottom: float, width: float, height: float, **look: Any) -> Artist:
    """A rectangle on a sheet, in inches."""
    from matplotlib.patches import Rectangle

    corner, size = (left / sheet.width, bottom / sheet.height), (width / sheet.width, height / sheet.height)
    return Rectangle(corner, *size, transform=sheet.figure.transFigure, **look)


def add(sheet: Sheet, artist: Artist) -> None:
    """Put an artist on a sheet."""
    sheet.figure.add_artist(artist)
