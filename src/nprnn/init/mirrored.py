r"""A start that keeps np-RNN's idea and survives the ReLU: units in pairs, each the other's mirror image.

Let P = ⌊H/2⌋ and, with A a P x P matrix,

.. math::
    W_{hh} = \begin{pmatrix} A & -A \\ -A & A \end{pmatrix}, \quad
    W_{hx} = \begin{pmatrix} U \\ -U \end{pmatrix}, \quad b = \begin{pmatrix} \beta \\ -\beta \end{pmatrix}.

Write the state as :math:`h = (p, q)` and :math:`s = p - q`. What reaches the two halves is :math:`z` and :math:`-z`
with :math:`z_t = A s_{t-1} + U x_t + \beta`, and :math:`f(z) - f(-z) = z` for the ReLU. So

1. **The network is linear at the start**: :math:`s_t = A s_{t-1} + U x_t + \beta`, whatever the inputs; a signed
   quantity is held as its positive and its negative part.
2. **Gradients meet no mask**: let :math:`D = \mathrm{diag}(m, 1 - m)` be the mask of a step at which no entry of
   :math:`z` is 0. Then :math:`W_{hh}^\top D (y, -y) = (A^\top y, -A^\top y)`, because
   :math:`m y + (1 - m) y = y`, and the gradient has that form one step behind the loss. Its growth is that of
   :math:`A^\top` alone.
3. **It neither grows nor decays**: A is symmetric with one eigenvalue 1, the rest in (0, 0.9], so after n steps

   .. math:: |c_1| \le \|y\| \le |c_1| \sqrt{1 + 0.9^{2n} (\|c\|^2 / c_1^2 - 1)},

   c being the first y in the eigenbasis of A: the factor of a further step tends to 1 as :math:`0.81^n` tends to 0.

Eq. 9 normalises W_hh as if nothing were clipped. Here the network that is clipped is the one normalised: W_hh itself
has the eigenvalue 2, and the ReLU takes half of it. The eigenvector v of A is non-negative, so that the state along it,
(v, 0) or (0, v), is a Perron vector of its region's :math:`D W_{hh}`.

With h_0 = 0, b = 0 and inputs that begin with zeros (the black rim of a picture) every z is 0, all units of any ReLU
network are off, and no gradient passes; so b is not 0 here but :math:`\beta = 0.001\, v`, which turns one unit of
each pair on.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nprnn.errors import InputError
from nprnn.init.weights import _check_square, _fill_square_

SECOND = 0.9
BIAS = 1e-3


def mirrored_positive_definite_(
    tensor: Tensor, *, second: float = SECOND, generator: torch.Generator | None = None
) -> Tensor:
    r"""Fill with the recurrent weight of the mirrored start, [[A, -A], [-A, A]].

    A is np-RNN's start for half the units, with its eigenvalues below the first scaled so that the second is at most
    ``second``, and the signs of its units chosen so that its leading eigenvector is non-negative.

    Args:
        tensor: [..., N, N], floating point; leading dimensions are independent draws. Of an odd N the last unit is left
            over, without recurrence.
        second: the largest eigenvalue of A but one, between 0 and 1.
        generator: source of the random numbers.

    Returns:
        ``tensor``.

    Raises:
        InputError: not square, not floating point, or ``second`` out of range.

    Source: this module's head; Eq. 9 for A.
    """
    if not 0 < second < 1:
        raise InputError(f"second must be between 0 and 1, got {second}")

    def start(shape: torch.Size, device: torch.device) -> Tensor:
        pairs = shape[-1] // 2
        w = torch.zeros(shape, dtype=torch.float64, device=device)
        if pairs == 0:
            return w
        r = torch.randn((*shape[:-2], pairs, pairs), dtype=torch.float64, device=device, generator=generator)
        product = r.mT @ r / pairs
        values, vectors = torch.linalg.eigh((product + product.mT) / 2)
        values = (values + 1) / (values[..., -1:] + 1)
        if pairs > 1:
            # All but the first by one factor, which is 1 where the second is small enough.
            values[..., :-1] *= (second / values[..., -2:-1]).clamp(max=1)
        signs = torch.where(vectors[..., -1:] < 0, -1.0, 1.0).to(vectors)
        vectors = vectors * signs
        a = vectors * values[..., None, :] @ vectors.mT
        return in_pairs_(w, (a + a.mT) / 2)

    return _fill_square_(tensor, start)


def mirror_(weight_ih: Tensor | None, weight_hh: Tensor, biases: Sequence[Tensor]) -> Sequence[Tensor]:
    """Make the input weight and the biases fit a recurrent weight by ``mirrored_positive_definite_``.

    Args:
        weight_ih: [H, I]: rows P to 2P become the negatives of the first P; None is left out.
        weight_hh: [H, H], filled already.
        biases: [H] each: the first becomes (β, -β), the others 0.

    Returns:
        ``biases``.

    Raises:
        InputError: ``weight_hh`` is not square.

    Source: this module's head.
    """
    _check_square(weight_hh)
    pairs = weight_hh.shape[-1] // 2
    leading = torch.zeros(pairs)
    if pairs and biases and not weight_hh.is_meta:
        half = weight_hh.detach()[:pairs, :pairs].to("cpu", torch.float64)
        leading = torch.linalg.eigh(half).eigenvectors[:, -1].abs()
    return mirror_inputs_(weight_ih, biases, BIAS * leading)


def in_pairs_(weight: Tensor, a: Tensor) -> Tensor:
    """Write [[A, -A], [-A, A]] into the first 2P rows and columns of ``weight`` [..., N, N]; ``a`` is [..., P, P]."""
    pairs = a.shape[-1]
    first, last = slice(0, pairs), slice(pairs, 2 * pairs)
    for rows, columns, sign in ((first, first, 1), (first, last, -1), (last, first, -1), (last, last, 1)):
        weight[..., rows, columns] = sign * a
    return weight


def mirror_inputs_(weight_ih: Tensor | None, biases: Sequence[Tensor], beta: Tensor) -> Sequence[Tensor]:
    """Write (U, -U) into the input weight, U being its first P rows, and (β, -β) into the first bias; the others are 0.

    Args:
        weight_ih: [H, I], or None.
        biases: [H] each.
        beta: [P].

    Returns:
        ``biases``.
    """
    pairs = len(beta)
    with torch.no_grad():
        if weight_ih is not None:
            weight_ih[pairs : 2 * pairs] = -weight_ih[:pairs]
        for bias in biases:
            bias.zero_()
        for bias in biases[:1]:
            bias[:pairs] = beta.to(bias)
            bias[pairs : 2 * pairs] = -bias[:pairs]
    return biases
