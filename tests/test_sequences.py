"""A user's own sequences: read exactly, split honestly, refused with a reason."""

from __future__ import annotations

import io
import itertools
import json
import math
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nprnn.configs import as_record, from_record
from nprnn.errors import ConfigError, DataError
from nprnn.tasks import sequence_files
from nprnn.tasks.base import TaskData
from nprnn.tasks.sequence_files import read_inputs
from nprnn.tasks.sequences import Sequences, SequenceSet

Array = NDArray[Any]
SIDES = ("train", "valid", "test")


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def sets(data: TaskData) -> dict[str, SequenceSet]:
    found = {"train": data.train, "valid": data.valid, "test": data.test}
    return {side: chosen for side, chosen in found.items() if isinstance(chosen, SequenceSet)}


def everything(data: TaskData) -> dict[str, list[Array]]:
    """All sequences of each set, one by one through ``batch``."""
    found = {}
    for side, chosen in sets(data).items():
        found[side] = [chosen.batch(torch.tensor([k])).x[:, 0].numpy() for k in range(len(chosen))]
    return found


def numbered(lengths: list[int], features: int = 1) -> Array:
    """Steps whose first feature tells which step of the file they are."""
    x = np.zeros((sum(lengths), features), np.float32)
    x[:, 0] = np.arange(len(x))
    return x


def folder(path: Path, index: str, **files: str) -> Path:
    path.mkdir(exist_ok=True)
    (path / "index.csv").write_text(index)
    for name, text in files.items():
        (path / f"{name}.csv").write_text(text)
    return path


def fault(act: Callable[[], object], kind: type[Exception] = DataError) -> str:
    with pytest.raises(kind) as caught:
        act()
    return str(caught.value)


def attempt(act: Callable[[], Any]) -> tuple[Any, str]:
    """What ``act`` gives, or None and the message of its DataError."""
    try:
        return act(), ""
    except DataError as error:
        return None, str(error)


def refused(tmp_path: Path, settings: dict[str, Any] | None = None, **arrays: Any) -> str:
    """The message that loading the arrays gives; it always names the file."""
    path = save(tmp_path / "bad.npz", **arrays)
    message = fault(lambda: Sequences(data=path, **(settings or {})).load(0))
    assert str(path) in message
    return message


# --- what a batch holds


def test_a_ragged_batch_exactly(tmp_path: Path) -> None:
    path = save(
        tmp_path / "d.npz",
        x=np.array([[1, 10], [2, 20], [3, 30], [4, 40], [5, 50], [6, 60]], np.float32),
        lengths=[1, 3, 2],
        y=[5, 3, 5],
        split=["train", "train", "test"],
    )
    data = Sequences(data=path, valid_fraction=0).load(0)
    x, y, lengths = data.train.batch(torch.tensor([1, 0]))
    assert x.tolist() == [[[2, 20], [1, 10]], [[3, 30], [0, 0]], [[4, 40], [0, 0]]]
    assert x.dtype == torch.float32
    assert y.tolist() == [0, 1]
    assert lengths is not None
    assert lengths.tolist() == [3, 1]
    # Two steps are the longest here, and one sequence of one length in a batch still comes with it.
    x, y, lengths = data.test.batch(torch.tensor([0]))
    assert (x.tolist(), y.tolist()) == ([[[5, 50]], [[6, 60]]], [1])
    assert lengths is not None
    assert lengths.tolist() == [2]
    assert data.valid is None
    assert data.class_names == ("3", "5")
    assert (data.input_size, data.output_size) == (2, 2)
    assert data.objective.baseline == {"accuracy": 0.0}  # 3 and 5 are as frequent; the first wins
    assert data.objective.headline == "accuracy"


@pytest.mark.parametrize("dtype", ["float16", "float32", ">f4", "float64", "int16", "uint8"])
def test_equal_lengths_need_none_and_any_real_type_is_read(tmp_path: Path, dtype: str) -> None:
    x = np.arange(4 * 3 * 2).reshape(4, 3, 2).astype(dtype)
    path = save(tmp_path / "d.npz", x=x, y=[0, 1, 0, 1], split=["train", "train", "test", "test"])
    data = Sequences(data=path, valid_fraction=0).load(0)
    batch = data.train.batch(torch.tensor([0, 1]))
    assert batch.lengths is None
    assert batch.x.dtype == torch.float32
    assert torch.equal(batch.x, torch.from_numpy(x[:2].astype(np.float32)).transpose(0, 1))


def test_fortran_order_and_one_feature(tmp_path: Path) -> None:
    x = np.asfortranarray(np.arange(12.0).reshape(4, 3))
    path = save(tmp_path / "d.npz", x=x, y=[0.5, 1, 2, 3], split=["train", "train", "test", "test"])
    data = Sequences(data=path, valid_fraction=0).load(0)
    batch = data.test.batch(torch.tensor([1]))
    assert batch.x[:, 0, 0].tolist() == [9, 10, 11]
    assert (data.input_size, data.output_size, batch.y.tolist()) == (1, 1, [3.0])


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


@pytest.mark.parametrize("layout", ["rectangular", "concatenated"])
def test_targets_of_steps(tmp_path: Path, layout: str) -> None:
    x, y = numbered([3, 3, 3]), np.array([[0, 1, 1], [1, 0, 2], [2, 2, 1]])
    split = ["train", "train", "test"]
    if layout == "rectangular":
        path = save(tmp_path / "d.npz", x=x.reshape(3, 3), y=y, split=split)
    else:
        path = save(tmp_path / "d.npz", x=x, y=y.ravel(), lengths=[3, 3, 3], split=split)
    data = Sequences(data=path, valid_fraction=0, class_weights="balanced").load(0)
    assert data.steps_have_targets
    assert data.train.batch(torch.tensor([1, 0])).y.tolist() == [[1, 0], [0, 1], [2, 1]]
    # Training steps: 2 of class 0, 3 of class 1, 1 of class 2; the test's are 1 of class 1 in 3.
    assert data.objective.baseline == {"accuracy": pytest.approx(1 / 3)}
    target, output = torch.tensor([0, 1, 2]), torch.zeros(3, 3)
    output[0, 0] = 2.0
    weights = torch.tensor([6 / (3 * 2), 6 / (3 * 3), 6 / (3 * 1)])
    expected = torch.nn.functional.cross_entropy(output, target, weights)
    assert float(data.objective.loss(output, target)) == pytest.approx(float(expected))


def test_ragged_numbers_of_steps_are_padded_with_zeros(tmp_path: Path) -> None:
    y = np.arange(1, 7, dtype=float)
    path = save(tmp_path / "d.npz", x=numbered([3, 1, 2]), y=y, lengths=[3, 1, 2], split=["train", "train", "test"])
    data = Sequences(data=path, valid_fraction=0).load(0)
    assert data.train.batch(torch.tensor([1, 0])).y.tolist() == [[[4.0], [1.0]], [[0.0], [2.0]], [[0.0], [3.0]]]
    # The mean of 1, 2, 3, 4 against 5 and 6.
    assert data.objective.baseline == {"mse": pytest.approx((2.5**2 + 3.5**2) / 2)}
    assert data.output_size == 1
    both = np.stack([y, -y], 1)
    save(path, x=numbered([3, 1, 2]), y=both, lengths=[3, 1, 2], split=["train", "train", "test"])
    data = Sequences(data=path, valid_fraction=0).load(0)
    assert data.test.batch(torch.tensor([0])).y.tolist() == [[[5.0, -5.0]], [[6.0, -6.0]]]
    assert data.output_size == 2


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


# --- splits


@st.composite
def ragged(draw: st.DrawFn) -> tuple[list[int], list[int], list[int]]:
    """Lengths, groups and classes of 6 to 40 sequences."""
    count = draw(st.integers(6, 40))
    lengths = draw(st.lists(st.integers(1, 7), min_size=count, max_size=count))
    group = draw(st.lists(st.integers(0, 12), min_size=count, max_size=count))
    classes = draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    return lengths, group, classes


@settings(max_examples=80, deadline=None)
@given(
    made=ragged(),
    features=st.integers(1, 3),
    shares=st.sampled_from([(0.15, 0.15), (0.0, 0.3), (0.4, 0.4)]),
    with_groups=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_every_sequence_is_in_one_set_with_its_group_and_comes_out_as_it_went_in(
    made: tuple[list[int], list[int], list[int]],
    features: int,
    shares: tuple[float, float],
    with_groups: bool,
    seed: int,
) -> None:
    lengths, group, classes = made
    steps = numbered(lengths, features)
    steps[:, 1:] = np.random.default_rng(1).normal(size=steps[:, 1:].shape)
    first = np.cumsum([0, *lengths[:-1]])
    with tempfile.TemporaryDirectory() as place:
        arrays = {"x": steps, "lengths": lengths, "y": classes} | ({"group": group} if with_groups else {})
        config = Sequences(save(Path(place) / "d.npz", **arrays), valid_fraction=shares[0], test_fraction=shares[1])
        loaded, message = attempt(lambda: (config.load(seed), config.load(seed + 1)))
        if loaded is None:
            assert "leave every class in the training set" in message
            if "the valid set" in message:
                # What the message advises helps.
                assert shares[0] > 0
                assert Sequences(config.data, valid_fraction=0, test_fraction=shares[1]).load(seed).valid is None
            else:
                groups = group if with_groups else list(range(len(lengths)))
                for name in set(groups):
                    others = {c for c, g in zip(classes, groups, strict=True) if g != name}
                    assert others != set(classes), f"group {name} could have gone to the test set"
            return
    data, again = loaded
    assert data.fingerprint == again.fingerprint
    side_of: dict[int, str] = {}
    for side, chosen in sets(data).items():
        assert len(chosen) > 0
        everyone = chosen.batch(torch.arange(len(chosen)))
        for b in range(len(chosen)):
            own = int(np.flatnonzero(first == int(everyone.x[0, b, 0]))[0])
            assert own not in side_of
            side_of[own] = side
            n = lengths[own]
            assert np.array_equal(everyone.x[:n, b].numpy(), steps[first[own] : first[own] + n])
            assert not everyone.x[n:, b].any()
            assert int(everyone.y[b]) == sorted(set(classes)).index(classes[own])
            if everyone.lengths is None:
                assert len(set(lengths)) == 1
            else:
                assert int(everyone.lengths[b]) == n
    assert len(side_of) == len(lengths)
    if with_groups:
        for name in set(group):
            assert len({side_of[k] for k in side_of if group[k] == name}) == 1
    assert {classes[k] for k in side_of if side_of[k] == "train"} == set(classes)
    assert (data.valid is None) == (shares[0] == 0)


def test_shares_are_met_and_the_test_set_depends_on_nothing_else(tmp_path: Path) -> None:
    path = save(tmp_path / "d.npz", x=numbered([1] * 200).reshape(200, 1, 1), y=[0, 1] * 100)
    loaded = [
        Sequences(data=path, valid_fraction=share, test_fraction=0.2).load(k) for k, share in enumerate((0.1, 0.3))
    ]
    assert [[len(s) for s in sets(data).values()] for data in loaded] == [[140, 20, 40], [100, 60, 40]]
    tests = [sets(data)["test"].offsets.tolist() for data in loaded]
    assert tests[0] == tests[1]
    assert tests[0] not in (list(range(40)), list(range(160, 200)))


def test_a_rare_class_stays_in_training(tmp_path: Path) -> None:
    y = [0] * 30 + [1]
    path = save(tmp_path / "d.npz", x=np.ones((31, 1, 1)), y=y)
    data = Sequences(data=path, test_fraction=0.9, valid_fraction=0.05).load(0)
    assert (data.train.batch(torch.arange(len(data.train))).y == 1).sum() == 1


def test_validation_is_cut_out_of_training_by_whole_groups(tmp_path: Path) -> None:
    group = np.repeat(["a", "b", "c", "d", "e", "f"], 4)
    split = np.where(np.isin(group, ["e", "f"]), "test", "train")
    path = save(
        tmp_path / "d.npz", x=numbered([1] * 24).reshape(24, 1, 1), y=[0, 1, 2, 3] * 6, group=group, split=split
    )
    data = Sequences(data=path, valid_fraction=0.25).load(0)
    held = {side: {str(group[int(x[0, 0])]) for x in all_x} for side, all_x in everything(data).items()}
    assert [len(held[side]) for side in SIDES] == [3, 1, 2]
    assert held["test"] == {"e", "f"}
    assert held["train"].isdisjoint(held["valid"])
    assert "groups: 6, none in two splits" in data.about


def test_the_split_in_the_data_is_used_as_it_is(tmp_path: Path) -> None:
    split = ["test", "valid", "train", "train", "test"]
    path = save(tmp_path / "d.npz", x=numbered([1] * 5).reshape(5, 1, 1), y=[0, 1, 0, 1, 1], split=split)
    found = everything(Sequences(data=path, valid_fraction=0.4, test_fraction=0).load(0))
    assert {side: [int(x[0, 0]) for x in found[side]] for side in SIDES} == {
        "train": [2, 3],
        "valid": [1],
        "test": [0, 4],
    }


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


@settings(max_examples=60, deadline=None)
@given(
    steps=st.integers(30, 120),
    window=st.integers(1, 8),
    stride=st.integers(1, 10),
    valid=st.sampled_from([0.0, 0.3]),
    flat=st.booleans(),
)
def test_a_long_recording_is_split_along_time(steps: int, window: int, stride: int, valid: float, flat: bool) -> None:
    x, y = np.arange(steps, dtype=np.float32), np.arange(steps) * 2.0
    with tempfile.TemporaryDirectory() as place:
        path = save(Path(place) / "d.npz", x=x if flat else x[:, None], y=y)
        config = Sequences(data=path, window=window, stride=stride, valid_fraction=valid, test_fraction=0.3)
        data = config.load(0)
        assert config.load(1).fingerprint == data.fingerprint
    assert data.steps_have_targets
    spans = []
    bounds = np.cumsum([0, steps - round(steps * valid) - round(steps * 0.3), round(steps * valid)])
    for side, start in zip(SIDES, bounds, strict=True):
        if side not in sets(data):
            assert (side, valid) == ("valid", 0.0)
            continue
        batch = sets(data)[side].batch(torch.arange(len(sets(data)[side])))
        assert batch.x.shape[0] == window
        assert torch.equal(batch.y, batch.x * 2)
        assert torch.equal(batch.x[:, :, 0], batch.x[0, :, 0] + torch.arange(window)[:, None])
        assert batch.x[0, :, 0].tolist() == [start + k * stride for k in range(batch.x.shape[1])]
        spans.append((batch.x.min(), batch.x.max()))
    for (_, last), (first, _) in itertools.pairwise(spans):
        assert last < first


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


# --- .npz files refused

X = np.ones((4, 3, 2), np.float32)
FLAT = np.ones((12, 2), np.float32)
Y = np.array([0, 1, 0, 1])
SOME = np.arange(24, dtype=np.float32).reshape(4, 3, 2)


def with_value(value: float, *place: int, like: Array = X) -> Array:
    changed = like.astype(np.float64)
    changed[place] = value
    return changed


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": X}, ["'y' is missing", "found x"]),
        ({"y": Y}, ["'x' is missing"]),
        ({"x": X, "y": Y, "length": [3] * 4}, ["unknown array 'length'", "Did you mean 'lengths'?"]),
        ({"x": X, "y": Y, "Y": Y}, ["unknown array 'Y'", "Did you mean 'y'?"]),
        ({"x": with_value(math.nan, 2, 1, 0), "y": Y}, ["1 of 24 values NaN or infinite", "nan at [2, 1, 0]"]),
        ({"x": with_value(-math.inf, 3, 2, 1), "y": Y}, ["-inf at [3, 2, 1]"]),
        ({"x": with_value(1e39, 0, 2, 1), "y": Y}, ["beyond float32", "1e+39 at [0, 2, 1]"]),
        ({"x": X, "y": with_value(math.nan, 1, like=Y)}, ["y has 1 of 4", "nan at [1]"]),
        ({"x": X.astype(complex), "y": Y}, ["real numbers", "complex128"]),
        ({"x": X > 0, "y": Y}, ["got bool", ".astype(np.float32)"]),
        ({"x": X.astype(str), "y": Y}, ["real numbers"]),
        ({"x": X[:0], "y": Y[:0]}, ["x is empty", "(0, 3, 2)"]),
        ({"x": X[:, :0], "y": Y}, ["x is empty"]),
        ({"x": X[None], "y": Y}, ["(N, T, I)", "(1, 4, 3, 2)"]),
        ({"x": X[0, 0, 0], "y": Y}, ["(N, T, I)", "()"]),
        ({"x": X, "y": Y[:3]}, ["y has shape (3,)", "4 sequences, 12 steps in all", "(4, 3)"]),
        ({"x": X, "y": np.zeros((4, 3, 2, 1))}, ["y has shape (4, 3, 2, 1)"]),
        ({"x": X, "y": np.zeros((4, 0))}, ["y has shape (4, 0)"]),
        ({"x": X, "y": np.zeros(12)}, ["y has shape (12,)"]),
        ({"x": X, "y": np.zeros(4, complex)}, ["y must be integers, text or floats", "complex128"]),
        ({"x": X, "y": np.zeros((4, 2), int)}, ["2 targets a row", "--targets numbers"]),
        ({"x": X, "lengths": [3] * 4, "y": Y}, ["must be (steps, I)", "np.concatenate"]),
        ({"x": FLAT, "lengths": [3, 3, 3, 2], "y": Y}, ["12 steps, but lengths add up to 11"]),
        ({"x": FLAT, "lengths": [3, 3, 7, -1], "y": Y}, ["outside 1..12", "-1 at [3]"]),
        ({"x": FLAT, "lengths": [0, 6, 3, 3], "y": Y}, ["outside 1..12", "0 at [0]"]),
        ({"x": FLAT, "lengths": [2**62, 2**62, 12], "y": Y}, ["outside 1..12", "2 of 3"]),
        ({"x": FLAT, "lengths": [3.0] * 4, "y": Y}, ["expected integers (N,)", "float64"]),
        ({"x": FLAT, "lengths": [[12]], "y": Y}, ["expected integers (N,)", "(1, 1)"]),
        ({"x": X, "y": Y, "split": ["train", "train", "tset", "test"]}, ["unknown split 'tset'", "'test'?"]),
        ({"x": X, "y": Y, "split": ["train"] * 4}, ["no 'test'"]),
        ({"x": X, "y": Y, "split": ["test"] * 4}, ["no 'train'"]),
        ({"x": X, "y": Y, "split": ["train", "test"]}, ["split must be text (4,)", "(2,)"]),
        ({"x": X, "y": Y, "split": [0, 0, 1, 1]}, ["split must be text (4,)", "int64"]),
        ({"x": X, "y": Y, "group": [0.5, 1, 2, 3]}, ["group must be integers or text (4,)", "float64"]),
        ({"x": X, "y": Y, "group": [1, 2, 3]}, ["group must be integers or text (4,)", "(3,)"]),
        ({"x": X, "y": Y, "class_names": "ab"}, ["class_names must be text"]),
        ({"x": X, "y": Y, "class_names": ["a", "a"]}, ["each another: a, a"]),
        ({"x": X, "y": Y * 2, "class_names": ["a", "b"]}, ["2 labels are none of the 2", "2 at 1", "0..1"]),
        ({"x": X, "y": Y - 1, "class_names": ["a", "b"]}, ["2 labels", "-1 at 0"]),
        ({"x": X, "y": Y.astype(np.uint64) << 63, "class_names": ["a", "b"]}, ["2 labels", "at 1"]),
        ({"x": X, "y": ["a", "b", "c", "a"], "class_names": ["a", "b"]}, ["1 labels", "c at 2"]),
        ({"x": X, "y": Y * 0.5, "class_names": ["a", "b"]}, ["y are numbers", "--targets classes"]),
        (
            {"x": X, "y": ["a", "a", "b", "c"], "split": ["train", "valid", "test", "test"]},
            ["2 labels of the test set never occur in training: b, c"],
        ),
        (
            {"x": X, "y": Y, "group": ["p", "q", "p", "r"], "split": ["train", "train", "test", "test"]},
            ["group p is in train and test"],
        ),
        ({"x": X[:1], "y": [0.5]}, ["of 1 groups", "test set"]),
        ({"x": X[:2], "y": [0.5, 1]}, ["of 2 groups", "valid set", "valid_fraction to 0"]),
        ({"x": X, "y": [0, 1, 2, 3]}, ["leave every class in the training set"]),
    ],
)
def test_arrays_refused(tmp_path: Path, arrays: dict[str, Any], words: list[str]) -> None:
    message = refused(tmp_path, **arrays)
    for word in words:
        assert word in message


def test_text_is_no_number(tmp_path: Path) -> None:
    assert "not numbers" in refused(tmp_path, {"targets": "numbers"}, x=X, y=["a", "b", "a", "b"])
    for odd in (math.nan, math.inf, 1e300):
        message = refused(tmp_path, {"targets": "classes"}, x=X, y=[0.0, 1.0, odd, 1.0])
        assert f"{odd}, which is no class" in message


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.mark),))


def test_object_arrays_are_refused_and_never_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "unpickled"
    trap = np.empty(2, object)
    trap[:] = [Trap(mark), 1]
    message = refused(tmp_path, x=trap, y=[0, 1])
    assert "'x' holds Python objects" in message
    assert "np.concatenate(sequences), lengths=" in message
    message = refused(tmp_path, x=X, y=Y, class_names=trap)
    assert "'class_names' holds Python objects" in message
    assert not mark.exists()


def npy(header: str, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 3, 2)}", b"12345678"), "but 8 follow"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1, 1)}", b"1" * 16), "but 16 follow"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1)}", b"1" * 8), "damaged"),
        (npy("{'descr': '<f8', 'shape': (1,)}", b"1" * 8), "damaged"),
        (npy("__import__('os')", b"1" * 8), "damaged"),
        (npy("{}", version=b"\3\0"), "NPY version (3, 0)"),
        (b"", "damaged"),
        (b"\x93NUMPY\1", "damaged"),
        (b"text", "damaged"),
    ],
)
def test_headers_that_lie(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "d.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", content)
    message = fault(lambda: read_inputs(path))
    assert words in message
    assert str(path) in message


def test_a_bomb_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x=np.zeros((100, 10, 10)))
    assert path.stat().st_size < 2000
    monkeypatch.setattr(sequence_files, "MAX_BYTES", 80_000)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("it was opened"))
    assert "over the limit of 80000" in fault(lambda: read_inputs(path))


def test_compression_that_numpy_does_not_write(tmp_path: Path) -> None:
    path, buffer = tmp_path / "d.npz", io.BytesIO()
    np.save(buffer, X)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", buffer.getvalue())
    assert "compression method 14" in fault(lambda: read_inputs(path))


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 2000), flip=st.integers(0, 2000), byte=st.integers(1, 255))
def test_damage_gives_the_same_data_or_a_data_error(cut: int, flip: int, byte: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        # One array only: nothing in a zip guards its list of members, so a damaged list may lose one of several.
        path = save(Path(place) / "d.npz", x=SOME)
        content = bytearray(path.read_bytes())
        content[flip % len(content)] ^= byte
        for changed in (content, content[: cut % len(content)]):
            path.write_bytes(changed)
            found, message = attempt(lambda: read_inputs(path))
            if found is None:
                assert str(path) in message
            else:
                # The damage is to bytes of the container that nothing depends on, such as a date.
                assert np.array_equal(np.stack(found.sequences), SOME)


def test_files_that_are_something_else(tmp_path: Path) -> None:
    config = Sequences(data=tmp_path / "none.npz")
    assert "no such file or folder" in fault(lambda: config.load(0))
    np.save(tmp_path / "a.npy", X)
    assert "expected a .npz file, or a folder" in fault(lambda: Sequences(data=tmp_path / "a.npy").load(0))
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    assert "not a .npz as np.savez writes it" in fault(lambda: Sequences(data=tmp_path / "a.npz").load(0))


# --- folders


def test_a_folder_gives_what_the_same_npz_gives(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    lengths = [4, 2, 6, 3, 5, 1, 2, 2]
    x = rng.normal(size=(sum(lengths), 3)).astype(np.float32)
    labels = ["up", "down"] * 4
    group = ["a", "a", "b", "b", "c", "c", "d", "d"]
    pieces = np.split(x, np.cumsum(lengths)[:-1])
    index = ["file, label, group"]
    place = tmp_path / "folder"
    (place / "deep").mkdir(parents=True)
    for k, piece in enumerate(pieces):
        rows = "\n".join(",".join(repr(float(v)) for v in row) for row in piece)
        (place / "deep" / f"{k}.csv").write_text("\ufeffleft, right, up\r\n" + rows + "\n\n", encoding="utf-8")
        index.append(f"deep/{k}.csv,{labels[k]},{group[k]}")
    (place / "index.csv").write_text("\n".join(index) + "\n")
    path = save(tmp_path / "d.npz", x=x, lengths=lengths, y=labels, group=group)
    shares: dict[str, Any] = {"valid_fraction": 0.25, "test_fraction": 0.25}
    one, other = Sequences(data=place, **shares).load(0), Sequences(data=path, **shares).load(0)
    assert one.class_names == other.class_names == ("down", "up")
    assert [len(s) for s in sets(one).values()] == [4, 2, 2]
    for mine, theirs in zip(sets(one).values(), sets(other).values(), strict=True):
        every = torch.arange(len(mine))
        for a, b in zip(mine.batch(every), theirs.batch(every), strict=True):
            assert a is not None
            assert b is not None
            assert torch.equal(a, b)
    assert one.fingerprint == other.fingerprint
    inputs = read_inputs(place)
    assert inputs.names == [f"deep/{k}.csv" for k in range(8)]
    for mine_too, piece in zip(inputs.sequences, pieces, strict=True):
        assert np.array_equal(mine_too, piece)


@pytest.mark.parametrize(
    ("labels", "names", "y"),
    [
        (("3", "10", "3", "10"), ("3", "10"), [0, 1]),
        (("1.5", "2", "1.5", "2"), None, [1.5, 2.0]),
        (("1.5", "b", "1.5", "b"), ("1.5", "b"), [0, 1]),
    ],
)
def test_labels_are_classes_or_numbers(tmp_path: Path, labels: tuple[str, ...], names: Any, y: list[float]) -> None:
    lines = [f"{k}.csv,{label},{'train' if k < 2 else 'test'}" for k, label in enumerate(labels)]
    place = folder(tmp_path / "f", "file,label,split\n" + "\n".join(lines), **{str(k): "1,2\n" for k in range(4)})
    data = Sequences(data=place, valid_fraction=0).load(0)
    assert data.class_names == names
    assert data.test.batch(torch.tensor([0, 1])).y.tolist() == y


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ("", ["index.csv", "one column 'file'", "nothing"]),
        ("file\na.csv\n", ["one column 'label'", "got file"]),
        ("file,Label\na.csv,1\n", ["unknown column 'Label'", "'label'?"]),
        ("file,label,label\na.csv,1,1\n", ["one column 'label'"]),
        ("file,label\n", ["lists no files"]),
        ("file,label\na.csv\n", ["line 2", "1 cells", "2 columns"]),
        ("file,label\na.csv,1,2\n", ["line 2", "3 cells"]),
        ("file,label\na.csv,1\nb.csv,\n", ["line 3", "'label' is empty"]),
        ("file,label\na.csv,1\n,1\n", ["line 3", "'file' is empty"]),
        ("file,label\nc.csv,1\n", ["line 2", "no file 'c.csv'"]),
        ("file,label\na.csv,1\n./a.csv,1\n", ["line 3", "in line 2 already"]),
        ("file,label\n../out.csv,1\n", ["line 2", "'../out.csv' leads out of"]),
        ("file,label\n{root}/out.csv,1\n", ["line 2", "leads out of"]),
        ("file,label\nlink.csv,1\n", ["line 2", "'link.csv' leads out of"]),
        ("file,label\nlinked/out.csv,1\n", ["line 2", "leads out of"]),
        ("file,label\nloop.csv,1\n", ["line 2", "loop.csv"]),
        ("file,label\na\0.csv,1\n", ["line 2", "is not a path"]),
        ("file,label\n.,1\n", ["line 2", "no file '.'"]),
        ('file,label\n"a.csv,1\n', ["not a CSV text file"]),
        ("file,label,split\na.csv,1,train\nb.csv,1,validation\n", ["unknown split 'validation'", "'valid'?"]),
    ],
)
def test_index_refused(tmp_path: Path, index: str, words: list[str]) -> None:
    place = folder(tmp_path / "f", index.replace("{root}", str(tmp_path)), a="1,2\n", b="3,4\n")
    (tmp_path / "out.csv").write_text("5,6\n")
    (place / "link.csv").symlink_to(tmp_path / "out.csv")
    (place / "linked").symlink_to(tmp_path)
    (place / "loop.csv").symlink_to(place / "loop.csv")
    message = fault(lambda: Sequences(data=place).load(0))
    assert str(place) in message
    for word in words:
        assert word in message


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    place = folder(tmp_path / "f", "file\nb.csv\n", a="1,2\n")
    (place / "b.csv").symlink_to(place / "a.csv")
    assert read_inputs(place).sequences[0].tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", ["b.csv", "holds no rows"]),
        (b"p,q\n", ["holds no rows"]),
        (b"1,2\n3,4,5\n", ["b.csv, line 2", "3 cells", "have 2"]),
        (b"1,2\n\n3,4\n", ["b.csv, line 2", "blank"]),
        (b"1,2\n3,x\n", ["b.csv, line 2, column 2", "'x'"]),
        (b"p,q\n1,2\n,4\n", ["b.csv, line 3, column 1", "''"]),
        (b"1,q\n", ["b.csv, line 1, column 2", "'q'"]),
        (b"1,2\n3,nan\n", ["b.csv, line 2, column 2", "'nan'"]),
        (b"-inf,2\n", ["b.csv, line 1, column 1", "'-inf'"]),
        (b"1,1e39\n", ["line 1, column 2", "float32"]),
        (b"1,1_0\n", ["line 1, column 2", "'1_0'"]),
        (b",p,q\n0,1,2\n", ["line 1, column 1", "index column"]),
        (b"1,2,3\n", ["b.csv", "3 columns", "a.csv has 2 columns"]),
        (b"p,q\n1,2\n", ["header ['p', 'q']", "header None"]),
        (b"\xff\xfe1\n", ["b.csv", "UTF-8"]),
        (b"1,2\n" * 20, ["b.csv, line 11", "over the limit of 22"]),
        (b"1,2\n" * 60, ["'b.csv' has 240 bytes", "over the limit of 200"]),
    ],
)
def test_csv_refused(tmp_path: Path, text: bytes, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence_files, "MAX_VALUES", 22)
    monkeypatch.setattr(sequence_files, "MAX_FILE_BYTES", 200)
    place = folder(tmp_path / "f", "file,label\na.csv,1\nb.csv,2\n", a="1,2\n")
    (place / "b.csv").write_bytes(text)
    message = fault(lambda: Sequences(data=place).load(0))
    for word in words:
        assert word in message


def test_limits_are_what_the_docs_say() -> None:
    assert (sequence_files.MAX_BYTES, sequence_files.MAX_FILE_BYTES) == (4 * 1024**3, 1024**3)
    assert sequence_files.MAX_VALUES == 10**8


# --- inputs for prediction


def test_inputs_from_each_kind_of_file(tmp_path: Path) -> None:
    path = save(tmp_path / "d.npz", x=numbered([2, 1], 2), lengths=[2, 1], y=[0, 1], split=["nonsense", "test"])
    inputs = read_inputs(path)
    assert inputs.names == ["0", "1"]
    assert [s.tolist() for s in inputs.sequences] == [[[0, 0], [1, 0]], [[2, 0]]]
    assert all(s.dtype == np.float32 for s in inputs.sequences)
    inputs = read_inputs(save(path, x=X))
    assert [s.shape for s in inputs.sequences] == [(3, 2)] * 4
    inputs = read_inputs(save(path, x=FLAT))
    assert [s.shape for s in inputs.sequences] == [(2, 1)] * 12
    inputs = read_inputs(path, recording=True)
    assert [s.shape for s in inputs.sequences] == [(12, 2)]
    (tmp_path / "one.csv").write_text("a,b\n1,2\n3,4e1\n")
    inputs = read_inputs(tmp_path / "one.csv")
    assert (inputs.names, [s.tolist() for s in inputs.sequences]) == (["one.csv"], [[[1, 2], [3, 40]]])
    place = folder(tmp_path / "f", "file,label\nz.csv,\na.csv,1\n", a="1\n2\n", z="3\n")
    inputs = read_inputs(place)
    assert (inputs.names, [s.tolist() for s in inputs.sequences]) == (["z.csv", "a.csv"], [[[3]], [[1], [2]]])


def test_inputs_refused(tmp_path: Path) -> None:
    assert "nan at [0, 1, 0]" in fault(lambda: read_inputs(save(tmp_path / "d.npz", x=with_value(math.nan, 0, 1, 0))))
    assert "no such file" in fault(lambda: read_inputs(tmp_path / "none.csv"))
    assert "index.csv: there is no such file" in fault(lambda: read_inputs(tmp_path))
