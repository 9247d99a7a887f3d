"""Sweeps through the real command line: finished, stopped, killed at every level, crashed, diverged, damaged."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from nprnn.cli import main
from nprnn.reporting.sweeping import SweepView, size, span
from nprnn.runs import LAST, Run
from nprnn.sweep import Board, Shard, Standing, Working, occupied, prepare, read_sweep
from test_sweep_plan import text_of, written

FIXED = {"length": 6, "train_size": 40, "valid_size": 20, "test_size": 20, "hidden": 8, "batch": 4}
SHORT = {**FIXED, "updates": 24, "eval_every": 8}
# Some seconds of training, with something to lose every few milliseconds.
LONG = {**FIXED, "updates": 2000, "eval_every": 100}
ENDLESS = {**FIXED, "updates": 10**9, "eval_every": 10**8}


def sweep(*words: Any) -> int:
    """A sweep of this very process; its workers are processes all the same."""
    return main(["sweep", *map(str, words)])


@contextlib.contextmanager
def started(*words: Any) -> Iterator[subprocess.Popen[str]]:
    """A sweep in a process group of its own, as a shell starts one."""
    process = subprocess.Popen(
        [sys.executable, "-m", "nprnn", "sweep", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # What runs the tests may ignore Ctrl-C, as a background job of a shell does; nprnn would then ignore it too.
        preexec_fn=lambda: (os.setsid(), signal.signal(signal.SIGINT, signal.SIG_DFL)),
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout and not process.stdout.closed:
            print(process.stdout.read())
            process.stdout.close()


def train(out: Path, fixed: dict[str, Any], **settings: Any) -> None:
    """One member, as `nprnn train` makes it."""
    words = [word for name, value in {**fixed, **settings}.items() for word in (f"--{name.replace('_', '-')}", value)]
    assert main(["train", "addition", *map(str, words), "--threads", "1", "--out", str(out)]) == 0


def until(what: Callable[[], Any], seconds: float = 60.0) -> Any:
    """The first true value of ``what``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The worker processes of a sweep that are alive."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == process.pid and state != "Z" and b"spawn_main" in (stat.parent / "cmdline").read_bytes():
                found.append(int(stat.parent.name))
    return found


def runs(out: Path) -> dict[tuple[Any, ...], Run]:
    """The runs by their settings."""
    found = {}
    for path in out.glob("*/config.json"):
        run = Run.open(path.parent)
        config = run.config["train_config"]
        found[run.config["task"], config["model"], config["lr"], config["seed"]] = run
    return found


def records(run: Run) -> list[dict[str, Any]]:
    return [{k: v for k, v in record.items() if k != "updates_per_second"} for record in run.records()]


def assert_alike(a: Any, b: Any, rel: float = 1e-4) -> None:
    """The same keys and numbers, to the rounding that ensembles of other sizes do."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            # A sequence at the very edge of the tolerance may fall on either side.
            assert_alike(a[key], b[key], rel) if key != "within_0.04" else None
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_alike(x, y, rel)
    else:
        assert a == pytest.approx(b, rel=rel, abs=1e-7)


def assert_complete(out: Path, whole: Path, rel: float = 1e-3) -> None:
    """Every run is whole, with the records of the other folder's, neither lost nor doubled."""
    ours, theirs = runs(out), runs(whole)
    assert ours.keys() == theirs.keys()
    for key, run in ours.items():
        assert run.progress() == run.config["train_config"]["updates"]
        assert_alike(records(run), records(theirs[key]), rel)
        assert not [path.name for path in run.folder.glob(".*") if path.name != ".lock"], "half-written files"


def account(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "sweep.json").read_text())
    return found


def states(out: Path) -> list[str]:
    return [member["state"] for member in account(out)["members"]]


def stamps(out: Path) -> dict[Path, int]:
    """When the files of the runs were last written."""
    return {path: path.stat().st_mtime_ns for path in out.glob("*/*")}


def test_a_sweep_is_as_many_trains_and_done_once(tmp_path: Path) -> None:
    out = tmp_path / "out"
    text = text_of(grid={"model": ["np-RNN", "IRNN", "np-tanhRNN"], "lr": [0.01, 0.03]}, fixed=SHORT, seeds=[0, 3])
    path = written(tmp_path, text)
    with started(path, "--out", out, "--workers", 2) as process:
        told, _ = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert "12 members in 2 shards, 2 workers at once" in told
    assert told.count("\nfinished  ") == 12
    assert "12 done, 0 running, 0 failed, 0 diverged, 0 waiting" in told
    assert f"nprnn report {out}" in told
    assert (out / "sweep.toml").read_bytes() == path.read_bytes()

    found = runs(out)
    assert len(found) == 12
    for _, model, lr, seed in found:
        train(tmp_path / "one", SHORT, model=model, lr=lr, seed=seed)
    alone = runs(tmp_path / "one")
    for key, run in found.items():
        assert_alike(records(run), records(alone[key]))
        assert run.folder.name == alone[key].folder.name, "the same settings are the same run"

    best = min((r["valid"]["mse"], -r["update"], key) for key, run in found.items() for r in run.records())
    line = re.search(r"best by validation: model=(\S+) lr=(\S+) seed=(\S+): validation mse (\S+),", told)
    assert line
    assert (line[1], float(line[2]), int(line[3])) == best[2][1:]
    assert float(line[4]) == pytest.approx(best[0], rel=1e-4)

    members = account(out)["members"]
    assert {member["folder"] for member in members} == {run.folder.name for run in found.values()}
    assert {(member["state"], member["update"]) for member in members} == {("finished", 24)}
    (session,) = account(out)["sessions"]
    assert [shard["members"] for shard in session["shards"]] == [6, 6]
    for shard in session["shards"]:
        assert shard["exit_status"] == 0
        assert 0 < shard["training_seconds"] < shard["seconds"]
        assert 0 < shard["loading_seconds"] < shard["seconds"]

    before = stamps(out)
    assert sweep(path, "--out", out) == 0
    assert stamps(out) == before


def test_more_seeds_and_values_later_run_what_is_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    for lr in (0.01, 0.03):
        train(out, SHORT, lr=lr)
    before = stamps(out)
    path = written(tmp_path, text_of(grid={"lr": [0.02, 0.03]}, fixed=SHORT, seeds=2))
    capsys.readouterr()
    assert sweep(path, "--out", out, "--workers", 2) == 0
    told = capsys.readouterr().out
    assert "found: 1 done, 0 diverged, 0 failed" in told
    assert "3 members in 2 shards" in told
    assert re.search(r"1 run folders there are of no member and left alone: addition-np-RNN-s0-", told)
    after = stamps(out)
    assert {path: after[path] for path in before} == before
    assert sorted(key[2:] for key in runs(out)) == [(0.01, 0), (0.02, 0), (0.02, 1), (0.03, 0), (0.03, 1)]
    assert len(account(out)["members"]) == 4
    assert len(account(out)["sessions"]) == 1


def test_members_that_diverge_leave_the_others_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, fixed = tmp_path / "out", {**SHORT, "clip": 0}
    path = written(tmp_path, text_of(grid={"lr": [0.01, 1e30, 0.02]}, fixed=fixed, seeds=2))
    assert sweep(path, "--out", out, "--workers", 1) == 0
    told = capsys.readouterr().out
    assert "4 done, 0 running, 0 failed, 2 diverged, 0 waiting" in told
    assert "diverged  lr=1e+30 seed=1: update" in told
    for lr in (0.01, 0.02):
        train(tmp_path / "alone", fixed, lr=lr, seed=1)
    found = runs(out)
    for key, run in runs(tmp_path / "alone").items():
        assert_alike(records(run), records(found[key]))
    assert {key[2] for key, run in found.items() if run.diverged() is not None} == {1e30}
    before = stamps(out)
    capsys.readouterr()
    assert sweep(path, "--out", out) == 0
    assert "found: 4 done, 2 diverged, 0 failed" in capsys.readouterr().out
    assert stamps(out) == before


def test_a_damaged_run_fails_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    for lr in (0.01, 0.02, 0.03):
        train(out, SHORT, lr=lr)
    found = runs(out)
    weights, config = found["addition", "np-RNN", 0.01, 0].folder, found["addition", "np-RNN", 0.02, 0].folder
    for name in ("checkpoint.safetensors", "checkpoint.previous.safetensors"):
        (weights / name).write_bytes(b"damaged")
    (config / "config.json").write_text("{")
    path = written(tmp_path, text_of(grid={"lr": [0.01, 0.02, 0.03, 0.04]}, fixed=SHORT, seeds=1))
    capsys.readouterr()
    assert sweep(path, "--out", out, "--workers", 1) == 1
    told = capsys.readouterr().out
    assert "2 done, 0 running, 2 failed, 0 diverged, 0 waiting" in told
    assert re.search(r"failed: lr=0.01 seed=0: .*checkpoint.previous.safetensors is damaged", told)
    assert re.search(r"failed: lr=0.02 seed=0: .*config.json cannot be read", told)
    assert states(out) == ["failed", "failed", "finished", "finished"]
    # Moved away, as one would with a damaged folder, both are made anew.
    for folder in (weights, config):
        folder.rename(tmp_path / folder.name)
    assert sweep(path, "--out", out, "--workers", 1) == 0
    assert states(out) == ["finished"] * 4
    assert {run.progress() for run in runs(out).values()} == {24}


@pytest.mark.parametrize(("number", "status", "group"), [(signal.SIGINT, 130, True), (signal.SIGTERM, 143, False)])
def test_stopped_by_a_signal_with_checkpoints(tmp_path: Path, number: int, status: int, group: bool) -> None:
    out = tmp_path / "out"
    path = written(tmp_path, text_of(fixed=ENDLESS, seeds=3))
    with started(path, "--out", out, "--workers", 2, "--ensemble", 1) as process:
        until(lambda: sum(run.in_use() for run in runs(out).values()) >= 2)
        time.sleep(0.3)
        workers = workers_of(process)
        assert len(workers) == 2
        # Ctrl-C of a terminal goes to every process of the group.
        os.killpg(process.pid, number) if group else process.send_signal(number)
        told, _ = process.communicate(timeout=60)
        assert process.returncode == status, told
        assert not any(map(lives, workers))
    assert "stopped; 2 members begun keep their checkpoints, 1 have not begun, and the same command goes on" in told
    assert [run.progress() > 0 for run in runs(out).values()] == [True, True]
    assert sorted(states(out)) == ["stopped", "stopped", "waiting"]


def test_a_second_ctrl_c_kills(tmp_path: Path) -> None:
    out = tmp_path / "out"
    path = written(tmp_path, text_of(fixed=ENDLESS, seeds=1))
    with started(path, "--out", out) as process:
        until(lambda: any(run.in_use() for run in runs(out).values()))
        (worker,) = workers_of(process)
        os.kill(worker, signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        time.sleep(1)
        assert process.poll() is None, "it waits for its worker"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
        assert not lives(worker)


@pytest.mark.parametrize("kills", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_worker_that_is_killed_is_tried_once_more(tmp_path: Path, kills: int) -> None:
    out = tmp_path / "out"
    path = written(tmp_path, text_of(grid={"lr": [0.01, 0.02]}, fixed=LONG, seeds=1))
    words = ["--out", out, "--workers", 1, "--ensemble", 2]
    with started(path, *words) as process:
        killed: list[int] = []
        for _ in range(kills):
            (worker,) = until(lambda: [pid for pid in workers_of(process) if pid not in killed])
            until(lambda: any(run.in_use() for run in runs(out).values()))
            time.sleep(0.2)
            os.kill(worker, signal.SIGKILL)
            killed.append(worker)
            until(lambda dead=worker: not lives(dead))
        told, _ = process.communicate(timeout=120)
    assert "2 members are tried once more later: its process was killed by SIGKILL, as the system does when" in told
    if kills == 2:
        assert process.returncode == 1, told
        assert states(out) == ["failed", "failed"]
        notes = [json.loads(path.read_text()) for path in out.glob("*/failed.json")]
        assert ["killed by SIGKILL" in note["error"] for note in notes] == [True, True]
        assert "failed: lr=0.01 seed=0: its process was killed by SIGKILL" in told
        assert sweep(path, *words) == 0
    else:
        assert process.returncode == 0, told
        assert [shard["exit_status"] for shard in account(out)["sessions"][0]["shards"]] == [-9, 0]
    assert states(out) == ["finished", "finished"]
    assert not list(out.glob("*/failed.json"))
    for lr in (0.01, 0.02):
        train(tmp_path / "whole", LONG, lr=lr)
    assert_complete(out, tmp_path / "whole")


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_and_resumed_is_the_unkilled_sweep(tmp_path: Path, kills: int) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    fixed = {**LONG, "updates": 1000 * kills, "eval_every": 50 * kills}
    del fixed["hidden"]
    grid = {"lr": [0.01, 0.02], "hidden": [8] if kills == 2 else [8, 6]}
    path = written(tmp_path, text_of(grid=grid, fixed=fixed, seeds=2))
    assert sweep(path, "--out", whole, "--workers", 2) == 0
    moments = random.Random(kills)
    killed = 0
    for k in range(kills):
        with started(path, "--out", out, "--workers", 2) as process:
            # Some while members train, some at any time after the start.
            if k % 3 < 2:
                until(lambda: process.poll() is not None or any(run.in_use() for run in runs(out).values()))
                wait = moments.uniform(0, 0.5)
            else:
                wait = moments.uniform(0, 5)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(wait)
            killed += process.poll() is None
            workers = workers_of(process)
            if k % 2:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
                process.wait()
            if k % 4 == 0:
                until(lambda pids=workers: not any(map(lives, pids)))
    assert sweep(path, "--out", out, "--workers", 2) == 0
    assert killed >= kills / 2
    assert_complete(out, whole)
    assert states(out) == ["finished"] * 4 * len(grid["hidden"])


def test_two_sweeps_do_not_share_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    path = written(tmp_path, text_of(fixed=ENDLESS, seeds=1))
    with occupied(out):
        assert sweep(path, "--out", out) == 2
    assert f"another sweep is at work in {out}; wait until it ends" in capsys.readouterr().err
    assert not list(out.glob("*/"))


def test_workers_of_a_killed_sweep_are_waited_for(tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(out, {**SHORT, "stop_after": 8}, lr=0.01)
    path = written(tmp_path, text_of(grid={"lr": [0.01, 0.02]}, fixed=SHORT, seeds=1))
    held = contextlib.ExitStack()
    held.enter_context(runs(out)["addition", "np-RNN", 0.01, 0].lock())
    release = threading.Timer(5, held.close)
    release.start()
    began = time.monotonic()
    assert sweep(path, "--out", out, "--workers", 1) == 0
    release.join()
    assert time.monotonic() - began > 5
    assert states(out) == ["finished", "finished"]


@pytest.mark.slow  # it waits ten seconds for the other process, twice
def test_a_member_in_other_hands_fails_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for lr in (0.01, 0.02):
        train(out, {**SHORT, "stop_after": 8}, lr=lr)
    path = written(tmp_path, text_of(grid={"lr": [0.01, 0.02]}, fixed=SHORT, seeds=1))
    with runs(out)["addition", "np-RNN", 0.01, 0].lock():
        assert sweep(path, "--out", out, "--workers", 1) == 1
    assert states(out) == ["failed", "finished"]
    assert "another process is training in" in account(out)["members"][0]["error"]


def test_evaluations_that_were_lost_are_told_as_long_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    train(out, {**SHORT, "stop_after": 16}, lr=0.01)
    metrics = runs(out)["addition", "np-RNN", 0.01, 0].folder / "metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[1:]))
    path = written(tmp_path, text_of(grid={"lr": [0.01]}, fixed=SHORT, seeds=1))
    for lost in ("1 of 2 evaluations up to update 16", "1 of 3 evaluations up to update 24"):
        capsys.readouterr()
        assert sweep(path, "--out", out, "--workers", 1) == 0
        assert f"{metrics} has lost {lost}" in capsys.readouterr().out
    assert states(out) == ["finished"]


def test_what_nobody_goes_on_with_is_not_said_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    for lr in (0.01, 0.02):
        train(out, {**SHORT, "stop_after": 16}, lr=lr)
        folder = runs(out)["addition", "np-RNN", lr, 0].folder
        (folder / LAST).write_bytes(b"x")
    metrics = runs(out)["addition", "np-RNN", 0.01, 0].folder / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace("loss", "toss", 1))
    (folder / "diverged.json").write_text('{"update": 9}')
    path = written(tmp_path, text_of(grid={"lr": [0.01, 0.02]}, fixed=SHORT, seeds=1))
    capsys.readouterr()
    for options in (("--dry-run",), ("--workers", 1)):
        assert sweep(path, "--out", out, *options) == (0 if "--dry-run" in options else 1)
        told = capsys.readouterr().out
        assert "1 diverged, 1 failed" in told
        assert f"failed: lr=0.01 seed=0: {metrics}" in told
        assert "going on" not in told


def test_a_dry_run_tells_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    fixed = {**SHORT, "valid_size": 0}
    train(out, fixed, lr=0.02)
    before = stamps(tmp_path)
    path = written(tmp_path, text_of(grid={"lr": [0.01, 0.02, 0.03]}, fixed=fixed, seeds=3))
    capsys.readouterr()
    assert sweep(path, "--out", out, "--workers", 2, "--dry-run") == 0
    told = capsys.readouterr().out
    assert "found: 1 done" in told
    rows = [[cell.strip() for cell in line.split("│")[1:8]] for line in told.splitlines() if line.startswith("│")]
    # A narrow table has the settings in several lines.
    assert " ".join(row[0] for row in rows) == "lr=0.01 seed=0"
    assert rows[0][1:] == ["2", "8", "4", "6", "4", "8"]
    assert re.search(r"estimated time: \d+ s on as many free cores", told)
    assert re.search(r"memory at once: at most about \d+ MiB, for 2 workers", told)
    assert stamps(tmp_path) == before
    assert not (out / "sweep.json").exists()
    path = written(tmp_path, text_of(grid={"lr": [0.02]}, fixed=fixed, seeds=1))
    assert sweep(path, "--out", out, "--dry-run") == 0
    assert "nothing is left to run" in capsys.readouterr().out
    assert sweep(path, "--out", out) == 0
    assert "no validation set to choose by" in capsys.readouterr().out


def test_a_full_disk_is_told_and_ends(small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, text_of(fixed={**SHORT, "hidden": 300}, seeds=4))
    assert sweep(path, "--out", small_disk, "--workers", 1) == 1
    told = capsys.readouterr().out
    assert "warning: the runs may take" in told
    assert "No space left on device" in told
    assert re.search(r"[1-4] failed", told)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_board_counts_speed_and_leaders(tmp_path: Path) -> None:
    file = read_sweep(written(tmp_path, text_of(grid={"lr": [0.01, 0.02]}, fixed=SHORT, seeds=2)))
    members, facts = prepare(file)
    board = Board(members, [Standing() for _ in members], facts)
    assert board.seconds_left() is None
    assert board.speed() == 0
    board.open(0, "folder", 0)
    board.open(1, "other", 12)
    board.move({0: 1, 1: 13})
    time.sleep(0.05)
    board.move({0: 7, 1: 19})
    assert board.updates == 12
    assert 0 < board.speed() <= 12 / 0.05
    left = board.seconds_left()
    assert left is not None
    assert left == pytest.approx((17 + 5 + 48) / 12 * (12 / board.speed()), rel=1e-6)
    for member, value in ((1, 0.3), (0, 0.3), (3, 0.4), (2, float("nan"))):
        board.note(member, {"update": 8, "valid": {"mse": value}, "test": {"mse": 0.1}})
    assert board.leaders() == [0]
    board.note(3, {"update": 16, "valid": {"mse": 0.2}, "test": {"mse": 0.9}})
    assert board.leaders() == [3]
    board.put(0, "failed", "why")
    board.put(1, "finished")
    assert (board.counts["failed"], board.counts["finished"], board.counts["waiting"]) == (1, 1, 2)

    out = io.StringIO()
    board.workers[0] = Working(Shard((2, 3), 1.0, 1, 2), "training")
    console = Console(file=out, force_terminal=True, width=140, highlight=False, _environ={})
    with SweepView(console, board) as view:
        view.draw()
        view.on_end(0)
        view.on_note("[red]no markup[/red]")
    told = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", out.getvalue())
    assert "1 done, 0 running, 1 failed, 0 diverged, 2 waiting of 4" in told
    assert "best so far: lr=0.02 seed=1: validation mse 0.2 at update 16" in told
    assert "2 members from lr=0.02 seed=0" in told
    assert "failed    lr=0.01 seed=0: why" in told
    assert "[red]no markup[/red]" in told


def test_times_and_sizes_as_people_say_them() -> None:
    assert [span(s) for s in (3, 99, 100, 7200, 360_000, 10**6)] == [
        "3 s",
        "99 s",
        "2 min",
        "2.0 h",
        "4.2 days",
        "11.6 days",
    ]
    assert [size(b) for b in (2**20, 2**31)] == ["1.0 MiB", "2.0 GiB"]
