"""Members of an ensemble against lone runs and against torch.optim; who leaves leaves the others alone."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from nprnn.errors import ConfigError, NonFiniteError, RunError
from nprnn.models import SequenceModel
from nprnn.runs import BEST, LAST, Run
from nprnn.runs.checkpoint import pack
from nprnn.runs.run import RECORDED
from nprnn.tasks import Addition, Sequences, TaskData
from nprnn.tasks.base import CrossEntropy, SquaredError, Standardisation
from nprnn.training import (
    Member,
    Outcome,
    TrainConfig,
    ensemble_key,
    load_trained,
    start_model,
    start_run,
    train,
    train_ensemble,
)
from nprnn.training.draws import Draws, Place, batches
from nprnn.training.optimizers import StackedClip, StackedOptimizer
from nprnn.training.seats import Window, unjudged
from small_runs import CONFIG, TASK, numbers


def member(parent: Path, config: TrainConfig, data: TaskData | None = None, task: Any = TASK) -> Member:
    data = data or task.load(config.seed)
    return Member(config, data, start_run("addition", task, config, data, parent))


def flat(records: Sequence[dict[str, Any]]) -> list[float]:
    return [
        float(value)
        for record in records
        for entry in record.values()
        for value in (entry.values() if isinstance(entry, dict) else [entry])
    ]


def assert_alike(ours: Run, alone: Run, *, rtol: float = 1e-4) -> None:
    """Records and last weights are equal but for rounding."""
    first, second = numbers(ours), numbers(alone)
    assert [record["update"] for record in first] == [record["update"] for record in second]
    # The share of errors below 0.04 counts sequences: one may change sides.
    np.testing.assert_allclose(flat(first), flat(second), rtol=rtol, atol=1 / 20)
    for name in (LAST, BEST):
        one, other = ours.read_checkpoint(name), alone.read_checkpoint(name)
        assert one is not None
        assert other is not None
        assert one.update == other.update
        assert one.tensors.keys() == other.tensors.keys()
        for key, value in one.tensors.items():
            torch.testing.assert_close(value, other.tensors[key], rtol=rtol, atol=1e-5)


# --- optimisers and clips ---------------------------------------------------------------------------------------------

TORCHS: dict[str, Callable[[TrainConfig, list[nn.Parameter]], torch.optim.Optimizer]] = {
    "sgd": lambda c, p: torch.optim.SGD(p, lr=c.lr, weight_decay=c.weight_decay),
    "momentum": lambda c, p: torch.optim.SGD(p, lr=c.lr, momentum=c.momentum, weight_decay=c.weight_decay),
    "rmsprop": lambda c, p: torch.optim.RMSprop(p, lr=c.lr, alpha=c.decay, eps=c.eps, weight_decay=c.weight_decay),
    "adam": lambda c, p: torch.optim.Adam(
        p, lr=c.lr, betas=(c.momentum, c.decay), eps=c.eps, weight_decay=c.weight_decay
    ),
}


def various(kind: str, decays: bool) -> list[TrainConfig]:
    return [
        TrainConfig(
            optimizer=kind,  # type: ignore[arg-type]
            lr=10.0 ** -(k + 1),
            momentum=0.5 + 0.1 * k,
            decay=1 - 10.0 ** -(k + 1),
            eps=10.0 ** -(4 + k),
            weight_decay=0.1 * k if decays else 0.0,
        )
        for k in range(4)
    ]


@pytest.mark.parametrize("decays", [False, True])
@pytest.mark.parametrize("kind", TORCHS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_row_moves_as_torch_optim_moves_it(kind: str, decays: bool, dtype: torch.dtype) -> None:
    configs, generator = various(kind, decays), torch.Generator().manual_seed(0)
    start = torch.randn(4, 7, generator=generator, dtype=dtype)
    ours = StackedOptimizer(configs, start.clone())
    rows = [nn.Parameter(row.clone()) for row in start]
    theirs = [TORCHS[kind](config, [row]) for config, row in zip(configs, rows, strict=True)]
    kept: list[int] = [0, 1, 2, 3]
    for step in range(60):
        gradients = torch.randn(len(kept), 7, generator=generator, dtype=dtype) * 10 ** (step % 5 - 2)
        scale = 1 / (1 + step // 20)
        for k, gradient in zip(kept, gradients, strict=True):
            rows[k].grad = gradient.clone()
            theirs[k].param_groups[0]["lr"] = configs[k].lr * scale
            theirs[k].step()
        ours.step(gradients, torch.tensor([[configs[k].lr * scale] for k in kept], dtype=dtype))
        if step == 20:  # one leaves
            kept = [0, 2, 3]
            ours.keep(torch.tensor(kept), ours.parameters[kept])
        if step == 40:  # all are written down, and read by another
            states = [ours.member(row) for row in range(3)]
            ours = StackedOptimizer([configs[k] for k in kept], ours.parameters.clone())
            for row, state in enumerate(states):
                ours.restore(row, state)
    tolerance = {"rtol": 1e-12, "atol": 1e-12} if dtype == torch.float64 else {"rtol": 2e-5, "atol": 1e-6}
    for row, k in enumerate(kept):
        torch.testing.assert_close(ours.parameters[row], rows[k].detach(), **tolerance)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", TORCHS)
def test_the_recurrent_weights_may_have_a_rate_of_their_own(kind: str) -> None:
    configs = [
        dataclasses.replace(config, lr_hh=factor)
        for config, factor in zip(various(kind, True), (1, 0.1, 3, 0.5), strict=True)
    ]
    start, generator = torch.randn(4, 7, dtype=torch.float64), torch.Generator().manual_seed(1)
    recurrent = torch.tensor([False, False, True, True, True, False, False])
    ours = StackedOptimizer(configs, start.clone(), recurrent)
    rows = [[nn.Parameter(row[~recurrent].clone()), nn.Parameter(row[recurrent].clone())] for row in start]
    theirs = [TORCHS[kind](config, row) for config, row in zip(configs, rows, strict=True)]
    for config, optimizer, (other, slow) in zip(configs, theirs, rows, strict=True):
        group = optimizer.param_groups[0]
        group["params"] = [other]
        optimizer.add_param_group({**group, "params": [slow], "lr": config.lr * config.lr_hh})
    for _ in range(30):
        gradients = torch.randn(4, 7, generator=generator, dtype=torch.float64)
        for (other, slow), optimizer, gradient in zip(rows, theirs, gradients, strict=True):
            other.grad, slow.grad = gradient[~recurrent].clone(), gradient[recurrent].clone()
            optimizer.step()
        ours.step(gradients, torch.tensor([[config.lr] for config in configs], dtype=torch.float64))
    for found, (other, slow) in zip(ours.parameters, rows, strict=True):
        torch.testing.assert_close(found[~recurrent], other.detach(), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found[recurrent], slow.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["rmsprop", "adam"])
@pytest.mark.parametrize("decay", [0.9999, 0.999999, 0.99999999])
def test_decays_close_to_one_are_not_rounded_away(kind: str, decay: float) -> None:
    config = TrainConfig(optimizer=kind, lr=1.0, decay=decay, eps=1e-30, momentum=0.9)  # type: ignore[arg-type]
    ours, row = StackedOptimizer([config], torch.zeros(1, 5)), nn.Parameter(torch.zeros(5))
    theirs = TORCHS[kind](config, [row])
    gradient = torch.tensor([1.0, -2.0, 0.5, 3.0, -0.1])
    row.grad = gradient.clone()
    theirs.step()
    ours.step(gradient.unsqueeze(0), torch.ones(1, 1))
    torch.testing.assert_close(ours.parameters[0], row.detach(), rtol=1e-5, atol=0)


def test_an_optimiser_says_what_it_cannot_take_back() -> None:
    ours = StackedOptimizer(various("adam", False), torch.zeros(4, 7))
    with pytest.raises(ValueError, match=r"no exp_avg of shape \(7,\)"):
        ours.restore(0, {})
    with pytest.raises(ValueError, match="exp_avg"):
        ours.restore(0, {"exp_avg": torch.zeros(6), "exp_avg_sq": torch.zeros(7), "step": torch.zeros(1)})
    with pytest.raises(ConfigError, match="one optimizer, got adam and sgd"):
        StackedOptimizer([TrainConfig(), TrainConfig(optimizer="adam")], torch.zeros(2, 7))


@given(
    st.lists(
        st.tuples(st.sampled_from(["norm", "value"]), st.sampled_from([0.0, 0.1, 1.0, 1e6])), min_size=1, max_size=5
    ),
    st.integers(0, 2**32),
)
def test_every_row_is_clipped_as_torch_clips_it(clips: list[tuple[Any, float]], seed: int) -> None:
    configs = [TrainConfig(clip=clip, clip_by=by) for by, clip in clips]
    gradients = torch.randn(len(clips), 9, generator=torch.Generator().manual_seed(seed))
    parts = [[nn.Parameter(torch.zeros(n)) for n in (4, 5)] for _ in clips]
    norms = []
    for config, row, (a, b) in zip(configs, gradients, parts, strict=True):
        a.grad, b.grad = row[:4].clone(), row[4:].clone()
        norms.append(float(nn.utils.get_total_norm([a.grad, b.grad])))
        if config.clip and config.clip_by == "norm":
            nn.utils.clip_grad_norm_([a, b], config.clip)
        elif config.clip:
            nn.utils.clip_grad_value_([a, b], config.clip)
    told, factors = StackedClip(configs, gradients)(gradients)
    gradients *= 1 if factors is None else factors
    torch.testing.assert_close(told, torch.tensor(norms), rtol=1e-6, atol=0)
    want = torch.stack([torch.cat([p.grad for p in pair if p.grad is not None]) for pair in parts])
    torch.testing.assert_close(gradients, want, rtol=2e-6, atol=0)


# --- losses and draws -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [None, (0.5, 2.0, 1.0)])
@pytest.mark.parametrize("ragged", [False, True])
def test_losses_of_an_ensemble_are_those_of_its_members(weights: tuple[float, ...] | None, ragged: bool) -> None:
    g = torch.Generator().manual_seed(1)
    outputs, classes = torch.randn(4, 6, 3, generator=g), torch.randint(3, (4, 6), generator=g)
    values = torch.randn(4, 6, 3, generator=g)
    live = torch.rand(4, 6, generator=g) < 0.6 if ragged else None
    for loss, y, torchs in (
        (CrossEntropy(weights), classes, nn.CrossEntropyLoss(None if weights is None else torch.tensor(weights))),
        (SquaredError(), values, nn.MSELoss()),
    ):
        got = loss(outputs, y, live)  # type: ignore[operator]
        for k in range(4):
            rows = slice(None) if live is None else live[k]
            torch.testing.assert_close(got[k], torchs(outputs[k][rows], y[k][rows]))
            torch.testing.assert_close(got[k], loss(outputs[k], y[k], None if live is None else live[k]))  # type: ignore[operator]
    assert CrossEntropy(weights) == CrossEntropy(weights) != CrossEntropy((1.0, 1.0, 3.0))


class Counting:
    """A training set whose batches tell the indices."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.calls = inner, 0

    def __len__(self) -> int:
        return len(self.inner)

    def batch(self, index: Tensor) -> Any:
        self.calls += 1
        return self.inner.batch(index)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 25)), min_size=1, max_size=6),
    st.integers(1, 7),
    st.integers(1, 9),
)
def test_draws_are_those_of_each_member_alone(members: list[tuple[int, int]], batch: int, updates: int) -> None:
    sets = [Counting(TASK.load(seed).train) for seed in range(3)]
    configs = [dataclasses.replace(CONFIG, seed=seed, batch=batch) for seed, _ in members]
    places = [Place(c, sets[c.seed], done) for c, (_, done) in zip(configs, members, strict=True)]
    draws = Draws(places, False)
    taken = list(draws.take(updates))
    shared = len(set(members)) == 1
    assert len(taken) == updates
    for k, place in enumerate(places):
        order = batches(place.config, 40, place.done, place.done + updates)
        for got, (_, index) in zip(taken, order, strict=True):
            want = place.train.inner.batch(index)  # type: ignore[attr-defined]
            assert torch.equal(got.x if shared else got.x[k], want.x)
            assert torch.equal(got.y[k], want.y)
            assert got.lengths is None
    # One draw of one update, to see how large it is, then one of all the others.
    assert sum(s.calls for s in sets) == len(set(members)) * min(updates, 2)


# --- members against lone runs ----------------------------------------------------------------------------------------

ALL = ("np-RNN", "np-RNN-N2", "IRNN", "iRNN", "nRNN", "oRNN", "gRNN", "np-tanhRNN")


def mixed(**common: Any) -> list[TrainConfig]:
    """Eight models with settings of their own."""
    return [
        TrainConfig(
            **{
                "model": model,
                "hidden": 10,
                "batch": 4,
                "updates": 100,
                "seed": k % 3,
                "fan": "in" if k % 2 else "hidden",
                "lr": 0.02 * (1 + k),
                "lr_hh": (1.0, 0.1, 3.0)[k % 3],
                "momentum": 0.1 * k,
                "decay": 0.9,
                "eps": 1e-6,
                "weight_decay": 0.001 * k,
                "cool_at": (0.3, 0.55)[: k % 3],
                "cool_by": 3.0,
                "clip": (0.0, 0.3, 0.05)[k % 3],
                "clip_by": "value" if k == 2 else "norm",
                "eval_every": 10 + k,
                **common,
            }
        )
        for k, model in enumerate(ALL)
    ]


@pytest.mark.parametrize(
    "common",
    [
        {"optimizer": "sgd"},
        {"optimizer": "momentum", "lr": 0.01},
        {"optimizer": "rmsprop", "lr": 0.001},
        {"optimizer": "adam", "lr": 0.003},
        {"truncate": 2},
        {"loss_at": "mean"},
        {"loss_at": "each", "dropout": 0.4},
        {"dropout": 0.3},
    ],
    ids=lambda common: "-".join(map(str, common.values())),
)
def test_a_member_is_the_run_it_would_be_alone(tmp_path: Path, common: dict[str, Any]) -> None:
    configs = mixed(**common)
    data = {seed: TASK.load(seed) for seed in range(3)}
    members = [member(tmp_path / "together", config, data[config.seed]) for config in configs]
    outcomes = train_ensemble(members)
    assert outcomes == [Outcome("finished", 100)] * 8
    for config, one in zip(configs, members, strict=True):
        alone = member(tmp_path / "alone", config)
        model = train(config, alone.data, alone.run)
        assert_alike(one.run, alone.run)
        read = load_trained(one.run.folder).model
        for name, value in model.state_dict().items():
            torch.testing.assert_close(read.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_the_start_is_bit_equal(tmp_path: Path) -> None:
    for config in mixed(updates=1, eval_every=1, lr=1e-30, weight_decay=0.0, optimizer="sgd"):
        alone = member(tmp_path / "alone", config)
        train(config, alone.data, alone.run)
    members = [member(tmp_path / "together", c) for c in mixed(updates=1, eval_every=1, lr=1e-30, weight_decay=0.0)]
    train_ensemble(members)
    for one in members:
        ours, lone = (
            run.read_checkpoint(LAST) for run in (one.run, Run.open(tmp_path / "alone" / one.run.folder.name))
        )
        assert ours is not None
        assert lone is not None
        assert all(torch.equal(value, lone.tensors[name]) for name, value in ours.tensors.items())


def ragged_task(folder: Path, targets: str) -> Sequences:
    """Sequences of 3 to 9 steps with classes, in one npz file."""
    g = np.random.default_rng(0)
    lengths = g.integers(3, 10, 54)
    np.savez(
        folder / "data.npz",
        x=g.normal(2.0, 3.0, (lengths.sum(), 2)).astype(np.float32),
        lengths=lengths,
        y=g.integers(0, 3, lengths.sum() if targets == "steps" else 54),
        split=np.array(["train"] * 30 + ["valid"] * 12 + ["test"] * 12),
    )
    return Sequences(data=folder / "data.npz", class_weights="balanced")


@pytest.mark.parametrize(
    ("targets", "common"),
    [
        ("sequence", {}),
        ("sequence", {"loss_at": "mean"}),
        ("sequence", {"loss_at": "each", "dropout": 0.4}),
        ("sequence", {"truncate": 4}),
        ("steps", {}),
        ("steps", {"truncate": 4, "dropout": 0.2}),
    ],
)
def test_sequences_of_different_lengths(tmp_path: Path, targets: str, common: dict[str, Any]) -> None:
    task = ragged_task(tmp_path, targets)
    configs = [
        TrainConfig(
            model=model, hidden=6, batch=5, updates=40, eval_every=10, seed=seed, optimizer="adam", lr=0.01, **common
        )
        for model in ("np-RNN", "np-tanhRNN")
        for seed in range(2)
    ]
    members = [
        Member(c, d, start_run("sequences", task, c, d, tmp_path / "together"))
        for c in configs
        for d in [task.load(c.seed)]
    ]
    train_ensemble(members)
    for config, one in zip(configs, members, strict=True):
        alone = start_run("sequences", task, config, one.data, tmp_path / "alone")
        train(config, task.load(config.seed), alone)
        assert_alike(one.run, alone)


def test_members_may_weigh_classes_differently(tmp_path: Path) -> None:
    task = ragged_task(tmp_path, "sequence")
    data = task.load(0)
    objective = dataclasses.replace(data.objective, loss=CrossEntropy((0.1, 3.0, 1.0)))
    other = dataclasses.replace(data, objective=objective, fingerprint="other weights")
    config = TrainConfig(hidden=6, batch=5, updates=20, eval_every=10)
    members = [
        Member(c, d, start_run("sequences", task, c, d, tmp_path / "together"))
        for seed in range(2)
        for d in (data, other)
        for c in [dataclasses.replace(config, seed=seed)]
    ]
    train_ensemble(members)
    for config, d, run in members:
        alone = start_run("sequences", task, config, d, tmp_path / "alone")
        train(config, d, alone)
        assert_alike(run, alone)


def test_an_update_moves_the_recurrent_weight_by_its_own_rate(tmp_path: Path) -> None:
    configs = [
        TrainConfig(model=model, hidden=8, batch=4, updates=1, eval_every=1, lr=0.01, lr_hh=factor, clip=0.0)
        for model in ("IRNN", "LSTM")
        for factor in (1.0, 0.25, 2.0)
    ]
    members = [member(tmp_path, config) for config in configs]
    train_ensemble(members[:3])
    train_ensemble(members[3:])
    start = [start_model(one.config, one.data).state_dict() for one in members]
    moved = []
    for one, before in zip(members, start, strict=True):
        found = one.run.read_checkpoint(LAST)
        assert found is not None
        moved.append({name: found.tensors[f"model.{name}"] - value for name, value in before.items()})
    for k, own in enumerate(moved):
        like = moved[k - k % 3]
        assert {name for name in own if "weight_hh" in name} == {"rnn.weight_hh_l0"}
        for name, by in own.items():
            factor = configs[k].lr_hh if "weight_hh" in name else 1.0
            assert "bias" in name or like[name].abs().max() > 0
            torch.testing.assert_close(by, factor * like[name], rtol=1e-3, atol=1e-7)


def test_lstms_train_together(tmp_path: Path) -> None:
    configs = [dataclasses.replace(CONFIG, model="LSTM", seed=seed, lr=0.1) for seed in range(3)]
    members = [member(tmp_path / "together", config) for config in configs]
    train_ensemble(members)
    for config, one in zip(configs, members, strict=True):
        alone = member(tmp_path / "alone", config)
        assert isinstance(train(config, alone.data, alone.run), SequenceModel)
        assert_alike(one.run, alone.run)


# --- leaving, stopping, going on --------------------------------------------------------------------------------------


class Log:
    """A listener that writes down what it hears."""

    def __init__(self) -> None:
        self.losses: dict[int, list[float]] = {}
        self.updates: dict[int, int] = {}
        self.records: list[tuple[int, int]] = []
        self.ends: dict[int, Outcome] = {}

    def on_updates(self, member: int, update: int, losses: Sequence[float]) -> None:
        assert member not in self.ends
        self.losses.setdefault(member, []).extend(losses)
        self.updates[member] = update

    def on_record(self, member: int, record: dict[str, Any]) -> None:
        self.records.append((member, record["update"]))

    def on_end(self, member: int, outcome: Outcome) -> None:
        assert member not in self.ends
        self.ends[member] = outcome


def test_whoever_diverges_leaves_the_others_alone(tmp_path: Path) -> None:
    wild = dataclasses.replace(CONFIG, lr=1e30, clip=0.0, seed=1)
    later = dataclasses.replace(CONFIG, lr=30.0, clip=0.0, seed=2, optimizer="sgd", updates=200, eval_every=1)
    slow = dataclasses.replace(CONFIG, seed=6, lr_hh=0.01)
    configs = [dataclasses.replace(CONFIG, seed=5), wild, slow, later]
    members = [member(tmp_path / "together", config) for config in configs]
    log = Log()
    outcomes = train_ensemble(members, listener=log)
    assert [o.state for o in outcomes] == ["finished", "diverged", "finished", "diverged"]
    assert log.ends == dict(enumerate(outcomes))
    for k, one in enumerate(members):
        alone = member(tmp_path / "alone", one.config)
        if outcomes[k].state == "finished":
            train(one.config, alone.data, alone.run)
            assert_alike(one.run, alone.run)
            continue
        with pytest.raises(NonFiniteError) as lone:
            train(one.config, alone.data, alone.run)
        assert one.run.diverged() == alone.run.diverged()
        told = outcomes[k].message.replace(str(one.run.folder), str(alone.run.folder))
        assert told.partition(":")[0] == str(lone.value).partition(":")[0]
        assert told.partition(". ")[2] == str(lone.value).partition(". ")[2]
        assert one.run.saved == alone.run.saved == outcomes[k].update
        assert flat(numbers(one.run)) == pytest.approx(flat(numbers(alone.run)), rel=1e-3)


def test_listeners_hear_every_update_and_record(tmp_path: Path) -> None:
    configs = [dataclasses.replace(CONFIG, seed=seed, eval_every=5 + seed) for seed in range(3)]
    log = Log()
    train_ensemble([member(tmp_path, config) for config in configs], listener=log)
    assert {k: len(v) for k, v in log.losses.items()} == {0: 24, 1: 24, 2: 24}
    assert log.updates == {0: 24, 1: 24, 2: 24}
    assert all(math.isfinite(loss) for values in log.losses.values() for loss in values)
    for k, every in enumerate((5, 6, 7)):
        assert [u for m, u in log.records if m == k] == sorted({*range(every, 24, every), 24})


@pytest.mark.parametrize("stops", [[7], [1, 2, 3, 13], [6, 12, 23]])
def test_stopped_and_resumed_it_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops: list[int]) -> None:
    steps: list[Any] = []
    step = StackedOptimizer.step
    monkeypatch.setattr(StackedOptimizer, "step", lambda *arguments: steps.append(step(*arguments)))
    configs = [dataclasses.replace(CONFIG, seed=seed, optimizer="adam", lr=0.01, dropout=0.2) for seed in range(3)]
    whole = [member(tmp_path / "whole", config) for config in configs]
    train_ensemble(whole)
    parts = [member(tmp_path / "parts", config) for config in configs]
    for at in stops:
        steps.clear()
        left = at - parts[0].run.progress()
        train_ensemble(parts, stop=functools.partial(lambda left: len(steps) >= left, left))
        assert [one.run.saved for one in parts] == [at] * 3
        parts = [member(tmp_path / "parts", config) for config in configs]
    train_ensemble(parts)
    for one, other in zip(parts, whole, strict=True):
        assert numbers(one.run) == numbers(other.run)
        first, second = one.run.read_checkpoint(LAST), other.run.read_checkpoint(LAST)
        assert first is not None
        assert second is not None
        assert first.update == second.update == 24
        assert all(torch.equal(value, second.tensors[name]) for name, value in first.tensors.items())


def test_members_at_different_updates_train_together(tmp_path: Path) -> None:
    rates = (0.5, 1.0, 0.01, 3.0)
    configs = [
        dataclasses.replace(CONFIG, seed=seed, optimizer="momentum", lr_hh=rate) for seed, rate in enumerate(rates)
    ]
    members = [member(tmp_path / "together", config) for config in configs]
    train_ensemble(members[:1])
    train_ensemble(members[1:2], stop_after=5)
    train_ensemble(members[2:3], stop_after=13)
    before = (members[0].run.folder / LAST).read_bytes()
    log = Log()
    outcomes = train_ensemble(members, listener=log)
    assert outcomes == [Outcome("finished", 24)] * 4
    assert {k: len(v) for k, v in log.losses.items()} == {1: 19, 2: 11, 3: 24}
    assert (members[0].run.folder / LAST).read_bytes() == before
    for config, one in zip(configs, members, strict=True):
        alone = member(tmp_path / "alone", config)
        train(config, alone.data, alone.run)
        assert_alike(one.run, alone.run)


def test_stop_after_stops_each(tmp_path: Path) -> None:
    members = [member(tmp_path, dataclasses.replace(CONFIG, seed=seed, updates=24 + seed)) for seed in range(2)]
    assert train_ensemble(members, stop_after=9) == [Outcome("finished", 9)] * 2
    assert [one.run.saved for one in members] == [9, 9]
    assert train_ensemble(members) == [Outcome("finished", 24), Outcome("finished", 25)]


def test_a_checkpoint_of_another_optimiser_is_refused(tmp_path: Path) -> None:
    one = member(tmp_path / "a", dataclasses.replace(CONFIG, optimizer="adam"))
    other = member(tmp_path / "b", CONFIG)
    train(other.config, other.data, other.run)
    (one.run.folder / LAST).write_bytes((other.run.folder / LAST).read_bytes())
    (outcome,) = train_ensemble([one])
    assert (outcome.state, outcome.update) == ("failed", 24)
    assert re.search(r"holds weights but not what training needs .*exp_avg", outcome.message)
    with pytest.raises(RunError, match="holds weights but not what training needs"):
        train(*one)


def test_what_does_not_go_together_is_told(tmp_path: Path) -> None:
    one = member(tmp_path, CONFIG)
    with pytest.raises(ConfigError, match="at least one member"):
        train_ensemble([])
    with pytest.raises(ConfigError, match="same run folder"):
        train_ensemble([one, one])
    with pytest.raises(ConfigError, match=r"hidden, batch, optimizer"):
        train_ensemble([one, member(tmp_path, dataclasses.replace(CONFIG, hidden=9))])
    with pytest.raises(ConfigError, match="stop_after must be at least 1"):
        train_ensemble([one], stop_after=0)
    with pytest.raises(ConfigError, match="larger than the training set of 40"):
        train_ensemble([member(tmp_path, dataclasses.replace(CONFIG, batch=41))])
    task = ragged_task(tmp_path, "sequence")
    data = task.load(0)
    config = dataclasses.replace(CONFIG, seed=3)
    with pytest.raises(ConfigError, match="have one task"):
        train_ensemble([one, Member(config, data, start_run("sequences", task, config, data, tmp_path))])
    scaled = dataclasses.replace(one.data, standardisation=Standardisation(torch.zeros(2), torch.ones(2)))
    with pytest.raises(ConfigError, match="standardisation"):
        train_ensemble([one, Member(config, scaled, start_run("addition", TASK, config, scaled, tmp_path / "scaled"))])
    with one.run.lock():
        (outcome,) = train_ensemble([one])
    assert outcome.state == "failed"
    assert "another process is training" in outcome.message
    # Whoever was refused holds nothing.
    assert train_ensemble([one], stop_after=1) == [Outcome("finished", 1)]


def break_checkpoint(run: Run) -> None:
    """The likeliest confusion of files: weights without what training needs."""
    (run.folder / LAST).write_bytes((run.folder / BEST).read_bytes())


def break_best(run: Run) -> None:
    """A file that cannot be replaced."""
    (run.folder / BEST).unlink(missing_ok=True)
    (run.folder / BEST).mkdir()


def break_records(run: Run) -> None:
    (run.folder / "metrics.jsonl").write_text("{}\n{}\n")


@pytest.mark.parametrize("breaking", [break_checkpoint, break_best, break_records])
def test_whoever_cannot_be_read_or_written_leaves_the_others_alone(
    tmp_path: Path, breaking: Callable[[Run], None]
) -> None:
    # A long rate and then a short one: what is best so far is best at every evaluation.
    configs = [dataclasses.replace(CONFIG, seed=seed, updates=48, lr=0.2) for seed in range(3)]
    members = [member(tmp_path / "together", config) for config in configs]
    train_ensemble(members, stop_after=6)
    breaking(members[1].run)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in members[1].run.folder.iterdir())
    log = Log()
    outcomes = train_ensemble(members, listener=log)
    assert [outcome.state for outcome in outcomes] == ["finished", "failed", "finished"]
    assert str(members[1].run.folder) in outcomes[1].message
    assert log.ends == dict(enumerate(outcomes))
    if breaking is not break_best:
        # Nothing of what it had is touched.
        assert sorted((path.name, path.stat().st_mtime_ns) for path in members[1].run.folder.iterdir()) == before
    for one in (members[0], members[2]):
        alone = member(tmp_path / "alone", one.config)
        train(one.config, alone.data, alone.run)
        assert_alike(one.run, alone.run)


def test_weights_that_are_no_numbers_are_never_kept(tmp_path: Path) -> None:
    wild = member(tmp_path, dataclasses.replace(CONFIG, lr=3e38, clip=0.0))
    tame = member(tmp_path, dataclasses.replace(CONFIG, seed=1))
    outcomes = train_ensemble([wild, tame], stop_after=1)
    assert [(outcome.state, outcome.update) for outcome in outcomes] == [("diverged", 0), ("finished", 1)]
    assert wild.run.read_checkpoint(LAST) is None
    assert wild.run.diverged() == 1


def test_stopped_among_evaluations_the_others_stay_due(tmp_path: Path) -> None:
    configs = [dataclasses.replace(CONFIG, seed=seed) for seed in range(3)]
    members = [member(tmp_path / "stopped", config) for config in configs]
    log = Log()
    outcomes = train_ensemble(members, stop=lambda: len(log.records) == 1, listener=log)
    assert outcomes == [Outcome("stopped", 6)] * 3
    assert [len(one.run.records()) for one in members] == [1, 0, 0]
    members = [member(tmp_path / "stopped", config) for config in configs]
    train_ensemble(members)
    whole = [member(tmp_path / "whole", config) for config in configs]
    train_ensemble(whole)
    for one, other in zip(members, whole, strict=True):
        assert numbers(one.run) == numbers(other.run)


def test_stopped_among_the_last_evaluations_the_others_are_not_finished(tmp_path: Path) -> None:
    configs = [dataclasses.replace(CONFIG, seed=seed) for seed in range(3)]
    members = [member(tmp_path / "stopped", config) for config in configs]
    log, last = Log(), CONFIG.updates
    evaluations = 3 * (last // CONFIG.eval_every)
    outcomes = train_ensemble(members, stop=lambda: len(log.records) == evaluations - 2, listener=log)
    assert outcomes == [Outcome("finished", last), Outcome("stopped", last), Outcome("stopped", last)]
    kept = [one.run.read_checkpoint(LAST) for one in members]
    assert [(found is not None and found.update, found and unjudged(found)) for found in kept] == [
        (last, False),
        (last, True),
        (last, True),
    ]
    members = [member(tmp_path / "stopped", config) for config in configs]
    assert train_ensemble(members) == [Outcome("finished", last)] * 3
    whole = [member(tmp_path / "whole", config) for config in configs]
    train_ensemble(whole)
    for one, other in zip(members, whole, strict=True):
        assert numbers(one.run) == numbers(other.run)


@pytest.mark.parametrize("counted", [True, False], ids=["counted", "of before they were counted"])
@pytest.mark.parametrize("after", ["its record", "its checkpoint"])
def test_killed_after_an_evaluation_that_had_waited_nothing_stands_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: str, counted: bool
) -> None:
    class KilledError(Exception):
        pass

    def killed(*_: object) -> None:
        raise KilledError

    configs = [dataclasses.replace(CONFIG, seed=seed) for seed in range(3)]
    members = [member(tmp_path / "stopped", config) for config in configs]
    log = Log()
    train_ensemble(members, stop=lambda: len(log.records) == 1, listener=log)
    members = [member(tmp_path / "stopped", config) for config in configs]
    with monkeypatch.context() as patch:
        if after == "its record":
            patch.setattr(Run, "save_checkpoint", killed)
        else:
            patch.setattr(Log, "on_record", killed)
        with pytest.raises(KilledError):
            train_ensemble(members, listener=Log())
    members = [member(tmp_path / "stopped", config) for config in configs]
    for one in members:
        found = one.run.read_checkpoint(LAST)
        assert found is not None
        assert found.extra.pop(RECORDED) in (0, 1)
        if not counted:
            (one.run.folder / LAST).write_bytes(pack(found))
    train_ensemble(members)
    whole = [member(tmp_path / "whole", config) for config in configs]
    train_ensemble(whole)
    for one, other in zip(members, whole, strict=True):
        assert numbers(one.run) == numbers(other.run)
        assert [record["update"] for record in one.run.records()] == [
            record["update"] for record in other.run.records()
        ]
        found = one.run.read_checkpoint(LAST)
        assert found
        assert not unjudged(found)


def test_a_validation_set_that_blows_up_is_not_hidden_by_the_test_set(tmp_path: Path) -> None:
    one = member(tmp_path, CONFIG)
    valid = dataclasses.replace(one.data.valid, values=torch.full((20, 6), torch.inf))  # type: ignore[type-var]
    (outcome,) = train_ensemble([one._replace(data=dataclasses.replace(one.data, valid=valid))])
    assert outcome.state == "diverged"
    assert "valid mse not finite any more" in outcome.message


def test_checkpoints_stay_small_however_long_the_window(tmp_path: Path) -> None:
    one = member(tmp_path, dataclasses.replace(CONFIG, updates=2000, eval_every=2000))
    train_ensemble([one], stop_after=1)
    first = (one.run.folder / LAST).stat().st_size
    train_ensemble([one], stop_after=1999)
    assert (one.run.folder / LAST).stat().st_size < first + 100


def test_a_window_that_was_kept_number_by_number_is_read() -> None:
    assert Window.read({"loss": [1.0, 2.0], "gradient_norm": [3.0, 5.0]}) == Window(2, 3.0, 8.0)
    assert Window.read(dataclasses.asdict(Window(2, 3.0, 8.0))) == Window(2, 3.0, 8.0)


def test_sequences_of_one_length_in_one_set_and_another_in_the_next() -> None:
    sets = [Addition(length=length, train_size=10, test_size=2).load(0).train for length in (6, 9)]
    (batch,) = Draws(
        [Place(dataclasses.replace(CONFIG, seed=k), train, 0) for k, train in enumerate(sets)], False
    ).take(1)
    assert batch.x.shape == (2, 9, 4, 2)
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [[6] * 4, [9] * 4]


def test_the_key_names_what_must_be_equal() -> None:
    same = dataclasses.replace(
        CONFIG, model="IRNN", seed=9, lr=1.0, clip=3.0, clip_by="value", updates=7, eval_every=2, dropout=0.5, fan="in"
    )
    assert ensemble_key(same) == ensemble_key(CONFIG)
    for change in (
        {"model": "LSTM"},
        {"hidden": 9},
        {"batch": 5},
        {"optimizer": "adam"},
        {"loss_at": "mean"},
        {"truncate": 3},
    ):
        assert ensemble_key(dataclasses.replace(CONFIG, **change)) != ensemble_key(CONFIG)  # type: ignore[arg-type]
