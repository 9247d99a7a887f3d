"""``--format executorch``: a program for phones, run by ExecuTorch with XNNPACK."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from nprnn.errors import ConfigError
from nprnn.export.executorch_int8 import ABOUT, Grid, on_grid, quantiser
from nprnn.export.executorch_lowering import EXTRA, PURPOSE, Delegated, delegated, program, quietly
from nprnn.export.executorch_modules import BothWays, Forwards, Head, Step, Stepping
from nprnn.export.executorch_running import TOLD, Program
from nprnn.export.format import Exported, Wanted
from nprnn.export.network import Network
from nprnn.files import write_atomically
from nprnn.optional import needed

FILE = "model.pte"
# Sequences that a step takes at once, at most: room for their answers is set aside.
MOST_STREAMS = 64
# Steps of a sequence at most: where nothing is kept of them, and where room for all of them is set aside.
MOST_STEPS = 2**20
MOST_STEPS_KEPT = 4096


def write_executorch(network: Network, folder: Path, wanted: Wanted) -> Exported:
    """Write a program with one method, ``forward``.

    Mode ``sequence``: inputs [T, 1, I], of any T up to ``most_steps``, and states [layers * directions, 1, H] to
    outputs and states. The loop is in the program, once for all steps; XNNPACK takes each step whole. Of batches
    ExecuTorch's loop has none: it copies the state into a tensor of fixed size.

    Mode ``step``: inputs [B, I], B up to ``most_streams``, and states [layers, B, H] to outputs [B, O] and states.
    Outputs are given at every step; where the network takes their mean, that is left to the caller.

    Inputs are scaled in the program. The method ``nprnn`` gives a JSON text with what a caller needs to know: sizes,
    limits, class names, where outputs are taken, and where the network is from.

    Args:
        network: the network.
        folder: where to write ``model.pte``.
        wanted: whole sequences or steps, float32 or int8.

    Returns:
        The file and how to run it.

    Raises:
        ConfigError: ExecuTorch or torchao is not installed, steps of a network that runs from the end, or int8 without
            calibrating sequences.
        RunError: XNNPACK does not take a step whole.
    """
    if wanted.mode == "step" and network.directions == 2:
        raise ConfigError(
            "a network that also runs from the end needs whole sequences: export it with --mode sequence, or train one "
            "of a single direction"
        )
    grid = None
    if wanted.precision == "int8":
        if wanted.calibration is None:
            raise ConfigError("int8 needs calibrating sequences, for what the weights meet")
        with quietly():
            needed("torchao", PURPOSE, EXTRA)
        grid = on_grid(network, *wanted.calibration)
    with quietly():
        needed("executorch.exir", PURPOSE, EXTRA)
        parts = _Parts(network if grid is None else grid.network, grid)
        if wanted.mode == "step":
            told = _told(network, wanted, {"most_streams": MOST_STREAMS})
            content = _stepping(parts, told)
        else:
            kept = network.directions == 2 or network.at == "each"
            told = _told(network, wanted, {"most_steps": MOST_STEPS_KEPT if kept else MOST_STEPS})
            content = _sequence(parts, told)
    path = folder / FILE
    write_atomically(path, content)
    details = {
        "executorch": version("executorch"),
        "torchao": version("torchao"),
        "methods": ["forward", TOLD],
        "delegates": {"XnnpackBackend": parts.delegates},
        "limits": {key: told[key] for key in ("most_steps", "most_streams") if key in told},
        **({} if grid is None else {"int8": ABOUT}),
    }
    states = 4 * network.states * network.hidden_size
    return Exported((path,), Program(path).outputs, _weight_bytes(network, grid is not None), states, details)


class _Parts:
    """What XNNPACK takes whole."""

    def __init__(self, network: Network, grid: Grid | None) -> None:
        self.network, self.grid = network, grid
        self.delegates = 0

    def step(
        self, layer: int, direction: int, *, depth: int, answers: bool, shapes: Any = None, streams: int = 1
    ) -> Any:
        """``depth`` layers from ``layer`` on by one step."""
        network = self.network
        layers = [network.layers[k][direction] for k in range(layer, layer + depth)]
        kept = [] if self.grid is None else [self.grid.kept[layer + k][direction] for k in range(depth)]
        module = Step(layers, network, scaled=layer == 0, answers=answers, kept=kept)
        steps = {}
        if self.grid is not None:
            for k in range(depth):
                steps[f"into.{k}"] = self.grid.into[layer + k][direction]
                steps[f"over.{k}"] = self.grid.over[layer + k][direction]
            if answers and self.grid.head is not None:
                steps["head"] = self.grid.head
        x = torch.zeros(streams, layers[0].weight_ih.shape[1])
        states = tuple(torch.zeros(streams, network.hidden_size) for _ in layers)
        return self._delegated(module, (x, states), shapes, steps)

    def head(self, *leading: int, shapes: Any = None) -> Any:
        """The head alone, or None."""
        if self.network.head is None:
            return None
        steps = {} if self.grid is None or self.grid.head is None else {"head": self.grid.head}
        weight, bias = self.network.head
        return self._delegated(Head(weight, bias), (torch.zeros(*leading, weight.shape[1]),), shapes, steps)

    def _delegated(
        self, module: nn.Module, example: tuple[Any, ...], shapes: Any, steps: Mapping[str, Tensor]
    ) -> Delegated:
        self.delegates += 1
        return delegated(module, example, shapes, quantiser(steps) if steps else None)


def _stepping(parts: _Parts, told: Mapping[str, Any]) -> bytes:
    network = parts.network
    streams = Dim("B", min=1, max=MOST_STREAMS)
    # Neither 1 nor as many as there are layers: export would take the sizes for bound to each other.
    batch = MOST_STREAMS - 1
    depth = len(network.layers)
    of_step = {"x": {0: streams}, "states": tuple({0: streams} for _ in range(depth))}
    step = parts.step(0, 0, depth=depth, answers=True, shapes=of_step, streams=batch)
    example = (torch.zeros(batch, network.input_size), torch.zeros(depth, batch, network.hidden_size))
    shapes = {"x": {0: streams}, "h": {1: streams}}
    return program(Stepping(network, step), example, shapes, {TOLD: json.dumps(told)})


def _sequence(parts: _Parts, told: Mapping[str, Any]) -> bytes:
    network = parts.network
    steps = Dim("T", min=1, max=told["most_steps"])
    module: nn.Module
    if network.directions == 1:
        each = network.at == "each"
        step = parts.step(0, 0, depth=len(network.layers), answers=each)
        module = Forwards(network, step, None if each else parts.head(1))
    else:
        taken = [
            [parts.step(layer, direction, depth=1, answers=False) for direction in range(2)]
            for layer in range(len(network.layers))
        ]
        head = parts.head(5, 1, shapes={"x": {0: steps}}) if network.at == "each" else parts.head(1)
        module = BothWays(network, taken, head)
    example = (torch.zeros(5, 1, network.input_size), torch.zeros(network.states, 1, network.hidden_size))
    return program(module, example, {"x": {0: steps}, "h0": None}, {TOLD: json.dumps(told)})


def _told(network: Network, wanted: Wanted, limits: Mapping[str, int]) -> dict[str, Any]:
    """What the method ``nprnn`` tells."""
    size = network.output_size
    return {
        "mode": wanted.mode,
        "precision": wanted.precision,
        "at": network.at,
        "input_size": network.input_size,
        "hidden_size": network.hidden_size,
        "output_size": size,
        "states": network.states,
        "directions": network.directions,
        "class_names": None if network.class_names is None else list(network.class_names),
        # What is answered where a sequence has ended: the head's answer to states of 0.
        "beyond": [0.0] * size if network.head is None else network.head[1].tolist(),
        "about": dict(network.about),
        **limits,
    }


def _weight_bytes(network: Network, int8: bool) -> int:
    """Of weights, biases, scales, diagonals kept apart and the scaling of inputs."""
    pairs = [(d.weight_ih, d.weight_hh, d.bias) for layer in network.layers for d in layer]
    matrices = [m for weight_ih, weight_hh, _ in pairs for m in (weight_ih, weight_hh)]
    vectors = [bias for _, _, bias in pairs] + [v for v in (network.mean, network.scale) if v is not None]
    if network.head is not None:
        matrices.append(network.head[0])
        vectors.append(network.head[1])
    scales = 4 * sum(len(m) for m in matrices) if int8 else 0
    scales += 4 * network.states * network.hidden_size if int8 else 0
    return (1 if int8 else 4) * sum(m.numel() for m in matrices) + scales + 4 * sum(v.numel() for v in vectors)
