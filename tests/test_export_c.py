"""``--format c``: the C files against the network and against the same whole numbers in numpy, by real compilers."""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from conftest import absent
from nprnn.cli import main
from nprnn.errors import ConfigError, InputError, RunError
from nprnn.export import FORMATS, Network, Wanted, network_of
from nprnn.export import c_quantise as quantising
from nprnn.export.c_building import STRICT, checked, compilers, ran, running
from nprnn.export.c_cortex import on_cortex_m4
from nprnn.export.c_format import write_c, write_files
from nprnn.export.c_integers import TANH_END, IntegerNetwork, whole_tanh
from nprnn.export.c_quantise import MOST_SUM, greatest_sum, quantise
from nprnn.export.c_source import FOLDER, GOLDEN, string_literal
from nprnn.export.rounding import rounded_rows
from nprnn.export.verifying import verify_on_drawn
from nprnn.models import At
from nprnn.ops import Nonlinearity
from test_cli import SHORT, only_run

ATS: tuple[At, ...] = ("last", "mean", "each")


def make(
    inputs: int = 3,
    hidden: int = 7,
    outputs: int | None = 4,
    *,
    layers: int = 1,
    nonlinearity: Nonlinearity = "relu",
    at: At = "last",
    scaling: tuple[float, float] | None = None,
    seed: int = 0,
) -> Network:
    torch.manual_seed(seed)
    rnn = nn.RNN(inputs, hidden, layers, nonlinearity=nonlinearity)
    head = None if outputs is None else nn.Linear(hidden, outputs)
    mean, scale = (None, None) if scaling is None else (torch.full((inputs,), v) for v in scaling)
    return network_of(rnn, head, at=at, mean=mean, scale=scale)


def drawn(network: Network, steps: int = 20, batch: int = 5, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Inputs as the network was made for, and lengths."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(steps, batch, network.input_size, generator=generator)
    x = x if network.scale is None else x * network.scale
    x = x if network.mean is None else x + network.mean
    lengths = torch.randint(1, steps + 1, (batch,), generator=generator)
    return x, lengths


def wanted(network: Network, precision: str) -> Wanted:
    if precision == "float32":
        return Wanted()
    return Wanted(precision="int8", calibration=drawn(network, 30, 40, 7))


def compiler() -> str:
    found = compilers()
    if not found:
        absent("THE C FILES ARE NOT COMPILED: there is no C compiler")
    return found[0][0]


def both() -> None:
    for name in ("gcc", "clang"):
        if shutil.which(name) is None:
            absent(f"THE C FILES ARE NOT CHECKED: {name} is missing")


def compare(network: Network, precision: str, folder: Path) -> IntegerNetwork | None:
    """Compile, run, and compare with what is true: the network, or for int8 the whole numbers in numpy, exactly."""
    compiler()
    integers, _ = write_files(network, folder, wanted(network, precision))
    answer = running(folder, network.at == "each", network.input_size, network.output_size)
    assert answer is not None
    x, lengths = drawn(network)
    for given_lengths in (None, lengths):
        found = answer(x, given_lengths)
        if integers is None:
            expected, _ = network.outputs(x, given_lengths)
        else:
            expected = torch.from_numpy(
                integers.outputs(x.numpy(), None if given_lengths is None else given_lengths.numpy())
            )
        if network.at == "each" and given_lengths is not None:
            alive = torch.arange(len(x))[:, None] < given_lengths
            expected, found = expected[alive], found[alive]
        torch.testing.assert_close(found, expected, atol=0 if integers else 1e-5, rtol=0 if integers else 1e-5)
    return integers


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
@pytest.mark.parametrize("at", ATS)
def test_c_gives_the_same_numbers(tmp_path: Path, precision: str, nonlinearity: Nonlinearity, at: At) -> None:
    # Layers, head and scaling take turns.
    turn = ATS.index(at) + (nonlinearity == "tanh")
    network = make(
        layers=1 + turn % 2,
        outputs=None if turn == 2 else 4,
        nonlinearity=nonlinearity,
        at=at,
        scaling=(3.0, 0.5) if turn % 2 else None,
    )
    compare(network, precision, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int8"])
@settings(max_examples=15, deadline=None)
@given(
    inputs=st.integers(1, 9),
    hidden=st.integers(1, 17),
    outputs=st.none() | st.integers(1, 5),
    layers=st.integers(1, 3),
    nonlinearity=st.sampled_from(["relu", "tanh"]),
    at=st.sampled_from(ATS),
    scaling=st.sampled_from([None, (0.0, 1.0), (-4.0, 0.01), (1e4, 100.0)]),
    seed=st.integers(0, 1000),
)
def test_c_gives_the_same_numbers_for_any_shape(
    tmp_path_factory: pytest.TempPathFactory,
    precision: str,
    inputs: int,
    hidden: int,
    outputs: int | None,
    layers: int,
    nonlinearity: Nonlinearity,
    at: At,
    scaling: tuple[float, float] | None,
    seed: int,
) -> None:
    network = make(inputs, hidden, outputs, layers=layers, nonlinearity=nonlinearity, at=at, scaling=scaling, seed=seed)
    compare(network, precision, tmp_path_factory.mktemp("c"))


@pytest.mark.parametrize("scaling", [(1e4, 1.0), (-3.0, 2.0)])
def test_a_mean_far_from_0_is_not_folded(tmp_path: Path, scaling: tuple[float, float]) -> None:
    network = make(scaling=scaling)
    compare(network, "float32", tmp_path)
    assert ("INPUT_MEAN" in (tmp_path / "nprnn_model.c").read_text()) == (scaling[0] == 1e4)


@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
def test_int8_is_near_the_network(nonlinearity: Nonlinearity) -> None:
    for at in ATS:
        network = make(inputs=4, hidden=24, layers=2, nonlinearity=nonlinearity, at=at, scaling=(5.0, 2.0))
        x, lengths = drawn(network, 40, 50)
        integers = quantise(network, wanted(network, "int8").calibration or (x, None))
        found = integers.outputs(x.numpy(), lengths.numpy())
        expected = network.outputs(x, lengths)[0].numpy()
        alive = np.arange(len(x))[:, None] < lengths.numpy() if at == "each" else np.ones(len(found), bool)
        assert np.abs(found - expected)[alive].max() < 0.03


def test_what_a_unit_keeps_does_not_drown_the_rest_of_its_row() -> None:
    # An identity and next to nothing beside it, over 400 steps: 8 bits for both would lose the small weights.
    network = make(inputs=1, hidden=30, outputs=2)
    ((weight_ih, weight_hh, bias),) = network.layers[0]
    near = torch.eye(30) * 0.995 + weight_hh * 0.02
    network = replace(network, layers=((network.layers[0][0]._replace(weight_hh=near, bias=bias * 0.1),),))
    x = torch.rand(400, 60, 1, generator=torch.Generator().manual_seed(0))
    integers = quantise(network, (x[:, :30], None))
    expected = network.outputs(x[:, 30:])[0].numpy()
    found = integers.outputs(x[:, 30:].numpy())
    assert np.abs(found - expected).max() < 0.01 * np.ptp(expected)
    assert weight_ih.abs().max() > 0


def test_inputs_far_from_0_keep_their_digits() -> None:
    network = make(inputs=2)
    # As if the last bias undid the offset.
    ((weight_ih, weight_hh, bias),) = network.layers[0]
    moved = bias - weight_ih @ torch.full((2,), 1000.0)
    network = replace(network, layers=((network.layers[0][0]._replace(bias=moved, weight_hh=weight_hh),),))
    x = 1000 + torch.randn(20, 40, 2, generator=torch.Generator().manual_seed(3))
    integers = quantise(network, (x, None))
    assert integers.mean is not None
    np.testing.assert_allclose(integers.outputs(x.numpy()), network.outputs(x)[0].numpy(), atol=0.03)


def test_features_and_units_that_were_never_seen_and_rows_of_zeros() -> None:
    network = make(inputs=3, hidden=5)
    ((weight_ih, weight_hh, bias),) = network.layers[0]
    for w in (weight_ih, weight_hh):
        w[1] = 0
        w[2] = 0
    bias[2], bias[3] = 0, -100.0
    x = torch.randn(20, 40, 3, generator=torch.Generator().manual_seed(3))
    x[..., 1] = 0
    integers = quantise(network, (x, None))
    np.testing.assert_allclose(integers.outputs(x.numpy()), network.outputs(x)[0].numpy(), atol=0.03)
    nothing = quantise(network, (torch.zeros(4, 3, 3), None))
    np.testing.assert_allclose(
        nothing.outputs(np.zeros((4, 2, 3), np.float32)), network.outputs(torch.zeros(4, 2, 3))[0].numpy(), atol=0.03
    )


def test_whole_tanh_is_tanh() -> None:
    z = np.arange(-TANH_END - 70_000, TANH_END + 70_000)
    error = whole_tanh(z) / 2**15 - np.tanh(z / 2**16)
    assert np.abs(error).max() < 6e-5
    assert np.abs(whole_tanh(z)).max() == 32767
    assert (np.diff(whole_tanh(z)) >= -1).all()


def test_rounding_is_best_for_what_rows_meet() -> None:
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((6, 12))
    # Inputs that go together: errors can make each other good.
    mixed = generator.standard_normal((500, 3)) @ generator.standard_normal((3, 12))
    mixed += 0.1 * generator.standard_normal(mixed.shape)
    gram = mixed.T @ mixed / len(mixed)
    for shared in (gram, np.stack([gram * (k + 1) for k in range(6)])):
        found, scale, errors = rounded_rows(weight, shared)
        assert np.abs(found).max() <= 127
        own = np.broadcast_to(shared, (6, 12, 12))
        wrong = scale[:, None] * found - weight
        exact = np.einsum("ri,rij,rj->r", wrong, own, wrong)
        np.testing.assert_allclose(errors, exact, rtol=0.2)
        step = np.abs(weight).max(1, keepdims=True) / 127
        plain = step * np.rint(weight / step) - weight
        assert (exact < 0.2 * np.einsum("ri,rij,rj->r", plain, own, plain)).all()


def test_no_sum_can_leave_32_bits(tmp_path: Path) -> None:
    compiler()
    network = make(inputs=700, hidden=4, outputs=2)
    # Weights alike, so that all integers are large, and inputs that drive all to their limits.
    weight_ih = network.layers[0][0].weight_ih
    weight_ih.copy_(weight_ih.sign() * (0.9 + 0.1 * weight_ih.abs()))
    x = torch.randn(6, 8, 700, generator=torch.Generator().manual_seed(0))
    integers, _ = write_files(network, tmp_path, Wanted(precision="int8", calibration=(x, None)))
    assert integers is not None
    assert integers.bits < 15
    assert greatest_sum(integers) <= MOST_SUM
    pushed = (1e6 * weight_ih[0].sign()).expand(3, 2, -1).contiguous()
    states = integers.inputs(pushed[0].numpy())
    assert np.abs(states).max() == integers.limit
    answer = running(tmp_path, False, 700, 2)
    assert answer is not None
    for v in (x, pushed, -pushed, torch.full_like(pushed, 3e38)):
        np.testing.assert_array_equal(answer(v, None).numpy(), integers.outputs(v.numpy()))


def test_too_wide_for_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = make(inputs=quantising.WIDEST, hidden=2)
    with pytest.raises(ConfigError, match="too wide for --int8"):
        quantise(wide, (torch.zeros(1, 1, quantising.WIDEST), None))
    monkeypatch.setattr(quantising, "MOST_SUM", 1000)
    network = make()
    with pytest.raises(ConfigError, match="too wide for --int8"):
        quantise(network, drawn(network))


def test_inputs_that_no_float_holds() -> None:
    network = make(inputs=1)
    x = torch.full((3, 2, 1), 1e-44)
    x[0] = 0
    with pytest.raises(ConfigError, match="rescale"):
        quantise(network, (x, None))


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
def test_both_compilers_take_it_without_a_warning_and_the_check_passes(
    tmp_path: Path, precision: str, nonlinearity: Nonlinearity
) -> None:
    both()
    network = replace(
        make(nonlinearity=nonlinearity, at="mean", scaling=(2e3, 1.0), layers=2),
        class_names=("a", 'b"\\', "ü ??/", "*/"),
        about={"run": "*/ #error /* ??/ \\", "task": "ü\n"},
    )
    write_files(network, tmp_path, wanted(network, precision))
    results = checked(tmp_path)
    assert {r["compiler"] for r in results} >= {"gcc", "clang"}
    for result in results:
        assert result["no_warnings"], result
        assert "PASS" in result["check"]
        assert precision == "float32" or "greatest difference 0 " in result["check"]


def test_a_relu_network_needs_no_library_at_all(tmp_path: Path) -> None:
    for precision in ("float32", "int8"):
        write_files(make(at="mean"), tmp_path, wanted(make(at="mean"), precision))
        status, said = ran([compiler(), *STRICT, "-O2", "-c", tmp_path / "nprnn_model.c", "-o", tmp_path / "m.o"])
        assert status == 0, said
        undefined = subprocess.run(["nm", "-u", str(tmp_path / "m.o")], capture_output=True, text=True, check=True)
        assert set(undefined.stdout.split()) - {"U", "memcpy", "memset", "__stack_chk_fail"} == set()
        assert "malloc" not in (tmp_path / "nprnn_model.c").read_text()


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_fast_math_and_sanitizers_find_nothing(tmp_path: Path, precision: str) -> None:
    for k, at in enumerate(ATS):
        network = make(nonlinearity="tanh" if k else "relu", at=at, outputs=None if k == 1 else 3)
        write_files(network, tmp_path, wanted(network, precision))
        files = [tmp_path / "check.c", tmp_path / "nprnn_model.c", "-lm", "-o", tmp_path / "check"]
        sanitize = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        # NaN is still refused with -ffast-math: its bits are looked at.
        for flags in (["-O3", "-ffast-math"], sanitize):
            status, said = ran([compiler(), "-std=c99", *flags, *files])
            assert status == 0, said
            status, said = ran([tmp_path / "check"])
            assert status == 0, said


def test_a_wrong_build_is_found_out(tmp_path: Path) -> None:
    compiler()
    write_files(make(), tmp_path, Wanted())
    path = tmp_path / "nprnn_model.c"
    text = path.read_text()
    first = text.split("BIAS_0[7] = {\n")[1].split(",")[0].strip()
    path.write_text(text.replace(f"BIAS_0[7] = {{\n    {first}", "BIAS_0[7] = {\n    9.5f"))
    with pytest.raises(RunError, match="FAIL"):
        checked(tmp_path)


def test_what_a_compiler_complains_of_is_told(tmp_path: Path) -> None:
    compiler()
    write_files(make(), tmp_path, Wanted())
    with (tmp_path / "nprnn_model.c").open("a") as file:
        file.write("static int unused(void) { return 0; }\n")
    for result in checked(tmp_path):
        assert not result["no_warnings"]
        assert "unused" in result["complaints"]
        assert "PASS" in result["check"]


def test_the_header_is_for_cxx_too(tmp_path: Path) -> None:
    if shutil.which("c++") is None:
        absent("THE C HEADER IS NOT TRIED IN C++: there is no C++ compiler")
    network = replace(make(outputs=2), class_names=("yes", "nö"))
    write_files(network, tmp_path, Wanted())
    (tmp_path / "main.cpp").write_text(
        '#include "nprnn_model.h"\n#include "nprnn_model.h"\n#include <cstdio>\n'
        "int main() { nprnn_state s; float out[NPRNN_OUTPUTS], x[NPRNN_INPUTS] = {}; nprnn_init(&s);\n"
        'std::printf("%d %s", nprnn_step(&s, x, out), nprnn_class_names[1]); }\n'
    )
    for command in (
        [compiler(), "-std=c99", "-c", "nprnn_model.c"],
        ["c++", "-Wall", "-Wextra", "-Werror", "-pedantic", "main.cpp", "nprnn_model.o", "-o", "main"],
    ):
        subprocess.run(command, cwd=tmp_path, check=True)
    assert subprocess.run([str(tmp_path / "main")], capture_output=True, check=True).stdout.decode() == "0 nö"


def program_of(header: str) -> str:
    """The program that a header shows."""
    lines = iter(header.splitlines())
    shown = [next(line for line in lines if "#include <stdio.h>" in line)]
    while shown[-1] != " *     }":
        shown.append(next(lines))
    return "".join(f"{line.removeprefix(' *').removeprefix('     ')}\n" for line in shown)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("names", [None, ("sit", "run", "fall", "*/ \\ %s")])
@pytest.mark.parametrize("at", ATS)
def test_the_program_in_the_header_compiles_and_answers(
    tmp_path: Path, precision: str, names: tuple[str, ...] | None, at: At
) -> None:
    both()
    network = replace(make(at=at, seed=3), class_names=names)
    integers, _ = write_files(network, tmp_path, wanted(network, precision))
    (tmp_path / "main.c").write_text(program_of((tmp_path / "nprnn_model.h").read_text()))
    x, _ = drawn(network, 9, 1)
    numbers = " ".join(f"{float(v):.9g}" for v in x.flatten())
    out = network.outputs(x)[0] if integers is None else torch.from_numpy(integers.outputs(x.numpy(), None))
    scores = (out[-1] if at == "each" else out)[0].tolist()
    for name in ("gcc", "clang"):
        command = [name, *STRICT, "-Werror", "main.c", "nprnn_model.c", "-lm", "-o", "main"]
        subprocess.run(command, cwd=tmp_path, check=True)
        answered = subprocess.run([tmp_path / "main"], input=numbers, capture_output=True, text=True, check=True).stdout
        if names is None:
            assert [float(line) for line in answered.splitlines()] == pytest.approx(scores, rel=1e-4, abs=1e-5)
        else:
            best = max(range(4), key=scores.__getitem__)
            called, _, score = answered.strip().rpartition(", score ")
            assert (called, float(score)) == (names[best], pytest.approx(scores[best], rel=1e-4, abs=1e-5))
        bad = subprocess.run([tmp_path / "main"], input="1 nan 2", capture_output=True, text=True, check=False)
        assert (bad.returncode, bad.stdout) == (1, "")


def test_the_header_says_what_outputs_are(tmp_path: Path) -> None:
    for network, words in (
        (
            replace(make(), class_names=tuple("abcd")),
            "scores, one for each class of nprnn_class_names: the larger, the",
        ),
        (make(), "Outputs are the numbers that the network was trained to give, in their units"),
        (make(outputs=None), "Outputs are the states of the last layer."),
    ):
        write_files(network, tmp_path, Wanted())
        header = (tmp_path / "nprnn_model.h").read_text()
        assert words in header
        # Softmax is neither there nor kept quiet about, but of states.
        assert ("softmax" in header) == (network.head is not None)
        assert "exp" not in (tmp_path / "nprnn_model.c").read_text().lower()


class Stream:
    """nprnn_run of a library that was built here, with a state of its own."""

    def __init__(self, folder: Path, network: Network) -> None:
        library = folder / "stream.so"
        flags = ["-std=c99", "-O2", "-fPIC", "-shared"]
        status, said = ran([compiler(), *flags, folder / "nprnn_model.c", "-lm", "-o", library])
        assert status == 0, said
        self.library = ctypes.CDLL(str(library))
        self.library.nprnn_run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
        self.each, self.outputs = network.at == "each", network.output_size
        # What lies behind the state must stay as it is.
        self.state = np.full(4096 + 64 * network.hidden_size, 0xAB, np.uint8)
        self.library.nprnn_init(self.state.ctypes.data_as(ctypes.c_void_p))

    def run(self, x: NDArray[np.float32], *, keep: bool = True) -> tuple[int, NDArray[np.float32]]:
        x = np.ascontiguousarray(x)
        out = np.zeros((len(x), self.outputs) if self.each else self.outputs, np.float32)
        place = out.ctypes.data if keep else None
        return self.library.nprnn_run(self.state.ctypes.data, x.ctypes.data, len(x), place), out


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("at", ATS)
def test_pieces_are_the_whole_and_bad_inputs_change_nothing(tmp_path: Path, precision: str, at: At) -> None:
    network = make(at=at)
    write_files(network, tmp_path, wanted(network, precision))
    x = drawn(network, 30, 1)[0][:, 0].numpy()
    _, whole = Stream(tmp_path, network).run(x)
    stream = Stream(tmp_path, network)
    found = []
    for first, last in pairwise([0, 1, 4, 4, 17, 30]):
        for bad in (np.nan, np.inf, -np.inf):
            spoilt = x[first:].copy()
            spoilt[(last - first) // 2, 1] = bad
            before = stream.state.copy()
            assert stream.run(spoilt)[0] == 1
            changed = np.flatnonzero(before != stream.state)
            # Nothing but the index, which is the last of the state.
            assert len(changed) <= 8
            assert changed.size == 0 or np.ptp(changed) < 8
        code, out = stream.run(x[first:last])
        assert code == 0
        found.append(out)
    if at == "each":
        np.testing.assert_array_equal(np.concatenate(found), whole)
    else:
        np.testing.assert_array_equal(found[-1], whole)
    assert Stream(tmp_path, network).run(x, keep=False)[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("at", ["last", "mean"])
def test_a_million_steps_do_not_drift(tmp_path: Path, precision: str, at: At) -> None:
    network = make(hidden=6, at=at)
    write_files(network, tmp_path, wanted(network, precision))
    x = torch.randn(1_000_000, 1, 3, generator=torch.Generator().manual_seed(0))
    whole, pieces = Stream(tmp_path, network), Stream(tmp_path, network)
    _, expected = whole.run(x[:, 0].numpy())
    for piece in x[:, 0].split(77_777):
        _, found = pieces.run(piece.numpy())
    np.testing.assert_array_equal(found, expected)
    # The network sums in float32, of which a million terms are too much: it is asked for the states.
    states = replace(network, at="each", head=None).outputs(x)[0].double()
    state = states[-1] if at == "last" else states.mean(0)
    assert network.head is not None
    truth = state @ network.head[0].double().T + network.head[1].double()
    np.testing.assert_allclose(found, truth[0].numpy(), atol=1e-5 if precision == "float32" else 0.03)


def test_the_budget_of_the_pixel_model(tmp_path: Path) -> None:
    network = make(inputs=1, hidden=100, outputs=10)
    integers, told = write_files(network, tmp_path, wanted(network, "int8"))
    assert integers is not None
    assert told == integers.weight_bytes == 100 * 101 + 10 * 100 + 8 * 110 + 4
    assert told <= 12_000
    # The file itself adds up sizeof of its constants and does not compile otherwise.
    assert f"NPRNN_WEIGHT_BYTES {told}\n" in (tmp_path / "nprnn_model.h").read_text()
    path = tmp_path / "nprnn_model.h"
    path.write_text(path.read_text().replace(str(told), str(told + 1)))
    status, said = ran([compiler(), "-std=c99", "-c", tmp_path / "nprnn_model.c", "-o", tmp_path / "m.o"])
    assert status != 0
    assert "nprnn_weight_bytes_are_right" in said


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
def test_on_a_cortex_m4(tmp_path: Path, precision: str, nonlinearity: Nonlinearity) -> None:
    for name in ("arm-none-eabi-gcc", "qemu-system-arm"):
        if shutil.which(name) is None:
            absent(f"THE C FILES ARE NOT RUN ON A CORTEX-M4: {name} is missing")
    network = make(inputs=1, hidden=40, outputs=10, nonlinearity=nonlinearity, at="mean")
    _, weight_bytes = write_files(network, tmp_path, wanted(network, precision))
    found = on_cortex_m4(tmp_path)
    assert "absent" not in found, found
    assert found["passed"], found
    assert "PASS" in found["check"]
    assert weight_bytes < found["flash"] < weight_bytes + 8000
    # newlib's tanhf brings its errno along.
    library = 1200 if (precision, nonlinearity) == ("float32", "tanh") else 0
    state = (4 if precision == "float32" else 2) * 40 + 8 * 40 + 12
    assert state < found["ram"] < state + 100 + library
    # A wrong number is seen there too.
    path, begin = tmp_path / GOLDEN, "golden_out[640] = {\n"
    path.write_text(path.read_text().replace(begin, f"{begin} 9.0f + "))
    assert on_cortex_m4(tmp_path)["passed"] is False


def test_a_machine_without_compilers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    network = make(at="each")
    exported = write_c(network, tmp_path, Wanted())
    assert exported.answer is None
    assert "no C compiler" in exported.details["not_compiled"]
    assert "arm-none-eabi-gcc" in exported.details["cortex_m4"]["absent"]
    exported = write_c(network, tmp_path, wanted(network, "int8"))
    assert exported.answer is not None
    assert verify_on_drawn(network, exported.answer, steps=10).max_difference < 0.03


def test_cc_comes_first_and_need_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler()
    monkeypatch.setenv("CC", "false --of-no-use")
    assert compilers()[0] == ("false", "--of-no-use")
    compare(make(), "float32", tmp_path)


def test_questions_that_an_answer_refuses(tmp_path: Path) -> None:
    compiler()
    network = make()
    write_files(network, tmp_path, Wanted())
    answer = running(tmp_path, False, 3, 4)
    assert answer is not None
    x, _ = drawn(network)
    with pytest.raises(InputError, match="3 inputs"):
        answer(x[..., :2], None)
    with pytest.raises(InputError, match="lengths"):
        answer(x, torch.full((5,), 21))
    x[3, 2, 1] = float("nan")
    with pytest.raises(InputError, match="NaN"):
        answer(x, None)


def test_what_c_is_not_for(tmp_path: Path) -> None:
    both_ways = network_of(nn.RNN(2, 3, nonlinearity="relu", bidirectional=True))
    with pytest.raises(ConfigError, match="two directions"):
        write_c(both_ways, tmp_path, Wanted())
    with pytest.raises(ConfigError, match="--mode"):
        write_c(make(), tmp_path, Wanted("step"))
    with pytest.raises(ConfigError, match="calibrate"):
        write_c(make(), tmp_path, Wanted(precision="int8"))
    assert not list(tmp_path.iterdir())


def test_string_literals() -> None:
    assert string_literal("ab 1") == '"ab 1"'
    assert string_literal('"\\?\n0') == '"\\042\\134\\077\\0120"'
    assert string_literal("ü") == '"\\303\\274"'


def test_the_templates_are_where_the_code_looks() -> None:
    assert FORMATS["c"] is write_c
    assert {p.name for p in FOLDER.iterdir()} >= {"nprnn_model.c.jinja", "check.c", "answer.c", "cortex_m.ld"}


def test_a_run_to_c_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compiler()
    assert main(["train", "addition", *SHORT, "--out", str(tmp_path)]) == 0
    run = only_run(tmp_path)
    words = ["export", str(run), "--format", "c"]
    assert main([*words, "--test-sequences", "20"]) == 0
    assert main([*words, "--int8"]) == 0
    said = capsys.readouterr().out
    assert "nprnn_model.c" in said
    for name in ("c", "c-int8"):
        folder = run / "exports" / name
        assert {p.name for p in folder.iterdir()} == {
            "nprnn_model.c",
            "nprnn_model.h",
            "check.c",
            "golden.h",
            "export.json",
        }
        record = json.loads((folder / "export.json").read_text())
        assert record["verification"]["sequences"] == (20 if name == "c" else 50)
        assert all("PASS" in c["check"] for c in record["details"]["compilers"])
        assert record["details"]["told"]
    # It is as its own comment says.
    command = [compiler(), "-std=c99", "-O2", "check.c", "nprnn_model.c", "-o", "check"]
    subprocess.run(command, cwd=folder, check=True)
    assert "PASS" in subprocess.run([folder / "check"], capture_output=True, text=True, check=True).stdout
