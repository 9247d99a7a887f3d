"""Run folders: identity, atomic writes, damage."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
import torch
from torch import nn

from nprnn.errors import RunError
from nprnn.runs import Run, write_atomically


def test_the_same_config_is_the_same_folder_and_another_is_another(tmp_path: Path) -> None:
    a = Run.create(tmp_path, "x", {"lr": 1.0, "data": "f"}, {"host": 1})
    again = Run.create(tmp_path, "x", {"data": "f", "lr": 1.0}, {"host": 2})
    b = Run.create(tmp_path, "x", {"lr": 2.0, "data": "f"}, {})
    c = Run.create(tmp_path, "x", {"lr": 1.0, "data": "g"}, {})
    assert a.folder == again.folder
    assert len({a.folder, b.folder, c.folder}) == 3
    assert again.env() == {"host": 1}


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "x", {}, {})
    model, other = nn.Linear(3, 2), nn.Linear(3, 2)
    assert run.resume(other) == 0
    run.save_checkpoint(model, 7)
    assert Run.open(run.folder).resume(other) == 7
    assert torch.equal(model.weight, other.weight)
    assert torch.equal(model.bias, other.bias)


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "other model", "no update"])
def test_a_damaged_checkpoint_is_told(tmp_path: Path, damage: str) -> None:
    run = Run.create(tmp_path, "x", {}, {})
    run.save_checkpoint(nn.Linear(3, 2), 7)
    path = run.folder / "checkpoint.safetensors"
    content = path.read_bytes()
    if damage == "other model":
        run.save_checkpoint(nn.Linear(4, 2), 7)
    elif damage == "no update":
        from safetensors.torch import save

        path.write_bytes(save(nn.Linear(3, 2).state_dict()))
    else:
        path.write_bytes({"cut": content[:-5], "empty": b"", "garbage": b"x" * 99}[damage])
    with pytest.raises(RunError, match=r"(?s)checkpoint\.safetensors is damaged or not of this model .*delete it"):
        run.resume(nn.Linear(3, 2))


def test_records(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "x", {}, {})
    assert run.records() == []
    run.append({"update": 1})
    run.append({"update": 2, "nested": {"a": [1.5]}})
    assert run.records() == [{"update": 1}, {"update": 2, "nested": {"a": [1.5]}}]
    path = run.folder / "metrics.jsonl"
    path.write_text(path.read_text() + '{"upd')
    assert len(run.records()) == 2
    path.write_text('{"update": 1}\nnonsense\n{"update": 2}\n')
    with pytest.raises(RunError, match=r"metrics\.jsonl line 2 is damaged"):
        run.records()


def test_folders_that_are_no_runs(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run: it has no config\.json"):
        Run.open(tmp_path / "nothing")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        Run.open(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(RunError, match="not of format 1"):
        Run.open(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot make the run folder"):
        Run.create(tmp_path / "file", "x", {}, {})


def test_a_tampered_config_is_told(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "x", {"lr": 1.0}, {})
    (run.folder / "config.json").write_text(json.dumps({"format": 1, "lr": 2.0}))
    with pytest.raises(RunError, match="holds another config than its name says"):
        Run.create(tmp_path, "x", {"lr": 1.0}, {})


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    run = Run(tmp_path, {})
    with pytest.raises(RunError, match=r"cannot write .*checkpoint\.safetensors: No space left on device"):
        run.save_checkpoint(nn.Linear(1, 1), 3)
    assert run.saved == 0


def test_files_are_as_readable_as_the_umask_says(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        write_atomically(tmp_path / "file", b"")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644
