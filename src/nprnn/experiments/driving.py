"""Inputs that drive many starts: a made-up task's sequences, one for each."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from nprnn.errors import ConfigError
from nprnn.tasks import TASKS, find_task


def is_made_up(task: str) -> bool:
    """Whether a task draws its sequences, of any length, and reads no data.

    Raises:
        ConfigError: unknown name.
    """
    return {"length", "train_size"} <= {f.name for f in fields(find_task(task))}  # type: ignore[arg-type]


def one_each(task: str, length: int, draws: int) -> Tensor:
    """A sequence of its own for each draw: the first training sequence of the task's seeds 0 to E - 1.

    Args:
        task: name of a made-up task.
        length: T.
        draws: E.

    Returns:
        Inputs [E, T, 1, I].

    Raises:
        ConfigError: a task that is not made up, or a length that it does not take.
    """
    if not is_made_up(task):
        known = ", ".join(filter(is_made_up, TASKS))
        raise ConfigError(f"{task} reads data and has no length; the tasks that are made up are {known}")
    sizes: dict[str, Any] = {"length": length, "train_size": 1, "valid_size": 0, "test_size": 1}
    made = find_task(task)(**sizes)
    return torch.stack([made.load(seed).train.batch(torch.arange(1)).x for seed in range(draws)])
