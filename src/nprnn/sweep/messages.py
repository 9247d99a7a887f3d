"""What a worker is told, and what it tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from nprnn.tasks import TaskConfig
from nprnn.training import TrainConfig


class Given(NamedTuple):
    """A member that a worker is to train.

    Attributes:
        member: its number in the sweep.
        task: settings of the task.
        config: settings of the training.
        fingerprint: of the data that it is planned for; others are refused.
        folder: name of its run folder; None where it has none yet.
    """

    member: int
    task: TaskConfig
    config: TrainConfig
    fingerprint: str
    folder: str | None = None


class Order(NamedTuple):
    """What a worker is to do.

    Attributes:
        task_name: the task.
        members: what to train, as one ensemble.
        folder: folder of run folders.
        parent: process that it works for; without that one it stops.
        device: where it computes, by name.
    """

    task_name: str
    members: Sequence[Given]
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


class Placed(NamedTuple):
    """The worker has a place on another machine."""

    where: str


class Gone(NamedTuple):
    """A worker is no more; nothing comes from it after this.

    Attributes:
        status: its exit status.
        lost: why, where that is not its own doing: its machine is gone, for one.
    """

    status: int | None
    lost: str = ""


Message = Doing | Opened | Moved | Recorded | Ended | Refused | Broken | Spent | Placed | Gone
