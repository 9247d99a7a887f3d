"""What a person sees of a sweep: the plan, the live view, and the last words."""

from __future__ import annotations

import time
from collections import Counter
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nprnn.sweep import Board, State

_SECONDS_BETWEEN_DRAWINGS = 0.5
_SECONDS_BETWEEN_LINES = 10.0
_MOST_LEADERS = 4
_MOST_WORKERS = 24


class SweepView:
    """One live view of a sweep; on a stream that is no terminal, a line now and then and one for each member that ends.

    Args:
        console: where to draw.
        board: what to draw.
    """

    def __init__(self, console: Console, board: Board) -> None:
        self._console = console
        self._board = board
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._due = 0.0

    def __enter__(self) -> SweepView:
        """Start drawing."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the live view; the last words say how it ended."""
        self._live.stop()

    def on_end(self, member: int) -> None:
        """Tell of a member: all of them on a plain stream, failures everywhere."""
        standing = self._board.standings[member]
        if standing.state == "failed" or not self._console.is_terminal:
            self._say(member_line(self._board, member))

    def on_note(self, text: str) -> None:
        """Tell a person."""
        self._say(text)

    def draw(self) -> None:
        """Draw, if it is time."""
        now = time.monotonic()
        if now < self._due:
            return
        if self._console.is_terminal:
            self._live.update(self._picture(), refresh=True)
            self._due = now + _SECONDS_BETWEEN_DRAWINGS
        else:
            # The first line would come before there is anything to tell.
            if self._due:
                self._say(status_line(self._board))
            self._due = now + _SECONDS_BETWEEN_LINES

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def _picture(self) -> Group:
        board = self._board
        lines = [Text(status_line(board))]
        leaders = board.leaders()
        for member in leaders[:_MOST_LEADERS]:
            lines.append(Text(f"best so far: {best_line(board, member, test=False)}"))
        if len(leaders) > _MOST_LEADERS:
            lines.append(Text(f"and the best of {len(leaders) - _MOST_LEADERS} more task settings"))
        workers = Table.grid(padding=(0, 2))
        for number, working in sorted(board.workers.items())[:_MOST_WORKERS]:
            share = board.progress(working.shard)
            shard = f"{len(working.shard)} members from {board.members[working.shard.members[0]].label}"
            again = " (second try)" if working.shard.again else ""
            workers.add_row(
                Text(f"worker {number + 1}" + (f" on {working.where}" if working.where else "")),
                Text(working.doing + again),
                ProgressBar(total=1.0, completed=share, width=12),
                Text(f"{share:4.0%}"),
                Text(shard, overflow="ellipsis", no_wrap=True),
            )
        unseen = len(board.workers) - _MOST_WORKERS
        more = [Text(f"and {unseen} more workers")] if unseen > 0 else []
        return Group(*lines, workers, *more)


def counts_text(counts: Counter[State]) -> str:
    """How many members are in which state, in words."""
    waiting = counts["waiting"] + counts["stopped"]
    return (
        f"{counts['finished']} done, {counts['running']} running, {counts['failed']} failed, "
        f"{counts['diverged']} diverged, {waiting} waiting"
    )


def status_line(board: Board) -> str:
    """Where a sweep stands, in a line."""
    left = board.seconds_left()
    time_left = "" if left is None else f"  {span(left)} left"
    return f"{counts_text(board.counts)} of {len(board.members)}  {board.speed():.0f} updates/s{time_left}"


def member_line(board: Board, member: int) -> str:
    """How a member ended, in a line."""
    standing = board.standings[member]
    said = f"{standing.state:<9} {board.members[member].label}"
    if standing.state in ("failed", "diverged"):
        return f"{said}: {standing.error}"
    return said if standing.best is None else f"{said}: {_reached(board, member, test=False)}"


def best_line(board: Board, member: int, *, test: bool) -> str:
    """A member that validation chose, in a line.

    Args:
        board: the sweep.
        member: which one.
        test: whether to tell its test metric too, which never chooses.

    Returns:
        Its settings and metrics.
    """
    return f"{board.members[member].label}: {_reached(board, member, test=test)}"


def span(seconds: float) -> str:
    """A time to wait, as people say it."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    if minutes < 99.5:
        return f"{minutes:.0f} min"
    hours = minutes / 60
    return f"{hours:.1f} h" if hours < 99.5 else f"{hours / 24:.1f} days"


def size(count: float) -> str:
    """An amount of memory."""
    mebibytes = count / 2**20
    return f"{mebibytes:.{1 if mebibytes < 9.95 else 0}f} MiB" if mebibytes < 1024 else f"{mebibytes / 1024:.1f} GiB"


def _reached(board: Board, member: int, *, test: bool) -> str:
    best, headline = board.standings[member].best, board.facts[board.members[member].task].headline
    if best is None:
        return "no validation set"
    said = f"validation {headline} {best.valid[headline]:.5g}"
    if test and best.test:
        said += f", test {headline} {best.test[headline]:.5g}"
    return f"{said} at update {best.update}"
