"""The numbers of planes and of gradients at the start as a person reads them."""

from __future__ import annotations

from nprnn.experiments.planes import FateVerdict, Plane

NOTHING = "–"
# Colours by what a factor per step does: shrink, keep, grow. The words beside them say the same.
SHRINKS, KEEPS, GROWS = "#0072B2", "#00795A", "#C24E00"


def growth_colour(growth: float) -> str:
    """Blue below 1, green at 1, vermilion above."""
    return KEEPS if growth == 1 else SHRINKS if growth < 1 else GROWS


def times(growth: float) -> str:
    """A factor per step such as "×0.75"."""
    return f"×{growth:.3g}"


def coordinates(v: tuple[float, float]) -> str:
    """A vector in two decimals."""
    return f"({v[0]:.2f}, {v[1]:.2f})".replace("-", "−")


def fixed_words(plane: Plane) -> str:
    """What stands still, and whether it attracts."""
    parts = []
    for fixed in plane.fixed:
        if fixed.dimension == 2:
            parts.append("every state")
        elif fixed.dimension == 1:
            direction = fixed.directions[0]
            ray = direction if sum(direction) > 0 else (-direction[0], -direction[1])
            parts.append(f"the ray along {coordinates(ray)}, {fixed.stability}")
        else:
            parts.append(f"the origin, {origin_stability(plane)}")
    return "; ".join(parts)


def origin_stability(plane: Plane) -> str:
    """Of the origin as a fixed point that stands alone: what its region's multipliers leave open the rays decide."""
    return "stable" if plane.growth < 1 else "unstable" if plane.growth > 1 else "neutral"


def verdict_word(verdict: FateVerdict) -> str:
    """Whether the paper's claim is true there."""
    return "holds" if verdict.holds else "does not hold"
