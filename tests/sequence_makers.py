"""Makers of sequences and files of them, which the tests of sequences share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nprnn.errors import DataError
from nprnn.tasks.base import TaskData
from nprnn.tasks.sequence_sets import SequenceSet
from nprnn.tasks.sequences import Sequences

Array = NDArray[Any]
SIDES = ("train", "valid", "test")
X = np.ones((4, 3, 2), np.float32)
FLAT = np.ones((12, 2), np.float32)
Y = np.array([0, 1, 0, 1])


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def sets(data: TaskData) -> dict[str, SequenceSet]:
    found = {"train": data.train, "valid": data.valid, "test": data.test}
    return {side: chosen for side, chosen in found.items() if isinstance(chosen, SequenceSet)}


def everything(data: TaskData) -> dict[str, list[Array]]:
    """All sequences of each set, one by one through ``batch``."""
    found = {}
    for side, chosen in sets(data).items():
        found[side] = [chosen.batch(torch.tensor([k])).x[:, 0].numpy() for k in range(len(chosen))]
    return found


def numbered(lengths: list[int], features: int = 1) -> Array:
    """Steps whose first feature tells which step of the file they are."""
    x = np.zeros((sum(lengths), features), np.float32)
    x[:, 0] = np.arange(len(x))
    return x


def folder(path: Path, index: str, **files: str) -> Path:
    path.mkdir(exist_ok=True)
    (path / "index.csv").write_text(index)
    for name, text in files.items():
        (path / f"{name}.csv").write_text(text)
    return path


def fault(act: Callable[[], object], kind: type[Exception] = DataError) -> str:
    with pytest.raises(kind) as caught:
        act()
    return str(caught.value)


def attempt(act: Callable[[], Any]) -> tuple[Any, str]:
    """What ``act`` gives, or None and the message of its DataError."""
    try:
        return act(), ""
    except DataError as error:
        return None, str(error)


def refused(tmp_path: Path, settings: dict[str, Any] | None = None, **arrays: Any) -> str:
    """The message that loading the arrays gives; it always names the file."""
    path = save(tmp_path / "bad.npz", **arrays)
    message = fault(lambda: Sequences(data=path, **(settings or {})).load(0))
    assert str(path) in message
    return message


def with_value(value: float, *place: int, like: Array = X) -> Array:
    changed = like.astype(np.float64)
    changed[place] = value
    return changed
