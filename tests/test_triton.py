"""Triton's kernels: their logic under its interpreter, what they are cut into, and what a compiler makes of them."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import nprnn
import triton_interpreter
from conftest import absent
from nprnn.errors import ConfigError
from nprnn.ops import gpu, tiles, use_kernel
from operator_cases import CARRIERS, HALF, LAID_OUT, LAYOUTS, Case, check

HOPPER = tiles.Device(132, 227 * 1024)
AMPERE = tiles.Device(108, 163 * 1024)
SMALL = tiles.Device(30, 64 * 1024)


@pytest.fixture(scope="module")
def interpreter() -> Iterator[None]:
    """Triton on CPU tensors; required when CI=true."""
    if importlib.util.find_spec("triton") is None:
        absent("TRITON'S KERNELS ARE NOT TESTED: triton is not installed (pip install 'nprnn[triton]')")
    triton_interpreter.mend()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        gpu.missing.cache_clear()
        yield
    gpu.missing.cache_clear()


# --- values, against the definition in float64 ------------------------------------------------------------------------

# Every step of the interpreter takes about a millisecond.
small = st.builds(
    Case,
    steps=st.integers(1, 7),
    batch=st.integers(1, 5),
    inputs=st.sampled_from((1, 2, 4, 5, 9)),
    hidden=st.one_of(st.sampled_from((1, 2, 15, 16, 17, 33)), st.integers(1, 40)),
    nonlinearity=st.sampled_from(("relu", "tanh")),
    reverse=st.booleans(),
    linear=st.one_of(st.just(0), st.integers(0, 40)),
    bias=st.booleans(),
    lengths=st.booleans(),
    members=st.sampled_from((0, 0, 1, 3)),
    lead=st.dictionaries(st.sampled_from(CARRIERS), st.sampled_from(("own", "spread"))),
    # A y that no recurrence gives, as one step spread over all is, would not be 0 beyond a sequence's end.
    layout=st.dictionaries(st.sampled_from(LAID_OUT), st.sampled_from(list(LAYOUTS))).filter(
        lambda layout: layout.get("y") != "spread"
    ),
    cotangents=st.sampled_from(("dy and dh_n", "dy", "dh_n")),
    need_dx=st.booleans(),
    seed=st.integers(0, 2**16),
)


@settings(max_examples=60, deadline=None)
@given(case=small)
def test_values_and_gradients_are_the_references(interpreter: None, case: Case) -> None:
    check(case, "triton")


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(case=small)
def test_values_and_gradients_are_the_references_in_many_cases(interpreter: None, case: Case) -> None:
    check(case, "triton")


@pytest.mark.parametrize("hidden", [65, 130])
@pytest.mark.parametrize("changes", [{}, {"lengths": True, "reverse": True}, {"nonlinearity": "tanh", "linear": 3}])
def test_a_step_matrix_too_large_to_stay_is_streamed(
    interpreter: None, monkeypatch: pytest.MonkeyPatch, hidden: int, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr(gpu, "properties", lambda device: tiles.Device(132, 16 * 1024))
    case = Case(4, 3, 2, hidden, members=2, lead={"weight_hh": "own", "x": "own"}, **changes)
    assert not tiles.plan(2, 3, hidden, 4, exact=True, device=tiles.Device(132, 16 * 1024)).resident
    check(case, "triton")
    check(replace(case, members=0, cotangents="dh_n", need_dx=False), "triton")


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("shared", [227 * 1024, 1024])
def test_half_precision_rounds_the_state_and_no_more(
    interpreter: None, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, shared: int
) -> None:
    monkeypatch.setattr(gpu, "properties", lambda device: tiles.Device(132, shared))
    case = Case(5, 3, 2, 20, dtype=dtype, lengths=True, norm=0.5)
    # Tensor cores take states of half precision: every step rounds one.
    check(case, "triton", eps=torch.finfo(dtype).eps)


@pytest.mark.parametrize("steps", [1, 2, 700])
def test_gradients_of_the_step_matrix_are_summed_in_pieces_of_time(
    interpreter: None, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(gpu, "_ROWS_OF_A_PIECE", 64)
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, steps, 3, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    torch.testing.assert_close(gpu._outer(a, b), torch.einsum("etbn,etbk->enk", a, b))


def test_nan_is_not_taken_for_a_unit_that_is_off(interpreter: None) -> None:
    x = torch.ones(2, 1, 1)
    x[0] = torch.nan
    weights = (torch.zeros(1, 3), torch.ones(3, 1), torch.eye(3))
    with use_kernel("triton"):
        y, h_n = torch.ops.nprnn.rnn_forward(x, *weights, None, None, "relu", False, 0)
    assert bool(y.isnan().all())
    assert bool(h_n.isnan().all())


def test_what_it_does_not_cover_goes_to_the_reference(interpreter: None) -> None:
    x = torch.ones(2, 1, 1, dtype=torch.float64)
    assert gpu.obstacle(x) == "x is torch.float64"
    assert gpu.obstacle(x.float()) is None
    assert gpu.obstacle(x.float()[:0]) == "an axis is empty"
    assert gpu.obstacle(torch.empty(2, 1, 1, device="meta")) == "x is on meta"
    rnn = nprnn.RNN(1, 3, dtype=torch.float64)
    want = rnn(x)[0]
    with use_kernel("triton"):
        torch.testing.assert_close(rnn(x)[0], want)


# --- how a problem is cut ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "batch", "hidden", "itemsize", "exact", "device", "plan"),
    [
        # Few sequences: as many programs as there can be.
        (1, 1, 100, 4, True, HOPPER, tiles.Plan(True, 2, 128, 4)),
        (1, 16, 100, 4, True, HOPPER, tiles.Plan(True, 2, 128, 4)),
        # 128 programs of 2 leave 4 multiprocessors idle; nothing is smaller.
        (1, 256, 100, 4, True, HOPPER, tiles.Plan(True, 2, 128, 4)),
        (132, 1, 100, 4, True, HOPPER, tiles.Plan(True, 32, 128, 16)),
        (132, 256, 100, 4, True, HOPPER, tiles.Plan(True, 32, 128, 16)),
        (1, 1024, 100, 4, True, HOPPER, tiles.Plan(True, 4, 128, 8)),
        (1, 1, 64, 4, True, HOPPER, tiles.Plan(True, 2, 64, 4)),
        (1, 1, 5, 4, True, HOPPER, tiles.Plan(True, 2, 16, 4)),
        # 128 x 128 in float32 and 256 x 256 in half precision stay; on less shared memory fewer do.
        (1, 1, 128, 4, True, HOPPER, tiles.Plan(True, 2, 128, 4)),
        (1, 1, 129, 4, True, HOPPER, tiles.Plan(False, 2, 64, 4)),
        (1, 1, 256, 2, False, HOPPER, tiles.Plan(True, 16, 256, 16)),
        (1, 1, 256, 2, False, AMPERE, tiles.Plan(True, 16, 256, 16)),
        (1, 1, 256, 2, False, SMALL, tiles.Plan(False, 16, 64, 4)),
        (1, 1, 100, 4, True, AMPERE, tiles.Plan(True, 2, 128, 4)),
        (1, 1, 100, 4, True, SMALL, tiles.Plan(False, 2, 64, 4)),
        (1, 1, 100, 4, False, HOPPER, tiles.Plan(True, 16, 128, 8)),
    ],
)
def test_the_plan(
    members: int, batch: int, hidden: int, itemsize: int, exact: bool, device: tiles.Device, plan: tiles.Plan
) -> None:
    assert tiles.plan(members, batch, hidden, itemsize, exact=exact, device=device) == plan


# --- without a device -------------------------------------------------------------------------------------------------


def test_the_status_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "missing", lambda: "no CUDA device")
    assert nprnn.backend_status()["triton"] == "not in use: no CUDA device"
    told = r"the triton kernel was asked for .* there is none here: no CUDA device"
    with pytest.raises(ConfigError, match=told), use_kernel("triton"):
        pass


def test_the_status_under_the_interpreter(interpreter: None) -> None:
    with use_kernel("triton"):
        assert "CPU tensors, interpreted" in nprnn.backend_status()["triton"]
    with use_kernel("reference"):
        assert nprnn.backend_status()["triton"] == "not in use: NPRNN_KERNEL=reference"


def test_importing_the_package_does_not_import_triton() -> None:
    code = "import sys, nprnn; nprnn.backend_status(); print('triton' in sys.modules)"
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == "False"


# --- compiled, which takes no device ----------------------------------------------------------------------------------

COMPILE = """
import subprocess, sys, tempfile
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas
from triton.compiler import ASTSource, compile
from nprnn.ops import tiles, triton_kernels

TENSORS = "x h0 weight_ih weight_hh bias y h_n dy dh_n dz dh0 driven states".split()
capability, dtype, hidden, tile = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
exact = dtype == "fp32"
device = tiles.Device(132, int(sys.argv[5]))
plan = tiles.plan(1, tile * 132, hidden, 4 if exact else 2, exact=exact, device=device)
assert plan.tile == tile, plan
common = dict(HAS_LENGTHS=True, TANH=False, REVERSE=False, TILE=tile, PRECISION="ieee", WIDEN=False)
size = {"PADDED": plan.padded} if plan.resident else {"BLOCK": plan.padded}
ways = {
    "forward": dict(INPUTS=2, HAS_BIAS=True) if plan.resident else {},
    "backward": dict(HAS_DY=True, **(dict(HAS_DH_N=True) if plan.resident else {})),
}
for way, own in ways.items():
    kernel = getattr(triton_kernels, f"{'resident' if plan.resident else 'streamed'}_{way}")
    constants = common | size | own
    half = {"states"} if way == "backward" else set()
    signature = {
        name: "constexpr" if name in constants else "*i64" if name == "lengths" else "*fp32" if name in half
        else "*" + dtype if name in TENSORS else "i32"
        for name in kernel.arg_names
    }
    made = compile(
        ASTSource(fn=kernel, signature=signature, constexprs=constants),
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": plan.warps},
    )
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as ptx:
        ptx.write(made.asm["ptx"])
        ptx.flush()
        target = f"sm_{capability}a" if capability >= 90 else f"sm_{capability}"
        done = subprocess.run(
            [get_ptxas(capability).path, "-v", f"--gpu-name={target}", ptx.name, "-o", "/dev/null"],
            capture_output=True, text=True, check=True,
        )
    print(way, "shared", made.metadata.shared, "of", device.shared, done.stderr)
"""


def compiled(folder: Path, script: str, *words: object) -> subprocess.CompletedProcess[str]:
    """A script that compiles, in a process of its own, with nothing compiled before."""
    if importlib.util.find_spec("triton") is None:
        absent("TRITON'S KERNELS ARE NOT COMPILED: triton is not installed (pip install 'nprnn[triton]')")
    env = {**os.environ, "TRITON_CACHE_DIR": str(folder), "TRITON_INTERPRET": "0"}
    command = [sys.executable, "-c", script, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("capability", "dtype", "hidden", "tile", "shared", "spill"),
    [
        (90, "fp32", 100, 2, 227 * 1024, 64),
        (90, "fp32", 100, 4, 227 * 1024, 0),
        (90, "fp32", 100, 16, 227 * 1024, 0),
        (90, "fp32", 100, 32, 227 * 1024, 64),
        (90, "bf16", 100, 16, 227 * 1024, 0),
        (90, "bf16", 256, 16, 227 * 1024, 512),
        (90, "fp32", 512, 2, 227 * 1024, 64),
        (80, "fp32", 100, 2, 163 * 1024, 0),
        (80, "bf16", 100, 16, 163 * 1024, 0),
    ],
)
def test_a_compiler_fits_it_into_registers_and_shared_memory(
    tmp_path: Path, capability: int, dtype: str, hidden: int, tile: int, shared: int, spill: int
) -> None:
    done = compiled(tmp_path, COMPILE, capability, dtype, hidden, tile, shared)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"shared (\d+) of (\d+)", done.stdout)
    assert len(found) == 2, done.stdout
    assert all(int(taken) <= int(limit) for taken, limit in found), found
    spilled = [int(n) for n in re.findall(r"(\d+) bytes spill stores", done.stdout)]
    assert len(spilled) == 2, done.stdout
    assert max(spilled) <= spill, done.stdout


WAYS = """
import sys
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from nprnn.ops import triton_kernels as kernels

dtype = sys.argv[1]
TENSORS = "x h0 weight_ih weight_hh bias y h_n dy dh_n dz dh0 driven states".split()

def compiles(kernel, missing, **constants):
    constants |= dict(TILE=16, PRECISION="ieee", WIDEN=False) | {name: None for name in missing}
    signature = {
        name: "constexpr" if name in constants else "*i64" if name == "lengths"
        else "*" + dtype if name in TENSORS else "i32"
        for name in kernel.arg_names
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4})
    print(kernel.__name__)

plain, turned = dict(TANH=False, REVERSE=False), dict(TANH=True, REVERSE=True)
ends, none = dict(HAS_LENGTHS=True), dict(HAS_LENGTHS=False)
forward, backward = kernels.resident_forward, kernels.resident_backward
compiles(forward, ["bias", "lengths"], INPUTS=4, HAS_BIAS=False, PADDED=64, **plain, **none)
compiles(forward, ["lengths"], INPUTS=0, HAS_BIAS=True, PADDED=64, **plain, **none)
compiles(forward, [], INPUTS=1, HAS_BIAS=True, PADDED=64, **turned, **ends)
compiles(backward, ["dy", "lengths"], HAS_DY=False, HAS_DH_N=True, PADDED=64, **plain, **none)
compiles(backward, ["dh_n"], HAS_DY=True, HAS_DH_N=False, PADDED=64, **turned, **ends)
compiles(kernels.streamed_forward, ["lengths"], BLOCK=64, **plain, **none)
compiles(kernels.streamed_forward, [], BLOCK=64, **turned, **ends)
compiles(kernels.streamed_backward, ["dy", "lengths"], HAS_DY=False, BLOCK=64, **plain, **none)
compiles(kernels.streamed_backward, [], HAS_DY=True, BLOCK=64, **turned, **ends)
"""


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_every_way_compiles(tmp_path: Path, dtype: str) -> None:
    # The interpreter takes what the compiler refuses: types that differ between branches, for one.
    done = compiled(tmp_path, WAYS, dtype)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 9
