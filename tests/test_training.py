"""The loop against one written out by hand; schedule, order, resume; what happens when numbers blow up."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nprnn.configs import as_record, from_record
from nprnn.errors import ConfigError, NonFiniteError, RunError
from nprnn.models import build_model
from nprnn.runs import BEST, Run
from nprnn.seeds import derive
from nprnn.tasks import TASKS, Addition, Batch, Mnist
from nprnn.training import (
    PRESETS,
    TrainConfig,
    batches,
    evaluate,
    find_preset,
    load_data,
    load_trained,
    readings,
    start_model,
    start_run,
    train,
)
from nprnn.training.draws import dropout_factors
from small_runs import CONFIG, TASK, numbers


def new_run(parent: Path, config: TrainConfig = CONFIG) -> tuple[Run, Any]:
    data = TASK.load(config.seed)
    return start_run("addition", TASK, config, data, parent), data


@pytest.mark.parametrize("clip_by", ["norm", "value"])
def test_the_loop_is_the_loop_written_out(tmp_path: Path, clip_by: str) -> None:
    config = TrainConfig(hidden=8, batch=4, updates=24, lr=0.05, eval_every=6, clip=0.05, clip_by=clip_by)  # type: ignore[arg-type]
    run, data = new_run(tmp_path, config)
    got = train(config, data, run)

    model = build_model("np-RNN", 2, 1, hidden_size=8, generator=derive(0, "start"))
    for update in range(24):
        epoch, k = divmod(update, 10)
        order = torch.randperm(40, generator=derive(0, "order", epoch))
        x, y, _ = data.train.batch(order[4 * k : 4 * k + 4])
        loss = ((model(x)[:, 0] - y) ** 2).mean()
        parameters = [p for p in model.parameters() if p.requires_grad]
        gradients = torch.autograd.grad(loss, parameters)
        if clip_by == "norm":
            norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
            gradients = tuple(g * min(1.0, 0.05 / norm) for g in gradients)
        else:
            gradients = tuple(g.clamp(-0.05, 0.05) for g in gradients)
        lr = 0.05 if update < 18 else 0.005
        with torch.no_grad():
            for p, g in zip(parameters, gradients, strict=True):
                p -= lr * g
    for (name, a), b in zip(got.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)


def test_records_and_files(tmp_path: Path) -> None:
    run, data = new_run(tmp_path)
    model = train(CONFIG, data, run)
    records = run.records()
    assert [r["update"] for r in records] == [6, 12, 18, 24]
    assert [r["lr"] for r in records] == pytest.approx([0.05, 0.05, 0.05, 0.005])
    assert records[-1]["test"] == evaluate(model, data.test, data.objective)
    env = json.loads((run.folder / "env.json").read_text())
    assert env["torch"] == torch.__version__
    assert env["threads"] == torch.get_num_threads()
    config = json.loads((run.folder / "config.json").read_text())
    assert config["train_config"]["lr"] == 0.05
    assert config["data"] == data.fingerprint


def test_evaluate_weighs_every_sequence_once() -> None:
    data = Addition(length=6, train_size=1, test_size=1203).load(0)
    model = build_model("np-RNN", 2, 1, hidden_size=5, generator=derive(0, "x"))
    x, y, _ = data.test.batch(torch.arange(1203))
    with torch.no_grad():
        error = (model(x)[:, 0] - y).double()
    got = evaluate(model, data.test, data.objective)
    assert got["mse"] == pytest.approx(float(error.square().mean()), rel=1e-6)
    assert got["within_0.04"] == pytest.approx(float((error.abs() < 0.04).double().mean()))
    assert model.training


def test_classification_objective(tmp_path: Path) -> None:
    from test_tasks import write_images

    write_images(tmp_path)
    objective = Mnist(valid_size=0, data_dir=tmp_path, any_idx=True).load(0).objective
    output = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    y = torch.tensor([0, 2])
    sums = objective.sums(output, y)
    assert sums["accuracy"] == 1
    want = math.log(math.exp(2) + 2) - 2 + math.log(math.e + 2)
    assert sums["cross_entropy"] == pytest.approx(want)
    assert float(objective.loss(output, y)) == pytest.approx(want / 2)


@pytest.mark.parametrize("stops", [(6,), (7, 13), (1, 2, 3), (18, 23)])
def test_a_stopped_run_goes_on_as_if_it_had_not_been(tmp_path: Path, stops: tuple[int, ...]) -> None:
    whole, data = new_run(tmp_path / "whole")
    want = train(CONFIG, data, whole)
    for stop in stops:
        run, data = new_run(tmp_path / "parts")
        train(CONFIG, data, run, stop_after=stop)
        assert run.saved == stop
    run, data = new_run(tmp_path / "parts")
    got = train(CONFIG, data, run)
    for a, b in zip(got.parameters(), want.parameters(), strict=True):
        assert torch.equal(a, b)
    assert numbers(run) == numbers(whole)
    for name in ("checkpoint.safetensors", "best.safetensors"):
        assert (run.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_records_past_the_checkpoint_are_dropped_and_made_again(tmp_path: Path) -> None:
    whole, data = new_run(tmp_path / "whole")
    train(CONFIG, data, whole)
    run, data = new_run(tmp_path / "killed")
    train(CONFIG, data, run, stop_after=12)
    # As after a kill between the record of update 18 and its checkpoint, in the middle of a line.
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({**run.records()[-1], "update": 18, "loss": -1.0}) + '\n{"update": 24, "lo')
    train(CONFIG, data, new_run(tmp_path / "killed")[0])
    assert numbers(run) == numbers(whole)


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    run, data = new_run(tmp_path)
    train(CONFIG, data, run)
    before = {p.name: p.stat().st_mtime_ns for p in run.folder.iterdir() if p.name != ".lock"}
    train(CONFIG, data, new_run(tmp_path)[0])
    assert {p.name: p.stat().st_mtime_ns for p in run.folder.iterdir() if p.name != ".lock"} == before


@given(size=st.integers(1, 50), batch=st.integers(1, 50), seed=st.integers(0, 5), start=st.integers(0, 60))
def test_every_epoch_is_a_permutation_and_any_update_can_come_first(
    size: int, batch: int, seed: int, start: int
) -> None:
    batch = min(batch, size)
    config = TrainConfig(batch=batch, seed=seed)
    per_epoch = size // batch
    all_of = [index.tolist() for _, index in batches(config, size, 0, 2 * per_epoch + start)]
    for epoch in range(2):
        seen = [i for index in all_of[epoch * per_epoch : (epoch + 1) * per_epoch] for i in index]
        assert len(seen) == len(set(seen)) == per_epoch * batch
    later = [(update, index.tolist()) for update, index in batches(config, size, start, 2 * per_epoch + start)]
    assert later == list(enumerate(all_of))[start:]


def test_schedule() -> None:
    config = TrainConfig(updates=100, lr=1.0, cool_at=(0.33, 0.66))
    rates = [config.lr_at(u) for u in range(100)]
    assert rates == pytest.approx([1.0] * 33 + [0.1] * 33 + [0.01] * 34)


@pytest.mark.parametrize("lr", [1e20, 1e38])
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(tmp_path: Path, lr: float) -> None:
    good, data = new_run(tmp_path)
    train(CONFIG, data, good, stop_after=6)
    kept = (good.folder / "checkpoint.safetensors").read_bytes()
    wild = TrainConfig(hidden=8, batch=4, updates=60, lr=lr, eval_every=1000, clip=0.0)
    # The good run's folder under wild settings: what a run would meet that blows up after its first checkpoint.
    with pytest.raises(NonFiniteError, match=r"update \d+: .*keeps the checkpoint of update 6; try a smaller lr"):
        train(wild, data, good)
    assert good.diverged()
    assert (good.folder / "checkpoint.safetensors").read_bytes() == kept


def test_the_model_comes_back_from_its_folder_alone(tmp_path: Path) -> None:
    run, data = new_run(tmp_path)
    model = train(CONFIG, data, run)
    trained = load_trained(run.folder)
    assert (trained.config, trained.update, trained.at, trained.input_size) == (CONFIG, 24, "last", 2)
    assert trained.class_names is None
    for a, b in zip(trained.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert load_data(run).fingerprint == data.fingerprint


def test_the_best_on_validation_is_kept_beside_the_last(tmp_path: Path) -> None:
    config = TrainConfig(hidden=8, batch=4, updates=60, lr=0.3, eval_every=3, clip=1.0)
    run, data = new_run(tmp_path, config)
    train(config, data, run)
    records = run.records()
    best = min(records, key=lambda r: r["valid"]["mse"])
    assert best["update"] != records[-1]["update"], "choose settings whose last iterate is not the best"
    trained = load_trained(run.folder, BEST)
    assert trained.update == best["update"]
    assert evaluate(trained.model, data.test, data.objective) == best["test"]
    assert evaluate(trained.model, data.valid, data.objective) == best["valid"]
    found = readings(records, "mse", False)
    assert found["final"] == records[-1]["test"]
    last_two = [r["test"]["mse"] for r in records[-2:]]
    assert found["mean of last 10 %"]["mse"] == pytest.approx(sum(last_two) / 2)
    assert found["chosen on validation"] == {**best["test"], "update": best["update"]}


def test_nothing_is_chosen_by_the_test_set(tmp_path: Path) -> None:
    config = TrainConfig(hidden=8, batch=4, updates=30, lr=0.3, eval_every=3)
    run, data = new_run(tmp_path / "a", config)
    train(config, data, run)
    upside_down = dataclasses.replace(data, test=Addition(length=6, train_size=1, test_size=7).load(1).test)
    other = start_run("addition", TASK, config, upside_down, tmp_path / "b")
    train(config, upside_down, other)
    for name in ("checkpoint.safetensors", "best.safetensors"):
        assert (run.folder / name).read_bytes() == (other.folder / name).read_bytes()


def test_damaged_and_unfinished_folders(tmp_path: Path) -> None:
    run, data = new_run(tmp_path)
    with pytest.raises(RunError, match=r"no checkpoint\.safetensors yet"):
        load_trained(run.folder)
    train(CONFIG, data, run)
    text = (run.folder / "config.json").read_text()
    (run.folder / "config.json").write_text(text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(RunError, match="is damaged: it is another config than the folder's name says"):
        load_trained(run.folder)
    (run.folder / "config.json").write_text(text)
    # Under a name that says nothing of its config.
    folder = run.folder.rename(tmp_path / "strange")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "data": "0" * 64}))
    with pytest.raises(RunError, match="fingerprints differ"):
        load_data(Run.open(folder))
    path.write_text(json.dumps({**config, "train_config": {**config["train_config"], "lrr": 1}}))
    with pytest.raises(ConfigError, match=r"unknown setting 'lrr'\. Did you mean 'lr'"):
        load_trained(folder)
    path.write_text(json.dumps({k: v for k, v in config.items() if k != "task"}))
    with pytest.raises(RunError, match=r"config\.json is damaged"):
        load_data(Run.open(folder))
    path.write_text(json.dumps({**config, "model": {**config["model"], "input_size": 5}}))
    with pytest.raises(RunError, match="is not of its model"):
        load_trained(folder)


@pytest.mark.parametrize("name", ["sgd", "momentum", "rmsprop", "adam"])
def test_optimisers_are_torchs_and_survive_a_stop(tmp_path: Path, name: str) -> None:
    config = TrainConfig(hidden=8, batch=4, updates=24, lr=0.01, eval_every=6, clip=0.0, optimizer=name, decay=0.9)  # type: ignore[arg-type]
    run, data = new_run(tmp_path / "whole", config)
    got = train(config, data, run)
    model = build_model("np-RNN", 2, 1, hidden_size=8, generator=derive(0, "start"))
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.01),
        "momentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
        "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, eps=1e-8),
        "adam": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.9, 0.9), eps=1e-8),
    }[name](parameters)
    for update, index in batches(config, 40, 0, 24):
        x, y, _ = data.train.batch(index)
        optimizer.param_groups[0]["lr"] = config.lr_at(update)
        optimizer.zero_grad()
        ((model(x)[:, 0] - y) ** 2).mean().backward()
        optimizer.step()
    for a, b in zip(got.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    for stop in (7, 12, 24):
        parts, data = new_run(tmp_path / "parts", config)
        train(config, data, parts, stop_after=stop)
    assert numbers(parts) == numbers(run)
    a, b = ((folder / "checkpoint.safetensors").read_bytes() for folder in (parts.folder, run.folder))
    assert a == b


def test_a_request_to_stop_checkpoints_that_very_update(tmp_path: Path) -> None:
    whole, data = new_run(tmp_path / "whole")
    train(CONFIG, data, whole)
    asked = iter([False] * 8 + [True])
    run, data = new_run(tmp_path / "stopped")
    train(CONFIG, data, run, stop=lambda: next(asked))
    assert run.saved == 9
    train(CONFIG, data, run)
    assert numbers(run) == numbers(whole)


def test_a_cut_checkpoint_costs_one_interval(tmp_path: Path) -> None:
    whole, data = new_run(tmp_path / "whole")
    train(CONFIG, data, whole)
    run, data = new_run(tmp_path / "cut")
    train(CONFIG, data, run, stop_after=18)
    path = run.folder / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    again = new_run(tmp_path / "cut")[0]
    train(CONFIG, data, again)
    assert "is damaged" in again.notice
    assert "going on from the checkpoint before it, of update 12" in again.notice
    assert numbers(again) == numbers(whole)


def test_two_processes_cannot_train_in_one_folder(tmp_path: Path) -> None:
    run, data = new_run(tmp_path)
    with run.lock(), pytest.raises(RunError, match="another process is training in"):
        train(CONFIG, data, new_run(tmp_path)[0])
    train(CONFIG, data, new_run(tmp_path)[0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "np-rn"}, "Did you mean 'np-RNN'"),
        ({"lr": 0.0}, "lr must be a finite number above 0"),
        ({"lr": float("nan")}, "lr must be a finite number above 0, got nan"),
        ({"clip": -1.0}, "clip must be"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"hidden": -1}, "hidden must be at least 1"),
        ({"updates": 0}, "updates must be at least 1"),
        ({"eval_every": 0}, "eval_every must be at least 1"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"cool_at": (0.5, 0.2)}, "rising fractions"),
        ({"cool_at": (1.5,)}, "rising fractions"),
        ({"optimizer": "lbfgs"}, "optimizer must be 'sgd' or"),
        ({"momentum": 1.0}, "momentum must be from 0 to below 1"),
        ({"truncate": 0}, "truncate must be at least 1"),
        ({"loss_at": "first"}, "loss_at must be"),
        ({"clip_by": "size"}, "clip_by must be 'norm' or 'value'"),
        ({"snapshots": -1}, "snapshots must be 0 or more"),
        ({"fan": "out"}, "fan must be 'hidden' or 'in'"),
    ],
)
def test_impossible_settings(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        TrainConfig(**change)


def test_batch_and_stop_must_fit(tmp_path: Path) -> None:
    config = TrainConfig(hidden=8, batch=41, updates=4)
    run, data = new_run(tmp_path, config)
    with pytest.raises(ConfigError, match="batch 41 is larger than the training set of 40"):
        train(config, data, run)
    with pytest.raises(ConfigError, match="stop_after must be at least 1"):
        train(CONFIG, data, run, stop_after=0)


def test_settings_survive_json() -> None:
    for name, presets in PRESETS.items():
        for preset in presets.values():
            config = TrainConfig(**preset.train)
            assert from_record(TrainConfig, json.loads(json.dumps(as_record(config)))) == config
            task: Any = TASKS[name](**preset.task)
            assert from_record(type(task), json.loads(json.dumps(as_record(task)))) == task
    mnist = Mnist(data_dir=Path("x"), any_idx=True, permute=3)
    assert "data_dir" not in as_record(mnist)
    both = json.loads(json.dumps({**as_record(mnist), **as_record(mnist, locations=True)}))
    assert from_record(Mnist, both) == mnist


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"lr": "fast"}, "setting 'lr' must be a number, got the text 'fast'"),
        ({"batch": 1.5}, "setting 'batch' must be .*int.*, got 1.5"),
        ({"batch": True}, "setting 'batch' must be"),
        ({"clip_by": "size"}, "setting 'clip_by' must be"),
        ({"cool_at": 0.5}, "setting 'cool_at' must be"),
        ({"learning_rate": 1.0}, "unknown setting 'learning_rate'"),
    ],
)
def test_settings_of_the_wrong_type(record: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        from_record(TrainConfig, record)


def test_paper_preset_is_the_papers_protocol() -> None:
    addition = TrainConfig(**find_preset("addition", "paper").train)
    assert (addition.batch, addition.lr, addition.clip, addition.updates) == (1, 1e-3, 10.0, 1_000_000)
    assert addition.lr_at(999_999) == 1e-3
    mnist = TrainConfig(**find_preset("mnist", "paper").train)
    assert mnist.updates == 100 * 60_000 // 16
    epoch = 3750
    assert [mnist.lr_at(e * epoch) for e in (0, 32, 33, 65, 66, 99)] == pytest.approx(
        [1e-4, 1e-4, 1e-5, 1e-5, 1e-6, 1e-6]
    )
    rival = TrainConfig(**find_preset("mnist", "paper").for_model("IRNN"))
    assert (rival.optimizer, rival.lr_at(0), rival.lr_at(374_999), rival.batch) == ("rmsprop", 1e-6, 1e-6, 16)
    product = TrainConfig(**find_preset("multiplication", "paper").train)
    assert (product.batch, product.updates) == (16, 625_000)
    assert [product.lr_at(u) for u in (0, 208_332, 208_333, 416_667, 624_999)] == pytest.approx(
        [2e-4, 2e-4, 2e-5, 2e-6, 2e-6]
    )
    with pytest.raises(ConfigError, match=r"unknown preset of addition 'papr'\. Did you mean 'paper'"):
        find_preset("addition", "papr")


def test_the_recipe_has_a_model_of_its_own_that_a_user_may_change() -> None:
    for task in ("addition", "mnist"):
        preset = find_preset(task, "best")
        config = TrainConfig(**preset.for_model(preset.model))
        assert (config.model, config.lr_hh, config.optimizer) == ("oRNN-mirror", 0.01, "adam")
        assert TrainConfig(**preset.for_model("IRNN")).model == "IRNN"
    assert config.updates * config.batch <= 50 * 55_000
    assert find_preset("mnist", "paper").model == "np-RNN"


def test_a_step_that_ruins_the_weights_is_no_success(tmp_path: Path) -> None:
    config = TrainConfig(hidden=8, batch=4, updates=3, lr=1e36, eval_every=1, clip=0.0)
    run, data = new_run(tmp_path, config)
    with pytest.raises(NonFiniteError, match=r"update 1: .*not finite.*keeps the checkpoint of update 0"):
        train(config, data, run)
    assert run.records() == []
    assert run.diverged() == 1
    assert not list(run.folder.glob("*.safetensors"))


def test_a_run_that_goes_on_after_all_is_not_called_diverged(tmp_path: Path) -> None:
    run, data = new_run(tmp_path)
    train(CONFIG, data, run, stop_after=6)
    (run.folder / "diverged.json").write_text('{"update": 7}')
    assert run.diverged() == 7
    train(CONFIG, data, run)
    assert run.diverged() is None
    assert run.records()[-1]["update"] == CONFIG.updates


def test_what_validation_cannot_judge_it_does_not_choose() -> None:
    nan = float("nan")
    records = [{"update": u, "valid": {"mse": v}, "test": {"mse": v}} for u, v in ((1, nan), (2, 0.5), (3, 0.7))]
    assert readings(records, "mse", False)["chosen on validation"]["update"] == 2
    assert "chosen on validation" not in readings(records[:1], "mse", False)


def test_weights_alone_are_nothing_to_go_on_from(tmp_path: Path) -> None:
    run, data = new_run(tmp_path)
    train(CONFIG, data, run, stop_after=6)
    (run.folder / "checkpoint.safetensors").write_bytes((run.folder / "best.safetensors").read_bytes())
    with pytest.raises(RunError, match="holds weights but not what training needs"):
        train(CONFIG, data, run)


def test_a_config_that_claims_a_giant_model_is_refused_before_it_is_built(tmp_path: Path) -> None:
    run, data = new_run(tmp_path)
    train(CONFIG, data, run, stop_after=6)
    # Under a name that says nothing of its config.
    folder = run.folder.rename(tmp_path / "strange")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["train_config"]["hidden"] = 10**6
    path.write_text(json.dumps(config))
    with pytest.raises(RunError, match="1 outputs of 1000000 hidden units, the weights are"):
        load_trained(folder)


def test_dropout_and_weight_decay(tmp_path: Path) -> None:
    finals = {}
    for name, settings in {"none": {}, "dropout": {"dropout": 0.5}, "decay": {"weight_decay": 0.5}}.items():
        config = TrainConfig(hidden=8, batch=4, updates=24, lr=0.05, eval_every=6, **settings)
        run, data = new_run(tmp_path / name, config)
        finals[name] = train(config, data, run)
        again, data = new_run(tmp_path / f"{name}-stopped", config)
        train(config, data, again, stop_after=11)
        train(config, data, again)
        assert numbers(again) == numbers(run)
    norms = {k: float(m.rnn.weight_ih_l0.detach().norm()) for k, m in finals.items()}
    assert norms["decay"] < 0.8 * norms["none"]
    assert norms["dropout"] != norms["none"]


def test_dropout_keeps_the_mean() -> None:
    config = dataclasses.replace(CONFIG, dropout=0.3, batch=40, hidden=500)
    batch = Batch(torch.rand(2, 5, 40, 2), torch.rand(2, 40))
    first, other = dropout_factors(
        [(config, 0), (dataclasses.replace(config, dropout=0.0), 0)], batch, for_each_step=False
    )
    assert first.shape == (40, 500)
    assert set(first.unique().tolist()) == {0.0, float(torch.tensor(1.0) / (1 - 0.3))}
    # 20,000 units, each dropped with probability 0.3: an error of 5 sigma is one in two million.
    assert abs(float((first == 0).double().mean()) - 0.3) < 5 * (0.3 * 0.7 / 20_000) ** 0.5
    assert bool((other == 1).all())
    later = dropout_factors([(config, 1)], batch, for_each_step=True)
    assert later.shape == (1, 5, 40, 500)
    assert not torch.equal(later[0, 0], first)


@pytest.mark.parametrize(("updates", "every", "count"), [(24, 6, 2), (24, 5, 3), (24, 6, 100), (7, 50, 3), (24, 6, 0)])
def test_snapshots_stand_evenly_at_evaluations(tmp_path: Path, updates: int, every: int, count: int) -> None:
    config = dataclasses.replace(CONFIG, updates=updates, eval_every=every, snapshots=count)
    run, data = new_run(tmp_path, config)
    train(config, data, run)
    evaluated = [record["update"] for record in run.records()]
    places = [updates * k / count for k in range(1, count + 1)]
    wanted = sorted({next(update for update in evaluated if update >= place) for place in places})
    assert list(run.snapshots()) == wanted
    assert len(wanted) == min(count, len(evaluated))
    if wanted:
        last = run.read_checkpoint(run.snapshots()[updates])
        assert last is not None
        assert torch.equal(last.tensors["model.rnn.weight_hh_l0"], load_trained(run.folder).model.rnn.weight_hh_l0)


def test_snapshots_past_the_checkpoint_are_made_again(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, snapshots=4)
    run, data = new_run(tmp_path, config)
    train(config, data, run, stop_after=12)
    late = run.folder / "snapshot-000000018.safetensors"
    late.write_bytes(b"of another try")
    (run.folder / ".snapshot-000000012.safetensors.xyz").write_bytes(b"half")
    run.resume()
    assert list(run.snapshots()) == [6, 12]
    assert not list(run.folder.glob(".snapshot-*"))
    train(config, data, run)
    assert list(run.snapshots()) == [6, 12, 18, 24]
    assert "snapshots" not in as_record(TrainConfig())


def test_a_slip_is_put_into_the_start_alone_and_older_runs_keep_their_identity() -> None:
    data = TASK.load(0)
    right, wrong = (start_model(TrainConfig(hidden=8, slip=slip), data) for slip in ("none", "both"))
    assert torch.equal(right.rnn.weight_hh_l0, wrong.rnn.weight_hh_l0)
    ratio = math.exp(1.2 / 8 - 2.4 - 1.2 / (8 - 2.4)) / math.sqrt(8)
    torch.testing.assert_close(wrong.rnn.weight_ih_l0, ratio * right.rnn.weight_ih_l0)
    torch.testing.assert_close(wrong.head.weight, math.sqrt(2 / 9) * right.head.weight)
    assert "slip" not in as_record(TrainConfig())
    assert from_record(TrainConfig, as_record(TrainConfig(slip="alpha"))).slip == "alpha"
    with pytest.raises(ConfigError, match="LSTM has none"):
        TrainConfig(model="LSTM", slip="both")
