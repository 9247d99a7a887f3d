"""Reading IDX files, the format of MNIST and its relatives, raw or gzipped.

An IDX file is two zero bytes, a type code, the number of dimensions, each dimension as a big-endian uint32, then the
values in C order. Nothing a header says is believed before it has been held against the bytes that are really there.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nprnn.errors import AbsentDataError, DataError

MAX_BYTES = 4 << 30
"""The largest array, in bytes, that a header may claim."""
MAX_CLASSES = 1 << 16
"""The most classes that labels may ask for; one stray int32 label would otherwise size a network's output layer."""
MNIST_MD5: dict[str, str] = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
"""MD5 of the whole uncompressed official files, header included, by file stem."""

_CHUNK = 1 << 20
_DEFLATE_RATIO = 1032  # the most bytes that one compressed byte can become
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_HELP = "Download MNIST with --download, or name the folder that holds the files with --data-dir."


@dataclass(frozen=True, eq=False)
class IdxSet:
    """A labelled image set: the two image arrays, their labels, and what identifies them.

    Attributes:
        train_images: uint8 (N, rows, cols), 0..255.
        train_labels: int64 (N,), 0..classes-1.
        test_images: uint8 (M, rows, cols), 0..255.
        test_labels: int64 (M,), 0..classes-1.
        classes: One more than the largest training label.
        fingerprint: SHA-256 hex over dtype, shape and bytes of the four arrays, the same on every machine and
            whether the files were gzipped or not.
    """

    train_images: npt.NDArray[np.uint8]
    train_labels: npt.NDArray[np.int64]
    test_images: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.int64]
    classes: int
    fingerprint: str


@contextmanager
def open_content(path: Path) -> Iterator[io.BufferedIOBase]:
    """Open a file for reading its uncompressed content; gzip is told by the first bytes, not by the name.

    Args:
        path: A gzipped or raw file.

    Yields:
        The stream; a ``gzip.GzipFile`` if the file is gzipped.

    Raises:
        DataError: The file is missing or unreadable, or, inside the ``with`` block too, its gzip stream is damaged.
    """
    try:
        if not path.is_file():
            raise DataError(f"{path}: there is no such file. {_idx_like(path.parent)}")
        with path.open("rb") as raw:
            gzipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if gzipped:
                with gzip.GzipFile(fileobj=raw) as content:
                    yield content
            else:
                yield raw
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path}: the gzip data is damaged or cut short ({error}). Fetch the file again.") from error
    except OSError as error:
        raise DataError(f"{path}: could not be read: {error.strerror or error}.") from error


def read_idx(path: Path) -> npt.NDArray[Any]:
    """Read one IDX file, raw or gzipped.

    Args:
        path: The file; its name does not matter.

    Returns:
        A writable, native-endian array of the header's shape: uint8, int8, int16, int32, float32 or float64.

    Raises:
        DataError: The file is missing, is not IDX, is damaged, or holds another number of bytes than it claims.
    """
    return _read(path)[0]


def load_idx_set(folder: Path, *, any_idx: bool = False) -> IdxSet:
    """Load the four IDX files of an image set laid out like MNIST; image size and classes come from the files.

    Args:
        folder: Holds train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
            t10k-labels-idx1-ubyte, raw or as .gz, also spelt ``train-images.idx3-ubyte``; raw wins over .gz.
        any_idx: Take any set of that layout, rather than only files with the official MNIST checksums.

    Returns:
        The set, with labels widened to int64.

    Raises:
        DataError: A file is missing, unreadable or not the official one, or the files do not fit together.
    """
    if not os.path.isdir(folder):
        raise AbsentDataError(f"{folder}: there is no such folder. {_HELP}")
    found = {stem: path for stem in MNIST_MD5 if (path := _find(folder, stem))}
    if missing := [stem for stem in MNIST_MD5 if stem not in found]:
        wanted = ", ".join(missing)
        raise DataError(f"{folder}: missing {wanted} (each may end in .gz). {_idx_like(folder)} {_HELP}")
    files = list(found.values())
    arrays: list[npt.NDArray[Any]] = []
    for stem, path in found.items():
        array, digest = _read(path)
        if not any_idx and digest != MNIST_MD5[stem]:
            raise DataError(
                f"{path}: not the official MNIST file: its uncompressed MD5 is {digest}, expected {MNIST_MD5[stem]}. "
                "Fetch it again, or read another IDX set (Fashion-MNIST, KMNIST, USPS ...) with --any-idx."
            )
        arrays.append(array)
    train_labels = _labels(arrays[1], files[1], arrays[0], files[0])
    test_labels = _labels(arrays[3], files[3], arrays[2], files[2])
    if arrays[0].shape[1:] != arrays[2].shape[1:]:
        train, test = arrays[0].shape[1:], arrays[2].shape[1:]
        raise DataError(f"{files[2]}: test images are {test} pixels but training images {train}; they must be equal.")
    classes = int(train_labels.max()) + 1
    if classes > MAX_CLASSES:
        raise DataError(f"{files[1]}: label {classes - 1} asks for {classes} classes; at most {MAX_CLASSES} are read.")
    if test_labels.max() >= classes:
        raise DataError(
            f"{files[3]}: test label {test_labels.max()} never occurs in training, where labels are 0..{classes - 1}."
        )
    fingerprint = _fingerprint([arrays[0], train_labels, arrays[2], test_labels])
    return IdxSet(arrays[0], train_labels, arrays[2], test_labels, classes, fingerprint)


def _read(path: Path) -> tuple[npt.NDArray[Any], str]:
    """The array of an IDX file, and the MD5 of the file's uncompressed content."""
    with open_content(path) as content:
        magic = _take(content, 4)
        if len(magic) < 4 or magic[:2] != b"\0\0":
            shown = magic.hex(" ") or "nothing, it is empty"
            raise DataError(f"{path}: not an IDX file: expected it to start 00 00 <type> <dims>, found {shown}.")
        code, ndim = magic[2], magic[3]
        if code not in _TYPES:
            known = ", ".join(f"0x{key:02x} {np.dtype(value).name}" for key, value in _TYPES.items())
            raise DataError(f"{path}: unknown IDX type code 0x{code:02x}. Known: {known}.")
        sizes = _take(content, 4 * ndim)
        if len(sizes) < 4 * ndim:
            raise DataError(
                f"{path}: truncated in the header: {ndim} dimensions need {4 * ndim} bytes, found {len(sizes)}."
            )
        shape = tuple(np.frombuffer(sizes, ">u4").tolist())
        # NumPy itself stops at 64 dimensions, older ones at 32.
        if not 1 <= ndim <= 32 or 0 in shape:
            raise DataError(f"{path}: no data: {ndim} dimensions {shape}; expected 1 to 32, each at least 1.")
        dtype = np.dtype(_TYPES[code])
        claimed = math.prod(shape) * dtype.itemsize
        claim = f"{path}: the header claims shape {shape} of {dtype.name}, {claimed} bytes of data"
        if claimed > MAX_BYTES:
            raise DataError(f"{claim}, over the limit of {MAX_BYTES}. The header is damaged, or this is not IDX.")
        size = path.stat().st_size
        if isinstance(content, gzip.GzipFile):
            if claimed > size * _DEFLATE_RATIO:
                raise DataError(f"{claim}, but {size} gzipped bytes cannot hold that many: truncated or damaged.")
        elif (found := size - 4 - len(sizes)) != claimed:
            raise DataError(f"{claim}, but {found} follow it: {'truncated' if found < claimed else 'trailing bytes'}.")
        data = _take(content, claimed + 1)
    if len(data) != claimed:
        wrong = f"{len(data)} follow it: truncated" if len(data) < claimed else "more follow it: trailing bytes"
        raise DataError(f"{claim}, but {wrong}.")
    digest = hashlib.md5(magic + sizes, usedforsecurity=False)
    digest.update(data)
    array = np.frombuffer(data, dtype).reshape(shape)
    if not array.dtype.isnative:
        array = array.byteswap(inplace=True).view(dtype.newbyteorder("="))
    return array, digest.hexdigest()


def _take(content: io.BufferedIOBase, count: int) -> bytearray:
    """Up to ``count`` bytes; memory grows with what arrives, never with what was claimed."""
    taken = bytearray()
    while len(taken) < count and (piece := content.read(min(_CHUNK, count - len(taken)))):
        taken += piece
    return taken


def _labels(labels: npt.NDArray[Any], path: Path, images: npt.NDArray[Any], images_path: Path) -> npt.NDArray[np.int64]:
    """The labels as int64, after checking that they fit the images."""
    if images.ndim != 3 or images.dtype != np.uint8:
        raise DataError(
            f"{images_path}: expected images as uint8 (count, rows, cols), found {images.dtype} {images.shape}."
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"{path}: expected labels as integers (count,), found {labels.dtype} {labels.shape}.")
    if len(labels) != len(images):
        raise DataError(f"{path}: {len(labels)} labels for the {len(images)} images of {images_path}.")
    if labels.min() < 0:
        raise DataError(f"{path}: label {labels.min()} is negative; labels are 0, 1, 2 ...")
    return labels.astype(np.int64)


def _find(folder: Path, stem: str) -> Path | None:
    """The file of that stem under either spelling, raw before .gz."""
    names = [spelt + end for end in ("", ".gz") for spelt in (stem, stem.replace("-idx", ".idx"))]
    # Not Path.is_file, which raises in a folder that may not be searched.
    return next((folder / name for name in names if os.path.isfile(folder / name)), None)


def _idx_like(folder: Path) -> str:
    """A sentence on what IDX files the folder does hold."""
    try:
        names = sorted(entry.name for entry in folder.iterdir() if "idx" in entry.name or "ubyte" in entry.name)
    except OSError:
        return f"The folder {folder} cannot be listed either."
    more = ", ..." if len(names) > 12 else ""
    return f"IDX-like files in {folder}: {', '.join(names[:12]) or 'none'}{more}."


def _fingerprint(arrays: Iterable[npt.NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(f"{little.dtype.str}{little.shape}\n".encode())
        digest.update(little.data)
    return digest.hexdigest()
