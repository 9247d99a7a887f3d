"""``Streamer``: the same states as the whole sequence, at every step, from the same memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import nprnn
from nprnn.errors import InputError
from nprnn.models import build_model
from nprnn.ops import use_kernel
from nprnn.ops.cpu import instruction_sets

KERNELS = ["reference", *instruction_sets()]
STEPS, I = 40, 3  # noqa: E741


def sequence(dtype: torch.dtype, features: int = I) -> Tensor:
    return torch.randn(STEPS, features, generator=torch.Generator().manual_seed(1), dtype=dtype)


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
    ],
)
def test_errors_tell(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()
