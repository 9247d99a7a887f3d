"""What every task gives: batches of sequences, and an objective to train and to judge by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Batch(NamedTuple):
    """x [T, B, I], y [B] (numbers or class indices), and lengths [B] or None where all sequences have T steps."""

    x: Tensor
    y: Tensor
    lengths: Tensor | None = None


class Split(Protocol):
    """A set of sequences."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def batch(self, index: Tensor) -> Batch:
        """The sequences at ``index`` [B]."""
        ...


@dataclass(frozen=True)
class Objective:
    """What to minimise and what to report.

    Attributes:
        loss: mean loss of outputs [B, O] against targets [B].
        sums: sums over a batch, by metric name; divided by the number of sequences they are the metrics.
        headline: the metric to watch.
        higher_is_better: of the headline.
        baseline: what a constant answer scores, by metric name.
    """

    loss: Callable[[Tensor, Tensor], Tensor]
    sums: Callable[[Tensor, Tensor], Mapping[str, float]]
    headline: str
    higher_is_better: bool
    baseline: Mapping[str, float]


@dataclass(frozen=True)
class TaskData:
    """A task made ready: its sets, its sizes, its objective, and a fingerprint of the data."""

    train: Split
    test: Split
    input_size: int
    output_size: int
    objective: Objective
    fingerprint: str


class TaskConfig(Protocol):
    """The settings of a task: a frozen dataclass that can load what it describes."""

    def load(self, seed: int) -> TaskData:
        """Make or read the data; training data may depend on the seed, test data do not."""
        ...


def regression(within: float, baseline: Mapping[str, float]) -> Objective:
    """Squared error; reports ``mse`` and the share ``within_<tolerance>`` of absolute errors below the tolerance.

    Source: section 3 (loss), 4.1 (a sequence counts as solved when the absolute error is below 0.04).
    """

    def loss(output: Tensor, y: Tensor) -> Tensor:
        return torch.nn.functional.mse_loss(output[:, 0], y)

    def sums(output: Tensor, y: Tensor) -> Mapping[str, float]:
        error = (output[:, 0] - y).double()
        return {"mse": float(error.square().sum()), f"within_{within}": float((error.abs() < within).sum())}

    return Objective(loss, sums, "mse", False, baseline)


def classification(baseline: Mapping[str, float]) -> Objective:
    """Cross-entropy (nats); reports ``accuracy`` and ``cross_entropy``. Source: section 3."""

    def loss(output: Tensor, y: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(output, y)

    def sums(output: Tensor, y: Tensor) -> Mapping[str, float]:
        entropy = torch.nn.functional.cross_entropy(output.double(), y, reduction="sum")
        return {"accuracy": float((output.argmax(-1) == y).sum()), "cross_entropy": float(entropy)}

    return Objective(loss, sums, "accuracy", True, baseline)
