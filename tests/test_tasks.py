"""Tasks: what the sequences are, exactly; and the baselines."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nprnn.errors import ConfigError, DataError
from nprnn.tasks import TASKS, Addition, Mnist, Multiplication, find_task
from nprnn.tasks.marked import MARKS

RANGES = {
    "uniform": lambda t: ((0, t), (0, t)),
    "halves": lambda t: ((0, t // 2), (t // 2, t)),
    "martens": lambda t: ((0, t // 10), (t // 10, t // 2)),
    "schmidt": lambda t: ((0, 10), (0, t // 2)),
}


@settings(max_examples=80, deadline=None)
@given(marks=st.sampled_from(list(MARKS)), length=st.integers(2, 60), seed=st.integers(0, 1000))
def test_a_batch_is_the_problem(marks: str, length: int, seed: int) -> None:
    length = max(length, MARKS[marks][1])
    settings = {"length": length, "marks": marks, "train_size": 50, "test_size": 5}
    data = Addition(**settings).load(seed)  # type: ignore[arg-type]
    product = Multiplication(**settings).load(seed)  # type: ignore[arg-type]
    index = torch.tensor([3, 0, 49])
    x, y, lengths = data.train.batch(index)
    assert x.shape == (length, 3, 2)
    assert x.dtype == y.dtype == torch.float32
    assert lengths is None
    value, mask = x[..., 0], x[..., 1]
    assert ((value >= 0) & (value < 1)).all()
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    for b in range(3):
        steps = data.train.marks[index[b]].tolist()  # type: ignore[attr-defined]
        for step, (low, high) in zip(steps, RANGES[marks](length), strict=True):
            assert low <= step < high
        assert set(mask[:, b].nonzero()[:, 0].tolist()) == set(steps)
        assert float(y[b]) == pytest.approx(float(value[steps[0], b] + value[steps[1], b]))
        assert float(product.train.batch(index).y[b]) == pytest.approx(float(value[steps[0], b] * value[steps[1], b]))
    assert torch.equal(product.train.batch(index).x, x)


def test_uniform_marks_are_distinct_and_uniform() -> None:
    steps, n = 5, 20_000
    marks = MARKS["uniform"][0](n, steps, torch.Generator().manual_seed(0))
    assert (marks[:, 0] != marks[:, 1]).all()
    pairs = torch.bincount(marks[:, 0] * steps + marks[:, 1], minlength=steps**2).view(steps, steps).double()
    expected = n / (steps * (steps - 1))
    off = ~torch.eye(steps, dtype=torch.bool)
    chi2 = float(((pairs[off] - expected) ** 2 / expected).sum())
    assert chi2 < 65.0  # 19 degrees of freedom: exceeded by chance with probability 6e-7


def test_the_training_set_belongs_to_the_seed_and_the_test_set_to_all() -> None:
    config = Addition(length=20, train_size=100, test_size=100)
    every = torch.arange(100)
    a, b, again = config.load(0), config.load(1), config.load(0)
    assert torch.equal(a.train.batch(every).x, again.train.batch(every).x)
    assert not torch.equal(a.train.batch(every).x, b.train.batch(every).x)
    assert torch.equal(a.test.batch(every).x, b.test.batch(every).x)
    assert not torch.equal(a.test.batch(every).x, a.train.batch(every).x)
    assert a.fingerprint == b.fingerprint
    assert a.fingerprint != Addition(length=21, train_size=100, test_size=100).load(0).fingerprint


@pytest.mark.parametrize(
    ("task", "answer", "mse", "within"), [(Addition, 1.0, 1 / 6, 0.0784), (Multiplication, 0.25, 7 / 144, 0.1112)]
)
def test_baselines_by_counting(task: type, answer: float, mse: float, within: float) -> None:
    n = 200_000
    data = task(length=10, train_size=1, test_size=n).load(0)
    y = data.test.batch(torch.arange(n)).y
    sums = data.objective.sums(torch.full((n, 1), answer), y)
    assert data.objective.baseline["mse"] == pytest.approx(mse)
    assert data.objective.baseline["within_0.04"] == pytest.approx(within, abs=1e-4)
    # Standard errors are below 0.0004 and 0.0007: five of them.
    assert sums["mse"] / n == pytest.approx(mse, abs=2e-3)
    assert sums["within_0.04"] / n == pytest.approx(within, abs=3.5e-3)


def test_validation_sequences_are_none_of_the_others() -> None:
    data = Addition(length=12, train_size=300, valid_size=300, test_size=300).load(0)
    sets = [{tuple(v) for v in split.values.tolist()} for split in (data.train, data.valid, data.test)]  # type: ignore[union-attr]
    assert all(len(s) == 300 for s in sets)
    assert len(sets[0] | sets[1] | sets[2]) == 900
    assert Addition(length=12, train_size=3, valid_size=0, test_size=3).load(0).valid is None


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"length": 1}, "at least 2 to hold two marks placed 'uniform', got 1"),
        ({"length": 0}, "at least 2"),
        ({"length": 9, "marks": "martens"}, "at least 10 to hold two marks placed 'martens'"),
        ({"marks": "somewhere"}, "one of uniform, halves, martens, schmidt; got 'somewhere'"),
        ({"train_size": 0}, "train_size must be at least 1"),
        ({"test_size": -3}, "test_size must be at least 1, got -3"),
    ],
)
def test_impossible_addition_settings(kwargs: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Addition(**kwargs)  # type: ignore[arg-type]


def test_task_names() -> None:
    assert find_task("addition") is Addition
    with pytest.raises(ConfigError, match=r"unknown task 'minst'\. Did you mean 'mnist'\? Known: addition, "):
        find_task("minst")
    assert set(TASKS) == {"addition", "multiplication", "mnist", "sequences", "ucf101"}


# --- images -----------------------------------------------------------------------------------------------------------


def write_images(
    folder: Path, train: int = 30, test: int = 10, size: tuple[int, int] = (4, 3), classes: int = 3
) -> None:
    """A small IDX set; half of it gzipped."""
    g = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for kind, n in (("train", train), ("t10k", test)):
        images = g.integers(0, 256, (n, *size), dtype=np.uint8)
        labels = (np.arange(n) % classes).astype(np.uint8)
        head = struct.pack(">4B3I", 0, 0, 8, 3, n, *size)
        (folder / f"{kind}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        with gzip.open(folder / f"{kind}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(struct.pack(">4BI", 0, 0, 8, 1, n) + labels.tobytes())


def test_pixels_rows_and_permutations(tmp_path: Path) -> None:
    write_images(tmp_path)
    pixels = Mnist(valid_size=6, data_dir=tmp_path, any_idx=True).load(0)
    rows = Mnist(valid_size=6, data_dir=tmp_path, any_idx=True, rows=True).load(0)
    assert (len(pixels.train), len(pixels.valid), len(pixels.test)) == (24, 6, 10)  # type: ignore[arg-type]
    everything = Mnist(valid_size=0, data_dir=tmp_path, any_idx=True).load(0)
    last = everything.train.batch(torch.arange(24, 30)).x
    assert torch.equal(pixels.valid.batch(torch.arange(6)).x, last)  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="valid_size 30 leaves none of 30 training images"):
        Mnist(valid_size=30, data_dir=tmp_path, any_idx=True).load(0)
    index = torch.tensor([5, 7])
    x, y, _ = pixels.train.batch(index)
    assert x.shape == (12, 2, 1)
    assert pixels.input_size == 1
    assert pixels.output_size == 3
    assert y.tolist() == [5 % 3, 7 % 3]
    assert float(x.max()) <= 1
    r = rows.train.batch(index).x
    assert r.shape == (4, 2, 3)
    assert rows.input_size == 3
    torch.testing.assert_close(r.transpose(0, 1).reshape(2, 12), x[..., 0].T)

    permuted = Mnist(valid_size=6, data_dir=tmp_path, any_idx=True, permute=1).load(0)
    p = permuted.train.batch(index).x[..., 0]
    order = [int((x[..., 0] == p[t]).all(1).nonzero()[0]) for t in range(12)]
    assert sorted(order) == list(range(12))
    assert order != list(range(12))
    torch.testing.assert_close(permuted.test.batch(index).x[..., 0], pixels.test.batch(index).x[order, :, 0])
    again = Mnist(valid_size=6, data_dir=tmp_path, any_idx=True, permute=1).load(5).train.batch(index).x[..., 0]
    other = Mnist(valid_size=6, data_dir=tmp_path, any_idx=True, permute=2).load(0).train.batch(index).x[..., 0]
    assert torch.equal(again, p)
    assert not torch.equal(other, p)
    assert len({d.fingerprint for d in (pixels, rows, permuted)}) == 3


def test_mnist_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path / "data" / "mnist")
    monkeypatch.setenv("NPRNN_DATA", str(tmp_path / "data"))
    assert len(Mnist(any_idx=True, valid_size=0).load(0).train) == 30
    monkeypatch.delenv("NPRNN_DATA")
    monkeypatch.setenv("NPRNN_CACHE", str(tmp_path / "nothing"))
    with pytest.raises(DataError, match=r"--download.*--data-dir"):
        Mnist().load(0)
    with pytest.raises(DataError, match="--any-idx"):
        Mnist(data_dir=tmp_path / "data" / "mnist").load(0)
    with pytest.raises(ConfigError, match="leave out --data-dir"):
        Mnist(data_dir=tmp_path, download=True)
    with pytest.raises(ConfigError, match="leave out --any-idx"):
        Mnist(any_idx=True, download=True)


@pytest.mark.real_data
def test_the_real_images_as_sequences(mnist_dir: Path) -> None:
    data = Mnist(data_dir=mnist_dir).load(0)
    sizes = (len(data.train), len(data.valid), len(data.test), data.input_size, data.output_size)  # type: ignore[arg-type]
    assert sizes == (55_000, 5_000, 10_000, 1, 10)
    x, y, _ = data.train.batch(torch.arange(600))
    assert x.shape == (784, 600, 1)
    assert int(y[0]) == 5  # the first training image of MNIST is a five
    assert data.objective.baseline["accuracy"] == 0.1135  # ones are the largest class: 1135 of 10,000 test images
