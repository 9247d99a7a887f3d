"""What was found, as JSON: every run's answers clip by clip, so that whoever doubts a number can count again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from nprnn.experiments.spec import Scale
from nprnn.experiments.storing import Entries, load, named, store

FORMAT = 1


class Sets(NamedTuple):
    """How an arm divides the clips; each is named by its place in ``Record.clips``.

    Attributes:
        arm: name of the arm.
        part: which part of the arm, such as a fold; "" where there is one.
        train: what is trained on.
        valid: what chooses.
        test: what is tested on.
        fingerprint: of the data.
    """

    arm: str
    part: str
    train: list[int]
    valid: list[int]
    test: list[int]
    fingerprint: str


class Judged(NamedTuple):
    """A run, and which clips it got right.

    Attributes:
        arm: name of the arm.
        part: which part of the arm.
        model: its model.
        setting: its setting of the grid.
        seed: its seed.
        state: finished, diverged, failed, or missing.
        folder: name of its run folder, or "".
        correct: a 1 or a 0 for each clip that was judged, in the order of the set; "" unless it finished.
        cross_entropy: mean over those clips, in nats; None unless it finished.
    """

    arm: str
    part: str
    model: str
    setting: dict[str, Any]
    seed: int
    state: str
    folder: str
    correct: str
    cross_entropy: float | None


class Measured(NamedTuple):
    """A yardstick: what it is, fitted to what, how many numbers it has, and which test clips it got right."""

    name: str
    about: str
    parameters: int
    correct: str


@dataclass
class Record:
    """An experiment's facts.

    Attributes:
        key: of the experiment.
        experiment: its file's content.
        scale: quick or paper.
        command: what was asked.
        env: what computed it.
        clips: name, label and group of every clip.
        sets: how each arm divides them.
        parameters: model to trained numbers.
        runs: of all arms, judged on validation.
        choices: by arm, then model: the chosen setting. Written before any test clip is read.
        tested: runs of the first choosing arm, judged on test.
        shuffled: the same settings with the frames shuffled, judged on test.
        yardsticks: other models.
    """

    key: str
    experiment: str
    scale: Scale
    command: list[str]
    env: dict[str, Any]
    clips: list[tuple[str, str, int | None]] = field(default_factory=list)
    sets: list[Sets] = field(default_factory=list)
    parameters: dict[str, int] = field(default_factory=dict)
    runs: list[Judged] = field(default_factory=list)
    choices: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    tested: list[Judged] = field(default_factory=list)
    shuffled: list[Judged] = field(default_factory=list)
    yardsticks: list[Measured] = field(default_factory=list)

    def write(self, folder: Path) -> Path:
        """Put the record into a folder.

        Raises:
            RunError: it cannot be written.
        """
        # What blew up on the judged clips alone has a cross-entropy that is not finite, and is written as it is.
        return store(folder, "selection", FORMAT, self, _LISTS, allow_nan=True)


def read_record(folder: Path) -> Record:
    """Read a record back.

    Raises:
        RunError: there is none, or it is damaged or of another kind or version.
    """
    return load(folder, "selection", FORMAT, _LISTS, Record)


_LISTS: Mapping[str, Entries] = {
    "clips": Entries(list, lambda entry: (entry[0], entry[1], entry[2])),
    "sets": named(Sets),
    "runs": named(Judged),
    "tested": named(Judged),
    "shuffled": named(Judged),
    "yardsticks": named(Measured),
}
