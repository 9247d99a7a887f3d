"""What every task gives: batches of sequences, and an objective to train and to judge by."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from nprnn.devices import move


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

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        lengths = None if self.lengths is None else move(self.lengths, device)
        return Batch(move(self.x, device), move(self.y, device), lengths)


class Split(Protocol):
    """A set of sequences.

    It may have a method ``to(device)`` as well, which gives the same set with its numbers kept there and batches made
    there. Batches of a set without one are made on the CPU and moved.
    """

    def __len__(self) -> int:
        """How many there are."""
        ...

    def batch(self, index: Tensor) -> Batch:
        """The sequences at ``index`` [B], which is on the CPU."""
        ...


def placed(split: Split, device: torch.device) -> Split:
    """A set kept on a device, if it can be; else itself."""
    to: Callable[[torch.device], Split] | None = getattr(split, "to", None)
    return split if device.type == "cpu" or to is None else to(device)


class Loss(Protocol):
    """See ``Objective.loss``."""

    def __call__(self, output: Tensor, y: Tensor, live: Tensor | None = None) -> Tensor:
        """Mean loss over the rows."""
        ...


@dataclass(frozen=True)
class SquaredError:
    """The mean of (output - y)² over rows and outputs."""

    def __call__(self, output: Tensor, y: Tensor, live: Tensor | None = None) -> Tensor:
        """Mean over the rows that are live."""
        error = functional.mse_loss(output, y.view_as(output), reduction="none")
        return error.mean((-2, -1)) if live is None else _mean(error.mean(-1), live.to(error))


@dataclass(frozen=True)
class CrossEntropy:
    """The mean of -log p(y) in nats over rows, each weighted by its class.

    Attributes:
        class_weights: of each class [O]; None weighs all alike.
    """

    class_weights: tuple[float, ...] | None = None

    def __call__(self, output: Tensor, y: Tensor, live: Tensor | None = None) -> Tensor:
        """Mean over the rows that are live."""
        loss = functional.cross_entropy(output.flatten(0, -2), y.flatten(), reduction="none").view(y.shape)
        if self.class_weights is None:
            return loss.mean(-1) if live is None else _mean(loss, live.to(loss))
        weights = as_tensor(self.class_weights, loss.dtype, loss.device)[y]
        return _mean(loss, weights if live is None else weights * live)


@functools.lru_cache(maxsize=16)
def as_tensor(numbers: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Numbers as a tensor, made once: a device would have to be waited for at every update.

    Args:
        numbers: the numbers.
        dtype: of the tensor.
        device: where it is wanted.

    Returns:
        The one tensor of them; do not change it.
    """
    # Autograd keeps it, whoever asked first.
    with torch.inference_mode(False):
        return torch.tensor(numbers, dtype=dtype, device=device)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum(-1) / weights.sum(-1)


@dataclass(frozen=True)
class Objective:
    """What to minimise and what to report, over rows: a row is a sequence, or a step where each has a target.

    Attributes:
        loss: mean loss over M rows of outputs [..., M, O] against targets [..., M] or [..., M, O], and, given ``live``
            [..., M], over those that are; one number for each of the leading axes. Equal losses do the same.
        sums: sums over rows, by metric name; divided by the number of rows they are the metrics.
        headline: the metric to watch, and to choose by on the validation set.
        higher_is_better: of the headline.
        baseline: what a constant answer scores, by metric name.
    """

    loss: Loss
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
        recipe: how inputs are made, in JSON values that ``env.json`` remembers for those who make new ones; None where
            there is nothing to tell.
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
    recipe: Mapping[str, Any] | None = None


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

    def sums(output: Tensor, y: Tensor) -> Mapping[str, float]:
        error = (output - y.view_as(output)).double()
        totals = {"mse": float(error.square().mean(-1).sum())}
        if within is not None:
            totals[f"within_{within}"] = float((error.abs() < within).all(-1).sum())
        return totals

    return Objective(SquaredError(), sums, "mse", False, baseline)


def classification(baseline: Mapping[str, float], *, class_weights: Tensor | None = None) -> Objective:
    """Cross-entropy (nats); reports ``accuracy`` and ``cross_entropy``, both unweighted.

    Args:
        baseline: what a constant answer scores.
        class_weights: weight of each class in the loss [O]; None weighs all alike.

    Returns:
        The objective, for classes [M].

    Source: section 3.
    """

    def sums(output: Tensor, y: Tensor) -> Mapping[str, float]:
        entropy = functional.cross_entropy(output.double(), y, reduction="sum")
        return {"accuracy": float((output.argmax(-1) == y).sum()), "cross_entropy": float(entropy)}

    loss = CrossEntropy(None if class_weights is None else tuple(class_weights.tolist()))
    return Objective(loss, sums, "accuracy", True, baseline)
