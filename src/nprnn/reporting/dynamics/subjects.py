"""What is analysed: a start over draws, or a run at its stages; and the inputs that drive it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from nprnn.dynamics import System
from nprnn.errors import ConfigError
from nprnn.init import find_scheme
from nprnn.reporting.dynamics.sequences import one_each_of
from nprnn.seeds import derive

Inputs = Literal["data", "noise", "zero"]
START = "start"


SNAPSHOT = "snapshot"


@dataclass(frozen=True, eq=False)
class Stage:
    """A network at a moment.

    Attributes:
        name: start, snapshot, previous, best, last, or several of the latter where they are the same update.
        update: updates it has had.
        system: the network; E of them for a start over draws.
        head: weight [O, H] and bias [O] of the output, or None.
    """

    name: str
    update: int
    system: System
    head: tuple[Tensor, Tensor] | None = None

    @property
    def told(self) -> bool:
        """Whether tables have it: snapshots, of which there may be many, are for the pictures over training."""
        return self.name != SNAPSHOT


@dataclass(frozen=True, eq=False)
class Drive:
    """What drives a network.

    Attributes:
        x: inputs [T, B, I], or [E, T, 1, I] with one sequence for each of E draws.
        h0: states before the first step, or None for 0.
        about: what they are, for a person.
    """

    x: Tensor
    h0: Tensor | None
    about: str


@dataclass(frozen=True, eq=False)
class Subject:
    """A start, or a run.

    Attributes:
        title: for a person.
        kind: which.
        model: name of the model.
        hidden: H.
        stages: by rising update, the start first.
        drive: the same for all stages.
        cotangents: Gaussian ones for each sequence.
        seed: of all that is drawn here.
        notices: what must not be overlooked.
        facts: what else identifies it, as JSON values.
        class_names: of a classification, else None.
    """

    title: str
    kind: Literal["start", "run"]
    model: str
    hidden: int
    stages: tuple[Stage, ...]
    drive: Drive
    cotangents: int = 1
    seed: int = 0
    notices: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] | None = None


def start_subject(
    scheme: str,
    *,
    hidden: int,
    draws: int,
    task: str,
    length: int | None = None,
    inputs: Inputs = "data",
    data_dir: Path | None = None,
    seed: int = 0,
) -> Subject:
    """A start over draws, each with a sequence of its own, as in ``nprnn.dynamics.growth_table``.

    Args:
        scheme: a name of ``nprnn.init.SCHEMES``.
        hidden: H.
        draws: E.
        task: whose sequences drive it: the first training sequences of a made-up task, validation sequences of one
            that reads data.
        length: T of a made-up task; None is 150.
        inputs: these sequences, noise like them, or nothing.
        data_dir: where a task that reads data finds them; None is the task's own place.
        seed: of the starts.

    Returns:
        The subject.

    Raises:
        ConfigError: unknown scheme or task, or numbers out of range; DataError: its data are not found.
    """
    name = find_scheme(scheme).name
    if hidden < 1 or draws < 1:
        raise ConfigError(f"hidden and draws must be at least 1, got {hidden} and {draws}")
    x, sequence = one_each_of(task, length, draws, data_dir)
    system = System.start(
        name, hidden, x.shape[-1], ensemble=draws, generator=derive(seed, "dynamics", "start", hidden)
    )
    about = f"{draws} starts, each with {sequence}" if draws > 1 else f"1 start, with {sequence}"
    facts = {"task": task, "length": x.shape[1], "draws": draws}
    title = f"{name}, {hidden} unit{'s' if hidden > 1 else ''}"
    drive = driven(x, inputs, (draws, 1, hidden), about, seed)
    return Subject(title, "start", name, hidden, (Stage(START, 0, system),), drive, seed=seed, facts=facts)


def driven(x: Tensor, inputs: Inputs, states: tuple[int, ...], about: str, seed: int) -> Drive:
    """A drive of sequences, or of what is asked for in their place.

    Args:
        x: the sequences.
        inputs: these, noise like them, or nothing.
        states: shape of a random state before the first step.
        about: what the sequences are.
        seed: of noise and state.
    """
    if inputs == "data":
        return Drive(x, None, about)
    generator = derive(seed, "dynamics", "inputs")
    if inputs == "noise":
        each = x.reshape(-1, x.shape[-1])
        mean, spread = each.mean(0), each.std(0, correction=0)
        noise = torch.randn(x.shape, dtype=x.dtype, generator=generator)
        return Drive(mean + spread * noise, None, f"Gaussian noise with the mean and spread of {about}")
    h0 = torch.randn(states, dtype=x.dtype, generator=generator).abs()
    return Drive(torch.zeros_like(x), h0, f"inputs of 0 after a random state, in place of {about}")
