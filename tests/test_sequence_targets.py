"""Targets of sequences: classes and their names, or numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nprnn.tasks.sequences import Sequences
from sequence_makers import X, Y, fault, refused, save


def test_text_classes_and_given_names(tmp_path: Path) -> None:
    split = ["train", "train", "test", "test"]
    x = np.ones((4, 2, 1))
    path = save(tmp_path / "d.npz", x=x, y=["sit", "run", "run", "sit"], split=split)
    data = Sequences(data=path, valid_fraction=0).load(0)
    assert data.class_names == ("run", "sit")
    assert data.test.batch(torch.tensor([0, 1])).y.tolist() == [0, 1]
    save(path, x=x, y=np.array([b"sit", b"run", b"run", b"sit"]), split=split, class_names=["sit", "run"])
    data = Sequences(data=path, valid_fraction=0).load(0)
    assert data.class_names == ("sit", "run")
    assert data.test.batch(torch.tensor([0, 1])).y.tolist() == [1, 0]
    save(path, x=x, y=np.array([True, False, True, False]), split=split)
    data = Sequences(data=path, valid_fraction=0).load(0)
    assert data.test.batch(torch.tensor([0, 1])).y.tolist() == [1, 0]


def test_targets_setting_overrides_the_type(tmp_path: Path) -> None:
    split = ["train", "train", "test", "test"]
    path = save(tmp_path / "d.npz", x=np.ones((4, 2, 1)), y=[7, 9, 7, 9], split=split)
    data = Sequences(data=path, valid_fraction=0, targets="numbers").load(0)
    assert data.objective.baseline == {"mse": 1.0}
    assert data.test.batch(torch.tensor([0])).y.tolist() == [7.0]
    save(path, x=np.ones((4, 2, 1)), y=[7.0, 9.0, 7.0, 9.0], split=split)
    data = Sequences(data=path, valid_fraction=0, targets="classes").load(0)
    assert data.class_names == ("7", "9")
    save(path, x=np.ones((4, 2, 1)), y=[7.0, 9.5, 7.0, 9.0], split=split)
    assert "9.5, which is no class" in fault(lambda: Sequences(data=path, targets="classes").load(0))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": X, "y": np.zeros(4, complex)}, ["y must be integers, text or floats", "complex128"]),
        ({"x": X, "y": np.zeros((4, 2), int)}, ["2 targets a row", "--targets numbers"]),
        ({"x": X, "y": Y, "class_names": ["a", "a"]}, ["each another: a, a"]),
        ({"x": X, "y": Y * 2, "class_names": ["a", "b"]}, ["2 labels are none of the 2", "2 at 1", "0..1"]),
        ({"x": X, "y": Y - 1, "class_names": ["a", "b"]}, ["2 labels", "-1 at 0"]),
        ({"x": X, "y": Y.astype(np.uint64) << 63, "class_names": ["a", "b"]}, ["2 labels", "at 1"]),
        ({"x": X, "y": ["a", "b", "c", "a"], "class_names": ["a", "b"]}, ["1 labels", "c at 2"]),
        ({"x": X, "y": Y * 0.5, "class_names": ["a", "b"]}, ["y are numbers", "--targets classes"]),
    ],
)
def test_targets_refused(tmp_path: Path, arrays: dict[str, Any], words: list[str]) -> None:
    message = refused(tmp_path, **arrays)
    for word in words:
        assert word in message


def test_text_is_no_number(tmp_path: Path) -> None:
    assert "not numbers" in refused(tmp_path, {"targets": "numbers"}, x=X, y=["a", "b", "a", "b"])
    for odd in (math.nan, math.inf, 1e300):
        message = refused(tmp_path, {"targets": "classes"}, x=X, y=[0.0, 1.0, odd, 1.0])
        assert f"{odd}, which is no class" in message
