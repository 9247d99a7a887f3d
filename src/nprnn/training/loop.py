"""The training loop: draw a batch, run, differentiate, clip, step; evaluate and checkpoint on the way."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nprnn.errors import ConfigError, NonFiniteError, RunError
from nprnn.models import SequenceModel, build_model
from nprnn.runs import DIVERGED, Checkpoint, Run
from nprnn.seeds import derive
from nprnn.tasks.base import TaskData
from nprnn.training.config import TrainConfig
from nprnn.training.optimizers import build_optimizer, optimizer_tensors, restore_optimizer
from nprnn.training.readings import is_better
from nprnn.training.readout import evaluate, judged_at, loss_at, rows


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
    stop: Callable[[], bool] = lambda: False,
    listener: Listener | None = None,
) -> SequenceModel:
    """Train from the run's last checkpoint, or from the start, to the end of the schedule.

    Backpropagation through time over all steps of each sequence, or truncated. The result is the last iterate; the
    iterate that did best on the validation set is kept beside it. Nothing is chosen by the test set.

    Args:
        config: the settings.
        data: the task, as loaded for ``config.seed``.
        run: where records and checkpoints go.
        stop_after: stop once so many updates of the schedule are done (a later call goes on from there).
        stop: asked after every update; true ends the training with a checkpoint of that very update.
        listener: told of every update and evaluation.

    Returns:
        The trained model.

    Raises:
        ConfigError: settings that do not go with the data, or a ``stop_after`` below 1.
        NonFiniteError: the loss or the gradient became NaN or infinite; the last checkpoint is from before.
        RunError: the run folder is damaged, in use, or cannot be written.

    Source: sections 3 and 4.
    """
    if config.batch > len(data.train):
        raise ConfigError(f"batch {config.batch} is larger than the training set of {len(data.train)} sequences")
    if stop_after is not None and stop_after < 1:
        raise ConfigError(f"stop_after must be at least 1, got {stop_after}")
    at, judged = loss_at(config, data), judged_at(config, data)
    last = config.updates if stop_after is None else min(config.updates, stop_after)
    with run.lock():
        model = start_model(config, data)
        optimizer = build_optimizer(config, model.parameters())
        trained = [p for p in model.parameters() if p.requires_grad]
        # Since the last evaluation: losses and gradient norms. And the best validation metric so far.
        window: dict[str, list[float]] = {"loss": [], "gradient_norm": []}
        done, best = _restore(run, model, optimizer, window)
        since, counted = time.perf_counter(), done

        for update, index in batches(config, len(data.train), done, last):
            batch = data.train.batch(index)
            outputs, targets = rows(
                model,
                batch,
                at,
                steps_have_targets=data.steps_have_targets,
                truncate=config.truncate,
                dropout=config.dropout,
                # Derived for each update, so that a resumed run drops what an unbroken one would.
                generator=derive(config.seed, "dropout", update) if config.dropout else None,
            )
            loss = data.objective.loss(outputs, targets)
            for parameter in trained:
                parameter.grad = None
            loss.backward()
            window["loss"].append(float(loss.detach()))
            window["gradient_norm"].append(clip_(trained, config))
            _check_finite(update, window, run)
            optimizer.param_groups[0]["lr"] = config.lr_at(update)
            optimizer.step()

            done = update + 1
            if listener:
                listener.on_update(done, window["loss"][-1])
            if done % config.eval_every == 0 or done == config.updates:
                record: dict[str, Any] = {
                    "update": done,
                    **{name: sum(values) / len(values) for name, values in window.items()},
                    "lr": config.lr_at(update),
                    "updates_per_second": (done - counted) / (time.perf_counter() - since),
                }
                for name, split in (("valid", data.valid), ("test", data.test)):
                    if split is not None:
                        record[name] = evaluate(
                            model, split, data.objective, at=judged, steps_have_targets=data.steps_have_targets
                        )
                _check_outcome(record, model, run)
                best = _keep_best(run, model, record, data, best)
                run.append(record)
                for values in window.values():
                    values.clear()
                run.save_checkpoint(_checkpoint(model, optimizer, window, best, done))
                if listener:
                    listener.on_record(record)
                since, counted = time.perf_counter(), done
            if stop() or done == last:
                break
        if done > run.saved:
            run.save_checkpoint(_checkpoint(model, optimizer, window, best, done))
    return model


def start_model(config: TrainConfig, data: TaskData) -> SequenceModel:
    """The model of a run before its first update."""
    scaling = data.standardisation
    return build_model(
        config.model,
        data.input_size,
        data.output_size,
        hidden_size=config.hidden,
        fan=config.fan,
        mean=scaling.mean if scaling else None,
        scale=scaling.scale if scaling else None,
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


def clip_(parameters: Sequence[nn.Parameter], config: TrainConfig) -> float:
    """Clip the gradients in place, as ``torch.nn.utils.clip_grad_*_`` do; returns their joint norm before."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = float(nn.utils.get_total_norm(gradients))
    if config.clip and config.clip_by == "value":
        nn.utils.clip_grad_value_(parameters, config.clip)
    # torch multiplies even by 1, which takes as long as the rest of a small step's clipping.
    elif config.clip and norm + 1e-6 > config.clip:
        for gradient in gradients:
            gradient.mul_(config.clip / (norm + 1e-6))
    return norm


def load_weights(model: SequenceModel, checkpoint: Checkpoint, run: Run) -> None:
    """Put a checkpoint's weights into the model.

    Raises:
        RunError: they are not of this model.
    """
    weights = _under("model.", checkpoint.tensors)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise RunError(f"the checkpoint of {run.folder} is not of its model: {error}") from error


def _restore(
    run: Run, model: SequenceModel, optimizer: Optimizer, window: dict[str, list[float]]
) -> tuple[int, float | None]:
    checkpoint = run.resume()
    if checkpoint is None:
        return 0, None
    load_weights(model, checkpoint, run)
    try:
        restore_optimizer(optimizer, _under("optimizer.", checkpoint.tensors))
        for name, values in window.items():
            values.extend(map(float, checkpoint.extra["window"][name]))
        best: float | None = checkpoint.extra["best"]
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"the checkpoint of {run.folder} holds weights but not what training needs to go on ({error!r}); "
            "was another file copied over it?"
        ) from error
    return checkpoint.update, best


def _checkpoint(
    model: SequenceModel, optimizer: Optimizer, window: dict[str, list[float]], best: float | None, update: int
) -> Checkpoint:
    tensors = _weights(model) | {f"optimizer.{name}": tensor for name, tensor in optimizer_tensors(optimizer).items()}
    return Checkpoint(tensors, update, {"window": window, "best": best})


def _keep_best(
    run: Run, model: SequenceModel, record: dict[str, Any], data: TaskData, best: float | None
) -> float | None:
    if "valid" not in record:
        return best
    value: float = record["valid"][data.objective.headline]
    if not is_better(value, best, data.objective.higher_is_better):
        return best
    run.save_best(Checkpoint(_weights(model), record["update"], {}))
    return value


def _weights(model: SequenceModel) -> dict[str, Tensor]:
    return {f"model.{name}": tensor for name, tensor in model.state_dict().items()}


def _check_finite(update: int, window: dict[str, list[float]], run: Run) -> None:
    loss, norm = window["loss"][-1], window["gradient_norm"][-1]
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise _diverged(run, update + 1, f"loss {loss}, gradient norm {norm}")


def _check_outcome(record: dict[str, Any], model: SequenceModel, run: Run) -> None:
    metrics = {**record.get("valid", {}), **record["test"]}
    wrong = [name for name, value in metrics.items() if not math.isfinite(value)]
    wrong += [name for name, p in model.named_parameters() if not bool(p.isfinite().all())]
    if wrong:
        raise _diverged(run, record["update"], f"{', '.join(wrong)} not finite any more")


def _diverged(run: Run, update: int, what: str) -> NonFiniteError:
    """The error, and a record of it: that settings fail is a result too."""
    run.write(DIVERGED, json.dumps({"update": update, "what": what}).encode())
    return NonFiniteError(
        f"update {update}: {what}. {run.folder} keeps the checkpoint of update {run.saved}; try a smaller lr or clip"
    )


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
