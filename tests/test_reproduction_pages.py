"""What a selection experiment's pages and pictures say: the findings' numbers, verdicts, and nothing unknown."""

from __future__ import annotations

import base64
import csv
import io
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from html_pages import Page, rendered
from nprnn.errors import ConfigError, RunError
from nprnn.experiments import Experiment, find_experiment, parse_experiment
from nprnn.experiments.findings import Cell, Findings, Grid, Interval, Row, Verdict, Yardstick
from nprnn.reporting import drawing
from nprnn.reporting.blocks import (
    Bullets,
    Code,
    Files,
    Heading,
    Notice,
    Paragraph,
    Picture,
    Table,
    as_html,
    as_markdown,
)
from nprnn.reporting.heat_cells import ink_on
from nprnn.reporting.ruler import Ruler
from nprnn.reporting.selection import grids as selection_grids
from nprnn.reporting.selection import tested as selection_test
from nprnn.reporting.selection import write_selection
from nprnn.reporting.selection.page import selection_blocks, selection_pictures
from nprnn.reporting.selection.tables import selection_csv
from nprnn.reporting.selection.words import brief, difference, paper_setting, percent, points, printed, setting_words
from small_experiments import HEAD, claim

PNG = b"\x89PNG\r\n\x1a\n"
COMMAND = "nprnn reproduce tiny --data-dir DIR"

TINY = (
    HEAD
    + """title = "A tiny one"
names = ["table9"]
choose_by = ["main", "folds"]
differs = ["two models", "no data"]

[settings]

[grid]
lr = [1e-4, 1e-3]
dropout = [0.5]

[[arms]]
name = "main"
about = "the paper's division"
seeds = [0, 1]

[[arms]]
name = "folds"
about = "each half left out in turn"
seeds = [0]

[paper]
source = "Table 9"

[paper.np-RNN]
best = "1e-3; 0.5"
validation = 0.786
test = 0.752
grid = [0.38, 0.79]
"""
    + claim("np-RNN tests better than IRNN")
    + claim("np-RNN is not far below", beyond=-0.05)
    + claim("np-RNN is less touchy", arm="folds")
)


def cell(lr: float, accuracy: float | None, *by_seed: float, diverged: int = 0, missing: int = 0) -> Cell:
    entropy = None if accuracy is None else 0.25
    return Cell({"lr": lr, "dropout": 0.5}, accuracy, entropy, by_seed, diverged, missing)


def tiny(text: str = TINY) -> Findings:
    """Findings that were typed by hand."""
    experiment = parse_experiment("tiny", text)
    main, folds = experiment.arms
    grids = []
    for model, low in (("IRNN", 0.125), ("np-RNN", 0.5)):
        cells = (cell(1e-4, low, low, low), cell(1e-3, 0.9375, 0.875, 1.0))
        grids.append(Grid(main, model, cells, cells[1], 16, 4))
    for model, low in (("IRNN", 0.25), ("np-RNN", 0.625)):
        cells = (cell(1e-4, low, low), cell(1e-3, 0.75, 0.75))
        grids.append(Grid(folds, model, cells, cells[1], 48, 12))
    rows = [
        Row(
            model,
            arm,
            {"lr": 1e-3, "dropout": 0.5},
            Interval(0.9375, 0.8125, 1.0),
            Interval(test, test - 0.0625, test + 0.03125),
            (test - 0.03125, test + 0.03125),
            parameters,
            parameters / 1000,
            Interval(0.625, 0.5, 0.75),
            Interval(test - 0.625, 0.125, 0.375),
        )
        for arm in ("main", "folds")
        for model, test, parameters in (("IRNN", 0.84375, 1000), ("np-RNN", 0.90625, 4010))
    ]
    test, close, spread = experiment.claims
    verdicts = [
        Verdict(test, "main", Interval(0.0625, 0.03125, 0.09375), "shown"),
        Verdict(test, "folds", Interval(0.0625, -0.0004, 0.125), "open"),
        Verdict(close, "main", Interval(-0.125, -0.25, -0.0625), "contradicted"),
        Verdict(close, "folds", None, None),
        Verdict(spread, "folds", Interval(0.375, 0.25, 0.5), "shown"),
    ]
    yardsticks = [Yardstick("centroids", "of the training clips", Interval(0.6875, 0.5625, 0.8125), 320)]
    env = {"torch": "2.13.0", "threads": 1, "locations": {"store": "/secret/place"}, "command": ["nprnn"]}
    return Findings(experiment, "paper", (32, 16, 32), 8, 0.3125, grids, rows, yardsticks, verdicts, (12, 0, 0), env)


def many(experiment: Experiment, seeds: int = 3, least: float = 0.3, greatest: float = 0.99) -> Findings:
    """Findings of an experiment of any size, of numbers that follow from places in the grid."""
    grids, rows = [], []
    for arm, (place, model) in product(experiment.arms, enumerate(experiment.models)):
        values = list(product(*experiment.grid.values()))
        cells = []
        for k, chosen in enumerate(values):
            accuracy = least + (greatest - least) * k / (len(values) - 1) * (0.97 + 0.004 * place)
            setting = dict(zip(experiment.grid, chosen, strict=True))
            cells.append(Cell(setting, accuracy, 1 - accuracy, (accuracy,) * seeds, 0, 0))
        grids.append(Grid(arm, model, tuple(cells), cells[-1], 60, 10))
    for arm, grid in product(experiment.choose_by, grids):
        if grid.arm.name == arm and grid.chosen and grid.chosen.accuracy:
            value = grid.chosen.accuracy - 0.02
            found = Interval(value, value - 0.03, value + 0.02)
            shuffled, order = Interval(value - 0.01, value - 0.05, value), Interval(0.01, -0.01, 0.02)
            setting = grid.chosen.setting
            rows.append(Row(grid.model, arm, setting, found, found, (value,) * seeds, 62310, 1.0, shuffled, order))
    verdicts = [
        Verdict(claim, arm, Interval(0.01, -0.004, 0.02), "open")
        for claim in experiment.claims
        for arm in (experiment.choose_by if claim.kind == "test" else (claim.arm,))
    ]
    yardsticks = [Yardstick("logistic regression", "on the mean of a clip's frames", Interval(0.98, 0.97, 0.99), 5130)]
    counts = (sum(len(grid.cells) for grid in grids) * seeds, 0, 0)
    return Findings(experiment, "paper", (922, 60, 380), 55, 0.126, grids, rows, yardsticks, verdicts, counts, {})


def in_markdown(findings: Findings, pictures: Mapping[str, str]) -> str:
    return as_markdown(selection_blocks(findings, COMMAND), pictures)


def in_html(findings: Findings, pictures: Mapping[str, bytes]) -> str:
    return as_html(selection_blocks(findings, COMMAND), pictures)


def both(findings: Findings) -> list[Page]:
    return [rendered(in_markdown(findings, {})), Page(in_html(findings, {}))]


def table(page: Page, first: str) -> list[dict[str, str]]:
    """A table's rows by the name of its first column."""
    found = next(rows for rows in page.tables if rows[0][0] == first)
    return [dict(zip(found[0], row, strict=True)) for row in found[1:]]


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(PNG)
    width, height = struct.unpack(">II", png[16:24])
    return width, height


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures of the pictures that are made, besides their bytes."""
    kept: list[Figure] = []

    def keep(figure: Figure) -> bytes:
        kept.append(figure)
        return drawing.png(figure)

    for module in (selection_grids, selection_test):
        monkeypatch.setattr(module, "png", keep)
    return kept


# Numbers as words.


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.984, "98.4"), (0.9996, ">99.9"), (1.0, "100"), (0.0, "0"), (0.0004, "<0.1"), (0.126, "12.6"), (0.5, "50.0")],
)
def test_percents_say_all_and_none_of_nothing_else(share: float, words: str) -> None:
    assert percent(share) == words


@pytest.mark.parametrize(
    ("found", "bound", "words"),
    [
        ((0.013, -0.004, 0.03), 0.0, "+1.3 (−0.4 to +3.0)"),
        ((0.02, 0.0004, 0.04), 0.0, "+2.0 (+0.04 to +4.0)"),
        ((0.02, -0.00002, 0.04), 0.0, "+2.0 (−0.002 to +4.0)"),
        ((-0.02, -0.0497, 0.01), -0.05, "−2.0 (−4.97 to +1.0)"),
        ((0.0, 0.0, 0.0), 0.0, "0.0 (0.0 to 0.0)"),
    ],
)
def test_an_end_of_a_difference_is_never_rounded_onto_the_bound(
    found: tuple[float, float, float], bound: float, words: str
) -> None:
    assert difference(Interval(*found), bound) == words


@given(st.floats(-1, 1), st.sampled_from([0.0, -0.05]))
def test_a_difference_s_end_is_read_on_the_side_it_lies_on(end: float, bound: float) -> None:
    low = difference(Interval(end, end, end), bound).split("(")[1].split(" to ")[0]
    told = float(low.replace("−", "-")) / 100
    if abs(end - bound) > 1e-5:
        assert (told > bound - 1e-12) == (end > bound) or abs(told - bound) < 1e-12
        assert abs(told - bound) > 1e-12
    assert abs(told - end) <= 0.0005 + 1e-12


def test_settings_are_written_as_papers_do() -> None:
    assert setting_words({"lr": 1e-5, "dropout": 0.5}) == "lr 1e-5, dropout 0.5"
    assert [brief(v) for v in (5e-4, 1e-2, 0.00125, 0.25, 100.0, 0, True, "adam")] == (
        ["5e-4", "1e-2", "1.25e-3", "0.25", "100", "0", "true", "adam"]
    )
    assert points(-0.05) == "−5.0"
    assert [printed(v) for v in (0.59, 0.566, 0.803)] == ["59", "56.6", "80.3"]


@given(st.floats(1e-9, 0.09))
def test_a_brief_number_is_the_number(value: float) -> None:
    assert float(brief(value)) == value


def test_the_paper_s_setting_is_found_in_the_grid_or_not_told_of() -> None:
    experiment = find_experiment("table3")
    assert paper_setting(experiment, "np-RNN") == {"lr": 1e-3, "dropout": 0.5}
    assert paper_setting(experiment, "IRNN") == {"lr": 1e-2, "dropout": 0.5}
    assert paper_setting(find_experiment("skeletons"), "IRNN") is None
    for best in ("1e-3", "1e-3; half", "3e-3; 0.5", ""):
        odd = replace(experiment, paper={"IRNN": replace(experiment.paper["IRNN"], best=best)})
        assert paper_setting(odd, "IRNN") is None


# The page.


def test_both_forms_hold_the_same_tables_and_texts() -> None:
    markdown, html = both(tiny())
    assert markdown.tables == html.tables
    assert len(html.tables) == 5
    for tag in ("h1", "h2", "p", "li"):
        assert markdown.texts[tag] == html.texts[tag], tag


def test_the_verdicts_are_told_with_their_numbers_and_words() -> None:
    for page in both(tiny()):
        rows = [tuple(row.values())[1:] for row in table(page, "claim")]
        assert rows == [
            ("test, settings by main", "+6.2 (+3.1 to +9.4)", "0.0", "shown"),
            ("test, settings by folds", "+6.2 (−0.04 to +12.5)", "0.0", "open"),
            ("test, settings by main", "−12.5 (−25.0 to −6.2)", "−5.0", "contradicted"),
            ("test, settings by folds", "–", "−5.0", "not run"),
            ("validation, worst settings in folds", "+37.5 (+25.0 to +50.0)", "0.0", "shown"),
        ]
        assert any("5 verdicts: 2 shown, 1 contradicted, 1 open, 1 not run." in text for text in page.texts["p"])


def test_table_3_has_the_findings_numbers_and_the_paper_s_apart() -> None:
    for page in both(tiny()):
        rows = table(page, "model")
        assert [(row["model"], row["chosen by"]) for row in rows] == (
            [("IRNN", "main"), ("np-RNN", "main"), ("IRNN", "folds"), ("np-RNN", "folds")]
        )
        assert rows[1] == {
            "model": "np-RNN",
            "chosen by": "main",
            "setting": "lr 1e-3, dropout 0.5",
            "validation": "93.8 (81.2 to 100)",
            "test": "90.6 (84.4 to 93.8)",
            "each seed": "87.5, 93.8",
            "frames shuffled": "62.5 (50.0 to 75.0)",
            "order effect": "+28.1 (+12.5 to +37.5)",
            "parameters": "4,010",
            "times the least": "×4.0",
            "paper: setting": "1e-3; 0.5",
            "paper: validation": "78.6",
            "paper: test": "75.2",
        }
        assert [row["paper: test"] for row in rows] == ["–", "75.2", "–", "75.2"]
        yardsticks = [tuple(row.values()) for row in table(page, "without a network")]
        assert yardsticks == [
            ("centroids", "of the training clips", "68.8 (56.2 to 81.2)", "320"),
            ("constant answer", "the most frequent class", "31.2", "–"),
        ]


def test_the_ranges_of_all_arms_stand_beside_the_paper_s() -> None:
    for page in both(tiny()):
        rows = [tuple(row.values()) for row in page_ranges(page)]
        assert rows == [
            ("IRNN", "main", "12.5", "93.8", "2", "none", "lr 1e-3, dropout 0.5"),
            ("IRNN", "folds", "25.0", "75.0", "2", "none", "lr 1e-3, dropout 0.5"),
            ("np-RNN", "paper", "38", "79", "–", "–", "1e-3; 0.5"),
            ("np-RNN", "main", "50.0", "93.8", "2", "none", "lr 1e-3, dropout 0.5"),
            ("np-RNN", "folds", "62.5", "75.0", "2", "none", "lr 1e-3, dropout 0.5"),
        ]


def page_ranges(page: Page) -> list[dict[str, str]]:
    found = next(rows for rows in page.tables if rows[0][1] == "arm")
    return [dict(zip(found[0], row, strict=True)) for row in found[1:]]


def test_the_page_says_what_was_run_and_how_to_redo_it() -> None:
    for page in both(tiny()):
        text = " ".join(page.texts["p"])
        assert (
            "Experiment tiny (table9). Scale: paper; 12 runs finished, 0 diverged, 0 missing. Stands beside: Table 9."
            in text
        )
        assert "2 models (IRNN, np-RNN), each over the grid lr 1e-4, 1e-3 × dropout 0.5." in text
        assert "The runs of main with that setting are then tested, once." in text
        assert (
            "In it 32 clips train, 16 choose and 32 of 8 sources test; the constant answer scores 31.2 % on test."
            in text
        )
        assert "A source: the clips that have label and group in common." in text
        assert page.texts["li"][:4] == [
            "main (chooses, and its runs are tested): the paper's division. 2 seeds a setting; 16 clips of 4 sources "
            "judged.",
            "folds (chooses): each half left out in turn. 1 seed a setting; 48 clips of 12 sources judged.",
            "two models",
            "no data",
        ]
        assert page.texts["code"][0].strip() == COMMAND
        assert table(page, "what") == [{"what": "threads", "which": "1"}, {"what": "torch", "which": "2.13.0"}]


def test_what_the_paper_s_numbers_are_of_and_what_a_source_is_are_said_where_the_experiment_tells() -> None:
    findings = tiny()
    for name, value in (("paper_on", "101 classes"), ("unit_name", "video")):
        object.__setattr__(findings.experiment, name, value)
    for page in both(findings):
        assert table(page, "model")[1]["paper (101 classes): test"] == "75.2"
        assert page_ranges(page)[2]["arm"] == "paper (101 classes)"
        assert any("16 clips of 4 videos judged" in text for text in page.texts["li"])


def test_no_place_on_a_disk_is_told() -> None:
    findings = tiny()
    assert "/secret" not in in_markdown(findings, {}) + in_html(findings, {})


def test_a_partial_experiment_says_so_in_words() -> None:
    whole = tiny()
    main = whole.experiment.arms[0]
    blown = tuple(cell(lr, None, diverged=2) for lr in (1e-4, 1e-3))
    gaps = (cell(1e-4, None, missing=2), cell(1e-3, 0.5, 0.5, missing=1))
    row = replace(whole.rows[1], by_seed=(0.5,), shuffled=None, order=None)
    findings = replace(
        whole,
        grids=[Grid(main, "IRNN", blown, None, 16, 4), Grid(main, "np-RNN", gaps, gaps[1], 16, 4)],
        rows=[row],
        yardsticks=[],
        runs=(1, 4, 3),
    )
    for page in both(findings):
        (notice,) = [text for text in page.texts["p"] if text.startswith("NOT COMPLETE")]
        assert notice == (
            "NOT COMPLETE: 3 runs missing; nothing was run of folds; IRNN, to be chosen by main: runs are missing, so "
            "it is not tested; np-RNN, chosen by main: tested with 1 of 2 seeds."
        )
        assert any("Tested with one seed" in text for text in page.texts["p"])
        rows = {r["model"]: r for r in table(page, "model")}
        assert rows["IRNN"]["test"] == "runs are missing"
        assert rows["IRNN"]["parameters"] == "–"
        assert (rows["np-RNN"]["frames shuffled"], rows["np-RNN"]["order effect"]) == ("not run", "not run")
        ranges = {(r["model"], r["arm"]): (r["least"], r["greatest"], r["lost"]) for r in page_ranges(page)}
        assert ranges["IRNN", "main"] == ("0", "0", "2 diverged")
        assert ranges["np-RNN", "main"] == ("50.0", "50.0", "1 missing")
        assert any("folds (chooses): each half left out in turn. Not run." in text for text in page.texts["li"])
    assert all(size(png) > (1000, 300) for png in selection_pictures(findings).values())


def test_a_model_that_diverged_everywhere_is_told_of() -> None:
    whole = tiny()
    blown = tuple(cell(lr, None, diverged=2) for lr in (1e-4, 1e-3))
    grids = [replace(whole.grids[0], cells=blown, chosen=None), *whole.grids[1:]]
    findings = replace(whole, grids=grids, rows=whole.rows[1:])
    for page in both(findings):
        assert table(page, "model")[0]["test"] == "every setting diverged"
        assert any("IRNN, to be chosen by main: every setting diverged, so it is" in text for text in page.texts["p"])
    assert size(selection_pictures(findings)["grids"]) > (1000, 300)


def test_nothing_run_at_all_breaks_nothing() -> None:
    grids = [replace(grid, cells=(), chosen=None, clips=0, units=0) for grid in tiny().grids[:2]]
    nothing = replace(tiny(), grids=grids, rows=[], yardsticks=[], verdicts=[], runs=(0, 0, 12), env={})
    for page in both(nothing):
        assert any("nothing was run of main, folds" in text for text in page.texts["p"])
        assert not any("verdict" in text for text in page.texts["h2"])
    assert all(size(png) > (1000, 300) for png in selection_pictures(nothing).values())


def test_the_quick_scale_is_no_evidence_and_says_so() -> None:
    experiment = find_experiment("table3").at("quick")
    findings = replace(many(experiment, seeds=1), scale="quick")
    for page in both(findings):
        assert any(text.startswith("Scale quick: a part of the experiment") for text in page.texts["p"])
    assert "Scale quick" not in in_markdown(tiny(), {})


def test_without_a_paper_there_are_no_columns_of_it() -> None:
    findings = many(find_experiment("skeletons"))
    for page in both(findings):
        assert not any("paper" in name for name in page.tables[1][0])
        assert {row["arm"] for row in page_ranges(page)} == {"subject9", "subjects"}
        assert not any("No accuracy of ours" in text for text in page.texts["p"])


def test_html_needs_no_other_file_and_runs_nothing() -> None:
    pictures = {"test": PNG + b"1", "grids": PNG + b"2", "stray": PNG}
    page = Page(text := in_html(tiny(), pictures))
    assert "script" not in page.tags
    assert 'name="viewport"' in text
    inside = [link.partition(",")[2] for link in page.links if link.startswith("data:image/png;base64,")]
    assert [base64.b64decode(link) for link in inside] == [PNG + b"1", PNG + b"2"]
    assert all(link.startswith("data:") for link in page.links)
    tables = [base64.b64decode(link.partition(",")[2]).decode() for link in page.links if "text/csv" in link]
    assert tables == list(selection_csv(tiny()).values())


def test_markdown_links_pictures_by_relative_paths_and_leaves_out_those_it_has_not() -> None:
    text = in_markdown(tiny(), {"test": "pictures/the test.png"})
    assert "](pictures/the%20test.png)" in text
    assert text.count("![") == 1
    assert rendered(text).links == ["pictures/the%20test.png", "grids.csv", "test.csv", "verdicts.csv"]


HOSTILE = '<script>alert("x")</script> | a *b* `c` [d](e) \\ $f$ & ~~g~~ #1'


def test_a_stranger_s_text_does_no_harm() -> None:
    names = {
        '"A tiny one"': HOSTILE,
        '"two models"': f"1. {HOSTILE}",
        '"np-RNN tests better than IRNN"': f"- {HOSTILE}",
    }
    text = TINY
    for old, new in names.items():
        text = text.replace(old, f"'''{new}'''")
    for page in both(tiny(text)):
        assert "script" not in page.tags
        assert page.texts["h1"] == [HOSTILE]
        assert f"1. {HOSTILE}" in page.texts["li"]
        assert table(page, "claim")[0]["claim"] == f"- {HOSTILE}"


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=40))
def test_any_text_reads_the_same_in_both_forms(text: str) -> None:
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    blocks = [
        Heading("t", 1),
        Paragraph(text),
        Bullets([text]),
        Notice(text),
        Table((text, "b"), [(text, "c")], (text,)),
    ]
    page = rendered(as_markdown(blocks, {}))
    assert page.tables == [[[words, "b"], [words, "c"]]]
    if words:
        # Markdown puts a list's lone text into no paragraph of its own.
        assert page.texts["p"] == [words, words]
        assert page.texts["li"] == [words]
    html = Page(as_html([Paragraph(words)], {}))
    assert html.texts["p"] == [words]


def test_blocks_that_hold_fences_and_empty_lists() -> None:
    fenced = as_markdown([Code("a\n```\nb")], {})
    assert rendered(fenced).texts["code"] == ["a\n```\nb\n"]
    assert as_markdown([Picture("p", "alt", "caption"), Files({})], {}) == "\n"
    assert "img" not in Page(as_html([Picture("p", "alt", "caption")], {})).tags


# The numbers behind.


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_parses_back_to_the_numbers() -> None:
    findings = tiny()
    found = {name: read(text) for name, text in selection_csv(findings).items()}
    assert set(found) == {"grids.csv", "test.csv", "verdicts.csv"}
    cells = [(grid, c) for grid in findings.grids for c in grid.cells]
    for (grid, c), row in zip(cells, found["grids.csv"], strict=True):
        assert (row["arm"], row["model"], float(row["setting lr"])) == (grid.arm.name, grid.model, c.setting["lr"])
        assert float(row["validation accuracy"]) == c.accuracy
        assert tuple(map(float, row["accuracy by seed"].split())) == c.by_seed
        assert row["best"] == str(c is grid.chosen).lower()
        assert (int(row["clips"]), int(row["sources"])) == (grid.clips, grid.units)
    models, yardsticks, constant = found["test.csv"][:4], found["test.csv"][4:5], found["test.csv"][5]
    for tested, row in zip(findings.rows, models, strict=True):
        assert Interval(*(float(row[key]) for key in ("test", "test, low 95 %", "test, high 95 %"))) == tested.test
        assert tuple(map(float, row["test by seed"].split())) == tested.by_seed
        assert float(row["test less shuffled"]) == tested.order.value  # type: ignore[union-attr]
        assert row["paper's test"] == ("0.752" if tested.model == "np-RNN" else "")
    assert float(yardsticks[0]["test"]) == findings.yardsticks[0].test.value
    assert (constant["kind"], float(constant["test"])) == ("constant answer", findings.constant)
    assert [row["outcome"] for row in found["verdicts.csv"]] == ["shown", "open", "contradicted", "not run", "shown"]
    assert [row["difference"] for row in found["verdicts.csv"]] == ["0.0625", "0.0625", "-0.125", "", "0.375"]


def test_what_is_missing_is_empty_in_csv_and_not_zero() -> None:
    whole = tiny()
    cells = (cell(1e-4, None, diverged=2), cell(1e-3, None, missing=2))
    grid = Grid(whole.experiment.arms[0], "IRNN", cells, None, 16, 4)
    rows = read(selection_csv(replace(whole, grids=[grid], rows=[]))["grids.csv"])
    assert [(r["validation accuracy"], r["diverged"], r["missing"], r["best"]) for r in rows] == (
        [("", "2", "0", "false"), ("", "0", "2", "false")]
    )


# The pictures.


def test_pictures_are_pngs_of_a_page_s_width() -> None:
    pictures = selection_pictures(tiny())
    assert list(pictures) == ["test", "grids"]
    for png in pictures.values():
        width, height = size(png)
        assert width == 1500
        assert 600 < height < 2000


def test_arms_that_choose_nothing_have_a_picture_of_their_own() -> None:
    whole = tiny()
    experiment = replace(whole.experiment, choose_by=("main",))
    pictures = selection_pictures(replace(whole, experiment=experiment))
    assert list(pictures) == ["test", "grids", "arms"]


@pytest.mark.filterwarnings("error")
def test_a_script_that_the_font_lacks_draws_without_a_word() -> None:
    whole = tiny()
    pictures = selection_pictures(replace(whole, experiment=replace(whole.experiment, title="動作 $x$")))
    assert all(size(png) > (1000, 300) for png in pictures.values())


def test_grids_of_one_setting_and_of_three(figures: list[Figure]) -> None:
    experiment = find_experiment("table3").at("quick")
    for grid in ({"lr": [1e-3, 1e-2]}, {"lr": [1e-3, 1e-2], "dropout": [0.5, 0.9], "optimizer": ["sgd", "adam"]}):
        odd = replace(experiment, grid=grid)
        selection_grids.grid_picture(many(odd, seeds=1))
        check(figures[-1])
    assert {"0.5, sgd", "0.9, adam", "dropout, optimizer"} <= set(words_of(figures[-1]))


def test_all_files_are_written_and_the_page_comes_first(tmp_path: Path) -> None:
    written = write_selection(tiny(), tmp_path / "deep" / "er", ["nprnn", "reproduce", "a b"])
    names = ["report.html", "README.md", "test.png", "grids.png", "grids.csv", "test.csv", "verdicts.csv"]
    assert [path.name for path in written] == names
    page = rendered(written[1].read_text())
    assert page.texts["code"] == ["nprnn reproduce 'a b'\n"]
    assert all((written[1].parent / link).exists() for link in page.links)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write .*report\.html"):
        write_selection(tiny(), tmp_path / "file", ["nprnn"])


def test_an_arm_that_takes_some_models_lists_those_alone() -> None:
    whole = tiny()
    main, folds = whole.experiment.arms
    experiment = replace(whole.experiment, arms=(main, replace(folds, models=("np-RNN",))))
    findings = replace(whole, experiment=experiment, rows=[r for r in whole.rows if r != whole.rows[2]])
    for page in both(findings):
        assert [(r["model"], r["chosen by"]) for r in table(page, "model")] == (
            [("IRNN", "main"), ("np-RNN", "main"), ("np-RNN", "folds")]
        )
    assert size(selection_pictures(findings)["test"]) > (1000, 300)


def test_an_arm_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"unknown arm 'fold'\. Did you mean 'folds'"):
        selection_grids.grid_picture(tiny(), ["fold"])


def words_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in texts_of(figure)]


def texts_of(figure: Figure) -> list[Text]:
    return [t for t in figure.findobj(Text) if isinstance(t, Text) and t.get_text().strip() and t.get_visible()]


def test_the_heat_maps_show_every_number_and_mark(figures: list[Figure]) -> None:
    whole = tiny()
    main = whole.experiment.arms[0]
    odd = (cell(1e-4, None, diverged=2), cell(1e-3, 0.5, 0.5, missing=1))
    none = (cell(1e-4, None, missing=2), cell(1e-3, None, missing=2))
    grids = [Grid(main, "IRNN", odd, odd[1], 16, 4), Grid(main, "np-RNN", none, None, 16, 4)]
    selection_grids.grid_picture(replace(whole, grids=grids))
    words = words_of(figures[0])
    assert words.count("×2") == 1
    assert words.count("50.0*") == 1
    # Two in the map, one beside the words for it.
    assert words.count("–") == 3
    assert "1 seed a setting; 16 clips of 4 sources judged" in words
    assert "Validation accuracy in percent (not test accuracy), 2 settings a model. Scale: paper." in words
    assert {"the paper's choice", "k runs diverged", "some runs are missing", "no run has ended"} <= set(words)
    assert {"38", "79", "paper", "1 diverged of 2", "no run finished"} <= set(words)
    # Nothing is chosen before all runs have ended.
    assert "the best on validation so far" in words
    assert not any("chosen, " in text for text in words)


def test_the_test_picture_shows_every_number_and_verdict(figures: list[Figure]) -> None:
    selection_test.test_picture(tiny())
    words = words_of(figures[0])
    assert words.count("90.6 (84.4 to 93.8)") == words.count("84.4 (78.1 to 87.5)") == 2
    assert words.count("62.5 (50.0 to 75.0)") == 4
    assert words.count("75.2") == 2
    assert "68.8 (56.2 to 81.2)" in words
    assert "dashed: constant answer 31.2 %" in words
    assert "Test accuracy of the settings that validation chose. Scale: paper; 2 seeds; 32 clips of 8 sources." in words
    assert [w for w in words if w in ("shown", "open", "contradicted", "not run")] == (
        ["shown", "open", "contradicted", "not run", "shown"]
    )
    assert "+6.2 (−0.04 to +12.5)" in words


def long_one() -> Findings:
    """Eight models, twelve values by six, and names that nobody has room for."""
    experiment = find_experiment("table3")
    models = ("iRNN", "IRNN", "np-RNN", "LSTM", "np-RNN-N2", "np-tanhRNN", "oRNN", "nRNN")
    grid = {"lr": [1e-6 * 2**k for k in range(12)], "dropout": [0, 0.1, 0.3, 0.5, 0.7, 0.9]}
    arms = tuple(
        replace(arm, name=f"an-arm-whose-name-is-far-too-long-{arm.name}", about="words upon words " * 20, models=())
        for arm in experiment.arms[:2]
    )
    claims = tuple(replace(c, says=f"{c.says} " * 5, arm=c.arm and arms[1].name) for c in experiment.claims[1:4])
    names = tuple(arm.name for arm in arms)
    title = "A title that does not end " * 9
    longer = replace(experiment, models=models, grid=grid, arms=arms, choose_by=names, claims=claims, title=title)
    return many(longer)


def cases() -> Iterator[tuple[str, Findings]]:
    table3 = find_experiment("table3")
    yield "paper", many(replace(table3, arms=table3.arms[:2]))
    yield "near the top", many(table3.at("quick"), seeds=1, least=0.985, greatest=0.999)
    yield "no paper", many(find_experiment("skeletons"))
    yield "long", long_one()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, _ in cases()])
def test_no_words_overlap_run_out_or_are_too_small(name: str, figures: list[Figure]) -> None:
    selection_pictures(dict(cases())[name])
    assert len(figures) == 2
    for figure in figures:
        check(figure)


def test_no_words_overlap_in_the_smallest_case(figures: list[Figure]) -> None:
    selection_pictures(tiny())
    for figure in figures:
        check(figure)


def check(figure: Figure) -> None:
    """No text lies on another, beyond the figure's edge, or is below 9 points."""
    FigureCanvasAgg(figure).draw()
    texts = texts_of(figure)
    assert min(text.get_fontsize() for text in texts) >= 9
    assert 9.9 < figure.get_figwidth() < 10.1
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    width, height = figure.bbox.width, figure.bbox.height
    for words, box in boxes:
        assert box.x0 >= 0, words
        assert box.x1 <= width, words
        assert box.y0 >= 0, words
        assert box.y1 <= height, words
    for (one, a), (other, b) in combinations(boxes, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        # Boxes hold the room for letters that reach down, so lines may touch.
        assert across < 1 or down < 3, (one, other)


def test_a_constant_answer_far_away_is_told_of_beside_the_scale(figures: list[Figure]) -> None:
    selection_test.test_picture(many(find_experiment("table3").at("quick")))
    (axes,) = [axes for axes in figures[0].axes if axes.get_xlabel() == "test accuracy, %"]
    assert axes.get_xlim()[0] > 50
    assert "◂ constant answer 12.6 %" in words_of(figures[0])


def test_the_shade_begins_at_the_bound(figures: list[Figure]) -> None:
    selection_test.test_picture(tiny())
    axes = [axes for axes in figures[0].axes if axes.get_xlabel() == "difference, points"]
    assert len(axes) == 2
    lefts = [[float(c.get_datalim(a.transData).x0) for c in a.collections if c.get_facecolor().size] for a in axes]
    shades = [[left for left in row if left in (0.0, -5.0)] for row in lefts]
    assert shades == [[0.0, -5.0], [0.0]]


def test_ink_is_read_on_every_colour() -> None:
    assert ink_on((1.0, 1.0, 1.0)) == "black"
    assert ink_on((0.0, 0.0, 0.0)) == "white"
    assert (ink_on((0.46, 0.46, 0.46)), ink_on((0.47, 0.47, 0.47))) == ("white", "black")


def test_the_ruler_breaks_cuts_and_squeezes_to_the_room() -> None:
    ruler = Ruler()
    lines = ruler.lines("np-RNN tests better than IRNN (75.2 % against 67 %)", 1.6, 10)
    assert re.sub(r"\s", " ", " ".join(lines)) == "np-RNN tests better than IRNN (75.2 % against 67 %)"
    assert len(lines) > 1
    assert not any(line.startswith("%") for line in lines)
    assert all(ruler.width(line, 10) <= 1.6 for line in lines)
    assert ruler.cut("short", 5, 10) == "short"
    short = ruler.squeezed("a-name-that-differs-at-its-end-1", 1.2, 10)
    assert short.startswith("a-n")
    assert short.endswith("-1")
    assert ruler.width(short, 10) <= 1.2
    assert ruler.lines("word " * 50, 1, 10, most=2)[-1].endswith("…")
