"""nprnn train."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from nprnn.cli.common import OnDevice, console, parse
from nprnn.configs import as_record
from nprnn.devices import find_device
from nprnn.errors import ConfigError, NonFiniteError, NprnnError
from nprnn.models import MODELS, SequenceModel, count_parameters, find_model
from nprnn.reporting import Curve, TensorBoard, TrainingProgress, learning_curves, metrics_table
from nprnn.reporting.explained import task_in_a_line
from nprnn.runs import Run
from nprnn.tasks import TASKS, TaskConfig, find_task
from nprnn.training import PRESETS, Listener, Outcome, Partners, TrainConfig, find_preset, joined, start_run, train


def command_train(words: list[str]) -> int:
    """Train a model on a task, or go on with a run that was stopped."""
    with joined() as partners, partners.quiet():
        try:
            return _train(words, partners)
        except NprnnError as error:
            # All diverge alike.
            if partners.rank and (partners.told or isinstance(error, NonFiniteError)):
                return 2
            raise


def _train(words: list[str], partners: Partners) -> int:
    if not words or words[0] in ("-h", "--help"):
        console.print(_help(), markup=False, soft_wrap=True)
        return 0
    with partners.in_step():
        with partners.heard():
            name, task_class = words[0], find_task(words[0])
            options = _options(name, task_class, words[1:])
        config: TrainConfig = options.train
        if options.threads is not None:
            if options.threads < 1:
                raise ConfigError(f"threads must be at least 1, got {options.threads}")
            torch.set_num_threads(options.threads)
        device = find_device(partners.device(options.device))
    if as_record(options.task, locations=True).get("download"):
        console.print("downloading what is not in the cache yet")
    data = partners.prepare(lambda: options.task.load(config.seed))
    for line in data.about:
        console.print(line, markup=False, soft_wrap=True)
    with partners.in_step():
        run = start_run(name, options.task, config, data, partners.folder(options.out))
        done = run.progress()
        listeners: list[Listener] = [TensorBoard(run.folder, done)] if options.tensorboard else []
    last = config.updates if options.stop_after is None else min(options.stop_after, config.updates)
    title = f"{config.model} on {name}"
    state = "" if done == 0 else f", going on from update {done}" if done < last else ", finished before"
    place = "" if device.type == "cpu" else f", on {device}"
    place += "" if partners.world == 1 else f", on {partners.world} processes"
    console.print(f"{title}: {run.folder}{state}{place}", markup=False, soft_wrap=True)

    progress = TrainingProgress(console, title, last, done, data.objective.headline)
    told = _Listeners([progress, *listeners])
    arguments: dict[str, Any] = {"stop_after": options.stop_after, "device": device, "partners": partners}
    with partners.interrupt() as interrupt, progress:
        model = train(config, data, run, stop=interrupt, listener=told, **arguments)
    if run.notice:
        console.print(run.notice, markup=False, soft_wrap=True)
    if run.saved < last:
        console.print(
            f"stopped; the checkpoint of update {run.saved} is kept, and the same command goes on from it",
            soft_wrap=True,
        )
        # Where another process was asked to stop, this one was not.
        return 130 if interrupt.signal == signal.SIGINT else 143
    if partners.rank:
        return 0
    if interrupt.name:
        console.print(f"{interrupt.name} came after the last update: nothing was left to stop, and nothing is lost")
    try:
        return _finish(run, config, model, title)
    except KeyboardInterrupt:
        ended = f"interrupted after update {run.saved}, the last: {run.folder} has its checkpoint and evaluations; the "
        console.print(f"{ended}same command trains no more and draws the curve", markup=False, soft_wrap=True)
        raise


def _finish(run: Run, config: TrainConfig, model: SequenceModel, title: str) -> int:
    """The curve and the table of a run with nothing left to train."""
    if not run.records():
        console.print(f"{run.saved} of {config.updates} updates are done; the first evaluation comes later")
        return 0
    curve = Curve.of(run)
    picture = run.write("curve.png", learning_curves([curve]))
    reached = f"after {curve.records[-1]['update']} of {config.updates} updates"
    title = f"{title} {reached}, {count_parameters(model)} parameters"
    console.print(metrics_table(title, {**_test_rows(curve), "constant answer": curve.baseline}))
    console.print(f"learning curve: {picture}", markup=False, soft_wrap=True)
    return 0


def _help() -> str:
    width = max(map(len, [*TASKS, *MODELS]))
    return "\n".join(
        [
            "usage: nprnn train TASK [OPTIONS]",
            "",
            (command_train.__doc__ or "").splitlines()[0],
            "",
            "tasks:",
            *(f"  {name:<{width}} {task_in_a_line(name)}" for name in TASKS),
            "",
            "models, for --model, each named by how its recurrent weights start:",
            *(f"  {name:<{width}} {about}" for name, about in MODELS.items()),
            "",
            "examples:",
            "  nprnn train addition --preset quick",
            "  nprnn train mnist --rows --model IRNN --seed 1 --download",
            "",
            "`nprnn train TASK --help` lists the options and presets of a task.",
        ]
    )


def _test_rows(curve: Curve) -> dict[str, dict[str, float]]:
    return {f"{curve.side}, {name}": metrics for name, metrics in curve.readings.items()}


class _Listeners:
    """Several listeners as one."""

    def __init__(self, listeners: list[Listener]) -> None:
        self._listeners = listeners

    def on_updates(self, member: int, update: int, losses: Sequence[float]) -> None:
        for listener in self._listeners:
            listener.on_updates(member, update, losses)

    def on_record(self, member: int, record: dict[str, Any]) -> None:
        for listener in self._listeners:
            listener.on_record(member, record)

    def on_end(self, member: int, outcome: Outcome) -> None:
        for listener in self._listeners:
            listener.on_end(member, outcome)


def _options(name: str, task_class: type[TaskConfig], words: list[str]) -> Any:
    """The options of ``nprnn train NAME``: the task's own, the training settings over a preset, and a few more."""
    preset_name = _value_of("--preset", words) or "default"
    preset = find_preset(name, preset_name)
    model = find_model(_value_of("--model", words) or preset.model)
    presets = {**PRESETS[name], "none": find_preset(name, "none")}
    about = "; ".join(f"{key}: {value.about}" for key, value in presets.items())
    arguments = dataclasses.make_dataclass(
        "Arguments",
        [
            ("task", tyro.conf.OmitArgPrefixes[task_class]),  # type: ignore[valid-type, misc]
            ("train", tyro.conf.OmitArgPrefixes[TrainConfig]),
            ("preset", Annotated[str, tyro.conf.arg(help=f"Settings to start from. {about}.")]),
            ("out", Annotated[Path, tyro.conf.arg(help="Folder of run folders.")]),
            (
                "stop_after",
                Annotated[
                    int | None,
                    tyro.conf.arg(help="Stop after so many updates of the schedule; the same command goes on."),
                ],
            ),
            ("device", OnDevice),
            ("threads", Annotated[int | None, tyro.conf.arg(help="Threads to compute with; None leaves it to torch.")]),
            ("tensorboard", Annotated[bool, tyro.conf.arg(help="Write TensorBoard events into the run folder too.")]),
        ],
        frozen=True,
    )
    default = arguments(
        task_class(**preset.task),
        TrainConfig(**preset.for_model(model)),
        preset_name,
        Path("runs"),
        None,
        "cpu",
        None,
        False,
    )
    return parse(arguments, words, f"nprnn train {name}", task_class.__doc__, default)


def _value_of(option: str, words: list[str]) -> str | None:
    """The value that ``words`` give an option that others' defaults hang on; None if they give none."""
    found = None
    for k, word in enumerate(words):
        if word.startswith(f"{option}="):
            found = word.partition("=")[2]
        elif word == option and k + 1 < len(words) and not words[k + 1].startswith("-"):
            found = words[k + 1]
    return found
