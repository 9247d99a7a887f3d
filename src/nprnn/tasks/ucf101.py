"""Actions in video (section 4.4): a class for each clip, from the features of its frames in a feature store."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from nprnn.configs import LOCATION, as_record, check_range
from nprnn.errors import ConfigError, DataError
from nprnn.feature_store import SIDES, FeatureStore
from nprnn.tasks.base import TaskData, classification
from nprnn.tasks.sequence_targets import listed
from nprnn.tasks.ucf101_clips import ClipSet
from nprnn.tasks.ucf101_division import check_validation, count_line, divide
from nprnn.tasks.ucf101_feeding import Recipe
from nprnn.tasks.ucf101_fitting import project, standardise

SCALINGS = ("none", "l2", "standardise")


@dataclass(frozen=True)
class Ucf101:
    """Clips of actions (section 4.4): UCF-101's, or your own in a feature store.

    The paper trains on groups 8-24, chooses by group 25 and tests on groups 1-7: split 01, validation group25.

    Attributes:
        store: a folder with features of clips.
        split: name of the split in the store that says which clips are for testing; UCF-101 has 01, 02 and 03.
        validation: which of the other clips choose and are not trained on. group25: that group, as in the paper; fold0,
            fold1, ...: a share of the groups, so that each group is in one fold; given: those that the split calls
            valid; none: no clips, all are trained on.
        folds: how many folds there are. Fold k has every such group, in their order, from the k-th on.
        scaling: what is done to features. none: nothing; l2: each frame is divided by its norm; standardise: each
            feature minus its mean, over its deviation, both of the training clips; with pca, each component.
        pca: principal components to feed in place of the features, fitted to the training clips alone (after l2, before
            standardise) and kept in a store beside this one. None feeds the features.
        shuffle_frames: feed the frames of each clip in another order, always the same: what is learnt then owes nothing
            to the order of frames.
    """

    store: Path | None = field(default=None, metadata=LOCATION)
    split: str = "01"
    validation: str = "group25"
    folds: int = 6
    scaling: Literal["none", "l2", "standardise"] = "none"
    pca: int | None = None
    shuffle_frames: bool = False

    def __post_init__(self) -> None:
        check_range(self)
        check_validation(self.validation, self.folds)
        if self.scaling not in SCALINGS:
            raise ConfigError(f"scaling must be one of {', '.join(SCALINGS)}; got {self.scaling!r}")
        if self.pca is not None and self.pca < 1:
            raise ConfigError(f"pca must be at least 1 component, or None for the features, got {self.pca}")

    def load(self, seed: int) -> TaskData:
        """Open the store and divide its clips, which are the same for every seed; features are read batch by batch.

        The baseline is the most frequent class of the test set.

        Raises:
            ConfigError: no store named, or settings that do not fit it.
            DataError: a missing or damaged store, a group on two sides of the split, a set that is empty or has a class
                that is never trained on, or one class alone to train on.
        """
        if self.store is None:
            raise ConfigError("name the feature store with --store: a folder with a store.json")
        store = FeatureStore.open(self.store)
        division = divide(store, self.split, self.validation, self.folds)
        rows, places = store.rows, division[:3]
        about = [count_line(side, [rows[k] for k in mine]) for side, mine in zip(SIDES, places, strict=True)]
        about += division.about
        fed, unit = store, self.scaling == "l2"
        components: Path | None = None
        if self.pca is not None:
            # Frames are projected one by one, so their order is of no account here.
            fed, projection = project(ClipSet(store, division.train, torch.empty(0), unit), self.pca)
            about.append(
                f"{self.pca} principal components of {store.width} features, {projection.explained:.1%} of the variance"
                f", fitted to the {len(division.train)} training clips, in {fed.folder}"
            )
            unit, components = False, fed.folder
        classes = tuple(sorted({row.label for row in rows}))
        number = {label: k for k, label in enumerate(classes)}
        y = torch.tensor([number[row.label] for row in rows])
        ragged = len({row.length for row in rows}) > 1
        train, valid, test = (ClipSet(fed, mine, y[list(mine)], unit, self.shuffle_frames, ragged) for mine in places)
        self._check_classes(train, (valid, test), classes)
        scaling = None
        if self.scaling == "standardise":
            scaling = standardise(train, fed.width)
            about.append(f"standardised by the {len(train)} training clips")
        settings = (as_record(self), store.fingerprint(), [clips.names for clips in (train, valid, test)])
        return TaskData(
            train=train,
            valid=valid if len(valid) else None,
            test=test,
            input_size=fed.width,
            output_size=len(classes),
            objective=classification({"accuracy": int(test.y.bincount().max()) / len(test)}),
            fingerprint=hashlib.sha256(f"ucf101, version 1 {json.dumps(settings)}".encode()).hexdigest(),
            class_names=classes,
            standardisation=scaling,
            about=tuple(about),
            recipe=Recipe.of(store, components).as_record(),
        )

    def _check_classes(self, train: ClipSet, others: tuple[ClipSet, ...], classes: tuple[str, ...]) -> None:
        known = set(train.y.tolist())
        if len(known) == 1:
            raise DataError(
                f"{self.store}: all {len(train)} training clips are of one class, {classes[known.pop()]}: there is "
                "nothing to tell apart. Expected two classes or more: look at the labels, or choose another split"
            )
        for side, other in zip(SIDES[1:], others, strict=True):
            if unseen := [classes[k] for k in sorted(set(other.y.tolist()) - known)]:
                raise DataError(
                    f"{self.store}: {len(unseen)} classes of the {side} set never occur in training: {listed(unseen)}. "
                    "Train on each class, or choose another split or validation"
                )
