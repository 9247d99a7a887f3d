"""A table of sequences as any kind of file gives it, and what every reader of one checks alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nprnn.errors import DataError, nearest

LARGEST = float(np.finfo(np.float32).max)
"""The largest number that float32 holds."""
_TOLD = 3  # sequences with bad values that a person is told of


@dataclass(frozen=True, eq=False)
class SequenceTable:
    """N sequences as they stand in the files, checked, one after the other.

    Attributes:
        x: float32 [S, I], the S steps of all sequences.
        lengths: int64 [N], steps of each; they add up to S.
        names: [N], what a person calls each sequence.
        y: targets as they came: [N] or [N, K] for whole sequences, [S] or [S, K] for steps; None if there are none.
        steps_have_targets: whether ``y`` belongs to steps.
        split: text [N], or None.
        group: integers or text [N], or None.
        class_names: in the order of the classes, or None.
    """

    x: NDArray[np.float32]
    lengths: NDArray[np.int64]
    names: list[str]
    y: NDArray[Any] | None = None
    steps_have_targets: bool = False
    split: NDArray[Any] | None = None
    group: NDArray[Any] | None = None
    class_names: tuple[str, ...] | None = None


def to_float32(values: NDArray[Any], what: str) -> NDArray[np.float32]:
    """Numbers as float32.

    Args:
        values: Floats or integers of any shape.
        what: What they are, to begin an error with.

    Returns:
        The same shape; not a copy where they are float32 already.

    Raises:
        DataError: Another type, a value that is NaN or infinite, or one too large for float32.
    """
    refuse_unreal(values, what)
    refuse(~np.isfinite(values), values, f"{what} has", "NaN or infinite; mend or leave out those sequences")
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32, copy=False)
    refuse(~np.isfinite(narrow), values, f"{what} has", f"beyond float32 (±{LARGEST:.3g}); use another unit")
    return narrow


def steps_to_float32(
    values: NDArray[Any], lengths: NDArray[np.int64], names: Sequence[str], what: str
) -> NDArray[np.float32]:
    """The steps of all sequences as float32.

    Args:
        values: Floats or integers [S, I].
        lengths: [N], steps of each sequence; they add up to S.
        names: [N], what a person calls each; told where it is more than its number.
        what: What the values are, to begin an error with.

    Returns:
        float32 [S, I]; not a copy where they are float32 already.

    Raises:
        DataError: A value that is NaN or infinite, or one too large for float32; it names the first sequences.
    """
    _refuse_steps(~np.isfinite(values), values, lengths, names, what, "NaN or infinite", "mend those values")
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32, copy=False)
    beyond = f"beyond float32 (±{LARGEST:.3g})"
    _refuse_steps(~np.isfinite(narrow), values, lengths, names, what, beyond, "use another unit")
    return narrow


def refuse_unreal(values: NDArray[Any], what: str) -> None:
    """Refuse what is neither floats nor integers.

    Args:
        values: Of any shape.
        what: What they are, to begin the error with.

    Raises:
        DataError: They are of another type.
    """
    if values.dtype.kind not in "fiu":
        hint = " with .astype(np.float32), if 0 and 1 are meant" if values.dtype.kind == "b" else ""
        raise DataError(f"{what} must be real numbers, got {values.dtype} {values.shape}; save floats{hint}")


def refuse(bad: NDArray[np.bool_], values: NDArray[Any], what: str, fault: str) -> None:
    """Refuse values, telling how many are bad and where the first is.

    Args:
        bad: Which of the values are, of their shape.
        values: All of them.
        what: What they are, to begin the error with.
        fault: What is wrong with the bad ones.

    Raises:
        DataError: Any is bad.
    """
    if bad.any():
        first = np.unravel_index(int(bad.argmax()), bad.shape)
        place = ", ".join(str(int(k)) for k in first)
        raise DataError(
            f"{what} {int(bad.sum())} of {bad.size} values {fault}. The first is {values[first]} at [{place}]"
        )


def _refuse_steps(
    bad: NDArray[np.bool_],
    values: NDArray[Any],
    lengths: NDArray[np.int64],
    names: Sequence[str],
    what: str,
    fault: str,
    remedy: str,
) -> None:
    """Refuse values of steps, telling which sequences hold bad ones."""
    if not bad.any():
        return
    starts = np.cumsum(lengths) - lengths
    steps = np.flatnonzero(bad.any(1))
    sequences, firsts = np.unique(np.searchsorted(starts, steps, "right") - 1, return_index=True)
    told = []
    for k, step in zip(sequences[:_TOLD].tolist(), steps[firsts[:_TOLD]].tolist(), strict=True):
        count = int(bad[starts[k] : starts[k] + lengths[k]].sum())
        feature = int(bad[step].argmax())
        called = "" if names[k] == str(k) else f", {names[k]},"
        place = f"step {step - int(starts[k])}, feature {feature}: {values[step, feature]}"
        told.append(f"sequence {k}{called} has {count}, the first at {place}")
    if len(sequences) > _TOLD:
        told.append(f"and {len(sequences) - _TOLD} sequences more")
    raise DataError(
        f"{what} has {int(bad.sum())} of {bad.size} values {fault}, in {len(sequences)} of {len(lengths)} sequences "
        f"(all counted from 0): {'; '.join(told)}. Expected finite numbers: {remedy}, or leave out those sequences"
    )


def refuse_unknown(what: str, name: str, names: Sequence[str]) -> None:
    """Refuse a name that is not among those known, and guess which was meant.

    Args:
        what: What it should name, to begin the error with.
        name: The name found.
        names: All that are known.

    Raises:
        DataError: It is none of them.
    """
    if name not in names:
        guess = nearest(name, names)
        hint = f" Did you mean {guess!r}?" if guess else ""
        raise DataError(f"{what} {name!r}.{hint} Known: {', '.join(names)}")
