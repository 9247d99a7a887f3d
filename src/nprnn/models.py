"""The models of the paper's Table 1 by name: a recurrent layer and a linear head on its last state."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from nprnn.errors import ConfigError, unknown
from nprnn.init import SCHEMES, init_rnn_, output_weight_
from nprnn.init.weights import Fan
from nprnn.rnn import RNN, freeze_bias_hh_

MODELS: dict[str, str] = {name: scheme.description for name, scheme in SCHEMES.items()} | {
    "LSTM": "long short-term memory with forget gate, four times the parameters"
}


class SequenceModel(nn.Module):
    """:math:`o = W_{yh} h_T + b_y`: a linear head on the state after the last step of each sequence.

    Args:
        rnn: a one-directional RNN or LSTM that takes [T, B, I].
        head: H to O.

    Source: section 2, second equation.
    """

    def __init__(self, rnn: RNN | nn.LSTM, head: nn.Linear) -> None:
        super().__init__()
        self.rnn = rnn
        self.head = head

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Outputs [B, O] for inputs [T, B, I]; ``lengths`` [B] are the steps of each sequence, None for all T."""
        packed = x if lengths is None else pack_padded_sequence(x, lengths.cpu(), enforce_sorted=False)
        _, last = self.rnn(packed)
        state = last[0] if isinstance(last, tuple) else last
        output: Tensor = self.head(state[-1])
        return output


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
    generator: torch.Generator | None = None,
) -> SequenceModel:
    """A model of Table 1 at its start: biases 0, one effective bias in the recurrent layer.

    Args:
        name: a key of ``MODELS``; case matters only between IRNN and iRNN.
        input_size: I, features a step.
        output_size: O, numbers or classes out.
        hidden_size: H; the paper has 100 everywhere.
        fan: what N is in the input weight (``nprnn.init.input_weight_``).
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
        return SequenceModel(lstm, head)
    scheme = SCHEMES[name]
    rnn = RNN(input_size, hidden_size, nonlinearity=scheme.nonlinearity)
    freeze_bias_hh_(init_rnn_(rnn, scheme, fan=fan, generator=generator))
    return SequenceModel(rnn, head)


def count_parameters(model: nn.Module) -> int:
    """The number of trained parameters; a bias frozen at 0 is not one."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
