"""A user's own sequences: of any lengths, with a class or numbers for each sequence or for each step."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from nprnn.configs import LOCATION, check_range
from nprnn.errors import ConfigError, DataError
from nprnn.tasks.base import Objective, Standardisation, TaskData, classification, regression
from nprnn.tasks.sequence_files import read_table
from nprnn.tasks.sequence_sets import SequenceSet
from nprnn.tasks.sequence_splits import SIDES, TRAIN, Division
from nprnn.tasks.sequence_table import SequenceTable
from nprnn.tasks.sequence_targets import doubts, listed, make_targets


@dataclass(frozen=True)
class Sequences:
    """Your own sequences, from a .npz file or a folder of CSV files.

    A ``.npz`` holds N sequences of I features in ``x``: floats (N, T, I), or (N, T) for one feature; or, where lengths
    differ, all S steps one after the other (S, I) and integers ``lengths`` (N,). Without ``lengths`` but with a window,
    (T, I) is one long recording. ``y`` holds targets: (N,) or (N, K) numbers for whole sequences; or for steps (N, T)
    or (N, T, K) beside an x of that layout, (S,) or (S, K) beside the others. Where both readings fit, (N, T) is by
    steps beside an x (N, T, I), and (N,) is by sequences beside ``lengths``. ``split`` (N,) may hold train, valid and
    test, ``group`` (N,) what must stay together (such as the person recorded), ``class_names`` the classes' names,
    ``name`` (N,) what each sequence is called.

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
        check_range(self)
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
        y, names = make_targets(table, self.targets, self.data)
        division = Division(self.data, self.valid_fraction, self.test_fraction)
        along_time = self.window is not None and len(table.lengths) == 1
        if along_time:
            stretches, sides = division.along_time(table, self.window or 0)
        else:
            stretches = table.lengths
        source, offsets, lengths = self._cut(stretches)
        if not along_time:
            sides = division.by_groups(table, y if names else None, np.bincount(source))
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

    def _classification(
        self, train: SequenceSet, valid: SequenceSet, test: SequenceSet, names: tuple[str, ...]
    ) -> Objective:
        counts, *others = (part.rows().bincount(minlength=len(names)) for part in (train, valid, test))
        for side, other in zip(SIDES[1:], others, strict=True):
            if unseen := [names[k] for k in ((counts == 0) & (other > 0)).nonzero()[:, 0].tolist()]:
                raise DataError(
                    f"{self.data}: {len(unseen)} labels of the {side} set never occur in training: "
                    f"{listed(unseen)}. Train on each class; or, if y are quantities, use --targets numbers"
                )
        if int((counts > 0).sum()) < 2:
            raise DataError(
                f"{self.data}: all training targets are of one class, {names[int(counts.argmax())]}: there is nothing "
                "to tell apart. Expected two classes or more: look at the labels, and at what split trains on; or, if "
                "y are quantities, use --targets numbers"
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
            lines.append(f"{len(names)} classes, one for each {each}: {listed(names)}")
        else:
            lines.append(f"{_many(y.shape[1] if y.ndim == 2 else 1, 'number')} to predict for each {each}")
        lines += doubts(table, self.targets)
        lines.append(", ".join(f"{name} {len(part)}" for name, part in zip(SIDES, sets, strict=True)))
        if table.group is not None:
            lines.append(f"groups: {len(np.unique(table.group))}, none in two splits")
        if self.window is not None and len(table.lengths) == 1:
            lines.append("split along time: train, then valid, then test")
        if self.standardise:
            lines.append(f"standardised by {len(sets[TRAIN])} training sequences")
        return tuple(lines)


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


def _span(lengths: NDArray[np.int64]) -> str:
    low, high = int(lengths.min()), int(lengths.max())
    return f"{low}" if low == high else f"{low}..{high}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
