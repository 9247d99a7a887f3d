"""Tasks: data in, batches of sequences out."""

from nprnn.errors import unknown
from nprnn.tasks.base import Batch as Batch
from nprnn.tasks.base import Objective as Objective
from nprnn.tasks.base import Split as Split
from nprnn.tasks.base import Standardisation as Standardisation
from nprnn.tasks.base import TaskConfig as TaskConfig
from nprnn.tasks.base import TaskData as TaskData
from nprnn.tasks.marked import Addition as Addition
from nprnn.tasks.marked import Multiplication as Multiplication
from nprnn.tasks.mnist import Mnist as Mnist
from nprnn.tasks.sequences import Sequences as Sequences
from nprnn.tasks.ucf101 import Ucf101 as Ucf101

TASKS: dict[str, type[TaskConfig]] = {
    "addition": Addition,
    "multiplication": Multiplication,
    "mnist": Mnist,
    "sequences": Sequences,
    "ucf101": Ucf101,
}


def find_task(name: str) -> type[TaskConfig]:
    """The settings class of a task.

    Raises:
        ConfigError: no task has that name; the message lists all and names the nearest.
    """
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return TASKS[name]
