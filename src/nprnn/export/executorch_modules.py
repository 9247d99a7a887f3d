"""What ExecuTorch is given: one step of a network, and programs that repeat it over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from nprnn.export.network import Direction, Network

# From the tensors of a step to those that follow from it; what a backend has taken whole is one of these.
Call = Callable[..., tuple[Tensor, ...]]


class Step(nn.Module):
    """Some layers by one step, as a backend takes them whole.

    Args:
        layers: one direction of each, from the first on.
        network: what the layers are of.
        scaled: whether the inputs are still to be scaled.
        answers: whether the head's outputs are asked for, too.
        kept: a diagonal [H] that W_hh lacks, for each layer; none where W_hh is whole.
    """

    mean: Tensor | None
    factor: Tensor | None

    def __init__(
        self,
        layers: Sequence[Direction],
        network: Network,
        *,
        scaled: bool,
        answers: bool,
        kept: Sequence[Tensor] = (),
    ) -> None:
        super().__init__()
        self.apart = len(kept) > 0
        for k, diagonal in enumerate(kept):
            self.register_buffer(f"kept{k}", diagonal)
        self.into = nn.ModuleList(linear(layer.weight_ih, layer.bias) for layer in layers)
        self.over = nn.ModuleList(linear(layer.weight_hh, None) for layer in layers)
        self.head = linear(*network.head) if answers and network.head is not None else None
        self.relu = network.nonlinearity == "relu"
        self.register_buffer("mean", network.mean if scaled else None)
        self.register_buffer("factor", 1 / network.scale if scaled and network.scale is not None else None)

    def forward(self, x: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Inputs [B, I] and a state [B, H] for each layer to the states that follow and outputs [B, O]."""
        if self.mean is not None:
            x = x - self.mean
        if self.factor is not None:
            x = x * self.factor
        found: list[Tensor] = []
        for k, (into, over, state) in enumerate(zip(self.into, self.over, states, strict=True)):
            x = into(x) + over(state)
            if self.apart:
                x = x + getattr(self, f"kept{k}") * state
            x = torch.relu(x) if self.relu else torch.tanh(x)
            found.append(x)
        return tuple(found) if self.head is None else (*found, self.head(x))


class Head(nn.Module):
    """The head alone, for outputs that are taken once."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.head = linear(weight, bias)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """[..., D] to [..., O]."""
        return (self.head(x),)


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A layer of torch with these weights, which take no gradients."""
    made = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    made.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        made.bias = nn.Parameter(bias, requires_grad=False)
    return made


class Stepping(nn.Module):
    """Mode ``step``: inputs [B, I] and states [layers, B, H] to outputs [B, O] and states.

    Args:
        network: of one direction.
        step: its ``Step``, with answers.
    """

    def __init__(self, network: Network, step: Call) -> None:
        super().__init__()
        self.step = step
        self.layers = len(network.layers)
        self.has_head = network.head is not None

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One step."""
        found = self.step(x, tuple(h[layer] for layer in range(self.layers)))
        states = torch.stack(found[: self.layers])
        return (found[-1] if self.has_head else states[-1]), states


class Forwards(nn.Module):
    """Mode ``sequence`` of one direction: all layers go through time at once, so that nothing is kept of it.

    Args:
        network: of one direction.
        step: its ``Step``, with answers if they are taken at each step.
        head: its ``Head`` where outputs are taken once.
    """

    def __init__(self, network: Network, step: Call, head: Call | None) -> None:
        super().__init__()
        self.step, self.head = step, head
        self.layers = len(network.layers)
        self.at = network.at

    def forward(self, x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs [T, 1, I] and states [layers, 1, H] to outputs and states."""
        step, layers, at = self.step, self.layers, self.at

        def on(carried: list[Tensor], now: Tensor) -> tuple[list[Tensor], list[Tensor]]:
            found = step(now, tuple(carried[:layers]))
            # What is handed on and what is kept must not be one tensor.
            kept = [found[-1].clone()] if at == "each" else []
            total = [carried[-1] + found[layers - 1]] if at == "mean" else []
            return [*found[:layers], *total], kept

        start = [h0[layer].clone() for layer in range(layers)]
        if at == "mean":
            start.append(torch.zeros_like(start[0]))
        ends, kept = scan(on, start, x)
        states = torch.stack(ends[:layers])
        if at == "each":
            return kept[0], states
        taken = ends[layers - 1] if at == "last" else ends[-1] / x.shape[0]
        return (taken if self.head is None else self.head(taken)[0]), states


class BothWays(nn.Module):
    """Mode ``sequence`` of two directions: layer after layer, each through all of time, which is kept.

    Args:
        network: of two directions.
        steps: ``Step`` of each layer and direction.
        head: its ``Head``.
    """

    def __init__(self, network: Network, steps: Sequence[Sequence[Call]], head: Call | None) -> None:
        super().__init__()
        self.steps: Any = [list(layer) for layer in steps]
        self.head = head
        self.at = network.at
        # Found by export only where they are modules of this one.
        self.parts = nn.ModuleList(part for layer in self.steps for part in layer if isinstance(part, nn.Module))

    def forward(self, x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs [T, 1, I] and states [layers * 2, 1, H] to outputs and states."""
        finals: list[Tensor] = []
        for layer in self.steps:
            ys = []
            for direction, step in enumerate(layer):

                def on(carried: list[Tensor], now: Tensor, step: Call = step) -> tuple[list[Tensor], list[Tensor]]:
                    (found,) = step(now, tuple(carried))
                    return [found], [found.clone()]

                ends, kept = scan(on, [h0[len(finals)].clone()], x.flip(0) if direction else x)
                finals.append(ends[0])
                ys.append(kept[0].flip(0) if direction else kept[0])
            x = torch.cat(ys, -1)
        if self.at == "last":
            taken = torch.cat(finals[-2:], -1)
        else:
            taken = x.mean(0) if self.at == "mean" else x
        return (taken if self.head is None else self.head(taken)[0]), torch.stack(finals)
