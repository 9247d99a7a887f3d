"""Comparisons whose axis has values with names, without a validation set, and with curves of another metric."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from comparison_pages import both, check, drawn, table, words_of
from nprnn.cli import main
from nprnn.errors import ConfigError
from nprnn.experiments import catalogue, find_experiment
from nprnn.experiments.comparison import (
    FINAL,
    Comparison,
    ComparisonFindings,
    ComparisonRecord,
    Trained,
    conclude_comparison,
    parse_comparison,
    read_comparison_record,
)
from nprnn.experiments.comparison.axis import Axis, Value
from nprnn.experiments.spec import Scale
from nprnn.reporting.comparison import bars, comparison_csv, courses, curves, published
from nprnn.reporting.comparison.standing import scale_words, values
from nprnn.sweep import expand
from nprnn.training.readings import CHOSEN, LAST_TENTH

NAMED = """
kind = "comparison"
title = "Named values"
names = ["figure9"]
task = "addition"
axis = "marks"
metric = "within_0.04"
of = 100
counted = "answered within 0.04, in percent"
differs = ["made up"]
epoch = 20

[settings]
length = 4
train_size = 40
valid_size = 0
test_size = 50
hidden = 6
batch = 2
lr = 0.01
cool_at = []
updates = 40
eval_every = 10

[[values]]
name = "any"

[[values]]
name = "halved"
settings = { marks = "halves", updates = 80 }

[[series]]
name = "np-RNN"

[[series]]
name = "identity"
model = "IRNN"
settings = { clip = 5.0 }

[[scales.quick]]
at = ["halved"]
seeds = [0]
settings = { updates = 20 }

[[scales.paper]]
at = ["halved", "any"]
seeds = [0, 1]

[paper]
source = "nowhere"
tolerance = 10
at = ["any"]

[paper.bars]
np-RNN = [50]

[[curves]]
metric = "mse"
counted = "test error"
top = 0.5
source = "nowhere"
at = "halved"
ends = { np-RNN = 0.1 }
peaks = { np-RNN = 0.4 }

[[claims]]
says = "np-RNN is ahead"
source = "nowhere"
better = "np-RNN"
worse = ["identity"]
beyond = 5
at = ["any", "halved"]

[[published]]
name = "another"
kind = "plain RNN"
hidden = 7
epochs = 3
numbers = { any = 90, halved = 80.5 }
source = "elsewhere"
apart = "everything"

[[published]]
name = "gated"
numbers = { any = 99 }
source = "elsewhere"
"""


def named(text: str = NAMED) -> Comparison:
    return parse_comparison("named", text)


def made_up(experiment: Comparison, shares: dict[tuple[str, str], list[float]]) -> ComparisonFindings:
    """Runs as long as the file says, whose share and error end with these numbers, at twice the error half-way."""
    record = ComparisonRecord("named", experiment.text, "paper", [], {}, "mse", False, {"within_0.04": 0.08})
    record.columns = ["test mse", "test within_0.04"]
    for (series, at), found in shares.items():
        for seed, share in enumerate(found):
            updates = 80 if at == "halved" else 40
            rows = [[updates // 2, 0.1, 2 * (1 - share) / 4, share / 2], [updates, 0.1, (1 - share) / 4, share]]
            record.runs.append(Trained(series, at, seed, "run", f"{series}{at}{seed}", "finished", updates, 0, rows))
    return conclude_comparison(record, experiment)


def whole() -> ComparisonFindings:
    shares = {("np-RNN", "any"): [0.5, 0.7], ("identity", "any"): [0.5, 0.6]}
    return made_up(named(), {**shares, ("np-RNN", "halved"): [0.3, 0.2], ("identity", "halved"): [0.1, 0.1]})


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('at = ["halved"]', 'at = ["halfed"]', "Did you mean 'halved'"),
        ('at = ["halved"]', "at = [4]", "in quotes, such as 'any'"),
        ('name = "halved"', 'name = "any"', "different names"),
        ('at = ["any", "halved"]', 'at = ["some"]', "unknown value of marks 'some'"),
        ('at = ["any"]', 'at = ["none"]', "unknown value of marks 'none'"),
        ('at = "halved"', 'at = "some"', "unknown value of marks 'some'"),
        ("ends = { np-RNN = 0.1 }", "ends = { LSTM = 0.1 }", "unknown series 'LSTM'"),
        ("ends = { np-RNN = 0.1 }", 'ends = { np-RNN = "low" }', "must be a number, got 'low'"),
        ("top = 0.5", "top = 0.0", "top must be more than 0"),
        ("any = 90", "some = 90", "unknown value of marks 'some'"),
        ("any = 90", "any = 101", "from 0 to 100"),
        ('kind = "plain RNN"', 'kind = "plane RNN"', "kind"),
        ("epoch = 20", "epoch = -1", "epoch"),
        ('marks = "halves"', 'marcs = "halves"', "marcs"),
    ],
)
def test_names_that_do_not_fit_are_refused(old: str, new: str, told: str) -> None:
    assert old in NAMED
    with pytest.raises(ConfigError, match=told) as caught:
        named(NAMED.replace(old, new))
    assert "named.toml" in str(caught.value)


def test_numbers_and_names_are_not_mixed() -> None:
    with pytest.raises(ConfigError, match=r"a batch names values of marks in quotes.* got at = \['halved', 4\]"):
        named(NAMED.replace('at = ["halved"]', 'at = ["halved", 4]'))
    start, end = NAMED.index("[[values]]"), NAMED.index("[[series]]")
    with pytest.raises(ConfigError, match="values with names stand under"):
        named(NAMED[:start] + NAMED[end:].replace('at = ["halved"]', 'at = ["halved", 4]'))


def test_values_keep_their_order() -> None:
    axis = Axis("epochs", (Value("100"), Value("2")))
    assert axis.ordered(["2", "100", "2"]) == ["100", "2"]
    assert axis.words(["100", "2"]) == "100, 2 epochs"
    assert Axis("length").ordered([150, 20, 300]) == [20, 150, 300]
    assert Axis("length").words([150, 20]) == "length 150, 20"


def test_a_value_s_settings_go_over_the_experiment_s_and_a_cut_over_them() -> None:
    experiment = named()
    members = expand(experiment.sweep(experiment.scales["paper"][0]))
    found = [(m.task.marks, m.config.updates, m.config.model, m.config.clip, m.config.seed) for m in members]  # type: ignore[attr-defined]
    assert found == [
        (placed, updates, model, clip, seed)
        for placed, updates in (("halves", 80), ("uniform", 40))
        for model, clip in (("np-RNN", 1.0), ("IRNN", 5.0))
        for seed in (0, 1)
    ]
    cut = expand(experiment.sweep(experiment.scales["quick"][0]))
    assert {m.config.updates for m in cut} == {20}
    assert experiment.heading(experiment.scales["paper"][0]) == "named, halved, any marks"


def test_values_may_come_and_none_may_change() -> None:
    assert named().asks_the_same(named(NAMED + '\n[[values]]\nname = "more"\n'))
    assert not named(NAMED + '\n[[values]]\nname = "more"\n').asks_the_same(named())
    assert not named().asks_the_same(named(NAMED.replace("updates = 80", "updates = 90")))
    assert named().asks_the_same(named(NAMED.replace("any = 90", "any = 91"))), "what stands beside is not judged"


def test_without_a_validation_set_no_iterate_is_chosen() -> None:
    found = whole()
    assert found.readings == (FINAL, LAST_TENTH)
    assert found.at == ("any", "halved")
    assert found.bars["np-RNN"]["any"].values[FINAL] == pytest.approx((50, 70))
    with_valid = made_up(named(NAMED.replace("valid_size = 0", "valid_size = 9")), {("np-RNN", "any"): [0.5]})
    assert with_valid.readings == (FINAL, LAST_TENTH, CHOSEN)
    for page in both(found):
        assert "The bars in two readings" in page.texts["h2"]
        assert any("There is no validation set, as in the paper" in text for text in page.texts["p"])
        assert all("validation" not in name for table in page.tables for name in table[0])


def test_a_metric_that_runs_do_not_have_is_named() -> None:
    with pytest.raises(ConfigError, match=r"unknown metric 'mes'\. Did you mean 'mse'"):
        made_up(named(NAMED.replace('metric = "mse"', 'metric = "mes"')), {("np-RNN", "any"): [0.5]})


@pytest.mark.parametrize("name", ["within_0.04", "mse"])
def test_a_metric_that_runs_will_not_have_is_named_before_any_is_trained(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("named.toml").write_text(NAMED.replace(f'metric = "{name}"', f'metric = "{name}x"'))
    assert main(["reproduce", "named.toml", "--scale", "quick", "--workers", "1"]) == 2
    assert f"unknown metric '{name}x'. Did you mean '{name}'" in capsys.readouterr().err
    assert not list(Path("runs").rglob("config.json"))


def test_pages_have_words_for_values_with_names() -> None:
    findings = whole()
    assert values(findings) == ("any", "halved")
    assert scale_words(findings) == "Scale paper: any marks: n = 2; halved marks: n = 2."
    for page in both(findings):
        text = " ".join(words for texts in page.texts.values() for words in texts)
        assert "any marks (n = 2), from the highest: np-RNN 60.00, identity 55.00." in text
        assert "np-RNN, the paper's highest, gets 60.00 with any marks (paper 50.00)" in text
        assert "= any" not in text
        assert "at any" not in text
        assert page.texts["h3"][:2] == ["any marks, n = 2", "halved marks, n = 2"]
        [claim] = table(page, "no.", "where")
        # 5 is not more than 5, and 15 is.
        assert claim["where"] == "holds with halved marks; does not with any marks"
        assert [row["marks"] for row in table(page, "no.", "number")] == ["any", "halved"]
        assert "halved marks: marks halves, updates 80. An epoch is 20 updates." in text
    rows = list(csv.DictReader(io.StringIO(comparison_csv(findings)["bars.csv"])))
    assert {row["marks"] for row in rows} == {"any", "halved"}


def test_the_page_has_the_paper_s_readings_beside_the_curves_ends() -> None:
    for page in both(whole()):
        rows = table(page, "series", "paper's last")
        own = {(row["series"], row["marks"], row["seed"]): row for row in rows}
        assert len(own) == 8
        found = own["np-RNN", "halved", "1"]
        assert (found["last"], found["paper's last"], found["highest"], found["paper's highest"]) == (
            ("0.20", "0.10", "0.40", "0.40")
        )
        assert own["np-RNN", "any", "1"]["paper's last"] == own["identity", "halved", "1"]["paper's last"] == "–"


def test_the_page_has_what_was_published_and_what_is_not_comparable() -> None:
    for page in both(whole()):
        rows = table(page, "result", "not comparable")
        assert [row["result"] for row in rows] == ["np-RNN", "identity", "another (plain RNN)", "gated (other)"]
        assert tuple(rows[0].values()) == ("np-RNN", "6", "2, 4", "60.00 (n = 2)", "25.00 (n = 2)", "here", "–")
        assert tuple(rows[2].values())[1:] == ("7", "3", "90.00", "80.50", "elsewhere", "everything")
        assert tuple(rows[3].values())[1:] == ("–", "–", "99.00", "–", "elsewhere", "–")


def test_hidden_units_and_epochs_of_ours_are_those_of_the_runs() -> None:
    text = NAMED.replace("settings = { clip = 5.0 }", "settings = { clip = 5.0, hidden = 9 }")
    findings = made_up(named(text), {("np-RNN", "any"): [0.5, 0.7], ("identity", "any"): [0.5]})
    one, other, lost = findings.record.runs
    # One was cut to a quarter of what the file says, one has not come to its end, and one never will.
    cut = [one._replace(update=10), other._replace(state="not finished"), lost._replace(state="diverged")]
    findings.record.runs[:] = cut
    for page in both(conclude_comparison(findings.record, findings.experiment)):
        facts = [(row["result"], row["hidden"], row["epochs"]) for row in table(page, "result", "not comparable")]
        assert facts[:2] == [("np-RNN", "6", "0.5"), ("identity", "9", "–")]
    bare = named(NAMED.replace("epoch = 20\n", ""))
    for page in both(made_up(bare, {("np-RNN", "any"): [0.5]})):
        assert [row["epochs"] for row in table(page, "result", "not comparable")][:2] == ["–", "–"]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    return drawn(monkeypatch)


def test_pictures_of_values_with_names_read_well(figures: list[Figure]) -> None:
    findings = whole()
    bars.bar_picture(findings)
    curves.curve_picture(findings)
    courses.course_picture(findings, findings.experiment.courses[0])
    published.published_picture(findings)
    for figure in figures:
        assert scale_words(findings) in " ".join(words_of(figure)).replace("\xa0", " ")
        check(figure)
    columns, over, course, beside = figures
    assert {"any marks", "halved marks"} <= set(words_of(columns))
    assert "epochs" in words_of(over)
    assert max(x for line in over.axes[0].get_lines() for x in line.get_xdata()) == 2  # type: ignore[union-attr]
    assert "paper 0.1" in words_of(course)
    diamonds = [[line for line in axes.get_lines() if line.get_marker() == "D"] for axes in course.axes]
    assert [len(found) for found in diamonds] == [0, 1], "the paper's reading is of one value"
    assert [float(y) for y in diamonds[1][0].get_ydata()] == [0.1]  # type: ignore[union-attr]
    open_ones = [[line.get_xdata()[0] for line in axes.get_lines() if line.get_marker() == "D"] for axes in beside.axes]  # type: ignore[index]
    assert open_ones == [[90, 99], [80.5]]


def test_a_course_that_blew_up_has_no_median_and_a_mark(figures: list[Figure]) -> None:
    findings = whole()
    course = findings.experiment.courses[0]
    runs = [run for run in findings.record.runs if (run.series, run.at) == ("np-RNN", "any")]
    lost = [run._replace(state="diverged", evaluations=run.evaluations[:1]) for run in runs]
    assert [update for update, _ in curves.median(findings, [runs[0], *lost], course)] == [20]
    assert [update for update, _ in curves.median(findings, [runs[0], *lost])] == [20, 40]
    courses.course_picture(findings, course)
    assert [crosses(axes) for axes in figures[0].axes] == [[], []]
    # One stops after its first evaluation, one before it, one above all that is drawn.
    above = findings.record.runs[2]._replace(state="diverged", evaluations=[[20, 0.1, 1e9, 0.1]])
    findings.record.runs[:3] = [lost[0], lost[1]._replace(evaluations=[], update=10), above]
    courses.course_picture(conclude_comparison(findings.record, findings.experiment), course)
    assert [crosses(axes) for axes in figures[1].axes] == [[(1, 0.25), (0.5, course.top), (1, course.top)], []]
    check(figures[1])


def crosses(axes: Axes) -> list[tuple[float, float]]:
    """Where runs diverged."""
    lines = [line for line in axes.get_lines() if line.get_marker() == "X"]
    return [(float(x), float(y)) for line in lines for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]  # type: ignore[arg-type]


@pytest.mark.parametrize(("scale", "ends"), [("paper", [2, 4]), ("quick", [1, 1])])
def test_a_course_ends_where_its_runs_are_to_end(scale: Scale, ends: list[int], figures: list[Figure]) -> None:
    record = replace(whole().record, scale=scale)
    # Half an epoch was done; quick is cut to one, whatever a value says.
    begun = {"state": "not finished", "update": 10, "evaluations": [[10, 0.1, 0.2, 0.1]]}
    record.runs[:] = [run._replace(**begun) for run in record.runs]  # type: ignore[arg-type]
    experiment = named(NAMED.replace('at = ["halved"]\nseeds = [0]', 'at = ["halved", "any"]\nseeds = [0]'))
    courses.course_picture(conclude_comparison(record, experiment), experiment.courses[0])
    assert [axes.get_xlim() for axes in figures[0].axes] == [(0, end) for end in ends]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('name = "any"', 'name = "any"\nsettings = { valid_size = 9 }', "np-RNN at any of scale paper has one, and np"),
        ("clip = 5.0", "clip = 5.0, valid_size = 9", "identity at halved of scale quick has one, and np-RNN at halved"),
        ("{ updates = 20 }", "{ updates = 20, valid_size = 9 }", "np-RNN at halved of scale paper has none"),
    ],
)
def test_some_runs_with_a_validation_set_and_some_without_are_refused(old: str, new: str, told: str) -> None:
    assert old in NAMED
    with pytest.raises(ConfigError, match="all runs of a comparison have a validation set, or none") as caught:
        named(NAMED.replace(old, new))
    assert told in str(caught.value)


def test_a_validation_set_that_every_series_sets_is_one() -> None:
    each = NAMED.replace("valid_size = 0\n", "").replace("clip = 5.0", "clip = 5.0, valid_size = 0")
    without = named(each.replace('name = "np-RNN"', 'name = "np-RNN"\nsettings = { valid_size = 0 }'))
    assert not without.validates
    assert made_up(without, {("np-RNN", "any"): [0.5]}).readings == (FINAL, LAST_TENTH)
    assert named(NAMED.replace("valid_size = 0\n", "")).validates


def test_what_nothing_is_published_of_has_no_picture_of_it() -> None:
    bare = whole()
    bare = replace(bare, experiment=replace(bare.experiment, references=(), courses=()))
    assert published.published_picture(bare) is None
    for page in both(bare):
        assert not {"Beside published results", "Test error"} & set(page.texts["h2"])
    nothing = made_up(named(), {})
    assert courses.course_picture(nothing, nothing.experiment.courses[0]) is None


def test_the_command_trains_and_draws_values_with_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("named.toml").write_text(NAMED)
    assert main(["reproduce", "named.toml", "--workers", "1"]) == 0
    record = read_comparison_record(Path("results/named"))
    assert [(run.at, run.series, run.seed, run.update) for run in record.runs] == [
        (at, series, seed, updates)
        for at, updates in (("any", 40), ("halved", 80))
        for series in ("np-RNN", "identity")
        for seed in (0, 1)
    ]
    for run in record.runs:
        config = json.loads((Path("runs/reproduce/addition") / run.folder / "config.json").read_text())
        assert config["task_config"]["marks"] == ("halves" if run.at == "halved" else "uniform")
    names = {path.name for path in Path("results/named").iterdir()}
    assert {"bars.png", "curves.png", "mse.png", "published.png"} <= names


def test_fig5_is_the_paper_s_own_protocol() -> None:
    fig5 = find_experiment("table2")
    assert isinstance(fig5, Comparison)
    assert (fig5.key, fig5.names, fig5.validates, fig5.epoch) == ("fig5", ("fig5", "table2"), False, 60_000 // 16)
    half = {m.config.model: m for batch in fig5.scales["half"] for m in expand(fig5.sweep(batch))}
    assert list(half) == ["IRNN", "np-RNN", "np-RNN-N2"]
    # Section 3 of the facts.
    for model, rates, rule in (("np-RNN", [1e-4, 1e-5, 1e-6], "sgd"), ("IRNN", [1e-6] * 3, "rmsprop")):
        config, task = half[model].config, half[model].task
        assert [config.lr_at(epoch * 3750) for epoch in (0, 33, 66)] == pytest.approx(rates)
        assert (config.batch, config.updates, config.optimizer, config.clip) == (16, 375_000, rule, 0)
        assert task.valid_size == 0  # type: ignore[attr-defined]
    assert half["IRNN"].config.decay == 0.9
    assert [config.lr_at(32 * 3750) for config in (half["np-RNN"].config,)] == [1e-4]
    long = [m.config.updates for batch in fig5.scales["paper"][2:] for m in expand(fig5.sweep(batch))]
    assert long == [937_500, 1_875_000]
    assert fig5.paper is not None
    assert fig5.paper.bars == {"IRNN": (83, 93), "np-RNN": (92, 96.8)}
    assert (fig5.courses[0].ends, fig5.courses[0].peaks) == ({"IRNN": 0.37, "np-RNN": 0.28}, {"np-RNN": 2.5})


@pytest.mark.parametrize("key", ["fig3", "fig4", "readings", "t60"])
def test_files_without_names_read_as_they_did(key: str) -> None:
    experiment = catalogue()[key]
    assert isinstance(experiment, Comparison)
    assert (experiment.values, experiment.tune, experiment.references, experiment.courses, experiment.epoch) == (
        ((), None, (), (), 0)
    )
    assert all(isinstance(at, int) for batches in experiment.scales.values() for b in batches for at in b.at)
