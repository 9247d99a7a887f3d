"""A picture with a row a subject and a column a quantity; rows of equal sizes share the axes of a column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from nprnn.reporting.drawing import bare, png
from nprnn.reporting.dynamics.portrait import Portrait
from nprnn.reporting.dynamics.subjects import Stage, Subject
from nprnn.reporting.sheet import Sheet, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import Locator

# Before and after; the dashes say the same in grey.
BEFORE: Mapping[str, Any] = {"color": "#0072B2", "linestyle": (0, (4, 1.6))}
AFTER: Mapping[str, Any] = {"color": "#D55E00", "linestyle": "-"}

# In inches.
_LEFT, _RIGHT, _GAP = 0.72, 0.18, 0.8
_TITLE, _HIGH, _BELOW, _TOP = 0.34, 2.05, 0.62, 0.12
_WIDTH = 10.4
# Powers of ten below which one subject's curve is cut where others need less.
_FARTHEST = 60.0


class Portrayed(NamedTuple):
    """A subject with the portraits of its stages, in their order."""

    subject: Subject
    portraits: tuple[Portrait, ...]

    @property
    def shown(self) -> list[tuple[Stage, Portrait, Mapping[str, Any]]]:
        """The first stage and, where there are several, the last, each with its look."""
        pairs = list(zip(self.subject.stages, self.portraits, strict=True))
        if len(pairs) == 1:
            return [(*pairs[0], {**BEFORE, "linestyle": "-"})]
        return [(*pairs[0], BEFORE), (*pairs[-1], AFTER)]


def told_apart(found: Sequence[Portrayed]) -> list[Portrayed]:
    """The same, with the folder in the title of runs whose titles are the same."""
    counts = Counter(entry.subject.title for entry in found)
    return [
        entry._replace(subject=replace(entry.subject, title=f"{entry.subject.title}, {entry.subject.facts['folder']}"))
        if counts[entry.subject.title] > 1 and "folder" in entry.subject.facts
        else entry
        for entry in found
    ]


@dataclass(frozen=True)
class Column:
    """What a column shows.

    Attributes:
        title: above its first panel.
        across: name of the axis across.
        up: name of the axis upwards.
        square: whether both axes have the same unit; all such columns share them.
        least: the least length of the axis upwards: smaller differences are not worth a look, and rounding is smaller.
    """

    title: str
    across: str
    up: str
    square: bool = False
    least: float = 0.0


class Rows:
    """The picture while it is drawn.

    Args:
        found: subjects, a row each.
        columns: from left to right.
    """

    def __init__(self, found: Sequence[Portrayed], columns: Sequence[Column]) -> None:
        self.columns = columns
        self.kinds = [(entry.subject.hidden, entry.portraits[0].steps) for entry in found]
        step = (_WIDTH - _LEFT - _RIGHT + _GAP) / len(columns)
        self._wide = step - _GAP
        self._row = _TITLE + 0.26 + _HIGH + _BELOW
        self.sheet = Sheet.of(_WIDTH, _TOP + len(found) * self._row)
        self.panels: list[list[Axes]] = []
        for n, (subject, portraits) in enumerate(found):
            top = self.sheet.height - _TOP - n * self._row
            title = self.sheet.text(0.15, top - 0.14, plain(subject.title), fontsize=12, fontweight="bold")
            self.sheet.fit(title, 5.4)
            if len(portraits) > 1:
                self._key(top - 0.14, Portrayed(subject, portraits))
            self.panels.append([self._panel(k, top, column) for k, column in enumerate(columns)])
            for k, column in enumerate(columns):
                self.sheet.text(_LEFT + k * step, top - _TITLE - 0.1, column.title, fontsize=10.5)

    def _panel(self, k: int, top: float, column: Column) -> Axes:
        bottom = top - _TITLE - 0.26 - _HIGH
        axes = self.sheet.axes(_LEFT + k * (self._wide + _GAP), bottom, self._wide, _HIGH)
        bare(axes)
        if not column.square:
            axes.xaxis.set_major_locator(whole())
        axes.tick_params(labelsize=9)
        axes.set_xlabel(column.across, fontsize=9.5)
        axes.set_ylabel(column.up, fontsize=9.5)
        return axes

    def _key(self, y: float, found: Portrayed) -> None:
        """Which line is which, at the right of a row's title."""
        x = _WIDTH - _RIGHT
        for stage, _, look in reversed(found.shown):
            text = self.sheet.text(x, y, stage_words(stage), fontsize=10, ha="right")
            x -= float(text.get_window_extent().width) / self.sheet.figure.dpi + 0.12
            self.sheet.line([x - 0.45, x], [y, y], linewidth=2.2, **look)
            x -= 0.7

    def finish(self) -> bytes:
        """Give panels that compare the same axes, and all square ones; returns the PNG's bytes."""
        for k, column in enumerate(self.columns):
            if not column.square:
                for kind in dict.fromkeys(self.kinds):
                    panels = [row[k] for row, own in zip(self.panels, self.kinds, strict=True) if own == kind]
                    self._alike(panels, column.least)
        square = [axes for row in self.panels for axes, c in zip(row, self.columns, strict=True) if c.square]
        if square:
            reach = max(max(map(abs, (*axes.get_xlim(), *axes.get_ylim()))) for axes in square)
            # What is reached must fit along the shorter side.
            shorter = min(self._wide, _HIGH)
            for axes in square:
                axes.set_ylim(-reach * _HIGH / shorter, reach * _HIGH / shorter)
                axes.set_xlim(-reach * self._wide / shorter, reach * self._wide / shorter)
        return png(self.sheet.figure)

    @staticmethod
    def _alike(panels: Sequence[Axes], least: float) -> None:
        for along in ("x", "y"):
            ends = [getattr(axes, f"get_{along}lim")() for axes in panels]
            low, high = min(low for low, _ in ends), max(high for _, high in ends)
            # One that goes far beyond all others must not flatten them.
            low = max(low, min(-_FARTHEST, max(low for low, _ in ends)))
            short = least - (high - low) if along == "y" else 0.0
            if short > 0:
                low, high = low - short / 2, high + short / 2
            for axes in panels:
                getattr(axes, f"set_{along}lim")(low, high)


def whole() -> Locator:
    """Ticks at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(6, integer=True)


def stage_words(stage: Stage) -> str:
    """Such as "before training" or "last, update 24,000"."""
    return "before training" if stage.update == 0 else f"{stage.name}, update {stage.update:,}"


def band(axes: Axes, x: Tensor, values: Tensor, look: Mapping[str, Any]) -> None:
    """Samples [S, N] as their mean, and a band from the least to the greatest; what is not finite is left out."""
    mean, low, high = spread(values)
    if not len(values):
        return
    if len(values) > 1:
        axes.fill_between(x.numpy(), low.numpy(), high.numpy(), color=look["color"], alpha=0.16, linewidth=0)
    axes.plot(x.numpy(), mean.numpy(), linewidth=1.9, **look)


def spread(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The mean, least and greatest of the finite ones of samples [S, N], each [N]; NaN where there is none."""
    finite = values.isfinite()
    count = finite.sum(0)
    mean = torch.where(finite, values, 0.0).sum(0) / count
    low = torch.where(finite, values, torch.inf).amin(0) if len(values) else mean
    high = torch.where(finite, values, -torch.inf).amax(0) if len(values) else mean
    return mean, torch.where(count > 0, low, torch.nan), torch.where(count > 0, high, torch.nan)
