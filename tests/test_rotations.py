"""The mirrored start with rotations: orthogonal whatever is masked, and its planes are Fourier coefficients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import nprnn
from nprnn.errors import InputError
from nprnn.init import init_rnn_, low_frequencies, mirrored_rotations_

F64 = torch.float64


@settings(deadline=None, max_examples=61)
@given(st.integers(1, 61))
def test_the_half_is_orthogonal_and_what_is_over_stays(n: int) -> None:
    w, pairs = mirrored_rotations_(torch.empty(n, n, dtype=F64)), n // 2
    a = w[:pairs, :pairs]
    assert torch.equal(w[: 2 * pairs, : 2 * pairs], torch.cat([torch.cat([a, -a], 1), torch.cat([-a, a], 1)]))
    assert (w[2 * pairs :] == 0).all()
    assert (w[:, 2 * pairs :] == 0).all()
    torch.testing.assert_close(a @ a.T, torch.eye(pairs, dtype=F64), rtol=0, atol=1e-14)
    if pairs % 2:
        assert a[-1, -1] == 1
    angles = low_frequencies(n // 4)
    found = torch.linalg.eigvals(a).angle().abs().sort().values
    want = torch.cat([angles, angles, torch.zeros(pairs % 2, dtype=F64)]).sort().values
    torch.testing.assert_close(found, want, rtol=0, atol=1e-10)


def test_frequencies_rise_and_are_those_of_an_image() -> None:
    step, row = 2 * math.pi / 12, 2 * math.pi / 4
    found = low_frequencies(7, period=4, span=12)
    want = [0, step, row, row - step, row + step, 2 * step, 2 * row]
    torch.testing.assert_close(found, torch.tensor(want, dtype=F64))
    # As planes turn: the same up to sign and whole turns.
    planes = torch.polar(torch.ones(400, dtype=F64), low_frequencies(400)).real.mul(1e9).round().tolist()
    assert len(set(planes[:307])) == 307
    assert len(set(planes[:308])) == 307
    assert low_frequencies(0).shape == (0,)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"count": -1}, "count must be 0 or more"),
        ({"count": 1, "period": 0.0}, "period is a number of steps"),
        ({"count": 1, "span": math.nan}, "span is a number of steps"),
    ],
)
def test_impossible_frequencies_are_refused(options: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        low_frequencies(**options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="square"):
        mirrored_rotations_(torch.empty(2, 3))


def test_a_plane_holds_a_fourier_coefficient_of_all_it_has_read() -> None:
    steps, n = 112, 20
    rnn = nprnn.RNN(1, n, init="oRNN-mirror", generator=torch.Generator().manual_seed(0), dtype=F64)
    x = torch.rand(steps, 1, 1, dtype=F64)
    _, h = rnn(x)
    state = (h[0, 0, : n // 2] - h[0, 0, n // 2 :]).detach()
    u = rnn.weight_ih_l0.detach()[: n // 2, 0]
    for j, angle in enumerate(low_frequencies(n // 4).tolist()):
        turns = torch.arange(steps - 1, -1, -1, dtype=F64) * angle
        read = torch.polar(torch.ones_like(turns), turns)
        drive = x[:, 0, 0] * torch.complex(u[2 * j], u[2 * j + 1]) + 1e-3 * (1 + 1j)
        want = (read * drive).sum()
        torch.testing.assert_close(torch.complex(state[2 * j], state[2 * j + 1]), want, rtol=0, atol=1e-9)


def test_every_gradient_keeps_its_length_whatever_came_in() -> None:
    rnn = init_rnn_(nn.RNN(3, 40, nonlinearity="relu", dtype=F64), "oRNN-mirror").requires_grad_(False)
    h = torch.zeros(40, dtype=F64)
    masks: list[Tensor] = []
    for x in torch.randn(300, 3, dtype=F64):
        z = rnn.weight_ih_l0 @ x + rnn.weight_hh_l0 @ h + rnn.bias_ih_l0
        h = z.relu()
        masks.append(z > 0)
    assert len({tuple(mask.tolist()) for mask in masks}) > 100
    y = torch.randn(20, dtype=F64)
    gradient = torch.cat([y, -y])
    for mask in reversed(masks):
        gradient = rnn.weight_hh_l0.T @ (mask * gradient)
        torch.testing.assert_close(gradient[:20], -gradient[20:], rtol=0, atol=1e-12)
        assert gradient[:20].norm().item() == pytest.approx(y.norm().item())
