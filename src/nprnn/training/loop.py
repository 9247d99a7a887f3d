"""The training loop: draw a batch, run, differentiate, clip, step; evaluate and checkpoint on the way."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from nprnn.errors import ConfigError, NonFiniteError
from nprnn.models import SequenceModel, build_model
from nprnn.runs import Run
from nprnn.seeds import derive
from nprnn.tasks.base import Objective, Split, TaskData
from nprnn.training.config import TrainConfig

EVAL_BATCH = 500


class Listener(Protocol):
    """Told what happens, as it happens: a progress bar, for one."""

    def on_update(self, update: int, loss: float) -> None:
        """After an update; ``update`` is how many are done."""

    def on_record(self, record: dict[str, Any]) -> None:
        """After an evaluation, with the line that went to ``metrics.jsonl``."""


def train(
    config: TrainConfig,
    data: TaskData,
    run: Run,
    *,
    stop_after: int | None = None,
    listener: Listener | None = None,
) -> SequenceModel:
    """Train from the run's last checkpoint, or from the start, to the end of the schedule.

    Backpropagation through all time steps of each sequence, plain SGD. Nothing is chosen by the test set: the
    result is the last iterate.

    Args:
        config: the settings.
        data: the task, as loaded for ``config.seed``.
        run: where records and checkpoints go.
        stop_after: stop once so many updates of the schedule are done (a later call goes on from there).
        listener: told of every update and evaluation.

    Returns:
        The trained model.

    Raises:
        ConfigError: a batch larger than the training set, or a ``stop_after`` below 1.
        NonFiniteError: the loss or the gradient became NaN or infinite; the last checkpoint is from before.

    Source: sections 3 and 4.
    """
    if config.batch > len(data.train):
        raise ConfigError(f"batch {config.batch} is larger than the training set of {len(data.train)} sequences")
    if stop_after is not None and stop_after < 1:
        raise ConfigError(f"stop_after must be at least 1, got {stop_after}")
    model = start_model(config, data)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=config.lr)
    done = run.resume(model)
    last = config.updates if stop_after is None else min(config.updates, stop_after)
    losses: list[float] = []
    norms: list[float] = []
    since, counted = time.perf_counter(), done

    for update, index in batches(config, len(data.train), done, last):
        batch = data.train.batch(index)
        loss = data.objective.loss(model(batch.x, batch.lengths), batch.y)
        optimizer.zero_grad()
        loss.backward()
        losses.append(float(loss.detach()))
        norms.append(clip_(model, config))
        if not (math.isfinite(losses[-1]) and math.isfinite(norms[-1])):
            raise NonFiniteError(
                f"update {update + 1}: loss {losses[-1]}, gradient norm {norms[-1]}. "
                f"{run.folder} keeps the checkpoint of update {run.saved}; try a smaller lr or clip"
            )
        optimizer.param_groups[0]["lr"] = config.lr_at(update)
        optimizer.step()

        done = update + 1
        if listener:
            listener.on_update(done, losses[-1])
        if done % config.eval_every == 0 or done == last:
            record = {
                "update": done,
                "loss": sum(losses) / len(losses),
                "gradient_norm": sum(norms) / len(norms),
                "lr": config.lr_at(update),
                "updates_per_second": (done - counted) / (time.perf_counter() - since),
                "test": evaluate(model, data.test, data.objective),
            }
            run.append(record)
            run.save_checkpoint(model, done)
            if listener:
                listener.on_record(record)
            losses.clear()
            norms.clear()
            since, counted = time.perf_counter(), done
    return model


def start_model(config: TrainConfig, data: TaskData) -> SequenceModel:
    """The model of a run before its first update."""
    return build_model(
        config.model,
        data.input_size,
        data.output_size,
        hidden_size=config.hidden,
        fan=config.fan,
        generator=derive(config.seed, "start"),
    )


def batches(config: TrainConfig, size: int, first: int, last: int) -> Iterator[tuple[int, Tensor]]:
    """(update, indices [B]) for updates first..last-1: each epoch a fresh permutation, an incomplete batch left out.

    The order depends on the seed alone, so a run resumed at any update sees what an unbroken one would.
    """
    per_epoch = size // config.batch
    order, current = torch.empty(0), -1
    for update in range(first, last):
        epoch, k = divmod(update, per_epoch)
        if epoch != current:
            order, current = torch.randperm(size, generator=derive(config.seed, "order", epoch)), epoch
        yield update, order[k * config.batch : (k + 1) * config.batch]


def clip_(model: nn.Module, config: TrainConfig) -> float:
    """Clip the gradients in place; returns their joint norm before."""
    if config.clip and config.clip_by == "norm":
        return float(nn.utils.clip_grad_norm_(model.parameters(), config.clip))
    norm = float(nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None]))
    if config.clip:
        nn.utils.clip_grad_value_(model.parameters(), config.clip)
    return norm


@torch.no_grad()
def evaluate(model: SequenceModel, split: Split, objective: Objective) -> dict[str, float]:
    """The metrics of a model on a set, in evaluation mode and fixed order.

    Args:
        model: the model; its training mode is restored.
        split: the set.
        objective: the metrics.

    Returns:
        Metric name to mean over the sequences.
    """
    training = model.training
    model.eval()
    totals: defaultdict[str, float] = defaultdict(float)
    for first in range(0, len(split), EVAL_BATCH):
        batch = split.batch(torch.arange(first, min(first + EVAL_BATCH, len(split))))
        for name, value in objective.sums(model(batch.x, batch.lengths), batch.y).items():
            totals[name] += value
    model.train(training)
    return {name: total / len(split) for name, total in totals.items()}
