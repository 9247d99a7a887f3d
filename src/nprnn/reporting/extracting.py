"""What a person sees while features are extracted or imported: a bar, or on a plain stream a line now and then."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import TimeRemainingColumn

from nprnn.reporting.console import live_bar
from nprnn.reporting.sweeping import span

_SECONDS_BETWEEN_DRAWINGS = 0.5
_SECONDS_BETWEEN_LINES = 10.0
_MOST_REMARKS = 20


class ExtractionView:
    """How far an extraction or an import is, its speed and the time left, and what is amiss with single clips.

    Args:
        console: where to draw.
        total: clips in all.
        done: clips done before.

    Attributes:
        left_out: clips that gave nothing.
        in_part: clips that gave less than they should.
    """

    def __init__(self, console: Console, total: int, done: int) -> None:
        self.left_out = self.in_part = 0
        self._console = console
        self._total = total
        self._before = done
        self._seen = 0
        self._told = 0
        self._progress = live_bar(console, TimeRemainingColumn(elapsed_when_finished=True))
        self._bar = self._progress.add_task("clips", total=total, completed=done, state="")
        self._began = self._last = 0.0
        self._due = 0.0

    def __enter__(self) -> ExtractionView:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state standing."""
        # Not of this moment: that the processes end takes time too.
        self._draw_bar(self._last)
        self._progress.stop()

    def on_done(self, name: str, remark: str) -> None:
        """Count a clip, and tell what was amiss with it."""
        self._count()
        if remark:
            self.in_part += 1
            self._tell(f"kept in part: {name}: {remark}")

    def on_unfit(self, name: str, reason: str) -> None:
        """Tell of a file that is not even opened, and is none of the clips."""
        self.left_out += 1
        self._tell(f"left out: {name}: {reason}")

    def on_left_out(self, name: str, reason: str) -> None:
        """Tell of a clip that gives nothing."""
        self._count()
        self.on_unfit(name, reason)

    def draw(self) -> None:
        """Draw, if it is time."""
        now = time.monotonic()
        if now < self._due:
            return
        if self._console.is_terminal:
            self._draw_bar(now)
            self._due = now + _SECONDS_BETWEEN_DRAWINGS
        else:
            # The first line would come before there is anything to tell.
            if self._due and self._seen:
                self._say(self._status(now))
            self._due = now + _SECONDS_BETWEEN_LINES

    def _speed(self, now: float) -> float:
        """Clips a second, from the first answer on: processes take seconds to begin. 0 before there are two."""
        return (self._seen - 1) / max(now - self._began, 1e-9) if self._seen > 1 else 0.0

    def _status(self, now: float) -> str:
        done, speed = self._before + self._seen, self._speed(now)
        left = f"  {span((self._total - done) / speed)} left" if speed else ""
        return f"{done:>6}/{self._total} clips  {speed:.2f} clips/s{left}"

    def _draw_bar(self, now: float) -> None:
        self._progress.update(self._bar, completed=self._before + self._seen, state=f"{self._speed(now):.2f} clips/s")

    def _count(self) -> None:
        self._last = time.monotonic()
        self._began = self._began or self._last
        self._seen += 1

    def _tell(self, text: str) -> None:
        self._told += 1
        if self._told <= _MOST_REMARKS:
            self._say(text)
        if self._told == _MOST_REMARKS:
            self._say("further remarks of this kind are only written down")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)
