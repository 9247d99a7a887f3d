"""Spectra of the recurrent weight, of the part of it that is active, and how far it is from a normal matrix."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nprnn.dynamics.trajectory import Trajectory
from nprnn.errors import InputError


def eigenvalues(weight: Tensor) -> Tensor:
    """Eigenvalues by falling modulus.

    Args:
        weight: [..., H, H].

    Returns:
        [..., H], complex.

    Raises:
        InputError: not square, or not finite.
    """
    values: Tensor = torch.linalg.eigvals(_square(weight))
    return values.gather(-1, values.abs().argsort(-1, descending=True))


def singular_values(weight: Tensor) -> Tensor:
    """Singular values, falling: the most and the least that one step can stretch a vector, and between.

    Args:
        weight: [..., H, H].

    Returns:
        [..., H].

    Raises:
        InputError: not square, or not finite.
    """
    values: Tensor = torch.linalg.svdvals(_square(weight))
    return values


def spectral_radius(weight: Tensor) -> Tensor:
    """The largest modulus of an eigenvalue.

    Args:
        weight: [..., H, H].

    Returns:
        [...].

    Raises:
        InputError: not square, or not finite.
    """
    values: Tensor = torch.linalg.eigvals(_square(weight))
    return values.abs().amax(-1)


def departure_from_normality(weight: Tensor, *, relative: bool = False) -> Tensor:
    r"""Henrici's :math:`\sqrt{\lVert W \rVert_F^2 - \sum_i |\lambda_i|^2}`, 0 if and only if W is normal.

    It is the Frobenius norm of what stands above the diagonal in a Schur form: the part of the growth over few steps
    that eigenvalues do not tell of.

    Args:
        weight: [..., H, H].
        relative: divide by the Frobenius norm, which gives a number in [0, 1] (0 for W = 0).

    Returns:
        [...]. A difference of squares: what is within rounding of 0, about 1e-7 of the norm, is returned as 0; and no
        more exact than the eigenvalues, which are ill conditioned far from normality.

    Raises:
        InputError: not square, or not finite.

    Source: Henrici 1962.
    """
    w = _square(weight)
    total = w.square().sum((-2, -1))
    rest = total - torch.linalg.eigvals(w).abs().square().sum(-1)
    rounding = 16 * w.shape[-1] * torch.finfo(w.dtype).eps
    departure = torch.where(rest <= rounding * total, 0.0, rest).sqrt()
    return departure / torch.where(total == 0, 1.0, total).sqrt() if relative else departure


def numerical_radius(weight: Tensor, *, angles: int = 64) -> Tensor:
    r""":math:`\max_{\lVert v \rVert = 1} |v^* W v| = \max_\theta \lambda_{\max}\bigl((e^{i\theta} W + e^{-i\theta}
    W^\top) / 2\bigr)`.

    Between the spectral radius and the largest singular value, and at least half of that; powers grow no further than
    :math:`\lVert W^n \rVert \le 2 w^n`.

    Args:
        weight: [..., H, H].
        angles: grid points for θ in [0, π], and again around the best one.

    Returns:
        [...], from below; the grid alone is within 1 - cos(π / (2 ``angles``)) of it, 3e-4 for 64.

    Raises:
        InputError: not square, not finite, or fewer than two angles.
    """
    w = _square(weight)
    if angles < 2:
        raise InputError(f"numerical_radius needs at least 2 angles, got {angles}")
    spacing = math.pi / angles
    thetas = torch.linspace(0, math.pi, angles + 1, dtype=w.dtype)
    coarse = torch.stack([_reach(w, theta.expand(w.shape[:-2])) for theta in thetas])
    best, at = coarse.max(0)
    for shift in torch.linspace(-spacing, spacing, angles + 1, dtype=w.dtype):
        best = torch.maximum(best, _reach(w, thetas[at] + shift))
    return best


def active_radii(path: Trajectory, *, every: int = 1) -> Tensor:
    r"""The spectral radius of :math:`D_t W_{hh}`, what the masks leave of the recurrent weight, along a trajectory.

    One step's radius, not a growth: masks that change from step to step can make a product grow slower, or faster,
    than every factor.

    Args:
        path: a trajectory, of E networks or one.
        every: look at every so many steps, the last one among them.

    Returns:
        [T', B], T' = ⌈T / every⌉.

    Raises:
        InputError: ``every`` below 1.
    """
    if every < 1:
        raise InputError(f"every must be at least 1, got {every}")
    slopes = path.slopes.flip(-3)[..., ::every, :, :].flip(-3)
    weight = path.system.weight_hh
    lead = slopes.shape[:-3]
    radii = []
    for k, member in enumerate(slopes.reshape(-1, *slopes.shape[-3:])):
        w = weight[k] if weight.dim() > 2 else weight
        # Masks repeat once the inputs stop mattering: each is decomposed once.
        unique, where = member.flatten(0, 1).unique(dim=0, return_inverse=True)
        each = torch.stack([_radius_of_active(d, w) for d in unique])
        radii.append(each[where].view(member.shape[:2]))
    return torch.stack(radii).view(*lead, *slopes.shape[-3:-1])


def _radius_of_active(slopes: Tensor, weight: Tensor) -> Tensor:
    """Rows of 0 add eigenvalues of 0: those of the rows and columns that are left are the others."""
    on = slopes.nonzero().squeeze(-1)
    if not len(on):
        return weight.new_zeros(())
    values: Tensor = torch.linalg.eigvals(slopes[on, None] * weight[on][:, on])
    return values.abs().amax()


def _reach(w: Tensor, theta: Tensor) -> Tensor:
    """How far the field of values reaches in the direction -θ."""
    turned = torch.polar(torch.ones_like(theta), theta)[..., None, None] * w
    values: Tensor = torch.linalg.eigvalsh((turned + turned.mH) / 2)
    return values[..., -1]


def _square(weight: Tensor) -> Tensor:
    if weight.dim() < 2 or weight.shape[-1] != weight.shape[-2] or weight.shape[-1] == 0:
        raise InputError(f"a recurrent weight is square, [..., H, H] with H >= 1; got shape {tuple(weight.shape)}")
    if not bool(weight.isfinite().all()):
        raise InputError("the weight holds NaN or infinite values: it has no spectrum")
    return weight.detach().to("cpu", torch.float64)
