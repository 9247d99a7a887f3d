"""Words of linear regions: which units are on, step by step, along an orbit of a ReLU network."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def compose(words: Tensor, weight: Tensor, drive: Tensor) -> tuple[Tensor, Tensor]:
    """The affine map of k steps in which just those units are on, h to P h + q.

    Args:
        words: [S, k, H], true where a unit is on.
        weight: W_hh [H, H].
        drive: constant W_hx x + b [H].

    Returns:
        P [S, H, H] and q [S, H].
    """
    p = torch.eye(len(weight), dtype=weight.dtype).expand(len(words), -1, -1)
    q = weight.new_zeros(len(words), len(weight))
    for on in words.unbind(1):
        p = on[..., None] * (weight @ p)
        q = on * (q @ weight.mT + drive)
    return p, q


def follow(h: Tensor, words: Tensor, weight: Tensor, drive: Tensor | float) -> tuple[Tensor, Tensor]:
    """The states [S, k, H] from ``h`` [S, H] on and what each step puts before the ReLU [S, k, H], if just those units
    are on; with a ``drive`` of 0 it carries tangents."""
    states, before = [], []
    for on in words.unbind(1):
        z = h @ weight.mT + drive
        states.append(h)
        before.append(z)
        h = on * z
    return torch.stack(states, 1), torch.stack(before, 1)


def all_words(hidden: int, linear_units: int, period: int) -> Tensor:
    """Every word of that length once, up to rotation, those with most units on first.

    Args:
        hidden: H.
        linear_units: the first so many units are always on.
        period: k.

    Returns:
        [S, k, H], true where a unit is on.
    """
    free = hidden - linear_units
    count = 2**free
    codes = torch.arange(count**period)
    letters = torch.stack([codes // count**j % count for j in reversed(range(period))], 1)
    powers = count ** torch.arange(period - 1, -1, -1)
    smallest = torch.stack([(letters.roll(j, 1) * powers).sum(1) for j in range(period)]).amin(0)
    letters = letters[smallest == codes]
    on = (letters[..., None] >> torch.arange(free)) & 1 > 0
    words = torch.cat([on.new_ones(*on.shape[:2], linear_units), on], -1)
    return words[words.sum((1, 2)).argsort(descending=True, stable=True)]


def repeats_after(word: Tensor) -> int:
    """The least number of steps after which a word [k, H] goes on as from its beginning; k for most."""
    return next(j for j in divisors(len(word)) if torch.equal(word.roll(j, 0), word))


def divisors(k: int) -> Iterator[int]:
    """The divisors of k, rising."""
    return (j for j in range(1, k + 1) if k % j == 0)


def canonical(word: Tensor) -> bytes:
    """The same key for all rotations of a word [k, H]."""
    return min(bytes(word.roll(j, 0).flatten().to(torch.uint8).tolist()) for j in range(len(word)))
