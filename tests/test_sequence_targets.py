"""Targets of sequences: classes and their names, or numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nprnn.cli import main
from nprnn.tasks.sequences import Sequences
from sequence_makers import FLAT, X, Y, fault, folder, refused, save


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


# --- labels that are easily a mistake

SPLIT = ["train", "train", "test", "test"]


def told(path: Path, **settings: Any) -> str:
    return "\n".join(Sequences(data=path, valid_fraction=0, **settings).load(0).about)


def test_one_class_to_train_on_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arrays in (
        {"y": [1, 1, 1, 1]},
        {"y": ["worn"] * 4},
        {"y": [1, 1, 1, 1], "class_names": ["sound", "worn"], "split": SPLIT},
        {"y": np.ones((4, 3), int)},
    ):
        message = refused(tmp_path, x=X, **arrays)
        assert "all training targets are of one class, " in message
        assert "--targets numbers" in message
    assert "of one class, worn" in refused(tmp_path, x=X, y=["worn"] * 4)
    place = folder(tmp_path / "f", "file,label\na.csv,run\nb.csv,run\nc.csv,run\n", a="1\n", b="2\n", c="3\n")
    assert main(["train", "sequences", "--data", str(place), "--out", str(tmp_path / "runs")]) == 2
    assert "of one class, run: there is nothing to tell apart" in capsys.readouterr().err
    # As numbers they are a constant, which is odd but can be asked for.
    path = save(tmp_path / "d.npz", x=X, y=[1, 1, 1, 1])
    assert Sequences(data=path, targets="numbers").load(0).class_names is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_whole_numbers_stored_as_floats_are_told(tmp_path: Path, dtype: str) -> None:
    path = save(tmp_path / "d.npz", x=X, y=Y.astype(dtype), split=SPLIT)
    assert (
        "y are floats, yet all are whole (0.0, 1.0): taken for numbers to predict. If they are classes, use --targets "
        "classes, or save y as integers (in an index.csv 1, not 1.0)"
    ) in told(path)
    # What it advises gives classes, and what was said so that it cannot be meant otherwise is not doubted.
    assert "2 classes, one for each sequence: 0, 1" in told(path, targets="classes")
    assert "y are floats" not in told(path, targets="classes")
    assert "y are floats" not in told(path, targets="numbers")
    for y in ([0.0, 1.0, 0.5, 1.0], [3.0, 1.0, 2.0, 0.0]):
        assert "y are floats" not in told(save(path, x=X, y=np.array(y, dtype), split=SPLIT))
    many = save(path, x=np.ones((12, 2)), y=np.arange(12.0) // 2, split=["train", "test"] * 6)
    assert "(0.0, 1.0, 2.0, 3.0, ...)" in told(many)


def test_labels_of_an_index_with_a_decimal_point_are_told(tmp_path: Path) -> None:
    lines = "".join(f"{name}.csv,{k % 2}.0,{side}\n" for k, (name, side) in enumerate(zip("abcd", SPLIT, strict=True)))
    place = folder(tmp_path / "f", f"file,label,split\n{lines}", **dict.fromkeys("abcd", "1\n2\n"))
    assert "y are floats, yet all are whole (0.0, 1.0)" in told(place)
    (place / "index.csv").write_text(f"file,label,split\n{lines}".replace(".0,", ","))
    assert "2 classes" in told(place)


def test_one_hot_labels_are_refused_unless_numbers_are_asked_for(tmp_path: Path) -> None:
    for y in (np.eye(2)[Y], np.eye(2, dtype=np.float32)[Y], np.eye(2, dtype=int)[Y], np.eye(2)[Y] > 0):
        for kind in ("auto", "classes"):
            message = refused(tmp_path, {"targets": kind}, x=X, y=y)
            assert "(4, 2) has a single 1 in each row" in message
            assert "save y.argmax(-1)" in message
        path = save(tmp_path / "d.npz", x=X, y=y, split=SPLIT)
        assert Sequences(data=path, targets="numbers", valid_fraction=0).load(0).output_size == 2
    steps = np.eye(3)[np.arange(12) % 3]
    assert "(12, 3) has a single 1 in each row" in refused(tmp_path, x=FLAT, lengths=[3] * 4, y=steps)
    # Two at once, none, and other numbers are quantities.
    for y in ([[1.0, 1.0], [1, 0], [0, 1], [1, 0]], [[0.0, 0.0], [1, 0], [0, 1], [1, 0]], [[0.5, 0.5]] * 4):
        assert Sequences(data=save(path, x=X, y=y, split=SPLIT), valid_fraction=0).load(0).output_size == 2


def test_one_hot_labels_that_are_as_many_as_the_steps_are_told(tmp_path: Path) -> None:
    path = save(tmp_path / "d.npz", x=X, y=np.eye(3, dtype=int)[[0, 1, 2, 0]], split=SPLIT)
    assert "taken for a target of each of its 3 steps; if it is one of 3 classes for each sequence" in told(path)
    path = save(tmp_path / "d.npz", x=X, y=[[0, 1, 1], [0, 0, 1], [0, 1, 0], [1, 0, 0]], split=SPLIT)
    assert "y has a single 1" not in told(path)
