"""The claims of a selection experiment: paired differences with their intervals against what each claim asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from nprnn.experiments.findings import Findings, Verdict
from nprnn.experiments.spec import Claim, ClaimKind
from nprnn.reporting.ruler import Ruler
from nprnn.reporting.selection.words import difference, outcome_word
from nprnn.reporting.sheet import Sheet, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import Locator

# In inches.
_MARGIN = 0.2
_CLAIM = 3.5
_ARM = 1.3
_LINE = 0.18
_ROW = 0.27
_APART = 0.16
_HEAD = 0.3
_ABOUT = 0.2
_FOOT = 0.5
_GREY = "0.35"
_SHADED = "Shaded: a claim is shown where its whole interval lies there."
_TITLES: tuple[tuple[ClaimKind, str, str], ...] = (
    (
        "test",
        "Claims on test",
        "Test accuracy of the first model less that of the second, on the same clips and seeds.",
    ),
    (
        "spread",
        "Claims on the grid",
        "Validation accuracy of the first model's worst setting less that of the second's worst, on the same clips.",
    ),
)
# Shape and words tell them apart, colour only helps.
_LOOKS = {
    "shown": ("o", "#0072B2", "#0072B2"),
    "contradicted": ("X", "#D55E00", "#D55E00"),
    "open": ("o", "white", "0.3"),
}


@dataclass(frozen=True)
class _Part:
    """Claims of a kind, on one scale."""

    title: str
    about: list[str]
    arms: float
    words: float
    groups: tuple[tuple[Claim, list[str], tuple[Verdict, ...]], ...]

    @property
    def head(self) -> float:
        return _HEAD + _ABOUT * len(self.about)

    @property
    def body(self) -> float:
        return sum(map(_high, self.groups))

    @property
    def height(self) -> float:
        return self.head + self.body + _FOOT + 0.15


def _high(group: tuple[Claim, list[str], tuple[Verdict, ...]]) -> float:
    return max(_LINE * len(group[1]), _ROW * len(group[2])) + _APART


@dataclass(frozen=True)
class Verdicts:
    """A panel for each kind of claim, for their differences are of other sizes.

    Attributes:
        parts: a panel each.
        width: of the picture, in inches.
    """

    parts: tuple[_Part, ...]
    width: float

    @classmethod
    def of(cls, findings: Findings, width: float) -> Verdicts:
        """The panels for all verdicts."""
        ruler, parts = Ruler(), []
        for kind, title, about in _TITLES:
            found = [verdict for verdict in findings.verdicts if verdict.claim.kind == kind]
            groups = [
                (claim, ruler.lines(plain(claim.says), _CLAIM - 0.1, 10), tuple(verdicts))
                for claim, verdicts in groupby(found, key=lambda verdict: verdict.claim)
            ]
            if groups:
                lines = ruler.lines(f"{about} {_SHADED}", width - 2 * _MARGIN, 9.5)
                arms = max(ruler.width(plain(verdict.chosen_by), 9.5) for verdict in found)
                words = max(_width(verdict, ruler) for verdict in found)
                parts.append(_Part(title, lines, min(arms, _ARM) + 0.15, words + 0.4, tuple(groups)))
        return cls(tuple(parts), width)

    @property
    def height(self) -> float:
        """Of all panels, in inches."""
        return sum(part.height for part in self.parts)

    def draw(self, sheet: Sheet, top: float) -> None:
        """Draw them below ``top``."""
        for part in self.parts:
            self._draw(sheet, part, top)
            top -= part.height

    def _draw(self, sheet: Sheet, part: _Part, top: float) -> None:
        sheet.text(_MARGIN, top - 0.1, part.title, fontsize=11.5, fontweight="bold")
        for k, line in enumerate(part.about):
            sheet.text(_MARGIN, top - 0.31 - _ABOUT * k, line, fontsize=9.5)
        top -= part.head
        left, right, ruler = _MARGIN + _CLAIM + part.arms, self.width - _MARGIN - part.words, Ruler()
        axes = sheet.axes(left, top - part.body, right - left, part.body)
        low, high = _scale([verdict for _, _, verdicts in part.groups for verdict in verdicts])
        axes.set_xlim(low, high)
        axes.set_ylim(part.body, 0)
        axes.set_yticks([])
        axes.tick_params(labelsize=9.5)
        axes.xaxis.set_major_locator(_few())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:+g}".replace("-", "−") if value else "0")
        axes.set_xlabel("difference, points", fontsize=10)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.axvline(0, color="0.6", linewidth=0.8, zorder=1)
        y = 0.0
        for k, group in enumerate(part.groups):
            claim, lines, verdicts = group
            if k:
                axes.axhline(y, color="0.85", linewidth=0.8, xmin=0)
            bottom, bound = y + _high(group), 100 * claim.beyond
            axes.fill_between([bound, high], y + 0.03, bottom - 0.03, color="#E3EEF6", linewidth=0, zorder=0)
            axes.plot([bound, bound], [y + 0.03, bottom - 0.03], color="black", linewidth=1.8, zorder=2)
            at = y + _APART / 2
            for n, line in enumerate(lines):
                sheet.text(_MARGIN, top - at - (n + 0.5) * _LINE, line, fontsize=10)
            for verdict in verdicts:
                middle = at + _ROW / 2
                arm = ruler.squeezed(plain(verdict.chosen_by), part.arms - 0.1, 9.5)
                sheet.text(left - 0.08, top - middle, arm, fontsize=9.5, ha="right", color=_GREY)
                self._verdict(sheet, axes, verdict, (right + 0.12, middle), top)
                at += _ROW
            y = bottom

    def _verdict(self, sheet: Sheet, axes: Axes, verdict: Verdict, place: tuple[float, float], top: float) -> None:
        x, y = place
        word = sheet.text(x, top - y, outcome_word(verdict.outcome), fontsize=10, fontweight="bold")
        found = verdict.difference
        if found is None or verdict.outcome is None:
            word.set(color=_GREY, fontweight="normal")
            return
        marker, face, edge = _LOOKS[verdict.outcome]
        ends = [100 * found.low, 100 * found.high]
        axes.plot(ends, [y, y], color=edge, linewidth=2.2, solid_capstyle="butt", zorder=3)
        axes.vlines(ends, y - 0.05, y + 0.05, color=edge, linewidth=1.2, zorder=3)
        look: dict[str, Any] = {"markerfacecolor": face, "markeredgecolor": edge, "markeredgewidth": 1.4}
        axes.plot(100 * found.value, y, marker=marker, markersize=7, linestyle="none", zorder=4, **look)
        told = difference(found, verdict.claim.beyond)
        sheet.text(self.width - _MARGIN, top - y, told, fontsize=9.5, ha="right")


def _width(verdict: Verdict, ruler: Ruler) -> float:
    """How wide a verdict and its numbers are."""
    words = ruler.width(outcome_word(verdict.outcome), 10, fontweight="bold")
    found = verdict.difference
    return words + (0.0 if found is None else ruler.width(difference(found, verdict.claim.beyond), 9.5))


def _scale(verdicts: Sequence[Verdict]) -> tuple[float, float]:
    """The ends in points: all intervals, zero, and the bounds with room behind them."""
    ends = [0.0, *(verdict.claim.beyond for verdict in verdicts)]
    for verdict in verdicts:
        ends += [] if verdict.difference is None else [verdict.difference.low, verdict.difference.high]
    low, high = 100 * min(ends), 100 * max(ends)
    room = max(0.08 * (high - low), 0.3)
    return low - room, high + room


def _few() -> Locator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5, steps=[1, 2, 5, 10])
