"""The explorer opened at a network that there is: its settings out of weights and a bias."""

from __future__ import annotations

import math

import torch

from nprnn.dynamics import System
from nprnn.reporting.explorer.explorer import settings


def explorer_settings(system: System) -> dict[str, float] | None:
    r"""The settings of the explorer's page at which it shows a network.

    W = V diag(λ₁, λ₂) V⁻¹ with λ₁ ≥ λ₂; θ in (−90°, 90°] is the direction of v₁, φ in (0°, 180°) the angle from v₁ to
    v₂.

    Args:
        system: two ReLU units; its inputs are left out.

    Returns:
        λ₁, λ₂, θ, φ and the biases by the names of ``settings()``, for ``write_explorer`` and for the page's address;
        None for another network, for eigenvalues that are no real numbers, and for what is beyond the page's ranges.
    """
    if system.hidden != 2 or system.nonlinearity != "relu" or system.linear_units or system.ensemble is not None:
        return None
    values, vectors = torch.linalg.eig(system.weight_hh)
    if bool(values.imag.any()):
        return None
    order = values.real.argsort(descending=True, stable=True)
    angles = [math.degrees(math.atan2(float(y), float(x))) for x, y in vectors.real.mT[order].tolist()]
    theta = 90 - (90 - angles[0]) % 180
    first, second = values.real[order].tolist()
    found = {"l1": first, "l2": second, "angle": theta, "between": (angles[1] - theta) % 180}
    found |= dict(zip(("b1", "b2"), system.bias.tolist(), strict=True))
    known = settings()
    inside = all(known[name].low <= value <= known[name].high for name, value in found.items())
    return found if inside else None


def explorer_address(system: System) -> str | None:
    """What follows the page's name in an address that opens it at a network, or None; see ``explorer_settings``."""
    found = explorer_settings(system)
    return None if found is None else "#" + "&".join(f"{name}={value:.6g}" for name, value in found.items())
