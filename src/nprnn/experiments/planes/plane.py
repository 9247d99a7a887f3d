"""One phase plane: two units without input or bias, where their states go, and how that is known for all of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from nprnn.dynamics import System, find_fixed_points, run
from nprnn.experiments.planes.spec import Case, Fate, Frame, Planes

Point = tuple[float, float]
# What rounding leaves of an eigenvalue of 1, or of a coordinate of 0.
_ROUNDING = 1e-12


class Ray(NamedTuple):
    """A direction of the quadrant that a step keeps.

    Attributes:
        direction: of length 1, no entry below 0.
        growth: by which a step multiplies what lies on it.
    """

    direction: Point
    growth: float


class FixedSet(NamedTuple):
    """A fixed point, or a set of them, as ``nprnn.dynamics`` found it.

    Attributes:
        dimension: 0 for a point, 1 for a line, 2 where every state stands still.
        point: one of it.
        directions: that span it.
        stability: stable, neutral, unstable, or border where that module proves neither.
    """

    dimension: int
    point: Point
    directions: list[Point]
    stability: str


class Plane(NamedTuple):
    r"""A case in a frame.

    Attributes:
        case: its name.
        frame: its name.
        weight: W_hh by rows, in the coordinates that the ReLU acts on.
        rays: the invariant ones, by falling growth.
        fixed: all fixed points.
        growth: the fastest in the long run, per step.
        fate: what that means for what grows so.
        paths: states from each start on [start][step], the start first.
    """

    case: str
    frame: str
    weight: list[Point]
    rays: list[Ray]
    fixed: list[FixedSet]
    growth: float
    fate: Fate
    paths: list[list[Point]]


class Turn(NamedTuple):
    """The fastest long-run growth of a case whose leading eigenvector is at an angle, in degrees."""

    case: str
    angle: float
    growth: float


def plane(experiment: Planes, case: Case, frame: Frame) -> Plane:
    """Work out a case in a frame."""
    weight = recurrent_weight(case, frame.angle)
    system = System(weight, None, torch.zeros(2, dtype=torch.float64))
    starts = torch.tensor(experiment.starts, dtype=torch.float64)
    paths = torch.cat([starts[None], run(system, None, starts, steps=experiment.steps).states])
    fixed = [
        FixedSet(
            orbit.dimension,
            _point(orbit.points[0]),
            [_point(column) for column in orbit.directions.mT],
            orbit.stability,
        )
        for orbit in find_fixed_points(system).found
    ]
    rays = invariant_rays(weight)
    growth = rays[0].growth
    return Plane(
        case.name,
        frame.name,
        [_point(row) for row in weight],
        rays,
        fixed,
        growth,
        _fate(growth, max(entry.dimension for entry in fixed)),
        [[_point(state) for state in path] for path in paths.transpose(0, 1)],
    )


def turned(case: Case, angles: range) -> list[Turn]:
    """The fastest long-run growth of a case on units, for leading eigenvectors at these angles in degrees."""
    return [Turn(case.name, float(a), invariant_rays(recurrent_weight(case, float(a)))[0].growth) for a in angles]


def recurrent_weight(case: Case, angle: float | None) -> Tensor:
    r""":math:`W = \lambda_2 I + (\lambda_1 - \lambda_2) v v^\top` with v at the angle; diagonal for None.

    Args:
        case: has the eigenvalues.
        angle: in degrees, to the axis of unit 1.

    Returns:
        [2, 2], symmetric positive definite.
    """
    leading, other = case.eigenvalues
    if angle is None:
        return torch.diag(torch.tensor([leading, other], dtype=torch.float64))
    v = torch.tensor([math.cos(math.radians(angle)), math.sin(math.radians(angle))], dtype=torch.float64)
    v = torch.where(v.abs() < _ROUNDING, 0.0, v)
    return other * torch.eye(2, dtype=torch.float64) + (leading - other) * torch.outer(v, v)


def invariant_rays(weight: Tensor) -> list[Ray]:
    r"""The rays of the quadrant that :math:`h \mapsto \max(0, W h)` keeps, by falling growth.

    With W symmetric positive definite a step turns the directions of the quadrant continuously and in order, and never
    gives 0 (:math:`h^\top W h > 0`, so some unit stays on). In order and bounded, a direction comes to rest: every
    state ends up along one of these rays, and grows as that one does. A ray from which neighbours turn away keeps no
    state but its own, so almost every state grows as the ray that draws it; with more than one such, the fastest is
    told.

    Args:
        weight: [2, 2], symmetric positive definite.

    Returns:
        At least one ray. Where all directions are kept (W a multiple of the identity), the two axes.
    """
    values, vectors = torch.linalg.eigh(weight)
    rays = []
    for value, vector in zip(values.tolist(), vectors.mT, strict=True):
        v = vector if float(vector.sum()) > 0 else -vector
        if bool((v >= -_ROUNDING).all()):
            rays.append(Ray(_point(torch.where(v.abs() < _ROUNDING, 0.0, v)), _tidy(value)))
    for unit, axis in enumerate(((1.0, 0.0), (0.0, 1.0))):
        # The other unit stays off; at exactly 0 the axis is an eigenvector and is there already.
        if float(weight[1 - unit, unit]) < -_ROUNDING:
            rays.append(Ray(axis, _tidy(float(weight[unit, unit]))))
    return sorted(rays, key=lambda ray: (-ray.growth, ray.direction[1]))


def _fate(growth: float, dimension: int) -> Fate:
    if growth != 1:
        return "diverges" if growth > 1 else "falls to the origin"
    return "stands still" if dimension == 2 else "comes to rest on a line"


def _tidy(value: float) -> float:
    return 1.0 if abs(value - 1) < _ROUNDING else value


def _point(v: Tensor) -> Point:
    x, y = v.tolist()
    # Not -0.
    return x + 0.0, y + 0.0
