"""The rivals: how each is built for a problem. What is not installed is missing, never an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nprnn.bench.problem import Answer, Problem, Rival
from nprnn.ops import rnn
from nprnn.rnn import RNN

Forward = Callable[[Tensor], Any]

OURS, TORCH = "nprnn", "torch"


def build_nprnn(problem: Problem, threads: int) -> Rival:
    """``nprnn.RNN``, or the operator on all members at once."""
    shape = problem.shape
    if shape.members == 1:
        return _torch_rival(problem, RNN(shape.inputs, shape.hidden, nonlinearity="relu"))
    parameters = {name: getattr(problem, name).clone().requires_grad_() for name in ("weight_ih", "weight_hh", "bias")}
    h0 = problem.x.new_zeros(shape.batch, shape.hidden)

    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return rnn(x, h0, **parameters, nonlinearity="relu")

    run = _run(forward, parameters, problem)
    return Rival(run, lambda: _answer(run, parameters, problem), members=shape.members)


def build_torch(problem: Problem, threads: int) -> Rival:
    """``torch.nn.RNN`` on one member, denormals flushed: as fast as torch can be made."""
    return _build_torch(problem, flush=True)


def build_torch_as_it_is(problem: Problem, threads: int) -> Rival:
    """``torch.nn.RNN`` on one member, as who does not know of denormals runs it."""
    return _build_torch(problem, flush=False)


def build_lstm(problem: Problem, threads: int) -> Rival:
    """``torch.nn.LSTM`` on one member, with torch's start, denormals flushed."""
    alone = problem.member(0)
    module = nn.LSTM(alone.shape.inputs, alone.shape.hidden)

    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y, (h_n, _) = module(x)
        return y, h_n

    return Rival(_run(forward, dict(module.named_parameters()), alone), None, flush=True)


def build_jax(problem: Problem, threads: int) -> Rival:
    """JAX on all members at once, in the faster of two ways to write it.

    Raises:
        ImportError: it is not installed.
    """
    from nprnn.bench import rival_jax

    return rival_jax.build(problem)


def build_onnxruntime(problem: Problem, threads: int) -> Rival:
    """ONNX Runtime's ``RNN`` on one member.

    Raises:
        ImportError: it or onnx is not installed.
    """
    from nprnn.bench import rival_onnx

    return rival_onnx.build(problem, threads)


# What a table calls them, and how each is built for a problem and a number of threads.
RIVALS: dict[str, tuple[str, Callable[[Problem, int], Rival]]] = {
    OURS: ("nprnn", build_nprnn),
    TORCH: ("torch.nn.RNN, flush", build_torch),
    "torch_as_it_is": ("torch.nn.RNN", build_torch_as_it_is),
    "lstm": ("torch.nn.LSTM", build_lstm),
    "jax": ("JAX jit", build_jax),
    "onnxruntime": ("ONNX Runtime", build_onnxruntime),
}


def rivals_for(inference: bool) -> list[str]:
    """The names of those that can do it: ONNX Runtime has no gradients."""
    return [name for name in RIVALS if inference or name != "onnxruntime"]


def _build_torch(problem: Problem, flush: bool) -> Rival:
    alone = problem.member(0)
    return _torch_rival(alone, nn.RNN(alone.shape.inputs, alone.shape.hidden, nonlinearity="relu"), flush)


def _torch_rival(problem: Problem, module: nn.RNNBase, flush: bool = False) -> Rival:
    weights = {"weight_ih": problem.weight_ih, "weight_hh": problem.weight_hh, "bias_ih": problem.bias}
    weights["bias_hh"] = torch.zeros_like(problem.bias)
    module.load_state_dict({f"{name}_l0": weight for name, weight in weights.items()})
    parameters = {name: getattr(module, f"{name}_l0") for name in weights}
    parameters["bias"] = parameters.pop("bias_ih")
    run = _run(module, parameters, problem)
    return Rival(run, lambda: _answer(run, parameters, problem), flush)


def _run(forward: Forward, parameters: Mapping[str, Tensor], problem: Problem) -> Callable[[], Tensor]:
    x, direction, trained = problem.x, problem.direction, list(parameters.values())

    def infer() -> Tensor:
        with torch.inference_mode():
            h_n: Tensor = forward(x)[1]
            return h_n

    def step() -> Tensor:
        for parameter in trained:
            parameter.grad = None
        loss: Tensor = (forward(x)[1] * direction).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    return infer if problem.shape.inference else step


def _answer(run: Callable[[], Tensor], parameters: Mapping[str, Tensor], problem: Problem) -> Answer:
    result = run()
    if problem.shape.inference:
        # The leading axis is that of layers, or of members.
        return {"h_n": result[0].numpy()}
    gradients = {name: parameters[name].grad for name in ("weight_ih", "weight_hh", "bias")}
    alone = problem.shape.members == 1
    return {name: (g if alone else g[0]).numpy() for name, g in gradients.items() if g is not None}
