"""Processes that train one network together, as the loop sees them; and the process that trains by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from nprnn.errors import RunError
from nprnn.runs import Run
from nprnn.tasks.base import Batch
from nprnn.training.interrupt import Interrupt
from nprnn.training.readout import StackedLosses

Result = TypeVar("Result")


class Lost(RunError):
    """The other processes cannot be reached any more."""


class Word(NamedTuple):
    """What a process wants after an update: to stop, to look at the losses. All do what one wants."""

    stop: bool
    look: bool


class Partners:
    """A process that trains by itself: all of this costs nothing and changes no number.

    Attributes:
        rank: its number, from 0; 0 keeps the run folder and talks.
        world: how many processes there are.
        told: whether rank 0 knows what went wrong, so that the others need not say it again.
    """

    rank, world, told = 0, 1, False

    def share(self, batch: int) -> slice:
        """Which sequences of a batch are its own.

        Args:
            batch: B, of the joint batch.

        Raises:
            ConfigError: there are fewer than processes.
        """
        return slice(None)

    def weigh(self, loss: Tensor, losses: StackedLosses, batch: Batch) -> Tensor:
        """W_r L_r: what to differentiate, where the mean losses [E] over its own share are ``loss``."""
        return loss

    def join(self, gradients: Tensor, loss: Tensor, wish: Callable[[], Word]) -> tuple[Tensor, Callable[[], Word]]:
        """Make gradients and losses those of the joint batch.

        Args:
            gradients: of what ``weigh`` gave [E, P]; changed in place.
            loss: what it gave [E].
            wish: what this process wants.

        Returns:
            The losses of the joint batch, and what is to be done once the update is: alone that is asked then, with
            others it is settled by now.

        Raises:
            Lost: a process has ended.
        """
        return loss, wish

    def folder(self, parent: Path) -> Path:
        """Where the run folder goes: ``parent``, or for all but rank 0 a fresh private place that does not last."""
        return parent

    def device(self, name: str) -> str:
        """Where this process computes if all were asked to on ``name``.

        Raises:
            ConfigError: one device was named for several processes.
        """
        return name

    def interrupt(self) -> Interrupt:
        """What listens to Ctrl-C and SIGTERM while it trains."""
        return Interrupt()

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Only rank 0 prints in here."""
        yield

    @contextmanager
    def heard(self) -> Iterator[None]:
        """What is wrong with the words of a command is said in here once on each machine."""
        yield

    @contextmanager
    def in_step(self) -> Iterator[None]:
        """What goes wrong in here in one process goes wrong in all, so that none waits for one that has ended."""
        yield

    def prepare(self, work: Callable[[], Result]) -> Result:
        """Do what may leave files beside the data: one process of a machine first, then the others; in step."""
        return work()

    def agree(self, facts: Mapping[str, Any]) -> None:
        """See that all processes are about the same.

        Args:
            facts: picklable values, by name.

        Raises:
            ConfigError: they are not; it names a rank and what differs.
        """

    @contextmanager
    def hold(self, run: Run) -> Iterator[None]:
        """Keep others out of the run folder; those of other ranks become what rank 0's is."""
        with run.lock():
            yield

    def settle(self, problems: Sequence[str]) -> None:
        """See that none has a problem.

        Raises:
            RunError: one has.
        """


ALONE = Partners()
