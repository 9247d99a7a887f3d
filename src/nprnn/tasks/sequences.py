"""A user's own sequences: of any lengths, with a class or numbers for each sequence or for each step."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nprnn.configs import LOCATION
from nprnn.errors import ConfigError, DataError, nearest
from nprnn.seeds import derive
from nprnn.tasks.base import Batch, Objective, Standardisation, TaskData, classification, regression
from nprnn.tasks.sequence_files import SequenceTable, read_table, to_float32

SIDES = ("train", "valid", "test")
"""The names that ``split`` may hold."""
TRAIN, VALID, TEST = range(3)

_SHOWN = 20  # classes that a person is told of


@dataclass(frozen=True, eq=False)
class SequenceSet:
    """n sequences, each a stretch of an array of steps that all sets share.

    Attributes:
        x: float32 [S, I], all steps.
        y: classes int64 or numbers float32, [n] or [n, O]; with one target a step, classes [S] or numbers [S, O].
        offsets: int64 [n], the first step of each.
        lengths: int64 [n], steps of each.
        ragged: whether lengths differ anywhere in the data, be it in another set.
        steps_have_targets: whether ``y`` belongs to steps.
    """

    x: Tensor
    y: Tensor
    offsets: Tensor
    lengths: Tensor
    ragged: bool = False
    steps_have_targets: bool = False

    def __len__(self) -> int:
        return len(self.offsets)

    def batch(self, index: Tensor) -> Batch:
        """x [T, B, I], after the end of a sequence 0; y [B] or [B, O], or [T, B] or [T, B, O] and 0 after the end."""
        lengths = self.lengths[index]
        steps = torch.arange(int(lengths.max()))[:, None]
        after = steps >= lengths
        place = (self.offsets[index] + steps).masked_fill_(after, 0)
        x = self.x[place].masked_fill_(after[..., None], 0)
        if not self.steps_have_targets:
            return Batch(x, self.y[index], lengths if self.ragged else None)
        y = self.y[place]
        y = y.masked_fill_(after.view(after.shape + (1,) * (y.ndim - 2)), 0)
        return Batch(x, y, lengths if self.ragged else None)

    def rows(self) -> Tensor:
        """The targets of all sequences, one after the other: [M] or [M, O]."""
        if not self.steps_have_targets:
            return self.y
        starts = self.offsets - (self.lengths.cumsum(0) - self.lengths)
        return self.y[torch.arange(int(self.lengths.sum())) + starts.repeat_interleave(self.lengths)]


@dataclass(frozen=True)
class Sequences:
    """Your own sequences, from a .npz file or a folder of CSV files.

    A ``.npz`` holds N sequences of I features in ``x``: floats (N, T, I), or (N, T) for one feature; or, where lengths
    differ, all S steps one after the other (S, I) and integers ``lengths`` (N,). Without ``lengths`` but with a window,
    (T, I) is one long recording. ``y`` holds targets: (N,) or (N, K) numbers for whole sequences; or for steps (N, T)
    or (N, T, K) beside an x of that layout, (S,) or (S, K) beside the others. Where both readings fit, (N, T) is by
    steps beside an x (N, T, I), and (N,) is by sequences beside ``lengths``. ``split`` (N,) may hold train, valid and
    test, ``group`` (N,) what must stay together (such as the person recorded), ``class_names`` the classes' names.

    A folder holds ``index.csv`` with the columns ``file`` and ``label`` and perhaps ``split`` and ``group``, a line a
    sequence; each file holds numbers with commas between, a row a step, a column a feature, perhaps names in line 1.

    Sets never share a group or, without groups, a sequence, and they are the same for every seed. A single recording
    cut by a window is split along time instead: train first, then valid, then test, with no step in two of them.

    Attributes:
        data: A .npz file, or a folder with an index.csv.
        window: Cut each sequence into windows of so many steps; what fills no window at its end is left out. A target
            of the whole sequence becomes that of each window. None takes sequences whole.
        stride: Steps from the start of a window to that of the next. None: the window's length, so none overlap.
        valid_fraction: Share of the sequences (windows, steps of a single recording) for validation, as far as whole
            groups allow; where the data name a test set but no validation set, share of the training set. 0: none.
        test_fraction: Share of the sequences to test on; not used where the data have a split.
        class_weights: What weighs in the training loss. none: all rows alike; balanced: all classes alike, each row by
            rows / (classes * rows of its class).
        standardise: Feed each feature minus its mean, over its standard deviation, both of the training steps.
        targets: What y holds. classes: integers or text, one of a fixed set; numbers: quantities; auto: numbers where
            they are written with a decimal point or stored as floats, else classes.
    """

    data: Path | None = field(default=None, metadata=LOCATION)
    window: int | None = None
    stride: int | None = None
    valid_fraction: float = 0.15
    test_fraction: float = 0.15
    class_weights: Literal["none", "balanced"] = "none"
    standardise: bool = True
    targets: Literal["auto", "classes", "numbers"] = "auto"

    def __post_init__(self) -> None:
        for name, options in (("class_weights", ("none", "balanced")), ("targets", ("auto", "classes", "numbers"))):
            if getattr(self, name) not in options:
                raise ConfigError(f"{name} must be one of {', '.join(options)}; got {getattr(self, name)!r}")
        for name in ("window", "stride"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1 step, got {value}")
        if self.stride is not None and self.window is None:
            raise ConfigError(f"stride {self.stride} is from window to window: set a window too, or leave stride out")
        shares = (self.valid_fraction, self.test_fraction)
        if not (min(shares) >= 0 and sum(shares) < 1):
            raise ConfigError(
                f"valid_fraction and test_fraction must be at least 0 and leave something to train on, got {shares}"
            )

    def load(self, seed: int) -> TaskData:
        """Read and split the data, which are the same for every seed.

        The baseline is the most frequent training class, or the mean of the training targets.

        Raises:
            ConfigError: no data named, or settings that leave no test set.
            DataError: missing, damaged or unexpected files, or data that do not fit the settings.
        """
        if self.data is None:
            raise ConfigError("name the data with --data: a .npz file, or a folder with an index.csv")
        table = read_table(self.data, recording=self.window is not None)
        y, names = _targets(table, self.targets, self.data)
        along_time = self.window is not None and len(table.lengths) == 1
        if along_time:
            stretches, sides = self._along_time(table)
        else:
            stretches = table.lengths
        source, offsets, lengths = self._cut(stretches)
        if not along_time:
            sides = self._sides(table, y if names else None, np.bincount(source))
        side = sides[source]
        if not table.steps_have_targets:
            y = y[np.zeros_like(source) if along_time else source]
        ragged = bool((lengths != lengths[0]).any())
        x = torch.from_numpy(table.x)

        def chosen(number: int) -> SequenceSet:
            mine = side == number
            targets = torch.from_numpy(y if table.steps_have_targets else y[mine])
            stretch = (torch.from_numpy(offsets[mine]), torch.from_numpy(lengths[mine]))
            return SequenceSet(x, targets, *stretch, ragged, table.steps_have_targets)

        train, valid, test = (chosen(number) for number in range(3))
        if names:
            output_size, objective = len(names), self._classification(train, valid, test, names)
        else:
            output_size = y.shape[1] if y.ndim == 2 else 1
            error = test.rows().double() - train.rows().double().mean(0)
            objective = regression({"mse": float(error.square().mean())})
        hashed = (table.x, y, table.lengths, offsets, lengths, side)
        return TaskData(
            train=train,
            valid=valid if len(valid) else None,
            test=test,
            input_size=table.x.shape[1],
            output_size=output_size,
            objective=objective,
            fingerprint=_fingerprint(
                (names, self.window, self.stride or self.window, table.steps_have_targets), hashed
            ),
            steps_have_targets=table.steps_have_targets,
            class_names=names,
            standardisation=_standardisation(table.x, train) if self.standardise else None,
            about=self._about(table, lengths, (train, valid, test), names, y),
        )

    def _along_time(self, table: SequenceTable) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        """Lengths and sides of the parts of a single recording, in order of time."""
        for key in ("split", "group"):
            if getattr(table, key) is not None:
                raise DataError(f"{self.data}: a single recording is split along time; leave {key} out")
        self._need_test()
        steps = int(table.lengths[0])
        valid, test = round(steps * self.valid_fraction), round(steps * self.test_fraction)
        parts = {TRAIN: steps - valid - test, VALID: valid, TEST: test}
        if not self.valid_fraction:
            del parts[VALID]
        for side, part in parts.items():
            if part < (self.window or 0):
                raise DataError(
                    f"{self.data}: the {SIDES[side]} part of the recording of {steps} steps has {part}, fewer than "
                    f"a window of {self.window}; use a shorter window or other fractions"
                )
        return np.array(list(parts.values()), np.int64), np.array(list(parts), np.int8)

    def _cut(self, stretches: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Of each sequence to be learnt: the stretch it is from, its first step, its length."""
        starts = np.cumsum(stretches) - stretches
        if self.window is None:
            return np.arange(len(stretches)), starts, stretches
        if (short := stretches < self.window).any():
            first = int(short.argmax())
            raise DataError(
                f"{self.data}: {int(short.sum())} of {len(stretches)} sequences are shorter than the window of "
                f"{self.window} steps, the first being number {first} of {stretches[first]}; shorten the window"
            )
        stride = self.stride or self.window
        counts = (stretches - self.window) // stride + 1
        source = np.repeat(np.arange(len(stretches)), counts)
        rank = np.arange(len(source)) - np.repeat(np.cumsum(counts) - counts, counts)
        return source, starts[source] + rank * stride, np.full(len(source), self.window)

    def _need_test(self) -> None:
        if not self.test_fraction:
            raise ConfigError("test_fraction is 0 and the data name no test set; results need one: raise test_fraction")

    def _sides(self, table: SequenceTable, classes: NDArray[Any] | None, sizes: NDArray[np.int64]) -> NDArray[np.int8]:
        """The side of each sequence, whole groups together; ``sizes`` is how much each counts."""
        count = len(table.lengths)
        names, group = np.unique(np.arange(count) if table.group is None else table.group, return_inverse=True)
        groups = _Groups(np.bincount(group, sizes), len(names))
        if classes is not None:
            groups.hold(np.repeat(group, table.lengths) if table.steps_have_targets else group, classes)
        if table.split is None:
            self._need_test()
            whole = groups.sizes.sum()
            self._draw(groups, TEST, whole * self.test_fraction)
            self._draw(groups, VALID, whole * self.valid_fraction)
            return groups.sides[group]
        sides = self._named(table.split)
        groups.sides[group] = sides
        if (torn := groups.sides[group] != sides).any():
            name = names[group[int(torn.argmax())]]
            where = " and ".join(SIDES[s] for s in np.unique(sides[names[group] == name]))
            raise DataError(f"{self.data}: group {name!s} is in {where}; a group belongs to one set")
        if not (sides == VALID).any():
            self._draw(groups, VALID, groups.sizes[groups.sides == TRAIN].sum() * self.valid_fraction)
        return groups.sides[group]

    def _draw(self, groups: _Groups, side: int, wanted: float) -> None:
        if wanted and not groups.move(side, wanted):
            raise DataError(
                f"{self.data}: of {len(groups.sides)} groups (sequences, where none are given) none can go to the "
                f"{SIDES[side]} set and leave every class in the training set; record more, name the sets "
                f"with split{', or set valid_fraction to 0' if side == VALID else ''}"
            )

    def _named(self, split: NDArray[Any]) -> NDArray[np.int8]:
        found = np.unique(split).tolist()
        for name in found:
            if name not in SIDES:
                guess = nearest(name, SIDES)
                hint = f" Did you mean {guess!r}?" if guess else ""
                raise DataError(f"{self.data}: unknown split {name!r}.{hint} Known: {', '.join(SIDES)}")
        for name in ("train", "test"):
            if name not in found:
                raise DataError(
                    f"{self.data}: split names {', '.join(found)} but no {name!r}; name some, or leave it out"
                )
        return np.array([SIDES.index(name) for name in split.tolist()], np.int8)

    def _classification(
        self, train: SequenceSet, valid: SequenceSet, test: SequenceSet, names: tuple[str, ...]
    ) -> Objective:
        counts, *others = (part.rows().bincount(minlength=len(names)) for part in (train, valid, test))
        for side, other in zip(SIDES[1:], others, strict=True):
            if unseen := [names[k] for k in ((counts == 0) & (other > 0)).nonzero()[:, 0].tolist()]:
                raise DataError(
                    f"{self.data}: {len(unseen)} labels of the {side} set never occur in training: "
                    f"{_listed(unseen)}. Train on each class; or, if y are quantities, use --targets numbers"
                )
        weights = None
        if self.class_weights == "balanced":
            # A class that has a name but no rows is never a target: its weight is never used.
            weights = (counts.sum() / ((counts > 0).sum() * counts.clamp(min=1))).float()
        share = float((test.rows() == counts.argmax()).double().mean())
        return classification({"accuracy": share}, class_weights=weights)

    def _about(
        self,
        table: SequenceTable,
        lengths: NDArray[np.int64],
        sets: tuple[SequenceSet, ...],
        names: tuple[str, ...] | None,
        y: NDArray[Any],
    ) -> tuple[str, ...]:
        lines = [
            f"{_many(len(table.lengths), 'sequence')} of {_span(table.lengths)} steps, "
            f"{_many(table.x.shape[1], 'feature')}"
        ]
        if self.window is not None:
            lines.append(f"{len(lengths)} windows of {self.window} steps, one every {self.stride or self.window}")
        each = "step" if table.steps_have_targets else "sequence"
        if names:
            lines.append(f"{len(names)} classes, one for each {each}: {_listed(names)}")
        else:
            lines.append(f"{_many(y.shape[1] if y.ndim == 2 else 1, 'number')} to predict for each {each}")
        lines.append(", ".join(f"{name} {len(part)}" for name, part in zip(SIDES, sets, strict=True)))
        if table.group is not None:
            lines.append(f"groups: {len(np.unique(table.group))}, none in two splits")
        if self.window is not None and len(table.lengths) == 1:
            lines.append("split along time: train, then valid, then test")
        if self.standardise:
            lines.append(f"standardised by {len(sets[TRAIN])} training sequences")
        return tuple(lines)


class _Groups:
    """Groups of sequences, which start out in the training set.

    Attributes:
        sizes: [G], how much each counts.
        sides: int8 [G], where each is.
    """

    def __init__(self, sizes: NDArray[Any], count: int) -> None:
        self.sizes = sizes
        self.sides = np.zeros(count, np.int8)
        self._pairs = np.empty((0, 2), np.int64)

    def hold(self, group: NDArray[Any], classes: NDArray[Any]) -> None:
        """Note which groups hold which classes; both [M]."""
        span = int(classes.max()) + 1
        self._pairs = np.stack(np.divmod(np.unique(group * span + classes), span), 1)

    def move(self, side: int, wanted: float) -> bool:
        """Move groups drawn by lot out of the training set, as near to ``wanted`` as they come, but at least one.

        Training keeps at least one group, and one that holds each class it held. False if none can go.
        """
        ends = np.searchsorted(self._pairs[:, 0], np.arange(len(self.sides) + 1))
        training = self.sides[self._pairs[:, 0]] == TRAIN
        holders = np.bincount(self._pairs[training, 1], minlength=1)
        left = int((self.sides == TRAIN).sum())
        moved = 0.0
        # The test set belongs to the data, not to the seed of a run.
        order = torch.randperm(len(self.sides), generator=derive(0, "sequences", "split")).numpy()
        small_first = order[np.argsort(self.sizes[order], kind="stable")]
        # The second round is for groups that are all larger than wanted: the smallest goes.
        for candidates, must in ((order, False), (small_first, True)):
            for group in candidates.tolist():
                held = self._pairs[ends[group] : ends[group + 1], 1]
                near = moved + self.sizes[group] / 2 <= wanted or (must and not moved)
                if self.sides[group] == TRAIN and near and left > 1 and (holders[held] > 1).all():
                    self.sides[group] = side
                    holders[held] -= 1
                    moved += self.sizes[group]
                    left -= 1
            if moved:
                break
        return bool(moved)


def _targets(table: SequenceTable, kind: str, path: Path) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Classes int64 and their names, or numbers float32 and None."""
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
        raise DataError(f"{path}: class_names must be at least one, and each another: {_listed(names)}")
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


def _standardisation(x: NDArray[np.float32], train: SequenceSet) -> Standardisation:
    """Of the steps of the training set, each counted once however many windows it is in."""
    edges = np.zeros(len(x) + 1, np.int64)
    np.add.at(edges, train.offsets.numpy(), 1)
    np.add.at(edges, (train.offsets + train.lengths).numpy(), -1)
    steps = x[np.cumsum(edges[:-1]) > 0]
    mean, scale = steps.mean(0, dtype=np.float64), steps.std(0, dtype=np.float64)
    # A constant feature has deviation 0, and what float32 rounds to 0 is no better a divisor.
    scale = np.where(scale < np.finfo(np.float32).tiny, 1.0, scale)
    return Standardisation(torch.from_numpy(mean).float(), torch.from_numpy(scale).float())


def _fingerprint(words: object, arrays: tuple[NDArray[Any], ...]) -> str:
    digest = hashlib.sha256(f"sequences, version 1 {words!r}\n".encode())
    for values in arrays:
        little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        digest.update(f"{little.dtype.str}{little.shape}\n".encode())
        digest.update(little.data)
    return digest.hexdigest()


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names[:_SHOWN]) + (f", ... ({len(names)})" if len(names) > _SHOWN else "")


def _span(lengths: NDArray[np.int64]) -> str:
    low, high = int(lengths.min()), int(lengths.max())
    return f"{low}" if low == high else f"{low}..{high}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
