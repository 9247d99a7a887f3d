"""The members of an ensemble: what each is, which may train together, where each stands, and what is kept of it."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from torch import Tensor

from nprnn.errors import RunError
from nprnn.models import At, SequenceModel, build_model
from nprnn.runs import DIVERGED, Checkpoint, Run
from nprnn.seeds import derive
from nprnn.tasks.base import TaskData
from nprnn.training.config import TrainConfig
from nprnn.training.readings import is_better
from nprnn.training.readout import evaluate, judged_at, loss_at


class Member(NamedTuple):
    """One run of an ensemble.

    Attributes:
        config: its settings.
        data: the task, as loaded for ``config.seed``; members may share it.
        run: where its records and checkpoints go.
    """

    config: TrainConfig
    data: TaskData
    run: Run


@dataclass(frozen=True)
class Outcome:
    """How training ended for a member.

    Attributes:
        state: finished (the schedule, or ``stop_after``), stopped (asked to), or diverged.
        update: updates done at its last checkpoint.
        message: what happened, or "".
    """

    state: Literal["finished", "stopped", "diverged"]
    update: int
    message: str = ""


def ensemble_key(config: TrainConfig) -> tuple[Hashable, ...]:
    """What must be equal for members of one task to train together; all other settings may differ.

    Args:
        config: a member's settings.

    Returns:
        A key: equal for members that can share an ensemble.
    """
    family = "LSTM" if config.model == "LSTM" else "RNN"
    return (family, config.hidden, config.batch, config.optimizer, config.loss_at, config.truncate)


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


def load_weights(model: SequenceModel, checkpoint: Checkpoint, run: Run) -> None:
    """Put a checkpoint's weights into the model.

    Raises:
        RunError: they are not of this model.
    """
    weights = under("model.", checkpoint.tensors)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise RunError(f"the checkpoint of {run.folder} is not of its model: {error}") from error


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, without that beginning."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


@dataclass
class Seat:
    """A member in training.

    Attributes:
        number: its place among the members that were given.
        member: settings, data and run.
        model: its model.
        last: the update it trains up to now.
        done: updates done.
        best: the best validation metric so far.
        window: losses and gradient norms since the last evaluation.
        counted: updates done, and seconds of training, when speed was last told.
    """

    number: int
    member: Member
    model: SequenceModel
    last: int
    done: int = 0
    best: float | None = None
    window: dict[str, list[float]] = field(default_factory=lambda: {"loss": [], "gradient_norm": []})
    counted: tuple[int, float] = (0, 0.0)

    @property
    def at(self) -> At:
        """Where its loss is taken."""
        return loss_at(self.member.config, self.member.data)

    def restore(self, checkpoint: Checkpoint) -> dict[str, Tensor]:
        """Go on from a checkpoint; returns what the optimiser kept.

        Raises:
            RunError: it is not of this model, or holds weights alone.
        """
        run = self.member.run
        load_weights(self.model, checkpoint, run)
        try:
            for name, values in self.window.items():
                values.extend(map(float, checkpoint.extra["window"][name]))
            self.best = checkpoint.extra["best"]
        except (KeyError, TypeError, ValueError) as error:
            raise no_way_on(run, error) from error
        self.done = checkpoint.update
        self.counted = (self.done, 0.0)
        return under("optimizer.", checkpoint.tensors)

    def until_event(self) -> int:
        """Updates until something is due: an evaluation, another learning rate, or the end."""
        config = self.member.config
        evaluation = (self.done // config.eval_every + 1) * config.eval_every
        return min(config.next_lr_change(self.done), evaluation, self.last) - self.done

    def note(self, losses: list[float], norms: list[float]) -> str:
        """Take note of updates: their losses and gradient norms; returns what diverged, or ""."""
        for k, (loss, norm) in enumerate(zip(losses, norms, strict=True), start=1):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                return self._diverged(self.done + k, f"loss {loss}, gradient norm {norm}")
        self.window["loss"] += losses
        self.window["gradient_norm"] += norms
        self.done += len(losses)
        return ""

    @property
    def evaluation_due(self) -> bool:
        """Whether this is an update to evaluate after."""
        config = self.member.config
        return self.done % config.eval_every == 0 or self.done == config.updates

    def evaluate(self, seconds: float) -> tuple[dict[str, Any], str]:
        """Judge the model on both sets.

        Args:
            seconds: of training so far, evaluations left out.

        Returns:
            The record, and what diverged, or "".
        """
        config, data, _ = self.member
        updates, since = self.done - self.counted[0], seconds - self.counted[1]
        record: dict[str, Any] = {
            "update": self.done,
            **{name: sum(values) / len(values) for name, values in self.window.items()},
            "lr": config.lr_at(self.done - 1),
            "updates_per_second": updates / since,
        }
        self.counted = (self.done, seconds)
        options: dict[str, Any] = {"at": judged_at(config, data), "steps_have_targets": data.steps_have_targets}
        for name, split in (("valid", data.valid), ("test", data.test)):
            if split is not None:
                record[name] = evaluate(self.model, split, data.objective, **options)
        metrics = {**record.get("valid", {}), **record["test"]}
        wrong = [name for name, value in metrics.items() if not math.isfinite(value)]
        wrong += [name for name, p in self.model.named_parameters() if not bool(p.isfinite().all())]
        if wrong:
            return record, self._diverged(self.done, f"{', '.join(wrong)} not finite any more")
        return record, ""

    def keep(self, record: dict[str, Any], optimizer: dict[str, Tensor]) -> None:
        """Write a record, the weights if they are the best so far, and a checkpoint."""
        _, data, run = self.member
        if "valid" in record:
            value: float = record["valid"][data.objective.headline]
            if is_better(value, self.best, data.objective.higher_is_better):
                run.save_best(Checkpoint(self._weights(), self.done, {}))
                self.best = value
        run.append(record)
        for values in self.window.values():
            values.clear()
        self.checkpoint(optimizer)

    def checkpoint(self, optimizer: dict[str, Tensor]) -> None:
        """Write a checkpoint of this moment, unless there is one."""
        run = self.member.run
        if self.done > run.saved:
            tensors = self._weights() | {f"optimizer.{name}": tensor for name, tensor in optimizer.items()}
            run.save_checkpoint(Checkpoint(tensors, self.done, {"window": self.window, "best": self.best}))

    def _weights(self) -> dict[str, Tensor]:
        return {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}

    def _diverged(self, update: int, what: str) -> str:
        """What to tell, and a record of it: that settings fail is a result too."""
        run = self.member.run
        run.write(DIVERGED, json.dumps({"update": update, "what": what}).encode())
        return (
            f"update {update}: {what}. {run.folder} keeps the checkpoint of update {run.saved}; "
            "try a smaller lr or clip"
        )


def no_way_on(run: Run, error: Exception) -> RunError:
    """The error for a checkpoint that training cannot go on from."""
    return RunError(
        f"the checkpoint of {run.folder} holds weights but not what training needs to go on ({error!r}); "
        "was another file copied over it?"
    )
