"""Factors per step and what they leave, as a person reads them: near 1 the digits that matter, far from it powers."""

from __future__ import annotations

import math


def near(value: float) -> str:
    """A factor with three decimals, and with two digits of what it lacks to 1 where that is less than a hundredth."""
    away = abs(value - 1)
    if 0 < value < 0.001:
        return f"{value:.1e}".replace("-", "−")
    return f"{value:.3f}" if away >= 0.01 or away < 5e-8 else f"{value:.{1 - math.floor(math.log10(away))}f}"


def ten(log: float) -> str:
    """A factor by its logarithm to base 10: as it is where it is near 1, else as a power of ten."""
    if math.isinf(log) or math.isnan(log):
        return "–" if math.isnan(log) else "∞" if log > 0 else "0"
    if -2 <= log < 3:
        return f"{10**log:.3g}"
    return f"10^{log:.{1 if abs(log) < 10 else 0}f}".replace("-", "−")
