"""From a network and training sequences to whole numbers: ranges, scales, and weights of 8 bits."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nprnn.errors import ConfigError
from nprnn.export.c_integers import INPUT_BITS, TANH_BITS, IntegerLayer, IntegerNetwork, Integers
from nprnn.export.c_seen import Moments, Seen, alive_steps, look, scaled
from nprnn.export.network import Direction, Network
from nprnn.export.rounding import MOST, rounded_rows, settled

# How far beyond what the training sequences showed the states of ReLU may grow; there they stay.
HEADROOM = 4.0
# Weights of a row, [W_ih W_hh], at most. The sums of long rows stay within 32 bits by states of fewer bits than 15.
WIDEST = 6000
LEAST_BITS = 10
MOST_SUM = 2**31 - 1
_MOST_BIAS = 2**28
# Of the scales of a layer's rows, which share a shift.
_SPREAD = 512
# What was seen of an input spans at least so many levels on either side of 0, where there is a choice.
_INPUT_LEVELS = 255
# Coarser inputs have larger weights; these shares of the weights of the states are tried.
_INPUT_SHARES = tuple(2.0**k for k in range(-6, 4))
# Inputs are centred where their middle is so many times their range: 16 bits are for what changes.
_FAR = 4.0

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class _Rows:
    """Rows in whole numbers, with one scale each for weight [R, D] and bias [R], which is multiplier times unit over
    2^shift."""

    weight: Integers
    bias: Integers
    scale: Matrix
    multiplier: Integers
    shift: int


def quantise(network: Network, calibration: tuple[Tensor, Tensor | None]) -> IntegerNetwork:
    """A network in whole numbers.

    A layer's states are whole multiples of one number, chosen by the largest state that the training sequences show;
    so are inputs, feature by feature. Weights are rounded for what they meet there (``rounded_rows``), and what then
    is left of a row's mean error goes into its bias.

    Args:
        network: of one direction.
        calibration: training inputs [T, B, I] as the task gives them, and lengths [B] or None.

    Returns:
        The whole numbers: no sum of theirs can leave 32 bits, whatever the inputs.

    Raises:
        ConfigError: too many weights a unit, or inputs too large or too small for float32.
    """
    x, lengths = calibration
    below = network.input_size if len(network.layers) == 1 else max(network.input_size, network.hidden_size)
    if below + network.hidden_size > WIDEST:
        raise _too_wide(network)
    network = _centred(network, x, lengths)
    seen = look(network, x, lengths)
    bits = 15
    while (greatest := greatest_sum(found := _quantised(network, seen, bits))) > MOST_SUM:
        bits -= max(1, math.floor(math.log2(greatest / MOST_SUM)))
        if bits < LEAST_BITS:
            raise _too_wide(network)
    return found


def _too_wide(network: Network) -> ConfigError:
    return ConfigError(
        f"a unit of I={network.input_size} inputs, or the units before, and H={network.hidden_size} states is too wide "
        f"for --int8, whose sums must fit 32 bits (at most {WIDEST} weights, and {LEAST_BITS} bits of a state); "
        "leave --int8 out, or train with fewer units or inputs"
    )


def _centred(network: Network, x: Tensor, lengths: Tensor | None) -> Network:
    """The same function, of inputs that are not far from 0 against how much they change."""
    x = scaled(network, x)[alive_steps(x, lengths)].double()
    low, high = x.amin(0), x.amax(0)
    middle = (low + high) / 2
    if not bool((middle.abs() > _FAR * (high - low) / 2).any()):
        return network
    moved = middle if network.scale is None else middle * network.scale.double()
    mean = moved if network.mean is None else network.mean.double() + moved
    ((weight_ih, weight_hh, bias),) = network.layers[0]
    first = Direction(weight_ih, weight_hh, (bias.double() + weight_ih.double() @ middle).float())
    return replace(network, layers=((first,), *network.layers[1:]), mean=mean.float())


def _quantised(network: Network, seen: Seen, bits: int) -> IntegerNetwork:
    limit = (1 << bits) - 1
    relu = network.nonlinearity == "relu"
    scales = [HEADROOM * largest / limit if largest > 0 else 1.0 for largest in seen.states]
    if not relu:
        scales = [2.0**-bits] * len(scales)
    steps = _input_steps(network.layers[0][0], scales[0], seen, limit)
    below = steps
    layers = []
    for k, (weights,) in enumerate(network.layers):
        unit = scales[k] if relu else 2.0**-TANH_BITS
        layers.append(_layer(weights, below, scales[k], unit, seen.layers[k]))
        below = np.full(network.hidden_size, scales[k])
    head = None
    if network.head is not None:
        weight, bias = (part.double().numpy() for part in network.head)
        rows = _rows(weight * below, bias, seen.outputs.in_steps(below))
        head = (rows.weight, rows.bias, rows.scale.astype(np.float32))
    divisor = steps if network.scale is None else steps * network.scale.double().numpy()
    with np.errstate(over="ignore", divide="ignore"):
        inverse = ((1 << INPUT_BITS) / divisor).astype(np.float32)
    if not (np.isfinite(inverse) & (inverse > 0)).all():
        raise ConfigError("a feature of the training inputs is too large or too small for float32; rescale it")
    mean = None if network.mean is None else network.mean.numpy()
    return IntegerNetwork(tuple(layers), network.nonlinearity, network.at, bits, mean, inverse, head)


def _input_steps(weights: Direction, scale: float, seen: Seen, limit: int) -> Matrix:
    """What 1 in each integer input stands for [I].

    Coarse steps lose inputs; fine ones make for small weights, whose products with large integers 8 bits lose.
    """
    weight_ih, weight_hh = (w.double().numpy() for w in weights[:2])
    # What is kept of a unit's own state has bits of its own.
    weight_hh = weight_hh - np.diag(np.diagonal(weight_hh))
    largest = seen.inputs
    # A feature that never differed from 0 may do so later.
    largest = np.where(largest > 0, largest, largest.max() if largest.any() else 1.0)
    finest, coarsest = HEADROOM * largest / limit, largest / _INPUT_LEVELS
    most = np.abs(weight_ih).max(0)
    alike = scale * float(np.median(np.abs(weight_hh).max(1))) / np.where(most > 0, most, 1.0)
    squares = seen.layers[0].mean_squares()

    def error(steps: Matrix) -> float:
        """Mean square error of a sum when weights and inputs go to the nearest: a twelfth of a step's square each."""
        joined = np.concatenate([weight_ih * steps, weight_hh * scale], 1)
        met = squares / np.concatenate([steps, np.full(len(weight_hh), scale)]) ** 2
        rows = (np.abs(joined).max(1) / MOST) ** 2 * met.sum(1)
        return float((rows + weight_ih**2 @ steps**2).mean()) / 12

    tried = [np.clip(share * alike, finest, np.maximum(finest, coarsest)) for share in _INPUT_SHARES]
    return min(tried, key=error)


def _layer(weights: Direction, below: Matrix, scale: float, unit: float, moments: Moments) -> IntegerLayer:
    """A layer for inputs in steps of ``below`` [I], states in steps of ``scale`` and sums in steps of ``unit``."""
    weight_ih, weight_hh, bias = (w.double().numpy() for w in weights)
    kept = np.diagonal(weight_hh) * scale / unit
    steps = np.concatenate([below, np.full(len(bias), scale)])
    within = moments.in_steps(steps)
    keep_shift = _shift(np.abs(kept).max(), 32767, 0, 15)
    while True:
        keep = np.rint(np.ldexp(kept, keep_shift)).clip(-32767, 32767)
        rest = weight_hh * scale - np.diag(np.ldexp(keep, -keep_shift) * unit)
        # What is kept is at most 2^30 before it is brought to the shift of the rest: 60 bits hold it.
        rows = _rows(np.concatenate([weight_ih * below, rest], 1), bias, within, unit, keep_shift + 30)
        if rows.shift >= keep_shift:
            break
        keep_shift = rows.shift
    return IntegerLayer(rows.weight, rows.bias, rows.multiplier, rows.shift, keep.astype(np.int64), keep_shift, scale)


def _shift(greatest: float, most: int, low: int, high: int) -> int:
    """The largest shift within low..high at which ``greatest`` still rounds to ``most`` or less."""
    if greatest <= 0:
        return high
    shift = math.floor(math.log2(most / greatest))
    return min(max(shift, low), high)


def _rows(weight: Matrix, bias: Matrix, moments: Moments, unit: float | None = None, most_shift: int = 45) -> _Rows:
    """Rows in whole numbers; with a unit, scales that are a multiplier times it over 2^shift."""
    found, fitted, _ = rounded_rows(weight, moments.covariance)
    # A bias must fit, also where all weights are 0 or next to it; and no scale may be lost beside the largest.
    scale = np.maximum(np.where(found.any(1), fitted, 0.0), np.abs(bias) / _MOST_BIAS)
    scale = np.maximum(scale, scale.max() / _SPREAD) if scale.any() else np.ones_like(scale)
    multiplier, shift = np.ones(len(scale), np.int64), 0
    if unit is not None:
        shift = _shift(scale.max() / unit, 65535, 1, most_shift)
        multiplier = np.rint(np.ldexp(scale / unit, shift)).clip(1, 65535).astype(np.int64)
        scale = np.ldexp(multiplier * unit, -shift)
    moved = np.abs(scale - fitted) > 0.01 * fitted
    found[moved] = np.rint(weight[moved] / scale[moved, None]).clip(-MOST, MOST)
    found = settled(weight, found, scale, moments.covariance)
    wrong = scale[:, None] * found - weight
    bias = bias - (wrong * moments.mean).sum(1)
    return _Rows(found, np.rint(bias / scale).astype(np.int64), scale, multiplier, shift)


def greatest_sum(network: IntegerNetwork) -> int:
    """The largest size that any sum can have, also while it is being added up."""
    products = [(layer.weight, layer.bias) for layer in network.layers]
    if network.head is not None:
        products.append(network.head[:2])
    return max(int((np.abs(w).sum(1) * network.limit + np.abs(b)).max()) for w, b in products)
