"""What every task gives: batches of sequences, and an objective to train and to judge by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor
from torch.nn import functional


class Batch(NamedTuple):
    """Some sequences.

    Attributes:
        x: inputs [T, B, I].
        y: targets: classes [B] or numbers [B] or [B, O]; with one target a step, classes [T, B] or numbers [T, B, O].
        lengths: integers [B], steps of each sequence, or None where all have T.
    """

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
    """What to minimise and what to report, over rows: a row is a sequence, or a step where each has a target.

    Attributes:
        loss: mean loss of outputs [M, O] against targets [M] or [M, O].
        sums: sums over rows, by metric name; divided by the number of rows they are the metrics.
        headline: the metric to watch, and to choose by on the validation set.
        higher_is_better: of the headline.
        baseline: what a constant answer scores, by metric name.
    """

    loss: Callable[[Tensor, Tensor], Tensor]
    sums: Callable[[Tensor, Tensor], Mapping[str, float]]
    headline: str
    higher_is_better: bool
    baseline: Mapping[str, float]


@dataclass(frozen=True)
class Standardisation:
    """x is fed as (x - mean) / scale, feature by feature; both [I], fitted on the training set."""

    mean: Tensor
    scale: Tensor


@dataclass(frozen=True)
class TaskData:
    """A task made ready.

    Attributes:
        train: what is trained on.
        valid: what choices are made on; None where all else is trained on.
        test: what is reported and never chosen by.
        input_size: I.
        output_size: O.
        objective: what to minimise and report.
        fingerprint: a hash of all of the data.
        steps_have_targets: whether ``y`` has a target for every step.
        class_names: of a classification, in the order of the classes.
        standardisation: how inputs are scaled; it becomes part of the model.
        about: what was found, in lines for a person.
    """

    train: Split
    test: Split
    input_size: int
    output_size: int
    objective: Objective
    fingerprint: str
    valid: Split | None = None
    steps_have_targets: bool = False
    class_names: tuple[str, ...] | None = None
    standardisation: Standardisation | None = None
    about: tuple[str, ...] = ()


class TaskConfig(Protocol):
    """The settings of a task: a frozen dataclass that can load what it describes."""

    def load(self, seed: int) -> TaskData:
        """Make or read the data; training data may depend on the seed, test data do not."""
        ...


def regression(baseline: Mapping[str, float], *, within: float | None = None) -> Objective:
    """Squared error; reports ``mse``, and with a tolerance the share ``within_<tolerance>`` of smaller absolute errors.

    Args:
        baseline: what a constant answer scores.
        within: the tolerance, in units of y.

    Returns:
        The objective, for numbers [M] or [M, O].

    Source: section 3 (loss), 4.1 (a sequence counts as solved when the absolute error is below 0.04).
    """

    def loss(output: Tensor, y: Tensor) -> Tensor:
        return functional.mse_loss(output, y.view_as(output))

    def sums(output: Tensor, y: Tensor) -> Mapping[str, float]:
        error = (output - y.view_as(output)).double()
        totals = {"mse": float(error.square().mean(-1).sum())}
        if within is not None:
            totals[f"within_{within}"] = float((error.abs() < within).all(-1).sum())
        return totals

    return Objective(loss, sums, "mse", False, baseline)


def classification(baseline: Mapping[str, float], *, class_weights: Tensor | None = None) -> Objective:
    """Cross-entropy (nats); reports ``accuracy`` and ``cross_entropy``, both unweighted.

    Args:
        baseline: what a constant answer scores.
        class_weights: weight of each class in the loss [O]; None weighs all alike.

    Returns:
        The objective, for classes [M].

    Source: section 3.
    """

    def loss(output: Tensor, y: Tensor) -> Tensor:
        weights = None if class_weights is None else class_weights.to(output)
        return functional.cross_entropy(output, y, weights)

    def sums(output: Tensor, y: Tensor) -> Mapping[str, float]:
        entropy = functional.cross_entropy(output.double(), y, reduction="sum")
        return {"accuracy": float((output.argmax(-1) == y).sum()), "cross_entropy": float(entropy)}

    return Objective(loss, sums, "accuracy", True, baseline)
