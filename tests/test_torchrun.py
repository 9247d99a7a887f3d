"""``torchrun -m nprnn train``: the curve of one process; stops, deaths and errors; and what resumes what."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import ROOT
from launching import ended, one_by_one, torchrun
from nprnn.bench.records import read_record
from nprnn.cli import main
from nprnn.runs import BEST, LAST, Run
from small_runs import numbers
from test_cli import nprnn, only_run
from test_ensemble_training import flat, ragged_task

SMALL = ["--length", "8", "--train-size", "200", "--valid-size", "20", "--test-size", "50", "--hidden", "10"]
TRAIN = ["train", "addition", *SMALL, "--batch", "5", "--eval-every", "20", "--threads", "1"]


def assert_like(one: Path, other: Path, tolerance: float) -> None:
    """Two runs have the same records and weights to a relative tolerance."""
    first, second = (Run.open(folder) for folder in (one, other))
    assert first.folder.name == second.folder.name
    np.testing.assert_allclose(flat(numbers(first)), flat(numbers(second)), rtol=tolerance, atol=tolerance)
    for name in (LAST, BEST):
        a, b = (run.read_checkpoint(name) for run in (first, second))
        assert a is not None
        assert b is not None
        assert a.update == b.update
        for key, v in a.tensors.items():
            torch.testing.assert_close(v, b.tensors[key], rtol=tolerance, atol=tolerance, msg=key)


def assert_same(one: Path, other: Path) -> None:
    """Two runs have the same records and checkpoints, bit for bit."""
    assert numbers(Run.open(one)) == numbers(Run.open(other))
    for name in (LAST, BEST):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    # Five sequences do not share out evenly.
    words = [*TRAIN, "--updates", "60", "--lr", "0.05"]
    ((status, out, err),) = ended(torchrun("-m", "nprnn", *words, "--out", str(tmp_path / "two")))
    assert status == 0, err
    assert main([*words, "--out", str(tmp_path / "one")]) == 0
    one, two = (only_run(tmp_path / name) for name in ("one", "two"))
    assert {p.name for p in two.iterdir()} == {p.name for p in one.iterdir()}
    first, second = (numbers(Run.open(folder))[0] for folder in (one, two))
    assert second["loss"] == pytest.approx(first["loss"], rel=1e-6)
    assert_like(one, two, 1e-5)
    assert json.loads((two / "env.json").read_text())["processes"] == 2
    # Rank 0 alone talks.
    assert out.count("on 2 processes") == out.count("constant answer") == 1
    assert "nprnn" not in err


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed",
    [
        ["--optimizer", "adam", "--lr", "0.003", "--dropout", "0.3"],
        ["--loss-at", "each", "--dropout", "0.2", "--lr", "0.02"],
        ["--model", "LSTM", "--lr", "0.1"],
    ],
    ids=lambda words: "-".join(words[1::2]),
)
def test_two_processes_have_the_curve_of_one(tmp_path: Path, changed: list[str]) -> None:
    words = [*TRAIN, "--updates", "400", *changed]
    ((status, _, err),) = ended(torchrun("-m", "nprnn", *words, "--out", str(tmp_path / "two")))
    assert status == 0, err
    assert nprnn(*words, "--out", str(tmp_path / "one")).returncode == 0
    assert_like(*(only_run(tmp_path / name) for name in ("one", "two")), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("targets", ["sequence", "steps"])
def test_three_processes_share_sequences_of_other_lengths(tmp_path: Path, targets: str) -> None:
    data = ragged_task(tmp_path, targets).data
    words = ["train", "sequences", "--data", str(data), "--class-weights", "balanced", "--hidden", "8", "--batch", "7"]
    words += ["--updates", "200", "--eval-every", "50", "--loss-at", "each", "--dropout", "0.2", "--threads", "1"]
    process = torchrun("-m", "nprnn", *words, "--out", str(tmp_path / "three"), processes=3)
    ((status, _, err),) = ended(process)
    assert status == 0, err
    assert nprnn(*words, "--out", str(tmp_path / "one")).returncode == 0
    assert_like(*(only_run(tmp_path / name) for name in ("one", "three")), 1e-4)


def started(parent: Path, process: subprocess.Popen[str], lines: int = 1) -> None:
    """Wait until so many evaluations are recorded."""
    for _ in range(2000):
        time.sleep(0.05)
        if (
            process.poll() is not None
            or sum(len(p.read_text().splitlines()) for p in parent.glob("*/metrics.jsonl")) >= lines
        ):
            return


LONGER = ["--updates", "1500", "--optimizer", "adam", "--lr", "0.003", "--dropout", "0.1"]


@pytest.mark.slow
def test_stopped_and_resumed_is_the_unbroken_run(tmp_path: Path) -> None:
    words = [*TRAIN, *LONGER]
    process = torchrun("-m", "nprnn", *words, "--out", str(tmp_path / "parts"))
    started(tmp_path / "parts", process, 3)
    process.send_signal(signal.SIGTERM)
    ((_, out, err),) = ended(process)
    assert "shutting down workers" in err
    assert len(re.findall(r"the checkpoint of update [1-9]\d* is kept", out)) == 1
    saved = Run.open(only_run(tmp_path / "parts")).progress()
    assert 60 <= saved < 1500
    for name in ("parts", "whole"):
        ((code, out, err),) = ended(torchrun("-m", "nprnn", *words, "--out", str(tmp_path / name)))
        assert code == 0, err
        assert (f"going on from update {saved}" in out) == (name == "parts")
    assert_same(only_run(tmp_path / "parts"), only_run(tmp_path / "whole"))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_one_stops_all(tmp_path: Path, number: signal.Signals, status: int) -> None:
    two = one_by_one(*[[*TRAIN, *LONGER, "--out", str(tmp_path)]] * 2)
    started(tmp_path, two[0])
    two[0].send_signal(number)
    (mine, out, _), (others, silent, _) = ended(*two)
    assert (mine, others) == (status, 143)
    assert "is kept, and the same command goes on from it" in out
    assert silent == ""


@pytest.mark.slow
def test_one_that_dies_costs_nothing_that_was_reached(tmp_path: Path) -> None:
    words = [*TRAIN, "--updates", "2000", "--lr", "0.05"]
    two = one_by_one(*[[*words, "--out", str(tmp_path / "parts")]] * 2)
    started(tmp_path / "parts", two[0], 2)
    two[1].kill()
    (status, _, err), (killed, _, _) = ended(*two)
    assert (status, killed) == (2, -signal.SIGKILL)
    found = re.search(r"rank 0 of 2 lost the others \(.+\).*; the checkpoint of update (\d+) is kept", err)
    assert found, err
    assert Run.open(only_run(tmp_path / "parts")).progress() == int(found[1]) >= 40
    for name in ("parts", "whole"):
        ((code, _, err),) = ended(torchrun("-m", "nprnn", *words, "--out", str(tmp_path / name)))
        assert code == 0, err
    assert_same(only_run(tmp_path / "parts"), only_run(tmp_path / "whole"))


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes(tmp_path: Path) -> None:
    words = [*TRAIN, "--updates", "90", "--lr", "0.05"]
    parts = [*words, "--out", str(tmp_path / "parts")]
    ((status, _, err),) = ended(torchrun("-m", "nprnn", *parts, "--stop-after", "30"))
    assert status == 0, err
    assert nprnn(*parts, "--stop-after", "50").returncode == 0
    ((status, out, err),) = ended(torchrun("-m", "nprnn", *parts, processes=3))
    assert status == 0, err
    assert "going on from update 50, on 3 processes" in out
    env = json.loads((only_run(tmp_path / "parts") / "env.json").read_text())
    assert env["processes"] == 2
    assert [(entry["update"], entry["processes"]) for entry in env["continued"]] == [(30, 1), (50, 3)]
    assert nprnn(*words, "--out", str(tmp_path / "whole")).returncode == 0
    assert_like(*(only_run(tmp_path / name) for name in ("parts", "whole")), 1e-5)


@pytest.mark.slow
def test_all_end_alike_where_numbers_blow_up(tmp_path: Path) -> None:
    words = [*TRAIN, "--updates", "60", "--lr", "1e30", "--clip", "0"]
    alone = nprnn(*words, "--out", str(tmp_path / "one"))
    ((status, _, err),) = ended(torchrun("-m", "nprnn", *words, "--out", str(tmp_path / "two")))
    assert status != 0
    assert err.count("try a smaller lr or clip") == 1
    two = ended(*one_by_one(*[[*words, "--seed", "1", "--out", str(tmp_path / "two")]] * 2))
    assert [one[0] for one in two] == [alone.returncode] * 2 == [2, 2]
    assert [one[2].count("try a smaller lr or clip") for one in two] == [1, 0]
    at = [json.loads(path.read_text())["update"] for path in sorted(tmp_path.glob("*/*-s0-*/diverged.json"))]
    assert at[0] == at[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "others", "message"),
    [
        ([], ["--lr", "0.2"], "nprnn: error: rank 1 of 2 differs from rank 0 in train_config.lr (0.2, not 0.03)"),
        (["--batch", "1"], ["--batch", "1"], "nprnn: error: a batch of 1 cannot be shared by 2 processes"),
        ([], ["--threads", "0"], "nprnn: error: rank 1 of 2: threads must be at least 1, got 0"),
        (["--modle", "x"], ["--modle", "x"], "Unrecognized options: --modle"),
    ],
    ids=lambda v: "-".join(v) if isinstance(v, list) else "",
)
def test_what_is_wrong_is_said_once(tmp_path: Path, words: list[str], others: list[str], message: str) -> None:
    common = [*TRAIN, "--updates", "40", "--out", str(tmp_path)]
    found = ended(*one_by_one([*common, *words], [*common, *others]))
    assert [status for status, _, _ in found] == [2, 2]
    assert message in " ".join(re.sub(r"[│╭╮╰╯─]", " ", found[0][2]).split())
    assert "Traceback" not in found[0][2] + found[1][2]
    assert found[1][1:] == ("", "")


@pytest.mark.slow
def test_help_is_given_once() -> None:
    found = ended(*one_by_one(*[["train", "addition", "--help"]] * 2))
    assert [status for status, _, _ in found] == [0, 0]
    assert "--eval-every" in found[0][1]
    assert found[1][1] == ""


@pytest.mark.slow
def test_from_python(tmp_path: Path) -> None:
    # Every process saves its own weights, which are equal to the last bit.
    (tmp_path / "script.py").write_text(
        """
from pathlib import Path
import torch
from nprnn.tasks import Addition
from nprnn.training import TrainConfig, joined, start_run, train

task = Addition(length=8, train_size=200, valid_size=20, test_size=50)
config = TrainConfig(hidden=10, batch=5, updates=300, eval_every=100, optimizer="adam", lr=0.003)
with joined() as partners:
    data = partners.prepare(lambda: task.load(config.seed))
    run = start_run("addition", task, config, data, partners.folder(Path("runs")))
    model = train(config, data, run, partners=partners)
    torch.save(model.state_dict(), f"{partners.rank}.pt")
"""
    )
    ((status, _, err),) = ended(torchrun("script.py", processes=3, cwd=tmp_path))
    assert status == 0, err
    first, *others = [torch.load(tmp_path / f"{rank}.pt") for rank in range(3)]
    for other in others:
        for name, v in first.items():
            assert torch.equal(v, other[name]), name
    checkpoint = Run.open(only_run(tmp_path / "runs")).read_checkpoint(LAST)
    assert checkpoint is not None
    assert torch.equal(checkpoint.tensors["model.rnn.weight_hh_l0"], first["rnn.weight_hh_l0"])


@pytest.mark.slow
def test_processes_are_timed_against_one(tmp_path: Path) -> None:
    out = tmp_path / "record.json"
    options = ["--length", "5", "--batches", "2", "6", "--hidden", "4", "--rounds", "2", "--seconds", "0.01"]
    ((status, _, err),) = ended(torchrun(str(ROOT / "benchmarks" / "data_parallel.py"), *options, "--out", str(out)))
    assert status == 0, err
    record = read_record(out)
    assert record["command"][:2] == ["torchrun", "--standalone"]
    assert record["processes"] == 2
    for batch in (2, 6):
        found = record[f"batch-{batch}"]
        assert found["microseconds"].keys() == {"one", "threads", "processes", "exchange"}
        assert min(found["microseconds"].values()) > 0
        assert found["times_one"].keys() == {"threads", "processes"}
