"""From settings to a run folder and back: what a command starts, and what another command finds."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from nprnn.configs import as_record, from_record
from nprnn.errors import RunError
from nprnn.models import SequenceModel
from nprnn.ops.backends import instruction_sets
from nprnn.runs import Run
from nprnn.tasks import TaskConfig, TaskData, find_task
from nprnn.training.config import TrainConfig
from nprnn.training.loop import start_model


class Restored(NamedTuple):
    """A run read back: its settings, its data, and its model with the weights of the last checkpoint."""

    run: Run
    task: TaskConfig
    config: TrainConfig
    data: TaskData
    model: SequenceModel
    update: int


def start_run(task_name: str, task: TaskConfig, config: TrainConfig, data: TaskData, parent: Path) -> Run:
    """The folder of these settings on these data under ``parent``: a new one, or one to go on with.

    Raises:
        RunError: the folder cannot be made, or is damaged.
    """
    settings = {
        "task": task_name,
        "task_config": as_record(task),
        "train_config": as_record(config),
        "data": data.fingerprint,
        "objective": {
            "headline": data.objective.headline,
            "higher_is_better": data.objective.higher_is_better,
            "baseline": dict(data.objective.baseline),
        },
    }
    env = {**environment(), "seed": config.seed, "locations": as_record(task, locations=True)}
    return Run.create(parent, f"{task_name}-{config.model}-s{config.seed}", settings, env)


def restore(folder: Path, **locations: Any) -> Restored:
    """Read a run back.

    Args:
        folder: the run folder.
        **locations: where the data are now, for the settings that say so (``data_dir``); those left out or None are
            taken from the run.

    Returns:
        Everything about it.

    Raises:
        RunError: not a run, no checkpoint yet, damaged, or its data are not those it was trained on.
    """
    run = Run.open(folder)
    try:
        task_class = find_task(run.config["task"])
        settings = {**run.config["task_config"], **run.env().get("locations", {})}
        settings.update({key: str(value) for key, value in locations.items() if value is not None})
        task = from_record(task_class, settings)
        config = from_record(TrainConfig, run.config["train_config"])
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{folder / 'config.json'} is damaged: {error!r}") from error
    data = task.load(config.seed)
    if data.fingerprint != run.config.get("data"):
        raise RunError(f"the data found are not those that {folder} was trained on (fingerprints differ)")
    model = start_model(config, data)
    update = run.read_checkpoint(model)
    if update == 0:
        raise RunError(f"{folder} has no checkpoint yet; go on with `nprnn train`")
    return Restored(run, task, config, data, model, update)


def environment() -> dict[str, Any]:
    """What a result may depend on beyond its settings: versions, processor, kernel, threads."""
    return {
        "command": ["nprnn", *sys.argv[1:]],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "nprnn": version("nprnn"),
        "git": commit(),
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "python": platform.python_version(),
        "system": platform.system(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "kernel": "reference",
        "instruction_set": (instruction_sets() or ["unknown"])[-1],
        "threads": torch.get_num_threads(),
    }


def processor() -> str:
    """The processor's name, or the architecture's where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def commit() -> str | None:
    """The commit of the checkout this package is imported from; None where it is installed without one."""
    package = Path(__file__).resolve().parent
    try:
        found = subprocess.run(
            ["git", "-C", package, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()
