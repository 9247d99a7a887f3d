"""Reading sequences from one ``.npz`` file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nprnn.errors import DataError
from nprnn.tasks.npz import MAX_BYTES, names_in, read_arrays
from nprnn.tasks.sequence_table import SequenceTable, refuse, refuse_unknown, refuse_unreal, steps_to_float32

KEYS = ("x", "y", "lengths", "split", "group", "class_names", "name")

_RAGGED = (
    "Save sequences of different lengths one after the other: "
    "np.savez(file, x=np.concatenate(sequences), lengths=[len(s) for s in sequences], y=...)."
)


def read_npz(path: Path, labelled: bool, recording: bool) -> SequenceTable:
    """Read a ``.npz``.

    Args:
        path: The file.
        labelled: Whether targets are asked for; without them, splits and groups are left unread too, names are not.
        recording: Take a two-dimensional ``x`` without ``lengths`` for one sequence [T, I] instead of N of one feature.

    Returns:
        The sequences.

    Raises:
        DataError: A damaged file, unexpected arrays, or values that are not finite.
        OSError: It could not be read.
    """
    for key in names_in(path, MAX_BYTES):
        refuse_unknown(f"{path}: unknown array", key, KEYS)
    arrays = read_arrays(path, KEYS if labelled else ("x", "lengths", "name"), MAX_BYTES)
    for key in ("x", "y") if labelled else ("x",):
        if key not in arrays:
            raise DataError(f"{path}: array {key!r} is missing; found {', '.join(arrays) or 'none'}")
    raw = arrays["x"]
    if raw.size == 0:
        raise DataError(f"{path}: x is empty, its shape is {raw.shape}")
    flat, steps, lengths = _sequences(raw, arrays.get("lengths"), recording, f"{path}: x")
    count = len(lengths)
    columns = {key: _text(arrays[key]) for key in ("name", "split", "group", "class_names") if key in arrays}
    for key, column in columns.items():
        kinds, wanted = ("iuU", "integers or text") if key == "group" else ("U", "text")
        size = len(column) if key == "class_names" and column.ndim else count
        if column.dtype.kind not in kinds or column.shape != (size,):
            raise DataError(f"{path}: {key} must be {wanted} ({size},), got {column.dtype} {column.shape}")
    names = columns["name"].tolist() if "name" in columns else [str(k) for k in range(count)]
    x = steps_to_float32(flat, lengths, names, f"{path}: x")
    if not labelled:
        return SequenceTable(x, lengths, names)
    y, per_step = _aligned(_text(arrays["y"]), count, len(x), steps, f"{path}: y")
    named = tuple(columns["class_names"].tolist()) if "class_names" in columns else None
    return SequenceTable(x, lengths, names, y, per_step, columns.get("split"), columns.get("group"), named)


def _sequences(
    raw: NDArray[Any], lengths: NDArray[Any] | None, recording: bool, what: str
) -> tuple[NDArray[Any], int | None, NDArray[np.int64]]:
    """Steps [S, I]; how many each sequence has where the array itself says that; and the lengths [N]."""
    refuse_unreal(raw, what)
    shape = raw.shape
    if lengths is not None:
        if raw.ndim not in (1, 2):
            raise DataError(f"{what} with lengths must be (steps, I), got {shape}. {_RAGGED}")
        if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or not len(lengths):
            raise DataError(f"{what} has lengths {lengths.dtype} {lengths.shape}; expected integers (N,), N at least 1")
        refuse((lengths < 1) | (lengths > shape[0]), lengths, f"{what} lengths:", f"outside 1..{shape[0]}")
        if (total := int(lengths.astype(np.int64).sum())) != shape[0]:
            raise DataError(f"{what} has {shape[0]} steps, but lengths add up to {total}")
        return raw.reshape(shape[0], -1), None, lengths.astype(np.int64)
    if recording and raw.ndim in (1, 2):
        return raw.reshape(shape[0], -1), None, np.array([shape[0]])
    if raw.ndim not in (2, 3):
        hint = " One long recording needs --window." if raw.ndim == 1 else ""
        raise DataError(f"{what} must be (N, T, I) or (N, T), or (steps, I) with lengths; got {shape}.{hint} {_RAGGED}")
    return raw.reshape(shape[0] * shape[1], -1), shape[1], np.full(shape[0], shape[1], np.int64)


def _aligned(y: NDArray[Any], count: int, total: int, steps: int | None, what: str) -> tuple[NDArray[Any], bool]:
    """Targets [N], [N, K], [S] or [S, K], and whether they belong to steps."""
    if steps is not None and y.size and y.shape[:2] == (count, steps) and y.ndim <= 3:
        return y.reshape(total, *y.shape[2:]), True
    for rows, per_step in ((count, False), (total, True)):
        if y.size and y.ndim in (1, 2) and len(y) == rows and not (per_step and steps is not None):
            return y, per_step
    hint = ""
    if steps == len(y) and steps != count:
        hint = ". x is (N, T, I), sequences first: if yours is (T, N, I), save x.transpose(1, 0, 2)"
    elif steps is not None and y.ndim == 1:
        hint = ". If x holds the steps of several sequences one after the other, save lengths (N,) too"
    each = f"({count}, {steps}) or ({count}, {steps}, K)" if steps is not None else f"({total},) or ({total}, K)"
    raise DataError(
        f"{what} has shape {y.shape}, but x holds {count} sequences, {total} steps in all. "
        f"Expected ({count},) or ({count}, K), a target a sequence; or {each}, a target a step{hint}"
    )


def _text(values: NDArray[Any]) -> NDArray[Any]:
    return np.char.decode(values, "utf-8", "replace") if values.dtype.kind == "S" else values
