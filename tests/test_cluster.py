"""Sweeps on a Ray cluster of two nodes, both on this machine: lost, stopped, refused."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from conftest import absent
from nprnn.cli import main
from nprnn.errors import RunError
from nprnn.runs import LAST, Run
from nprnn.sweep import Away, Cluster, Shard
from nprnn.sweep.messages import Broken, Ended, Gone, Refused
from nprnn.sweep.post import Filed, versions
from ray_nodes import Nodes, nodes
from test_sweep import FIXED, account, assert_complete, runs, stamps, started, states, sweep, until
from test_sweep_plan import text_of, written

__all__ = ["nodes"]
pytestmark = pytest.mark.slow
# Some seconds a shard, and much to bring home.
STEADY = {**FIXED, "updates": 12_000, "eval_every": 400}
GRID = {"model": ["np-RNN", "IRNN"], "lr": [0.01, 0.003]}


@pytest.fixture(scope="module")
def at_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep of 24 members, as this machine runs it."""
    folder = tmp_path_factory.mktemp("home")
    assert sweep(written(folder, text_of(grid=GRID, fixed=STEADY, seeds=6)), "--out", folder / "out") == 0
    return folder / "out"


def test_a_lost_node_costs_its_unfinished_shards(nodes: Nodes, at_home: Path, tmp_path: Path) -> None:
    file, out = written(tmp_path, text_of(grid=GRID, fixed=STEADY, seeds=6)), tmp_path / "out"
    with started(file, "--out", out, "--ray", nodes.address, "--ensemble", 4) as process:
        until(lambda: (out / "sweep.json").exists() and states(out).count("finished") >= 8, 300)
        until(nodes.second.workers, 120)
        finished = {run.folder for run in runs(out).values() if run.progress() == STEADY["updates"]}
        before = {path: stamp for path, stamp in stamps(out).items() if path.parent in finished}
        nodes.second.kill()
        told, _ = process.communicate(timeout=500)
        assert process.returncode == 0, told
    nodes.join()
    assert "members are tried more later: its machine or its worker was lost" in told
    shards = account(out)["sessions"][0]["shards"]
    lost = [shard for shard in shards if "lost" in shard]
    # One of six, and it alone was trained again; or one more, had the next been given to the node before it was missed.
    assert 1 <= len(lost) <= 2
    assert len(shards) == 6 + len(lost)
    assert {path: stamp for path, stamp in stamps(out).items() if path in before} == before
    assert states(out) == ["finished"] * 24
    assert_complete(out, at_home)
    # What a machine had half done went on elsewhere from what it had sent home, if it had lived so long.
    assert all(run.env()["command"][:2] == ["nprnn", "sweep"] for run in runs(out).values())


def test_stopped_it_brings_its_checkpoints_home_and_goes_on(nodes: Nodes, at_home: Path, tmp_path: Path) -> None:
    file, out = written(tmp_path, text_of(grid=GRID, fixed=STEADY, seeds=6)), tmp_path / "out"
    with started(file, "--out", out, "--ray", nodes.address) as process:
        until(lambda: (out / "sweep.json").exists() and any(m["update"] for m in account(out)["members"]), 300)
        process.send_signal(signal.SIGTERM)
        told, _ = process.communicate(timeout=120)
        assert process.returncode == 143, told
    # Some may have ended before the signal was heard.
    begun = [run.progress() for run in runs(out).values()]
    assert any(0 < update < STEADY["updates"] for update in begun)
    # What is left is run here: no matter where a run began.
    assert sweep(file, "--out", out) == 0
    assert_complete(out, at_home)


def test_a_worker_that_dies_there_is_tried_once_more(nodes: Nodes, tmp_path: Path) -> None:
    # Long enough that it is at work when it is killed, on a busy machine too.
    fixed = {**STEADY, "updates": 40_000, "eval_every": 2000}
    file, out = written(tmp_path, text_of(grid={"lr": [0.01, 0.003]}, fixed=fixed)), tmp_path / "out"
    others = nodes.head.workers() + nodes.second.workers()
    with started(file, "--out", out, "--ray", nodes.address, "--workers", 1) as process:
        (worker,) = until(lambda: {*nodes.head.workers(), *nodes.second.workers()}.difference(others), 120)
        until(lambda: (out / "sweep.json").exists() and "running" in states(out), 120)
        os.kill(worker, signal.SIGKILL)
        told, _ = process.communicate(timeout=300)
        assert process.returncode == 0, told
    assert "2 members are tried once more later: its process was killed by SIGKILL" in told
    assert states(out) == ["finished"] * 2


def test_what_a_cluster_cannot_do_is_told_before_anything_runs(
    nodes: Nodes, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, out = written(tmp_path, text_of(grid={"lr": [0.01, 0.003]})), tmp_path / "out"
    assert sweep(file, "--out", out, "--ray", nodes.address, "--shard", "1/2") == 2
    assert "--ray sees to every shard" in capsys.readouterr().err
    assert sweep(file, "--out", out, "--ray", nodes.address, "--device", "cuda:1") == 2
    assert "on a cluster the device is cpu or cuda" in capsys.readouterr().err
    assert sweep(file, "--out", out, "--ray", nodes.address, "--dry-run") == 0
    assert "Ray cluster of 2 machines, 2 cores" in capsys.readouterr().out
    # No machine of theirs has a GPU.
    assert sweep(file, "--out", out, "--ray", nodes.address, "--device", "cuda") == 2
    assert "no machine of the cluster has what a shard takes" in capsys.readouterr().err
    other = {**versions(), "nprnn": "0.0.1"}
    monkeypatch.setattr("nprnn.sweep.cluster.versions", lambda: other)
    assert main(["sweep", str(file), "--out", str(out), "--ray", nodes.address]) == 2
    said = capsys.readouterr().err
    assert "the machines of the cluster must have what this one has (nprnn 0.0.1" in said
    assert said.count(f" has nprnn {versions()['nprnn']}, torch") == 2
    assert not list(out.glob("*/config.json"))


def test_no_cluster_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("ray") is None:
        absent("RAY IS NOT INSTALLED: what is said of no cluster is not tested (pip install 'nprnn[ray]')")
    file = written(tmp_path, text_of())
    assert sweep(file, "--out", tmp_path / "out", "--ray", "127.0.0.1:1") == 2
    assert "no Ray cluster can be used at 127.0.0.1:1" in capsys.readouterr().err
    assert sweep(file, "--out", tmp_path / "out", "--ray", "ray://127.0.0.1:1") == 2
    assert "run it on one, with --ray auto" in capsys.readouterr().err


class Actors:
    """What of Ray a crew needs once an answer is there."""

    class exceptions:
        class RayError(Exception):
            pass

        class RayTaskError(RayError):
            pass

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.killed = 0

    def get(self, answer: Any) -> Any:
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def kill(self, actor: Any) -> None:
        self.killed += 1

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": 4.0, "memory": 2.0**33}}, {"Alive": False, "Resources": {}}]


@pytest.fixture
def crew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Away, Actors]:
    ray = Actors()
    monkeypatch.setattr("nprnn.sweep.cluster.needed", lambda *_: ray)
    return Away(Cluster("auto"), "addition", tmp_path, lambda _: 2**20), ray


def asked(away: Away, ray: Actors, *answers: Any) -> list[Any]:
    from types import SimpleNamespace

    from nprnn.sweep.away import _Worker

    ray.answers = list(answers)
    actor = SimpleNamespace(take=SimpleNamespace(remote=lambda seconds: None))
    away._workers = {3: _Worker(actor, None, {"run-a": ("failed.json",)}, {}, True)}
    heard: list[Any] = []
    while 3 in away._workers:
        heard += away._hear(3)
    return heard


def test_files_come_home_before_the_word_of_them(crew: tuple[Away, Actors], tmp_path: Path) -> None:
    (tmp_path / "run-a").mkdir()
    (tmp_path / "run-a" / "failed.json").write_text("{}")
    (tmp_path / "run-a" / "mine.txt").write_text("kept")
    content = {LAST: b"c", "metrics.jsonl": b"m", "config.json": b"{}"}
    end = Ended(0, "finished", 9, "")
    heard = asked(*crew, [Filed(0, "run-a", content, list(content))], [end, Gone(0)])
    assert heard == [end, Gone(0)]
    assert {p.name: p.read_bytes() for p in (tmp_path / "run-a").iterdir()} == {**content, "mine.txt": b"kept"}
    assert crew[1].killed == 1


def test_a_run_that_cannot_be_kept_is_not_finished(crew: tuple[Away, Actors], tmp_path: Path) -> None:
    (tmp_path / "run-a").write_text("a file where a folder should be")
    filed = Filed(0, "run-a", {LAST: b"c"}, [LAST])
    heard = asked(*crew, [filed, Ended(0, "finished", 9, ""), Gone(0)])
    assert isinstance(heard[0], Refused)
    assert "cannot write" in heard[0].error
    assert "run-a" in heard[0].error
    # The next copy may have room again.
    (tmp_path / "run-a").unlink()
    heard = asked(*crew, [filed, Ended(0, "finished", 9, ""), Gone(0)])
    assert isinstance(heard[0], Ended)


@pytest.mark.parametrize("name", ["../run-b", "a/b", "", ".."])
def test_no_file_lands_outside_of_a_run_folder(crew: tuple[Away, Actors], tmp_path: Path, name: str) -> None:
    heard = asked(*crew, [Filed(0, name, {LAST: b"c"}, []), Ended(0, "finished", 9, ""), Gone(0)])
    assert "names files outside of a run folder" in heard[0].error
    heard = asked(*crew, [Filed(0, "run-a", {name: b"c"}, []), Ended(0, "finished", 9, ""), Gone(0)])
    assert "names files outside of a run folder" in heard[0].error
    assert list(tmp_path.rglob("*")) == []


def test_a_lost_worker_and_a_broken_one_are_told_apart(crew: tuple[Away, Actors]) -> None:
    (gone,) = asked(*crew, Actors.exceptions.RayError("the node died"))
    assert gone.lost.startswith("its machine or its worker was lost (RayError)")
    broken, gone = asked(*crew, Actors.exceptions.RayTaskError("a trace\nOSError: no space left"))
    assert (broken, gone) == (Broken("OSError: no space left", "a trace\nOSError: no space left"), gone)
    assert gone.lost == "OSError: no space left"


def test_a_shard_that_no_machine_can_hold(crew: tuple[Away, Actors]) -> None:
    away = Away(Cluster("auto"), "addition", Path(), lambda _: 2**34)
    with pytest.raises(RunError, match="train fewer members at once with --ensemble"):
        away.start(0, Shard((0,), 1.0, 0, 1), [])
    assert away.most() == 4


def test_a_run_knows_the_files_that_it_goes_on_from(tmp_path: Path) -> None:
    for name in ("config.json", LAST, "snapshot-000000100.safetensors", "mine.txt", ".lock"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in Run(tmp_path, {}).files()] == [LAST, "config.json", "snapshot-000000100.safetensors"]
