"""JAX as a rival: ``lax.scan`` under ``jit``, and ``vmap`` of it over members."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nprnn.bench.problem import Answer, Problem, Rival

_WAYS = {"input product inside the scan": True, "input product before the scan": False}
_TRIALS = 3


def build(problem: Problem) -> Rival:
    """The faster of two ways to write it: the product with the inputs inside the scan, or one large one before it.

    Args:
        problem: what to compute; all members at once.

    Returns:
        The rival, compiled for the processor.
    """
    inference, members = problem.shape.inference, problem.shape.members
    put = partial(jax.device_put, device=jax.devices("cpu")[0])
    weights = {name: put(getattr(problem, name).numpy()) for name in ("weight_ih", "weight_hh", "bias")}
    x, direction = (put(tensor.numpy()) for tensor in (problem.x, problem.direction))
    arguments = (weights, x) if inference else (weights, x, direction)
    runs = {}
    for way, inside in _WAYS.items():
        function: Any = partial(_last_state if inference else _loss, inside)
        function = function if inference else jax.value_and_grad(function)
        runs[way] = partial(_finished, jax.jit(jax.vmap(function) if members > 1 else function), arguments)
    way = min(runs, key=lambda name: _quickest(runs[name]))
    run = runs[way]

    def answer() -> Answer:
        result = run()
        values = {"h_n": result} if inference else result[1]
        return {name: np.asarray(value)[0] if members > 1 else np.asarray(value) for name, value in values.items()}

    return Rival(run, answer, members=members, about=way)


def _last_state(inside: bool, weights: dict[str, Any], x: Any) -> Any:
    weight_ih, weight_hh, bias = weights["weight_ih"], weights["weight_hh"], weights["bias"]
    h0 = jnp.zeros((x.shape[1], weight_hh.shape[0]), x.dtype)

    def step(h: Any, x_t: Any) -> tuple[Any, None]:
        z = x_t @ weight_ih.T + bias if inside else x_t
        return jax.nn.relu(z + h @ weight_hh.T), None

    return lax.scan(step, h0, x if inside else x @ weight_ih.T + bias)[0]


def _loss(inside: bool, weights: dict[str, Any], x: Any, direction: Any) -> Any:
    return (_last_state(inside, weights, x) * direction).sum()


def _finished(compiled: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return jax.block_until_ready(compiled(*arguments))


def _quickest(run: Callable[[], Any]) -> float:
    run()
    times = []
    for _ in range(_TRIALS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)
