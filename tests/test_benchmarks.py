"""The scripts in benchmarks/, at sizes that take no time."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from conftest import ROOT, real_data
from nprnn.bench.gpu import Cell, cells
from nprnn.bench.records import read_record
from nprnn.bench.stretches import stretch
from nprnn.errors import RunError
from nprnn.experiments.comparison import read_comparison_record
from nprnn.ops import library, reference
from nprnn.ops.backends import Kernel
from nprnn.tasks import Addition
from nprnn.training import Member, TrainConfig, start_run


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Where dataclasses look for what their annotations name.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.real_data
def test_features_are_timed_beside_their_parts(tmp_path: Path) -> None:
    pytest.importorskip("av")
    pytest.importorskip("onnxruntime")
    videos, network = (real_data(f"{name}") for name in ("ucf101/clips/index.csv", "models/squeezenet_v1.1.onnx"))
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "Fencing").symlink_to(videos.parent / "Fencing")
    out = tmp_path / "features.json"
    options = {"preprocess": "squeezenet", "frames": 2, "workers": (1,), "rounds": 1, "out": out}
    script("features").main(tmp_path / "videos", network, **options)
    record = read_record(out)
    assert (record["clips"], record["frames"]) == (2, 4)
    seconds, share = record["seconds"], record["share_of_bound"]
    assert share["1 workers"] == pytest.approx((seconds["decode"] + seconds["backbone"]) / seconds["1 workers"])
    assert seconds["1 workers with their start"] > seconds["1 workers"] / 2


def test_random_shapes_are_log_uniform_and_the_same_every_time() -> None:
    draw = script("random_shapes").draw
    shapes = draw(2000, 0)
    assert shapes[:5] == draw(5, 0)
    assert shapes[:5] != draw(5, 1)
    for name in ("steps", "batch", "inputs", "hidden"):
        values = [getattr(shape, name) for shape in shapes]
        assert min(values) == 1
        assert 550 < max(values) <= 600
        # Half of them lie below the root of 601.
        assert 900 < sum(value < 601**0.5 for value in values) < 1100


def test_random_shapes_go_on_where_they_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = script("random_shapes")
    seen: list[str] = []

    def compare(shape: Any, threads: int) -> dict[str, Any]:
        seen.append(shape.label)
        if len(seen) == 3:
            raise KeyboardInterrupt
        sizes = {"T": shape.steps, "B": shape.batch, "I": shape.inputs, "H": shape.hidden}
        return (
            sizes
            | {"rounds": 2, "nprnn": 1.0, "torch": 0.5 * len(seen), "ratio": 0.5 * len(seen)}
            | {
                "least": 0.1,
                "greatest": 9.0,
            }
        )

    monkeypatch.setattr(module, "compare", compare)
    out = tmp_path / "random.json"
    with pytest.raises(KeyboardInterrupt):
        module.main(shapes=5, threads=1, out=out)
    with out.with_suffix(".jsonl").open("a") as file:
        file.write('{"half": ')
    module.main(shapes=5, threads=1, out=out)
    assert seen == [shape.label for shape in (*module.draw(3, 0), *module.draw(5, 0)[2:])]
    record = read_record(out)
    assert (record["complete"], record["slower"], len(record["shapes"])) == (True, 1, 5)
    assert "slower than torch.nn.RNN on 1" in " ".join(capsys.readouterr().out.split())
    module.main(shapes=7, threads=1, minutes=0, out=out)
    assert read_record(out)["complete"] is False
    with pytest.raises(RunError, match="--fresh"):
        module.main(shapes=5, seed=1, threads=1, out=out)
    module.main(shapes=1, seed=1, threads=1, fresh=True, out=out)
    assert len(read_record(out)["shapes"]) == 1


def test_random_shapes_measure_both(tmp_path: Path) -> None:
    module = script("random_shapes")
    line = module.compare(module.find_shape("3,2,1,4"), 1)
    assert line["least"] <= line["ratio"] <= line["greatest"]
    assert json.loads(json.dumps(line)) == line


def test_streaming_measures_each_against_the_empty_function(tmp_path: Path) -> None:
    module = script("streaming")
    module.main(hidden=4, threads=1, rounds=1, streams=(1, 3), chunk=4, out=tmp_path / "streaming.json")
    steps = read_record(tmp_path / "streaming.json")["steps"]
    assert {module.EMPTY, "nprnn.RNNCell", "torch.nn.RNNCell", "torch.nn.LSTMCell"} <= set(steps)
    assert steps[module.EMPTY]["above_empty"] == 0
    many = read_record(tmp_path / "streaming.json")["many"]
    assert [(line["streams"], line["steps"]) for line in many] == [(1, 1), (1, 4), (3, 1), (3, 4)] * 2
    assert all(line["ratio"] > 0 for line in many)


def test_pools_measure_the_excess_of_taking_turns(tmp_path: Path) -> None:
    script("pools").main(size=8, repeats=1, threads=1, rounds=1, out=tmp_path / "pools.json")
    record = read_record(tmp_path / "pools.json")
    assert set(record["seconds"]) == {"mm", "nprnn", "both"}
    assert record["excess"] > 0


def test_end_to_end_trains_both_layers_and_tells_the_layers_share(tmp_path: Path) -> None:
    module = script("end_to_end")
    out = tmp_path / "end.json"
    module.main(tasks=("addition",), preset="quick", threads=1, rounds=1, seconds=0.01, out=out)
    result = read_record(out)["tasks"]["addition"]
    for name in ("updates_per_second", "recurrence"):
        assert set(result[name]) == set(module.LAYERS)
        assert all(value > 0 for value in result[name].values())
    assert result["ratio"] > 0


def test_a_stretch_is_timed_from_its_first_update_to_its_last(tmp_path: Path) -> None:
    task, config = (
        Addition(length=4, train_size=40, test_size=4),
        TrainConfig(hidden=3, updates=10**9, eval_every=10**9),
    )
    data = task.load(0)
    members = [Member(config, data, start_run("addition", task, config, data, tmp_path))]
    ticks = itertools.count(start=100, step=3)
    assert stretch(members, 5, clock=lambda: next(ticks)) == 3
    assert members[0].run.progress() == 6
    stretch(members, 1)
    assert members[0].run.progress() == 8


@pytest.mark.slow
def test_ensembles_are_timed_against_single_runs(tmp_path: Path) -> None:
    # In a process of its own: the script starts processes that import it.
    out = tmp_path / "ensembles.json"
    words = ["--length", "4", "--pixels", "4", "--hidden", "3", "--rounds", "1", "--seconds", "0.01", "--out", str(out)]
    script_file = ROOT / "benchmarks" / "ensembles.py"
    done = subprocess.run([sys.executable, str(script_file), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    record = read_record(out)
    assert record["addition"]["members"] == 28
    assert set(record["addition"]["microseconds"]) == {
        "processes",
        "threads",
        "kernel",
        "kernel_on_these",
        "plain",
        "plain_pair",
    }
    for part in (record["addition"], record["pixels"]):
        assert all(value > 0 for value in part["microseconds"].values())
        assert all(part[key] > 0 for key in part["targets"])


# --- on a GPU, as far as that goes without one ------------------------------------------------------------------------


COMPARISON = """
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
name = "IRNN"

[[scales.paper]]
at = [5, 6]
seeds = [0]
"""


def test_the_cells_of_a_gpu_fit_its_memory_and_begin_with_those_that_have_targets() -> None:
    found = cells()
    assert 35 <= len(found) == len(set(found)) <= 50
    assert found[:6] == [Cell(100, batch, 150, members) for members in (1, 132) for batch in (1, 16, 256)]
    assert max(4 * c.hidden * c.batch * c.steps * c.members for c in found) <= 20e9


def test_wrong_kernels_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = script("gpu")
    found = gpu.correctness(time.monotonic() + 2, "cpu")
    assert found["tried"] > 5
    assert found["wrong"] == []
    assert 0 < found["largest"]["torch.float32"] < 1e-5
    assert gpu.correctness(time.monotonic() - 1, "cpu")["tried"] == 0

    def off(*arguments: Any) -> tuple[Tensor, Tensor]:
        y, h_n = reference.forward(*arguments)
        return y, h_n + 1e-3

    monkeypatch.setattr(library, "kernel", lambda *tensors: Kernel(off, reference.backward))
    wrong = gpu.correctness(time.monotonic() + 1, "cpu")
    assert len(wrong["wrong"]) == wrong["tried"] > 0


def test_a_figure_goes_as_far_as_the_time(tmp_path: Path) -> None:
    gpu = script("gpu")
    file = tmp_path / "small.toml"
    file.write_text(COMPARISON)
    gpu.figure(tmp_path / "out", time.monotonic() - 1, "cpu", str(file))
    begun = read_comparison_record(tmp_path / "out" / "small")
    assert begun.runs == []
    gpu.figure(tmp_path / "out", time.monotonic() + 60, "cpu", str(file))
    record = read_comparison_record(tmp_path / "out" / "small")
    assert [(run.series, run.at, run.state) for run in record.runs] == [
        (name, at, "finished") for at in (5, 6) for name in ("np-RNN", "IRNN")
    ]
    assert (tmp_path / "out" / "small" / "README.md").exists()
    assert not (tmp_path / "out" / "small-runs.tar").exists()


def test_runs_that_have_begun_come_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = script("gpu")
    file = tmp_path / "small.toml"
    file.write_text(COMPARISON)
    # The time is over in the midst of the first ensemble.
    asked = itertools.count()
    monkeypatch.setattr(gpu, "time", SimpleNamespace(monotonic=lambda: float(next(asked) > 30)))
    gpu.figure(tmp_path / "out", 0.5, "cpu", str(file))
    record = read_comparison_record(tmp_path / "out" / "small")
    assert {run.state for run in record.runs} == {"not finished"}
    with tarfile.open(tmp_path / "out" / "small-runs.tar") as archive:
        assert sum(name.endswith("checkpoint.safetensors") for name in archive.getnames()) == len(record.runs) == 2


def test_without_a_device_make_gpu_says_so() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--minutes", "0.1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 1
    assert "make gpu: device cuda was asked for, but this torch" in done.stderr
    assert "--device" not in done.stderr


GREEDY = """
import json, os, pathlib, sys
held = []
for k, line in enumerate(sys.stdin, 1):
    held.append(bytearray(b"x") * 8_000_000)
    place = pathlib.Path(sys.argv[2])
    place.with_suffix(".new").write_text(json.dumps({"members": [{"update": k}, {"update": 2 * k}]}))
    os.replace(place.with_suffix(".new"), place)
    print(k, flush=True)
"""


def test_a_command_is_watched_for_leaks(tmp_path: Path) -> None:
    soak, sweep, out = script("soak"), tmp_path / "sweep.json", tmp_path / "soak.json"
    process = subprocess.Popen(
        [sys.executable, "-c", GREEDY, "nprnn", str(sweep)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    looks = []
    try:
        for k in range(4):
            process.stdin.write("more\n")
            process.stdin.flush()
            process.stdout.readline()
            looks.append(soak._look(process.pid, sweep, 600.0 * k))
        soak.main(process.pid, sweep, out, seconds=0.5, every=0.05)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    assert [look["updates"] for look in looks] == [3, 6, 9, 12]
    private = [look["processes"][str(process.pid)]["private"] for look in looks]
    assert all(7_000_000 < later - earlier < 12_000_000 for earlier, later in itertools.pairwise(private))
    found = soak.summarise(looks)["processes"][str(process.pid)]
    assert 40e6 < found["private_bytes_an_hour"] < 60e6
    assert soak._look(process.pid, sweep, 0.0) is None

    record = read_record(out)
    assert record["watched"] == ["nprnn", "sweep.json"]
    page = tmp_path / "README.md"
    assert "## Soak" in page.read_text()
    assert (tmp_path / "soak.png").stat().st_size > 1000
    # The page is written anew, and others' parts of it stay.
    page.write_text("# Title\n\nbefore\n\n" + page.read_text() + "\nafter\n")
    soak._write(out, record["watched"], looks)
    again = page.read_text()
    assert again.count("## Soak") == 1
    assert again.startswith("# Title\n\nbefore")
    assert again.endswith("after\n")


def test_speed_and_slope_of_a_soak() -> None:
    soak = script("soak")

    def look(minutes: int) -> dict[str, Any]:
        one = {"private": 100 + 3 * minutes, "cpu": 30.0 * minutes, "threads": 2, "files": 5}
        return {"seconds": 60.0 * minutes, "updates": 90 * minutes, "processes": {"7": one}}

    found = soak.summarise([look(k) for k in range(61)])
    # 90 updates a minute in 30 seconds of a processor; 3 bytes a minute.
    assert found["updates_a_cpu_second"] == {"median": 3.0, "first_half": 3.0, "second_half": 3.0}
    (one,) = found["processes"].values()
    assert one["private_bytes_an_hour"] == pytest.approx(180.0)
    assert one["private_bytes"] == {"first": 115, "last": 280, "most": 280}
    assert found["hours"] == 1.0
    assert soak.slope([0.0, 1.0, 2.0, 3.0, 4.0], [5.0, 5.0, 900.0, 5.0, 5.0]) == 0.0, "a peak is no leak"
