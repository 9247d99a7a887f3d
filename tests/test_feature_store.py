"""The feature store: what goes in comes out; kills, damage, hostile names and second writers harm nothing."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nprnn.errors import DataError
from nprnn.feature_store import ClipRow, FeatureStore

SOURCE = {"network": "made up", "frames": 3}


def made(folder: Path, names: tuple[str, ...] = ("b", "a", "c"), width: int = 4) -> FeatureStore:
    store = FeatureStore.create(folder, SOURCE, width)
    for k, name in enumerate(names):
        store.append(row(name, k + 2), numbers(k + 2, width, k))
    return store


def row(name: str = "clip", length: int = 2, **facts: Any) -> ClipRow:
    return ClipRow(**{"name": name, "label": "x", "group": 1, "splits": {"01": "train"}, "length": length, **facts})


def numbers(length: int, width: int = 4, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(length, width)).astype(np.float16).astype(np.float32)


def clip_file(store: FeatureStore, k: int = 0) -> Path:
    return sorted((store.folder / "clips").iterdir())[k]


def fault(act: Any) -> str:
    with pytest.raises(DataError) as caught:
        act()
    return str(caught.value)


# --- what goes in comes out

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
ROWS = st.builds(
    ClipRow,
    name=TEXT,
    label=TEXT,
    group=st.none() | st.integers(-5, 10**12),
    splits=st.dictionaries(TEXT, st.sampled_from(["train", "valid", "test"]), max_size=3),
    length=st.integers(1, 5),
)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(ROWS, max_size=5, unique_by=lambda r: r.name), width=st.integers(1, 5), data=st.data())
def test_a_store_gives_back_what_it_was_given(rows: list[ClipRow], width: int, data: st.DataObject) -> None:
    finite = st.floats(-65504, 65504, width=16)
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore.create(Path(folder) / "store", SOURCE, width)
        given_values = {}
        with store.lock():
            for r in rows:
                flat = data.draw(st.lists(finite, min_size=r.length * width, max_size=r.length * width))
                given_values[r.name] = np.array(flat, np.float64).reshape(r.length, width)
                store.append(r, given_values[r.name])
        again = FeatureStore.open(Path(folder) / "store")
        for found in (store, again):
            assert found.rows == tuple(sorted(rows, key=lambda r: r.name))
            assert found.names == set(given_values)
            assert (found.width, found.provenance) == (width, SOURCE)
            for k, r in enumerate(found.rows):
                values = found.features(k)
                assert values.dtype == np.float16
                np.testing.assert_array_equal(values, given_values[r.name])
        assert store.fingerprint() == again.fingerprint()


def test_features_are_mapped_and_cannot_be_changed(tmp_path: Path) -> None:
    values = made(tmp_path / "s").features(0)
    assert isinstance(values, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 1


def test_a_clips_file_is_plain_safetensors(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    store = made(tmp_path / "s", ("a",))
    (tensors,) = [load_file(p) for p in (store.folder / "clips").iterdir()]
    np.testing.assert_array_equal(tensors["features"], numbers(2))


def test_reading_a_store_takes_the_memory_of_none_of_it(tmp_path: Path) -> None:
    store = FeatureStore.create(tmp_path / "s", SOURCE, 4096)
    clip = np.ones((64, 4096), np.float16)
    with store.lock():
        for k in range(16):
            store.append(row(f"{k}", 64), clip)
    tracemalloc.start()
    again = FeatureStore.open(store.folder)
    assert sum(int(again.features(k).sum(dtype=np.int64)) for k in range(16)) == 16 * clip.size
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < clip.nbytes


def test_opening_reads_no_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = made(tmp_path / "s")
    monkeypatch.setattr("nprnn.feature_store.store.checksum", lambda values: pytest.fail("features were read"))
    assert len(FeatureStore.open(store.folder).rows) == 3


def test_a_checksum_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FeatureStore.open(made(tmp_path / "s").folder)
    store.features(1)
    monkeypatch.setattr("nprnn.feature_store.store.checksum", lambda values: pytest.fail("taken again"))
    store.features(1)


def test_the_fingerprint_is_of_the_contents_and_of_no_order(tmp_path: Path) -> None:
    def store(name: str, *clips: tuple[ClipRow, NDArray[np.float32]], source: Any = SOURCE) -> str:
        made_here = FeatureStore.create(tmp_path / name, source, 4)
        for clip in clips:
            made_here.append(*clip)
        return made_here.fingerprint()

    a, b = (row("a"), numbers(2)), (row("b"), numbers(2, seed=1))
    other = numbers(2, seed=1)
    other[1, 3] += 1
    first = store("1", a, b)
    assert store("2", b, a) == first
    others = [
        store("3", a),
        store("4", a, (row("b"), other)),
        store("5", a, (row("b", label="y"), b[1])),
        store("6", a, (row("b", splits={"01": "test"}), b[1])),
        store("7", a, b, source={**SOURCE, "frames": 4}),
    ]
    assert len({first, *others}) == 6


# --- what is refused


@pytest.mark.parametrize(
    ("odd", "features", "words"),
    [
        (row(""), numbers(2), "needs a name and a label"),
        (row("\ud800"), numbers(2), "UTF-8"),
        (row(label=3), numbers(2), "needs a name and a label"),
        (row(group="7"), numbers(2), "group must be a whole number or None"),
        (row(group=True), numbers(2), "group must be a whole number or None"),
        (row(splits={"01": "training"}), numbers(2), "train, valid, test"),
        (row(splits={1: "train"}), numbers(2), "train, valid, test"),
        (row(length=0), numbers(0), "steps from 1"),
        (row(), numbers(3), r"needs floats \[2, 4\], got float32 \[3, 4\]"),
        (row(), numbers(2).astype(int), "needs floats"),
        (row(), numbers(2) * np.nan, "NaN or beyond float16"),
        (row(), numbers(2) * 1e9, "NaN or beyond float16"),
        (row("a"), numbers(2), "already"),
    ],
)
def test_clips_that_make_no_sense_are_refused_and_leave_nothing(
    tmp_path: Path, odd: ClipRow, features: NDArray[np.float32], words: str
) -> None:
    store = made(tmp_path / "s", ("a",))
    before = store.fingerprint()
    assert re.search(words, fault(lambda: store.append(odd, features)))
    assert FeatureStore.open(store.folder).fingerprint() == before == store.fingerprint()


def test_creating_again_opens_the_same_and_refuses_another(tmp_path: Path) -> None:
    store = made(tmp_path / "s")
    assert FeatureStore.create(store.folder, SOURCE, 4).names == {"a", "b", "c"}
    assert "their width is 4, wanted 5" in fault(lambda: FeatureStore.create(store.folder, SOURCE, 5))
    for provenance, words in (
        ({**SOURCE, "frames": 9}, "their frames is 3, wanted 9"),
        ({"frames": 3}, "their network is 'made up', wanted None"),
        ({**SOURCE, "more": None}, "their more is None, wanted None"),
    ):
        assert words in fault(lambda p=provenance: FeatureStore.create(store.folder, p, 4))


def test_a_folder_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert "not empty" in fault(lambda: FeatureStore.create(tmp_path, SOURCE, 4))
    assert "has no store.json" in fault(lambda: FeatureStore.open(tmp_path))
    assert "has no store.json" in fault(lambda: FeatureStore.open(tmp_path / "nowhere"))
    assert "cannot write" in fault(lambda: FeatureStore.create(tmp_path / "thesis.txt", SOURCE, 4))
    assert "JSON" in fault(lambda: FeatureStore.create(tmp_path / "new", {"a": object()}, 4))
    assert "JSON" in fault(lambda: FeatureStore.create(tmp_path / "new", {"a": np.nan}, 4))
    assert "width" in fault(lambda: FeatureStore.create(tmp_path / "new", {}, 0))
    assert not (tmp_path / "new").exists()


HOSTILE = [
    "../../escape",
    "/etc/passwd",
    "..",
    ".",
    ".hidden",
    "C:\\con",
    "nul",
    "a\0b",
    "line\nbreak",
    "clip",
    "CLIP",
    "Clip",
    "\u00e9",
    "e\u0301",
    "ß",
    "ss",
    "x" * 5000,
    "x" * 5001,
    "*",
    " ",
]


def test_hostile_names_stay_in_the_folder_and_apart(tmp_path: Path) -> None:
    store = made(tmp_path / "s", tuple(HOSTILE), width=2)
    assert [r.name for r in FeatureStore.open(store.folder).rows] == sorted(HOSTILE)
    files = [p.name for p in (store.folder / "clips").iterdir()]
    assert len({name.lower() for name in files}) == len(HOSTILE)
    assert all(re.fullmatch(r"[a-z0-9-]{1,75}\.safetensors", name) and not name.startswith(".") for name in files)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s"]


# --- damage


@settings(max_examples=150, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), how=st.sampled_from(["flip", "cut", "grow"]))
def test_a_damaged_clip_is_named_and_never_read_as_another(place: float, bit: int, how: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = made(Path(folder) / "s", ("a",))
        path = clip_file(store)
        content = bytearray(path.read_bytes())
        at = int(place * len(content))
        if how == "flip":
            content[at] ^= 1 << bit
        elif how == "cut":
            del content[at:]
        else:
            content += b"\0" * (at + 1)
        path.write_bytes(content)
        message = fault(lambda: FeatureStore.open(store.folder).features(0))
        assert str(path) in message
        assert "delete it" in message
        assert fault(lambda: FeatureStore.open(store.folder).verify()) == message


@settings(max_examples=40, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_a_damaged_store_json_is_named(place: float, bit: int, cut: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = made(Path(folder) / "s", ()).folder / "store.json"
        content = bytearray(path.read_bytes())
        at = int(place * len(content))
        if cut:
            del content[at:]
        else:
            content[at] ^= 1 << bit
        path.write_bytes(content)
        # Blank space between values is of no account, and an opened store is the one that was made.
        with contextlib.suppress(DataError):
            found = FeatureStore.open(path.parent)
            assert (found.width, found.provenance) == (4, SOURCE)
            return
        assert str(path) in fault(lambda: FeatureStore.open(path.parent))


def test_a_file_that_was_copied_or_lost_is_noticed(tmp_path: Path) -> None:
    store = made(tmp_path / "s", ("a", "b"))
    path = clip_file(store)
    other = path.with_name("copy-of-a.safetensors")
    other.write_bytes(path.read_bytes())
    assert "copy-of-a.safetensors is damaged (it holds 'a'" in fault(lambda: FeatureStore.open(store.folder))
    other.unlink()
    path.unlink()
    assert str(path) in fault(lambda: store.features(0))
    assert FeatureStore.open(store.folder).names == {"b"}


def test_a_clip_of_another_width_is_refused(tmp_path: Path) -> None:
    wide, narrow = made(tmp_path / "wide", ("a",), width=8), made(tmp_path / "narrow", (), width=4)
    path = narrow.folder / "clips" / clip_file(wide).name
    path.write_bytes(clip_file(wide).read_bytes())
    assert "expected ['features'] F16 [2, 4], found ['features'] F16 [2, 8]" in fault(
        lambda: FeatureStore.open(narrow.folder)
    )


# --- kills, full disks, second writers

WRITER = """
import sys
from pathlib import Path
import numpy as np
from nprnn.feature_store import ClipRow, FeatureStore
store = FeatureStore.create(Path(sys.argv[1]), {}, 512)
with store.lock():
    for k in range(len(store.rows), 100_000):
        store.append(ClipRow(str(k), "x", None, {}, 40), np.full((40, 512), k % 2000, np.float16))
        print(k, flush=True)
"""


def test_a_kill_while_appending_loses_at_most_the_clip_in_hand(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    for wait in (0.0, 0.0173):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(5)]
        time.sleep(wait)
        os.kill(writer.pid, signal.SIGKILL)
        told += [int(line) for line in writer.stdout.read().split()]
        writer.wait()
        store = FeatureStore.open(folder)
        assert store.names >= {str(k) for k in told}
        assert len(store.rows) <= max(told) + 2
        for k, found in enumerate(store.rows):
            assert (store.features(k) == int(found.name) % 2000).all()


def test_what_a_killed_writer_left_is_no_clip_and_is_swept(tmp_path: Path) -> None:
    store = made(tmp_path / "s", ("a",))
    litter = store.folder / "clips" / f".{clip_file(store).name}.x81jd"
    litter.write_bytes(b"half")
    assert FeatureStore.open(store.folder).names == {"a"}
    with store.lock():
        assert not litter.exists()


def test_clips_are_relabelled_and_their_features_stay(tmp_path: Path) -> None:
    store = made(tmp_path / "s")
    whole, old, files = store.fingerprint(), store.rows, {path: path.read_bytes() for path in tmp_path.rglob("*.safe*")}
    features = [store.features(k).copy() for k in range(3)]
    news = [old[1]._replace(label="other" * 9, group=None, splits={"01": "test"}), old[2]._replace(label="y")]
    store.relabel(news)
    for seen in (store, FeatureStore.open(tmp_path / "s")):
        assert seen.rows == (old[0], *news)
        seen.verify()
        for k in range(3):
            assert np.array_equal(seen.features(k), features[k])
    assert store.fingerprint() != whole
    assert store.fingerprint() == FeatureStore.open(tmp_path / "s").fingerprint()
    store.relabel(old[1:])
    assert store.fingerprint() == whole
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.safe*")} == files


def test_relabelling_refuses_what_it_cannot_keep(tmp_path: Path) -> None:
    store = made(tmp_path / "s")
    good = store.rows[0]._replace(label="new")
    for odd, words in (
        (row("none", label="x"), "no clip 'none'"),
        (store.rows[1]._replace(length=store.rows[1].length + 1), "steps to relabel"),
        (store.rows[1]._replace(label=""), "needs a name and a label"),
    ):
        assert words in fault(lambda odd=odd: store.relabel([good, odd]))
        # What came before it was done.
        assert store.rows[0] == good
        assert FeatureStore.open(tmp_path / "s").rows == store.rows
    path = clip_file(store, 1)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    spoilt = FeatureStore.open(tmp_path / "s")
    assert "is damaged" in fault(lambda: spoilt.relabel([spoilt.rows[1]._replace(label="new")]))
    other = FeatureStore.open(tmp_path / "s")
    with store.lock():
        assert "another process is writing" in fault(lambda: other.relabel([good]))


def test_a_full_disk_is_told_and_harms_nothing(small_disk: Path) -> None:
    store = FeatureStore.create(small_disk / "s", SOURCE, 1024)

    def fill() -> None:
        for k in range(100):
            store.append(row(f"{k}", 100), np.full((100, 1024), k, np.float16))

    assert "cannot write" in fault(fill)
    again = FeatureStore.open(store.folder)
    assert again.names == store.names
    assert 0 < len(again.names) < 100
    assert all((again.features(k) == int(r.name)).all() for k, r in enumerate(again.rows))


def test_there_is_one_writer_at_a_time_and_it_sees_what_others_wrote(tmp_path: Path) -> None:
    first = made(tmp_path / "s", ("a",))
    second = FeatureStore.open(first.folder)
    with first.lock(), first.lock():
        first.append(row("b"), numbers(2))
        assert "another process is writing" in fault(lambda: second.append(row("c"), numbers(2)))
    second.append(row("c"), numbers(2))
    assert second.names == {"a", "b", "c"}
    assert "already" in fault(lambda: first.append(row("c"), numbers(2)))
    assert first.names == {"a", "b", "c"}


def test_a_second_writer_can_wait(tmp_path: Path) -> None:
    first = made(tmp_path / "s", ("a",))
    second = FeatureStore.open(first.folder)
    seen: list[set[str]] = []

    def wait() -> None:
        with second.lock(wait=True):
            seen.append(second.names)

    with first.lock():
        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.1)
        assert not seen
        first.append(row("b"), numbers(2))
    waiting.join(timeout=30)
    assert seen == [{"a", "b"}]


def test_the_clips_read_last_stay_open_and_no_more_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = made(tmp_path / "s", ("a", "b", "c"))
    sizes = [whole.features(k).nbytes for k in range(3)]
    store = FeatureStore.open(whole.folder)
    monkeypatch.setattr("nprnn.feature_store.store._MAPPED", sizes[0] + max(sizes[1:]))
    first = store.features(0)
    store.features(1)
    assert store.features(0) is first
    store.features(2)
    assert store.features(0) is first
    assert list(store._mapped) == ["c", "a"]
