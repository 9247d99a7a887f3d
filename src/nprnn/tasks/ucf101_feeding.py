"""From the features of a clip to what the network is fed, for clips that are in no store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nprnn.errors import DataError
from nprnn.feature_store import FeatureStore, recall_origin
from nprnn.tasks.ucf101_clips import unit, widened
from nprnn.tasks.ucf101_fitting import PROJECTION, Projection, read_projection


class Recipe(NamedTuple):
    """What a run remembers of its store, to feed its network new clips.

    Attributes:
        width: F, features a frame.
        provenance: where the store says that its features come from.
        origin: where on this machine its making found what it took; may be empty, or no longer true.
        components: folder of the store of principal components, where the network is fed these.
    """

    width: int
    provenance: Mapping[str, Any]
    origin: Mapping[str, Any]
    components: Path | None

    @classmethod
    def of(cls, store: FeatureStore, components: Path | None) -> Recipe:
        """Of a store, and perhaps of the store of its principal components."""
        folder = None if components is None else components.resolve()
        return cls(store.width, store.provenance, recall_origin(store.folder), folder)

    @classmethod
    def read(cls, record: object) -> Recipe | None:
        """What ``as_record`` wrote; None if it is not that."""
        if not isinstance(record, dict) or record.keys() != set(cls._fields):
            return None
        width, provenance, origin, components = (record[name] for name in cls._fields)
        fits = type(width) is int and isinstance(provenance, dict) and isinstance(origin, dict)
        if not fits or not (components is None or isinstance(components, str)):
            return None
        return cls(width, provenance, origin, None if components is None else Path(components))

    @property
    def is_at_hand(self) -> bool:
        """Whether what it leads to is there."""
        return self.components is None or (self.components / PROJECTION).is_file()

    def as_record(self) -> dict[str, Any]:
        """As JSON values."""
        components = None if self.components is None else str(self.components)
        return {**self._asdict(), "components": components}


@dataclass(frozen=True)
class Feeding:
    """What the task does to a clip's features; to standardise them is the model's own part.

    Attributes:
        width: F, features a frame.
        unit: whether each frame is divided by its norm.
        projection: onto principal components; None feeds the features.
    """

    width: int
    unit: bool
    projection: Projection | None

    @classmethod
    def of(cls, recipe: Recipe, scaling: str, pca: int | None) -> Feeding:
        """What a run's task does.

        Args:
            recipe: what the run remembers of its store.
            scaling: the task's setting.
            pca: the task's setting.

        Raises:
            DataError: the projection is missing, damaged, or of other sizes.
        """
        projection = None
        if pca is not None:
            path = (recipe.components or Path()) / PROJECTION
            projection = read_projection(path)
            if projection.mean.shape != (recipe.width,) or projection.components.shape != (recipe.width, pca):
                raise DataError(
                    f"{path} projects {tuple(projection.components.shape)}; the run has {recipe.width} features and "
                    f"{pca} components"
                )
        return cls(recipe.width, scaling == "l2", projection)

    def __call__(self, features: NDArray[np.float16]) -> Tensor:
        """What the network is fed.

        Args:
            features: as a store has them, [T, F].

        Returns:
            Inputs float32 [T, I], the very ones that the task gives for a clip of these features.

        Raises:
            DataError: another width, or numbers beyond float16.
        """
        if features.shape[1] != self.width:
            raise DataError(f"the network was trained on {self.width} features a frame, these have {features.shape[1]}")
        frames = widened(features)
        if self.unit:
            frames = unit(frames)
        if self.projection is None:
            return frames
        # As a store keeps them.
        with np.errstate(over="ignore"):
            kept = self.projection.of(frames).numpy().astype(np.float16)
        if not np.isfinite(kept).all():
            raise DataError("its principal components are beyond float16 (±65504)")
        return widened(kept)
