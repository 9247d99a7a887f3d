r"""The mirrored start with rotations: nothing that came in is lost, and every gradient arrives whole.

``nprnn.init.mirrored`` tells why units in mirrored pairs are a linear network at the start, whose state s = p - q
moves as :math:`s_t = A s_{t-1} + U x_t + \beta` and whose gradients as :math:`A^\top`, past every mask. There A is
np-RNN's, and one direction is kept. Here A is orthogonal, a rotation of P/2 planes:

.. math::
    A = \bigoplus_j \begin{pmatrix} \cos\theta_j & -\sin\theta_j \\ \sin\theta_j & \cos\theta_j \end{pmatrix}, \qquad
    \theta_j = 2\pi \left(\frac{k_j}{\text{period}} + \frac{m_j}{\text{span}}\right).

So :math:`\|A s\| = \|s\|` and :math:`\|A^\top y\| = \|y\|`: every state and every gradient keeps its length over
any number of steps. A plane that turns by θ a step sums the inputs times :math:`e^{i\theta t}`: a Fourier coefficient
of what it has read. :math:`(k_j, m_j)` run over the low frequencies, from the lowest on: k waves in a ``period``, m
waves in the ``span``. For an image read pixel by pixel, rows of ``period`` pixels and ``span`` in all, these are nearly
the coefficients of the image in two dimensions. :math:`\theta_0 = 0` keeps sums.

The biases are :math:`(\beta, -\beta)` with :math:`\beta = 0.001`, for the reason that is told there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from nprnn.errors import InputError
from nprnn.init.mirrored import BIAS, in_pairs_, mirror_inputs_
from nprnn.init.weights import _check_square, _fill_square_

PERIOD = 28.0
SPAN = 784.0


def low_frequencies(count: int, *, period: float = PERIOD, span: float = SPAN) -> Tensor:
    r"""Angles a step :math:`2\pi (k/\text{period} + m/\text{span})`, one of each pair ±(k, m), by rising k² + m².

    Args:
        count: how many; the first is 0.
        period: steps of one wave of k = 1.
        span: steps of one wave of m = 1.

    Returns:
        [count], radians a step, float64. The first 307 of period 28 and span 784 are of different planes; further on,
        or with fewer steps, some are the same up to sign and whole turns.

    Raises:
        InputError: ``count`` is negative, or ``period`` or ``span`` is not a finite number of at least 1.
    """
    if count < 0:
        raise InputError(f"count must be 0 or more, got {count}")
    for name, value in (("period", period), ("span", span)):
        if not (math.isfinite(value) and value >= 1):
            raise InputError(f"{name} is a number of steps, at least 1, got {value}")
    # Half of the pairs within that radius are more than count.
    most = math.isqrt(count) + 1
    waves = [(0, m) for m in range(most + 1)] + [(k, m) for k in range(1, most + 1) for m in range(-most, most + 1)]
    waves.sort(key=lambda wave: wave[0] ** 2 + wave[1] ** 2)
    angles = [2 * math.pi * (k / period + m / span) for k, m in waves[:count]]
    return torch.tensor(angles, dtype=torch.float64)


def mirrored_rotations_(tensor: Tensor, *, period: float = PERIOD, span: float = SPAN) -> Tensor:
    r"""Fill with the recurrent weight of the mirrored start with rotations, [[A, -A], [-A, A]]; nothing is drawn.

    Args:
        tensor: [..., N, N], floating point. A rotates P/2 planes, P = ⌊N/2⌋; of an odd P one direction stays where it
            is, of an odd N the last unit is left over, without recurrence.
        period: steps of the shorter wave; the pixels of a row.
        span: steps of the longer wave; the pixels of an image, or the steps of a sequence.

    Returns:
        ``tensor``.

    Raises:
        InputError: not square, not floating point, or as ``low_frequencies``.

    Source: this module's head.
    """
    _check_square(tensor)
    angles = low_frequencies(tensor.shape[-1] // 4, period=period, span=span)

    def start(shape: torch.Size, device: torch.device) -> Tensor:
        w = torch.zeros(shape, dtype=torch.float64, device=device)
        pairs = shape[-1] // 2
        a = torch.eye(pairs, dtype=torch.float64, device=device)
        for j, angle in enumerate(angles.tolist()):
            one, other = 2 * j, 2 * j + 1
            a[one, one] = a[other, other] = math.cos(angle)
            a[other, one] = math.sin(angle)
            a[one, other] = -math.sin(angle)
        return in_pairs_(w, a)

    return _fill_square_(tensor, start)


def mirror_rotations_(weight_ih: Tensor | None, weight_hh: Tensor, biases: Sequence[Tensor]) -> Sequence[Tensor]:
    """Make the input weight and the biases fit a recurrent weight by ``mirrored_rotations_``.

    Args:
        weight_ih: [H, I]: rows P to 2P become the negatives of the first P; None is left out.
        weight_hh: [H, H].
        biases: [H] each: the first becomes (β, -β), the others 0.

    Returns:
        ``biases``.

    Raises:
        InputError: ``weight_hh`` is not square.

    Source: this module's head.
    """
    _check_square(weight_hh)
    pairs = weight_hh.shape[-1] // 2
    return mirror_inputs_(weight_ih, biases, torch.full((pairs,), BIAS, dtype=torch.float64))
