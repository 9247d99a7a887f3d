"""Comparisons: files, what is trained and what is not trained again, stops, kept runs, records, bars and claims."""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path

import pytest

from nprnn.cli import main
from nprnn.cli.sweeping import run_sweep
from nprnn.errors import ConfigError, RunError
from nprnn.experiments import RECORD, catalogue, find_experiment
from nprnn.experiments.comparison import (
    BEST_ON_TEST,
    FINAL,
    Comparison,
    ComparisonRecord,
    Ranking,
    Trained,
    carry_out_comparison,
    conclude_comparison,
    parse_comparison,
    read_comparison_record,
)
from nprnn.experiments.comparison.state import keep
from nprnn.files import write_atomically
from nprnn.runs import LAST, Checkpoint, Run
from nprnn.sweep import SweepFile, SweepMember, expand
from nprnn.tasks import Mnist
from nprnn.training import PRESETS, TrainConfig
from nprnn.training.readings import CHOSEN, LAST_TENTH

HEAD = """
kind = "comparison"
title = "Tiny"
names = ["tiny-figure"]
task = "addition"
axis = "length"
metric = "within_0.04"
of = 100
counted = "sequences of 100"
differs = ["made up"]

[settings]
train_size = 40
valid_size = 20
test_size = 50
hidden = 6
batch = 2
lr = 0.01
cool_at = []
updates = 40
eval_every = 10

[[series]]
name = "np-RNN"

[[series]]
name = "identity"
model = "IRNN"
settings = { clip = 5.0 }
"""
SCALES = """
[[scales.quick]]
at = [4]
seeds = [0]
settings = { updates = 20 }

[[scales.paper]]
at = [5]
seeds = [0, 1]

[[scales.paper]]
at = [7]
seeds = [0]
series = ["identity"]
"""
PAPER = """
[paper]
source = "nowhere"
tolerance = 10
at = [5, 7]

[paper.bars]
np-RNN = [50, 40]
"""
CLAIMS = """
[[claims]]
says = "np-RNN is ahead"
source = "nowhere"
better = "np-RNN"
worse = ["identity"]
beyond = 5
at = [5, 7]

[[claims]]
says = "the identity fails"
source = "nowhere"
better = "identity"
below = 30
at = [5, 7]
"""
TINY = HEAD + SCALES + PAPER + CLAIMS


def tiny(text: str = TINY) -> Comparison:
    return parse_comparison("tiny", text)


class Places:
    """Folders of a comparison, and what was trained in them."""

    def __init__(self, folder: Path) -> None:
        self.runs, self.kept, self.out = folder / "runs", folder / "kept", folder / "out"
        self.trained: list[int] = []

    def sweep(self, file: SweepFile, runs: Path, without: frozenset[str]) -> int:
        self.trained.append(file.count() - len(without))
        return run_sweep(file, runs, 1, without=without)

    def carry_out(self, experiment: Comparison, train: object = None, scale: str = "paper") -> ComparisonRecord:
        record, status = carry_out_comparison(
            experiment,
            self.runs,
            self.kept,
            self.out,
            scale=scale,  # type: ignore[arg-type]
            train=self.sweep if train is None else train,  # type: ignore[arg-type]
            tell=print,
        )
        self.status = status
        return record


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Places, ComparisonRecord]:
    """A comparison that was carried out; not to be written to."""
    places = Places(tmp_path_factory.mktemp("comparison"))
    return places, places.carry_out(tiny())


@pytest.fixture
def copy(done: tuple[Places, ComparisonRecord], tmp_path: Path) -> Places:
    """One to write to."""
    shutil.copytree(done[0].out, tmp_path / "out")
    shutil.copytree(done[0].runs, tmp_path / "runs")
    return Places(tmp_path)


def test_the_figures_of_the_paper_are_comparisons() -> None:
    found = {key: e for key, e in catalogue().items() if isinstance(e, Comparison)}
    assert {"fig3", "fig4"} <= found.keys()
    fig3 = found["fig3"]
    assert find_experiment("fig3").key == "fig3"
    assert [fig3.count(scale) for scale in ("quick", "half", "paper")] == [27, 9 * 5 + 9 * 3, 9 * 5 + 9 * 3 * 4]
    # Section 3 of the facts: batch 1, SGD 1e-3 at a constant rate, clip 10, a million updates of a fixed set.
    members = expand(fig3.sweep(fig3.scales["half"][0]))
    [member] = [m for m in members if m.label == "length=150 model=np-RNN seed=4"]
    config = member.config
    assert (config.batch, config.optimizer, config.lr, config.clip, config.clip_by) == (1, "sgd", 1e-3, 10.0, "norm")
    assert (config.cool_at, config.updates, config.fan, config.hidden) == ((), 1_000_000, "hidden", 100)
    assert member.task.length == 150
    assert member.task.train_size == 100_000
    assert fig3.paper is not None
    assert fig3.paper.bars["np-RNN"] == (9509, 9465, 8788, 8352, 7544)
    fig4 = found["fig4"]
    config = expand(fig4.sweep(fig4.scales["half"][0]))[0].config
    assert (config.batch, config.lr, config.updates, config.cool_at) == (16, 2e-4, 625_000, (1 / 3, 2 / 3))


@pytest.mark.parametrize("scale", ["half", "paper"])
@pytest.mark.parametrize("key", ["fig3", "fig4"])
def test_scales_cut_lengths_and_seeds_and_never_updates(key: str, scale: str) -> None:
    experiment = catalogue()[key]
    assert isinstance(experiment, Comparison)
    assert all(not batch.settings for batch in experiment.scales[scale])  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TINY.replace('axis = "length"', ""), "axis is missing"),
        (TINY + "\nwrong = 1", "claims|wrong"),
        (TINY.replace("hidden = 6", "hiden = 6"), "hiden"),
        (TINY.replace('model = "IRNN"', 'model = "JRNN"'), "JRNN"),
        (TINY.replace('series = ["identity"]', 'series = ["idendity"]'), "idendity"),
        (TINY.replace('worse = ["identity"]', 'worse = ["IRNN"]'), "IRNN"),
        (TINY.replace("below = 30", ""), "above or below"),
        (TINY.replace("beyond = 5", "above = 5"), "above or below"),
        (TINY.replace("np-RNN = [50, 40]", "np-RNN = [50]"), "1 numbers for 2"),
        (TINY.replace("np-RNN = [50, 40]", "LSTM = [50, 40]"), "LSTM"),
        (TINY.replace("scales.quick", "scales.brief"), "brief"),
        (TINY.replace("scales.paper", "scales.half"), "scales.paper"),
        (TINY.replace('name = "identity"', 'name = "np-RNN"'), "different names"),
        (TINY.replace("at = [4]", 'at = ["four"]'), "at"),
        (TINY.replace("at = [4]", "at = [4, 6, 4]"), r"values of length, each once; got at = \[4, 6, 4\]"),
        (TINY.replace("at = [4]", "at = []"), r"values of length, each once; got at = \[\]"),
        (TINY + "\n[[scales.half]]\nat = [5]\nseeds = [0]\nsettings = { updates = 30 }\n", "two settings"),
        (TINY.replace("of = 100", "of = 100\nchoose = [5, 6]"), r"choose needs bars .* none at \[6\]"),
        (TINY.replace("of = 100", "of = 100\nchoose = [5, 5]"), "once"),
        (TINY.replace("of = 100", "of = 100\nchoose = [5]").replace("valid_size = 20", "valid_size = 0"), "valid_size"),
        ("[[", "not TOML"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        tiny(text)
    assert "tiny.toml" in str(caught.value)


def test_every_run_is_trained_and_written_down(done: tuple[Places, ComparisonRecord]) -> None:
    places, record = done
    assert places.status == 0
    assert places.trained == [4, 1]
    assert [(r.series, r.at, r.seed, r.state, r.update) for r in record.runs] == [
        ("np-RNN", 5, 0, "finished", 40),
        ("np-RNN", 5, 1, "finished", 40),
        ("identity", 5, 0, "finished", 40),
        ("identity", 5, 1, "finished", 40),
        ("identity", 7, 0, "finished", 40),
    ]
    assert not places.kept.exists()
    for run in record.runs:
        folder = places.runs / run.folder
        config = json.loads((folder / "config.json").read_text())
        assert config["task_config"]["length"] == run.at
        assert config["train_config"]["seed"] == run.seed
        assert config["train_config"]["clip"] == (5.0 if run.series == "identity" else 1.0)
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert [e["update"] for e in record.evaluations(run)] == [10, 20, 30, 40] == [e["update"] for e in lines]
        for mine, theirs in zip(record.evaluations(run), lines, strict=True):
            for split in ("valid", "test"):
                assert mine[split] == pytest.approx(theirs[split], rel=1e-6)
    assert read_comparison_record(places.out) == record


# The first batch at more values: the record of TINY has 5 of its 12 runs.
MANY = TINY.replace("at = [5]\nseeds = [0, 1]", "at = [7, 5, 6]\nseeds = [0, 1]")


def test_a_batch_is_one_sweep_of_all_its_values() -> None:
    many = tiny(MANY)
    file = many.sweep(many.scales["paper"][0])
    assert (file.count(), str(file.path)) == (12, "tiny, length 7, 5, 6")
    places = [(m.task.length, m.config.model, m.config.seed) for m in expand(file)]  # type: ignore[attr-defined]
    assert places == [(at, model, seed) for at in (7, 5, 6) for model in ("np-RNN", "IRNN") for seed in (0, 1)]


def test_values_that_are_added_to_a_batch_are_trained_in_one_sweep_with_nothing_else(copy: Places) -> None:
    before = {run.identity for run in read_comparison_record(copy.out).runs}
    begun: list[Path] = []

    def begin(file: SweepFile, runs: Path, without: frozenset[str]) -> int:
        """What a sweep leaves that was stopped after one member of length 6 was begun."""
        assert (file.count(), len(without)) == (12, 5)
        assert runs == copy.runs
        member = next(m for m in expand(file) if m.task.length == 6)  # type: ignore[attr-defined]
        begun.append(train_until(20, member, runs))
        return 143

    record = copy.carry_out(tiny(MANY), begin)
    assert copy.status == 143
    assert [(r.at, r.update) for r in record.runs if not r.ended] == [(6, 20)]
    assert [path.name for path in copy.kept.iterdir()] == [begun[0].name]
    shutil.rmtree(copy.runs)
    record = copy.carry_out(tiny(MANY))
    assert copy.status == 0
    assert copy.trained == [12 - 5], "one sweep; the second batch has its run already"
    assert len([*copy.runs.glob("*/config.json")]) == 12 - 5
    lines = (copy.runs / begun[0].name / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["update"] for line in lines] == [10, 20, 30, 40]
    assert [(r.at, r.series, r.seed) for r in record.runs] == [
        (at, series, seed) for at in (5, 6, 7) for series in ("np-RNN", "identity") for seed in (0, 1)
    ]
    assert all(r.state == "finished" for r in record.runs)
    assert before <= {run.identity for run in record.runs}
    for run in record.runs:
        if run.identity not in before:
            config = json.loads((copy.runs / run.folder / "config.json").read_text())
            assert config["task_config"]["length"] == run.at
    assert not copy.kept.exists()


def test_what_the_record_has_is_never_trained_again(copy: Places) -> None:
    shutil.rmtree(copy.runs)
    before = read_comparison_record(copy.out).runs
    assert copy.carry_out(tiny()).runs == before
    assert copy.trained == []
    more = tiny(TINY.replace("seeds = [0, 1]", "seeds = [0, 1, 2]"))
    record = copy.carry_out(more)
    assert copy.trained == [2], "the new seed of both series, and nothing else"
    assert [r for r in record.runs if r.seed < 2] == before
    assert len(record.runs) == len(before) + 2


def test_words_and_batches_may_change_and_nothing_that_is_judged(copy: Places) -> None:
    copy.carry_out(tiny(TINY.replace("np-RNN is ahead", "np-RNN leads")))
    judged = [("beyond = 5", "beyond = 4"), ("tolerance = 10", "tolerance = 20"), ("lr = 0.01", "lr = 0.02")]
    for old, new in [*judged, ("of = 100", "of = 100\nchoose = [5]")]:
        with pytest.raises(RunError, match="another version"):
            copy.carry_out(tiny(TINY.replace(old, new)))
    with pytest.raises(RunError, match="scale paper"):
        copy.carry_out(tiny(), scale="quick")


def train_until(update: int, member: SweepMember, runs: Path) -> Path:
    """Train a member of a tiny comparison and stop; returns its run folder."""
    config, length = member.config, member.task.length  # type: ignore[attr-defined]
    words = f"--model {config.model} --seed {config.seed} --length {length} --clip {config.clip} --preset none"
    words += " --train-size 40 --valid-size 20 --test-size 50 --hidden 6 --batch 2 --lr 0.01 --updates 40"
    there = set(runs.glob("*/config.json"))
    words = f"train addition {words} --eval-every 10 --stop-after {update} --cool-at --out {runs}"
    assert main(words.split()) == 0
    [path] = set(runs.glob("*/config.json")) - there
    return path.parent


def stop_half_way(file: SweepFile, runs: Path, without: frozenset[str]) -> int:
    """What a sweep leaves that was stopped at update 20."""
    for member in expand(file):
        train_until(20, member, runs)
    return 130


def test_a_stopped_comparison_keeps_its_runs_and_any_clone_goes_on(tmp_path: Path, copy: Places) -> None:
    places = Places(tmp_path / "stopped")
    record = places.carry_out(tiny(), stop_half_way)
    assert places.status == 130
    assert {(r.state, r.update) for r in record.runs} == {("not finished", 20)}
    assert len(record.runs) == 4
    assert sorted(path.name for path in places.kept.iterdir()) == sorted(r.folder for r in record.runs)
    assert all((places.kept / r.folder / "checkpoint.safetensors").exists() for r in record.runs)
    # A clone has the record and what was kept, and no runs.
    shutil.rmtree(places.runs)
    went_on = places.carry_out(tiny())
    assert places.status == 0
    assert places.trained == [4, 1]
    assert not places.kept.exists(), "what has ended needs no keeping"
    assert places.kept.parent.exists(), "a folder that was not ours is not ours to remove"
    for mine, whole in zip(went_on.runs, read_comparison_record(copy.out).runs, strict=True):
        assert mine.identity == whole.identity
        assert mine.state == "finished"
        assert [e[0] for e in mine.evaluations] == [10, 20, 30, 40]
        assert mine.evaluations[-1] == pytest.approx(whole.evaluations[-1], rel=1e-3)


def test_collecting_takes_down_what_runs_have_reached(tmp_path: Path) -> None:
    places = Places(tmp_path)
    stop_half_way(tiny().sweep(tiny().scales["paper"][0]), places.runs, frozenset())
    record, status = carry_out_comparison(
        tiny(), places.runs, places.kept, places.out, scale="paper", train=None, tell=print
    )
    assert status == 0
    assert [r.update for r in record.runs] == [20] * 4
    assert len(list(places.kept.iterdir())) == 4
    bars = conclude_comparison(record, tiny()).bars
    assert bars["np-RNN"][5].n == 0
    assert bars["np-RNN"][5].unfinished == 2


def test_a_run_that_trains_on_while_it_is_kept_lacks_no_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.create(tmp_path / "runs", "x", {}, {})

    def train(update: int) -> None:
        numbers = {"loss": 1.0, "gradient_norm": 1.0, "lr": 1.0, "updates_per_second": 1.0, "test": {"mse": 1.0}}
        run.append({"update": update, **numbers})
        run.save_checkpoint(Checkpoint({}, update, {}))

    train(1)
    copied: list[Path] = []

    def write(path: Path, content: bytes) -> None:
        write_atomically(path, content)
        copied.append(path)
        train(len(copied) + 1)

    monkeypatch.setattr("nprnn.experiments.comparison.state.write_atomically", write)
    keep(tmp_path / "runs", tmp_path / "kept", [run.folder.name], [])
    assert copied[-1].name == LAST
    kept = Run.open(tmp_path / "kept" / run.folder.name)
    assert kept.lost_records() == ""
    assert kept.resume() == Checkpoint({}, 1, {})
    assert [record["update"] for record in kept.records()] == [1]


def test_a_run_that_blows_up_is_a_result(tmp_path: Path) -> None:
    places = Places(tmp_path)
    text = TINY.replace("lr = 0.01", "lr = 1e30").replace("clip = 5.0", "clip = 0.0")
    record = places.carry_out(tiny(text))
    blown = [r for r in record.runs if r.state == "diverged"]
    assert blown
    assert places.status == 0
    bars = conclude_comparison(record, tiny(text)).bars
    for run in blown:
        bar = bars[run.series][run.at]
        assert run.seed in bar.diverged
        assert bar.values[FINAL][bar.seeds.index(run.seed)] == 0
    assert not places.kept.exists()


def made_up(values: dict[tuple[str, int], list[float]], state: str = "finished") -> ComparisonRecord:
    """A record whose runs end with these shares; they had twice as much, on validation the most, at update 10."""
    record = ComparisonRecord("tiny", TINY, "paper", [], {}, "mse", False, {"within_0.04": 0.08})
    record.columns = ["valid mse", "test mse", "test within_0.04"]
    for (series, at), shares in values.items():
        for seed, share in enumerate(shares):
            rows = [[10, 0.1, 0.01, 0.01, 2 * share], [20, 0.1, 0.5, 0.5, share]]
            record.runs.append(Trained(series, at, seed, "run", f"{series}{at}{seed}", state, 20, 0, rows))  # type: ignore[arg-type]
    return record


def test_bars_have_three_readings_an_interval_and_an_outcome() -> None:
    found = conclude_comparison(made_up({("np-RNN", 5): [0.3, 0.4, 0.35], ("np-RNN", 7): [0.1]}), tiny())
    bar = found.bars["np-RNN"][5]
    assert bar.values[FINAL] == pytest.approx((30, 40, 35))
    assert bar.mean() == pytest.approx(35)
    assert bar.values[LAST_TENTH] == pytest.approx((30, 40, 35))
    assert bar.values[CHOSEN] == pytest.approx((60, 80, 70)), "validation is best at update 10"
    low, high = bar.interval()[1:]
    assert 30 <= low < 35 < high <= 40
    assert bar.outcome == "MISS"
    assert bar.paper == 50
    assert conclude_comparison(made_up({("np-RNN", 5): [0.41]}), tiny()).bars["np-RNN"][5].outcome == "PASS"
    assert found.bars["np-RNN"][7].interval() == pytest.approx((10, 10, 10))
    assert found.passed == (0, 2)
    assert found.constant == pytest.approx(8)
    assert found.at == (5, 7)


def test_a_claim_holds_in_part_or_not_and_counts_single_runs() -> None:
    values = {("np-RNN", 5): [0.5, 0.2], ("identity", 5): [0.1, 0.3], ("np-RNN", 7): [0.2], ("identity", 7): [0.2]}
    ahead, fails = conclude_comparison(made_up(values), tiny()).verdicts
    assert ahead.outcome == "holds in part"
    five, seven = ahead.asked
    assert (five.number, five.rival, five.bound, five.holds, five.n) == (pytest.approx(15), "identity", 5, True, 2)
    assert five.single == (3, 4), "50 against 10 and 30, 20 against 10; not 20 against 30"
    assert not seven.holds
    assert seven.number == pytest.approx(0)
    assert fails.outcome == "holds"
    assert [one.number for one in fails.asked] == pytest.approx([20, 20])
    assert fails.asked[0].single == (1, 2), "30 is not below 30"


def test_a_claim_about_rivals_that_were_not_run_is_not_decided() -> None:
    [ahead, fails] = conclude_comparison(made_up({("np-RNN", 5): [0.5]}), tiny()).verdicts
    assert ahead.outcome is None
    assert ahead.missing == (5, 7)
    assert fails.outcome is None
    unfinished = conclude_comparison(made_up({("np-RNN", 5): [0.5], ("identity", 5): [0.1]}, "not finished"), tiny())
    assert unfinished.verdicts[0].outcome is None
    assert unfinished.bars["np-RNN"][5].unfinished == 1


def test_the_command_trains_draws_and_draws_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY)
    assert main(["reproduce", "tiny.toml", "--scale", "quick", "--workers", "1"]) == 0
    out = Path("results/tiny-quick")
    record = read_comparison_record(out)
    assert [(r.series, r.at, r.update) for r in record.runs] == [("np-RNN", 4, 20), ("identity", 4, 20)]
    assert record.command == ["nprnn", "reproduce", "tiny.toml", "--scale", "quick", "--workers", "1"]
    assert len(list(Path("runs/reproduce/addition").glob("*/config.json"))) == 2
    page = (out / "README.md").read_text()
    shares = [record.evaluations(r)[-1]["test"]["within_0.04"] for r in record.runs]
    assert all(f"{statistics.fmean([100 * share]):.0f}" in page for share in shares)
    (out / "README.md").unlink()
    shutil.rmtree("runs")
    assert main(["reproduce", "tiny.toml", "--scale", "quick", "--report-only"]) == 0
    assert (out / "README.md").read_text() == page
    assert not Path("runs").exists()
    assert main(["reproduce", "tiny.toml", "--scale", "half"]) == 2
    assert main(["reproduce", "tiny.toml", "--store", "somewhere"]) == 2
    assert main(["reproduce", "tiny.toml", "--collect", "--scale", "quick"]) == 0


def test_all_draws_every_record_there_is_and_names_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "all", "--report-only"]) == 2
    told = capsys.readouterr()
    for key in catalogue():
        assert f"{key}: no record in" in told.out
    assert "everything was left out" in told.err
    assert main(["reproduce", "fig2", "--scale", "quick"]) == 0
    (Path("results/fig2-quick") / "report.html").unlink()
    # Options that mean nothing to one of them are meant for others.
    assert main(["reproduce", "all", "--scale", "quick", "--report-only", "--workers", "2"]) == 0
    assert (Path("results/fig2-quick") / "report.html").exists()
    assert (Path("results/fig2-quick") / RECORD).exists()


def test_the_list_tells_runs_and_cost_of_every_scale(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--list"]) == 0
    told = capsys.readouterr().out
    for word in ("fig3", "fig4", "quick", "half", "paper", "153"):
        assert word in told


def test_a_record_of_numbers_that_are_not_finite_is_not_written(tmp_path: Path) -> None:
    record = made_up({("np-RNN", 5): [float("nan")]})
    with pytest.raises(RunError, match="not finite"):
        record.write(tmp_path)
    assert not (tmp_path / RECORD).exists()


def test_the_flattering_reading_is_read_where_it_is_asked_for() -> None:
    text = TINY.replace('counted = "sequences of 100"', 'counted = "sequences of 100"\nflattering = true')
    record = made_up({("np-RNN", 5): [0.3]})
    # The test error is least at update 10, where validation is best too; spoil validation there.
    record.runs[0].evaluations[0][2] = 9.0
    values = conclude_comparison(record, tiny(text)).bars["np-RNN"][5].values
    assert values[BEST_ON_TEST] == pytest.approx((60,))
    assert values[CHOSEN] == values[FINAL] == pytest.approx((30,))
    assert BEST_ON_TEST not in conclude_comparison(record, tiny()).bars["np-RNN"][5].values


def test_a_bar_is_not_judged_while_some_of_its_runs_go_on() -> None:
    record = made_up({("np-RNN", 5): [0.5], ("identity", 5): [0.1, 0.1]})
    record.runs[1] = record.runs[1]._replace(state="diverged")
    record.runs[2] = record.runs[2]._replace(state="not finished")
    found = conclude_comparison(record, tiny())
    assert found.bars["identity"][5].n == 1
    assert not found.bars["identity"][5].complete
    assert [verdict.outcome for verdict in found.verdicts] == [None, None], "diverged runs end first"
    assert conclude_comparison(made_up({("np-RNN", 5): [0.5]}), tiny()).bars["np-RNN"][5].outcome == "PASS"
    record.runs[0] = record.runs[0]._replace(seed=7)
    record.runs.append(record.runs[0]._replace(seed=8, state="not finished"))
    assert conclude_comparison(record, tiny()).bars["np-RNN"][5].outcome is None


CHOOSING = TINY.replace("of = 100", "of = 100\nchoose = [5, 7]").replace(
    "np-RNN = [50, 40]", "np-RNN = [50, 40]\nidentity = [50, 40]"
)


def judged(values: dict[tuple[str, int], list[float]], test: float = 0.5) -> ComparisonRecord:
    """A record whose runs end with these shares on validation, all with the same on the test set."""
    record = made_up(values)
    record.columns = ["valid mse", "valid within_0.04", "test mse", "test within_0.04"]
    for run, share in zip(record.runs, (s for shares in values.values() for s in shares), strict=True):
        # Halfway it was at the paper's bars, and best by the error: the last iterate is what counts.
        run.evaluations[:] = [[10, 0.1, 0.01, 0.5, 0.01, test], [20, 0.1, 0.5, share, 0.5, test]]
    return record


def test_the_nearest_reading_is_chosen_by_the_last_iterates_on_validation() -> None:
    values = {("np-RNN", 5): [0.4, 0.5, 0.3], ("np-RNN", 7): [0.6], ("identity", 5): [0.52], ("identity", 7): [0.3]}
    ranking = conclude_comparison(judged(values), tiny(CHOOSING)).ranking
    assert ranking.nearest == "identity"
    assert ranking.places() == {"identity": 1, "np-RNN": 2}
    assert [one.distance for one in ranking.ranked] == pytest.approx([(2 + 10) / 2, (10 + 20) / 2])
    five, seven = ranking.ranked[1].near
    assert (five.at, five.seeds, five.paper, five.distance) == (5, (0, 1, 2), 50, pytest.approx(10))
    assert five.values == pytest.approx((40, 50, 30))
    assert seven.mean == pytest.approx(60)
    assert not ranking.lacking


def test_the_test_set_plays_no_part_in_the_choice() -> None:
    values = {("np-RNN", 5): [0.4], ("np-RNN", 7): [0.4], ("identity", 5): [0.3], ("identity", 7): [0.3]}
    chosen = [conclude_comparison(judged(values, test), tiny(CHOOSING)) for test in (0.0, 0.5)]
    assert chosen[0].bars != chosen[1].bars
    assert chosen[0].ranking == chosen[1].ranking
    # Nor do bars at values that are not chosen at.
    at_five = tiny(CHOOSING.replace("choose = [5, 7]", "choose = [5]"))
    far = {**values, ("np-RNN", 7): [0.0]}
    assert conclude_comparison(judged(far), at_five).ranking == conclude_comparison(judged(values), at_five).ranking
    assert conclude_comparison(judged(far), tiny(CHOOSING)).ranking != chosen[0].ranking


def test_a_run_that_diverged_counts_nothing_in_the_choice() -> None:
    record = judged({("np-RNN", 5): [0.4, 0.5], ("np-RNN", 7): [0.4]})
    record.runs[1] = record.runs[1]._replace(state="diverged", evaluations=[])
    [found] = conclude_comparison(record, tiny(CHOOSING)).ranking.ranked
    assert found.near[0].values == (pytest.approx(40), 0)
    assert found.distance == pytest.approx((30 + 0) / 2)


def test_a_series_that_lacks_a_value_is_not_ranked() -> None:
    values = {("np-RNN", 5): [0.5], ("np-RNN", 7): [0.4], ("identity", 5): [0.5], ("identity", 7): [0.4]}
    record = judged(values)
    record.runs[1] = record.runs[1]._replace(state="not finished")
    ranking = conclude_comparison(record, tiny(CHOOSING)).ranking
    assert [one.series for one in ranking.ranked] == ["identity"]
    assert ranking.lacking == {"np-RNN": (7,)}
    # Of equals, the first of the file.
    assert conclude_comparison(judged(values), tiny(CHOOSING)).ranking.nearest == "np-RNN"
    # A series without a bar of the paper's has no distance.
    alone = tiny(CHOOSING.replace("identity = [50, 40]", ""))
    assert conclude_comparison(judged(values), alone).ranking.places() == {"np-RNN": 1}


def test_nothing_is_chosen_where_no_choice_is_asked_and_by_runs_that_were_cut() -> None:
    record = judged({("np-RNN", 5): [0.5], ("np-RNN", 7): [0.4]})
    assert conclude_comparison(record, tiny()).ranking == Ranking()
    record.scale = "quick"
    assert conclude_comparison(record, tiny(CHOOSING)).ranking == Ranking()
    assert Ranking().nearest is None


def test_the_readings_are_chosen_at_two_lengths_and_named_by_their_factors() -> None:
    readings = find_experiment("readings")
    assert isinstance(readings, Comparison)
    assert readings.choose == (150, 300)
    assert readings.cross == ("marks", "fan", "clip_by")
    factors = [readings.factors(series) for series in readings.series]
    assert len(set(factors)) == len(readings.series) == 32
    assert factors[0] == ("np-RNN", "uniform", "hidden", "norm")
    assert factors[-1] == ("np-RNN-N2", "schmidt", "in", "value")
    assert tiny().factors(tiny().series[1]) == ("identity",)


def test_the_recipe_is_the_preset_of_the_command_line() -> None:
    best, preset = find_experiment("best"), PRESETS["mnist"]["best"]
    assert isinstance(best, Comparison)
    (batch,) = best.scales["half"]
    members = expand(best.sweep(batch))
    assert [member.config.seed for member in members] == [10, 11, 12]
    for member in members:
        assert member.task == Mnist(**preset.task)
        assert member.config == TrainConfig(**preset.for_model(preset.model), seed=member.config.seed)


def test_runs_that_went_on_elsewhere_share_an_environment_with_others_that_did() -> None:
    record = ComparisonRecord("key", "", "paper", [], {})
    begun = {"torch": "2.13", "device": "cpu", "seed": 3, "started": "then", "locations": {}}
    numbers = [
        record.env_number(begun),
        record.env_number({**begun, "seed": 4, "started": "later"}),
        record.env_number({**begun, "continued": [{"update": 10, "device": "a GPU", "started": "x"}]}),
        record.env_number({**begun, "continued": [{"update": 99, "device": "a GPU", "started": "y"}]}),
        record.env_number({**begun, "continued": [{"update": 99, "device": "another GPU", "started": "y"}]}),
    ]
    assert numbers == [0, 0, 1, 1, 2]
    assert record.envs[1] == {"torch": "2.13", "device": "cpu", "continued": [{"device": "a GPU"}]}
