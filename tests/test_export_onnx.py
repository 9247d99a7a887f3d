"""ONNX files: the same answers as the network, whatever T and B, in ONNX Runtime and in ONNX's own reference."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nprnn.bench.records import read_record
from nprnn.cli import main
from nprnn.errors import ConfigError, DataError, InputError
from nprnn.export import RECORD, Network, Wanted, export, network_of
from nprnn.export.onnx_format import FILE, write_onnx
from nprnn.export.onnx_graph import KEY, OLDEST_OPSET, build
from nprnn.export.onnx_runner import OnnxNetwork
from test_benchmarks import script

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

I, H, O, STEPS, BATCH = 3, 6, 4, 9, 3  # noqa: E741
LENGTHS = torch.tensor([9, 4, 1])
NAMES = ("jab", "hook", 'a "quoted" one', "Körper")
NEWEST_TRIED = 26


def network(
    layers: int = 1, directions: int = 1, nonlinearity: str = "relu", at: str = "last", *, head: bool = True
) -> Network:
    torch.manual_seed(0)
    rnn = nn.RNN(I, H, layers, nonlinearity=nonlinearity, bidirectional=directions == 2)
    return network_of(
        rnn,
        nn.Linear(directions * H, O) if head else None,
        at=at,  # type: ignore[arg-type]
        mean=torch.tensor([5.0, -3.0, 100.0]),
        scale=torch.tensor([0.5, 2.0, 0.01]),
        class_names=NAMES if head else None,
        about={"nprnn.run": "a run"},
    )


def inputs(steps: int = STEPS, batch: int = BATCH) -> Tensor:
    """As far from 0 as the networks' scaling expects."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(steps, batch, I, generator=generator)
    return x * torch.tensor([0.5, 2.0, 0.01]) + torch.tensor([5.0, -3.0, 100.0])


def starts(of: Network, batch: int = BATCH) -> Tensor:
    return torch.rand(of.states, batch, H, generator=torch.Generator().manual_seed(2))


def calibration() -> tuple[Tensor, Tensor | None]:
    return inputs(batch=8), None


def session(path: Path) -> Any:
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def alive(outputs: Tensor, at: str, lengths: Tensor | None) -> Tensor:
    """What has a meaning: beyond its length a sequence has no outputs."""
    if at != "each" or lengths is None:
        return outputs
    return outputs[torch.arange(len(outputs))[:, None] < lengths]


def same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=2e-6, atol=2e-6)


# --- whole sequences --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["last", "mean", "each"])
@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("head", [True, False])
def test_sequences_are_answered_as_by_the_network(
    layers: int, directions: int, nonlinearity: str, at: str, head: bool, tmp_path: Path
) -> None:
    of = network(layers, directions, nonlinearity, at, head=head)
    exported = write_onnx(of, tmp_path, Wanted())
    written = OnnxNetwork(exported.files[0])
    for steps, batch in ((STEPS, BATCH), (2 * STEPS, BATCH), (STEPS, 1), (1, 2)):
        x = inputs(steps, batch)
        for lengths in (None, LENGTHS) if (steps, batch) == (STEPS, BATCH) else (None,):
            for h0 in (None, starts(of, batch)):
                expected, final = of.outputs(x, lengths, h0)
                found, state = written.outputs(x, lengths, h0)
                assert found.shape == expected.shape
                same(alive(found, at, lengths), alive(expected, at, lengths))
                same(state, final)
    assert exported.answer is not None
    same(exported.answer(inputs(), None), of.outputs(inputs())[0])
    assert exported.details["nodes"]["RNN"] == layers * directions
    assert exported.details["inputs"] == {
        "x": ["T", "B", I],
        "lengths": ["B_or_1"],
        "initial_h": [layers * directions, "B_or_1", H],
    }
    width = O if head else directions * H
    assert exported.details["outputs"] == {
        "output": ["T", "B", width] if at == "each" else ["B", width],
        "Y_h": [layers * directions, "B", H],
    }


def test_what_a_user_sees(tmp_path: Path) -> None:
    of = network()
    (path,) = write_onnx(of, tmp_path, Wanted()).files
    opened = session(path)
    assert [value.name for value in opened.get_inputs()] == ["x"]
    assert [value.name for value in opened.get_overridable_initializers()] == ["lengths", "initial_h"]
    assert [value.name for value in opened.get_outputs()] == ["output", "Y_h"]
    found = opened.run(["output"], {"x": inputs().numpy()})[0]
    same(torch.from_numpy(found), of.outputs(inputs())[0])
    # One default among lengths, and one start for all.
    mixed = np.array([-1, 4, 1], np.int32)
    same(
        torch.from_numpy(opened.run(["output"], {"x": inputs().numpy(), "lengths": mixed})[0]),
        of.outputs(inputs(), LENGTHS)[0],
    )
    start = starts(of, 1)
    same(
        torch.from_numpy(opened.run(["Y_h"], {"x": inputs().numpy(), "initial_h": start.numpy()})[0]),
        of.outputs(inputs(), None, start.expand(1, BATCH, H).contiguous())[1],
    )
    with pytest.raises(Exception, match="sequence_lens"):
        opened.run(["output"], {"x": inputs().numpy(), "lengths": np.array([10, 4, 1], np.int32)})
    model = onnx.load(path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["class_names"]) == list(NAMES)
    assert metadata["nprnn.run"] == "a run"
    assert json.loads(metadata[KEY]) == {"mode": "sequence", "at": "last"}
    assert all(value.doc_string for value in (*model.graph.input, *model.graph.output))
    assert OnnxNetwork(path).class_names == NAMES


def test_a_sequence_cut_in_two_goes_on_with_its_states(tmp_path: Path) -> None:
    of = network(layers=2)
    written = OnnxNetwork(write_onnx(of, tmp_path, Wanted()).files[0])
    x = inputs()
    _, state = written.outputs(x[:4])
    same(written.outputs(x[4:], None, state)[0], of.outputs(x)[0])


@pytest.mark.parametrize("mode", ["sequence", "step"])
def test_garbage_beyond_the_end_does_not_count(mode: str, tmp_path: Path) -> None:
    for at in ("last", "mean"):
        of = network(at=at)
        (tmp_path / at).mkdir()
        exported = write_onnx(of, tmp_path / at, Wanted(mode))  # type: ignore[arg-type]
        x = inputs()
        x[4:, 1], x[1:, 2] = torch.nan, 1e30
        expected = of.outputs(inputs(), LENGTHS)[0]
        assert exported.answer is not None
        same(exported.answer(x, LENGTHS), expected)


def test_scaling_keeps_the_digits_of_features_far_from_0(tmp_path: Path) -> None:
    of = network()
    offset = torch.tensor([1e5, -1e5, 1e5])
    of = replace(of, mean=offset)
    x = inputs() + offset - torch.tensor([5.0, -3.0, 100.0])
    truth = of.outputs(x)[0]
    found = OnnxNetwork(write_onnx(of, tmp_path, Wanted()).files[0]).outputs(x)[0]
    same(found, truth)
    # Folded weights would not pass the verification here.
    assert float((of.folded().outputs(x)[0] - truth).abs().max()) > 1e-3


# --- one step ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["last", "mean", "each"])
@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("head", [True, False])
def test_steps_are_answered_as_by_the_network(
    layers: int, nonlinearity: str, at: str, head: bool, tmp_path: Path
) -> None:
    of = network(layers, 1, nonlinearity, at, head=head)
    exported = write_onnx(of, tmp_path, Wanted("step"))
    written = OnnxNetwork(exported.files[0])
    for lengths in (None, LENGTHS):
        for h0 in (None, starts(of)):
            expected, final = of.outputs(inputs(), lengths, h0)
            found, state = written.outputs(inputs(), lengths, h0)
            same(alive(found, at, lengths), alive(expected, at, lengths))
            same(state, final)
    nodes = exported.details["nodes"]
    assert nodes["MatMul"] == 2 * layers + head
    assert "RNN" not in nodes
    assert exported.details["inputs"] == {"x": ["B", I], "h": [layers, "B", H]}
    assert exported.details["outputs"] == {"output": ["B", O if head else H], "h_next": [layers, "B", H]}


def test_a_state_stands_still_after_its_end(tmp_path: Path) -> None:
    of = network(layers=2)
    written = OnnxNetwork(write_onnx(of, tmp_path, Wanted("step")).files[0])
    _, state = written.outputs(inputs(), LENGTHS)
    for row, length in enumerate(LENGTHS):
        _, alone = written.outputs(inputs()[:length, row : row + 1])
        assert torch.equal(state[:, row : row + 1], alone)


@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
@pytest.mark.parametrize("opset", [None, NEWEST_TRIED])
def test_int8_is_near_and_small(nonlinearity: str, opset: int | None, tmp_path: Path) -> None:
    of = network(2, 1, nonlinearity)
    exported = write_onnx(of, tmp_path, Wanted("step", "int8", opset, calibration()))
    nodes = exported.details["nodes"]
    assert nodes["MatMulInteger"] == 5
    assert "MatMul" not in nodes
    assert "range" in exported.details["int8"]
    model = onnx.load(exported.files[0])
    weights = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.UINT8 and len(tensor.dims) == 2
    }
    assert sorted(value.size for value in weights.values()) == sorted([I * H, H * H, H * H, H * H, H * O])
    floats = sum(t.data_type == onnx.TensorProto.FLOAT and len(t.dims) == 2 for t in model.graph.initializer)
    assert floats == 0
    assert {entry.domain for entry in model.opset_import} == {""}
    assert list(model.metadata_props)[-1].key == KEY
    assert {value.name for value in model.graph.input} == {"x", "h"}
    assert exported.answer is not None
    found, expected = exported.answer(inputs(), LENGTHS), of.outputs(inputs(), LENGTHS)[0]
    assert 0 < float((found - expected).abs().max()) < 0.05


def test_int8_takes_a_quarter_of_the_bytes(tmp_path: Path) -> None:
    rnn = nn.RNN(20, 100, nonlinearity="relu")
    of = network_of(rnn, nn.Linear(100, 10))
    sizes = {}
    for precision in ("float32", "int8"):
        folder = tmp_path / precision
        folder.mkdir()
        exported = write_onnx(of, folder, Wanted("step", precision))  # type: ignore[arg-type]
        sizes[precision] = exported.weight_bytes
        assert exported.state_bytes == 400
        assert exported.files[0].stat().st_size > exported.weight_bytes
    assert sizes["float32"] == 4 * (20 * 100 + 100 * 100 + 100 + 100 * 10 + 10)
    # A scale of four bytes and a zero point of one for each of the columns, and the diagonal of W_hh in float32.
    assert sizes["int8"] == 20 * 100 + 100 * 100 + 100 * 10 + 4 * (100 + 10) + 5 * (100 + 100 + 10) + 4 * 100


def test_int8_keeps_a_state_where_the_diagonal_stands_out(tmp_path: Path) -> None:
    """Eight bits for all of a row would drown the small weights beside a diagonal near 1, and the state with them."""
    g = torch.Generator().manual_seed(0)
    rnn = nn.RNN(1, 40, nonlinearity="relu")
    with torch.no_grad():
        rnn.weight_hh_l0.copy_(0.97 * torch.eye(40) + 0.01 * torch.randn(40, 40, generator=g) / 40**0.5)
        rnn.weight_ih_l0.copy_(torch.rand(40, 1, generator=g))
    of = network_of(rnn)
    exported = write_onnx(of, tmp_path, Wanted("step", "int8"))
    assert exported.answer is not None
    x = torch.rand(200, 4, 1, generator=g)
    expected, _ = of.outputs(x)
    assert float((exported.answer(x, None) - expected).norm() / expected.norm()) < 0.02


# --- ONNX's own reference ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["last", "mean", "each"])
@pytest.mark.parametrize(("layers", "directions"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_the_reference_implementation_agrees_on_sequences(layers: int, directions: int, at: str) -> None:
    # It has Tanh alone, and knows no lengths.
    of = network(layers, directions, "tanh", at)
    evaluator = onnx.reference.ReferenceEvaluator(build(of, "sequence", OLDEST_OPSET))
    output, final = evaluator.run(["output", "Y_h"], {"x": inputs().numpy()})
    expected, state = of.outputs(inputs())
    same(torch.from_numpy(np.asarray(output, np.float32)), expected)
    same(torch.from_numpy(np.asarray(final, np.float32)), state)


@pytest.mark.parametrize("layers", [1, 2])
def test_the_reference_implementation_agrees_on_steps(layers: int) -> None:
    of = network(layers, at="each")
    evaluator = onnx.reference.ReferenceEvaluator(build(of, "step", OLDEST_OPSET))
    h = starts(of).numpy()
    expected, final = of.outputs(inputs(), None, torch.from_numpy(h))
    for row, want in zip(inputs(), expected, strict=True):
        output, h = evaluator.run(["output", "h_next"], {"x": row.numpy(), "h": h})
        same(torch.from_numpy(output), want)
    same(torch.from_numpy(h), final)


def test_the_reference_implementation_agrees_on_int8(tmp_path: Path) -> None:
    of = network(2, at="each")
    (path,) = write_onnx(of, tmp_path, Wanted("step", "int8")).files
    evaluator, opened = onnx.reference.ReferenceEvaluator(str(path)), session(path)
    feed = {"x": inputs()[0].numpy(), "h": starts(of).numpy()}
    for found, expected in zip(opened.run(None, feed), evaluator.run(None, feed), strict=True):
        # Another rounding of a value in the middle is a step of 1/255 of the range.
        np.testing.assert_allclose(found, expected, rtol=0, atol=0.02)


# --- opsets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opset", range(OLDEST_OPSET, NEWEST_TRIED + 1))
def test_every_opset_gives_the_same(opset: int, tmp_path: Path) -> None:
    for mode in ("sequence", "step"):
        (tmp_path / mode).mkdir()
        of = network(2, 1, at="mean")
        exported = write_onnx(of, tmp_path / mode, Wanted(mode, opset=opset))  # type: ignore[arg-type]
        assert exported.details["opset"] == opset
        assert exported.answer is not None
        same(exported.answer(inputs(), LENGTHS), of.outputs(inputs(), LENGTHS)[0])


def test_the_oldest_is_the_default_with_its_own_ir_version(tmp_path: Path) -> None:
    details = write_onnx(network(), tmp_path, Wanted()).details
    assert (details["opset"], details["ir_version"]) == (11, 6)


@pytest.mark.parametrize("opset", [-1, 0, 10, 1000])
def test_other_opsets_are_refused_with_the_range(opset: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"opset {opset} cannot be written: 11 to \d\d can, with onnx \d.*--opset"):
        write_onnx(network(), tmp_path, Wanted(opset=opset))
    assert list(tmp_path.iterdir()) == []


# --- what is refused --------------------------------------------------------------------------------------------------


def test_int8_sequences_and_steps_of_both_directions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no RNN node in int8; add --mode step"):
        write_onnx(network(), tmp_path, Wanted(precision="int8", calibration=calibration()))
    with pytest.raises(ConfigError, match=r"bidirectional.*leave out --mode step"):
        write_onnx(network(directions=2), tmp_path, Wanted("step"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("library", ["onnx", "onnxruntime"])
def test_a_missing_library_is_named_with_its_extra(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError, match=rf"needs the library {library}, .*pip install 'nprnn\[onnx\]'"):
        write_onnx(network(), tmp_path, Wanted())


@pytest.mark.parametrize("mode", ["sequence", "step"])
def test_wrong_inputs_are_told(mode: str, tmp_path: Path) -> None:
    of = network()
    written = OnnxNetwork(write_onnx(of, tmp_path, Wanted(mode)).files[0])  # type: ignore[arg-type]
    x = inputs()
    for bad in (x[..., :2], x[0], x[:0], x[:, :0]):
        with pytest.raises(InputError, match=r"x must be \[T, B, I\] with I = 3"):
            written.outputs(bad)
    for value in (torch.nan, torch.inf, -torch.inf):
        broken = x.clone()
        broken[3, 1, 0] = value
        with pytest.raises(InputError, match="not finite"):
            written.outputs(broken)
        with pytest.raises(InputError, match="not finite"):
            written.outputs(broken, LENGTHS)
        with pytest.raises(InputError, match="h0 holds numbers that are not finite"):
            written.outputs(x, None, torch.full((1, BATCH, H), value))
    with pytest.raises(InputError, match=r"lengths must be integers \[B\] = \[3\]"):
        written.outputs(x, LENGTHS[:2])
    with pytest.raises(InputError, match="lengths must be integers"):
        written.outputs(x, LENGTHS.float())
    for bad in (torch.tensor([0, 1, 2]), torch.tensor([1, 2, STEPS + 1])):
        with pytest.raises(InputError, match="lengths must be from 1 to T = 9"):
            written.outputs(x, bad)
    with pytest.raises(InputError, match=r"h0 must be .* = \(1, 3, 6\), got shape \(1, 2, 6\)"):
        written.outputs(x, None, starts(of, 2))


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    (path,) = write_onnx(network(), tmp_path, Wanted()).files
    whole = path.read_bytes()
    # All of the last part, where it could still be a file of ONNX, and some of the rest.
    last = range(len(whole) - 300, len(whole))
    for size in (*range(0, len(whole) - 300, 97), *last):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"model\.onnx (is no|lacks).*export it anew"):
            OnnxNetwork(path)
    path.write_bytes(whole)
    OnnxNetwork(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    with pytest.raises(DataError, match="cannot be read: No such file"):
        OnnxNetwork(path)
    path.write_bytes(b"\0" * 100)
    with pytest.raises(DataError, match="export it anew"):
        OnnxNetwork(path)
    model = build(network(), "sequence", OLDEST_OPSET)
    onnx.helper.set_model_props(model, {"somebody": "else's"})
    onnx.save(model, path)
    with pytest.raises(DataError, match=f"lacks the metadata '{KEY}'"):
        OnnxNetwork(path)
    for content in ("[", "[]", '{"at": "last"}', '{"mode": "step", "at": "last"}'):
        onnx.helper.set_model_props(model, {KEY: content})
        onnx.save(model, path)
        with pytest.raises(DataError, match="is no file of nprnn export, or is damaged"):
            OnnxNetwork(path)


# --- from end to end --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on sequences of several lengths whose features want scaling."""
    parent = tmp_path_factory.mktemp("onnx")
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, 60)
    lengths = generator.integers(4, 13, 60)
    x = np.array([100, -5]) + np.repeat(y, lengths)[:, None] + 0.1 * generator.normal(size=(lengths.sum(), 2))
    data = parent / "data.npz"
    np.savez(data, x=x.astype(np.float32), y=np.array(["left", "right", "up"])[y], lengths=lengths)
    options = "--hidden 10 --batch 10 --lr 0.05 --updates 60 --eval-every 30 --threads 1 --out"
    words = ["train", "sequences", "--data", str(data), *options.split(), str(parent / "runs")]
    assert main(words) == 0
    (run,) = [path.parent for path in (parent / "runs").glob("*/config.json")]
    return run


@pytest.mark.parametrize("options", [[], ["--mode", "step"], ["--mode", "step", "--int8"], ["--opset", "17"]])
def test_a_run_is_exported_and_compared_by_the_command(options: list[str], trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["export", str(trained), "--format", "onnx", *options, "--out", str(out)]) == 0
    record = json.loads((out / RECORD).read_text())
    assert record["format"] == "onnx"
    assert record["verification"]["inputs"] == "the whole test set"
    if "--int8" in options:
        assert 0 < record["verification"]["max_difference"] < 0.2
    else:
        assert record["verification"]["max_difference"] < 1e-5
        assert record["verification"]["agreement"] == 1
    model = onnx.load(out / FILE)
    assert Counter(node.op_type for node in model.graph.node) == record["details"]["nodes"]
    written = OnnxNetwork(out / FILE)
    assert written.class_names == ("left", "right", "up")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["nprnn.run"] == trained.name


def test_the_command_says_what_cannot_be(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    for options, words in (
        (["--int8"], "add --mode step"),
        (["--opset", "3"], "opset 3 cannot be written: 11 to"),
    ):
        assert main(["export", str(trained), "--format", "onnx", *options, "--out", str(out)]) == 2
        assert words in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


def test_an_export_by_the_api_is_compared_on_drawn_inputs(tmp_path: Path) -> None:
    of = network(2, 2, "tanh", "mean")
    written = export(of, "onnx", tmp_path / "out", Wanted())
    assert written.verification is not None
    assert written.verification.max_difference < 1e-5
    assert written.record["details"]["nodes"]["RNN"] == 4


@pytest.mark.slow
def test_the_benchmark_tells_a_free_t_from_one_that_is_baked_in(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    module = script("export")
    # Both write where they are told, and say what came of it.
    for name in (module.OURS, module.OLDER, module.FREE, module.FIXED):
        (tmp_path / name).mkdir()
        found = module.export_and_try(name, 4, 2, 5, tmp_path / name / module.file_of(name))
        if name == module.FREE:
            assert "inferred a static shape of 4" in found["refused"]
            continue
        assert found["right"]
        assert found["T_free"] is (name != module.FIXED)
        assert found["operators"].get("RNN", 0) == (name != module.FIXED)
        assert sum(found["operators"].values()) == found["nodes"] > 0
        assert found["bytes"] > 4 * (5 * (2 + 5 + 1) + 10 * 6)


@pytest.mark.slow
def test_the_benchmark_times_all_beside_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("export")
    # Torch's present exporter takes half a minute whatever it writes.
    monkeypatch.setattr(module, "EXPORTERS", (module.OURS, module.OLDER))
    module.main(hidden=5, shapes=((4, 2),), rounds=1, out=tmp_path / "export.json")
    (case,) = read_record(tmp_path / "export.json")["cases"]
    timed = {module.OURS, module.OLDER, module.LSTM, module.STEP, module.STEP_INT8}
    assert set(case["seconds_a_sequence"]) == timed
    assert all(found["median"] > 0 for found in case["seconds_a_sequence"].values())
    assert set(case["ratios"]) == timed - {module.OURS} | {f"{module.STEP_INT8} to {module.STEP}"}
    short = module.export_apart(module.OURS, 4, 2, 5, tmp_path, 0.01)
    assert short == {"unfinished_after": 0.01}
    missing = module.export_apart(module.OURS, 4, 2, 5, tmp_path / "missing", 60)
    assert "missing" in missing["refused"]
