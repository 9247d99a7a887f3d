"""A Ray cluster of two machines, of which both are this one."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import absent
from test_sweep import until

RAY = Path(sys.executable).with_name("ray")
_QUIET = ("--disable-usage-stats", "--num-cpus=1", "--object-store-memory=100000000", "--block")


def processes_of(session: int) -> list[int]:
    """The processes of a session, whatever groups they made."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, number = stat.read_text().rpartition(")")[2].split()[:4]
            if int(number) == session and state != "Z":
                found.append(int(stat.parent.name))
    return found


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


class Node:
    """A machine of the cluster.

    Args:
        *words: of `ray start`.
        log: where it writes.
    """

    def __init__(self, *words: str, log: Path) -> None:
        with open(log, "ab") as file:
            self._process = subprocess.Popen(
                [RAY, "start", *words, *_QUIET], stdout=file, stderr=file, start_new_session=True
            )

    def workers(self) -> list[int]:
        """Its processes that train."""
        spawned = []
        for number in processes_of(self._process.pid):
            with contextlib.suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{number}/cmdline").read_bytes():
                    spawned.append(number)
        return spawned

    def kill(self) -> None:
        """What a power cut does."""
        while numbers := processes_of(self._process.pid):
            for number in numbers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
        self._process.wait()


class Nodes:
    """A cluster: its head, from where sweeps are started, and a second machine.

    Attributes:
        address: of the cluster.
        head: the machine that lasts.
        second: the other one.
    """

    def __init__(self, folder: Path) -> None:
        port, client_port = free_ports(2)
        self.address = f"127.0.0.1:{port}"
        self._log = folder / "log"
        # Several clusters may run on a machine, each on ports of its own.
        self.head = Node(
            *("--head", f"--port={port}", f"--ray-client-server-port={client_port}", "--include-dashboard=false"),
            f"--temp-dir={folder}",
            log=self._log,
        )
        until(lambda: b"Ray runtime started" in self._log.read_bytes(), 120)
        self.join()

    def join(self) -> None:
        """Let a second machine come."""
        before = self._log.read_bytes().count(b"Ray runtime started")
        self.second = Node(f"--address={self.address}", "--node-ip-address=127.0.0.2", log=self._log)
        until(lambda: self._log.read_bytes().count(b"Ray runtime started") > before, 120)


@contextlib.contextmanager
def two_nodes() -> Iterator[Nodes]:
    """The cluster, for a while."""
    if not RAY.exists():
        absent("RAY IS NOT INSTALLED: a sweep on a cluster is not tested (pip install 'nprnn[ray]')")
    # Names of sockets are short on Linux, shorter than a test's own folder is.
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    nodes = None
    try:
        nodes = Nodes(folder)
        yield nodes
    finally:
        if nodes is not None:
            nodes.second.kill()
            nodes.head.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """Two machines."""
    with two_nodes() as found:
        yield found
