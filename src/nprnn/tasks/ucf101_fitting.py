"""What is fitted to the frames of the training clips alone: their scale, and their principal components.

The components of a store are kept in a second store beside it, with the projection that made them, so that they are
computed once. What they were fitted to is in that store's name: other clips give another store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from nprnn.errors import ConfigError, DataError, RunError
from nprnn.feature_store import FeatureStore
from nprnn.files import write_atomically
from nprnn.runs.checkpoint import Checkpoint, pack, unpack
from nprnn.tasks.base import Standardisation
from nprnn.tasks.ucf101_clips import ClipSet

PROJECTION = "projection.safetensors"
_BLOCK = 1024


class Projection(NamedTuple):
    """Frames [T, F] become (frames - mean) @ components, [T, K].

    Attributes:
        mean: float32 [F], of the frames fitted to.
        components: float32 [F, K], orthonormal; the entry of largest size in each is positive.
        explained: share of the frames' variance that K components hold.
    """

    mean: Tensor
    components: Tensor
    explained: float

    def of(self, frames: Tensor) -> Tensor:
        """The components [T, K] of frames [T, F]."""
        return (frames - self.mean) @ self.components


def standardise(clips: Iterable[Tensor], width: int) -> Standardisation:
    """Mean and deviation of each feature over all frames, in one pass over the clips.

    Args:
        clips: the training clips, [T, F] each.
        width: F.

    Returns:
        The scaling; a constant feature has scale 1.
    """
    count, mean, squares = 0, torch.zeros(width).double(), torch.zeros(width).double()
    low, high = torch.full((width,), torch.inf), torch.full((width,), -torch.inf)
    for clip in clips:
        # Chan's update: sums of squares taken around 0 would lose what is small beside the mean.
        frames = clip.double()
        own, total = frames.mean(0), count + len(frames)
        off = own - mean
        squares += (frames - own).square().sum(0) + off.square() * (count * len(frames) / total)
        mean += off * (len(frames) / total)
        count = total
        low, high = torch.minimum(low, clip.amin(0)), torch.maximum(high, clip.amax(0))
    scale = (squares / count).sqrt().masked_fill(low == high, 1.0)
    return Standardisation(mean.float(), scale.float())


def principal_components(clips: Callable[[], Iterable[Tensor]], width: int, count: int) -> Projection:
    """The directions in which frames vary most, from their covariance in float64, in two passes over the clips.

    Args:
        clips: gives the training clips, [T, F] each, at every call.
        width: F.
        count: K, how many components.

    Returns:
        The projection; the same clips give the same one.

    Raises:
        ConfigError: more components than the frames have directions.
    """
    frames, total = 0, torch.zeros(width, dtype=torch.float64)
    for block in _blocks(clips()):
        frames += len(block)
        total += block.sum(0)
    if count > min(width, frames - 1):
        raise ConfigError(f"pca must be at most {min(width, frames - 1)} for {frames} frames of {width}, got {count}")
    mean = total / frames
    covariance = torch.zeros(width, width, dtype=torch.float64)
    for block in _blocks(clips()):
        block -= mean
        covariance.addmm_(block.T, block)
    values, vectors = torch.linalg.eigh(covariance)
    components = vectors[:, -count:].flip(1)
    largest = components.gather(0, components.abs().argmax(0, keepdim=True))
    components = components * largest.sign()
    explained = float(values[-count:].sum() / values.sum().clamp(min=torch.finfo(torch.float64).tiny))
    return Projection(mean.float(), components.float().contiguous(), explained)


def project(train: ClipSet, count: int) -> tuple[FeatureStore, Projection]:
    """The store of principal components beside the store of ``train``, made or finished if need be.

    It holds all clips of the source. The components are fitted to the clips of ``train`` and to no others.

    Args:
        train: the training clips, with their frames scaled as the components are to see them.
        count: K, how many components.

    Returns:
        That store, whose rows stand in the order of the source's, and the projection.

    Raises:
        ConfigError: more components than the frames have directions.
        DataError: damaged files, or the folder beside the source cannot be written.
    """
    source = train.store
    provenance = {
        "made_by": "principal components, version 1",
        "of": source.fingerprint(),
        "frames": "of norm 1" if train.unit else "as stored",
        "components": count,
        "fitted_to": hashlib.sha256("\n".join(sorted(train.names)).encode()).hexdigest(),
    }
    key = hashlib.sha256(repr(sorted(provenance.items())).encode()).hexdigest()[:12]
    whole = source.folder.resolve()
    store = FeatureStore.create(whole.with_name(f"{whole.name}.pca{count}-{key}"), provenance, count)
    path = store.folder / PROJECTION
    if path.exists() and store.names == source.names:
        return store, read_projection(path)
    # Several processes of a sweep may want it at once: one makes it, the others wait.
    with store.lock(wait=True):
        if not path.exists():
            fitted = principal_components(lambda: train, source.width, count)
            _write(path, fitted)
        projection = read_projection(path)
        everything = ClipSet(source, tuple(range(len(source.rows))), torch.empty(0), train.unit)
        missing = set(source.names) - store.names
        for place, row in enumerate(source.rows):
            if row.name in missing:
                store.append(row, projection.of(everything.frames(place)).numpy())
    return store, projection


def read_projection(path: Path) -> Projection:
    """The projection that a store of principal components was made with.

    Raises:
        DataError: missing, or damaged.
    """
    try:
        found = unpack(path)
        return Projection(found.tensors["mean"], found.tensors["components"], float(found.extra["explained"]))
    except (RunError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is damaged ({error}); delete the folder {path.parent} to have it made again"
        ) from error


def _write(path: Path, projection: Projection) -> None:
    tensors = {"mean": projection.mean, "components": projection.components}
    try:
        write_atomically(path, pack(Checkpoint(tensors, 0, {"explained": projection.explained})))
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error


def _blocks(clips: Iterable[Tensor]) -> Iterator[Tensor]:
    """Frames [N, F] in float64, some clips at a time: a product of many rows is quicker than many products."""
    gathered: list[Tensor] = []
    for frames in clips:
        gathered.append(frames)
        if sum(map(len, gathered)) >= _BLOCK:
            yield torch.cat(gathered).double()
            gathered = []
    if gathered:
        yield torch.cat(gathered).double()
