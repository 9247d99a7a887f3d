"""nprnn analyse: its numbers are those of nprnn.dynamics, its stages those of the run, its pages say both."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from clip_stores import made
from nprnn.cli import main
from nprnn.dynamics import (
    System,
    active_radii,
    departure_from_normality,
    eigenvalues,
    find_fixed_points,
    geometric_mean,
    gradient_curve,
    growth_table,
    run,
    singular_values,
)
from nprnn.errors import ConfigError, DataError, InputError, RunError
from nprnn.experiments.driving import one_each
from nprnn.init import SCHEMES
from nprnn.reporting.blocks import Table, as_html, as_markdown
from nprnn.reporting.dynamics import (
    Effort,
    Portrait,
    Portrayed,
    Stage,
    Subject,
    analysis_pictures,
    numbers_table,
    portray,
    quantities,
    run_subject,
    start_subject,
    told_apart,
)
from nprnn.reporting.dynamics.page import about, analysis_blocks
from nprnn.reporting.dynamics.rows import spread
from nprnn.reporting.dynamics.sequences import take
from nprnn.reporting.dynamics.tables import analysis_csv
from nprnn.runs import BEST, DIVERGED, LAST, PREVIOUS
from nprnn.seeds import derive
from nprnn.tasks import Mnist, Sequences, Ucf101, find_task
from nprnn.tasks.marked import MarkedSequences
from nprnn.training import Member, TrainConfig, load_trained, start_model, start_run, train, train_ensemble
from small_runs import CONFIG, TASK
from test_docs import blocks, run_block

PNG = b"\x89PNG\r\n\x1a\n"
QUICK = Effort(exponents=3, period=1, starts=4, rounds=2)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def trained(parent: Path, **settings: Any) -> Path:
    """A run of the addition problem with all its checkpoints."""
    config = dataclasses.replace(CONFIG, **settings)
    data = TASK.load(config.seed)
    done = start_run("addition", TASK, config, data, parent)
    train(config, data, done)
    return done.folder


def portraits(subject: Subject, effort: Effort = QUICK) -> Portrayed:
    return Portrayed(subject, tuple(portray(subject, stage, effort) for stage in subject.stages))


def start(scheme: str = "np-RNN", **settings: Any) -> Subject:
    return start_subject(scheme, **{"hidden": 6, "draws": 4, "task": "addition", "length": 12, **settings})


def value(portrait: Portrait, key: str) -> float | None:
    return next(q.value for q in quantities(portrait) if q.key == key)


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open()))


# --- starts


@pytest.mark.parametrize("name", SCHEMES)
def test_a_starts_numbers_are_those_of_the_growth_table(name: str) -> None:
    subject = start(name)
    (portrait,) = portraits(subject).portraits
    (row,) = growth_table(one_each("addition", 12, 4), schemes=[name], sizes=[6], draws=4, radius_steps=0)
    kept = portrait.growth[~portrait.vanished]
    assert float(portrait.vanished.double().mean()) == row.vanished
    assert float(geometric_mean(kept)) == row.growth
    assert (float(kept.amin()), float(kept.amax())) == (row.lowest, row.highest)
    assert float(geometric_mean(portrait.far_growth[~portrait.vanished])) == row.far_growth
    for key, want in (("radius", row.radius), ("norm", row.norm), ("departure", row.departure)):
        assert value(portrait, key) == pytest.approx(want, rel=1e-12)
    assert value(portrait, "active") == (None if row.active is None else pytest.approx(row.active))
    assert value(portrait, "dead") == (None if row.dead is None else pytest.approx(row.dead))
    ratio = value(portrait, "log10_state_ratio")
    assert (ratio is None) == math.isnan(row.state_ratio)
    if ratio is not None:
        assert 10**ratio == pytest.approx(row.state_ratio)


def test_a_portrait_is_what_dynamics_says() -> None:
    subject = start("nRNN", draws=3)
    portrait = portray(subject, subject.stages[0], dataclasses.replace(QUICK, looks=5))
    system = subject.stages[0].system
    path = run(system, subject.drive.x)
    assert torch.equal(portrait.eigenvalues, eigenvalues(system.weight_hh))
    assert torch.equal(portrait.singular_values, singular_values(system.weight_hh))
    assert torch.equal(portrait.departure, departure_from_normality(system.weight_hh, relative=True))
    assert torch.equal(portrait.log_norms, path.log_norms.squeeze(-1))
    assert portrait.on is not None
    assert torch.equal(portrait.on, path.active_share().squeeze(-1))
    assert portrait.dead is not None
    assert torch.equal(portrait.dead, path.dead_units().double().mean(-1))
    curve = gradient_curve(path, generator=derive(0, "dynamics", "cotangents", 6))
    assert torch.equal(portrait.gradient, (curve.logs - curve.logs[:, :1]).flatten(-2).squeeze(-1))
    assert portrait.radii_at.tolist() == [3, 6, 9, 12]
    assert torch.equal(portrait.radii, active_radii(path, every=3).squeeze(-1))
    assert portrait.warmup == 4
    assert portrait.exponents.shape == (3,)
    torch.testing.assert_close(portrait.exponents, portrait.each_exponent.mean(0))
    (looked,) = [found for found in portrait.orbits or () if found.draw == 2]
    want = find_fixed_points(system.member(2))
    assert looked.exhaustive
    assert [o.stability for o in looked.orbits] == [o.stability for o in want.found]


def test_equal_arguments_give_equal_numbers() -> None:
    one, other = (portraits(start("gRNN", hidden=20)).portraits[0] for _ in range(2))
    for name in ("growth", "input_change", "exponents", "radii"):
        assert torch.equal(getattr(one, name), getattr(other, name))
    another = portraits(start("gRNN", hidden=20, seed=1)).portraits[0]
    assert not torch.equal(one.growth, another.growth)


def test_other_inputs_can_drive_it() -> None:
    data, noise, zero = (start(inputs=inputs).drive for inputs in ("data", "noise", "zero"))
    assert data.h0 is noise.h0 is None
    assert torch.equal(data.x, one_each("addition", 12, 4).double())
    assert noise.x.shape == data.x.shape
    wide = start(inputs="noise", draws=400, length=50).drive.x
    like = start(draws=400, length=50).drive.x
    torch.testing.assert_close(wide.mean((0, 1, 2)), like.mean((0, 1, 2)), rtol=0, atol=0.02)
    torch.testing.assert_close(wide.std((0, 1, 2)), like.std((0, 1, 2)), rtol=0.02, atol=0)
    assert not zero.x.any()
    assert zero.h0 is not None
    assert zero.h0.shape == (4, 1, 6)
    assert (zero.h0 >= 0).all()
    # Without inputs and biases a linear-like start shrinks as its states say.
    portrait = portraits(start("iRNN", inputs="zero")).portraits[0]
    assert value(portrait, "far_growth") == pytest.approx(0.01)


def test_a_start_whose_inputs_are_black_at_first_is_changed_where_it_wakes() -> None:
    subject = start("np-RNN", draws=3)
    x = subject.drive.x.clone()
    x[:, :5] = 0
    x[1, 5] = 0
    dark = dataclasses.replace(subject, drive=dataclasses.replace(subject.drive, x=x))
    portrait = portraits(dark).portraits[0]
    assert portrait.input_step == 7
    assert portrait.input_change.shape == (3, 12 - 7 + 1)
    assert portrait.input_change.isfinite().all()
    # The gradient to h_0 is exactly 0: no unit is on while it is dark.
    assert portrait.vanished.all()
    assert portrait.lasting.tolist() == [7, 6, 7]
    assert value(portrait, "growth") == 0
    assert value(portrait, "lasted") == pytest.approx(20 / 3)
    until = portrait.gradient[[0, 1, 2], [7, 6, 7]] / torch.tensor([7, 6, 7])
    assert value(portrait, "growth_until") == pytest.approx(float(until.mean().exp()))
    assert analysis_pictures([Portrayed(dark, (portrait,))])["carried"].startswith(PNG)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"scheme": "np"}, "unknown scheme"),
        ({"hidden": 0}, "hidden and draws must be at least 1, got 0 and 4"),
        ({"draws": 0}, "got 6 and 0"),
        ({"task": "mnist"}, "mnist reads data, which have a length of their own: leave out the length 12"),
        ({"task": "sequences", "length": None}, "name the data with --data"),
        ({"length": 1}, "length must be at least 2"),
    ],
)
def test_starts_that_cannot_be(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        start(**settings)


def waves(path: Path, count: int, low: int = 4, high: int = 9) -> Path:
    """Sequences of a user's own, with numbers to learn."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(low, high, count)
    np.savez(path, x=3 + 2 * rng.normal(size=(lengths.sum(), 3)), lengths=lengths, y=rng.normal(size=count))
    return path


def test_data_drive_a_start_as_they_drive_its_models(tmp_path: Path) -> None:
    file = waves(tmp_path / "waves.npz", 60)
    subject = start(task="sequences", length=None, data_dir=file, draws=3)
    data = Sequences(data=file).load(0)
    assert data.valid is not None
    assert data.standardisation is not None
    every = data.valid.batch(torch.arange(len(data.valid)))
    assert every.lengths is not None
    x = subject.drive.x
    steps = x.shape[1]
    assert x.shape == (3, steps, 1, 3)
    told = (
        f"a validation sequence of its own of sequences, T = {steps}, of the longer half, cut to the shortest of these"
    )
    assert subject.drive.about == f"3 starts, each with {told}"
    assert subject.facts["length"] == steps
    scaled = (every.x.double() - data.standardisation.mean.double()) / data.standardisation.scale.double()
    for k in range(3):
        same = [b for b in range(len(data.valid)) if torch.equal(x[k, :, 0], scaled[:steps, b])]
        assert same
        assert int(every.lengths[same[0]]) >= steps
    assert not torch.equal(x[0], x[1])
    # Where there is no validation set, training sequences do.
    taken = take(dataclasses.replace(data, valid=None), 2)
    assert (taken.name, taken.x.shape[1:]) == ("training", (2, 3))
    assert start(draws=1).drive.about == "1 start, with a sequence of its own of addition, T = 12"


def test_draws_are_never_more_than_the_sequences_there_are(tmp_path: Path) -> None:
    file = waves(tmp_path / "waves.npz", 60, 5, 6)
    data = Sequences(data=file).load(0)
    assert data.valid is not None
    count = len(data.valid)
    assert start(task="sequences", length=None, data_dir=file, draws=count).drive.x.shape[0] == count
    with pytest.raises(ConfigError, match=f"only {count} validation .* ask for {count} draws at most, got {count + 1}"):
        start(task="sequences", length=None, data_dir=file, draws=count + 1)


def test_pixels_drive_starts(mnist_dir: Path) -> None:
    options: dict[str, Any] = {"hidden": 20, "draws": 3, "task": "mnist", "length": None, "data_dir": mnist_dir}
    plain = start("np-RNN", **options)
    valid = Mnist(data_dir=mnist_dir).load(0).valid
    assert valid is not None
    every = valid.batch(torch.arange(len(valid))).x.squeeze(-1).T.double()
    places = [(every == plain.drive.x[k].flatten()).all(-1).nonzero().flatten().tolist() for k in range(3)]
    assert all(places)
    assert places[0] < places[1] < places[2]
    assert plain.drive.about == "3 starts, each with a validation sequence of its own of mnist, T = 784"
    # No unit without a bias is on while the rim is black; the mirrored start's gradient passes it unchanged.
    (dark,) = portraits(plain, Effort(exponents=1, period=0, looks=1)).portraits
    assert dark.vanished.all()
    assert value(dark, "log10_state_first") is None
    (kept,) = portraits(start("np-RNN-mirror", **options), Effort(exponents=1, period=0, looks=1)).portraits
    assert not kept.vanished.any()
    assert (kept.far_growth - 1).abs().max() < 0.01
    assert value(kept, "log10_state_first") == pytest.approx(-3, abs=0.5)
    # By rounding alone it is not above 0.
    assert value(kept, "positive_exponents") == 0


# --- runs


def test_the_start_of_a_run_is_rebuilt_to_the_bit(tmp_path: Path) -> None:
    # At this rate no weight moves: the first checkpoint holds the start.
    folder = trained(tmp_path, lr=1e-30, updates=6)
    first, last = run_subject(folder).stages
    assert (first.name, first.update) == ("start", 0)
    assert (last.name, last.update) == ("best and last", 6)
    assert torch.equal(first.system.weight_hh, last.system.weight_hh)
    assert torch.equal(first.system.weight_ih, last.system.weight_ih)  # type: ignore[arg-type]
    assert first.head is not None
    assert last.head is not None
    assert torch.equal(first.head[0], last.head[0])


def test_stages_are_the_checkpoints_by_update(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    found = {name: load_trained(folder, name) for name in (PREVIOUS, BEST, LAST)}
    subject = run_subject(folder)
    updates = sorted({0, *(entry.update for entry in found.values())})
    assert [stage.update for stage in subject.stages] == updates
    assert subject.stages[-1].update == 24
    for stage in subject.stages[1:]:
        names = [
            name
            for name, file in (("previous", PREVIOUS), ("best", BEST), ("last", LAST))
            if found[file].update == stage.update
        ]
        assert stage.name == " and ".join(names)
        weights = System.of(found[{"previous": PREVIOUS, "best": BEST, "last": LAST}[names[0]]].model)
        assert torch.equal(stage.system.weight_hh, weights.weight_hh)
    assert subject.facts["folder"] == folder.name
    assert subject.notices == ()
    assert subject.title == "np-RNN, addition, seed 0"


def test_snapshots_are_stages_of_the_pictures_and_not_of_the_tables(tmp_path: Path) -> None:
    folder = trained(tmp_path, eval_every=3, snapshots=4)
    subject = run_subject(folder)
    updates = [stage.update for stage in subject.stages]
    assert {0, 6, 12, 18, 24} <= set(updates)
    assert updates == sorted(updates)
    kept = {stage.update for stage in subject.stages if not stage.told}
    assert kept
    assert kept <= {6, 12, 18}
    for update in (6, 12, 18, 24):
        [stage] = [s for s in subject.stages if s.update == update]
        weights = System.of(load_trained(folder, f"snapshot-{update:09d}.safetensors").model)
        assert torch.equal(stage.system.weight_hh, weights.weight_hh)
    found = portraits(subject)
    assert len(numbers_table(found).columns) == 1 + len(updates) - len(kept)
    plural = "s" if len(kept) > 1 else ""
    assert f"{len(kept)} snapshot{plural} in between" in about(found)
    assert "training" in analysis_pictures([found])
    damage(folder / "snapshot-000000012.safetensors")
    again = run_subject(folder)
    assert any("LEFT OUT, snapshot-000000012" in told for told in again.notices)


@pytest.mark.parametrize("name", SCHEMES)
def test_every_model_but_the_lstm(tmp_path: Path, name: str) -> None:
    found = portraits(run_subject(trained(tmp_path, model=name, hidden=6), sequences=3))
    for portrait in found.portraits:
        assert portrait.growth.shape == (12,)
        assert portrait.log_norms.shape == (3, 6)
        assert (portrait.on is None) == (portrait.orbits is None) == (SCHEMES[name].nonlinearity == "tanh")
    table = numbers_table(found)
    assert len({len(row) for row in table.rows}) == 1
    assert set(analysis_pictures([found])) == {"spectra", "carried", "units", "training"}


def test_an_lstm_is_refused_with_the_reason(tmp_path: Path) -> None:
    folder = trained(tmp_path, model="LSTM")
    with pytest.raises(InputError, match="gates multiply its states"):
        run_subject(folder)


def test_members_of_an_ensemble_are_runs_like_any(tmp_path: Path) -> None:
    configs = [dataclasses.replace(CONFIG, model=name, lr=lr) for name, lr in (("np-RNN", 0.05), ("IRNN", 0.01))]
    data = TASK.load(0)
    members = [Member(c, data, start_run("addition", TASK, c, data, tmp_path)) for c in configs]
    assert [outcome.state for outcome in train_ensemble(members)] == ["finished", "finished"]
    for config, (_, _, member) in zip(configs, members, strict=True):
        subject = run_subject(member.folder)
        assert torch.equal(subject.stages[0].system.weight_hh, System.of(start_model(config, data)).weight_hh)
        assert torch.equal(subject.stages[-1].system.weight_hh, System.of(load_trained(member.folder).model).weight_hh)
        assert subject.stages[-1].update == 24


def test_the_test_set_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = trained(tmp_path)
    test = TASK.load(0).test
    asked = []
    batch = MarkedSequences.batch

    def noted(self: MarkedSequences, index: Tensor) -> Any:
        asked.append(len(self))
        assert not (len(self) == len(test) and torch.equal(self.values, test.values)), "the test set"  # type: ignore[attr-defined]
        return batch(self, index)

    monkeypatch.setattr(MarkedSequences, "batch", noted)
    subject = run_subject(folder, sequences=5)
    assert asked == [20]
    assert subject.drive.x.shape == (6, 5, 2)
    assert subject.drive.about == "5 validation sequences, T = 6"
    valid = TASK.load(0).valid
    assert valid is not None
    monkeypatch.undo()
    every = valid.batch(torch.arange(20)).x.double()
    for k in range(5):
        assert (every == subject.drive.x[:, [k]]).all(-1).all(0).any()


def test_without_a_validation_set_training_sequences_drive_it(tmp_path: Path) -> None:
    task = dataclasses.replace(TASK, valid_size=0)
    data = task.load(0)
    done = start_run("addition", task, CONFIG, data, tmp_path)
    train(CONFIG, data, done)
    subject = run_subject(done.folder, sequences=1, cotangents=2)
    assert subject.drive.about == "1 training sequence, T = 6"
    assert portraits(subject).portraits[0].growth.shape == (2,)
    assert torch.isnan(portraits(subject).portraits[0].exponent_errors).all()


def test_sequences_of_different_lengths_are_cut_to_one(tmp_path: Path) -> None:
    task = Ucf101(store=made(tmp_path / "store"), validation="group25")
    config = TrainConfig(hidden=5, batch=4, updates=4, eval_every=2)
    data = task.load(0)
    done = start_run("ucf101", task, config, data, tmp_path)
    train(config, data, done)
    subject = run_subject(done.folder, sequences=2)
    assert "validation sequences" in subject.drive.about
    assert "cut to the shortest" in subject.drive.about
    assert subject.drive.x.shape[0] > 3, "the longer half"
    assert subject.class_names == data.class_names
    # The model scales its inputs itself; its states are the system's.
    model = load_trained(done.folder).model
    model.double()
    x = subject.drive.x
    fed = x if model.input_mean is None else (x - model.input_mean) / model.input_scale
    states = model.rnn(fed)[0].detach()
    torch.testing.assert_close(run(subject.stages[-1].system, x).states, states, rtol=1e-6, atol=1e-9)


def test_a_moved_data_set_is_named_and_given_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = waves(tmp_path / "waves.npz", 60)
    task = find_task("sequences")(data=file)  # type: ignore[call-arg]
    config = TrainConfig(hidden=5, batch=4, updates=4, eval_every=2)
    data = task.load(0)
    done = start_run("sequences", task, config, data, tmp_path)
    train(config, data, done)
    file.rename(tmp_path / "elsewhere.npz")
    with pytest.raises(DataError):
        run_subject(done.folder)
    words = ["analyse", str(done.folder), "--out", str(tmp_path / "a.html"), "--period", "0", "--sequences", "3"]
    assert main(words) == 2
    assert "waves.npz" in capsys.readouterr().err
    assert main([*words, "--data", str(tmp_path / "elsewhere.npz")]) == 0


# --- runs that went wrong


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 255
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_told_and_the_others_are_shown(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    damage(folder / LAST)
    subject = run_subject(folder)
    assert "last" not in " ".join(stage.name for stage in subject.stages)
    assert any(f"LEFT OUT, {LAST}" in told and "damaged" in told for told in subject.notices)
    damage(folder / BEST)
    subject = run_subject(folder)
    assert [(stage.name, stage.update) for stage in subject.stages] == [("start", 0), ("previous", 18)]
    assert "NOT FINISHED: update 18 of 24" in subject.notices
    damage(folder / PREVIOUS)
    subject = run_subject(folder)
    assert [stage.name for stage in subject.stages] == ["start"]
    assert len(subject.notices) == 4
    assert "only the start is shown" in subject.notices[-1]
    assert set(analysis_pictures([portraits(subject)])) == {"spectra", "carried", "units"}


def test_a_diverged_run_shows_the_last_that_there_is(tmp_path: Path) -> None:
    # A leap that no square of an error can hold.
    config = dataclasses.replace(CONFIG, lr=1e30, clip=0.0)
    data = TASK.load(0)
    done = start_run("addition", TASK, config, data, tmp_path)
    (outcome,) = train_ensemble([Member(config, data, done)])
    assert outcome.state == "diverged"
    subject = run_subject(done.folder)
    assert [stage.name for stage in subject.stages] == ["start"]
    assert any(told.startswith("DIVERGED at update") for told in subject.notices)
    folder = trained(tmp_path / "later")
    (folder / DIVERGED).write_text(json.dumps({"update": 23, "what": "loss nan"}))
    assert "DIVERGED at update 23: the last that can be looked at is update 24" in run_subject(folder).notices


def test_a_checkpoint_of_another_network_is_left_out(tmp_path: Path) -> None:
    folder, other = trained(tmp_path / "a"), trained(tmp_path / "b", hidden=5)
    (folder / LAST).write_bytes((other / LAST).read_bytes())
    subject = run_subject(folder)
    assert any("not of its model" in told for told in subject.notices)


@pytest.mark.parametrize(
    "spoil", ["{", '{"format": 1}', '{"format": 1, "train_config": {"model": 3}, "task": "addition"}']
)
def test_a_run_whose_settings_are_damaged_is_an_error(tmp_path: Path, spoil: str) -> None:
    folder = trained(tmp_path)
    (folder / "config.json").write_text(spoil)
    with pytest.raises((RunError, ConfigError)):
        run_subject(folder)


def test_numbers_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sequences and cotangents must be at least 1, got 0 and 4"):
        run_subject(tmp_path, sequences=0)
    with pytest.raises(RunError, match="not a run"):
        run_subject(tmp_path)


# --- what stands still


def test_fixed_points_come_with_what_the_head_says_there(tmp_path: Path) -> None:
    # One unit that goes to 2 under zero input, read as 3 h + 1.
    system = System(torch.tensor([[0.5]]), torch.tensor([[1.0, 0.0]]), torch.tensor([1.0]))
    head = (torch.tensor([[3.0]], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64))
    base = start(draws=1, hidden=1)
    drive = dataclasses.replace(base.drive, x=base.drive.x[0])
    stage = Stage("last", 7, system, head)
    subject = dataclasses.replace(base, kind="run", stages=(stage,), drive=drive, facts={"folder": "f"})
    found = Portrayed(subject, (portray(subject, stage, dataclasses.replace(QUICK, period=2)),))
    page = as_markdown(analysis_blocks([found], [], "", {}), {})
    assert "| last, update 7 | 1 | stable | 0.500 | 2.000 | 1 | 7.000 |" in page
    assert "every linear region was looked at" in page
    (row,) = csv.DictReader(analysis_csv([found])["orbits.csv"].splitlines())
    assert (row["output"], row["norm"], row["stability"], row["units_on"]) == ("7.0", "2.0", "stable", "1")
    assert value(found.portraits[0], "orbits_1") == 1
    assert value(found.portraits[0], "orbits_2") == 0


def test_sets_of_fixed_points_are_told() -> None:
    subject = start("IRNN", hidden=3, draws=2)
    found = portraits(subject)
    row = next(q for q in quantities(found.portraits[0]) if q.key == "orbits_1")
    assert row.text == "2 neutral sets of 3 dimensions in 2 draws (all looked at)"
    assert portraits(subject, Effort(period=0)).portraits[0].orbits is None


def test_where_there_are_too_many_regions_one_draw_is_searched() -> None:
    found = portraits(start(hidden=20, draws=3))
    (looked,) = found.portraits[0].orbits or ()
    assert (looked.draw, looked.exhaustive) == (0, False)
    page = as_markdown(analysis_blocks([found], [], "", {}), {})
    assert "Fixed points of the first draw, by a search through" in page
    assert "there may be more" in page


# --- tables, pictures, pages


def test_the_page_says_the_numbers(tmp_path: Path) -> None:
    found = [portraits(run_subject(trained(tmp_path))), portraits(start())]
    page = analysis_blocks(found, [], "nprnn analyse", {"torch": "2"})
    tables = [block for block in page if isinstance(block, Table) and block.columns[0] == "quantity"]
    for entry, table in zip(found, tables, strict=True):
        texts = [[q.text for q in quantities(portrait)] for portrait in entry.portraits]
        want = [list(cells) for cells in zip(*texts, strict=True)]
        assert [list(row[1:]) for row in table.rows] == [cells for cells in want if set(cells) != {"–"}]
    growth = found[0].portraits[-1]
    mean = float(geometric_mean(growth.growth[~growth.vanished]))
    row = next(row for row in tables[0].rows if row[0] == "gradient: growth per step")
    assert f"{mean:.3f}" in row[-1] or "0: all" in row[-1]
    pictures = analysis_pictures(found)
    assert all(png.startswith(PNG) for png in pictures.values())
    html = as_html(page, pictures)
    assert html.count("data:image/png;base64,") == 4
    assert not re.search(r"(src|href)=\"?https?:", html)


def test_the_page_sets_subjects_side_by_side() -> None:
    found = [portraits(start(name)) for name in ("np-RNN", "np-tanhRNN")]
    assert "Side by side" not in as_markdown(analysis_blocks(found[:1], [], "", {}), {})
    page = analysis_blocks(found, [], "", {})
    table = next(block for block in page if isinstance(block, Table))
    assert [row[0] for row in table.rows] == ["np-RNN, 6 units", "np-tanhRNN, 6 units"]
    for row, entry in zip(table.rows, found, strict=True):
        known = {q.key: q.text for q in quantities(entry.portraits[0])}
        keys = ("growth", "far_growth", "vanished", "log10_state_first", "log10_state_last", "radius", "active_radius")
        assert list(row[1:]) == [known[key] for key in keys]


def test_a_run_stands_there_before_and_after(tmp_path: Path) -> None:
    found = [portraits(start()), portraits(run_subject(trained(tmp_path)))]
    table = next(block for block in analysis_blocks(found, [], "", {}) if isinstance(block, Table))
    names = [row[0] for row in table.rows]
    assert names[:2] == ["np-RNN, 6 units", "np-RNN, addition, seed 0, before training"]
    assert len(names) == 3
    assert names[2].endswith("update 24")


def test_the_page_tells_of_the_explorer_and_opens_it_at_two_units() -> None:
    page = as_markdown(analysis_blocks([portraits(start())], [], "", {}), {})
    assert "```sh\nnprnn explore\n```" in page
    assert "address" not in page
    subject = start("IRNN", hidden=2)
    blocks = analysis_blocks([portraits(subject), portraits(start("np-tanhRNN", hidden=2))], [], "", {})
    (table,) = [block for block in blocks if isinstance(block, Table) and block.columns == ("network", "address")]
    assert list(table.rows) == [("IRNN, 2 units, first draw", "#l1=1&l2=1&angle=0&between=90&b1=0&b2=0")]


def test_bands_leave_out_what_is_not_finite() -> None:
    mean, low, high = spread(torch.tensor([[1.0, -math.inf, 3.0], [2.0, -math.inf, -math.inf]]))
    assert mean[[0, 2]].tolist() == [1.5, 3]
    assert low[[0, 2]].tolist() == [1, 3]
    assert high[[0, 2]].tolist() == [2, 3]
    assert mean.isnan().tolist() == low.isnan().tolist() == high.isnan().tolist() == [False, True, False]


def test_runs_of_one_title_are_told_apart(tmp_path: Path) -> None:
    found = [Portrayed(run_subject(trained(tmp_path, lr=lr)), ()) for lr in (0.01, 0.02)]
    titles = [entry.subject.title for entry in told_apart([*found, Portrayed(start(), ())])]
    assert len(set(titles)) == 3
    assert titles[0].startswith("np-RNN, addition, seed 0, addition-np-RNN-s0-")
    assert titles[2] == "np-RNN, 6 units"


def test_the_page_on_dynamics_runs(tmp_path: Path) -> None:
    ((language, text),) = [block for block in blocks("docs/dynamics.md") if block[0] == "python"]
    assert run_block(language, text, tmp_path).splitlines()[-1] == "border"


# --- the command


def test_the_command_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = trained(tmp_path / "runs")
    out = tmp_path / "out"
    words = ["analyse", str(folder), "irnn-typo", "np-rnn", "--hidden", "5", "--draws", "3", "--length", "10"]
    words += ["--out", str(out / "page.html"), "--json", str(out / "all.json"), "--csv", str(out / "csv")]
    words += ["--markdown", str(out / "md"), "--exponents", "2", "--period", "1"]
    assert main(words) == 2
    assert "'irnn-typo'. Did you mean" in " ".join(capsys.readouterr().err.split())
    words.remove("irnn-typo")
    assert main(words) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "np-RNN, 5 units" in told
    assert "gradient: growth" in told
    assert {path.name for path in (out / "md").iterdir()} == {
        *("README.md", "spectra.png", "carried.png", "units.png", "training.png"),
        *(f"{name}.csv" for name in ("numbers", "eigenvalues", "curves", "units", "exponents", "orbits")),
    }
    assert {path.read_bytes() for path in (out / "csv").iterdir()} <= {p.read_bytes() for p in (out / "md").iterdir()}

    everything = json.loads((out / "all.json").read_text(), parse_constant=lambda word: pytest.fail(word))
    (of_run, of_start) = everything["subjects"]
    assert (of_run["kind"], of_run["folder"], of_start["kind"]) == ("run", folder.name, "start")
    subject = run_subject(folder)
    assert [stage["update"] for stage in of_run["stages"]] == [stage.update for stage in subject.stages]
    last = portray(subject, subject.stages[-1], Effort(exponents=2, period=1))
    arrays = of_run["stages"][-1]["arrays"]
    assert arrays["growth"] == last.growth.tolist()
    assert arrays["exponents"] == last.exponents.tolist()
    assert torch.equal(
        torch.view_as_complex(torch.tensor(arrays["eigenvalues"], dtype=torch.float64)), last.eigenvalues
    )
    for q in quantities(last):
        assert of_run["stages"][-1]["numbers"][q.key]["value"] in (q.value, "-inf", None)
    rows = read(out / "csv" / "curves.csv")
    mean = spread(last.log_norms)[0] / math.log(10)
    mine = [row for row in rows if row["folder"] == folder.name and row["update"] == "24"]
    assert [float(row["log10 state norm"]) for row in mine[1:]] == pytest.approx(mean.tolist())
    assert len(read(out / "csv" / "eigenvalues.csv")) == 8 * len(subject.stages) + 3 * 5

    page = (out / "page.html").read_bytes()
    assert main(words) == 0
    assert (out / "page.html").read_bytes() == page, "the same numbers, the same page"


def test_briefly_told_it_is_tables_alone(tmp_path: Path) -> None:
    words = [
        "analyse",
        "np-RNN",
        "IRNN",
        "--hidden",
        "4",
        "--draws",
        "2",
        "--length",
        "6",
        "--exponents",
        "1",
        "--brief",
    ]
    words += ["--out", str(tmp_path / "page.html"), "--json", str(tmp_path / "all.json")]
    words += ["--markdown", str(tmp_path / "md"), "--csv", str(tmp_path / "csv")]
    assert main(words) == 0
    files = {"numbers.csv", "orbits.csv"}
    assert {path.name for path in (tmp_path / "csv").iterdir()} == files
    assert {path.name for path in (tmp_path / "md").iterdir()} == files | {"README.md"}
    page, text = (tmp_path / "page.html").read_text(), (tmp_path / "md" / "README.md").read_text()
    assert "<img" not in page
    assert "![" not in text
    assert "## Spectra" not in text
    assert "## Side by side" in text
    (first, other) = json.loads((tmp_path / "all.json").read_text())["subjects"]
    assert (first["model"], other["model"]) == ("np-RNN", "IRNN")
    (stage,) = first["stages"]
    assert "arrays" not in stage
    (row,) = growth_table(one_each("addition", 6, 2), schemes=["np-RNN"], sizes=[4], draws=2, radius_steps=0)
    assert stage["numbers"]["growth"]["value"] == row.growth


def test_a_damaged_run_does_not_cost_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = trained(tmp_path), trained(tmp_path, seed=1)
    (bad / "config.json").write_text("{")
    options = ["--out", str(tmp_path / "page.html"), "--period", "0"]
    assert main(["analyse", str(tmp_path), "LSTM", *options]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert f"LEFT OUT: {bad}" in told
    assert "LEFT OUT: LSTM: an LSTM has no map" in told
    html = (tmp_path / "page.html").read_text()
    assert good.name in html
    assert "LEFT OUT: LSTM" in html
    assert main(["analyse", str(bad), "LSTM", *options]) == 2
    assert "none of these can be analysed" in capsys.readouterr().err


def test_what_the_command_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in range(13):
        (tmp_path / "many" / str(k)).mkdir(parents=True)
        (tmp_path / "many" / str(k) / "config.json").write_text("{}")
    for words, said in [
        ([], "name at least one run folder or start"),
        (["LSTM"], "gates multiply its states"),
        (["np-RNN", "--task", "mnist", "--length", "9"], "leave out the length 9"),
        (["np-RNN", "--task", "mnist", "--data-dir", str(tmp_path / "many")], "train-images"),
        (["np-RNN", "--task", "adition"], "Did you mean 'addition'"),
        (["np-RNN", "--hidden", "0"], "hidden and draws must be at least 1"),
        (["np-RNN", "--exponents", "0"], "exponents must be at least 1, got 0"),
        (["np-RNN", "--period", "-1"], "period must be at least 0, got -1"),
        ([str(tmp_path / "many")], "these are 13 starts and runs; at most 12"),
        ([str(tmp_path / "many" / "3")], "is not of format"),
        (["IRNM"], "Did you mean"),
    ]:
        assert main(["analyse", *words]) == 2, words
        assert said in " ".join(capsys.readouterr().err.split()), words


def test_a_folder_called_as_a_start_is_reached_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path / "np-RNN")
    monkeypatch.chdir(tmp_path)
    options = ["--hidden", "3", "--draws", "2", "--length", "5", "--period", "0", "--json", "all.json"]
    for word, kind in (("np-RNN", "start"), ("./np-RNN", "run")):
        assert main(["analyse", word, *options]) == 0
        assert [s["kind"] for s in json.loads(Path("all.json").read_text())["subjects"]] == [kind]
