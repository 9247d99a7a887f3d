"""The members of an ensemble: what each is, which may train together, how each begins and ends."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from nprnn.errors import ConfigError, RunError
from nprnn.init.slips import apply_slip_
from nprnn.models import SequenceModel, build_model
from nprnn.runs import Checkpoint, Run
from nprnn.seeds import derive
from nprnn.tasks.base import Split, TaskData, placed
from nprnn.training.config import TrainConfig
from nprnn.training.readout import loss_at


class Member(NamedTuple):
    """One run of an ensemble.

    Attributes:
        config: its settings.
        data: the task, as loaded for ``config.seed``; members may share it.
        run: where its records and checkpoints go.
    """

    config: TrainConfig
    data: TaskData
    run: Run


@dataclass(frozen=True)
class Outcome:
    """How training ended for a member.

    Attributes:
        state: finished (the schedule, or ``stop_after``), stopped (asked to), diverged (its numbers blew up), or failed
            (its folder is damaged, in use, or cannot be written).
        update: updates done at its last checkpoint.
        message: what happened, or "".
    """

    state: Literal["finished", "stopped", "diverged", "failed"]
    update: int
    message: str = ""


def ensemble_key(config: TrainConfig) -> tuple[Hashable, ...]:
    """What must be equal for members of one task to train together; all other settings may differ.

    Args:
        config: a member's settings.

    Returns:
        A key: equal for members that can share an ensemble.
    """
    family = "LSTM" if config.model == "LSTM" else "RNN"
    return (family, config.hidden, config.batch, config.optimizer, config.loss_at, config.truncate)


def check_together(members: Sequence[Member]) -> None:
    """See that members can be one ensemble.

    Raises:
        ConfigError: they cannot, or the settings of one do not fit its data.
    """
    if not members:
        raise ConfigError("an ensemble needs at least one member")
    first = members[0]
    for config, data, _ in members:
        check_fits(config, data)
        if ensemble_key(config) != ensemble_key(first.config):
            raise ConfigError(
                f"the members of an ensemble differ in what must be equal: {ensemble_key(first.config)} and "
                f"{ensemble_key(config)} (family, hidden, batch, optimizer, loss_at, truncate)"
            )
        sizes = [
            (d.input_size, d.output_size, d.steps_have_targets, d.standardisation is not None)
            for d in (data, first.data)
        ]
        if sizes[0] != sizes[1]:
            raise ConfigError(
                "the members of an ensemble have one task; their inputs, outputs, targets for every step, and "
                f"standardisation are {sizes}"
            )
    folders = [member.run.folder for member in members]
    if len(set(folders)) < len(folders):
        raise ConfigError("two members of an ensemble have the same run folder, so the same settings")


def data_on(members: Sequence[Member], device: torch.device) -> list[TaskData]:
    """The data of members with every set kept on a device where it can be; what members share is moved once.

    Args:
        members: whose data.
        device: where to.

    Returns:
        One for each member; those very data on a CPU.
    """
    sets: dict[int, Split] = {}

    def there(split: Split) -> Split:
        if id(split) not in sets:
            sets[id(split)] = placed(split, device)
        return sets[id(split)]

    if device.type == "cpu":
        return [member.data for member in members]
    return [
        replace(
            data,
            train=there(data.train),
            valid=None if data.valid is None else there(data.valid),
            test=there(data.test),
        )
        for _, data, _ in members
    ]


def check_fits(config: TrainConfig, data: TaskData) -> None:
    """See that settings go with data.

    Raises:
        ConfigError: they do not.
    """
    loss_at(config, data)
    if config.batch > len(data.train):
        raise ConfigError(f"batch {config.batch} is larger than the training set of {len(data.train)} sequences")
    if config.withhold_test and data.valid is None:
        raise ConfigError("withhold_test leaves nothing to judge by: these data have no validation set")


def start_model(config: TrainConfig, data: TaskData) -> SequenceModel:
    """The model of a run before its first update."""
    scaling = data.standardisation
    model = build_model(
        config.model,
        data.input_size,
        data.output_size,
        hidden_size=config.hidden,
        fan=config.fan,
        mean=scaling.mean if scaling else None,
        scale=scaling.scale if scaling else None,
        generator=derive(config.seed, "start"),
    )
    if config.slip != "none":
        apply_slip_(model.rnn.get_parameter("weight_ih_l0"), model.head.weight, config.slip, fan=config.fan)
    return model


def load_weights(model: SequenceModel, checkpoint: Checkpoint, run: Run) -> None:
    """Put a checkpoint's weights into the model.

    Raises:
        RunError: they are not of this model.
    """
    weights = under("model.", checkpoint.tensors)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise RunError(f"the checkpoint of {run.folder} is not of its model: {error}") from error


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, without that beginning."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
