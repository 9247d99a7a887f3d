"""TensorBoard events of a run, for those who watch there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nprnn.errors import ConfigError
from nprnn.training import Outcome


class TensorBoard:
    """A listener that writes every evaluation as TensorBoard scalars.

    Args:
        folder: the run folder; events go to ``tensorboard/`` in it.
        done: updates done before; events past them, of a run that was killed, are dropped.

    Raises:
        ConfigError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, done: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(f"--tensorboard needs the extra: pip install 'nprnn[tensorboard]' ({error})") from error
        self._open: Any = lambda: SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1)
        self._writer: Any = None

    def on_updates(self, member: int, update: int, losses: Sequence[float]) -> None:
        """Nothing: the evaluations are enough."""

    def on_end(self, member: int, outcome: Outcome) -> None:
        """Nothing: what was written is there."""

    def on_record(self, member: int, record: dict[str, Any]) -> None:
        """Write an evaluation."""
        # Opened here and not before: by now this process holds the folder, and no other one's events are dropped.
        self._writer = self._writer or self._open()
        update = record["update"]
        for name in ("loss", "gradient_norm", "lr", "updates_per_second"):
            self._writer.add_scalar(f"train/{name}", record[name], update)
        for split in ("valid", "test"):
            for name, value in record.get(split, {}).items():
                self._writer.add_scalar(f"{split}/{name}", value, update)
        self._writer.flush()
