"""Splits of sequences: whole groups in one set, every class in training, recordings along time."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nprnn.tasks.sequences import Sequences
from sequence_makers import SIDES, X, Y, attempt, everything, numbered, refused, save, sets


@st.composite
def ragged(draw: st.DrawFn) -> tuple[list[int], list[int], list[int]]:
    """Lengths, groups and classes of 6 to 40 sequences."""
    count = draw(st.integers(6, 40))
    lengths = draw(st.lists(st.integers(1, 7), min_size=count, max_size=count))
    group = draw(st.lists(st.integers(0, 12), min_size=count, max_size=count))
    classes = draw(st.lists(st.integers(0, 2), min_size=count, max_size=count).filter(lambda c: len(set(c)) > 1))
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


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": X, "y": Y, "split": ["train", "train", "tset", "test"]}, ["unknown split 'tset'", "'test'?"]),
        ({"x": X, "y": Y, "split": ["train"] * 4}, ["no 'test'"]),
        ({"x": X, "y": Y, "split": ["test"] * 4}, ["no 'train'"]),
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
def test_splits_refused(tmp_path: Path, arrays: dict[str, Any], words: list[str]) -> None:
    message = refused(tmp_path, **arrays)
    for word in words:
        assert word in message
