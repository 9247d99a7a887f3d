"""An ExecuTorch program, run by its own runtime, is the network; its int8 is near, over long sequences too."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conftest import absent
from nprnn.cli import main
from nprnn.errors import ConfigError, InputError, RunError
from nprnn.export import RECORD, Network, Wanted, network_of
from nprnn.export.executorch_format import FILE, MOST_STEPS, MOST_STEPS_KEPT, MOST_STREAMS, write_executorch
from nprnn.export.executorch_int8 import on_grid
from nprnn.export.executorch_running import Program
from nprnn.export.network import Direction
from test_cli import QUICK, csv_folder, only_run, said

INPUTS, HIDDEN, OUTPUTS = 3, 8, 4
LENGTHS = torch.tensor([11, 1, 5, 3, 11, 2])


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


X = drawn(11, 6, INPUTS)


def small(*, head: bool = True, layers: int = 1, both: bool = False, scaled: bool = True, **options: Any) -> Network:
    torch.manual_seed(1)
    module = nn.RNN(INPUTS, HIDDEN, layers, bidirectional=both, nonlinearity=options.pop("nonlinearity", "relu"))
    scaling = {"mean": torch.tensor([1.0, -2.0, 30.0]), "scale": torch.tensor([0.5, 2.0, 4.0])} if scaled else {}
    return network_of(module, nn.Linear(HIDDEN * (1 + both), OUTPUTS) if head else None, **scaling, **options)


@pytest.fixture
def executorch() -> None:
    """Required when CI=true."""
    for name in ("executorch", "torchao"):
        if importlib.util.find_spec(name) is None:
            absent(f"EXECUTORCH IS NOT TESTED: {name} is not installed (pip install 'nprnn[mobile]')")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Path]:
    """A network and its program of whole sequences."""
    if importlib.util.find_spec("executorch") is None:
        absent("EXECUTORCH IS NOT TESTED: it is not installed (pip install 'nprnn[mobile]')")
    network = small(class_names=tuple("abcd"), about={"from": "here"})
    folder = tmp_path_factory.mktemp("sequence")
    write_executorch(network, folder, Wanted())
    return network, folder / FILE


# --- what needs no ExecuTorch ---------------------------------------------------------------------------------------


def test_steps_from_the_end_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="runs from the end needs whole sequences"):
        write_executorch(small(both=True), tmp_path, Wanted("step"))


def test_int8_needs_something_to_calibrate_on(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs calibrating sequences"):
        write_executorch(small(), tmp_path, Wanted(precision="int8"))


def test_a_missing_library_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [m for m in sys.modules if m.split(".")[0] == "executorch"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "executorch", None)
    with pytest.raises(ConfigError, match=r"pip install 'nprnn\[mobile\]'"):
        write_executorch(small(), tmp_path, Wanted())
    with pytest.raises(ConfigError, match=r"pip install 'nprnn\[mobile\]'"):
        Program(tmp_path / FILE)
    assert not list(tmp_path.iterdir())


def on_a_grid(weight: Tensor, steps: Tensor) -> bool:
    integers = weight.double() / steps.double().unsqueeze(-1)
    return bool((integers - integers.round()).abs().max() < 1e-4) and bool(integers.abs().max() < 127.5)


@pytest.mark.parametrize("both", [False, True])
def test_weights_lie_on_the_grid_that_is_told(both: bool) -> None:
    network = small(layers=2, both=both)
    grid = on_grid(network, drawn(20, 8, INPUTS) * 4, None)
    for layer, into, over in zip(grid.network.layers, grid.into, grid.over, strict=True):
        for direction, of_inputs, of_states in zip(layer, into, over, strict=True):
            assert on_a_grid(direction.weight_ih, of_inputs)
            assert on_a_grid(direction.weight_hh, of_states)
    assert grid.network.head is not None
    assert grid.head is not None
    assert on_a_grid(grid.network.head[0], grid.head)


def test_weights_are_rounded_for_what_they_meet() -> None:
    """Over a long memory, against rounding each weight to the nearest."""
    g = torch.Generator().manual_seed(0)
    module = nn.RNN(1, 40, nonlinearity="relu")
    with torch.no_grad():
        module.weight_hh_l0.copy_(torch.eye(40) + 0.02 * torch.randn(40, 40, generator=g))
        module.weight_hh_l0.mul_(1 / torch.linalg.eigvals(module.weight_hh_l0).abs().max())
        module.weight_ih_l0.copy_(torch.rand(40, 1, generator=g))
    network = network_of(module)
    x = torch.rand(300, 32, 1, generator=g)

    def nearest(weight: Tensor) -> Tensor:
        steps = weight.abs().amax(1, keepdim=True) / 127
        return (weight / steps).round() * steps

    ((weight_ih, weight_hh, bias),) = network.layers[0]
    plain = replace(network, layers=((Direction(nearest(weight_ih), nearest(weight_hh), bias),),))
    test = torch.rand(300, 32, 1, generator=g)
    expected, _ = network.outputs(test)
    grid = on_grid(network, x, None)
    ((into, mixing, left),) = grid.network.layers[0]
    whole = Direction(into, mixing + grid.kept[0][0].diag(), left)
    found = replace(grid.network, layers=((whole,),))
    errors = [float((n.outputs(test)[0] - expected).norm()) for n in (found, plain)]
    assert errors[0] < errors[1] / 3


def test_what_lies_beyond_a_sequence_is_not_met() -> None:
    network, lengths = small(layers=2, both=True), torch.tensor([4, 9, 2])
    x = drawn(9, 3, INPUTS)
    beyond = torch.arange(9)[:, None] >= lengths
    other = torch.where(beyond.unsqueeze(-1), torch.tensor(1e3), x)
    for a, b in zip(on_grid(network, x, lengths).into, on_grid(network, other, lengths).into, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


# --- programs -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("step", {}),
        ("step", {"layers": 2, "nonlinearity": "tanh", "at": "mean"}),
        ("step", {"at": "each", "head": False, "scaled": False}),
        ("sequence", {"nonlinearity": "tanh"}),
        ("sequence", {"layers": 2, "at": "mean"}),
        ("sequence", {"layers": 2, "at": "each"}),
        ("sequence", {"head": False, "scaled": False}),
        ("sequence", {"both": True, "layers": 2}),
        ("sequence", {"both": True, "at": "mean", "nonlinearity": "tanh"}),
        ("sequence", {"both": True, "at": "each"}),
    ],
    ids=str,
)
def test_a_program_is_the_network(mode: Any, options: dict[str, Any], tmp_path: Path, executorch: None) -> None:
    network = small(**options)
    exported = write_executorch(network, tmp_path, Wanted(mode))
    assert exported.answer is not None
    # Sequences of any length and number, more than a step takes at once among them.
    for x, lengths in ((X, None), (X, LENGTHS), (X[:1], None), (drawn(3, MOST_STREAMS + 2, INPUTS), None)):
        expected, _ = network.outputs(x, lengths)
        torch.testing.assert_close(exported.answer(x, lengths), expected, rtol=1e-4, atol=1e-5)
    numbers = sum(t.numel() for layer in network.layers for direction in layer for t in direction)
    numbers += sum(t.numel() for t in (*(network.head or ()), network.mean, network.scale) if t is not None)
    assert exported.weight_bytes == 4 * numbers
    assert exported.state_bytes == 4 * network.states * HIDDEN


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("step", {"layers": 2}),
        ("sequence", {"nonlinearity": "tanh", "at": "each"}),
        ("sequence", {"both": True, "at": "mean"}),
    ],
    ids=str,
)
def test_int8_is_near(mode: Any, options: dict[str, Any], tmp_path: Path, executorch: None) -> None:
    network = small(**options)
    assert network.mean is not None
    assert network.scale is not None
    calibration = drawn(20, 32, INPUTS, seed=2) * network.scale + network.mean
    exported = write_executorch(network, tmp_path, Wanted(mode, "int8", None, (calibration, None)))
    assert exported.answer is not None
    x = X * network.scale + network.mean
    for lengths in (None, LENGTHS):
        expected, _ = network.outputs(x, lengths)
        found = exported.answer(x, lengths)
        assert not torch.equal(found, expected)
        assert float((found - expected).norm() / expected.norm()) < 0.02
    # Each sequence has ranges of its own, so its neighbours do not matter.
    beside = torch.cat([x[:, :1], 50 * x[:, 1:]], 1)
    alone = exported.answer(x[:, :1], None)
    torch.testing.assert_close(exported.answer(beside, None)[..., :1, :], alone, rtol=1e-5, atol=1e-6)
    matrices = [t for layer in network.layers for d in layer for t in (d.weight_ih, d.weight_hh)] + [network.head[0]]  # type: ignore[index]
    vectors = [d.bias for layer in network.layers for d in layer] + [network.head[1], network.mean, network.scale]  # type: ignore[index]
    expected_bytes = sum(m.numel() + 4 * len(m) for m in matrices) + sum(4 * v.numel() for v in vectors)
    expected_bytes += 4 * network.states * HIDDEN  # diagonals
    assert exported.weight_bytes == expected_bytes


@pytest.mark.slow
def test_states_go_in_and_come_out(written: tuple[Network, Path]) -> None:
    network, path = written
    program = Program(path)
    h = drawn(1, 1, HIDDEN, seed=3)
    expected, ends = network.outputs(X[:, :1], h0=h)
    first, between = program(X[:4, :1], h)
    second, last = program(X[4:, :1], between)
    torch.testing.assert_close(second, expected)
    torch.testing.assert_close(last, ends)
    assert not torch.allclose(first, second)


@pytest.mark.slow
def test_a_program_tells_what_it_is(written: tuple[Network, Path]) -> None:
    _, path = written
    told = Program(path).about
    assert told["class_names"] == ["a", "b", "c", "d"]
    assert told["about"] == {"from": "here"}
    assert (told["mode"], told["precision"], told["at"], told["most_steps"]) == (
        "sequence",
        "float32",
        "last",
        MOST_STEPS,
    )


@pytest.mark.slow
def test_a_million_steps_neither_drift_nor_grow(written: tuple[Network, Path]) -> None:
    network, path = written
    program = Program(path)
    x = drawn(1_000_000, 1, INPUTS)
    expected, ends = network.outputs(x)
    pieces, h = [], program.start()

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    for k, piece in enumerate(torch.split(x, 1000)):  # type: ignore[no-untyped-call]
        answer, h = program(piece, h)
        pieces.append(answer)
        if k == 100:
            before = resident()
    assert resident() - before < 2**20
    torch.testing.assert_close(pieces[-1], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(h, ends, rtol=1e-4, atol=1e-5)
    whole, _ = program(x, program.start())
    torch.testing.assert_close(whole, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_each_step_is_answered_beyond_what_one_call_takes(tmp_path: Path, executorch: None) -> None:
    network = small(at="each")
    exported = write_executorch(network, tmp_path, Wanted())
    assert exported.details["limits"] == {"most_steps": MOST_STEPS_KEPT}
    assert exported.answer is not None
    x = drawn(MOST_STEPS_KEPT + 3, 1, INPUTS)
    torch.testing.assert_close(exported.answer(x, None), network.outputs(x)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_inputs_that_do_not_fit_are_told(written: tuple[Network, Path]) -> None:
    _, path = written
    program = Program(path)
    h = program.start()
    for x, states, message in (
        (X[:, :1, :2], h, r"takes inputs \[T, 1, I\] with I=3, got shape \(11, 1, 2\)"),
        (X[:, 0], h, r"takes inputs \[T, 1, I\]"),
        (X[:, :1], h[:, :, :3], r"takes states of shape \(1, 1, 8\) for this batch, got \(1, 1, 3\)"),
        (X[:, :2], program.start(2), "steps of one sequence in a call"),
        (X[:0, :1], h, "1 to 1048576 steps of one sequence"),
        (X[:, :1] * float("nan"), h, "must be finite numbers"),
        (X[:, :1], h + float("inf"), "must be finite numbers"),
    ):
        with pytest.raises(InputError, match=message):
            program(x, states)


@pytest.mark.slow
def test_a_file_that_is_no_whole_program_is_told(written: tuple[Network, Path], tmp_path: Path) -> None:
    content = written[1].read_bytes()
    for part in (content[: len(content) // 2], content[:100], b"", b"no program at all" * 100):
        broken = tmp_path / "broken.pte"
        broken.write_bytes(part)
        with pytest.raises(RunError, match=r"broken.pte is no whole program"):
            Program(broken)
    with pytest.raises(RunError, match="No such file"):
        Program(tmp_path / "none.pte")


# --- from the command line ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sequence", "step"])
def test_a_run_to_a_program(mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], executorch: None) -> None:
    csv_folder(tmp_path / "words")
    train = ["train", "sequences", "--data", str(tmp_path / "words"), *QUICK, "--updates", "60", "--lr", "0.02"]
    assert main([*train, "--out", str(tmp_path / "runs")]) == 0
    run = only_run(tmp_path / "runs")
    ask = ["export", str(run), "--format", "executorch", "--mode", mode]
    capsys.readouterr()
    assert main(ask) == 0
    assert "same class 100.000%" in said(capsys)
    name = "executorch" + ("-step" if mode == "step" else "")
    record = json.loads((run / "exports" / name / RECORD).read_text())
    assert record["files"] == {FILE: (run / "exports" / name / FILE).stat().st_size}
    assert record["verification"]["agreement"] == 1
    assert set(record["details"]) >= {"executorch", "torchao", "methods", "delegates"}
    assert Program(run / "exports" / name / FILE).about["class_names"] == ["loud", "quiet"]
    assert main([*ask, "--int8"]) == 0
    record = json.loads((run / "exports" / f"{name}-int8" / RECORD).read_text())
    assert record["precision"] == "int8"
    assert record["verification"]["agreement"] > 0.8
