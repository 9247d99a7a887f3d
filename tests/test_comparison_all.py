"""`nprnn reproduce all`: what lacks its data is left out; what cannot be read is an error, and the rest is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from nprnn.cli import main, reproducing
from nprnn.experiments import RECORD, find_experiment
from nprnn.experiments.comparison import parse_comparison
from nprnn.tasks.idx import MNIST_MD5

TINY = """
kind = "comparison"
title = "Tiny"
names = []
task = "addition"
axis = "length"
metric = "within_0.04"
of = 100
counted = "sequences of 100"
differs = []

[settings]
train_size = 20
valid_size = 10
test_size = 10
hidden = 3
batch = 2
cool_at = []
updates = 10
eval_every = 10

[[series]]
name = "np-RNN"

[[scales.quick]]
at = [4]
seeds = [0]

[[scales.paper]]
at = [4]
seeds = [0]
"""
ALL = ["reproduce", "all", "--scale", "quick", "--workers", "1"]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where MNIST would be, in a place where all there is are experiments on it, on a store, and on no files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NPRNN_DATA", str(tmp_path / "data"))
    known = {key: find_experiment(key) for key in ("fig5", "mnist", "table3")}
    monkeypatch.setattr(reproducing, "catalogue", lambda: {**known, "tiny": parse_comparison("tiny", TINY)})
    return tmp_path / "data" / "mnist"


def done() -> list[str]:
    return [path.parent.name for path in Path("results").glob(f"*/{RECORD}")]


def test_what_lacks_its_data_is_left_out(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(ALL) == 0
    told = capsys.readouterr().out
    for key in ("fig5", "mnist"):
        assert f"{key}: {data}: there is no such folder." in told
    assert told.count("; left out\n") == 3
    assert "table3: needs --store; left out" in told
    assert done() == ["tiny-quick"]


def test_damaged_data_are_an_error_and_the_rest_is_done(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data.mkdir(parents=True)
    for name in MNIST_MD5:
        (data / name).write_bytes(b"no images")
    assert main(ALL) == 2
    told = capsys.readouterr().out
    for key in ("fig5", "mnist"):
        assert f"{key} FAILED: {data / next(iter(MNIST_MD5))}: not an IDX file" in told
    assert done() == ["tiny-quick"]
    # So are files of which one is missing.
    (data / next(iter(MNIST_MD5))).unlink()
    assert main(ALL) == 2
    assert f"missing {next(iter(MNIST_MD5))}" in capsys.readouterr().out


def test_a_store_that_was_named_and_is_none_is_an_error(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ALL, "--store", "nowhere"]) == 2
    assert "table3 FAILED: nowhere is not a feature store" in capsys.readouterr().out
    assert done() == ["tiny-quick"]


def test_drawing_needs_no_data(data: Path) -> None:
    assert main(ALL) == 0
    page = Path("results/tiny-quick/README.md")
    page.unlink()
    assert main([*ALL, "--report-only"]) == 0
    assert page.exists()
    assert not data.exists()


def test_nothing_left_but_what_is_left_out_is_an_error(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reproducing, "catalogue", lambda: {"fig5": find_experiment("fig5")})
    assert main(ALL) == 2
    assert "everything was left out" in capsys.readouterr().err
