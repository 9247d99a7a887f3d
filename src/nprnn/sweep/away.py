"""The crew on a Ray cluster: an actor for each shard, and its files brought home as they come.

An actor and no task, because a task cannot be asked to write its checkpoints and end.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nprnn.errors import RunError
from nprnn.files import write_atomically
from nprnn.runs import LAST, PREVIOUS
from nprnn.sweep.cluster import Cluster
from nprnn.sweep.costs import PROCESS
from nprnn.sweep.messages import Broken, Ended, Given, Gone, Message, Refused
from nprnn.sweep.post import Filed, Mission, Post, named_alike, run_files, versions
from nprnn.sweep.shards import Shard

# All workers together are asked no more often than this a second.
_QUESTIONS = 200.0
_SECONDS_BETWEEN_QUESTIONS = 0.25
_SECONDS_BETWEEN_COUNTS = 5.0


class _Worker(NamedTuple):
    """A worker: its actor, its answer that is awaited, and what went wrong at home with its members' files."""

    actor: Any
    answer: Any
    given: Mapping[str, Sequence[str]]
    unwritten: dict[int, str]
    begun: bool


class Away:
    """Workers on the machines of a cluster (``nprnn.sweep.crew.Crew``).

    Args:
        cluster: where.
        task_name: name of the task.
        folder: the sweep's folder.
        memory: bytes that a shard takes, beyond those of its processes.
        device: ``cpu``, or ``cuda`` for a GPU to each worker.
        workers: at once; None is one for each core of the cluster (for each GPU), however many it comes to have.
    """

    def __init__(
        self,
        cluster: Cluster,
        task_name: str,
        folder: Path,
        memory: Callable[[Shard], int],
        device: str = "cpu",
        workers: int | None = None,
    ) -> None:
        self._cluster, self._ray = cluster, cluster.ray
        self._task_name, self._folder, self._memory = task_name, folder, memory
        self._device, self._at_once = device, workers
        self._workers: dict[int, _Worker] = {}
        self._counted, self._most = -float("inf"), 1

    def most(self) -> int:
        """As ``nprnn.sweep.crew.Crew``."""
        if self._at_once is not None:
            return self._at_once
        if time.monotonic() - self._counted > _SECONDS_BETWEEN_COUNTS:
            self._most = max(1, self._cluster.count("CPU" if self._device == "cpu" else "GPU"))
            self._counted = time.monotonic()
        return self._most

    def start(self, number: int, shard: Shard, members: Sequence[Given]) -> None:
        """As ``nprnn.sweep.crew.Crew``.

        Raises:
            RunError: no machine of the cluster has what the shard takes, or a file of its members cannot be read.
        """
        # The actor is a process too, beside the one that trains.
        gpus, memory = int(self._device == "cuda"), self._memory(shard) + 2 * PROCESS
        self._cluster.refuse_unplaceable({"CPU": 1, "memory": memory, **({"GPU": gpus} if gpus else {})})
        files = {given.folder: self._read(given.folder) for given in members if given.folder}
        mission = Mission(
            self._task_name,
            members,
            files,
            self._device,
            sys.argv[1:],
            str(Path.cwd()),
            versions(),
        )
        # Who dies is seen to by the sweep, which knows what is left to do; Ray starts nothing again by itself.
        place = {"num_cpus": 1, "num_gpus": gpus, "memory": memory}
        actor = self._ray.remote(Post).options(max_restarts=0, max_task_retries=0, **place).remote()
        given = {name: tuple(found) for name, found in files.items()}
        self._workers[number] = _Worker(actor, actor.begin.remote(mission), given, {}, False)

    def listen(self, seconds: float) -> Sequence[tuple[int, Message]]:
        """As ``nprnn.sweep.crew.Crew``."""
        if not self._workers:
            return []
        answers = {worker.answer: number for number, worker in self._workers.items()}
        ready, _ = self._ray.wait(list(answers), num_returns=1, timeout=seconds)
        if ready and len(answers) > 1:
            ready, _ = self._ray.wait(list(answers), num_returns=len(answers), timeout=0)
        return [(answers[answer], message) for answer in ready for message in self._hear(answers[answer])]

    def stop(self) -> None:
        """As ``nprnn.sweep.crew.Crew``; those that have no machine yet have nothing to write."""
        for worker in self._workers.values():
            if worker.begun:
                worker.actor.stop.remote()
            else:
                self._ray.kill(worker.actor)

    def kill(self) -> None:
        """As ``nprnn.sweep.crew.Crew``."""
        for worker in self._workers.values():
            self._ray.kill(worker.actor)
        self._workers = {}

    def close(self) -> None:
        """As ``nprnn.sweep.crew.Crew``; what they would write is lost, since nobody brings it home."""
        self.kill()

    def _hear(self, number: int) -> list[Message]:
        worker, errors = self._workers[number], self._ray.exceptions
        try:
            told = self._ray.get(worker.answer)
        except errors.RayTaskError as error:
            told = [Broken(_last_line(error), str(error)), Gone(None, _last_line(error))]
        except errors.RayError as error:
            told = [Gone(None, f"its machine or its worker was lost ({type(error).__name__})")]
        kept = [self._kept(worker, message) for message in told]
        if told and isinstance(told[-1], Gone):
            self._ray.kill(worker.actor)
            del self._workers[number]
        else:
            pause = max(_SECONDS_BETWEEN_QUESTIONS, len(self._workers) / _QUESTIONS)
            self._workers[number] = worker._replace(answer=worker.actor.take.remote(pause), begun=True)
        return [message for message in kept if message is not None]

    def _kept(self, worker: _Worker, message: Message | Filed) -> Message | None:
        """A message for the sweep; files are put where they belong."""
        if isinstance(message, Filed):
            try:
                write_home(self._folder, message, worker.given.get(message.folder, ()))
            except OSError as error:
                path = self._folder / message.folder
                worker.unwritten[message.member] = f"cannot write {path}: {error.strerror or error}"
            else:
                worker.unwritten.pop(message.member, None)
            return None
        if isinstance(message, Ended) and message.member in worker.unwritten:
            return Refused(message.member, worker.unwritten[message.member])
        return message

    def _read(self, name: str) -> dict[str, bytes]:
        try:
            return {path.name: path.read_bytes() for path in run_files(self._folder / name)}
        except OSError as error:
            raise RunError(f"cannot read {self._folder / name}: {error.strerror or error}") from error


def write_home(home: Path, filed: Filed, given: Sequence[str] = ()) -> None:
    """Put a member's files into its run folder, so that a kill at any moment leaves a run that goes on.

    Args:
        home: the sweep's folder.
        filed: what came.
        given: files that its worker was given; those that it has no more are removed.

    Raises:
        OSError: they cannot be written, or are not of a run folder.
    """
    if not named_alike([filed.folder, *filed.changed]):
        raise OSError(f"a worker names files outside of a run folder: {filed.folder}, {', '.join(filed.changed)}")
    folder = home / filed.folder
    folder.mkdir(exist_ok=True)
    # Records before the checkpoint that counts on them, and the config last: with it a folder is a run.
    order = {PREVIOUS: 1, LAST: 2, "config.json": 3}
    for name in sorted(filed.changed, key=lambda name: order.get(name, 0)):
        write_atomically(folder / name, filed.changed[name])
    for name in given:
        if name not in filed.names:
            (folder / name).unlink(missing_ok=True)


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
