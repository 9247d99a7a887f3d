"""A comparison from start to record: train what is missing, batch by batch, and write down what was reached."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from nprnn.errors import RunError
from nprnn.experiments.comparison.reading import parse_comparison
from nprnn.experiments.comparison.record import ComparisonRecord, Trained, read_comparison_record
from nprnn.experiments.comparison.spec import Batch, Comparison
from nprnn.experiments.comparison.state import bring_back, keep
from nprnn.experiments.procedure import STOPPED
from nprnn.experiments.spec import SCALES, Scale
from nprnn.experiments.storing import RECORD
from nprnn.runs import Run
from nprnn.sweep import SweepFile, SweepMember, TaskFacts, identity, prepare, survey
from nprnn.tasks import TaskConfig
from nprnn.training import environment

# What trains a sweep in a folder, without the members whose identities are named, and returns its exit status.
Train = Callable[[SweepFile, Path, frozenset[str]], int]


class _Wanted(NamedTuple):
    """A run that a batch asks for."""

    series: str
    at: int
    member: SweepMember
    identity: str
    digest: str


def carry_out_comparison(
    experiment: Comparison,
    runs: Path,
    kept: Path,
    out: Path,
    *,
    scale: Scale,
    train: Train | None,
    tell: Callable[[str], None],
    command: Sequence[str] = (),
) -> tuple[ComparisonRecord, int]:
    """Do what is left of a comparison at a scale.

    Runs that the record has to their end are not run again, whether their folders are there or not. The record is
    written after every batch, and when training is stopped, with what every run has reached.

    Args:
        experiment: what is asked.
        runs: folder of run folders; other comparisons of the task may share it.
        kept: where runs that have begun are kept, to be committed and brought back.
        out: folder for the record.
        scale: which batches.
        train: runs a sweep; None only takes down what the runs have reached.
        tell: takes lines for a person.
        command: what was asked, for the record.

    Returns:
        The record, and 0, 1 where runs failed, or 130 or 143 where training was stopped.

    Raises:
        RunError: a record in ``out`` of another experiment, or something that cannot be written.
        ConfigError: settings that the task or the training does not have.
    """
    record = _begin(experiment, scale, out, command)
    status = 0
    for batch in experiment.scales[scale]:
        wanted, facts = _wanted(experiment, batch)
        done = {run.identity for run in record.runs if run.ended}
        if all(one.digest in done for one in wanted):
            continue
        begun, _ = _names(record, wanted)
        if brought := bring_back(kept, runs, begun):
            tell(f"{len(brought)} runs that were begun are brought back from {kept}")
        if train is not None:
            tell(f"{experiment.heading(batch)}: {len(wanted)} runs")
            ended = frozenset(one.identity for one in wanted if one.digest in done)
            status = max(status, train(experiment.sweep(batch), runs, ended))
        _take_down(record, experiment, wanted, facts, runs)
        keep(runs, kept, *_names(record, wanted))
        record.write(out)
        if status in STOPPED:
            return record, status
    record.write(out)
    return record, status


def _begin(experiment: Comparison, scale: Scale, out: Path, command: Sequence[str]) -> ComparisonRecord:
    if not (out / RECORD).exists():
        return ComparisonRecord(experiment.key, experiment.text, scale, list(command), environment())
    record = read_comparison_record(out)
    if not parse_comparison(record.key, record.experiment).asks_the_same(experiment):
        raise RunError(
            f"{out / RECORD} is of another experiment ({record.key}) or of another version of this one; move it away, "
            "or name another folder with --out"
        )
    if (record.scale == "quick") is not (scale == "quick"):
        raise RunError(f"{out / RECORD} is of scale {record.scale}; name another folder for {scale} with --out")
    record.scale = max(record.scale, scale, key=SCALES.index)
    record.experiment, record.command, record.env = experiment.text, list(command), environment()
    return record


def _wanted(experiment: Comparison, batch: Batch) -> tuple[list[_Wanted], Mapping[TaskConfig, TaskFacts]]:
    members, facts = prepare(experiment.sweep(batch))
    places = [(series.name, value) for value in batch.at for series in experiment.of_batch(batch) for _ in batch.seeds]
    found = []
    for (name, value), member in zip(places, members, strict=True):
        text = identity(experiment.task, member, facts[member.task].fingerprint)
        found.append(_Wanted(name, value, member, text, hashlib.sha256(text.encode()).hexdigest()[:16]))
    return found, facts


def _take_down(
    record: ComparisonRecord,
    experiment: Comparison,
    wanted: Sequence[_Wanted],
    facts: Mapping[TaskConfig, TaskFacts],
    runs: Path,
) -> None:
    """Put what the run folders hold into the record."""
    found = survey(runs, experiment.task, [one.member for one in wanted], facts)
    own = {run.identity: run for run in record.runs}
    for one, standing in zip(wanted, found.standings, strict=True):
        if standing.folder is None or standing.state == "failed":
            continue
        run = Run.open(runs / standing.folder)
        objective = run.config["objective"]
        record.headline, record.higher_is_better = objective["headline"], objective["higher_is_better"]
        record.baseline = objective["baseline"]
        blown = run.diverged()
        last = standing.update if blown is None else blown
        rows = [record.row(entry) for entry in run.records() if entry["update"] <= last]
        state = standing.state if standing.state in ("finished", "diverged") else "not finished"
        own[one.digest] = Trained(
            one.series,
            one.at,
            one.member.config.seed,
            standing.folder,
            one.digest,
            state,
            last,
            record.env_number(run.env()),
            rows,
        )
    order = {series.name: k for k, series in enumerate(experiment.series)}
    record.runs = sorted(own.values(), key=lambda run: (run.at, order[run.series], run.seed))


def _names(record: ComparisonRecord, wanted: Sequence[_Wanted]) -> tuple[list[str], list[str]]:
    """Folders of the wanted runs that have begun, and of those that have ended."""
    digests = {one.digest for one in wanted}
    own = [run for run in record.runs if run.identity in digests]
    return [run.folder for run in own if not run.ended], [run.folder for run in own if run.ended]
