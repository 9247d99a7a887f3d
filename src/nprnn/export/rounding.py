"""Rows of weights to 8 bits, so that the products with what they meet change least, and not the weights themselves."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

MOST = 127
# Shares of the scale at which a row's largest weight is just kept: a smaller scale cuts it off and rounds the rest
# more finely.
_SCALES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
# Of the mean square of the inputs, added to each: weights whose inputs were never seen are still to be near.
_DAMPING = 1e-4
_POLISHING = 400

Matrix = NDArray[np.float64]
Integers = NDArray[np.int64]


def rounded_rows(weight: Matrix, gram: Matrix) -> tuple[Integers, Matrix, Matrix]:
    r"""Integers :math:`\hat w` within ±127 and a scale s for each row that make
    :math:`(s \hat w - w)^\top G (s \hat w - w)` small, which is the mean square error of the row's product with its
    inputs where G is their second moment.

    Weights are rounded one after the other, the error of each made good by those still to come; then single weights
    are moved by 1 as long as that helps.

    Args:
        weight: [R, D].
        gram: G, [D, D] for all rows or [R, D, D].

    Returns:
        Integers [R, D], scales [R] (positive), errors [R].

    Source: the first part is E. Frantar et al., "GPTQ" (2022), algorithm 1; J. Nagel et al., "Up or down?" (2020) is
    the reason for it.
    """
    count, width = weight.shape
    gram = _of_rows(gram)
    diagonal = np.einsum("rii->ri", gram)
    level = diagonal.mean(-1, keepdims=True)
    gram = gram + _DAMPING * np.where(level > 0, level, 1.0)[..., None] * np.eye(width)
    order = np.argsort(-diagonal.mean(0), kind="stable")
    sorted_gram = gram[:, order][:, :, order]
    factor = _factor(sorted_gram)
    full = np.abs(weight).max(1) / MOST
    full = np.where(full > 0, full, 1.0)
    best = np.zeros((count, width), np.int64)
    scales, errors = full.copy(), np.full(count, np.inf)
    for share in _SCALES:
        scale = share * full
        found = np.empty_like(best)
        found[:, order] = _one_by_one(weight[:, order], scale, factor)
        scale = _fitted(weight, found, gram, scale)
        found = _polished(weight, found, scale, gram)
        scale = _fitted(weight, found, gram, scale)
        error = _error(weight, found, scale, gram)
        better = error < errors
        best[better], scales[better], errors[better] = found[better], scale[better], error[better]
    return best, scales, errors


def settled(weight: Matrix, found: Integers, scale: Matrix, gram: Matrix) -> Integers:
    """Integers for scales that are given, with errors no greater than at the start.

    Args:
        weight: [R, D].
        found: integers to start from, within ±127 [R, D].
        scale: [R].
        gram: [D, D] or [R, D, D].

    Returns:
        Integers [R, D].
    """
    return _polished(weight, found, scale, _of_rows(gram))


def _of_rows(gram: Matrix) -> Matrix:
    return gram if gram.ndim == 3 else gram[None]


def _factor(gram: Matrix) -> Matrix:
    """The upper triangular U with G^-1 = U^T U."""
    # By torch, which keeps to its number of threads; numpy's own wait for each other where cores are shared.
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(torch.from_numpy(np.ascontiguousarray(gram))))
    factor: Matrix = torch.linalg.cholesky(inverse).mT.numpy()
    return factor


def _one_by_one(weight: Matrix, scale: Matrix, factor: Matrix) -> Integers:
    left = weight.copy()
    found = np.empty(weight.shape, np.int64)
    for k in range(weight.shape[1]):
        found[:, k] = np.rint(left[:, k] / scale).clip(-MOST, MOST)
        error = (left[:, k] - scale * found[:, k]) / factor[:, k, k]
        left[:, k + 1 :] -= error[:, None] * factor[:, k, k + 1 :]
    return found


def _times(gram: Matrix, rows: Matrix) -> Matrix:
    """G times each row [R, D]."""
    result: Matrix = rows @ gram[0] if len(gram) == 1 else np.einsum("rij,rj->ri", gram, rows)
    return result


def _error(weight: Matrix, found: Integers, scale: Matrix, gram: Matrix) -> Matrix:
    wrong = scale[:, None] * found - weight
    result: Matrix = (wrong * _times(gram, wrong)).sum(1)
    return result


def _fitted(weight: Matrix, found: Integers, gram: Matrix, scale: Matrix) -> Matrix:
    """The scales that suit these integers best; the old one where that is no positive number."""
    seen = _times(gram, found.astype(np.float64))
    square = (seen * found).sum(1)
    fit = (seen * weight).sum(1) / np.where(square > 0, square, 1.0)
    result: Matrix = np.where((square > 0) & (fit > 0), fit, scale)
    return result


def _polished(weight: Matrix, found: Integers, scale: Matrix, gram: Matrix) -> Integers:
    """Move by 1 the weight that helps most, over and over."""
    found = found.copy()
    rows = np.arange(len(found))
    gradient = _times(gram, scale[:, None] * found - weight)
    square = scale[:, None] * np.einsum("rii->ri", gram)
    for _ in range(_POLISHING):
        sign = -np.sign(gradient).astype(np.int64)
        gain = 2 * np.abs(gradient) - square
        gain[np.abs(found + sign) > MOST] = -np.inf
        place = gain.argmax(1)
        moved = np.where(gain[rows, place] > 0, sign[rows, place], 0)
        if not moved.any():
            break
        found[rows, place] += moved
        lines = gram[0][place] if len(gram) == 1 else gram[rows, place]
        gradient += (scale * moved)[:, None] * lines
    return found
