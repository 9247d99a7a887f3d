"""``Streamer``: the same states as the whole sequence, however it is cut, from the same memory."""

from __future__ import annotations

import itertools
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import nprnn
from nprnn import streaming
from nprnn.errors import InputError
from nprnn.models import build_model
from nprnn.ops import kernel_in_use, rnn, use_kernel
from nprnn.ops.cpu import instruction_sets

COMPILED = instruction_sets()
KERNELS = ["reference", *COMPILED]
STEPS, I, N = 40, 3, 5  # noqa: E741
NAN, INF = float("nan"), float("inf")


def sequence(dtype: torch.dtype, features: int = I) -> Tensor:
    return torch.randn(STEPS, features, generator=torch.Generator().manual_seed(1), dtype=dtype)


def sequences(steps: int = STEPS, features: int = I, streams: int = N) -> Tensor:
    return torch.randn(steps, streams, features, generator=torch.Generator().manual_seed(2))


def stepped(streamer: nprnn.Streamer, x: Tensor) -> Tensor:
    return torch.stack([streamer.step(row).clone() for row in x])


def whole(module: nn.RNN, x: Tensor) -> Tensor:
    """All states of the last layer [T, B, H] by the operator."""
    y = x
    with torch.no_grad():
        for k in range(module.num_layers):
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            weight_ih, weight_hh, bias_ih, bias_hh = (getattr(module, f"{name}_l{k}") for name in names)
            h0 = y.new_zeros(y.shape[1], module.hidden_size)
            y, _ = rnn(y, h0, weight_ih, weight_hh, bias_ih + bias_hh, nonlinearity=module.nonlinearity)
    return y


def two_layers(nonlinearity: str = "relu", hidden: int = 37) -> nn.RNN:
    torch.manual_seed(0)
    return nn.RNN(I, hidden, num_layers=2, nonlinearity=nonlinearity)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "make",
    [
        lambda t: nn.RNN(I, 37, num_layers=3, dtype=t),
        lambda t: nprnn.NPRNN(I, 100, dtype=t),
        lambda t: nprnn.RNN(I, 300, nonlinearity="relu", bias=False, dtype=t),  # more than one panel, written in place
        lambda t: nprnn.RNN(I, 300, dtype=t),
        lambda t: nprnn.RNN(I, 1, dtype=t),
    ],
    ids=["torch, 3 layers", "NPRNN", "wide, no bias", "wide, tanh", "one unit"],
)
def test_every_step_is_that_of_the_sequence(
    make: Callable[[torch.dtype], nn.RNN], dtype: torch.dtype, kernel: str
) -> None:
    torch.manual_seed(0)
    module = make(dtype)
    x = sequence(dtype)
    with torch.no_grad():
        want, h_n = nn.RNNBase.__call__(module.double(), x.double())
    with use_kernel(kernel):
        streamer = nprnn.Streamer(module.to(dtype))
        got = torch.stack([streamer.step(row).clone() for row in x])
    # One rounding of H terms a step; these networks do not amplify it.
    tolerance = STEPS * 8 * torch.finfo(dtype).eps * float(want.abs().max().clamp(min=1))
    torch.testing.assert_close(got.double(), want, rtol=0, atol=tolerance)
    torch.testing.assert_close(streamer.state.double(), h_n, rtol=0, atol=tolerance)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_model_streams_with_its_head_and_scaling(kernel: str) -> None:
    mean, scale = torch.tensor([1.0, -2.0, 3.0]), torch.tensor([0.5, 2.0, 4.0])
    model = build_model("np-RNN", I, 5, hidden_size=20, mean=mean, scale=scale)
    x = sequence(torch.float32) * scale + mean
    want = model(x[:, None], at="each")[:, 0]
    with use_kernel(kernel):
        streamer = model.streamer()
        got = torch.stack([streamer.step(row).clone() for row in x])
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernel", COMPILED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("nonlinearity", "hidden"), [("relu", 7), ("relu", 37), ("relu", 300), ("tanh", 37)])
def test_one_stream_is_the_operators_to_the_bit(
    nonlinearity: str, hidden: int, dtype: torch.dtype, kernel: str
) -> None:
    module = two_layers(nonlinearity, hidden).to(dtype)
    x = sequence(dtype)
    with use_kernel(kernel):
        want = whole(module, x[:, None])[:, 0]
        streamer = nprnn.Streamer(module)
        assert torch.equal(stepped(streamer, x), want)
        streamer.reset()
        assert torch.equal(streamer.run(x), want)
        assert torch.equal(streamer.state[-1], want[-1])
        assert streamer.steps == STEPS


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
def test_many_streams_are_each_the_one(nonlinearity: str, kernel: str) -> None:
    module, head = two_layers(nonlinearity), nn.Linear(37, 4)
    x = sequences()
    with use_kernel(kernel):
        alone = torch.stack([stepped(nprnn.Streamer(module, head), x[:, k]) for k in range(N)], 1)
        many = nprnn.Streamer(module, head, streams=N)
        assert many.state.shape == (2, N, 37)
        steps = stepped(many, x)
        states = many.state.clone()
        many.reset()
        chunk = many.run(x)
    assert many.output.shape == (N, 4)
    assert steps.shape == chunk.shape == (STEPS, N, 4)
    assert torch.equal(many.output, chunk[-1])
    if kernel == "reference":
        torch.testing.assert_close(steps, alone)
        torch.testing.assert_close(chunk, alone)
        torch.testing.assert_close(states, many.state)
    else:
        assert torch.equal(steps, alone)
        assert torch.equal(chunk, alone)
        assert torch.equal(states, many.state)


@pytest.mark.parametrize("kernel", ["reference", "auto"])
@pytest.mark.parametrize("streams", [None, N])
@settings(deadline=None, max_examples=25)
@given(cuts=st.lists(st.integers(0, STEPS), max_size=6), by_steps=st.lists(st.booleans(), min_size=7, max_size=7))
def test_any_cut_into_chunks_and_steps_is_the_whole(
    streams: int | None, kernel: str, cuts: list[int], by_steps: list[bool]
) -> None:
    x = sequence(torch.float32) if streams is None else sequences()
    with use_kernel(kernel):
        streamer = nprnn.Streamer(two_layers(), nn.Linear(37, 2), streams=streams)
        want = streamer.run(x)
        state = streamer.state.clone()
        streamer.reset()
        ends = [0, *sorted(cuts), STEPS]
        pieces = [x[a:b] for a, b in itertools.pairwise(ends)]
        got = torch.cat(
            [
                stepped(streamer, piece) if steps and len(piece) else streamer.run(piece)
                for piece, steps in zip(pieces, by_steps, strict=False)
            ]
        )
        exactly = kernel_in_use() != "reference"
    assert streamer.steps == STEPS
    if exactly:
        assert torch.equal(got, want)
        assert torch.equal(streamer.state, state)
    else:
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(streamer.state, state, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("headed", [True, False])
@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
def test_what_is_large_goes_to_the_operator_and_is_the_same(
    nonlinearity: str, headed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, head = two_layers(nonlinearity), nn.Linear(37, 4) if headed else None
    mean, scale = torch.tensor([1.0, -2.0, 3.0]), torch.tensor([0.5, 2.0, 4.0])
    x = sequences(150)
    small, large = (nprnn.Streamer(module, head, mean=mean, scale=scale, streams=N) for _ in range(2))
    want = small.run(x)
    called: list[int] = []
    plain = nprnn.Streamer._operate

    def operate(self: nprnn.Streamer, x: Tensor) -> Tensor:
        called.append(len(x))
        return plain(self, x)

    monkeypatch.setattr(nprnn.Streamer, "_operate", operate)
    monkeypatch.setattr(streaming, "_LARGE", 0)
    monkeypatch.setattr(streaming, "_PIECE", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = torch.cat([large.run(x[:130]), stepped(large, x[130:140]), large.run(x[140:])])
    assert called == [130, *([1] * 10), 10]
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(large.state, small.state, rtol=1e-5, atol=1e-5)
    assert torch.equal(large.output, got[-1])
    assert large.steps == small.steps == 150


@pytest.mark.parametrize(
    ("nonlinearity", "streams", "steps", "threads", "large"),
    [
        ("tanh", 64, 13, 1, True),  # 64 x 13 x 100 x (100 + 3) = 8.6e6
        ("tanh", 64, 12, 1, False),
        ("relu", 64, 13, 1, False),  # units that are off are left out row by row
        ("relu", 64, 13, 2, True),
        ("tanh", None, 10**6, 2, False),
    ],
)
def test_what_is_large(
    nonlinearity: str, streams: int | None, steps: int, threads: int, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    module = nn.RNN(I, 100, nonlinearity=nonlinearity)
    assert nprnn.Streamer(module, streams=streams)._large(steps) is large


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_large_mean_leaves_what_is_small(kernel: str) -> None:
    # In float32 a product with 1e6 + z would leave no digit of z.
    mean, scale = torch.full((I,), 1e6), torch.full((I,), 0.125)
    x = mean + (sequence(torch.float32) * 8).round() / 8
    module = two_layers()
    with use_kernel(kernel):
        plain = nprnn.Streamer(module)
        want = plain.run((x - mean) / scale)
        for given_mean, given_scale, inputs in (
            (mean, scale, x),
            (mean, None, (x - mean) / scale + mean),
            (None, scale, x - mean),
        ):
            streamer = nprnn.Streamer(module, mean=given_mean, scale=given_scale)
            torch.testing.assert_close(streamer.run(inputs), want, rtol=1e-5, atol=1e-6)
            streamer.reset()
            torch.testing.assert_close(stepped(streamer, inputs), want, rtol=1e-5, atol=1e-6)
    model = build_model("np-RNN", I, 2, mean=mean, scale=scale)
    many = model.streamer(streams=N)
    x = mean + sequences()
    torch.testing.assert_close(many.run(x), model(x, at="each").detach(), rtol=1e-4, atol=1e-4)


def test_a_cell_streams() -> None:
    cell = nn.RNNCell(I, 8, nonlinearity="relu")
    streamer = nprnn.Streamer(cell)
    h = torch.zeros(8)
    for row in sequence(torch.float32):
        h = cell(row, h)
        torch.testing.assert_close(streamer.step(row), h)


def test_inputs_of_any_kind_are_taken() -> None:
    streamer = nprnn.Streamer(nprnn.NPRNN(I, 16))
    rows = sequence(torch.float64)
    want = streamer.step(rows[0].float()).clone()
    strided = torch.stack([rows[0].float(), rows[1].float()], 1)[:, 0]
    assert not strided.is_contiguous()
    parameter = nn.Parameter(rows[0].float())
    for x in (rows[0].tolist(), rows[0].numpy(), rows[0], strided, tuple(rows[0].tolist()), parameter):
        streamer.reset()
        torch.testing.assert_close(streamer.step(x), want)


def test_the_state_can_be_kept_put_back_and_reset() -> None:
    streamer = nprnn.Streamer(nn.RNN(I, 6, num_layers=2))
    x = sequence(torch.float32)
    for row in x[:5]:
        streamer.step(row)
    kept, want = streamer.state.clone(), streamer.step(x[5]).clone()
    streamer.step(x[6])
    streamer.reset(kept)
    assert torch.equal(streamer.step(x[5]), want)
    streamer.state[:] = kept
    assert torch.equal(streamer.step(x[5]), want)
    streamer.reset()
    assert (streamer.state == 0).all()
    with pytest.raises(InputError, match=r"hx must be \[layers, H\] = \(2, 6\), got \(6,\)"):
        streamer.reset(torch.zeros(6))
    with pytest.raises(InputError, match="hx holds numbers that are not finite"):
        streamer.reset(torch.full((2, 6), NAN))


@pytest.mark.parametrize("kernel", KERNELS)
def test_some_streams_are_reset_and_the_others_go_on(kernel: str) -> None:
    x = sequences()
    with use_kernel(kernel):
        one, many = nprnn.Streamer(two_layers()), nprnn.Streamer(two_layers(), streams=N)
        undisturbed = many.run(x)
        many.reset()
        assert many.steps == 0
        many.run(x[:10])
        kept = many.state[:, [4, 0]].clone()
        many.reset(streams=[3, 1])
        assert (many.state[:, [1, 3]] == 0).all()
        assert many.steps == 10
        got = many.run(x[10:])
        for k in (0, 2, 4):
            torch.testing.assert_close(got[:, k], undisturbed[10:, k])
        for k in (1, 3):
            one.reset()
            torch.testing.assert_close(got[:, k], one.run(x[10:, k]))
        many.reset(kept, streams=torch.tensor([4, 0], dtype=torch.int32))
        torch.testing.assert_close(many.run(x[10:])[:, 0], undisturbed[10:, 0])
        before = many.state.clone()
        many.reset(streams=[])
        assert torch.equal(many.state, before)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("features", [1, 2, 7, 16, 33])
def test_a_number_that_is_not_finite_is_told_and_changes_nothing(
    features: int, dtype: torch.dtype, kernel: str
) -> None:
    x = sequence(dtype, features)
    with use_kernel(kernel):
        streamer = nprnn.Streamer(nn.RNN(features, 9, num_layers=2, dtype=dtype), nn.Linear(9, 2, dtype=dtype))
        want = stepped(streamer, x[:12])
        streamer.reset()
        stepped(streamer, x[:10])
        before, output = streamer.state.clone(), streamer.output.clone()
        for place in range(features):
            for value in (NAN, INF, -INF):
                bad = x[10].clone()
                bad[place] = value
                words = re.escape(f"x[{place}] is {value}, at step 10: inputs must be finite")
                with pytest.raises(InputError, match=words):
                    streamer.step(bad)
        bad = x[10:].clone()
        bad[3, features - 1], bad[5, 0] = NAN, INF
        words = re.escape(f"x[3, {features - 1}] is nan (and 1 more), at step 13: inputs must be finite")
        with pytest.raises(InputError, match=words):
            streamer.run(bad)
        assert torch.equal(streamer.state, before)
        assert torch.equal(streamer.output, output)
        assert streamer.steps == 10
        torch.testing.assert_close(stepped(streamer, x[10:12]), want[10:])


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_stream_of_a_number_that_is_not_finite_is_told(kernel: str) -> None:
    x = sequences()
    with use_kernel(kernel):
        many = nprnn.Streamer(two_layers(), streams=N)
        many.run(x)
        before = many.state.clone()
        bad = x.clone()
        bad[7, 4, 2] = -INF
        with pytest.raises(InputError, match=r"x\[4, 2\] is -inf, at step 40 of stream 4: inputs must be finite"):
            many.step(bad[7])
        with pytest.raises(InputError, match=r"x\[7, 4, 2\] is -inf, at step 47 of stream 4: .*the state is as it was"):
            many.run(bad)
        assert torch.equal(many.state, before)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_greatest_and_the_smallest_numbers_are_finite(dtype: torch.dtype, kernel: str) -> None:
    torch.manual_seed(0)
    info = torch.finfo(dtype)
    x = torch.tensor([info.max, info.max, info.min, info.smallest_normal, info.smallest_normal / 4], dtype=dtype)
    with use_kernel(kernel):
        streamer = nprnn.Streamer(nn.RNN(5, 4, dtype=dtype))
        assert streamer.step(x).isfinite().all()
        # Their sum is not.
        assert streamer.run(x[None]).isfinite().all()


def test_what_float32_cannot_hold_is_told() -> None:
    streamer = nprnn.Streamer(nn.RNN(2, 3))
    with pytest.raises(InputError, match=r"x\[1\] is inf"):
        streamer.step(torch.tensor([0.0, 1e300], dtype=torch.float64))
    with pytest.raises(InputError, match=r"x\[0, 1\] is inf"):
        streamer.run([[0.0, 1e300]])


def test_chunks_of_any_kind_are_taken() -> None:
    streamer = nprnn.Streamer(two_layers())
    x = sequence(torch.float64)
    want = streamer.run(x.float()).clone()
    strided = x.float().T.contiguous().T
    assert not strided.is_contiguous()
    for chunk in (x, x.tolist(), x.numpy(), strided, nn.Parameter(x.float())):
        streamer.reset()
        got = streamer.run(chunk)
        assert torch.equal(got, want)
        assert not got.requires_grad
    streamer.reset()
    whole_numbers = (x * 4).int()
    want = streamer.run(whole_numbers.float())
    streamer.reset()
    assert torch.equal(streamer.run(whole_numbers), want)
    assert streamer.run(x[:0]).shape == (0, 37)
    assert torch.equal(streamer.output, want[-1])


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_network_can_be_fed_with_its_own_state(kernel: str) -> None:
    # More than one panel: the first is written before the second is read.
    torch.manual_seed(0)
    module = nn.RNN(300, 300, num_layers=2)
    start = torch.rand(2, 300)
    with use_kernel(kernel):
        fed, copied = nprnn.Streamer(module), nprnn.Streamer(module)
        for streamer in (fed, copied):
            streamer.reset(start)
        for _ in range(3):
            torch.testing.assert_close(fed.step(fed.output), copied.step(copied.output.clone()), rtol=0, atol=0)
            torch.testing.assert_close(fed.step(fed.state[0]), copied.step(copied.state[0].clone()), rtol=0, atol=0)
        assert torch.equal(fed.run(fed.state), copied.run(copied.state.clone()))


def test_what_is_made_in_inference_mode_is_used_outside() -> None:
    with torch.inference_mode():
        streamer = nprnn.Streamer(two_layers(), streams=N)
        want = streamer.run(sequences())
    streamer.reset()
    assert torch.equal(streamer.run(sequences()), want)
    streamer.state[:, 0] = 1
    streamer.reset(streams=[0])


def test_what_is_not_a_number_is_seen() -> None:
    module = nprnn.NPRNN(1, 20)
    with torch.no_grad():
        module.weight_hh_l0[:, 7] = float("nan")
    streamer = nprnn.Streamer(module)
    assert streamer.step(torch.zeros(1)).isnan().all()


def test_the_weights_are_those_of_the_start() -> None:
    module = nprnn.NPRNN(I, 16)
    streamer = nprnn.Streamer(module)
    x = sequence(torch.float32)[0]
    want = streamer.step(x).clone()
    with torch.no_grad():
        module.weight_ih_l0.mul_(3)
    streamer.reset()
    assert torch.equal(streamer.step(x), want)


def test_steps_leave_no_memory_behind() -> None:
    streamer = nprnn.Streamer(nprnn.NPRNN(I, 100), nn.Linear(100, 4))
    rows = list(sequence(torch.float32))
    output = streamer.step(rows[0])
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            for row in rows:
                assert streamer.step(row) is output
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 2000


def four() -> nprnn.Streamer:
    return nprnn.Streamer(nn.RNN(2, 3), streams=4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nprnn.Streamer(nn.LSTM(2, 3)), "runs an RNN or an RNNCell .* got LSTM"),
        (lambda: nprnn.Streamer(nn.RNN(2, 3, bidirectional=True)), "bidirectional"),
        (lambda: nprnn.Streamer(nn.RNN(2, 3).half()), "float32 or float64 weights on the CPU, got torch.float16"),
        (lambda: nprnn.Streamer(nn.RNN(2, 3), nn.Linear(4, 1)), "the head takes 4 numbers, but the state has 3"),
        (lambda: build_model("LSTM", 2, 1).streamer(), "got LSTM"),
        (lambda: nprnn.Streamer(nn.RNN(2, 3)).step(torch.zeros(3)), r"x must be \[I\] = \[2\], got shape \(3,\)"),
        (lambda: nprnn.Streamer(nn.RNN(2, 3)).step([[1.0, 2.0]]), r"x must be \[I\] = \[2\], got shape \(1, 2\)"),
        (lambda: nprnn.Streamer(nn.RNN(2, 3)).run([1.0, 2.0]), r"x must be \[T, I\] = \[T, 2\], got shape \(2,\)"),
        (lambda: four().step(torch.zeros(2)), r"x must be \[N, I\] = \[4, 2\], got shape \(2,\)"),
        (lambda: four().step(torch.zeros(3, 2)), r"x must be \[N, I\] = \[4, 2\], got shape \(3, 2\)"),
        (lambda: four().run(torch.zeros(9, 3, 2)), r"x must be \[T, N, I\] = \[T, 4, 2\], got shape \(9, 3, 2\)"),
        (lambda: four().run(torch.zeros(9, 4, 3)), r"x must be \[T, N, I\] = \[T, 4, 2\], got shape \(9, 4, 3\)"),
        (lambda: four().step(torch.zeros(4, 2, dtype=torch.complex64)), "x must be real numbers, got torch.complex64"),
        (lambda: four().run("abc"), r"x must be numbers, as torch\.as_tensor takes them; got str"),
        (lambda: four().step([[1.0], [1.0, 2.0]]), "x must be numbers, .*got list"),
        (lambda: four().step(None), "x must be numbers, .*got NoneType"),
        (lambda: four().reset(torch.zeros(1, 3)), r"hx must be \[layers, N, H\] = \(1, 4, 3\), got \(1, 3\)"),
        (lambda: four().reset(torch.zeros(1, 4, 3), streams=[1]), r"hx must be .* = \(1, 1, 3\), got \(1, 4, 3\)"),
        (lambda: four().reset(streams=[0, 4]), r"streams are numbered 0\.\.3, got 4"),
        (lambda: four().reset(streams=[-1]), r"streams are numbered 0\.\.3, got -1"),
        (lambda: four().reset(streams=[1, 1]), r"every stream may be named once, got \[1, 1\]"),
        (lambda: four().reset(streams=[True, False]), r"streams must be a list of whole numbers, got \[True, False\]"),
        (lambda: four().reset(streams=2), "streams must be a list of whole numbers, got 2"),  # type: ignore[arg-type]
        (lambda: nprnn.Streamer(nn.RNN(2, 3)).reset(streams=[0]), r"one stream: reset\(\) is all of it"),
        (lambda: nprnn.Streamer(nn.RNN(2, 3), streams=0), "streams must be a whole number from 1 on, .*got 0"),
        (lambda: nprnn.Streamer(nn.RNN(2, 3), streams=2.0), "whole number from 1 on, .*got 2.0"),  # type: ignore[arg-type]
        (lambda: nprnn.Streamer(nn.RNN(2, 3), streams=True), "whole number from 1 on, .*got True"),
        (lambda: nprnn.Streamer(nn.RNN(2, 3), mean=torch.zeros(3)), r"mean must be \[I\] = \[2\], got shape \(3,\)"),
        (lambda: nprnn.Streamer(nn.RNN(2, 3), mean=torch.full((2,), NAN)), "mean must be finite"),
        (lambda: nprnn.Streamer(nn.RNN(2, 3), scale=torch.zeros(2)), r"scale must be finite and nowhere 0, got \[0"),
    ],
)
def test_errors_tell(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.parametrize("start", ["contracting", "np-RNN"])
def test_a_million_steps_neither_drift_nor_grow(start: str) -> None:
    steps, features, hidden = 10**6, 2, 20
    generator = torch.Generator().manual_seed(0)
    module = nprnn.RNN(features, hidden, nonlinearity="relu", init="np-RNN", generator=generator)
    if start == "contracting":
        with torch.no_grad():
            module.weight_hh_l0.mul_(0.9)
    x = torch.randn(steps, features, generator=generator)
    want = whole(module, x[:, None])[:, 0]
    assert want.isfinite().all()
    exactly = kernel_in_use() != "reference"
    got = torch.empty_like(want)

    def compare() -> None:
        if exactly:
            assert torch.equal(got, want)
        else:
            torch.testing.assert_close(got, want)
        got.fill_(NAN)

    streamer = nprnn.Streamer(module)
    for way in ("steps", "chunks"):
        streamer.reset()
        sizes: list[int] = []
        before = 0
        for first in range(0, steps, 1000):
            block = x[first : first + 1000]
            if way == "chunks":
                # 1000 cut unevenly, another way every time.
                cut = first // 1000 % 999 + 1
                for part in (slice(0, cut), slice(cut, 1000)):
                    got[first : first + 1000][part] = streamer.run(block[part])
            else:
                for row, to in zip(block.unbind(), got[first : first + 1000].unbind(), strict=True):
                    to.copy_(streamer.step(row))
            if first == 400_000:
                tracemalloc.start()
                before = tracemalloc.get_traced_memory()[0]
            if first == 500_000:
                assert tracemalloc.get_traced_memory()[0] - before < 20_000
                tracemalloc.stop()
            sizes.append(resident() if Path("/proc/self/statm").exists() else 0)
        assert streamer.steps == steps
        # What is written for the first time is `got` itself; the second way finds it all there.
        if way == "chunks":
            assert max(sizes) - sizes[100] < 4 << 20
        compare()
    if start == "contracting":
        # Rounding is forgotten: as far from float64 at the end as at the beginning.
        exact = whole(module.double(), x.double()[:, None])[:, 0]
        error = (want - exact).abs().amax(1)
        assert float(error[-1000:].max()) < 4 * float(error[:1000].max())
        assert float(error.max()) < 1e-5 * float(exact.abs().max())
