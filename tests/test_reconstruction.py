"""The measures of a reconstruction against closed forms and what must hold of any two series."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nprnn.dynamics import power_spectrum_distance, state_space_divergence
from nprnn.errors import InputError

F64 = torch.float64
SEEDS = st.integers(0, 2**31)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=F64)[:, None]


def tone(cycles: float, steps: int = 4096, phase: float = 0.3) -> Tensor:
    """A cosine that fits ``cycles`` times into the series, so that it is one line of the spectrum."""
    return torch.cos(2 * math.pi * cycles * torch.arange(steps, dtype=F64) / steps + phase)[:, None]


# Occupation of the state space


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_series_does_not_diverge_from_itself(dims: int) -> None:
    series = randn(500, dims)
    assert state_space_divergence(series, series) == 0
    assert state_space_divergence(series, series[torch.randperm(500)]) == 0, "time plays no part"


def test_the_divergence_is_that_of_smoothed_counts() -> None:
    true, generated = column(0, 1, 1, 1), column(0, 0, 1, 1, 1, 1, 1, 5)
    alpha, cells = 0.5, 3  # two bins and what lies outside
    p = [(n + alpha) / (4 + alpha * cells) for n in (1, 3, 0)]
    q = [(n + alpha) / (8 + alpha * cells) for n in (2, 5, 1)]
    want = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert state_space_divergence(true, generated, bins=2, smoothing=alpha) == pytest.approx(want, rel=1e-12)
    # Both ways: it is no distance.
    assert state_space_divergence(generated, true, bins=2, smoothing=alpha) != pytest.approx(want, rel=1e-3)


def test_cells_of_several_dimensions_are_told_apart() -> None:
    corners = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=F64)
    one = corners[[0, 0, 3, 3]]
    other = corners[[1, 1, 2, 2]]
    # Every axis alone is filled alike, but no cell is shared.
    alpha = 0.25
    high, low = (2 + alpha) / (4 + 5 * alpha), alpha / (4 + 5 * alpha)
    want = 2 * high * math.log(high / low) + 2 * low * math.log(low / high)
    assert state_space_divergence(one, other, bins=2, smoothing=alpha) == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize(("shift", "scale"), [(0.5, 1.0), (0.0, 1.5), (1.0, 1.2)])
def test_two_gaussians_have_the_divergence_of_the_formula(shift: float, scale: float) -> None:
    true, generated = randn(1_000_000, 1), shift + scale * randn(1_000_000, 1, seed=1)
    want = math.log(scale) + (1 + shift**2) / (2 * scale**2) - 0.5
    assert state_space_divergence(true, generated, bins=100) == pytest.approx(want, rel=0.02)


def test_leaving_the_grid_counts() -> None:
    true = randn(4000, 2)
    lost = torch.full((4000, 2), 1e6, dtype=F64)
    # Half of the time in the right places: each has half its share.
    half = state_space_divergence(true, torch.cat([true, lost]))
    assert half == pytest.approx(math.log(2), rel=1e-3)
    away = state_space_divergence(true, lost)
    assert half < away < math.inf
    # Every visited cell is then as unlikely as can be.
    cells = 30**2 + 1
    unvisited = 1e-5 / (4000 + 1e-5 * cells)
    counts = torch.histogramdd(
        true,
        bins=[30, 30],
        range=[v for d in range(2) for v in _edges(true[:, d])],
    ).hist.flatten()
    p = counts[counts > 0] / 4000
    assert away == pytest.approx(float((p * (p / unvisited).log()).sum()), rel=1e-4)


def _edges(values: Tensor) -> tuple[float, float]:
    margin = 0.1 * float(values.std())
    return float(values.min()) - margin, float(values.max()) + margin


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.integers(1, 3), st.sampled_from([1, 3, 10]))
def test_the_divergence_is_never_negative_and_knows_no_units(seed: int, dims: int, bins: int) -> None:
    true, generated = randn(200, dims, seed=seed), 1.3 * randn(150, dims, seed=seed + 1)
    value = state_space_divergence(true, generated, bins=bins)
    assert value >= 0
    # Powers of two leave every digit as it is.
    assert state_space_divergence(true * 4, generated * 4, bins=bins) == value


def test_float32_series_are_judged_as_they_are() -> None:
    true, generated = randn(300, 2).float(), randn(300, 2, seed=1).float()
    assert state_space_divergence(true, generated) == state_space_divergence(true.double(), generated.double())
    assert power_spectrum_distance(true, generated) == power_spectrum_distance(true.double(), generated.double())


# Power spectra


@pytest.mark.parametrize("smoothing", [0, 0.5, 20, 500])
def test_a_series_is_at_no_distance_from_itself_in_any_units(smoothing: float) -> None:
    series = randn(501, 3)
    assert power_spectrum_distance(series, series, smoothing=smoothing) == 0
    shifted = series * torch.tensor([2.0, 1e-9, 1e200], dtype=F64) + torch.tensor([7.0, 0, 0], dtype=F64)
    assert power_spectrum_distance(series, shifted, smoothing=smoothing) == pytest.approx(0, abs=1e-7)
    assert power_spectrum_distance(series, series.flip(0), smoothing=smoothing) == pytest.approx(0, abs=1e-7)


def test_pure_tones_are_at_distance_one_or_none() -> None:
    assert power_spectrum_distance(tone(100), tone(101), smoothing=0) == pytest.approx(1, abs=1e-12)
    assert power_spectrum_distance(tone(100), tone(100, phase=1.2), smoothing=0) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize(("p", "q"), [(0.5, 0.9), (0.1, 0.9), (0.3, 0.3)])
def test_two_lines_have_the_distance_of_their_powers(p: float, q: float) -> None:
    one, other = (math.sqrt(v) * tone(50) + math.sqrt(1 - v) * tone(300) for v in (p, q))
    want = math.sqrt(max(0, 1 - math.sqrt(p * q) - math.sqrt((1 - p) * (1 - q))))
    assert power_spectrum_distance(one, other, smoothing=0) == pytest.approx(want, abs=1e-7)


@pytest.mark.parametrize("apart", [5, 20, 60])
def test_smoothed_tones_have_the_distance_of_two_gaussians(apart: int) -> None:
    want = math.sqrt(1 - math.exp(-(apart**2) / (8 * 20**2)))
    # Gaussians are cut off at four standard deviations.
    assert power_spectrum_distance(tone(500), tone(500 + apart)) == pytest.approx(want, abs=3e-3)


def test_a_spectrum_is_mirrored_at_its_ends() -> None:
    # What would fall on the frequencies -1, -2 .. is folded back on 0, 1 ..
    k = torch.arange(400, dtype=F64)
    gauss = [[torch.exp(-0.5 * ((k - at) / 5) ** 2) for at in (line, -1 - line)] for line in (3, 12)]
    one, other = (sum(pair) / sum(pair).sum() for pair in gauss)  # type: ignore[union-attr]
    want = math.sqrt(1 - float((one * other).sqrt().sum()))
    assert power_spectrum_distance(tone(3), tone(12), smoothing=5) == pytest.approx(want, abs=1e-3)
    unfolded = math.sqrt(1 - math.exp(-(9**2) / (8 * 5**2)))
    assert abs(want - unfolded) > 0.02
    # A kernel much longer than the spectrum leaves nothing to tell.
    assert power_spectrum_distance(tone(1, 64), tone(30, 64), smoothing=1e4) == pytest.approx(0, abs=1e-2)


def test_the_distance_is_the_mean_over_dimensions() -> None:
    one, other = torch.cat([tone(10), tone(20)], 1), torch.cat([tone(10), tone(400)], 1)
    assert power_spectrum_distance(one, other, smoothing=0) == pytest.approx(0.5, abs=1e-7)


def test_a_constant_dimension_is_like_another_and_unlike_all_else() -> None:
    still = torch.full((4096, 1), 0.1, dtype=F64)
    assert power_spectrum_distance(still, tone(3)) == 1
    assert power_spectrum_distance(tone(3), still) == 1
    assert power_spectrum_distance(still, 7 * still) == 0


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.integers(2, 90), st.sampled_from([0.0, 0.3, 2.0, 40.0]))
def test_the_distance_is_symmetric_and_within_its_bounds(seed: int, steps: int, smoothing: float) -> None:
    one, other = randn(steps, 2, seed=seed), randn(steps, 2, seed=seed + 1).cumsum(0)
    value = power_spectrum_distance(one, other, smoothing=smoothing)
    assert 0 <= value <= 1
    assert power_spectrum_distance(other, one, smoothing=smoothing) == value


# What users can get wrong


@pytest.mark.parametrize("measure", [state_space_divergence, power_spectrum_distance])
def test_both_refuse_what_is_no_pair_of_series(measure) -> None:  # type: ignore[no-untyped-def]
    good = randn(20, 2)
    bad = good.clone()
    bad[3, 1] = math.nan
    for true, generated, words in [
        (good[:, 0], good, r"true must be a series \[T, N\]"),
        (good, good[:0], r"generated must be a series \[T, N\]"),
        (good, bad, "generated holds NaN or infinite values: a series that blew up"),
        (good / 0, good, "true holds NaN or infinite values"),
        (good, good[:, :1], "true has 2 dimensions, generated 1"),
    ]:
        with pytest.raises(InputError, match=words):
            measure(true, generated)


def test_the_divergence_refuses_grids_it_cannot_make() -> None:
    good = randn(20, 2)
    flat = torch.cat([good[:, :1], torch.ones(20, 1, dtype=F64)], 1)
    with pytest.raises(InputError, match="true is constant in some dimension"):
        state_space_divergence(flat, good)
    assert state_space_divergence(good, flat) > 0, "what has come to rest can be judged"
    with pytest.raises(InputError, match="30 bins in each of 6 dimensions are more than"):
        state_space_divergence(randn(20, 6), randn(20, 6))
    for options in ({"bins": 0}, {"smoothing": 0.0}, {"smoothing": math.inf}, {"smoothing": math.nan}):
        with pytest.raises(InputError, match="bins must be at least 1 and smoothing above 0"):
            state_space_divergence(good, good, **options)  # type: ignore[arg-type]


def test_the_distance_refuses_spectra_it_cannot_compare() -> None:
    good = randn(20, 2)
    with pytest.raises(InputError, match="got 20 and 19 steps: cut the longer one"):
        power_spectrum_distance(good, good[:19])
    with pytest.raises(InputError, match="at least 2"):
        power_spectrum_distance(good[:1], good[:1])
    for smoothing in (-1.0, math.inf, math.nan):
        with pytest.raises(InputError, match="smoothing must be at least 0"):
            power_spectrum_distance(good, good, smoothing=smoothing)
