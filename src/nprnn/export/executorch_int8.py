"""Weights of 8 bits for ExecuTorch: rounded for what they meet, and told to torchao."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nprnn.export.executorch_lowering import EXTRA, PURPOSE
from nprnn.export.network import Direction, Network
from nprnn.export.rounding import rounded_rows
from nprnn.ops import rnn
from nprnn.optional import needed

ABOUT = (
    "weights: 8 bits, a scale for each row of W_ih, of W_hh and of the head, rounded for the states and inputs of "
    "training sequences, but float32 on the diagonal of W_hh; what they are multiplied with: 8 bits, its range found "
    "anew at every step and for each sequence; states between steps: float32"
)
# Calibrating sequences that are run at once.
_BATCH = 16
# Moments of rows: mean [D] and second moment [D, D].
_Moments = tuple[Tensor, Tensor]


@dataclasses.dataclass(frozen=True)
class Grid:
    """A network whose weights are whole multiples, up to ±127, of a number for each row.

    Attributes:
        network: with such weights, W_hh without its diagonal.
        kept: that diagonal [H], in float32, by layer and direction.
        into: those numbers [H] for W_ih, by layer and direction.
        over: likewise for W_hh.
        head: likewise [O], or None.
    """

    network: Network
    kept: tuple[tuple[Tensor, ...], ...]
    into: tuple[tuple[Tensor, ...], ...]
    over: tuple[tuple[Tensor, ...], ...]
    head: Tensor | None


def on_grid(network: Network, x: Tensor, lengths: Tensor | None) -> Grid:
    r"""Round weights so that their products with what they meet in training sequences change least.

    To the nearest would not do: in the recurrence an error comes back at every step. A pixel-by-pixel network (784
    steps, early in its training) that was right on 55.8 % of 500 test images was so on 16.2 % after it, in a model of
    the runtime's arithmetic, and on 53.2 % after this. What is left of the mean of a row's error goes into its bias.

    The diagonal of W_hh is left as it is: once trained it stands so far above its row that one scale for both drowns
    the rest, and a state that is carried on in 8 bits forgets. One such network lost 6.9 points of 84.2 % by it.

    Args:
        network: the network.
        x: calibrating inputs [T, B, I], as the task gives them.
        lengths: [B], or None.

    Returns:
        The network on its grid.
    """
    seen = iter(_seen(network, x, lengths))

    def rounded(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, moment = next(seen)
        integers, scale, _ = rounded_rows(weight.double().numpy(), (moment - mean.outer(mean)).numpy())
        steps = torch.from_numpy(scale).float()
        found = torch.from_numpy(integers).float() * steps.unsqueeze(-1)
        return found, steps, ((weight - found).double() @ mean).float()

    layers, kept, into, over = [], [], [], []
    for layer in network.layers:
        directions, diagonals, of_inputs, of_states = [], [], [], []
        for weight_ih, weight_hh, bias in layer:
            first, first_steps, first_left = rounded(weight_ih)
            diagonals.append(weight_hh.diagonal().clone())
            second, second_steps, second_left = rounded(weight_hh - weight_hh.diagonal().diag())
            directions.append(Direction(first, second, bias + first_left + second_left))
            of_inputs.append(first_steps)
            of_states.append(second_steps)
        layers.append(tuple(directions))
        kept.append(tuple(diagonals))
        into.append(tuple(of_inputs))
        over.append(tuple(of_states))
    head, steps = network.head, None
    if head is not None:
        weight, steps, left = rounded(head[0])
        head = (weight, head[1] + left)
    made = dataclasses.replace(network, layers=tuple(layers), head=head)
    return Grid(made, tuple(kept), tuple(into), tuple(over), steps)


@torch.no_grad()
def _seen(network: Network, x: Tensor, lengths: Tensor | None) -> list[_Moments]:
    """Of the inputs and of the states of each layer and direction, in this order; last, of what the head takes."""
    sums: list[Tensor] = []
    for first in range(0, x.shape[1], _BATCH):
        now = x[:, first : first + _BATCH]
        ends = None if lengths is None else lengths[first : first + _BATCH]
        alive = torch.ones(now.shape[:2], dtype=torch.bool)
        if ends is not None:
            alive = torch.arange(len(now))[:, None] < ends
        now = now if network.mean is None else now - network.mean
        now = now if network.scale is None else now / network.scale
        met = []
        for layer in network.layers:
            ys = []
            for k, weights in enumerate(layer):
                start = now.new_zeros(now.shape[1], network.hidden_size)
                y, _ = rnn(now, start, *weights, ends, nonlinearity=network.nonlinearity, reverse=k == 1)
                before = torch.cat([y[1:], start[None]]) if k else torch.cat([start[None], y[:-1]])
                met += [_products(now[alive]), _products(before[alive])]
                ys.append(y)
            now = torch.cat(ys, -1)
        met.append(_products(now[alive]))
        sums = [a + b for a, b in zip(sums, met, strict=True)] if sums else met
    return [(s[-1, :-1] / s[-1, -1], s[:-1, :-1] / s[-1, -1]) for s in sums]


def _products(rows: Tensor) -> Tensor:
    """Of each two columns of rows [N, D], and with a column of ones: their sums and their number."""
    rows = torch.cat([rows, rows.new_ones(len(rows), 1)], 1).double()
    return rows.T @ rows


def quantiser(steps: Mapping[str, Tensor]) -> Any:
    """What tells torchao of weights that lie on a grid already.

    Args:
        steps: of each linear layer's rows, by its name in the module.

    Returns:
        A quantiser for the XNNPACK backend: weights as they are, inputs of products by ranges that are found anew.

    Raises:
        ConfigError: ExecuTorch or torchao is not installed.
    """
    xnnpack = needed("executorch.backends.xnnpack.quantizer.xnnpack_quantizer", PURPOSE, EXTRA)
    observers = needed("torchao.quantization.pt2e", PURPOSE, EXTRA)

    class Known(observers.PerChannelMinMaxObserver):  # type: ignore[misc,name-defined]
        """Looks at nothing: the scales are those that the weights were rounded to."""

        def __init__(self, scales: Tensor, **options: Any) -> None:
            super().__init__(**options)
            self.scales = scales

        def calculate_qparams(self) -> tuple[Tensor, Tensor]:
            return self.scales, torch.zeros(len(self.scales), dtype=torch.int64)

    common = xnnpack.get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True)
    made = xnnpack.XNNPACKQuantizer()
    for name, scales in steps.items():
        observer = Known.with_args(scales=scales)
        made.set_module_name(
            name,
            dataclasses.replace(common, weight=dataclasses.replace(common.weight, observer_or_fake_quant_ctr=observer)),
        )
    return made
