"""Processes that work together: real ones started by torchrun or one by one, and threads that stand for them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from nprnn.training.partners import Lost, Partners
from nprnn.training.together import Together

Result = TypeVar("Result")
# They must answer in time even where many tests share the cores.
LONGEST = 240


def torchrun(*words: str, processes: int = 2, cwd: Path | None = None) -> subprocess.Popen[str]:
    """``torchrun`` of these words, at a port that nobody else uses."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.Popen([*command, *words], cwd=cwd, env=_env(), **_PIPES)


def one_by_one(*commands: Sequence[str]) -> list[subprocess.Popen[str]]:
    """``nprnn`` processes of one group, each with words of its own, as torchrun would call them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank, words in enumerate(commands):
        call = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": len(commands), "MASTER_PORT": port}
        env = {**_env(), "MASTER_ADDR": "127.0.0.1", **{name: str(value) for name, value in call.items()}}
        processes.append(subprocess.Popen([sys.executable, "-m", "nprnn", *words], env=env, **_PIPES))
    return processes


def ended(*processes: subprocess.Popen[str]) -> list[tuple[int, str, str]]:
    """Status, output and errors of each, once it has ended."""
    found = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=LONGEST)
            found.append((process.returncode, out, err))
    finally:
        for process in processes:
            process.kill()
    return found


def together(world: int, work: Callable[[Partners], Result]) -> list[Result | BaseException]:
    """What ``work`` gives, or raises, in each of so many threads that are partners."""
    hub = _Hub(world)
    found: list[Any] = [None] * world

    def one(rank: int) -> None:
        partners = Together(rank, world, _ThreadWire(rank, hub))
        try:
            found[rank] = work(partners)
        except BaseException as error:
            found[rank] = error
        finally:
            partners.close()
            with hub.changed:
                hub.gone.add(rank)
                hub.changed.notify_all()

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


_PIPES: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


def _env() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


class _Hub:
    """Where threads leave their notes, those of each exchange in a place of its own."""

    def __init__(self, world: int) -> None:
        self.world = world
        self.changed = threading.Condition()
        self.notes: list[dict[int, Any]] = []
        self.gone: set[int] = set()


class _ThreadWire:
    def __init__(self, rank: int, hub: _Hub) -> None:
        self._rank, self._hub, self._calls = rank, hub, 0

    def sum(self, numbers: Tensor) -> None:
        first, *others = self.gather(numbers.clone())
        total = first.clone()
        for other in others:
            total += other
        numbers.copy_(total)

    def gather(self, note: Any) -> Sequence[Any]:
        hub, number = self._hub, self._calls
        self._calls += 1
        with hub.changed:
            while len(hub.notes) <= number:
                hub.notes.append({})
            notes = hub.notes[number]
            notes[self._rank] = note
            hub.changed.notify_all()
            hub.changed.wait_for(lambda: len(notes) == hub.world or hub.gone - notes.keys(), timeout=60)
            if len(notes) < hub.world:
                raise Lost(f"rank {self._rank} lost the others")
            return [notes[rank] for rank in range(hub.world)]

    def give(self, note: Any) -> Any:
        return self.gather(note)[0]
