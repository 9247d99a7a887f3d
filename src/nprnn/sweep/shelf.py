"""Data loaded once for the members that share them."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from nprnn.tasks import Split, TaskConfig, TaskData


class Shelf:
    """Data by task settings and seed. What is equal for two seeds is kept once."""

    def __init__(self) -> None:
        self._kept: dict[tuple[TaskConfig, int], TaskData] = {}
        self._first: dict[TaskConfig, TaskData] = {}
        self._seedless: set[TaskConfig] = set()

    def get(self, task: TaskConfig, seed: int) -> TaskData:
        """The data of a task for a seed.

        Validation and test sets are the same for every seed by the rule of all tasks. Some tasks have training data of
        that kind too, such as images: what two seeds have in common is not read again for a third.

        Args:
            task: settings of the task.
            seed: of the training data.

        Returns:
            The data; do not change them.

        Raises:
            ConfigError: settings that the data do not allow.
            DataError: missing or damaged data.
        """
        if task in self._seedless:
            return self._first[task]
        if (task, seed) not in self._kept:
            data = task.load(seed)
            first = self._first.setdefault(task, data)
            if first is not data and first.fingerprint == data.fingerprint:
                if _equal(first.train, data.train):
                    self._seedless.add(task)
                    return first
                data = dataclasses.replace(data, valid=first.valid, test=first.test)
            self._kept[task, seed] = data
        return self._kept[task, seed]


def _equal(a: Split, b: Split) -> bool:
    if type(a) is not type(b) or vars(a).keys() != vars(b).keys():
        return False
    pairs = ((vars(a)[name], vars(b)[name]) for name in vars(a))
    return all(
        isinstance(y, Tensor) and x.shape == y.shape and torch.equal(x, y) if isinstance(x, Tensor) else bool(x == y)
        for x, y in pairs
    )
