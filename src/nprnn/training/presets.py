"""Named settings for a task; what a preset does not name keeps its default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nprnn.errors import ConfigError, unknown


@dataclass(frozen=True)
class Preset:
    """Settings under one name.

    Attributes:
        about: one line for the help.
        task: settings of the task.
        train: settings of the training.
        models: the only models it is for; empty for any.
    """

    about: str
    task: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ()

    def check_model(self, name: str, model: str) -> None:
        """Refuse a model the preset is not for."""
        if self.models and model not in self.models:
            raise ConfigError(
                f"preset {name!r} is for {', '.join(self.models)} only, got model {model!r}: the paper trains its "
                "rivals with RMSprop there, which this version does not have"
            )


PRESETS: dict[str, dict[str, Preset]] = {
    "addition": {
        "default": Preset("T = 100, learned in a few minutes", train={"lr": 0.03, "updates": 24_000}),
        "demo": Preset(
            "T = 50, about a minute a model",
            task={"length": 50},
            train={"lr": 0.03, "updates": 12_000, "eval_every": 500},
        ),
        "paper": Preset(
            "section 4.1: T = 150, batch 1, 10 epochs of a fixed 100k set, SGD 1e-3, clip 10",
            task={"length": 150},
            train={"batch": 1, "lr": 1e-3, "cool_at": (), "clip": 10.0, "updates": 1_000_000, "eval_every": 10_000},
        ),
    },
    "mnist": {
        "default": Preset("ten epochs", train={"batch": 100, "lr": 0.2, "updates": 6000, "eval_every": 600}),
        "paper": Preset(
            "section 4.3, np-RNN: batch 16, 100 epochs, SGD 1e-4 cooled by 10 after 33 and 66 epochs; no clip, which "
            "the paper leaves open",
            train={
                "batch": 16,
                "lr": 1e-4,
                "cool_at": (0.33, 0.66),
                "clip": 0.0,
                "updates": 375_000,
                "eval_every": 3750,
            },
            models=("np-RNN", "np-RNN-N2"),
        ),
    },
}


def find_preset(task: str, name: str) -> Preset:
    """The preset of a task by name.

    Raises:
        ConfigError: the task has no preset of that name; the message lists all and names the nearest.
    """
    if name not in PRESETS[task]:
        raise unknown(f"preset of {task}", name, PRESETS[task])
    return PRESETS[task][name]
