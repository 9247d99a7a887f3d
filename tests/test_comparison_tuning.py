"""Tuning in a comparison: equal trials, what they choose, stops, and that a choice is made once, for fresh seeds."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from comparison_pages import both, check, drawn, table, words_of
from nprnn.cli import main
from nprnn.cli.sweeping import run_sweep
from nprnn.errors import ConfigError, RunError
from nprnn.experiments import RECORD, find_experiment
from nprnn.experiments.comparison import (
    Choice,
    Comparison,
    ComparisonFindings,
    ComparisonRecord,
    Trained,
    Trial,
    carry_out_comparison,
    conclude_comparison,
    parse_comparison,
    read_comparison_record,
)
from nprnn.experiments.comparison.trials import tuned
from nprnn.reporting.comparison import comparison_csv, comparison_pictures, trials
from nprnn.sweep import SweepFile, expand

TUNED = """
kind = "comparison"
title = "Tuned"
names = ["tuned-figure"]
task = "addition"
axis = "marks"
metric = "within_0.04"
of = 100
counted = "answered within 0.04, in percent"
differs = ["made up"]

[settings]
length = 4
train_size = 40
valid_size = 30
test_size = 50
hidden = 6
batch = 2
cool_at = []
updates = 40
eval_every = 10

[[values]]
name = "any"

[[values]]
name = "halved"
settings = { marks = "halves" }

[[series]]
name = "np-RNN"

[[series]]
name = "identity"
model = "IRNN"

[tune]
seeds = [7]
rule = "last"
settings = { updates = 20 }
quick = { updates = 10 }

[[tune.grid]]
optimizer = ["sgd"]
lr = [0.01, 0.1]

[[tune.grid]]
optimizer = ["adam"]
lr = [0.001]

[[scales.quick]]
at = ["any"]
seeds = [0]
series = ["np-RNN"]
settings = { updates = 20 }

[[scales.half]]
at = ["any"]
seeds = [0]

[[scales.paper]]
at = ["any", "halved"]
seeds = [0, 1]
"""
PLACES = [(at, series) for at in ("any", "halved") for series in ("np-RNN", "identity")]
SETTINGS = [{"optimizer": "sgd", "lr": 0.01}, {"optimizer": "sgd", "lr": 0.1}, {"optimizer": "adam", "lr": 0.001}]


def tiny(text: str = TUNED) -> Comparison:
    return parse_comparison("tuned", text)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("seeds = [7]", "seeds = [1, 7]", r"seeds \[1\] are tried .* fresh"),
        ("seeds = [7]", "seeds = [7, 7]", "each once"),
        ("seeds = [7]", "seeds = []", "seeds of its own"),
        ("seeds = [7]\n", "", "seeds is missing"),
        ('rule = "last"', 'rule = "best"', "rule"),
        ("valid_size = 30", "valid_size = 0", "valid_size must be more than 0"),
        ("quick = { updates = 10 }", "quick = { valid_size = 0 }", "valid_size must be more than 0"),
        ('name = "any"', 'name = "any"\nsettings = { valid_size = 0 }', "all runs of a comparison have a validation"),
        ("hidden = 6", "hidden = 6\nlr = 0.1", "'lr' is in"),
        ("settings = { updates = 20 }\nquick", "settings = { lr = 0.1 }\nquick", "'lr' is in"),
        ('model = "IRNN"', 'model = "IRNN"\nsettings = { lr = 0.1 }', "'lr' is in"),
        ("lr = [0.001]", 'lr = [0.001]\nmodel = ["IRNN"]', "'model' is in"),
        ("lr = [0.001]", "lr = 0.001", "each with a list"),
        ("lr = [0.001]", "lr = []", "each with a list"),
        ("lr = [0.01, 0.1]", "lr = [0.1, 0.1]", "each once"),
        ("lr = [0.01, 0.1]", "lrr = [0.01, 0.1]", "lrr"),
    ],
)
def test_trials_that_would_not_be_fair_are_refused(old: str, new: str, told: str) -> None:
    assert old in TUNED
    with pytest.raises(ConfigError, match=told) as caught:
        tiny(TUNED.replace(old, new, 1))
    assert "tuned.toml" in str(caught.value)


def test_every_series_has_the_same_trials_at_every_value() -> None:
    members = expand(tiny().trials("paper"))
    found = [(m.task.marks, m.config.model, m.config.optimizer, m.config.lr) for m in members]  # type: ignore[attr-defined]
    assert found == [
        (marks, model, setting["optimizer"], setting["lr"])
        for marks in ("uniform", "halves")
        for model in ("np-RNN", "IRNN")
        for setting in SETTINGS
    ]
    assert {(m.config.seed, m.config.updates, m.config.withhold_test) for m in members} == {(7, 20, True)}
    assert {m.config.updates for m in expand(tiny().trials("quick"))} == {10}
    assert [tiny().count(scale) for scale in ("quick", "half", "paper")] == [3 + 1, 6 + 2, 12 + 8]
    with pytest.raises(ConfigError, match="tunes nothing"):
        find_experiment("fig3").trials("paper")  # type: ignore[union-attr]


def test_one_table_of_a_grid_is_crossed() -> None:
    start, end = TUNED.index("[[tune.grid]]"), TUNED.index("[[scales.quick]]")
    one = TUNED[:start] + "[tune.grid]\nlr = [0.01, 0.1]\nclip = [0.5, 1.0]\n" + TUNED[end:]
    tune = tiny(one).tune
    assert tune is not None
    assert tune.grid == tuple({"lr": lr, "clip": clip} for lr in (0.01, 0.1) for clip in (0.5, 1.0))


def carry_out(place: Path, train: object, text: str = TUNED, scale: str = "paper") -> tuple[ComparisonRecord, int]:
    return carry_out_comparison(
        tiny(text),
        place / "runs",
        place / "kept",
        place / "out",
        scale=scale,  # type: ignore[arg-type]
        train=train,  # type: ignore[arg-type]
        tell=print,
    )


def sweep(file: SweepFile, runs: Path, without: frozenset[str]) -> int:
    return run_sweep(file, runs, 1, without=without)


def nothing(file: SweepFile, runs: Path, without: frozenset[str]) -> int:
    raise AssertionError(f"{file.path} was trained")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """One that was carried out, not to be written to; and what the record held when each sweep began."""
    place, seen = tmp_path_factory.mktemp("tuned"), []

    def look(file: SweepFile, runs: Path, without: frozenset[str]) -> int:
        path = place / "out" / RECORD
        there = read_comparison_record(place / "out") if path.exists() else None
        seen.append(f"{file.path}: {len(there.choices) if there else None} choices")
        return sweep(file, runs, without)

    _, status = carry_out(place, look)
    assert status == 0
    return place, seen


@pytest.fixture
def copy(done: tuple[Path, list[str]], tmp_path: Path) -> Path:
    """One to write to; its runs are gone."""
    shutil.copytree(done[0] / "out", tmp_path / "out")
    return tmp_path


def test_all_choices_are_written_before_the_first_run_that_is_compared(done: tuple[Path, list[str]]) -> None:
    assert done[1] == ["tuned, trials: None choices", "tuned, any, halved marks: 4 choices"]


def test_trials_never_read_the_test_set_and_the_best_is_run_with_fresh_seeds(done: tuple[Path, list[str]]) -> None:
    place, _ = done
    record = read_comparison_record(place / "out")
    assert [(t.run.at, t.run.series, t.setting) for t in record.trials] == [(*p, s) for p in PLACES for s in SETTINGS]
    assert all(column.startswith("valid ") for column in record.trial_columns)
    assert any(column.startswith("test ") for column in record.columns)
    chosen = {}
    for place_of, choice in zip(PLACES, record.choices, strict=True):
        assert (choice.at, choice.series) == place_of
        own = [t.run for t in record.trials if (t.run.at, t.run.series) == place_of]
        last = [100 * record.evaluations(run, trial=True)[-1]["valid"]["within_0.04"] for run in own]
        assert choice.scores == pytest.approx(last)
        assert choice.setting == SETTINGS[last.index(max(last))]
        chosen[place_of] = choice.setting
    assert len(record.runs) == 8
    for run in record.runs:
        config = json.loads((place / "runs" / run.folder / "config.json").read_text())["train_config"]
        assert {name: config[name] for name in ("optimizer", "lr")} == chosen[run.at, run.series]
        assert (config["updates"], config.get("withhold_test", False), run.seed in (0, 1)) == (40, False, True)
    for trial in record.trials:
        lines = (place / "runs" / trial.run.folder / "metrics.jsonl").read_text().splitlines()
        assert all("test" not in json.loads(line) for line in lines)
    assert not (place / "kept").exists()


def test_a_metric_that_trials_will_not_have_is_named_before_the_first(tmp_path: Path, copy: Path) -> None:
    misspelt = TUNED.replace('metric = "within_0.04"', 'metric = "within_0.4"')
    with pytest.raises(ConfigError, match=r"unknown metric 'within_0\.4'\. Did you mean 'within_0\.04'"):
        carry_out(tmp_path / "fresh", nothing, misspelt)
    # So is one of a record whose trials ended before anybody looked.
    record = read_comparison_record(copy / "out")
    record.experiment, record.choices, record.runs, record.columns = misspelt, [], [], []
    record.write(copy / "out")
    with pytest.raises(ConfigError, match="unknown metric"):
        carry_out(copy, nothing, misspelt)


def test_what_the_record_has_is_not_tried_again(copy: Path) -> None:
    before = read_comparison_record(copy / "out")
    record, status = carry_out(copy, nothing)
    assert status == 0
    assert (record.trials, record.choices, record.runs) == (before.trials, before.choices, before.runs)


def test_a_second_try_with_other_choices_is_refused(copy: Path) -> None:
    record = read_comparison_record(copy / "out")
    first = record.choices[0]
    # Another setting of the grid gets all right.
    k = next(k for k, setting in enumerate(SETTINGS) if setting != first.setting)
    column = 2 + record.trial_columns.index("valid within_0.04")
    record.trials[k].run.evaluations[-1][column] = 1.5
    record.write(copy / "out")
    with pytest.raises(RunError, match="Test sets are read once for a choice"):
        carry_out(copy, nothing)
    # So is another grid or rule, which would lead to others.
    for old, new in (("lr = [0.001]", "lr = [0.002]"), ('rule = "last"', 'rule = "last tenth"')):
        with pytest.raises(RunError, match="another version"):
            carry_out(copy, nothing, TUNED.replace(old, new))


def test_a_choice_without_its_trials_is_refused(copy: Path) -> None:
    record = read_comparison_record(copy / "out")
    record.trials = []
    record.write(copy / "out")
    with pytest.raises(RunError, match="its trials have not ended"):
        carry_out(copy, None)


def test_more_values_are_tuned_when_a_larger_scale_asks_for_them(tmp_path: Path) -> None:
    record, status = carry_out(tmp_path, sweep, scale="half")
    assert status == 0
    assert [(c.at, c.series) for c in record.choices] == PLACES[:2]
    half = {run.identity for run in record.runs}
    record, status = carry_out(tmp_path, sweep)
    assert status == 0
    assert [(c.at, c.series) for c in record.choices] == PLACES
    assert len(record.trials) == 12
    assert half < {run.identity for run in record.runs}


def test_stopped_trials_are_kept_and_any_clone_goes_on(tmp_path: Path, copy: Path) -> None:
    stopped, begun = tmp_path / "stopped", []

    def stop(file: SweepFile, runs: Path, without: frozenset[str]) -> int:
        """What a sweep leaves that was stopped after three trials, the last of them half-way."""
        for k, member in enumerate(expand(file)[:3]):
            words = (
                f"train addition --preset none --out {runs} --length 4 --train-size 40 --valid-size 30 --test-size 50"
            )
            words += f" --hidden 6 --batch 2 --updates 20 --eval-every 10 --seed 7 --model {member.config.model}"
            words += f" --optimizer {member.config.optimizer} --lr {member.config.lr} --withhold-test --cool-at"
            begun.append(main([*words.split(), *(["--stop-after", "10"] if k == 2 else [])]))
        return 130

    record, status = carry_out(stopped, stop)
    assert (status, begun) == (130, [0, 0, 0])
    assert [t.run.state for t in record.trials] == ["finished", "finished", "not finished"]
    assert (record.choices, record.runs) == ([], [])
    assert [path.name for path in (stopped / "kept").iterdir()] == [record.trials[2].run.folder]
    # Collecting chooses nothing before all has ended, and compares nothing.
    record, status = carry_out(stopped, None)
    assert (status, record.choices, record.runs) == (0, [], [])
    shutil.rmtree(stopped / "runs")
    record, status = carry_out(stopped, sweep)
    assert status == 0
    assert not (stopped / "kept").exists()
    whole = read_comparison_record(copy / "out")
    assert [t.run.identity for t in record.trials] == [t.run.identity for t in whole.trials]
    assert [c.setting for c in record.choices] == [c.setting for c in whole.choices]
    assert [r.identity for r in record.runs] == [r.identity for r in whole.runs]


def test_a_trial_that_fails_stops_what_follows(tmp_path: Path) -> None:
    def fail(file: SweepFile, runs: Path, without: frozenset[str]) -> int:
        assert "trials" in str(file.path)
        return 1

    record, status = carry_out(tmp_path, fail)
    assert status == 1
    assert (record.trials, record.choices, record.runs) == ([], [], [])


def made_up(scores: dict[tuple[str, str, int, int], float | None], text: str = TUNED) -> ComparisonFindings:
    """A record of trials: value, series, place in the grid and seed to the last score, None where it diverged."""
    record = ComparisonRecord("tuned", text, "paper", [], {}, "mse", False, {"within_0.04": 0.08})
    record.trial_columns = ["valid mse", "valid within_0.04"]
    for (at, series, k, seed), score in scores.items():
        rows = [] if score is None else [[10, 0.1, 0.1, 1.0], [20, 0.1, 0.1, score / 100]]
        state = "diverged" if score is None else "finished"
        run = Trained(series, at, seed, "run", f"{at}{series}{k}{seed}", state, 20, 0, rows)  # type: ignore[arg-type]
        record.trials.append(Trial(dict(tiny(text).tune.grid[k]), run))  # type: ignore[union-attr]
    return conclude_comparison(record, tiny(text))


def test_the_greatest_score_is_chosen_and_of_equals_the_first() -> None:
    scores: dict[tuple[str, str, int, int], float | None] = {}
    for k, (a, b, c) in enumerate(zip((50, 60, 60), (None, None, None), (None, 10, 5), strict=True)):
        scores |= {("any", "np-RNN", k, 7): a, ("any", "identity", k, 7): b, ("halved", "np-RNN", k, 7): c}
    scores["halved", "identity", 0, 7] = 90
    first, lost, other, part = made_up(scores).tuned
    assert first.choice == Choice("np-RNN", "any", SETTINGS[1], pytest.approx([50, 60, 60]))
    assert lost.choice == Choice("identity", "any", SETTINGS[0], [0, 0, 0]), "all diverged: the first of the grid"
    assert [tried.diverged for tried in lost.tried] == [1, 1, 1]
    assert other.chosen is other.tried[1]
    assert part.chosen is None
    assert part.choice is None
    assert [tried.score for tried in part.tried] == [pytest.approx(90), None, None]


def test_a_trial_that_diverged_counts_nothing_in_the_mean_of_seeds() -> None:
    text = TUNED.replace("seeds = [7]", "seeds = [7, 8]")
    scores: dict[tuple[str, str, int, int], float | None] = {}
    for k, pair in enumerate(((90, None), (50, 48), (10, 10))):
        scores |= {("any", "np-RNN", k, seed): score for seed, score in zip((7, 8), pair, strict=True)}
    found = made_up(scores, text).tuned[0]
    assert [tried.score for tried in found.tried] == pytest.approx([45, 49, 10])
    assert found.choice is not None
    assert found.choice.setting == SETTINGS[1]
    del scores["any", "np-RNN", 2, 8]
    assert made_up(scores, text).tuned[0].choice is None, "one seed of a setting has not ended"


def test_the_last_tenth_is_read_where_it_is_asked_for() -> None:
    text = TUNED.replace('rule = "last"', 'rule = "last tenth"')
    findings = made_up({("any", "np-RNN", 0, 7): 50}, text)
    [trial] = findings.record.trials
    trial.run.evaluations[:] = [[k, 0.1, 0.1, k / 100] for k in range(1, 21)]
    scores = [tuned(findings.record, tiny(found))[0].tried[0].score for found in (TUNED, text)]
    assert scores == pytest.approx([20, 19.5])


def some() -> ComparisonFindings:
    """np-RNN's trials with any marks, one diverged; the identity's have not all ended; none with halved marks."""
    scores: dict[tuple[str, str, int, int], float | None] = {
        ("any", "np-RNN", k, 7): (30, None, 70)[k] for k in (0, 1, 2)
    }
    return made_up({**scores, ("any", "identity", 1, 7): 40})


def test_the_page_has_every_score_and_choice() -> None:
    for page in both(some()):
        assert "How settings were chosen" in page.texts["h2"]
        text = " ".join(page.texts["p"])
        assert "3 trials, of the same 3 settings (sgd lr 0.01, sgd lr 0.1, adam lr 0.001), with the seed 7" in text
        assert "its last evaluation on the validation set; one that diverged scores 0" in text
        first, second = table(page, "series", "chosen")
        assert tuple(first.values()) == ("np-RNN", "adam lr 0.001", "0.00 to 70.00", "30.00", "diverged", "70.00")
        assert (second["chosen"], second["sgd lr 0.1"], second["sgd lr 0.01"]) == (
            "not all trials have ended",
            "40.00",
            "–",
        )
    rows = list(csv.DictReader(io.StringIO(comparison_csv(some())["trials.csv"])))
    assert len(rows) == 12
    assert [row["chosen"] for row in rows[:3]] == ["false", "false", "true"]
    assert (rows[1]["score"], rows[1]["diverged"], rows[1]["setting lr"]) == ("0.0", "1", "0.1")
    assert (rows[3]["score"], rows[3]["complete"]) == ("", "false")


def test_the_strips_show_every_score(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = drawn(monkeypatch)
    trials.trial_picture(some())
    check(figures[0])
    count = Counter(words_of(figures[0]))
    assert (count["30.0"], count["70.0"], count["40.0"], count["×"], count["–"]) == (1, 1, 1, 1, 8)
    assert {"any marks", "halved marks", "lr 0.001", "adam"} <= set(count)
    assert len(figures[0].axes) == 4, "a block a value, and the legend's two"
    bare = some()
    assert trials.trial_picture(replace(bare, experiment=replace(bare.experiment, tune=None))) is None
    assert "trials" in comparison_pictures(some())


def test_the_command_tunes_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tuned.toml").write_text(TUNED)
    words = ["reproduce", "tuned.toml", "--scale", "quick", "--workers", "1"]
    assert main(words) == 0
    out = Path("results/tuned-quick")
    record = read_comparison_record(out)
    assert (len(record.trials), len(record.choices), len(record.runs)) == (3, 1, 1)
    assert {trial.run.update for trial in record.trials} == {10}
    page = (out / "README.md").read_text()
    assert "trials.png" in page
    (out / "README.md").unlink()
    assert main([*words, "--report-only"]) == 0
    assert (out / "README.md").read_text() == page
    Path("tuned.toml").write_text(TUNED.replace("seeds = [7]", "seeds = [0]"))
    assert main(words) == 2


def test_mnist_is_tuned_alike_and_confirmed_with_fresh_seeds() -> None:
    mnist = find_experiment("mnist")
    assert isinstance(mnist, Comparison)
    assert mnist.tune is not None
    assert len(mnist.tune.grid) * len(mnist.tune.seeds) == 8
    names = ["IRNN", "nRNN", "np-RNN", "np-tanhRNN", "np-RNN-N2", "np-RNN-mirror"]
    assert [series.name for series in mnist.series] == names
    members = expand(mnist.trials("half"))
    assert len(members) == 6 * 2 * 8
    assert {m.task.valid_size for m in members} == {5000}  # type: ignore[attr-defined]
    assert {(m.config.batch, m.config.updates) for m in members} == {(100, 2 * 550)}
    for scale, seeds in (("half", 2), ("paper", 3)):
        [batch] = mnist.scales[scale]  # type: ignore[index]
        assert len(batch.seeds) == seeds
        chosen = {(series.name, at): mnist.tune.grid[0] for series, at in mnist.places([batch])}
        runs = expand(mnist.sweep(batch, chosen))
        assert {m.config.updates for m in runs} == {15 * 550}
        assert Counter(m.task.permute for m in runs) == {None: 6 * seeds, 0: 6 * seeds}  # type: ignore[attr-defined]


def test_what_is_published_is_what_the_facts_say() -> None:
    mnist = find_experiment("mnist")
    assert isinstance(mnist, Comparison)
    found = {(r.name, r.source, r.epochs): (r.hidden, r.at("plain"), r.at("permuted")) for r in mnist.references}
    assert found["IRNN", "Le et al. 2015", 0] == (100, 97.0, 82.0)
    assert found["IRNN, run again", "RIN 2018", 0] == (0, 83.6, 62.1)
    assert found["tuned identity ReLU RNN", "Keller et al., ICLR 2024", 0] == (256, 98.5, 92.5)
    assert found["LSTM", "Schmidt et al., ICLR 2021", 0] == (0, 93.5, None)
    assert found["np-RNN", "the paper, Table 2", 500] == (100, 96.8, None)
    [lstm] = [reference for reference in mnist.references if reference.name == "LSTM"]
    assert "of the literature" in lstm.apart
