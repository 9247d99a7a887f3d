"""A shard on another machine: its process there, and what it writes, on the way home.

Nothing in here knows of Ray, which runs it (``nprnn.sweep.cluster``), one call after the other.
"""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from nprnn.runs import Run
from nprnn.sweep.messages import Ended, Given, Gone, Message, Opened, Order, Placed, Recorded, Refused
from nprnn.sweep.processes import Labourer
from nprnn.sweep.survey import FAILED

# How often a run that goes on is sent home: what is lost with a machine is no more than this and one evaluation.
SECONDS_BETWEEN_COPIES = 30.0


class Mission(NamedTuple):
    """A shard for another machine.

    Attributes:
        task_name: the task.
        members: what to train.
        files: of members that have begun: folder to file to content.
        device: where to compute, by name.
        words: of the command, for the record.
        place: the folder that it was given in; settings may name files from there.
        versions: what must be alike (``versions``).
        seconds: between two copies of a run that goes on.
    """

    task_name: str
    members: Sequence[Given]
    files: Mapping[str, Mapping[str, bytes]]
    device: str
    words: Sequence[str]
    place: str
    versions: Mapping[str, str]
    seconds: float = SECONDS_BETWEEN_COPIES


class Filed(NamedTuple):
    """Files of a member's run folder that have changed, and the names of all that are there."""

    member: int
    folder: str
    changed: Mapping[str, bytes]
    names: Sequence[str]


def versions() -> dict[str, str]:
    """What decides, apart from the processor, which numbers come out: equal on all machines of a sweep."""
    return {
        "nprnn": str(importlib.import_module("nprnn").__version__),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


class Post:
    """A shard at work away from home; ``begin`` first, then ``take`` until it tells ``Gone``."""

    def begin(self, mission: Mission) -> list[Message]:
        """Start the process.

        Args:
            mission: what it is to do.

        Returns:
            Where it is.

        Raises:
            RuntimeError: other versions here than at home.
            OSError: no room for the folder.
        """
        found = versions()
        if found != dict(mission.versions):
            raise RuntimeError(f"{platform.node()} has {found}, and the sweep has {dict(mission.versions)}")
        self._folder = Path(tempfile.mkdtemp(prefix="nprnn-"))
        self._folders = {given.member: given.folder for given in mission.members if given.folder}
        self._sent: dict[int, dict[str, tuple[int, int]]] = {}
        self._due: dict[int, float] = {}
        self._seconds = mission.seconds
        for name, files in mission.files.items():
            folder = self._folder / name
            folder.mkdir()
            for file, content in files.items():
                (folder / file).write_bytes(content)
        # Both are handed on to the process: what is recorded of the command, and where its files are looked for.
        sys.argv[:] = ["nprnn", *mission.words]
        if Path(mission.place).is_dir():
            os.chdir(mission.place)
        order = Order(mission.task_name, mission.members, self._folder, os.getpid(), mission.device)
        self._labourer = Labourer.start(order)
        return [Placed(platform.node())]

    def take(self, seconds: float) -> list[Message | Filed]:
        """What is told within so many seconds; each end of a member behind the files that it left.

        Args:
            seconds: how long to gather.

        Returns:
            Messages; ``Gone`` is the last of all.
        """
        until = time.monotonic() + seconds
        told: list[Message | Filed] = []
        while self._labourer.channel.poll(max(0.0, until - time.monotonic())):
            message = self._labourer.hear()
            told += self._files(message)
            told.append(message)
            if isinstance(message, Gone):
                shutil.rmtree(self._folder, ignore_errors=True)
                break
        return told

    def stop(self) -> None:
        """Have checkpoints written, and the process end; what it tells of it is still to be taken."""
        self._labourer.process.terminate()

    def _files(self, message: Message) -> list[Filed]:
        """Files that are to be home before a message is."""
        now = time.monotonic()
        match message:
            case Opened(member, folder):
                self._folders[member] = folder
                self._due[member] = now + self._seconds
            case Recorded(member) if now >= self._due.get(member, 0.0):
                self._due[member] = now + self._seconds
                return self._changed(member)
            case Ended(member) | Refused(member):
                return self._changed(member)
            case Gone():
                return [filed for member in self._folders for filed in self._changed(member)]
        return []

    def _changed(self, member: int) -> list[Filed]:
        name = self._folders.get(member)
        if name is None:
            return []
        sent = self._sent.setdefault(member, {})
        changed, names = {}, []
        for path in run_files(self._folder / name):
            names.append(path.name)
            # The content behind the stamp: what changes in between is sent once more.
            stamp = path.stat().st_mtime_ns, path.stat().st_size
            if sent.get(path.name) != stamp:
                changed[path.name] = path.read_bytes()
                sent[path.name] = stamp
        return [Filed(member, name, changed, names)] if changed else []


def run_files(folder: Path) -> list[Path]:
    """The files of a run folder that go with a run from machine to machine; none where there is no folder."""
    failed = folder / FAILED
    return [*Run(folder, {}).files(), *([failed] if failed.is_file() else [])]


def named_alike(names: Sequence[Any]) -> bool:
    """Whether names are of files in a folder, and of none above or beneath it."""
    return all(isinstance(name, str) and name == Path(name).name and name not in ("", ".", "..") for name in names)
