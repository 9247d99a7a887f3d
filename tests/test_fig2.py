"""Fig. 2: phase planes against closed forms and against runs, verdicts, the record, pages that say its numbers."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import ROOT
from nprnn.cli import main
from nprnn.dynamics import System, find_fixed_points, growth_table, run
from nprnn.errors import ConfigError, RunError
from nprnn.experiments import Experiment, catalogue, experiments, find_experiment
from nprnn.experiments.catalogue import parse_any
from nprnn.experiments.driving import is_made_up, one_each
from nprnn.experiments.planes import (
    Planes,
    PlanesFindings,
    PlanesRecord,
    conclude_planes,
    parse_planes,
    read_planes_record,
)
from nprnn.experiments.planes.plane import Ray, invariant_rays, plane, recurrent_weight, turned
from nprnn.experiments.planes.spec import Case, Frame
from nprnn.experiments.storing import RECORD
from nprnn.init import SCHEMES
from nprnn.reporting.blocks import as_html, as_markdown
from nprnn.reporting.explorer import write_explorer
from nprnn.reporting.factors import near, ten
from nprnn.reporting.planes import planes_blocks, planes_csv, planes_pictures

PNG = b"\x89PNG\r\n\x1a\n"
TINY = """
kind = "planes"
title = "Tiny"
names = ["tiny"]
differs = ["made up"]
starts = [[0.5, 1.0], [-0.3, 0.4]]
steps = 4

[[cases]]
name = "c"
eigenvalues = [1.0, 0.5]
says = "all comes to rest"
fate = "comes to rest on a line"

[[cases]]
name = "d"
eigenvalues = [1.5, 0.5]
says = "diverges"
fate = "diverges"

[[frames]]
name = "eigenbasis"
about = "as drawn"

[[frames]]
name = "mixed"
about = "as it is"
angle = -45.0

[growth]
task = "addition"
length = 6
sizes = [2, 3]
draws = 3
quick_sizes = [2]
quick_draws = 2

[[expected]]
scheme = "iRNN"
hidden = 3
quantity = "far_growth"
value = 0.01
within = 0.009
source = "its only eigenvalue"

[[expected]]
scheme = "IRNN"
hidden = 3
quantity = "growth"
value = 3.0
within = 0.1
source = "nobody"

[[expected]]
scheme = "IRNN"
hidden = 100
quantity = "growth"
value = 1.0
within = 0.1
source = "nobody"
"""
ANGLES = st.floats(-89, 90)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def tiny() -> Planes:
    return parse_planes("tiny", TINY)


def case(leading: float, other: float) -> Case:
    return Case("x", (leading, other), "", "diverges")


def read(content: Mapping[str, str], name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content[name])))


# --- the files


def test_what_can_be_reproduced_is_found_by_kind() -> None:
    found = find_experiment("fig2")
    assert isinstance(found, Planes)
    assert found.key == "fig2"
    assert {type(e) for e in catalogue().values()} >= {Planes, Experiment}
    assert set(experiments()) == {key for key, e in catalogue().items() if type(e) is Experiment}
    for key, experiment in catalogue().items():
        assert find_experiment(experiment.names[0]).key == find_experiment(key).key == key
        assert experiment.title
        assert experiment.count("quick") <= experiment.count("paper")


def test_an_unknown_kind_is_told() -> None:
    for text in ('kind = "race"', "title = 'none'", "kind = ['planes']"):
        with pytest.raises(ConfigError, match="kind must be 'selection' or 'planes'"):
            parse_any("x", text)
    with pytest.raises(ConfigError, match="not TOML"):
        parse_any("x", "kind = ")


def test_the_papers_four_cases_are_drawn_as_it_draws_them_and_as_they_are() -> None:
    experiment = find_experiment("fig2")
    assert isinstance(experiment, Planes)
    (a, b, c, d) = experiment.cases
    assert a.eigenvalues == (1, 1)
    assert max(b.eigenvalues) < 1
    assert (c.eigenvalues[0], c.eigenvalues[1] < 1) == (1, True)
    assert d.eigenvalues[0] > 1
    assert experiment.frames[0].angle is None
    signs = [
        math.cos(math.radians(f.angle)) * math.sin(math.radians(f.angle)) for f in experiment.frames[1:] if f.angle
    ]
    assert [s > 0 for s in signs] == [True, False]
    growth = experiment.growth
    assert (growth.task, growth.length, growth.draws, growth.sizes) == ("addition", 150, 30, (2, 10, 40, 100, 400))
    quick = experiment.at("quick").growth
    assert (quick.draws, quick.sizes) == (10, (2, 10, 40))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('title = "Tiny"', "", "title is missing"),
        ('names = ["tiny"]', "names = []", "needs names"),
        ("steps = 4", "steps = 0", "at least one step"),
        ("[0.5, 1.0]", "[0.5]", "two finite numbers"),
        ("[0.5, 1.0]", "[0.5, nan]", "two finite numbers"),
        ("starts = [[0.5, 1.0], [-0.3, 0.4]]", "starts = []", "at least one state"),
        ('fate = "diverges"', 'fate = "explodes"', "fate"),
        ("eigenvalues = [1.5, 0.5]", "eigenvalues = [0.5, 1.5]", "the leading one first"),
        ("eigenvalues = [1.5, 0.5]", "eigenvalues = [1.5, 0.0]", "above 0"),
        ('name = "d"', 'name = "c"', "different names"),
        ("angle = -45.0", "angle = -90.0", "angle must be above -90"),
        ("angle = -45.0", "angel = -45.0", "Did you mean 'angle'"),
        ('task = "addition"', 'task = "mnist"', "needs a made-up task"),
        ('task = "addition"', 'task = "additon"', "Did you mean 'addition'"),
        ("draws = 3", "draws = 0", "at least 1"),
        ("sizes = [2, 3]", "sizes = []", "there must be sizes"),
        ("sizes = [2, 3]\n", "", "sizes is missing"),
        ('scheme = "iRNN"', 'scheme = "iRRN"', "Did you mean"),
        ('quantity = "far_growth"', 'quantity = "speed"', "quantity"),
        ("within = 0.009", "within = -1.0", "within must be 0 or more"),
        ("[growth]", "[growth", "not TOML"),
    ],
)
def test_files_that_make_no_sense(old: str, new: str, words: str) -> None:
    assert old in TINY
    with pytest.raises(ConfigError) as caught:
        parse_planes("tiny", TINY.replace(old, new, 1))
    assert words in str(caught.value)
    assert "tiny" in str(caught.value)


# --- the planes


def test_rays_known_by_hand() -> None:
    half = math.sqrt(0.5)
    assert invariant_rays(torch.eye(2, dtype=torch.float64)) == [Ray((1, 0), 1), Ray((0, 1), 1)]
    assert invariant_rays(recurrent_weight(case(1.2, 0.4), None)) == [Ray((1, 0), 1.2), Ray((0, 1), 0.4)]
    ((direction, growth),) = invariant_rays(recurrent_weight(case(1.2, 0.4), 45))
    assert direction == pytest.approx((half, half))
    assert growth == pytest.approx(1.2)
    # Each unit suppresses the other: the axes, and between them the second eigenvector.
    rays = invariant_rays(recurrent_weight(case(1.2, 0.4), -45))
    assert [ray.growth for ray in rays] == pytest.approx([0.8, 0.8, 0.4])
    assert [ray.direction for ray in rays[:2]] == [(1, 0), (0, 1)]
    assert rays[2].direction == pytest.approx((half, half))
    # Along an axis an eigenvector is told once.
    assert len(invariant_rays(recurrent_weight(case(1.2, 0.4), 90))) == 2


@given(st.floats(0.05, 2), st.floats(0.05, 2), ANGLES)
@settings(max_examples=30, deadline=None)
def test_rays_are_kept_and_no_state_outgrows_the_first(one: float, two: float, angle: float) -> None:
    weight = recurrent_weight(case(max(one, two), min(one, two)), angle)
    assert torch.linalg.eigvalsh(weight).tolist() == pytest.approx([min(one, two), max(one, two)], abs=1e-12)
    system = System(weight, None, torch.zeros(2))
    rays = invariant_rays(weight)
    for direction, growth in rays:
        v = torch.tensor([direction], dtype=torch.float64)
        torch.testing.assert_close(system.step(v), growth * v, rtol=0, atol=1e-9)
    angles = torch.linspace(0, math.pi / 2, 64, dtype=torch.float64)
    states = torch.stack([angles.cos(), angles.sin()], 1)
    logs = run(system, None, states, steps=400).log_norms
    fastest = float((logs[-1] - logs[199]).max()) / 200
    assert fastest <= math.log(rays[0].growth) + 1e-9
    # What starts beside a ray that pushes away takes its time; where rays differ clearly, the fastest is met.
    assert fastest >= math.log(rays[0].growth) - 0.01


@given(st.floats(1e-2, 1), st.floats(0.1, 1.5), ANGLES)
@settings(max_examples=50, deadline=None)
def test_the_long_run_growth_has_a_closed_form(share: float, leading: float, angle: float) -> None:
    other = share * leading
    c, s = math.cos(math.radians(angle)) ** 2, math.sin(math.radians(angle)) ** 2
    want = leading if angle >= 0 else max(c * leading + s * other, s * leading + c * other)
    found = invariant_rays(recurrent_weight(case(leading, other), angle))[0].growth
    assert found == pytest.approx(want, rel=1e-9)


@given(st.floats(0.05, 1.5), st.floats(0.05, 1.5), ANGLES)
@settings(max_examples=40, deadline=None)
def test_rays_agree_with_fixed_points_wherever_those_are_decided(one: float, two: float, angle: float) -> None:
    weight = recurrent_weight(case(max(one, two), min(one, two)), angle)
    growth = invariant_rays(weight)[0].growth
    if abs(growth - 1) < 1e-6:
        return
    (origin,) = find_fixed_points(System(weight, None, torch.zeros(2))).found
    assert origin.points.tolist() == [[0, 0]]
    assert origin.stability in ("border", "stable" if growth < 1 else "unstable")


def test_a_plane_has_the_numbers_of_dynamics() -> None:
    experiment = tiny()
    for frame in experiment.frames:
        for column in experiment.cases:
            found = plane(experiment, column, frame)
            system = System(torch.tensor(found.weight, dtype=torch.float64), None, torch.zeros(2))
            assert [path[0] for path in found.paths] == [(0.5, 1.0), (-0.3, 0.4)]
            for path in found.paths:
                states = torch.tensor(path, dtype=torch.float64)
                torch.testing.assert_close(system.step(states[:-1]), states[1:], rtol=1e-12, atol=0)
            orbits = find_fixed_points(system).found
            assert [(f.dimension, f.stability) for f in found.fixed] == [(o.dimension, o.stability) for o in orbits]
            assert found.growth == found.rays[0].growth


@pytest.mark.parametrize(
    ("values", "angle", "fate", "growth"),
    [
        ((1.0, 1.0), None, "stands still", 1),
        ((1.0, 1.0), -40.0, "stands still", 1),
        ((0.8, 0.4), None, "falls to the origin", 0.8),
        ((1.0, 0.4), 40.0, "comes to rest on a line", 1),
        ((1.0, 0.4), -45.0, "falls to the origin", 0.7),
        ((1.2, 0.4), 10.0, "diverges", 1.2),
        ((1.2, 0.4), -45.0, "falls to the origin", 0.8),
        ((1.2, 0.4), -20.0, "diverges", 0.4 + 0.8 * math.cos(math.radians(20)) ** 2),
    ],
)
def test_fates(values: tuple[float, float], angle: float | None, fate: str, growth: float) -> None:
    found = plane(tiny(), case(*values), Frame("f", "", angle))
    assert found.fate == fate
    assert found.growth == pytest.approx(growth)


def test_growth_by_angle_ends_where_it_began() -> None:
    found = turned(case(1.0, 0.4), range(-89, 91))
    assert [turn.angle for turn in found] == list(range(-89, 91))
    growth = {turn.angle: turn.growth for turn in found}
    assert min(growth, key=lambda angle: growth[angle]) == -45
    assert growth[-45] == pytest.approx(0.7)
    assert all(growth[angle] == 1 for angle in range(91))


# --- the record and what follows from it


def record(scale: str = "paper") -> PlanesRecord:
    experiment = tiny().at("paper")
    rows = growth_table(one_each("addition", 6, 3), schemes=["iRNN", "IRNN", "np-tanhRNN"], sizes=[2, 3], draws=3)
    return PlanesRecord(
        "tiny",
        TINY,
        "quick" if scale == "quick" else "paper",
        ["nprnn"],
        {"torch": "2"},
        {name: SCHEMES[name].description for name in ("iRNN", "IRNN", "np-tanhRNN")},
        [plane(experiment, column, frame) for frame in experiment.frames for column in experiment.cases],
        [turn for column in experiment.cases for turn in turned(column, range(-45, 46, 45))],
        rows,
    )


def findings() -> PlanesFindings:
    return conclude_planes(record(), tiny())


def test_a_record_comes_back(tmp_path: Path) -> None:
    facts = record()
    facts.rows[0] = type(facts.rows[0])(**{**facts.rows[0].__dict__, "state_ratio": math.nan})
    facts.write(tmp_path)
    again = read_planes_record(tmp_path)
    assert math.isnan(again.rows[0].state_ratio)
    assert again.rows[1:] == facts.rows[1:]
    assert (again.planes, again.turns, again.starts) == (facts.planes, facts.turns, facts.starts)
    assert "NaN" not in (tmp_path / RECORD).read_text()


def test_states_that_are_no_numbers_are_never_written(tmp_path: Path) -> None:
    facts = record()
    before = facts.write(tmp_path).read_bytes()
    facts.turns[0] = facts.turns[0]._replace(growth=math.inf)
    with pytest.raises(RunError, match="a number is not finite"):
        facts.write(tmp_path)
    assert (tmp_path / RECORD).read_bytes() == before


@pytest.mark.parametrize(
    "content", ["", "[]", '{"format": 1, "kind": "selection"}', '{"format": 1, "kind": "planes"}', '{"format": 9}']
)
def test_damaged_records_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(RunError, match=RECORD):
        read_planes_record(tmp_path)


def test_claims_and_numbers_are_judged() -> None:
    found = findings()
    assert {(v.case.name, v.frame.name): v.holds for v in found.fates} == {
        ("c", "eigenbasis"): True,
        ("d", "eigenbasis"): True,
        ("c", "mixed"): False,
        # At -45 degrees an eigenvalue of 1.5 leaves the mean of both, 1.
        ("d", "mixed"): False,
    }
    assert [number.outcome for number in found.numbers] == ["PASS", "MISS", None]
    row = next(r for r in found.rows if (r.scheme, r.hidden) == ("iRNN", 3))
    assert found.numbers[0].measured == row.far_growth


def test_a_number_at_the_edge_of_its_tolerance_passes() -> None:
    growth = next(row.growth for row in record().rows if (row.scheme, row.hidden) == ("IRNN", 3))
    for within, outcome in ((abs(growth - 3.0), "PASS"), (0.999 * abs(growth - 3.0), "MISS")):
        text = TINY.replace("within = 0.1", f"within = {within!r}", 1)
        facts = record()
        facts.experiment = text
        assert conclude_planes(facts, parse_planes("tiny", text)).numbers[1].outcome == outcome


# --- the pages


def test_the_page_says_the_numbers() -> None:
    found = findings()
    page = as_markdown(planes_blocks(found, "nprnn reproduce tiny"), {})
    for row in found.rows:
        if row.vanished < 1:
            assert f"| {near(row.growth)} ({near(row.lowest)} to {near(row.highest)}) |" in page
    assert "Of 2 numbers that were expected, 1 pass." in page
    assert "The paper's claims hold in 2 of 4 planes." in page
    assert "Scale paper has no number to hold against what is expected of N = 100 (1 in all)." in page
    assert page.count("| PASS |") == 1, "what was not measured has no row"
    assert f"0.01 | 0.009 | {near(found.numbers[0].measured or 0)} | PASS" in page
    assert "does not hold" in page
    assert "0.5 for N = 2, 0.25 for N = 3" in page
    assert "Quick scale" not in page
    assert "Quick scale" in as_markdown(planes_blocks(conclude_planes(record("quick"), tiny().at("quick")), ""), {})


def test_the_tables_are_the_records() -> None:
    found = findings()
    content = planes_csv(found)
    rows = read(content, "gradients.csv")
    assert [float(row["growth"]) for row in rows] == [row.growth for row in found.rows]
    assert [row["active"] == "" for row in rows] == [row.active is None for row in found.rows]
    states = read(content, "states.csv")
    assert len(states) == 4 * 2 * 5
    assert (float(states[1]["x"]), float(states[1]["y"])) == found.fates[0].plane.paths[0][1]
    assert [row["claim"] for row in read(content, "planes.csv")] == ["holds", "holds", "does not hold", "does not hold"]
    assert {row["outcome"] for row in read(content, "expected.csv")} == {"PASS", "MISS", "not measured"}
    assert len(read(content, "turns.csv")) == 2 * 3


def test_the_html_page_needs_nothing_else() -> None:
    found = findings()
    pictures = planes_pictures(found)
    assert set(pictures) == {"planes", "turns", "gradients"}
    assert all(png.startswith(PNG) for png in pictures.values())
    html = as_html(planes_blocks(found, "nprnn reproduce tiny"), pictures)
    assert html.count("data:image/png;base64,") == 3
    assert not re.search(r"(src|href)=\"?https?:", html)


def test_starts_that_let_nothing_through_are_drawn_and_told() -> None:
    facts = record()
    facts.rows = growth_table(torch.zeros(6, 1, 2), schemes=["IRNN"], sizes=[2, 3], draws=3)
    facts.starts = {"IRNN": "identity"}
    found = conclude_planes(facts, tiny())
    assert planes_pictures(found)["gradients"].startswith(PNG)
    page = as_markdown(planes_blocks(found, ""), {})
    assert "| IRNN | 2 | – | – | 0 | 100 % |\n" in page
    assert "| IRNN | 2 | – | 0 % | 100 % |" in page


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.75, "0.750"), (1.0, "1.000"), (0.998, "0.9980"), (0.99996, "0.999960"), (1.0099, "1.0099"), (0.0, "0.000")],
)
def test_factors_in_words(value: float, words: str) -> None:
    assert near(value) == words
    assert near(1e-5) == "1.0e−05"


@pytest.mark.parametrize(
    ("log", "words"),
    [(0.0, "1"), (-1.0, "0.1"), (-2.5, "10^−2.5"), (-300.2, "10^−300"), (-math.inf, "0"), (3.0, "10^3.0")],
)
def test_powers_in_words(log: float, words: str) -> None:
    assert ten(log) == words


# --- the command


def test_one_sequence_for_each_draw() -> None:
    x = one_each("addition", 7, 3)
    assert x.shape == (3, 7, 1, 2)
    assert not torch.equal(x[0], x[1])
    assert (x[..., 1].sum(1) == 2).all()
    assert torch.equal(one_each("addition", 7, 2), x[:2])
    assert is_made_up("multiplication")
    with pytest.raises(ConfigError, match="the tasks that are made up are addition, multiplication"):
        one_each("mnist", 7, 3)


def test_the_command_from_file_to_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "tiny.toml", tmp_path / "out"
    file.write_text(TINY)
    assert main(["reproduce", str(file), "--out", str(out)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "DOES NOT HOLD: (c) all comes to rest [mixed]: falls to the origin, 0.75 a step" in told
    bounds = r"\(expected 0.01 ± 0.009: its only eigenvalue\)"
    assert re.search(rf"PASS: iRNN, N = 3, growth per step far from the loss 0.0\d+ {bounds}", told)
    assert "NOT MEASURED: Scale paper has no number to hold against what is expected of N = 100 (1 in all)." in told
    # The table is that of nprnn.dynamics, for every start that there is.
    facts = read_planes_record(out)
    want = growth_table(one_each("addition", 6, 3), sizes=[2, 3], draws=3)
    assert list(facts.starts) == list(SCHEMES)
    for row, other in zip(facts.rows, want, strict=True):
        assert (row.scheme, row.hidden, row.growth) == (other.scheme, other.hidden, other.growth)
    # Drawn anew from the record alone, without measuring anything.
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    names = {"record.json", "README.md", "report.html", "planes.png", "turns.png", "gradients.png", "explorer.html"}
    assert names <= set(before)
    # Both forms of the page lead to the explorer beside them.
    assert "\n[Two units, to be moved by hand](explorer.html)\n" in before["README.md"].decode()
    assert '<a href="explorer.html">Two units, to be moved by hand</a>' in before["report.html"].decode()
    assert before["explorer.html"] == write_explorer(tmp_path / "own.html").read_bytes()
    (out / "README.md").unlink()
    assert main(["reproduce", str(file), "--report-only", "--out", str(out)]) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    # Once more leads to the same numbers.
    assert main(["reproduce", str(file), "--out", str(out)]) == 0
    again = read_planes_record(out)
    assert (again.planes, [r.growth for r in again.rows]) == (facts.planes, [r.growth for r in facts.rows])


def test_reports_measure_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record().write(tmp_path)
    file = tmp_path / "tiny.toml"
    file.write_text(TINY)
    for name in ("growth_table", "plane", "turned", "one_each"):
        monkeypatch.delattr(f"nprnn.experiments.planes.procedure.{name}")
    assert main(["reproduce", str(file), "--report-only", "--out", str(tmp_path)]) == 0


def test_quick_is_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY)
    assert main(["reproduce", "tiny.toml", "--scale", "quick"]) == 0
    facts = read_planes_record(tmp_path / "results" / "tiny-quick")
    assert {(row.hidden, row.draws) for row in facts.rows} == {(2, 2)}
    assert "Quick scale" in (tmp_path / "results" / "tiny-quick" / "README.md").read_text()


def test_what_the_command_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text(TINY)
    other = tmp_path / "other"
    other.mkdir()
    (other / RECORD).write_text(json.dumps({"format": 1, "kind": "selection"}))
    record("quick").write(tmp_path / "quick")
    for words, said in [
        (["reproduce", "fig2", "--store", "s", "--workers", "2"], "leave out --store, --workers"),
        (["reproduce", "fig22"], "Did you mean 'fig2'"),
        (["reproduce", str(file), "--report-only", "--out", str(tmp_path / "no")], "no record"),
        (["reproduce", str(file), "--out", str(other)], "not a planes record"),
        (["reproduce", str(file), "--out", str(tmp_path / "quick")], "is of another experiment (tiny, quick)"),
    ]:
        assert main(words) == 2, words
        assert said in " ".join(capsys.readouterr().err.split()), words
    assert main(["reproduce", "--list"]) == 0
    assert "fig2" in capsys.readouterr().out


def test_the_results_in_the_repository_are_those_of_their_record(tmp_path: Path) -> None:
    folder = ROOT / "results" / "fig2"
    facts = read_planes_record(folder)
    assert facts.scale == "paper"
    found = conclude_planes(facts, parse_planes(facts.key, facts.experiment))
    pictures = {name: f"{name}.png" for name in ("planes", "turns", "gradients")}
    page = as_markdown(planes_blocks(found, " ".join(facts.command)), pictures)
    assert (folder / "README.md").read_text() == page, "run nprnn reproduce fig2 --report-only"
    for name, text in planes_csv(found).items():
        assert (folder / name).read_text() == text
    explorer = write_explorer(tmp_path / "explorer.html").read_bytes()
    assert (folder / "explorer.html").read_bytes() == explorer, "run nprnn reproduce fig2 --report-only"


def test_quick_says_which_numbers_only_the_whole_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "fig2", "--scale", "quick"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    line = "Scale quick has no number to hold against what is expected of N = 100 (8 in all)"
    line += "; --scale paper measures it."
    assert told.count("NOT MEASURED") == 1
    assert f"NOT MEASURED: {line}" in told
    assert "sounding" not in told
    page = Path("results/fig2-quick/README.md").read_text()
    assert line in page
    assert "sounding" not in page
