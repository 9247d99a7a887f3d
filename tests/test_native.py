"""The kernel without Python: random problems on every instruction set, also under sanitizers and on an emulated ARM."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import ROOT, absent

CSRC = ROOT / "csrc"
DRIVER = ROOT / "tests" / "native" / "driver.cpp"
X86, ARM = ("portable", "avx2", "avx512"), ("portable", "neon")
ARM_COMPILER = "aarch64-linux-gnu-g++"


def native() -> tuple[str, ...]:
    """The instruction sets that the kernel is built for on this machine."""
    machine = platform.machine().lower()
    return X86 if machine in ("x86_64", "amd64") else ARM if machine in ("aarch64", "arm64") else ("portable",)


def flags(name: str) -> list[str]:
    """A list of flags in csrc/kernel.cmake; none if there is no such list."""
    found = re.search(rf"set\({name} (-[^)]*)\)", (CSRC / "kernel.cmake").read_text())
    return found.group(1).split() if found else []


def build(folder: Path, sets: tuple[str, ...], *more: str, compiler: str = "") -> Path:
    """The driver with the kernel of these instruction sets, compiled as csrc/kernel.cmake says, then with ``more``."""
    compiler = compiler or os.environ.get("CXX") or shutil.which("c++") or "c++"
    if shutil.which(compiler) is None:
        absent(f"THE NATIVE TESTS ARE NOT RUN: there is no C++ compiler {compiler}")
    common = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{CSRC}", *flags("_flags")]
    defined = {X86: ["-DNPRNN_X86"], ARM: ["-DNPRNN_ARM64"]}.get(sets, [])
    others = [p for p in CSRC.glob("*.cpp") if p.stem != "bindings" and not p.stem.startswith("recurrence_")]
    # The slowest to compile come first.
    sources = [*((CSRC / f"recurrence_{name}.cpp", flags(f"_{name}")) for name in reversed(sets)), (DRIVER, [])]
    sources += [(path, []) for path in others]

    def run(*arguments: object) -> None:
        command = [compiler, *common, *defined, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    objects = [folder / f"{path.stem}.o" for path, _ in sources]
    with ThreadPoolExecutor(2) as pool:
        jobs = zip(sources, objects, strict=True)
        list(pool.map(lambda job: run("-c", job[0][0], *job[0][1], *more, "-o", job[1]), jobs))
    run(*objects, *more, "-ldl", "-o", folder / "driver")
    return folder / "driver"


def check(program: Path, sets: tuple[str, ...], *arguments: object, under: tuple[str, ...] = ()) -> None:
    """Run the driver with its CASES SEED CALLERS [fork]."""
    command = [*under, str(program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    *ran, said = done.stdout.split()
    assert said == "agree"
    assert ran == list(sets[: len(ran)])
    assert len(ran) > 1 or sets == ("portable",)


@pytest.mark.slow
def test_every_kernel_agrees_with_plain_loops(tmp_path: Path) -> None:
    program = build(tmp_path, native())
    check(program, native(), 60, 1, 1)
    check(program, native(), 10, 1000, 3, "fork")


@pytest.mark.slow
def test_no_memory_beyond_a_tensor_is_touched_and_nothing_undefined_happens(tmp_path: Path) -> None:
    sanitize = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g1")
    program = build(tmp_path, native(), *sanitize)
    check(program, native(), 200, 1, 1)
    check(program, native(), 20, 1000, 3, "fork")


@pytest.mark.slow
def test_threads_do_not_race(tmp_path: Path) -> None:
    # No fork: the sanitizer ends a child that makes threads. Nor under emulation: QEMU 7.2 fails an assertion there.
    program = build(tmp_path, native(), "-fsanitize=thread", "-O1", "-g1")
    check(program, native(), 12, 1, 1)
    check(program, native(), 8, 1000, 3)


@pytest.mark.slow
def test_arm_kernels_agree_under_emulation(tmp_path: Path) -> None:
    emulator = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    if shutil.which(ARM_COMPILER) is None or emulator is None:
        absent(f"THE NEON KERNEL IS NOT TESTED: {ARM_COMPILER} or qemu-aarch64 is missing")
    program = build(tmp_path, ARM, "-static", compiler=ARM_COMPILER)
    check(program, ARM, 60, 1, 1, under=(str(emulator),))
    check(program, ARM, 10, 1000, 3, under=(str(emulator),))
