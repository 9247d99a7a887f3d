"""``torch.onnx.export`` of a user's model with an ``nprnn.RNN`` in it, run by ONNX Runtime against the model itself."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence

import nprnn
from nprnn.models import build_model

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

pytestmark = pytest.mark.filterwarnings("ignore")  # both exporters warn of themselves

I, H = 3, 5  # noqa: E741
FREE_X = {0: "T", 1: "B"}
OTHERS = ((1, 1), (2, 4), (40, 3))
# The exporter tells of each step.
QUIET: dict[str, Any] = {"verbose": False}


class Users(nn.Module):
    """A model as a user has it: our layer between layers of torch's."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.before = nn.Linear(I, 4)
        self.rnn = nprnn.RNN(4, H, **options)
        self.after = nn.Linear(H * (1 + self.rnn.bidirectional), 2)

    def forward(self, x: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y, h_n = self.rnn(self.before(x).relu(), hx)
        return self.after(y), h_n


class Padded(Users):
    """Likewise, for sequences of different lengths."""

    def forward(self, x: Tensor, lengths: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:  # type: ignore
        y, h_n = self.rnn.forward_padded(self.before(x).relu(), lengths, hx)
        return self.after(y), h_n


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nprnn.RNN(I, H)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        h_n: Tensor = self.rnn(pack_padded_sequence(x, lengths))[1]
        return h_n


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def states(rnn: nprnn.RNN, batch: int) -> Tensor:
    return randn(rnn.num_layers * (1 + rnn.bidirectional), batch, H, seed=3)


def expected_nodes(rnn: nprnn.RNN) -> int:
    return rnn.num_layers * (1 + rnn.bidirectional)


def export(path: Path, module: nn.Module, example: Sequence[Any], free: Any, **options: Any) -> Counter[str]:
    """Export, and count the nodes by their kind."""
    torch.onnx.export(module, tuple(example), str(path), dynamic_shapes=free, **QUIET, **options)
    return kinds(path)


def export_older(path: Path, module: nn.Module, example: Sequence[Tensor], free: Sequence[Any]) -> Counter[str]:
    names = [f"in{k}" for k in range(len(example))]
    axes = dict(zip(names, free, strict=True))
    torch.onnx.export(module, tuple(example), str(path), dynamo=False, input_names=names, dynamic_axes=axes)
    return kinds(path)


def kinds(path: Path) -> Counter[str]:
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    return Counter(node.op_type for node in model.graph.node)


def run(path: Path, inputs: Sequence[Tensor]) -> list[Tensor]:
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    answers = session.run(None, dict(zip(names, [v.numpy() for v in inputs], strict=True)))
    return [torch.from_numpy(v) for v in answers]


def check(path: Path, module: nn.Module, *inputs: Tensor, tolerance: float = 1e-5, **options: Any) -> None:
    with torch.no_grad():
        wanted = module(*inputs, **options)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    torch.testing.assert_close(tuple(run(path, inputs)), wanted, rtol=tolerance, atol=tolerance)


@pytest.fixture(autouse=True)
def same_weights() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("given_hx", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"nonlinearity": "relu", "bias": False, "num_layers": 2, "dropout": 0.5},
        {"num_layers": 2, "bidirectional": True, "batch_first": True},
    ],
    ids=["plain", "relu_no_bias", "deep_both_ways"],
)
def test_a_users_model_becomes_one_node_for_each_layer_and_direction(
    tmp_path: Path, options: dict[str, Any], given_hx: bool
) -> None:
    model = Users(**options).eval()
    first = model.rnn.batch_first

    def inputs(steps: int, batch: int) -> list[Tensor]:
        x = randn(batch, steps, I) if first else randn(steps, batch, I)
        return [x, states(model.rnn, batch)] if given_hx else [x]

    free = [{0: "B", 1: "T"} if first else FREE_X, {1: "B"}]
    nodes = export(tmp_path / "m.onnx", model, inputs(6, 2), tuple(free[: 1 + given_hx]))
    assert nodes["RNN"] == expected_nodes(model.rnn)
    assert not {"Loop", "Scan", "If"} & set(nodes)
    for steps, batch in OTHERS:
        check(tmp_path / "m.onnx", model, *inputs(steps, batch))


@pytest.mark.parametrize("given_hx", [False, True])
@pytest.mark.parametrize("options", [{"nonlinearity": "relu"}, {"num_layers": 2, "bidirectional": True}])
def test_lengths(tmp_path: Path, options: dict[str, Any], given_hx: bool) -> None:
    model = Padded(**options).eval()

    def inputs(steps: int, lengths: list[int]) -> list[Tensor]:
        x = randn(steps, len(lengths), I)
        return [x, torch.tensor(lengths), *([states(model.rnn, len(lengths))] if given_hx else [])]

    free = (FREE_X, {0: "B"}, {1: "B"})[: 2 + given_hx]
    nodes = export(tmp_path / "m.onnx", model, inputs(6, [6, 4]), free)
    assert nodes["RNN"] == expected_nodes(model.rnn)
    # A sequence without steps keeps the state it had.
    for steps, lengths in ((9, [9, 1, 4]), (1, [1]), (3, [0, 3, 2, 0])):
        check(tmp_path / "m.onnx", model, *inputs(steps, lengths))


@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (2, 2)])
def test_an_example_of_few_steps_does_not_fix_their_number(tmp_path: Path, steps: int, batch: int) -> None:
    model = Users(num_layers=2).eval()
    nodes = export(tmp_path / "m.onnx", model, [randn(steps, batch, I)], (FREE_X,))
    assert nodes["RNN"] == 2
    for other in OTHERS:
        check(tmp_path / "m.onnx", model, randn(*other, I))


@pytest.mark.parametrize("change", ["training", "no_grad", "sqrt", "NPRNN", "unbatched", "weight_norm"])
def test_however_it_is_used(tmp_path: Path, change: str) -> None:
    model = Users(save="sqrt" if change == "sqrt" else "all").train(change == "training")
    if change == "NPRNN":
        model.rnn = nprnn.NPRNN(4, H)
    if change == "weight_norm":
        parametrizations.weight_norm(model.rnn, "weight_hh_l0")
    alone = change == "unbatched"
    x = randn(7, I) if alone else randn(7, 2, I)
    with torch.set_grad_enabled(change != "no_grad"):
        nodes = export(tmp_path / "m.onnx", model, [x], ({0: "T"} if alone else FREE_X,))
    assert nodes["RNN"] == 1
    check(tmp_path / "m.onnx", model, randn(20, I) if alone else randn(20, 3, I))


@pytest.mark.parametrize("at", ["last", "mean", "each"])
def test_the_papers_model_with_its_scaling(tmp_path: Path, at: str) -> None:
    model = build_model("np-RNN", I, 4, hidden_size=H, mean=randn(I), scale=randn(I).abs() + 1).eval()
    example = (randn(6, 2, I), torch.tensor([6, 4]))
    nodes = export(
        tmp_path / "m.onnx", model, example, {"x": FREE_X, "lengths": {0: "B"}, "at": None}, kwargs={"at": at}
    )
    assert nodes["RNN"] == 1
    x, lengths = randn(9, 3, I), torch.tensor([9, 2, 5])
    with torch.no_grad():
        wanted = model(x, lengths, at=at)
    (got,) = run(tmp_path / "m.onnx", (x, lengths))
    if at == "each":
        within = torch.arange(9)[:, None] < lengths
        got, wanted = got[within], wanted[within]
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def test_a_program_exported_before_keeps_the_operator_until_it_becomes_onnx(tmp_path: Path) -> None:
    model = Users(bidirectional=True).eval()
    steps, batch = torch.export.Dim("T", min=1), torch.export.Dim("B", min=1)
    program = torch.export.export(model, (randn(7, 5, I),), dynamic_shapes=({0: steps, 1: batch},))
    torch.onnx.export(program, (), str(tmp_path / "m.onnx"), **QUIET)
    assert kinds(tmp_path / "m.onnx")["RNN"] == 2
    for other in OTHERS:
        check(tmp_path / "m.onnx", model, randn(*other, I))
    lowered = program.run_decompositions()
    targets = [str(node.target) for node in lowered.graph.nodes]
    assert sum("nprnn.rnn" in target for target in targets) == 2
    assert not any("onnx" in target for target in targets)
    torch.testing.assert_close(lowered.module()(randn(20, 3, I)), model(randn(20, 3, I)))


@pytest.mark.parametrize("opset", [18, 22])
def test_other_opsets(tmp_path: Path, opset: int) -> None:
    model = Users(num_layers=2).eval()
    assert export(tmp_path / "m.onnx", model, [randn(6, 2, I)], (FREE_X,), opset_version=opset)["RNN"] == 2
    assert [one.version for one in onnx.load(str(tmp_path / "m.onnx")).opset_import if one.domain == ""] == [opset]
    check(tmp_path / "m.onnx", model, randn(20, 3, I))


def test_half_precision(tmp_path: Path) -> None:
    model = Users().half().eval()
    assert export(tmp_path / "m.onnx", model, [randn(6, 2, I).half()], (FREE_X,))["RNN"] == 1
    check(tmp_path / "m.onnx", model, randn(20, 3, I).half(), tolerance=4e-3)


def test_a_model_on_another_device_becomes_the_same_nodes() -> None:
    # The meta device stands for any that is not the CPU: torch refuses to mix them while it exports.
    model = Padded(num_layers=2, device="meta").to("meta").eval()
    example = (torch.empty(6, 2, I, device="meta"), torch.empty(2, dtype=torch.long, device="meta"))
    program = torch.onnx.export(model, example, dynamic_shapes=(FREE_X, {0: "B"}), optimize=False, **QUIET)
    assert program is not None
    assert Counter(node.op_type for node in program.model.graph)["RNN"] == 2


@pytest.mark.parametrize("steps", [2, 6])
@pytest.mark.parametrize("given_hx", [False, True])
def test_the_older_exporter(tmp_path: Path, steps: int, given_hx: bool) -> None:
    model = Users(num_layers=2, nonlinearity="relu").eval()

    def inputs(steps: int, batch: int) -> list[Tensor]:
        return [randn(steps, batch, I), states(model.rnn, batch)][: 1 + given_hx]

    nodes = export_older(tmp_path / "m.onnx", model, inputs(steps, 2), [FREE_X, {1: "B"}][: 1 + given_hx])
    assert nodes["RNN"] == 2
    for other in OTHERS:
        check(tmp_path / "m.onnx", model, *inputs(*other))


@pytest.mark.parametrize("bias", [False, True])
def test_the_older_exporter_with_lengths_both_ways(tmp_path: Path, bias: bool) -> None:
    model = Padded(bidirectional=True, bias=bias, save="sqrt").eval()

    def inputs(steps: int, lengths: list[int]) -> list[Tensor]:
        return [randn(steps, len(lengths), I), torch.tensor(lengths), states(model.rnn, len(lengths))]

    nodes = export_older(tmp_path / "m.onnx", model, inputs(6, [6, 4]), [FREE_X, {0: "B"}, {1: "B"}])
    assert nodes["RNN"] == 2
    for steps, lengths in ((9, [9, 1, 4]), (1, [1]), (3, [0, 3, 2, 0])):
        check(tmp_path / "m.onnx", model, *inputs(steps, lengths))


class AlmostLinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nprnn.RNN(I, H)

    def forward(self, x: Tensor) -> Tensor:
        weights = (self.rnn.weight_ih_l0, self.rnn.weight_hh_l0)
        h0 = x.new_zeros(x.shape[1], H)
        return nprnn.ops.rnn(x, h0, *weights, nonlinearity="relu", linear_units=2)[0]


REFUSED: dict[str, tuple[Callable[[], nn.Module], Sequence[Tensor], str]] = {
    "ensemble": (lambda: nprnn.RNN(I, H, ensemble=2), [randn(6, 2, I)], r"unstack\(\) the ensemble"),
    "float64": (lambda: nprnn.RNN(I, H).double(), [randn(6, 2, I).double()], r"export model\.float\(\)"),
    "bfloat16": (lambda: nprnn.RNN(I, H).bfloat16(), [randn(6, 2, I).bfloat16()], r"export model\.float\(\)"),
    "linear_units": (AlmostLinear, [randn(6, 2, I)], "linear_units=2"),
    "packed": (Packed, [randn(6, 2, I), torch.tensor([6, 4])], r"call forward_padded\(x, lengths\)"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_no_node_can_express_says_what_to_do(tmp_path: Path, kind: str) -> None:
    make, example, message = REFUSED[kind]
    with pytest.raises(torch.onnx.OnnxExporterError, match=message):
        export(tmp_path / "m.onnx", make().eval(), example, None)
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize("kind", [kind for kind in REFUSED if kind != "linear_units"])
def test_the_older_exporter_says_so_too(tmp_path: Path, kind: str) -> None:
    make, example, message = REFUSED[kind]
    with pytest.raises(Exception, match=message):
        export_older(tmp_path / "m.onnx", make().eval(), example, [{}] * len(example))
    assert not (tmp_path / "m.onnx").exists()


def test_importing_the_package_does_not_import_torchs_exporter() -> None:
    code = "import sys, nprnn, torch; nprnn.RNN(1, 1)(torch.ones(5, 1, 1)); print('torch.onnx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
