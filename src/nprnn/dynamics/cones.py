"""Points inside convex sets given by linear inequalities: what is needed to find where a set of orbits lies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# A cone that is narrower than this (in radians, about) counts as empty.
_NARROW = 1e-7


def interior(rows: Array, offsets: Array, strict: NDArray[np.bool_], tolerance: float) -> Array | None:
    r"""A point a with :math:`r_i a + o_i > 0` for strict rows, and :math:`\ge 0` for the others.

    Of the rows that need not be strict as many are made so as can be: the point lies in the relative interior.

    Args:
        rows: r [M, D].
        offsets: o [M].
        strict: which rows have to be positive [M].
        tolerance: below which numbers count as 0.

    Returns:
        a [D]; None if there is none.

    Source: least-distance programming, Lawson & Hanson 1974, chapter 23.
    """
    # Scaled by a further coordinate s > 0 all becomes a cone: (r, o)·(a s, s) > 0.
    cone = np.concatenate([rows, offsets[:, None]], 1)
    sizes = np.linalg.norm(rows, axis=1)
    constant = sizes <= tolerance
    if (offsets[constant & strict] <= tolerance).any() or (offsets[constant] < -tolerance).any():
        return None
    cone, strict = cone[~constant], strict[~constant]
    cone = np.concatenate([cone / np.linalg.norm(cone, axis=1, keepdims=True), np.eye(1, cone.shape[1], rows.shape[1])])
    strict = np.append(strict, True)
    point = _least(cone, np.ones(len(cone)))
    if point is None:
        point = _least(cone, strict.astype(float))
        if point is None:
            return None
        # The mean of points of a convex set is positive wherever one of them is.
        for i in np.flatnonzero(~strict):
            other = _least(cone, (strict | (np.arange(len(cone)) == i)).astype(float))
            point = point if other is None else point + other
    inside: Array = point[:-1] / point[-1]
    return inside


def _least(g: Array, h: Array) -> Array | None:
    """The x of least norm with g x >= h, or None."""
    e = np.concatenate([g.T, h[None]])
    f = np.zeros(len(e))
    f[-1] = 1
    residual = e @ nonnegative_least_squares(e, f) - f
    if np.linalg.norm(residual) <= _NARROW:
        return None
    x: Array = -residual[:-1] / residual[-1]
    return x


def nonnegative_least_squares(a: Array, b: Array) -> Array:
    """The u >= 0 that makes ‖a u - b‖ least.

    Args:
        a: [M, N].
        b: [M].

    Returns:
        u [N].

    Source: Lawson & Hanson 1974, algorithm NNLS.
    """
    n = a.shape[1]
    u, free = np.zeros(n), np.zeros(n, bool)
    tolerance = 10 * np.finfo(float).eps * max(a.shape) * max(float(np.abs(a).max()), 1.0)
    for _ in range(3 * n + 10):
        gain = np.where(free, -np.inf, a.T @ (b - a @ u))
        enter = int(gain.argmax())
        if gain[enter] <= tolerance:
            break
        free[enter] = True
        while True:
            s = np.zeros(n)
            s[free] = np.linalg.lstsq(a[:, free], b, rcond=None)[0]
            if (s[free] > 0).all():
                break
            falling = free & (s <= 0)
            u = u + (u[falling] / (u[falling] - s[falling])).min() * (s - u)
            free &= u > tolerance
            u[~free] = 0
            if not free.any():
                break
        u = np.where(free, s, 0.0)
    return u
