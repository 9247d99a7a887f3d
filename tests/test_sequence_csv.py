"""Sequences in a folder of CSV files: read as the same numbers in a .npz are, and refused with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nprnn.tasks import csv_rows, sequence_csv
from nprnn.tasks.sequence_files import read_inputs
from nprnn.tasks.sequences import Sequences
from sequence_makers import fault, folder, save, sets


def test_a_folder_gives_what_the_same_npz_gives(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    lengths = [4, 2, 6, 3, 5, 1, 2, 2]
    x = rng.normal(size=(sum(lengths), 3)).astype(np.float32)
    labels = ["up", "down"] * 4
    group = ["a", "a", "b", "b", "c", "c", "d", "d"]
    pieces = np.split(x, np.cumsum(lengths)[:-1])
    index = ["file, label, group"]
    place = tmp_path / "folder"
    (place / "deep").mkdir(parents=True)
    for k, piece in enumerate(pieces):
        rows = "\n".join(",".join(repr(float(v)) for v in row) for row in piece)
        (place / "deep" / f"{k}.csv").write_text("\ufeffleft, right, up\r\n" + rows + "\n\n", encoding="utf-8")
        index.append(f"deep/{k}.csv,{labels[k]},{group[k]}")
    (place / "index.csv").write_text("\n".join(index) + "\n")
    path = save(tmp_path / "d.npz", x=x, lengths=lengths, y=labels, group=group)
    shares: dict[str, Any] = {"valid_fraction": 0.25, "test_fraction": 0.25}
    one, other = Sequences(data=place, **shares).load(0), Sequences(data=path, **shares).load(0)
    assert one.class_names == other.class_names == ("down", "up")
    assert [len(s) for s in sets(one).values()] == [4, 2, 2]
    for mine, theirs in zip(sets(one).values(), sets(other).values(), strict=True):
        every = torch.arange(len(mine))
        for a, b in zip(mine.batch(every), theirs.batch(every), strict=True):
            assert a is not None
            assert b is not None
            assert torch.equal(a, b)
    assert one.fingerprint == other.fingerprint
    inputs = read_inputs(place)
    assert inputs.names == [f"deep/{k}.csv" for k in range(8)]
    for mine_too, piece in zip(inputs.sequences, pieces, strict=True):
        assert np.array_equal(mine_too, piece)


@pytest.mark.parametrize(
    ("labels", "names", "y"),
    [
        (("3", "10", "3", "10"), ("3", "10"), [0, 1]),
        (("1.5", "2", "1.5", "2"), None, [1.5, 2.0]),
        (("1.5", "b", "1.5", "b"), ("1.5", "b"), [0, 1]),
    ],
)
def test_labels_are_classes_or_numbers(tmp_path: Path, labels: tuple[str, ...], names: Any, y: list[float]) -> None:
    lines = [f"{k}.csv,{label},{'train' if k < 2 else 'test'}" for k, label in enumerate(labels)]
    place = folder(tmp_path / "f", "file,label,split\n" + "\n".join(lines), **{str(k): "1,2\n" for k in range(4)})
    data = Sequences(data=place, valid_fraction=0).load(0)
    assert data.class_names == names
    assert data.test.batch(torch.tensor([0, 1])).y.tolist() == y


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ("", ["index.csv", "one column 'file'", "nothing"]),
        ("file\na.csv\n", ["one column 'label'", "got file"]),
        ("file,Label\na.csv,1\n", ["unknown column 'Label'", "'label'?"]),
        ("file,label,label\na.csv,1,1\n", ["one column 'label'"]),
        ("file,label\n", ["lists no files"]),
        ("file,label\na.csv\n", ["line 2", "1 cells", "2 columns"]),
        ("file,label\na.csv,1,2\n", ["line 2", "3 cells"]),
        ("file,label\na.csv,1\nb.csv,\n", ["line 3", "'label' is empty"]),
        ("file,label\na.csv,1\n,1\n", ["line 3", "'file' is empty"]),
        ("file,label\nc.csv,1\n", ["line 2", "no file 'c.csv'"]),
        ("file,label\na.csv,1\n./a.csv,1\n", ["line 3", "in line 2 already"]),
        ("file,label\n../out.csv,1\n", ["line 2", "'../out.csv' leads out of"]),
        ("file,label\n{root}/out.csv,1\n", ["line 2", "leads out of"]),
        ("file,label\nlink.csv,1\n", ["line 2", "'link.csv' leads out of"]),
        ("file,label\nlinked/out.csv,1\n", ["line 2", "leads out of"]),
        ("file,label\nloop.csv,1\n", ["line 2", "loop.csv"]),
        ("file,label\na\0.csv,1\n", ["line 2", "is not a path"]),
        ("file,label\n.,1\n", ["line 2", "no file '.'"]),
        ('file,label\n"a.csv,1\n', ["not a CSV text file"]),
        ("file,label,split\na.csv,1,train\nb.csv,1,validation\n", ["unknown split 'validation'", "'valid'?"]),
    ],
)
def test_index_refused(tmp_path: Path, index: str, words: list[str]) -> None:
    place = folder(tmp_path / "f", index.replace("{root}", str(tmp_path)), a="1,2\n", b="3,4\n")
    (tmp_path / "out.csv").write_text("5,6\n")
    (place / "link.csv").symlink_to(tmp_path / "out.csv")
    (place / "linked").symlink_to(tmp_path)
    (place / "loop.csv").symlink_to(place / "loop.csv")
    message = fault(lambda: Sequences(data=place).load(0))
    assert str(place) in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("row", ["1," * 60, "1" * 120, '"\n",' * 40], ids=["cells", "a cell", "lines"])
def test_a_row_is_read_only_so_far(row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "MAX_ROW", 100)
    path = tmp_path / "a.csv"
    path.write_text("1,2\n" * 60)
    assert len(read_inputs(path).sequences[0]) == 60, "the bound is a row's"
    path.write_text(f"1,2\n{row}1\n")
    assert "a row of more than 100 characters" in fault(lambda: read_inputs(path))


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    place = folder(tmp_path / "f", "file\nb.csv\n", a="1,2\n")
    (place / "b.csv").symlink_to(place / "a.csv")
    assert read_inputs(place).sequences[0].tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", ["b.csv", "holds no rows"]),
        (b"p,q\n", ["holds no rows"]),
        (b"1,2\n3,4,5\n", ["b.csv, line 2", "3 cells", "have 2"]),
        (b"1,2\n\n3,4\n", ["b.csv, line 2", "blank"]),
        (b"1,2\n3,x\n", ["b.csv, line 2, column 2", "'x'"]),
        (b"p,q\n1,2\n,4\n", ["b.csv, line 3, column 1", "the cell is empty"]),
        (b"1,q\n", ["b.csv, line 1, column 2", "'q'"]),
        (b"1,2\n3,nan\n", ["b.csv, line 2, column 2", "'nan'"]),
        (b"-inf,2\n", ["b.csv, line 1, column 1", "'-inf'"]),
        (b"1,1e39\n", ["line 1, column 2", "float32"]),
        (b"1,1_0\n", ["line 1, column 2", "'1_0'"]),
        (b",p,q\n0,1,2\n", ["line 1, column 1", "index column"]),
        (b"1,2,3\n", ["b.csv", "3 columns", "a.csv has 2 columns"]),
        (b"p,q\n1,2\n", ["header ['p', 'q']", "header None"]),
        (b"\xff\xfe1\n", ["b.csv", "UTF-8"]),
        (b"1,2\n" * 20, ["b.csv, line 11", "over the limit of 22"]),
        (b"1,2\n" * 60, ["'b.csv' has 240 bytes", "over the limit of 200"]),
    ],
)
def test_csv_refused(tmp_path: Path, text: bytes, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence_csv, "MAX_VALUES", 22)
    monkeypatch.setattr(sequence_csv, "MAX_FILE_BYTES", 200)
    place = folder(tmp_path / "f", "file,label\na.csv,1\nb.csv,2\n", a="1,2\n")
    (place / "b.csv").write_bytes(text)
    message = fault(lambda: Sequences(data=place).load(0))
    for word in words:
        assert word in message


def test_other_signs_between_columns_and_empty_cells_are_named(tmp_path: Path) -> None:
    for text, words in (("1;2\n3;4\n", "semicolons"), ("1\t2\n3\t4\n", "tabs"), ("1,2\n3,\n", "the cell is empty")):
        path = tmp_path / "a.csv"
        path.write_text("a,b\n" + text if "," in text else text)
        assert words in fault(lambda path=path: read_inputs(path)), text
