"""From run folders to facts: which clips each run gets right, on the set that chooses, and later on the test set."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import Tensor
from torch.nn import functional

from nprnn.errors import ConfigError
from nprnn.experiments.record import Judged, Measured, Record, Sets
from nprnn.experiments.spec import Arm, Experiment
from nprnn.feature_store import FeatureStore
from nprnn.models import count_parameters
from nprnn.sweep import Standing, SweepFile, SweepMember, prepare, read_account, survey
from nprnn.sweep.shelf import Shelf
from nprnn.tasks import TaskData
from nprnn.tasks.ucf101 import Ucf101
from nprnn.tasks.ucf101_clips import ClipSet
from nprnn.tasks.ucf101_yardstick import mean_pooled_logistic
from nprnn.training import load_trained, predict

Side = Literal["train", "valid", "test"]
_SIDES: tuple[Side, ...] = ("train", "valid", "test")


class _Found(NamedTuple):
    member: SweepMember
    standing: Standing
    data: TaskData


def note_clips(record: Record, store: Path) -> None:
    """Put the names, labels and groups of all clips into the record."""
    record.clips = [(row.name, row.label, row.group) for row in FeatureStore.open(store).rows]


def judge_arm(record: Record, experiment: Experiment, arm: Arm, file: SweepFile, folder: Path) -> None:
    """Put an arm's runs, judged on the clips that choose, and its sets into the record.

    Args:
        record: gains ``sets``, ``runs`` and ``parameters``; what it has of the arm already is replaced.
        experiment: the experiment.
        arm: the arm.
        file: its sweep.
        folder: of its runs.

    Raises:
        ConfigError: the task is not of clips.
        RunError: a damaged run.
    """
    record.env["core minutes"] = {**record.env.get("core minutes", {}), arm.name: _core_minutes(folder)}
    record.sets = [entry for entry in record.sets if entry.arm != arm.name]
    record.runs = [entry for entry in record.runs if entry.arm != arm.name]
    known = set()
    for found in _members(file, folder):
        part = _part(arm, found.member)
        if part not in known:
            known.add(part)
            train, valid, test = (list(_clips(found.data, side).places) for side in _SIDES)
            record.sets.append(Sets(arm.name, part, train, valid, test, found.data.fingerprint))
        record.runs.append(_judged(record, experiment, arm.name, part, found, folder, "valid"))


def judge_test(
    record: Record, experiment: Experiment, arm: Arm, file: SweepFile, folder: Path, chosen: Sequence[Mapping[str, Any]]
) -> list[Judged]:
    """The runs of chosen settings, judged on the test clips.

    Args:
        record: gains ``parameters``.
        experiment: the experiment.
        arm: the arm whose data they have.
        file: their sweep.
        folder: of their runs.
        chosen: of each, ``model`` and the settings of the grid.
    """
    judged = []
    for found in _members(file, folder):
        if any(_is(experiment, found.member, setting) for setting in chosen):
            judged.append(_judged(record, experiment, arm.name, _part(arm, found.member), found, folder, "test"))
    return judged


def measure_yardstick(record: Record, experiment: Experiment, file: SweepFile) -> None:
    """Put logistic regression on the mean frame into the record."""
    (task,) = {member.task for member in prepare(file)[0]}
    if not isinstance(task, Ucf101) or task.store is None:
        raise _not_of_clips(experiment.task)
    store = FeatureStore.open(task.store)
    found = mean_pooled_logistic(store, task.split, validation=task.validation, folds=task.folds)
    about = (
        f"on the mean of a clip's {store.width} features, divided by its norm; penalty chosen on the clips that "
        f"choose, then fitted to these and the training clips, {found.sizes[0] + found.sizes[1]} in all"
    )
    record.yardsticks = [Measured("logistic regression", about, found.parameters, _bits(found.right))]


def _members(file: SweepFile, folder: Path) -> Iterator[_Found]:
    members, facts = prepare(file)
    shelf = Shelf()
    for member, standing in zip(members, survey(folder, file.task, members, facts).standings, strict=True):
        yield _Found(member, standing, shelf.get(member.task, member.config.seed))


def _judged(
    record: Record, experiment: Experiment, arm: str, part: str, found: _Found, folder: Path, side: Side
) -> Judged:
    config, standing = found.member.config, found.standing
    state = standing.state if standing.state in ("finished", "diverged", "failed") else "missing"
    name = standing.folder or ""
    bits, entropy = "", None
    if state == "finished":
        trained = load_trained(folder / name)
        record.parameters[config.model] = count_parameters(trained.model)
        outputs, y = predict(trained.model, _clips(found.data, side), trained.at, steps_have_targets=False)
        bits = _bits(outputs.argmax(1) == y)
        entropy = float(functional.cross_entropy(outputs.double(), y))
    setting = {key: found.member.varied[key] for key in experiment.grid}
    return Judged(arm, part, config.model, setting, config.seed, state, name, bits, entropy)


def _core_minutes(folder: Path) -> float | None:
    """What the workers spent on a sweep, by its account; None where that is lost."""
    try:
        shards = [shard for session in (read_account(folder) or {})["sessions"] for shard in session["shards"]]
        return round(sum(float(shard["seconds"]) for shard in shards) / 60, 1)
    except (KeyError, TypeError, ValueError):
        return None


def _is(experiment: Experiment, member: SweepMember, chosen: Mapping[str, Any]) -> bool:
    return all(member.varied[key] == chosen[key] for key in ("model", *experiment.grid))


def _part(arm: Arm, member: SweepMember) -> str:
    """What of the arm's own grid a member is, in words; "" where the arm has none."""
    own = {key: member.varied[key] for key in arm.grid}
    return json.dumps(own) if own else ""


def _clips(data: TaskData, side: Side) -> ClipSet:
    found = getattr(data, side)
    if not isinstance(found, ClipSet):
        raise _not_of_clips(type(found).__name__)
    return found


def _not_of_clips(what: str) -> ConfigError:
    return ConfigError(f"a selection experiment is of the task ucf101 with a validation set, got {what}")


def _bits(right: Tensor) -> str:
    return "".join("1" if answer else "0" for answer in right.tolist())
