"""A figure that is laid out in inches, text that is cut to its room, and labels that keep apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text


@dataclass(frozen=True)
class Sheet:
    """A figure measured in inches from its lower left corner.

    Attributes:
        figure: it.
        width: of the figure.
        height: of the figure.
    """

    figure: Figure
    width: float
    height: float

    @classmethod
    def of(cls, width: float, height: float) -> Sheet:
        """An empty one."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height))
        # Text can be measured only where it is known what will draw it.
        FigureCanvasAgg(figure)
        return cls(figure, width, height)

    def axes(self, left: float, bottom: float, width: float, height: float) -> Axes:
        """New axes there."""
        box = (left / self.width, bottom / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(box)

    def text(self, x: float, y: float, words: str, **look: Any) -> Text:
        """Words whose middle line is at y; what they hold is never taken for a formula."""
        return self.figure.text(x / self.width, y / self.height, words, va="center", parse_math=False, **look)

    def line(self, xs: Sequence[float], ys: Sequence[float], **look: Any) -> None:
        """A line through points."""
        from matplotlib.lines import Line2D

        self.figure.add_artist(Line2D([x / self.width for x in xs], [y / self.height for y in ys], **look))

    def fit(self, text: Text, room: float, tail: str = "") -> None:
        """Put a tail behind a text, and cut the text before it until both are no wider than there is room."""
        head = text.get_text()
        if self._fits(text, head + tail, room):
            return
        low, high = 0, len(head) - 1
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._fits(text, f"{head[:middle]}…{tail}", room) else (low, middle - 1)
        text.set_text(f"{head[:low].rstrip()}…{tail}")

    def _fits(self, text: Text, words: str, room: float) -> bool:
        text.set_text(words)
        return bool(text.get_window_extent().width <= room * self.figure.dpi)


def plain(text: str) -> str:
    """A stranger's text without what breaks a line."""
    return "".join(c if c.isprintable() else " " for c in text)


def apart(wishes: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places between ``low`` and ``high`` that keep apart, as near to the wishes as that allows, in their order.

    Args:
        wishes: ascending.
        gap: between two neighbours; less where there is no room.
        low: the least place.
        high: the greatest.

    Returns:
        The places, least squares from the wishes.
    """
    gap = min(gap, (high - low) / max(len(wishes) - 1, 1))
    # Isotonic regression of how far wishes are beyond an even row: those that would collide move as one block.
    blocks: list[tuple[float, int]] = []
    for k, wish in enumerate(wishes):
        mean, size = wish - k * gap, 1
        while blocks and blocks[-1][0] > mean:
            other, more = blocks.pop()
            mean, size = (mean * size + other * more) / (size + more), size + more
        blocks.append((mean, size))
    row = [mean for mean, size in blocks for _ in range(size)]
    most = high - (len(wishes) - 1) * gap
    return [min(max(place, low), most) + k * gap for k, place in enumerate(row)]
