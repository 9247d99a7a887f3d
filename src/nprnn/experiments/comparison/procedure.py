"""A comparison from start to record: tune what is to be tuned, train what is missing, write down what was reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nprnn.errors import RunError
from nprnn.experiments.comparison.findings import check_metrics
from nprnn.experiments.comparison.reading import parse_comparison
from nprnn.experiments.comparison.record import ComparisonRecord, Trained, Trial, read_comparison_record
from nprnn.experiments.comparison.spec import Batch, Comparison
from nprnn.experiments.comparison.stages import Stage, Train
from nprnn.experiments.comparison.trials import tuned
from nprnn.experiments.procedure import STOPPED
from nprnn.experiments.spec import SCALES, Scale
from nprnn.experiments.storing import RECORD
from nprnn.training import environment


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
    written after every batch, and when training is stopped, with what every run has reached. Where settings are tuned,
    every trial of the scale ends and every choice is written before the first run that is compared begins.

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
        RunError: a record in ``out`` of another experiment, or with other choices than its trials lead to, or something
            that cannot be written.
        ConfigError: settings that the task or the training does not have, or a metric that its runs do not.
    """
    work = _Work(experiment, _begin(experiment, scale, out, command), runs, kept, out, train, tell)
    status = work.tune(scale) if experiment.tune else 0
    if status in STOPPED or (experiment.tune and not work.chose(scale)):
        return work.record, status
    for batch in experiment.scales[scale]:
        status = max(status, work.compare(batch))
        if status in STOPPED:
            return work.record, status
    work.record.write(out)
    return work.record, status


@dataclass(frozen=True)
class _Work:
    experiment: Comparison
    record: ComparisonRecord
    runs: Path
    kept: Path
    out: Path
    train: Train | None
    tell: Callable[[str], None]

    def compare(self, batch: Batch) -> int:
        """The runs of a batch; returns the exit status."""
        experiment, record = self.experiment, self.record
        chosen = {(one.series, one.at): one.setting for one in record.choices} if experiment.tune else None
        places = experiment.places([batch])
        stage = Stage.of(experiment.task, experiment.sweep(batch, chosen), [(one.name, at, {}) for one, at in places])
        status = self._run(stage, record.runs)
        if status is None:
            return 0
        own = {run.identity: run for run in record.runs}
        own |= {run.identity: run for _, run in stage.reached(record, self.runs)}
        order = {series.name: k for k, series in enumerate(experiment.series)}
        at = {value: k for k, value in enumerate(experiment.along.ordered(run.at for run in own.values()))}
        record.runs = sorted(own.values(), key=lambda run: (at[run.at], order[run.series], run.seed))
        self._keep(stage, record.runs)
        return status

    def tune(self, scale: Scale) -> int:
        """The trials of a scale; returns the exit status."""
        experiment, record = self.experiment, self.record
        places = [(series.name, at, setting) for series, at, setting in experiment.tried(scale)]
        stage = Stage.of(experiment.task, experiment.trials(scale), places)
        status = self._run(stage, [trial.run for trial in record.trials])
        if status is None:
            return 0
        own = {trial.run.identity: trial for trial in record.trials}
        reached = stage.reached(record, self.runs, trial=True)
        own |= {run.identity: Trial(dict(one.setting), run) for one, run in reached}
        # Those of the stage in its order, and behind them what a smaller scale may have had besides.
        record.trials = [own.pop(one.digest) for one in stage.wanted if one.digest in own] + list(own.values())
        self._keep(stage, [trial.run for trial in record.trials])
        return status

    def chose(self, scale: Scale) -> bool:
        """Write the choices down; returns whether there are all that the scale needs.

        Raises:
            RunError: the record has another choice.
        """
        experiment, record = self.experiment, self.record
        new = {(one.series, one.at): one.choice for one in tuned(record, experiment)}
        for old in record.choices:
            if (choice := new.get((old.series, old.at))) is None or choice.setting != old.setting:
                leads = "have not ended" if choice is None else f"lead to {choice.setting}"
                raise RunError(
                    f"{self.out / RECORD} has the choice {old.setting} for {old.series} at {old.at}, and its trials "
                    f"{leads}. Test sets are read once for a choice: move the record away to begin anew"
                )
        record.choices = [choice for choice in new.values() if choice is not None]
        # Before any run that is compared begins.
        record.write(self.out)
        there = {(one.series, one.at) for one in record.choices}
        needed = [(series.name, at) for series, at in experiment.places(experiment.scales[scale])]
        lacking = [f"{name} at {at}" for name, at in needed if (name, at) not in there]
        if lacking:
            self.tell(f"no setting is chosen before all trials have ended; not so far: {', '.join(lacking)}")
        return not lacking

    def _run(self, stage: Stage, known: Sequence[Trained]) -> int | None:
        """Train what is left of a stage; None where nothing is."""
        # A name that no run has would else be found out after all of them.
        check_metrics(self.experiment, self.record.metrics or stage.metrics())
        done = {run.identity for run in known if run.ended}
        if not stage.left(done):
            return None
        stage.begin(known, self.runs, self.kept, self.tell)
        return 0 if self.train is None else stage.train(done, self.runs, self.train, self.tell)

    def _keep(self, stage: Stage, known: Sequence[Trained]) -> None:
        stage.keep(known, self.runs, self.kept)
        self.record.write(self.out)


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
