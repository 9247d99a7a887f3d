"""Modules around the operator: parameters, shapes and plumbing, no arithmetic of their own."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from nprnn.errors import InputError
from nprnn.init import Scheme, find_scheme, init_rnn_
from nprnn.ops import Nonlinearity, Save, autocast_enabled, rnn

# So few steps cost less in torch's own C++ than one call of a Python function costs.
_FEW = 2

Recurrent = TypeVar("Recurrent", bound=nn.Module)


class RNN(nn.RNNBase):
    r"""``torch.nn.RNN`` on this package's operator: the same numbers, the same ``state_dict``, more ways to start.

    :math:`h_t = f(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh})`. Arguments, shapes and defaults are torch's (tanh,
    torch's random start: bit-equal weights under one ``torch.manual_seed``), and the last three are new. The output is
    kept for the backward pass, as cuDNN does: changing it in place makes ``backward`` raise.

    It is a ``torch.nn.RNNBase`` but not a ``torch.nn.RNN``, because ``torch.compile`` refuses every subclass of that.

    Args:
        input_size: I.
        hidden_size: H.
        num_layers: layers on top of each other.
        nonlinearity: ``"tanh"`` or ``"relu"``; None is that of ``init``, or tanh.
        bias: whether there are biases.
        batch_first: whether input and output are [B, T, ...] instead of [T, B, ...].
        dropout: probability of dropping an output of every layer but the last.
        bidirectional: whether a second set of weights runs from the end.
        device: where the weights live.
        dtype: their floating type.
        init: a start by the name of the paper's Table 1 (see ``nprnn.init.SCHEMES``) instead of torch's.
        generator: source of the random numbers of ``init``.
        save: ``"all"`` keeps every state for the backward pass, ``"sqrt"`` about √T and computes the others again.

    Raises:
        ConfigError: unknown ``init``, or one for another nonlinearity.
        InputError: an unknown ``save``.
        ValueError, TypeError: as ``torch.nn.RNN``.

    Source: section 2, first equation.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str | None = None,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        init: str | Scheme | None = None,
        generator: torch.Generator | None = None,
        save: Save = "all",
    ) -> None:
        if save not in ("all", "sqrt"):
            raise InputError(f"save must be 'all' or 'sqrt', got {save!r}")
        self.nonlinearity = _nonlinearity(nonlinearity, init)
        super().__init__(
            f"RNN_{self.nonlinearity.upper()}",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )
        self.save = save
        if init is not None:
            init_rnn_(self, init, generator=generator)

    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | None = None
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Run the sequence; see ``torch.nn.RNN`` for shapes.

        Args:
            input: [T, B, I], [B, T, I] with ``batch_first``, [T, I] unbatched, or a ``PackedSequence``.
            hx: initial states [layers * directions, B, H], or [layers * directions, H] unbatched; None means 0.

        Returns:
            The last layer's states, shaped as the input, and the final states of every layer and direction.

        Raises:
            RuntimeError, ValueError: as ``torch.nn.RNN`` on wrong shapes and dtypes.
            InputError: no time step, or an ``hx`` of another dtype or device.
        """
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        if input.dim() not in (2, 3):
            raise ValueError(f"RNN: Expected input to be 2D or 3D, got {input.dim()}D tensor instead")
        if hx is not None and hx.dim() != input.dim():
            kind = "unbatched 2-D" if input.dim() == 2 else "batched 3-D"
            raise RuntimeError(f"For {kind} input, hx should also be {input.dim()}-D but got {hx.dim()}-D tensor")
        if input.dim() == 2:
            y, h_n = self.forward_padded(input.unsqueeze(1), None, None if hx is None else hx.unsqueeze(1))
            return y.squeeze(1), h_n.squeeze(1)
        if _few_steps(input, int(self.batch_first)):
            return self._torchs_own(input, hx)
        y, h_n = self.forward_padded(input.transpose(0, 1) if self.batch_first else input, None, hx)
        return y.transpose(0, 1) if self.batch_first else y, h_n

    def _forward_packed(self, packed: PackedSequence, hx: Tensor | None) -> tuple[PackedSequence, Tensor]:
        if packed.data.dim() != 2:
            raise RuntimeError(f"input must have 2 dimensions, got {packed.data.dim()}")
        # The inner sequence is sorted already: padding it must not sort it back.
        x, lengths = pad_packed_sequence(PackedSequence(packed.data, packed.batch_sizes))
        hx = None if hx is None else self.permute_hidden(hx, packed.sorted_indices)
        y, h_n = self.forward_padded(x, lengths, hx)
        data = pack_padded_sequence(y, lengths).data
        result = PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
        return result, self.permute_hidden(h_n, packed.unsorted_indices)

    def forward_padded(
        self, x: Tensor, lengths: Tensor | None = None, hx: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run sequences of different lengths without packing them.

        Args:
            x: [T, B, I] (whatever ``batch_first`` says); beyond a sequence's length it is not looked at.
            lengths: integers [B], 0..T, in any order; None means all T.
            hx: initial states [layers * directions, B, H]; None means 0.

        Returns:
            The last layer's states [T, B, directions * H], 0 beyond a sequence's length, and the final states
            [layers * directions, B, H], each at the end of its sequence.

        Raises:
            RuntimeError, ValueError: as ``forward``.
            InputError: likewise, and for ``lengths`` that are not integers [B].
        """
        directions = ("", "_reverse") if self.bidirectional else ("",)
        states = self.num_layers * len(directions)
        if hx is not None:
            self.check_hidden_size(hx, (states, x.shape[1], self.hidden_size))
        h0s = [x.new_zeros(x.shape[1], self.hidden_size)] * states if hx is None else hx.unbind()
        if x.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {x.shape[-1]}"
            )
        weight_dtype = self.weight_ih_l0.dtype
        if x.dtype != weight_dtype and not autocast_enabled(x.device.type):
            raise ValueError(
                f"RNN input dtype ({x.dtype}) does not match weight dtype ({weight_dtype}). "
                f"Convert input: input.to({weight_dtype}), or convert model: model.to({x.dtype})"
            )
        finals = []
        for layer in range(self.num_layers):
            outputs = []
            for k, direction in enumerate(directions):
                y, h_n = rnn(
                    x,
                    h0s[layer * len(directions) + k],
                    *self._weights(f"_l{layer}{direction}"),
                    lengths,
                    nonlinearity=self.nonlinearity,
                    reverse=k == 1,
                    save=self.save,
                )
                outputs.append(y)
                finals.append(h_n)
            x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
            if self.dropout > 0 and layer < self.num_layers - 1:
                x = self._drop(x, lengths)
        return x, finals[0].unsqueeze(0) if len(finals) == 1 else torch.stack(finals)

    def _torchs_own(self, x: Tensor, hx: Tensor | None) -> tuple[Tensor, Tensor]:
        if hx is None:
            states = (self.num_layers * (1 + self.bidirectional), x.shape[1 - self.batch_first], self.hidden_size)
            hx = x.new_zeros(states)
        self.check_forward_args(x, hx, None)
        run = torch.rnn_tanh if self.nonlinearity == "tanh" else torch.rnn_relu
        names, own = self._flat_weights_names, self._parameters
        # Attribute lookup is the slow one, and needed for parametrized weights alone.
        weights: list[Any] = [own[name] if name in own else getattr(self, name) for name in names]
        options = (self.num_layers, self.dropout, self.training, self.bidirectional, self.batch_first)
        y, h_n = run(x, hx, weights, self.bias, *options)
        return y, h_n

    def _drop(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        if lengths is None or not self.training:
            return functional.dropout(x, self.dropout, self.training)
        # On packed data, as torch does: the same mask under one seed. Sorting again could swap equal lengths.
        descending = bool((lengths[:-1] >= lengths[1:]).all())
        # No sequence packed may be empty; a step too many is 0 and stays 0.
        packed = pack_padded_sequence(x, lengths.clamp(min=1).cpu(), enforce_sorted=descending)
        dropped = packed._replace(data=functional.dropout(packed.data, self.dropout, self.training))
        return pad_packed_sequence(dropped, total_length=len(x))[0]

    def _weights(self, suffix: str) -> tuple[Tensor, Tensor, Tensor | None]:
        # By name at every call, so that parametrizations and torch.func.functional_call are seen.
        bias = getattr(self, "bias_ih" + suffix) + getattr(self, "bias_hh" + suffix) if self.bias else None
        return getattr(self, "weight_ih" + suffix), getattr(self, "weight_hh" + suffix), bias


class NPRNN(RNN):
    r"""The paper's network: ReLU, np-RNN start, one effective bias.

    ``bias_hh`` is frozen at 0: two trained biases would double the bias' learning rate and its weight in the clip norm.

    Args:
        input_size: I.
        hidden_size: H; 100 in every experiment of the paper.
        init: the start; ``"np-RNN"`` (Eq. 9 as printed) unless told otherwise.
        **kwargs: as for ``RNN``.

    Raises:
        ConfigError: unknown ``init``, or one for another nonlinearity.

    Source: sections 2 and 3, Eqs. 9 and 10.
    """

    def __init__(self, input_size: int, hidden_size: int, *, init: str | Scheme = "np-RNN", **kwargs: Any) -> None:
        super().__init__(input_size, hidden_size, init=init, **kwargs)
        freeze_bias_hh_(self)


class RNNCell(nn.RNNCell):
    r"""``torch.nn.RNNCell`` with the paper's starts: :math:`h' = f(W_{ih} x + b_{ih} + W_{hh} h + b_{hh})`.

    The step is torch's own; to run a trained network step by step without gradients, ``Streamer`` is quicker.

    Args:
        input_size: I.
        hidden_size: H.
        bias: whether there are biases.
        nonlinearity: ``"tanh"`` or ``"relu"``; None is that of ``init``, or tanh.
        device: where the weights live.
        dtype: their floating type.
        init: a start by the name of the paper's Table 1 instead of torch's.
        generator: source of the random numbers of ``init``.

    Raises:
        ConfigError: unknown ``init``, or one for another nonlinearity.
        ValueError: an unknown nonlinearity.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        init: str | Scheme | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, _nonlinearity(nonlinearity, init), device, dtype)
        if init is not None:
            init_rnn_(self, init, generator=generator)


def _few_steps(x: Tensor, steps: int) -> bool:
    """Whether torch's own steps do what ``nprnn.ops.rnn`` does, with less around them."""
    return (
        not torch.compiler.is_compiling()
        and 0 < x.shape[steps] <= _FEW
        and x.device.type == "cpu"
        and not autocast_enabled("cpu")
    )


def _nonlinearity(name: str | None, init: str | Scheme | None) -> Nonlinearity:
    name = name or ("tanh" if init is None else find_scheme(init).nonlinearity)
    if name == "tanh":
        return "tanh"
    if name == "relu":
        return "relu"
    raise ValueError(f"Unknown nonlinearity '{name}'. Select from 'tanh' or 'relu'.")


def freeze_bias_hh_(module: Recurrent) -> Recurrent:
    """Fix every ``bias_hh`` at 0 and stop its gradient, so that the module has one effective bias, as in the paper.

    Args:
        module: any torch RNN or RNNCell, or one of this package.

    Returns:
        ``module``.
    """
    for name, parameter in module.named_parameters():
        if name.rpartition(".")[2].startswith("bias_hh"):
            with torch.no_grad():
                parameter.zero_()
            parameter.requires_grad_(False)
    return module
