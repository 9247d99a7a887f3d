"""The footprint table: what formulas tell, what is measured, and what the report makes of exports, damaged ones too."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nprnn.bench.timing import Times
from nprnn.cli import main
from nprnn.export import RECORD, Network, network_of
from nprnn.export import footprint as measuring
from nprnn.export.footprint import LSTM_GATES, Size, cost_of, footprint, size_of
from nprnn.reporting import assemble, find_runs, write_report
from nprnn.reporting.footprint import Footprint, Line
from nprnn.reporting.record import as_study_record
from test_cli import SHORT, said
from test_report import make_run, page, rows, tables
from test_report import undrawn as undrawn

# --- by formula -----------------------------------------------------------------------------------------------------


def test_the_network_of_pixel_mnist_by_hand() -> None:
    ours, lstm = cost_of(Size(1, 100, 10)), cost_of(Size(1, 100, 10), LSTM_GATES)
    assert ours.parameters == 100 * 1 + 100 * 100 + 100 + 10 * 100 + 10 == 11_210
    assert lstm.parameters == 4 * (100 * 1 + 100 * 100 + 100) + 10 * 100 + 10 == 41_810
    assert ours.weight_bytes == {"float32": 44_840, "int8": 100 * 101 + 10 * 100 + 8 * 110}
    assert lstm.weight_bytes == {"float32": 167_240, "int8": 400 * 101 + 10 * 100 + 8 * 410}
    assert (ours.state_bytes, lstm.state_bytes) == ({"float32": 400, "int8": 200}, {"float32": 800, "int8": 400})
    assert ours.flops_per_step == 2 * 100 * 101 + 2 * 10 * 100
    assert lstm.flops_per_step == 8 * 100 * 101 + 2 * 10 * 100


SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 5), st.integers(1, 3), st.integers(1, 2))


@given(sizes=SIZES, lstm=st.booleans())
@settings(max_examples=40, deadline=None)
def test_parameters_are_those_of_torch_with_one_bias(sizes: tuple[int, ...], lstm: bool) -> None:
    size = Size(*sizes)
    kind = nn.LSTM if lstm else nn.RNN
    module = kind(size.inputs, size.hidden, size.layers, bidirectional=size.directions == 2)
    named = {name: p.numel() for name, p in module.named_parameters() if not name.startswith("bias_hh")}
    head = size.outputs * (size.directions * size.hidden + 1)
    found = cost_of(size, LSTM_GATES if lstm else 1)
    assert found.parameters == sum(named.values()) + head
    assert found.flops_per_step == 2 * (
        sum(n for name, n in named.items() if name.startswith("weight")) + size.outputs * size.directions * size.hidden
    )
    carried = module(torch.zeros(1, 1, size.inputs))[1]
    assert found.state_bytes["float32"] == sum(s.nbytes for s in (carried if lstm else (carried,)))


@pytest.mark.parametrize(("kind", "gates"), [(nn.RNNCell, 1), (nn.LSTMCell, LSTM_GATES)])
def test_flops_are_those_that_torch_counts(kind: type[nn.Module], gates: int) -> None:
    cell, head = kind(3, 7), nn.Linear(7, 4)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        state = cell(torch.zeros(1, 3))
        head(state if isinstance(state, Tensor) else state[0])
    assert cost_of(Size(3, 7, 4), gates).flops_per_step == counter.get_total_flops()


# --- by the clock ---------------------------------------------------------------------------------------------------


def network(layers: int = 1, directions: int = 1, *, head: bool = True) -> Network:
    torch.manual_seed(0)
    module = nn.RNN(3, 8, layers, nonlinearity="relu", bidirectional=directions == 2)
    scaling = {"mean": torch.tensor([0.5, 0.0, -1.0]), "scale": torch.tensor([2.0, 1.0, 0.5])}
    return network_of(module, nn.Linear(8 * directions, 4) if head else None, **scaling)


def answer_of(exported: Network) -> Callable[[Tensor, Tensor | None], Tensor]:
    return lambda x, lengths: exported.outputs(x, lengths)[0]


@pytest.mark.parametrize("head", [True, False])
def test_a_step_is_measured(head: bool) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = footprint(network(head=head), answer_of(network(head=head)), rounds=3)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert size_of(network(head=head)) == Size(3, 8, 4 if head else 0)
    assert found["network"]["parameters"] == cost_of(Size(3, 8, 4 if head else 0)).parameters
    assert found["lstm"]["flops_per_step"] == cost_of(Size(3, 8, 4 if head else 0), LSTM_GATES).flops_per_step
    seconds = found["seconds_per_step"]
    assert list(seconds) == ["streamer", "torch", "lstm", "export"]
    assert all(seconds[name] > 0 for name in ("streamer", "torch", "lstm"))
    assert (found["measured"]["threads"], found["measured"]["rounds"]) == (1, 3)
    assert found["measured"]["processor"]


def test_two_directions_cannot_be_stepped() -> None:
    found = footprint(network(2, 2), rounds=1)
    assert set(found["seconds_per_step"].values()) == {None}
    assert found["network"]["parameters"] == cost_of(Size(3, 8, 4, 2, 2)).parameters
    found = footprint(network(2, 2), answer_of(network(2, 2)), rounds=3)
    assert found["seconds_per_step"]["streamer"] is None
    assert found["measured"]["rounds"] == 3


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("head", [True, False])
def test_what_is_timed_is_the_network(monkeypatch: pytest.MonkeyPatch, layers: int, head: bool) -> None:
    results: dict[str, Tensor] = {}
    given_inputs: list[Tensor] = []

    def once(calls: Mapping[str, Callable[[], Tensor]], *_: object, **__: object) -> dict[str, Times]:
        for name, call in calls.items():
            results[name] = call().clone()
            # Every call starts anew.
            torch.testing.assert_close(call(), results[name], rtol=0, atol=0)
        return {name: Times((1.0,)) for name in calls}

    def answer(x: Tensor, lengths: Tensor | None) -> Tensor:
        given_inputs.append(x)
        return x

    monkeypatch.setattr(measuring, "interleave", once)
    exported = network(layers, head=head)
    footprint(exported, answer)
    assert exported.mean is not None
    assert exported.scale is not None
    long = max(given_inputs, key=len)
    scaled = (long - exported.mean) / exported.scale
    expected, _ = exported.outputs(long[: measuring.STEPS])
    for name in ("streamer", "torch"):
        torch.testing.assert_close(results[name].reshape(1, -1), expected, rtol=1e-4, atol=1e-5)
    assert results["lstm"].shape == (1, 4 if head else 8)
    assert {len(x) for x in given_inputs} == {8, 72}
    assert {x.shape[1:] for x in given_inputs} == {(1, 3)}
    assert abs(float(scaled.mean())) < 0.3


def test_times_are_medians_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = measuring.STEPS
    found = {
        "streamer": Times((1.0 * steps, 2.0 * steps, 100.0 * steps)),
        "torch": Times((5.0 * steps,) * 3),
        "lstm": Times((9.0 * steps,) * 3),
        "short": Times((10.0, 1000.0, 10.0)),
        "long": Times((10.0 + 64 * 3.0, 1000.0 + 64 * 4.0, 10.0 + 64 * 5.0)),
    }
    monkeypatch.setattr(measuring, "interleave", lambda calls, *_, **__: {name: found[name] for name in calls})
    told = footprint(network(), answer_of(network()))["seconds_per_step"]
    assert told == {"streamer": 2.0, "torch": 5.0, "lstm": 9.0, "export": 4.0}
    assert footprint(network())["seconds_per_step"]["export"] is None
    found["long"] = Times((9.0, 900.0, 11.0))
    assert footprint(network(), answer_of(network()))["seconds_per_step"]["export"] is None


# --- the report -----------------------------------------------------------------------------------------------------

SECONDS = {"streamer": 1e-6, "torch": 1.5e-5, "lstm": 3e-5, "export": 4e-6}


def put_export(run: Path, name: str = "c-int8", **changes: Any) -> Path:
    """What `nprnn export` leaves of a run of ``make_run`` (I = 2, H = 8, O = 1)."""
    record = {
        "format": "c",
        "mode": "sequence",
        "precision": "int8",
        "files": {"model.c": 4000},
        "weight_bytes": 160,
        "state_bytes": 16,
        "network": {
            "input_size": 2,
            "hidden_size": 8,
            "output_size": 1,
            "layers": 1,
            "directions": 1,
            "nonlinearity": "relu",
            "at": "last",
        },
        "about": {},
        "verification": {
            "sequences": 50,
            "rows": 50,
            "inputs": "the whole test set",
            "max_difference": 0.01,
            "agreement": None,
            "expected": {"mse": 0.001, "within_0.04": 0.9},
            "found": {"mse": 0.0015, "within_0.04": 0.8},
        },
        "details": {},
        "checkpoint": "last",
        "update": 30,
        "footprint": {"seconds_per_step": SECONDS, "measured": {"processor": "Abacus 9", "kernel": "avx2"}},
        "env": {"started": "2026-01-02T03:04:05+00:00", "torch": "2.13.0"},
    }
    folder = run / "exports" / name
    folder.mkdir(parents=True)
    (folder / RECORD).write_text(json.dumps(record | changes))
    return folder / RECORD


def footprint_in(parent: Path) -> Footprint:
    (section,) = assemble(find_runs([parent])).sections
    return section.footprint


def by_row(found: Footprint) -> dict[str, list[Line]]:
    return {row: [line for line in found.lines if line.row == row] for row in ("network", "streamer", "export", "LSTM")}


@pytest.mark.usefixtures("undrawn")
def test_without_exports_the_table_has_what_formulas_tell(tmp_path: Path) -> None:
    for model in ("np-RNN", "IRNN", "LSTM"):
        for hidden in (8, 16):
            make_run(tmp_path, 0.1, model=model, hidden=hidden)
    found = footprint_in(tmp_path)
    assert [(line.row, line.model, line.hidden) for line in found.lines] == [
        ("network", "np-RNN, IRNN", 8),
        ("LSTM", "LSTM", 8),
        ("network", "np-RNN, IRNN", 16),
        ("LSTM", "LSTM", 16),
    ]
    ours, lstm = found.lines[2:]
    assert (ours.parameters, lstm.parameters) == (16 * (2 + 16 + 1) + 17, 4 * 16 * (2 + 16 + 1) + 17)
    assert (ours.weights_float32, ours.weights_int8) == (4 * 321, 16 * 18 + 16 + 8 * 17)
    assert (ours.state_float32, ours.state_int8, lstm.state_float32, lstm.state_int8) == (64, 32, 128, 64)
    assert (ours.flops_per_step, lstm.flops_per_step) == (2 * 16 * 18 + 32, 8 * 16 * 18 + 32)
    assert not found.remarks
    assert {line.seconds_per_step for line in found.lines} == {None}
    text = page(tmp_path)
    assert "np-RNN, IRNN, 16 hidden units, in torch" in text
    assert "<code>nprnn export</code> measures a step's time" in text
    assert "compared with the network" not in text


@pytest.mark.usefixtures("undrawn")
def test_each_export_is_a_row_between_the_network_and_the_lstm(tmp_path: Path) -> None:
    first = make_run(tmp_path, 0.1, seed=0)
    second = make_run(tmp_path, 0.1, seed=1)
    put_export(first)
    floats = {"format": "onnx", "mode": "step", "precision": "float32", "weight_bytes": 388, "state_bytes": 32}
    put_export(first, "onnx-step", **floats, footprint={}, checkpoint="best", update=20)
    put_export(second, verification=None)
    found = footprint_in(tmp_path)
    assert [line.row for line in found.lines] == ["network", "streamer", "export", "export", "export", "LSTM"]
    assert found.exports == 3
    lines = by_row(found)
    (ours,), (streamed,), (lstm,) = lines["network"], lines["streamer"], lines["LSTM"]
    assert (ours.seconds_per_step, streamed.seconds_per_step, lstm.seconds_per_step) == (1.5e-5, 1e-6, 3e-5)
    c, onnx, unrun = lines["export"]
    assert (c.export, c.format, c.model, c.seed, c.folder) == ("c-int8", "c", "np-RNN", 0, first.name)
    assert (c.weights_float32, c.weights_int8, c.state_float32, c.state_int8) == (None, 160, None, 16)
    assert (c.before, c.after, c.agreement, c.compared_on) == (0.001, 0.0015, None, "the whole test set")
    assert (c.update, c.checkpoint, c.seconds_per_step) == (30, "last", 4e-6)
    assert c.parameters == ours.parameters == 8 * 11 + 9
    assert (onnx.format, onnx.weights_float32, onnx.weights_int8) == ("onnx, step", 388, None)
    assert (onnx.state_float32, onnx.checkpoint, onnx.update, onnx.seconds_per_step) == (32, "best", 20, None)
    assert (unrun.seed, unrun.before, unrun.after, unrun.compared_on) == (1, None, None, "not run where it was written")
    assert found.machines == ["Abacus 9, kernel avx2, torch 2.13.0"]
    text = page(tmp_path)
    assert "c-int8, update 30" in text
    assert "onnx-step, update 20" in text
    assert "<br>not run where it was written" in text
    assert "<br>the whole test set" not in text
    assert "same class" not in text
    assert "Measured on Abacus 9, kernel avx2, torch 2.13.0." in text
    assert "EXPORTS LEFT OUT" not in text
    (table,) = (content for name, content in tables(text).items() if "footprint" in name)
    written = rows(table)
    assert [row["row"] for row in written] == [line.row for line in found.lines]
    assert (written[2]["test mse, in torch"], written[2]["test mse, exported"]) == ("0.001", "0.0015")
    assert (written[2]["weights, bytes, int8"], written[2]["weights, bytes, float32"]) == ("160", "")
    assert written[0]["measured on"] == "Abacus 9, kernel avx2, torch 2.13.0"


@pytest.mark.usefixtures("undrawn")
def test_of_classes_it_is_told_how_many_are_the_same(tmp_path: Path) -> None:
    folder = make_run(tmp_path, 0.9, metric="accuracy")
    found = {"inputs": "the first 9 sequences of the test set", "agreement": 0.9875}
    put_export(folder, verification={**found, "expected": {"accuracy": 0.9}, "found": {"accuracy": 0.85}})
    (line,) = by_row(footprint_in(tmp_path))["export"]
    assert (line.before, line.after, line.agreement) == (0.9, 0.85, 0.9875)
    text = page(tmp_path)
    assert "<td>98.75 %</td>" in text
    assert "<td>0.8500<br>the first 9 sequences of the test set</td>" in text


@pytest.mark.usefixtures("undrawn")
def test_the_times_side_by_side_are_of_one_export(tmp_path: Path) -> None:
    folder = make_run(tmp_path, 0.1)

    def made(when: str, factor: float, processor: str) -> dict[str, Any]:
        seconds = {name: factor * value for name, value in SECONDS.items()}
        measured = {"seconds_per_step": seconds, "measured": {"processor": processor}}
        return {"footprint": measured, "env": {"started": when}}

    put_export(folder, "a", **made("2026-03-01T00:00:00+00:00", 2.0, "new"))
    put_export(folder, "b", **made("2026-01-01T00:00:00+00:00", 5.0, "old"))
    put_export(folder, "c", footprint={"seconds_per_step": None}, env={"started": "2026-09-01T00:00:00+00:00"})
    lines = by_row(footprint_in(tmp_path))
    assert [lines[row][0].seconds_per_step for row in ("network", "streamer", "LSTM")] == [3e-5, 2e-6, 6e-5]
    assert [line.machine for line in lines["LSTM"] + lines["export"]] == ["new", "new", "old", None]
    assert [line.seconds_per_step for line in lines["export"]] == [8e-6, 5.0 * 4e-6, None]


HOSTILE = "=HYPERLINK(1)<script>alert(1)</script>\x1b[31m\n"


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"3",
        b"\xff\xfe",
        b"[" * 100_000,
        {"precision": "int4"},
        {"precision": []},
        {"weight_bytes": -1},
        {"weight_bytes": "160"},
        {"weight_bytes": True},
        {"state_bytes": 1.5},
        {"state_bytes": 10**400},
        {"weight_bytes": float("nan")},
        {"network": None},
        {"network": {"hidden_size": 8}},
        {"network": {"input_size": 0, "hidden_size": 8, "output_size": 1, "layers": 1, "directions": 1}},
        {"verification": [1]},
        {"verification": {"inputs": "x", "expected": {"mse": "low"}}},
        {"verification": {"inputs": "x", "expected": {"mse": 10**400}}},
        {"verification": {"inputs": "x", "expected": 3}},
        {"footprint": {"seconds_per_step": {"lstm": []}}},
        {"footprint": 3},
        {"env": "x"},
        {"update": -3},
    ],
    ids=lambda damage: repr(damage)[:50],
)
def test_a_damaged_export_is_told_and_stops_nothing(tmp_path: Path, damage: Any) -> None:
    folder = make_run(tmp_path, 0.1)
    put_export(folder, "good")
    if isinstance(damage, bytes):
        put_export(folder, "bad").write_bytes(damage)
    else:
        put_export(folder, "bad", **damage)
    found = footprint_in(tmp_path)
    assert [line.export for line in found.lines if line.row == "export"] == ["good"]
    (remark,) = found.remarks
    assert remark.folder == f"{folder.name}/exports/bad"
    assert "export.json cannot be read" in remark.reason
    text = page(tmp_path)
    assert "EXPORTS LEFT OUT: 1" in text
    (study,) = as_study_record(assemble(find_runs([tmp_path])), [])["studies"]
    assert study["footprint"]["left_out"] == [remark._asdict()]
    assert json.loads(json.dumps(study["footprint"], allow_nan=False)) == study["footprint"]


@pytest.mark.usefixtures("undrawn")
def test_what_is_missing_or_strange_in_an_export_is_left_blank(tmp_path: Path) -> None:
    folder = make_run(tmp_path, 0.1)
    blank = {"inputs": HOSTILE, "expected": {"mse": float("nan")}, "found": None, "agreement": float("inf")}
    strange = {"seconds_per_step": {"lstm": -1.0, "torch": float("nan"), "export": 0.0}}
    put_export(folder, "=x<b>", format=HOSTILE, mode=HOSTILE, verification=blank, footprint=strange, update=None)
    (folder / "exports" / "half").mkdir()
    (folder / "exports" / ".torch.x1y2").mkdir()
    (folder / "exports" / ".torch.x1y2" / RECORD).write_text("{")
    (folder / "exports" / "file").write_text("")
    found = footprint_in(tmp_path)
    assert not found.remarks
    (line,) = by_row(found)["export"]
    assert (line.before, line.after, line.agreement, line.seconds_per_step, line.update) == (None,) * 5
    assert not by_row(found)["streamer"]
    text = page(tmp_path)
    assert "<script" not in text
    assert "<b>" not in text.split("<h3>Footprint</h3>")[1].split("</table>")[0]
    assert "\x1b" not in text
    (table,) = (content for name, content in tables(text).items() if "footprint" in name)
    assert rows(table)[1]["export"] == "'=x<b>"


@pytest.mark.usefixtures("undrawn")
def test_a_run_whose_config_tells_no_sizes_is_reported_without(tmp_path: Path) -> None:
    folder = make_run(tmp_path, 0.1, name="older")
    config = json.loads((folder / "config.json").read_text())
    for model in ({}, {"input_size": "2", "output_size": 1}, {"input_size": 2, "output_size": 0}, None):
        (folder / "config.json").write_text(json.dumps(config | {"model": model}))
        assert not footprint_in(tmp_path).lines
        assert "Footprint" not in page(tmp_path)
        assert not [name for name in tables(page(tmp_path)) if "footprint" in name]
    put_export(folder)
    assert [line.row for line in footprint_in(tmp_path).lines] == ["network", "streamer", "export", "LSTM"]


@pytest.mark.usefixtures("undrawn")
def test_an_export_of_another_network_stands_beside_the_lstm_of_its_own_size(tmp_path: Path) -> None:
    folder = make_run(tmp_path, 0.1)
    sizes = {"input_size": 2, "hidden_size": 64, "output_size": 1, "layers": 1, "directions": 1}
    put_export(folder, network=sizes)
    assert [(line.row, line.hidden) for line in footprint_in(tmp_path).lines] == [
        ("network", 8),
        ("LSTM", 8),
        ("network", 64),
        ("streamer", 64),
        ("export", 64),
        ("LSTM", 64),
    ]


@pytest.mark.usefixtures("undrawn")
def test_a_long_table_is_folded_away(tmp_path: Path) -> None:
    for hidden in range(1, 17):
        make_run(tmp_path, 0.1, hidden=hidden)
    assert "<summary>all 32 rows</summary>" in page(tmp_path)


def test_from_training_to_the_table_through_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in ("0", "1"):
        assert main(["train", "addition", *SHORT, "--seed", seed, "--out", str(tmp_path / "runs")]) == 0
    first, second = sorted(path.parent for path in (tmp_path / "runs").glob("*/config.json"))
    assert main(["export", str(first), "--format", "torch"]) == 0
    assert main(["export", str(second), "--format", "torch"]) == 0
    (second / "exports" / "torch" / RECORD).write_text("{")
    made = json.loads((first / "exports" / "torch" / RECORD).read_text())
    seconds = made["footprint"]["seconds_per_step"]
    assert made["footprint"]["network"]["parameters"] == 10 * 13 + 11
    capsys.readouterr()
    out = tmp_path / "out"
    words = ["report", str(tmp_path / "runs"), "--out", str(out / "r.html")]
    assert main([*words, "--csv", str(out / "csv"), "--json", str(out / "r.json")]) == 0
    assert "written:" in said(capsys)
    text = (out / "r.html").read_text()
    assert "torch, update 20" in text
    assert "EXPORTS LEFT OUT: 1" in text
    assert "export.json cannot be read" in text
    (path,) = (out / "csv").glob("*-footprint.csv")
    with path.open() as file:
        written = list(csv.DictReader(file))
    assert [row["row"] for row in written] == ["network", "streamer", "export", "LSTM"]
    assert [float(row["seconds a step"]) for row in written if row["row"] != "export"] == [
        seconds["torch"],
        seconds["streamer"],
        seconds["lstm"],
    ]
    assert [row["parameters"] for row in written] == ["141", "", "141", str(4 * 130 + 11)]
    exported = written[2]
    assert float(exported["test mse, in torch"]) == made["verification"]["expected"]["mse"]
    assert float(exported["test mse, exported"]) == made["verification"]["found"]["mse"]
    assert exported["weights, bytes, float32"] == str(made["weight_bytes"])
    assert exported["compared on"] == "the whole test set"
    (study,) = json.loads((out / "r.json").read_text())["studies"]
    (line,) = (line for line in study["footprint"]["lines"] if line["row"] == "export")
    assert line["before"] == made["verification"]["expected"]["mse"]
    assert line["seconds_per_step"] == seconds["export"]
    assert [entry["folder"] for entry in study["footprint"]["left_out"]] == [f"{second.name}/exports/torch"]


@pytest.mark.usefixtures("undrawn")
def test_the_report_measures_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_export(make_run(tmp_path, 0.1))
    monkeypatch.setattr(measuring, "interleave", None)
    write_report(assemble(find_runs([tmp_path])), tmp_path / "r.html")
