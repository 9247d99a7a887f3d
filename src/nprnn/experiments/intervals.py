"""Intervals by resampling: of accuracies by whole sources, so that clips cut from one video count as one, and by seeds.

A draw takes as many sources as there are, with replacement, and as many seeds as there are, with replacement; models
are compared on the same draw. The interval is the middle 95 % of the draws. With three seeds and a handful of sources
it is too narrow rather than too wide.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from nprnn.experiments.findings import Interval
from nprnn.seeds import derive

DRAWS = 10_000


class Resampler:
    """Draws of sources and of seeds, the same for everything that is compared.

    Args:
        sources: of each clip, what it was cut from.
        seeds: how many there are.
        draws: how many draws.
    """

    def __init__(self, sources: Sequence[Hashable], seeds: int, draws: int = DRAWS) -> None:
        number = {source: k for k, source in enumerate(dict.fromkeys(sources))}
        self.units = len(number)
        self._place = torch.tensor([number[source] for source in sources])
        self._sizes = torch.bincount(self._place, minlength=self.units).double()
        self._taken = _counts(self.units, draws, "bootstrap of sources")
        self._seeds = _counts(seeds, draws, "bootstrap of seeds")

    def accuracies(self, correct: Tensor) -> Tensor:
        """The accuracy, and behind it that of every draw.

        Args:
            correct: of each seed and clip, 1 or 0 [S, n].

        Returns:
            [1 + draws].
        """
        right = torch.zeros(len(correct), self.units, dtype=torch.float64)
        right.index_add_(1, self._place, correct.double())
        # Whole numbers above and below, so that all right is 1 and not nearly.
        answered = len(correct) * (self._taken @ self._sizes)
        drawn = ((self._taken @ right.T) * self._seeds).sum(1) / answered
        return torch.cat([correct.double().mean().view(1), drawn])


def interval(values: Tensor) -> Interval:
    """A number and the middle 95 % of its draws, from [1 + draws]."""
    low, high = torch.quantile(values[1:], torch.tensor([0.025, 0.975], dtype=values.dtype)).tolist()
    return Interval(float(values[0]), low, high)


def mean_of(values: Sequence[float]) -> Interval:
    """The mean of some seeds, with the middle 95 % of those of as many seeds drawn with replacement."""
    found = torch.tensor(values, dtype=torch.float64)
    drawn = _counts(len(found), DRAWS, "bootstrap of seeds") @ found / len(found)
    return interval(torch.cat([found.mean().view(1), drawn]))


def _counts(things: int, draws: int, purpose: str) -> Tensor:
    """How often each of some things is taken in each draw: [draws, things], float64."""
    taken = torch.randint(things, (draws, things), generator=derive(0, purpose))
    counts = torch.zeros(draws, things, dtype=torch.float64)
    return counts.scatter_add_(1, taken, torch.ones(draws, things, dtype=torch.float64))
