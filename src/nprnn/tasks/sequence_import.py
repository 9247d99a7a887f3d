"""Classified sequences of a ``.npz``, as the task ``sequences`` reads it, into a feature store: a clip each.

A store keeps float16: of numbers from 6.1e-5 to 65504 in size at most 2^-11 of each, 0.05 %, is lost to rounding;
smaller ones are rounded to multiples of 6e-8 and lose more of themselves, at the end all; larger ones are refused.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nprnn.errors import ConfigError, DataError
from nprnn.feature_store import SIDES, ClipRow
from nprnn.feature_store.clips import checked
from nprnn.tasks.ready_features import Clips, Part, ReadyFeatures
from nprnn.tasks.sequence_files import read_table
from nprnn.tasks.sequence_splits import Division
from nprnn.tasks.sequence_table import SequenceTable
from nprnn.tasks.sequence_targets import is_one_hot, listed, make_targets

SPLIT = "split"
"""What a split is called that nobody named."""
ROUNDING = 2.0**-11
"""The largest relative error of rounding to float16, of numbers from 6.1e-5 on."""

_BLOCK = 1 << 22


def read_sequences(path: Path, split_name: str | None = None) -> ReadyFeatures:
    """Read classified sequences from a ``.npz``.

    Each sequence becomes a clip. Where the file only counts them they are called s00000, s00001, ...; where it has no
    ``class_names``, classes are called by what ``y`` holds. Groups that are text are numbered from 0 in their order,
    and the store's provenance lists them. Features are rounded to float16, as the head of this module tells.

    Args:
        path: the file, laid out as ``nprnn.tasks.sequences.Sequences`` tells.
        split_name: what the store is to call the split of the file; None: ``split``.

    Returns:
        The clips, ready to go into a store.

    Raises:
        ConfigError: a name for a split that the file does not have.
        DataError: a missing, damaged or unexpected file; targets that are no classes of whole sequences; values that
            are not finite or beyond float16; names that come twice; a split without train or test, or with a group on
            two sides.
    """
    table = read_table(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ready_sequences(table, path, digest, split_name)


def ready_sequences(table: SequenceTable, path: Path, digest: str, split_name: str | None = None) -> ReadyFeatures:
    """Make clips of a table of sequences.

    Args:
        table: what the file gave.
        path: the file.
        digest: its SHA-256.
        split_name: as ``read_sequences`` has it.

    Returns:
        The clips, ready to go into a store.

    Raises:
        ConfigError, DataError: as ``read_sequences`` tells.
    """
    codes, classes = _classes(table, path)
    names = _names(table, path)
    groups, group_names = _groups(table)
    about: list[str] = []
    sides: list[dict[str, str]] = [{} for _ in names]
    if table.split is not None:
        split_name = SPLIT if split_name is None else split_name
        # What the tasks would refuse of a split is refused here; with fractions of 0 nothing is drawn by lot.
        found = Division(path, 0.0, 0.0).by_groups(table, codes, np.ones(len(names), np.int64))
        sides = [{split_name: SIDES[side]} for side in found.tolist()]
    elif split_name is not None:
        raise ConfigError(
            f"split-name is {split_name!r}, but {path} has no array split to call so: save split (N,) of train, valid "
            "and test in it, or leave --split-name out"
        )
    else:
        about.append(
            f"{path} has no array split: the clips will be in none, and the task ucf101 needs one; to give it, save "
            "split (N,) of train, valid and test in the file and import it to another folder"
        )
    rows = [
        ClipRow(name, classes[code], group, side, length)
        for name, code, group, side, length in zip(
            names, codes.tolist(), groups, sides, table.lengths.tolist(), strict=True
        )
    ]
    try:
        rows = [checked(row) for row in rows]
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    present = set(codes.tolist())
    if len(present) == 1:
        about.append(f"all clips are of one class, {classes[codes[0]]}: the task ucf101 needs two, or it cannot learn")
    if unused := [name for k, name in enumerate(classes) if k not in present]:
        about.append(f"{len(unused)} of the class_names have no sequence and are not in the store: {listed(unused)}")
    if group_names:
        about.append(f"groups are numbered from 0 in this order: {listed(group_names)}")
    features, worst = _narrowed(table, names, path)
    if worst > ROUNDING:
        about.append(
            f"values below 6.1e-05 in size are rounded to multiples of 6e-08, which changes them by up to {worst:.2%}; "
            "all others, as in every store, change by at most 0.05%"
        )
    provenance: dict[str, Any] = {
        "source": path.name,
        "sha256": digest,
        "values": "x, rounded to float16",
        "split": split_name,
    }
    if group_names:
        provenance["groups"] = group_names
    ends = np.cumsum(table.lengths).tolist()
    clips = Clips(rows, features.shape[1], lambda k: features[ends[k] - rows[k].length : ends[k]])
    return ReadyFeatures(provenance, [Part(path, names, lambda: clips)], tuple(about))


def _classes(table: SequenceTable, path: Path) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The class of each sequence, and the classes' names."""
    instead = f"or train on the file itself: nprnn train sequences --data {path}"
    y = table.y
    if y is None or table.steps_have_targets:
        raise DataError(f"{path}: y has a target for each step, but a clip has one class; save y (N,), {instead}")
    if y.dtype.kind == "f" or y.ndim != 1:
        hint = ""
        if is_one_hot(y):
            hint = ": it has a single 1 in each row, so y.argmax(-1)"
        elif y.ndim == 1 and (y == np.round(y)).all():
            hint = ": all are whole, so y.astype(int) if they are classes"
        raise DataError(
            f"{path}: y is {y.dtype} {y.shape}, numbers to predict, but a clip has one class; save y as "
            f"integers or text (N,){hint}, {instead}"
        )
    codes, names = make_targets(table, "classes", path)
    if names is None:
        raise DataError(f"{path}: y gives no classes")
    return codes, names


def _names(table: SequenceTable, path: Path) -> list[str]:
    names, digits = table.names, max(5, len(str(len(table.names) - 1)))
    if names == [str(k) for k in range(len(names))]:
        return [f"s{k:0{digits}}" for k in range(len(names))]
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise DataError(f"{path}: {times} sequences are called {name!r}; a store needs another name for each clip")
    return names


def _groups(table: SequenceTable) -> tuple[list[int] | list[None], list[str]]:
    """The number of each sequence's group; and the groups' names in the order of their numbers, where they have any."""
    if table.group is None:
        return [None] * len(table.names), []
    if table.group.dtype.kind != "U":
        return table.group.tolist(), []
    names, numbers = np.unique(table.group, return_inverse=True)
    return numbers.tolist(), names.tolist()


def _narrowed(table: SequenceTable, names: list[str], path: Path) -> tuple[NDArray[np.float16], float]:
    """All steps as float16, and the largest relative error that this makes."""
    x = table.x
    narrow, worst = np.empty(x.shape, np.float16), 0.0
    many = max(1, _BLOCK // x.shape[1])
    for first in range(0, len(x), many):
        block, part = x[first : first + many], narrow[first : first + many]
        with np.errstate(over="ignore", under="ignore"):
            part[:] = block
        if (beyond := ~np.isfinite(part)).any():
            step, feature = np.argwhere(beyond)[0].tolist()
            value, step = float(block[step, feature]), step + first
            which = int(np.searchsorted(np.cumsum(table.lengths), step, "right"))
            step -= int(table.lengths[:which].sum())
            raise DataError(
                f"{path}: x holds {value:.6g} (sequence {which}, {names[which]}, step {step}, feature {feature}); a "
                "store keeps float16, which ends at ±65504: use another unit, such as x / 1000"
            )
        size = np.abs(block)
        error = np.abs(block - part.astype(np.float32))
        relative = np.divide(error, size, out=np.zeros_like(size), where=size > 0)
        worst = max(worst, float(relative.max()))
    return narrow, worst
