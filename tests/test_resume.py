"""Killed at random moments, every task goes on to the very files of a run that was never killed."""

from __future__ import annotations

import json
import multiprocessing
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from nprnn.cli import main
from test_tasks import write_images

# A server that has imported everything forks each process: no second of imports before the interesting part.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["nprnn.cli", "matplotlib.figure", "safetensors.torch"])

MARKED = ["--length", "10", "--train-size", "300", "--valid-size", "40", "--test-size", "60"]
COMMON = ["--hidden", "12", "--batch", "6", "--updates", "300", "--eval-every", "7", "--threads", "1"]


def words_for(task: str, folder: Path) -> list[str]:
    """A command that trains for about a second."""
    if task == "mnist":
        write_images(folder / "images")
        data = ["--data-dir", str(folder / "images"), "--any-idx", "--valid-size", "6", "--optimizer", "rmsprop"]
        return ["train", task, *data, *COMMON]
    if task == "sequences":
        g = np.random.default_rng(0)
        lengths = g.integers(3, 9, 60)
        x = g.normal(size=(int(lengths.sum()), 3)).astype(np.float32)
        np.savez(folder / "data.npz", x=x, lengths=lengths, y=np.arange(60) % 3)
        return ["train", task, "--data", str(folder / "data.npz"), *COMMON]
    return ["train", task, *MARKED, *COMMON, "--optimizer", "adam" if task == "addition" else "momentum"]


def start(words: list[str]) -> multiprocessing.process.BaseProcess:
    process = PROCESSES.Process(target=main, args=(words,))
    process.start()
    return process


def contents(parent: Path) -> dict[str, object]:
    """What must be equal: the checkpoints and the records, speeds left out."""
    (folder,) = [p.parent for p in parent.glob("*/config.json")]
    found: dict[str, object] = {p.name: p.read_bytes() for p in folder.glob("*.safetensors")}
    assert set(found) == {"checkpoint.safetensors", "checkpoint.previous.safetensors", "best.safetensors"}
    assert (folder / "curve.png").exists()
    assert [p.name for p in folder.glob(".*")] == [".lock"], "half-written files were left behind"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    found["records"] = [{k: v for k, v in line.items() if k not in ("updates_per_second", "check")} for line in lines]
    return found


def recorded(parent: Path) -> int:
    """Evaluations written so far, of some 43."""
    return sum(len(path.read_bytes().splitlines()) for path in parent.glob("*/metrics.jsonl"))


@pytest.mark.parametrize("task", ["addition", "multiplication", "mnist", "sequences"])
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_and_resumed_is_the_unkilled_run(tmp_path: Path, task: str, kills: int) -> None:
    words = words_for(task, tmp_path)
    start(["--version"]).join(60)  # the server's own start is not part of a run's time
    began = time.monotonic()
    process = start([*words, "--out", str(tmp_path / "whole")])
    process.join(120)
    took = time.monotonic() - began
    assert process.exitcode == 0
    whole = contents(tmp_path / "whole")

    moments = random.Random(task)
    killed = 0
    for run in range(kills):
        out = tmp_path / f"run{run}"
        # The first kill is by progress: how long a run takes is not what it took before, on a machine that is shared.
        evaluations = moments.randrange(30)
        process = start([*words, "--out", str(out)])
        while process.exitcode is None and recorded(out) < evaluations:
            time.sleep(0.002)
        process.kill()
        process.join(60)
        killed += process.exitcode == -signal.SIGKILL
        while True:
            process = start([*words, "--out", str(out)])
            process.join(moments.uniform(0.1, 1.0) * took)
            if process.exitcode is not None:
                break
            process.kill()
            process.join(60)
            killed += process.exitcode == -signal.SIGKILL
            if killed > 5 * run + 5:  # enough of this run: let it end
                process = start([*words, "--out", str(out)])
                process.join(120)
                break
        assert process.exitcode == 0
        assert contents(out) == whole, f"run {run}"
    assert killed >= kills / 2
