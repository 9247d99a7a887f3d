"""What a report explains to who sees one for the first time, and what it leaves out of a sweep's folder."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from nprnn.cli import main
from nprnn.reporting import assemble, find_runs, write_report
from nprnn.reporting.explained import sentences, task_in_a_line
from nprnn.reporting.sweep_copy import NOT_ASKED_FOR
from nprnn.tasks import TASKS
from nprnn.training import TrainConfig
from test_cli import TINY
from test_report import make_run, only, undrawn  # noqa: F401 (a fixture)


def told_of(parent: Path) -> str:
    return " ".join(sentences(only(find_runs([parent]))))


def text_of(parent: Path) -> str:
    page = write_report(assemble(find_runs([parent])), parent / "report.html").read_text()
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_every_task_has_a_line() -> None:
    for name in TASKS:
        assert 20 < len(task_in_a_line(name)) < 80, name
    assert task_in_a_line("of a stranger") == ""


def test_task_metric_guess_cooling_and_seed_are_explained(tmp_path: Path) -> None:
    for model in ("np-RNN", "IRNN"):
        make_run(tmp_path, 0.1, model=model, cool_at=(0.5, 0.75), cool_by=10.0)
    told = told_of(tmp_path)
    assert "The task: answer the sum of the two marked numbers of a sequence (section 4.1)." in told
    assert "mse is the mean squared error, on the test set; less is better." in told
    assert "Always guessing the mean of the answers scores 0.1667, which is called the constant answer below." in told
    assert "within_0.04 is the share of answers that are off by less than 0.04." in told
    assert "Cooling: at update 15 and 22 the learning rate is divided by 10, and curves often bend there." in told
    assert "One seed each: another seed draws another start" in told


def test_what_is_not_so_is_not_said(tmp_path: Path) -> None:
    for seed in range(3):
        make_run(tmp_path, 0.5, seed=seed, task="sequences", metric="accuracy", baseline=0.25, cool_at=())
    told = told_of(tmp_path)
    assert "accuracy is the share of right answers, on the test set; more is better." in told
    assert "Always guessing the most frequent class scores 0.25" in told
    assert "Cooling" not in told
    assert "seed" not in told
    for seed, share in enumerate((0.5, 0.9, 0.9)):
        make_run(tmp_path / "others", 0.1, seed=seed, cool_at=(share,))
    told = told_of(tmp_path / "others")
    assert "Cooling: late in the schedule the learning rate is divided, and curves often bend there." in told
    assert "At most two seeds each" in told, "no three runs are of one setting"


@pytest.mark.parametrize(
    "lie", ['"x"', "7", '{"a": 1}', "[[1]]", '[""]', "[1e999]", "[" + "0.5, " * 99 + "0.5]", "[1e300]", "[-1]"]
)
def test_a_strangers_cooling_does_no_harm(tmp_path: Path, lie: str) -> None:
    folder = make_run(tmp_path, 0.1, name="stranger", cool_at=(0.75,))
    config = folder / "config.json"
    config.write_text(re.sub(r'"cool_at": \[\s*0\.75\s*\]', lambda _: f'"cool_at": {lie}', config.read_text()))
    assert "Cooling: late in the schedule the learning rate is divided, and curves" in told_of(tmp_path)


@pytest.mark.usefixtures("undrawn")
def test_a_rate_needs_three_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(3):
        make_run(tmp_path, 0.001, seed=seed)
    for seed in range(2):
        make_run(tmp_path, 0.001, seed=seed, model="IRNN")
    (section,) = assemble(find_runs([tmp_path])).sections
    assert [(rate.model, rate.runs) for rate in section.rates] == [("np-RNN", 3)]
    assert section.few == ["IRNN"]
    told = "o success rate is told of IRNN: fewer than 3 runs have ended"
    assert told in text_of(tmp_path)
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "r.html")]) == 0
    terminal = " ".join(capsys.readouterr().out.split())
    assert "no success rate of IRNN: fewer than 3 runs have ended" in terminal
    assert "3 of 3" in terminal
    assert "2 of 2" not in terminal
    make_run(tmp_path, 0.001, seed=2, model="IRNN")
    assert told not in text_of(tmp_path)


@pytest.mark.usefixtures("undrawn")
def test_two_single_runs_have_no_rates_at_all(tmp_path: Path) -> None:
    for model in ("np-RNN", "IRNN"):
        make_run(tmp_path, 0.001, model=model)
    (section,) = assemble(find_runs([tmp_path])).sections
    assert [picture.kind for picture in section.pictures] == ["curves", "seeds"]
    bound = "Success is test mse < 0.0166667 by the last iterate (a tenth of the constant answer). No success rate"
    assert f"{bound} is told of np-RNN, IRNN" in text_of(tmp_path)
    assert "Success rates" not in text_of(tmp_path)


@pytest.mark.usefixtures("undrawn")
def test_an_lstm_that_was_not_trained_is_said_to_be_computed(tmp_path: Path) -> None:
    make_run(tmp_path, 0.1)
    told = "No LSTM was trained here: its row is what one of as many hidden units would take, sizes and flops"
    assert told in text_of(tmp_path)
    assert "LSTM, 8 hidden units, in torch (not trained: to compare with)" in text_of(tmp_path)
    make_run(tmp_path, 0.1, model="LSTM")
    assert "No LSTM was trained" not in text_of(tmp_path)
    assert "not trained: to compare with" not in text_of(tmp_path)


SWEEP = """task = "addition"
preset = "none"
seeds = SEEDS
[settings]
length = 8
hidden = HIDDEN
updates = 30
eval_every = 10
clip = 1
[grid]
lr = [RATES]
"""


def sweep_file(seeds: int, *rates: float, hidden: int = 8) -> str:
    text = SWEEP.replace("SEEDS", str(seeds)).replace("HIDDEN", str(hidden))
    return text.replace("RATES", ", ".join(map(str, rates)))


def swept(folder: Path, seeds: int, *rates: float) -> None:
    """The folder as a sweep leaves it that has ended, with what was there before."""
    for rate in rates:
        for seed in range(seeds):
            if not list(folder.glob(f"lr{rate}-s{seed}-*")):
                make_run(folder, 0.1, lr=rate, seed=seed, name=f"lr{rate}-s{seed}")
    (folder / "sweep.toml").write_text(sweep_file(seeds, *rates))


@pytest.mark.usefixtures("undrawn")
def test_runs_that_a_sweep_file_asks_for_no_more_are_left_out_and_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "grid", str(tmp_path / "r.html")
    swept(folder, 2, 0.01, 0.02)
    swept(folder, 2, 0.02, 0.03)
    capsys.readouterr()
    words = ["report", str(folder), "--out", out, "--json", str(tmp_path / "r.json")]
    assert main(words) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "4 runs, report to open" in told
    assert told.count(NOT_ASKED_FOR) == 2
    (study,) = json.loads((tmp_path / "r.json").read_text())["studies"]
    assert study["keys"] == {"lr": [0.02, 0.03]}
    assert f"LEFT OUT: 2 folders</p>\n<ul><li><code>{folder}/lr0.01-s0" in Path(out).read_text()
    # Whoever names a run means it.
    runs = [str(path.parent) for path in sorted(folder.glob("*/config.json"))]
    assert main(["report", *runs, "--out", out]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "6 runs, report to open" in told
    assert "LEFT OUT" not in told
    # Many are told of in one line.
    swept(folder, 2, 0.03)
    assert main(["report", str(tmp_path), "--out", out]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert re.search(rf"LEFT OUT: 4 runs: \S+, \S+, \S+ and 1 more: {re.escape(NOT_ASKED_FOR)}", told)
    assert "2 runs, report to open" in told


@pytest.mark.usefixtures("undrawn")
def test_a_sweep_file_that_fits_no_run_leaves_none_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "addition", *TINY, "--updates", "20", "--eval-every", "10", "--out", str(tmp_path / "runs")]
    assert main([*words, "--preset", "none"]) == 0
    copy, out = tmp_path / "runs" / "sweep.toml", str(tmp_path / "r.html")
    for content, told in (
        ('task = "addition"\n', "asks for none of the runs beside it, and all of them count"),
        ("task = ", "cannot be held against the runs, and all of them count: "),
        ('task = "addition"\nseeds = 999999999\n', "cannot be held against the runs, and all of them count: "),
        ("a = " + "[" * 100_000, "cannot be held against the runs, and all of them count: "),
    ):
        copy.write_text(content)
        capsys.readouterr()
        assert main(["report", str(tmp_path / "runs"), "--out", out]) == 0
        terminal = " ".join(capsys.readouterr().out.split())
        assert f"sweep.toml {told}" in terminal
        assert "1 runs, report to open" in terminal
        assert f"sweep.toml {told}" in Path(out).read_text()
    # The settings as the command line writes them are those that a file asks for.
    sizes = "train_size = 200\nvalid_size = 20\ntest_size = 50\nbatch = 5\n"
    text = sweep_file(2, 0.03, 0.04, hidden=10).replace("clip = 1\n", sizes).replace("updates = 30", "updates = 20")
    copy.write_text(text.replace("lr = [0.03, 0.04]", f"lr = [{TrainConfig().lr}]"))
    assert main(["report", str(tmp_path / "runs"), "--out", out]) == 0
    assert "sweep.toml" not in capsys.readouterr().out
