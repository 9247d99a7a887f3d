"""What is exported is the network that was trained, and nothing is put in place that is not."""

from __future__ import annotations

import errno
import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import nprnn
from nprnn.cli import main
from nprnn.errors import ConfigError, InputError, RunError
from nprnn.export import RECORD, Exported, Network, Wanted, export, network_of, network_of_run, verifying, writing
from nprnn.export.network import Direction
from nprnn.export.torch_format import FILE, write_torch
from nprnn.export.verifying import demand, verify_on_data, verify_on_drawn
from nprnn.linear import EnsembleLinear
from nprnn.models import SequenceModel, build_model
from nprnn.tasks.base import Batch, TaskData, classification, regression
from nprnn.training import load_data, load_trained
from test_cli import QUICK, SHORT, csv_folder, only_run, said

INPUTS, HIDDEN, OUTPUTS, STEPS, BATCH = 3, 7, 4, 6, 5


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rnn(**options: Any) -> nn.RNN:
    torch.manual_seed(1)
    return nn.RNN(INPUTS, HIDDEN, **{"nonlinearity": "relu", **options})


def small(**options: Any) -> Network:
    return network_of(rnn(), nn.Linear(HIDDEN, OUTPUTS), **options)


X = drawn(STEPS, BATCH, INPUTS)
LENGTHS = torch.tensor([6, 1, 4, 6, 3])


# --- what the network answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("at", ["last", "mean", "each"])
@pytest.mark.parametrize(("layers", "directions"), [(1, 1), (2, 1), (1, 2), (3, 2)])
@pytest.mark.parametrize(("nonlinearity", "bias"), [("relu", True), ("tanh", False)])
def test_a_network_answers_as_torch_does(
    layers: int, directions: int, nonlinearity: str, bias: bool, at: Any, lengths: Tensor | None
) -> None:
    module = rnn(num_layers=layers, bidirectional=directions == 2, nonlinearity=nonlinearity, bias=bias)
    head = nn.Linear(directions * HIDDEN, OUTPUTS)
    mean, scale = drawn(INPUTS, seed=2), drawn(INPUTS, seed=3).abs() + 0.5
    network = network_of(module, head, at=at, mean=mean, scale=scale)
    assert (len(network.layers), network.directions, network.states) == (layers, directions, layers * directions)
    assert (network.input_size, network.hidden_size, network.output_size) == (INPUTS, HIDDEN, OUTPUTS)
    x, h0 = X, drawn(layers * directions, BATCH, HIDDEN, seed=4)
    with torch.no_grad():
        scaled = (x - mean) / scale
        if lengths is None:
            y, final = module(scaled, h0)
        else:
            packed, final = module(pack_padded_sequence(scaled, lengths, enforce_sorted=False), h0)
            y, _ = pad_packed_sequence(packed, total_length=STEPS)
        taken = {
            "last": torch.cat(tuple(final[-directions:]), -1),
            "mean": y.sum(0) / (STEPS if lengths is None else lengths[:, None]),
            "each": y,
        }[at]
        expected = head(taken)
    found, states = network.outputs(x, lengths, h0)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(states, final)
    torch.testing.assert_close(network.outputs(x, lengths, torch.zeros_like(h0))[0], network.outputs(x, lengths)[0])


def test_a_network_without_a_head_answers_its_states() -> None:
    module = rnn(num_layers=2, bidirectional=True)
    network = network_of(module)
    assert network.output_size == 2 * HIDDEN
    found, final = network.outputs(X)
    torch.testing.assert_close(found, torch.cat(tuple(final[-2:]), -1), rtol=0, atol=0)
    torch.testing.assert_close(final, module(X)[1].detach())


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("at", ["last", "mean", "each"])
@pytest.mark.parametrize("name", ["np-RNN", "IRNN", "gRNN"])
def test_a_network_answers_as_the_trained_model_does(name: str, at: Any, lengths: Tensor | None) -> None:
    mean, scale = drawn(INPUTS, seed=2), drawn(INPUTS, seed=3).abs() + 0.5
    model = build_model(name, INPUTS, OUTPUTS, hidden_size=HIDDEN, mean=mean, scale=scale).eval()
    assert isinstance(model.head, nn.Linear)
    network = network_of(model.rnn, model.head, at=at, mean=model.input_mean, scale=model.input_scale)
    with torch.no_grad():
        expected = model(X, lengths, at=at)
    torch.testing.assert_close(network.outputs(X, lengths)[0], expected, rtol=0, atol=0)


@given(
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 3), st.integers(1, 5)),
    mean=st.booleans(),
    scale=st.booleans(),
    layers=st.integers(1, 2),
)
@settings(max_examples=40, deadline=None)
def test_the_scaling_folds_into_the_first_layer(sizes: tuple[int, ...], mean: bool, scale: bool, layers: int) -> None:
    inputs, hidden, outputs, steps = sizes
    network = network_of(
        nn.RNN(inputs, hidden, layers, bidirectional=True),
        nn.Linear(2 * hidden, outputs),
        mean=drawn(inputs) if mean else None,
        scale=drawn(inputs, seed=1).abs() + 0.3 if scale else None,
    )
    folded = network.folded()
    assert folded.mean is None
    assert folded.scale is None
    assert all(a is b for a, b in zip(folded.layers[1:], network.layers[1:], strict=True))
    x = drawn(steps, 2, inputs, seed=2)
    torch.testing.assert_close(folded.outputs(x)[0], network.outputs(x)[0], rtol=1e-4, atol=1e-5)


def test_what_a_module_learns_later_is_not_exported() -> None:
    module, head = rnn().double(), nn.Linear(HIDDEN, OUTPUTS).double()
    network = network_of(module, head)
    before = network.outputs(X)[0]
    assert before.dtype == torch.float32
    with torch.no_grad():
        for parameter in (*module.parameters(), *head.parameters()):
            parameter.zero_()
    torch.testing.assert_close(network.outputs(X)[0], before, rtol=0, atol=0)


def test_weights_are_taken_as_they_are_computed() -> None:
    module = nprnn.RNN(INPUTS, HIDDEN, nonlinearity="relu")
    parametrizations.weight_norm(module, "weight_hh_l0")
    with torch.no_grad():
        module.parametrizations.weight_hh_l0.original0.mul_(0.5)
        expected, _ = module(X)
    torch.testing.assert_close(network_of(module, at="each").outputs(X)[0], expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: network_of(nn.LSTM(INPUTS, HIDDEN)), "only an RNN with relu or tanh can be exported, got LSTM"),
        (lambda: network_of(nn.GRU(INPUTS, HIDDEN)), "got GRU"),
        (lambda: network_of(nn.RNNCell(INPUTS, HIDDEN)), "got RNNCell"),  # type: ignore[arg-type]
        (lambda: network_of(nprnn.RNN(INPUTS, HIDDEN, ensemble=3)), "RNN is an ensemble of E=3; export the members"),
        (lambda: network_of(rnn(), EnsembleLinear(3, HIDDEN, OUTPUTS)), "EnsembleLinear is an ensemble"),  # type: ignore[arg-type]
        (
            lambda: network_of(rnn(), nn.Linear(HIDDEN + 1, OUTPUTS)),
            f"takes {HIDDEN + 1} numbers, but the last layer gives {HIDDEN}",
        ),
        (lambda: network_of(rnn(bidirectional=True), nn.Linear(HIDDEN, OUTPUTS)), f"the last layer gives {2 * HIDDEN}"),
        (lambda: small(mean=torch.zeros(INPUTS + 1)), f"mean must be [I] = [{INPUTS}], got shape ({INPUTS + 1},)"),
        (lambda: small(scale=torch.ones(1, INPUTS)), "scale must be [I]"),
        (lambda: small(mean=torch.full((INPUTS,), math.nan)), "mean holds numbers that are not finite"),
        (lambda: small(class_names=("a", "b")), f"2 class names for {OUTPUTS} outputs"),
    ],
)
def test_what_cannot_be_exported_is_told(make: Callable[[], Network], words: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l1", "bias_hh_l1_reverse"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_refused(name: str, value: float) -> None:
    module = rnn(num_layers=2, bidirectional=True)
    with torch.no_grad():
        getattr(module, name).view(-1)[-1] = value
    with pytest.raises(InputError, match=f"{name} holds numbers that are not finite"):
        network_of(module)


# --- is it the same network? ----------------------------------------------------------------------------------------


class Rows:
    """A set of sequences."""

    def __init__(self, x: Tensor, y: Tensor, lengths: Tensor | None = None, *, of_steps: bool = False) -> None:
        self.x, self.y, self.lengths, self.of_steps = x, y, lengths, of_steps

    def __len__(self) -> int:
        return self.x.shape[1]

    def batch(self, index: Tensor) -> Batch:
        lengths = None if self.lengths is None else self.lengths[index]
        return Batch(self.x[:, index], self.y[:, index] if self.of_steps else self.y[index], lengths)


def data_of(split: Rows, classes: bool = True) -> TaskData:
    objective = classification({}) if classes else regression({})
    names = tuple(f"c{k}" for k in range(OUTPUTS)) if classes else None
    return TaskData(split, split, INPUTS, OUTPUTS, objective, "0", steps_have_targets=split.of_steps, class_names=names)


def images(n: int = 11) -> TaskData:
    return data_of(Rows(drawn(STEPS, n, INPUTS), torch.arange(n) % OUTPUTS))


def own(network: Network) -> Callable[[Tensor, Tensor | None], Tensor]:
    return lambda x, lengths: network.outputs(x, lengths)[0]


def test_what_is_compared_is_counted_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_BATCH", 4)
    network, data = small(), images()
    truth = own(network)

    def answer(x: Tensor, lengths: Tensor | None) -> Tensor:
        """Another class for the sequences 2, 6 and 10."""
        outputs = truth(x, lengths)
        outputs[2::4] = nn.functional.one_hot((outputs[2::4].argmax(-1) + 1) % OUTPUTS, OUTPUTS).float()
        return outputs

    found = verify_on_data(network, answer, data)
    assert (found.sequences, found.rows, found.inputs) == (11, 11, "the whole test set")
    assert found.agreement == pytest.approx(8 / 11)
    assert found.expected is not None
    assert found.found is not None
    batch = data.test.batch(torch.arange(11))
    for name, outputs in (
        ("expected", truth(batch.x, None)),
        ("found", torch.cat([answer(part, None) for part in batch.x.split(4, 1)])),
    ):
        told = getattr(found, name)
        assert told["accuracy"] == pytest.approx(float((outputs.argmax(-1) == batch.y).float().mean()))
        entropy = nn.functional.cross_entropy(outputs.double(), batch.y)
        assert told["cross_entropy"] == pytest.approx(float(entropy))
    some = verify_on_data(network, answer, data, most=3)
    assert (some.sequences, some.inputs) == (3, "the first 3 sequences of the test set")
    assert some.agreement == pytest.approx(2 / 3)
    assert json.loads(json.dumps(some.as_record()))["agreement"] == some.agreement


def test_the_difference_is_over_one_plus_the_output() -> None:
    network = small()
    truth = own(network)
    data = data_of(Rows(X, drawn(BATCH, OUTPUTS)), classes=False)
    found = verify_on_data(network, lambda x, lengths: truth(x, lengths) * 1.5, data)
    outputs = truth(X, None).abs()
    assert found.max_difference == pytest.approx(float((0.5 * outputs / (1 + outputs)).max()))
    assert found.agreement is None


def test_only_steps_that_are_there_are_compared() -> None:
    network = small(at="each")
    truth = own(network)
    y = torch.zeros(STEPS, BATCH, dtype=torch.long)

    def answer(x: Tensor, lengths: Tensor | None) -> Tensor:
        assert lengths is not None
        outputs = truth(x, lengths)
        outputs[torch.arange(STEPS)[:, None] >= lengths] = math.nan
        return outputs

    for split in (
        Rows(X, y, LENGTHS, of_steps=True),
        Rows(X, y[0], LENGTHS),
    ):
        found = verify_on_data(network, answer, data_of(split))
        assert (found.sequences, found.rows) == (BATCH, int(LENGTHS.sum()))
        assert (found.max_difference, found.agreement) == (0.0, 1.0)
        assert found.expected == found.found
    whole = verify_on_data(network, truth, data_of(Rows(X, y[0])))
    assert whole.rows == STEPS * BATCH


@pytest.mark.parametrize("place", [0, 5, 10])
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_an_output_that_is_no_number_is_refused_wherever_it_stands(
    monkeypatch: pytest.MonkeyPatch, place: int, value: float, precision: Any
) -> None:
    monkeypatch.setattr(verifying, "_BATCH", 4)
    network, data = small(), data_of(Rows(drawn(STEPS, 11, INPUTS), drawn(11, OUTPUTS)), classes=False)
    x = data.test.batch(torch.tensor([place])).x

    def answer(given: Tensor, lengths: Tensor | None) -> Tensor:
        outputs = own(network)(given, lengths)
        outputs[(given == x).all(-1).all(0)] = value
        return outputs

    with pytest.raises(RunError, match="no finite numbers; it was not kept"):
        demand(verify_on_data(network, answer, data), precision)


def test_float32_must_be_the_network_and_int8_may_lose() -> None:
    found = verify_on_drawn(small(class_names=tuple("abcd")), own(small()))
    assert (found.max_difference, found.agreement, found.expected, found.found) == (0.0, 1.0, None, None)
    assert "the task's data were not found" in found.inputs
    demand(found, "float32")
    far = replace(found, max_difference=0.002)
    other = replace(found, agreement=0.998)
    with pytest.raises(
        RunError, match=r"differ by up to 0\.002 of their size, the same class in 100\.00% of 6400 rows|"
    ):
        demand(far, "float32")
    with pytest.raises(RunError, match=r"the same class in 99\.80%"):
        demand(other, "float32")
    for loss in (far, other):
        demand(loss, "int8")
    demand(replace(found, max_difference=0.0009, agreement=None), "float32")


def test_drawn_inputs_are_scaled_as_the_training_inputs_were() -> None:
    seen: list[Tensor] = []
    network = small(mean=torch.tensor([100.0, -100.0, 0.0]), scale=torch.tensor([0.1, 10.0, 1.0]))

    def answer(x: Tensor, lengths: Tensor | None) -> Tensor:
        seen.append(x)
        return own(network)(x, lengths)

    verify_on_drawn(network, answer)
    torch.testing.assert_close(seen[0].mean((0, 1)), torch.tensor([100.0, -100.0, 0.0]), rtol=0.01, atol=0.05)
    torch.testing.assert_close(seen[0].std((0, 1)), torch.tensor([0.1, 10.0, 1.0]), rtol=0.05, atol=0)


def test_an_answer_of_another_shape_is_refused() -> None:
    network = small()
    with pytest.raises(RunError, match=r"answers with shape \(5, 3\), not \(5, 4\)"):
        verify_on_data(network, lambda x, lengths: own(network)(x, lengths)[:, 1:], images(5))


# --- torch's own format ---------------------------------------------------------------------------------------------


def loaded(path: Path) -> tuple[nn.RNN, nn.Linear | None, dict[str, Any]]:
    """What a person without this package does with the file."""
    content = torch.load(path, weights_only=True)
    sizes = dict(content["settings"])
    outputs = sizes.pop("output_size")
    module = nn.RNN(**sizes)
    module.load_state_dict(content["rnn"])
    if content["head"] is None:
        return module, None, content
    head = nn.Linear(module.hidden_size * (1 + module.bidirectional), outputs)
    head.load_state_dict(content["head"])
    return module, head, content


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("at", ["last", "mean", "each"])
@pytest.mark.parametrize(("layers", "directions", "with_head"), [(1, 1, True), (2, 2, True), (2, 1, False)])
def test_the_torch_file_is_the_network(
    tmp_path: Path, layers: int, directions: int, with_head: bool, at: Any, lengths: Tensor | None
) -> None:
    head = nn.Linear(directions * HIDDEN, OUTPUTS) if with_head else None
    network = network_of(
        rnn(num_layers=layers, bidirectional=directions == 2),
        head,
        at=at,
        mean=drawn(INPUTS, seed=2),
        scale=drawn(INPUTS, seed=3).abs() + 0.5,
        about={"nprnn.model": "np-RNN"},
    )
    written = write_torch(network, tmp_path, Wanted())
    assert written.files == (tmp_path / FILE,)
    assert written.answer is not None
    expected, _ = network.outputs(X, lengths)
    found = written.answer(X, lengths)
    if at == "each" and lengths is not None:
        alive = torch.arange(STEPS)[:, None] < lengths
        expected, found = expected[alive], found[alive]
    torch.testing.assert_close(found, expected)
    module, plain, content = loaded(tmp_path / FILE)
    assert (plain is None) is (head is None)
    assert (content["at"], content["about"], content["class_names"]) == (at, {"nprnn.model": "np-RNN"}, None)
    with torch.no_grad():
        _, final = module((X - content["mean"]) / content["scale"])
    torch.testing.assert_close(final, network.outputs(X)[1])
    numbers = sum(p.numel() for p in module.parameters()) + 2 * INPUTS
    numbers += 0 if plain is None else sum(p.numel() for p in plain.parameters())
    assert (written.weight_bytes, written.state_bytes) == (4 * numbers, 4 * layers * directions * HIDDEN)


@pytest.mark.parametrize("wanted", [Wanted("step"), Wanted("sequence", "int8")])
def test_the_torch_file_has_one_form(tmp_path: Path, wanted: Wanted) -> None:
    with pytest.raises(ConfigError, match="--format torch writes a float32"):
        write_torch(small(), tmp_path, wanted)
    assert not list(tmp_path.iterdir())


# --- what is put in place, and what is not --------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_export_is_described_and_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "torch"
    network = small(about={"nprnn.run": "r"})
    written = export(network, "torch", folder, Wanted(), data=images(), facts={"update": 7})
    assert written.files == (folder / FILE,)
    record = json.loads((folder / RECORD).read_text())
    assert record == json.loads(json.dumps(written.record))
    assert (record["format"], record["mode"], record["precision"], record["update"]) == (
        "torch",
        "sequence",
        "float32",
        7,
    )
    assert record["files"] == {FILE: (folder / FILE).stat().st_size}
    assert record["network"] == {
        "input_size": INPUTS,
        "hidden_size": HIDDEN,
        "output_size": OUTPUTS,
        "layers": 1,
        "directions": 1,
        "nonlinearity": "relu",
        "at": "last",
    }
    assert record["about"] == {"nprnn.run": "r"}
    assert written.verification is not None
    assert record["verification"] == written.verification.as_record()
    assert record["verification"]["sequences"] == 11
    (folder / "leftover").write_text("of the export before")
    other = export(network_of(rnn(nonlinearity="tanh")), "torch", folder, Wanted(), data=None)
    assert set(contents(folder)) == {FILE, RECORD}
    assert other.verification is not None
    assert other.verification.expected is None
    assert json.loads((folder / RECORD).read_text())["network"]["nonlinearity"] == "tanh"
    assert [p.name for p in folder.parent.iterdir()] == ["torch"]


def test_an_export_that_cannot_be_run_here_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unrun(network: Network, folder: Path, wanted: Wanted) -> Exported:
        return replace(write_torch(network, folder, wanted), answer=None, details={"lacks": "a runtime"})

    monkeypatch.setitem(writing.FORMATS, "torch", unrun)
    written = export(small(), "torch", tmp_path / "x", Wanted(), data=images())
    assert written.verification is None
    record = json.loads((tmp_path / "x" / RECORD).read_text())
    assert (record["verification"], record["details"]) == (None, {"lacks": "a runtime"})


def fail(error: BaseException) -> Callable[..., Exported]:
    def write(network: Network, folder: Path, wanted: Wanted) -> Exported:
        (folder / FILE).write_bytes(b"half")
        raise error

    return write


def lie(network: Network, folder: Path, wanted: Wanted) -> Exported:
    written = write_torch(network, folder, wanted)
    assert written.answer is not None
    answer = written.answer
    return replace(written, answer=lambda x, lengths: answer(x, lengths) + 0.1)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    ("writer", "kind", "words"),
    [
        (fail(OSError(errno.ENOSPC, "No space left on device")), RunError, "cannot write .*No space left on device"),
        (fail(RunError("the compiler refused")), RunError, "the compiler refused"),
        (fail(KeyboardInterrupt()), KeyboardInterrupt, None),
        (lie, RunError, "what was written is not the network"),
    ],
)
def test_what_fails_leaves_all_as_it_was(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    writer: Any,
    kind: type[BaseException],
    words: str | None,
    there: bool,
) -> None:
    folder = tmp_path / "exports" / "torch"
    if there:
        export(small(), "torch", folder, Wanted(), data=images())
    before = contents(tmp_path)
    monkeypatch.setitem(writing.FORMATS, "torch", writer)
    with pytest.raises(kind, match=words):
        export(small(), "torch", folder, Wanted(), data=images())
    assert contents(tmp_path) == before
    assert [p.name for p in folder.parent.iterdir()] == (["torch"] if there else [])


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_the_earlier_export_comes_back_where_the_new_one_cannot_be_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    folder = tmp_path / "torch"
    export(small(), "torch", folder, Wanted())
    before = contents(tmp_path)
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == "torch" and self != folder:
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises((RunError, KeyboardInterrupt)):
        export(small(), "torch", folder, Wanted())
    assert contents(tmp_path) == before


KILLED = """
import sys, time
from pathlib import Path
import torch
from nprnn.export import Wanted, export, network_of, writing
written = writing.FORMATS["torch"]
def slow(network, folder, wanted):
    found = written(network, folder, wanted)
    print("half", flush=True)
    time.sleep(60)
    return found
writing.FORMATS["torch"] = slow
export(network_of(torch.nn.RNN(2, 3)), "torch", Path(sys.argv[1]), Wanted())
"""


def test_a_killed_export_leaves_the_earlier_one(tmp_path: Path) -> None:
    folder = tmp_path / "exports" / "torch"
    export(small(), "torch", folder, Wanted())
    before = contents(folder)
    with subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.send_signal(signal.SIGKILL)
    assert contents(folder) == before
    export(small(at="mean"), "torch", folder, Wanted())
    assert json.loads((folder / RECORD).read_text())["network"]["at"] == "mean"


def test_what_is_no_export_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("a")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "empty").mkdir()
    before = contents(tmp_path)
    for name, words in (
        ("mine", "holds something else than an export (it has no export.json); name another with --out"),
        ("file", "is there and is no folder"),
        ("link", "is there and is no folder"),
        ("file/below", "cannot write"),
    ):
        with pytest.raises(RunError) as caught:
            export(small(), "torch", tmp_path / name, Wanted())
        assert words in str(caught.value)
    assert contents(tmp_path) == before
    export(small(), "torch", tmp_path / "empty", Wanted())
    assert (tmp_path / "empty" / RECORD).is_file()


def test_a_full_disk_leaves_the_earlier_export(small_disk: Path) -> None:
    folder = small_disk / "torch"
    export(small(), "torch", folder, Wanted())
    before = contents(folder)
    with pytest.raises(RunError, match=r"cannot write .*No space left on device"):
        export(network_of(nn.RNN(2, 1000)), "torch", folder, Wanted())
    assert contents(small_disk) == {f"torch/{name}": content for name, content in before.items()}


def test_formats_and_int8_without_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown format 'torhc'\. Did you mean 'torch'"):
        export(small(), "torhc", tmp_path / "x", Wanted())
    with pytest.raises(ConfigError, match="int8 needs the task's data"):
        export(small(), "c", tmp_path / "x", Wanted(precision="int8"))
    assert not list(tmp_path.iterdir())


def test_ranges_are_taken_from_training_sequences_of_the_whole_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Wanted] = []

    def note(network: Network, folder: Path, wanted: Wanted) -> Exported:
        seen.append(wanted)
        return write_torch(network, folder, Wanted())

    monkeypatch.setitem(writing.FORMATS, "torch", note)
    n = 1000
    numbered = torch.arange(n).float().expand(1, n).unsqueeze(-1).expand(1, n, INPUTS)
    train = Rows(numbered, torch.zeros(n, dtype=torch.long), torch.ones(n, dtype=torch.long))
    data = replace(images(), train=train)
    export(small(), "torch", tmp_path / "x", Wanted(precision="int8"), data=data)
    export(small(), "torch", tmp_path / "x", Wanted(precision="int8"), data=images(11))
    assert seen[0].calibration is not None
    assert seen[1].calibration is not None
    taken = seen[0].calibration[0][0, :, 0]
    assert (len(taken), float(taken[0]), float(taken[-1])) == (256, 0.0, n - 1)
    assert set(taken.diff().tolist()) <= {3.0, 4.0}
    assert seen[0].calibration[1] is not None
    assert seen[1].calibration[0].shape == (STEPS, 11, INPUTS)


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def addition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parent = tmp_path_factory.mktemp("addition")
    assert main(["train", "addition", "--model", "np-rnn", *SHORT, "--out", str(parent)]) == 0
    return only_run(parent)


@pytest.fixture
def words(tmp_path: Path) -> tuple[Path, Path]:
    """A run on sequences of two classes, of different lengths, with scaled inputs; and its data."""
    csv_folder(tmp_path / "data")
    train = ["train", "sequences", "--data", str(tmp_path / "data"), *QUICK, "--updates", "60", "--lr", "0.02"]
    assert main([*train, "--out", str(tmp_path / "runs")]) == 0
    return only_run(tmp_path / "runs"), tmp_path / "data"


def model_of(folder: Path) -> tuple[SequenceModel, TaskData]:
    trained = load_trained(folder)
    return trained.model, load_data(trained.run)


def test_a_run_to_a_plain_torch_rnn(addition: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(addition), "--format", "torch"]) == 0
    told = said(capsys)
    assert "np-RNN, update 20" in told
    assert "compared on the whole test set: 50 answers" in told
    folder = addition / "exports" / "torch"
    assert f"written: {folder / FILE} ({(folder / FILE).stat().st_size:,} bytes)" in told
    module, head, content = loaded(folder / FILE)
    assert head is not None
    model, data = model_of(addition)
    batch = data.test.batch(torch.arange(50))
    with torch.no_grad():
        expected = model(batch.x)
        torch.testing.assert_close(head(module(batch.x)[1][0]), expected)
    assert content["about"] == {
        "nprnn.run": addition.name,
        "nprnn.task": "addition",
        "nprnn.model": "np-RNN",
        "nprnn.update": "20",
        "nprnn.version": nprnn.__version__,
    }
    record = json.loads((folder / RECORD).read_text())
    assert (record["checkpoint"], record["update"]) == ("last", 20)
    verification = record["verification"]
    assert (verification["sequences"], verification["agreement"]) == (50, None)
    assert verification["expected"]["mse"] == pytest.approx(float((expected[:, 0] - batch.y).square().mean()))
    last = json.loads((addition / "metrics.jsonl").read_text().splitlines()[-1])
    assert verification["expected"]["mse"] == pytest.approx(last["test"]["mse"])
    assert verification["found"]["mse"] == pytest.approx(last["test"]["mse"], rel=1e-5)


def test_the_best_checkpoint_has_a_folder_of_its_own(addition: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(addition), "--format", "torch", "--checkpoint", "best", "--test-sequences", "9"]) == 0
    assert "compared on the first 9 sequences of the test set: 9 answers" in said(capsys)
    record = json.loads((addition / "exports" / "torch-best" / RECORD).read_text())
    trained = load_trained(addition, "best.safetensors")
    assert (record["checkpoint"], record["update"]) == ("best", trained.update)
    module, _, _ = loaded(addition / "exports" / "torch-best" / FILE)
    torch.testing.assert_close(module.weight_hh_l0, trained.model.rnn.weight_hh_l0, rtol=0, atol=0)


def test_classes_lengths_and_scaling_are_exported(
    words: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = words
    out = tmp_path / "elsewhere" / "mine"
    assert main(["export", str(folder), "--format", "torch", "--out", str(out)]) == 0
    assert "same class 100.000%" in said(capsys)
    module, head, content = loaded(out / FILE)
    assert head is not None
    assert content["class_names"] == ["loud", "quiet"]
    model, data = model_of(folder)
    batch = data.test.batch(torch.arange(len(data.test)))
    assert batch.lengths is not None
    assert len(set(batch.lengths.tolist())) > 1
    with torch.no_grad():
        x = (batch.x - content["mean"]) / content["scale"]
        _, final = module(pack_padded_sequence(x, batch.lengths, enforce_sorted=False))
        torch.testing.assert_close(head(final[0]), model(batch.x, batch.lengths))
    assert not (folder / "exports").exists()


def test_drawn_inputs_stand_in_for_data_that_cannot_be_read(
    words: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, data = words
    moved = data.with_name("moved")
    data.rename(moved)
    ask = ["export", str(folder), "--format", "torch"]
    assert main(ask) == 0
    told = said(capsys)
    assert "the run's data cannot be read, so drawn inputs are used" in told
    assert str(data) in told
    assert "compared on 64 Gaussian sequences of 100 steps" in told
    record = json.loads((folder / "exports" / "torch" / RECORD).read_text())
    assert (record["verification"]["expected"], record["verification"]["agreement"]) == (None, 1.0)
    assert main([*ask, "--data-dir", str(moved)]) == 0
    assert "compared on the whole test set" in said(capsys)
    before = contents(folder)
    # What a person names must be there, and ranges cannot be drawn.
    assert main([*ask, "--data-dir", str(data)]) == 2
    assert str(data) in said(capsys)
    assert main(["export", str(folder), "--format", "c", "--int8"]) == 2
    assert str(data) in said(capsys)
    # Other data than it was trained on are none.
    (moved / "0.csv").write_text("left,right\n1,2\n")
    assert main([*ask, "--data-dir", str(moved)]) == 2
    assert "are not those that" in said(capsys)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "torch", "--int8"], "--format torch writes a float32 torch.nn.RNN"),
        (["--format", "torch", "--mode", "step"], "which takes steps and sequences alike"),
        (["--format", "torch", "--opset", "14"], "--opset is of ONNX; leave it out of --format torch"),
        (["--format", "torch", "--test-sequences", "0"], "--test-sequences must be at least 1, got 0"),
        (["--format", "torhc"], "torhc"),
    ],
)
def test_options_that_do_not_fit_are_told(
    addition: Path, tmp_path: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(["export", str(addition), *options, "--out", str(tmp_path / "x")])
    except SystemExit as stop:
        status = int(stop.code or 0)
    assert status == 2
    assert words in said(capsys)
    assert not list(tmp_path.iterdir())


def test_runs_that_cannot_be_exported_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "addition", "--model", "LSTM", *SHORT, "--out", str(tmp_path / "lstm")]) == 0
    folder = only_run(tmp_path / "lstm")
    capsys.readouterr()
    assert main(["export", str(folder), "--format", "torch"]) == 2
    assert "only an RNN with relu or tanh can be exported, got LSTM; for an LSTM, torch.onnx.export" in said(capsys)
    assert not (folder / "exports").exists()
    for path in ("checkpoint.safetensors", "checkpoint.previous.safetensors"):
        (folder / path).unlink()
    assert main(["export", str(folder), "--format", "torch"]) == 2
    assert "has no checkpoint.safetensors yet" in said(capsys)
    assert main(["export", str(tmp_path), "--format", "torch"]) == 2
    assert "is not a run" in said(capsys)


def test_the_command_leaves_other_folders_alone(
    addition: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    assert main(["export", str(addition), "--format", "torch", "--out", str(tmp_path)]) == 2
    assert "holds something else than an export" in said(capsys)
    assert contents(tmp_path) == {"thesis.tex": b"years of work"}


def test_a_run_is_described_by_its_network(addition: Path) -> None:
    network = network_of_run(load_trained(addition))
    assert (network.input_size, network.hidden_size, network.output_size, network.at) == (2, 10, 1, "last")
    assert isinstance(network.layers[0][0], Direction)
    assert network.about["nprnn.run"] == addition.name
