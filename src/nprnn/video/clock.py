"""When the frames of a video are shown, though its file may tell that badly or not at all."""

from __future__ import annotations

from typing import Any, NamedTuple


class Moment(NamedTuple):
    """Where in a video a frame is.

    Attributes:
        frame: its number, from 0, among those that can be decoded.
        seconds: from the video's start; None where the file does not tell.
    """

    frame: int
    seconds: float | None


class Clock:
    """Told of all frames as they come, it knows when those that were picked are shown.

    Args:
        start: when the video begins, in the file's time; None where it does not tell.
        rate: frames a second; None where it does not tell.
    """

    def __init__(self, start: float | None = None, rate: float | None = None) -> None:
        self._start = start
        self._rate = rate
        self._rises = True
        self._late = False
        self._place = -1
        self._first: float | None = None
        self._time: float | None = None
        self._picked: list[tuple[int, int, float | None]] = []

    @classmethod
    def of(cls, stream: Any) -> Clock:
        """The clock of a stream of PyAV's."""
        start = None if stream.start_time is None else float(stream.start_time * stream.time_base)
        return cls(start, float(stream.average_rate) if stream.average_rate else None)

    def tick(self, time: float | None) -> None:
        """The next frame came, good or broken; the file says when it is shown, or does not."""
        self._rises &= time is not None and (self._time is None or time > self._time)
        self._place += 1
        self._time = time
        self._first = time if self._first is None else self._first

    def skip(self) -> None:
        """A frame that should have come did not, and nobody knows its time."""
        self._late |= self._first is None
        self._place += 1

    def pick(self, frame: int) -> None:
        """The frame that came last is picked; it has that number among the good ones."""
        self._picked.append((frame, self._place, self._time))

    def moments(self) -> tuple[Moment, ...]:
        """Of the frames picked; to be asked when all frames have come."""
        # A stream's own start may be a frame before the first one's: it is asked only where the first ones were lost.
        start = self._start if self._late and self._start is not None else self._first
        if self._rises and start is not None:
            return tuple(Moment(frame, time - start) for frame, _, time in self._picked if time is not None)
        # An AVI tells when frames are decoded: where some hang on later ones, that is another order.
        return tuple(Moment(frame, place / self._rate if self._rate else None) for frame, place, _ in self._picked)
