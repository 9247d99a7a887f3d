"""The models of the paper's Table 1 by name: a recurrent layer and a linear head on its states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from nprnn.ensembles import stack
from nprnn.errors import ConfigError, InputError, unknown
from nprnn.init import SCHEMES, init_rnn_, output_weight_
from nprnn.init.weights import Fan
from nprnn.linear import EnsembleLinear
from nprnn.rnn import RNN, freeze_bias_hh_
from nprnn.streaming import Streamer

At = Literal["last", "mean", "each"]

MODELS: dict[str, str] = {name: scheme.description for name, scheme in SCHEMES.items()} | {
    "LSTM": "long short-term memory with forget gate, four times the parameters"
}


class SequenceModel(nn.Module):
    """:math:`o_t = W_{yh} h_t + b_y`: a linear head on the states of a recurrent layer.

    With an ensemble of E layers and heads (``stack_models``) inputs, lengths and outputs lead with E.

    Args:
        rnn: a one-directional RNN or LSTM that takes [T, B, I].
        head: H to O.
        mean: subtracted from the inputs [I], or None; [E, 1, 1, I] for an ensemble.
        scale: what the inputs are divided by then, shaped alike, or None. Both are part of the state_dict, so that
            whoever has the weights has the scaling too.

    Source: section 2, second equation.
    """

    input_mean: Tensor | None
    input_scale: Tensor | None

    def __init__(
        self,
        rnn: RNN | nn.LSTM,
        head: nn.Linear | EnsembleLinear,
        mean: Tensor | None = None,
        scale: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.rnn = rnn
        self.head = head
        self.register_buffer("input_mean", mean)
        self.register_buffer("input_scale", scale)

    def forward(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        *,
        at: At = "last",
        truncate: int | None = None,
        dropout: Tensor | None = None,
    ) -> Tensor:
        """Outputs of a batch.

        Args:
            x: inputs [T, B, I].
            lengths: steps of each sequence [B], 1..T; None means all T.
            at: ``"last"``: the output after each sequence's last step; ``"mean"``: the mean of its outputs over its
                steps; ``"each"``: the output after every step.
            truncate: let gradients flow within segments of so many steps only (truncated backpropagation through time);
                None means through all.
            dropout: factors of the states on their way to the head (section 4.4): 0 where a unit is dropped,
                1/(1 - p) elsewhere; [B, H], or [T, B, H] for ``"each"``. None drops nothing.

        Returns:
            [B, O], or [T, B, O] for ``"each"`` (meaningless beyond a sequence's length).
        """
        lengths = None if lengths is None else lengths.long()
        y, last = self._states(self.scaled(x), lengths, truncate)
        if at == "last":
            state = last
        elif at == "mean":
            # The head is linear: the mean of the outputs is the output of the mean. States beyond the end are 0.
            state = y.mean(-3) if lengths is None else y.sum(-3) / lengths.to(y).unsqueeze(-1)
        else:
            state = y
        if dropout is not None:
            state = state * dropout
        output: Tensor = self.head(state)
        return output

    def scaled(self, x: Tensor) -> Tensor:
        """Inputs as the recurrent layer takes them: standardised where the model has a scaling.

        Args:
            x: [T, B, I].

        Returns:
            Likewise.
        """
        if self.input_mean is None or self.input_scale is None:
            return x
        return (x - self.input_mean) / self.input_scale

    def streamer(self, streams: int | None = None) -> Streamer:
        """The model step by step: a ``Streamer`` with its head, and its scaling of the inputs.

        Args:
            streams: so many streams at once; None is one, without an axis for them.

        Returns:
            The streamer, with copies of the weights, at state 0.

        Raises:
            InputError: the LSTM, an ensemble, weights that are not float32 or float64 on the CPU, or streams below 1.
        """
        if isinstance(self.head, EnsembleLinear):
            raise InputError(
                f"a Streamer runs one network, this is an ensemble of {self.head.ensemble}; unstack it first"
            )
        return Streamer(self.rnn, self.head, mean=self.input_mean, scale=self.input_scale, streams=streams)

    def _states(self, x: Tensor, lengths: Tensor | None, truncate: int | None) -> tuple[Tensor, Tensor]:
        """All states [T, B, H] and the last of each sequence [B, H]."""
        steps = x.shape[-3]
        if truncate is None or truncate >= steps:
            y, ends_at = self._run(x, lengths, None)
            if lengths is not None and not isinstance(self.rnn, RNN):
                return y, _ends(y, lengths)
            last = ends_at[0]
            # Not `select` where there is one layer: its derivative would fill a tensor with zeros first.
            return y, last.squeeze(-3) if last.shape[-3] == 1 else last.select(-3, -1)
        ys: list[Tensor] = []
        state: tuple[Tensor, ...] | None = None
        for start in range(0, steps, truncate):
            part = x[..., start : start + truncate, :, :]
            left = None if lengths is None else (lengths - start).clamp(0, part.shape[-3])
            y, state = self._run(part, left, None if state is None else tuple(v.detach() for v in state))
            ys.append(y)
        y = torch.cat(ys, -3)
        if lengths is None:
            return y, y.select(-3, -1)
        # Not the final state: a sequence that ended in an earlier segment has had its gradient cut off from that.
        return y, _ends(y, lengths)

    def _run(
        self, x: Tensor, lengths: Tensor | None, state: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        if isinstance(self.rnn, RNN):
            y, h_n = self.rnn.forward_padded(x, lengths, None if state is None else state[0])
            return y, (h_n,)
        # Packed sequences would take torch's slow path, three times the time. What comes after an end is wiped out; the
        # state that is handed on is that of the sequences that go on, and no other is ever asked for.
        y, new = self.rnn(x, state)
        return y if lengths is None else y * _live(lengths, len(x)), new


def _ends(y: Tensor, lengths: Tensor) -> Tensor:
    """The states [..., B, H] after each sequence's last step, of y [..., T, B, H]."""
    at = (lengths - 1)[..., None, :, None].expand(*y.shape[:-3], 1, *y.shape[-2:])
    return y.gather(-3, at).squeeze(-3)


def _live(lengths: Tensor, steps: int) -> Tensor:
    """1 within a sequence, 0 after its end: [T, B, 1]."""
    return (torch.arange(steps, device=lengths.device)[:, None] < lengths).unsqueeze(-1)


def find_model(name: str) -> str:
    """The registered spelling of a model's name, whatever its case where that leaves no doubt.

    Raises:
        ConfigError: unknown name, or one that only its case tells apart (IRNN and iRNN).
    """
    if name in MODELS:
        return name
    alike = [known for known in MODELS if known.lower() == name.lower()]
    if len(alike) == 1:
        return alike[0]
    if alike:
        raise ConfigError(
            f"model {name!r} could be {' or '.join(f'{known!r} ({MODELS[known]})' for known in alike)}; "
            "their names differ by case alone"
        )
    raise unknown("model", name, MODELS)


def build_model(
    name: str,
    input_size: int,
    output_size: int,
    *,
    hidden_size: int = 100,
    fan: Fan = "hidden",
    mean: Tensor | None = None,
    scale: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> SequenceModel:
    """A model of Table 1 at its start: biases 0, one effective bias in the recurrent layer (the LSTM: as torch has it).

    Args:
        name: a key of ``MODELS``; case matters only between IRNN and iRNN.
        input_size: I, features a step.
        output_size: O, numbers or classes out.
        hidden_size: H; the paper has 100 everywhere.
        fan: what N is in the input weight (``nprnn.init.input_weight_``).
        mean: subtracted from the inputs [I], or None.
        scale: what the inputs are divided by then [I], or None.
        generator: source of the random numbers. One seed gives all models but the LSTM the same head and input weight.

    Returns:
        The model, in float32 on the CPU.

    Raises:
        ConfigError: unknown name, or a size below 1.

    Source: section 3, Table 1. The LSTM starts as torch starts it; the paper says no more than that it has a forget
    gate.
    """
    name = find_model(name)
    for what, size in (("input_size", input_size), ("output_size", output_size), ("hidden_size", hidden_size)):
        if size < 1:
            raise ConfigError(f"{what} must be at least 1, got {size}")
    head = nn.Linear(hidden_size, output_size)
    output_weight_(head.weight, generator=generator)
    nn.init.zeros_(head.bias)
    if name == "LSTM":
        lstm = nn.LSTM(input_size, hidden_size)
        for parameter in lstm.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5, generator=generator)
        return SequenceModel(lstm, head, mean, scale)
    scheme = SCHEMES[name]
    rnn = RNN(input_size, hidden_size, nonlinearity=scheme.nonlinearity)
    freeze_bias_hh_(init_rnn_(rnn, scheme, fan=fan, generator=generator))
    return SequenceModel(rnn, head, mean, scale)


def stack_models(models: Sequence[SequenceModel]) -> SequenceModel:
    """E models of one shape as one: inputs [T, B, I] or [E, T, B, I], outputs that lead with E.

    Args:
        models: with layers of one size and nonlinearity (no LSTM), and scaling of their inputs in all or in none.

    Returns:
        The ensemble, with copies of their weights.

    Raises:
        InputError: LSTMs or ensembles among them; only some scale their inputs; they differ in size, nonlinearity or
            in what is trained.
    """
    rnns = [model.rnn for model in models if isinstance(model.rnn, RNN)]
    heads = [model.head for model in models if isinstance(model.head, nn.Linear)]
    if not len(rnns) == len(heads) == len(models):
        raise InputError("stack_models takes single models with a layer of nprnn.RNN; LSTMs and ensembles stay apart")
    if len({(model.input_mean is None, model.input_scale is None) for model in models}) > 1:
        raise InputError("stack_models takes models that all scale their inputs, or none of them")
    means, scales = ([getattr(model, name) for model in models] for name in ("input_mean", "input_scale"))
    scaling = [None if v[0] is None else torch.stack(v)[:, None, None] for v in (means, scales)]
    return SequenceModel(stack(rnns), stack(heads), *scaling)


def count_parameters(model: nn.Module) -> int:
    """The number of trained parameters; a bias frozen at 0 is not one."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
