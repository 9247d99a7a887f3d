"""``nprnn import``: ready features into a store, value by value; stopped, gone on with, and refused."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from conftest import ROOT, real_data
from nprnn.cli import importing, main
from nprnn.errors import ConfigError
from nprnn.feature_store import ClipRow, FeatureStore
from nprnn.tasks.ready_features import ReadyFeatures
from nprnn.tasks.sequence_files import read_inputs
from nprnn.tasks.sequence_import import read_sequences, ready_sequences
from nprnn.tasks.sequence_table import SequenceTable
from nprnn.tasks.ucf101 import Ucf101
from nprnn.tasks.ucf101_import import read_ucf101
from sequence_makers import X, Y, fault, save, with_value
from test_ucf101 import quantised, sets

LENGTHS = [3, 1, 4, 2, 5]
RAGGED: dict[str, Any] = {
    "x": np.random.default_rng(0).normal(size=(15, 2)).astype(np.float32),
    "lengths": LENGTHS,
    "y": [1, 0, 2, 1, 0],
    "class_names": ["wave", "clap", "kick"],
    "group": [7, 7, 2, 5, 9],
    "split": ["train", "train", "valid", "test", "train"],
}
LONG = np.ones((15, 2))  # as many steps as the lengths add up to


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """These stores need not outlast a power cut."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def imported(ready: ReadyFeatures, folder: Path) -> FeatureStore:
    store = ready.open_store(folder)
    assert ready.fill(store)
    return FeatureStore.open(folder)


def ragged(folder: Path, **changed: Any) -> Path:
    arrays = {key: value for key, value in {**RAGGED, **changed}.items() if value is not None}
    return save(folder / "d.npz", **arrays)


def command(*words: object) -> list[str]:
    return ["import", *map(str, words)]


# --- what comes of a file of sequences


def test_each_sequence_becomes_a_clip(tmp_path: Path) -> None:
    store = imported(read_sequences(ragged(tmp_path), "mine"), tmp_path / "s")
    assert store.width == 2
    assert store.rows == (
        ClipRow("s00000", "clap", 7, {"mine": "train"}, 3),
        ClipRow("s00001", "wave", 7, {"mine": "train"}, 1),
        ClipRow("s00002", "kick", 2, {"mine": "valid"}, 4),
        ClipRow("s00003", "clap", 5, {"mine": "test"}, 2),
        ClipRow("s00004", "wave", 9, {"mine": "train"}, 5),
    )
    for k, wanted in enumerate(np.split(RAGGED["x"], np.cumsum(LENGTHS)[:-1])):
        np.testing.assert_array_equal(store.features(k), wanted.astype(np.float16))


@settings(max_examples=100, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    width=st.integers(1, 3),
    exponents=st.tuples(st.integers(-30, 15), st.integers(-30, 15)),
    block=st.integers(1, 8),
    seed=st.integers(0, 1000),
)
def test_values_are_those_of_the_file_rounded_to_float16(
    lengths: list[int], width: int, exponents: tuple[int, int], block: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    sizes = 2.0 ** generator.uniform(min(exponents), max(exponents), (sum(lengths), width))
    x = (sizes * generator.choice([-1, 0, 1], sizes.shape)).astype(np.float32)
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr("nprnn.tasks.sequence_import._BLOCK", block)
        path = save(Path(place) / "d.npz", x=x, lengths=lengths, y=np.zeros(len(lengths), int))
        ready = read_sequences(path)
        store = imported(ready, Path(place) / "s")
        assert [row.length for row in store.rows] == lengths
        found = np.concatenate([store.features(k) for k in range(len(lengths))])
    np.testing.assert_array_equal(found, x.astype(np.float16), strict=True)
    # What the store lost is told where it is more than rounding, and only there.
    wide = x.astype(np.float64)[x != 0]
    lost = np.abs(found.astype(np.float64)[x != 0] - wide) / np.abs(wide)
    told = [re.search(r"by up to ([\d.]+)%", line) for line in ready.about]
    shares = [float(match[1]) / 100 for match in told if match]
    assert shares == ([pytest.approx(lost.max(), abs=1e-4)] if lost.size and lost.max() > 2**-11 else [])


@pytest.mark.parametrize(
    ("x", "lengths", "first"),
    [
        (np.arange(24).reshape(4, 3, 2), None, [[0, 1], [2, 3], [4, 5]]),
        (np.asfortranarray(np.arange(12.0).reshape(4, 3)), None, [[0], [1], [2]]),
        (np.arange(12, dtype=">f4"), [3, 3, 3, 3], [[0], [1], [2]]),
        (np.arange(24, dtype=np.float16).reshape(12, 2), [3, 3, 3, 3], [[0, 1], [2, 3], [4, 5]]),
    ],
)
def test_every_layout_of_whole_sequences(tmp_path: Path, x: Any, lengths: list[int] | None, first: Any) -> None:
    arrays = {"x": x, "y": Y} if lengths is None else {"x": x, "y": Y, "lengths": lengths}
    store = imported(read_sequences(save(tmp_path / "d.npz", **arrays)), tmp_path / "s")
    assert [(row.length, row.group, row.splits) for row in store.rows] == [(3, None, {})] * 4
    assert store.features(0).tolist() == first


@pytest.mark.parametrize(
    ("changed", "labels"),
    [
        ({"class_names": None}, "1 0 2 1 0"),
        ({"class_names": None, "y": [10, -3, 7, 10, -3]}, "10 -3 7 10 -3"),
        ({"class_names": None, "y": np.array([1, 0, 0, 1, 0], bool)}, "1 0 0 1 0"),
        ({"class_names": None, "y": ["a", "b", "c", "a", "b"]}, "a b c a b"),
        ({"y": np.array([b"wave", b"kick", b"wave", b"wave", b"clap"])}, "wave kick wave wave clap"),
    ],
)
def test_labels(tmp_path: Path, changed: dict[str, Any], labels: str) -> None:
    store = imported(read_sequences(ragged(tmp_path, **changed)), tmp_path / "s")
    assert [row.label for row in store.rows] == labels.split()


def test_classes_without_a_sequence_are_told(tmp_path: Path) -> None:
    ready = read_sequences(ragged(tmp_path, y=[1, 0, 0, 1, 0]))
    assert ready.about == ("1 of the class_names have no sequence and are not in the store: kick",)


def test_one_class_alone_is_told(tmp_path: Path) -> None:
    ready = read_sequences(ragged(tmp_path, y=["wave"] * 5, class_names=None))
    assert ready.about == ("all clips are of one class, wave: the task ucf101 needs two, or it cannot learn",)


def test_groups_that_are_text_are_numbered(tmp_path: Path) -> None:
    ready = read_sequences(ragged(tmp_path, group=["eve", "eve", "adam", "bob", "eve"]))
    store = imported(ready, tmp_path / "s")
    assert [row.group for row in store.rows] == [2, 2, 0, 1, 2]
    assert store.provenance["groups"] == ["adam", "bob", "eve"]
    assert ready.about == ("groups are numbered from 0 in this order: adam, bob, eve",)


def test_large_group_numbers_stay_as_they_are(tmp_path: Path) -> None:
    group = np.array([2**64 - 1, 0, 1, 2, 3], np.uint64)
    store = imported(read_sequences(ragged(tmp_path, group=group)), tmp_path / "s")
    assert [row.group for row in store.rows] == [2**64 - 1, 0, 1, 2, 3]


def test_names_come_from_the_file(tmp_path: Path) -> None:
    names = ["walk 3", "b", "a", "é", "z"]
    store = imported(read_sequences(ragged(tmp_path, name=names)), tmp_path / "s")
    assert {row.name: row.length for row in store.rows} == dict(zip(names, LENGTHS, strict=True))
    assert read_inputs(tmp_path / "d.npz").names == names
    for odd in ([1, 2, 3, 4, 5], ["a", "b"]):
        assert "name must be text (5,)" in fault(lambda odd=odd: read_sequences(ragged(tmp_path, name=odd)))


def test_names_that_a_file_gives_are_kept_and_others_are_counted() -> None:
    def names(given: list[str]) -> list[str]:
        count = len(given)
        table = SequenceTable(np.ones((count, 1), np.float32), np.ones(count, int), given, np.zeros(count, int))
        return list(ready_sequences(table, Path("d.npz"), "").parts[0].names)

    assert names(["b", "a b", "é/1"]) == ["b", "a b", "é/1"]
    assert names(["0", "1", "2"]) == ["s00000", "s00001", "s00002"]
    many = names([str(k) for k in range(100_001)])
    assert many == sorted(many)
    assert many[-1] == "s100000"
    assert "d.npz: 2 sequences are called 'a'" in fault(lambda: names(["a", "b", "a"]))
    assert "d.npz: a clip needs a name" in fault(lambda: names(["a", ""]))


def test_a_store_without_a_split_is_made_and_what_to_do_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = ragged(tmp_path, split=None)
    assert main(command(path, "--out", tmp_path / "s")) == 0
    said = capsys.readouterr().out
    assert "has no array split: the clips will be in none" in said
    assert "5 clips of 3 classes in" in said
    assert "no split" in said.splitlines()[-1]
    assert [row.splits for row in FeatureStore.open(tmp_path / "s").rows] == [{}] * 5
    assert "none of which is in a split" in fault(lambda: Ucf101(store=tmp_path / "s", split="split").load(0))


def test_the_task_trains_on_what_was_imported(tmp_path: Path) -> None:
    imported(read_sequences(ragged(tmp_path, y=[1, 0, 1, 1, 0])), tmp_path / "s")
    data = Ucf101(store=tmp_path / "s", split="split", validation="given").load(0)
    assert {side: chosen.names for side, chosen in sets(data).items()} == {
        "train": ["s00000", "s00001", "s00004"],
        "valid": ["s00002"],
        "test": ["s00003"],
    }
    assert data.class_names == ("clap", "wave")


# --- stopped, and gone on with


def makers(folder: Path) -> list[tuple[Callable[[], ReadyFeatures], int]]:
    """Both kinds of source, and how many clips they have."""
    source = quantised(folder / "data" / "vgg", {"Archery": 4, "Biking": 3})
    return [(lambda: read_ucf101(source), 7), (lambda: read_sequences(ragged(folder)), 5)]


@pytest.mark.parametrize("kind", [0, 1], ids=["quantised", "sequences"])
@pytest.mark.parametrize("after", [1, 4])
def test_an_import_that_broke_off_goes_on_to_the_same_store(tmp_path: Path, kind: int, after: int) -> None:
    make, total = makers(tmp_path)[kind]
    whole = imported(make(), tmp_path / "whole")
    told: list[tuple[int, int]] = []

    def broken(done: int, of: int) -> None:
        told.append((done, of))
        if done == after:
            raise RuntimeError("the lights went out")

    with pytest.raises(RuntimeError, match="lights"):
        make().fill(make().open_store(tmp_path / "s"), progress=broken)
    assert len(FeatureStore.open(tmp_path / "s").rows) == after
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "s" / "clips").glob("[!.]*")}
    ready = make()
    assert ready.fill(ready.open_store(tmp_path / "s"), progress=lambda *done: told.append(done))
    assert told == [(k, total) for k in range(1, total + 1)]
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert FeatureStore.open(tmp_path / "s").fingerprint() == whole.fingerprint()


def test_stop_is_asked_before_each_clip(tmp_path: Path) -> None:
    ready = read_sequences(ragged(tmp_path))
    store = ready.open_store(tmp_path / "s")
    answers = iter([False, False, True])
    assert not ready.fill(store, stop=lambda: next(answers))
    assert store.names == {"s00000", "s00001"}
    assert ready.fill(store, stop=lambda: len(store.names) == 5)


def test_files_whose_clips_are_there_are_not_opened(tmp_path: Path) -> None:
    source = quantised(tmp_path / "vgg", {"Archery": 4, "Biking": 3})
    imported(read_ucf101(source), tmp_path / "s")
    (source / "Biking.npz").unlink()
    imported(read_ucf101(source), tmp_path / "s")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_cleanly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    source = quantised(tmp_path / "vgg", {"Archery": 4, "Biking": 3})
    words = command(source, "--out", tmp_path / "s")
    append = FeatureStore.append

    def interrupted(store: FeatureStore, row: ClipRow, features: Any) -> None:
        if len(store.names) == 2:
            signal.raise_signal(number)
        append(store, row, features)

    before = signal.getsignal(number)
    monkeypatch.setattr(FeatureStore, "append", interrupted)
    assert main(words) == status
    said = capsys.readouterr()
    assert "the same command goes on" in said.out
    assert said.err == ""
    assert signal.getsignal(number) == before
    # The clip in hand is finished.
    assert len(FeatureStore.open(tmp_path / "s").rows) == 3
    monkeypatch.setattr(FeatureStore, "append", append)
    assert main(words) == 0
    assert "3 are in the store already" in capsys.readouterr().out
    whole = imported(read_ucf101(source), tmp_path / "whole")
    assert FeatureStore.open(tmp_path / "s").fingerprint() == whole.fingerprint()


def test_a_full_disk_keeps_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from nprnn.feature_store import store as module

    written: list[Path] = []
    real = module.write_atomically

    def full(path: Path, content: bytes) -> None:
        if len(written) == 4:
            raise OSError(28, "No space left on device")
        written.append(path)
        real(path, content)

    words = command(ragged(tmp_path), "--out", tmp_path / "s")
    monkeypatch.setattr(module, "write_atomically", full)
    assert main(words) == 2
    assert "No space left on device" in capsys.readouterr().err
    monkeypatch.setattr(module, "write_atomically", real)
    # store.json was the first file.
    assert len(FeatureStore.open(tmp_path / "s").rows) == 3
    assert main(words) == 0
    assert len(FeatureStore.open(tmp_path / "s").rows) == 5


def test_a_store_of_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "s"
    assert main(command(ragged(tmp_path), "--out", out)) == 0
    before = FeatureStore.open(out).fingerprint()
    path = tmp_path / "d.npz"
    assert main(command(path, "--out", out, "--split-name", "other")) == 2
    assert "their split is 'split', wanted 'other'" in capsys.readouterr().err
    ragged(tmp_path, y=[0, 0, 2, 1, 0])
    assert main(command(path, "--out", out)) == 2
    assert "their sha256 is" in capsys.readouterr().err
    assert main(command(quantised(tmp_path / "vgg", {"Archery": 2}), "--out", out)) == 2
    assert "holds other features" in capsys.readouterr().err
    assert FeatureStore.open(out).fingerprint() == before


def test_a_folder_named_in_another_way_is_the_same_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = quantised(tmp_path / "data" / "vgg", {"Archery": 3})
    wanted = read_ucf101(source).provenance
    monkeypatch.chdir(source)
    assert read_ucf101(Path(".")).provenance == wanted
    monkeypatch.chdir(tmp_path)
    assert read_ucf101(Path("data/vgg/")).provenance == wanted


# --- the command line


def test_both_kinds_through_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = quantised(tmp_path / "data" / "vgg", {"Archery": 9, "Biking": 3})
    assert main(command(source, "--out", tmp_path / "q")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{source}: 12 clips, to {tmp_path / 'q'}"
    assert lines[-1].startswith(
        f"12 clips of 2 classes in {tmp_path / 'q'}, 3 features a step, 9 groups, split 01: train 2 test 10, "
        "split 02: train 10, split 03: train 12, "
    )
    assert (
        FeatureStore.open(tmp_path / "q").fingerprint() == imported(read_ucf101(source), tmp_path / "r").fingerprint()
    )

    path = ragged(tmp_path)
    assert main(command(path, "--out", tmp_path / "s", "--split-name", "mine")) == 0
    assert (
        f"5 clips of 3 classes in {tmp_path / 's'}, 2 features a step, 4 groups, split mine: train 3 valid 1 test 1, "
        in capsys.readouterr().out
    )
    store = imported(read_sequences(path, "mine"), tmp_path / "t")
    assert FeatureStore.open(tmp_path / "s").fingerprint() == store.fingerprint()

    assert main(command(path, "--out", tmp_path / "s", "--split-name", "mine")) == 0
    assert "5 are in the store already and not done again" in capsys.readouterr().out


def test_values_too_small_for_float16_come_through_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The command line flushes denormals of float32 to zero; those of float16 must stay.
    x = np.float32([[2.0**-24, 3 * 2.0**-24], [2.0**-26, 2.0**-15]])
    assert main(command(ragged(tmp_path, x=np.resize(x, (15, 2))), "--out", tmp_path / "s")) == 0
    assert "changes them by up to 100.00%" in capsys.readouterr().out
    found = FeatureStore.open(tmp_path / "s").features(0)
    assert found.tolist() == [[2.0**-24, 3 * 2.0**-24], [0.0, 2.0**-15], [2.0**-24, 3 * 2.0**-24]]


def test_clips_that_the_source_no_longer_has_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = imported(read_sequences(ragged(tmp_path)), tmp_path / "s")
    store.append(ClipRow("of my own", "wave", None, {}, 1), np.ones((1, 2)))
    assert main(command(tmp_path / "d.npz", "--out", tmp_path / "s")) == 0
    said = capsys.readouterr().out
    assert "1 clips in the store are not in" in said
    assert "5 are in the store already" in said
    assert "6 clips of 3 classes" in said


def test_progress_in_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(importing, "console", Console(file=stream, force_terminal=True, width=120, highlight=False))
    assert main(command(ragged(tmp_path), "--out", tmp_path / "s")) == 0
    assert re.search(r"clips .*5/5.* clips/s", stream.getvalue())


# --- refused


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"y": [0.5, 1, 2, 3, 4], "class_names": None}, ["y is float64 (5,), numbers to predict", "train sequences"]),
        ({"y": [0.0, 1, 2, 1, 0]}, ["y is float64 (5,), numbers to predict", "integers or text"]),
        ({"y": np.ones((5, 2), int)}, ["y is int64 (5, 2), numbers to predict"]),
        ({"y": np.ones(15, int)}, ["y has a target for each step", "train sequences --data"]),
        ({"y": [0, 1, 2, 3, 0]}, ["1 labels are none of the 3 class_names", "3 at 3"]),
        ({"y": [1, 0, 2, 1]}, ["y has shape (4,)", "5 sequences"]),
        ({"y": None}, ["'y' is missing"]),
        ({"class_names": ["a", "a", "b"]}, ["class_names must be at least one, and each another"]),
        ({"class_names": ["a", "", "b"]}, ["needs a name and a label"]),
        ({"y": [0.0, 1, 2, 1, 0]}, ["all are whole, so y.astype(int)"]),
        ({"y": np.eye(3, dtype=int)[[1, 0, 2, 1, 0]]}, ["y is int64 (5, 3)", "so y.argmax(-1)"]),
        ({"x": with_value(np.nan, 9, 1, like=LONG)}, ["1 of 30 values NaN", "sequence 3 has 1, the first at step 1"]),
        ({"x": with_value(-np.inf, 9, 1, like=LONG)}, ["1 of 30 values NaN or infinite", "feature 1: -inf"]),
        ({"x": with_value(1e39, 9, 1, like=LONG)}, ["beyond float32", "sequence 3", "step 1, feature 1: 1e+39"]),
        ({"x": with_value(-65520, 9, 1, like=LONG)}, ["(sequence 3, s00003, step 1, feature 1)", "±65504"]),
        ({"x": with_value(1e30, 0, 0, like=LONG)}, ["1e+30 (sequence 0, s00000, step 0, feature 0)"]),
        ({"lengths": [3, 1, 4, 2, 6]}, ["lengths add up to 16"]),
        ({"group": [7, 7, 2, 7, 9]}, ["group 7 is in train and test; a group belongs to one set"]),
        ({"group": ["a", "b", "b", "c", "d"]}, ["group b is in train and valid"]),
        ({"group": [1.0, 1, 2, 3, 4]}, ["group must be integers or text"]),
        ({"split": ["train", "train", "validation", "test", "train"]}, ["unknown split 'validation'", "'valid'"]),
        ({"split": ["train"] * 5}, ["names train but no 'test'"]),
        ({"split": ["test"] * 5}, ["names test but no 'train'"]),
        ({"label": [0] * 5}, ["unknown array 'label'"]),
    ],
)
def test_files_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, Any], words: list[str]
) -> None:
    path = ragged(tmp_path, **changed)
    assert main(command(path, "--out", tmp_path / "s")) == 2
    said = capsys.readouterr().err
    for word in [str(path), *words]:
        assert word in said
    assert not (tmp_path / "s").exists()


def test_the_largest_number_of_float16_is_taken(tmp_path: Path) -> None:
    x = with_value(65519, 9, 1, like=np.ones((15, 2)))
    store = imported(read_sequences(ragged(tmp_path, x=x)), tmp_path / "s")
    assert store.features(3)[1].tolist() == [1.0, 65504.0]


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    path = save(tmp_path / "d.npz", x=np.array([[1], [1, 2]], object), y=[0, 1])
    assert "never read" in fault(lambda: read_sequences(path))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = ragged(tmp_path)
    path.write_bytes(path.read_bytes()[:-200])
    assert f"{path}: damaged" in fault(lambda: read_sequences(path))


def test_a_split_name_for_no_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = ragged(tmp_path, split=None)
    assert "has no array split to call so" in fault(lambda: read_sequences(path, "mine"), ConfigError)
    for source, name, words in [
        (path, "", "at least one character"),
        (quantised(tmp_path / "vgg", {"Archery": 2}), "mine", "names its splits itself"),
    ]:
        assert main(command(source, "--out", tmp_path / "s", "--split-name", name)) == 2
        assert words in capsys.readouterr().err


def test_sources_that_are_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def words(source: Path) -> str:
        assert main(command(source, "--out", tmp_path / "s")) == 2
        assert not (tmp_path / "s").exists()
        said = capsys.readouterr().err
        assert str(source) in said
        return said

    def folder(name: str, *files: str, index: str | None = None) -> Path:
        for file in (".here", *files):
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).touch()
        if index is not None:
            (tmp_path / name / "index.csv").write_text(index)
        return tmp_path / name

    expected = "expected a folder with an index.csv (class, clip, row, group, split01, ...) and a <class>.npz for each"
    for found in (words(tmp_path / "nowhere"), words(folder("empty")), words(folder("t", "notes.txt") / "notes.txt")):
        assert expected in found
        assert ".npz of classified sequences" in found
    assert "there is no such file or folder" in words(tmp_path / "nowhere.npz")
    assert "`nprnn features`" in words(folder("videos", "Archery/a.AVI"))
    assert "`nprnn features`" in words(folder("flat", "b.mp4"))
    assert "is a video; `nprnn features`" in words(tmp_path / "flat" / "b.mp4")
    for index in ("file,label\na.csv,x\n", "\ufeffpath,label,group\nb.avi,x,1\n"):
        found = words(folder("listed", index=index))
        assert "`nprnn train sequences --data`" in found
        assert "`nprnn features`" in found
        assert expected in found
    # What is meant to be an index of features is told what it lacks.
    assert "lacks the column 'group'" in words(folder("short", index="class,clip,row\n"))
    assert "names no clips" in words(folder("none", index="class,clip,row,group\n"))
    assert "not an index" in words(folder("odd", index="class,clip,row,group\nA,a,zero,1\n"))
    (tmp_path / "odd" / "index.csv").write_bytes(b"\xff\xfe\x00")
    assert "not an index" in words(tmp_path / "odd")
    store = imported(read_sequences(ragged(tmp_path)), tmp_path / "made").folder
    assert f"is a feature store already: nprnn train ucf101 --store {store}" in words(store)


def test_an_out_that_is_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    path = save(tmp_path / "data" / "d.npz", x=X, y=Y)
    assert main(command(path, "--out", path.parent)) == 2
    assert "no feature store and not empty" in capsys.readouterr().err
    assert main(command(path, "--out", path)) == 2
    assert "cannot write" in capsys.readouterr().err


# --- the real data


@pytest.mark.slow
@pytest.mark.real_data
def test_the_ready_features_of_ucf101(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = real_data("ucf101/vgg16_relu6/index.csv").parent
    assert main(command(source, "--out", tmp_path / "s")) == 0
    assert "1362 clips of 10 classes" in capsys.readouterr().out
    store = FeatureStore.open(tmp_path / "s")
    assert (len(store.rows), store.width, {row.length for row in store.rows}) == (1362, 4096, {25})
    data = Ucf101(store=tmp_path / "s").load(0)
    assert [len(chosen) for chosen in sets(data).values()] == [922, 60, 380]
    places = {row.name: k for k, row in enumerate(store.rows)}
    for label in ("ApplyLipstick", "BodyWeightSquats"):
        with np.load(source / f"{label}.npz") as file:
            scale, q, names = float(file["xmax"]), file["q"], file["name"].tolist()
            for k, name in enumerate(names):
                x = scale * (q[k].T / int(file["levels"])) ** 2
                np.testing.assert_array_equal(store.features(places[name]), x.astype(np.float16))


@pytest.fixture(scope="module")
def skeletons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MSR Action3D as sequences, all odd subjects for training."""
    raw, out = real_data("msraction3d/msraction3d.npz"), tmp_path_factory.mktemp("msr") / "actions.npz"
    subprocess.run([sys.executable, ROOT / "examples" / "msraction3d.py", raw, out, "final"], check=True)
    return out


@pytest.mark.real_data
def test_the_skeletons_of_msraction3d(tmp_path: Path, skeletons: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(skeletons, "--out", tmp_path / "s", "--split-name", "subjects")) == 0
    assert (
        "180 features a step, 10 groups, split subjects: train 284 test 273" in capsys.readouterr().out.splitlines()[-1]
    )
    store = FeatureStore.open(tmp_path / "s")
    assert (len(store.rows), store.width) == (557, 180)
    with np.load(skeletons) as file:
        names = file["class_names"].tolist()
        facts = zip(file["lengths"], file["y"], file["group"], file["split"], strict=True)
        assert [(row.length, row.label, row.group, row.splits) for row in store.rows] == [
            (length, names[y], subject, {"subjects": side}) for length, y, subject, side in facts
        ]
        x = np.concatenate([store.features(k) for k in range(557)])
        np.testing.assert_array_equal(x, file["x"].astype(np.float16))
    assert (min(row.length for row in store.rows), max(row.length for row in store.rows)) == (13, 76)
    for fold, subject in enumerate([1, 3, 5, 7, 9]):
        found = sets(Ucf101(store=tmp_path / "s", split="subjects", validation=f"fold{fold}", folds=5).load(0))
        subjects = {side: {chosen.store.rows[place].group for place in chosen.places} for side, chosen in found.items()}
        assert subjects == {"train": {1, 3, 5, 7, 9} - {subject}, "valid": {subject}, "test": {2, 4, 6, 8, 10}}


@pytest.mark.slow
@pytest.mark.real_data
def test_training_on_the_skeletons(tmp_path: Path, skeletons: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(skeletons, "--out", tmp_path / "s", "--split-name", "subjects")) == 0
    words = ["--split", "subjects", "--validation", "fold0", "--folds", "5", "--scaling", "standardise"]
    words += ["--preset", "quick", "--threads", "1", "--out", str(tmp_path / "runs")]
    assert main(["train", "ucf101", "--store", str(tmp_path / "s"), *words]) == 0
    (folder,) = [path.parent for path in (tmp_path / "runs").glob("*/config.json")]
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    # 0.35 and 0.44 were seen; a constant answer reaches 0.05 of each.
    assert last["valid"]["accuracy"] > 0.2
    assert last["test"]["accuracy"] > 0.3
