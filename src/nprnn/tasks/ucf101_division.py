"""Which clips are trained on, which choose, and which are tested on: by groups, as the paper has it.

The clips of a group are cut from one video, so no group may be on two sides. In UCF-101's official lists a test set is
exactly the clips of seven groups; where a store has UCF-101's names, that is checked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from nprnn.errors import ConfigError, DataError, unknown
from nprnn.feature_store import SIDES, ClipRow, FeatureStore

OFFICIAL = {"01": range(1, 8), "02": range(8, 15), "03": range(15, 22)}
_UCF101_NAME = re.compile(r"(?:.*/)?v_\w+_g(\d\d)_c\d\d(?:\.\w+)?")
_VALIDATION = re.compile(r"none|given|(group|fold)(\d+)")
# What must stay together: a group's number, or where there is none a clip alone.
_Key = tuple[int, int, str]


class Division(NamedTuple):
    """Clips by their place in the store's rows, in order; ``about`` tells a person what they are.

    Attributes:
        train: what is trained on.
        valid: what choices are made on.
        test: what is reported.
        about: what was found and checked.
    """

    train: tuple[int, ...]
    valid: tuple[int, ...]
    test: tuple[int, ...]
    about: tuple[str, ...]


def check_validation(validation: str, folds: int) -> None:
    """Refuse a ``validation`` that ``divide`` would not know.

    Raises:
        ConfigError: it is none of the forms, or a fold that is not there.
    """
    found = _VALIDATION.fullmatch(validation)
    if found is None:
        raise ConfigError(
            f"validation must be group<number> (group25 in the paper), fold<number>, given or none, got {validation!r}"
        )
    if folds < 2:
        raise ConfigError(f"folds must be at least 2, got {folds}")
    if found[1] == "fold" and int(found[2]) >= folds:
        raise ConfigError(f"validation must be one of fold0..fold{folds - 1}, for folds is {folds}; got {validation!r}")


def divide(store: FeatureStore, split: str, validation: str, folds: int) -> Division:
    """Divide a store's clips.

    Args:
        store: the clips.
        split: name of the split that says which clips are for testing.
        validation: group<number>: those of that training group; fold<number>: those of every ``folds``-th training
            group, counted from that number, so that each group is in one fold; given: those that the split says are
            valid; none: none, all that is not for testing is trained on.
        folds: how many folds there are.

    Raises:
        ConfigError: no such split, group or fold.
        DataError: a group on two sides, a test set that is not the official one, or an empty set.
    """
    check_validation(validation, folds)
    rows = store.rows
    where = store.folder
    known = sorted({name for row in rows for name in row.splits})
    if split not in known:
        if not known:
            raise DataError(
                f"{where} has {len(rows)} clips, none of which is in a split. Who is train and test is said when the "
                "store is made: a column split in an index.csv beside the videos, `nprnn features --splits FOLDER` "
                "with UCF-101's lists, or an array split in what `nprnn import` reads; into a new store"
            )
        raise unknown("split", split, known)
    sides = {side: [k for k, row in enumerate(rows) if row.splits.get(split) == side] for side in SIDES}
    _check_groups(rows, sides, where)
    about = _check_official(rows, sides["test"], split, where)
    chosen = _chosen(rows, sides, validation, folds)
    rest = [k for k in sides["train"] + sides["valid"] if k not in chosen]
    if not rest or not sides["test"]:
        raise DataError(
            f"{where}: split {split} with validation {validation} leaves nothing to train on, or to test on"
        )
    left_out = len(rows) - sum(map(len, sides.values()))
    if left_out:
        about.append(f"{left_out} clips are not in split {split} and left out")
    return Division(tuple(sorted(rest)), tuple(sorted(chosen)), tuple(sides["test"]), tuple(about))


def groups(rows: Sequence[ClipRow]) -> str:
    """The groups of clips, to tell a person: "8-24", "1-3, 7"."""
    numbers = sorted({row.group for row in rows if row.group is not None})
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs)


def _key(row: ClipRow) -> _Key:
    return (0, row.group, "") if row.group is not None else (1, 0, row.name)


def _chosen(rows: Sequence[ClipRow], sides: dict[str, list[int]], validation: str, folds: int) -> set[int]:
    """The clips of the validation set."""
    if validation == "none":
        return set()
    if validation == "given":
        if not sides["valid"]:
            raise ConfigError("validation is 'given', but the split names no valid clips; use fold0, or none")
        return set(sides["valid"])
    if sides["valid"]:
        raise ConfigError(f"the split has {len(sides['valid'])} valid clips: validation must be 'given' or 'none'")
    keys = sorted({_key(rows[k]) for k in sides["train"]})
    if validation.startswith("group"):
        mine = {(0, int(validation.removeprefix("group")), "")}
        if not mine <= set(keys):
            raise ConfigError(
                f"validation {validation}: no training clip is of that group; the training groups are "
                f"{groups([rows[k] for k in sides['train']]) or 'not numbered'}. Another way is fold0"
            )
    else:
        if len(keys) < folds:
            raise ConfigError(f"folds must be at most {len(keys)}, the number of training groups, got {folds}")
        mine = set(keys[int(validation.removeprefix("fold")) :: folds])
    return {k for k in sides["train"] if _key(rows[k]) in mine}


def _check_groups(rows: Sequence[ClipRow], sides: dict[str, list[int]], where: object) -> None:
    found: dict[int, tuple[str, str]] = {}
    for side, members in sides.items():
        for k in members:
            group = rows[k].group
            if group is None:
                continue
            other, name = found.setdefault(group, (side, rows[k].name))
            if other != side:
                raise DataError(
                    f"{where}: group {group} is on two sides of the split: {name} is {other}, {rows[k].name} is {side}"
                    "; clips of a group come from one video and must stay together"
                )


def _check_official(rows: Sequence[ClipRow], test: Sequence[int], split: str, where: object) -> list[str]:
    """Of a store with UCF-101's clips, that its test set is the official one; what to tell of that."""
    names = [_UCF101_NAME.fullmatch(row.name) for row in rows]
    if split not in OFFICIAL or not all(names):
        return []
    for row, name in zip(rows, names, strict=True):
        if name is not None and row.group != int(name[1]):
            raise DataError(f"{where}: {row.name} is said to be of group {row.group}; its name says {int(name[1])}")
    tested, official = set(test), OFFICIAL[split]
    for k, row in enumerate(rows):
        if (k in tested) != (row.group in official):
            raise DataError(
                f"{where}: in UCF-101's split {split} groups {official[0]}-{official[-1]} are for testing, but "
                f"{row.name} is {row.splits.get(split)!r}"
            )
    return [
        f"split {split}: the test clips are all those of groups {official[0]}-{official[-1]}, as in the official list"
    ]


def count_line(name: str, rows: Sequence[ClipRow]) -> str:
    """A set in words: how many clips, of how many classes, of which groups."""
    if not rows:
        return f"{name}: none"
    told = f"{name}: {len(rows)} clips of {len({row.label for row in rows})} classes"
    return f"{told}, groups {found}" if (found := groups(rows)) else told
