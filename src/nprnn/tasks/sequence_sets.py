"""A set of sequences to train or test on, each a stretch of one array of steps, and padded batches of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nprnn.tasks.base import Batch


@dataclass(frozen=True, eq=False)
class SequenceSet:
    """n sequences, each a stretch of an array of steps that all sets share.

    Attributes:
        x: float32 [S, I], all steps.
        y: classes int64 or numbers float32, [n] or [n, O]; with one target a step, classes [S] or numbers [S, O].
        offsets: int64 [n], the first step of each.
        lengths: int64 [n], steps of each.
        ragged: whether lengths differ anywhere in the data, be it in another set.
        steps_have_targets: whether ``y`` belongs to steps.
    """

    x: Tensor
    y: Tensor
    offsets: Tensor
    lengths: Tensor
    ragged: bool = False
    steps_have_targets: bool = False

    def __len__(self) -> int:
        return len(self.offsets)

    def batch(self, index: Tensor) -> Batch:
        """x [T, B, I], after the end of a sequence 0; y [B] or [B, O], or [T, B] or [T, B, O] and 0 after the end."""
        lengths = self.lengths[index]
        steps = torch.arange(int(lengths.max()))[:, None]
        after = steps >= lengths
        place = (self.offsets[index] + steps).masked_fill_(after, 0)
        x = self.x[place].masked_fill_(after[..., None], 0)
        if not self.steps_have_targets:
            return Batch(x, self.y[index], lengths if self.ragged else None)
        y = self.y[place]
        y = y.masked_fill_(after.view(after.shape + (1,) * (y.ndim - 2)), 0)
        return Batch(x, y, lengths if self.ragged else None)

    def rows(self) -> Tensor:
        """The targets of all sequences, one after the other: [M] or [M, O]."""
        if not self.steps_have_targets:
            return self.y
        starts = self.offsets - (self.lengths.cumsum(0) - self.lengths)
        return self.y[torch.arange(int(self.lengths.sum())) + starts.repeat_interleave(self.lengths)]
