"""What is on disk already: the run folder of every member, and how far it is.

The run folders are the truth. ``sweep.json`` is an account of them and is never needed to go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from nprnn.errors import RunError
from nprnn.files import parse_json
from nprnn.runs import Run
from nprnn.sweep.facts import TaskFacts, identity, spelled
from nprnn.sweep.members import SweepMember
from nprnn.tasks import TaskConfig
from nprnn.training.readings import is_better
from nprnn.training.seats import unjudged

FAILED = "failed.json"
State = Literal["waiting", "running", "stopped", "finished", "diverged", "failed"]


class Best(NamedTuple):
    """The evaluation that did best on the validation set; its test metrics are {} where those are withheld."""

    update: int
    valid: Mapping[str, float]
    test: Mapping[str, float]


@dataclass
class Standing:
    """How a member stands.

    Attributes:
        state: waiting (not begun), running, stopped (begun), finished, diverged or failed.
        update: updates done.
        folder: name of its run folder; None while it has none.
        error: why it failed, or at which update it diverged.
        best: its best evaluation; None where there is none, or no validation set.
        notice: what a person should know of a folder that was harmed; "" where all is well, or ``error`` tells it.
    """

    state: State = "waiting"
    update: int = 0
    folder: str | None = None
    error: str = ""
    best: Best | None = None
    notice: str = ""

    @property
    def open(self) -> bool:
        """Whether there is still something to train."""
        return self.state not in ("finished", "diverged", "failed")

    def note(self, record: Mapping[str, Any], facts: TaskFacts) -> None:
        """Take an evaluation into account."""
        if "valid" not in record:
            return
        old = None if self.best is None else self.best.valid[facts.headline]
        if is_better(record["valid"][facts.headline], old, facts.higher_is_better):
            self.best = Best(record["update"], record["valid"], record.get("test", {}))


@dataclass(frozen=True)
class Survey:
    """What a folder holds of a sweep.

    Attributes:
        standings: of every member, in order.
        strangers: run folders of no member.
    """

    standings: list[Standing]
    strangers: list[str] = field(default_factory=list)


def survey(
    folder: Path, task_name: str, members: Sequence[SweepMember], facts: Mapping[TaskConfig, TaskFacts]
) -> Survey:
    """Find the members' run folders; changes nothing.

    A damaged run is failed: what is in it may be worth more than a fresh start. Its state is looked at anew every time,
    so mending or moving it is enough.

    Args:
        folder: folder of run folders; it need not exist.
        task_name: name of the task.
        members: of the sweep.
        facts: of each task setting.

    Returns:
        What was found.
    """
    found: dict[str, Path] = {}
    unreadable = []
    for path in sorted(folder.glob("*/config.json")):
        try:
            found[spelled(parse_json(path.read_bytes()))] = path.parent
        except (OSError, ValueError, AttributeError, RecursionError):
            unreadable.append(path.parent.name)
    standings = []
    for member in members:
        own = found.pop(identity(task_name, member, facts[member.task].fingerprint), None)
        standings.append(Standing() if own is None else _standing(own, member, facts[member.task]))
    return Survey(standings, sorted([*unreadable, *(path.name for path in found.values())]))


def _standing(folder: Path, member: SweepMember, facts: TaskFacts) -> Standing:
    standing = Standing(folder=folder.name)
    try:
        run = Run.open(folder)
        checkpoint, harmed = run.newest()
        standing.update = checkpoint.update if checkpoint else 0
        # Stopped between its last update and the evaluation of it, as a member of several can be.
        waits = checkpoint is not None and standing.update >= member.config.updates and unjudged(checkpoint)
        records = run.records()
        for record in records:
            if record["update"] <= standing.update:
                standing.note(record, facts)
        lost = "" if checkpoint is None else run.lost_of(checkpoint, records)
    except (RunError, KeyError, TypeError, ValueError) as error:
        standing.state, standing.error = "failed", str(error) if isinstance(error, RunError) else repr(error)
        return standing
    blown = run.diverged()
    if blown is not None:
        standing.state, standing.error = "diverged", f"at update {blown}"
    elif standing.update >= member.config.updates and not waits:
        standing.state = "finished"
    elif standing.update:
        standing.state = "stopped"
    standing.notice = "; ".join(filter(None, (harmed if standing.open else "", lost)))
    return standing
