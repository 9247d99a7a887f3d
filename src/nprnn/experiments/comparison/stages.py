"""A stage of a comparison: the runs that it wants, trained as one sweep, and what their folders hold afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from nprnn.experiments.comparison.axis import At
from nprnn.experiments.comparison.record import ComparisonRecord, Trained
from nprnn.experiments.comparison.state import bring_back, keep
from nprnn.runs import Run
from nprnn.sweep import SweepFile, SweepMember, TaskFacts, identity, prepare, survey
from nprnn.tasks import TaskConfig

# What trains a sweep in a folder, without the members whose identities are named, and returns its exit status.
Train = Callable[[SweepFile, Path, frozenset[str]], int]


class Wanted(NamedTuple):
    """A run that a stage asks for.

    Attributes:
        series: its series.
        at: its value of the axis.
        setting: of the grid, where it is a trial; {} where it is compared.
        member: of the stage's sweep.
        identity: of its settings and data.
        digest: a short hash of that.
    """

    series: str
    at: At
    setting: Mapping[str, Any]
    member: SweepMember
    identity: str
    digest: str


@dataclass(frozen=True)
class Stage:
    """Runs of one sweep.

    Attributes:
        task: name of the task.
        file: the sweep.
        wanted: its runs.
        facts: of each task setting.
    """

    task: str
    file: SweepFile
    wanted: Sequence[Wanted]
    facts: Mapping[TaskConfig, TaskFacts]

    @classmethod
    def of(cls, task: str, file: SweepFile, places: Sequence[tuple[str, At, Mapping[str, Any]]]) -> Stage:
        """The stage of a sweep.

        Args:
            task: name of the task.
            file: the sweep.
            places: series, value and, of a trial, the setting of each of its entries; every one has all seeds.

        Raises:
            ConfigError: settings that are wrong or do not go with the data.
            DataError: missing or damaged data.
        """
        members, facts = prepare(file)
        wanted = []
        for (name, at, setting), member in zip((p for p in places for _ in file.seeds), members, strict=True):
            text = identity(task, member, facts[member.task].fingerprint)
            digest = hashlib.sha256(text.encode()).hexdigest()[:16]
            wanted.append(Wanted(name, at, setting, member, text, digest))
        return cls(task, file, wanted, facts)

    def left(self, done: Collection[str]) -> bool:
        """Whether any of its runs is not among the digests of those that ended."""
        return any(one.digest not in done for one in self.wanted)

    def metrics(self) -> tuple[str, ...]:
        """What its runs will be judged by, asked of the data of the first, so that it is known before any is trained.

        Raises:
            DataError: missing or damaged data.
        """
        first = self.wanted[0].member
        data = first.task.load(first.config.seed)
        y = data.train.batch(torch.arange(1)).y
        rows = y.flatten(0, 1) if data.steps_have_targets else y
        return tuple(data.objective.sums(torch.zeros(len(rows), data.output_size), rows))

    def begin(self, known: Sequence[Trained], runs: Path, kept: Path, tell: Callable[[str], None]) -> None:
        """Bring back what was begun elsewhere.

        Raises:
            RunError: a run cannot be copied.
        """
        if brought := bring_back(kept, runs, self._folders(known, ended=False)):
            tell(f"{len(brought)} runs that were begun are brought back from {kept}")

    def train(self, done: Collection[str], runs: Path, train: Train, tell: Callable[[str], None]) -> int:
        """Train what is left; returns the exit status."""
        tell(f"{self.file.path}: {len(self.wanted)} runs")
        return train(self.file, runs, frozenset(one.identity for one in self.wanted if one.digest in done))

    def keep(self, known: Sequence[Trained], runs: Path, kept: Path) -> None:
        """Keep what has begun, and forget what has ended.

        Raises:
            RunError: a run cannot be copied.
        """
        keep(runs, kept, self._folders(known, ended=False), self._folders(known, ended=True))

    def reached(self, record: ComparisonRecord, runs: Path, *, trial: bool = False) -> Iterator[tuple[Wanted, Trained]]:
        """What the run folders hold; the objective goes into the record."""
        found = survey(runs, self.task, [one.member for one in self.wanted], self.facts)
        for one, standing in zip(self.wanted, found.standings, strict=True):
            if standing.folder is None or standing.state == "failed":
                continue
            run = Run.open(runs / standing.folder)
            objective = run.config["objective"]
            record.headline, record.higher_is_better = objective["headline"], objective["higher_is_better"]
            record.baseline = objective["baseline"]
            blown = run.diverged()
            last = standing.update if blown is None else blown
            rows = [record.row(entry, trial=trial) for entry in run.records() if entry["update"] <= last]
            state = standing.state if standing.state in ("finished", "diverged") else "not finished"
            env, seed = record.env_number(run.env()), one.member.config.seed
            yield one, Trained(one.series, one.at, seed, standing.folder, one.digest, state, last, env, rows)

    def _folders(self, known: Sequence[Trained], *, ended: bool) -> list[str]:
        """Folders of its runs that have ended, or of those that have begun."""
        digests = {one.digest for one in self.wanted}
        return [run.folder for run in known if run.identity in digests and run.ended is ended]
