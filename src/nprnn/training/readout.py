"""From a batch to rows: which outputs stand against which targets, in training and in judging."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from nprnn.devices import CPU, computing_on
from nprnn.errors import ConfigError
from nprnn.models import At, SequenceModel
from nprnn.tasks.base import Batch, CrossEntropy, Loss, Objective, Split, SquaredError, TaskData, as_tensor
from nprnn.training.config import TrainConfig

# Sequences that are judged at once; fewer where inputs are wide, so that they take 128 MiB at most. On a device more:
# in tiles of 16 rows, one for each multiprocessor of a large one.
_EVAL_BATCH = 500
_EVAL_BATCH_ON_A_DEVICE = 2048
_EVAL_NUMBERS = 1 << 25


def loss_at(config: TrainConfig, data: TaskData) -> At:
    """Where the loss is taken, with "auto" resolved.

    Raises:
        ConfigError: every step has a target and the settings ask for one output a sequence.
    """
    if data.steps_have_targets and config.loss_at in ("last", "mean"):
        raise ConfigError(f"these data have a target for every step: loss_at must be 'each', got {config.loss_at!r}")
    if config.loss_at == "auto":
        return "each" if data.steps_have_targets else "last"
    return config.loss_at


def judged_at(config: TrainConfig, data: TaskData) -> At:
    """Where predictions are judged: at each step if each has a target; else as trained, or at the last step."""
    at = loss_at(config, data)
    return "last" if at == "each" and not data.steps_have_targets else at


def losses(outputs: Tensor, batch: Batch, at: At, loss: Loss, *, steps_have_targets: bool) -> Tensor:
    """The loss of each member of an ensemble on its own batch.

    Args:
        outputs: [E, B, O], or [E, T, B, O] for "each".
        batch: the sequences, y and lengths with a leading E.
        at: where the outputs were taken.
        loss: of rows, which are sequences, or steps for "each".
        steps_have_targets: whether ``batch.y`` has a target a step; if not, a sequence's target stands for all.

    Returns:
        [E].
    """
    if at != "each":
        return loss(outputs, batch.y)
    y, alive = _of_steps(batch, outputs.shape[1], steps_have_targets)
    return loss(outputs.flatten(1, 2), y, alive)


def weight(batch: Batch, at: At, loss: Loss, *, steps_have_targets: bool) -> Tensor:
    """What ``losses`` divides by: the weights of the rows of each member, summed.

    Args:
        batch: as for ``losses``.
        at: likewise.
        loss: likewise.
        steps_have_targets: likewise.

    Returns:
        [E].

    Raises:
        ConfigError: a loss that is none of ``nprnn.tasks.base``.
    """
    y, alive = batch.y, None
    if at == "each":
        y, alive = _of_steps(batch, batch.x.shape[-3], steps_have_targets)
    if isinstance(loss, CrossEntropy) and loss.class_weights is not None:
        each = as_tensor(loss.class_weights, batch.x.dtype, y.device)[y]
        return (each if alive is None else each * alive).sum(1)
    if not isinstance(loss, (CrossEntropy, SquaredError)):
        raise ConfigError(
            f"{type(loss).__name__} does not tell what its rows weigh, so a batch of it cannot be shared by processes; "
            "make it a SquaredError or CrossEntropy of nprnn.tasks.base, or train in one process"
        )
    return batch.x.new_full((len(y),), y.shape[1]) if alive is None else alive.sum(1).to(batch.x.dtype)


class StackedLosses:
    """The losses of the members of an ensemble; those whose losses are the same function share one call.

    Args:
        objectives: of each member.
        at: where their outputs are taken.
        steps_have_targets: whether every step has a target.
        device: where outputs and batches are.
    """

    def __init__(
        self, objectives: Sequence[Objective], at: At, steps_have_targets: bool, device: torch.device = CPU
    ) -> None:
        self._at, self._steps_have_targets = at, steps_have_targets
        shares: list[tuple[Loss, list[int]]] = []
        for row, objective in enumerate(objectives):
            known = next((rows for loss, rows in shares if loss == objective.loss), None)
            if known is None:
                shares.append((objective.loss, [row]))
            else:
                known.append(row)
        self._shares = [(loss, torch.tensor(rows, device=device)) for loss, rows in shares]
        # From their order to that of the members.
        self._back = torch.tensor([row for _, rows in shares for row in rows]).argsort().to(device)

    def __call__(self, outputs: Tensor, batch: Batch) -> Tensor:
        """As ``losses``."""
        if len(self._shares) == 1:
            return losses(outputs, batch, self._at, self._shares[0][0], steps_have_targets=self._steps_have_targets)
        found = []
        for loss, rows in self._shares:
            lengths = None if batch.lengths is None else batch.lengths.index_select(0, rows)
            own = Batch(batch.x, batch.y.index_select(0, rows), lengths)
            part = outputs.index_select(0, rows)
            found.append(losses(part, own, self._at, loss, steps_have_targets=self._steps_have_targets))
        return torch.cat(found).index_select(0, self._back)

    def weight(self, batch: Batch) -> Tensor:
        """As ``weight``."""
        found = []
        for loss, rows in self._shares:
            lengths = None if batch.lengths is None else batch.lengths.index_select(0, rows)
            own = Batch(batch.x, batch.y.index_select(0, rows), lengths)
            found.append(weight(own, self._at, loss, steps_have_targets=self._steps_have_targets))
        return torch.cat(found).index_select(0, self._back)


def live(lengths: Tensor, steps: int) -> Tensor:
    """Which steps are within a sequence: booleans [..., T, B] from lengths [..., B]."""
    return torch.arange(steps, device=lengths.device)[:, None] < lengths.unsqueeze(-2)


def _of_steps(batch: Batch, steps: int, steps_have_targets: bool) -> tuple[Tensor, Tensor | None]:
    """Targets [E, T * B, ...] of the steps of each member's batch, and which are live, None where all are."""
    y = batch.y if steps_have_targets else _for_each(batch.y, steps, 1)
    alive = None if batch.lengths is None else live(batch.lengths, steps).flatten(1, 2)
    return y.flatten(1, 2), alive


def _for_each(y: Tensor, steps: int, axis: int) -> Tensor:
    """Targets of sequences, standing for every step."""
    return y.unsqueeze(axis).expand(*y.shape[:axis], steps, *y.shape[axis:])


def rows(model: SequenceModel, batch: Batch, at: At, *, steps_have_targets: bool) -> tuple[Tensor, Tensor]:
    """Outputs [M, O] and targets [M] or [M, O] of a batch; M counts sequences, or steps for "each".

    Args:
        model: the model.
        batch: the sequences.
        at: where the outputs are taken.
        steps_have_targets: whether ``batch.y`` has a target a step; if not, a sequence's target stands for all.

    Returns:
        Outputs and targets.
    """
    outputs = model(batch.x, batch.lengths, at=at)
    if at != "each":
        return outputs, batch.y
    steps = len(batch.x)
    y = batch.y if steps_have_targets else _for_each(batch.y, steps, 0)
    if batch.lengths is None:
        return outputs.flatten(0, 1), y.flatten(0, 1)
    alive = live(batch.lengths, steps)
    return outputs[alive], y[alive]


def eval_batch(numbers: int, device: torch.device = CPU) -> int:
    """How many sequences of so many numbers are judged at once."""
    most = _EVAL_BATCH if device.type == "cpu" else _EVAL_BATCH_ON_A_DEVICE
    return max(1, min(most, _EVAL_NUMBERS // max(numbers, 1)))


@torch.no_grad()
def predict(model: SequenceModel, split: Split, at: At, *, steps_have_targets: bool) -> tuple[Tensor, Tensor]:
    """Outputs and targets of a whole set, as ``rows`` gives them, in evaluation mode and fixed order.

    They are computed where the model is, wherever the set is kept, and handed over on the CPU.
    """
    training, device = model.training, model.head.weight.device
    model.eval()
    outputs, targets = [], []
    longest = split.batch(torch.arange(1)).x.shape
    numbers, first = longest[0] * longest[-1], 0
    with computing_on(device):
        while first < len(split):
            last = min(first + eval_batch(numbers, device), len(split))
            batch = split.batch(torch.arange(first, last)).to(device)
            # Lengths may differ: the next batch is cut by the longest so far.
            numbers, first = max(numbers, len(batch.x) * batch.x.shape[-1]), last
            output, y = rows(model, batch, at, steps_have_targets=steps_have_targets)
            outputs.append(output)
            targets.append(y)
    model.train(training)
    return torch.cat(outputs).cpu(), torch.cat(targets).cpu()


def evaluate(
    model: SequenceModel, split: Split, objective: Objective, *, at: At = "last", steps_have_targets: bool = False
) -> dict[str, float]:
    """The metrics of a model on a set.

    Args:
        model: the model; its training mode is restored.
        split: the set.
        objective: the metrics.
        at: where the outputs are judged.
        steps_have_targets: whether every step has a target.

    Returns:
        Metric name to mean over rows.
    """
    outputs, targets = predict(model, split, at, steps_have_targets=steps_have_targets)
    totals: defaultdict[str, float] = defaultdict(float)
    for first in range(0, len(outputs), _EVAL_BATCH):
        part = slice(first, first + _EVAL_BATCH)
        for name, value in objective.sums(outputs[part], targets[part]).items():
            totals[name] += value
    return {name: total / len(outputs) for name, total in totals.items()}
