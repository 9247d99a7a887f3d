"""The mirrored start: linear whatever comes in, gradients that meet no mask, growth 1 a step far from the loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import nprnn
from conftest import real_data
from nprnn.dynamics import System, gradient_curve
from nprnn.dynamics.trajectory import run
from nprnn.errors import InputError
from nprnn.init import init_rnn_, mirror_, mirrored_positive_definite_
from nprnn.init.mirrored import BIAS
from nprnn.tasks import find_task

F64 = torch.float64
DRAWS = 30


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(n: int, seed: int = 0, **more: Any) -> Tensor:
    return mirrored_positive_definite_(torch.empty(n, n, dtype=F64), generator=seeded(seed), **more)


@pytest.mark.parametrize("n", [2, 3, 4, 10, 41, 100])
def test_the_half_is_positive_definite_with_one_eigenvalue_1_and_the_rest_at_most_0_9(n: int) -> None:
    w, pairs = drawn(n), n // 2
    a = w[:pairs, :pairs]
    assert torch.equal(w[: 2 * pairs, : 2 * pairs], torch.cat([torch.cat([a, -a], 1), torch.cat([-a, a], 1)]))
    assert (w[2 * pairs :] == 0).all()
    assert (w[:, 2 * pairs :] == 0).all()
    assert torch.equal(a, a.T)
    values, vectors = torch.linalg.eigh(a)
    assert values[-1] == pytest.approx(1)
    assert (values > 0).all()
    assert (values[:-1] <= 0.9 + 1e-12).all()
    leading = vectors[:, -1] * vectors[:, -1].sum().sign()
    assert (leading >= -1e-12).all()
    # The ReLU takes half of this.
    assert torch.linalg.eigvalsh(w)[-1] == pytest.approx(2)


def test_leading_dimensions_are_draws_and_the_second_eigenvalue_can_be_chosen() -> None:
    batch = mirrored_positive_definite_(torch.empty(3, 8, 8, dtype=F64), second=0.5, generator=seeded(1))
    for w in batch:
        values = torch.linalg.eigvalsh(w[:4, :4])
        assert values[-1] == pytest.approx(1)
        assert values[-2] <= 0.5 + 1e-12
    assert not torch.equal(batch[0], batch[1])
    assert drawn(1).item() == 0
    for wrong in (0.0, 1.0, -1.0):
        with pytest.raises(InputError, match="second"):
            drawn(4, second=wrong)
    with pytest.raises(InputError, match="square"):
        mirrored_positive_definite_(torch.empty(2, 3))


@pytest.mark.parametrize("hidden", [2, 7, 20])
def test_the_network_is_linear_at_the_start(hidden: int) -> None:
    rnn = nprnn.NPRNN(3, hidden, dtype=F64)
    init_rnn_(rnn, "np-RNN-mirror", generator=seeded(2)).requires_grad_(False)
    pairs, x = hidden // 2, torch.randn(50, 4, 3, dtype=F64, generator=seeded(3))
    y, _ = rnn(x)
    a, u = rnn.weight_hh_l0[:pairs, :pairs], rnn.weight_ih_l0[:pairs]
    beta = rnn.bias_ih_l0[:pairs]
    s = torch.zeros(4, pairs, dtype=F64)
    for t in range(50):
        s = s @ a.T + x[t] @ u.T + beta
        torch.testing.assert_close(y[t, :, :pairs] - y[t, :, pairs : 2 * pairs], s)
        # Of each pair one unit is on.
        assert ((y[t, :, :pairs] > 0) ^ (y[t, :, pairs : 2 * pairs] > 0)).all()
    assert rnn.bias_ih_l0.norm() == pytest.approx(BIAS * 2**0.5)
    assert (rnn.bias_hh_l0 == 0).all()


def test_gradients_meet_no_mask() -> None:
    rnn = nprnn.RNN(3, 20, init="np-RNN-mirror", generator=seeded(4), dtype=F64)
    x, h0 = torch.randn(30, 2, 3, dtype=F64), torch.zeros(1, 2, 20, dtype=F64, requires_grad=True)
    y, _ = rnn(x, h0)
    cotangent = torch.randn(2, 20, dtype=F64)
    (got,) = torch.autograd.grad((y[-1] * cotangent).sum(), h0)
    a = rnn.weight_hh_l0.detach()[:10, :10]
    on = (y[-1] > 0).to(F64) * cotangent
    g = (on[:, :10] - on[:, 10:]) @ torch.linalg.matrix_power(a, 30)
    torch.testing.assert_close(got[0], torch.cat([g, -g], 1))


def far_growth(task: Any, index: int) -> tuple[float, float]:
    """Slope over the 100 steps furthest from the loss, and the norm of the last state."""
    generator = seeded(index)
    system = System.start("np-RNN-mirror", 100, task.input_size, generator=generator)
    path = run(system, task.train.batch(torch.tensor([index])).x)
    return gradient_curve(path, generator=generator).far_per_step().item(), path.log_norms[-1].exp().item()


@pytest.mark.parametrize("name", ["addition", "multiplication"])
def test_growth_is_1_a_step_on_marked_sequences(name: str) -> None:
    task = find_task(name)(length=150, train_size=DRAWS).load(0)  # type: ignore[call-arg]
    for k in range(DRAWS):
        growth, norm = far_growth(task, k)
        assert growth == pytest.approx(1, abs=0.01)
        assert 0.1 < norm < 100


@pytest.mark.real_data
def test_growth_is_1_a_step_on_pixels() -> None:
    folder = real_data("mnist/train-images-idx3-ubyte.gz").parent
    task = find_task("mnist")(data_dir=folder).load(0)  # type: ignore[call-arg]
    for k in range(DRAWS):
        growth, norm = far_growth(task, k)
        assert growth == pytest.approx(1, abs=0.01)
        assert 0.1 < norm < 100


def test_a_black_rim_lets_gradients_through_here_and_nowhere_else() -> None:
    x = torch.cat([torch.zeros(40, 1, 1, dtype=F64), torch.rand(60, 1, 1, dtype=F64, generator=seeded(0))])
    for name, gone in (("np-RNN-mirror", False), ("np-RNN", True), ("IRNN", True)):
        path = run(System.start(name, 20, 1, generator=seeded(1)), x)
        assert bool(gradient_curve(path, generator=seeded(2)).vanished()) is gone


def test_a_module_without_biases_has_its_weights_mirrored_all_the_same() -> None:
    rnn = init_rnn_(nn.RNN(2, 6, nonlinearity="relu", bias=False), "np-RNN-mirror", generator=seeded(0))
    assert torch.equal(rnn.weight_ih_l0[:3], -rnn.weight_ih_l0[3:])
    mirror_(None, rnn.weight_hh_l0, [])
