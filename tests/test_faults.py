"""A sample of the matrix of faults: each command meets each harm. ``benchmarks/faults.py`` is the whole of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fault_matrix import DAMAGE, TOGETHER, Case, Stage
from fault_scenes import SCENES
from faulty import HARM, Fault, Nursery

QUICK = ("import", "predict")
HARMS = (*HARM, *DAMAGE, TOGETHER)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as made:
        yield made


def sample(cases: list[Case]) -> list[Case]:
    """One of each harm, of as many different files as there are."""
    chosen: list[Case] = []
    for k, harm in enumerate(HARMS):
        of_it = [case for case in cases if case.harm == harm]
        files = list(dict.fromkeys(case.file for case in of_it))
        if files:
            of_file = [case for case in of_it if case.file == files[k % len(files)]]
            chosen.append(of_file[k % len(of_file)])
    return chosen


@pytest.mark.parametrize(
    "scene", [pytest.param(s, id=s.name, marks=[] if s.name in QUICK else pytest.mark.slow) for s in SCENES]
)
def test_a_harmed_command_goes_on_or_tells(scene: object, nursery: Nursery, tmp_path: Path) -> None:
    stage = Stage(scene, nursery, tmp_path / "stage")  # type: ignore[arg-type]
    every = list(stage.cases())
    cases = sample(every)
    assert {case.harm for case in cases} == {case.harm for case in every} >= {*DAMAGE, TOGETHER}
    found = {str(case): stage.judge(case).trouble for case in cases}
    assert not {case: trouble for case, trouble in found.items() if trouble}


def test_the_harm_is_real(nursery: Nursery, tmp_path: Path) -> None:
    """What the matrix stands on: it happens at the chosen touch of the chosen file, and not again."""
    words = ["report", "nothing", "--out", "report.html"]
    assert nursery.run(words, tmp_path).status == 2
    scene = next(scene for scene in SCENES if scene.name == "import")
    stage = Stage(scene, nursery, tmp_path / "stage")
    folder = tmp_path / "case"
    folder.mkdir()
    scene.prepare(folder, nursery)
    store = "out/store.json"
    killed = nursery.run(stage.words, folder, Fault("kill", store, 2))
    assert (killed.status, killed.happened) == (-9, True)
    # Killed in the middle of its first writing: half of it is there, under the name that is no name yet.
    (litter,) = (folder / "out").glob(".store.json.*")
    whole = next(touch for touch in stage.touches[False] if touch.name == store)
    assert (whole.verb, killed.touches[-1].verb) == ("open", "write")
    assert litter.stat().st_size > 0
    assert not (folder / store).exists()
    full = nursery.run(stage.words, folder, Fault("full", store, 2))
    assert full.status == 2
    assert "No space left on device" in full.told
    clean = nursery.run(stage.words, folder)
    assert (clean.status, clean.happened) == (0, False)
    assert scene.answers(folder) == stage.right
