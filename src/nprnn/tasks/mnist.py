"""MNIST, or any IDX set of images, as sequences: one pixel a step, or one row a step."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nprnn.configs import LOCATION, check_range
from nprnn.devices import move
from nprnn.errors import ConfigError
from nprnn.seeds import derive
from nprnn.tasks.base import Batch, TaskData, classification
from nprnn.tasks.download import cache_folder, fetch_mnist
from nprnn.tasks.idx import load_idx_set


@dataclass(frozen=True)
class Images:
    """Images as sequences.

    Attributes:
        pixels: uint8 [n, T, I], in the order in which the network sees them.
        labels: int64 [n].
    """

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, index: Tensor) -> Batch:
        """x [T, B, I] with grey values in [0, 1], y [B] classes."""
        index = move(index, self.pixels.device)
        return Batch(self.pixels[index].transpose(0, 1).float() / 255, self.labels[index])

    def to(self, device: torch.device) -> Images:
        """The same images on a device, a byte a pixel."""
        return replace(self, pixels=move(self.pixels, device), labels=move(self.labels, device))


@dataclass(frozen=True)
class Mnist:
    """Images read as sequences (section 4.3): scanline by scanline, one pixel a step.

    Attributes:
        rows: one row of the image a step (T = 28 for MNIST) instead of one pixel (T = 784).
        valid_size: training images held out for validation, the last ones of the file; 0 trains on all, as the paper
            does.
        permute: a seed; its permutation reorders the pixels of all images. None leaves them in scanline order.
        data_dir: folder with the four IDX files. None looks in $NPRNN_DATA/mnist and in the download cache.
        any_idx: accept IDX files other than the official MNIST ones (Fashion-MNIST, KMNIST, USPS, ...).
        download: fetch MNIST from its public mirrors into the cache first.
    """

    rows: bool = False
    valid_size: int = 5000
    permute: int | None = None
    data_dir: Path | None = field(default=None, metadata=LOCATION)
    any_idx: bool = field(default=False, metadata=LOCATION)
    download: bool = field(default=False, metadata=LOCATION)

    def __post_init__(self) -> None:
        check_range(self)
        if self.valid_size < 0:
            raise ConfigError(f"valid_size must be at least 0, got {self.valid_size}")
        if self.download and self.data_dir is not None:
            raise ConfigError(f"--download fills the cache folder; leave out --data-dir {self.data_dir}, or --download")
        if self.download and self.any_idx:
            raise ConfigError("--download fetches MNIST itself; leave out --any-idx, or --download")

    def load(self, seed: int) -> TaskData:
        """Read the files, which are the same for every seed.

        The baseline is the most frequent training class.

        Raises:
            DataError: missing, damaged or unexpected files.
        """
        images = load_idx_set(self._folder(), any_idx=self.any_idx)
        height, width = images.train_images.shape[1:]
        order = None
        if self.permute is not None:
            order = torch.randperm(height * width, generator=derive(self.permute, "permute", height * width))
        steps = height if self.rows else height * width
        counts = np.bincount(images.train_labels, minlength=images.classes)
        share = float(np.mean(images.test_labels == counts.argmax()))
        size = len(images.train_images) - self.valid_size
        if size < 1:
            raise ConfigError(f"valid_size {self.valid_size} leaves none of {len(images.train_images)} training images")
        train = _sequences(images.train_images, images.train_labels, steps, order)
        return TaskData(
            train=Images(train.pixels[:size], train.labels[:size]),
            valid=Images(train.pixels[size:], train.labels[size:]) if self.valid_size else None,
            test=_sequences(images.test_images, images.test_labels, steps, order),
            input_size=width if self.rows else 1,
            output_size=images.classes,
            objective=classification({"accuracy": share}),
            class_names=tuple(map(str, range(images.classes))),
            fingerprint=hashlib.sha256(
                repr((images.fingerprint, self.rows, self.valid_size, self.permute)).encode()
            ).hexdigest(),
        )

    def _folder(self) -> Path:
        if self.download:
            return fetch_mnist()
        if self.data_dir is not None:
            return self.data_dir
        named = os.environ.get("NPRNN_DATA")
        return Path(named) / "mnist" if named else cache_folder() / "mnist"


def _sequences(pixels: NDArray[Any], labels: NDArray[Any], steps: int, order: Tensor | None) -> Images:
    flat = torch.from_numpy(pixels.reshape(len(pixels), -1))
    if order is not None:
        flat = flat[:, order]
    return Images(flat.reshape(len(pixels), steps, -1), torch.from_numpy(labels))
