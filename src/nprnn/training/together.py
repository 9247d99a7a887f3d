"""One process of several that train one network: each takes a share of every batch, and gradients become one.

Where process r has rows of the weight W_r (``weight`` in ``readout.py``: how many, or the sum of what they weigh) and
the mean loss L_r over them, the loss of the joint batch and its gradient are

    L = Σ_r W_r L_r / Σ_r W_r        dL = Σ_r d(W_r L_r) / Σ_r W_r

One sum over the processes an update brings all of it: gradients, losses, weights, and what they decide together.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from nprnn.errors import ConfigError, NprnnError, RunError
from nprnn.runs import LAST, PREVIOUS, Run
from nprnn.tasks.base import Batch
from nprnn.training.interrupt import Interrupt
from nprnn.training.partners import Lost, Partners, Result, Word
from nprnn.training.readout import StackedLosses

# What a run goes on from.
_STATE = (LAST, PREVIOUS)


class Wire(Protocol):
    """How processes reach each other; every call waits for all of them.

    Raises:
        Lost: one of them has ended.
    """

    def sum(self, numbers: Tensor) -> None:
        """Replace numbers by their sum over the processes, equal everywhere to the last bit."""

    def gather(self, note: Any) -> Sequence[Any]:
        """The notes of all, by rank."""

    def give(self, note: Any) -> Any:
        """The note of rank 0."""


class Together(Partners):
    """One process of several, each of which calls the same methods in the same order.

    Args:
        rank: of this process.
        world: how many there are.
        wire: how they reach each other.
        local_rank: its number on this machine; None for the rank.
    """

    def __init__(self, rank: int, world: int, wire: Wire, local_rank: int | None = None) -> None:
        self.rank, self.world = rank, world
        self._local_rank = rank if local_rank is None else local_rank
        self._wire = wire
        self._own: tempfile.TemporaryDirectory[str] | None = None

    def share(self, batch: int) -> slice:
        """See ``Partners``: shares differ by one sequence at most."""
        if batch < self.world:
            raise ConfigError(
                f"a batch of {batch} cannot be shared by {self.world} processes; start {batch} or fewer, or set batch "
                f"to {self.world} or more (it is what all processes have together)"
            )
        first, last = (k * batch // self.world for k in (self.rank, self.rank + 1))
        return slice(first, last)

    def weigh(self, loss: Tensor, losses: StackedLosses, batch: Batch) -> Tensor:
        """See ``Partners``."""
        self._weight = losses.weight(batch)
        return loss * self._weight

    def join(self, gradients: Tensor, loss: Tensor, wish: Callable[[], Word]) -> tuple[Tensor, Callable[[], Word]]:
        """See ``Partners``: any may stop all, rank 0 says when to look."""
        # All look at the same update, or one would find numbers that are not finite while others wait for it.
        word = wish()
        words = torch.tensor([word.stop, word.look and self.rank == 0], dtype=loss.dtype)
        count, members = gradients.numel(), len(loss)
        sums = torch.cat([gradients.flatten(), loss, self._weight])
        if sums.device.type == "cpu":
            sums = torch.cat([sums, words])
            self._wire.sum(sums)
            words = sums[-2:]
        else:
            # Words are read at once: on the device they would have to be waited for.
            self._wire.sum(words)
            self._wire.sum(sums)
        losses, weights = sums[count : count + 2 * members].view(2, members)
        torch.div(sums[:count].view_as(gradients), weights.unsqueeze(1), out=gradients)
        joint = Word(*(v > 0 for v in words.tolist()))
        return losses / weights, lambda: joint

    def folder(self, parent: Path) -> Path:
        """See ``Partners``."""
        if self.rank == 0:
            return parent
        if self._own is None:
            self._own = tempfile.TemporaryDirectory(prefix="nprnn-")
        return Path(tempfile.mkdtemp(dir=self._own.name))

    def device(self, name: str) -> str:
        """See ``Partners``."""
        if name.startswith("cuda:"):
            raise ConfigError(f"{self.world} processes cannot share device {name}: say cuda, and each takes its own")
        return f"cuda:{self._local_rank}" if name == "cuda" else name

    def interrupt(self) -> Interrupt:
        """See ``Partners``."""
        return Patient()

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """See ``Partners``."""
        with ExitStack() as silence:
            if self.rank:
                nowhere = silence.enter_context(Path(os.devnull).open("w"))
                silence.enter_context(contextlib.redirect_stdout(nowhere))
            yield

    @contextmanager
    def heard(self) -> Iterator[None]:
        """See ``Partners``: torchrun gives all processes of a machine the same words."""
        with ExitStack() as silence:
            if self._local_rank:
                nowhere = silence.enter_context(Path(os.devnull).open("w"))
                silence.enter_context(contextlib.redirect_stderr(nowhere))
            yield

    @contextmanager
    def in_step(self) -> Iterator[None]:
        """See ``Partners``."""
        try:
            yield
        except NprnnError as error:
            if not (self.told or isinstance(error, Lost)):
                self._gather(_Trouble(type(error), str(error)))
            raise
        self._gather(None)

    def prepare(self, work: Callable[[], Result]) -> Result:
        """See ``Partners``."""
        found: list[Result] = []
        for turn in (0, 1):
            with self.in_step():
                if turn == min(self._local_rank, 1):
                    found.append(work())
        return found[0]

    def agree(self, facts: Mapping[str, Any]) -> None:
        """See ``Partners``."""
        everyones = [dict(_flat(found)) for found in self._gather(facts)]
        for rank, found in enumerate(everyones):
            # As they are written: NaN is not equal to itself.
            names = [
                name for name in {**everyones[0], **found} if repr(found.get(name)) != repr(everyones[0].get(name))
            ]
            if names:
                self.told = True
                first, more = names[0], f" and {len(names) - 1} more" if names[1:] else ""
                raise ConfigError(
                    f"rank {rank} of {self.world} differs from rank 0 in {first} ({found.get(first)!r}, not "
                    f"{everyones[0].get(first)!r}){more}; start all processes with one command on the same data"
                )

    @contextmanager
    def hold(self, run: Run) -> Iterator[None]:
        """See ``Partners``."""
        with ExitStack() as lock:
            with self.in_step():
                lock.enter_context(run.lock())
                kept = {} if self.rank else _read(run)
            kept = self._wire.give(kept)
            for name in _STATE if self.rank else ():
                if name in kept:
                    run.write(name, kept[name])
                else:
                    (run.folder / name).unlink(missing_ok=True)
            yield

    def settle(self, problems: Sequence[str]) -> None:
        """See ``Partners``."""
        self._gather(_Trouble(RunError, problems[0]) if problems else None)

    def close(self) -> None:
        """Remove the private places."""
        if self._own is not None:
            self._own.cleanup()

    def _gather(self, note: Any) -> Sequence[Any]:
        """The notes of all; where one has met trouble instead, all raise that."""
        notes = self._wire.gather(note)
        troubles = [(rank, found) for rank, found in enumerate(notes) if isinstance(found, _Trouble)]
        if troubles:
            self.told = True
            rank, (kind, message) = troubles[0]
            shared = len(troubles) == self.world and len({found.message for _, found in troubles}) == 1
            raise kind(message if shared or rank == 0 else f"rank {rank} of {self.world}: {message}")
        return notes


class Patient(Interrupt):
    """Notes Ctrl-C and SIGTERM and does no more, to the end of the process.

    torchrun passes signals on twice, sends SIGTERM to all once one has ended with an error, which the others may be
    about to tell, and kills whoever has not ended half a minute later.
    """

    def _note(self, number: int, frame: object) -> None:
        self.signal = self.signal or number

    def _restore(self) -> None:
        pass


class _Trouble(NamedTuple):
    kind: type[NprnnError]
    message: str


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _read(run: Run) -> dict[str, bytes]:
    try:
        return {name: (run.folder / name).read_bytes() for name in _STATE if (run.folder / name).exists()}
    except OSError as error:
        raise RunError(f"cannot read {run.folder}: {error.strerror or error}") from error
