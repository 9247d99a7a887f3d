"""What a backbone is shown of a frame: its middle, resized, as numbers on the scale that it was trained with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from nprnn.errors import ConfigError

MAX_SIZE = 4096
"""The largest side of a picture, in pixels."""


@dataclass(frozen=True)
class Preprocess:
    """From a frame to numbers: shorter side to ``resize``, the middle ``size`` × ``size``, (x · scale - mean) / std.

    Attributes:
        size: side of the square that the backbone sees, in pixels.
        resize: shorter side of the whole frame before that, in pixels.
        colour: order of the channels as the backbone sees them.
        scale: factor of the values 0..255.
        mean: what is taken from each channel after that, in the backbone's order.
        std: what each channel is divided by then.
    """

    size: int
    resize: int
    colour: Literal["rgb", "bgr"] = "rgb"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        for name in ("size", "resize"):
            if not 1 <= getattr(self, name) <= MAX_SIZE:
                raise ConfigError(f"{name} must be 1 to {MAX_SIZE} pixels, got {getattr(self, name)}")
        if self.resize < self.size:
            raise ConfigError(
                f"resize must be at least size {self.size}, so that there is something to crop from, got {self.resize}"
            )
        if self.colour not in ("rgb", "bgr"):
            raise ConfigError(f"colour must be rgb or bgr, got {self.colour!r}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) != 3 or not np.isfinite(values).all():
                raise ConfigError(f"{name} must be 3 finite numbers, one a channel, got {values}")
        if not np.isfinite(self.scale) or self.scale == 0 or min(map(abs, self.std)) == 0:
            raise ConfigError(f"scale and std must be finite and not 0, got scale {self.scale}, std {self.std}")

    def picture(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What is kept of a frame until its batch is full.

        Resizing is bilinear with antialiasing, as Pillow and torchvision do it.

        Args:
            frame: red, green, blue [H, W, 3].

        Returns:
            Red, green, blue [S, S, 3], rounded to 0..255.
        """
        height, width = frame.shape[:2]
        short = min(height, width)
        # The longer side is rounded down, as in torchvision.
        tall, wide = (self.resize * side // short for side in (height, width))
        frame = resized(frame, tall, wide)
        top, left = round((tall - self.size) / 2), round((wide - self.size) / 2)
        return np.ascontiguousarray(frame[top : top + self.size, left : left + self.size])

    def numbers(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The input of a backbone.

        Args:
            pictures: red, green, blue [N, S, S, 3].

        Returns:
            Contiguous numbers [N, 3, S, S].
        """
        channels = pictures[..., ::-1] if self.colour == "bgr" else pictures
        # 256 values a channel: a table gives what arithmetic in float64 would, at the price of a look-up.
        levels = np.arange(256, dtype=np.float64) * self.scale
        x = np.empty((len(pictures), 3, *pictures.shape[1:3]), np.float32)
        for k in range(3):
            table = ((levels - self.mean[k]) / self.std[k]).astype(np.float32)
            np.take(table, channels[..., k], out=x[:, k])
        return x

    def record(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(self).items()}


def resized(frame: NDArray[np.uint8], tall: int, wide: int) -> NDArray[np.uint8]:
    """A frame [H, W, 3] as [tall, wide, 3]: bilinear with antialiasing, as Pillow and torchvision do it."""
    if (tall, wide) == frame.shape[:2]:
        return frame
    # With the channels last, as they lie in memory, torch is three times as fast.
    image = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1).unsqueeze(0)
    image = functional.interpolate(image, (tall, wide), mode="bilinear", antialias=True)
    small: NDArray[np.uint8] = image.squeeze(0).permute(1, 2, 0).numpy()
    return small


PREPROCESSING: dict[str, Preprocess] = {
    "mobilenet_v2": Preprocess(224, 256, "rgb", 1 / 127.5, (1.0, 1.0, 1.0)),
    "squeezenet": Preprocess(227, 256, "bgr", 1.0, (104.0, 117.0, 123.0)),
    "imagenet": Preprocess(224, 256, "rgb", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""What well-known networks were trained with, by name."""
