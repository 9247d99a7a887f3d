"""``--format torch``: the weights under the names that ``torch.nn.RNN`` gives them, and nothing of this package."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from nprnn.errors import ConfigError, RunError
from nprnn.export.format import Answer, Exported, Wanted
from nprnn.export.network import Network

FILE = "model.pt"


def write_torch(network: Network, folder: Path, wanted: Wanted) -> Exported:
    """Write a dictionary with ``rnn``, the state_dict of a ``torch.nn.RNN``, ``head``, that of a ``torch.nn.Linear``,
    and ``settings``, the arguments that make both.

    ``torch.load(file, weights_only=True)`` reads it. One bias: the other of torch's two is 0.

    Args:
        network: the network.
        folder: where to write ``model.pt``.
        wanted: whole sequences in float32; torch's own module runs steps too.

    Returns:
        The file and how to run it.

    Raises:
        ConfigError: int8, or a mode of its own for steps.
    """
    if wanted.precision != "float32" or wanted.mode != "sequence":
        raise ConfigError("--format torch writes a float32 torch.nn.RNN, which takes steps and sequences alike")
    content: dict[str, Any] = {
        "rnn": _state_dict(network),
        "head": None if network.head is None else {"weight": network.head[0], "bias": network.head[1]},
        "settings": {
            "input_size": network.input_size,
            "hidden_size": network.hidden_size,
            "num_layers": len(network.layers),
            "nonlinearity": network.nonlinearity,
            "bidirectional": network.directions == 2,
            "output_size": network.output_size,
        },
        "mean": network.mean,
        "scale": network.scale,
        "at": network.at,
        "class_names": None if network.class_names is None else list(network.class_names),
        "about": dict(network.about),
    }
    path = folder / FILE
    # In memory first: torch's own writer does not tell of a full disk what it is.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path.write_bytes(buffer.getvalue())
    numbers = sum(v.numel() for v in content["rnn"].values()) + sum(
        v.numel() for v in (network.head or ()) + tuple(s for s in (network.mean, network.scale) if s is not None)
    )
    return Exported((path,), _answer(path), 4 * numbers, 4 * network.states * network.hidden_size, {})


def _state_dict(network: Network) -> dict[str, Tensor]:
    found = {}
    for layer, directions in enumerate(network.layers):
        for suffix, (weight_ih, weight_hh, bias) in zip(("", "_reverse"), directions, strict=False):
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            for name, value in zip(names, (weight_ih, weight_hh, bias, torch.zeros_like(bias)), strict=True):
                found[f"{name}_l{layer}{suffix}"] = value
    return found


def _answer(path: Path) -> Answer:
    content = torch.load(path, weights_only=True)
    settings = content["settings"]
    outputs = settings.pop("output_size")
    module = nn.RNN(**settings)
    module.load_state_dict(content["rnn"])
    head: nn.Module = nn.Identity()
    if content["head"] is not None:
        head = nn.Linear(module.hidden_size * (1 + module.bidirectional), outputs)
        head.load_state_dict(content["head"])

    @torch.no_grad()
    def answer(x: Tensor, lengths: Tensor | None) -> Tensor:
        x = x if content["mean"] is None else x - content["mean"]
        x = x if content["scale"] is None else x / content["scale"]
        if lengths is None:
            y, h_n = module(x)
        else:
            packed, h_n = module(pack_padded_sequence(x, lengths.cpu(), enforce_sorted=False))
            y, _ = pad_packed_sequence(packed, total_length=len(x))
        if content["at"] == "last":
            last = h_n[-2:] if module.bidirectional else h_n[-1:]
            y = torch.cat(tuple(last), -1)
        elif content["at"] == "mean":
            y = y.mean(0) if lengths is None else y.sum(0) / lengths.to(y).unsqueeze(-1)
        elif content["at"] != "each":
            raise RunError(f"{path}: outputs are taken at {content['at']!r}, which this package does not know")
        result: Tensor = head(y)
        return result

    return answer
