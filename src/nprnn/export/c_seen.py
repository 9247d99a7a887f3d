"""What each layer of a network meets on training sequences: ranges and second moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nprnn.export.network import Network
from nprnn.ops import rnn

# Steps of training sequences that are looked at.
_SAMPLES = 10_000
# A row is judged by the steps at which its unit is on, and an output by those at which it is taken; the others count
# this much.
_ELSEWHERE = 0.05
# Numbers in second moments, one for each row, at most; above that all rows share one.
_MOMENTS = 20_000_000

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Of the inputs of a product's rows.

    Attributes:
        mean: [R, D].
        covariance: [D, D] for all rows or [R, D, D].
    """

    mean: Matrix
    covariance: Matrix

    def in_steps(self, steps: Matrix) -> Moments:
        """Likewise of the inputs over ``steps`` [D]."""
        return Moments(self.mean / steps, self.covariance / (steps[:, None] * steps))

    def mean_squares(self) -> Matrix:
        """[R, D], R being 1 for all rows."""
        squares: Matrix = np.einsum("...ii->...i", self.covariance) + self.mean**2
        return squares


@dataclass(frozen=True)
class Seen:
    """What was met.

    Attributes:
        inputs: the largest of each feature, after scaling [I].
        states: the largest of each layer.
        layers: of [x_t h_{t-1}] of each layer, D = I + H.
        outputs: of the states that the head takes.
    """

    inputs: Matrix
    states: Sequence[float]
    layers: Sequence[Moments]
    outputs: Moments


def scaled(network: Network, x: Tensor) -> Tensor:
    """Inputs as the first layer takes them."""
    x = x if network.mean is None else x - network.mean
    return x if network.scale is None else x / network.scale


def alive_steps(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Whether a step [T, B] is within its sequence."""
    if lengths is None:
        return torch.ones(x.shape[:2], dtype=torch.bool)
    return torch.arange(len(x))[:, None] < lengths


@torch.no_grad()
def look(network: Network, x: Tensor, lengths: Tensor | None) -> Seen:
    """Run a network of one direction over training sequences.

    Args:
        network: the network.
        x: inputs [T, B, I] as the task gives them.
        lengths: [B], 1..T; None means all T.

    Returns:
        What was met.
    """
    x = scaled(network, x)
    alive = alive_steps(x, lengths)
    places = alive.flatten().nonzero().squeeze(1)
    if len(places) > _SAMPLES:
        places = places[torch.randperm(len(places), generator=torch.Generator().manual_seed(0))[:_SAMPLES]]
    inputs = x[alive].abs().amax(0).double().numpy()
    states, layers = [], []
    last = x.new_zeros(x.shape[1], network.hidden_size)
    for (weights,) in network.layers:
        start = x.new_zeros(x.shape[1], network.hidden_size)
        y, last = rnn(x, start, *weights, lengths, nonlinearity=network.nonlinearity)
        taken = torch.cat([x, torch.cat([start[None], y[:-1]])], -1).flatten(0, 1)[places].double()
        on = y.flatten(0, 1)[places] > 0 if network.nonlinearity == "relu" else None
        layers.append(_moments_of_rows(taken, on, network.hidden_size))
        states.append(float(y[alive].abs().max()))
        x = y
    passing = x.flatten(0, 1)[places].double()
    if network.at == "each":
        outputs = _moments(passing, torch.ones(len(passing), dtype=torch.float64))
    else:
        kept = last if network.at == "last" else x.sum(0) / alive.sum(0).unsqueeze(-1)
        counts = torch.cat([torch.full((len(kept),), 1 / len(kept)), torch.full((len(places),), 1 / len(places))])
        counts[len(kept) :] *= _ELSEWHERE
        outputs = _moments(torch.cat([kept.double(), passing]), counts.double())
    return Seen(inputs, states, layers, outputs)


def _moments(taken: Tensor, counts: Tensor) -> Moments:
    """Weighted by ``counts`` [N], of all rows alike."""
    shares = (counts / counts.sum()).unsqueeze(-1)
    mean = (shares * taken).sum(0)
    spread = (taken - mean) * shares.sqrt()
    return Moments(mean.numpy()[None], (spread.T @ spread).numpy())


def _moments_of_rows(taken: Tensor, on: Tensor | None, rows: int) -> Moments:
    if on is None or rows * taken.shape[1] ** 2 > _MOMENTS:
        return _moments(taken, taken.new_ones(len(taken)))
    # Of each row its own: what a unit is multiplied by while it is off does not matter.
    found = [_moments(taken, torch.where(on[:, r], 1.0, _ELSEWHERE).double()) for r in range(rows)]
    return Moments(np.concatenate([m.mean for m in found]), np.stack([m.covariance for m in found]))
