"""What a member takes: work, memory and disk, near enough to plan by."""

from __future__ import annotations

import torch

from nprnn.devices import CPU
from nprnn.sweep.facts import TaskFacts
from nprnn.training import TrainConfig
from nprnn.training.readout import eval_batch

# Python and torch, before any work.
PROCESS = 300 * 2**20
_FLOAT = 4
# States, their gradients, and the working copies of the kernel.
_STATES_KEPT = 3
# Files with the weights: the checkpoint, the one before, the best.
_FILES_KEPT = 3
_RECORD = 400
_SMALL_FILES = 16_384
# Of the same sizes an LSTM has four times the weights and the work.
_GATES = 4


def work(config: TrainConfig, facts: TaskFacts, updates: int) -> float:
    """Multiplications of so many updates, up to a factor that all members share."""
    width = config.hidden * (config.hidden + facts.input_size) * _gates(config)
    return float(facts.steps * config.batch * width) * updates


def memory(config: TrainConfig, facts: TaskFacts) -> int:
    """Bytes of a member in training, without the data: states, inputs, weights, gradients and optimiser."""
    states = _STATES_KEPT * facts.steps * config.batch * config.hidden * _gates(config)
    inputs = 2 * facts.steps * config.batch * facts.input_size
    return _FLOAT * (states + inputs + parameters(config, facts) * (3 + _slots(config)))


def judging(config: TrainConfig, facts: TaskFacts, device: torch.device = CPU) -> int:
    """Bytes of an evaluation, which members take one after the other."""
    batch = min(eval_batch(facts.steps * facts.input_size, device), max(facts.judged, 1))
    return _FLOAT * facts.steps * batch * (config.hidden * _gates(config) + facts.input_size)


def disk(config: TrainConfig, facts: TaskFacts) -> int:
    """Bytes of a finished run folder."""
    kept = _FILES_KEPT * (1 + _slots(config)) + config.snapshots
    checkpoints = kept * _FLOAT * parameters(config, facts)
    return checkpoints + config.updates // config.eval_every * _RECORD + _SMALL_FILES


def parameters(config: TrainConfig, facts: TaskFacts) -> int:
    """Weights and biases of the model."""
    recurrent = config.hidden * (config.hidden + facts.input_size + 1) * _gates(config)
    return recurrent + facts.output_size * (config.hidden + 1)


def _gates(config: TrainConfig) -> int:
    return _GATES if config.model == "LSTM" else 1


def _slots(config: TrainConfig) -> int:
    """Numbers that the optimiser keeps for each weight."""
    return {"sgd": 0, "momentum": 1, "rmsprop": 1, "adam": 2}[config.optimizer]
