"""Is what was written the network that was trained? Answers side by side, and the task's own metrics of both."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from nprnn.errors import RunError
from nprnn.export.format import Answer, Precision
from nprnn.export.network import Network
from nprnn.tasks.base import Batch, TaskData
from nprnn.training.readout import live

# In float32 nothing but the order of sums may differ.
TOLERANCE = 1e-3
AGREEMENT = 0.999
# Sequences that are answered at once.
_BATCH = 500


@dataclass(frozen=True)
class Verification:
    """How far the answers of an exported file are from the network's.

    Attributes:
        sequences: how many were answered.
        rows: answers compared: sequences, or steps where each is answered.
        inputs: where the sequences are from.
        max_difference: greatest distance of two outputs, over 1 + the network's own.
        agreement: share of rows with the same greatest output; None where there are no classes.
        expected: the task's metrics of the network; None without the task's data.
        found: likewise, of the file.
    """

    sequences: int
    rows: int
    inputs: str
    max_difference: float
    agreement: float | None
    expected: dict[str, float] | None
    found: dict[str, float] | None

    def as_record(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def verify_on_data(network: Network, answer: Answer, data: TaskData, most: int | None = None) -> Verification:
    """Compare on the task's test set.

    Args:
        network: what was exported.
        answer: runs what was written.
        data: the task.
        most: sequences at most, from the first; None is all of them.

    Returns:
        The comparison, with the task's metrics.

    Raises:
        RunError: a file that gives answers of another shape.
    """
    sequences = len(data.test) if most is None else min(most, len(data.test))
    sums: dict[str, defaultdict[str, float]] = {"expected": defaultdict(float), "found": defaultdict(float)}
    differences: list[float] = []
    agreeing, rows = 0, 0
    for first in range(0, sequences, _BATCH):
        batch = data.test.batch(torch.arange(first, min(first + _BATCH, sequences)))
        expected, found, y = _answers(network, answer, batch, data.steps_have_targets)
        differences.append(_difference(expected, found))
        agreeing += int((expected.argmax(-1) == found.argmax(-1)).sum())
        rows += len(expected)
        for name, outputs in (("expected", expected), ("found", found)):
            for metric, total in data.objective.sums(outputs, y).items():
                sums[name][metric] += total
    means = {name: {metric: total / rows for metric, total in totals.items()} for name, totals in sums.items()}
    return Verification(
        sequences,
        rows,
        f"the first {sequences} sequences of the test set" if sequences < len(data.test) else "the whole test set",
        # Python's own max would lose a NaN.
        float(torch.tensor(differences).max()),
        None if data.class_names is None else agreeing / rows,
        means["expected"],
        means["found"],
    )


def verify_on_drawn(network: Network, answer: Answer, *, sequences: int = 64, steps: int = 100) -> Verification:
    """Compare where the task's data are not at hand: on Gaussian inputs, scaled as the training inputs were.

    Args:
        network: what was exported.
        answer: runs what was written.
        sequences: B.
        steps: T.

    Returns:
        The comparison, without metrics.

    Raises:
        RunError: a file that gives answers of another shape.
    """
    x = torch.randn(steps, sequences, network.input_size, generator=torch.Generator().manual_seed(0))
    if network.scale is not None:
        x = x * network.scale
    if network.mean is not None:
        x = x + network.mean
    expected, found = (v.flatten(0, -2) for v in _shaped(network, answer, x, None))
    agreement = float((expected.argmax(-1) == found.argmax(-1)).float().mean())
    inputs = f"{sequences} Gaussian sequences of {steps} steps (the task's data were not found)"
    named = None if network.class_names is None else agreement
    return Verification(sequences, len(expected), inputs, _difference(expected, found), named, None, None)


def demand(verification: Verification, precision: Precision) -> None:
    """Refuse a float32 file that is not the network; what int8 costs is for a person to judge.

    Raises:
        RunError: outputs further apart than rounding, or other classes, or no finite numbers.
    """
    difference, agreement = verification.max_difference, verification.agreement
    if difference != difference or difference == float("inf"):
        raise RunError("what was written gives outputs that are no finite numbers; it was not kept")
    if precision == "int8":
        return
    if difference > TOLERANCE or (agreement is not None and agreement < AGREEMENT):
        share = "" if agreement is None else f", the same class in {agreement:.2%} of {verification.rows} rows"
        raise RunError(
            f"what was written is not the network: outputs differ by up to {difference:.2g} of their size{share} "
            f"(allowed: {TOLERANCE:g}, {AGREEMENT:.1%}); it was not kept. Please report this"
        )


def _answers(network: Network, answer: Answer, batch: Batch, steps_have_targets: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs expected and found, and targets, all by rows."""
    expected, found = _shaped(network, answer, batch.x, batch.lengths)
    if network.at != "each":
        return expected, found, batch.y
    steps = len(batch.x)
    y = batch.y if steps_have_targets else batch.y.unsqueeze(0).expand(steps, *batch.y.shape)
    if batch.lengths is None:
        return expected.flatten(0, 1), found.flatten(0, 1), y.flatten(0, 1)
    alive = live(batch.lengths, steps)
    return expected[alive], found[alive], y[alive]


def _shaped(network: Network, answer: Answer, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    expected, _ = network.outputs(x, lengths)
    found = answer(x, lengths)
    if found.shape != expected.shape:
        raise RunError(f"what was written answers with shape {tuple(found.shape)}, not {tuple(expected.shape)}")
    return expected, found.float()


def _difference(expected: Tensor, found: Tensor) -> float:
    return float(((expected - found).abs() / (1 + expected.abs())).max())
