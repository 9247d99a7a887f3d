"""Run as a script: small files that claim much, through every reader, in a process that may not take much memory.

    python hostile_files.py FOLDER

Prints a line of JSON: name of each file to what its reader said.
"""

from __future__ import annotations

import gzip
import io
import json
import resource
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nprnn.errors import NprnnError
from nprnn.feature_store.clips import read_header
from nprnn.runs.checkpoint import unpack
from nprnn.sweep import read_sweep
from nprnn.tasks.idx import load_idx_set, read_idx
from nprnn.tasks.sequence_files import read_inputs
from nprnn.tasks.sequences import Sequences
from nprnn.tasks.ucf101_import import read_ucf101
from nprnn.video import find_clips

ROOM = 256 << 20
"""Bytes of address space that all of it may add."""
_MUCH = 64 << 20


def main(folder: Path) -> None:
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + ROOM, resource.RLIM_INFINITY))
    print(json.dumps({make.__name__: said(make(folder / make.__name__)) for make in FILES}))


def said(read: Callable[[], object]) -> str:
    try:
        read()
    except NprnnError as error:
        return str(error)
    except MemoryError:
        return "MEMORY"
    return "READ"


def idx_header(folder: Path) -> Callable[[], object]:
    return given(folder, b"\0\0\x08\x04" + b"\xff" * 16, read_idx)


def idx_gzip(folder: Path) -> Callable[[], object]:
    """It claims two bytes and unpacks to a gigabyte."""
    content = io.BytesIO()
    with gzip.GzipFile(fileobj=content, mode="wb") as file:
        file.write(b"\0\0\x08\x01\0\0\0\x02")
        for _ in range(1024):
            file.write(bytes(1 << 20))
    return given(folder, content.getvalue(), read_idx)


def idx_labels(folder: Path) -> Callable[[], object]:
    """One label that would make an output layer of two thousand million classes."""
    folder.mkdir()
    image, label = b"\0\0\x08\x03" + b"\0\0\0\1" * 3 + b"\0", b"\0\0\x0c\x01\0\0\0\1\x7f\xff\xff\xff"
    for stem, content in (("train-", (image, label)), ("t10k-", (image, label))):
        (folder / f"{stem}images-idx3-ubyte").write_bytes(content[0])
        (folder / f"{stem}labels-idx1-ubyte").write_bytes(content[1])
    return lambda: load_idx_set(folder, any_idx=True)


def npy(shape: str, data: bytes = b"") -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + data


def npz_header(folder: Path) -> Callable[[], object]:
    return zipped(folder, npy("(1000000, 1000000, 8)"))


def npz_empty_axis(folder: Path) -> Callable[[], object]:
    return zipped(folder, npy(f"(0, {10**30})"))


def npz_negative(folder: Path) -> Callable[[], object]:
    return zipped(folder, npy("(-2, -3, 1)", bytes(24)))


def npz_bomb(folder: Path) -> Callable[[], object]:
    """Four gigabytes, as its list of members says, in a few bytes."""
    path = zipped_path(folder, npy("(8,)", bytes(32)))
    content = path.read_bytes()
    # The size in the list of members, at its end, is what every reader goes by.
    place = content.rindex(b"PK\1\2") + 24
    path.write_bytes(content[:place] + struct.pack("<I", 0xFFFF_FFF0) + content[place + 4 :])
    return lambda: Sequences(path).load(0)


def npz_header_text(folder: Path) -> Callable[[], object]:
    """A header as long as a header may be, of brackets alone."""
    text = b"(" * 60_000
    return zipped(folder, b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text)


def csv_line(folder: Path) -> Callable[[], object]:
    """One row of thirty-two million numbers."""
    return given(folder.with_suffix(".csv"), b"1," * (_MUCH // 2) + b"1\n", read_inputs)


def csv_cell(folder: Path) -> Callable[[], object]:
    return given(folder.with_suffix(".csv"), b"1" * _MUCH, read_inputs)


def csv_quotation(folder: Path) -> Callable[[], object]:
    """A row that goes on over millions of lines."""
    return given(folder.with_suffix(".csv"), b'"\n",' * (_MUCH // 4), read_inputs)


def csv_index(folder: Path) -> Callable[[], object]:
    return indexed(folder, b"file,label" + b"," * _MUCH, read_inputs)


def video_index(folder: Path) -> Callable[[], object]:
    return indexed(folder, b"path,label" + b"," * _MUCH, find_clips)


def ucf101_index(folder: Path) -> Callable[[], object]:
    return indexed(folder, b"class,clip,row,group" + b"," * (_MUCH // 2), read_ucf101)


def ucf101_index_of_nothing(folder: Path) -> Callable[[], object]:
    """A file of half a terabyte that takes no room on the disk."""
    read = indexed(folder, b"class,clip,row,group\n", read_ucf101)
    with (folder / "index.csv").open("r+b") as file:
        file.truncate(1 << 39)
    return read


def split_lists(folder: Path) -> Callable[[], object]:
    (folder / "A").mkdir(parents=True)
    (folder / "A" / "v_A_g01_c01.avi").touch()
    with (folder / "trainlist01.txt").open("wb") as file:
        file.truncate(1 << 39)
    return lambda: find_clips(folder, folder)


def checkpoint_header(folder: Path) -> Callable[[], object]:
    return given(folder, struct.pack("<Q", 2**63 - 1) + b"{}", unpack)


def checkpoint_header_of_text(folder: Path) -> Callable[[], object]:
    return given(folder, struct.pack("<Q", 10**9) + b"{" * 1000, unpack)


def checkpoint_tensor(folder: Path) -> Callable[[], object]:
    """A tensor of a terabyte, in a file of a few bytes."""
    facts = {"a": {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}, "__metadata__": {"nprnn": "{}"}}
    text = json.dumps(facts).encode()
    return given(folder, struct.pack("<Q", len(text)) + text, unpack)


def clip_header(folder: Path) -> Callable[[], object]:
    return given(folder, struct.pack("<Q", 2**62) + b"{}", lambda path: read_header(path, 4))


def sweep_of_many(folder: Path) -> Callable[[], object]:
    def read(path: Path) -> None:
        file = read_sweep(path)
        file.check_count(10_000)

    return given(folder, f'task = "addition"\nseeds = {2**62}\n'.encode(), read)


def sweep_nested(folder: Path) -> Callable[[], object]:
    return given(folder, b'task = "addition"\nseeds = ' + b"[" * 1_000_000, read_sweep)


def given(path: Path, content: bytes, read: Callable[[Path], object]) -> Callable[[], object]:
    path.write_bytes(content)
    return lambda: read(path)


def zipped_path(folder: Path, x: bytes) -> Path:
    path = folder.with_suffix(".npz")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", x)
        content = io.BytesIO()
        np.save(content, np.zeros(8))
        archive.writestr("y.npy", content.getvalue())
    return path


def zipped(folder: Path, x: bytes) -> Callable[[], object]:
    path = zipped_path(folder, x)
    return lambda: Sequences(path).load(0)


def indexed(folder: Path, content: bytes, read: Callable[[Path], object]) -> Callable[[], object]:
    folder.mkdir()
    (folder / "index.csv").write_bytes(content)
    return lambda: read(folder)


FILES = (
    *(idx_header, idx_gzip, idx_labels),
    *(npz_header, npz_empty_axis, npz_negative, npz_bomb, npz_header_text),
    *(csv_line, csv_cell, csv_quotation, csv_index, video_index, ucf101_index, ucf101_index_of_nothing, split_lists),
    *(checkpoint_header, checkpoint_header_of_text, checkpoint_tensor, clip_header, sweep_of_many, sweep_nested),
)

if __name__ == "__main__":
    main(Path(sys.argv[1]))
