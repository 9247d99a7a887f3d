"""A selection experiment from start to record: train, judge on validation, choose, write that down, test once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nprnn.errors import RunError
from nprnn.experiments.choosing import choose, chosen_settings
from nprnn.experiments.judging import judge_arm, judge_test, measure_yardstick, note_clips
from nprnn.experiments.record import Record, read_record
from nprnn.experiments.spec import Experiment, Scale
from nprnn.experiments.storing import RECORD
from nprnn.sweep import SweepFile
from nprnn.training import environment

SHUFFLED = "shuffled"
STOPPED = (130, 143)


def carry_out(
    experiment: Experiment,
    store: Path,
    runs: Path,
    out: Path,
    *,
    scale: Scale,
    train: Callable[[SweepFile, Path], int],
    tell: Callable[[str], None],
    command: Sequence[str] = (),
) -> tuple[Record | None, int]:
    """Do what is left of an experiment.

    Args:
        experiment: what is asked.
        store: the feature store.
        runs: folder for the runs, one folder an arm; what is there is not run again.
        out: folder for the record.
        scale: quick or paper.
        train: runs a sweep in a folder and returns its exit status.
        tell: takes lines for a person.
        command: what was asked, for the record.

    Returns:
        The record, and 0, 1 where runs failed, or 130 or 143 where training was stopped; then there is no record.

    Raises:
        RunError: a record in ``out`` of another experiment, or one that was tested with other choices.
        DataError: a store that is missing or damaged.
    """
    asked, experiment = experiment, experiment.at(scale)
    old = _old(asked, scale, out)
    record = Record(asked.key, asked.text, scale, list(command), environment())
    where = {"store": store}
    note_clips(record, store)
    status = 0
    for arm in experiment.arms:
        file = experiment.sweep(arm, where)
        tell(f"{arm.name}: {arm.about}")
        found = train(file, runs / arm.name)
        if found in STOPPED:
            return None, found
        status = max(status, found)
        judge_arm(record, experiment, arm, file, runs / arm.name)
    choose(record, experiment)
    if old is not None and old.tested and old.choices != record.choices:
        raise RunError(
            f"{out / RECORD} was tested with other choices than these runs lead to. A test set is read once for a "
            "choice: move the record away to begin anew, or bring its runs back"
        )
    # Before any test clip is judged.
    record.write(out)
    if not record.choices:
        tell("no setting is chosen: some runs have not ended")
        return record, max(status, 1)
    found = _test(record, experiment, where, runs, old, train, tell)
    if found in STOPPED:
        return None, found
    record.write(out)
    return record, max(status, found)


def _old(experiment: Experiment, scale: Scale, out: Path) -> Record | None:
    if not (out / RECORD).exists():
        return None
    old = read_record(out)
    if (old.experiment, old.scale) != (experiment.text, scale):
        raise RunError(
            f"{out / RECORD} is of another experiment ({old.key}, {old.scale}) or of another version of this one; move "
            "it away, or name another folder with --out"
        )
    return old


def _test(
    record: Record,
    experiment: Experiment,
    where: dict[str, Path],
    runs: Path,
    old: Record | None,
    train: Callable[[SweepFile, Path], int],
    tell: Callable[[str], None],
) -> int:
    """Judge the chosen settings on the test clips, in order and with their frames shuffled."""
    first = experiment.arm(experiment.choose_by[0])
    chosen = chosen_settings(record)
    if old is not None and old.tested and old.shuffled and old.yardsticks:
        tell("tested before, by the same choices; the record keeps those answers")
        record.tested, record.shuffled, record.yardsticks = old.tested, old.shuffled, old.yardsticks
        return 0
    file = experiment.sweep(first, where)
    record.tested = judge_test(record, experiment, first, file, runs / first.name, chosen)
    measure_yardstick(record, experiment, file)
    tell("shuffled: the chosen settings, with the frames of each clip in another order")
    pairs: list[tuple[str, dict[str, Any]]] = [
        (setting["model"], {key: setting[key] for key in experiment.grid}) for setting in chosen
    ]
    file = experiment.sweep_of_chosen(SHUFFLED, first, pairs, where, shuffle_frames=True)
    status = train(file, runs / SHUFFLED)
    if status not in STOPPED:
        record.shuffled = judge_test(record, experiment, first, file, runs / SHUFFLED, chosen)
    return status
