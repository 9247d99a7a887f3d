"""The order of the data, and batches for E members, drawn several updates at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from nprnn.devices import CPU, move
from nprnn.seeds import derive
from nprnn.tasks.base import Batch, Split
from nprnn.training.config import TrainConfig

# Drawing takes dozens of small calls however little is drawn: so many numbers at once are cheap, and stay in cache. On
# a device memory sets the bound: 256 MiB, two or three times over while batches are put together.
_NUMBERS_AT_ONCE = 1 << 18
_NUMBERS_ON_A_DEVICE = 1 << 26
_MOST_AT_ONCE = 64
ALL = slice(None)


def batches(config: TrainConfig, size: int, first: int, last: int | None = None) -> Iterator[tuple[int, Tensor]]:
    """(update, indices [B]) for updates first..last-1: each epoch a fresh permutation, an incomplete batch left out.

    The order depends on the seed alone, so a run resumed at any update sees what an unbroken one would.
    """
    per_epoch = size // config.batch
    order, current, update = torch.empty(0), -1, first
    while last is None or update < last:
        epoch, k = divmod(update, per_epoch)
        if epoch != current:
            order, current = torch.randperm(size, generator=derive(config.seed, "order", epoch)), epoch
        yield update, order[k * config.batch : (k + 1) * config.batch]
        update += 1


class Place(NamedTuple):
    """Where a member stands in its data: its settings, its training set, and updates done."""

    config: TrainConfig
    train: Split
    done: int


class Draws:
    """The batches of E members, whoever they are: members that see the same data in the same order share one draw.

    Args:
        places: where each member stands.
        steps_have_targets: whether ``Batch.y`` has a target for every step.
        device: where x and y are wanted; training sets may be kept there or not.
        share: which sequences of each batch are drawn.
    """

    def __init__(
        self,
        places: Sequence[Place],
        steps_have_targets: bool,
        device: torch.device = CPU,
        share: slice = ALL,
    ) -> None:
        self._steps_have_targets = steps_have_targets
        self._device = device
        self._share = share
        streams: dict[tuple[int, int, int], int] = {}
        self._streams: list[tuple[Split, Iterator[tuple[int, Tensor]]]] = []
        # For each member, whose draw it takes.
        self._taken: list[int] = []
        for config, train, done in places:
            key = (id(train), config.seed, done)
            if key not in streams:
                streams[key] = len(streams)
                self._streams.append((train, batches(config, len(train), done)))
            self._taken.append(streams[key])
        self._at_once: int | None = None

    def take(self, updates: int) -> Iterator[Batch]:
        """The batches of the next updates.

        Args:
            updates: how many.

        Yields:
            x [E, T, B, I], or [T, B, I] where all members see the same, y and lengths with a leading E; the lengths are
            on the CPU wherever the others are.
        """
        most = _NUMBERS_AT_ONCE if self._device.type == "cpu" else _NUMBERS_ON_A_DEVICE
        while updates > 0:
            count = min(updates, self._at_once or 1)
            updates -= count
            drawn = [self._draw(*stream, count) for stream in self._streams]
            batch = self._together(drawn, count)
            if self._at_once is None:
                # Sequences of different lengths are padded to the longest drawn, so they come an update at a time.
                same = batch.lengths is None
                self._at_once = max(1, min(_MOST_AT_ONCE, most // max(batch.x.numel(), 1))) if same else 1
            for k in range(count):
                yield Batch(batch.x[k], batch.y[k], None if batch.lengths is None else batch.lengths[k])

    def _draw(self, train: Split, order: Iterator[tuple[int, Tensor]], count: int) -> Batch:
        """The next updates' sequences as x [K, T, B, I], y [K, B, ...] or [K, T, B, ...], lengths [K, B]."""
        index = torch.cat([index[self._share] for _, index in islice(order, count)])
        x, y, lengths = train.batch(index)
        if self._device.type != "cpu":
            x, y, lengths = move(x, self._device), move(y, self._device), None if lengths is None else lengths.cpu()
        x = x.view(len(x), count, -1, *x.shape[2:]).movedim(1, 0)
        if self._steps_have_targets:
            y = y.view(len(y), count, -1, *y.shape[2:]).movedim(1, 0)
        else:
            y = y.view(count, -1, *y.shape[1:])
        return Batch(x, y, None if lengths is None else lengths.view(count, -1))

    def _together(self, drawn: Sequence[Batch], count: int) -> Batch:
        """One batch for all members, updates first: x [K, E, T, B, I] or [K, T, B, I]."""
        steps = max(batch.x.shape[1] for batch in drawn)
        if len(drawn) == 1:
            x = drawn[0].x.contiguous()
        else:
            x = torch.stack([_padded(drawn[k].x, steps) for k in self._taken], 1)
        ys = [_padded(batch.y, steps) if self._steps_have_targets else batch.y for batch in drawn]
        y = torch.stack([ys[k] for k in self._taken], 1)
        if all(batch.lengths is None and batch.x.shape[1] == steps for batch in drawn):
            return Batch(x, y)
        lengths = [_lengths(batch, count) for batch in drawn]
        return Batch(x, y, torch.stack([lengths[k] for k in self._taken], 1))


def shared(batch: Batch, share: slice, steps_have_targets: bool) -> Batch:
    """Some of the sequences of a batch.

    Args:
        batch: as ``Draws.take`` gives it.
        share: which.
        steps_have_targets: whether ``batch.y`` has a target for every step.

    Returns:
        Copies.
    """
    y = batch.y[:, :, share] if steps_have_targets else batch.y[:, share]
    lengths = None if batch.lengths is None else batch.lengths[:, share]
    return Batch(batch.x[..., share, :].contiguous(), y.contiguous(), lengths)


def _padded(v: Tensor, steps: int) -> Tensor:
    """v [K, T, ...] with zeros up to so many steps."""
    missing = steps - v.shape[1]
    return pad(v, (0, 0) * (v.dim() - 2) + (0, missing)) if missing else v


def _lengths(batch: Batch, count: int) -> Tensor:
    if batch.lengths is not None:
        return batch.lengths
    return torch.full((count, batch.x.shape[2]), batch.x.shape[1])


def dropout_factors(members: Sequence[tuple[TrainConfig, int]], batch: Batch, *, for_each_step: bool) -> Tensor:
    """Factors of the states on their way to the head: 0 where a unit is dropped, 1/(1 - p) elsewhere.

    Each member's come from a generator derived for its update, so that a resumed run drops what an unbroken one would.

    Args:
        members: the settings of each, and how many updates it has done.
        batch: theirs, with a leading E; the lengths on the CPU.
        for_each_step: whether every state goes to the head, or one a sequence.

    Returns:
        [E, B, H], or [E, T, B, H], on the CPU.
    """
    steps = batch.x.shape[-3] if for_each_step else 0
    factors = []
    for row, (config, update) in enumerate(members):
        # Of its own batch: that of the ensemble may be padded further.
        own = steps if batch.lengths is None else min(steps, int(batch.lengths[row].max()))
        shape = (*([own] if for_each_step else []), config.batch, config.hidden)
        if config.dropout:
            generator = derive(config.seed, "dropout", update)
            factor = (torch.rand(shape, generator=generator) >= config.dropout) / (1 - config.dropout)
        else:
            factor = torch.ones(shape)
        factors.append(torch.cat([factor, factor.new_ones(steps - own, *shape[1:])]) if own < steps else factor)
    return torch.stack(factors)
