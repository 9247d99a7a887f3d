"""A member in training: where it stands, what is noted of it, and what is kept of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from nprnn.errors import NonFiniteError, RunError
from nprnn.models import At, SequenceModel
from nprnn.runs import DIVERGED, WINDOW, Checkpoint, Run
from nprnn.training.members import Member, load_weights, under
from nprnn.training.readings import is_better
from nprnn.training.readout import evaluate, judged_at, loss_at


@dataclass
class Window:
    """Sums since the last evaluation: how many updates, and of their losses and gradient norms."""

    updates: int = 0
    loss: float = 0.0
    gradient_norm: float = 0.0

    def means(self) -> dict[str, float]:
        """Loss and gradient norm of an update."""
        return {"loss": self.loss / self.updates, "gradient_norm": self.gradient_norm / self.updates}

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Window:
        """What a checkpoint tells; version 0.1 kept every number for a while, and later sums."""
        if isinstance(found["loss"], list):
            losses, norms = (list(map(float, found[name])) for name in ("loss", "gradient_norm"))
            return cls(len(losses), sum(losses), sum(norms))
        return cls(int(found["updates"]), float(found["loss"]), float(found["gradient_norm"]))


def unjudged(checkpoint: Checkpoint) -> bool:
    """Whether updates have been done since the last evaluation: at the end of the schedule, the last is still to come.

    Raises:
        KeyError: a checkpoint of something else; so do TypeError and ValueError.
    """
    return Window.read(checkpoint.extra[WINDOW]).updates > 0


@dataclass
class Seat:
    """A member in training.

    What goes wrong with a member is raised here: ``NonFiniteError`` where its numbers blow up, with a note in its
    folder (that settings fail is a result too), and ``RunError`` where its folder cannot be read or written.

    Attributes:
        number: its place among the members that were given.
        member: settings, data and run.
        model: its model.
        last: the update it trains up to now.
        done: updates done.
        best: the best validation metric so far.
        window: what has gathered since the last evaluation.
        counted: updates done, and seconds of training, when speed was last told.
    """

    number: int
    member: Member
    model: SequenceModel
    last: int
    done: int = 0
    best: float | None = None
    window: Window = field(default_factory=Window)
    counted: tuple[int, float] = (0, 0.0)

    @property
    def at(self) -> At:
        """Where its loss is taken."""
        return loss_at(self.member.config, self.member.data)

    def restore(self) -> dict[str, Tensor] | None:
        """Go on from the run's last checkpoint; returns what the optimiser kept, or None for a fresh start."""
        run = self.member.run
        checkpoint = run.resume()
        if checkpoint is None:
            return None
        load_weights(self.model, checkpoint, run)
        try:
            self.window = Window.read(checkpoint.extra[WINDOW])
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

    def note(self, losses: Sequence[float], norms: Sequence[float]) -> None:
        """Take note of updates: their losses and gradient norms."""
        for loss, norm in zip(losses, norms, strict=True):
            self.done += 1
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise self._diverged(f"loss {loss}, gradient norm {norm}")
            self.window.updates += 1
            self.window.loss += loss
            self.window.gradient_norm += norm

    @property
    def evaluation_due(self) -> bool:
        """Whether updates have been done that want judging now."""
        config = self.member.config
        return self.window.updates > 0 and (self.done % config.eval_every == 0 or self.done == config.updates)

    def evaluate(self, seconds: float, optimizer: dict[str, Tensor]) -> dict[str, Any]:
        """Judge the model on both sets; keep the record, the weights if they are the best so far, and a checkpoint.

        Args:
            seconds: of updates so far.
            optimizer: what its optimiser keeps.

        Returns:
            The record.
        """
        config, data, run = self.member
        updates, since = self.done - self.counted[0], seconds - self.counted[1]
        record: dict[str, Any] = {
            "update": self.done,
            **self.window.means(),
            "lr": config.lr_at(self.done - 1),
            # One that was stopped when it was due is judged by another process, before it does any.
            "updates_per_second": updates / since if since else 0.0,
        }
        self.counted = (self.done, seconds)
        self._check_parameters()
        options: dict[str, Any] = {"at": judged_at(config, data), "steps_have_targets": data.steps_have_targets}
        for name, split in (("valid", data.valid), ("test", data.test)):
            if split is not None and not (name == "test" and config.withhold_test):
                record[name] = evaluate(self.model, split, data.objective, **options)
                wrong = [f"{name} {metric}" for metric, value in record[name].items() if not math.isfinite(value)]
                if wrong:
                    raise self._diverged(f"{', '.join(wrong)} not finite any more")
        if "valid" in record:
            value: float = record["valid"][data.objective.headline]
            if is_better(value, self.best, data.objective.higher_is_better):
                run.save_best(Checkpoint(self._weights(), self.done, {}))
                self.best = value
        if config.keeps_snapshot(self.done):
            run.save_snapshot(Checkpoint(self._weights(), self.done, {}))
        run.append(record)
        self.window = Window()
        # Also over one of this update: that was written by a process that was stopped before it could evaluate.
        self._save(optimizer)
        return record

    def checkpoint(self, optimizer: dict[str, Tensor]) -> None:
        """Write a checkpoint of this moment, unless there is one."""
        if self.done > self.member.run.saved:
            self._check_parameters()
            self._save(optimizer)

    def _save(self, optimizer: dict[str, Tensor]) -> None:
        tensors = self._weights() | {f"optimizer.{name}": tensor.cpu() for name, tensor in optimizer.items()}
        extra = {WINDOW: asdict(self.window), "best": self.best}
        self.member.run.save_checkpoint(Checkpoint(tensors, self.done, extra))

    def _check_parameters(self) -> None:
        wrong = [name for name, p in self.model.named_parameters() if not bool(p.isfinite().all())]
        if wrong:
            raise self._diverged(f"{', '.join(wrong)} not finite any more")

    def _weights(self) -> dict[str, Tensor]:
        return {f"model.{name}": tensor.cpu() for name, tensor in self.model.state_dict().items()}

    def _diverged(self, what: str) -> NonFiniteError:
        run = self.member.run
        run.write(DIVERGED, json.dumps({"update": self.done, "what": what}).encode())
        return NonFiniteError(
            f"update {self.done}: {what}. {run.folder} keeps the checkpoint of update {run.saved}; "
            "try a smaller lr or clip"
        )


def no_way_on(run: Run, error: Exception) -> RunError:
    """The error for a checkpoint that training cannot go on from."""
    return RunError(
        f"the checkpoint of {run.folder} holds weights but not what training needs to go on ({error!r}); "
        "was another file copied over it?"
    )
