"""What each kind of experiment does for nprnn reproduce."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nprnn.cli.findings_told import say, tell_comparison, tell_planes, tell_selection
from nprnn.cli.sweeping import run_sweep
from nprnn.errors import ConfigError
from nprnn.experiments import (
    AnyExperiment,
    Experiment,
    Record,
    Scale,
    carry_out,
    conclude,
    parse_experiment,
    read_record,
)
from nprnn.experiments.comparison import (
    Comparison,
    ComparisonRecord,
    carry_out_comparison,
    conclude_comparison,
    parse_comparison,
    read_comparison_record,
)
from nprnn.experiments.planes import (
    Planes,
    PlanesRecord,
    carry_out_planes,
    conclude_planes,
    parse_planes,
    read_planes_record,
)
from nprnn.reporting.comparison import write_comparison
from nprnn.reporting.planes import write_planes
from nprnn.reporting.selection import write_selection
from nprnn.sweep import SweepFile, cores


@dataclass(frozen=True)
class Asked:
    """How an experiment is to be carried out.

    Attributes:
        out: folder for record, pictures and page.
        store: feature store; None where none was named.
        scale: how much of it.
        runs: folder of the runs; None is the kind's own place.
        kept: where runs that have begun are kept; None is ``state`` beside ``out``.
        workers: processes at once; None is one for each core, or one on a CUDA device.
        device: where to compute.
        report_only: draw what the record holds.
        collect: take down what runs have reached, and draw that.
        command: what was typed, for the record.
        one_of_all: options may be meant for the others.
    """

    out: Path
    store: Path | None
    scale: Scale
    runs: Path | None
    kept: Path | None
    workers: int | None
    device: str
    report_only: bool
    collect: bool
    command: tuple[str, ...]
    one_of_all: bool = False

    def refuse(self, experiment: AnyExperiment, why: str, *names: str) -> None:
        """Refuse options that mean nothing to a kind.

        Raises:
            ConfigError: one was given.
        """
        given = {name: getattr(self, name) for name in names}
        unused = [f"--{name}" for name, value in given.items() if value and value != "cpu"]
        if unused and not self.one_of_all:
            raise ConfigError(f"{experiment.key} {why}: leave out {', '.join(unused)}")

    @property
    def processes(self) -> int:
        """Processes at once.

        Raises:
            ConfigError: less than 1.
        """
        one = 1 if self.device != "cpu" else cores()
        workers = one if self.workers is None else self.workers
        if workers < 1:
            raise ConfigError(f"workers must be at least 1, got {workers}")
        return workers


def reproduce(experiment: AnyExperiment, asked: Asked) -> int:
    """Carry an experiment out, or draw its record; returns the exit status.

    Raises:
        ConfigError: options that do not go with it.
        RunError: what its procedure raises.
    """
    match experiment:
        case Experiment():
            return _selection(experiment, asked)
        case Planes():
            return _planes(experiment, asked)
        case Comparison():
            return _comparison(experiment, asked)


def _tell_start(experiment: Experiment | Comparison, scale: Scale) -> None:
    """What is about to be trained: the default scale may take hours or days."""
    lasts = experiment.lasts(scale)
    told = f"{experiment.key} at scale {scale}: {experiment.count(scale)} runs in all, those that are done included; "
    told += f"takes, as measured: {lasts}" if lasts else "how long that takes was not measured"
    if scale != "quick" and "quick" in experiment.scales:
        told += f"; --scale quick is the small one, of {experiment.count('quick')} runs"
    say(told)


def _selection(experiment: Experiment, asked: Asked) -> int:
    asked.refuse(experiment, "keeps no runs that have begun", "kept", "collect")
    if asked.report_only:
        _show(read_record(asked.out), asked.out)
        return 0
    if asked.store is None:
        raise ConfigError(
            f"{experiment.key} needs the features of its clips: name their store with --store; docs/reproduction.md "
            "tells how one is made"
        )
    workers = asked.processes
    _tell_start(experiment, asked.scale)
    found, status = carry_out(
        experiment,
        asked.store,
        asked.runs or Path("runs") / "reproduce" / experiment.key,
        asked.out,
        scale=asked.scale,
        train=lambda file, runs: run_sweep(file, runs, workers, device=asked.device),
        tell=say,
        command=asked.command,
    )
    if found is not None:
        _show(found, asked.out)
    return status


def _planes(experiment: Planes, asked: Asked) -> int:
    asked.refuse(
        experiment, "trains nothing and reads no data", "store", "runs", "kept", "workers", "device", "collect"
    )
    if asked.report_only:
        record = read_planes_record(asked.out)
    else:
        record = carry_out_planes(experiment, asked.out, scale=asked.scale, tell=say, command=asked.command)
    _show_planes(record, asked.out)
    return 0


def _comparison(experiment: Comparison, asked: Asked) -> int:
    asked.refuse(experiment, "takes no store", "store")
    if asked.report_only:
        _show_comparison(read_comparison_record(asked.out), asked.out)
        return 0
    workers = asked.processes

    def train(file: SweepFile, runs: Path, ended: frozenset[str]) -> int:
        return run_sweep(file, runs, workers, without=ended, device=asked.device)

    if not asked.collect:
        _tell_start(experiment, asked.scale)
    record, status = carry_out_comparison(
        experiment,
        asked.runs or Path("runs") / "reproduce" / experiment.task,
        asked.kept or asked.out.parent / "state" / experiment.task,
        asked.out,
        scale=asked.scale,
        train=None if asked.collect else train,
        tell=say,
        command=asked.command,
    )
    _show_comparison(record, asked.out)
    return status


def _show(record: Record, out: Path) -> None:
    findings = conclude(record, parse_experiment(record.key, record.experiment).at(record.scale))
    written = write_selection(findings, out, record.command)
    tell_selection(findings)
    _say_written(written)


def _show_planes(record: PlanesRecord, out: Path) -> None:
    findings = conclude_planes(record, parse_planes(record.key, record.experiment).at(record.scale))
    written = write_planes(findings, out, record.command)
    tell_planes(findings)
    _say_written(written)


def _show_comparison(record: ComparisonRecord, out: Path) -> None:
    findings = conclude_comparison(record, parse_comparison(record.key, record.experiment))
    written = write_comparison(findings, out, record.command)
    tell_comparison(findings)
    _say_written(written)


def _say_written(written: list[Path]) -> None:
    say(f"page to open: {written[0]}")
    for path in written[1:]:
        say(f"written: {path}")
