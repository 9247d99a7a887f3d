"""results/starts: the record says what its README says, and nprnn.dynamics says it again."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from conftest import ROOT
from nprnn.dynamics import growth_table
from nprnn.experiments.driving import one_each

FOLDER = ROOT / "results" / "starts"
MODELS = ["np-RNN-mirror", "np-RNN", "np-RNN-N2", "IRNN", "nRNN"]


def record(task: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{task}.json").read_text())
    return found


def numbers(task: str, model: str) -> dict[str, dict[str, float]]:
    (subject,) = [subject for subject in record(task)["subjects"] if subject["model"] == model]
    found: dict[str, dict[str, float]] = subject["stages"][0]["numbers"]
    return found


@pytest.mark.parametrize(("task", "length"), [("addition", 150), ("multiplication", 150), ("mnist", 784)])
def test_the_readme_says_what_was_recorded(task: str, length: int) -> None:
    subjects = record(task)["subjects"]
    assert [subject["model"] for subject in subjects] == MODELS
    assert {(s["task"], s["length"], s["draws"], s["hidden"]) for s in subjects} == {(task, length, 30, 100)}
    said = numbers(task, "np-RNN-mirror")
    far, whole = said["far_growth"], said["growth"]
    # The bound of the acceptance, for each of 30 draws.
    assert 0.99 <= far["least"] <= far["value"] <= far["greatest"] <= 1.01
    assert said["vanished"]["value"] == 0
    first, last = (10 ** said[f"log10_state_{name}"]["value"] for name in ("first", "last"))
    row = f"| [{task}]({task}/README.md) | {length} | "
    row += " | ".join(f"{far[name]:.6f}" for name in ("value", "least", "greatest"))
    row += f" | {whole['value']:.4f} ({whole['least']:.4f} to {whole['greatest']:.4f}) | {first:.3g} to {last:.3g} |"
    readme = (FOLDER / "README.md").read_text()
    assert row in readme.splitlines()
    # The command that is told is that which was asked.
    asked = " ".join(record(task)["command"])
    assert asked in re.sub(r" \\\n +", " ", readme)
    assert asked in (FOLDER / task / "README.md").read_text()


@pytest.mark.parametrize(("task", "seed"), [("addition", 0), ("multiplication", 1)])
def test_the_record_is_measured_again(task: str, seed: int) -> None:
    (row,) = growth_table(
        one_each(task, 150, 30), schemes=["np-RNN-mirror"], sizes=[100], draws=30, radius_steps=0, seed=seed
    )
    said = numbers(task, "np-RNN-mirror")
    assert said["far_growth"]["value"] == pytest.approx(row.far_growth, rel=1e-6)
    assert said["growth"]["value"] == pytest.approx(row.growth, rel=1e-6)
    assert said["growth"]["least"] == pytest.approx(row.lowest, rel=1e-6)


def test_both_made_up_tasks_have_the_same_inputs() -> None:
    assert one_each("addition", 150, 3).equal(one_each("multiplication", 150, 3))
