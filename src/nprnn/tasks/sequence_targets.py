"""Making targets of what a file gives: classes and their names, or numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nprnn.errors import DataError
from nprnn.tasks.sequence_table import SequenceTable, to_float32

_SHOWN = 20  # classes that a person is told of


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


def listed(names: list[str] | tuple[str, ...]) -> str:
    """Names of classes to tell a person, the first of them where they are many."""
    return ", ".join(names[:_SHOWN]) + (f", ... ({len(names)})" if len(names) > _SHOWN else "")
