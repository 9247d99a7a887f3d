"""Batches of sequences, padded where lengths differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nprnn.tasks.sequences import Sequences
from sequence_makers import numbered, save


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
