"""One word of linear regions: whether an orbit of a ReLU network lies there, alone or in a whole set of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nprnn.dynamics import words as region
from nprnn.dynamics.cones import interior
from nprnn.dynamics.stability import Stability, of_multipliers, on_border
from nprnn.dynamics.system import System
from nprnn.errors import InputError


@dataclass(frozen=True, eq=False)
class Orbit:
    """A cycle of length k (a fixed point for k = 1), or a set of such cycles that fills a region in some directions.

    Attributes:
        points: [k, H], in the order they are visited; of a set, one from its interior.
        masks: [k, H], the units that are on in the step that leaves each point.
        multipliers: [H], eigenvalues of the product of D_t W around the cycle, by falling modulus.
        radius: the largest of those moduli.
        dimension: 0 for a cycle that stands alone; d for a set of cycles (I - product of D_t W is singular, and the
            equation is solved by an affine set) whose first points fill d dimensions.
        directions: [H, d], an orthonormal basis of those.
        border: how many times on the way a ReLU's z is 0; there several regions meet, and ``radius`` is that of one.
        growth: ``radius``, or with ``border`` the largest growth a turn among directions tried.
        stability: ``"stable"``: attracts all that starts near; ``"unstable"``: some of that leaves exponentially;
            ``"neutral"``: the radius is 1, so no exponential rate either way (of a set, also along it);
            ``"border"``: z is 0 somewhere and neither was proved.
    """

    points: Tensor
    masks: Tensor
    multipliers: Tensor
    radius: float
    dimension: int
    directions: Tensor
    border: int
    growth: float
    stability: Stability

    @property
    def period(self) -> int:
        """k."""
        return len(self.points)


@dataclass(frozen=True, eq=False)
class Field:
    """The map h to max(0, W h + d), but for linear units.

    Attributes:
        weight: W_hh [H, H].
        drive: d = W_hx x + b [H].
        linear_units: units without max.
        tolerance: relative size below which numbers count as 0.
    """

    weight: Tensor
    drive: Tensor
    linear_units: int
    tolerance: float

    @classmethod
    def of(cls, system: System, x: Tensor | None, tolerance: float) -> Field:
        """The map under the constant input ``x`` [I].

        Raises:
            InputError: tanh, an ensemble, or an input of another shape.
        """
        if system.nonlinearity != "relu":
            raise InputError("linear regions are those of ReLU networks; this system has tanh")
        if system.ensemble is not None:
            raise InputError(f"orbits are sought in one network, not E={system.ensemble}: use system.member(k)")
        if x is not None and x.dim() != 1:
            raise InputError(f"a constant input is [I] = [{system.inputs}], got {tuple(x.shape)}")
        drive = system.drive(None if x is None else x[None, None])
        return cls(system.weight_hh, drive.flatten(), system.linear_units, tolerance)

    def on(self, z: Tensor) -> Tensor:
        """Which units are on: z above rounding, or linear."""
        small = self.tolerance * (1 + z.abs().amax((-2, -1), keepdim=True))
        return (z > small) | (torch.arange(z.shape[-1]) < self.linear_units)

    def examine(self, words: Tensor, known: list[Orbit]) -> tuple[list[Orbit], Tensor]:
        """Look for an orbit in each of the words of regions.

        Args:
            words: [S, k, H].
            known: orbits whose boundary need not be found again.

        Returns:
            The orbits found, and where each word's solution really lies [S, k, H].
        """
        p, q = region.compose(words, self.weight, self.drive)
        m = torch.eye(len(self.weight), dtype=p.dtype) - p
        sizes = torch.linalg.svdvals(m)
        singular = sizes[:, -1] <= self.tolerance * sizes[:, 0].clamp(min=1)
        m[singular] = torch.eye(len(self.weight), dtype=p.dtype)
        h = torch.linalg.solve(m, q)
        states, z = region.follow(h, words, self.weight, self.drive)
        on = self.on(z)
        found: list[Orbit] = []
        for i in torch.nonzero(singular | (on == words).flatten(1).all(1)).flatten().tolist():
            if singular[i]:
                orbit, before = self._continuum(words[i], known + found)
                on[i] = self.on(before)
            else:
                # A solution that repeats sooner is an orbit of that shorter period.
                alone = region.repeats_after(words[i]) == words.shape[1]
                orbit = self._orbit(words[i], states[i], z[i], None) if alone else None
                if orbit is not None and orbit.border and within_closure(self, orbit, known + found):
                    orbit = None
            if orbit is not None:
                found.append(orbit)
        return found, on

    def _orbit(self, word: Tensor, states: Tensor, z: Tensor, directions: Tensor | None) -> Orbit:
        values: Tensor = torch.linalg.eigvals(region.compose(word[None], self.weight, self.drive)[0][0])
        values = values[values.abs().argsort(descending=True)]
        radius = float(values[0].abs())
        at_zero = ~word & (z.abs() <= self.tolerance * (1 + z.abs().max()))
        border = int(at_zero.sum())
        stability, growth = of_multipliers(radius), radius
        directions = states.new_zeros(states.shape[-1], 0) if directions is None else directions
        if border:
            stability, growth = on_border(self.weight, word, at_zero, directions.shape[1])
        # Units that were off are 0, not rounding; nor -0.
        states = torch.where(word.roll(1, 0), states, 0.0)
        return Orbit(states, word, values, radius, directions.shape[1], directions, border, growth, stability)

    def _continuum(self, word: Tensor, known: list[Orbit]) -> tuple[Orbit | None, Tensor]:
        """The orbits of a word whose equation is singular, and what the least solution puts before the ReLU."""
        p, q = region.compose(word[None], self.weight, self.drive)
        m = torch.eye(len(self.weight), dtype=p.dtype) - p[0]
        u, s, vh = torch.linalg.svd(m)
        rank = int((s > self.tolerance * s[0].clamp(min=1)).sum())
        least = vh[:rank].mT @ ((u[:, :rank].mT @ q[0]) / s[:rank])
        directions = vh[rank:].mT
        offsets = region.follow(least[None], word[None], self.weight, self.drive)[1][0]
        solved = (m @ least - q[0]).norm() <= self.tolerance * (1 + q[0].norm() + least.norm())
        shorter = [j for j in region.divisors(len(word)) if j < len(word) and j % region.repeats_after(word) == 0]
        if not solved or any(self._null_space(word[:j]) == directions.shape[1] for j in shorter):
            return None, offsets[None]
        if any(_covers(self, other, word, least, directions) for other in known):
            return None, offsets[None]
        carried = region.follow(directions.mT, word.expand(directions.shape[1], -1, -1), self.weight, 0.0)[1]
        relu = torch.arange(len(self.weight)).expand_as(word) >= self.linear_units
        signs = torch.where(word, 1.0, -1.0)[relu]
        inside = interior(
            (signs[:, None] * carried.permute(1, 2, 0)[relu]).numpy(),
            (signs * offsets[relu]).numpy(),
            word[relu].numpy(),
            self.tolerance * (1 + float(offsets.abs().max())),
        )
        if inside is None:
            return None, offsets[None]
        h = self._of_full_period(least + directions @ torch.from_numpy(inside), word, directions, shorter)
        states, z = region.follow(h[None], word[None], self.weight, self.drive)
        return self._orbit(word, states[0], z[0], directions), offsets[None]

    def _null_space(self, word: Tensor) -> int:
        p, _ = region.compose(word[None], self.weight, self.drive)
        s = torch.linalg.svdvals(torch.eye(len(self.weight), dtype=p.dtype) - p[0])
        return int((s <= self.tolerance * s[0].clamp(min=1)).sum())

    def _of_full_period(self, h: Tensor, word: Tensor, directions: Tensor, shorter: list[int]) -> Tensor:
        """Of a set that holds orbits of shorter periods too, a point that is not on one."""
        if not shorter:
            return h
        # No simple relation between the weights, lest a shorter period's subspace hold the sum.
        aside = directions @ (1 / (1.0 + torch.arange(directions.shape[1], dtype=h.dtype)).sqrt())
        size = 1 + float(h.abs().max())
        while size > self.tolerance:
            moved = h + size * aside
            if torch.equal(self.on(region.follow(moved[None], word[None], self.weight, self.drive)[1])[0], word):
                return moved
            size /= 2
        return h


def within_closure(field: Field, orbit: Orbit, others: list[Orbit]) -> bool:
    """Whether an orbit or set bounds a set of the others, and so is found with that."""
    return any(
        _covers(field, other, orbit.masks, orbit.points[0], orbit.directions) for other in others if other is not orbit
    )


def _covers(field: Field, other: Orbit, word: Tensor, point: Tensor, directions: Tensor) -> bool:
    """Whether the affine set ``point`` + ``directions`` solves the equation of a set in a region that borders on it."""
    if other.dimension <= directions.shape[1]:
        return False
    for j in range(len(word)):
        larger = other.masks.roll(j, 0)
        if bool((word & ~larger).any()):
            continue
        p, q = region.compose(larger[None], field.weight, field.drive)
        m = torch.eye(len(field.weight), dtype=p.dtype) - p[0]
        small = field.tolerance * (1 + point.norm() + q[0].norm())
        if (m @ point - q[0]).norm() <= small and bool((m @ directions).norm() <= small):
            return True
    return False
