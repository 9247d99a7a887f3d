"""One function per weight of the paper, in the manners of ``torch.nn.init``.

Each fills its tensor in place under ``no_grad`` and returns it, takes a ``generator``, works for any floating dtype and
device, and treats leading dimensions as a batch of independent draws. Draws are made in float64 and then rounded, so
one seed gives the same start (up to rounding) in every dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from nprnn.errors import InputError

Fan = Literal["hidden", "in"]


def alpha(n: int) -> float:
    r"""The gain of Eq. 10: :math:`\alpha(N) = \sqrt 2 \exp\bigl(1.2 / (\max(N, 6) - 2.4)\bigr)`.

    Args:
        n: the N of Eq. 10, a number of units (at least 1).

    Returns:
        The gain, without unit; ``alpha(100)`` is 1.43171.

    Raises:
        InputError: ``n`` is below 1.

    Source: Eq. 10, after Sussillo & Abbott. The parenthesis closes after 2.4: ``exp(1.2 / max(N, 6) - 2.4)``, seen in
    public code, is ten times too small.
    """
    if n < 1:
        raise InputError(f"alpha(N) needs N >= 1, got {n}")
    return math.sqrt(2.0) * math.exp(1.2 / (max(n, 6) - 2.4))


def normalized_positive_definite_(
    tensor: Tensor, *, power: int = 1, generator: torch.Generator | None = None
) -> Tensor:
    r"""Fill with the np-RNN start: symmetric positive definite, largest eigenvalue 1, all others below.

    :math:`A = R^\top R / N^p` with :math:`R_{ij} \sim \mathcal N(0, 1)`, :math:`e = \lambda_{\max}(A + I)`, and
    :math:`W_{hh} = (A + I) / e`.

    Args:
        tensor: [..., N, N], floating point; leading dimensions are independent draws.
        power: p. 1 is Eq. 9 as printed (at N = 100 the spectrum fills about [0.19, 1]); 2 is the ``1/N²`` reading,
            which is close to the identity (about [0.96, 1]).
        generator: source of the random numbers.

    Returns:
        ``tensor``.

    Raises:
        InputError: not square, or not floating point.

    Source: Eq. 9. Eigenvalues are computed in float64 whatever the dtype.
    """

    def start(shape: torch.Size, device: torch.device) -> Tensor:
        n = shape[-1]
        r = torch.randn(shape, dtype=torch.float64, device=device, generator=generator)
        # A matrix product need not round symmetrically; eigvalsh reads one triangle only.
        a = r.mT @ r / n**power
        b = (a + a.mT) / 2 + torch.eye(n, dtype=torch.float64, device=device)
        largest: Tensor = torch.linalg.eigvalsh(b)[..., -1]
        normalized: Tensor = b / largest[..., None, None]
        return normalized

    return _fill_square_(tensor, start)


def identity_(tensor: Tensor, scale: float = 1.0) -> Tensor:
    r"""Fill with :math:`s I`: IRNN for ``scale`` 1, iRNN for 0.01.

    Args:
        tensor: [..., N, N], floating point.
        scale: s.

    Returns:
        ``tensor``.

    Raises:
        InputError: not square, or not floating point.

    Source: Table 1.
    """
    return _fill_square_(tensor, lambda shape, device: scale * torch.eye(shape[-1], dtype=torch.float64, device=device))


def normalized_gaussian_(tensor: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    r"""Fill with nRNN's start: :math:`G / \rho(G)`, :math:`G_{ij} \sim \mathcal N(0, 1)`, :math:`\rho` the spectral
    radius.

    Args:
        tensor: [..., N, N], floating point; leading dimensions are independent draws.
        generator: source of the random numbers.

    Returns:
        ``tensor``; its largest eigenvalue has modulus 1, and it is not positive definite.

    Raises:
        InputError: not square, or not floating point.

    Source: Table 1.
    """

    def start(shape: torch.Size, device: torch.device) -> Tensor:
        g = torch.randn(shape, dtype=torch.float64, device=device, generator=generator)
        radius: Tensor = torch.linalg.eigvals(g).abs().amax(-1)
        normalized: Tensor = g / radius[..., None, None]
        return normalized

    return _fill_square_(tensor, start)


def orthogonal_(tensor: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    r"""Fill with oRNN's start: a uniformly (Haar) distributed orthogonal matrix.

    Unlike ``torch.nn.init.orthogonal_``, leading dimensions are a batch of independent matrices.

    Args:
        tensor: [..., N, N], floating point.
        generator: source of the random numbers.

    Returns:
        ``tensor``.

    Raises:
        InputError: not square, or not floating point.

    Source: Table 1.
    """

    def start(shape: torch.Size, device: torch.device) -> Tensor:
        q, r = torch.linalg.qr(torch.randn(shape, dtype=torch.float64, device=device, generator=generator))
        # QR alone favours some matrices; with R's diagonal made positive the draw is uniform.
        signs = torch.where(torch.diagonal(r, dim1=-2, dim2=-1) < 0, -1.0, 1.0).to(q.dtype)
        uniform: Tensor = q * signs[..., None, :]
        return uniform

    return _fill_square_(tensor, start)


def gaussian_(tensor: Tensor, *, variance: float | None = None, generator: torch.Generator | None = None) -> Tensor:
    r"""Fill with gRNN's start: :math:`\mathcal N(0, v)`.

    Args:
        tensor: [..., N, N], floating point.
        variance: v; the paper leaves it open, and None means 1/N (spectral radius about 1).
        generator: source of the random numbers.

    Returns:
        ``tensor``.

    Raises:
        InputError: not square, not floating point, or a negative variance.

    Source: Table 1.
    """
    if variance is not None and not variance >= 0:
        raise InputError(f"gaussian_ needs a variance >= 0, got {variance}")

    def start(shape: torch.Size, device: torch.device) -> Tensor:
        std = math.sqrt(1 / shape[-1] if variance is None else variance)
        return std * torch.randn(shape, dtype=torch.float64, device=device, generator=generator)

    return _fill_square_(tensor, start)


def input_weight_(tensor: Tensor, *, fan: Fan = "hidden", generator: torch.Generator | None = None) -> Tensor:
    r"""Fill W_hx with :math:`\alpha(N)\, \mathcal N(0, 1/N)`: standard deviation :math:`\alpha(N) / \sqrt N`.

    Args:
        tensor: [..., H, I], floating point.
        fan: what N is, which the paper leaves open: ``"hidden"`` (H, the order of the paper's sentence; std 0.143 at
            H = 100) or ``"in"`` (I; std 1.396 at I = 2).
        generator: source of the random numbers.

    Returns:
        ``tensor``.

    Raises:
        InputError: fewer than two dimensions, not floating point, or an unknown ``fan``.

    Source: section 3, Eq. 10.
    """
    if fan not in ("hidden", "in"):
        raise InputError(
            f"fan must be 'hidden' (N = number of hidden units) or 'in' (N = number of inputs), got {fan!r}"
        )

    def start(shape: torch.Size, device: torch.device) -> Tensor:
        n = shape[-2] if fan == "hidden" else shape[-1]
        draw = torch.randn(shape, dtype=torch.float64, device=device, generator=generator)
        return draw * (alpha(n) / math.sqrt(n))

    return _fill_(tensor, start)


def output_weight_(tensor: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    r"""Fill W_yh with :math:`\mathcal N\bigl(0, 2 / (\text{fan\_in} + \text{fan\_out})\bigr)`.

    Args:
        tensor: [..., O, H], floating point.
        generator: source of the random numbers.

    Returns:
        ``tensor``.

    Raises:
        InputError: fewer than two dimensions, or not floating point.

    Source: section 3 (2/(fan_in + fan_out) is the variance, not the standard deviation).
    """

    def start(shape: torch.Size, device: torch.device) -> Tensor:
        draw = torch.randn(shape, dtype=torch.float64, device=device, generator=generator)
        return draw * math.sqrt(2.0 / (shape[-1] + shape[-2]))

    return _fill_(tensor, start)


def split_diagonal(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Split W_hh as piecewise-linear RNNs hold it: a diagonal A and an off-diagonal W, with ``diag(A) + W = weight``.

    Args:
        weight: [..., N, N].

    Returns:
        The diagonal [..., N] and the rest [..., N, N] with an exactly zero diagonal; both are new tensors, and
        differentiable.

    Raises:
        InputError: not square, or not floating point.
    """
    _check_square(weight)
    diagonal = torch.diagonal(weight, dim1=-2, dim2=-1).clone()
    off = torch.eye(weight.shape[-1], dtype=torch.bool, device=weight.device)
    return diagonal, weight.masked_fill(off, 0.0)


def is_normalized_positive_definite(weight: Tensor, tol: float | None = None) -> bool:
    """Whether every matrix of a batch is what ``normalized_positive_definite_`` promises.

    That is: symmetric; smallest eigenvalue above 0; largest eigenvalue 1; every other eigenvalue below 1 (so the
    identity is not one).

    Args:
        weight: [..., N, N].
        tol: how far entries may be from symmetry, and the largest eigenvalue from 1; how far the second eigenvalue must
            stay below 1. None means 1e-6, or twice the spacing of the dtype at 1 where that is coarser (in bfloat16
            that is coarser than the gap between the first two eigenvalues of about one start in twenty at N = 100).

    Returns:
        True or False; False for non-finite matrices.

    Raises:
        InputError: not square, or not floating point.

    Source: section 3 (the start), section 2, Fig. 2c (why the others lie below 1).
    """
    _check_square(weight)
    if tol is None:
        tol = max(1e-6, 2 * torch.finfo(weight.dtype).eps)
    w = weight.detach().to(torch.float64)
    if not bool(w.isfinite().all()) or bool(((w - w.mT).abs() > tol).any()):
        return False
    values = torch.linalg.eigvalsh((w + w.mT) / 2)
    ok = (values[..., 0] > 0) & ((values[..., -1] - 1).abs() <= tol)
    if weight.shape[-1] > 1:
        ok &= values[..., -2] < 1 - tol
    return bool(ok.all())


_Draw = Callable[[torch.Size, torch.device], Tensor]


def _fill_(tensor: Tensor, draw: _Draw) -> Tensor:
    if tensor.dim() < 2 or 0 in tensor.shape[-2:]:
        raise InputError(f"a weight is a matrix, [..., rows, columns] and not empty; got shape {tuple(tensor.shape)}")
    if not tensor.is_floating_point():
        raise InputError(f"a weight must be floating point, got {tensor.dtype}")
    if tensor.is_meta:
        return tensor
    # MPS has no float64: draw and decompose on the CPU there.
    device = torch.device("cpu") if tensor.device.type == "mps" else tensor.device
    with torch.no_grad():
        return tensor.copy_(draw(tensor.shape, device))


def _fill_square_(tensor: Tensor, draw: _Draw) -> Tensor:
    _check_square(tensor)
    return _fill_(tensor, draw)


def _check_square(weight: Tensor) -> None:
    if weight.dim() < 2 or weight.shape[-1] != weight.shape[-2] or weight.shape[-1] == 0:
        raise InputError(f"a recurrent weight is square, [..., N, N] with N >= 1; got shape {tuple(weight.shape)}")
    if not weight.is_floating_point():
        raise InputError(f"a recurrent weight must be floating point, got {weight.dtype}")
