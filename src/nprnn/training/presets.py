"""Named settings for a task; what a preset does not name keeps its default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nprnn.errors import unknown
from nprnn.training.config import TrainConfig


@dataclass(frozen=True)
class Preset:
    """Settings under one name.

    Attributes:
        about: one line for the help.
        task: settings of the task.
        train: settings of the training, its own model among them where it is not the default.
        by_model: settings of the training for single models, over ``train``.
    """

    about: str
    task: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    by_model: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The model where the user names none."""
        return str(self.train.get("model", TrainConfig.model))

    def for_model(self, model: str) -> dict[str, Any]:
        """Settings of the training of one model, its name among them."""
        return {**self.train, **self.by_model.get(model, {}), "model": model}


_ADDITION_PAPER = Preset(
    "section 4.1: T = 150, batch 1, 10 epochs of a fixed 100k set, SGD 1e-3, clip 10 (by norm: open)",
    task={"length": 150},
    train={"batch": 1, "lr": 1e-3, "cool_at": (), "clip": 10.0, "updates": 1_000_000, "eval_every": 10_000},
)
_MULTIPLICATION_PAPER = Preset(
    "section 4.2: T = 50, batch 16, 100 epochs of a fixed 100k set, SGD 2e-4 divided by 10 twice at equal intervals; "
    "clip 10 as in 4.1, which 4.2 leaves open",
    task={"length": 50},
    train={"lr": 2e-4, "cool_at": (1 / 3, 2 / 3), "clip": 10.0, "updates": 625_000, "eval_every": 6250},
)
_UCF101_PAPER = Preset(
    "section 4.4: RMSprop 1e-3 (its decay is open: 0.9), batch 256, 70 epochs of all 101 classes, divided by 10 after "
    "25 and 55; dropout 0.5; no clip, which the paper leaves open",
    train={
        "optimizer": "rmsprop",
        "lr": 1e-3,
        "decay": 0.9,
        "batch": 256,
        "dropout": 0.5,
        "clip": 0.0,
        "cool_at": (25 / 70, 55 / 70),
        "updates": 2450,
        "eval_every": 35,
    },
)
_UCF101 = {"optimizer": "adam", "lr": 1e-3, "batch": 64, "eval_every": 50, "dropout": 0.5}
_MNIST_PAPER = Preset(
    "section 4.3: batch 16, 100 epochs of all 60,000; np-RNN: SGD 1e-4 divided by 10 after 33 and 66 epochs; IRNN: "
    "RMSprop 1e-6 (its decay is open: 0.9); no clip, which the paper leaves open",
    task={"valid_size": 0},
    train={"lr": 1e-4, "cool_at": (0.33, 0.66), "clip": 0.0, "updates": 375_000, "eval_every": 3750},
    by_model={"IRNN": {"optimizer": "rmsprop", "lr": 1e-6, "decay": 0.9, "cool_at": ()}},
)
# One recipe for long sequences. Start, rates and clip were chosen on validation sets of pixel MNIST and of addition;
# docs/recipe.md tells how, and what it reaches.
_BEST = {
    "model": "oRNN-mirror",
    "optimizer": "adam",
    "lr": 1e-3,
    "lr_hh": 0.01,
    "batch": 16,
    "clip": 1.0,
    "cool_at": (0.4, 0.6, 0.75, 0.9),
    "cool_by": 3.0,
}

PRESETS: dict[str, dict[str, Preset]] = {
    "addition": {
        "default": Preset("T = 100, learned in a few minutes", train={"updates": 24_000}),
        "quick": Preset("T = 50, about a minute", task={"length": 50}, train={"updates": 12_000, "eval_every": 500}),
        "best": Preset(
            "T = 500, by our recipe for long sequences: oRNN-mirror, Adam with a hundredth of its rate for W_hh",
            task={"length": 500},
            train={**_BEST, "updates": 40_000, "eval_every": 1000},
        ),
        "paper": _ADDITION_PAPER,
    },
    "multiplication": {
        "default": Preset("T = 100, some minutes", train={"lr": 0.1, "updates": 24_000}),
        "quick": Preset(
            "T = 50, about a minute", task={"length": 50}, train={"lr": 0.1, "updates": 12_000, "eval_every": 500}
        ),
        "paper": _MULTIPLICATION_PAPER,
    },
    "mnist": {
        "default": Preset("eleven epochs", train={"batch": 100, "lr": 0.2, "updates": 6000, "eval_every": 600}),
        "quick": Preset(
            "row by row, four epochs, well under a minute",
            task={"rows": True},
            train={"batch": 100, "lr": 0.2, "updates": 2200, "eval_every": 220},
        ),
        "best": Preset(
            "50 epochs by our recipe for long sequences: oRNN-mirror, Adam with a hundredth of its rate for W_hh",
            train={**_BEST, "updates": 171_850, "eval_every": 3437},
        ),
        "paper": _MNIST_PAPER,
    },
    "ucf101": {
        "default": Preset("Adam, 1,000 updates", task={"scaling": "l2"}, train={**_UCF101, "updates": 1000}),
        "quick": Preset("Adam, 200 updates", task={"scaling": "l2"}, train={**_UCF101, "updates": 200}),
        "paper": _UCF101_PAPER,
    },
    "sequences": {
        "default": Preset(
            "Adam, a few thousand updates", train={"optimizer": "adam", "lr": 1e-3, "updates": 3000, "eval_every": 100}
        ),
        "quick": Preset("Adam, 500 updates", train={"optimizer": "adam", "lr": 3e-3, "updates": 500, "eval_every": 50}),
    },
}


def find_preset(task: str, name: str) -> Preset:
    """The preset of a task by name; "none" leaves every setting at its own default.

    Raises:
        ConfigError: the task has no preset of that name; the message lists all and names the nearest.
    """
    if name == "none":
        return Preset("every setting at its own default")
    if name not in PRESETS[task]:
        raise unknown(f"preset of {task}", name, [*PRESETS[task], "none"])
    return PRESETS[task][name]
