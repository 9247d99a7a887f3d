"""The pages' own commands, run as a reader would."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, absent


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of the code blocks of a page, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / page).read_text(), re.S | re.M)


def run_block(language: str, text: str, folder: Path) -> str:
    # The commands of this very environment come first.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = {"python": [sys.executable, "-c", text], "sh": ["bash", "-euo", "pipefail", "-c", text]}[language]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_tutorial_runs_and_predicts_well(tmp_path: Path) -> None:
    said = [run_block(language, text, tmp_path) for language, text in blocks("docs/tutorial.md")]
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


def test_the_readmes_python_runs(tmp_path: Path) -> None:
    python = [text for language, text in blocks("README.md") if language == "python"]
    assert python
    run_block("python", "import torch, nprnn\n" + "\n".join(python), tmp_path)


def test_the_page_on_ensembles_runs(tmp_path: Path) -> None:
    said = [run_block(language, text, tmp_path) for language, text in blocks("docs/ensembles.md")]
    assert [line.split()[-1] for line in said[-1].splitlines()] == ["finished", "finished", "diverged"] * 2


@pytest.mark.slow
def test_the_page_on_exports_runs(tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        absent("docs/export.md IS NOT RUN: no C compiler (cc)")
    said = [run_block(language, text, tmp_path) for language, text in blocks("docs/export.md")]
    assert "PASS" in said[3]
