"""What a network costs to run: parameters, bytes and flops by formula, the time of a step measured, beside an LSTM."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nprnn.bench.timing import Times, interleave
from nprnn.export.format import Answer
from nprnn.export.network import Network
from nprnn.streaming import Streamer
from nprnn.training import environment

# Gates of an LSTM: so many times the weights, biases and products of an RNN of its size.
LSTM_GATES = 4
ROUNDS = 15
# A call starts at a state of 0, so that no state runs away.
STEPS = 20
# Samples of this many seconds are over before a busy machine interrupts them, so that the median holds none it did.
_LEAST = 0.0005
# Steps of a short and of a long sequence: their difference has no cost of a call in it.
_SHORT, _LONG = 8, 72
# A large network is given up after so many seconds, with the rounds that it has.
_SECONDS, _FEWEST = 3.0, 3


class Size(NamedTuple):
    """The shape of a recurrent network with a head.

    Attributes:
        inputs: I.
        hidden: H.
        outputs: O; 0 is no head.
        layers: on top of each other.
        directions: 1 or 2.
    """

    inputs: int
    hidden: int
    outputs: int
    layers: int = 1
    directions: int = 1


@dataclass(frozen=True)
class Cost:
    """What a network takes.

    Attributes:
        parameters: weights and biases that inference needs: one bias a unit, an LSTM's one a gate and unit.
        weight_bytes: by precision, scales and biases included.
        state_bytes: what is carried from step to step, by precision of the weights.
        flops_per_step: multiplications and additions of one step's matrix products, the head's included.
    """

    parameters: int
    weight_bytes: dict[str, int]
    state_bytes: dict[str, int]
    flops_per_step: int


def cost_of(size: Size, gates: int = 1) -> Cost:
    r"""What a network takes, by formula.

    With G gates (1, an LSTM 4), a layer and direction has :math:`G H (I + H)` weights in GH rows, the head
    :math:`O D`, D being H times directions. A step takes 2 flops a weight: :math:`2 G H (I + H) + 2 O H` for one layer
    and direction. Biases, activations, an LSTM's products of gates and the scaling of inputs are not counted.

    float32 takes 4 bytes a number. int8 takes a byte a weight and, for each row, a scale and a bias of 4 bytes; its
    states are 16-bit integers. An LSTM carries two states.

    Args:
        size: the shape.
        gates: 1, or ``LSTM_GATES``.

    Returns:
        The cost.
    """
    weights = rows = 0
    inputs = size.inputs
    for _ in range(size.layers):
        weights += size.directions * gates * size.hidden * (inputs + size.hidden)
        rows += size.directions * gates * size.hidden
        inputs = size.directions * size.hidden
    weights += size.outputs * inputs
    rows += size.outputs
    states = (1 if gates == 1 else 2) * size.layers * size.directions * size.hidden
    return Cost(
        parameters=weights + rows,
        weight_bytes={"float32": 4 * (weights + rows), "int8": weights + 8 * rows},
        state_bytes={"float32": 4 * states, "int8": 2 * states},
        flops_per_step=2 * weights,
    )


def size_of(network: Network) -> Size:
    """The shape of a network."""
    outputs = 0 if network.head is None else network.output_size
    return Size(network.input_size, network.hidden_size, outputs, len(network.layers), network.directions)


def footprint(network: Network, answer: Answer | None = None, *, rounds: int = ROUNDS) -> dict[str, Any]:
    """What a network costs beside an LSTM of its shape, and how long a step takes each here.

    A step is one input at batch 1 with the head after it, on one thread; the inputs are drawn. The candidates take
    turns, and the medians are told: ``streamer`` is this network in ``nprnn.Streamer``, ``torch`` in torch's
    ``RNNCell``, ``lstm`` an LSTM in torch's ``LSTMCell`` (quicker than ``torch.nn.LSTM``). ``export`` is what was
    written, by the difference of a long and a short sequence at batch 1, which leaves out the head where only a
    sequence is answered; how many threads that takes is its own affair.

    Args:
        network: the network.
        answer: runs what was written; None leaves it out.
        rounds: samples of each.

    Returns:
        JSON values: ``network`` and ``lstm`` (see ``Cost``), ``seconds_per_step`` by the names above, None where it
        cannot be measured (two directions cannot be stepped; a difference may drown in noise), and ``measured``: on
        what.
    """
    size = size_of(network)
    with torch.inference_mode(), _one_thread():
        given = _as_given(network, torch.randn(_LONG, 1, size.inputs, generator=torch.Generator().manual_seed(0)))
        calls: dict[str, Callable[[], object]] = {}
        if size.directions == 1:
            folded = network.folded()
            steps = list(given[:STEPS])
            lstm = [nn.LSTMCell(inputs, size.hidden) for inputs in _layer_inputs(size)]
            calls["streamer"] = _streamed(folded, steps)
            calls["torch"] = _stepped(_rnn_cells(folded), folded.head, steps)
            calls["lstm"] = _stepped(lstm, folded.head, steps)
        if answer is not None:
            calls["short"] = lambda: answer(given[:_SHORT], None)
            calls["long"] = lambda: answer(given, None)
        times = interleave(calls, rounds, least=_LEAST, seconds=_SECONDS, fewest=min(rounds, _FEWEST)) if calls else {}
        env = environment()
    seconds = {name: times[name].median / STEPS if name in times else None for name in ("streamer", "torch", "lstm")}
    return {
        "network": asdict(cost_of(size)),
        "lstm": asdict(cost_of(size, LSTM_GATES)),
        "seconds_per_step": {**seconds, "export": _difference(times["short"], times["long"]) if answer else None},
        "measured": {
            **{name: env[name] for name in ("processor", "kernel", "threads", "torch")},
            "rounds": min((len(found.samples) for found in times.values()), default=0),
            "inputs": "drawn",
        },
    }


def _difference(short: Times, long: Times) -> float | None:
    """Seconds a step; None where what a call costs varies by more than the steps take."""
    steps = _LONG - _SHORT
    found = Times(tuple((b - a) / steps for a, b in zip(short.samples, long.samples, strict=True)))
    return found.median if found.quartiles[0] > 0 else None


def _layer_inputs(size: Size) -> Iterator[int]:
    yield size.inputs
    yield from [size.directions * size.hidden] * (size.layers - 1)


def _as_given(network: Network, x: Tensor) -> Tensor:
    """Standard numbers as the task would have given them."""
    x = x if network.scale is None else x * network.scale
    return x if network.mean is None else x + network.mean


def _rnn_cells(network: Network) -> list[nn.Module]:
    found: list[nn.Module] = []
    for (weights,), inputs in zip(network.layers, _layer_inputs(size_of(network)), strict=True):
        cell = nn.RNNCell(inputs, network.hidden_size, nonlinearity=network.nonlinearity)
        for parameter, value in zip((cell.weight_ih, cell.weight_hh, cell.bias_ih), weights, strict=True):
            parameter.copy_(value)
        cell.bias_hh.zero_()
        found.append(cell)
    return found


def _stepped(
    cells: Sequence[nn.Module], head: tuple[Tensor, Tensor] | None, steps: Sequence[Tensor]
) -> Callable[[], object]:
    """Runs cells of torch over steps [1, I], from states of 0."""

    def run() -> Tensor:
        states: list[Any] = [None] * len(cells)
        x = steps[0]
        for x in steps:
            for k, cell in enumerate(cells):
                states[k] = cell(x, states[k])
                x = states[k] if isinstance(states[k], Tensor) else states[k][0]
            if head is not None:
                x = nn.functional.linear(x, *head)
        return x

    return run


def _streamed(network: Network, steps: Sequence[Tensor]) -> Callable[[], object]:
    settings = {"num_layers": len(network.layers), "nonlinearity": network.nonlinearity}
    module = nn.RNN(network.input_size, network.hidden_size, **settings)
    for k, (weights,) in enumerate(network.layers):
        for name, value in zip(("weight_ih", "weight_hh", "bias_ih"), weights, strict=True):
            getattr(module, f"{name}_l{k}").copy_(value)
        getattr(module, f"bias_hh_l{k}").zero_()
    head = None
    if network.head is not None:
        head = nn.Linear(network.hidden_size, network.output_size)
        head.weight.copy_(network.head[0])
        head.bias.copy_(network.head[1])
    streamer = Streamer(module, head)
    inputs = [x[0] for x in steps]

    def run() -> Tensor:
        streamer.reset()
        for x in inputs:
            streamer.step(x)
        return streamer.output

    return run


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
