"""Sequences in a .npz: read exactly, whatever their type, and refused with a reason."""

from __future__ import annotations

import io
import math
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nprnn.tasks import sequence_npz
from nprnn.tasks.sequence_files import read_inputs
from nprnn.tasks.sequences import Sequences
from sequence_makers import FLAT, X, Y, attempt, fault, refused, save, with_value


@pytest.mark.parametrize("dtype", ["float16", "float32", ">f4", "float64", "int16", "uint8"])
def test_equal_lengths_need_none_and_any_real_type_is_read(tmp_path: Path, dtype: str) -> None:
    x = np.arange(4 * 3 * 2).reshape(4, 3, 2).astype(dtype)
    path = save(tmp_path / "d.npz", x=x, y=[0, 1, 0, 1], split=["train", "train", "test", "test"])
    data = Sequences(data=path, valid_fraction=0).load(0)
    batch = data.train.batch(torch.tensor([0, 1]))
    assert batch.lengths is None
    assert batch.x.dtype == torch.float32
    assert torch.equal(batch.x, torch.from_numpy(x[:2].astype(np.float32)).transpose(0, 1))


def test_fortran_order_and_one_feature(tmp_path: Path) -> None:
    x = np.asfortranarray(np.arange(12.0).reshape(4, 3))
    path = save(tmp_path / "d.npz", x=x, y=[0.5, 1, 2, 3], split=["train", "train", "test", "test"])
    data = Sequences(data=path, valid_fraction=0).load(0)
    batch = data.test.batch(torch.tensor([1]))
    assert batch.x[:, 0, 0].tolist() == [9, 10, 11]
    assert (data.input_size, data.output_size, batch.y.tolist()) == (1, 1, [3.0])


SOME = np.arange(24, dtype=np.float32).reshape(4, 3, 2)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": X}, ["'y' is missing", "found x"]),
        ({"y": Y}, ["'x' is missing"]),
        ({"x": X, "y": Y, "length": [3] * 4}, ["unknown array 'length'", "Did you mean 'lengths'?"]),
        ({"x": X, "y": Y, "Y": Y}, ["unknown array 'Y'", "Did you mean 'y'?"]),
        ({"x": with_value(math.nan, 2, 1, 0), "y": Y}, ["1 of 24 values NaN or infinite", "step 1, feature 0: nan"]),
        ({"x": with_value(-math.inf, 3, 2, 1), "y": Y}, ["sequence 3 has 1, the first at step 2, feature 1: -inf"]),
        ({"x": with_value(1e39, 0, 2, 1), "y": Y}, ["beyond float32", "sequence 0", "step 2, feature 1: 1e+39"]),
        ({"x": X, "y": with_value(math.nan, 1, like=Y)}, ["y has 1 of 4", "nan at [1]"]),
        ({"x": X.astype(complex), "y": Y}, ["real numbers", "complex128"]),
        ({"x": X > 0, "y": Y}, ["got bool", ".astype(np.float32)"]),
        ({"x": X.astype(str), "y": Y}, ["real numbers"]),
        ({"x": X[:0], "y": Y[:0]}, ["x is empty", "(0, 3, 2)"]),
        ({"x": X[:, :0], "y": Y}, ["x is empty"]),
        ({"x": X[None], "y": Y}, ["(N, T, I)", "(1, 4, 3, 2)"]),
        ({"x": X[0, 0, 0], "y": Y}, ["(N, T, I)", "()"]),
        ({"x": X, "y": Y[:3]}, ["y has shape (3,)", "4 sequences, 12 steps in all", "(4, 3)"]),
        ({"x": X, "y": np.zeros((4, 3, 2, 1))}, ["y has shape (4, 3, 2, 1)"]),
        ({"x": X, "y": np.zeros((4, 0))}, ["y has shape (4, 0)"]),
        ({"x": X, "y": np.zeros(12)}, ["y has shape (12,)"]),
        ({"x": X, "lengths": [3] * 4, "y": Y}, ["must be (steps, I)", "np.concatenate"]),
        ({"x": FLAT, "lengths": [3, 3, 3, 2], "y": Y}, ["12 steps, but lengths add up to 11"]),
        ({"x": FLAT, "lengths": [3, 3, 7, -1], "y": Y}, ["outside 1..12", "-1 at [3]"]),
        ({"x": FLAT, "lengths": [0, 6, 3, 3], "y": Y}, ["outside 1..12", "0 at [0]"]),
        ({"x": FLAT, "lengths": [2**62, 2**62, 12], "y": Y}, ["outside 1..12", "2 of 3"]),
        ({"x": FLAT, "lengths": [3.0] * 4, "y": Y}, ["expected integers (N,)", "float64"]),
        ({"x": FLAT, "lengths": [[12]], "y": Y}, ["expected integers (N,)", "(1, 1)"]),
        ({"x": X, "y": Y, "split": ["train", "test"]}, ["split must be text (4,)", "(2,)"]),
        ({"x": X, "y": Y, "split": [0, 0, 1, 1]}, ["split must be text (4,)", "int64"]),
        ({"x": X, "y": Y, "group": [0.5, 1, 2, 3]}, ["group must be integers or text (4,)", "float64"]),
        ({"x": X, "y": Y, "group": [1, 2, 3]}, ["group must be integers or text (4,)", "(3,)"]),
        ({"x": X, "y": Y, "class_names": "ab"}, ["class_names must be text"]),
    ],
)
def test_arrays_refused(tmp_path: Path, arrays: dict[str, Any], words: list[str]) -> None:
    message = refused(tmp_path, **arrays)
    for word in words:
        assert word in message


def test_sequences_with_values_that_are_not_finite_are_named(tmp_path: Path) -> None:
    x, lengths = np.ones((15, 2)), [3, 1, 4, 2, 5]
    x[3] = math.nan
    x[5, 1] = x[7, 0] = math.inf
    arrays: dict[str, Any] = {"lengths": lengths, "y": [0, 1, 0, 1, 0], "name": ["0", "rest", "walk 7", "run", "fall"]}
    message = refused(tmp_path, x=x, **arrays)
    assert message.partition("bad.npz: ")[2] == (
        "x has 4 of 30 values NaN or infinite, in 2 of 5 sequences (all counted from 0): "
        "sequence 1, rest, has 2, the first at step 0, feature 0: nan; "
        "sequence 2, walk 7, has 2, the first at step 1, feature 1: inf. "
        "Expected finite numbers: mend those values, or leave out those sequences"
    )
    x[:, 1] = -math.inf
    message = refused(tmp_path, x=x, **arrays)
    assert "17 of 30 values" in message
    assert "in 5 of 5 sequences" in message
    assert "sequence 0 has 3, the first at step 0, feature 1: -inf; sequence 1" in message
    assert "sequence 2, walk 7, has 5" in message
    assert "; and 2 sequences more." in message
    assert "run" not in message


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.mark),))


def test_object_arrays_are_refused_and_never_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "unpickled"
    trap = np.empty(2, object)
    trap[:] = [Trap(mark), 1]
    message = refused(tmp_path, x=trap, y=[0, 1])
    assert "'x' holds Python objects" in message
    assert "np.concatenate(sequences), lengths=" in message
    message = refused(tmp_path, x=X, y=Y, class_names=trap)
    assert "'class_names' holds Python objects" in message
    assert not mark.exists()


def npy(header: str, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 3, 2)}", b"12345678"), "but 8 follow"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1, 1)}", b"1" * 16), "but 16 follow"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1)}", b"1" * 8), "damaged"),
        (npy("{'descr': '<f8', 'shape': (1,)}", b"1" * 8), "damaged"),
        (npy("__import__('os')", b"1" * 8), "damaged"),
        (npy("{'descr': '<f8', 'shape': ((((("), "its header is damaged"),
        (npy("(" * 60_000), "its header is damaged"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 1" + "0" * 40 + ")}"), "damaged"),
        (npy("{'descr': '<U1', 'fortran_order': False, 'shape': (1,)}", b"\xff" * 4), "no Unicode"),
        (npy("{'descr': '>U1', 'fortran_order': False, 'shape': (1,)}", b"\0\0\xd8\0"), "no Unicode"),
        (npy("{}", version=b"\3\0"), "NPY version (3, 0)"),
        (b"", "damaged"),
        (b"\x93NUMPY\1", "damaged"),
        (b"text", "damaged"),
    ],
)
def test_headers_that_lie(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "d.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", content)
    message = fault(lambda: read_inputs(path))
    assert words in message
    assert str(path) in message


@pytest.mark.parametrize("text", ["é", "\U0010ffff", "", "a\0b", "\ue000\ud7ff"])
@pytest.mark.parametrize("order", "<>")
def test_text_of_either_order_is_read(text: str, order: str, tmp_path: Path) -> None:
    y = np.array([text, "plain"] * 2).astype(f"{order}U5")
    path = save(tmp_path / "d.npz", x=X, y=y, split=["train", "train", "test", "test"])
    data = Sequences(data=path, valid_fraction=0).load(0)
    assert data.class_names == tuple(sorted([text, "plain"]))


def test_a_bomb_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x=np.zeros((100, 10, 10)))
    assert path.stat().st_size < 2000
    monkeypatch.setattr(sequence_npz, "MAX_BYTES", 80_000)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("it was opened"))
    assert "over the limit of 80000" in fault(lambda: read_inputs(path))


def test_compression_that_numpy_does_not_write(tmp_path: Path) -> None:
    path, buffer = tmp_path / "d.npz", io.BytesIO()
    np.save(buffer, X)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", buffer.getvalue())
    assert "compression method 14" in fault(lambda: read_inputs(path))


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 2000), flip=st.integers(0, 2000), byte=st.integers(1, 255))
def test_damage_gives_the_same_data_or_a_data_error(cut: int, flip: int, byte: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        # One array only: nothing in a zip guards its list of members, so a damaged list may lose one of several.
        path = save(Path(place) / "d.npz", x=SOME)
        content = bytearray(path.read_bytes())
        content[flip % len(content)] ^= byte
        for changed in (content, content[: cut % len(content)]):
            path.write_bytes(changed)
            found, message = attempt(lambda: read_inputs(path))
            if found is None:
                assert str(path) in message
            else:
                # The damage is to bytes of the container that nothing depends on, such as a date.
                assert np.array_equal(np.stack(found.sequences), SOME)


def test_the_usual_slips_are_named(tmp_path: Path) -> None:
    y = np.arange(80) % 2
    swapped = save(tmp_path / "swapped.npz", x=np.ones((15, 80, 2), np.float32), y=y)
    assert "save x.transpose(1, 0, 2)" in fault(lambda: sequence_npz.read_npz(swapped, True, False))
    flat = save(tmp_path / "flat.npz", x=np.ones((1558, 2), np.float32), y=y)
    assert "one after the other, save lengths (N,) too" in fault(lambda: sequence_npz.read_npz(flat, True, False))
    words = save(tmp_path / "words.npz", x=np.ones((3, 4, 2), np.float32), y=np.array(["a", "b", "a"], dtype=object))
    assert "np.asarray(words, dtype=str)" in fault(lambda: sequence_npz.read_npz(words, True, False))
