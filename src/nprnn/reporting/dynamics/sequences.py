"""A few sequences of a task, as what drives a network."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from nprnn.errors import ConfigError
from nprnn.experiments.driving import is_made_up, one_each
from nprnn.tasks import TaskData, find_task

# T of a made-up task where nobody says another.
LENGTH = 150
# Of a task that reads data, the setting that says where they are.
_PLACES = ("data_dir", "data", "store")


class Taken(NamedTuple):
    """Sequences of a set.

    Attributes:
        x: inputs [T, B, I].
        name: of the set.
        words: T, and how it came about.
    """

    x: Tensor
    name: str
    words: str


def take(data: TaskData, count: int) -> Taken:
    """A few validation sequences, or training sequences where there is no validation set; never those of the test set.

    Args:
        data: of the task.
        count: how many are taken, evenly spaced over the set, from among the longer half; cut to the shortest of these.
    """
    split, name = (data.train, "training") if data.valid is None else (data.valid, "validation")
    # More are looked at than are taken where lengths differ: the longer ones tell more.
    batch = split.batch(_spaced(len(split), 4 * count))
    total = batch.x.shape[1]
    lengths = torch.full((total,), len(batch.x)) if batch.lengths is None else batch.lengths.long()
    among, ragged = torch.arange(total), int(lengths.amin()) < int(lengths.amax())
    if ragged:
        among = lengths.argsort(descending=True, stable=True)[: -(-total // 2)].sort().values
    chosen = among[_spaced(len(among), count)]
    steps = int(lengths[chosen].amin())
    words = f"T = {steps}" + (", of the longer half, cut to the shortest of these" if ragged else "")
    return Taken(batch.x[:steps, chosen].double(), name, words)


def one_each_of(task: str, length: int | None, draws: int, data_dir: Path | None) -> tuple[Tensor, str]:
    """A sequence of its own for each draw of a start.

    Args:
        task: name of the task; one that reads data gives validation sequences (see ``take``), scaled as its models
            scale them.
        length: T of a made-up task; None is 150.
        draws: E.
        data_dir: where a task that reads data finds them; None is the task's own place.

    Returns:
        Inputs [E, T, 1, I], and what they are, for a person.

    Raises:
        ConfigError: unknown task, a length that it does not take, fewer sequences than draws; DataError: no data.
    """
    if is_made_up(task):
        steps = LENGTH if length is None else length
        return one_each(task, steps, draws).double(), f"a sequence of its own of {task}, T = {steps}"
    if length is not None:
        raise ConfigError(f"{task} reads data, which have a length of their own: leave out the length {length}")
    kind = find_task(task)
    place = next(f.name for f in fields(kind) if f.name in _PLACES)  # type: ignore[arg-type]
    data = (kind() if data_dir is None else kind(**{place: data_dir})).load(0)
    taken = take(data, draws)
    if (count := taken.x.shape[1]) < draws:
        raise ConfigError(
            f"each draw has a sequence of its own, and only {count} {taken.name} sequences of {task} can be taken "
            f"({taken.words}): ask for {count} draws at most, got {draws}"
        )
    scaling = data.standardisation
    x = taken.x if scaling is None else (taken.x - scaling.mean.double()) / scaling.scale.double()
    return x.transpose(0, 1)[:, :, None], f"a {taken.name} sequence of its own of {task}, {taken.words}"


def _spaced(total: int, count: int) -> Tensor:
    """So many places, evenly spaced; all where there are fewer."""
    # Of no more places than there are, no two are the same.
    return torch.linspace(0, total - 1, min(count, total)).round().long()
