"""The whole matrix of faults: every command, harmed in every way, at every file that it reads or writes."""

from __future__ import annotations

import collections
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from nprnn.bench import make_record, write_record
from nprnn.bench.records import read_record, script_command
from nprnn.errors import ConfigError
from nprnn.reporting.summary import put_part
from nprnn.training import environment

# What the tests take a sample of.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from fault_matrix import DAMAGE, TOGETHER, Stage
from fault_scenes import SCENES, Scene
from faulty import HARM, Nursery

FOLDER = Path("results/robustness")
WRONG = "WRONG"
HARMS = (*HARM, *DAMAGE, TOGETHER)
TITLES = {
    "kill": "SIGKILL",
    "term": "SIGTERM",
    "int": "Ctrl-C",
    "full": "full disk",
    "readonly": "read-only",
    "clock": "clock jumps",
}


def main(out: Path = FOLDER / "faults.json", only: tuple[str, ...] = (), again: bool = False) -> int:
    """Carry out the cases and write the record after each command; what it holds of other commands stays.

    Args:
        out: where the record goes; the page beside it is written anew.
        only: beginnings of names of commands; none is all.
        again: carry out only the cells of the record in which a case went wrong.

    Returns:
        The exit status: 1 where a case went wrong.
    """
    console = Console()
    scenes = [scene for scene in SCENES if not only or scene.name.startswith(only)]
    if not scenes:
        raise ConfigError(f"no command begins with {' or '.join(only)}; there are {', '.join(s.name for s in SCENES)}")
    done: dict[str, Any] = read_record(out)["scenes"] if out.exists() else {}
    if again:
        scenes = [scene for scene in scenes if done.get(scene.name, {}).get("wrong")]
    for scene in scenes:
        place = Path(tempfile.mkdtemp(prefix="nprnn-faults-"))
        # One for each command, so that what a command leaves behind meets no other.
        with Nursery() as nursery:
            done[scene.name] = _one(scene, nursery, place, console, done[scene.name] if again else None)
        shutil.rmtree(place)
        kept = {one.name: done[one.name] for one in SCENES if one.name in done}
        write_record(out, make_record("faults", script_command(__file__), 1, scenes=kept))
        put_part(out.with_name("README.md"), "faults", "\n".join(_lines(kept)), "# Broken and hostile input")
    return int(any(found["wrong"] for found in done.values()))


def _one(
    scene: Scene, nursery: Nursery, place: Path, console: Console, before: dict[str, Any] | None
) -> dict[str, Any]:
    """The cases of a command; with what was found before, those of its cells in which one went wrong."""
    began = time.monotonic()
    stage = Stage(scene, nursery, place / "stage")
    cases = list(stage.cases())
    cells: dict[tuple[str, str], dict[str, int]] = {}
    if before:
        cells = {(cell["file"], cell["harm"]): cell["outcomes"] for cell in before["cells"]}
        anew = {key for key, outcomes in cells.items() if WRONG in outcomes}
        cells = {key: {} if key in anew else outcomes for key, outcomes in cells.items()}
        cases = [case for case in cases if (case.file, case.harm) in anew]
    wrong = []
    for case in cases:
        verdict = stage.judge(case)
        if verdict.trouble:
            console.print(f"{scene.name}: {case}: {verdict.trouble}", markup=False)
            wrong.append({"case": str(verdict.case), "trouble": verdict.trouble[:2000]})
        cell = cells.setdefault((case.file, case.harm), {})
        outcome = WRONG if verdict.trouble else verdict.outcome
        cell[outcome] = cell.get(outcome, 0) + 1
    seconds = time.monotonic() - began
    console.print(f"{scene.name}: {len(cases)} cases, {len(wrong)} wrong, {seconds:.0f} s")
    return {
        "words": scene.words,
        "seconds": round(seconds + (before["seconds"] if before else 0), 1),
        "cases": sum(sum(outcomes.values()) for outcomes in cells.values()),
        "cells": [
            {"file": file, "harm": harm, "outcomes": dict(sorted(outcomes.items()))}
            for (file, harm), outcomes in cells.items()
            if outcomes
        ],
        "empty": stage.empty(),
        "wrong": wrong,
        "git": environment()["git"],
    }


def _lines(scenes: dict[str, Any]) -> list[str]:
    total = sum(found["cases"] for found in scenes.values())
    wrong = sum(len(found["wrong"]) for found in scenes.values())
    cells = [(name, cell) for name, found in scenes.items() for cell in found["cells"]]
    thin = [(name, cell) for name, cell in cells if sum(cell["outcomes"].values()) < 3]
    lines = [
        "## Faults",
        "",
        f"{len(scenes)} commands were harmed in {total:,} ways, in {len(cells)} cells of command, harm and file; "
        f"{wrong} went wrong. Which files a command touches is watched, not listed: each is harmed at its first, a "
        "middle and its last touch (opened, half written, renamed), from nothing and in a folder left half-done. Then "
        "the same command runs unharmed, and what it leaves is compared with what one leaves that was never harmed: "
        "weights bit for bit, records, features, exported files, predictions.",
        "",
        "| harm | cases | what came of them |",
        "|---|---:|---|",
    ]
    for harm in HARMS:
        outcomes: collections.Counter[str] = collections.Counter()
        for _, cell in cells:
            if cell["harm"] == harm:
                outcomes.update(cell["outcomes"])
        told = ", ".join(f"{outcome} {count}" for outcome, count in outcomes.most_common())
        lines.append(f"| {TITLES.get(harm, harm)} | {sum(outcomes.values())} | {told} |")
    lines += ["", "| command | files | " + " | ".join(TITLES.get(harm, harm) for harm in HARMS) + " |"]
    lines.append("|---|---:|" + "---:|" * len(HARMS))
    for name, found in scenes.items():
        counts = [sum(sum(c["outcomes"].values()) for c in found["cells"] if c["harm"] == harm) for harm in HARMS]
        files = len({cell["file"] for cell in found["cells"]} - {"all"})
        lines.append(f"| `{name}` | {files} | " + " | ".join(map(str, counts)) + " |")
    return [*lines, "", *_notes(thin, scenes), "", "Again: `python benchmarks/faults.py` (`faults.json`)."]


def _notes(thin: list[tuple[str, dict[str, Any]]], scenes: dict[str, Any]) -> list[str]:
    """What the words mean, and why some cells are empty or thin."""
    few = sorted({f"`{cell['file']}` of {name}" for name, cell in thin})
    empty = [(f"`{file}` of {name}", why) for name, found in scenes.items() for file, why in found["empty"].items()]
    made = sorted(what for what, why in empty if why != "elsewhere")
    again = sorted(what for what, why in empty if why == "elsewhere")
    commits: dict[str, list[str]] = {}
    for name, found in scenes.items():
        commits.setdefault(found["git"] or "unknown", []).append(name)
    made_at = [f"{commit}: {', '.join(names)}" for commit, names in commits.items()]
    return [
        "*gone on with*: the same command ended with the right answers. *told*: it named the file and what is wrong. "
        "*finished all the same*, *finished right*: the harm came too late or to what is not needed. *taken as other "
        "data*: a digit of a CSV file, a pixel or a setting became another, or an experiment's file ended after a "
        "whole line; nothing in such a file can tell.",
        "",
        "Cells that are empty: damage to what a command only writes, and harm while writing to what it only reads. "
        + (f"What is made and read by one command alone has no damage from before: {', '.join(made)}. " if made else "")
        + (f"Harmed with another command that writes them in the same way: {', '.join(again)}. " if again else "")
        + (f"Fewer than three cases, because it is touched once or twice: {', '.join(few)}. " if few else "")
        + "Two processes meet in the whole folder, begun together and 0.05 and 0.3 seconds apart, and not at one file.",
        "",
        f"Each command was harmed as it was at its commit: {'; '.join(made_at)}.",
    ]


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
