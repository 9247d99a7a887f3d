"""What a comparison's pages and pictures say: the findings' numbers, every seed, and what was not run as not run."""

from __future__ import annotations

import csv
import io
import math
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from rich.console import Console

from comparison_pages import COMMAND, PNG, both, check, drawn, marks, texts_of, words_of
from conftest import ROOT
from html_pages import Page, rendered
from nprnn.cli import findings_told
from nprnn.errors import DataError, RunError
from nprnn.experiments import find_experiment
from nprnn.experiments.comparison import (
    FINAL,
    READINGS,
    Comparison,
    ComparisonFindings,
    ComparisonRecord,
    Trained,
    conclude_comparison,
    parse_comparison,
)
from nprnn.experiments.comparison.record import State
from nprnn.experiments.comparison.spec import Batch, Series
from nprnn.experiments.spec import Scale
from nprnn.reporting import summary
from nprnn.reporting.comparison import (
    bars,
    comparison_csv,
    comparison_pictures,
    comparisons_in,
    curves,
    families,
    reasons_in,
    reproduction_page,
    rows,
    write_comparison,
)
from nprnn.reporting.comparison.looks import looks
from nprnn.reporting.comparison.standing import scale_words, standing, values
from nprnn.reporting.comparison.words import amount, bound_words

TINY = """
kind = "comparison"
title = "A tiny one"
names = ["figure9"]
task = "addition"
axis = "length"
metric = "within_0.04"
of = 10_000
counted = "sequences of 10,000"
differs = ["made up"]

[settings]
lr = 0.01
cool_at = []
updates = 100
eval_every = 10

[[series]]
name = "IRNN"

[[series]]
name = "np-RNN"
note = "the paper's own"

[[series]]
name = "ours"
model = "np-RNN-mirror"
settings = { clip = 5.0 }

[[scales.quick]]
at = [3]
seeds = [0]
settings = { updates = 50 }

[[scales.half]]
at = [5, 7]
seeds = [0, 1]

[[scales.paper]]
at = [5, 7]
seeds = [0, 1]

[[scales.paper]]
at = [9]
seeds = [0]
series = ["np-RNN"]

[paper]
source = "Fig. 9"
tolerance = 1000
at = [5, 7, 9]

[paper.bars]
IRNN = [8000, 500, 400]
np-RNN = [9400, 9000, 8000]

[[claims]]
says = "np-RNN is ahead of IRNN"
source = "section 9"
better = "np-RNN"
worse = ["IRNN"]
beyond = 500
at = [5, 7, 9]

[[claims]]
says = "IRNN fails"
source = "section 9"
better = "IRNN"
below = 7000
at = [5]

[[claims]]
says = "ours learns it"
source = "our own"
better = "ours"
above = 3100
at = [5]

[[claims]]
says = "np-RNN is ahead of both"
source = "our own"
better = "np-RNN"
worse = ["IRNN", "ours"]
at = [9]
"""
# Shares of the last iterates at 5; at 7 np-RNN's second run diverged, IRNN's have begun, ours has not.
LAST = {("IRNN", 5): (0.5, 0.7), ("np-RNN", 5): (0.9, 0.8), ("ours", 5): (0.3, 0.31), ("np-RNN", 7): (0.6, 0.9)}


def run(series: str, at: int, seed: int, last: float, state: State = "finished", updates: int = 100) -> Trained:
    """A run whose share grows evenly; a diverged one stops at 0.4 of its updates, one that has begun at half."""
    stop = {"finished": updates, "diverged": 4 * updates // 10, "not finished": updates // 2}[state]
    step = updates // 10
    evaluations = []
    for k in range(1, stop // step + 1):
        share = last * k / 10
        evaluations.append([k * step, 1 - share, 1 - share, share, 1 - share, share])
    name = f"{series}-{at}-s{seed}"
    return Trained(series, at, seed, name, name, state, stop, seed % 2, evaluations)


def record(experiment: Comparison, scale: Scale, runs: Sequence[Trained]) -> ComparisonRecord:
    env = {"torch": "2.13.0", "threads": 1, "locations": {"data": "/secret/place"}, "processor": "one"}
    return ComparisonRecord(
        experiment.key,
        experiment.text,
        scale,
        ["nprnn", "reproduce", "a b"],
        {**env, "threads": 2},
        headline="mse",
        baseline={"mse": 1 / 6, experiment.metric: 0.0784},
        columns=["valid mse", f"valid {experiment.metric}", "test mse", f"test {experiment.metric}"],
        envs=[env, {**env, "processor": "another"}],
        runs=list(runs),
    )


def half(text: str = TINY, ours: str = "ours") -> ComparisonFindings:
    """T = 5 is done, T = 7 is not, T = 9 stands in the paper alone."""
    experiment = parse_comparison("tiny", text)
    found = [run(name, at, seed, last) for (name, at), row in LAST.items() for seed, last in enumerate(row)]
    found = [run("np-RNN", 7, 1, 0.9, "diverged") if (r.at, r.seed) == (7, 1) else r for r in found]
    found += [run("IRNN", 7, seed, 0.2, "not finished") for seed in (0, 1)]
    found = [one._replace(series=ours) if one.series == "ours" else one for one in found]
    return conclude_comparison(record(experiment, "half", found), experiment)


def whole(key: str, scale: Scale, series: Sequence[str] = (), at: Sequence[int] = ()) -> ComparisonFindings:
    """An experiment of the package with every run of a scale, or of some series and values."""
    experiment = find_experiment(key)
    assert isinstance(experiment, Comparison)
    if series:
        kept = tuple(one for one in experiment.series if one.name in series)
        assert experiment.paper is not None
        paper = replace(experiment.paper, bars={name: experiment.paper.bars[name] for name in series})
        experiment = replace(experiment, series=kept, paper=paper, claims=experiment.claims[:1])
    found = {
        (one.name, value, seed): run(one.name, value, seed, (0.05 + 0.1 * k + 0.03 * seed) % 1, updates=1000)
        for batch in experiment.scales[scale]
        for k, one in enumerate(experiment.of_batch(batch))
        for value in batch.at
        for seed in batch.seeds
        if not at or value in at
    }
    return conclude_comparison(record(experiment, scale, list(found.values())), experiment)


def tables(page: Page, first: str) -> list[list[dict[str, str]]]:
    """The rows of all tables whose first column is of that name."""
    return [[dict(zip(rows[0], row, strict=True)) for row in rows[1:]] for rows in page.tables if rows[0][0] == first]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    return drawn(monkeypatch)


def heights(axes: Axes) -> list[float]:
    """Of the bars that are drawn."""
    patches = [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_y() == 0]
    return [patch.get_height() for patch in patches if patch.get_transform().contains_branch(axes.transData)]


# Numbers as words.


def test_numbers_have_the_decimals_of_what_is_counted() -> None:
    assert [amount(1234.5678, of) for of in (10_000, 100, 1)] == ["1,235", "1,234.57", "1,234.5678"]
    assert amount(-0.2, 10_000) == "0"
    assert amount(-3, 10_000, signed=True) == "−3"
    assert amount(3, 10_000, signed=True) == "+3"


def test_a_number_is_not_rounded_onto_its_bound() -> None:
    assert [amount(v, 10_000, 7000) for v in (7000.2, 6999.8, 7000)] == ["7,000.2", "6,999.8", "7,000"]


@given(st.integers(0, 10_000_000), st.integers(0, 10_000))
def test_a_number_is_told_on_the_side_it_lies_on(thousandths: int, bound: int) -> None:
    value = thousandths / 1000
    told = float(amount(value, 10_000, bound).replace(",", ""))
    assert (told > bound, told < bound) == (value > bound, value < bound)
    assert abs(told - value) <= 0.5


def test_bounds_of_claims_are_written_as_they_are_asked() -> None:
    lead, below, above, _ = parse_comparison("tiny", TINY).claims
    assert [bound_words(claim, 10_000) for claim in (lead, below, above)] == ["> 500", "< 7,000", "> 3,100"]
    assert bound_words(replace(above, below=4000.0), 10_000) == "> 3,100 and < 4,000"


# How much was run.


def test_what_stands_behind_each_value_is_told() -> None:
    findings = half()
    assert values(findings) == (5, 7, 9)
    assert [standing(findings, at).words for at in (5, 7, 9)] == ["n = 2", "n = 0 to 2 so far", "not run"]
    done, part, idle = (standing(findings, at) for at in (5, 7, 9))
    assert (done.so_far, part.so_far, idle.so_far) == (False, True, False)
    assert (part.unfinished, part.missing) == (2, 2)
    assert scale_words(findings) == "Scale half: T = 5 n = 2; T = 7 n = 0 to 2 so far; not run: T = 9."


def test_some_of_the_series_and_values_that_have_not_begun() -> None:
    assert scale_words(whole("fig4", "half")) == (
        "Scale half: T = 50 n = 3; T = 100 n = 3 (4 of 7 series); not run: T = 200."
    )
    experiment = parse_comparison("tiny", TINY)
    runs = [run("IRNN", 5, 0, 0.5, "not finished")]
    found = conclude_comparison(record(experiment, "half", runs), experiment)
    assert scale_words(found) == "Scale half: T = 5 begun; T = 7 not run yet; not run: T = 9."


# The page.


def test_both_forms_hold_the_same_tables_and_texts() -> None:
    markdown, html = both(half())
    assert markdown.tables == html.tables
    assert len(html.tables) == 5
    for tag in ("h1", "h2", "h3", "li"):
        assert markdown.texts[tag] == html.texts[tag], tag


def test_the_table_of_bars_has_every_number_and_seed() -> None:
    for page in both(half()):
        first, second = tables(page, "series")
        assert [(row["series"], row["n"], row["diverged"]) for row in first] == (
            [("IRNN", "2", "0"), ("np-RNN", "2", "0"), ("ours", "2", "0")]
        )
        assert first[1] == {
            "series": "np-RNN",
            "n": "2",
            "diverged": "0",
            "last iterate": "8,500 (8,000 to 9,000)",
            "paper": "9,400",
            "here less paper": "−900",
            "outcome": "PASS",
            "mean of the last tenth": "8,500 (8,000 to 9,000)",
            "chosen on validation": "8,500 (8,000 to 9,000)",
            "each seed's last iterate": "9,000, 8,000",
        }
        assert [first[0][key] for key in ("last iterate", "here less paper", "outcome")] == (
            ["6,000 (5,000 to 7,000)", "−2,000", "MISS"]
        )
        assert [first[2][key] for key in ("paper", "here less paper", "outcome")] == ["–", "–", "not in the paper"]
        begun, diverged, missing = second
        assert (diverged["n"], diverged["diverged"]) == ("2", "1")
        assert diverged["last iterate"] == "3,000 (0 to 6,000)"
        assert diverged["each seed's last iterate"] == "6,000, diverged"
        assert (begun["n"], begun["last iterate"], begun["outcome"]) == ("0 of 2", "begun", "begun")
        assert (missing["n"], missing["last iterate"]) == ("0 of 2", "not run")
        assert "Not run: T = 9." in page.texts["p"]
        assert page.texts["h3"][:2] == ["T = 5, n = 2", "T = 7, n = 0 to 2 so far"]


def test_the_answer_and_what_is_not_complete_stand_above_all() -> None:
    for page in both(half()):
        text = " ".join(page.texts["p"])
        assert "Experiment tiny, figure9. Scale half: T = 5 n = 2; T = 7 n = 0 to 2 so far; not run: T = 9." in text
        assert "NOT COMPLETE: 2 runs unfinished, 2 not begun." in text
        assert (
            "1 of 3 bars here are within 1,000 of the paper's so far; np-RNN, the paper's highest, gets 8,500 at T = 5 "
            "(paper 9,400), 3,000 at T = 7 (paper 9,000)." in text
        )
        assert page.texts["li"][:3] == [
            "T = 5 (n = 2), from the highest: np-RNN 8,500, IRNN 6,000, ours 3,050. The paper's order: np-RNN, IRNN.",
            "T = 7 (n = 0 to 2 so far), from the highest: np-RNN 3,000; none has ended of IRNN, ours. The paper's "
            "order: np-RNN, IRNN.",
            "4 claims, at the values that were run: 2 hold, 1 does not hold here, 1 was not run.",
        ]


def test_claims_are_told_with_number_bound_rival_and_seeds() -> None:
    for page in both(half()):
        verdicts, numbers = tables(page, "no.")
        assert [(row["here"], row["where"]) for row in verdicts] == [
            ("holds; 1 of 3 values run", "holds at T = 5; not run at T = 7, 9"),
            ("holds", "holds at T = 5"),
            ("does not hold here", "does not at T = 5"),
            ("not run", "not run at T = 9"),
        ]
        assert [tuple(row.values()) for row in numbers] == [
            ("1", "np-RNN less IRNN", "5", "+2,500", "> 500", "2", "4 of 4 pairs", "holds"),
            ("2", "IRNN", "5", "6,000", "< 7,000", "2", "1 of 2 runs", "holds"),
            ("3", "ours", "5", "3,050", "> 3,100", "2", "2 of 2 runs", "does not hold"),
        ]


def test_the_heading_counts_the_readings_that_stand_under_it() -> None:
    flattering = TINY.replace("of = 10_000", "of = 10_000\nflattering = true")
    bare = ("[settings]", "[settings]\nvalid_size = 0")
    for text, count in ((TINY, "three"), (flattering, "four"), (flattering.replace(*bare), "three")):
        for page in both(half(text)):
            assert f"The bars in {count} readings" in page.texts["h2"]
            columns = list(tables(page, "series")[0][0])
            assert len(columns) == {"three": 10, "four": 11}[count]


def test_the_terminal_tells_bars_as_the_page_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(findings_told, "console", Console(width=200))
    findings_told.tell_comparison(half())
    told = {cells[1].strip(): [cell.strip() for cell in cells[2:-1]] for cells in rows_told(capsys.readouterr().out)}
    assert told["np-RNN"] == ["8,500 (8,000 to 9,000) PASS", "3,000 (0 to 6,000) MISS", "–"]
    assert told["IRNN"] == ["6,000 (5,000 to 7,000) MISS", "2 begun", "–"]
    assert told["ours"] == ["3,050 (3,000 to 3,100)", "–", "–"]


def rows_told(text: str) -> list[list[str]]:
    return [line.split("│") for line in text.splitlines() if line.startswith("│")]


def test_what_is_whole_is_not_said_to_be_so_far() -> None:
    for page in both(whole("fig3", "paper")):
        text = " ".join(page.texts["p"] + page.texts["li"] + page.texts["h3"])
        assert "so far" not in text.replace("ended so far", "")
        assert "NOT COMPLETE" not in text
        assert len(tables(page, "series")) == 5
        assert "Some bars are of one seed" not in text


def test_quick_has_nothing_beside_it_and_says_so(figures: list[Figure]) -> None:
    findings = whole("fig3", "quick")
    for page in both(findings):
        text = " ".join(page.texts["p"])
        assert "Scale quick: a part" in text
        assert "Some bars are of one seed" in text
        assert "Highest here: np-RNN-mirror at T = 20 (8,500)" in text
        assert "a constant answer scores 784." in text
        assert "Scale quick, T = 20, 40, 60: updates 250000, eval_every 5000." in text
        assert all("paper" not in row for rows in tables(page, "series") for row in rows)
        assert len(tables(page, "no.")) == 1
    bars.bar_picture(findings)
    assert len(figures[0].axes) == 1
    words = " ".join(words_of(figures[0])).replace("\xa0", " ")
    assert "The paper has no bars at T = 20, 40, 60: ours alone." in words


def test_no_paper_and_nothing_ended(figures: list[Figure]) -> None:
    start = TINY.index("[paper]")
    text = TINY[:start] + TINY[TINY.index("[[claims]]") :]
    experiment = parse_comparison("tiny", text)
    runs = [run("IRNN", 5, 0, 0.5, "diverged"), run("np-RNN", 5, 0, 0.5)]
    findings = conclude_comparison(record(experiment, "half", runs), experiment)
    for page in both(findings):
        assert "Highest here so far: np-RNN at T = 5 (5,000)" in " ".join(page.texts["p"])
    bars.bar_picture(findings)
    assert "There is no figure of a paper to stand beside." in " ".join(words_of(figures[-1]))
    idle = conclude_comparison(record(experiment, "half", []), experiment)
    for page in both(idle):
        assert "No run has ended so far." in page.texts["p"]
    bars.bar_picture(idle)
    assert words_of(figures[-1]).count("not run") == 2
    assert curves.curve_picture(idle) is None


def test_what_was_run_how_to_redo_it_and_what_computed_it() -> None:
    for page in both(half()):
        text = " ".join(page.texts["p"])
        assert "Task addition: lr 0.01, cool_at (), updates 100, eval_every 10." in text
        assert "np-RNN: the paper's own" in page.texts["li"]
        assert any(item.startswith("ours (np-RNN-mirror): ") and "clip 5" in item for item in page.texts["li"])
        assert "made up" in page.texts["li"]
        assert page.texts["code"] == [f"{COMMAND}\n"] or page.texts["code"] == [COMMAND]
        (rows,) = tables(page, "what")
        assert {row["what"]: tuple(row.values())[1:] for row in rows} == {
            "processor": ("one", "another", "one"),
            "threads": ("1", "1", "2"),
            "torch": ("2.13.0", "2.13.0", "2.13.0"),
        }
        assert list(rows[0]) == ["what", "5 runs [1]", "5 runs [2]", "this page [3]"]
        assert "secret" not in str(page.tables)


HOSTILE = '<script>alert("x")</script> | a *b* `c` [d](e) \\ $f$ & ~~g~~ #1'


def test_a_stranger_s_text_does_no_harm(figures: list[Figure]) -> None:
    text = TINY
    for old in ('"A tiny one"', '"made up"', '"Fig. 9"', '"np-RNN is ahead of IRNN"', '"sequences of 10,000"'):
        text = text.replace(old, f"'''{HOSTILE}'''")
    text = text.replace('"ours"', "'''=1+<script>'''")
    findings = half(text, "=1+<script>")
    for page in both(findings):
        assert "script" not in page.tags
        assert page.texts["h1"] == [HOSTILE]
        assert HOSTILE in page.texts["li"]
        assert tables(page, "no.")[0][0]["claim"] == HOSTILE
        assert tables(page, "series")[0][2]["series"] == "=1+<script>"
    claims = rendered(reproduction_page([findings], {"tiny": {HOSTILE: f"because {HOSTILE}"}}))
    assert "script" not in claims.tags
    assert tables(claims, "claim")[0][0]["likeliest reason"] == f"because {HOSTILE}"
    assert "\n'=1+<script>," in comparison_csv(findings)["bars.csv"]
    bars.bar_picture(findings)
    curves.curve_picture(findings)
    for figure in figures:
        assert "=1+<script>" in words_of(figure)
        check(figure)


# The numbers behind.


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_parses_back_to_the_findings() -> None:
    findings = half()
    found = {name: read(text) for name, text in comparison_csv(findings).items()}
    all_bars = [(bar, reading) for row in findings.bars.values() for bar in row.values() for reading in READINGS]
    for (bar, reading), row in zip(all_bars, found["bars.csv"], strict=True):
        assert (row["series"], int(row["length"]), int(row["n"])) == (bar.series, bar.at, bar.n)
        assert row["reading"] == reading
        assert tuple(map(float, row["values by seed"].split())) == bar.values[reading]
        assert tuple(map(int, row["seeds"].split())) == bar.seeds
        if bar.n:
            assert float(row["mean"]) == statistics.fmean(bar.values[reading])
            assert float(row["low 95 %"]) <= float(row["mean"]) <= float(row["high 95 %"])
        else:
            # Nothing ended is no number, and not zero.
            assert (row["mean"], row["low 95 %"], row["unfinished"]) == ("", "", "2")
    claims = found["claims.csv"]
    assert [row["holds"] for row in claims] == ["true", "not run", "not run", "true", "false", "not run"]
    assert [row["number"] for row in claims] == ["2500.0", "", "", "6000.0", "3050.0", ""]
    evaluations = [(one, entry) for one in findings.record.runs for entry in one.evaluations]
    for (one, entry), row in zip(evaluations, found["curves.csv"], strict=True):
        assert (row["series"], int(row["seed"]), row["state"]) == (one.series, one.seed, one.state)
        assert [float(row[key]) for key in ("update", "training loss", "test within_0.04")] == [*entry[:2], entry[5]]


# The pictures.


def test_every_bar_and_seed_is_drawn_and_nothing_for_what_was_not_run(figures: list[Figure]) -> None:
    findings = half()
    bars.bar_picture(findings)
    paper, here = figures[0].axes
    assert heights(paper) == [8000, 9400, 500, 9000, 400, 8000]
    assert heights(here) == [6000, 8500, 3050, 3000]
    assert sorted(marks(here, "o")) == [3000, 3100, 5000, 6000, 7000, 8000, 9000]
    assert marks(here, "X") == [0]
    assert paper.get_ylim() == here.get_ylim() == (0, 10_000)
    words = words_of(figures[0])
    assert [word for word in words if word in ("✓", "▼", "▲")] == ["▼", "✓", "▼", "✓"]
    assert "▼▲" in words
    assert [words.count(word) for word in ("begun", "not run")] == [1, 3]
    assert {"PASS: within 1,000 of it", "diverged, counts 0", "not in the paper", "constant answer 784"} <= set(words)
    for axes in (paper, here):
        assert [line.get_ydata()[0] for line in axes.get_lines() if line.get_linestyle() == "--"] == [784]  # type: ignore[index]


def test_intervals_are_of_several_seeds_alone(figures: list[Figure]) -> None:
    findings = half()
    bars.bar_picture(findings)
    bars.bar_picture(whole("fig3", "quick"))
    two, one = (figure.axes[-1] for figure in figures)
    ends = {tuple(path.vertices[:, 1]) for c in two.collections for path in c.get_paths()}
    bar = findings.bars["np-RNN"][5]
    assert (bar.interval().low, bar.interval().high) in ends
    assert not one.collections
    assert "a seed; line: 95 % interval" in words_of(figures[0])
    assert "a seed" in words_of(figures[1])


def test_series_look_the_same_in_every_experiment_and_those_of_ours_apart() -> None:
    third, fourth = (looks(whole(key, "quick").experiment) for key in ("fig3", "fig4"))
    assert third.items() >= fourth.items()
    assert len(set(third.values())) == len(third) == 9
    assert {name for name, look in third.items() if look.hatch} == {"np-RNN-N2", "np-RNN-mirror"}
    assert {look.style for name, look in third.items() if not look.hatch} == {"-"}


@pytest.mark.parametrize("published", [True, False])
def test_two_dozen_series_all_look_different(published: bool) -> None:
    experiment = parse_comparison("tiny", TINY)
    names = [f"series {k}" for k in range(24)]
    assert experiment.paper is not None
    paper = replace(experiment.paper, bars={name: (1.0, 2.0, 3.0) for name in names if published})
    many = replace(experiment, series=tuple(Series(name, "IRNN") for name in names), paper=paper)
    found = list(looks(many).values())
    assert len(set(found)) == len({(look.colour, look.style) for look in found}) == 24


def test_the_median_counts_a_diverged_run_as_nothing_and_ends_where_all_have_been() -> None:
    findings = half()
    own = [one for one in findings.record.runs if (one.series, one.at) == ("np-RNN", 7)]
    points = dict(curves.median(findings, own))
    assert points[40] == pytest.approx(10_000 * statistics.fmean([0.6 * 0.4, 0.9 * 0.4]))
    assert points[50] == pytest.approx(10_000 * 0.6 * 0.5 / 2)
    begun = [run("IRNN", 7, 0, 0.2, "not finished"), run("IRNN", 7, 1, 0.4, "not finished", updates=60)]
    assert [update for update, _ in curves.median(findings, begun)] == [30]
    # A run that goes on does not pull those that have ended.
    assert curves.median(findings, [*own, begun[0]]) == curves.median(findings, own)
    assert curves.median(findings, []) == []


def test_the_curves_show_every_run_and_the_median(figures: list[Figure]) -> None:
    findings = half()
    curves.curve_picture(findings)
    first, second = figures[0].axes
    thin = [line for line in first.get_lines() if line.get_linewidth() == 0.6]
    drawn = {tuple(map(float, line.get_ydata())) for line in thin}  # type: ignore[union-attr]
    expected = {tuple(y for _, y in curves.curve(findings, one)) for one in findings.record.runs if one.at == 5}
    assert drawn == expected
    assert len(drawn) == 6
    assert len([line for line in first.get_lines() if line.get_linewidth() == 2.0]) == 3
    assert len(marks(second, "X")) == 1
    assert marks(second, "X") == [pytest.approx(3600)]
    words = " ".join(words_of(figures[0]))
    assert "T = 7, n = 0 to 2 so far" in words
    assert "Dots: how far a run is that has not ended." in words


def nothing() -> ComparisonFindings:
    experiment = parse_comparison("tiny", TINY)
    return conclude_comparison(record(experiment, "half", []), experiment)


def renamed(axis: str) -> ComparisonFindings:
    """Fig. 3 at half over another axis."""
    found = whole("fig3", "half")
    return conclude_comparison(found.record, replace(found.experiment, axis=axis))


def crowded() -> ComparisonFindings:
    """More values than there is room to name; some are not in the paper, one was not run."""
    experiment = parse_comparison("tiny", TINY.replace("at = [5, 7]\nseeds", f"at = {list(range(14))}\nseeds"))
    runs = [run(name, at, 0, 0.5) for at in range(13) for name in ("IRNN", "np-RNN", "ours")]
    return conclude_comparison(record(experiment, "half", runs), experiment)


SCENES: Mapping[str, Callable[[], ComparisonFindings]] = {
    "half": half,
    "fig3 at half": lambda: whole("fig3", "half", at=[150]),
    "fig3": lambda: whole("fig3", "paper"),
    "fig4 at half": lambda: whole("fig4", "half"),
    "quick": lambda: whole("fig3", "quick"),
    "one series": lambda: whole("fig3", "half", series=["np-RNN"]),
    "one value": lambda: whole("fig4", "quick"),
    "nothing": nothing,
    "a long name": lambda: renamed("hidden_size"),
    "too long a name": lambda: renamed("a setting of which no one can say in a few words what it is"),
    "many values": crowded,
}


@pytest.mark.parametrize("name", SCENES)
def test_pictures_tell_their_scale_and_no_word_lies_on_another(name: str, figures: list[Figure]) -> None:
    findings = SCENES[name]()
    bars.bar_picture(findings)
    assert (curves.curve_picture(findings) is None) is (name == "nothing")
    for figure in figures:
        assert scale_words(findings) in " ".join(words_of(figure)).replace("\xa0", " ")
        check(figure)


def test_values_that_are_no_number_are_left_out_of_the_curves() -> None:
    findings = half()
    one = findings.record.runs[0]
    blown = one._replace(evaluations=[*one.evaluations[:3], [40, 1.0, 1.0, 0.5, 1.0, math.nan]])
    assert [update for update, _ in curves.curve(findings, blown)] == [10, 20, 30]


# Many series: rows, the choice, medians.

NEAREST, DEFAULT = "np-RNN-N2, halves, in, norm", "np-RNN, uniform, hidden, norm"
Pick = Callable[[str, int, int], State | None]


def readings(state: Pick, scale: Scale = "paper", confirmed: Sequence[str] = ()) -> ComparisonFindings:
    """The readings of the package: the nearest gets 0.9 and more at every seed, on the validation set still more."""
    experiment = find_experiment("readings")
    assert isinstance(experiment, Comparison)
    if confirmed:
        more = Batch((200, 400), (3, 4), tuple(confirmed))
        experiment = replace(experiment, scales={**experiment.scales, "paper": (*experiment.scales["paper"], more)})
    runs = []
    for batch in experiment.scales[scale]:
        for k, series in enumerate(experiment.of_batch(batch)):
            for at in batch.at:
                for seed in batch.seeds:
                    last = 0.9 + 0.01 * seed if series.name == NEAREST else (0.05 + 0.11 * k + 0.03 * seed) % 0.8
                    found = state(series.name, at, seed)
                    runs += [run(series.name, at, seed, last, found, updates=1000)] if found else []
    for one in runs:
        one.evaluations[:] = [[u, loss, mse, share + 0.02, *test] for u, loss, mse, share, *test in one.evaluations]
    return conclude_comparison(record(experiment, scale, runs), experiment)


def complete(confirmed: Sequence[str] = ()) -> ComparisonFindings:
    return readings(lambda *_: "finished", confirmed=confirmed)


def half_way() -> ComparisonFindings:
    """T = 150 is done, but that one diverged; at T = 300 uniform is done, halves has begun, the rest has not."""

    def state(name: str, at: int, seed: int) -> State | None:
        if at == 150:
            return "diverged" if name == "np-RNN, martens, in, value" and seed == 1 else "finished"
        if name.startswith("np-RNN, uniform"):
            return "finished"
        return "not finished" if name.startswith("np-RNN, halves") else None

    return readings(state)


def thirteen(choose: tuple[int, ...] = (5, 7)) -> ComparisonFindings:
    """One series more than bars can show, nothing crossed; every third is not in the paper."""
    experiment = parse_comparison("tiny", TINY)
    names = [f"series {k}" for k in range(13)]
    assert experiment.paper is not None
    paper = replace(experiment.paper, bars={n: (5000.0 + k, 4000.0, 3000.0) for k, n in enumerate(names) if k % 3})
    series, batches = tuple(Series(name, "IRNN") for name in names), (Batch((5, 7), (0, 1)),)
    scales: dict[Scale, tuple[Batch, ...]] = {"half": batches, "paper": batches}
    experiment = replace(experiment, series=series, paper=paper, claims=(), scales=scales, choose=choose)
    runs = [run(n, at, s, 0.05 * k + 0.1 * s) for k, n in enumerate(names) for at in (5, 7) for s in (0, 1)]
    return conclude_comparison(record(experiment, "half", runs), experiment)


MANY: Mapping[str, Callable[[], ComparisonFindings]] = {
    "complete": complete,
    "confirmed": lambda: complete([NEAREST, DEFAULT]),
    "half way": half_way,
    "quick": lambda: readings(lambda *_: "finished", "quick"),
    "nothing": lambda: readings(lambda *_: None),
    "thirteen": thirteen,
}


@pytest.mark.parametrize("name", MANY)
def test_pictures_of_many_series_read_well(name: str, figures: list[Figure]) -> None:
    findings = MANY[name]()
    found = comparison_pictures(findings)
    assert set(found) == ({"bars"} if name in ("nothing", "thirteen") else {"bars", "curves"})
    assert len(figures) == len(found)
    for figure in figures:
        assert scale_words(findings) in " ".join(words_of(figure)).replace("\xa0", " ")
        check(figure)


def dots(axes: Axes, marker: str = "o") -> list[float]:
    """Counts of all markers of a kind, along the x axis."""
    lines = [line for line in axes.get_lines() if line.get_marker() == marker]
    return sorted(float(x) for line in lines for x in line.get_xdata())  # type: ignore[union-attr]


def uprights(axes: Axes) -> list[tuple[float, float]]:
    """Place and thickness of the upright lines of a panel's collections."""
    found = []
    for collection in axes.collections:
        if isinstance(collection, LineCollection):
            (thick,) = collection.get_linewidths()  # type: ignore[misc]
            for path in collection.get_paths():
                (x0, _), (x1, _) = path.vertices
                found += [(float(x0), float(thick))] if x0 == x1 else []
    return found


def test_rows_show_every_seed_mean_and_bar_of_the_paper(figures: list[Figure]) -> None:
    findings = half_way()
    rows.row_picture(findings)
    first, idle, third, *_ = figures[0].axes
    for axes, at in ((first, 150), (third, 300)):
        own = [row[at] for row in findings.bars.values() if at in row and row[at].n]
        alive = [v for bar in own for v, s in zip(bar.values[FINAL], bar.seeds, strict=True) if s not in bar.diverged]
        assert dots(axes) == pytest.approx(sorted(alive))
        assert sorted(x for x, thick in uprights(axes) if thick == 2) == pytest.approx(sorted(b.mean() for b in own))
        assert axes.get_xlim() == (0, 10_000)
    assert dots(first, "X") == [0]
    assert {x for x, thick in uprights(first) if thick == 1.4} == {9509}
    assert {x for x, thick in uprights(third) if thick == 1.4} == {8788}
    words = words_of(figures[0])
    passed = sum(bar.outcome == "PASS" for row in findings.bars.values() for bar in row.values())
    assert passed > 0
    assert words.count("✓") == passed + 1, "and one in the legend"
    assert not dots(idle)
    # Neighbours of which nothing was run share the words: three values, and a block of each family at T = 300.
    assert words.count("not run") == 3 + 2
    assert words.count("begun") == 1
    assert {"np-RNN", "np-RNN-N2", "schmidt", "clip_by", "T = 150", "n = 0 to 3 so far"} <= set(words)
    assert [words.count(word) for word in ("np-RNN", "uniform", "in", "value")] == [1, 2, 16, 16]


def test_rows_rank_and_tint_the_nearest(figures: list[Figure]) -> None:
    findings = complete()
    assert findings.ranking.nearest == NEAREST
    rows.row_picture(findings)
    words = words_of(figures[0])
    assert {str(k) for k in range(1, 33)} <= set(words)
    assert "nearest by the validation sets" in words
    bold = [text.get_text() for text in texts_of(figures[0]) if text.get_fontweight() == "bold"]
    assert {"1", "in", "norm"} <= set(bold)
    assert "2" not in bold
    rows.row_picture(thirteen(choose=()))
    assert not {"rank", "1", "nearest by the validation sets"} & set(words_of(figures[1]))


def test_curves_of_many_series_are_medians_by_family_and_value(figures: list[Figure]) -> None:
    findings = half_way()
    families.family_picture(findings)
    assert [len(axes.get_lines()) - 1 for axes in figures[0].axes] == [16, 8, 16, 0]
    words = words_of(figures[0])
    assert {"np-RNN, T = 150", "np-RNN-N2, T = 300", "uniform", "schmidt"} <= set(words)
    assert words.count("not run") == 1
    colours = {line.get_color() for line in figures[0].axes[0].get_lines()[1:]}
    assert len(colours) == 4


def test_the_page_ranks_by_validation_and_shows_the_test_set_beside_it() -> None:
    for page in both(complete([NEAREST, DEFAULT])):
        assert "Which reading is nearest" in page.texts["h2"]
        ranks = tables(page, "rank")[0]
        assert len(ranks) == 32
        # Validation has 0.02 more: 9300 against 9509 and 8788, n = 3 with 9000, 9100 and 9200 on the test set.
        assert tuple(ranks[0].values()) == ("1", NEAREST, "360", "9,300", "9,100", "3", "9,300", "9,100", "3")
        distances = [float(row["distance"].replace(",", "")) for row in ranks]
        assert distances == sorted(distances)
        (confirmed,) = [found for found in tables(page, "series") if "T" in found[0]]
        assert [(row["series"], row["T"], row["n"]) for row in confirmed] == (
            [(NEAREST, "200", "2"), (NEAREST, "400", "2"), (DEFAULT, "200", "2"), (DEFAULT, "400", "2")]
        )
        assert tuple(confirmed[0].values())[3:] == ("9,350", "9,465", "−115", "PASS")
        assert [row["outcome"] for row in confirmed[1:]] == ["PASS", "MISS", "MISS"]
        text = " ".join(page.texts["p"])
        assert f"nearest: {NEAREST}, on validation sets 360 from the paper's bars (mean of T = 150, 300)." in text
        assert f"{NEAREST}, the nearest, beside {DEFAULT}, the first series:" in text


def test_the_page_says_what_is_not_ranked_and_not_confirmed() -> None:
    for page in both(half_way()):
        assert len(tables(page, "rank")[0]) == 4
        text = " ".join(page.texts["p"])
        assert "Not complete, and so not ranked: 28 of 32 series." in text
        assert "nearest so far: np-RNN, uniform" in text
        assert "nothing confirms the choice so far." in text
        (lacking,) = [item for item in page.texts["li"] if item.startswith("No run has ended at T = 300: ")]
        assert lacking.count(";") == 27
        assert any("; none has ended of 28 series." in item for item in page.texts["li"])
    for page in both(readings(lambda *_: None)):
        assert "No run has ended at T = 150, 300: all series." in page.texts["li"]
        assert not tables(page, "rank")
    for page in both(readings(lambda *_: "finished", "quick")):
        assert "Scale quick chooses nothing: its runs are cut." in page.texts["p"]
        assert "Findings need the scales half or paper." in " ".join(page.texts["p"])


def test_a_page_without_claims_has_no_table_of_them() -> None:
    findings = complete()
    for page in both(findings):
        assert not tables(page, "no.")
        assert "claim" not in " ".join(text for texts in page.texts.values() for text in texts)
        assert page.texts["li"].count("np-RNN: normalised positive definite (Eq. 9)") == 1
        crossed = "marks uniform, halves, martens, schmidt; fan hidden, in; clip_by norm, value: 32 series"
        assert f"Each with every combination of {crossed}" in page.texts["li"]
    assert "claims.csv" not in comparison_csv(findings)
    assert "claim" not in reproduction_page([findings], {})


def test_many_series_that_were_not_crossed_have_no_curves_and_the_page_says_so() -> None:
    for page in both(thirteen()):
        assert "Curves of 13 series would hide one another: curves.csv has them." in page.texts["p"]
    for page in both(complete()):
        assert "would hide one another" not in " ".join(page.texts["p"])


def test_the_ranking_as_csv_has_every_seed() -> None:
    findings = complete()
    found = read(comparison_csv(findings)["ranking.csv"])
    all_near = [(one, near) for one in findings.ranking.ranked for near in one.near]
    for (one, near), row in zip(all_near, found, strict=True):
        assert (row["series"], int(row["length"]), float(row["distance"])) == (one.series, near.at, one.distance)
        assert tuple(map(float, row["on validation by seed"].split())) == near.values
    assert "ranking.csv" not in comparison_csv(half())


# The files.


def test_all_files_are_written_and_the_page_comes_first(tmp_path: Path) -> None:
    written = write_comparison(half(), tmp_path / "deep" / "er", ["nprnn", "reproduce", "a b"])
    names = ["report.html", "README.md", "bars.png", "curves.png", "bars.csv", "claims.csv", "curves.csv"]
    assert [path.name for path in written] == names
    for path in written[2:4]:
        assert path.read_bytes().startswith(PNG)
    page = rendered(written[1].read_text())
    assert page.texts["code"] == ["nprnn reproduce 'a b'\n"]
    assert page.links == ["bars.png", "curves.png", "bars.csv", "claims.csv", "curves.csv"]
    html = Page(written[0].read_text())
    assert all(link.startswith("data:") for link in html.links)
    assert html.tags.count("img") == 2
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write .*report\.html"):
        write_comparison(half(), tmp_path / "file", [])


# The claims of all comparisons.


def test_the_page_of_claims_has_numbers_and_reasons() -> None:
    findings = half()
    page = rendered(reproduction_page([findings], {"tiny": {"ours learns it": "too few updates"}}))
    assert page.texts["h3"] == ["A tiny one (figure9)"]
    (rows,) = tables(page, "claim")
    assert rows[0] == {
        "claim": "np-RNN is ahead of IRNN",
        "source": "section 9",
        "asked": "np-RNN less IRNN > 500",
        "here": "holds; 1 of 3 values run",
        "numbers": "T = 5 holds: +2,500 over IRNN (n = 2, 4 of 4 pairs agree); not run: T = 7, 9",
        "likeliest reason": "–",
    }
    assert [row["likeliest reason"] for row in rows] == ["–", "–", "too few updates", "–"]
    assert rows[3]["asked"] == "np-RNN less the best of IRNN, ours > 0"
    assert page.links == ["../results/tiny/README.md"]
    (bare,) = tables(rendered(reproduction_page([findings], {})), "claim")
    assert all("likeliest reason" not in row for row in bare)
    assert reproduction_page([], {}) == "Nothing is recorded yet."


def test_comparisons_are_found_where_they_belong(tmp_path: Path) -> None:
    findings = half()
    for folder in ("tiny", "tiny-quick"):
        findings.record.write(tmp_path / folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "record.json").write_text('{"kind": "planes", "key": "other"}')
    (found,) = comparisons_in(tmp_path)
    assert found.bars == findings.bars
    assert reasons_in(tmp_path, [found]) == {"tiny": {}}
    (tmp_path / "tiny" / "reasons.toml").write_text('"IRNN fails" = "it does"\n')
    assert reasons_in(tmp_path, [found]) == {"tiny": {"IRNN fails": "it does"}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[", "cannot read .*reasons.toml"),
        ('"IRNN fail" = "x"', "unknown claim 'IRNN fail'. Did you mean 'IRNN fails'"),
        ('"IRNN fails" = 3', "must be text, got 3"),
    ],
)
def test_reasons_that_cannot_be_meant_are_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "reasons.toml").write_text(text)
    with pytest.raises(DataError, match=told):
        reasons_in(tmp_path, [half()])


def test_a_damaged_record_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    for content in ("{", "[]"):
        (tmp_path / "tiny" / "record.json").write_text(content)
        with pytest.raises(RunError, match="is damaged"):
            comparisons_in(tmp_path)


def test_both_pages_are_rewritten_between_their_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, reproduction, readme = tmp_path / "results", tmp_path / "reproduction.md", tmp_path / "README.md"
    half().record.write(results / "tiny")
    page = (ROOT / "docs" / "reproduction.md").read_text()
    reproduction.write_text(page)
    readme.write_text((ROOT / "README.md").read_text())
    monkeypatch.setattr(sys, "argv", ["summary", str(readme), str(results), str(reproduction)])
    summary.main()
    changed = reproduction.read_text()
    assert "A tiny one" in changed
    assert changed.split("<!-- claims")[0] == page.split("<!-- claims")[0]
    assert changed.split("end of claims")[1] == page.split("end of claims")[1]
    summary.main()
    assert reproduction.read_text() == changed
    reproduction.write_text("no marks")
    with pytest.raises(DataError, match="needs the lines"):
        summary.main()


def test_the_pages_claims_are_those_of_the_records() -> None:
    page = (ROOT / "docs" / "reproduction.md").read_text()
    assert summary.with_claims(page, ROOT / "results") == page, "run make readme"
