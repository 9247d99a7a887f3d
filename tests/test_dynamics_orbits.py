"""Fixed points and cycles of ReLU networks, worked out by hand, by iteration, and by their own equations."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nprnn.dynamics import Orbit, Orbits, System, find_cycles, find_fixed_points, run
from nprnn.dynamics.cones import interior, nonnegative_least_squares
from nprnn.errors import InputError

F64 = torch.float64
SEEDS = st.integers(0, 2**31)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def relu_system(weight: list[list[float]], bias: list[float], linear_units: int = 0) -> System:
    return System(torch.tensor(weight, dtype=F64), None, torch.tensor(bias, dtype=F64), "relu", linear_units)


def some_system(seed: int, hidden: int, linear_units: int = 0, gain: float = 1.2) -> System:
    generator = seeded(seed)
    weight = torch.randn(hidden, hidden, dtype=F64, generator=generator) * gain
    return System(weight, None, torch.randn(hidden, dtype=F64, generator=generator), "relu", linear_units)


def first_points(orbits: Orbits) -> list[list[float]]:
    return [orbit.points[0].tolist() for orbit in orbits.found]


def only(orbits: Orbits) -> Orbit:
    (orbit,) = orbits.found
    return orbit


def steps_onto_itself(system: System, orbit: Orbit, rtol: float = 1e-9) -> None:
    size = 1 + float(orbit.points.abs().max()) * max(1.0, float(torch.linalg.matrix_norm(system.weight_hh, 2)))
    torch.testing.assert_close(system.step(orbit.points), orbit.points.roll(-1, 0), rtol=0, atol=rtol * size)


def gap(system: System, orbit: Orbit) -> float:
    """How far the nearest ReLU is from changing sides, anywhere on the orbit."""
    z = orbit.points @ system.weight_hh.T + system.bias
    return float(z[:, system.linear_units :].abs().amin()) if z.shape[1] > system.linear_units else 1.0


def settles(system: System, h: Tensor, period: int, turns: int) -> Tensor:
    for _ in range(period * turns):
        h = system.step(h)
    return h


# One unit: h = max(0, w h + b)


@pytest.mark.parametrize(
    ("w", "b", "points", "stabilities"),
    [
        (0.5, 1.0, [2.0], ["stable"]),
        (0.5, -1.0, [0.0], ["stable"]),
        (0.5, 0.0, [0.0], ["stable"]),
        (-0.5, 3.0, [2.0], ["stable"]),
        (2.0, -1.0, [1.0, 0.0], ["unstable", "stable"]),
        (2.0, 1.0, [], []),
        (2.0, 0.0, [0.0], ["unstable"]),
        (1.0, 1.0, [], []),
        (1.0, -1.0, [0.0], ["stable"]),
        (-2.0, 1.0, [1 / 3], ["unstable"]),
        (-1.0, 1.0, [0.5], ["neutral"]),
    ],
)
def test_fixed_points_of_one_unit(w: float, b: float, points: list[float], stabilities: list[str]) -> None:
    found = find_fixed_points(relu_system([[w]], [b]))
    assert found.exhaustive
    assert (found.period, found.examined) == (1, 2)
    assert [p for (p,) in first_points(found)] == pytest.approx(points)
    assert [orbit.stability for orbit in found.found] == stabilities
    assert all(orbit.dimension == 0 and orbit.directions.shape == (1, 0) for orbit in found.found)


def test_the_multipliers_of_one_unit() -> None:
    above, below = find_fixed_points(relu_system([[2.0]], [-1.0])).found
    assert (above.radius, below.radius) == (2, 0)
    assert above.multipliers.tolist() == [2]
    assert above.masks.tolist() == [[True]]
    assert below.masks.tolist() == [[False]]
    assert math.copysign(1, float(below.points)) == 1, "-0"


@given(st.floats(-3, 3), st.floats(-3, 3))
@settings(max_examples=60, deadline=None)
def test_fixed_points_of_any_one_unit(w: float, b: float) -> None:
    if min(abs(b), abs(w - 1)) < 1e-6:
        return
    on = b / (1 - w)
    want = ([on] if on > 0 else []) + ([0.0] if b < 0 else [])
    found = find_fixed_points(relu_system([[w]], [b]))
    assert [p for (p,) in first_points(found)] == pytest.approx(want)


def test_a_unit_that_overshoots_has_a_cycle() -> None:
    cycle = only(find_cycles(relu_system([[-2.0]], [1.0]), 2))
    assert cycle.points.tolist() == [[1], [0]]
    assert (cycle.radius, cycle.stability, cycle.period) == (0, "stable", 2)


# The phase planes of the paper's Fig. 2, in a basis that the ReLU leaves alone


@pytest.mark.parametrize(("first", "second"), [(1.0, 1.0), (0.5, 0.3), (1.0, 0.3), (1.2, 0.3)], ids="abcd")
def test_two_units_without_input_or_bias(first: float, second: float) -> None:
    orbit = only(find_fixed_points(relu_system([[first, 0], [0, second]], [0, 0])))
    assert orbit.dimension == (first == 1) + (second == 1)
    assert orbit.stability == {1.2: "unstable", 1.0: "neutral", 0.5: "stable"}[first]
    assert orbit.growth == pytest.approx(first)
    if orbit.dimension:
        assert orbit.border == (second < 1), "the unit that is not on the line is at 0" if second < 1 else ""


def test_a_line_that_attracts() -> None:
    # Eigenvalue 1 along (1, 1), 0.2 across: all of the quadrant falls onto the diagonal.
    orbit = only(find_fixed_points(relu_system([[0.6, 0.4], [0.4, 0.6]], [0, 0])))
    assert (orbit.dimension, orbit.stability, orbit.border) == (1, "neutral", 0)
    assert orbit.multipliers.real.tolist() == pytest.approx([1, 0.2])
    assert orbit.directions.flatten().abs().tolist() == pytest.approx([math.sqrt(0.5)] * 2)
    assert float(orbit.points[0, 0]) == pytest.approx(float(orbit.points[0, 1]))
    # With a bias along (1, -1) the line is shifted; one along (1, 1) drives the state away for ever.
    shifted = only(find_fixed_points(relu_system([[0.6, 0.4], [0.4, 0.6]], [0.8, -0.8])))
    assert shifted.dimension == 1
    assert float(shifted.points[0, 0] - shifted.points[0, 1]) == pytest.approx(2)
    assert not find_fixed_points(relu_system([[0.6, 0.4], [0.4, 0.6]], [0.1, 0.1])).found


def test_a_line_that_repels() -> None:
    orbit = only(find_fixed_points(relu_system([[1.5, -0.5], [-0.5, 1.5]], [0, 0])))
    assert (orbit.dimension, orbit.stability) == (1, "unstable")
    assert orbit.radius == pytest.approx(2)


@pytest.mark.parametrize("hidden", [1, 2, 5])
@pytest.mark.parametrize("limit", [2**14, 0], ids=["all", "search"])
def test_under_the_identity_every_state_stands_still(hidden: int, limit: int) -> None:
    system = System.start("IRNN", hidden, 2)
    found = find_fixed_points(system, limit=limit, rounds=5, generator=seeded())
    orbit = only(found)
    assert (orbit.dimension, orbit.stability, orbit.radius) == (hidden, "neutral", 1)
    assert (orbit.points > 0).all()
    assert not find_cycles(system, 2, limit=limit, rounds=5, generator=seeded()).found
    assert found.exhaustive == (limit > 0)


# Two and three units by hand


def test_two_units_that_suppress_each_other() -> None:
    found = find_fixed_points(relu_system([[0, -2], [-2, 0]], [1, 1]))
    assert [orbit.stability for orbit in found.found] == ["unstable", "stable", "stable"]
    assert first_points(found)[0] == pytest.approx([1 / 3, 1 / 3])
    assert sorted(first_points(found)[1:]) == [[0, 1], [1, 0]]
    assert found.found[0].radius == pytest.approx(2)
    # Each unit sees what it did two steps ago, by way of the other: of 0, 1 and 1/3, which come back, any two.
    cycles = find_cycles(relu_system([[0, -2], [-2, 0]], [1, 1]), 2).found
    assert [orbit.stability for orbit in cycles] == ["unstable", "unstable", "stable"]
    pairs = [sorted(round(3 * v) for v in orbit.points.flatten().tolist()) for orbit in cycles]
    assert pairs == [[0, 1, 1, 3], [0, 1, 1, 3], [0, 0, 3, 3]]


def test_a_stable_cycle_of_three() -> None:
    # (1, 0) -> (0, 0.9) -> (0, 0) -> (1, 0): the second unit remembers the first, and both suppress it.
    system = relu_system([[-2, -2], [1, 0]], [1, -0.1])
    cycle = next(orbit for orbit in find_cycles(system, 3).found if orbit.stability == "stable")
    turned = cycle.points.roll(-int(cycle.points[:, 0].argmax()), 0)
    torch.testing.assert_close(turned, torch.tensor([[1, 0], [0, 0.9], [0, 0]], dtype=F64))
    assert (cycle.stability, cycle.radius) == ("stable", 0)


@pytest.mark.parametrize("limit", [2**14, 0], ids=["all", "search"])
def test_the_cycles_of_a_tent_map(limit: int) -> None:
    # x -> m min(x, 1 - x) of two units, x and max(0, x - 1/2); its cycles by the sides they visit.
    m = 1.9
    system = relu_system([[m, -2 * m], [m, -2 * m]], [0, -0.5])
    want = {
        1: [m / (1 + m), 0],
        2: [m / (1 + m**2)],
        3: [m / (1 + m**3), (m**2 - m) / (m**3 - 1)],
    }
    for period, starts in want.items():
        found = find_cycles(system, period, limit=limit, generator=seeded())
        assert len(found.found) == len(starts)
        for start in starts:
            orbit = min(found.found, key=lambda orbit, x=start: float((orbit.points[:, 0] - x).abs().min()))
            assert float((orbit.points[:, 0] - start).abs().min()) < 1e-12
            assert orbit.stability == "unstable"
            assert orbit.growth == pytest.approx(m**period)
            steps_onto_itself(system, orbit)


def test_a_ring_passes_every_state_on() -> None:
    # A permutation of three units: all states of the quadrant have period 3, those with equal entries stand still.
    system = relu_system([[0, 0, 1], [1, 0, 0], [0, 1, 0]], [0, 0, 0])
    assert only(find_fixed_points(system)).dimension == 1
    assert not find_cycles(system, 2).found
    cycle = only(find_cycles(system, 3))
    assert (cycle.dimension, cycle.stability) == (3, "neutral")
    steps_onto_itself(system, cycle)
    assert (cycle.points[0] - cycle.points[1]).abs().max() > 0.01, "the point is that of a fixed point"


def test_an_overshoot_of_just_one_is_a_set_of_cycles() -> None:
    # h -> max(0, 1 - h): every h in (0, 1) comes back after two steps.
    cycle = only(find_cycles(relu_system([[-1.0]], [1.0]), 2))
    assert (cycle.dimension, cycle.stability) == (1, "neutral")
    a, b = cycle.points.flatten().tolist()
    assert a + b == pytest.approx(1)
    assert 0 < a != b > 0


def test_linear_units_may_be_negative() -> None:
    # h1 = 0.5 h1 + h2 - 1, h2 = max(0, 0.5).
    orbit = only(find_fixed_points(relu_system([[0.5, 1], [0, 0]], [-1, 0.5], linear_units=1)))
    assert orbit.points[0].tolist() == pytest.approx([-1, 0.5])
    assert orbit.masks.tolist() == [[True, True]]
    assert orbit.radius == pytest.approx(0.5)
    found = find_fixed_points(relu_system([[0, -1], [1, 0]], [1, 0], linear_units=2))
    assert found.examined == 1
    assert only(found).points[0].tolist() == pytest.approx([0.5, 0.5])
    assert only(found).stability == "neutral"


def test_a_constant_input_acts_as_a_bias() -> None:
    system = System(torch.tensor([[0.5]]), torch.tensor([[2.0, -1.0]]), torch.tensor([0.25]))
    assert only(find_fixed_points(system, torch.tensor([1.0, 1.25]))).points.tolist() == [[2]]


# Where regions meet


def test_what_lies_where_regions_meet_is_judged_by_all_of_them() -> None:
    symmetric = only(find_fixed_points(relu_system([[0.5, 0.2], [0.2, 0.5]], [0, 0])))
    assert (symmetric.stability, symmetric.border, symmetric.radius) == ("stable", 2, 0)
    assert symmetric.growth == pytest.approx(0.7)
    # A step can stretch three times, but only once.
    assert only(find_fixed_points(relu_system([[0, 3], [0, 0]], [0, 0]))).stability == "stable"
    assert only(find_fixed_points(relu_system([[0, 3], [0.5, 0]], [0, 0]))).stability == "unstable"
    # Along (1, 1) nothing grows; a proof of what the rest does is not attempted.
    turned = only(find_fixed_points(relu_system([[0.8, -0.8], [0.8, 0.8]], [0, 0])))
    assert turned.stability == "border"
    assert turned.growth < 1


# Properties


@given(SEEDS, st.integers(1, 4), st.integers(0, 2), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_every_orbit_solves_its_equation_and_every_stable_one_attracts(
    seed: int, hidden: int, linear_units: int, period: int
) -> None:
    system = some_system(seed, hidden, min(linear_units, hidden))
    found = find_cycles(system, period)
    assert found.exhaustive
    for orbit in found.found:
        steps_onto_itself(system, orbit)
        assert (orbit.points[:, system.linear_units :] >= 0).all()
        assert all((orbit.points[0] - other).abs().max() > 1e-8 for other in orbit.points[1:])
        if orbit.stability != "stable" or orbit.radius > 0.95 or orbit.border:
            continue
        turn = torch.eye(hidden, dtype=F64)
        reach = 1.0
        for _ in range(50):
            for on in orbit.masks:
                turn = on[:, None] * (system.weight_hh @ turn)
                reach = max(reach, float(torch.linalg.matrix_norm(turn, 2)))
        size = 0.1 * min(gap(system, orbit), 1.0) / reach
        if size < 1e-9:
            continue
        near = orbit.points[:1] + size * torch.nn.functional.normalize(torch.randn(20, hidden, dtype=F64), dim=1)
        assert (settles(system, near, period, 400) - orbit.points[0]).abs().max() < 1e-2 * size + 1e-12


@given(SEEDS, st.integers(1, 5), st.floats(0.1, 1.5))
@settings(max_examples=40, deadline=None)
def test_what_is_said_of_the_origin_without_biases_is_seen_in_runs(seed: int, hidden: int, gain: float) -> None:
    system = some_system(seed, hidden, gain=gain)
    system = System(system.weight_hh, None, torch.zeros(hidden))
    orbit = only(find_fixed_points(system))
    assert (orbit.border, orbit.dimension) == (hidden, 0)
    starts = torch.randn(50, hidden, dtype=F64, generator=seeded(seed))
    logs = run(system, None, starts, steps=400).log_norms[-1]
    if orbit.stability == "stable":
        # What shrinks slowly has shrunk less.
        assert float(logs.max()) < (0 if orbit.growth > 0.97 else -5)
    elif orbit.stability == "unstable":
        assert float(logs.max()) > (10 if orbit.growth > 1.05 else 0)
    if orbit.growth > 0.5:
        # The growth is that of the directions tried; where all die at once, the slowest may not have been among them.
        assert float(logs.max()) / 400 < math.log(orbit.growth) + 0.05


@given(SEEDS, st.integers(1, 4), st.integers(0, 1))
@settings(max_examples=25, deadline=None)
def test_what_iteration_comes_to_is_among_what_enumeration_found(seed: int, hidden: int, linear_units: int) -> None:
    system = some_system(seed, hidden, linear_units)
    h = 3 * torch.randn(100, hidden, dtype=F64, generator=seeded(seed)).abs()
    for _ in range(40):
        h = settles(system, h, 1, 50)
        h = h[h.abs().amax(1) < 1e6]
    for period in (1, 2, 3):
        orbits = find_cycles(system, period).found
        later = settles(system, h, period, 1)
        back = (later - h).abs().amax(1) < 1e-11 * (1 + h.abs().amax(1))
        shorter = (system.step(h) - h).abs().amax(1) < 1e-6
        for state in h[back & (~shorter if period > 1 else back)]:
            assert any(
                (orbit.points - state).abs().amax(1).min() < 1e-6 for orbit in orbits if not orbit.dimension
            ) or any(orbit.dimension for orbit in orbits), (state, period)


@pytest.mark.parametrize("period", [1, 2, 3])
def test_a_search_finds_what_enumeration_finds(period: int) -> None:
    total = 0
    for seed in range(12):
        system = some_system(seed, 4, seed % 2, gain=3)
        everything = find_cycles(system, period)
        sought = find_cycles(system, period, limit=0, starts=64, rounds=60, generator=seeded())
        assert not sought.exhaustive
        assert len(sought.found) == len(everything.found)
        for orbit in everything.found:
            assert any((other.points - orbit.points[0]).abs().amax(1).min() < 1e-9 for other in sought.found)
        total += len(everything.found)
    assert total > 3


def test_a_search_in_a_large_network_finds_what_it_hides() -> None:
    # A pair that suppress each other among 58 units that follow them: two stable points and one between.
    weight = 0.1 * torch.randn(60, 60, dtype=F64, generator=seeded()) / math.sqrt(60)
    weight[:2] = 0
    weight[0, 1] = weight[1, 0] = -2
    bias = torch.randn(60, dtype=F64, generator=seeded(1))
    bias[:2] = 1
    found = find_fixed_points(System(weight, None, bias), generator=seeded())
    assert not found.exhaustive
    assert sorted(orbit.stability for orbit in found.found) == ["stable", "stable", "unstable"]
    pairs = sorted(orbit.points[0, :2].tolist() for orbit in found.found)
    assert pairs[0] == [0, 1]
    assert pairs[1] == pytest.approx([1 / 3, 1 / 3])
    assert pairs[2] == [1, 0]


def test_one_seed_gives_one_search() -> None:
    system = some_system(3, 20)
    one, other = (find_fixed_points(system, rounds=5, generator=seeded()) for _ in range(2))
    assert one.examined == other.examined
    assert first_points(one) == first_points(other)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: find_fixed_points(System.start("np-tanhRNN", 3, 0)), "this system has tanh"),
        (lambda: find_fixed_points(System.start("IRNN", 3, 0, ensemble=2)), r"not E=2: use system.member\(k\)"),
        (
            lambda: find_fixed_points(System.start("IRNN", 3, 2), torch.zeros(1, 2)),
            r"a constant input is \[I\] = \[2\]",
        ),
        (lambda: find_cycles(some_system(0, 2), 0), "period must be at least 1, got 0"),
        (lambda: find_fixed_points(some_system(0, 2), starts=0), "starts must be at least 1, got 0"),
        (lambda: find_fixed_points(some_system(0, 2), rounds=0), "rounds must be at least 1, got 0"),
    ],
)
def test_what_has_no_regions_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


# Cones


@given(SEEDS, st.integers(1, 8), st.integers(1, 8))
@settings(max_examples=50, deadline=None)
def test_nonnegative_least_squares_meets_the_conditions_of_a_minimum(seed: int, rows: int, columns: int) -> None:
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(rows, columns)), random.normal(size=rows)
    u = nonnegative_least_squares(a, b)
    slope = a.T @ (a @ u - b)
    assert (u >= 0).all()
    assert (slope > -1e-9).all()
    assert np.abs(slope * u).max() < 1e-9


def test_points_inside_sets_known_by_hand() -> None:
    both = np.array([[1.0], [-1.0]])
    strict = np.array([True, True])
    inside = interior(both, np.array([-1.0, 2.0]), strict, 1e-10)  # 1 < a < 2
    assert inside is not None
    assert 1 < inside[0] < 2
    assert interior(both, np.array([-2.0, 1.0]), strict, 1e-10) is None  # 2 < a < 1
    assert interior(both, np.array([-1.0, 1.0]), strict, 1e-10) is None  # 1 < a < 1
    pinned = interior(both, np.array([-1.0, 1.0]), ~strict, 1e-10)  # 1 <= a <= 1
    assert pinned is not None
    assert pinned[0] == pytest.approx(1)
    # Rows that do not depend on a say yes or no at once.
    zero = np.array([[0.0], [1.0]])
    assert interior(zero, np.array([0.0, 0.0]), np.array([True, True]), 1e-10) is None
    assert interior(zero, np.array([-1.0, 0.0]), np.array([False, True]), 1e-10) is None
    assert interior(zero, np.array([0.0, 0.0]), np.array([False, True]), 1e-10) is not None
    # Of a >= 0, b >= 0, a + b <= 0 only the corner is left; of a >= 0, b > 0 the inside.
    plane = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    corner = interior(plane, np.zeros(3), np.array([False] * 3), 1e-10)
    assert corner is not None
    assert np.abs(corner).max() < 1e-9
    quadrant = interior(plane[:2], np.zeros(2), np.array([False, True]), 1e-10)
    assert quadrant is not None
    assert (quadrant > 0).all()
