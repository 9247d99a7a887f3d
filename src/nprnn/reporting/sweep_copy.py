"""Runs in a sweep's folder that its file does not ask for, such as those of an older version of the file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nprnn.configs import as_record
from nprnn.errors import NprnnError
from nprnn.files import parse_json
from nprnn.reporting.members import LeftOut, clean, exactly
from nprnn.sweep import expand, read_sweep
from nprnn.tasks import find_task
from nprnn.training import TrainConfig

# The copy of its file that a sweep leaves beside its runs.
COPY = "sweep.toml"
NOT_ASKED_FOR = f"not asked for (any more) by the {COPY} beside it; where a run folder itself is named, it counts"


@dataclass(frozen=True)
class Asked:
    """Runs sorted by what the files of their sweeps ask for.

    Attributes:
        folders: of the runs that count.
        left_out: runs that a file does not ask for.
        notes: sweeps of which that cannot be told.
    """

    folders: list[Path]
    left_out: list[LeftOut]
    notes: list[str]


def asked_for(named: Sequence[Path], folders: Sequence[Path]) -> Asked:
    """Leave out the runs in the folder of a sweep that its file does not ask for.

    A run that is named itself counts. So do all runs of a folder where none fits the file: settings of a preset
    change between versions of this package, and a report of nothing would help nobody.

    Args:
        named: what was asked for: run folders, or folders of them.
        folders: the run folders found there.

    Returns:
        What counts, what does not, and what to tell.
    """
    own = {path.resolve() for path in named}
    beside: dict[Path, list[Path]] = defaultdict(list)
    for folder in folders:
        if folder.resolve() not in own and (folder.parent / COPY).is_file():
            beside[folder.parent].append(folder)
    strangers: set[Path] = set()
    notes = []
    for parent, runs in beside.items():
        try:
            wanted = _wanted(parent / COPY)
        except NprnnError as error:
            notes.append(f"{clean(parent / COPY)} cannot be held against the runs, and all of them count: {error}")
            continue
        settings = {run: _settings_of(run) for run in runs}
        others = [run for run, own in settings.items() if own is not None and own not in wanted]
        if any(own in wanted for own in settings.values()):
            strangers.update(others)
        elif others:
            notes.append(f"{clean(parent / COPY)} asks for none of the runs beside it, and all of them count")
    left_out = [LeftOut(clean(folder), NOT_ASKED_FOR) for folder in folders if folder in strangers]
    return Asked([folder for folder in folders if folder not in strangers], left_out, notes)


def _wanted(path: Path) -> set[str]:
    """The settings of every member; the data they were trained on are not loaded for a report."""
    file = read_sweep(path)
    defaults = as_record(find_task(file.task)())
    return {_text(file.task, as_record(member.task), as_record(member.config), defaults) for member in expand(file)}


def _settings_of(run: Path) -> str | None:
    """Those of a run; None of a damaged one, which is told of where it is read."""
    try:
        config = parse_json((run / "config.json").read_bytes())
        task = config["task"]
        return _text(task, config["task_config"], config["train_config"], as_record(find_task(task)()))
    except (NprnnError, OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


_TRAINING = as_record(TrainConfig())


def _text(name: str, task: Mapping[str, Any], training: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    # A run older than a setting was made as the setting's default has it.
    return exactly([name, {**defaults, **task}, {**_TRAINING, **training}])
