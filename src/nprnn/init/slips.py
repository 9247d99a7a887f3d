"""Mistakes of public code in this start, to redo results that were published with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from nprnn.errors import InputError
from nprnn.init.weights import Fan, alpha

Slip = Literal["none", "alpha", "variance", "both"]


def apply_slip_(weight_ih: Tensor, weight_out: Tensor, slip: Slip, *, fan: Fan = "hidden") -> None:
    r"""Turn the input and output weights of a right start into those of a slip, with the same random draws.

    alpha: :math:`\alpha' = \sqrt 2 \exp(1.2 / \max(N, 6) - 2.4)`, the parenthesis closed too early, for
    :math:`\alpha = \sqrt 2 \exp(1.2 / (\max(N, 6) - 2.4))`. variance: variances used as standard deviations,
    :math:`W_{hx} \sim \mathcal N(0, \alpha^2 / N^2)` for :math:`\alpha^2 / N`, and :math:`W_{yh}` of deviation
    :math:`2 / (\text{fan}_{in} + \text{fan}_{out})` for its root. Each only scales a weight.

    Args:
        weight_ih: W_hx [..., H, I], changed in place.
        weight_out: W_yh [..., O, H], changed in place.
        slip: none, alpha, variance or both.
        fan: what N is in the input weight.

    Raises:
        InputError: an unknown ``slip``.

    Source: none in the paper, which has it right; the code published with Schmidt et al. (ICLR 2021) has both.
    """
    if slip not in get_args(Slip):
        raise InputError(f"slip must be {' or '.join(map(repr, get_args(Slip)))}, got {slip!r}")
    n = weight_ih.shape[-2] if fan == "hidden" else weight_ih.shape[-1]
    wrong = math.sqrt(2.0) * math.exp(1.2 / max(n, 6) - 2.4)
    variance = 2.0 / (weight_out.shape[-1] + weight_out.shape[-2])
    scales: Mapping[str, tuple[float, float]] = {
        "alpha": (wrong / alpha(n), 1.0),
        "variance": (1.0 / math.sqrt(n), math.sqrt(variance)),
    }
    with torch.no_grad():
        for name, (of_ih, of_out) in scales.items():
            if slip in (name, "both"):
                weight_ih.mul_(of_ih)
                weight_out.mul_(of_out)
