"""The crew at home: a process for each shard."""

from __future__ import annotations

import os
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import NamedTuple

from nprnn.spawning import end, spawn
from nprnn.sweep.messages import Given, Gone, Message, Order
from nprnn.sweep.shards import Shard
from nprnn.sweep.worker import labour


class Labourer(NamedTuple):
    """A process that trains a shard, and where it is heard.

    Attributes:
        process: the process.
        channel: where it tells.
    """

    process: SpawnProcess
    channel: Connection

    @classmethod
    def start(cls, order: Order) -> Labourer:
        """Start one.

        Args:
            order: what it is to do.

        Returns:
            The process, at work.

        Raises:
            RunError: the system gives none.
        """
        return cls(*spawn(labour, order))

    def hear(self) -> Message:
        """The next that it tells, waited for; ``Gone`` once it has ended."""
        try:
            message: Message = self.channel.recv()
        except (EOFError, OSError):
            return Gone(end(self.process, self.channel))
        return message

    def leave(self) -> None:
        """Let it write its checkpoints and end, unheard: nobody reads the pipe, and a full one would hold it up."""
        self.channel.close()
        self.process.terminate()
        self.process.join()


class Processes:
    """Workers as processes of this machine (``nprnn.sweep.crew.Crew``).

    Args:
        task_name: name of the task.
        folder: the sweep's folder.
        workers: processes at once.
        device: where they compute, by name.
    """

    def __init__(self, task_name: str, folder: Path, workers: int, device: str = "cpu") -> None:
        self._task_name, self._folder = task_name, folder
        self._most, self._device = workers, device
        self._labourers: dict[int, Labourer] = {}

    def most(self) -> int:
        """As ``Crew``."""
        return self._most

    def start(self, number: int, shard: Shard, members: Sequence[Given]) -> None:
        """As ``Crew``."""
        order = Order(self._task_name, members, self._folder, os.getpid(), self._device)
        self._labourers[number] = Labourer.start(order)

    def listen(self, seconds: float) -> Sequence[tuple[int, Message]]:
        """As ``Crew``."""
        numbers = {labourer.channel: number for number, labourer in self._labourers.items()}
        heard = []
        for channel in wait(list(numbers), timeout=seconds if numbers else 0):
            number = numbers[channel]  # type: ignore[index]
            heard.append((number, self._labourers[number].hear()))
            if isinstance(heard[-1][1], Gone):
                del self._labourers[number]
        return heard

    def stop(self) -> None:
        """As ``Crew``."""
        for labourer in self._labourers.values():
            labourer.process.terminate()

    def kill(self) -> None:
        """As ``Crew``."""
        for labourer in self._labourers.values():
            labourer.process.kill()

    def close(self) -> None:
        """As ``Crew``."""
        for labourer in self._labourers.values():
            labourer.leave()
        self._labourers = {}
