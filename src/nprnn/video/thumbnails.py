"""Small pictures of a video's frames, to look at."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nprnn.video.decode import Video
from nprnn.video.preprocess import resized

_LONGEST = 240


def thumbnails(path: Path, frames: Collection[int]) -> list[NDArray[np.uint8]]:
    """Some frames of a video, whole and upright.

    Args:
        path: the video.
        frames: their numbers, as ``Moment.frame`` has them.

    Returns:
        Red, green, blue [H, W, 3] each, in the order of the video; fewer where it has no such frame any more.

    Raises:
        DataError: the file cannot be opened any more.
        ConfigError: PyAV is not installed.
    """
    return Video(path).numbered(frames, _small)


def _small(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    longest = max(frame.shape[:2])
    tall, wide = (max(1, round(side * min(1.0, _LONGEST / longest))) for side in frame.shape[:2])
    return np.ascontiguousarray(resized(frame, tall, wide))
