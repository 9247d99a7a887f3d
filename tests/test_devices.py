"""Naming a device: what is refused and how, what is remembered, what each command does with the name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import nprnn
from nprnn.cli import main
from nprnn.devices import CPU, about, computing_on, cuda_status, find_device, free_memory, move, synchronize
from nprnn.errors import ConfigError, RunError
from nprnn.ops import use_kernel
from nprnn.runs import Run
from nprnn.sweep.room import elsewhere, room
from nprnn.training import environment, machine
from nprnn.training.machine import kernel_on
from pretended_cuda import CUDA, NAME, Pretended, pretended_cuda
from test_cli import numbers, only_run, said
from test_sweep_plan import text_of, written

TINY = {"length": 6, "train-size": 40, "valid-size": 20, "test-size": 20, "hidden": 8, "batch": 4}
WORDS = ["addition", *(word for name, value in TINY.items() for word in (f"--{name}", str(value)))]
SHORT = [*WORDS, "--updates", "20", "--eval-every", "10"]


@pytest.fixture
def no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch without CUDA, whatever this one is."""
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch, "__version__", "2.13.0+cpu")


REFUSED = (
    "device cuda was asked for, but this torch (2.13.0+cpu) was built without CUDA; install a CUDA build of torch or "
    "leave out --device"
)


def test_the_processor_is_always_there() -> None:
    assert find_device("cpu") == find_device(torch.device("cpu")) == CPU
    assert about(CPU) == {"device": "cpu"}
    synchronize(CPU)
    v = torch.ones(2)
    assert move(v, CPU) is v
    with computing_on(CPU):
        pass


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "mps", "CUDA", ""])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"device must be cpu, cuda or cuda:N, got '{name}'"):
        find_device(name)


@pytest.mark.usefixtures("no_cuda")
def test_a_torch_without_cuda_says_which_it_is_and_what_to_do() -> None:
    with pytest.raises(ConfigError) as error:
        find_device("cuda")
    assert str(error.value) == REFUSED
    assert cuda_status() == "none: this torch (2.13.0+cpu) was built without CUDA; install a CUDA build of torch"


def test_a_torch_with_cuda_where_no_device_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"device cuda:0 was asked .* finds no CUDA device; .*nvidia-smi.*, or leave"):
        find_device("cuda:0")
    assert cuda_status().startswith("none: this torch")


def test_devices_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for count, told in ((1, "cuda:0"), (3, "cuda:0 to cuda:2")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        assert find_device("cuda") == torch.device("cuda")
        assert find_device(f"cuda:{count - 1}") == torch.device("cuda", count - 1)
        with pytest.raises(ConfigError, match=f"cuda:{count} was asked for, but this machine has {told}$"):
            find_device(f"cuda:{count}")


def test_what_is_remembered_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretended_cuda(monkeypatch):
        assert about(find_device("cuda")) == {"device": NAME, "cuda": "13.0"}
        assert free_memory("cuda") == 3 * 2**30


def test_the_kernel_that_is_noted_is_the_one_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernel_on(CPU) == nprnn.ops.kernel_in_use()
    monkeypatch.setattr("nprnn.ops.gpu.interpreted", lambda: False)
    with pretended_cuda(monkeypatch), use_kernel("auto"):
        for missing, kernel in (("", "triton"), ("triton is not installed", "reference")):
            monkeypatch.setattr("nprnn.ops.gpu.missing", lambda missing=missing: missing)
            assert kernel_on(CUDA) == kernel
        with use_kernel("reference"):
            assert kernel_on(CUDA) == "reference"


def test_the_lstm_of_cudnn_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = torch.backends.cudnn.rnn  # type: ignore[attr-defined]
    before = layers.fp32_precision
    with pretended_cuda(monkeypatch):
        with computing_on(find_device("cuda")):
            assert layers.fp32_precision == "ieee"
        assert layers.fp32_precision == before
        with pytest.raises(ZeroDivisionError), computing_on(find_device("cuda")):
            1 / 0
    assert layers.fp32_precision == before


# --- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_cuda")
def test_every_command_refuses_before_anything_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *SHORT, "--out", str(tmp_path / "runs")]) == 0
    folder = only_run(tmp_path / "runs")
    before = sorted(path.name for path in folder.iterdir())
    sweep = written(tmp_path, text_of(grid={"lr": [0.1, 0.2]}))
    np.savez(tmp_path / "new.npz", x=np.zeros((2, 6, 2), np.float32))
    commands = [
        ["train", *SHORT, "--out", str(tmp_path / "out")],
        ["eval", str(folder)],
        ["predict", str(folder), str(tmp_path / "new.npz")],
        ["sweep", str(sweep), "--out", str(tmp_path / "out")],
        ["sweep", str(sweep), "--out", str(tmp_path / "out"), "--dry-run"],
        ["reproduce", "fig3", "--out", str(tmp_path / "out"), "--runs", str(tmp_path / "reproduced")],
        ["bench", "--out", str(tmp_path / "out.json")],
    ]
    for words in commands:
        capsys.readouterr()
        assert main([*words, "--device", "cuda"]) == 2, words
        assert REFUSED in said(capsys), words
    assert sorted(path.name for path in folder.iterdir()) == before
    assert not (tmp_path / "out").exists()


def test_a_name_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *SHORT, "--out", str(tmp_path), "--device", "gpu"]) == 2
    assert "device must be cpu, cuda or cuda:N, got 'gpu'" in said(capsys)


def test_the_processor_by_name_is_the_default(tmp_path: Path) -> None:
    assert main(["train", *SHORT, "--out", str(tmp_path / "a")]) == 0
    assert main(["train", *SHORT, "--out", str(tmp_path / "b"), "--device", "cpu"]) == 0
    one, other = only_run(tmp_path / "a"), only_run(tmp_path / "b")
    assert one.name == other.name
    for name in ("config.json", "checkpoint.safetensors", "best.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert numbers(one) == numbers(other)
    assert json.loads((one / "env.json").read_text())["device"] == "cpu"


def test_a_device_is_no_part_of_a_runs_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Begun on the CPU, gone on with on a device, judged and predicted for on it: one folder, and it tells."""
    words = ["train", *SHORT, "--out", str(tmp_path / "runs")]
    assert main([*words, "--stop-after", "10"]) == 0
    folder = only_run(tmp_path / "runs")
    config = (folder / "config.json").read_bytes()
    with pretended_cuda(monkeypatch):
        capsys.readouterr()
        assert main([*words, "--device", "cuda"]) == 0
        assert "going on from update 10, on cuda" in said(capsys)
        assert only_run(tmp_path / "runs") == folder
        assert (folder / "config.json").read_bytes() == config
        assert main(["eval", str(folder), "--device", "cuda:0"]) == 0
        np.savez(tmp_path / "new.npz", x=np.ones((2, 6, 2), np.float32))
        capsys.readouterr()
        assert main(["predict", str(folder), str(tmp_path / "new.npz"), "--device", "cuda"]) == 0
        there = capsys.readouterr().out
    assert [record["update"] for record in numbers(folder)] == [10, 20]
    assert json.loads((folder / "eval.json").read_text())["test"] == numbers(folder)[-1]["test"]
    assert json.loads((folder / "eval.json").read_text())["env"]["device"] == NAME
    env = json.loads((folder / "env.json").read_text())
    assert env["device"] == "cpu"
    (entry,) = env["continued"]
    assert (entry["update"], entry["device"], entry["cuda"]) == (10, NAME, "13.0")
    assert {**env, **entry}["kernel"] == "reference"
    assert main(["predict", str(folder), str(tmp_path / "new.npz")]) == 0
    here = capsys.readouterr().out
    assert [line.split(",")[0] for line in here.splitlines()] == [line.split(",")[0] for line in there.splitlines()]


def test_info_tells_of_devices(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    assert main(["info"]) == 0
    told = said(capsys)
    assert "device cpu" in told
    assert f"device: cuda none: this torch ({torch.__version__}) was built without CUDA" in told


# --- what stays light -------------------------------------------------------------------------------------------------

OFFLINE = """
import sys
for name in ("nprnn._native", "tyro", "rich", "matplotlib", "jinja2", "av", "onnxruntime", "ray"):
    sys.modules[name] = None
from pathlib import Path
import torch
import nprnn, nprnn.bench, nprnn.sweep, nprnn.tasks, nprnn.training
from nprnn.devices import find_device
from nprnn.errors import ConfigError
assert not torch.cuda.is_initialized(), "by importing"
try:
    find_device("cuda")
except ConfigError:
    pass
assert not torch.cuda.is_initialized(), "by asking"
from nprnn.tasks import Addition
from nprnn.training import Member, TrainConfig, start_run, train_ensemble
task = Addition(length=6, train_size=40, valid_size=20, test_size=20)
config = TrainConfig(hidden=8, batch=4, updates=4, eval_every=2)
data = task.load(0)
run = start_run("addition", task, config, data, Path(sys.argv[1]))
(outcome,) = train_ensemble([Member(config, data, run)])
print(outcome.state, run.env()["kernel"], run.env()["nprnn"])
"""


def test_training_needs_neither_the_command_lines_libraries_nor_the_kernel(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", OFFLINE, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == ["finished", "reference"]


def test_a_checkout_that_is_not_installed_tells_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        if name == "nprnn":
            raise machine.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(machine, "version", absent)
    assert environment()["nprnn"] == nprnn.__version__


# --- room for a sweep -------------------------------------------------------------------------------------------------


def of_this_process(_: str) -> int:
    return os.getpid()


def fails(name: str) -> int:
    raise RuntimeError(f"no {name}")


def test_a_device_is_asked_from_a_process_of_its_own() -> None:
    assert elsewhere(of_this_process, "") != os.getpid()
    with pytest.raises(RuntimeError, match="no cuda:7"):
        elsewhere(fails, "cuda:7")


def test_shards_have_a_third_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nprnn.sweep.room.elsewhere", lambda ask, name: 300 if name == "cuda:1" else 0)
    assert room(torch.device("cuda", 1)) == 100
    monkeypatch.setattr("nprnn.sweep.room.elsewhere", lambda ask, name: ask(name))
    monkeypatch.setattr("nprnn.sweep.room.free_memory", fails)
    with pytest.raises(RunError, match="cuda does not tell how much memory it has free: no cuda"):
        room(torch.device("cuda"))


# --- the pretended device itself --------------------------------------------------------------------------------------


def test_the_pretended_device_refuses_what_a_real_one_does() -> None:
    with Pretended() as device:
        there, here = torch.ones(3, device="cuda"), torch.ones(3)
        assert (there.device, there.is_cuda, here.device) == (CUDA, True, CPU)
        for result in (there + 1, there[:2], there.new_zeros(2), torch.zeros_like(there), there * torch.tensor(2.0)):
            assert result.device == CUDA
        for wrong in (
            lambda: there + here,
            lambda: here[torch.zeros(1, dtype=torch.long, device="cuda")],
            lambda: torch.stack([there, here]),
            lambda: torch.where(torch.arange(3) > 0, there, 0),
            lambda: torch.autograd.grad(here.clone().requires_grad_(), here, there),
        ):
            with pytest.raises(RuntimeError, match="on the CPU and on the device"):
                wrong()
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        with pytest.raises(RuntimeError, match="before they had come"):
            there.to("cpu", non_blocking=True)
        assert device.waits == []
        # A view of it, and a parameter that was moved there, are there.
        parameter = torch.nn.Parameter(here)
        parameter.data = there[1:]
        assert (there[:2].device, parameter.device) == (CUDA, CUDA)
        assert there.cpu().device == CPU
        assert [there.sum().item(), there.tolist(), bool(there.any())] == [3.0, [1.0, 1.0, 1.0], True]
        there[there > 0]
        there.copy_(here)
        here.to("cuda")
        assert device.waits == ["cpu", "item", "tolist", "__bool__", "__getitem__", "copy_", "to"]
        here.to("cuda", non_blocking=True)
        there.copy_(here, non_blocking=True)
        assert len(device.waits) == 7
        assert move(here, CUDA).device == CUDA
        assert len(device.waits) == 7, "what goes there is not waited for"
        assert torch.equal(move(there, CPU), here)
        assert device.waits[7:] == ["to"], "what comes from there is"


def test_a_run_that_lost_its_note_gets_a_new_one(tmp_path: Path) -> None:
    assert main(["train", *SHORT, "--out", str(tmp_path), "--stop-after", "10"]) == 0
    folder = only_run(tmp_path)
    (folder / "env.json").unlink()
    assert main(["train", *SHORT, "--out", str(tmp_path)]) == 0
    (entry,) = Run.open(folder).env()["continued"]
    assert (entry["update"], entry["torch"]) == (10, torch.__version__)
