"""The pages' own blocks, run as a reader would; what they mention; and that none of them is forgotten."""

from __future__ import annotations

import contextlib
import csv
import io
import re
import shutil
import tomllib
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from conftest import ROOT, absent
from doc_pages import (
    ELSEWHERE,
    NOT_RUN,
    PAGES,
    RUNNABLE,
    SHOWN,
    all_blocks,
    blocks,
    commands_of,
    reason,
    run_bash,
    run_page,
    run_python,
    run_shell,
    to_run,
)
from nprnn.cli import COMMANDS, main
from nprnn.sweep import parse_sweep
from nprnn.tasks import TASKS
from test_comparison import TINY as COMPARISON
from test_tasks import write_images

# Pages with a test of their own here, which looks at what they say.
LOOKED_AT = ("README.md", "docs/tutorial.md", "docs/ensembles.md", "docs/export.md", "docs/own_data.md", "docs/redo.md")


def run_block(language: str, text: str, folder: Path) -> str:
    """Run one block as it stands."""
    return run_python([text], folder)[0] if language == "python" else run_bash(text, folder)


# --- nothing is forgotten


def test_every_block_is_run_or_has_a_reason() -> None:
    used = set()
    for page in PAGES:
        for block in all_blocks(page):
            where = f"{page}: {block.first!r}"
            keys = {reason(page, line) for line in block.text.splitlines()} - {None}
            used |= keys
            if block.language == "indented":
                commands = re.search(r"^(nprnn|python|torchrun|pip|ray) ", block.text, re.M)
                assert keys or not commands, f"{where} has commands: fence it as sh, or give a reason in NOT_RUN"
            elif block.language not in SHOWN:
                assert keys or block.language in RUNNABLE, f"{where}: the language {block.language!r} is not known"
    assert used == set(NOT_RUN), f"NOT_RUN has what is on no page: {set(NOT_RUN) - used}"


@pytest.mark.parametrize(("page", "language"), ELSEWHERE)
def test_blocks_that_another_test_runs_are_there(page: str, language: str) -> None:
    assert any(block.language == language for block in blocks(page)), "take it out of ELSEWHERE"
    file, _, name = ELSEWHERE[page, language].partition("::")
    body = (ROOT / "tests" / file).read_text().partition(f"def {name}(")[2].partition("\ndef ")[0]
    assert f'blocks("{page}")' in body


LATER = {"docs/dynamics.md", "docs/index.md"}  # a dozen commands; half a minute and more


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if page in LATER else [])
        for page in PAGES
        if page not in LOOKED_AT and to_run(page)
    ],
)
def test_the_page_runs(page: str, prepared: Path) -> None:
    run_page(page, prepared)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A folder with what the pages' commands ask for, all of it small."""
    write_images(tmp_path / "mnist")
    (tmp_path / "path" / "to").mkdir(parents=True)
    (tmp_path / "path" / "to" / "mnist").symlink_to(tmp_path / "mnist")
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "fig3.toml").write_text(COMPARISON + "\n[[scales.half]]\nat = [5]\nseeds = [0]\n")
    for parent in ("runs", "runs/addition"):
        run_shell(f"nprnn train addition --out {parent}", tmp_path)
    return tmp_path


def test_sweep_files_that_are_shown_are_right(tmp_path: Path) -> None:
    shown = [block.text for block in all_blocks("docs/sweeps.md") if block.language == "toml"]
    assert [parse_sweep(tmp_path / "shown.toml", text.encode()).count() for text in shown] == [36, 8]


# --- what is said in passing


@cache
def options(command: str) -> set[str]:
    """The options of a command; of train, those of all tasks."""
    said = io.StringIO()
    for words in [[command, task] for task in TASKS] if command == "train" else [[command]]:
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            main([*words, "--help"])
    return {*re.findall(r"(?<![\w-])--[a-z0-9-]+", said.getvalue()), "--debug"}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_is_named_is_one(page: str) -> None:
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.S | re.M)
    shown = [line for block in all_blocks(page) for line in block.text.splitlines() if line.startswith("nprnn ")]
    for mention in [*re.findall(r"`(nprnn [^`]+)`", text), *shown]:
        for words in commands_of(" ".join(mention.split())):
            if words[0] != "nprnn" or words[1] == "COMMAND":
                continue
            assert words[1] in COMMANDS, f"{page} names `{mention}`"
            named = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--help"}
            assert named <= options(words[1]), f"{page} names `{mention}`"


# --- pages that are looked at


def test_the_tutorial_runs_and_predicts_well(tmp_path: Path) -> None:
    said = [run_block(*block, tmp_path) for block in blocks("docs/tutorial.md")]
    assert len(said) == 5
    assert "finished" in said[2]
    accuracy = re.search(r"│ test +│ +([\d.]+) │", said[3])
    assert accuracy
    assert float(accuracy[1]) > 0.9
    rows = list(csv.DictReader((tmp_path / "predictions.csv").open()))
    assert [row["sequence"] for row in rows] == ["0", "1", "2"]
    for row in rows:
        assert row["class"] in ("slow", "fast")
        assert abs(float(row["p(slow)"]) + float(row["p(fast)"]) - 1) < 1e-5


def test_the_page_on_ensembles_runs(tmp_path: Path) -> None:
    said = [run_block(*block, tmp_path) for block in blocks("docs/ensembles.md")]
    assert [line.split()[-1] for line in said[-1].splitlines()] == ["finished", "finished", "diverged"] * 2


@pytest.mark.slow
def test_the_page_on_exports_runs(tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        absent("docs/export.md IS NOT RUN: no C compiler (cc)")
    said = [run_block(*block, tmp_path) for block in blocks("docs/export.md")]
    assert "PASS" in said[3]


@pytest.mark.slow
def test_the_page_on_own_recordings_runs_and_is_right(tmp_path: Path) -> None:
    said = [run_block(*block, tmp_path) for block in blocks("docs/own_data.md")]
    assert "240 sequences of 30..49 steps, 2 features" in said[1]
    accuracy = re.search(r"│ test +│ +([\d.]+) │", said[4])
    assert accuracy
    assert float(accuracy[1]) > 0.8
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert said[-1].strip() == "sound"


@pytest.mark.slow
def test_the_page_on_figures_runs(prepared: Path) -> None:
    said = run_page("docs/redo.md", prepared)
    assert "fig3" in said[0]
    assert "Which start learns to multiply?" in said[2]
    assert (prepared / "results" / "mine" / "report.html").is_file()
    assert (prepared / "explorer.html").is_file()


def test_the_theory_says_what_its_code_prints() -> None:
    code, printed = (block for block in all_blocks("docs/theory.md") if block.language in ("python", "text"))
    assert run_python([code.text], ROOT)[0] == printed.text


def test_the_readmes_commands_run(prepared: Path) -> None:
    make_videos(prepared)
    np.savez(prepared / "mine.npz", **WAVES)
    np.savez(prepared / "new.npz", x=WAVES["x"])
    np.savez(prepared / "features.npz", **WAVES, split=["train", "valid", "test"] * 8)
    for file in ("results/addition-sensitivity/sweep.toml", "examples/addition.toml"):
        write_small_sweep(file, prepared)
    run_page("README.md", prepared)
    assert (prepared / "report.html").is_file()


def test_what_make_demo_runs(prepared: Path) -> None:
    recipe = re.search(r"^demo:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)
    assert recipe
    commands = re.findall(r"^\t\$\(BIN\)/(nprnn .*)$", recipe[1], re.M)
    assert len(commands) == 3
    run_shell("\n".join(commands), prepared)
    assert (prepared / "demo" / "report.html").is_file()


WAVES = {"x": np.random.default_rng(0).normal(size=(24, 6, 2)).astype(np.float32), "y": np.arange(24) % 2}


def make_videos(folder: Path) -> None:
    """Videos of one colour each, as UCF-101 names and divides them, and a backbone that takes the mean of a picture."""
    import onnx

    from test_video import video

    lines = ["path,label,group,split01"]
    for label in ("Biking", "Diving"):
        for group, side in ((1, "test"), (8, "train"), (9, "train"), (25, "train")):
            name = f"{label}/v_{label}_g{group:02}_c01.avi"
            video(folder / "videos" / name, 3, first=20 * group)
            lines.append(f"{name},{label},{group},{side}")
    (folder / "videos" / "index.csv").write_text("\n".join(lines) + "\n")
    sides = [onnx.helper.make_tensor_value_info("x", 1, ["N", 3, 224, 224])]
    out = [onnx.helper.make_tensor_value_info("features", 1, ["N", 3])]
    node = onnx.helper.make_node("ReduceMean", ["x"], ["features"], axes=[2, 3], keepdims=0)
    graph = onnx.helper.make_graph([node], "mean", sides, out)
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8),
        folder / "cnn.onnx",
    )


def write_small_sweep(file: str, folder: Path) -> None:
    """A file of the repository with the same grid and one seed, of runs that take no time."""
    settings = "length = 12\nupdates = 4\neval_every = 2\nhidden = 4\ntrain_size = 20\nvalid_size = 8\ntest_size = 8\n"
    text = (ROOT / file).read_text()
    grid = text[text.index("[grid]") :]
    (folder / file).parent.mkdir(parents=True)
    (folder / file).write_text(f'task = "{tomllib.loads(text)["task"]}"\n\n[settings]\n{settings}\n{grid}')
