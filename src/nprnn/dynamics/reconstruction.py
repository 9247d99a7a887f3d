"""How well a generated series has the attractor and the rhythms of a true one, whatever the phase between them.

Chaos parts any two trajectories, so a reconstruction is not judged point by point but by where it goes
(``state_space_divergence``) and how fast it turns (``power_spectrum_distance``).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nprnn.errors import InputError

# Cells are counted in memory: 27,000 for three dimensions at 30 bins.
_MOST_CELLS = 2**24


def state_space_divergence(true: Tensor, generated: Tensor, *, bins: int = 30, smoothing: float = 1e-5) -> float:
    r"""D_stsp, the Kullback-Leibler divergence between the shares of time that two series spend in the cells of a grid.

    .. math:: D = \sum_k p_k \log\frac{p_k}{q_k}, \qquad p_k = \frac{n_k + \alpha}{T + \alpha K}

    (q from the counts of the generated series likewise). Each dimension is cut into ``bins`` equal bins, from a tenth
    of a standard deviation below the least to as much above the greatest true value. Whatever lies outside is in one
    more cell, so that a series that leaves the grid is not judged by the part of it that stays:
    :math:`K = \mathrm{bins}^N + 1`.

    The value depends on T, bins and α: a cell that only the true series visits counts :math:`p_k \log (p_k K')` with
    :math:`K' \approx T/\alpha`. Two stretches of the same system have a divergence too, which is what a reconstruction
    can reach at best.

    Args:
        true: the reference p [T, N].
        generated: what is judged [T', N], in the same units; T' may be another length.
        bins: bins of each dimension.
        smoothing: α, added to every cell, so that an unvisited one costs something finite.

    Returns:
        D in nats, at least 0; not symmetric.

    Raises:
        InputError: shapes that do not fit, values that are not finite, a dimension in which ``true`` is constant, a
            grid of more than 2²⁴ cells (N is for few dimensions), or settings out of range.

    Source: Koppe et al. 2019, Eq. 18; bins and smoothing as in the code of Hess et al. 2023, which instead leaves out
        what lies outside the grid.
    """
    true, generated = _series(true, "true"), _series(generated, "generated")
    _alike(true, generated)
    if bins < 1 or not 0 < smoothing < math.inf:
        raise InputError(f"bins must be at least 1 and smoothing above 0; got {bins} and {smoothing}")
    dims = true.shape[1]
    if bins**dims > _MOST_CELLS:
        raise InputError(
            f"{bins} bins in each of {dims} dimensions are more than {_MOST_CELLS} cells: take fewer bins, or fewer "
            "dimensions (such as the first principal components of the true series)"
        )
    low, high = true.amin(0), true.amax(0)
    if bool((low == high).any()):
        raise InputError("true is constant in some dimension, which then has no bins: leave that dimension out")
    margin = 0.1 * true.std(0)
    low, width = low - margin, (high - low + 2 * margin) / bins
    p, q = (_shares(series, low, width, bins, smoothing) for series in (true, generated))
    # Rounding may leave a little less than 0.
    return max(0.0, float((p * (p / q).log()).sum()))


def power_spectrum_distance(true: Tensor, generated: Tensor, *, smoothing: float = 20.0) -> float:
    r"""D_H, the Hellinger distance between two smoothed power spectra, the mean over dimensions.

    .. math:: H = \sqrt{1 - \sum_\omega \sqrt{F_\omega G_\omega}}

    F and G are :math:`|\mathrm{FFT}|^2` of the series less their means, for :math:`\omega = 0 .. T/2`, smoothed by a
    Gaussian whose standard deviation is ``smoothing`` frequencies of 1/T (cut off at four of them, the ends mirrored),
    and divided by their sums: units and amplitudes drop out. A dimension that never changes has no spectrum; it is at
    distance 1 from one that does and 0 from another that does not.

    Two stretches of one system are not at distance 0: a raw spectrum does not become less noisy with T, and only the
    smoothing averages.

    Args:
        true: [T, N].
        generated: [T, N].
        smoothing: in steps of the frequency, 1/T; 0 for none.

    Returns:
        The distance, in [0, 1]; symmetric.

    Raises:
        InputError: shapes that differ, fewer than two steps, values that are not finite, or a negative ``smoothing``.

    Source: Mikhaeil et al. 2022, after Schmidt et al. 2021; smoothing as in the code of Hess et al. 2023.
    """
    true, generated = _series(true, "true"), _series(generated, "generated")
    _alike(true, generated)
    if len(true) != len(generated) or len(true) < 2:
        raise InputError(
            f"spectra have the same frequencies only where lengths are equal, and at least 2; got {len(true)} and "
            f"{len(generated)} steps: cut the longer one"
        )
    if not 0 <= smoothing < math.inf:
        raise InputError(f"smoothing must be at least 0, got {smoothing}")
    spectra = [_spectrum(series, smoothing) for series in (true, generated)]
    # The sum of squares and not 1 minus the sum of products: equal spectra are at 0, not at the root of a rounding.
    squares = (spectra[0].sqrt() - spectra[1].sqrt()).square().sum(-1) / 2
    empty = [spectrum.sum(-1) == 0 for spectrum in spectra]
    distances = torch.where(empty[0] != empty[1], 1.0, squares.sqrt().clamp(max=1))
    return float(distances.mean())


def _shares(series: Tensor, low: Tensor, width: Tensor, bins: int, smoothing: float) -> Tensor:
    """Smoothed shares of all cells and, last, of what lies outside."""
    dims = series.shape[1]
    cells = ((series - low) / width).floor()
    inside = ((cells >= 0) & (cells < bins)).all(1)
    place = cells[inside].long() @ bins ** torch.arange(dims)
    counts = torch.bincount(place, minlength=bins**dims).double()
    counts = torch.cat([counts, (~inside).sum().double()[None]]) + smoothing
    return counts / counts.sum()


def _spectrum(series: Tensor, smoothing: float) -> Tensor:
    """[N, T//2 + 1], each row with sum 1, or 0 where the series is constant."""
    series = (series - series.mean(0)).masked_fill(series.amin(0) == series.amax(0), 0.0)
    # Units drop out, and powers of large or tiny numbers do not over- or underflow.
    scale = series.abs().amax(0)
    power = torch.fft.rfft(series / torch.where(scale == 0, 1.0, scale), dim=0).abs().square().mT
    radius = int(4 * smoothing + 0.5)
    if radius:
        kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=power.dtype) / smoothing).square())
        # Mirrored again and again where the kernel is longer than the spectrum.
        count = power.shape[-1]
        place = torch.arange(-radius, count + radius) % (2 * count)
        mirrored = power[:, torch.minimum(place, 2 * count - 1 - place)]
        power = torch.nn.functional.conv1d(mirrored[:, None], (kernel / kernel.sum())[None, None])[:, 0]
    total = power.sum(-1, keepdim=True)
    shares: Tensor = power / torch.where(total == 0, 1.0, total)
    return shares


def _series(series: Tensor, name: str) -> Tensor:
    series = series.detach().to("cpu", torch.float64)
    if series.dim() != 2 or 0 in series.shape:
        raise InputError(f"{name} must be a series [T, N] of at least one step; got shape {tuple(series.shape)}")
    if not bool(series.isfinite().all()):
        raise InputError(f"{name} holds NaN or infinite values: a series that blew up has no measure")
    return series


def _alike(true: Tensor, generated: Tensor) -> None:
    if true.shape[1] != generated.shape[1]:
        raise InputError(
            f"true has {true.shape[1]} dimensions, generated {generated.shape[1]}: both must be the same observables"
        )
