"""Processes that share a batch: the gradient of one process, to rounding; one stop, one error, one run folder."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from launching import together
from nprnn.errors import ConfigError, DataError, NonFiniteError, RunError
from nprnn.models import SequenceModel
from nprnn.ops import use_kernel
from nprnn.runs import BEST, LAST, PREVIOUS, Run
from nprnn.tasks import Batch, Sequences, TaskData
from nprnn.tasks.base import CrossEntropy, Loss, Split, SquaredError
from nprnn.training import TrainConfig, joined, start_run, train
from nprnn.training import start_model as true_start
from nprnn.training.partners import ALONE, Partners, Word
from nprnn.training.readout import StackedLosses, losses, weight
from nprnn.training.together import Together
from pretended_cuda import pretended_cuda
from small_runs import CONFIG, TASK, numbers
from test_cli import only_run
from test_ensemble_training import flat, ragged_task

UNEVEN = dataclasses.replace(CONFIG, batch=7, updates=20, eval_every=5)


# --- the gradient is that of one process ------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class InDouble:
    """A set in double precision."""

    split: Split

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, index: Tensor) -> Batch:
        x, y, lengths = self.split.batch(index)
        return Batch(x.double(), y.double() if y.is_floating_point() else y, lengths)


def doubled(data: TaskData) -> TaskData:
    sets = {name: InDouble(getattr(data, name)) for name in ("train", "valid", "test")}
    return dataclasses.replace(data, **sets)


@pytest.fixture
def in_double(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training in double precision, where sums in another order are equal to 15 digits."""
    monkeypatch.setattr("nprnn.training.loop.start_model", lambda config, data: true_start(config, data).double())


def trained(parent: Path, task: Any, config: TrainConfig, partners: Partners = ALONE) -> tuple[Run, SequenceModel]:
    data = doubled(task.load(config.seed))
    run = start_run("any", task, config, data, partners.folder(parent))
    return run, train(config, data, run, partners=partners)


def weights(model: SequenceModel) -> dict[str, Tensor]:
    return {name: v.clone() for name, v in model.state_dict().items()}


def assert_joint(parent: Path, task: Any, config: TrainConfig, world: int) -> None:
    """Records and weights of partners are those of one process; and those of each other, bit for bit."""
    alone, model = trained(parent / "alone", task, config)

    def share(partners: Partners) -> tuple[list[dict[str, Any]], dict[str, Tensor], bytes]:
        run, model = trained(parent / "joint", task, config, partners)
        return numbers(run), weights(model), (run.folder / LAST).read_bytes()

    found = together(world, share)
    for one in found:
        assert isinstance(one, tuple), one
        assert one[0] == found[0][0]  # type: ignore[index]
        assert one[2] == found[0][2]  # type: ignore[index]
    (run,) = [Run.open(p.parent) for p in (parent / "joint").glob("*/config.json")]
    assert run.folder.name == alone.folder.name
    np.testing.assert_allclose(flat(numbers(run)), flat(numbers(alone)), rtol=1e-9, atol=1e-12)
    for name, v in model.state_dict().items():
        torch.testing.assert_close(found[0][1][name], v, rtol=1e-9, atol=1e-12)  # type: ignore[index]
    assert run.env()["processes"] == world


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"loss_at": "mean", "dropout": 0.4},
        {"loss_at": "each", "dropout": 0.4, "optimizer": "adam", "lr": 0.003},
        {"clip_by": "value", "clip": 0.01, "optimizer": "momentum", "weight_decay": 0.1},
        {"truncate": 2, "dropout": 0.2, "optimizer": "rmsprop", "lr": 0.001},
        {"model": "LSTM", "lr": 0.1},
    ],
    ids=lambda changed: "-".join(map(str, changed.values())),
)
def test_shares_of_equal_sequences_make_the_joint_gradient(tmp_path: Path, changed: dict[str, Any], world: int) -> None:
    assert_joint(tmp_path, TASK, dataclasses.replace(UNEVEN, **changed), world)


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize(
    ("targets", "changed"),
    [
        ("sequence", {}),
        ("sequence", {"loss_at": "mean"}),
        ("sequence", {"loss_at": "each", "dropout": 0.4}),
        ("steps", {}),
        ("steps", {"dropout": 0.3, "truncate": 4}),
    ],
)
def test_shares_of_other_lengths_and_class_weights_too(tmp_path: Path, targets: str, changed: dict[str, Any]) -> None:
    config = TrainConfig(hidden=6, batch=5, updates=24, eval_every=8, optimizer="adam", lr=0.01, **changed)
    assert_joint(tmp_path, ragged_task(tmp_path, targets), config, 2)


@pytest.mark.usefixtures("in_double")
def test_shares_of_steps_with_numbers_too(tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    lengths = g.integers(3, 10, 54)
    steps = int(lengths.sum())
    split = np.array(["train"] * 30 + ["valid"] * 12 + ["test"] * 12)
    x, y = g.normal(size=(steps, 2)).astype(np.float32), g.normal(size=(steps, 3)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=y, lengths=lengths, split=split)
    config = TrainConfig(hidden=6, batch=5, updates=24, eval_every=8, lr=0.1)
    assert_joint(tmp_path, Sequences(data=tmp_path / "data.npz"), config, 3)


@given(weighted=st.booleans(), at=st.sampled_from(["last", "each"]), of_steps=st.booleans(), seed=st.integers(0, 10**6))
def test_a_weight_is_what_its_mean_divides_by(weighted: bool, at: Any, of_steps: bool, seed: int) -> None:
    # Means over parts, weighed, are the mean over all.
    g = torch.Generator().manual_seed(seed)
    steps, batch, classes = 4, 5, 3
    of_steps = of_steps and at == "each"
    y = torch.randint(classes, (1, steps, batch) if of_steps else (1, batch), generator=g)
    lengths = torch.randint(1, steps + 1, (1, batch), generator=g)
    x = torch.rand(steps, batch, 2, dtype=torch.float64)
    shape = (1, steps, batch, classes) if at == "each" else (1, batch, classes)
    outputs = torch.rand(shape, generator=g, dtype=torch.float64)
    objective: Loss = CrossEntropy((0.2, 1.0, 3.0) if weighted else None)

    def of(part: slice) -> tuple[Tensor, Tensor]:
        own = Batch(x[:, part], y[..., part], lengths[:, part])
        kind = {"steps_have_targets": of_steps}
        return losses(outputs[..., part, :], own, at, objective, **kind), weight(own, at, objective, **kind)

    parts = [of(slice(0, 2)), of(slice(2, 5))]
    mean, total = of(slice(None))
    torch.testing.assert_close(sum(w for _, w in parts), total)
    torch.testing.assert_close(sum(w * v for v, w in parts) / total, mean, rtol=1e-12, atol=1e-12)


def test_members_with_other_losses_weigh_their_own() -> None:
    objectives = [
        dataclasses.replace(TASK.load(0).objective, loss=loss) for loss in (CrossEntropy((1.0, 5.0)), CrossEntropy())
    ]
    found = StackedLosses(objectives, "last", False).weight(
        Batch(torch.rand(3, 4, 1), torch.tensor([[0, 1, 1, 0]] * 2))
    )
    assert found.tolist() == [12, 4]


def test_a_loss_that_tells_no_weight_is_refused() -> None:
    def own(output: Tensor, y: Tensor, live: Tensor | None = None) -> Tensor:
        return (output - y).abs().mean(-1)

    batch = Batch(torch.rand(3, 4, 1), torch.rand(1, 4))
    with pytest.raises(ConfigError, match=r"does not tell what its rows weigh.*or train in one process"):
        weight(batch, "last", own, steps_have_targets=False)
    assert weight(batch, "last", SquaredError(), steps_have_targets=False).tolist() == [4]


@given(batch=st.integers(1, 300), world=st.integers(1, 20))
def test_shares_are_all_of_the_batch_and_alike(batch: int, world: int) -> None:
    partners = [Together(rank, world, Nobody()) for rank in range(world)]
    if batch < world:
        with pytest.raises(ConfigError, match=f"a batch of {batch} cannot be shared by {world} processes; start"):
            partners[0].share(batch)
        return
    shares = [range(batch)[one.share(batch)] for one in partners]
    assert [k for share in shares for k in share] == list(range(batch))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert range(batch)[ALONE.share(batch)] == range(batch)


class Nobody:
    """A wire to nobody."""

    def sum(self, numbers: Tensor) -> None: ...

    def gather(self, note: Any) -> Sequence[Any]:
        return [note]

    def give(self, note: Any) -> Any:
        return note


def test_alone_nothing_is_touched() -> None:
    loss, gradients = torch.rand(1), torch.rand(1, 3)
    asked: list[int] = []
    before = gradients.clone()
    assert ALONE.weigh(loss, None, None) is loss  # type: ignore[arg-type]
    joint, ask = ALONE.join(gradients, loss, lambda: Word(bool(asked.append(1)), True))  # type: ignore[func-returns-value]
    assert joint is loss
    # Only once the update is done.
    assert asked == []
    assert ask() == Word(False, True)
    assert torch.equal(gradients, before)
    with joined() as partners:
        assert partners is ALONE


# --- one stop, one look, one error ------------------------------------------------------------------------------------


def test_any_may_stop_all_and_the_first_says_when_to_look() -> None:
    def wants(partners: Partners) -> list[Word]:
        losses = StackedLosses([TASK.load(0).objective], "last", False)
        batch, said = Batch(torch.rand(3, 4, 1), torch.rand(1, 4)), []
        for stopping, looking in ((None, None), (1, None), (0, None), (None, 0), (None, 1)):
            loss = partners.weigh(torch.rand(1), losses, batch)
            word = Word(partners.rank == stopping, partners.rank == looking)
            said.append(partners.join(torch.rand(1, 3), loss, lambda word=word: word)[1]())  # type: ignore[misc]
        return said

    nothing, stop = Word(False, False), Word(True, False)
    assert together(2, wants) == [[nothing, stop, stop, Word(False, True), nothing]] * 2


def test_a_stop_of_one_is_a_checkpoint_of_that_update_in_all_and_resuming_changes_nothing(tmp_path: Path) -> None:
    def whole(partners: Partners) -> None:
        trained(tmp_path / "whole", TASK, UNEVEN, partners)

    def stopped(partners: Partners) -> int:
        data = doubled(TASK.load(0))
        run = start_run("any", TASK, UNEVEN, data, partners.folder(tmp_path / "parts"))
        asked = iter([False] * 7 + [partners.rank == 1] + [False] * 9)
        train(UNEVEN, data, run, stop=lambda: next(asked), partners=partners)
        return run.saved

    def resumed(partners: Partners) -> None:
        trained(tmp_path / "parts", TASK, UNEVEN, partners)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nprnn.training.loop.start_model", lambda config, data: true_start(config, data).double())
        assert together(2, whole) == [None, None]
        assert together(2, stopped) == [8, 8]
        assert together(2, resumed) == [None, None]
    whole_run, parts = (only_run(tmp_path / name) for name in ("whole", "parts"))
    assert numbers(Run.open(parts)) == numbers(Run.open(whole_run))
    for name in (LAST, PREVIOUS, BEST):
        assert (parts / name).read_bytes() == (whole_run / name).read_bytes()


@pytest.mark.parametrize("patience", [0.0, 1e9])
def test_all_diverge_at_the_same_update_whenever_one_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    monkeypatch.setattr("nprnn.training.loop._LOOK_EVERY", patience)
    wild = dataclasses.replace(UNEVEN, lr=1e20, clip=0.0, updates=60, eval_every=1000)

    def work(partners: Partners) -> None:
        data = TASK.load(0)
        train(wild, data, start_run("any", TASK, wild, data, partners.folder(tmp_path)), partners=partners)

    found = [str(error) for error in together(2, work) if isinstance(error, NonFiniteError)]
    assert len(found) == 2
    data = TASK.load(0)
    run = start_run("any", TASK, wild, data, tmp_path / "alone")
    with pytest.raises(NonFiniteError) as alone:
        train(wild, data, run)
    assert {text.partition(".")[0] for text in (*found, str(alone.value))} == {found[0].partition(".")[0]}
    assert Run.open(only_run(tmp_path)).diverged() is not None


def test_who_is_left_keeps_what_was_reached(tmp_path: Path) -> None:
    def work(partners: Partners) -> None:
        data = TASK.load(0)
        run = start_run("any", TASK, CONFIG, data, partners.folder(tmp_path / "lost"))
        asked = iter(range(100))

        def dies() -> bool:
            if partners.rank == 1 and next(asked) == 8:
                raise MemoryError
            return False

        train(CONFIG, data, run, stop=dies, partners=partners)

    kept, died = together(2, work)
    assert isinstance(died, MemoryError)
    assert isinstance(kept, RunError)
    assert "lost the others; the checkpoint of update 8 is kept" in str(kept)
    run = Run.open(only_run(tmp_path / "lost"))
    assert run.progress() == 8

    def again(partners: Partners) -> None:
        for name in ("lost", "whole"):
            data = TASK.load(0)
            train(
                CONFIG, data, start_run("any", TASK, CONFIG, data, partners.folder(tmp_path / name)), partners=partners
            )

    assert together(2, again) == [None, None]
    assert numbers(run) == numbers(Run.open(only_run(tmp_path / "whole")))


@pytest.mark.parametrize("kind", ["marked", "ragged", "ragged dropout"])
def test_on_a_device_nothing_more_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr("nprnn.training.loop._LOOK_EVERY", 1e9)
    task = ragged_task(tmp_path, "steps") if "ragged" in kind else TASK
    extra: dict[str, Any] = {"dropout": 0.4, "loss_at": "each"} if "dropout" in kind else {}
    config = TrainConfig(hidden=6, batch=5, updates=18, eval_every=6, lr=0.01, cool_at=(), **extra)
    data, waited = task.load(0), list[int]()

    def files(name: str, device: str, stop: Callable[[], bool]) -> list[bytes]:
        # One of two, whose partner has no rows.
        partners = Together(0, 2, Nobody())
        run = start_run("any", task, config, data, tmp_path / name)
        train(config, data, run, stop=stop, device=device, partners=partners)
        return [(run.folder / file).read_bytes() for file in (LAST, BEST)]

    with use_kernel("reference"):
        wanted = files("here", "cpu", lambda: False)
    with pretended_cuda(monkeypatch) as device:
        assert files("there", "cuda", lambda: bool(waited.append(len(device.waits)))) == wanted  # type: ignore[func-returns-value]
    assert len(waited) == 18
    for stretch in (waited[k : k + 6] for k in (0, 6, 12)):
        assert len(set(stretch)) == 1, device.waits[stretch[0] : stretch[-1]]


def refused(config: TrainConfig, other: TrainConfig, parent: Path, **changed: Any) -> list[str]:
    """What two partners raise, the second of which trains something else."""

    def work(partners: Partners) -> None:
        own = (config, other)[partners.rank]
        data = TASK.load(own.seed)
        if partners.rank:
            data = dataclasses.replace(data, **changed)
        train(own, data, start_run("any", TASK, own, data, partners.folder(parent)), partners=partners)

    found = together(2, work)
    assert [type(error) for error in found] == [ConfigError] * 2
    return [str(error) for error in found]


def test_partners_that_differ_are_refused(tmp_path: Path) -> None:
    messages = refused(CONFIG, dataclasses.replace(CONFIG, lr=0.5, hidden=9), tmp_path)
    assert messages[0] == messages[1]
    assert messages[0].startswith(
        "rank 1 of 2 differs from rank 0 in train_config.hidden (9, not 8) and 1 more; start all processes with one"
    )
    messages = refused(CONFIG, CONFIG, tmp_path, fingerprint="0" * 64)
    assert f"rank 1 of 2 differs from rank 0 in the fingerprint of the data ('{'0' * 64}', not '" in messages[0]


def test_a_batch_for_fewer_is_refused(tmp_path: Path) -> None:
    few = dataclasses.replace(CONFIG, batch=1)
    messages = refused(few, few, tmp_path)
    assert (
        messages
        == [
            "a batch of 1 cannot be shared by 2 processes; start 1 or fewer, or set batch to 2 or more (it is "
            "what all processes have together)"
        ]
        * 2
    )


def test_trouble_of_one_is_told_to_all() -> None:
    def work(partners: Partners) -> str:
        with partners.in_step():
            pass
        if partners.rank == 1:
            # Where the others are does not matter.
            with partners.in_step():
                raise DataError("no such file")
        partners.agree({"a": 1})
        return "never"

    said = together(3, work)
    assert [type(error) for error in said] == [DataError] * 3
    assert [str(error) for error in said] == ["rank 1 of 3: no such file"] * 3


def test_trouble_of_all_is_told_once_and_named_after_nobody() -> None:
    def work(partners: Partners) -> None:
        try:
            with partners.in_step(), partners.in_step():
                raise DataError("no such file")
        finally:
            assert partners.told

    assert [str(error) for error in together(2, work)] == ["no such file"] * 2


def test_data_are_prepared_by_one_process_of_a_machine_first() -> None:
    order: list[int] = []

    def work(partners: Partners) -> int:
        def load() -> int:
            time.sleep(0.02 * (partners.rank == 0))
            order.append(partners.rank)
            return partners.rank

        return partners.prepare(load)

    assert together(3, work) == [0, 1, 2]
    assert order[0] == 0
    assert ALONE.prepare(lambda: 5) == 5


def test_a_folder_in_use_is_told_to_all(tmp_path: Path) -> None:
    data = TASK.load(0)
    run = start_run("any", TASK, CONFIG, data, tmp_path)

    def work(partners: Partners) -> None:
        train(CONFIG, data, start_run("any", TASK, CONFIG, data, partners.folder(tmp_path)), partners=partners)

    with run.lock():
        found = together(2, work)
    for error in found:
        assert isinstance(error, RunError)
        assert f"another process is training in {run.folder}" in str(error)


def test_a_damaged_checkpoint_is_passed_over_by_all(tmp_path: Path) -> None:
    def until(last: int | None) -> list[str]:
        def work(partners: Partners) -> str:
            data = TASK.load(0)
            run = start_run("any", TASK, CONFIG, data, partners.folder(tmp_path))
            train(CONFIG, data, run, stop_after=last, partners=partners)
            return run.notice

        return together(2, work)  # type: ignore[return-value]

    until(12)
    path = only_run(tmp_path) / LAST
    path.write_bytes(path.read_bytes()[:-10])
    for notice in until(None):
        assert "going on from the checkpoint before it, of update 6" in notice
    path.write_bytes(b"")
    (path.parent / PREVIOUS).write_bytes(b"")
    for error in until(None):
        assert isinstance(error, RunError)
        assert "is damaged" in str(error)


def test_devices_are_dealt_out() -> None:
    partners = Together(3, 4, Nobody(), local_rank=1)
    assert [partners.device(name) for name in ("cpu", "cuda")] == ["cpu", "cuda:1"]
    assert ALONE.device("cuda:1") == "cuda:1"
    with pytest.raises(ConfigError, match="4 processes cannot share device cuda:0: say cuda, and each takes its own"):
        partners.device("cuda:0")


def test_the_private_place_does_not_last(tmp_path: Path) -> None:
    first, second = (Together(rank, 2, Nobody()) for rank in range(2))
    assert first.folder(tmp_path) == tmp_path
    place = second.folder(tmp_path)
    assert place.is_dir()
    assert place != second.folder(tmp_path)
    second.close()
    assert not place.exists()
    first.close()
    assert tmp_path.exists()


def test_patience_outlasts_signals() -> None:
    code = """
import os, signal
from nprnn.training.together import Patient
with Patient() as patient:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), number)
os.kill(os.getpid(), signal.SIGTERM)
print(patient(), patient.signal == signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"


def test_importing_the_package_loads_nothing_more_of_torch_distributed() -> None:
    code = """
import sys, torch
before = set(sys.modules)
import nprnn.cli
print([name for name in set(sys.modules) - before if name.startswith("torch.distributed")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
