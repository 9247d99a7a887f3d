"""What the pictures share: colours that the colour-blind tell apart, markers beside them, axes, PNG."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette without its yellow, which is too pale for a line; a style or marker tells the same in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "d")
# Errors so many times the constant answer's are drawn at the edge: a run that went astray would squeeze all others.
_FARTHEST = 10


@dataclass(frozen=True)
class Scale:
    """The axis of a metric.

    Attributes:
        name: what it says.
        logarithmic: whether equal factors are equal lengths.
        low: its lower end.
        high: its upper end.
        baseline: the constant answer's score, if known.
    """

    name: str
    logarithmic: bool
    low: float
    high: float
    baseline: float | None

    @classmethod
    def of(cls, headline: str, values: Sequence[float], baseline: float | None, side: str = "test") -> Scale:
        """The axis for some values of a metric on a set."""
        everything = [*values, *([] if baseline is None else [baseline])]
        logarithmic = headline == "mse" and any(v > 0 for v in everything)
        name = f"{side} {cut(headline)}" + (" (log scale)" if logarithmic else "")
        if not everything:
            return cls(name, False, 0.0, 1.0, baseline)
        low, high = min(everything), max(everything)
        if logarithmic:
            low = min(v for v in everything if v > 0)
            if baseline and baseline > 0:
                high = min(high, _FARTHEST * baseline)
            room = max((high / low) ** 0.06, 1.15)
            return cls(name, True, low / room, high * room, baseline)
        room = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
        return cls(name, False, low - room, high + room, baseline)

    def within(self, value: float) -> float:
        """The value, or the end of the axis that it lies beyond."""
        return min(max(value, self.low), self.high)

    def beyond(self, values: Sequence[float]) -> int:
        """How many values lie past the ends."""
        return sum(not self.low <= v <= self.high for v in values)

    def apply(self, axes: Axes, along: str) -> None:
        """Give the axes this scale along "x" or "y"."""
        if self.logarithmic:
            getattr(axes, f"set_{along}scale")("log")
        getattr(axes, f"set_{along}lim")(self.low, self.high)

    def constant(self, axes: Axes, along: str) -> None:
        """Draw the constant answer's line across the axes."""
        if self.baseline is not None:
            line = axes.axvline if along == "x" else axes.axhline
            label = f"constant answer {self.baseline:.4g}"
            line(self.baseline, color="0.35", linewidth=1.4, linestyle=(0, (4, 2)), label=label, zorder=1)


def spread(count: int) -> list[float]:
    """Offsets from -0.5 to 0.5 that keep dots apart, the same at every drawing."""
    golden = (math.sqrt(5) - 1) / 2
    return [(k * golden) % 1 - 0.5 for k in range(count)]


def short(value: float, higher_is_better: bool) -> str:
    """A metric in a few characters."""
    if higher_is_better and abs(value) < 10:
        return f"{value:.3f}"
    if value == 0 or 0.001 <= abs(value) < 1000:
        return f"{value:#.2g}".rstrip(".") if 0 < abs(value) < 99.5 else f"{value:.0f}"
    mantissa, _, power = f"{value:.0e}".partition("e")
    return f"{mantissa}e{int(power)}"


def cut(text: str, longest: int = 20) -> str:
    """A stranger's text, so short that it leaves room for the picture."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def bare(axes: Axes) -> None:
    """Take off what an axes does not need."""
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


@contextmanager
def any_script() -> Iterator[None]:
    """Words in a script that the font lacks are drawn as boxes without a warning: the files beside have them right."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
