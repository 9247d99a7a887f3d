"""Making targets of what a file gives: classes and their names, or numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nprnn.errors import DataError
from nprnn.tasks.sequence_table import SequenceTable, to_float32

_SHOWN = 20  # classes that a person is told of
_FEW = 4  # numbers that stand for all


def make_targets(table: SequenceTable, kind: str, path: Path) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Take the targets of a table for classes or for numbers.

    Args:
        table: What the file gave.
        kind: classes, numbers or auto, as ``nprnn.tasks.sequences.Sequences`` tells.
        path: The file, to begin an error with.

    Returns:
        Classes int64 and their names, or numbers float32 and None.

    Raises:
        DataError: Targets that are not of that kind, or labels that are none of the table's classes.
    """
    y, names = table.y, table.class_names
    if y is None or y.dtype.kind not in "biufU":
        found = "nothing" if y is None else f"{y.dtype} {y.shape}"
        raise DataError(f"{path}: y must be integers, text or floats, got {found}")
    y = y.astype(np.int64) if y.dtype.kind == "b" else y
    # Not guessed at: a network of C outputs that is taught 0 and 1 by squared errors is seldom what was meant.
    if kind != "numbers" and is_one_hot(y):
        raise DataError(
            f"{path}: y {y.dtype} {y.shape} has a single 1 in each row, and a row has one class, not {y.shape[1]} "
            "numbers: save y.argmax(-1); for quantities use --targets numbers"
        )
    if kind == "numbers" or (kind == "auto" and y.dtype.kind == "f"):
        if names is not None:
            raise DataError(
                f"{path}: class_names are given, but y are numbers; leave them out, or use --targets classes"
            )
        if y.dtype.kind == "U":
            raise DataError(f"{path}: y are text such as {str(y.flat[0])!r}, not numbers; use --targets classes")
        numbers = to_float32(y, f"{path}: y")
        return (numbers[:, None] if table.steps_have_targets and y.ndim == 1 else numbers), None
    if y.ndim != 1:
        raise DataError(
            f"{path}: y {y.dtype} gives {y.shape[1]} targets a row, but a row has one class: "
            "save y[..., 0] or the like; for quantities use --targets numbers"
        )
    if y.dtype.kind == "f":
        if (odd := ~(np.isfinite(y) & (y == np.round(y)) & (np.abs(y) < 2**53))).any():
            raise DataError(f"{path}: y holds {y[int(odd.argmax())]}, which is no class; use --targets numbers")
        y = y.astype(np.int64)
    if names is None:
        values, codes = np.unique(y, return_inverse=True)
        return codes.astype(np.int64), tuple(str(value) for value in values.tolist())
    if len(set(names)) < len(names) or not names:
        raise DataError(f"{path}: class_names must be at least one, and each another: {listed(names)}")
    if y.dtype.kind == "U":
        known = {name: k for k, name in enumerate(names)}
        codes = np.array([known.get(label, -1) for label in y.tolist()])
    else:
        # Compared before they are widened: a large unsigned label would turn into another one.
        codes = np.where((y >= 0) & (y < len(names)), y.astype(np.int64), -1)
    if (wrong := codes < 0).any():
        first = int(wrong.argmax())
        raise DataError(
            f"{path}: {int(wrong.sum())} labels are none of the {len(names)} class_names, the first being "
            f"{y[first]!s} at {first}; expected 0..{len(names) - 1}, or the names themselves"
        )
    return codes.astype(np.int64), names


def is_one_hot(y: NDArray[Any]) -> bool:
    """Whether each row of [M, C] holds a single 1 and 0 else."""
    if y.ndim != 2 or y.shape[1] < 2 or y.dtype.kind not in "biuf":
        return False
    return bool(((y == 0) | (y == 1)).all() and ((y == 1).sum(1) == 1).all())


def doubts(table: SequenceTable, kind: str) -> list[str]:
    """What a person may have meant otherwise than ``make_targets`` takes it, in lines; it can be meant as taken.

    Args:
        table: What the file gave, its targets taken already.
        kind: As of ``make_targets``.
    """
    y = table.y
    if y is None or kind == "numbers":
        return []
    lines = []
    count, steps = len(table.lengths), int(table.lengths[0])
    alike = table.steps_have_targets and y.ndim == 1 and count > 1 and bool((table.lengths == steps).all())
    if alike and is_one_hot(y.reshape(count, steps)):
        lines.append(
            f"y has a single 1 for each sequence and is taken for a target of each of its {steps} steps; if it is "
            f"one of {steps} classes for each sequence, save y.argmax(-1)"
        )
    if kind == "auto" and y.dtype.kind == "f" and (y == np.round(y)).all():
        values = np.unique(y)
        # Where no value comes twice, nobody would take them for classes.
        if len(values) < y.size:
            some = ", ".join(str(value) for value in values[:_FEW].tolist()) + (", ..." if len(values) > _FEW else "")
            lines.append(
                f"y are floats, yet all are whole ({some}): taken for numbers to predict. If they are classes, use "
                "--targets classes, or save y as integers (in an index.csv 1, not 1.0)"
            )
    return lines


def listed(names: list[str] | tuple[str, ...]) -> str:
    """Names of classes to tell a person, the first of them where they are many."""
    return ", ".join(names[:_SHOWN]) + (f", ... ({len(names)})" if len(names) > _SHOWN else "")
