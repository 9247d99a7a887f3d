"""Fixed points and cycles of a ReLU network under constant input: all where there are few regions, else a search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict, Unpack

import torch
from torch import Tensor

from nprnn.dynamics import words as region
from nprnn.dynamics.orbits import Field, Orbit, within_closure
from nprnn.dynamics.system import System
from nprnn.errors import InputError


@dataclass(frozen=True)
class Orbits:
    """What was found.

    Attributes:
        found: the orbits, those with most units on first.
        period: k.
        exhaustive: whether every region was looked at. If not, more orbits may exist.
        examined: how many words of regions were looked at.
    """

    found: tuple[Orbit, ...]
    period: int
    exhaustive: bool
    examined: int


class Search(TypedDict, total=False):
    """How ``find_cycles`` looks: its arguments of these names."""

    limit: int
    starts: int
    rounds: int
    tolerance: float
    generator: torch.Generator | None


def find_fixed_points(system: System, x: Tensor | None = None, **search: Unpack[Search]) -> Orbits:
    r"""Fixed points :math:`h = \max(0, W_{hh} h + W_{hx} x + b)` under a constant input: ``find_cycles`` of period 1.

    Args, Returns, Raises: as ``find_cycles``; ``search`` takes its limit, starts, rounds, tolerance and generator.
    """
    return find_cycles(system, 1, x, **search)


def find_cycles(
    system: System,
    period: int,
    x: Tensor | None = None,
    *,
    limit: int = 2**14,
    starts: int = 64,
    rounds: int = 50,
    tolerance: float = 1e-10,
    generator: torch.Generator | None = None,
) -> Orbits:
    r"""Cycles of length k of a ReLU network under a constant input.

    While the masks :math:`D_1 \dots D_k` stay, k steps are the affine map :math:`h \mapsto P h + q` with
    :math:`P = D_k W \cdots D_1 W`: its fixed point :math:`(I - P)^{-1} q` is an orbit if it has those masks. Up to
    ``limit`` words of masks all are tried. Beyond that it is a search: from words seen on random runs and from random
    words, to the masks of the solution, if they are others, and again, as in SCYFI. It finds unstable orbits as well,
    and may miss some.

    Where I - P is singular there is no orbit or a whole set of them, reported once, with its dimension, and without the
    sets and points on its boundary.

    Args:
        system: a single ReLU network, linear units allowed.
        period: k; orbits of a shorter period are not among those found, but a set may hold some.
        x: the constant input [I]; None means zero.
        limit: the most words that are all tried; there are 2^(k H), H counting ReLU units alone.
        starts: words that a search follows side by side.
        rounds: how often each moves on.
        tolerance: relative size below which numbers count as 0.
        generator: source of a search's random numbers.

    Returns:
        The orbits found, and whether they are all.

    Raises:
        InputError: tanh, an ensemble, an input of another shape, or a number below 1.

    Source: Eisenmann et al. 2023 (SCYFI) for the idea of the search.
    """
    for name, value in (("period", period), ("starts", starts), ("rounds", rounds)):
        if value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    field = Field.of(system, x, tolerance)
    bits = period * (system.hidden - system.linear_units)
    exhaustive = bits < 60 and 2**bits <= limit
    found: list[Orbit] = []
    examined = 0
    if exhaustive:
        words = region.all_words(system.hidden, system.linear_units, period)
        for part in torch.split(words, _at_once(system.hidden)):
            found += field.examine(part, found)[0]
            examined += len(part)
    else:
        seen: set[bytes] = set()
        for fresh in _search(field, period, starts, rounds, seen, found, generator):
            examined += fresh
        # What lies on a set's boundary may have been found before the set.
        found = [orbit for orbit in found if not within_closure(field, orbit, found)]
    found.sort(key=lambda orbit: -int(orbit.masks.sum()))
    return Orbits(tuple(found), period, exhaustive, examined)


def _search(
    field: Field,
    period: int,
    starts: int,
    rounds: int,
    seen: set[bytes],
    found: list[Orbit],
    generator: torch.Generator | None,
) -> Iterator[int]:
    """Fill ``found``; yields how many words were looked at in each round."""
    words = _first_words(field, period, starts, generator)
    # The largest set first: what bounds it is then not reported piece by piece.
    words[0] = True
    for _ in range(rounds):
        fresh = []
        for i, word in enumerate(words):
            key = region.canonical(word)
            if key not in seen:
                seen.add(key)
                fresh.append(i)
        for part in torch.split(torch.tensor(fresh, dtype=torch.long), _at_once(len(field.weight))):
            orbits, words[part] = field.examine(words[part], found)
            found += orbits
        yield len(fresh)
        # Those that have come to rest, or to where another has been, begin anew.
        again = [i for i, word in enumerate(words) if i not in fresh or region.canonical(word) in seen]
        if again:
            words[again] = _first_words(field, period, len(again), generator)


def _first_words(field: Field, period: int, count: int, generator: torch.Generator | None) -> Tensor:
    """Half from random runs of the network, half at random."""
    hidden = len(field.weight)
    scale = float(field.drive.abs().max()) or 1.0
    h = torch.randn(count, hidden, dtype=torch.float64, generator=generator)
    h = h * scale * 10 ** (2 * torch.rand(count, 1, dtype=torch.float64, generator=generator) - 1)
    share = torch.rand(count, 1, 1, dtype=torch.float64, generator=generator)
    words = torch.rand(count, period, hidden, dtype=torch.float64, generator=generator) < share
    lag = int(torch.randint(0, 64, (), generator=generator))
    linear = torch.arange(hidden) < field.linear_units
    run = []
    for _ in range(lag + period):
        z = h @ field.weight.mT + field.drive
        h = torch.where(linear, z, z.relu())
        # A run that diverges goes on in its direction.
        h = h / (h.abs().amax(1, keepdim=True) / 1e100).clamp(min=1)
        run.append((z > 0) | linear)
    half = count // 2
    words[:half] = torch.stack(run[lag:], 1)[:half]
    return words | linear


def _at_once(hidden: int) -> int:
    """Words in one batch: a few matrices of 8 MiB."""
    return max(1, 2**20 // hidden**2)
