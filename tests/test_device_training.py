"""Training on a device: every tensor stays there, nothing waits for it, and numbers are those of the CPU."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from nprnn.cli import main
from nprnn.models import build_model
from nprnn.ops import use_kernel
from nprnn.runs import BEST, LAST, Run
from nprnn.seeds import derive
from nprnn.sweep import make_plan, prepare, read_account, read_sweep, rehearse
from nprnn.sweep.messages import Broken, Ended, Given, Order
from nprnn.sweep.worker import labour
from nprnn.tasks import Mnist, Sequences, TaskData
from nprnn.tasks.base import Batch, CrossEntropy, SquaredError, placed
from nprnn.training import Member, Outcome, TrainConfig, evaluate, start_run, train, train_ensemble
from nprnn.training.draws import Draws, Place, dropout_factors
from nprnn.training.members import data_on
from nprnn.training.optimizers import StackedClip, StackedOptimizer
from nprnn.training.readout import StackedLosses, eval_batch, live, losses
from nprnn.training.stacked import StackedModels
from pretended_cuda import CUDA, NAME, Pretended, pretended_cuda
from small_runs import CONFIG, TASK, numbers
from test_ensemble_training import mixed, ragged_task
from test_sweep_plan import text_of, written
from test_tasks import write_images


def files(run: Run) -> list[bytes]:
    return [(run.folder / name).read_bytes() for name in (LAST, BEST)]


def members_of(parent: Path, task: Any, configs: Sequence[TrainConfig], data: dict[int, TaskData]) -> list[Member]:
    return [Member(c, data[c.seed], start_run("any", task, c, data[c.seed], parent)) for c in configs]


def assert_same_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, task: Any, configs: Sequence[TrainConfig], mended: Any = None
) -> list[Member]:
    """Train on the CPU and on the device: records and files are equal, to the last bit."""
    data = {config.seed: task.load(config.seed) for config in configs}
    if mended:
        data = {seed: mended(found) for seed, found in data.items()}
    here = members_of(folder / "here", task, configs, data)
    with use_kernel("reference"):
        outcomes = train_ensemble(here)
    there = members_of(folder / "there", task, configs, data)
    with pretended_cuda(monkeypatch):
        assert train_ensemble(there, device="cuda") == outcomes
    assert {outcome.state for outcome in outcomes} == {"finished"}
    for one, other in zip(here, there, strict=True):
        assert numbers(one.run) == numbers(other.run)
        assert files(one.run) == files(other.run)
        assert one.run.folder.name == other.run.folder.name
        assert other.run.env()["device"] == NAME
    return there


@pytest.mark.parametrize(
    "common",
    [
        {"optimizer": "sgd"},
        {"optimizer": "momentum", "lr": 0.01},
        {"optimizer": "rmsprop", "lr": 0.001, "truncate": 2},
        {"optimizer": "adam", "lr": 0.003, "dropout": 0.3},
        {"loss_at": "mean"},
        {"loss_at": "each", "dropout": 0.4},
    ],
    ids=lambda common: "-".join(map(str, common.values())),
)
def test_members_with_everything_different(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, common: dict[str, Any]
) -> None:
    # Members of three seeds and two nonlinearities, with schedules, clips and evaluations of their own.
    configs = [dataclasses.replace(c, updates=22) for c in mixed(**common)][1::2]
    assert_same_there(tmp_path, monkeypatch, TASK, configs)


def test_one_that_ends_leaves_and_losses_may_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [dataclasses.replace(CONFIG, seed=k, updates=8 + 4 * (k % 2), eval_every=4) for k in range(4)]
    turn = iter([1, 4, 9, 16])

    @dataclasses.dataclass(frozen=True)
    class Weighed(SquaredError):
        weight: float = 1.0

        def __call__(self, output: Tensor, y: Tensor, live: Tensor | None = None) -> Tensor:
            return self.weight * super().__call__(output, y, live)

    def weighed(data: TaskData) -> TaskData:
        loss = Weighed(1.0 + next(turn) % 2)
        return dataclasses.replace(data, objective=dataclasses.replace(data.objective, loss=loss))

    assert_same_there(tmp_path, monkeypatch, TASK, configs, weighed)


@pytest.mark.parametrize("optimizer", ["adam"])
def test_lstms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: Any) -> None:
    config = TrainConfig(model="LSTM", hidden=5, batch=4, updates=6, eval_every=3, optimizer=optimizer, lr=0.01)
    configs = [config, dataclasses.replace(config, seed=1)]
    assert_same_there(tmp_path, monkeypatch, TASK, configs)


@pytest.mark.parametrize(
    ("targets", "common"),
    [
        ("sequence", {}),
        ("sequence", {"loss_at": "each", "dropout": 0.4}),
        ("sequence", {"loss_at": "mean", "truncate": 4}),
        ("steps", {"dropout": 0.2}),
    ],
)
def test_sequences_of_different_lengths_are_made_here_and_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, targets: str, common: dict[str, Any]
) -> None:
    # Their classes are weighed, and inputs standardised.
    task = ragged_task(tmp_path, targets)
    config = TrainConfig(hidden=6, batch=5, updates=8, eval_every=4, optimizer="adam", lr=0.01, **common)
    configs = [config, dataclasses.replace(config, model="np-tanhRNN", seed=1)]
    assert_same_there(tmp_path, monkeypatch, task, configs)


def test_sequences_of_one_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    g = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=g.normal(size=(40, 5, 3)).astype(np.float32), y=np.arange(40) % 2)
    config = TrainConfig(hidden=6, batch=5, updates=8, eval_every=4)
    assert_same_there(tmp_path, monkeypatch, Sequences(data=tmp_path / "data.npz"), [config])


def test_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path)
    task = Mnist(valid_size=6, data_dir=tmp_path, any_idx=True, rows=True)
    config = TrainConfig(hidden=6, batch=5, updates=8, eval_every=4)
    assert_same_there(tmp_path, monkeypatch, task, [config, dataclasses.replace(config, seed=1)])


# --- here and there ---------------------------------------------------------------------------------------------------


def test_a_run_goes_back_and_forth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, config = TASK.load(0), dataclasses.replace(CONFIG, optimizer="adam", lr=0.01, snapshots=2)
    with use_kernel("reference"):
        whole = start_run("addition", TASK, config, data, tmp_path / "whole")
        train(config, data, whole)
        parts = start_run("addition", TASK, config, data, tmp_path / "parts")
        train(config, data, parts, stop_after=7)
        with pretended_cuda(monkeypatch):
            train(config, data, parts, stop_after=13, device="cuda")
        train(config, data, parts, stop_after=18)
        with pretended_cuda(monkeypatch):
            model = train(config, data, parts, device="cuda:0")
            assert model.head.weight.device == CUDA
            found = evaluate(model, data.test, data.objective)
            train(config, data, parts, device="cuda")  # nothing left, nothing noted
    assert numbers(parts) == numbers(whole)
    assert files(parts) == files(whole)
    assert parts.snapshots() == whole.snapshots()
    assert found == parts.records()[-1]["test"]
    assert parts.config == whole.config
    env = parts.env()
    told = [(e["update"], e["device"], e.get("cuda"), "started" in e) for e in env["continued"]]
    assert env["device"] == "cpu"
    assert [(update, device, cuda) for update, device, cuda, _ in told] == [
        (7, NAME, "13.0"),
        (13, "cpu", None),
        (18, NAME, "13.0"),
    ]


def test_what_began_on_a_device_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = TASK.load(0)
    run = start_run("addition", TASK, CONFIG, data, tmp_path)
    assert run.env()["device"] == "cpu"
    with pretended_cuda(monkeypatch):
        train(CONFIG, data, run, device="cuda", stop_after=6)
        env = run.env()
        assert (env["device"], env["cuda"], env["kernel"], env["seed"]) == (NAME, "13.0", "reference", 0)
        assert "locations" in env
        before = (run.folder / "env.json").read_bytes()
        train(CONFIG, data, run, device="cuda")
    assert (run.folder / "env.json").read_bytes() == before, "the same device again is no news"


def test_a_run_that_goes_on_with_other_threads_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = TASK.load(0)
    run = start_run("addition", TASK, CONFIG, data, tmp_path)
    threads = torch.get_num_threads()
    train(CONFIG, data, run, stop_after=6)
    before = (run.folder / "env.json").read_bytes()
    train(CONFIG, data, run, stop_after=7)
    assert (run.folder / "env.json").read_bytes() == before
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 5)
    train(CONFIG, data, run)
    (entry,) = run.env()["continued"]
    assert (entry["update"], entry["threads"], run.env()["threads"]) == (7, threads + 5, threads)
    assert "kernel" not in entry
    assert "device" not in entry


def test_a_run_of_before_devices_were_noted(tmp_path: Path) -> None:
    data = TASK.load(0)
    run = start_run("addition", TASK, CONFIG, data, tmp_path)
    train(CONFIG, data, run, stop_after=6)
    env = {name: value for name, value in run.env().items() if name != "device"}
    (run.folder / "env.json").write_text(json.dumps(env))
    train(CONFIG, data, run)
    assert run.env() == env


# --- waiting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["marked", "ragged", "dropout", "ragged dropout"])
def test_between_evaluations_nothing_waits_for_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("nprnn.training.loop._LOOK_EVERY", 1e9)
    task = ragged_task(tmp_path, "sequence") if "ragged" in kind else TASK
    extra: dict[str, Any] = {"optimizer": "rmsprop"}
    if "dropout" in kind:
        extra = {"optimizer": "adam", "dropout": 0.4, "loss_at": "each"}
    config = TrainConfig(hidden=6, batch=4, updates=18, eval_every=6, lr=0.01, cool_at=(), clip=0.1, **extra)
    configs = [config, dataclasses.replace(config, model="np-tanhRNN", seed=1), dataclasses.replace(config, seed=2)]
    members = members_of(tmp_path, task, configs, {seed: task.load(seed) for seed in range(3)})
    waited: list[int] = []
    with pretended_cuda(monkeypatch) as device:

        def stop() -> bool:
            waited.append(len(device.waits))
            return False

        train_ensemble(members, stop=stop, device="cuda")
        assert device.waits
    # Asked after each of six updates, before their numbers are read, then between the evaluations of three members.
    stretches = [waited[k : k + 6] for k in (0, 8, 16)]
    assert len(waited) == 24
    for stretch in stretches:
        assert len(set(stretch)) == 1, device.waits[stretch[0] : stretch[-1]]


def test_what_members_share_is_moved_once(tmp_path: Path) -> None:
    first, second = TASK.load(0), TASK.load(1)
    second = dataclasses.replace(second, valid=first.valid, test=first.test)
    members = members_of(tmp_path, TASK, [CONFIG, dataclasses.replace(CONFIG, lr=0.5)], {0: first})
    members += members_of(tmp_path, TASK, [dataclasses.replace(CONFIG, seed=1)], {1: second})
    assert data_on(members, torch.device("cpu")) == [first, first, second]
    with Pretended() as device:
        one, other, third = data_on(members, CUDA)
        assert one.train is other.train is not third.train
        assert one.test is other.test is third.test
        assert one.valid is third.valid
        assert all(device.holds(v) for v in (one.train.values, one.train.marks))  # type: ignore[attr-defined]
        assert not device.holds(first.train.values)  # type: ignore[attr-defined]
        draws = Draws([Place(m.config, d.train, 0) for m, d in zip(members, (one, other, third), strict=True)], False)
        assert len(draws._streams) == 2


# --- the parts of an update -------------------------------------------------------------------------------------------


class Sparse:
    """A set that cannot be kept on a device, and whose batches are of some thousand numbers."""

    def __init__(self, steps: int) -> None:
        self.steps, self.sizes = steps, cast("list[int]", [])

    def __len__(self) -> int:
        return 1000

    def batch(self, index: Tensor) -> Batch:
        assert index.device.type == "cpu"
        self.sizes.append(len(index))
        return Batch(torch.ones(self.steps, len(index), 1) * index[:, None], index.float())


def test_more_is_drawn_at_once_for_a_device() -> None:
    config = dataclasses.replace(CONFIG, batch=8)
    for device, sizes in (("cpu", [8, 8, 8]), ("cuda", [8, 16])):
        split = Sparse(40_000)
        with Pretended():
            taken = list(Draws([Place(config, split, 0)], False, torch.device(device)).take(3))
            assert {v.device.type for batch in taken for v in (batch.x, batch.y)} == {device}
        assert split.sizes == sizes
        assert [batch.x.shape for batch in taken] == [(40_000, 8, 1)] * 3
    # Memory bounds it there too.
    split = Sparse(40_000)
    config = dataclasses.replace(CONFIG, batch=900)
    with Pretended():
        list(Draws([Place(config, split, 0)], False, CUDA).take(3))
    assert split.sizes == [900, 900, 900]


def test_every_part_of_an_update_stays_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [dataclasses.replace(CONFIG, seed=k, clip_by=by) for k, by in enumerate(("norm", "value"))]  # type: ignore[arg-type]
    with use_kernel("reference"), Pretended() as device:
        places = [Place(config, placed(TASK.load(config.seed).train, CUDA), 0) for config in configs]
        monkeypatch.setattr(torch.backends.cudnn, "is_acceptable", lambda _: False)
        models = StackedModels([build_model("np-RNN", 2, 1, hidden_size=8).to(CUDA) for _ in configs])
        optimizer, clip = StackedOptimizer(configs, models.parameters), StackedClip(configs, models.parameters)
        assert device.holds(models.parameters)
        for batch in Draws(places, False, CUDA).take(3):
            outputs = models(batch.x)
            loss = losses(outputs, batch, "last", SquaredError(), steps_have_targets=False)
            gradients = models.differentiate(loss)
            norms, factors = clip(gradients)
            optimizer.step(gradients, models.parameters.new_ones(2, 1), factors)
            assert factors is not None
            for v in (batch.x, batch.y, outputs, loss, gradients, norms, factors, models.parameters):
                assert v.device == CUDA
        models.keep(torch.tensor([1]))
        optimizer.keep(torch.tensor([1]), models.parameters)
        assert [p.device for p in models.models[0].parameters()] == [CUDA] * 6
        assert [v.device for v in optimizer.member(0).values()] == []


def test_small_tensors_are_made_where_they_are_used() -> None:
    weights = CrossEntropy((1.0, 2.0, 0.5))
    output = torch.randn(4, 3, generator=derive(0, "output"))
    y, alive = torch.tensor([0, 1, 2, 1]), torch.tensor([True, True, False, True])
    expected = weights(output, y, alive)
    with torch.inference_mode():
        CrossEntropy((1.0, 2.0, 0.25))(output, y)
    # Who asked first for the weights is of no account to autograd.
    CrossEntropy((1.0, 2.0, 0.25))(output.requires_grad_(), y).backward()
    lengths = torch.tensor([[3, 1], [2, 2]])
    with Pretended():
        assert live(lengths.to(CUDA), 3).device == CUDA
        assert torch.equal(live(lengths.to(CUDA), 3).cpu(), live(lengths, 3))
        there = weights(output.detach().to(CUDA), y.to(CUDA), alive.to(CUDA))
        assert there.device == CUDA
        assert there.cpu() == expected


def test_losses_of_several_kinds_come_back_in_order() -> None:
    data = TASK.load(0)
    kinds = [CrossEntropy(), SquaredError(), CrossEntropy((1.0, 3.0)), SquaredError(), CrossEntropy()]
    objectives = [dataclasses.replace(data.objective, loss=kind) for kind in kinds]  # type: ignore[arg-type]
    outputs = torch.randn(5, 4, 2, generator=derive(0, "outputs"))
    y = torch.tensor([[0, 1, 1, 0]] * 5)

    class Squared(SquaredError):
        def __call__(self, output: Tensor, y: Tensor, live: Tensor | None = None) -> Tensor:
            return super().__call__(output, torch.stack([y, y], -1).float(), live)

    objectives = [
        dataclasses.replace(o, loss=Squared()) if type(o.loss) is SquaredError else o  # type: ignore[arg-type]
        for o in objectives
    ]
    batch = Batch(torch.empty(0), y)
    found = StackedLosses(objectives, "last", False)(outputs, batch)
    assert found.tolist() == [float(o.loss(outputs[k], y[k])) for k, o in enumerate(objectives)]


def test_dropout_is_the_cpus_wherever_it_is_used() -> None:
    config = dataclasses.replace(CONFIG, dropout=0.5)
    batch = Batch(torch.zeros(1, 6, 4, 2), torch.zeros(1, 4), torch.tensor([[3, 2, 1, 3]]))
    with Pretended() as device:
        there = batch.to(CUDA)
        assert [v.device for v in there if v is not None] == [CUDA] * 3
        waits = len(device.waits)
        factors = dropout_factors([(config, 3)], there._replace(lengths=batch.lengths), for_each_step=True)
        assert factors.device.type == "cpu"
        assert len(device.waits) == waits
    assert torch.equal(factors, dropout_factors([(config, 3)], batch, for_each_step=True))


def test_more_sequences_are_judged_at_once_on_a_device() -> None:
    assert (eval_batch(150), eval_batch(150, CUDA), eval_batch(1 << 30, CUDA)) == (500, 2048, 1)


# --- sweeps -----------------------------------------------------------------------------------------------------------


def test_a_device_takes_groups_whole_as_far_as_memory_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = [k / 1000 for k in range(1, 31)]
    file = read_sweep(written(tmp_path, text_of(grid={"lr": rates, "hidden": [8, 9]}, seeds=5, fixed={"length": 6})))
    members, facts = prepare(file)
    monkeypatch.setattr("nprnn.sweep.plan.room", lambda device: 2**40)
    plan = make_plan(file, tmp_path / "none", members, facts, 1, None, CUDA)
    assert [len(shard) for shard in plan.shards] == [150, 150]
    assert plan.device == CUDA
    parts = make_plan(file, tmp_path / "none", members, facts, 1, 40, CUDA).shards
    assert sorted(map(len, parts)) == [37] * 4 + [38] * 4
    # Of the data each takes its part: five training sets for 150.
    (known,) = facts.values()
    assert known.data_bytes > 100 * plan.shards[0].memory / 150
    monkeypatch.setattr("nprnn.sweep.plan.room", lambda device: 3 * known.data_bytes)
    plan = make_plan(file, tmp_path / "none", members, facts, 1, None, CUDA)
    assert [len(shard) for shard in plan.shards] == [75] * 4
    assert all(sum(plan.memory(shard)) <= 5 * known.data_bytes for shard in plan.shards)
    # Two workers share the device.
    assert len(make_plan(file, tmp_path / "none", members, facts, 2, None, CUDA).shards) == 8


class Wire:
    """What a worker says."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def send(self, message: Any) -> None:
        self.said.append(message)

    def close(self) -> None:
        pass


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker leaves this process's signals and floating point as they are."""
    monkeypatch.setattr("nprnn.sweep.worker.Stop", lambda parent: lambda: False)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(torch, "set_flush_denormal", lambda _: True)


@pytest.mark.usefixtures("in_this_process")
def test_a_worker_computes_where_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [dataclasses.replace(CONFIG, lr=0.1 / (k + 1)) for k in range(2)]
    members = [Given(k, TASK, config, TASK.load(0).fingerprint) for k, config in enumerate(configs)]
    wire = Wire()
    with pretended_cuda(monkeypatch):
        labour(cast(Any, wire), Order("addition", members, tmp_path, 0, "cuda"))
    assert [m.state for m in wire.said if isinstance(m, Ended)] == ["finished"] * 2
    assert {Run.open(path.parent).env()["device"] for path in tmp_path.glob("*/config.json")} == {NAME}


@pytest.mark.usefixtures("in_this_process")
def test_a_worker_whose_device_is_full_says_what_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> list[Outcome]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("nprnn.sweep.worker.train_ensemble", full)
    wire = Wire()
    labour(cast(Any, wire), Order("addition", [Given(0, TASK, CONFIG, TASK.load(0).fingerprint)], tmp_path, 0))
    (broken,) = [m for m in wire.said if isinstance(m, Broken)]
    assert broken.error == "OutOfMemoryError: CUDA out of memory; train fewer members at once with --ensemble"


class InThisProcess:
    """A worker's process that is none."""

    exitcode = 0

    def __init__(self, target: Any, args: Any, daemon: bool) -> None:
        self.start = lambda: target(*args)

    def join(self, seconds: float | None = None) -> None:
        pass

    def is_alive(self) -> bool:
        return False


@pytest.mark.usefixtures("in_this_process")
def test_a_sweep_by_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, text_of(grid={"lr": [0.01, 0.02], "model": ["np-RNN", "np-tanhRNN"]}, seeds=2))
    monkeypatch.setattr("nprnn.sweep.plan.room", lambda device: 2**30)
    processes = SimpleNamespace(Process=InThisProcess, Pipe=multiprocessing.get_context("spawn").Pipe)
    monkeypatch.setattr("nprnn.spawning._PROCESSES", processes)
    with pretended_cuda(monkeypatch):
        assert main(["sweep", str(path), "--out", str(tmp_path / "out"), "--device", "cuda"]) == 0
    assert "8 members in 1 shard, 1 worker at once on cuda" in capsys.readouterr().out
    folders = [found.parent for found in (tmp_path / "out").glob("*/config.json")]
    assert len(folders) == 8
    assert {Run.open(folder).env()["device"] for folder in folders} == {NAME}
    account = read_account(tmp_path / "out")
    assert account is not None
    (session,) = account["sessions"]
    assert (session["device"], session["workers"], len(session["shards"])) == ("cuda", 1, 1)


def test_a_dry_run_measures_on_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = read_sweep(written(tmp_path, text_of(grid={"lr": [0.01, 0.02]})))
    monkeypatch.setattr("nprnn.sweep.plan.room", lambda device: 2**30)
    monkeypatch.setattr("nprnn.sweep.rehearsal._SECONDS", 0.5)
    monkeypatch.setattr("nprnn.sweep.rehearsal._SECONDS_WARMING", 0.1)
    with pretended_cuda(monkeypatch) as device:
        plan = make_plan(file, tmp_path / "none", *prepare(file), 1, None, CUDA)
        estimate = rehearse(plan)
        assert device.waits
    (speed,) = estimate.speeds.values()
    assert 0 < speed.update < 0.5
    assert speed.evaluation > 0
    assert estimate.seconds > 0


# --- a real one -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["np-RNN", "np-tanhRNN", "LSTM"])
def test_two_updates_on_a_real_device(tmp_path: Path, model: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("NO CUDA DEVICE: training on one is tested on a pretended device alone")
    config = dataclasses.replace(CONFIG, model=model, updates=2, eval_every=1)
    data = TASK.load(0)
    runs = [start_run("addition", TASK, config, data, tmp_path / name) for name in ("cpu", "cuda")]
    here, there = (train(config, data, run, device=name) for run, name in zip(runs, ("cpu", "cuda"), strict=True))
    assert there.head.weight.is_cuda
    for (name, a), b in zip(here.state_dict().items(), there.state_dict().values(), strict=True):
        torch.testing.assert_close(b.cpu(), a, rtol=1e-4, atol=1e-6, msg=name)
    for a, b in zip(numbers(runs[0]), numbers(runs[1]), strict=True):
        assert b["test"]["mse"] == pytest.approx(a["test"]["mse"], rel=1e-4)
    assert runs[1].env()["device"] == torch.cuda.get_device_name()
    train(dataclasses.replace(config), data, runs[1], device="cpu")
