"""The settings of a training run, checked when they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from nprnn.configs import LATER, check_range
from nprnn.errors import ConfigError
from nprnn.init.slips import Slip
from nprnn.init.weights import Fan
from nprnn.models import find_model

Optimizer = Literal["sgd", "momentum", "rmsprop", "adam"]
LossAt = Literal["auto", "last", "mean", "each"]
MOST_HIDDEN = 1 << 20
"""The most hidden units; the recurrent weight of so many takes 4 TiB."""


@dataclass(frozen=True)
class TrainConfig:
    """How to train: the model, the optimiser and the schedule.

    Attributes:
        model: a model by its name in the paper: np-RNN, np-RNN-N2, IRNN, iRNN, nRNN, oRNN, gRNN, np-tanhRNN,
            np-RNN-mirror, oRNN-mirror or LSTM.
        hidden: H, hidden units; the paper has 100.
        fan: what N is in the input weight's start, hidden units or inputs; the paper leaves it open.
        seed: derives the start, the training data and their order.
        batch: B, sequences in an update.
        updates: length of the schedule, in updates.
        optimizer: sgd, momentum, rmsprop or adam.
        lr: learning rate.
        lr_hh: what it is multiplied by for the recurrent weight, whose small changes are raised to the power of T.
        momentum: of momentum, and the first-moment decay of adam.
        decay: second-moment decay of rmsprop (which the paper leaves open) and adam.
        eps: added to the root of the second moment by rmsprop and adam.
        weight_decay: times half the sum of squares of all weights and biases is added to the loss.
        dropout: probability of dropping a hidden unit on its way to the output (section 4.4).
        cool_at: fractions of the schedule at which the learning rate is divided by cool_by.
        cool_by: what the learning rate is divided by.
        clip: largest gradient: the joint norm of all parameters, or the absolute value of each entry; 0 for no clip.
        clip_by: what clip bounds, norm or value; the paper leaves it open.
        loss_at: where the loss is taken: at the last step, on the mean of the outputs over the steps, or at each step
            (predictions are then made at the last). auto is each where every step has a target of its own, else last.
        truncate: gradients flow within segments of so many steps only (truncated backpropagation); None means all.
        eval_every: updates between evaluations, each followed by a checkpoint.
        withhold_test: read the validation set alone at evaluations, so that nobody has seen the test set before a
            choice is made; ``nprnn eval`` reads it then.
        slip: a mistake of public code to put into the start, for redoing what was published with it: alpha (a
            parenthesis), variance (used as a deviation), both, or none.
        snapshots: how many times weights are kept along the way, at evaluations evenly spaced over the schedule, for
            ``nprnn analyse``.
    """

    model: str = "np-RNN"
    hidden: int = 100
    fan: Fan = "hidden"
    seed: int = 0
    batch: int = 16
    updates: int = 20_000
    optimizer: Optimizer = "sgd"
    lr: float = 0.03
    momentum: float = 0.9
    decay: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    dropout: float = 0.0
    cool_at: tuple[float, ...] = (0.75,)
    cool_by: float = 10.0
    clip: float = 1.0
    clip_by: Literal["norm", "value"] = "norm"
    loss_at: LossAt = "auto"
    truncate: int | None = None
    eval_every: int = 1000
    withhold_test: bool = field(default=False, metadata=LATER)
    slip: Slip = field(default="none", metadata=LATER)
    snapshots: int = field(default=0, metadata=LATER)
    lr_hh: float = field(default=1.0, metadata=LATER)

    def __post_init__(self) -> None:
        check_range(self)
        # The registered spelling, so that one model has one name in records and folders.
        object.__setattr__(self, "model", find_model(self.model))
        object.__setattr__(self, "cool_at", tuple(self.cool_at))
        for name in ("hidden", "batch", "updates", "eval_every", "truncate"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        if self.hidden > MOST_HIDDEN:
            raise ConfigError(f"hidden must be at most {MOST_HIDDEN}, got {self.hidden}")
        for name in ("lr", "lr_hh", "cool_by", "eps"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{name} must be a finite number above 0, got {value}")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise ConfigError(f"weight_decay must be a finite number, 0 for none, got {self.weight_decay}")
        for name in ("momentum", "decay", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} must be from 0 to below 1, got {getattr(self, name)}")
        if not (math.isfinite(self.clip) and self.clip >= 0):
            raise ConfigError(f"clip must be a finite number, 0 for none, got {self.clip}")
        for name in ("seed", "snapshots"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if any(not 0 < f < 1 for f in self.cool_at) or list(self.cool_at) != sorted(self.cool_at):
            raise ConfigError(f"cool_at must be rising fractions between 0 and 1, got {self.cool_at}")
        if self.slip != "none" and self.model == "LSTM":
            raise ConfigError(f"slip is of an RNN's start; LSTM has none to put {self.slip!r} into")
        clips = Literal["norm", "value"]
        choices = {"fan": Fan, "clip_by": clips, "optimizer": Optimizer, "loss_at": LossAt, "slip": Slip}
        for name, kind in choices.items():
            if getattr(self, name) not in get_args(kind):
                raise ConfigError(
                    f"{name} must be {' or '.join(map(repr, get_args(kind)))}, got {getattr(self, name)!r}"
                )

    def lr_at(self, update: int) -> float:
        """The learning rate of the update with that number, the first being 0."""
        cooled = sum(update >= round(fraction * self.updates) for fraction in self.cool_at)
        return self.lr / self.cool_by**cooled

    def keeps_snapshot(self, update: int) -> bool:
        """Whether the evaluation after so many updates is the first at or past one of the evenly spaced places."""
        before = max(0, update - 1) // self.eval_every * self.eval_every
        return update * self.snapshots // self.updates > before * self.snapshots // self.updates

    def next_lr_change(self, update: int) -> int:
        """The first update after that one with another learning rate; the end of the schedule if there is none."""
        changes = (round(fraction * self.updates) for fraction in self.cool_at)
        return min((change for change in changes if change > update), default=self.updates)
