"""From settings to a run folder and back: what a command starts, and what another command finds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from nprnn.configs import as_record, from_record
from nprnn.errors import ConfigError, DataError, RunError
from nprnn.models import At, SequenceModel, build_model
from nprnn.runs import LAST, Run
from nprnn.tasks import TaskConfig, TaskData, find_task
from nprnn.training.config import TrainConfig
from nprnn.training.machine import environment
from nprnn.training.members import load_weights
from nprnn.training.readout import judged_at


class Trained(NamedTuple):
    """What a run folder alone tells: its settings, and its model with the weights of a checkpoint.

    Attributes:
        run: the run.
        config: training settings.
        model: the model, in evaluation mode; it holds the scaling of its inputs.
        update: updates its weights have had.
        at: where its outputs are judged.
        input_size: I.
        class_names: of a classification, else None.
    """

    run: Run
    config: TrainConfig
    model: SequenceModel
    update: int
    at: At
    input_size: int
    class_names: tuple[str, ...] | None


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
        "model": {
            "input_size": data.input_size,
            "output_size": data.output_size,
            "class_names": None if data.class_names is None else list(data.class_names),
            "judged_at": judged_at(config, data),
        },
        "objective": {
            "headline": data.objective.headline,
            "higher_is_better": data.objective.higher_is_better,
            "baseline": dict(data.objective.baseline),
        },
    }
    env = {**environment(), "seed": config.seed, "locations": as_record(task, locations=True)}
    if data.recipe is not None:
        env["recipe"] = dict(data.recipe)
    return Run.create(parent, f"{task_name}-{config.model}-s{config.seed}", settings, env)


def load_trained(folder: Path, checkpoint: str = LAST) -> Trained:
    """Read a trained model back, without its data.

    Args:
        folder: the run folder.
        checkpoint: ``nprnn.runs.LAST``, or ``BEST`` for the weights that did best on the validation set.

    Returns:
        The model and what goes with it.

    Raises:
        RunError: not a run, no such checkpoint yet, or damaged.
    """
    run = Run.open(folder)
    with _damage(run):
        config = from_record(TrainConfig, run.config["train_config"])
        facts = run.config["model"]
        sizes = (int(facts["input_size"]), int(facts["output_size"]))
        names = None if facts["class_names"] is None else tuple(map(str, facts["class_names"]))
        at: At = facts["judged_at"]
    found = run.read_checkpoint(checkpoint)
    if found is None:
        raise RunError(f"{folder} has no {checkpoint} yet; go on with `nprnn train`")
    weight = found.tensors.get("model.head.weight")
    if weight is None or tuple(weight.shape) != (sizes[1], config.hidden):
        raise RunError(
            f"{run.folder / checkpoint} is not of its model: config.json says {sizes[1]} outputs of {config.hidden} "
            f"hidden units, the weights are {None if weight is None else tuple(weight.shape)}"
        )
    # Before a network of that size is made: a config is a few bytes, whatever it claims.
    for part, claimed in {"weight_ih_l0": sizes[0], "weight_hh_l0": config.hidden}.items():
        own = found.tensors.get(f"model.rnn.{part}")
        if own is None or own.ndim != 2 or own.shape[1] != claimed:
            raise RunError(
                f"{run.folder / checkpoint} is not of its model: config.json says {sizes[0]} inputs and "
                f"{config.hidden} hidden units, {part} is {None if own is None else tuple(own.shape)}"
            )
    scaling = [found.tensors.get(f"model.input_{name}") for name in ("mean", "scale")]
    model = build_model(config.model, *sizes, hidden_size=config.hidden, mean=scaling[0], scale=scaling[1])
    load_weights(model, found, run)
    return Trained(run, config, model.eval(), found.update, at, sizes[0], names)


def load_data(run: Run, **locations: Any) -> TaskData:
    """Load the data a run was trained on.

    Args:
        run: the run.
        **locations: where the data are now, for the settings that say so (``data_dir``, ``data``); those left out or
            None are taken from the run.

    Returns:
        The task's data.

    Raises:
        RunError: a damaged config, or the data found are not those of the run.
        DataError: no data there, or damaged ones.
    """
    with _damage(run):
        task_class = find_task(run.config["task"])
        known = dict(run.env().get("locations", {}))
        # Judging a run never goes to the network, whatever a stranger's folder says.
        known.pop("download", None)
        # Which settings are places the task tells, for env.json may be lost.
        places = as_record(from_record(task_class, run.config["task_config"]), locations=True)
        settings = {**run.config["task_config"], **known}
        settings.update({k: str(v) for k, v in locations.items() if v is not None and k in places})
        task = from_record(task_class, settings)
        seed = from_record(TrainConfig, run.config["train_config"]).seed
    try:
        data = task.load(seed)
    except (ConfigError, DataError) as error:
        # It knows where the data were.
        damage = run.env_damage()
        if not damage:
            raise
        raise type(error)(f"{error} ({damage})") from error
    if data.fingerprint != run.config.get("data"):
        raise RunError(f"the data found are not those that {run.folder} was trained on (fingerprints differ)")
    return data


@contextlib.contextmanager
def _damage(run: Run) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ConfigError):
            raise ConfigError(f"{run.folder / 'config.json'}: {error}") from error
        raise RunError(f"{run.folder / 'config.json'} is damaged: {error!r}") from error
