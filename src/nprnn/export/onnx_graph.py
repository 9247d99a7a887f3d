"""A network as an ONNX graph: whole sequences by ``RNN`` nodes, or one step by plain products."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from nprnn.export.format import Mode
from nprnn.export.network import Direction, Network
from nprnn.export.onnx_nodes import Graph

# The oldest with Range, which a mean over steps needs, and with DynamicQuantizeLinear, which int8 may need.
OLDEST_OPSET = 11
# Of a model's metadata; written last, so that it is the first thing that a file cut short lacks.
KEY = "nprnn.export"
WHOLE = -1
"""A length that stands for all T steps."""
_ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh"}


def build(network: Network, mode: Mode, opset: int, *, apart: bool = False) -> Any:
    """The graph.

    In ``"sequence"`` mode each layer and direction is one ``RNN`` node; in ``"step"`` mode a layer is two products.
    Inputs are scaled by nodes, not by folded weights: :math:`(x - m)/s` is then rounded as it was in training, where
    folding, W x/s - W m/s, would cancel digits of features far from 0.

    Args:
        network: the network; for steps of one direction.
        mode: whole sequences, or one step.
        opset: of ONNX, from ``OLDEST_OPSET``.
        apart: in a step, multiply with the diagonal of W_hh by itself, and with the rest of it by a product.

    Returns:
        An ``onnx.ModelProto``, not yet checked.

    Source: section 2.
    """
    graph = Graph(opset)
    if mode == "sequence":
        _sequence(graph, network)
    else:
        _step(graph, network, apart)
    model = graph.model(f"nprnn_{mode}")
    metadata = dict(network.about)
    if network.class_names is not None:
        metadata["class_names"] = json.dumps(list(network.class_names))
    metadata[KEY] = json.dumps({"mode": mode, "at": network.at})
    graph.helper.set_model_props(model, metadata)
    return model


def _sequence(graph: Graph, network: Network) -> None:
    hidden, states, directions = network.hidden_size, network.states, network.directions
    x = graph.input("x", ["T", "B", network.input_size], "inputs, as the task gives them; T and B are free")
    # Their leading axes are B or, as in the default, 1.
    lengths = graph.input(
        "lengths", ["B_or_1"], f"steps of each sequence, 1..T; {WHOLE}, the default, means all T", integer=True
    )
    initial = graph.input(
        "initial_h",
        [states, "B_or_1", hidden],
        "initial states, layer by layer, forward before reverse; the default is 0",
    )
    graph.weight(lengths, np.array([WHOLE], np.int32))
    graph.weight(initial, np.zeros((states, 1, hidden), np.float32))

    shape = graph.add("Shape", [x], "shape")
    steps = graph.add("Gather", [shape, graph.integers(0)], "steps")
    batch = graph.add("Gather", [shape, graph.integers(1)], "batch")
    whole = graph.add("Equal", [lengths, graph.scalar(WHOLE, np.int32)], "whole")
    ends = graph.add("Where", [whole, graph.cast(steps, "steps_int32"), lengths], "ends_or_end")
    ends = graph.add("Expand", [ends, batch], "ends")
    starts_shape = graph.add("Concat", [graph.integers(states), batch, graph.integers(hidden)], "starts_shape", axis=0)
    starts = graph.add("Expand", [initial, starts_shape], "starts")

    y = _scaled(graph, network, x)
    finals: list[str] = []
    for k, layer in enumerate(network.layers):
        # Where only the last state is taken, the last layer's other states are no output at all.
        wanted = k < len(network.layers) - 1 or network.at != "last"
        ys = []
        for weights, direction in zip(layer, ("forward", "reverse"), strict=False):
            name, state = f"layer{k}_{direction}", len(finals)
            start = starts if states == 1 else graph.add("Gather", [starts, graph.integers(state)], f"{name}_start")
            final = "Y_h" if states == 1 else f"{name}_final"
            graph.add(
                "RNN",
                [y, *_weights(graph, name, weights), ends, start],
                [f"{name}_states" if wanted else "", final],
                hidden_size=hidden,
                activations=[_ACTIVATIONS[network.nonlinearity]],
                direction=direction,
            )
            finals.append(final)
            if wanted:
                # [T, 1, B, H], the second axis being the operator's directions.
                flat = graph.add("Reshape", [f"{name}_states", graph.integers(0, -1, hidden)], f"{name}_y")
                ys.append(flat)
        if wanted:
            y = ys[0] if directions == 1 else graph.add("Concat", ys, f"layer{k}_y", axis=2)
    if states > 1:
        graph.add("Concat", finals, "Y_h", axis=0)
    width = directions * hidden
    if network.at == "last":
        last = finals[-1] if directions == 1 else graph.add("Concat", finals[-2:], "last_states", axis=2)
        taken = graph.add("Reshape", [last, graph.integers(-1, width)], "taken")
    elif network.at == "mean":
        taken = _mean(graph, y, ends)
    else:
        taken = y
    _head(graph, network, taken, rows=network.at != "each")
    outputs = network.output_size
    about = {
        "last": "after each sequence's last step",
        "mean": "the mean over each sequence's steps",
        "each": "after every step; meaningless beyond a sequence's length",
    }[network.at]
    graph.output("output", ["T", "B", outputs] if network.at == "each" else ["B", outputs], about)
    graph.output("Y_h", [states, "B", hidden], "final states, ordered as initial_h; give them as initial_h to go on")


def _mean(graph: Graph, y: str, ends: str) -> str:
    """Of the states [T, B, D] up to each sequence's end; what a runtime has written beyond does not count."""
    last = graph.add("Gather", ["shape", graph.scalar(0, np.int64)], "last_step")
    steps = graph.add("Range", [graph.scalar(0, np.int64), last, graph.scalar(1, np.int64)], "step")
    steps = graph.add("Reshape", [steps, graph.integers(-1, 1, 1)], "step_column")
    column = graph.add("Reshape", [ends, graph.integers(-1, 1)], "ends_column")
    alive = graph.add("Less", [graph.cast(steps, "step_int32"), column], "alive")
    kept = graph.add("Where", [alive, y, graph.scalar(0.0, np.float32)], "states_alive")
    total = graph.sum_of_steps(kept, "states_sum")
    return graph.add("Div", [total, graph.cast(column, "ends_float", floating=True)], "taken")


def _step(graph: Graph, network: Network, apart: bool) -> None:
    hidden, layers = network.hidden_size, len(network.layers)
    x = graph.input("x", ["B", network.input_size], "one step's inputs, as the task gives them; B is free")
    h = graph.input("h", [layers, "B", hidden], "the states before the step; 0 at a sequence's start")
    below, fresh = _scaled(graph, network, x), []
    for k, (weights,) in enumerate(network.layers):
        name = f"layer{k}"
        state = graph.add("Gather", [h, graph.scalar(k, np.int64)], f"{name}_h", axis=0)
        diagonal = weights.weight_hh.diagonal()
        mixing = weights.weight_hh - diagonal.diag() if apart else weights.weight_hh
        # Two products and not one of [x, h]: in int8 each has a range of its own.
        sums = [
            graph.add("MatMul", [vector, graph.weight(f"{name}_{side}", matrix.T)], f"{name}_{side}_product")
            for vector, side, matrix in ((below, "W", weights.weight_ih), (state, "R", mixing))
        ]
        if apart:
            kept = graph.add("Mul", [state, graph.weight(f"{name}_D", diagonal)], f"{name}_kept")
            sums[1] = graph.add("Add", [sums[1], kept], f"{name}_carried")
        fed = graph.add("Add", [sums[0], graph.weight(f"{name}_B", weights.bias)], f"{name}_fed")
        total = graph.add("Add", [sums[1], fed], f"{name}_sum")
        below = graph.add(_ACTIVATIONS[network.nonlinearity], [total], f"{name}_h_next")
        fresh.append(
            graph.add("Reshape", [below, graph.integers(1, -1, hidden)], "h_next" if layers == 1 else f"{name}_next")
        )
    if layers > 1:
        graph.add("Concat", fresh, "h_next", axis=0)
    _head(graph, network, below, rows=False)
    about = "after this step"
    if network.at == "mean":
        about += "; the network's answer is the mean of these over a sequence's steps"
    graph.output("output", ["B", network.output_size], about)
    graph.output("h_next", [layers, "B", hidden], "the states after the step; give them as h at the next")


def _scaled(graph: Graph, network: Network, x: str) -> str:
    if network.mean is not None:
        x = graph.add("Sub", [x, graph.weight("input_mean", network.mean)], "x_centred")
    if network.scale is not None:
        x = graph.add("Div", [x, graph.weight("input_scale", network.scale)], "x_scaled")
    return x


def _weights(graph: Graph, name: str, weights: Direction) -> list[str]:
    """W [1, H, I], R [1, H, H] and B [1, 2H] of an RNN node."""
    return [
        graph.weight(f"{name}_W", weights.weight_ih[None]),
        graph.weight(f"{name}_R", weights.weight_hh[None]),
        # The operator has two biases.
        graph.weight(f"{name}_B", torch.cat([weights.bias, torch.zeros_like(weights.bias)])[None]),
    ]


def _head(graph: Graph, network: Network, taken: str, *, rows: bool) -> None:
    if network.head is None:
        graph.add("Identity", [taken], "output")
        return
    weight, bias = network.head
    if rows:
        graph.add("Gemm", [taken, graph.weight("head_W", weight), graph.weight("head_B", bias)], "output", transB=1)
    else:
        product = graph.add("MatMul", [taken, graph.weight("head_W", weight.T)], "head_product")
        graph.add("Add", [product, graph.weight("head_B", bias)], "output")
