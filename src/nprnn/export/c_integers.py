"""The network in whole numbers, as the C file computes it with ``--int8``: the same bits, in numpy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nprnn.models import At
from nprnn.ops import Nonlinearity

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]

# An input becomes an integer with so many bits to spare, and is rounded without any sum of floats, which some
# compilers fuse with the product before it.
INPUT_BITS = 8
# tanh is taken of whole multiples of 2^-16 and is 32767/32768 beyond ±6; the table holds it in steps of 1/16.
TANH_BITS = 16
TANH_STEP_BITS = 12
TANH_END = 6 << TANH_BITS
TANH_TABLE: Integers = np.minimum(
    np.rint(32768 * np.tanh(np.arange((TANH_END >> TANH_STEP_BITS) + 1) / 16)), 32767
).astype(np.int64)


@dataclass(frozen=True)
class IntegerLayer:
    r"""One layer: :math:`h' = f((m (\hat W [x\;h] + b) 2^{-s}) + k h 2^{-q})` row by row.

    What a unit keeps of its own last state has 16 bits apart: in the networks of this package the diagonal of W_hh is
    close to 1 and many times the rest of its row, which 8 bits for both would drown.

    Attributes:
        weight: [W_ih W_hh] without what is kept, [H, I + H], within ±127.
        bias: b [H], 32 bits, in units of a row's products.
        multiplier: m [H], 0..65535: a row's scale times 2^shift.
        shift: s, 1..45.
        keep: k [H], 16 bits.
        keep_shift: q, 0..15, at least s - 30 and at most s: no sum leaves 64 bits.
        scale: what 1 in the layer's states stands for.
    """

    weight: Integers
    bias: Integers
    multiplier: Integers
    shift: int
    keep: Integers
    keep_shift: int
    scale: float

    def sums(self, below: Integers, states: Integers) -> Integers:
        """What f is taken of, rounded to the nearest; a half goes up.

        Args:
            below: inputs [B, I].
            states: of the last step [B, H].
        """
        # In float64 every sum of products is exact, and quick.
        taken = np.concatenate([below, states], 1).astype(np.float64)
        products = (taken @ self._transposed).astype(np.int64) + self.bias
        kept = self.keep * states * (1 << (self.shift - self.keep_shift))
        return (products * self.multiplier + kept + (1 << (self.shift - 1))) >> self.shift

    @cached_property
    def _transposed(self) -> NDArray[np.float64]:
        return self.weight.T.astype(np.float64)


@dataclass(frozen=True)
class IntegerNetwork:
    """A network whose loop over time is in whole numbers alone, and so the same on every machine.

    Attributes:
        layers: from the input on.
        nonlinearity: of all layers.
        at: where outputs are taken.
        bits: of a state and an input: within ±limit, limit = 2^bits - 1, so that no sum can leave 32 bits.
        mean: subtracted from the inputs [I], or None.
        inverse: what they are multiplied by then [I]: 2^8 over what 1 in an integer input stands for.
        head: weight [O, H], bias [O] and scale [O] of each row, or None: the states themselves, times their scale.
    """

    layers: tuple[IntegerLayer, ...]
    nonlinearity: Nonlinearity
    at: At
    bits: int
    mean: Floats | None
    inverse: Floats
    head: tuple[Integers, Integers, Floats] | None

    @property
    def limit(self) -> int:
        """The greatest state and input."""
        return (1 << self.bits) - 1

    @property
    def hidden_size(self) -> int:
        """H."""
        return len(self.layers[0].weight)

    @property
    def output_size(self) -> int:
        """O; without a head, H."""
        return self.hidden_size if self.head is None else len(self.head[0])

    @property
    def weight_bytes(self) -> int:
        """Of all constants."""
        count = sum(layer.weight.size + 8 * layer.bias.size for layer in self.layers)
        count += 4 * (self.inverse.size + (0 if self.mean is None else self.mean.size))
        count += 4 if self.head is None else self.head[0].size + 8 * self.head[1].size
        return count + (2 * TANH_TABLE.size if self.nonlinearity == "tanh" else 0)

    def steps(self, x: Floats) -> Iterator[list[Integers]]:
        """States after each step.

        Args:
            x: inputs [T, B, I], finite.

        Yields:
            A layer's states [B, H] for each layer.
        """
        states = [np.zeros((x.shape[1], self.hidden_size), np.int64) for _ in self.layers]
        for step in x:
            below = self.inputs(step)
            for k, layer in enumerate(self.layers):
                below = states[k] = self.activated(layer.sums(below, states[k]))
            yield list(states)

    def inputs(self, x: Floats) -> Integers:
        """Inputs [..., I] as whole numbers within ±limit."""
        with np.errstate(over="ignore"):
            v = ((x if self.mean is None else x - self.mean) * self.inverse).astype(np.float32)
        end = np.float32(self.limit << INPUT_BITS)
        # Towards 0, as C converts.
        whole = np.trunc(np.clip(v, -end, end)).astype(np.int64)
        return (whole + (1 << (INPUT_BITS - 1))) >> INPUT_BITS

    def activated(self, z: Integers) -> Integers:
        """f of a layer's sums: in units of the states for ReLU, of 2^-16 for tanh."""
        if self.nonlinearity == "relu":
            return z.clip(0, self.limit)
        return _narrowed(whole_tanh(z), 15 - self.bits)

    def outputs(self, x: Floats, lengths: Integers | None = None) -> Floats:
        """What the C file answers.

        Args:
            x: inputs [T, B, I], finite.
            lengths: [B], 1..T; None means all T.

        Returns:
            [B, O], or [T, B, O] for ``"each"``, where what comes after a sequence's end means nothing.
        """
        steps, batch = x.shape[:2]
        lengths = np.full(batch, steps) if lengths is None else lengths
        kept = np.zeros((batch, self.hidden_size), np.int64)
        total = np.zeros_like(kept)
        each = np.zeros((steps if self.at == "each" else 0, batch, self.output_size), np.float32)
        for t, states in enumerate(self.steps(x)):
            top = states[-1]
            if self.at == "each":
                each[t] = self.read(top)
                continue
            alive = (t < lengths)[:, None]
            kept = np.where(alive, top, kept)
            total += np.where(alive, top, 0)
        if self.at == "each":
            return each
        return self.read(kept if self.at == "last" else rounded_mean(total, lengths[:, None]))

    def read(self, states: Integers) -> Floats:
        """Outputs [B, O] of states [B, H]."""
        if self.head is None:
            return states.astype(np.float32) * np.float32(self.layers[-1].scale)
        weight, bias, scale = self.head
        return (states @ weight.T + bias).astype(np.float32) * scale


def rounded_mean(total: Integers, count: Integers) -> Integers:
    """total / count to the nearest; a half goes away from 0."""
    result: Integers = np.sign(total) * ((np.abs(total) + count // 2) // count)
    return result


def whole_tanh(z: Integers) -> Integers:
    """tanh in whole numbers: about the nearest t of a table, tanh(z) = t + (1 - t^2) d (1 - t d), to 1.5e-5 or so.

    Args:
        z: multiples of 2^-16.

    Returns:
        Multiples of 2^-15, within ±32767.
    """
    size = np.minimum(np.abs(z), TANH_END)
    nearest = (size + (1 << (TANH_STEP_BITS - 1))) >> TANH_STEP_BITS
    d = size - (nearest << TANH_STEP_BITS)
    t = TANH_TABLE[nearest]
    curved = (d * (65536 - ((t * d) >> 15)) + 32768) >> 16
    y = t + (((32768 - ((t * t) >> 15)) * curved + 32768) >> 16)
    result: Integers = np.sign(z) * np.minimum(y, 32767)
    return result


def _narrowed(y: Integers, bits: int) -> Integers:
    """Multiples of 2^-15 in bits fewer, away from 0 at a half."""
    if bits == 0:
        return y
    result: Integers = np.sign(y) * np.minimum((np.abs(y) + (1 << (bits - 1))) >> bits, (1 << (15 - bits)) - 1)
    return result
