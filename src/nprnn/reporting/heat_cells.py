"""Cells of a heat map: a colour, words that can be read on it, a hatch for what is not whole, frames and corners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NO_MEAN = (0.88, 0.88, 0.88, 1.0)
"""The colour of a cell that has no mean."""

# The relative luminance at which black and white text have the same contrast, 4.6.
_EVEN = 0.179


def paint(
    axes: Axes, x: float, y: float, face: Sequence[float], words: str, *, hatched: bool = False, size: float = 10
) -> None:
    """Draw the cell around (x, y), one unit wide and high, with words in it."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    ink, corner = ink_on(face), (x - 0.5, y - 0.5)
    edge = (*to_rgb(ink), 0.45)
    hatch = "///" if hatched else None
    axes.add_patch(Rectangle(corner, 1, 1, facecolor=face, edgecolor=edge, linewidth=0, hatch=hatch))
    axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="white", linewidth=0.8))
    box: dict[str, Any] | None = {"facecolor": face, "edgecolor": "none", "pad": 1.0} if hatched else None
    axes.text(x, y, words, ha="center", va="center", fontsize=size, color=ink, linespacing=0.95, bbox=box)


def frame(axes: Axes, x: float, y: float) -> None:
    """Frame the cell around (x, y); black on white is seen on every colour."""
    from matplotlib.patches import Rectangle

    for colour, width in (("white", 5.0), ("black", 2.5)):
        corner = (x - 0.45, y - 0.43)
        axes.add_patch(Rectangle(corner, 0.9, 0.86, fill=False, edgecolor=colour, linewidth=width, zorder=3))


def ink_on(face: Sequence[float]) -> str:
    """Black or white, whichever is read more easily on a colour."""
    return "black" if _luminance(face) > _EVEN else "white"


def _luminance(colour: Sequence[float]) -> float:
    """Relative luminance of an sRGB colour, as the contrast rules for web pages have it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
