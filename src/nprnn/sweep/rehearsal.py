"""How long a sweep will take: measured by training the first shard of every group for a moment, elsewhere."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Hashable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from nprnn.devices import computing_on, synchronize
from nprnn.sweep.plan import Plan
from nprnn.sweep.shards import Shard, end_of
from nprnn.tasks import Batch, Split, TaskData
from nprnn.tasks.base import placed
from nprnn.training import Member, TrainConfig, evaluate, judged_at, start_model, start_run, train_ensemble

_SECONDS = 2.0
# The first updates fill caches and are slower than all others.
_SECONDS_WARMING = 0.3
_NEVER = 10**9
_HARMLESS = 1e-12
_JUDGED = 1000
# Starting a process and importing torch.
_SECONDS_TO_START = 2.0


class Speed(NamedTuple):
    """Of a member of a shard: seconds for an update, and for an evaluation."""

    update: float
    evaluation: float


class Estimate(NamedTuple):
    """How long a plan takes.

    Attributes:
        speeds: of each group.
        shards: seconds of each shard.
        seconds: until the last ends.
    """

    speeds: dict[Hashable, Speed]
    shards: list[float]
    seconds: float


def rehearse(plan: Plan) -> Estimate:
    """Measure, and write nothing but in a temporary folder.

    Args:
        plan: the plan.

    Returns:
        The estimate, on as many free cores as the plan has workers.

    Raises:
        DataError: missing or damaged data.
        RunError: the temporary folder cannot be written.
    """
    torch.set_num_threads(1)
    speeds: dict[Hashable, Speed] = {}
    for shard in plan.shards:
        group = plan.group(shard.members[0])
        if group not in speeds:
            speeds[group] = _measure(plan, shard)

    def seconds(shard: Shard) -> float:
        speed = speeds[plan.group(shard.members[0])]
        loading = shard.seeds * plan.facts[plan.members[shard.members[0]].task].seconds
        updates = sum(plan.updates_left(k) for k in shard.members) * speed.update
        return _SECONDS_TO_START + loading + updates + sum(map(plan.evaluations_left, shard.members)) * speed.evaluation

    return Estimate(speeds, list(map(seconds, plan.shards)), end_of(plan.shards, plan.workers, seconds))


def _measure(plan: Plan, shard: Shard) -> Speed:
    members = [plan.members[k] for k in shard.members]
    task, name = members[0].task, plan.file.task
    # One training set for all: which one it is has no influence on the speed.
    data = task.load(members[0].config.seed)
    with tempfile.TemporaryDirectory(prefix="nprnn-sweep-") as folder:
        ensemble = []
        for k, member in enumerate(members):
            # Nobody is to diverge and leave while the clock runs.
            config = dataclasses.replace(member.config, updates=_NEVER, eval_every=_NEVER, lr=_HARMLESS)
            # Members that differ in one of these alone would share a folder.
            ensemble.append(Member(config, data, start_run(name, task, config, data, Path(folder) / str(k))))
        clock = _Clock(plan.device)
        train_ensemble(ensemble, stop=clock, device=plan.device)
    return Speed(clock.seconds_an_update() / len(members), _seconds_to_judge(members[0].config, data, plan.device))


def _now(device: torch.device) -> float:
    """Seconds on the core, whoever else uses it; on a device those that pass until it has done all it was told to."""
    if device.type == "cpu":
        return time.process_time()
    synchronize(device)
    return time.perf_counter()


class _Clock:
    """Counts updates, and says when there are enough of them."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._until = time.monotonic() + _SECONDS
        self._began = self._latest = self._warm = _now(device)
        self._updates = self._before = 0

    def __call__(self) -> bool:
        self._updates += 1
        over = time.monotonic() > self._until
        warming = self._latest - self._began < _SECONDS_WARMING
        # A device is waited for while it warms and at the end: in between, waiting would be timed.
        if over or warming or self._device.type == "cpu":
            self._latest = _now(self._device)
        if self._latest - self._began < _SECONDS_WARMING:
            self._warm, self._before = self._latest, self._updates
        return over

    def seconds_an_update(self) -> float:
        if self._updates - self._before > 2:
            return (self._latest - self._warm) / (self._updates - self._before)
        return (self._latest - self._began) / max(self._updates, 1)


def _seconds_to_judge(config: TrainConfig, data: TaskData, device: torch.device) -> float:
    model = start_model(config, data).to(device)
    seconds = 0.0
    with computing_on(device):
        for split in (data.valid, data.test):
            if split is not None and len(split):
                part = _Part(placed(split, device), min(_JUDGED, len(split)))
                began = _now(device)
                at = judged_at(config, data)
                evaluate(model, part, data.objective, at=at, steps_have_targets=data.steps_have_targets)
                seconds += (_now(device) - began) * len(split) / len(part)
    return seconds


@dataclasses.dataclass(frozen=True)
class _Part:
    """The first sequences of a set."""

    whole: Split
    count: int

    def __len__(self) -> int:
        return self.count

    def batch(self, index: Tensor) -> Batch:
        return self.whole.batch(index)
