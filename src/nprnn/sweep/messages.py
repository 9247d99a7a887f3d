"""What a worker tells the process that started it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from nprnn.tasks import TaskConfig
from nprnn.training import TrainConfig


class Order(NamedTuple):
    """What a worker is to do.

    Attributes:
        task_name: the task.
        members: number in the sweep, task settings and training settings of each.
        folder: folder of run folders.
        parent: process that it works for; without that one it stops.
        device: where it computes, by name.
    """

    task_name: str
    members: tuple[tuple[int, TaskConfig, TrainConfig], ...]
    folder: Path
    parent: int
    device: str = "cpu"


class Doing(NamedTuple):
    """What the worker begins with now."""

    what: str


class Opened(NamedTuple):
    """A member's folder is there, with so many updates done."""

    member: int
    folder: str
    update: int


class Moved(NamedTuple):
    """Members are that far; several times a second at most."""

    updates: Mapping[int, int]


class Recorded(NamedTuple):
    """A member was evaluated."""

    member: int
    record: Mapping[str, Any]


class Ended(NamedTuple):
    """A member finished, diverged or was stopped."""

    member: int
    state: Literal["finished", "diverged", "stopped"]
    update: int
    message: str


class Refused(NamedTuple):
    """A member could not be trained; its shard goes on without it."""

    member: int
    error: str


class Broken(NamedTuple):
    """The worker gives up all that has not ended."""

    error: str
    trace: str


class Spent(NamedTuple):
    """Seconds of loading data, and inside the training; the last message."""

    loading: float
    training: float


Message = Doing | Opened | Moved | Recorded | Ended | Refused | Broken | Spent
