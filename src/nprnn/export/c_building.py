"""The C files compiled and run, by whatever compilers this machine has."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nprnn.errors import InputError, RunError
from nprnn.export.c_source import CHECK, FOLDER, MODEL
from nprnn.export.format import Answer

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
# Seconds for one compilation or one run of check.c.
_PATIENCE = 300


def compilers() -> list[tuple[str, ...]]:
    """The commands of C compilers that are there: $CC, then cc, gcc and clang."""
    named = [tuple(shlex.split(os.environ.get("CC", ""))), ("cc",), ("gcc",), ("clang",)]
    return list(dict.fromkeys(words for words in named if words and shutil.which(words[0])))


def ran(words: Sequence[str | Path]) -> tuple[int, str]:
    """The exit status of a command, and all that it said."""
    try:
        done = subprocess.run(
            list(map(str, words)),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_PATIENCE,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return -1, str(error)
    return done.returncode, (done.stdout + done.stderr).strip()


def checked(folder: Path) -> list[dict[str, Any]]:
    """What each compiler makes of the files with all warnings as errors, and what the program it builds finds.

    Args:
        folder: with the files.

    Returns:
        For each compiler: its command and version, whether it took the files without a warning, and what check.c said;
        what it complained of where it did.

    Raises:
        RunError: a program says that the numbers are wrong.
    """
    found = compilers()
    if len(found) > 1:
        # It is one of the others.
        found = [words for words in found if words != ("cc",)]
    results = []
    for words in found:
        version = ran([*words, "--version"])[1].partition("\n")[0]
        result: dict[str, Any] = {"compiler": shlex.join(words), "version": version}
        with tempfile.TemporaryDirectory() as scratch:
            program = Path(scratch) / "check"
            files: list[str | Path] = [folder / CHECK, folder / MODEL, "-lm", "-o", program]
            status, said = ran([*words, *STRICT, "-O2", *files])
            result["no_warnings"] = status == 0
            if status:
                result["complaints"] = said[:2000]
                status, said = ran([*words, "-std=c99", "-O2", *files])
            if status == 0:
                status, said = ran([program])
                result["check"] = said
                if status:
                    raise RunError(
                        f"the C files built with {result['compiler']} do not give the network's numbers ({said}); "
                        "they were not kept. Please report this"
                    )
        results.append(result)
    return results


def running(folder: Path, each: bool, inputs: int, outputs: int) -> Answer | None:
    """Runs the files as a shared library.

    Args:
        folder: with the files.
        each: whether there are outputs after each step.
        inputs: I.
        outputs: O.

    Returns:
        The function, or None where no compiler makes a library of them.
    """
    library = _library(folder)
    if library is None:
        return None
    library.nprnn_answer.argtypes = [
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_size_t,
        ctypes.c_void_p,
    ]
    library.nprnn_answer.restype = ctypes.c_int

    def answer(x: Tensor, lengths: Tensor | None) -> Tensor:
        steps, batch, features = x.shape
        if features != inputs:
            raise InputError(f"the network takes {inputs} inputs a step, got x of shape {tuple(x.shape)}")
        if lengths is not None and not bool(((lengths >= 1) & (lengths <= steps)).all()):
            raise InputError(f"lengths must be 1..T = {steps}")
        rows = x.detach().float().transpose(0, 1).contiguous()
        ends = torch.full((batch,), steps) if lengths is None else lengths.to(torch.int64).contiguous()
        out = torch.zeros(batch, steps, outputs) if each else torch.zeros(batch, outputs)
        if library.nprnn_answer(rows.data_ptr(), ends.data_ptr(), batch, steps, out.data_ptr()):
            raise InputError("inputs hold NaN or infinite numbers, which nprnn_run refuses")
        return out.transpose(0, 1) if each else out

    return answer


def _library(folder: Path) -> ctypes.CDLL | None:
    with tempfile.TemporaryDirectory() as scratch:
        for words in compilers():
            # Not every compiler knows -march=native on every machine; it is for speed alone.
            for more in (("-march=native",), ()):
                path = Path(scratch) / "answer.so"
                command = [*words, "-std=c99", "-O3", *more, "-fPIC", "-shared", f"-I{folder}"]
                status, _ = ran([*command, FOLDER / "answer.c", folder / MODEL, "-lm", "-o", path])
                if status == 0:
                    # Once loaded, the file may go.
                    return ctypes.CDLL(str(path))
    return None
