"""The addition and the multiplication problem: of a sequence of numbers two are marked; answer their sum or product."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from nprnn.configs import check_range
from nprnn.devices import move
from nprnn.errors import ConfigError
from nprnn.seeds import derive
from nprnn.tasks.base import Batch, TaskData, regression

Marks = Literal["uniform", "halves", "martens", "schmidt"]
MOST_VALUES = 1 << 31
"""The most values in the sequences of a set; they take 8 GiB."""


def _between(low: int, high: int, n: int, generator: torch.Generator) -> Tensor:
    return torch.randint(low, high, (n,), generator=generator)


def _uniform(n: int, steps: int, g: torch.Generator) -> Tensor:
    first, other = _between(0, steps, n, g), _between(0, steps - 1, n, g)
    # Skipping the first mark leaves the other uniform over the remaining steps.
    return torch.stack([first, other + (other >= first)], 1)


def _halves(n: int, steps: int, g: torch.Generator) -> Tensor:
    return torch.stack([_between(0, steps // 2, n, g), _between(steps // 2, steps, n, g)], 1)


def _martens(n: int, steps: int, g: torch.Generator) -> Tensor:
    return torch.stack([_between(0, steps // 10, n, g), _between(steps // 10, steps // 2, n, g)], 1)


def _schmidt(n: int, steps: int, g: torch.Generator) -> Tensor:
    return torch.stack([_between(0, 10, n, g), _between(0, steps // 2, n, g)], 1)


# Each placement with the shortest sequence that has room for it.
MARKS: dict[str, tuple[Callable[[int, int, torch.Generator], Tensor], int]] = {
    "uniform": (_uniform, 2),
    "halves": (_halves, 2),
    "martens": (_martens, 10),
    "schmidt": (_schmidt, 10),
}


@dataclass(frozen=True)
class MarkedSequences:
    """Sequences of values in [0, 1) of which two are marked.

    Attributes:
        values: [n, T].
        marks: [n, 2], the marked steps.
        answer: from the two marked values [n, 2] to the targets [n].
    """

    values: Tensor
    marks: Tensor
    answer: Callable[[Tensor], Tensor]

    def __len__(self) -> int:
        return len(self.values)

    def batch(self, index: Tensor) -> Batch:
        """x [T, B, 2] = (value, 1 at the two marked steps), y [B] = the answer."""
        index = move(index, self.values.device)
        values, marks = self.values[index], self.marks[index]
        mask = torch.zeros_like(values).scatter_(1, marks, 1.0)
        return Batch(torch.stack([values.T, mask.T], -1), self.answer(values.gather(1, marks)))

    def to(self, device: torch.device) -> MarkedSequences:
        """The same set on a device."""
        return replace(self, values=move(self.values, device), marks=move(self.marks, device))


@dataclass(frozen=True)
class _MarkedTask:
    """What addition and multiplication share.

    Attributes:
        length: T, steps in a sequence. The paper has 150 to 500 for addition, 50 to 200 for multiplication.
        marks: where the two marks stand, which the paper leaves open and which sets the lag to bridge. uniform: two
            distinct steps anywhere; halves: one in each half (Le et al. 2015); martens: first in [0, T/10), second in
            [T/10, T/2) (Martens & Sutskever 2011); schmidt: first in 0..9, second in 0..T/2-1, may coincide (Schmidt et
            al. 2021).
        train_size: sequences in the fixed training set; the paper has 100,000.
        valid_size: sequences in the validation set, which is the same for every seed; 0 for none.
        test_size: sequences in the test set, which is the same for every seed; the paper has 10,000.
    """

    length: int = 100
    marks: Marks = "uniform"
    train_size: int = 100_000
    valid_size: int = 2_000
    test_size: int = 10_000

    _name: ClassVar[str]
    _baseline: ClassVar[Mapping[str, float]]
    _answer: ClassVar[Callable[[Tensor], Tensor]]

    def __post_init__(self) -> None:
        check_range(self)
        if self.marks not in MARKS:
            raise ConfigError(f"marks must be one of {', '.join(MARKS)}; got {self.marks!r}")
        shortest = MARKS[self.marks][1]
        if self.length < shortest:
            raise ConfigError(
                f"length must be at least {shortest} to hold two marks placed {self.marks!r}, got {self.length}"
            )
        for name, least in (("train_size", 1), ("valid_size", 0), ("test_size", 1)):
            size = getattr(self, name)
            if size < least:
                raise ConfigError(f"{name} must be at least {least}, got {size}")
            if size * self.length > MOST_VALUES:
                raise ConfigError(
                    f"{name} {size} times length {self.length} makes {size * self.length} values, over the limit of "
                    f"{MOST_VALUES}; choose fewer or shorter sequences"
                )

    def load(self, seed: int) -> TaskData:
        """Draw the training set of this seed, and the validation and test sets that all seeds share."""
        return TaskData(
            train=self._draw("train", self.train_size, seed),
            valid=self._draw("valid", self.valid_size, 0) if self.valid_size else None,
            test=self._draw("test", self.test_size, 0),
            input_size=2,
            output_size=1,
            objective=regression(self._baseline, within=0.04),
            fingerprint=hashlib.sha256(repr((f"{self._name}, version 1", self)).encode()).hexdigest(),
        )

    def _draw(self, kind: str, n: int, seed: int) -> MarkedSequences:
        # Both tasks see the same sequences; only the answer differs.
        generator = derive(seed, "marked", kind, self.length, self.marks)
        values = torch.rand(n, self.length, generator=generator)
        return MarkedSequences(values, MARKS[self.marks][0](n, self.length, generator), type(self)._answer)


def _sum(marked: Tensor) -> Tensor:
    return marked.sum(1)


def _product(marked: Tensor) -> Tensor:
    return marked.prod(1)


def _share_of_products_below(z: float) -> float:
    """P(u v < z) for u, v uniform in [0, 1]."""
    return z - z * math.log(z)


@dataclass(frozen=True)
class Addition(_MarkedTask):
    """The addition problem (section 4.1)."""

    # The constant answer 1: Var(u + v) = 1/6, and |u + v - 1| < 0.04 with probability 1 - 0.96².
    _name = "addition"
    _baseline = {"mse": 1 / 6, "within_0.04": 1 - 0.96**2}  # noqa: RUF012
    _answer = _sum


@dataclass(frozen=True)
class Multiplication(_MarkedTask):
    """The multiplication problem (section 4.2)."""

    # The constant answer 1/4: Var(u v) = 7/144 (the paper prints 0.2025).
    _name = "multiplication"
    _baseline = {"mse": 7 / 144, "within_0.04": _share_of_products_below(0.29) - _share_of_products_below(0.21)}  # noqa: RUF012
    _answer = _product
