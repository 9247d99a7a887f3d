"""A shard at work away from home, without the cluster that carries it there."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nprnn.runs import LAST, Run
from nprnn.sweep.messages import Broken, Ended, Given, Gone, Opened, Placed, Refused
from nprnn.sweep.post import Filed, Mission, Post, run_files, versions
from nprnn.sweep.survey import FAILED
from nprnn.tasks import Addition, Mnist
from nprnn.training import TrainConfig

TASK = Addition(length=6, train_size=40, valid_size=20, test_size=20)
CONFIG = TrainConfig(hidden=8, batch=4, updates=24, eval_every=8)


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A post changes what its process is, which is this one here."""
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))


def mission(**changes: Any) -> Mission:
    given = [Given(0, TASK, CONFIG, TASK.load(0).fingerprint)]
    told: dict[str, Any] = {"files": {}, "words": ["sweep", "grid.toml"], "place": os.getcwd(), "versions": versions()}
    told |= {"task_name": "addition", "members": given, "device": "cpu", "seconds": 0.0}
    return Mission(**{**told, **changes})


def carried_out(post: Post, wanted: Mission) -> list[Any]:
    told: list[Any] = list(post.begin(wanted))
    while not isinstance(told[-1], Gone):
        told += post.take(0.5)
    return told


def kept(home: Path, told: Sequence[Any]) -> Run:
    """What came home, put into a folder."""
    for message in told:
        if isinstance(message, Filed):
            (home / message.folder).mkdir(parents=True, exist_ok=True)
            for name, content in message.changed.items():
                (home / message.folder / name).write_bytes(content)
    return Run.open(next(home.iterdir()))


def test_all_that_a_run_wrote_comes_home(tmp_path: Path) -> None:
    told = carried_out(Post(), mission())
    assert isinstance(told[0], Placed)
    assert told[-1] == Gone(0)
    run = kept(tmp_path / "home", told)
    assert run.progress() == 24
    assert [record["update"] for record in run.records()] == [8, 16, 24]
    assert run.env()["command"] == ["nprnn", "sweep", "grid.toml"]
    # Each evaluation was sent as it came, the end behind the files that it left, and nothing twice.
    filed = [message for message in told if isinstance(message, Filed)]
    assert told.index(filed[-1]) < told.index(next(m for m in told if isinstance(m, Ended)))
    assert sum("config.json" in message.changed for message in filed) == 1
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_run_goes_on_where_it_was_left(tmp_path: Path) -> None:
    whole = kept(tmp_path / "whole", carried_out(Post(), mission()))
    post = Post()
    post.begin(mission(members=[Given(0, TASK, CONFIG, TASK.load(0).fingerprint)]))
    home = tmp_path / "home"
    told: list[Any] = []
    # Stopped somewhere: what was sent by then is all that there is.
    while not any(isinstance(message, Opened) for message in told):
        told += post.take(0.05)
    post.stop()
    while not isinstance(told[-1], Gone):
        told += post.take(0.5)
    begun = kept(home, told)
    (begun.folder / FAILED).write_text("{}")
    files = {begun.folder.name: {path.name: path.read_bytes() for path in run_files(begun.folder)}}
    given = [Given(0, TASK, CONFIG, TASK.load(0).fingerprint, begun.folder.name)]
    told = carried_out(Post(), mission(members=given, files=files))
    run = kept(home, told)
    assert run.read_checkpoint(LAST) is not None
    assert run.progress() == 24
    assert [{**r, "updates_per_second": 0} for r in run.records()] == [
        {**r, "updates_per_second": 0} for r in whole.records()
    ]
    # Its failure is forgotten, at home too.
    last = [message for message in told if isinstance(message, Filed)][-1]
    assert FAILED not in last.names


def test_other_data_there_are_refused(tmp_path: Path) -> None:
    told = carried_out(Post(), mission(members=[Given(0, TASK, CONFIG, "of other data")]))
    (refused,) = [message for message in told if isinstance(message, Refused)]
    assert "the data here are not those that the sweep was planned with" in refused.error
    assert not [message for message in told if isinstance(message, Filed)]


def test_no_data_there_are_told(tmp_path: Path) -> None:
    given = [Given(0, Mnist(data_dir=Path("nowhere")), CONFIG, "any")]
    (broken,) = [m for m in carried_out(Post(), mission(task_name="mnist", members=given)) if isinstance(m, Broken)]
    assert "nowhere: there is no such folder" in broken.error


def test_other_versions_there_are_refused() -> None:
    with pytest.raises(RuntimeError, match=r"has .*'torch'.* and the sweep has .*'torch': '1\.0'"):
        Post().begin(mission(versions={**versions(), "torch": "1.0"}))
