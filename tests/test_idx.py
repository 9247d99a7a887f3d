"""The IDX reader: every type both ways, every lie a header can tell, and the checks between the four files."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import struct
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nprnn.errors import DataError
from nprnn.tasks import idx

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = idx.MNIST_MD5
Array = npt.NDArray[Any]


def header(code: int, *shape: int) -> bytes:
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def encode(array: Array) -> bytes:
    return header(CODES[array.dtype.name], *array.shape) + array.astype(array.dtype.newbyteorder(">")).tobytes()


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def fault(path: Path) -> str:
    """The message that reading the file gives; it always names the file."""
    with pytest.raises(DataError) as caught:
        idx.read_idx(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def small_set() -> dict[str, Array]:
    rng = np.random.default_rng(5)
    return {
        TRAIN_IMAGES: rng.integers(0, 256, (6, 3, 4), dtype=np.uint8),
        TRAIN_LABELS: np.array([0, 1, 2, 3, 1, 0], np.uint8),
        TEST_IMAGES: rng.integers(0, 256, (2, 3, 4), dtype=np.uint8),
        TEST_LABELS: np.array([3, 0], np.uint8),
    }


def put_set(folder: Path, **changed: Array | None) -> Path:
    """Write the small set, with files replaced (or left out, None) by a key such as ``train_labels``."""
    stems = {"train_images": TRAIN_IMAGES, "train_labels": TRAIN_LABELS}
    stems |= {"test_images": TEST_IMAGES, "test_labels": TEST_LABELS}
    arrays: dict[str, Array | None] = {**small_set()}
    arrays.update({stems[key]: array for key, array in changed.items()})
    for stem, array in arrays.items():
        if array is not None:
            put(folder / stem, encode(array))
    return folder


def set_fault(folder: Path, *, any_idx: bool = True) -> str:
    with pytest.raises(DataError) as caught:
        idx.load_idx_set(folder, any_idx=any_idx)
    return str(caught.value)


# read_idx


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("name", CODES)
def test_every_type_comes_back(tmp_path: Path, name: str, gzipped: bool) -> None:
    array = (np.arange(24).reshape(2, 3, 4) * 5 - (0 if name == "uint8" else 60)).astype(name)
    content = encode(array)
    read = idx.read_idx(put(tmp_path / "any name", gzip.compress(content) if gzipped else content))
    np.testing.assert_array_equal(read, array)
    assert read.dtype == np.dtype(name)
    assert read.dtype.isnative
    assert read.flags.writeable


@settings(max_examples=60, deadline=None)
@given(
    array=st.sampled_from(sorted(CODES)).flatmap(
        lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=1, max_dims=5, min_side=1, max_side=5))
    ),
    gzipped=st.booleans(),
)
def test_any_array_comes_back(array: Array, gzipped: bool) -> None:
    content = encode(array)
    with tempfile.TemporaryDirectory() as folder:
        read = idx.read_idx(put(Path(folder) / "a", gzip.compress(content) if gzipped else content))
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=64), magic=st.sampled_from([b"", b"\0\0", b"\0\0\x08\x01", b"\x1f\x8b\x08"]))
def test_noise_is_read_or_refused_but_never_crashes(content: bytes, magic: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder) / "a", magic + content)
        with contextlib.suppress(DataError):
            assert encode(idx.read_idx(path)) == magic + content


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 10_000), gzipped=st.booleans())
def test_a_file_cut_anywhere_is_refused(at: int, gzipped: bool) -> None:
    content = encode(np.random.default_rng(0).integers(0, 256, (4, 5, 6), dtype=np.uint8))
    content = gzip.compress(content) if gzipped else content
    with tempfile.TemporaryDirectory() as folder:
        fault(put(Path(folder) / "a", content[: at % len(content)]))


def test_a_missing_file_lists_what_is_there(tmp_path: Path) -> None:
    put(tmp_path / "t10k-labels.idx1-ubyte.gz", b"")
    put(tmp_path / "notes.txt", b"")
    message = fault(tmp_path / "train-labels-idx1-ubyte")
    assert "t10k-labels.idx1-ubyte.gz" in message
    assert "notes.txt" not in message
    assert "cannot be listed" in fault(tmp_path / "no" / "such")


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    assert "no such file" in fault(tmp_path)


def test_an_unreadable_file_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "a", encode(np.ones(3, np.uint8)))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "Permission denied" in fault(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is empty"),
        (b"\0\0\x08", "00 00 08"),
        (b"PK\x03\x04data", "50 4b 03 04"),
        (header(0x0A, 2) + b"ab", "unknown IDX type code 0x0a"),
        (b"\0\0\x08\x03\0\0\0\x01\0\0", "3 dimensions need 12 bytes, found 6"),
        (b"\0\0\x08\x00", "no data: 0 dimensions ()"),
        (b"\0\0\x08\x00\x07", "no data: 0 dimensions ()"),
        (header(0x08, 3, 0, 2), "no data: 3 dimensions (3, 0, 2)"),
        (header(0x08, *[1] * 33) + b"a", "no data: 33 dimensions"),
        (header(0x0C, 2, 2) + b"x" * 15, "16 bytes of data, but 15 follow it: truncated"),
    ],
)
@pytest.mark.parametrize("gzipped", [False, True])
def test_a_bad_file_is_told(tmp_path: Path, content: bytes, says: str, gzipped: bool) -> None:
    assert says in fault(put(tmp_path / "a", gzip.compress(content) if gzipped else content))


def test_trailing_bytes_are_refused(tmp_path: Path) -> None:
    content = header(0x08, 2) + b"abcde"
    assert "2 bytes of data, but 5 follow it: trailing" in fault(put(tmp_path / "raw", content))
    assert "2 bytes of data, but more follow it: trailing" in fault(put(tmp_path / "gz", gzip.compress(content)))


def test_damaged_gzip_is_told(tmp_path: Path) -> None:
    good = gzip.compress(encode(np.random.default_rng(1).integers(0, 256, 500, dtype=np.uint8)))
    bad_sum = good[:-8] + bytes([good[-8] ^ 1]) + good[-7:]
    for content in (bad_sum, good[:-3], good[:60], good + b"junk", good[:10] + b"\xff" * 60):
        assert "damaged or cut short" in fault(put(tmp_path / "a", content))


@pytest.mark.parametrize(
    ("shape", "says"),
    [((0xFFFFFFFF, 0xFFFFFFFF), "over the limit"), ((0xFFFFFFFF,) * 9, "over the limit"), ((3 << 30,), "but ")],
)
@pytest.mark.parametrize("gzipped", [False, True])
def test_an_absurd_header_does_not_allocate(tmp_path: Path, shape: tuple[int, ...], says: str, gzipped: bool) -> None:
    content = header(0x08, *shape) + b"tiny"
    path = put(tmp_path / "a", gzip.compress(content) if gzipped else content)
    tracemalloc.start()
    try:
        assert says in fault(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


def test_a_claim_beyond_what_gzip_can_hold_is_refused_unread(tmp_path: Path) -> None:
    path = put(tmp_path / "a", gzip.compress(header(0x08, 1 << 20)))
    assert "gzipped bytes cannot hold that many" in fault(path)


def test_a_gzip_bomb_is_not_expanded(tmp_path: Path) -> None:
    path = put(tmp_path / "bomb", gzip.compress(header(0x08, 100) + bytes(48 << 20), compresslevel=1))
    tracemalloc.start()
    try:
        assert "more follow it" in fault(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


# load_idx_set


def test_a_set_is_loaded_with_sizes_from_the_files(tmp_path: Path) -> None:
    found = idx.load_idx_set(put_set(tmp_path), any_idx=True)
    arrays = small_set()
    np.testing.assert_array_equal(found.train_images, arrays[TRAIN_IMAGES])
    np.testing.assert_array_equal(found.train_labels, arrays[TRAIN_LABELS])
    np.testing.assert_array_equal(found.test_images, arrays[TEST_IMAGES])
    np.testing.assert_array_equal(found.test_labels, arrays[TEST_LABELS])
    assert found.train_images.dtype == np.uint8
    assert found.train_labels.dtype == found.test_labels.dtype == np.int64
    assert found.classes == 4


def test_the_fingerprint_is_of_the_content_only(tmp_path: Path) -> None:
    raw, packed, wide, other = (tmp_path / name for name in ("raw", "packed", "wide", "other"))
    for folder in (raw, packed, wide, other):
        folder.mkdir()
    put_set(raw)
    for stem, array in small_set().items():
        put(packed / f"{stem.replace('-idx', '.idx')}.gz", gzip.compress(encode(array)))
    put_set(wide, train_labels=small_set()[TRAIN_LABELS].astype(np.int32))
    changed = small_set()[TEST_IMAGES].copy()
    changed[0, 0, 0] ^= 1
    put_set(other, test_images=changed)
    prints = [idx.load_idx_set(folder, any_idx=True).fingerprint for folder in (raw, packed, wide, other)]
    assert prints[0] == prints[1] == prints[2] != prints[3]
    assert len(prints[0]) == 64


def test_raw_wins_over_gzip(tmp_path: Path) -> None:
    put_set(tmp_path)
    put(tmp_path / f"{TRAIN_IMAGES}.gz", b"not even gzip")
    assert idx.load_idx_set(tmp_path, any_idx=True).classes == 4


def test_a_folder_named_like_a_file_is_passed_over(tmp_path: Path) -> None:
    put_set(tmp_path, train_images=None)
    (tmp_path / TRAIN_IMAGES).mkdir()
    put(tmp_path / f"{TRAIN_IMAGES}.gz", gzip.compress(encode(small_set()[TRAIN_IMAGES])))
    assert idx.load_idx_set(tmp_path, any_idx=True).classes == 4


def test_the_checksums_decide_what_is_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_set(tmp_path)
    message = set_fault(tmp_path, any_idx=False)
    digest = hashlib.md5((tmp_path / TRAIN_IMAGES).read_bytes()).hexdigest()
    for part in (str(tmp_path / TRAIN_IMAGES), digest, "6bbc9ace898e44ae57da46a324031adb", "--any-idx"):
        assert part in message
    sums = {stem: hashlib.md5((tmp_path / stem).read_bytes()).hexdigest() for stem in idx.MNIST_MD5}
    monkeypatch.setattr(idx, "MNIST_MD5", sums)
    assert idx.load_idx_set(tmp_path).classes == 4


def test_missing_files_are_listed_with_what_to_do(tmp_path: Path) -> None:
    put_set(tmp_path, train_labels=None, test_images=None)
    message = set_fault(tmp_path)
    assert f"missing {TRAIN_LABELS}, {TEST_IMAGES} " in message
    for part in (TRAIN_IMAGES, "--download", "--data-dir"):
        assert part in message
    message = set_fault(tmp_path / "nowhere")
    for part in ("no such folder", "nowhere", "--download", "--data-dir"):
        assert part in message


def test_a_damaged_member_is_told(tmp_path: Path) -> None:
    put_set(tmp_path)
    put(tmp_path / TEST_LABELS, b"<html>")
    assert str(tmp_path / TEST_LABELS) in set_fault(tmp_path)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"train_images": np.zeros((6, 12), np.uint8)}, "images as uint8 (count, rows, cols), found uint8 (6, 12)"),
        ({"test_images": np.zeros((2, 3, 4), np.int16)}, "found int16 (2, 3, 4)"),
        ({"train_labels": np.zeros((6, 1), np.uint8)}, "labels as integers (count,), found uint8 (6, 1)"),
        ({"test_labels": np.zeros(2, np.float32)}, "found float32 (2,)"),
        ({"train_labels": np.zeros(5, np.uint8)}, "5 labels for the 6 images"),
        ({"test_labels": np.zeros(3, np.uint8)}, "3 labels for the 2 images"),
        ({"train_labels": np.array([0, 1, -1, 1, 0, 0], np.int8)}, "label -1 is negative"),
        ({"test_labels": np.array([0, -7], np.int32)}, "label -7 is negative"),
        ({"test_labels": np.array([4, 0], np.uint8)}, "test label 4 never occurs in training, where labels are 0..3"),
        ({"test_images": np.zeros((2, 4, 3), np.uint8)}, "test images are (4, 3) pixels but training images (3, 4)"),
        ({"train_labels": np.array([0, 1, 2, 3, 0, 2**31 - 1], np.int32)}, "2147483648 classes"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, changed: dict[str, Array], says: str) -> None:
    message = set_fault(put_set(tmp_path, **changed))
    assert says in message
    assert str(tmp_path) in message


@pytest.mark.real_data
def test_the_real_mnist(mnist_dir: Path) -> None:
    found = idx.load_idx_set(mnist_dir)
    assert found.train_images.shape == (60_000, 28, 28)
    assert found.test_images.shape == (10_000, 28, 28)
    assert found.classes == 10
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(found.train_labels).tolist() == counts
    assert found.train_images.mean() / 255 == pytest.approx(0.13066, abs=1e-5)
