"""States, spectra, growth and Lyapunov exponents against closed forms, autograd and the numbers of section 5."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import nprnn
from nprnn.dynamics import (
    Curve,
    System,
    active_radii,
    departure_from_normality,
    eigenvalues,
    geometric_mean,
    gradient_curve,
    growth_table,
    input_curve,
    lyapunov_spectrum,
    numerical_radius,
    run,
    singular_values,
    spectral_radius,
    tangent_curve,
)
from nprnn.errors import ConfigError, InputError
from nprnn.init import SCHEMES
from nprnn.models import build_model, stack_models
from nprnn.tasks import Addition

F64 = torch.float64
GOLDEN = (1 + math.sqrt(5)) / 2
SEEDS = st.integers(0, 2**31)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=F64, generator=seeded(seed))


def matrix(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=F64)


def linear(weight: Tensor) -> System:
    """All units linear: the system is the matrix."""
    hidden = weight.shape[-1]
    return System(weight, None, weight.new_zeros(hidden), "relu", hidden)


def rotation(angle: float) -> Tensor:
    return matrix([math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)])


def addition(draws: int) -> Tensor:
    """[E, 150, 1, 2], each draw its own sequence of the addition problem, marks anywhere."""
    tasks = [Addition(length=150, train_size=1, valid_size=0, test_size=1).load(seed) for seed in range(draws)]
    return torch.stack([task.train.batch(torch.arange(1)).x for task in tasks])


def some_system(nonlinearity: str = "relu", linear_units: int = 0, lead: tuple[int, ...] = (), hidden: int = 6) -> Any:
    weight = randn(*lead, hidden, hidden, seed=1) / math.sqrt(hidden) * 1.2
    return System(
        weight, randn(*lead, hidden, 3, seed=2), randn(*lead, hidden, seed=3) * 0.3, nonlinearity, linear_units
    )  # type: ignore[arg-type]


KINDS = pytest.mark.parametrize(
    ("nonlinearity", "linear_units"), [("relu", 0), ("relu", 2), ("tanh", 0)], ids=["relu", "almost linear", "tanh"]
)


# Systems


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.RNN(3, 5, nonlinearity="relu"),
        lambda: nn.RNN(3, 5, bias=False),
        lambda: nn.RNNCell(3, 5),
        lambda: nprnn.NPRNN(3, 5),
        lambda: nprnn.RNN(3, 5, nonlinearity="relu", ensemble=4),
    ],
    ids=["torch relu", "torch tanh, no bias", "cell", "NPRNN", "ensemble"],
)
def test_a_system_steps_as_its_module(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    module = make().double()
    system = System.of(module)
    assert system.ensemble == getattr(module, "ensemble", None)
    h, x = randn(2, 5).abs(), randn(2, 3, seed=1)
    if isinstance(module, nn.RNNCell):
        want = module(x, h)
    else:
        assert isinstance(module, nn.RNNBase)
        want = nn.RNNBase.__call__(module, x[None], h[None])[0].squeeze(-3)
    torch.testing.assert_close(system.step(h, x), want.detach(), rtol=0, atol=1e-14)
    first = next(module.parameters())
    with torch.no_grad():
        first.fill_(7)
    assert not (system.weight_ih == 7).any(), "not a copy"  # type: ignore[union-attr]


@pytest.mark.parametrize("members", [1, 3])
def test_a_models_scaling_of_its_inputs_is_part_of_its_system(members: int) -> None:
    models = [
        build_model("nRNN", 3, 1, hidden_size=4, mean=randn(3, seed=k), scale=randn(3, seed=k + 9).abs() + 0.5).double()
        for k in range(members)
    ]
    model = models[0] if members == 1 else stack_models(models)
    x = randn(7, 2, 3)
    fed = (x - model.input_mean) / model.input_scale  # type: ignore[operator]
    want = model.rnn(fed)[0].detach()
    torch.testing.assert_close(run(System.of(model), x).states, want, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", SCHEMES)
def test_a_start_is_that_of_the_module(name: str) -> None:
    module = nprnn.RNN(2, 8, init=name, generator=seeded(), dtype=F64)
    system = System.start(name, 8, 2, generator=seeded())
    assert torch.equal(system.weight_hh, module.weight_hh_l0)
    assert torch.equal(system.weight_ih, module.weight_ih_l0)  # type: ignore[arg-type]
    assert torch.equal(system.bias, (module.bias_ih_l0 + module.bias_hh_l0).detach())
    assert bool(system.bias.any()) == name.endswith("-mirror")
    assert system.nonlinearity == module.nonlinearity
    many = System.start(name, 8, 2, generator=seeded(), ensemble=3)
    assert torch.equal(many.member(0).weight_hh, system.weight_hh)
    assert many.ensemble == 3
    assert many.member(0).ensemble is None


@KINDS
def test_the_jacobian_is_autograds(nonlinearity: str, linear_units: int) -> None:
    system = some_system(nonlinearity, linear_units)
    h, x = randn(4, 6), randn(4, 3, seed=5)
    for k, j in enumerate(system.jacobian(h, x)):
        want = torch.autograd.functional.jacobian(
            lambda v, k=k: system.activation(system.weight_hh @ v + system.drive(x[None, [k]]).flatten()), h[k]
        )
        torch.testing.assert_close(j, want, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: System.of(nn.LSTM(2, 3)), "got LSTM"),
        (lambda: System.of(nn.RNN(2, 3, num_layers=2)), "this module has 2 layers: build"),
        (lambda: System.of(nn.RNN(2, 3, bidirectional=True)), "and two directions"),
        (lambda: System(randn(3, 2), None, randn(3)), r"weight_hh must be \[H, H\] with H=2 .* got \(3, 2\)"),
        (lambda: System(randn(3, 3), randn(2, 1), randn(3)), r"weight_ih must be \[H, I\]"),
        (lambda: System(randn(3, 3), None, randn(2)), r"bias must be \[H\]"),
        (lambda: System(randn(2, 3, 3), None, randn(4, 3)), "disagree on the number of ensemble members"),
        (lambda: System(randn(3, 3) * math.inf, None, randn(3)), "weight_hh holds NaN or infinite values"),
        (lambda: System(randn(3, 3), None, randn(3), "elu"), "must be 'relu' or 'tanh', got 'elu'"),  # type: ignore[arg-type]
        (lambda: System(randn(3, 3), None, randn(3), "relu", 4), "linear_units must be between 0 and H=3, got 4"),
        (lambda: System.start("IRNN", 0, 2), "hidden >= 1"),
        (lambda: System.start("np", 3, 2), "unknown scheme"),
        (lambda: some_system().member(0), "no members"),
        (lambda: some_system().step(randn(2, 5)), r"states must be \[B, H\] with H=6"),
        (lambda: some_system().step(randn(2, 6) / 0), "the states hold NaN"),
        (lambda: some_system(lead=(2,)).step(randn(3, 2, 6)), "have E=3, but the system is an ensemble of 2"),
        (lambda: run(some_system()), "either inputs x or"),
        (lambda: run(some_system(), randn(2, 1, 3), steps=2), "either inputs x or"),
        (lambda: run(some_system(), steps=0), "steps must be at least 1, got 0"),
        (lambda: run(some_system(), randn(2, 1, 4)), r"x must be \[T, B, I\] with I=3"),
        (lambda: run(some_system(), randn(2, 1, 3) / 0), "x holds NaN"),
        (lambda: run(linear(rotation(1)), randn(2, 1, 1)), "no inputs .* x must be None"),
        (lambda: run(some_system(), randn(2, 4, 3), randn(3, 6)), "B=4 sequences, but there are B=3 states"),
        (lambda: run(some_system(lead=(2,)), randn(3, 2, 4, 3)), "x has E=3, but the system is an ensemble of 2"),
        (lambda: run(some_system(), randn(3, 2, 4, 3), randn(2, 4, 6)), r"members E: \[2, 3\]"),
        (lambda: run(System(matrix([9.0]), None, randn(1), "tanh", 1), steps=999), "the states overflow"),
        (lambda: run(some_system("tanh"), steps=3).active_share(), "a tanh unit is never off"),
        (lambda: run(some_system("tanh"), steps=3).dead_units(), "a tanh unit is never off"),
    ],
)
def test_what_is_no_system_or_run_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises((InputError, ConfigError), match=words):
        make()


# States


@KINDS
@pytest.mark.parametrize("lead", [(), (3,)], ids=["single", "ensemble"])
def test_the_states_are_the_operators(nonlinearity: str, linear_units: int, lead: tuple[int, ...]) -> None:
    system = some_system(nonlinearity, linear_units, lead)
    x, h0 = randn(30, 4, 3, seed=7), randn(4, 6, seed=8)
    want, _ = nprnn.ops.rnn(
        x, h0, system.weight_ih, system.weight_hh, system.bias, nonlinearity=nonlinearity, linear_units=linear_units
    )  # type: ignore[arg-type]
    path = run(system, x, h0)
    torch.testing.assert_close(path.states, want, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(path.log_norms, want.norm(dim=-1).log(), rtol=0, atol=1e-12)
    each = torch.stack([run(system, x[:, [b]], h0[[b]]).states.squeeze(-2) for b in range(4)], -2)
    torch.testing.assert_close(path.states, each, rtol=0, atol=1e-13)


def test_no_length_over_or_underflows() -> None:
    for factor in (1e-3, 1e3):
        path = run(System(matrix([factor]), None, randn(1) * 0), None, matrix([2.0]), steps=784)
        want = math.log(2) + math.log(factor) * torch.arange(1, 785, dtype=F64)
        torch.testing.assert_close(path.log_norms[:, 0], want, rtol=1e-12, atol=0)
        assert path.active.all()
    # An input that comes after the state has faded below anything that float64 holds.
    x = torch.zeros(300, 1, 1, dtype=F64)
    x[0], x[-1] = 1, 3
    path = run(System(matrix([1e-3]), matrix([1.0]), randn(1) * 0), x)
    assert path.log_norms[-2, 0] == pytest.approx(-298 * math.log(1e3))
    assert path.states[-1] == 3


def test_a_state_of_nothing_but_zeros_stays_so_until_something_comes() -> None:
    x = matrix([-1.0], [0.0], [1.0])[:, None]
    path = run(System(matrix([0.5]), matrix([1.0]), randn(1) * 0), x)
    assert path.states.flatten().tolist() == [0, 0, 1]
    assert path.log_norms.flatten().tolist() == [-math.inf, -math.inf, 0]


def test_units_on_and_dead_ones_are_counted() -> None:
    # Unit 0 follows x, unit 1 its negative, unit 2 is linear, unit 3 has a bias that keeps it off.
    order = [2, 0, 1, 3]
    system = System(
        torch.zeros(4, 4),
        matrix([1.0], [-1.0], [1.0], [0.0])[order],
        randn(4) * 0 - matrix([0, 0, 0, 1.0])[0],
        "relu",
        1,
    )
    path = run(system, matrix([1.0], [2.0], [-1.0])[:, None])
    assert path.active_share().flatten().tolist() == [0.5, 0.5, 0.5]
    assert path.dead_units().tolist() == [False, False, False, True]
    assert run(system, matrix([1.0], [2.0])[:, None]).dead_units().tolist() == [False, False, True, True]


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_without_biases_a_factor_of_the_inputs_changes_no_mask(seed: int) -> None:
    system = System.start("nRNN", 12, 2, generator=seeded(seed))
    x = torch.rand(40, 3, 2, dtype=F64, generator=seeded(seed))
    wide = System(system.weight_hh, 8 * system.weight_ih, system.bias)  # type: ignore[operator]
    one, other = run(system, x), run(wide, x)
    assert torch.equal(one.active, other.active)
    assert torch.equal(8 * one.states, other.states)


# Spectra


def test_spectra_of_matrices_known_by_hand() -> None:
    shear, turn, diagonal = matrix([1.0, 1.0], [0.0, 1.0]), rotation(0.3), torch.diag(matrix([0.5, -2.0, 1.0])[0])
    torch.testing.assert_close(eigenvalues(diagonal).real, matrix([-2.0, 1.0, 0.5])[0])
    torch.testing.assert_close(singular_values(shear), matrix([GOLDEN, GOLDEN - 1])[0])
    assert float(spectral_radius(shear)) == pytest.approx(1)
    assert eigenvalues(turn).angle().abs().tolist() == pytest.approx([0.3, 0.3])
    assert float(departure_from_normality(shear)) == pytest.approx(1)
    assert float(departure_from_normality(shear, relative=True)) == pytest.approx(1 / math.sqrt(3))
    # The field of values of a Jordan block of size 2 is a disc of radius 1/2 around its eigenvalue.
    assert float(numerical_radius(shear)) == pytest.approx(1.5, rel=1e-12)
    assert float(numerical_radius(matrix([0.0, 3.0], [0.0, 0.0]))) == pytest.approx(1.5, rel=1e-12)
    assert float(numerical_radius(turn)) == pytest.approx(1, rel=1e-6)
    assert float(numerical_radius(diagonal)) == pytest.approx(2, rel=1e-12)
    both = torch.stack([shear, turn])
    for function in (spectral_radius, departure_from_normality, numerical_radius):
        torch.testing.assert_close(function(both), torch.stack([function(shear), function(turn)]))
    assert float(departure_from_normality(torch.zeros(2, 2), relative=True)) == 0


@given(SEEDS, st.integers(1, 12), st.floats(1e-4, 1))
@settings(max_examples=40, deadline=None)
def test_the_departure_is_0_for_normal_matrices_and_else_what_stands_above_the_diagonal(
    seed: int, hidden: int, size: float
) -> None:
    q = torch.linalg.qr(randn(hidden, hidden, seed=seed)).Q
    diagonal, above = torch.diag(randn(hidden, seed=seed + 1)), size * randn(hidden, hidden, seed=seed + 2).triu(1)
    assert float(departure_from_normality(q)) == 0
    assert float(departure_from_normality(q @ diagonal @ q.T)) == 0
    assert float(departure_from_normality(q @ (diagonal + above) @ q.T)) == pytest.approx(float(above.norm()), rel=1e-5)


@given(SEEDS, st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_the_radii_stand_in_their_order(seed: int, hidden: int) -> None:
    w = randn(hidden, hidden, seed=seed)
    spectral, numerical, norm = float(spectral_radius(w)), float(numerical_radius(w)), float(singular_values(w)[0])
    assert spectral <= numerical * (1 + 1e-3)
    assert norm / 2 <= numerical * (1 + 1e-3)
    assert numerical <= norm * (1 + 1e-12)


@KINDS
def test_active_radii_are_those_of_the_jacobians(nonlinearity: str, linear_units: int) -> None:
    system = some_system(nonlinearity, linear_units, (2,))
    path = run(system, randn(9, 4, 3))
    want = spectral_radius(path.slopes[..., None] * system.weight_hh[:, None, None])
    torch.testing.assert_close(active_radii(path), want, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(active_radii(path, every=4), want[:, [0, 4, 8]], rtol=1e-10, atol=1e-10)


def test_an_active_part_is_the_diagonal_that_is_left() -> None:
    system = System(torch.diag(matrix([0.9, 0.2])[0]), matrix([-1.0], [1.0]), torch.zeros(2))
    assert active_radii(run(system, matrix([1.0], [-9.0], [-9.0])[:, None])).flatten().tolist() == pytest.approx(
        [0.2, 0.9, 0.9]
    )
    assert active_radii(run(System(matrix([2.0]), None, matrix([-1.0])[0]), steps=2)).tolist() == [[0], [0]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: eigenvalues(randn(2, 3)), "square"),
        (lambda: spectral_radius(randn(2, 2) / 0), "no spectrum"),
        (lambda: numerical_radius(randn(2, 2), angles=1), "at least 2 angles, got 1"),
        (lambda: active_radii(run(some_system(), steps=2), every=0), "every must be at least 1, got 0"),
    ],
)
def test_what_has_no_spectrum_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


# Growth


def test_growth_of_linear_systems_known_by_hand() -> None:
    steps = torch.arange(51, dtype=F64)
    path = run(linear(torch.diag(matrix([0.9, 0.2, 1.5])[0])), None, randn(1, 3), steps=50)
    basis = torch.eye(3, dtype=F64)[None]
    for curve in (gradient_curve(path, basis), tangent_curve(path, basis)):
        torch.testing.assert_close(curve.per_step(), matrix([0.9, 0.2, 1.5]), rtol=1e-12, atol=0)
        torch.testing.assert_close(curve.far_per_step(10), matrix([0.9, 0.2, 1.5]), rtol=1e-12, atol=0)
    path = run(linear(rotation(0.7)), None, randn(1, 2), steps=50)
    assert gradient_curve(path, randn(1, 5, 2), generator=None).per_step().flatten().tolist() == pytest.approx([1] * 5)
    # Powers of a shear grow as their number: no rate, but growth.
    path = run(linear(matrix([1.0, 1.0], [0.0, 1.0])), None, randn(1, 2), steps=50)
    grown = 0.5 * (1 + steps**2).log()
    torch.testing.assert_close(gradient_curve(path, matrix([1.0, 0.0])[None]).logs.flatten(), grown)
    torch.testing.assert_close(tangent_curve(path, matrix([0.0, 1.0])[None]).logs.flatten(), grown)
    torch.testing.assert_close(gradient_curve(path, matrix([0.0, 1.0])[None]).logs.flatten(), 0 * steps)


def test_under_the_identity_the_gradient_keeps_the_units_that_were_always_on() -> None:
    system = System.start("IRNN", 100, 2, generator=seeded())
    path = run(system, addition(1)[0])
    g = randn(1, 4, 100)
    always = path.active.all(0)
    assert 0.2 < float(always.double().mean()) < 0.8
    kept = (g * always).norm(dim=-1) / g.norm(dim=-1)
    torch.testing.assert_close(gradient_curve(path, g).per_step(), kept ** (1 / 150), rtol=1e-13, atol=0)


@KINDS
@pytest.mark.parametrize("lead", [(), (2,)], ids=["single", "ensemble"])
def test_gradients_are_autograds(nonlinearity: str, linear_units: int, lead: tuple[int, ...]) -> None:
    system = some_system(nonlinearity, linear_units, lead)
    x, g = randn(12, 3, 3, seed=4), randn(3, 2, 6, seed=5)
    path = run(system, x)
    logs = gradient_curve(path, g).logs
    weights = (system.weight_ih, system.weight_hh, system.bias)
    states = torch.cat([torch.zeros(*lead, 1, 3, 6, dtype=F64), path.states], -3)
    for t in range(12):
        for k in range(2):
            h = states.select(-3, t).clone().requires_grad_()
            last = nprnn.ops.rnn(x[t:], h, *weights, nonlinearity=nonlinearity, linear_units=linear_units)[1]  # type: ignore[arg-type]
            (want,) = torch.autograd.grad((last * g[:, k]).sum(), h)
            torch.testing.assert_close(logs[..., 12 - t, :, k].exp(), want.norm(dim=-1), rtol=1e-12, atol=0)


@KINDS
def test_perturbations_are_forward_derivatives(nonlinearity: str, linear_units: int) -> None:
    system = some_system(nonlinearity, linear_units)
    x, dh, dx = randn(12, 3, 3, seed=4), randn(3, 1, 6, seed=5), randn(3, 1, 3, seed=6)
    path = run(system, x)

    def last(h: Tensor, x: Tensor) -> Tensor:
        for x_t in x:
            h = system.activation(h @ system.weight_hh.T + x_t @ system.weight_ih.T + system.bias)
        return h

    for first in (0, 5, 12):
        h = torch.zeros(3, 6, dtype=F64) if first == 0 else path.states[first - 1]
        _, want = torch.func.jvp(lambda v, first=first: last(v, x[first:]), (h,), (dh[:, 0],))
        curve = tangent_curve(path, dh, first=first)
        assert curve.steps == 12 - first
        torch.testing.assert_close(curve.logs[-1, :, 0].exp(), want.norm(dim=-1), rtol=1e-12, atol=0)
    for step in (0, 7, 11):
        change = torch.zeros_like(x)
        change[step] = dx[:, 0]
        _, want = torch.func.jvp(lambda v: last(torch.zeros(3, 6, dtype=F64), v), (x,), (change,))
        curve = input_curve(path, dx, step=step)
        assert curve.steps == 11 - step
        sizes = want.norm(dim=-1) / dx[:, 0].norm(dim=-1)
        torch.testing.assert_close(curve.logs[-1, :, 0].exp(), sizes, rtol=1e-12, atol=0)


def test_gradients_survive_784_steps() -> None:
    assert 0.01**784 == 0
    system = System(0.01 * torch.eye(3, dtype=F64), None, torch.ones(3))
    curve = gradient_curve(run(system, steps=784), randn(1, 2, 3))
    torch.testing.assert_close(curve.per_step(), torch.full((1, 2), 0.01, dtype=F64), rtol=1e-12, atol=0)
    assert not curve.vanished().any()


def test_where_all_units_are_off_the_gradient_is_exactly_zero() -> None:
    system = System(matrix([1.0]), matrix([1.0]), torch.zeros(1))
    x = matrix([1.0, 1.0], [1.0, -9.0], [1.0, 1.0])[..., None]
    curve = gradient_curve(run(system, x), torch.ones(2, 1, 1))
    assert curve.logs[:, 0, 0].tolist() == [0, 0, 0, 0]
    assert curve.logs[:, 1, 0].tolist() == [0, 0, -math.inf, -math.inf]
    assert curve.vanished().flatten().tolist() == [False, True]
    assert curve.per_step().flatten().tolist() == curve.far_per_step().flatten().tolist() == [1, 0]
    assert gradient_curve(run(system, x), torch.zeros(2, 1, 1)).per_step().flatten().tolist() == [0, 0]
    assert input_curve(run(system, x), torch.ones(2, 1, 1), step=1).vanished().flatten().tolist() == [False, True]


def test_the_far_slope_leaves_out_what_is_near() -> None:
    logs = torch.cat([torch.zeros(50), -0.25 * torch.arange(1, 101)]).double()
    curve = Curve(logs[:, None, None])
    assert float(curve.far_per_step()) == pytest.approx(math.exp(-0.25))
    assert float(curve.per_step()) == pytest.approx(math.exp(-25 / 149))
    # The slope is that of least squares: a line with a bump that is even about its middle.
    s = torch.arange(11, dtype=F64)
    assert float(Curve((0.1 * s + (s - 5).square())[:, None, None]).far_per_step()) == pytest.approx(math.exp(0.1))


def test_geometric_means() -> None:
    factors = matrix([1.0, 4.0], [2.0, 0.0])
    assert geometric_mean(factors, 1).tolist() == [2, 0]
    assert float(geometric_mean(factors[:, 0])) == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: gradient_curve(p, randn(3, 6)), r"cotangents must be \[B, K, 6\] with B=3; got \(3, 6\)"),
        (lambda p: gradient_curve(p, count=0), "count must be at least 1, got 0"),
        (lambda p: tangent_curve(p, randn(3, 1, 5)), r"tangents must be \[B, K, 6\]"),
        (lambda p: tangent_curve(p, first=5), "first must be between 0 and 4, got 5"),
        (lambda p: tangent_curve(p, first=4).per_step(), "at least one step"),
        (lambda p: gradient_curve(p).far_per_step(0), "at least one step"),
        (lambda p: input_curve(p, step=4), "step must be between 0 and 3, got 4"),
        (lambda p: input_curve(p, randn(3, 1, 6)), r"directions must be \[B, K, 3\]"),
        (lambda p: input_curve(run(linear(rotation(1)), steps=2)), "no inputs"),
    ],
)
def test_directions_that_do_not_fit_are_refused(make: Callable[[Any], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make(run(some_system(), randn(4, 3, 3)))


# Lyapunov exponents


def test_exponents_of_linear_maps_are_the_logarithms_of_their_eigenvalues() -> None:
    triangular = matrix([0.9, 3.0, -1.0], [0.0, -0.5, 2.0], [0.0, 0.0, 0.1])
    found = lyapunov_spectrum(linear(triangular), steps=50, warmup=80, generator=seeded())
    assert found.exponents.tolist() == pytest.approx([math.log(v) for v in (0.9, 0.5, 0.1)], abs=1e-9)
    assert found.standard_error.isnan().all()
    assert found.steps == 50
    turned = lyapunov_spectrum(linear(rotation(0.4)), steps=50, generator=seeded())
    assert turned.exponents.tolist() == pytest.approx([0, 0], abs=1e-13)
    first = lyapunov_spectrum(linear(triangular), steps=50, warmup=80, exponents=1, generator=seeded())
    assert first.exponents.tolist() == pytest.approx([math.log(0.9)], abs=1e-9)


def tent(slope: float, middle: float) -> System:
    """Unit 0 is x, unit 1 what x has above the middle: x to slope x below it, and down to 0 at x = 1 above."""
    down = slope * middle / (1 - middle)
    row = [slope, -slope - down]
    return System(matrix(row, row), None, matrix([0.0, -middle])[0])


def on_tent(x: Tensor, middle: float) -> Tensor:
    return torch.stack([x, (x - middle).relu()], 1)


def test_the_exponent_of_a_tent_map_made_of_two_units() -> None:
    system = tent(1.9, 0.5)
    h = on_tent(torch.rand(8, dtype=F64, generator=seeded()), 0.5)
    x = h[:, 0].clone()
    for state in run(system, None, h, steps=20).states:
        x = 1.9 * torch.minimum(x, 1 - x)
        torch.testing.assert_close(state, on_tent(x, 0.5), rtol=0, atol=1e-9)
    found = lyapunov_spectrum(system, None, h, steps=2000, warmup=50, generator=seeded())
    # Both slopes are 1.9, and a tangent's second entry is at most as long as its first.
    assert float(found.exponents[0]) == pytest.approx(math.log(1.9), abs=math.log(2) / 2000)
    # Both units see the same sum: the Jacobian has rank 1.
    assert float(found.exponents[1]) == -math.inf
    assert math.isnan(float(found.standard_error[1]))


def test_the_exponent_of_a_skew_tent_map_is_its_entropy() -> None:
    # It leaves the uniform density as it is: log(1/p) is met with probability p, log(1/q) with q.
    p = 0.3
    want = -p * math.log(p) - (1 - p) * math.log(1 - p)
    h = on_tent(torch.rand(200, dtype=F64, generator=seeded()), p)
    found = lyapunov_spectrum(tent(1 / p, p), None, h, steps=500, warmup=20, exponents=1, generator=seeded())
    error = float(found.standard_error)
    assert 0 < error < 0.01
    assert abs(float(found.exponents) - want) < 5 * error
    torch.testing.assert_close(found.each.std(0) / math.sqrt(200), found.standard_error)


@pytest.mark.parametrize("lead", [(), (2,)], ids=["single", "ensemble"])
def test_the_exponents_add_up_to_the_mean_logarithm_of_the_determinant(lead: tuple[int, ...]) -> None:
    system = some_system("tanh", 0, lead)
    x = randn(60, 3, 3)
    found = lyapunov_spectrum(system, x, warmup=20, generator=seeded())
    assert found.steps == 40
    assert found.each.shape == (*lead, 3, 6)
    slopes = run(system, x).slopes[..., 20:, :, :]
    want = slopes.log().sum(-1).mean(-2) + torch.linalg.slogdet(system.weight_hh).logabsdet[..., None]
    torch.testing.assert_close(found.each.sum(-1), want, rtol=0, atol=1e-10)


def test_batched_exponents_are_those_of_each_network_and_start_alone() -> None:
    system = some_system("tanh", 0, (2,))
    x, h0 = randn(400, 3, 3), randn(3, 6)
    together = lyapunov_spectrum(system, x, h0, warmup=200, exponents=2, generator=seeded())
    for e in range(2):
        for b in range(3):
            alone = lyapunov_spectrum(
                system.member(e), x[:, [b]], h0[[b]], warmup=200, exponents=2, generator=seeded(9)
            )
            torch.testing.assert_close(together.each[e, b], alone.each[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(together.exponents, together.each.mean(1))


def test_directions_that_units_lose_have_the_exponent_minus_infinity() -> None:
    system = System(0.5 * torch.eye(4), None, matrix([1.0, -1.0, 1.0, -1.0])[0])
    found = lyapunov_spectrum(system, steps=30, warmup=1, generator=seeded()).exponents
    assert found.tolist() == pytest.approx([math.log(0.5)] * 2 + [-math.inf] * 2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 3, "exponents": 7}, "exponents must be between 1 and H=6, got 7"),
        ({"steps": 0}, "at least one must be left; warmup=0, steps=0"),
        ({"steps": 3, "warmup": -1}, "warmup=-1"),
        ({"x": randn(5, 1, 3), "warmup": 5}, "x has 5 steps"),
        ({}, "either inputs x or"),
    ],
)
def test_settings_without_exponents_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        lyapunov_spectrum(some_system(), **options)


# The table


def test_the_growth_at_the_start_is_that_of_section_5() -> None:
    # N = 100, T = 150, marks anywhere, fan "hidden"; neither marks nor fan matter to more than the last digit. Each
    # draw is a start, a sequence and a cotangent of its own; the mean over 30 of them has a standard error near 0.008.
    rows = growth_table(addition(30), schemes=["np-RNN", "nRNN", "IRNN", "np-RNN-N2"], sizes=[100], radius_steps=0)
    growth = {row.scheme: row.growth for row in rows}
    assert growth["np-RNN"] == pytest.approx(0.75, abs=0.02)
    assert growth["nRNN"] == pytest.approx(0.67, abs=0.02)
    assert growth["IRNN"] == pytest.approx(0.998, abs=0.001)
    assert growth["np-RNN-N2"] == pytest.approx(0.977, abs=0.001)
    assert rows[0].lowest == pytest.approx(0.67, abs=0.04)
    assert rows[0].highest == pytest.approx(0.85, abs=0.04)
    assert all(row.vanished == 0 and row.steps == 150 and row.draws == 30 for row in rows)


def test_the_table_has_every_start_at_every_size() -> None:
    x = addition(4)
    rows = growth_table(x, sizes=[2, 10], draws=4)
    assert [(row.scheme, row.hidden) for row in rows] == [(name, n) for name in SCHEMES for n in (2, 10)]
    for row in rows:
        assert row.lowest <= row.growth <= row.highest
        assert (row.active is None) == (row.dead is None) == (SCHEMES[row.scheme].nonlinearity == "tanh")
        assert row.active_radius is not None
    assert rows == growth_table(x, sizes=[2, 10], draws=4)
    small = next(row for row in rows if row.scheme == "iRNN" and row.hidden == 10)
    assert small.far_growth == pytest.approx(0.01, rel=1e-9)
    assert small.radius == small.norm == pytest.approx(0.01)
    assert growth_table(x[0], sizes=[2], draws=3, schemes=["IRNN"])[0].active_radius is not None
    wide = growth_table(x, sizes=[10], draws=4, schemes=["np-RNN"], fan="in")[0]
    assert wide.growth == pytest.approx(rows[1].growth, rel=1e-9)


def test_a_start_that_lets_nothing_through_is_told_of() -> None:
    # Inputs of 0: no unit is ever on.
    row = growth_table(torch.zeros(5, 1, 2), sizes=[3], draws=2, schemes=["IRNN"])[0]
    assert (row.growth, row.far_growth, row.vanished, row.active, row.dead) == (0, 0, 1, 0, 1)
    assert math.isnan(row.state_ratio)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"draws": 0}, "draws must be at least 1"),
        ({"draws": 3, "x": torch.zeros(2, 5, 1, 2)}, "E=2, but there are 3 draws"),
        ({"schemes": ["irnn"]}, "unknown scheme"),
        ({"x": torch.zeros(5, 2)}, r"x must be \[T, B, I\]"),
    ],
)
def test_tables_that_cannot_be_made_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises((InputError, ConfigError), match=words):
        growth_table(**{"x": torch.zeros(5, 1, 2), "sizes": [2], **options})


def test_importing_the_package_does_not_load_its_dynamics() -> None:
    code = "import sys, nprnn; print('nprnn.dynamics' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
