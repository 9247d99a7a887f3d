"""Modules around the operator: parameters, shapes and plumbing, no arithmetic of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from nprnn.errors import InputError
from nprnn.init import Scheme, find_scheme, init_rnn_
from nprnn.ops import Nonlinearity, Save, autocast_enabled, onnx_node, rnn

# So few steps cost less in torch's own C++ than one call of a Python function costs.
_FEW = 2

# What makes two RNNs of the same kind: the arguments of the constructor that a module keeps.
SETTINGS = (
    "input_size",
    "hidden_size",
    "num_layers",
    "nonlinearity",
    "bias",
    "batch_first",
    "dropout",
    "bidirectional",
    "save",
)

Recurrent = TypeVar("Recurrent", bound=nn.Module)


class RNN(nn.RNNBase):
    r"""``torch.nn.RNN`` on this package's operator: the same numbers, the same ``state_dict``, more ways to start.

    :math:`h_t = f(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh})`. Arguments, shapes and defaults are torch's (tanh,
    torch's random start: bit-equal weights under one ``torch.manual_seed``), and the last four are new. The output is
    kept for the backward pass, as cuDNN does: changing it in place makes ``backward`` raise.

    With ``ensemble=E`` it is E networks of the same shape at once: every parameter has a leading E (``weight_ih_l0`` is
    [E, H, I]), and member k computes what a single RNN with ``weight[k]`` computes. ``nprnn.stack`` makes one of single
    RNNs, ``unstack`` makes single RNNs of it.

    ``torch.onnx.export`` of a model that has it gives one ``RNN`` node for each layer and direction, T and B as free as
    ``dynamic_shapes`` says. Ensembles, float64 and packed sequences raise an error there that says what to do instead.

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
        ensemble: E, the number of members; None is a single network, which is not the same as an ensemble of one. The
            start is that of E single networks built one after another.

    Raises:
        ConfigError: unknown ``init``, or one for another nonlinearity.
        InputError: an unknown ``save``, or an ``ensemble`` that is no integer of at least 1.
        ValueError, TypeError: as ``torch.nn.RNN``.

    Source: section 2, first equation.
    """

    ensemble: int | None = None

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
        ensemble: int | None = None,
    ) -> None:
        if save not in ("all", "sqrt"):
            raise InputError(f"save must be 'all' or 'sqrt', got {save!r}")
        if ensemble is not None and (type(ensemble) is not int or ensemble < 1):
            raise InputError(
                f"ensemble must be the number of members, an integer of at least 1, or None; got {ensemble!r}"
            )
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
            # Of an ensemble, one member's shapes and no numbers.
            device=device if ensemble is None else "meta",
            dtype=dtype,
        )
        self.save = save
        if ensemble is not None:
            self._widen(ensemble, device)
            self._start(ensemble, init, generator)
        elif init is not None:
            init_rnn_(self, init, generator=generator)

    def _widen(self, members: int, device: torch.device | str | None) -> None:
        self.ensemble = members
        for name, one in list(self.named_parameters()):
            setattr(self, name, nn.Parameter(torch.empty((members, *one.shape), dtype=one.dtype, device=device)))
        self._init_flat_weights()

    def _start(self, members: int, init: str | Scheme | None, generator: torch.Generator | None) -> None:
        if self.weight_ih_l0.is_meta:
            return
        if init is None:
            self.reset_parameters()
            return
        for k in range(members):
            # A single network draws both too: one seed, one stream of numbers.
            self._draw_as_torch(k)
            views = {name: parameter.detach()[k] for name, parameter in self.named_parameters()}
            init_rnn_(self._member(views), init, generator=generator)

    def reset_parameters(self) -> None:
        """Draw all parameters anew as ``torch.nn.RNN`` does, those of an ensemble one member after another."""
        if self.ensemble is None:
            super().reset_parameters()
            return
        for k in range(self.ensemble):
            self._draw_as_torch(k)

    @torch.no_grad()
    def _draw_as_torch(self, k: int) -> None:
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            parameter[k].uniform_(-bound, bound)

    def _member(self, weights: Mapping[str, Tensor]) -> RNN:
        """A single network with these tensors for parameters, not copies of them."""
        kept = {name: nn.Parameter(v, requires_grad=getattr(self, name).requires_grad) for name, v in weights.items()}
        return with_parameters(NPRNN if isinstance(self, NPRNN) else RNN, settings_of(self), kept)

    def flatten_parameters(self) -> None:
        """As in ``torch.nn.RNN``; nothing for an ensemble, whose weights cuDNN would refuse."""
        if self.ensemble is None:
            super().flatten_parameters()

    def extra_repr(self) -> str:
        """The arguments that are not the defaults."""
        return super().extra_repr() + ("" if self.ensemble is None else f", ensemble={self.ensemble}")

    def unstack(self) -> list[RNN]:
        """The members of an ensemble as single networks; ``nprnn.stack`` is the way back.

        Returns:
            E modules (``NPRNN`` if this is one, else ``RNN``) with copies of the weights, equal bit for bit, and with
            the same ``requires_grad`` and training mode.

        Raises:
            InputError: this is no ensemble, or a weight is parametrized or pruned.
        """
        if self.ensemble is None:
            raise InputError("this RNN is a single network (ensemble=None): there is nothing to unstack")
        own = self._parameters
        computed = [name for name in self._flat_weights_names if own.get(name) is None]
        if computed:
            raise InputError(
                f"{', '.join(computed)} is computed (parametrized or pruned), and single networks would lose that; "
                "call torch.nn.utils.parametrize.remove_parametrizations or prune.remove before unstack"
            )
        members = []
        for k in range(self.ensemble):
            copies = {
                name: getattr(self, name).detach()[k].clone(memory_format=torch.contiguous_format)
                for name in self._flat_weights_names
            }
            members.append(self._member(copies).train(self.training))
        return members

    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | None = None
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Run the sequence; see ``torch.nn.RNN`` for shapes.

        Args:
            input: [T, B, I], [B, T, I] with ``batch_first``, [T, I] unbatched, or a ``PackedSequence``. For an
                ensemble [T, B, I], shared by all members, or [E, T, B, I], each its own ([B, T, I] and [E, B, T, I]
                with ``batch_first``).
            hx: initial states [layers * directions, B, H], or [layers * directions, H] unbatched; None means 0. For an
                ensemble also [E, layers * directions, B, H].

        Returns:
            The last layer's states, shaped as the input, and the final states of every layer and direction; both with a
            leading E for an ensemble, whatever the input had.

        Raises:
            RuntimeError, ValueError: as ``torch.nn.RNN`` on wrong shapes and dtypes.
            InputError: no time step, an ``hx`` of another dtype or device, or, for an ensemble, input that is packed,
                unbatched or of another E.
        """
        if self.ensemble is not None:
            return self._forward_ensemble(self.ensemble, input, hx)
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

    def _forward_ensemble(
        self, members: int, input: Tensor | PackedSequence, hx: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        if isinstance(input, PackedSequence):
            raise InputError(
                f"an ensemble (E={members}) takes no PackedSequence; "
                "call forward_padded(x, lengths) with x [T, B, I] or [E, T, B, I] and lengths [B] or [E, B]"
            )
        _check_members(members, "input", input, "B, T, I" if self.batch_first else "T, B, I")
        y, h_n = self.forward_padded(input.transpose(-3, -2) if self.batch_first else input, None, hx)
        return y.transpose(-3, -2) if self.batch_first else y, h_n

    def _forward_packed(self, packed: PackedSequence, hx: Tensor | None) -> tuple[PackedSequence, Tensor]:
        if packed.data.dim() != 2:
            raise RuntimeError(f"input must have 2 dimensions, got {packed.data.dim()}")
        if onnx_node.exporting():
            raise InputError(
                "ONNX has no PackedSequence; call forward_padded(x, lengths) with x [T, B, I] and lengths [B] instead"
            )
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
            x: [T, B, I] (whatever ``batch_first`` says); beyond a sequence's length it is not looked at. For an
                ensemble also [E, T, B, I].
            lengths: integers [B], 0..T, in any order; None means all T. For an ensemble also [E, B].
            hx: initial states [layers * directions, B, H]; None means 0. For an ensemble also with a leading E.

        Returns:
            The last layer's states [T, B, directions * H], 0 beyond a sequence's length, and the final states
            [layers * directions, B, H], each at the end of its sequence; both with a leading E for an ensemble.

        Raises:
            RuntimeError, ValueError: as ``forward``.
            InputError: likewise, and for ``lengths`` that are not integers [B].
        """
        directions = ("", "_reverse") if self.bidirectional else ("",)
        states = self.num_layers * len(directions)
        members = self.ensemble
        if members is not None:
            _check_members(members, "x", x, "T, B, I")
            if lengths is not None:
                _check_members(members, "lengths", lengths, "B")
        if hx is not None:
            expected = (states, x.shape[-2], self.hidden_size)
            if members is None:
                self.check_hidden_size(hx, expected)
            elif hx.shape != (members, *expected):
                message = f"Expected hidden size {{}}, or that with a leading E={members}, got {{}}"
                self.check_hidden_size(hx, expected, message)
        h0s = [x.new_zeros(x.shape[-2], self.hidden_size)] * states if hx is None else hx.unbind(-3)
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
        save = self.save
        if onnx_node.exporting():
            onnx_node.check(x.dtype, ensemble=members is not None)
            # The other way is for gradients, and would fix T.
            save = "all"
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
                    save=save,
                )
                outputs.append(y)
                finals.append(h_n)
            x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
            if self.dropout > 0 and layer < self.num_layers - 1:
                x = self._drop(x, lengths)
        return x, finals[0].unsqueeze(-3) if len(finals) == 1 else torch.stack(finals, -3)

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
        if lengths is None or not self.training or self.ensemble is not None:
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


def settings_of(module: nn.RNNBase) -> dict[str, Any]:
    """The arguments that make a single network like this one, or like a member of this one."""
    return {name: getattr(module, name, "all") if name == "save" else getattr(module, name) for name in SETTINGS}


def with_parameters(
    kind: type[RNN], settings: Mapping[str, Any], parameters: Mapping[str, nn.Parameter], ensemble: int | None = None
) -> RNN:
    """A module with these very parameters; no random number is drawn.

    Args:
        kind: ``RNN`` or ``NPRNN``.
        settings: as of ``settings_of``.
        parameters: all of them, by name.
        ensemble: their leading E, or None.

    Returns:
        The module, in training mode.
    """
    module = kind.__new__(kind)
    # Not the constructor of ``kind``, which wants a start; and torch warns of a dropout once, when the first is built.
    RNN.__init__(module, **{**settings, "dropout": 0.0}, device="meta", ensemble=ensemble)
    module.dropout = settings["dropout"]
    for name, parameter in parameters.items():
        setattr(module, name, parameter)
    module._init_flat_weights()
    return module


def _check_members(members: int, name: str, tensor: Tensor, axes: str) -> None:
    dims = axes.count(",") + 1
    if tensor.dim() == dims or (tensor.dim() == dims + 1 and tensor.shape[0] == members):
        return
    hint = "; an unbatched sequence needs a batch axis of 1" if tensor.dim() == 2 and dims == 3 else ""
    raise InputError(
        f"{name} must be [{axes}], shared by all members, or [E, {axes}] with E={members}, "
        f"each member its own; got shape {tuple(tensor.shape)}{hint}"
    )


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
