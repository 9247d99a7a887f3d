"""Dividing sequences into a training, a validation and a test set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nprnn.errors import ConfigError, DataError
from nprnn.seeds import derive
from nprnn.tasks.sequence_table import SequenceTable, refuse_unknown

SIDES = ("train", "valid", "test")
"""The names that ``split`` may hold."""
TRAIN, VALID, TEST = range(3)


@dataclass(frozen=True)
class Division:
    """How sequences are divided into sets, which never share a group or, without groups, a sequence.

    Attributes:
        data: the file, to begin an error with.
        valid_fraction: share for validation; 0: none.
        test_fraction: share to test on, where the data name no test set.
    """

    data: Path
    valid_fraction: float
    test_fraction: float

    def along_time(self, table: SequenceTable, window: int) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        """Divide a single recording along time.

        Args:
            table: The one sequence.
            window: Steps that each part must hold at least.

        Returns:
            Lengths and sides of its parts, in order of time.

        Raises:
            ConfigError: No test set is asked for.
            DataError: A part shorter than a window, or a recording with a split or groups.
        """
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
            if part < window:
                raise DataError(
                    f"{self.data}: the {SIDES[side]} part of the recording of {steps} steps has {part}, fewer than "
                    f"a window of {window}; use a shorter window or other fractions"
                )
        return np.array(list(parts.values()), np.int64), np.array(list(parts), np.int8)

    def by_groups(
        self, table: SequenceTable, classes: NDArray[Any] | None, sizes: NDArray[np.int64]
    ) -> NDArray[np.int8]:
        """Divide sequences as the data say, else by lot, whole groups together.

        Args:
            table: The sequences, perhaps with a split and groups.
            classes: int64, the table's targets where they are classes; training keeps each of them.
            sizes: [N], how much each sequence counts.

        Returns:
            The side of each sequence, int8 [N].

        Raises:
            ConfigError: No test set is named or asked for.
            DataError: Groups torn apart, unknown or missing names of sets, or too little to fill a set with.
        """
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

    def _need_test(self) -> None:
        if not self.test_fraction:
            raise ConfigError("test_fraction is 0 and the data name no test set; results need one: raise test_fraction")

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
            refuse_unknown(f"{self.data}: unknown split", name, SIDES)
        for name in ("train", "test"):
            if name not in found:
                raise DataError(
                    f"{self.data}: split names {', '.join(found)} but no {name!r}; name some, or leave it out"
                )
        return np.array([SIDES.index(name) for name in split.tolist()], np.int8)


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
