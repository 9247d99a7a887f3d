"""What the rivals compute: the same weights, the same data, the same loss for all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nprnn.bench.shapes import Shape
from nprnn.errors import NprnnError
from nprnn.init import init_rnn_
from nprnn.seeds import derive

Answer = Mapping[str, NDArray[Any]]
# Of float32 over some hundred steps; a wrong formula is off by far more.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Problem:
    """Data and weights of all members; with one member there is no leading E.

    The loss is the last state weighted by ``direction`` and summed, as a head on the last step makes it.

    Attributes:
        shape: the shape.
        x: inputs [E, T, B, I].
        weight_ih: [E, H, I].
        weight_hh: [E, H, H].
        bias: [E, H].
        direction: the gradient of the loss by the last state [E, B, H].
    """

    shape: Shape
    x: Tensor
    weight_ih: Tensor
    weight_hh: Tensor
    bias: Tensor
    direction: Tensor

    def member(self, number: int) -> Problem:
        """The problem of one member alone."""
        if self.shape.members == 1:
            return self
        tensors = (self.x, self.weight_ih, self.weight_hh, self.bias, self.direction)
        shape = dataclasses.replace(self.shape, members=1)
        return Problem(shape, *(tensor[number].clone() for tensor in tensors))


@dataclass(frozen=True)
class Rival:
    """One way to compute a problem.

    Attributes:
        run: computes it once: loss and gradients of the weights, or the last state only.
        answer: computes it and tells the result of the first member: the gradients by the weights' names, or ``h_n``;
            None where the numbers are not comparable.
        flush: whether ``run`` wants denormals flushed to zero by whoever calls it.
        members: how many members a call computes.
        about: what else is to be known of it.
    """

    run: Callable[[], object]
    answer: Callable[[], Answer] | None
    flush: bool = False
    members: int = 1
    about: str = ""


def make_problem(shape: Shape) -> Problem:
    """Draw a problem: inputs uniform in [0, 1), the np-RNN start, biases 0; the same for a shape every time."""
    drawn = []
    for member in range(shape.members):
        generator = derive(0, "bench", shape.steps, shape.batch, shape.inputs, shape.hidden, member)
        module = init_rnn_(nn.RNN(shape.inputs, shape.hidden, nonlinearity="relu"), "np-RNN", generator=generator)
        x = torch.rand(shape.steps, shape.batch, shape.inputs, generator=generator)
        direction = torch.randn(shape.batch, shape.hidden, generator=generator)
        weights = module.state_dict()
        drawn.append((x, *(weights[f"{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih")), direction))
    if shape.members == 1:
        return Problem(shape, *drawn[0])
    return Problem(shape, *(torch.stack(tensors) for tensors in zip(*drawn, strict=True)))


def check(name: str, answer: Answer, expected: Answer) -> None:
    """Refuse a rival that computes something else: its time would mean nothing.

    Args:
        name: the rival's.
        answer: what it gave.
        expected: what it should give.

    Raises:
        NprnnError: a number is missing, of another shape, or further off than ``TOLERANCE`` of the expected norm.
    """
    for key, wanted in expected.items():
        got = answer.get(key)
        if got is None or got.shape != wanted.shape:
            raise NprnnError(f"{name} should give {key} {wanted.shape}, got {None if got is None else got.shape}")
        scale = float(np.linalg.norm(wanted)) or 1.0
        error = float(np.linalg.norm(got - wanted)) / scale
        if not error <= TOLERANCE:
            raise NprnnError(
                f"{name} computes something else: its {key} is {error:.1e} of the norm away from torch.nn.RNN's, more "
                f"than {TOLERANCE:.0e}; there is nothing to time before they agree"
            )
