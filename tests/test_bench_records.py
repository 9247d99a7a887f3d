"""Records and tables of measurements, and the command that makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nprnn.bench import SHAPES, make_record, measuring, records, summary, write_record
from nprnn.bench.denormals import flushes
from nprnn.bench.rivals import RIVALS
from nprnn.cli import benching
from nprnn.cli.benching import command_bench
from nprnn.errors import ConfigError, DataError
from test_bench_rivals import missing_jax


def a_record(**changes: Any) -> dict[str, Any]:
    times = {"median": 0.002, "lower": 0.0019, "upper": 0.0025, "n": 5}
    shape = {
        "label": "mnist-784",
        "T": 784,
        "B": 16,
        "I": 1,
        "H": 100,
        "E": 1,
        "inference": False,
        "rivals": {"nprnn": times, "torch": times | {"median": 0.024}, "lstm": times, "jax": {"missing": "no jax"}},
        "ratios": {
            "torch": measuring.judged(12.0, 10),
            "lstm": measuring.judged(0.5, None),
            "jax": measuring.judged(None, 4),
        },
        "flops": 10**8,
        "flops_per_second": 5e10,
        "gemm_float32": 1.5e11,
        "peak_share": measuring.judged(1 / 3, 0.45),
        "limit": {"arithmetic": 0.0006, "traffic": 0.0001, "binds": "arithmetic"},
        "memory": {"nprnn": 3 * 2**20},
    }
    limits = {"gemm_float32": 1.5e11, "gemm_float64": 7e10, "bandwidth": 2e10}
    return make_record("bench", ["nprnn", "bench"], 2, complete=True, limits=limits, shapes=[shape]) | changes


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    record = a_record()
    path = tmp_path / "deep" / "record.json"
    write_record(path, record)
    assert records.read_record(path) == record
    assert [p.name for p in path.parent.iterdir()] == ["record.json"]
    assert record["machine"]["processor"]
    assert record["versions"]["torch"] == torch.__version__
    assert "reference" in record["kernels"]


def test_bad_records_and_places_are_refused(tmp_path: Path) -> None:
    for text in ("", "{}", "[1]", '{"format": 99, "kind": "bench"}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(DataError, match=r"bad\.json"):
            records.read_record(tmp_path / "bad.json")
    with pytest.raises(DataError, match="--out"):
        write_record(tmp_path / "bad.json" / "record.json", a_record())


def test_the_newest_complete_record_counts(tmp_path: Path) -> None:
    assert records.newest(tmp_path, "bench") is None
    for name, changes in {
        "c": {"started": "2026-01-02T00:00:00+00:00"},
        "a": {"started": "2026-01-03T00:00:00+00:00"},
        "b": {"started": "2026-01-04T00:00:00+00:00", "complete": False},
        "d": {"started": "2026-01-05T00:00:00+00:00", "kind": "pools"},
    }.items():
        write_record(tmp_path / f"{name}.json", a_record(**changes))
    found = records.newest(tmp_path, "bench")
    assert found is not None
    assert found["started"].startswith("2026-01-03")


def test_a_records_command_holds_no_place_of_this_machine() -> None:
    words = ["nprnn", "bench", "--out", "/somewhere/x.json", "--quick", "--data-dir=/data", "--rounds", "3"]
    assert records.repeatable(words) == ["nprnn", "bench", "--quick", "--rounds", "3"]


def test_caches_are_read_where_the_system_tells() -> None:
    assert all(size > 0 for size in records.caches().values())


def test_the_readmes_table_says_targets_and_misses(tmp_path: Path) -> None:
    assert summary.bench_table(tmp_path) == "Nothing measured yet: `nprnn bench`."
    record = a_record(git="abc", versions={"torch": "2"}, kernel="avx2")
    record["machine"] |= {"processor": "a processor", "load": 0.25}
    write_record(tmp_path / "record.json", record)
    heading, rule, row, empty, caption = summary.bench_table(tmp_path).splitlines()
    assert heading.count("|") == rule.count("|") == row.count("|")
    assert row == (
        "| mnist-784 | T=784, B=16, I=1, H=100 | 2 | 12x (≥ 10x) | 0.5x | missing | – | 50.0 | 33 % (≥ 45 % missed) "
        "| arithmetic |"
    )
    assert empty == ""
    assert caption == (
        "`nprnn bench` at abc: a processor, kernel avx2, 2 threads, torch 2; float32, medians of interleaved rounds; "
        "GEMM peak 150 GFLOP/s before, 150 to 150 between a row's rounds, which its share is of; copying 20 GB/s, load "
        "average before 0.2."
    )


def test_numbers_have_three_digits_or_all_before_the_point() -> None:
    assert [summary.digits(v) for v in (0.01234, 9.996, 999.4, 999.6, 12345.6)] == [
        "0.0123",
        "10",
        "999",
        "1,000",
        "12,346",
    ]


def test_losses_are_told_as_plainly_as_wins() -> None:
    record = a_record()
    record["shapes"][0]["ratios"]["torch"] = measuring.judged(9.0, 10)
    assert summary.losses(record) == [
        "mnist-784: missed: torch.nn.RNN, flush takes 9x our time, target 10x",
        "mnist-784: slower: torch.nn.LSTM takes 0.5x our time",
        "mnist-784: missed: 33 % of the GEMM peak, target 45 %",
    ]


def test_a_rivals_row_has_time_quartiles_ratio_target_and_memory() -> None:
    shape = a_record()["shapes"][0]
    assert summary.rival_rows(shape) == [
        ["nprnn", "2", "1.9–2.5", "", "", "3.0"],
        ["torch.nn.RNN, flush", "24", "1.9–2.5", "12x", "≥ 10x", ""],
        ["torch.nn.LSTM", "2", "1.9–2.5", "0.5x", "", ""],
        ["JAX jit", "missing", "", "", "", ""],
    ]
    assert summary.speed_line(shape) == (
        "50.0 GFLOP/s, 33 % of the GEMM peak (≥ 45 % missed); at least 0.6 ms by arithmetic"
    )


def test_the_command_measures_writes_and_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(RIVALS, "jax", ("JAX jit", missing_jax))
    monkeypatch.chdir(tmp_path)
    words = ["--shape", "4,2,1,5", "--shape", "4,2,1,5,3", "--threads", "1", "--rounds", "2", "--quick"]
    assert command_bench(words) == 0
    (path,) = (tmp_path / "results" / "bench").glob("bench-*.json")
    record = records.read_record(path)
    assert record["command"] == ["nprnn", "bench", *words]
    assert record["complete"] is False
    assert record["threads"] == 1
    assert [shape["label"] for shape in record["shapes"]] == ["4,2,1,5", "4,2,1,5,3"]
    assert set(record["shapes"][0]["rivals"]) == {"nprnn", "torch", "torch_as_it_is", "lstm", "jax"}
    said = " ".join(capsys.readouterr().out.split())
    assert "T=4, B=2, I=1, H=5, E=3" in said
    assert "JAX jit missing" in said
    assert path.name in said


def test_the_command_measures_inference_with_onnx_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setitem(RIVALS, "jax", ("JAX jit", missing_jax))
    out = tmp_path / "record.json"
    words = ["--shape", "4,2,1,5", "--threads", "1", "--rounds", "1", "--quick", "--inference", "--out", str(out)]
    assert command_bench(words) == 0
    (shape,) = records.read_record(out)["shapes"]
    assert shape["inference"] is True
    assert shape["rivals"]["onnxruntime"]["median"] > 0
    assert not flushes(), "what a rival switches is switched back"
    assert "forward" in capsys.readouterr().out


def test_the_command_keeps_what_it_has_measured_when_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(shape: Any, **options: Any) -> dict[str, Any]:
        if shape.label != "1,2,3,4":
            raise KeyboardInterrupt
        return a_record()["shapes"][0] | {"label": shape.label}

    monkeypatch.setattr(benching, "measure", measure)
    monkeypatch.setattr(benching, "machine_limits", lambda rounds: {"bandwidth": 1.0})
    out = tmp_path / "record.json"
    with pytest.raises(KeyboardInterrupt):
        command_bench(["--shape", "1,2,3,4", "--shape", "4,3,2,1", "--threads", "1", "--out", str(out)])
    record = records.read_record(out)
    assert [shape["label"] for shape in record["shapes"]] == ["1,2,3,4"]
    assert record["complete"] is False


def test_a_run_of_all_shapes_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benching, "measure", lambda shape, **options: a_record()["shapes"][0] | {"label": shape.label})
    monkeypatch.setattr(benching, "machine_limits", lambda rounds: a_record()["limits"])
    out = tmp_path / "record.json"
    for words, complete in (([], True), (["--quick"], False), (["--inference"], False)):
        assert command_bench([*words, "--threads", "1", "--out", str(out)]) == 0
        assert records.read_record(out)["complete"] is complete
    command_bench(["--threads", "1", "--out", str(out)])
    assert [shape["label"] for shape in records.read_record(out)["shapes"]] == list(SHAPES)


def test_the_command_refuses_what_makes_no_sense() -> None:
    for words, message in (
        (["--shape", "mnist"], "unknown shape"),
        (["--rounds", "0"], "rounds must be at least 1"),
        (["--threads", "0"], "threads must be from 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            command_bench(words)
