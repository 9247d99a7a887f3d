"""Torch's optimisers by the names of the settings, and their state as tensors to keep."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer, RMSprop

from nprnn.training.config import TrainConfig


def build_optimizer(config: TrainConfig, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """The optimiser that the settings name, over the trained parameters."""
    trained = [p for p in parameters if p.requires_grad]
    if config.optimizer == "rmsprop":
        return RMSprop(trained, lr=config.lr, alpha=config.decay, eps=config.eps, weight_decay=config.weight_decay)
    if config.optimizer == "adam":
        betas = (config.momentum, config.decay)
        return Adam(trained, lr=config.lr, betas=betas, eps=config.eps, weight_decay=config.weight_decay)
    momentum = config.momentum if config.optimizer == "momentum" else 0.0
    return SGD(trained, lr=config.lr, momentum=momentum, weight_decay=config.weight_decay)


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimiser's state, by ``<number of the parameter>.<name>``."""
    return {
        f"{number}.{name}": value
        for number, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what ``optimizer_tensors`` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value.clone()
    with torch.no_grad():
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
