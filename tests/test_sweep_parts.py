"""One sweep by several commands that know nothing of each other."""

from __future__ import annotations

import errno
import fcntl
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nprnn.errors import ConfigError, RunError
from nprnn.sweep import Part, divide, occupied, parse_part, prepare, read_sweep
from nprnn.sweep.costs import work
from test_sweep import FIXED, SHORT, assert_complete, runs, sweep
from test_sweep_plan import text_of, written

GRID = {"model": ["np-RNN", "IRNN"], "lr": [0.01, 0.003]}


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "1", "1/2/3", "-1/2", "a/b", "1/4 ", "1.0/4"])
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(ConfigError, match="the k-th of n parts"):
        parse_part(text)


def test_a_part_reads_as_it_is_written() -> None:
    assert parse_part("2/4") == Part(2, 4)
    assert str(Part(2, 4)) == "2/4"


@settings(max_examples=20, deadline=None)
@given(parts=st.integers(1, 12), seeds=st.integers(1, 5), lengths=st.lists(st.integers(4, 20), min_size=1, unique=True))
def test_every_member_is_in_one_part(
    tmp_path_factory: pytest.TempPathFactory, parts: int, seeds: int, lengths: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    fixed = {k: v for k, v in FIXED.items() if k != "length"}
    file = read_sweep(written(folder, text_of(grid={"length": lengths}, fixed=fixed, seeds=seeds)))
    members, facts = prepare(file)
    found = divide(members, facts, parts)
    assert len(found) == parts
    assert sorted(k for part in found for k in part) == list(range(len(members)))
    loads = [sum(work(members[k].config, facts[members[k].task], 1) for k in part) for part in found]
    # The longest first, each to whoever has least: nobody ends later than by one member's work, or a small group's.
    largest = max(work(m.config, facts[m.task], 1) for m in members) * max(seeds, 1)
    assert max(loads) <= sum(loads) / parts + largest


@pytest.mark.slow
def test_four_commands_are_one_sweep(tmp_path: Path) -> None:
    file = written(tmp_path, text_of(grid=GRID, fixed=SHORT, seeds=4))
    words = [sys.executable, "-m", "nprnn", "sweep", file, "--out", tmp_path / "out", "--workers", "1"]
    commands = [
        subprocess.Popen(
            [*words, "--shard", f"{k}/4"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for k in (1, 2, 3, 4)
    ]
    told = [command.communicate(timeout=300)[0] for command in commands]
    assert [command.returncode for command in commands] == [0] * 4, told
    assert all(f"part {k}/4: 4 members" in told[k - 1] for k in (1, 2, 3, 4))
    assert not any("of no member" in said for said in told)
    accounts = [json.loads((tmp_path / "out" / f"sweep-{k}-of-4.json").read_text()) for k in (1, 2, 3, 4)]
    assert [{m["state"] for m in account["members"]} for account in accounts] == [{"finished"}] * 4
    # A command of all finds nothing left to do, and what there is is what it would have made.
    assert sweep(file, "--out", tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / "sweep.json").read_text())["sessions"] == []
    assert sweep(file, "--out", tmp_path / "whole") == 0
    assert len(runs(tmp_path / "out")) == 16
    assert_complete(tmp_path / "out", tmp_path / "whole")


def test_a_part_without_members_has_nothing_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, text_of(fixed=SHORT))
    assert sweep(file, "--out", tmp_path / "out", "--shard", "2/2") == 0
    assert "part 2/2: 0 members" in capsys.readouterr().out
    assert sweep(file, "--out", tmp_path / "out", "--shard", "1/2", "--dry-run") == 0
    assert "part 1/2: 1 members" in capsys.readouterr().out


def test_who_may_share_a_folder(tmp_path: Path) -> None:
    file = read_sweep(written(tmp_path, text_of(fixed=SHORT)))
    out = tmp_path / "out"
    with occupied(out, file, Part(1, 4)), occupied(out, file, Part(2, 4)):
        for part, said in (
            (None, "another sweep is at work"),
            (Part(2, 4), "part 2/4 is at work"),
            (Part(3, 5), "of other than 5 parts, are at work"),
        ):
            with pytest.raises(RunError, match=said), occupied(out, file, part):
                pass
        (tmp_path / "other").mkdir()
        other = read_sweep(written(tmp_path / "other", text_of(fixed=SHORT, seeds=2)))
        with pytest.raises(RunError, match="parts of another file"), occupied(out, other, Part(3, 4)):
            pass
        with occupied(out, file, Part(3, 4)):
            pass
    with occupied(out), pytest.raises(RunError, match="no part of one is at work"), occupied(out, file, Part(1, 4)):
        pass
    with occupied(out, file, Part(3, 5)):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def without(*_: Any) -> None:
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", without)
    assert sweep(written(tmp_path, text_of(fixed=SHORT)), "--out", tmp_path / "out", "--shard", "1/1") == 0
    monkeypatch.undo()
    assert [run.progress() for run in runs(tmp_path / "out").values()] == [SHORT["updates"]]


def test_a_lock_that_cannot_be_asked_for_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(RunError, match=r"cannot write .*sweep\.lock"), occupied(tmp_path / "out"):
        pass
