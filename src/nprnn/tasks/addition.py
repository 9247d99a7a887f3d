"""The addition problem: a sequence of numbers, two of them marked; the answer is the sum of the marked ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nprnn.errors import ConfigError
from nprnn.seeds import derive
from nprnn.tasks.base import Batch, TaskData, regression

Marks = Literal["uniform", "halves", "martens", "schmidt"]


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
    """

    values: Tensor
    marks: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def batch(self, index: Tensor) -> Batch:
        """x [T, B, 2] = (value, 1 at the two marked steps), y [B] = the sum of the two marked values."""
        values, marks = self.values[index], self.marks[index]
        mask = torch.zeros_like(values).scatter_(1, marks, 1.0)
        y = values.gather(1, marks).sum(1)
        return Batch(torch.stack([values.T, mask.T], -1), y)


@dataclass(frozen=True)
class Addition:
    """The addition problem (section 4.1).

    Attributes:
        length: T, steps in a sequence. The paper has 150 to 500.
        marks: where the two marks stand, which the paper leaves open and which sets the lag to bridge. uniform: two
            distinct steps anywhere; halves: one in each half (Le et al. 2015); martens: first in [0, T/10), second in
            [T/10, T/2) (Martens & Sutskever 2011); schmidt: first in 0..9, second in 0..T/2-1, may coincide (Schmidt et
            al. 2021).
        train_size: sequences in the fixed training set; the paper has 100,000.
        test_size: sequences in the test set, which is the same for every seed; the paper has 10,000.
    """

    length: int = 100
    marks: Marks = "uniform"
    train_size: int = 100_000
    test_size: int = 10_000

    def __post_init__(self) -> None:
        if self.marks not in MARKS:
            raise ConfigError(f"marks must be one of {', '.join(MARKS)}; got {self.marks!r}")
        shortest = MARKS[self.marks][1]
        if self.length < shortest:
            raise ConfigError(
                f"length must be at least {shortest} to hold two marks placed {self.marks!r}, got {self.length}"
            )
        for name in ("train_size", "test_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")

    def load(self, seed: int) -> TaskData:
        """Draw the training set of this seed and the test set that all seeds share.

        The baseline is the constant answer 1: its squared error is 1/6, and it is within 0.04 with probability
        1 - 0.96² = 0.0784.
        """
        return TaskData(
            train=self._draw(self.train_size, derive(seed, "addition", "train", self.length, self.marks)),
            test=self._draw(self.test_size, derive(0, "addition", "test", self.length, self.marks)),
            input_size=2,
            output_size=1,
            objective=regression({"mse": 1 / 6, "within_0.04": 1 - 0.96**2}, within=0.04),
            fingerprint=hashlib.sha256(repr(("addition, version 1", self)).encode()).hexdigest(),
        )

    def _draw(self, n: int, generator: torch.Generator) -> MarkedSequences:
        values = torch.rand(n, self.length, generator=generator)
        return MarkedSequences(values, MARKS[self.marks][0](n, self.length, generator))
