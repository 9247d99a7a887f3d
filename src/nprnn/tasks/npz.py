"""Reading the arrays of a ``.npz``, which may be a stranger's.

Nothing is ever unpickled, and nothing a header claims is believed before it has been held against what is there.
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from nprnn.errors import DataError

MAX_BYTES = 4 << 30
"""The most bytes that the arrays of one ``.npz`` may declare."""

_CHUNK = 1 << 20
# What zipfile raises at files that are none, and at those that are damaged.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    RuntimeError,
    OverflowError,
    AttributeError,
    KeyError,
)


def names_in(path: Path, limit: int = MAX_BYTES) -> list[str]:
    """The names of a file's arrays; none of them is read.

    Raises:
        DataError: a damaged file, or one whose arrays declare more than ``limit`` bytes together.
        OSError: it could not be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return [_name(member) for member in _members(path, archive, limit)]
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def read_arrays(path: Path, wanted: Collection[str], limit: int = MAX_BYTES) -> dict[str, NDArray[Any]]:
    """The wanted arrays of a file, as far as it has them, in its order.

    Args:
        path: The file.
        wanted: Names of arrays.
        limit: The most bytes that all of its arrays may declare together.

    Returns:
        Arrays of numbers, text or truth values; text is Unicode, and other than that nothing is known of them.

    Raises:
        DataError: A damaged file, Python objects, text that is no Unicode, or more bytes than ``limit``.
        OSError: It could not be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {_name(member): member for member in _members(path, archive, limit)}
            return {k: _array(archive, m, f"{path}: array {k!r}") for k, m in members.items() if k in wanted}
    except DataError:
        raise
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _name(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")


def _members(path: Path, archive: zipfile.ZipFile, limit: int) -> list[zipfile.ZipInfo]:
    members = archive.infolist()
    if (declared := sum(member.file_size for member in members)) > limit:
        raise DataError(f"{path}: its arrays declare {declared} bytes, over the limit of {limit}")
    return members


def _damaged(path: Path, error: Exception) -> DataError:
    if isinstance(error, DataError):
        return error
    return DataError(f"{path}: damaged, cut short, or not a .npz as np.savez writes it ({error})")


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, what: str) -> NDArray[Any]:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{what}: compression method {member.compress_type} is not what NumPy writes; use np.savez")
    with archive.open(member) as stream:
        shape, fortran, dtype = _header(stream, what)
        if dtype.hasobject:
            raise DataError(
                f"{what} holds Python objects, which are never read: they could run code. Save words as text, "
                "np.asarray(words, dtype=str), and sequences of different lengths one after the other: np.savez(file, "
                "x=np.concatenate(sequences), lengths=[len(s) for s in sequences], y=...)."
            )
        claimed, there = math.prod(shape) * dtype.itemsize, member.file_size - stream.tell()
        data = bytearray()
        # Memory grows with what arrives, never with what was claimed.
        while claimed == there and (piece := stream.read(_CHUNK)):
            data += piece
    if claimed != len(data):
        raise DataError(f"{what} claims {dtype} {shape}, {claimed} bytes, but {there} follow: damaged or cut short")
    values: NDArray[Any] = np.ndarray(shape, dtype, data, order="F" if fortran else "C")
    if dtype.kind == "U" and not _is_text(values):
        raise DataError(f"{what} holds text that is no Unicode: damaged; save it anew")
    return values


def _header(stream: IO[bytes], what: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the first axis changes fastest, and type."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise DataError(f"{what}: NPY version {version} is for records; expected a plain array")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        return read(stream)
    except zlib.error:
        raise
    except Exception as error:  # a header is a Python expression, and what is none can end in almost any error
        raise DataError(f"{what}: its header is damaged ({error})") from error


def _is_text(values: NDArray[Any]) -> bool:
    """Whether all signs of an array of text exist: NumPy keeps numbers of 32 bits, most of which are none."""
    if not values.size or not values.dtype.itemsize:
        return True
    codes = np.frombuffer(values.tobytes(), np.dtype("u4").newbyteorder(values.dtype.byteorder))
    return not bool(((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any())
