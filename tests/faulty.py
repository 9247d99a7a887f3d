"""Commands that meet with harm at a chosen moment: ``native/faults.c`` preloaded, and a process that forks them.

Starting Python and torch takes seconds and a command here a tenth of one, so commands are forked from a process that
has imported everything and computed nothing. Each has a session of its own, as a shell's job has, and works in its
folder with relative paths.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parent / "native" / "faults.c"
HARM = ("kill", "term", "int", "full", "readonly", "clock")
TRACEBACK = "Traceback (most recent call last)"
# Where a command hangs, it is ended, and its status is None.
SECONDS = 180.0


@dataclass(frozen=True)
class Fault:
    """What is done, at which touch of which file (relative to the folder); ``clock`` shifts by so many seconds."""

    kind: str = "none"
    path: str = ""
    nth: int = 0
    shift: int = 0


@dataclass(frozen=True)
class Touch:
    """A file opened, read, written, renamed, linked or removed by a process."""

    process: int
    verb: str
    name: str


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit status (negative for a signal, None if it hung), what it printed, what it touched."""

    status: int | None
    told: str
    touches: tuple[Touch, ...]
    happened: bool


def build(folder: Path) -> Path:
    """Compile ``faults.c``."""
    library = folder / "libfaults.so"
    compiler = os.environ.get("CC", "cc")
    command = [compiler, "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return library


class Nursery:
    """Runs commands of ``nprnn``, each in a forked process. A context manager."""

    def __init__(self) -> None:
        self._own = Path(tempfile.mkdtemp(prefix="nprnn-faults-"))
        library = build(self._own)
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("NPRNN_", "COV_"))}
        environment |= {"LD_PRELOAD": str(library), "COLUMNS": "200", "PYTHONFAULTHANDLER": "1"}
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(library)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            # A background job of a shell ignores Ctrl-C, and so would all that it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self._count = 0

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        shutil.rmtree(self._own)

    def run(self, words: Sequence[str], folder: Path, fault: Fault | None = None) -> Outcome:
        """One command in ``folder``, to its end."""
        return self.together([words], folder, fault)[0]

    def together(
        self, commands: Sequence[Sequence[str]], folder: Path, fault: Fault | None = None, apart: float = 0.0
    ) -> list[Outcome]:
        """Several commands in ``folder``, begun so many seconds apart."""
        fault = fault or Fault()
        self._count += 1
        place = self._own / str(self._count)
        place.mkdir()
        plan = [folder, place / "log", place / "token", fault.kind, fault.path, fault.nth, fault.shift]
        asked = {
            "plan": ";".join(map(str, plan)),
            "folder": str(folder),
            "commands": [list(words) for words in commands],
            "told": [str(place / f"told-{k}") for k in range(len(commands))],
            "apart": apart,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        statuses = json.loads(self._process.stdout.readline())
        log = place / "log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        touches = tuple(Touch(int(process), verb, name) for process, verb, name in (x.split(" ", 2) for x in lines))
        happened = (place / "token").exists()
        told = [(place / f"told-{k}").read_text(errors="replace") for k in range(len(commands))]
        shutil.rmtree(place)
        return [Outcome(*pair, touches, happened) for pair in zip(statuses, told, strict=True)]


def _serve(library: str) -> None:
    """Fork what is asked for on standard input, until that ends."""
    arm = ctypes.CDLL(library).faults_arm
    arm.argtypes = [ctypes.c_char_p]
    import matplotlib.pyplot  # noqa: F401  # slow, and used by most commands

    import nprnn.cli
    import nprnn.reporting  # noqa: F401

    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        children: list[int] = []
        for words, told in zip(asked["commands"], asked["told"], strict=True):
            if children:
                time.sleep(asked["apart"])
            child = os.fork()
            if child == 0:
                _be(arm, words, told, asked)
            children.append(child)
        print(json.dumps([_end_of(child) for child in children]), flush=True)


def _be(arm: Any, words: list[str], told: str, asked: dict[str, Any]) -> None:
    """A command, in the process that was forked for it."""
    import nprnn.cli

    os.setsid()
    os.chdir(asked["folder"])
    descriptor = os.open(told, os.O_WRONLY | os.O_CREAT, 0o666)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, target in ((0, nothing), (1, descriptor), (2, descriptor)):
        os.dup2(target, number)
    os.environ["NPRNN_FAULT"] = asked["plan"]
    arm(asked["plan"].encode())
    status = 1
    try:
        status = nprnn.cli.main(words)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        # What multiprocessing leaves to the end of a process.
        with contextlib.suppress(Exception):
            from multiprocessing import resource_tracker

            resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]
        os._exit(status)


def _end_of(child: int) -> int | None:
    """The exit status, and an end to whatever the command leaves behind."""
    end = time.monotonic() + SECONDS
    status: int | None = None
    while time.monotonic() < end:
        found, code = os.waitpid(child, os.WNOHANG)
        if found:
            status = os.waitstatus_to_exitcode(code)
            break
        time.sleep(0.002)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if status is None:
        os.waitpid(child, 0)
    return status


if __name__ == "__main__":
    _serve(sys.argv[1])
