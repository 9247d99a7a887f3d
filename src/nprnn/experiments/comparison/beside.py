"""What stands beside a comparison and is not part of it: published results, and what the paper's curves show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from nprnn.errors import ConfigError, unknown
from nprnn.experiments.comparison.axis import At, Axis

Kind = Literal["plain RNN", "other"]


@dataclass(frozen=True)
class Reference:
    """A result from the literature, which nobody measured here.

    Attributes:
        name: of the model, as its source has it.
        source: where it is said.
        numbers: name of a value of the axis to what bars show.
        kind: plain RNN: one hidden layer without gates, as those that are compared; or other.
        hidden: units; 0 where that is not known.
        epochs: of training; 0 where that is not known.
        apart: what is not comparable.
    """

    name: str
    source: str
    numbers: dict[str, Any]
    kind: Kind = "other"
    hidden: int = 0
    epochs: int = 0
    apart: str = ""

    def at(self, at: At) -> float | None:
        """What it has at a value of the axis."""
        return self.numbers.get(str(at))

    def check(self, axis: Axis, of: float) -> None:
        """Refuse numbers that no bar could show.

        Raises:
            ConfigError: no number from 0 to ``of``, or of a value that the axis does not have.
        """
        names = [value.name for value in axis.values]
        for at, number in self.numbers.items():
            if names and at not in names:
                raise unknown(f"value of {axis.name}", at, names)
            if not _is_number(number) or not 0 <= number <= of:
                raise ConfigError(f"[[published]] {self.name!r} has {number!r} at {at!r}; numbers are from 0 to {of:g}")


@dataclass(frozen=True)
class Course:
    """A metric whose curves are drawn besides those of the figure's own, such as the cross-entropy.

    Attributes:
        metric: of the evaluations; less is better.
        counted: what it is, for a person.
        top: where the picture ends; what is above is drawn at its edge.
        source: where the paper shows it; "" where it does not.
        at: the value of the axis of whose runs the paper shows it.
        ends: series to the last number of the paper's curve.
        peaks: series to the highest number that the paper's curve has on its way.
    """

    metric: str
    counted: str
    top: float
    source: str = ""
    at: int | str = ""
    ends: dict[str, Any] = field(default_factory=dict)
    peaks: dict[str, Any] = field(default_factory=dict)

    def check(self, axis: Axis, series: Iterable[str]) -> None:
        """Refuse readings that belong nowhere.

        Raises:
            ConfigError: of a series or a value that there is not, or no number.
        """
        known = list(series)
        if self.top <= 0:
            raise ConfigError(f"[[curves]] of {self.metric}: top must be more than 0, got {self.top}")
        if self.ends or self.peaks:
            axis.refuse("a curve of the paper", [self.at])
        for name, number in (*self.ends.items(), *self.peaks.items()):
            if name not in known:
                raise unknown("series", name, known)
            if not _is_number(number):
                raise ConfigError(f"[[curves]] of {self.metric}: the paper's {name} must be a number, got {number!r}")


def _is_number(found: Any) -> bool:
    return isinstance(found, (int, float)) and not isinstance(found, bool)
