"""Run folders: identity, atomic writes, two generations of checkpoints, damage, a full disk, a read-only folder."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nprnn.errors import RunError
from nprnn.files import keep_copy, write_atomically
from nprnn.runs import BEST, LAST, PREVIOUS, Checkpoint, Run
from nprnn.runs.checkpoint import pack
from nprnn.runs.run import RECORDED


def checkpoint(update: int) -> Checkpoint:
    tensors = {"model.w": torch.full((3, 2), float(update)), "optimizer.0.step": torch.tensor(update)}
    return Checkpoint(tensors, update, {"window": {"loss": []}, "best": None, "numbers": [0.1, 1 / 3]})


def record(update: int, **more: object) -> dict[str, object]:
    numbers = {"loss": 1.0, "gradient_norm": 1.0, "lr": 1.0, "updates_per_second": 1.0}
    return {"update": update, **numbers, "test": {"mse": 1.5}, **more}


def same(a: Checkpoint | None, b: Checkpoint) -> bool:
    return (
        a is not None
        and a[1:] == b[1:]
        and a.tensors.keys() == b.tensors.keys()
        and all(torch.equal(a.tensors[k], v) and a.tensors[k].dtype == v.dtype for k, v in b.tensors.items())
    )


def test_the_same_config_is_the_same_folder_and_another_is_another(tmp_path: Path) -> None:
    a = Run.create(tmp_path, "x", {"lr": 1.0, "data": "f"}, {"host": 1})
    again = Run.create(tmp_path, "x", {"data": "f", "lr": 1.0}, {"host": 2})
    b = Run.create(tmp_path, "x", {"lr": 2.0, "data": "f"}, {})
    c = Run.create(tmp_path, "x", {"lr": 1.0, "data": "g"}, {})
    assert a.folder == again.folder
    assert len({a.folder, b.folder, c.folder}) == 3
    assert again.env() == {"host": 1}


def test_checkpoints_come_back_bit_for_bit_and_the_one_before_is_kept(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "x", {}, {})
    assert run.resume() is None
    run.save_checkpoint(checkpoint(7))
    assert run.read_checkpoint(PREVIOUS) is None
    run.save_checkpoint(checkpoint(9))
    run.save_best(checkpoint(7))
    again = Run.open(run.folder)
    assert same(again.resume(), checkpoint(9))
    assert again.saved == 9
    before = checkpoint(7)
    assert same(again.read_checkpoint(PREVIOUS), before._replace(extra={**before.extra, RECORDED: 0}))
    assert same(again.read_checkpoint(BEST), checkpoint(7))
    assert again.notice == ""


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_or_cut_of_a_checkpoint_is_noticed(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = Run.create(tmp_path_factory.mktemp("run"), "x", {}, {})
    run.save_checkpoint(checkpoint(7))
    path = run.folder / LAST
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[place:]
    path.write_bytes(content)
    try:
        found = run.read_checkpoint(LAST)
    except RunError as error:
        assert "is damaged" in str(error)  # noqa: PT017
    else:
        # Only what carries no meaning may change unnoticed, such as a space in the header.
        assert same(found, checkpoint(7))


@pytest.mark.parametrize("content", [b"", b"x" * 99])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path, content: bytes) -> None:
    run = Run.create(tmp_path, "x", {}, {})
    run.append(record(7))
    run.save_checkpoint(checkpoint(7))
    run.append(record(9))
    run.save_checkpoint(checkpoint(9))
    (run.folder / LAST).write_bytes(content)
    again = Run.open(run.folder)
    assert same(again.resume(), checkpoint(7))
    assert "going on from the checkpoint before it, of update 7" in again.notice
    assert again.records() == [record(7)]
    (run.folder / PREVIOUS).write_bytes(content)
    with pytest.raises(RunError, match=r"checkpoint\.previous\.safetensors is damaged"):
        Run.open(run.folder).resume()
    (run.folder / PREVIOUS).unlink()
    with pytest.raises(RunError, match=r"checkpoint\.safetensors is damaged"):
        Run.open(run.folder).resume()


def test_records(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "x", {}, {})
    assert run.records() == []
    run.append(record(1))
    run.append(record(2, valid={"mse": 0.5}))
    assert run.records() == [record(1), record(2, valid={"mse": 0.5})]
    path = run.folder / "metrics.jsonl"
    path.write_text(path.read_text() + '{"upd')
    assert len(run.records()) == 2
    good = json.dumps(record(1))
    lacking = [{k: v for k, v in record(1).items() if k != name} for name in record(1)]
    wrong = [record(1, test={"mse": "low"}), record(1, test={}), record(1, test=3), record(1, lr=None)]
    odd = [record(1), *lacking[1:], *wrong, {**record(1), "update": "1"}, {**record(1), "update": True}][1:]
    for nonsense in ("nonsense", "[]", "{}", *map(json.dumps, odd)):
        path.write_text(f"{good}\n{nonsense}\n{good}\n")
        with pytest.raises(RunError, match=r"metrics\.jsonl line 2 is damaged.*delete the line"):
            run.records()


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_other_byte_in_a_record_is_noticed(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    run = Run.create(tmp_path_factory.mktemp("run"), "x", {}, {})
    for update in (1, 2, 3):
        run.append(record(update, test={"mse": 0.1 * update}))
    path, whole = run.folder / "metrics.jsonl", run.records()
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(32, 126).filter(lambda byte: byte != content[place]))
    path.write_bytes(content)
    try:
        found = run.records()
    except RunError:
        return
    # A line that has lost its end passes for one that a kill has cut short; one that has lost the name of its checksum,
    # for one of before there were any. What it says is still what it said.
    assert len(found) == 3 or (len(found) == 2 and place == len(content) - 1)
    assert [{key: line[key] for key in right} for line, right in zip(found, whole, strict=False)] == whole[: len(found)]


def test_lost_records_are_told_and_the_weights_go_on(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "x", {}, {})
    run.resume()
    for update in (1, 2, 3):
        run.append(record(update))
        run.save_checkpoint(checkpoint(update))
    path = run.folder / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:1]))
    again = Run.open(run.folder)
    assert same(again.resume(), checkpoint(3))
    assert "metrics.jsonl has lost 2 of 3 evaluations up to update 3" in again.notice
    # It is told as long as it is so.
    again.append(record(4))
    again.save_checkpoint(checkpoint(4))
    last = Run.open(run.folder)
    last.resume()
    assert "has lost 2 of 4 evaluations up to update 4" in last.notice
    # The checkpoint before knows of its own moment.
    (run.folder / LAST).write_bytes(b"")
    path.write_text("")
    last.resume()
    assert "is damaged" in last.notice
    assert "has lost 3 of 3 evaluations up to update 3" in last.notice


def waiting(update: int, window: dict[str, Any]) -> Checkpoint:
    """A checkpoint whose update still waits for its evaluation."""
    return checkpoint(update)._replace(extra={"window": window})


@pytest.mark.parametrize("window", [{"updates": 1, "loss": 0.5}, {"loss": [0.5]}], ids=["sums", "number by number"])
def test_an_evaluation_after_its_checkpoint_does_not_stand_for_one_that_was_lost(
    tmp_path: Path, window: dict[str, Any]
) -> None:
    run = Run.create(tmp_path, "x", {}, {})
    run.resume()
    for update in (1, 2):
        run.append(record(update))
    run.save_checkpoint(waiting(3, window))
    run.append(record(3))
    again = Run.open(run.folder)
    assert again.lost_records() == ""
    again.resume()
    assert [found["update"] for found in again.records()] == [1, 2]
    again.append(record(3))
    path = run.folder / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    last = Run.open(run.folder)
    assert "has lost 1 of 2 evaluations up to update 3" in last.lost_records()
    last.resume()
    assert "has lost 1 of 2" in last.notice
    assert [found["update"] for found in last.records()] == [2]


@pytest.mark.parametrize("count", ["12", None, [1], 2.0, -3, True])
def test_a_count_that_is_none_is_refused(tmp_path: Path, count: Any) -> None:
    run = Run.create(tmp_path, "x", {}, {})
    run.append(record(1))
    (run.folder / LAST).write_bytes(pack(Checkpoint({}, 1, {RECORDED: count})))
    for ask in (run.resume, run.lost_records):
        with pytest.raises(RunError, match=r"is damaged: it counts .* evaluations"):
            ask()
    assert len(run.records()) == 1


def test_folders_that_are_no_runs(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run: it has no config\.json"):
        Run.open(tmp_path / "nothing")
    run = Run.create(tmp_path / "runs", "x", {}, {})
    with pytest.raises(RunError, match=rf"it has no config.json; {run.folder} is one"):
        Run.open(tmp_path / "runs")
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


@pytest.mark.parametrize("name", ["env.json", "config.json", "metrics.jsonl", LAST, BEST, "diverged.json"])
def test_what_a_killed_process_left_half_written_goes_on_resume(tmp_path: Path, name: str) -> None:
    run = Run.create(tmp_path, "x", {}, {})
    (run.folder / f".{name}.x7f2ylx_").write_bytes(b"half")
    (run.folder / ".mine").write_bytes(b"not ours")
    run.resume()
    assert [path.name for path in run.folder.glob(".*")] == [".mine"]


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


def test_a_copy_is_kept_with_and_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for links in (True, False):
        if not links:

            def refuse(*arguments: object) -> None:
                raise OSError("no links here")

            monkeypatch.setattr(os, "link", refuse)
        write_atomically(tmp_path / "a", b"1")
        keep_copy(tmp_path / "a", tmp_path / "b")
        write_atomically(tmp_path / "a", b"2")
        assert (tmp_path / "b").read_bytes() == b"1"
    monkeypatch.undo()
    for _ in range(2):  # the second time both are one file already
        keep_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"2"
    assert {p.name for p in tmp_path.iterdir()} == {"a", "b"}


def test_files_are_as_readable_as_the_umask_says(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        write_atomically(tmp_path / "file", b"")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_a_full_disk_is_told_and_costs_nothing_that_was_saved(small_disk: Path) -> None:
    run = Run.create(small_disk, "x", {}, {})
    run.append(record(7))
    run.save_checkpoint(checkpoint(7))
    (small_disk / "ballast").write_bytes(b"x" * 65536)

    def fill() -> None:
        for update in range(8, 10_000):
            run.append(record(update, ballast="x" * 2000))

    with pytest.raises(RunError, match=r"cannot write .*: No space left on device"):
        fill()
    with pytest.raises(RunError, match=r"cannot write .*checkpoint\.safetensors: No space left on device"):
        run.save_checkpoint(checkpoint(9))
    assert run.saved == 7
    (small_disk / "ballast").unlink()
    again = Run.open(run.folder)
    assert same(again.resume(), checkpoint(7))
    assert again.records() == [record(7)]
    again.save_checkpoint(checkpoint(9))
    assert same(Run.open(run.folder).resume(), checkpoint(9))


def test_a_missing_checkpoint_falls_back_too(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "x", {}, {})
    run.save_checkpoint(checkpoint(7))
    run.save_checkpoint(checkpoint(9))
    (run.folder / LAST).unlink()
    assert run.progress() == 7
    assert same(run.resume(), checkpoint(7))
    assert "is missing; going on from the checkpoint before it, of update 7" in run.notice
    (run.folder / PREVIOUS).write_bytes(b"")
    with pytest.raises(RunError, match="is damaged"):
        run.progress()


def test_looking_at_a_strangers_folder_harms_nothing(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "x", {}, {})
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name in (".lock", "metrics.jsonl"):
        (run.folder / name).symlink_to(victim)
    assert not run.in_use()
    with pytest.raises(RunError, match=r"cannot write .*\.lock"), run.lock():
        pass
    with pytest.raises(RunError, match=r"cannot write .*metrics\.jsonl"):
        run.append(record(1))
    assert victim.read_text() == "precious"


def test_in_use_is_told_and_looking_does_not_lock_out(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "x", {}, {})
    assert not run.in_use()
    assert not (run.folder / ".lock").exists()
    with run.lock():
        assert run.in_use()
    assert not run.in_use()


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomically(pipe, b"words")
        assert os.read(reader, 99) == b"words"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
