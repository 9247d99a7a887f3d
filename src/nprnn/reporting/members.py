"""Runs as the members of a study: found, read once, and made safe to show; a damaged one is listed, never fatal."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from nprnn.configs import as_record
from nprnn.errors import RunError
from nprnn.reporting.curves import Curve
from nprnn.runs import Run
from nprnn.training import TrainConfig
from nprnn.training.readings import told

State = Literal["finished", "diverged", "not finished"]
# What a stranger's folder can make a reader raise.
_DAMAGE = (RunError, OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
_LONGEST = 100
# A message names files, whose paths are long.
_LONGEST_MESSAGE = 1000


@dataclass(frozen=True)
class Member:
    """One run.

    Attributes:
        folder: name of its folder.
        parent: the folder that holds it.
        task: name of its task.
        model: name of its model.
        seed: its seed.
        task_settings: of the task.
        train_settings: of the training, without model and seed.
        headline: the metric to watch.
        higher_is_better: of the headline.
        baseline: what a constant answer scores, by metric.
        updates: length of the schedule.
        records: the evaluations, all of finite numbers.
        state: finished, diverged, or not finished.
        ended_at: the update it diverged at, or that of the last evaluation.
        data: fingerprint of its data.
        identity: the text of its whole config.
        env: what it was computed with.
        remarks: what to tell of it: of what is damaged and not needed, or was lost.
    """

    folder: str
    parent: str
    task: str
    model: str
    seed: int
    task_settings: dict[str, Any]
    train_settings: dict[str, Any]
    headline: str
    higher_is_better: bool
    baseline: dict[str, float]
    updates: int
    records: list[dict[str, Any]] = field(repr=False)
    state: State
    ended_at: int
    data: str
    identity: str = field(repr=False)
    env: dict[str, Any] = field(repr=False)
    remarks: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of task and training by name; a name that both have is the task's as ``task.name``."""
        clash = self.task_settings.keys() & self.train_settings.keys()
        return {
            **self.train_settings,
            **{f"task.{k}" if k in clash else k: v for k, v in self.task_settings.items()},
        }

    @property
    def ended(self) -> bool:
        """Whether there is an outcome to count."""
        return self.state != "not finished"

    @property
    def final(self) -> dict[str, float]:
        """The metrics of the last evaluation on the set it tells of; empty before the first."""
        return dict(told(self.records[-1])) if self.records else {}

    @property
    def side(self) -> str:
        """The set that evaluations tell of: test, or valid where the test set is withheld."""
        return "valid" if self.train_settings.get("withhold_test") else "test"

    @property
    def validation(self) -> float | None:
        """The headline on the validation set by the last evaluation; None without such a set."""
        value: float | None = self.records[-1].get("valid", {}).get(self.headline) if self.records else None
        return value

    def curve(self, label: str, task: str) -> Curve:
        """The run as a learning curve."""
        facts = (self.headline, self.higher_is_better, self.baseline, self.records, self.folder, self.updates)
        return Curve(label, task, *facts)


class LeftOut(NamedTuple):
    """A run folder that no number of a report stands on, and why."""

    folder: str
    reason: str


def clean(text: object, most: int = _LONGEST) -> str:
    """A stranger's text as one printable line that can be encoded, cut where it has more than ``most`` letters."""
    line = "".join(c if c.isprintable() else "\ufffd" for c in str(text)[: most + 1])
    return line if len(line) <= most else line[: most - 1] + "…"


def show(value: Any) -> str:
    """A setting's value as a person writes it."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, list):
        return clean("(" + ", ".join(map(show, value)) + ")")
    return clean(value)


def exactly(value: Any) -> str:
    """A JSON value as a text that is equal for equal values, 1 and 1.0 among them."""
    return json.dumps(_floats(value), sort_keys=True)


def _floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _floats(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_floats(v) for v in value]
    return float(value) if is_number(value) else value


def is_number(value: Any) -> bool:
    """Whether a setting's value is a number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """The run folders among ``paths``: run folders, and folders of them however deep, in the order of their names.

    Raises:
        RunError: a path that holds none.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        folders = list(_below(path))
        if not folders:
            raise RunError(f"{path} is not a run folder and holds none (a run has a config.json)")
        for folder in folders:
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def _below(folder: Path) -> Iterator[Path]:
    try:
        if (folder / "config.json").exists():
            yield folder
            return
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError:
        # Opening it as a run will tell why it cannot be read.
        yield folder
        return
    for entry in entries:
        if entry.name.startswith(".") or not entry.is_dir():
            continue
        # A link may lead to a run, but following it further could lead in a circle.
        if not entry.is_symlink():
            yield from _below(Path(entry.path))
        elif (Path(entry.path) / "config.json").exists():
            yield Path(entry.path)


def read_members(folders: Sequence[Path]) -> tuple[list[Member], list[LeftOut]]:
    """Read run folders.

    Returns:
        The runs; and the folders that are damaged, or copies of a run that is there already: counted twice, a copy
        would pass for a seed of its own.
    """
    members: dict[str, Member] = {}
    left_out = []
    for folder in folders:
        try:
            member = _read(Run.open(folder))
        except _DAMAGE as error:
            told = str(error) if isinstance(error, RunError) else f"config.json or metrics.jsonl: {error!r}"
            left_out.append(LeftOut(clean(folder), f"damaged: {clean(told, _LONGEST_MESSAGE)}"))
            continue
        other = members.get(member.identity)
        if other is None or (member.ended and not other.ended):
            members[member.identity] = member
        if other is not None:
            kept = members[member.identity]
            dropped = other if kept is member else member
            left_out.append(LeftOut(dropped.folder, f"a copy: the same settings, seed and data as {kept.folder}"))
    return list(members.values()), left_out


def _read(run: Run) -> Member:
    config = run.config
    train: dict[str, Any] = {**_DEFAULTS, **config["train_config"]}
    objective = config["objective"]
    headline, higher = clean(objective["headline"]), bool(objective["higher_is_better"])
    updates, seed, model = int(train["updates"]), int(train["seed"]), clean(train["model"])
    records = [_plain(record, headline) for record in run.records()]
    finite = [record for record in records if _finite(record)]
    blown = run.diverged()
    if blown is None and len(finite) < len(records):
        blown = next(record["update"] for record in records if not _finite(record))
    last = finite[-1]["update"] if finite else 0
    state: State = "diverged" if blown is not None else "finished" if finite and last >= updates else "not finished"
    return Member(
        clean(run.folder.name),
        str(run.folder.resolve().parent),
        clean(config["task"]),
        model,
        seed,
        {clean(k): v for k, v in config["task_config"].items()},
        {clean(k): v for k, v in train.items() if k not in ("model", "seed")},
        headline,
        higher,
        {clean(k): float(v) for k, v in objective["baseline"].items() if math.isfinite(float(v))},
        updates,
        finite,
        state,
        last if blown is None else blown,
        clean(config.get("data")),
        exactly(config),
        run.env(),
        tuple(clean(told, _LONGEST_MESSAGE) for told in (run.env_damage(), _lost(run)) if told),
    )


def _lost(run: Run) -> str:
    try:
        return run.lost_records()
    except RunError as error:
        return str(error)


# A run older than a setting was made as the setting's default has it.
_DEFAULTS = as_record(TrainConfig(), later=True)


def _plain(record: Mapping[str, Any], headline: str) -> dict[str, Any]:
    plain: dict[str, Any] = {"update": record["update"], "loss": float(record["loss"])}
    for split in ("valid", "test"):
        if split in record:
            plain[split] = {clean(k): float(v) for k, v in record[split].items()}
            if headline not in plain[split]:
                raise RunError(f"metrics.jsonl, update {record['update']}: no {split} {headline}")
    return plain


def _finite(record: Mapping[str, Any]) -> bool:
    values = [record["loss"], *record.get("test", {}).values(), *record.get("valid", {}).values()]
    return all(map(math.isfinite, values))
