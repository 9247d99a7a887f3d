"""A trained network run one step at a time, at batch 1, for where a sequence has no end: sensors, audio, control."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from nprnn.errors import InputError
from nprnn.ops import cpu, reference
from nprnn.ops.backends import chosen_instruction_set


class Streamer:
    r"""Step by step, without gradients and, on the compiled kernel, without allocating.

    :math:`h \leftarrow f(W_{ih} x + b_{ih} + W_{hh} h + b_{hh})`. The weights are copied at the start: what the module
    learns afterwards is not seen. One streamer serves one stream and one thread at a time.

    Args:
        module: an RNN of torch or of this package that runs forward (any number of layers), or an ``RNNCell``, in
            float32 or float64 on the CPU.
        head: a linear layer on the last state; None gives the state itself.
        mean: subtracted from every input [I], or None.
        scale: what every input is divided by then [I], or None.

    Attributes:
        state: the states of all layers [layers, H], changed by every step; write to it to set them.
        output: what the last step returned: [O] with a head, else the last row of ``state``.

    Raises:
        InputError: a module that is bidirectional, an ensemble, an LSTM, or not on the CPU, or a head that does not
            fit.

    Source: section 2.
    """

    def __init__(
        self,
        module: nn.Module,
        head: nn.Linear | None = None,
        *,
        mean: Tensor | None = None,
        scale: Tensor | None = None,
    ) -> None:
        for part in (module, head):
            members = getattr(part, "ensemble", None)
            if members is not None:
                raise InputError(
                    f"a streamer runs one network, but {type(part).__name__} is an ensemble of E={members}; "
                    "make a streamer for each of its unstack()"
                )
        layers = _layers(module)
        first = layers[0]
        self.input_size, hidden = first.weight_ih.shape[1], first.weight_ih.shape[0]
        if scale is not None:
            layers[0] = first = first._replace(weight_ih=first.weight_ih / scale.to(first.weight_ih))
        if mean is not None:
            layers[0] = first._replace(bias=first.bias - first.weight_ih @ mean.to(first.weight_ih))
        if head is not None:
            if head.in_features != hidden:
                raise InputError(f"the head takes {head.in_features} numbers, but the state has {hidden}")
            weight = head.weight.detach().to(first.weight_ih)
            bias = weight.new_zeros(len(weight)) if head.bias is None else head.bias.detach().to(weight)
            layers.append(_Layer(weight.contiguous(), None, bias, "none"))
        self._layers = layers
        self._x = first.weight_ih.new_zeros(self.input_size)
        self.state = first.weight_ih.new_zeros(len(layers) - (head is not None), hidden)
        self.output = self.state[-1] if head is None else first.weight_ih.new_zeros(head.out_features)
        self._states = [*self.state, *([] if head is None else [self.output])]
        self._compiled = self._compile()

    def _compile(self) -> Any:
        chosen = chosen_instruction_set()
        if chosen is None:
            return None
        compiled = cpu.streamer(chosen, self._x.dtype)
        for layer, state in zip(self._layers, self._states, strict=True):
            outputs, inputs = layer.weight_ih.shape
            linear = outputs if layer.nonlinearity == "none" else 0
            recurrent = 0 if layer.weight_hh is None else layer.weight_hh.data_ptr()
            words = (layer.weight_ih.data_ptr(), recurrent, layer.bias.data_ptr(), state.data_ptr())
            compiled.add(inputs, outputs, layer.nonlinearity == "tanh", linear, *words)
        return compiled

    def step(self, x: Any) -> Tensor:
        """Take in one input.

        Args:
            x: [I], a tensor of the streamer's type (read where it lies), or anything ``torch.as_tensor`` takes.

        Returns:
            ``output``, the same tensor at every step: clone it to keep it.

        Raises:
            InputError: another number of inputs.
        """
        own = self._x
        as_it_is = type(x) is Tensor and x.dtype is own.dtype and x.shape == own.shape and x.is_cpu
        if not as_it_is or not x.is_contiguous():
            x = self._taken(x)
        if self._compiled is None:
            self._step(x)
        else:
            self._compiled.step(x.data_ptr())
        return self.output

    @torch.no_grad()
    def _step(self, x: Tensor) -> None:
        for layer, state in zip(self._layers, self._states, strict=True):
            s = functional.linear(x, layer.weight_ih, layer.bias)
            if layer.weight_hh is not None:
                s = s + layer.weight_hh @ state
            x = state.copy_(reference.activation(s, layer.nonlinearity, len(s) if layer.nonlinearity == "none" else 0))

    def _taken(self, x: Any) -> Tensor:
        given = torch.as_tensor(x)
        if given.shape != self._x.shape:
            raise InputError(f"x must be [I] = [{self.input_size}], got shape {tuple(given.shape)}")
        return self._x.copy_(given.detach())

    def reset(self, hx: Tensor | None = None) -> None:
        """Go back to the start of a sequence.

        Args:
            hx: states [layers, H]; None means 0.

        Raises:
            InputError: another shape.
        """
        if hx is not None and hx.shape != self.state.shape:
            raise InputError(f"hx must be [layers, H] = {tuple(self.state.shape)}, got {tuple(hx.shape)}")
        with torch.no_grad():
            self.state.zero_() if hx is None else self.state.copy_(hx)


class _Layer(NamedTuple):
    weight_ih: Tensor
    weight_hh: Tensor | None
    bias: Tensor
    nonlinearity: str  # "relu", "tanh" or, for a head, "none"


def _layers(module: nn.Module) -> list[_Layer]:
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
        layers.append(_Layer(weight_ih, weight_hh, bias, str(module.nonlinearity)))
    return layers
