"""What was found, as JSON: every run's answers clip by clip, so that whoever doubts a number can count again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from nprnn.errors import RunError
from nprnn.experiments.spec import Scale
from nprnn.files import write_atomically

FORMAT = 1
RECORD = "record.json"


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
        path = folder / RECORD
        content = {"format": FORMAT, "kind": "selection", **asdict(self)}
        for name in _LISTS:
            content[name] = [list(entry) if name == "clips" else entry._asdict() for entry in getattr(self, name)]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, _lines(content).encode())
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror or error}") from error
        return path


_LISTS: Mapping[str, Any] = {
    "clips": lambda entry: (entry[0], entry[1], entry[2]),
    "sets": lambda entry: Sets(**entry),
    "runs": lambda entry: Judged(**entry),
    "tested": lambda entry: Judged(**entry),
    "shuffled": lambda entry: Judged(**entry),
    "yardsticks": lambda entry: Measured(**entry),
}


def read_record(folder: Path) -> Record:
    """Read a record back.

    Raises:
        RunError: there is none, or it is damaged or of another version.
    """
    path = folder / RECORD
    try:
        content = json.loads(path.read_bytes())
        if content.pop("format") != FORMAT or content.pop("kind") != "selection":
            raise RunError(f"{path} is not a selection record of format {FORMAT}, which this version of nprnn reads")
        for name, make in _LISTS.items():
            content[name] = [make(entry) for entry in content[name]]
        return Record(**content)
    except FileNotFoundError:
        raise RunError(f"there is no record in {folder}: it has no {RECORD}; run `nprnn reproduce` first") from None
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {error!r}") from error


def _lines(content: Mapping[str, Any]) -> str:
    """JSON with a line for each entry of a list of entries: readable, and small changes stay small in a comparison."""
    parts = []
    for key, value in content.items():
        if key in _LISTS and value:
            entries = ",\n  ".join(json.dumps(entry, ensure_ascii=False) for entry in value)
            parts.append(f"{json.dumps(key)}: [\n  {entries}\n ]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n " + ",\n ".join(parts) + "\n}\n"
