"""The rivals of a measurement agree with each other; what is not installed is missing; a measured shape tells all."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest
import torch

import nprnn.bench
from nprnn.bench import Shape, line_up, measuring
from nprnn.bench.denormals import flushes, flushing
from nprnn.bench.limits import gemm_calls
from nprnn.bench.memory import peak_memory
from nprnn.bench.problem import Rival, check, make_problem
from nprnn.bench.rivals import RIVALS, rivals_for
from nprnn.errors import NprnnError

TINY = Shape("tiny", 5, 3, 2, 6)
TINY_ENSEMBLE = Shape("tiny-ensemble", 5, 3, 2, 6, members=4)


def test_a_problem_is_the_same_every_time_and_another_for_each_member() -> None:
    first, second = make_problem(TINY_ENSEMBLE), make_problem(TINY_ENSEMBLE)
    assert torch.equal(first.x, second.x)
    assert first.x.shape == (4, 5, 3, 2)
    assert not torch.equal(first.x[0], first.x[1])
    alone = first.member(2)
    assert alone.shape.members == 1
    assert torch.equal(alone.weight_hh, first.weight_hh[2])
    # One member of an ensemble computes what the shape without members does.
    assert torch.equal(first.member(0).x, make_problem(TINY).x)


COMPARED = [
    pytest.param(name, shape, id=f"{name}-{shape.label}{'-forward' if shape.inference else ''}")
    for shape in (TINY, TINY_ENSEMBLE, TINY.forward_only(), TINY_ENSEMBLE.forward_only())
    for name in rivals_for(shape.inference)
    if name not in ("torch", "lstm")
]


@pytest.mark.parametrize(("name", "shape"), COMPARED)
def test_rivals_compute_what_torch_computes(name: str, shape: Shape) -> None:
    for library in {"jax": ("jax",), "onnxruntime": ("onnx", "onnxruntime")}.get(name, ()):
        pytest.importorskip(library)
    problem = make_problem(shape)
    expected, got = (RIVALS[which][1](problem, 1).answer for which in ("torch", name))
    assert expected is not None
    assert got is not None
    wanted, answer = expected(), got()
    assert set(wanted) == ({"h_n"} if shape.inference else {"weight_ih", "weight_hh", "bias"})
    assert all(np.linalg.norm(value) > 0 for value in wanted.values())
    check(name, answer, wanted)


def test_the_ensemble_and_one_member_tell_how_many_they_are() -> None:
    rivals, _ = line_up(TINY_ENSEMBLE, 1, ("nprnn", "torch", "lstm"))
    assert {name: rival.members for name, rival in rivals.items()} == {"nprnn": 4, "torch": 1, "lstm": 1}


def test_a_rival_that_computes_something_else_does_not_start() -> None:
    right = {"h_n": np.ones(3, np.float32)}
    check("it", right, right)
    for wrong in ({"h_n": np.full(3, 1.01)}, {"h_n": np.full(3, np.nan)}, {"h_n": np.ones(4)}, {}):
        with pytest.raises(NprnnError, match="h_n"):
            check("it", wrong, right)


def test_only_torch_runs_with_denormals_flushed_for_it() -> None:
    seen: dict[str, list[bool]] = {}
    rivals, _ = line_up(TINY, 1, ("nprnn", "torch", "torch_as_it_is"))

    def watched(name: str, rival: Rival) -> Rival:
        return Rival(lambda: seen.setdefault(name, []).append(flushes()), None, rival.flush)

    with flushing(True):
        measuring.race({name: watched(name, rival) for name, rival in rivals.items()}, 1)
        assert flushes()
    assert {name: set(values) for name, values in seen.items()} == {
        "nprnn": {False},
        "torch": {True},
        "torch_as_it_is": {False},
    }


@pytest.mark.parametrize(("name", "library"), [("jax", "jax"), ("onnxruntime", "onnx"), ("onnxruntime", "onnxruntime")])
def test_a_library_that_is_not_installed_is_missing(name: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = {"jax": "rival_jax", "onnxruntime": "rival_onnx"}[name]
    monkeypatch.delitem(sys.modules, f"nprnn.bench.{module}", raising=False)
    monkeypatch.delattr(nprnn.bench, module, raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    rivals, missing = line_up(TINY.forward_only(), 1, ("torch", name))
    assert set(rivals) == {"torch"}
    assert library in missing[name]


def missing_jax(problem: Any, threads: int) -> Any:
    raise ImportError("No module named 'jax'")


def small_measurement(monkeypatch: pytest.MonkeyPatch, shape: Shape) -> dict[str, Any]:
    monkeypatch.setitem(RIVALS, "jax", ("JAX jit", missing_jax))
    monkeypatch.setattr(measuring, "gemm_calls", lambda dtype: dict.fromkeys(gemm_calls(dtype), list))
    return measuring.measure(shape, threads=1, rounds=2, bandwidth=1e9, memory=False)


def test_a_measured_shape_tells_times_ratios_and_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = {"torch": 1e-9, "lstm": 1e9, "jax": 2.0}
    shape = Shape("tiny", 5, 3, 2, 6, members=2, targets=targets, peak_target=2.0)
    result = small_measurement(monkeypatch, shape)
    assert result["rivals"]["jax"] == {"missing": "No module named 'jax'"}
    assert result["ratios"]["jax"] == {"value": None, "target": 2.0, "met": None}
    assert result["ratios"]["torch"]["met"] is True
    assert result["ratios"]["lstm"]["met"] is False
    assert result["ratios"]["torch_as_it_is"]["target"] is None
    assert result["rivals"]["nprnn"]["members"] == 2
    assert result["rivals"]["nprnn"]["n"] == 2
    assert result["flops"] == 5 * 3 * 6 * (6 * 6 + 4 * 2)
    assert result["flops_per_second"] == result["flops"] / result["rivals"]["nprnn"]["median"]
    assert result["peak_share"]["value"] == pytest.approx(result["flops_per_second"] / result["gemm_float32"])
    assert json.loads(json.dumps(result)) == result


def test_memory_of_a_step_holds_its_states() -> None:
    shape = Shape("", 300, 64, 1, 100)
    used = peak_memory("nprnn", shape, 1)
    if used is None:
        pytest.skip("this system does not tell a process's peak memory")
    states = 4 * shape.steps * shape.batch * shape.hidden
    assert states * 0.9 < used < states * 5
