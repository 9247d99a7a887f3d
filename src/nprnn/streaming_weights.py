"""What a streamer runs: copies of a network's weights and of its inputs' scaling, checked and without gradients."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from nprnn.errors import InputError


class Layer(NamedTuple):
    """A layer, of one direction.

    Attributes:
        weight_ih: [H, I].
        weight_hh: [H, H].
        bias: [H], the sum of both; 0 where the module has none.
        nonlinearity: ``"tanh"`` or ``"relu"``.
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias: Tensor
    nonlinearity: str


def layers_of(module: nn.Module) -> list[Layer]:
    """Copies of the layers of an RNN or an RNNCell, from the first on.

    Raises:
        InputError: another module, two directions, or weights that are not float32 or float64 on the CPU.
    """
    recurrent = isinstance(module, nn.RNNBase) and module.mode in ("RNN_TANH", "RNN_RELU")
    if not recurrent and not isinstance(module, nn.RNNCell):
        raise InputError(f"a streamer runs an RNN or an RNNCell of torch or of nprnn, got {type(module).__name__}")
    if getattr(module, "bidirectional", False):
        raise InputError("a bidirectional network needs the end of the sequence first: it cannot run step by step")
    suffixes = [f"_l{k}" for k in range(module.num_layers)] if isinstance(module, nn.RNNBase) else [""]
    layers = []
    for suffix in suffixes:
        # Copies, contiguous whatever they were: a parametrized weight is computed once.
        weight_ih, weight_hh = (
            getattr(module, name + suffix).detach().clone(memory_format=torch.contiguous_format)
            for name in ("weight_ih", "weight_hh")
        )
        if weight_ih.device.type != "cpu" or weight_ih.dtype not in (torch.float32, torch.float64):
            raise InputError(
                f"a streamer needs float32 or float64 weights on the CPU, got {weight_ih.dtype} on {weight_ih.device}; "
                "convert the module with .float().cpu()"
            )
        bias = weight_ih.new_zeros(len(weight_ih))
        if module.bias:
            bias = (getattr(module, "bias_ih" + suffix) + getattr(module, "bias_hh" + suffix)).detach()
        layers.append(Layer(weight_ih, weight_hh, bias, str(module.nonlinearity)))
    return layers


def linear_of(head: nn.Linear, like: Tensor) -> tuple[Tensor, Tensor]:
    """Copies of the head's weight [O, H] and bias [O]."""
    weight = head.weight.detach().to(like, copy=True).contiguous()
    return weight, weight.new_zeros(len(weight)) if head.bias is None else head.bias.detach().to(like, copy=True)


def scaling_of(mean: Tensor | None, scale: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor] | None:
    """Copies of mean and scale [I], 0 and 1 where one of them is absent; None where both are.

    Not folded into the weights: what a large mean leaves of an input would be lost in the difference of two products.

    Raises:
        InputError: another shape, numbers that are not finite, or a scale of 0.
    """
    if mean is None and scale is None:
        return None
    size = like.shape[1]
    for name, given in (("mean", mean), ("scale", scale)):
        if given is not None and given.shape != (size,):
            raise InputError(f"{name} must be [I] = [{size}], got shape {tuple(given.shape)}")
    own_mean = like.new_zeros(size) if mean is None else mean.detach().to(like, copy=True).contiguous()
    own_scale = like.new_ones(size) if scale is None else scale.detach().to(like, copy=True).contiguous()
    if not own_mean.isfinite().all():
        raise InputError(f"mean must be finite, got {own_mean.tolist()}")
    if not own_scale.isfinite().all() or not own_scale.all():
        raise InputError(f"scale must be finite and nowhere 0, got {own_scale.tolist()}")
    return own_mean, own_scale
