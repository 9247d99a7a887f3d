"""A user's own sequences, loaded: windows, baselines, weights, standardisation and settings."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nprnn.configs import as_record, from_record
from nprnn.errors import ConfigError
from nprnn.tasks.sequences import Sequences
from sequence_makers import everything, fault, numbered, refused, save


def test_the_regression_baseline_is_the_training_mean(tmp_path: Path) -> None:
    path = save(
        tmp_path / "d.npz",
        x=np.ones((4, 2, 1)),
        y=np.array([[0.0, 1.0, 5.0], [2.0, 3.0, 5.0], [4.0, 2.0, 5.0], [1.0, 5.0, 8.0]]),
        split=["train", "train", "test", "test"],
    )
    data = Sequences(data=path, valid_fraction=0).load(0)
    assert (data.output_size, data.class_names) == (3, None)
    # Means 1, 2, 5; squared errors 9, 0, 0 and 0, 9, 9.
    assert data.objective.baseline == {"mse": 27 / 6}
    constant = torch.tensor([[1.0, 2.0, 5.0]] * 2)
    y = data.test.batch(torch.tensor([0, 1])).y
    assert data.objective.sums(constant, y)["mse"] / 2 == pytest.approx(27 / 6)


def test_balanced_weights_have_mean_one_over_training_rows(tmp_path: Path) -> None:
    y = [0, 0, 0, 1, 3, 3, 0, 1, 3]
    split = ["train"] * 6 + ["test"] * 3
    names = ["a", "b", "never seen", "d"]
    path = save(tmp_path / "d.npz", x=np.ones((9, 2, 1)), y=y, split=split, class_names=names)
    data = Sequences(data=path, valid_fraction=0, class_weights="balanced").load(0)
    assert data.class_names == tuple(names)
    # The loss of one row is its own whatever its weight; of two it tells their weights' ratio: 6/(3*3) to 6/(3*1).
    output = torch.tensor([[0.0, 1.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0]])
    rows = [float(data.objective.loss(output[k : k + 1], torch.tensor([k]))) for k in range(2)]
    both = float(data.objective.loss(output, torch.tensor([0, 1])))
    assert both == pytest.approx((rows[0] * 2 / 3 + rows[1] * 2) / (2 / 3 + 2))


# --- windows


def test_windows_exactly_and_never_in_two_sets(tmp_path: Path) -> None:
    lengths, split = [7, 3, 5, 4], ["train", "train", "test", "test"]
    path = save(tmp_path / "d.npz", x=numbered(lengths), lengths=lengths, y=[0, 1, 0, 1], split=split)
    data = Sequences(data=path, window=3, stride=2, valid_fraction=0).load(0)
    found = everything(data)
    assert [x[:, 0].tolist() for x in found["train"]] == [[0, 1, 2], [2, 3, 4], [4, 5, 6], [7, 8, 9]]
    assert [x[:, 0].tolist() for x in found["test"]] == [[10, 11, 12], [12, 13, 14], [15, 16, 17]]
    batch = data.train.batch(torch.arange(4))
    assert batch.y.tolist() == [0, 0, 0, 1]
    assert batch.lengths is None
    # Windows of one sequence overlap, but its steps count once: the mean of 0..9 and its deviation.
    assert data.standardisation is not None
    assert data.standardisation.mean.tolist() == [4.5]
    assert data.standardisation.scale.tolist() == pytest.approx([math.sqrt(8.25)])
    assert "7 windows of 3 steps, one every 2" in data.about
    assert data.fingerprint != Sequences(data=path, window=3, valid_fraction=0).load(0).fingerprint


def test_one_class_for_a_long_recording_is_repeated(tmp_path: Path) -> None:
    path = save(tmp_path / "d.npz", x=numbered([20]), lengths=[20], y=[4.0])
    data = Sequences(data=path, window=2, test_fraction=0.25, valid_fraction=0).load(0)
    assert data.test.batch(torch.tensor([0, 1])).y.tolist() == [4.0, 4.0]
    assert not data.steps_have_targets


@pytest.mark.parametrize(
    ("settings", "arrays", "words"),
    [
        ({"window": 4}, {"x": np.ones((7, 1)), "lengths": [4, 3], "y": [0, 0]}, "number 1 of 3"),
        ({"window": 4}, {"x": np.ones(20), "y": np.ones(20)}, "valid part of the recording of 20 steps has 3"),
        ({"window": 2}, {"x": np.ones(20), "y": np.ones(20), "group": [1]}, "split along time; leave group out"),
        ({"window": 2}, {"x": np.ones(20), "y": [0] * 17 + [1, 2, 2]}, "labels of the test set never occur"),
        ({}, {"x": np.ones(20), "y": np.ones(20)}, "needs --window"),
    ],
)
def test_windows_refused(tmp_path: Path, settings: dict[str, Any], arrays: dict[str, Any], words: str) -> None:
    assert words in refused(tmp_path, settings, **arrays)


# --- standardisation and fingerprint


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=4, max_size=12),
    scale=st.sampled_from([1e-4, 1.0, 1e5]),
    shift=st.sampled_from([0.0, 1e3]),
)
def test_standardisation_is_that_of_the_training_steps_alone(lengths: list[int], scale: float, shift: float) -> None:
    x = np.random.default_rng(len(lengths)).normal(size=(sum(lengths), 3)).astype(np.float32) * np.float32(scale)
    x += np.float32(shift)
    x[:, 1] = 0.1
    split = ["train", "test", "valid"] * 4
    side = np.repeat(split[: len(lengths)], lengths)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "d.npz"
        arrays = {"lengths": lengths, "y": np.zeros(len(lengths)), "split": split[: len(lengths)]}
        before = Sequences(data=save(path, x=x, **arrays)).load(0)
        x[side != "train"] *= 3
        after = Sequences(data=save(path, x=x, **arrays)).load(0)
        assert Sequences(data=path, standardise=False).load(0).standardisation is None
    assert before.fingerprint != after.fingerprint
    train = x[side == "train"].astype(np.float64)
    expected = train.std(0)
    expected[expected < 1e-12] = 1.0
    for data in (before, after):
        assert data.standardisation is not None
        assert data.standardisation.mean.dtype == data.standardisation.scale.dtype == torch.float32
        np.testing.assert_allclose(data.standardisation.mean.numpy(), train.mean(0), rtol=1e-6)
        np.testing.assert_allclose(data.standardisation.scale.numpy(), expected, rtol=1e-6)
        assert data.standardisation.scale[1] == 1.0


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    base: dict[str, Any] = {"x": numbered([2, 3, 1, 2]), "lengths": [2, 3, 1, 2], "y": [0, 1, 0, 1]}
    split = ["train", "train", "test", "test"]

    def of(name: str, **arrays: Any) -> str:
        merged = base | {"split": split} | arrays
        return Sequences(data=save(tmp_path / name, **merged), valid_fraction=0).load(0).fingerprint

    first = of("a.npz")
    assert of("b.npz") == first
    assert of("a.npz", x=base["x"].astype(np.float64)) == first
    different = [
        of("a.npz", x=base["x"] + 1),
        of("a.npz", y=[1, 0, 0, 1]),
        of("a.npz", lengths=[3, 2, 1, 2]),
        of("a.npz", split=["train", "train", "valid", "test"]),
        of("a.npz", class_names=["p", "q"]),
        of("a.npz", y=[0.0, 1.0, 0.0, 1.0]),
    ]
    assert len({first, *different}) == 7


def test_what_is_told(tmp_path: Path) -> None:
    split = ["train", "train", "test", "valid"]
    path = save(tmp_path / "d.npz", x=np.ones((6, 2)), lengths=[1, 3, 1, 1], y=["a", "b", "a", "b"], split=split)
    assert Sequences(data=path).load(0).about == (
        "4 sequences of 1..3 steps, 2 features",
        "2 classes, one for each sequence: a, b",
        "train 2, valid 1, test 1",
        "standardised by 2 training sequences",
    )


# --- settings


def test_settings_survive_json(tmp_path: Path) -> None:
    config = Sequences(data=tmp_path, window=4, stride=2, targets="numbers", valid_fraction=0.0)
    record = json.loads(json.dumps(as_record(config)))
    assert "data" not in record
    where = json.loads(json.dumps(as_record(config, locations=True)))
    assert from_record(Sequences, record | where) == config
    assert from_record(Sequences, as_record(Sequences())) == Sequences()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"window": 0}, "window must be at least 1"),
        ({"window": 3, "stride": 0}, "stride must be at least 1"),
        ({"stride": 3}, "set a window too"),
        ({"valid_fraction": 0.5, "test_fraction": 0.5}, "leave something to train on"),
        ({"test_fraction": -0.1}, "at least 0"),
        ({"valid_fraction": math.nan}, "at least 0"),
        ({"targets": "class"}, "targets must be one of auto, classes, numbers"),
        ({"class_weights": "equal"}, "class_weights must be one of none, balanced"),
    ],
)
def test_settings_refused(values: dict[str, Any], words: str) -> None:
    assert words in fault(lambda: Sequences(**values), ConfigError)


def test_data_and_a_test_set_are_needed(tmp_path: Path) -> None:
    assert "name the data with --data" in fault(lambda: Sequences().load(0), ConfigError)
    path = save(tmp_path / "d.npz", x=np.ones((9, 2, 1)), y=np.ones(9))
    assert "test_fraction is 0" in fault(lambda: Sequences(data=path, test_fraction=0).load(0), ConfigError)
    long = save(tmp_path / "long.npz", x=np.ones(90), y=np.ones(90))
    config = Sequences(data=long, window=5, test_fraction=0)
    assert "test_fraction is 0" in fault(lambda: config.load(0), ConfigError)
