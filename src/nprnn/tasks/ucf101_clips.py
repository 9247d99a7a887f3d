"""A set of clips to train or test on, read from a feature store when a batch asks for them, never before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nprnn.feature_store import FeatureStore
from nprnn.seeds import derive
from nprnn.tasks.base import Batch


@dataclass(frozen=True, eq=False)
class ClipSet:
    """n clips of a store.

    Attributes:
        store: the features.
        places: of each clip, its place in ``store.rows``.
        y: classes int64 [n].
        unit: whether each frame is divided by its Euclidean norm; a frame of zeros stays.
        shuffled: whether a clip's frames come in another order, drawn once and for all by the clip's name.
        ragged: whether lengths differ anywhere in the data, be it in another set.
    """

    store: FeatureStore
    places: tuple[int, ...]
    y: Tensor
    unit: bool = False
    shuffled: bool = False
    ragged: bool = False

    def __len__(self) -> int:
        return len(self.places)

    @property
    def names(self) -> list[str]:
        """The clips' names."""
        rows = self.store.rows
        return [rows[place].name for place in self.places]

    def frames(self, k: int) -> Tensor:
        """The features of clip k as the network gets them: float32 [T, F]."""
        place = self.places[k]
        frames = widened(self.store.features(place))
        if self.shuffled:
            frames = frames[
                torch.randperm(len(frames), generator=derive(0, "frame order", self.store.rows[place].name))
            ]
        return unit(frames) if self.unit else frames

    def batch(self, index: Tensor) -> Batch:
        """x [T, B, F], after the end of a clip 0; y [B] classes; lengths [B] where they differ."""
        rows = self.store.rows
        chosen: list[int] = index.tolist()
        lengths = torch.tensor([rows[self.places[k]].length for k in chosen])
        x = torch.zeros(int(lengths.max()), len(chosen), self.store.width)
        for column, k in enumerate(chosen):
            frames = self.frames(k)
            x[: len(frames), column] = frames
        return Batch(x, self.y[index], lengths if self.ragged else None)

    def __iter__(self) -> Iterator[Tensor]:
        return (self.frames(k) for k in range(len(self)))


def widened(features: NDArray[np.float16]) -> Tensor:
    """A clip's features [T, F] as float32."""
    # A copy, for torch takes no read-only memory; and torch widens float16 ten times as fast as numpy.
    return torch.from_numpy(np.array(features)).float()


def unit(frames: Tensor) -> Tensor:
    """Frames [T, F], each of Euclidean norm 1; one of zeros stays."""
    norms = frames.square().sum(1, keepdim=True).sqrt()
    return frames / norms.masked_fill(norms == 0, 1.0)
