"""Whether a cycle of a ReLU network attracts: from its multipliers, or where linear regions meet, from all of them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from nprnn.seeds import derive

Stability = Literal["stable", "neutral", "unstable", "border"]

# Moduli nearer to 1 cannot be told from it: a double eigenvalue moves by the root of the rounding.
NEUTRAL = 1e-7
_TURNS = 200
# A direction may take a few turns to come back to itself.
_BACK = 6


def of_multipliers(radius: float) -> Stability:
    """What the largest modulus of a multiplier says where no border is near."""
    if abs(radius - 1) <= NEUTRAL:
        return "neutral"
    return "stable" if radius < 1 else "unstable"


def on_border(weight: Tensor, masks: Tensor, border: Tensor, dimension: int) -> tuple[Stability, float]:
    r"""Of a cycle on which some units' z is exactly 0, so that every neighbourhood holds several regions.

    Near it the map is :math:`v \mapsto D W v + C \max(0, W v)`, C picking the units at 0. It is stable if k such
    steps shrink in the Euclidean norm, or their moduli shrink, whichever way those units go; a set of cycles is neutral
    if they do not stretch; it is unstable if a direction is found that comes back to itself longer than before. Else it
    stays open.

    Args:
        weight: W_hh [H, H].
        masks: which units are on, step by step [k, H].
        border: which are at 0 [k, H].
        dimension: 0 for a cycle that stands alone, else that of the set it is from.

    Returns:
        ``"stable"``, ``"neutral"``, ``"unstable"`` or, undecided, ``"border"``; and the largest growth a turn among the
        directions tried.
    """
    shrinks, moduli = 1.0, torch.eye(len(weight), dtype=weight.dtype)
    for open_ in (masks | border).unbind(0):
        part = open_[:, None] * weight
        shrinks *= float(torch.linalg.matrix_norm(part, 2))
        moduli = part.abs() @ moduli
    growth, returned = _grow(weight, masks, border)
    if shrinks < 1 - NEUTRAL or float(torch.linalg.eigvals(moduli).abs().max()) < 1 - NEUTRAL:
        return "stable", growth
    if dimension and shrinks <= 1 + NEUTRAL:
        return "neutral", growth
    return "unstable" if returned > 1 + NEUTRAL else "border", growth


def _grow(weight: Tensor, masks: Tensor, border: Tensor) -> tuple[float, float]:
    """The largest growth a turn found, and the largest of a direction that soon comes back to itself, else 0."""
    hidden = len(weight)
    v = torch.randn(max(256, 8 * hidden), hidden, dtype=weight.dtype, generator=derive(0, "border"))
    v = torch.cat([v, torch.eye(hidden, dtype=weight.dtype), -torch.eye(hidden, dtype=weight.dtype)])
    v = v / v.norm(dim=1, keepdim=True)
    logs, past = [], []
    for _ in range(_TURNS):
        past.append(v)
        for on, at in zip(masks.unbind(0), border.unbind(0), strict=True):
            z = v @ weight.mT
            v = on * z + at * z.relu()
        norms = v.norm(dim=1, keepdim=True)
        logs.append(norms.squeeze(1).log())
        v = v / torch.where(norms == 0, 1.0, norms)
    growth = torch.stack(logs[_TURNS // 2 :]).mean(0).exp()
    returned = 0.0
    for turns in range(1, _BACK + 1):
        same = ((v - past[-turns]).norm(dim=1) <= 1e-6) & (v != 0).any(1)
        grown = (torch.stack(logs[-turns:]).sum(0) / turns).exp()
        returned = max(returned, float(torch.where(same, grown, 0.0).max()))
    return float(growth.max()), returned
