"""The command line, end to end: train, resume, kill, eval, report, info; and every kind of bad input."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nprnn.cli import COMMANDS, main
from test_tasks import write_images

TINY = [
    "--length",
    "8",
    "--train-size",
    "200",
    "--valid-size",
    "20",
    "--test-size",
    "50",
    "--hidden",
    "10",
    "--batch",
    "5",
]
SHORT = [*TINY, "--updates", "20", "--eval-every", "10", "--threads", "1"]


def nprnn(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "nprnn", *words], capture_output=True, text=True, cwd=cwd, check=False)


def only_run(parent: Path) -> Path:
    (folder,) = [p.parent for p in parent.glob("*/config.json")]
    return folder


def numbers(folder: Path) -> list[dict[str, object]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    timed = ("updates_per_second", "check")
    return [{k: v for k, v in json.loads(line).items() if k not in timed} for line in lines]


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, with boxes and line breaks taken out."""
    captured = capsys.readouterr()
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", captured.out + captured.err).split())


def run_main(words: list[str]) -> int:
    try:
        return main(words)
    except SystemExit as stop:  # how the parser ends on a bad option
        return int(stop.code or 0)


def test_train_eval_report_through_real_processes(tmp_path: Path) -> None:
    done = nprnn("train", "addition", "--model", "np-rnn", *SHORT, "--out", str(tmp_path / "runs"))
    assert done.returncode == 0, done.stderr
    assert "constant answer" in done.stdout
    folder = only_run(tmp_path / "runs")
    assert {p.name for p in folder.iterdir()} == {
        "config.json",
        "env.json",
        "metrics.jsonl",
        "checkpoint.safetensors",
        "checkpoint.previous.safetensors",
        "best.safetensors",
        "curve.png",
        ".lock",
    }
    assert (folder / "curve.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    done = nprnn("eval", str(folder))
    assert done.returncode == 0, done.stderr
    result = json.loads((folder / "eval.json").read_text())
    assert result["update"] == 20
    assert result["sequences"] == 50
    assert result["test"] == numbers(folder)[-1]["test"]
    assert result["errors"]["largest_absolute"] >= result["errors"]["mean_absolute"] > 0
    assert (folder / "eval.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    report = tmp_path / "page" / "report.html"
    done = nprnn("report", str(tmp_path / "runs"), "--out", str(report))
    assert done.returncode == 0, done.stderr
    html = report.read_text()
    assert "np-RNN, seed 0" in html
    assert "data:image/png;base64," in html
    assert not re.search(r"(src|href)=\"?https?:", html)
    assert "built-in" not in html
    assert "<td>20 of 20</td>" in html


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize(
    "words",
    [("info",), ("--version",), ("train", "addition", *SHORT), ("eval", "/nothing")],
    ids=lambda words: words[0],
)
def test_a_full_disk_under_what_is_printed_is_told(tmp_path: Path, words: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "nprnn", *words, *(("--out", str(tmp_path)) if "train" in words else ())]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        silent = subprocess.run(command, stdout=full, stderr=full, check=False)
    assert (done.returncode, silent.returncode) == (2, 2)
    words_told = done.stderr.strip().splitlines()
    assert len(words_told) == 1
    assert words_told[0].startswith("nprnn: error: ")
    if "eval" not in words:
        assert "what is printed: No space left on device" in words_told[0]


def test_who_stops_to_read_gets_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as nobody:
        done = subprocess.run(
            [sys.executable, "-m", "nprnn", "info"], stdout=nobody, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "")


def test_the_same_command_again_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "addition", *SHORT, "--out", str(tmp_path)]
    assert main(words) == 0
    before = numbers(only_run(tmp_path))
    capsys.readouterr()
    assert main(words) == 0
    assert numbers(only_run(tmp_path)) == before
    assert "finished before" in said(capsys)


def test_stop_after_and_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "addition", *SHORT, "--out", str(tmp_path / "whole")]) == 0
    words = ["train", "addition", *SHORT, "--out", str(tmp_path / "parts")]
    assert main([*words, "--stop-after", "10"]) == 0
    assert "10 of 20 updates" in said(capsys)
    assert main(words) == 0
    assert "going on from update 10" in said(capsys)
    assert numbers(only_run(tmp_path / "parts")) == numbers(only_run(tmp_path / "whole"))


def test_a_killed_run_goes_on_with_the_same_numbers(tmp_path: Path) -> None:
    words = ["train", "addition", *TINY, "--updates", "1200", "--eval-every", "20", "--threads", "1"]
    assert nprnn(*words, "--out", str(tmp_path / "whole")).returncode == 0
    killed = tmp_path / "killed"
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-m", "nprnn", *words, "--out", str(killed)], stdout=subprocess.DEVNULL
        )
        before = sum(len(p.read_text().splitlines()) for p in killed.glob("*/metrics.jsonl"))
        for _ in range(1200):
            time.sleep(0.05)
            lines = sum(len(p.read_text().splitlines()) for p in killed.glob("*/metrics.jsonl"))
            if lines > before + 3 or process.poll() is not None:
                break
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert nprnn(*words, "--out", str(killed)).returncode == 0
    assert numbers(only_run(killed)) == numbers(only_run(tmp_path / "whole"))
    a, b = (only_run(tmp_path / d) / "checkpoint.safetensors" for d in ("whole", "killed"))
    assert a.read_bytes() == b.read_bytes()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_checkpoints_that_update(tmp_path: Path, number: signal.Signals, status: int) -> None:
    words = ["train", "addition", *TINY, "--updates", "1000000", "--eval-every", "50000", "--out", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "nprnn", *words],
        stdout=subprocess.PIPE,
        text=True,
        # What runs the tests may ignore Ctrl-C, as a background job of a shell does; nprnn would then ignore it too.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    for _ in range(600):
        time.sleep(0.05)
        if list(tmp_path.glob("*/.lock")):
            break
    time.sleep(0.5)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == status, out
    assert re.search(r"the checkpoint of update [1-9]\d* is kept", out)
    assert list(tmp_path.glob("*/checkpoint.safetensors"))
    assert not list(tmp_path.glob("*/metrics.jsonl"))


def test_runs_lists_every_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "addition", *SHORT, "--out", str(tmp_path)]
    assert main(words) == 0
    assert main([*words, "--seed", "1", "--stop-after", "10"]) == 0
    assert main([*words, "--seed", "2", "--stop-after", "10"]) == 0
    damaged = next(tmp_path.glob("*-s2-*"))
    (damaged / "config.json").write_text("{")
    capsys.readouterr()
    assert main(["runs", str(tmp_path)]) == 0
    told = said(capsys)
    assert "finished" in told
    assert "20 of 20" in told
    assert "stopped" in told
    assert "10 of 20" in told
    assert "damaged" in told


def test_tensorboard_events_are_written(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert main(["train", "addition", *SHORT, "--tensorboard", "--out", str(tmp_path)]) == 0
    log = events.EventAccumulator(str(only_run(tmp_path) / "tensorboard"))
    log.Reload()
    assert [e.step for e in log.Scalars("test/mse")] == [10, 20]
    assert log.Scalars("test/mse")[-1].value == pytest.approx(numbers(only_run(tmp_path))[-1]["test"]["mse"])  # type: ignore[index]
    assert {"train/loss", "train/lr", "valid/mse"} <= set(log.Tags()["scalars"])


@pytest.mark.parametrize("command", ["train", "go on", "eval", "report"])
def test_a_read_only_folder_is_told(small_disk: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train", "addition", *SHORT, "--out", str(small_disk)]
    assert main([*train, "--stop-after", "10"]) == 0
    words = {
        "train": [*train, "--seed", "1"],
        "go on": train,
        "eval": ["eval", str(only_run(small_disk))],
        "report": ["report", str(small_disk), "--out", str(small_disk / "report.html")],
    }[command]
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    capsys.readouterr()
    assert main(words) == 2
    told = said(capsys)
    assert re.search(r"nprnn: error: cannot (make|write) .*: Read-only file system", told)
    if command == "eval":
        assert "constant answer" in told, "what could be told was not"


@pytest.mark.parametrize("options", [[], ["--rows"], ["--permute", "3"]])
def test_images_from_any_idx_set(tmp_path: Path, options: list[str]) -> None:
    write_images(tmp_path / "set")
    words = ["train", "mnist", *options, "--data-dir", str(tmp_path / "set"), "--any-idx", "--hidden", "8"]
    words += ["--valid-size", "6", "--batch", "10", "--updates", "6", "--eval-every", "3", "--model", "IRNN"]
    assert main([*words, "--out", str(tmp_path / "runs")]) == 0
    folder = only_run(tmp_path / "runs")
    assert set(numbers(folder)[-1]["test"]) == {"accuracy", "cross_entropy"}  # type: ignore[call-overload]
    assert main(["eval", str(folder)]) == 0
    result = json.loads((folder / "eval.json").read_text())
    confusion = result["confusion"]
    assert sum(map(sum, confusion)) == 10
    assert sum(confusion[k][k] for k in range(3)) / 10 == pytest.approx(result["test"]["accuracy"])
    assert [c["count"] for c in result["classes"]] == [sum(row) for row in confusion] == [4, 3, 3]
    assert main(["eval", str(folder), "--checkpoint", "best"]) == 0
    assert json.loads((folder / "eval-best.json").read_text())["update"] in (3, 6)
    moved = tmp_path / "elsewhere"
    (tmp_path / "set").rename(moved)
    assert main(["eval", str(folder)]) == 2
    assert main(["eval", str(folder), "--data-dir", str(moved)]) == 0


QUICK = ["--hidden", "8", "--batch", "4", "--updates", "20", "--eval-every", "10", "--threads", "1"]


def csv_folder(folder: Path, n: int = 30) -> None:
    """Sequences of 4 to 8 steps of 2 features in CSV files, of two classes."""
    folder.mkdir()
    g = np.random.default_rng(0)
    lines = ["file,label"]
    for k in range(n):
        steps = g.normal(k % 2, 0.1, (int(g.integers(4, 9)), 2))
        np.savetxt(folder / f"{k}.csv", steps, delimiter=",", header="left,right", comments="")
        lines.append(f"{k}.csv,{('quiet', 'loud')[k % 2]}")
    (folder / "index.csv").write_text("\n".join(lines) + "\n")


def test_a_folder_of_csv_files_to_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv_folder(tmp_path / "data")
    words = ["train", "sequences", "--data", str(tmp_path / "data"), *QUICK, "--updates", "200", "--lr", "0.02"]
    assert main([*words, "--out", str(tmp_path / "runs")]) == 0
    assert "30 sequences" in said(capsys)
    folder = only_run(tmp_path / "runs")
    assert main(["eval", str(folder)]) == 0
    told = said(capsys)
    assert "truth (rows)" in told
    assert "quiet" in told
    (tmp_path / "data").rename(tmp_path / "moved")
    assert main(["eval", str(folder)]) == 2
    assert main(["eval", str(folder), "--data", str(tmp_path / "moved")]) == 0
    out = tmp_path / "p.csv"
    for source, names in (("moved", [f"{k}.csv" for k in range(30)]), ("moved/3.csv", ["3.csv"])):
        assert main(["predict", str(folder), str(tmp_path / source), "--out", str(out)]) == 0
        rows = list(csv.DictReader(out.open()))
        assert [row["sequence"] for row in rows] == names
    assert rows[0]["class"] == "loud"
    capsys.readouterr()
    np.savez(tmp_path / "wide.npz", x=np.zeros((2, 5, 3)))
    assert main(["predict", str(folder), str(tmp_path / "wide.npz")]) == 2
    assert "takes 2 features a step, this has 3" in said(capsys)
    assert main(["predict", str(folder), str(tmp_path / "moved" / "3.csv")]) == 0
    assert said(capsys).startswith("sequence,class,probability,p(loud),p(quiet) 3.csv,loud,")


@pytest.mark.parametrize("steps_have_targets", [False, True])
def test_windows_over_one_long_recording(
    tmp_path: Path, steps_have_targets: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    g = np.random.default_rng(0)
    x = g.normal(size=(400, 2))
    y = x.sum(1) if steps_have_targets else (x[:, 0] > 0).astype(np.int64)
    np.savez(tmp_path / "long.npz", x=x, y=y)
    words = ["train", "sequences", "--data", str(tmp_path / "long.npz"), "--window", "10", *QUICK]
    assert main([*words, "--out", str(tmp_path / "runs")]) == 0
    folder = only_run(tmp_path / "runs")
    assert main(["eval", str(folder)]) == 0
    np.savez(tmp_path / "new.npz", x=x[:25])
    out = tmp_path / "p.csv"
    assert main(["predict", str(folder), str(tmp_path / "new.npz"), "--out", str(out)]) == 0
    rows = list(csv.DictReader(out.open()))
    assert [row["sequence"] for row in rows] == ["0[0:10]"] * 10 + ["0[10:20]"] * 10
    assert [int(row["step"]) for row in rows] == [*range(10), *range(10)]
    assert ("y" in rows[0]) is steps_have_targets
    np.savez(tmp_path / "short.npz", x=x[:9])
    capsys.readouterr()
    assert main(["predict", str(folder), str(tmp_path / "short.npz")]) == 2
    assert "has 9 steps, but the model was trained on windows of 10" in said(capsys)
    assert main([*words, "--loss-at", "last", "--out", str(tmp_path / "no")]) == 2
    assert "a target for every step: loss_at must be 'each'" in said(capsys)


def test_ten_steps_are_learned(tmp_path: Path) -> None:
    words = ["train", "addition", "--length", "10", "--train-size", "5000", "--test-size", "1000", "--threads", "1"]
    words += ["--hidden", "40", "--updates", "1500", "--lr", "0.1", "--eval-every", "500", "--out", str(tmp_path)]
    assert main(words) == 0
    final = numbers(only_run(tmp_path))[-1]["test"]
    assert final["mse"] < 0.03  # type: ignore[index]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["trian"],
            f"unknown command 'trian'. Did you mean 'train'? Known: {', '.join(COMMANDS)}.",
        ),
        (["train", "adition"], "unknown task 'adition'. Did you mean 'addition'?"),
        (["train", "addition", "--model", "np-rn"], "unknown model 'np-rn'. Did you mean 'np-RNN'?"),
        (["train", "addition", "--model", "irnn"], "could be 'IRNN' (identity) or 'iRNN'"),
        (["train", "addition", "--modle", "IRNN"], "--model"),
        (["train", "addition", "--preset", "papr"], "unknown preset of addition 'papr'. Did you mean 'paper'?"),
        (["train", "addition", "--marks", "unifrm"], "invalid choice 'unifrm' for argument '--marks'"),
        (["train", "addition", "--length", "1"], "length must be at least 2 to hold two marks"),
        (["train", "addition", "--length", "ten"], "--length"),
        (["train", "addition", "--hidden", "0"], "hidden must be at least 1, got 0"),
        (["train", "addition", "--lr", "-1"], "lr must be a finite number above 0"),
        (["train", "addition", "--threads", "0"], "threads must be at least 1"),
        (["train", "addition", *TINY, "--stop-after", "0"], "stop_after must be at least 1"),
        (["train", "addition", *TINY, "--batch", "201"], "batch 201 is larger than the training set of 200"),
        (["train", "mnist", "--data-dir", "nowhere"], "--data-dir"),
        (["train", "mnist", "--preset", "paper", "--permute", "x"], "--permute"),
        (["train", "addition", "--optimizer", "adma"], "invalid choice 'adma' for argument '--optimizer'"),
        (["train", "addition", "--truncate", "0"], "truncate must be at least 1"),
        (["train", "sequences"], "--data"),
        (["predict", "nowhere", "x.npz"], "nowhere is not a run"),
        (["runs", "nowhere"], "nowhere holds no run"),
        (["eval", "nowhere"], "nowhere is not a run: it has no config.json"),
        (["report", "nowhere"], "nowhere is not a run folder and holds none"),
        (["report"], "runs"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_bad_input_is_told_in_words(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_main(words) == 2
    output = said(capsys)
    assert message in output
    assert "Traceback" not in output


def test_a_run_that_blows_up_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "addition", *SHORT, "--lr", "1e30", "--clip", "0", "--out", str(tmp_path)]
    assert main(words) == 2
    assert "try a smaller lr or clip" in said(capsys)


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = nprnn("eval", str(tmp_path), "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_info_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    told = said(capsys)
    for word in ("torch", "kernel: reference", "threads", "np-tanhRNN", "addition, multiplication"):
        assert word in told
    assert main([]) == 0
    assert all(f"nprnn {name}" in said(capsys) for name in [next(iter(COMMANDS))])
    for words in (
        ["train"],
        ["train", "addition", "--help"],
        ["eval", "--help"],
        ["predict", "--help"],
        ["runs", "--help"],
    ):
        assert run_main(words) == 0
        assert "nprnn" in said(capsys)
    assert main(["--version"]) == 0


def test_too_little_memory_is_told_and_other_faults_are_not_hidden(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(words: list[str]) -> int:
        raise fault

    monkeypatch.setitem(COMMANDS, "info", fail)
    words = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."
    for fault in (MemoryError("much"), RuntimeError(words)):
        assert main(["info"]) == 2
        assert "nprnn: error: not enough memory; choose smaller sizes" in said(capsys)
        with pytest.raises(type(fault)):
            main(["info", "--debug"])
    fault = RuntimeError("a mistake of ours")
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        main(["info"])


def test_names_that_are_no_unicode_are_printed(tmp_path: Path) -> None:
    folder = tmp_path / "a\udcff"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    command = [sys.executable, "-m", "nprnn", "runs", str(tmp_path)]
    # As where the language of the system is any but C.
    env = {**os.environ, "PYTHONIOENCODING": "utf-8:strict", "COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert "a\\udcff" in done.stdout


def test_user_text_is_escaped_in_reports(tmp_path: Path) -> None:
    assert main(["train", "addition", *SHORT, "--out", str(tmp_path)]) == 0
    folder = only_run(tmp_path)
    evil = folder.with_name("<script>alert(1)</script>".replace("/", "_"))
    folder.rename(evil)
    assert main(["report", str(evil), "--out", str(tmp_path / "r.html")]) == 0
    assert "<script>" not in (tmp_path / "r.html").read_text()


def test_class_names_of_any_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["[red]a", "b[/red]", "$\\frac$ cost $", "<b>&"]
    x = np.random.default_rng(0).normal(size=(60, 4, 2))
    data = tmp_path / "a [bold] file.npz"
    np.savez(data, x=x, y=np.arange(60) % 4, class_names=names)
    out = tmp_path / "my[bold]runs [#x]"
    assert main(["train", "sequences", "--data", str(data), *QUICK, "--out", str(out)]) == 0
    folder = only_run(out)
    capsys.readouterr()
    assert main(["eval", str(folder)]) == 0
    told = said(capsys)
    assert "[red]a" in told
    assert "b[/red]" in told
    assert [c["class"] for c in json.loads((folder / "eval.json").read_text())["classes"]] == names
    evil = folder.with_name("e[#x][bold]")
    folder.rename(evil)
    assert main(["runs", str(out)]) == 0
    assert "e[#x][bold]" in said(capsys)
    assert main(["report", str(out), "--out", str(tmp_path / "r.html")]) == 0


def test_a_downloaded_set_can_be_judged_from_a_folder(tmp_path: Path) -> None:
    write_images(tmp_path / "set")
    words = ["train", "mnist", "--data-dir", str(tmp_path / "set"), "--any-idx", "--valid-size", "6", *QUICK]
    assert main([*words, "--out", str(tmp_path / "runs")]) == 0
    path = only_run(tmp_path / "runs") / "env.json"
    env = json.loads(path.read_text())
    env["locations"] = {"data_dir": None, "any_idx": True, "download": True}
    path.write_text(json.dumps(env))
    assert main(["eval", str(path.parent), "--data-dir", str(tmp_path / "set")]) == 0


def test_an_ignored_ctrl_c_stays_ignored(tmp_path: Path) -> None:
    words = " ".join(["train", "addition", *TINY, "--updates", "400", "--eval-every", "200", "--out", str(tmp_path)])
    script = f"trap '' INT; {sys.executable} -m nprnn {words} & sleep 3; kill -INT $!; wait $!"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert numbers(only_run(tmp_path))[-1]["update"] == 400


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_addition_over_a_hundred_steps(tmp_path: Path, seed: int) -> None:
    done = nprnn("train", "addition", "--seed", str(seed), "--threads", "1", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert numbers(only_run(tmp_path))[-1]["test"]["mse"] < 0.02  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.real_data
def test_rows_of_the_real_mnist(tmp_path: Path, mnist_dir: Path) -> None:
    words = ["train", "mnist", "--rows", "--model", "np-rnn", "--data-dir", str(mnist_dir), "--threads", "1"]
    done = nprnn(*words, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert numbers(only_run(tmp_path))[-1]["test"]["accuracy"] >= 0.95  # type: ignore[index]
