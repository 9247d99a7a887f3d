"""What is exported: the weights of a trained network and how its outputs are taken, whatever the format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from nprnn.errors import InputError
from nprnn.models import At
from nprnn.ops import Nonlinearity, rnn


class Direction(NamedTuple):
    """One layer in one direction; float32, on the CPU.

    Attributes:
        weight_ih: [H, I].
        weight_hh: [H, H].
        bias: the sum of both of torch's [H].
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Network:
    r"""A trained network: :math:`h_t = f(W_{ih} x_t + W_{hh} h_{t-1} + b)` in layers, and a linear head.

    Attributes:
        layers: from the input on; each has one direction, or a second one that runs from the end. A later layer takes
            both directions of the one before, side by side.
        nonlinearity: f, of all layers.
        head: weight [O, D] and bias [O], D being H times directions; None gives the states themselves.
        at: ``"last"``: the output after a sequence's last step; ``"mean"``: the mean of its outputs; ``"each"``: after
            every step.
        mean: subtracted from the inputs [I], or None.
        scale: what they are divided by then [I], or None.
        class_names: of a classification, in the order of its outputs.
        about: what a person should know of it, for the metadata of a file.

    Source: section 2.
    """

    layers: tuple[tuple[Direction, ...], ...]
    nonlinearity: Nonlinearity
    head: tuple[Tensor, Tensor] | None = None
    at: At = "last"
    mean: Tensor | None = None
    scale: Tensor | None = None
    class_names: tuple[str, ...] | None = None
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def input_size(self) -> int:
        """I."""
        return self.layers[0][0].weight_ih.shape[1]

    @property
    def hidden_size(self) -> int:
        """H."""
        return self.layers[0][0].weight_ih.shape[0]

    @property
    def directions(self) -> int:
        """1, or 2 where it runs from the end too."""
        return len(self.layers[0])

    @property
    def states(self) -> int:
        """States that are carried: layers times directions."""
        return len(self.layers) * self.directions

    @property
    def output_size(self) -> int:
        """O; without a head, directions times H."""
        return self.directions * self.hidden_size if self.head is None else len(self.head[0])

    def folded(self) -> Network:
        """The same function with no scaling of its inputs: the first layer's weights and biases hold it.

        Returns:
            A network with ``mean`` and ``scale`` None, equal up to rounding.
        """
        first = []
        for weight_ih, weight_hh, bias in self.layers[0]:
            weight = weight_ih.double() if self.scale is None else weight_ih.double() / self.scale.double()
            if self.mean is not None:
                bias = (bias.double() - weight @ self.mean.double()).float()
            first.append(Direction(weight.float(), weight_hh, bias))
        return replace(self, layers=(tuple(first), *self.layers[1:]), mean=None, scale=None)

    @torch.no_grad()
    def outputs(self, x: Tensor, lengths: Tensor | None = None, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What the network answers, by this package's operator; every exported file is compared with this.

        Args:
            x: inputs [T, B, I], as the task gives them (not yet scaled).
            lengths: integers [B], 1..T; None means all T.
            h0: initial states [layers * directions, B, H]; None means 0.

        Returns:
            Outputs [B, O], or [T, B, O] for ``"each"``, and the final states [layers * directions, B, H].
        """
        if self.mean is not None:
            x = x - self.mean
        if self.scale is not None:
            x = x / self.scale
        starts = x.new_zeros(self.states, x.shape[1], self.hidden_size) if h0 is None else h0
        finals: list[Tensor] = []
        for layer in self.layers:
            ys = []
            for k, weights in enumerate(layer):
                y, final = rnn(
                    x, starts[len(finals)], *weights, lengths, nonlinearity=self.nonlinearity, reverse=k == 1
                )
                ys.append(y)
                finals.append(final)
            x = torch.cat(ys, -1)
        if self.at == "last":
            taken = torch.cat(finals[-self.directions :], -1)
        elif self.at == "mean":
            # States beyond the end are 0.
            taken = x.mean(0) if lengths is None else x.sum(0) / lengths.to(x).unsqueeze(-1)
        else:
            taken = x
        return taken if self.head is None else functional.linear(taken, *self.head), torch.stack(finals)


def network_of(
    module: nn.RNNBase,
    head: nn.Linear | None = None,
    *,
    at: At = "last",
    mean: Tensor | None = None,
    scale: Tensor | None = None,
    class_names: tuple[str, ...] | None = None,
    about: Mapping[str, str] | None = None,
) -> Network:
    """What is exported of a module: copies of its weights in float32.

    Args:
        module: an RNN of torch or of this package, of any number of layers and directions.
        head: directions * H to O, or None.
        at: where outputs are taken.
        mean: subtracted from the inputs [I], or None.
        scale: what they are divided by then [I], or None.
        class_names: of a classification.
        about: metadata.

    Returns:
        The network.

    Raises:
        InputError: an LSTM, an ensemble, weights that are no finite numbers, or a head or names that do not fit.

    Source: section 2.
    """
    if not isinstance(module, nn.RNNBase) or module.mode not in ("RNN_RELU", "RNN_TANH"):
        raise InputError(
            f"only an RNN with relu or tanh can be exported, got {type(module).__name__}; "
            "for an LSTM, torch.onnx.export is the way"
        )
    for part in (module, head):
        if (members := getattr(part, "ensemble", None)) is not None:
            raise InputError(
                f"one network is exported at a time, but {type(part).__name__} is an ensemble of E={members}; "
                "export the members of its unstack()"
            )

    def own(name: str, tensor: Tensor) -> Tensor:
        copy = tensor.detach().to("cpu", torch.float32, copy=True).contiguous()
        if not copy.isfinite().all():
            raise InputError(f"{name} holds numbers that are not finite: the network cannot be exported; train it anew")
        return copy

    layers = []
    for layer in range(module.num_layers):
        found = []
        for suffix in (f"_l{layer}", f"_l{layer}_reverse")[: 1 + module.bidirectional]:
            weight_ih, weight_hh = (own(n, getattr(module, n)) for n in (f"weight_ih{suffix}", f"weight_hh{suffix}"))
            bias = weight_ih.new_zeros(len(weight_ih))
            if module.bias:
                for name in (f"bias_ih{suffix}", f"bias_hh{suffix}"):
                    bias = bias + own(name, getattr(module, name))
            found.append(Direction(weight_ih, weight_hh, bias))
        layers.append(tuple(found))
    network = Network(
        tuple(layers),
        "relu" if module.mode == "RNN_RELU" else "tanh",
        at=at,
        mean=None if mean is None else own("mean", mean),
        scale=None if scale is None else own("scale", scale),
        class_names=class_names,
        about=dict(about or {}),
    )
    if head is not None:
        width = network.output_size
        if head.in_features != width:
            raise InputError(f"the head takes {head.in_features} numbers, but the last layer gives {width}")
        weight = own("head.weight", head.weight)
        bias = weight.new_zeros(len(weight)) if head.bias is None else own("head.bias", head.bias)
        network = replace(network, head=(weight, bias))
    for name, scaling in (("mean", network.mean), ("scale", network.scale)):
        if scaling is not None and scaling.shape != (network.input_size,):
            raise InputError(f"{name} must be [I] = [{network.input_size}], got shape {tuple(scaling.shape)}")
    if class_names is not None and len(class_names) != network.output_size:
        raise InputError(f"{len(class_names)} class names for {network.output_size} outputs")
    return network
