"""Files of sequences of each kind, told apart, and read for prediction."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from nprnn.tasks import sequence_csv, sequence_npz
from nprnn.tasks.sequence_files import read_inputs
from nprnn.tasks.sequences import Sequences
from sequence_makers import FLAT, X, fault, folder, numbered, save, with_value


def test_files_that_are_something_else(tmp_path: Path) -> None:
    config = Sequences(data=tmp_path / "none.npz")
    assert "no such file or folder" in fault(lambda: config.load(0))
    np.save(tmp_path / "a.npy", X)
    assert "expected a .npz file, or a folder" in fault(lambda: Sequences(data=tmp_path / "a.npy").load(0))
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    assert "not a .npz as np.savez writes it" in fault(lambda: Sequences(data=tmp_path / "a.npz").load(0))


def test_limits_are_what_the_docs_say() -> None:
    assert (sequence_npz.MAX_BYTES, sequence_csv.MAX_FILE_BYTES) == (4 * 1024**3, 1024**3)
    assert sequence_csv.MAX_VALUES == 10**8


def test_inputs_from_each_kind_of_file(tmp_path: Path) -> None:
    path = save(tmp_path / "d.npz", x=numbered([2, 1], 2), lengths=[2, 1], y=[0, 1], split=["nonsense", "test"])
    inputs = read_inputs(path)
    assert inputs.names == ["0", "1"]
    assert [s.tolist() for s in inputs.sequences] == [[[0, 0], [1, 0]], [[2, 0]]]
    assert all(s.dtype == np.float32 for s in inputs.sequences)
    inputs = read_inputs(save(path, x=X))
    assert [s.shape for s in inputs.sequences] == [(3, 2)] * 4
    inputs = read_inputs(save(path, x=FLAT))
    assert [s.shape for s in inputs.sequences] == [(2, 1)] * 12
    inputs = read_inputs(path, recording=True)
    assert [s.shape for s in inputs.sequences] == [(12, 2)]
    (tmp_path / "one.csv").write_text("a,b\n1,2\n3,4e1\n")
    inputs = read_inputs(tmp_path / "one.csv")
    assert (inputs.names, [s.tolist() for s in inputs.sequences]) == (["one.csv"], [[[1, 2], [3, 40]]])
    place = folder(tmp_path / "f", "file,label\nz.csv,\na.csv,1\n", a="1\n2\n", z="3\n")
    inputs = read_inputs(place)
    assert (inputs.names, [s.tolist() for s in inputs.sequences]) == (["z.csv", "a.csv"], [[[3]], [[1], [2]]])


def test_inputs_refused(tmp_path: Path) -> None:
    message = fault(lambda: read_inputs(save(tmp_path / "d.npz", x=with_value(math.nan, 0, 1, 0))))
    assert "sequence 0 has 1, the first at step 1, feature 0: nan" in message
    assert "no such file" in fault(lambda: read_inputs(tmp_path / "none.csv"))
    assert "index.csv: there is no such file" in fault(lambda: read_inputs(tmp_path))
