"""What the commands tell a newcomer: helps, what is about to start, and what became of an interrupted command."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest

from nprnn.cli import COMMANDS, main
from nprnn.cli import training as cli_training
from nprnn.models import MODELS
from nprnn.reporting import TrainingProgress
from nprnn.tasks import TASKS
from test_cli import SHORT, numbers, only_run, run_main, said
from test_comparison import TINY


def help_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run_main([*words, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", [["train"], ["train", "--help"]], ids=len)
def test_the_help_of_train_lists_tasks_models_and_examples(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in (*TASKS, *MODELS):
        (told,) = [line for line in lines if line.split()[:1] == [name]]
        assert len(told.split()) > 1, f"{name} is not explained"
    examples = [line.split()[1:] for line in lines if line.startswith("  nprnn train ")]
    assert len(examples) == 2
    # They are of options that there are: the parser ends on others.
    for example in examples:
        assert run_main([*example, "--help"]) == 0
        known = capsys.readouterr().out
        assert all(f"{option} " in known or f"{option}," in known for option in example if option.startswith("--"))


@pytest.mark.parametrize("task", TASKS)
def test_every_preset_stands_in_the_help(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(["train", task, "--help"]) == 0
    assert "none: every setting at its own default. (default: default)" in said(capsys)


def test_no_help_shows_none_as_a_type(capsys: pytest.CaptureFixture[str]) -> None:
    helps = [help_of(capsys, name) for name in COMMANDS] + [help_of(capsys, "train", task) for task in TASKS]
    for text in helps:
        assert "{None" not in text
        assert "None}" not in text
    assert re.search(r"--truncate INT\s", help_of(capsys, "train", "addition"))
    assert re.search(r"--colour \{rgb,bgr\}\s", help_of(capsys, "features"))


def test_none_can_be_said_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train", "addition", *SHORT, "--truncate", "None", "--stop-after", "None"]
    assert main(words) == 0
    assert main(["report", "runs", "--csv", "None", "--success", "None"]) == 0
    assert not Path("None").exists()
    capsys.readouterr()
    assert run_main(["train", "addition", "--truncate", "ten"]) == 2
    assert "Error parsing --truncate: invalid literal for int() with base 10: 'ten'" in said(capsys)


def interrupted_at(update: int, number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    told = TrainingProgress.on_record

    def on_record(self: TrainingProgress, member: int, record: dict[str, Any]) -> None:
        told(self, member, record)
        if record["update"] == update:
            signal.raise_signal(number)

    monkeypatch.setattr(TrainingProgress, "on_record", on_record)


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_a_signal_after_the_last_update_is_told_of(
    number: signal.Signals,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    interrupted_at(20, number, monkeypatch)
    assert main(["train", "addition", *SHORT, "--out", str(tmp_path)]) == 0
    told = said(capsys)
    assert f"{name} came after the last update: nothing was left to stop, and nothing is lost" in told
    assert "learning curve:" in told


def test_ctrl_c_while_the_curve_is_drawn_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "addition", *SHORT, "--out", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(cli_training, "learning_curves", lambda curves: signal.raise_signal(signal.SIGINT))
        assert main(words) == 130
    told = said(capsys)
    assert "interrupted after update 20, the last:" in told
    assert "the same command trains no more and draws the curve" in told
    before = numbers(only_run(tmp_path))
    assert not list(tmp_path.glob("*/curve.png"))
    # What it promises is so.
    assert main(words) == 0
    assert numbers(only_run(tmp_path)) == before
    assert len(list(tmp_path.glob("*/curve.png"))) == 1
    assert "interrupted" not in said(capsys)


def test_reproduce_tells_what_it_starts_and_keeps_its_state_beside_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY)
    seen = []

    def carried_out(*arguments: Any, **options: Any) -> None:
        seen.append((arguments[2], capsys.readouterr().out))
        raise KeyboardInterrupt

    monkeypatch.setattr("nprnn.cli.reproductions.carry_out_comparison", carried_out)
    for words in ([], ["--out", "a/b"], ["--out", "a/b", "--kept", "here"], ["--scale", "quick"]):
        assert main(["reproduce", "tiny.toml", *words]) == 130
    assert main(["reproduce", "tiny.toml", "--collect"]) == 130
    assert [str(kept) for kept, _ in seen] == [
        "results/state/addition",
        "a/state/addition",
        "here",
        "results/state/addition",
        "results/state/addition",
    ]
    told = [" ".join(text.split()) for _, text in seen]
    assert re.search(r"tiny at scale paper: \d+ runs in all.*; --scale quick is the small one, of 2 runs", told[0])
    assert "quick is the small one" not in told[3]
    assert "tiny at scale quick: 2 runs in all" in told[3]
    assert "runs in all" not in told[4], "nothing is trained"


def test_reproduce_tells_what_is_known_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def carried_out(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nprnn.cli.reproductions.carry_out_comparison", carried_out)
    assert main(["reproduce", "fig3", "--scale", "half"]) == 130
    assert "72 runs in all, those that are done included; takes, as measured: 2.5 hours on two cores" in said(capsys)
    assert main(["reproduce", "fig3"]) == 130
    assert "153 runs in all, those that are done included; how long that takes was not measured" in said(capsys)
