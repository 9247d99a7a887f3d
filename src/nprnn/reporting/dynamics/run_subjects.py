"""A run as what is analysed: its start, its checkpoints, a few of its own sequences."""

from __future__ import annotations

from pathlib import Path

from nprnn.configs import from_record
from nprnn.dynamics import System
from nprnn.errors import ConfigError, InputError, NprnnError, RunError
from nprnn.models import SequenceModel
from nprnn.reporting.dynamics.sequences import take
from nprnn.reporting.dynamics.subjects import SNAPSHOT, START, Inputs, Stage, Subject, driven
from nprnn.reporting.members import clean
from nprnn.reporting.sheet import plain
from nprnn.runs import BEST, LAST, PREVIOUS, Run
from nprnn.training import TrainConfig, load_data, load_trained, start_model

# In the order of their updates where these are equal.
_CHECKPOINTS = ((PREVIOUS, "previous"), (BEST, "best"), (LAST, "last"))
LSTM = (
    "an LSTM has no map h to f(W h + ...): its gates multiply its states, and there are neither masks nor a recurrent "
    "weight whose spectrum would tell of gradients. What can be analysed are the ReLU and tanh models"
)


def run_subject(
    folder: Path,
    *,
    sequences: int = 8,
    cotangents: int = 4,
    inputs: Inputs = "data",
    data_dir: Path | None = None,
    seed: int = 0,
) -> Subject:
    """A run at its start, rebuilt from settings and seed, and at each of its checkpoints that can be read.

    The inputs are a few of its validation sequences, or of its training sequences where there is no validation set;
    those of the test set are never read. Sequences of different lengths are cut to the shortest of those taken.

    Args:
        folder: the run folder.
        sequences: how many are taken, evenly spaced over the set, from among the longer half.
        cotangents: for each sequence.
        inputs: these sequences, noise like them, or nothing.
        data_dir: where the data are, if no longer where they were.
        seed: of cotangents and noise.

    Returns:
        The subject.

    Raises:
        RunError: not a run, or damaged beyond its checkpoints; DataError: its data are not found; InputError: an LSTM;
            ConfigError: numbers out of range.
    """
    if sequences < 1 or cotangents < 1:
        raise ConfigError(f"sequences and cotangents must be at least 1, got {sequences} and {cotangents}")
    run = Run.open(folder)
    config = _config(run)
    if config.model == "LSTM":
        raise InputError(f"{folder}: {LSTM}")
    data = load_data(run, data_dir=data_dir, data=data_dir, store=data_dir)
    found, notices = _checkpoints(run, config)
    stages = [_stage(START, 0, start_model(config, data)), *found]
    if (blown := run.diverged()) is not None:
        last = stages[-1].update
        notices.append(f"DIVERGED at update {blown}: the last that can be looked at is update {last}")
    taken = take(data, sequences)
    count = taken.x.shape[1]
    about = f"{count} {taken.name} sequence{'s' if count > 1 else ''}, {taken.words}"
    title = f"{config.model}, {clean(run.config['task'])}, seed {config.seed}"
    facts = {
        "folder": clean(folder.name),
        "task": clean(run.config["task"]),
        "run seed": config.seed,
        "updates": config.updates,
        "best": next((stage.update for stage in found if "best" in stage.name), None),
    }
    drive = driven(taken.x, inputs, (count, config.hidden), about, seed)
    return Subject(
        title,
        "run",
        config.model,
        config.hidden,
        tuple(stages),
        drive,
        cotangents,
        seed,
        tuple(notices),
        facts,
        data.class_names,
    )


def _config(run: Run) -> TrainConfig:
    try:
        return from_record(TrainConfig, run.config["train_config"])
    except ConfigError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{run.folder / 'config.json'} is damaged: {error!r}") from error


def _stage(name: str, update: int, model: SequenceModel) -> Stage:
    # A single model's head is a plain layer; both tensors in float64, as the system has its own.
    weight, bias = (getattr(model.head, part).detach().double() for part in ("weight", "bias"))
    return Stage(name, update, System.of(model), (weight, bias))


def _checkpoints(run: Run, config: TrainConfig) -> tuple[list[Stage], list[str]]:
    """The stages of the checkpoints, those of one update as one; and what to tell of files that cannot be read."""
    names: dict[int, list[str]] = {}
    stages: dict[int, Stage] = {}
    notices = []
    for file, name in (*((file, SNAPSHOT) for file in run.snapshots().values()), *_CHECKPOINTS):
        if not (run.folder / file).exists():
            continue
        try:
            trained = load_trained(run.folder, file)
            stages[trained.update] = _stage(name, trained.update, trained.model)
        except NprnnError as error:
            notices.append(f"LEFT OUT, {file}: {plain(str(error))}")
            continue
        names.setdefault(trained.update, []).append(name)
    if not stages:
        notices.append("no checkpoint to be read: only the start is shown")
    elif max(stages) < config.updates:
        notices.append(f"NOT FINISHED: update {max(stages)} of {config.updates}")
    merged = [Stage(_told(names[k]), k, stages[k].system, stages[k].head) for k in sorted(stages)]
    return merged, notices


def _told(names: list[str]) -> str:
    """What a stage is: a snapshot only where it is nothing else."""
    return " and ".join([name for name in names if name != SNAPSHOT] or [SNAPSHOT])
