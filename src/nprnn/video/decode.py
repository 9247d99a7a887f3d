"""Frames out of a video file, by PyAV: some picked, good ones only, and never a whole video in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nprnn.errors import ConfigError, DataError
from nprnn.optional import needed
from nprnn.video.clock import Clock, Moment

MAX_PIXELS = 1 << 26
"""The most pixels of a frame; a damaged header may claim any number."""

# By content a file may be a playlist, which opens other files and addresses.
_CONTAINERS = "avi,mov,mp4,matroska,webm,mpeg,mpegts,mpegvideo,m4v,asf,flv,ogg"
_OPENING = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}

# How often a video is read whose number of frames is not what was thought.
_READINGS = 3
_PHRASES = {"Invalid data found when processing input": "it is no video, or damaged at its start"}

Picture = TypeVar("Picture")


@dataclass(frozen=True)
class Picking:
    """Which frames of a video are taken, of those that can be decoded.

    Attributes:
        frames: so many, evenly from the first to the last; all, where a video has fewer. None takes by ``stride``.
        stride: every so manyth, from the first.
    """

    frames: int | None = None
    stride: int | None = None

    def __post_init__(self) -> None:
        if (self.frames is None) == (self.stride is None):
            raise ConfigError("give either --frames N, for N evenly spread frames of each video, or --stride S")
        for name in ("frames", "stride"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")

    def spread(self, count: int) -> list[int]:
        """The numbers of the frames taken out of ``count`` by ``frames``: rounded, a half upwards."""
        wanted = min(self.frames or 0, count)
        if wanted == 1:
            return [(count - 1) // 2]
        # In whole numbers, so that it is the same everywhere.
        return [(2 * k * (count - 1) + wanted - 1) // (2 * (wanted - 1)) for k in range(wanted)]


class Video:
    """A video file. Its frames can be read once; afterwards the attributes tell of them.

    Args:
        path: the file.

    Attributes:
        remark: what a person should know of the frames that were read, or "".
        moments: of the frames that were picked, in order.
    """

    def __init__(self, path: Path) -> None:
        self._av = needed("av", "reading videos", "video")
        self._path = path.absolute()
        self._claimed = 0
        self._good = self._broken = 0
        self._cut: str = ""
        self._clock = Clock()
        self.remark = ""
        self.moments: tuple[Moment, ...] = ()

    def pictures(self, picking: Picking, keep: Callable[[NDArray[np.uint8]], Picture]) -> Iterator[Picture]:
        """The frames that are picked, one by one.

        Args:
            picking: which.
            keep: what is made of a frame, red, green, blue uint8 [H, W, 3], before the next is decoded.

        Returns:
            What ``keep`` made, in order; by ``Picking.frames`` these are held until the video ends.

        Raises:
            DataError: no frame can be decoded; says why.
            ConfigError: PyAV is not installed.
        """
        if picking.stride is not None:
            for k, frame in enumerate(self._frames()):
                if k % picking.stride == 0:
                    self._clock.pick(k)
                    yield keep(_colours(frame))
        else:
            yield from self._spread(picking, keep)
        if not self._good:
            raise DataError(self._why_none())
        self.remark, self.moments = self._amiss(), self._clock.moments()

    def numbered(self, numbers: Collection[int], keep: Callable[[NDArray[np.uint8]], Picture]) -> list[Picture]:
        """The frames of some numbers, from 0, of those that can be decoded; what is not there is left out.

        Args:
            numbers: which.
            keep: what is made of a frame, red, green, blue uint8 [H, W, 3], before the next is decoded.

        Returns:
            What ``keep`` made, in the order of the video.

        Raises:
            DataError: the file cannot be opened.
            ConfigError: PyAV is not installed.
        """
        wanted, kept = frozenset(numbers), []
        for k, frame in enumerate(self._frames()):
            if k in wanted:
                self._clock.pick(k)
                kept.append(keep(_colours(frame)))
        return kept

    def _spread(self, picking: Picking, keep: Callable[[NDArray[np.uint8]], Picture]) -> list[Picture]:
        """Evenly spread frames: of as many as the header tells, and once more where that was not true."""
        chosen = picking.spread(self._count())
        kept: list[Picture] = []
        for _ in range(_READINGS):
            kept = self.numbered(chosen, keep)
            truth = picking.spread(self._good)
            if truth == chosen:
                break
            chosen = truth
        return kept

    def _count(self) -> int:
        """Frames in the file, as it says; of those that do not say, the packets are counted, undecoded."""
        with self._opened() as (container, stream):
            if stream.frames > 0:
                return int(stream.frames)
            try:
                return sum(packet.size > 0 for packet in container.demux(stream))
            except (self._av.error.FFmpegError, OSError):
                return 0

    def _frames(self) -> Iterator[Any]:
        """All good frames; counts them and the others."""
        errors = (self._av.error.FFmpegError, OSError)
        self._good = self._broken = 0
        self._cut = ""
        with self._opened() as (container, stream):
            self._claimed = stream.frames
            self._clock = Clock.of(stream)
            packets = container.demux(stream)
            while True:
                try:
                    packet = next(packets, None)
                    if packet is None:
                        return
                except errors as error:
                    self._cut = _words(error)
                    return
                try:
                    frames = packet.decode()
                except errors:
                    # What the end of the stream flushes is no frame of its own.
                    if packet.size > 0:
                        self._broken += 1
                        self._clock.skip()
                    continue
                for frame in frames:
                    self._clock.tick(frame.time)
                    # What the decoder had to make up is a frame too, but not of this video.
                    if frame.is_corrupt:
                        self._broken += 1
                    else:
                        self._good += 1
                        yield frame

    def _opened(self) -> _Opened:
        return _Opened(self._av, self._path)

    def _why_none(self) -> str:
        if self._broken:
            return f"all of its {self._broken} frames are broken"
        if self._cut:
            return f"it cannot be read: {self._cut}"
        promised = f", though its header promises {self._claimed}; it is cut short" if self._claimed > 0 else ""
        return f"it holds no frames{promised}"

    def _amiss(self) -> str:
        found = self._good + self._broken
        said = []
        if self._broken:
            said.append(f"{self._broken} of {found} frames are broken and left out")
        if self._cut:
            said.append(f"reading ended after {found} frames: {self._cut}")
        elif found < self._claimed:
            said.append(f"its header promises {self._claimed} frames, {found} came; it is cut short")
        return "; ".join(said)


class _Opened:
    """A container and the video stream in it, while entered."""

    def __init__(self, av: Any, path: Path) -> None:
        self._av = av
        self._path = path

    def __enter__(self) -> tuple[Any, Any]:
        errors = (self._av.error.FFmpegError, OSError)
        try:
            self._container = self._av.open(str(self._path), options=dict(_OPENING), metadata_errors="ignore")
        except errors as error:
            raise DataError(f"it cannot be opened: {_words(error)}") from error
        try:
            return self._container, self._stream()
        except BaseException:
            self._container.close()
            raise

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def _stream(self) -> Any:
        streams = self._container.streams.video
        if not streams:
            kinds = ", ".join(sorted({stream.type for stream in self._container.streams})) or "nothing"
            raise DataError(f"it has no pictures: it holds {kinds}")
        stream = streams[0]
        context = stream.codec_context
        if context is None:
            raise DataError("its pictures are coded in a way that is not known here")
        if context.width * context.height > MAX_PIXELS:
            raise DataError(f"its frames are {context.width} x {context.height}, over the limit of {MAX_PIXELS} pixels")
        # A process for each core, one thread for each process.
        context.thread_count = 1
        context.options = {"max_pixels": str(MAX_PIXELS)}
        return stream


def _colours(frame: Any) -> NDArray[np.uint8]:
    """Red, green, blue [H, W, 3], upright where the file says how it was held."""
    values: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    quarters, odd = divmod(getattr(frame, "rotation", 0) or 0, 90)
    return np.rot90(values, quarters) if quarters and not odd else values


def _words(error: Exception) -> str:
    """What a library says, without the path, which is told anyway."""
    text = getattr(error, "strerror", None) or str(error)
    return _PHRASES.get(text, text)
