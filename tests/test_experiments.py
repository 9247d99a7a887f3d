"""Selection experiments: files, intervals, choice, verdicts, and that the test set waits for the choice."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from clip_stores import made, rows
from nprnn.cli import main
from nprnn.errors import ConfigError, DataError, RunError
from nprnn.experiments import (
    Experiment,
    Record,
    carry_out,
    conclude,
    experiments,
    find_experiment,
    parse_experiment,
    read_record,
)
from nprnn.experiments.choosing import best, choose, pool
from nprnn.experiments.intervals import Resampler, interval
from nprnn.experiments.record import Judged, Measured, Sets
from nprnn.experiments.storing import RECORD
from nprnn.feature_store import FeatureStore
from nprnn.feature_store.clips import file_name
from nprnn.sweep import SweepFile, expand
from nprnn.sweep.shelf import Shelf
from nprnn.tasks.ucf101_clips import ClipSet
from nprnn.training import Member, start_run, train_ensemble
from nprnn.training.draws import Draws
from small_experiments import HEAD, claim

SMALL = (
    HEAD
    + """title = "Small"
names = ["small", "tiny"]
choose_by = ["group25", "folds"]
differs = ["made up"]

[settings]
hidden = 4
batch = 8
updates = 12
eval_every = 6
optimizer = "rmsprop"
clip = 0.0
withhold_test = true

[grid]
lr = [1e-2, 1e-3]

[[arms]]
name = "group25"
about = "group 25 chooses"
seeds = [0, 1]
settings = { validation = "group25" }

[[arms]]
name = "folds"
about = "halves"
seeds = [0]
settings = { folds = 2 }
grid = { validation = ["fold0", "fold1"] }

[paper]
source = "nowhere"
[paper.np-RNN]
best = "1e-3"
validation = 0.8
test = 0.7
grid = [0.1, 0.8]
"""
    + claim("np-RNN tests better than IRNN")
    + claim("np-RNN is less touchy", arm="folds")
)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def small() -> Experiment:
    return parse_experiment("small", SMALL)


def in_process(file: SweepFile, folder: Path) -> int:
    """A sweep without processes, so that a test sees what is read."""
    shelf = Shelf()
    for member in expand(file):
        data = shelf.get(member.task, member.config.seed)
        run = start_run(file.task, member.task, member.config, data, folder)
        if run.progress() < member.config.updates:
            train_ensemble([Member(member.config, data, run)])
    return 0


# --- the files


def test_the_experiments_of_the_package_expand_to_runs_that_withhold_the_test_set() -> None:
    for key, experiment in experiments().items():
        assert find_experiment(experiment.names[0]).key == key
        whole = 0
        for arm in experiment.arms:
            members = expand(experiment.sweep(arm, {"store": Path("store")}))
            assert all(member.config.withhold_test for member in members)
            assert {m.config.model for m in members} == set(experiment.models_of(arm))
            whole += len(members)
        assert whole == experiment.runs


def test_table_3_is_the_papers_protocol() -> None:
    experiment = find_experiment("table3")
    assert find_experiment("fig6") == experiment
    members = expand(experiment.sweep(experiment.arms[0], {"store": Path("s")}))
    assert len(members) == 4 * 6 * 3 * 3
    config = members[0].config
    assert sorted({m.config.lr for m in members}) == [1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 1e-2]
    assert sorted({m.config.dropout for m in members}) == [0.5, 0.7, 0.9]
    assert (config.optimizer, config.hidden, config.updates) == ("rmsprop", 100, 70 * (922 // 28))
    epoch = 922 // 28
    rates = [config.lr_at(epoch * k) / config.lr for k in (0, 24, 25, 54, 55, 69)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    paper = experiment.paper
    assert [paper[m].test for m in experiment.models] == [0.566, 0.67, 0.752, 0.785]


def test_quick_keeps_what_is_tested() -> None:
    experiment = find_experiment("table3").at("quick")
    assert [arm.name for arm in experiment.arms] == ["group25"]
    assert experiment.runs == 72


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('kind = "selection"', 'kind = "race"', "kind must be"),
        ('title = "Small"', "", "title is missing"),
        ("seeds = [0, 1]", 'seeds = "0"', "seeds"),
        ('choose_by = ["group25", "folds"]', 'choose_by = ["group24"]', "Did you mean 'group25'"),
        ('arm = "folds"', 'arm = "fold"', "Did you mean 'folds'"),
        ('better = "np-RNN"', 'better = "npRNN"', "Did you mean 'np-RNN'"),
        ('unit = ["label", "group"]', 'unit = ["video"]', "unknown unit"),
        ('models = ["IRNN", "np-RNN"]', 'models = ["IRNN", "np-RNM"]', "Did you mean 'np-RNN'"),
        ("[paper.np-RNN]", "[paper.LSTM]", "model of the experiment"),
        ('about = "halves"', 'about = "halves"\nspeed = 3', "unknown setting 'speed'"),
        ("[grid]", "[grid", "not TOML"),
    ],
)
def test_files_that_make_no_sense(old: str, new: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_experiment("small", SMALL.replace(old, new))
    assert words in str(caught.value)
    assert "small" in str(caught.value)


def test_an_unknown_name_tells_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'table3'"):
        find_experiment("table33")
    with pytest.raises(ConfigError, match="cannot read the experiment"):
        find_experiment(str(tmp_path / "no.toml"))


# --- intervals


def test_intervals_of_independent_clips_are_those_of_the_binomial() -> None:
    correct = torch.zeros(1, 400)
    correct[0, :300] = 1
    found = interval(Resampler(range(400), 1).accuracies(correct))
    half = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert found.value == 0.75
    assert found.low == pytest.approx(0.75 - half, abs=0.006)
    assert found.high == pytest.approx(0.75 + half, abs=0.006)


def test_clips_of_one_source_count_as_one() -> None:
    one = (torch.arange(20) % 3 == 0).double()[None]
    single = interval(Resampler(range(20), 1).accuracies(one))
    many = interval(Resampler([k // 10 for k in range(200)], 1).accuracies(one.repeat_interleave(10, 1)))
    assert many == pytest.approx(single)
    # Taken for independent they would promise too much.
    naive = interval(Resampler(range(200), 1).accuracies(one.repeat_interleave(10, 1)))
    assert naive.high - naive.low < 0.5 * (many.high - many.low)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=30))
def test_differences_are_paired(clips: list[tuple[int, bool]]) -> None:
    correct = torch.tensor([[right for _, right in clips]]).double()
    resampler = Resampler([source for source, _ in clips], 1, draws=50)
    same = interval(resampler.accuracies(correct) - resampler.accuracies(correct))
    assert tuple(same) == (0, 0, 0)
    # One point better on every clip is one point better in every draw.
    better = interval(resampler.accuracies(correct + 0.01) - resampler.accuracies(correct))
    assert tuple(better) == pytest.approx((0.01, 0.01, 0.01))


def test_all_right_is_one_without_rounding() -> None:
    assert tuple(interval(Resampler([k // 3 for k in range(60)], 3).accuracies(torch.ones(3, 60)))) == (1, 1, 1)


def test_seeds_that_disagree_widen_an_interval() -> None:
    agree = torch.tensor([[1.0, 0.0] * 50] * 2)
    disagree = torch.stack([torch.ones(100), torch.zeros(100)])
    widths = []
    for correct in (agree, disagree):
        found = interval(Resampler(range(100), 2).accuracies(correct))
        assert found.value == 0.5
        widths.append(found.high - found.low)
    assert widths[1] == 1.0
    assert widths[0] < 0.25


# --- the choice and the verdict


def judged(arm: str, model: str, lr: float, seed: int, correct: str, entropy: float = 1.0, **more: Any) -> Judged:
    part = more.pop("part", "")
    return Judged(arm, part, model, {"lr": lr}, seed, more.pop("state", "finished"), "f", correct, entropy)


def record(runs: Sequence[Judged], clips: int = 4) -> Record:
    names: list[tuple[str, str, int | None]] = [(f"c{k}", "ab"[k % 2], k // 2) for k in range(2 * clips)]
    valid, test = list(range(clips)), list(range(clips, 2 * clips))
    sets = [Sets("group25", "", [], valid, test, "f")]
    sets += [Sets("folds", part, [], valid, test, "f") for part in dict.fromkeys(r.part for r in runs if r.part)]
    return Record("small", SMALL, "paper", [], {}, names, sets, {"IRNN": 10, "np-RNN": 20}, list(runs))


def test_accuracy_chooses_then_cross_entropy() -> None:
    runs = [
        judged("group25", "IRNN", 0.1, 0, "1100", 0.1),
        judged("group25", "IRNN", 0.2, 0, "1110", 0.9),
        judged("group25", "IRNN", 0.3, 0, "0111", 0.5),
        judged("group25", "IRNN", 0.4, 0, "1111", 0.5, state="diverged"),
    ]
    found = best(pool(record(runs), "group25", "IRNN"))
    assert found is not None
    assert found.setting == {"lr": 0.3}
    assert best(pool(record(runs[3:]), "group25", "IRNN")) is None


def test_settings_with_more_finished_seeds_go_first() -> None:
    runs = [
        judged("group25", "IRNN", 0.1, 0, "1111"),
        judged("group25", "IRNN", 0.1, 1, "", state="diverged"),
        judged("group25", "IRNN", 0.2, 0, "1000"),
        judged("group25", "IRNN", 0.2, 1, "1000"),
    ]
    found = best(pool(record(runs), "group25", "IRNN"))
    assert found is not None
    assert found.setting == {"lr": 0.2}


def test_parts_are_pooled_clip_by_clip() -> None:
    runs = [
        judged("folds", "IRNN", 0.1, 0, "1111", 1.0, part="a"),
        judged("folds", "IRNN", 0.1, 0, "1000", 2.0, part="b"),
    ]
    (found,) = pool(record(runs), "folds", "IRNN")
    assert found.accuracy == 5 / 8
    assert found.cross_entropy == 1.5
    unfinished = [runs[0], runs[1]._replace(state="missing", correct="", cross_entropy=None)]
    assert pool(record(unfinished), "folds", "IRNN")[0].accuracy is None


def test_nothing_is_chosen_before_all_runs_have_ended() -> None:
    runs = [judged("group25", model, 0.1, 0, "1100") for model in ("IRNN", "np-RNN")]
    facts = record([*runs, judged("group25", "IRNN", 0.2, 0, "", state="missing")])
    choose(facts, small())
    assert facts.choices == {}
    facts = record([*runs, judged("group25", "IRNN", 0.2, 0, "", state="diverged")])
    choose(facts, small())
    assert facts.choices == {"group25": {"IRNN": {"lr": 0.1}, "np-RNN": {"lr": 0.1}}}


def concluded(better: str, worse: str) -> Any:
    clips = len(better)
    facts = record([judged("group25", m, 0.1, 0, "1" * clips) for m in ("IRNN", "np-RNN")], clips)
    choose(facts, small())
    facts.tested = [judged("group25", "np-RNN", 0.1, 0, better), judged("group25", "IRNN", 0.1, 0, worse)]
    return conclude(facts, small(), draws=500)


@pytest.mark.parametrize(
    ("better", "worse", "outcome"),
    [("1" * 40, "0" * 40, "shown"), ("0" * 40, "1" * 40, "contradicted"), ("10" * 20, "01" * 20, "open")],
)
def test_a_claim_needs_the_whole_interval(better: str, worse: str, outcome: str) -> None:
    found = concluded(better, worse)
    (verdict, other) = [v for v in found.verdicts if v.claim.kind == "test"]
    assert verdict.outcome == outcome
    assert verdict.difference.value == (better.count("1") - worse.count("1")) / 40
    # The folds have not run.
    assert (other.chosen_by, other.outcome, other.difference) == ("folds", None, None)
    assert [row.times for row in found.rows] == [1.0, 2.0]
    assert found.constant == 0.5
    assert found.counts == (0, 40, 40)


def test_touchiness_is_of_the_worst_setting() -> None:
    answers = {"np-RNN": {0.1: "1" * 40, 0.2: "1" * 39 + "0"}, "IRNN": {0.1: "1" * 40, 0.2: "0" * 40}}
    runs = [
        judged("folds", model, lr, 0, text, part="a") for model, by_lr in answers.items() for lr, text in by_lr.items()
    ]
    (verdict,) = [v for v in conclude(record(runs, 40), small(), draws=500).verdicts if v.claim.kind == "spread"]
    assert verdict.outcome == "shown"
    assert verdict.difference is not None
    assert verdict.difference.value == pytest.approx(39 / 40)
    # One that diverged answers nothing.
    runs[1] = runs[1]._replace(state="diverged", correct="", cross_entropy=None)
    (verdict,) = [v for v in conclude(record(runs, 40), small(), draws=500).verdicts if v.claim.kind == "spread"]
    assert verdict.difference is not None
    assert verdict.difference.value == 0


# --- the record


def test_a_record_comes_back(tmp_path: Path) -> None:
    facts = record([judged("group25", "IRNN", 0.1, 0, "1100"), judged("folds", "IRNN", 0.1, 0, "11", part="{}")])
    facts.choices = {"group25": {"IRNN": {"lr": 0.1}}}
    facts.yardsticks = [Measured("logistic", "on the mean", 7, "1010")]
    facts.tested = [judged("group25", "IRNN", 0.1, 0, "1100")]
    facts.write(tmp_path)
    assert read_record(tmp_path) == facts


def test_a_run_that_blew_up_on_the_judged_clips_alone_is_kept(tmp_path: Path) -> None:
    facts = record([judged("group25", "IRNN", 0.1, 0, "0000", math.inf)])
    facts.write(tmp_path)
    assert read_record(tmp_path) == facts


def test_a_record_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=rf"cannot write .*{RECORD}"):
        record([]).write(tmp_path / "file")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1, "kind": "selection"}', '{"format": 2, "kind": "x"}'])
def test_damaged_records_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(RunError, match=RECORD):
        read_record(tmp_path)


def test_a_record_of_another_kind_or_version_is_not_read(tmp_path: Path) -> None:
    path = record([]).write(tmp_path)
    text = path.read_text()
    for old, new in (('"kind": "selection"', '"kind": "planes"'), ('"format": 1', '"format": 2')):
        path.write_text(text.replace(old, new))
        with pytest.raises(RunError, match="is not a selection record of format 1"):
            read_record(tmp_path)


def test_a_missing_record_tells_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nprnn reproduce"):
        read_record(tmp_path)


# --- the procedure


class Log:
    """Which clips are read, by whom, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
        self.reads: list[tuple[str, bool, str]] = []
        frames = ClipSet.frames

        def logged(self_: ClipSet, k: int) -> Tensor:
            chosen = (out / RECORD).exists() and bool(read_record(out).choices)
            self.reads.append((self_.store.rows[self_.places[k]].name, chosen, self.phase))
            return frames(self_, k)

        monkeypatch.setattr(ClipSet, "frames", logged)
        self.phase = ""

    def names(self, phase: str, chosen: bool | None = None) -> set[str]:
        return {name for name, after, at in self.reads if at == phase and chosen in (None, after)}


def carried_out(tmp_path: Path, train: Any = in_process, text: str = SMALL) -> tuple[Record | None, int]:
    store = tmp_path / "store"
    if not store.exists():
        made(store)
    experiment = parse_experiment("small", text)
    return carry_out(
        experiment, store, tmp_path / "runs", tmp_path / "out", scale="paper", train=train, tell=lambda line: None
    )


def test_validation_is_never_trained_on_and_test_waits_for_the_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(monkeypatch, tmp_path / "out")
    group = {row.name: row.group for row in rows()}
    drawn: list[tuple[str, tuple[int, ...]]] = []
    draw = Draws._draw

    def noted(self: Draws, train: Any, order: Any, count: int) -> Any:
        before, log.phase = log.phase, f"batch of {log.phase}"
        drawn.append((before, train.places))
        try:
            return draw(self, train, order, count)
        finally:
            log.phase = before

    def training(file: SweepFile, folder: Path) -> int:
        log.phase = folder.name
        in_process(file, folder)
        log.phase = "judging"
        return 0

    monkeypatch.setattr(Draws, "_draw", noted)
    found, status = carried_out(tmp_path, training)
    assert (status, found is None) == (0, False)
    assert found is not None

    # Every batch that was trained on came from the clips that the record says are trained on, and they are all.
    for arm in ("group25", "folds"):
        recorded = {tuple(entry.train) for entry in found.sets if entry.arm == arm}
        assert {places for name, places in drawn if name == arm} == recorded
    assert {group[name] for name in log.names("batch of group25")} == set(range(8, 25))
    assert {group[name] for name in log.names("batch of shuffled")} == set(range(8, 25))
    # Besides, while training, the clips that choose are read, and no others.
    assert {group[name] for name in log.names("group25")} == {25}
    assert {group[name] for name in log.names("folds")} == set(range(8, 26))
    # Nobody reads a test clip before the choice is on disk.
    test = {name for name, number in group.items() if number in range(1, 8)}
    assert test <= log.names("judging", chosen=True)
    assert not test & {name for name, chosen, _ in log.reads if not chosen}
    # The recorded indices part the clips, and the folds hold out each clip once.
    for entry in found.sets:
        train, valid, tested = set(entry.train), set(entry.valid), set(entry.test)
        assert len(train) + len(valid) + len(tested) == len(train | valid | tested)
        assert {found.clips[k][0] for k in tested} == test
    held = [place for entry in found.sets if entry.arm == "folds" for place in entry.valid]
    assert sorted(held) == [k for k, (name, _, _) in enumerate(found.clips) if name not in test]


@pytest.mark.slow
def test_a_store_whose_test_clips_cannot_be_read_is_trained_and_chosen_on(tmp_path: Path) -> None:
    """With real processes: the choice stands before the first test clip is asked for."""
    from nprnn.cli.sweeping import run_sweep

    store = made(tmp_path / "store")
    for row in rows():
        if row.group in range(1, 8):
            path = store / "clips" / file_name(row.name)
            content = bytearray(path.read_bytes())
            content[-1] ^= 255
            path.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        carried_out(tmp_path, lambda file, folder: run_sweep(file, folder, 1))
    kept = read_record(tmp_path / "out")
    assert set(kept.choices) == {"group25", "folds"}
    assert kept.tested == []
    assert all(run.state == "finished" for run in kept.runs)


def test_the_whole_of_it_adds_up(tmp_path: Path) -> None:
    found, status = carried_out(tmp_path)
    assert (status, found is None) == (0, False)
    assert found is not None
    assert len(found.runs) == 2 * 2 * 2 + 2 * 2 * 2
    assert found == read_record(tmp_path / "out")
    findings = conclude(found, parse_experiment("small", found.experiment), draws=200)
    assert findings.runs == (16, 0, 0)
    assert findings.counts == (17 * 3, 3, 21)
    assert findings.units == 21
    assert {(row.model, row.chosen_by) for row in findings.rows} == {
        (model, arm) for model in ("IRNN", "np-RNN") for arm in ("group25", "folds")
    }
    for row in findings.rows:
        runs = [run for run in found.tested if (run.model, run.setting) == (row.model, row.setting)]
        assert row.by_seed == tuple(run.correct.count("1") / 21 for run in sorted(runs, key=lambda run: run.seed))
        assert row.test.value == pytest.approx(sum(row.by_seed) / 2)
        assert row.order is not None
        assert row.shuffled is not None
        assert row.order.value == pytest.approx(row.test.value - row.shuffled.value)
    # What validation says is what training recorded.
    store = FeatureStore.open(tmp_path / "store")
    for run in found.runs:
        lines = (tmp_path / "runs" / run.arm / run.folder / "metrics.jsonl").read_text().splitlines()
        last = json.loads(lines[-1])["valid"]
        assert run.correct.count("1") / len(run.correct) == pytest.approx(last["accuracy"])
        assert run.cross_entropy == pytest.approx(last["cross_entropy"], rel=1e-5)
    assert [tuple(clip) for clip in found.clips] == [(row.name, row.label, row.group) for row in store.rows]


def test_nothing_is_done_twice_and_the_test_answers_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = carried_out(tmp_path)
    log = Log(monkeypatch, tmp_path / "nowhere")
    again, status = carried_out(tmp_path)
    assert status == 0
    assert again is not None
    assert first is not None
    assert dataclasses.replace(again, env={}) == dataclasses.replace(first, env={})
    test = {row.name for row in rows() if row.group in range(1, 8)}
    assert not test & {name for name, _, _ in log.reads}


def test_a_stop_leaves_the_rest_for_later(tmp_path: Path) -> None:
    def stopped(file: SweepFile, folder: Path) -> int:
        return 130 if folder.name == "folds" else in_process(file, folder)

    assert carried_out(tmp_path, stopped) == (None, 130)
    assert not (tmp_path / "out" / RECORD).exists()

    def stopped_later(file: SweepFile, folder: Path) -> int:
        return 143 if folder.name == "shuffled" else in_process(file, folder)

    assert carried_out(tmp_path, stopped_later) == (None, 143)
    assert read_record(tmp_path / "out").tested == []
    found, status = carried_out(tmp_path)
    assert (status, found is not None) == (0, True)


def test_runs_that_failed_leave_no_choice(tmp_path: Path) -> None:
    found, status = carried_out(tmp_path, lambda file, folder: 1)
    assert status == 1
    assert found is not None
    assert found.choices == {}
    assert {run.state for run in found.runs} == {"missing"}
    findings = conclude(found, small(), draws=10)
    assert findings.runs == (0, 0, 16)
    assert findings.rows == []
    assert all(verdict.outcome is None for verdict in findings.verdicts)


def test_a_record_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    carried_out(tmp_path)
    with pytest.raises(RunError, match="another version"):
        carried_out(tmp_path, text=SMALL.replace("Small", "Other"))
    kept = read_record(tmp_path / "out")
    kept.choices["group25"]["IRNN"] = {"lr": 5.0}
    kept.write(tmp_path / "out")
    with pytest.raises(RunError, match="tested with other choices"):
        carried_out(tmp_path)


# --- the command


def test_the_command_from_store_to_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "small.toml"
    file.write_text(SMALL)
    words = ["reproduce", str(file), "--store", str(made(tmp_path / "store")), "--out", str(tmp_path / "out")]
    words += ["--runs", str(tmp_path / "runs"), "--workers", "1"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "np-RNN tests better than IRNN [group25]" in told
    assert tomllib.loads((tmp_path / "runs" / "folds" / "sweep.toml").read_text())["settings"]["folds"] == 2
    page = (tmp_path / "out" / "README.md").read_text()
    assert "np-RNN is less touchy" in page
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"record.json", "README.md", "report.html"} <= files
    # Drawn anew from the record alone.
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    (tmp_path / "out" / "README.md").unlink()
    assert main(["reproduce", str(file), "--report-only", "--out", str(tmp_path / "out")]) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()} == before


def test_the_command_lists_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--list"]) == 0
    told = capsys.readouterr().out
    assert "table3" in told
    assert "skeletons" in told
    for words, said in [
        (["reproduce"], "name what to reproduce"),
        (["reproduce", "table3"], "--store"),
        (["reproduce", "table4"], "Did you mean 'table3'"),
        (["reproduce", "table3", "--report-only", "--out", str(tmp_path)], "no record"),
        (["reproduce", "table3", "--store", str(tmp_path / "no"), "--out", str(tmp_path / "o")], "not a feature store"),
        (["reproduce", "table3", "--store", str(tmp_path), "--workers", "0"], "workers must be at least 1"),
    ]:
        assert main(words) == 2
        assert said in " ".join(capsys.readouterr().err.split())
