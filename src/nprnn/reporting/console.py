"""What a person sees in the terminal: a progress bar while training, and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from nprnn.training import Outcome
from nprnn.training.readings import side, told


def live_bar(console: Console, clock: ProgressColumn) -> Progress:
    """A bar with what is done, how much of it and its ``state``; nothing where the console is not a terminal.

    Args:
        console: where to draw.
        clock: the last column.

    Returns:
        The bar; a task of it needs the field ``state``.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        clock,
        console=console,
        disable=not console.is_terminal,
    )


class TrainingProgress:
    """A live bar with loss, metric, updates a second and time left; on a plain stream, a line per evaluation.

    Args:
        console: where to write.
        title: what is being trained.
        total: updates in all.
        done: updates done before.
        headline: the metric to show.
    """

    def __init__(self, console: Console, title: str, total: int, done: int, headline: str) -> None:
        self._console = console
        self._total = total
        self._headline = headline
        self._progress = live_bar(console, TimeRemainingColumn())
        self._bar = self._progress.add_task(escape(title), total=total, completed=done, state="")
        self._loss: float | None = None
        self._metric = self._speed = ""

    def __enter__(self) -> TrainingProgress:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state standing."""
        self._progress.stop()

    def on_updates(self, member: int, update: int, losses: Sequence[float]) -> None:
        """Move the bar."""
        for loss in losses:
            self._loss = loss if self._loss is None else 0.99 * self._loss + 0.01 * loss
        state = f"loss {self._loss:.4f}{self._metric}{self._speed}"
        self._progress.update(self._bar, completed=update, state=state)

    def on_record(self, member: int, record: dict[str, Any]) -> None:
        """Show an evaluation."""
        metric, speed = told(record)[self._headline], record["updates_per_second"]
        self._metric, self._speed = f"  {side(record)} {self._headline} {metric:.4f}", f"  {speed:.0f} updates/s"
        if not self._console.is_terminal:
            left = (self._total - record["update"]) / max(speed, 1e-9)
            self._console.print(
                f"{record['update']:>8}/{self._total}  loss {record['loss']:.4f}{self._metric}{self._speed}"
                f"  {left:.0f} s left",
                highlight=False,
            )

    def on_end(self, member: int, outcome: Outcome) -> None:
        """Nothing: the bar stays as it is."""


def metrics_table(title: str, rows: Mapping[str, Mapping[str, float]]) -> Table:
    """A table of metrics, a row each of ``rows`` (such as "test", "baseline"); a metric that a row lacks is a dash."""
    names: Sequence[str] = list(dict.fromkeys(name for row in rows.values() for name in row))
    table = Table(title=escape(title), title_justify="left")
    table.add_column("")
    for name in names:
        table.add_column(escape(name), justify="right")
    for label, row in rows.items():
        # A whole number, such as the update that was chosen, is not a measurement.
        cells = (
            "–" if name not in row else f"{row[name]}" if isinstance(row[name], int) else f"{row[name]:.4f}"
            for name in names
        )
        table.add_row(escape(label), *cells)
    return table
