"""The command line: nprnn train, eval, report, info."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from rich.console import Console

import nprnn
from nprnn.errors import ConfigError, NprnnError, unknown
from nprnn.models import MODELS, count_parameters
from nprnn.reporting import (
    Curve,
    TrainingProgress,
    by_task,
    find_runs,
    learning_curves,
    metrics_table,
    write_report,
)
from nprnn.tasks import TASKS, TaskConfig, find_task
from nprnn.training import PRESETS, TrainConfig, environment, evaluate, find_preset, restore, start_run, train

console = Console(highlight=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the words after ``nprnn``; None takes the process's.

    Returns:
        The exit status: 0, 2 for an error in what was asked, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    threads = torch.get_num_threads()
    # The gradients of a contracting network decay into denormal numbers, which processors handle many times slower.
    torch.set_flush_denormal(True)
    try:
        if not words or words[0] in ("-h", "--help", "help"):
            console.print(_help())
        elif words[0] == "--version":
            console.print(nprnn.__version__)
        elif words[0] in COMMANDS:
            COMMANDS[words[0]](words[1:])
        else:
            raise unknown("command", words[0], COMMANDS)
    except NprnnError as error:
        if debug:
            raise
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"nprnn: error: {error}", markup=False)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        # Whoever calls this from Python gets torch back as it was.
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)
    return 0


def _help() -> str:
    lines = [f"  nprnn {name:<8} {(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "nprnn: the ReLU recurrent network with a normalised positive-definite start.",
            "",
            *lines,
            "",
            "`nprnn COMMAND --help` tells more; `--debug` shows the traceback of an error.",
        ]
    )


def command_train(words: list[str]) -> None:
    """Train a model on a task, or go on with a run that was stopped."""
    if not words or words[0] in ("-h", "--help"):
        console.print(f"usage: nprnn train TASK [OPTIONS]    TASK: {', '.join(TASKS)}")
        console.print("`nprnn train TASK --help` lists the options. Models: " + ", ".join(MODELS))
        return
    name, task_class = words[0], find_task(words[0])
    options = _parse_train(name, task_class, words[1:])
    config: TrainConfig = options.train
    find_preset(name, options.preset).check_model(options.preset, config.model)
    if options.threads is not None:
        if options.threads < 1:
            raise ConfigError(f"threads must be at least 1, got {options.threads}")
        torch.set_num_threads(options.threads)
    if getattr(options.task, "download", False):
        console.print("downloading what is not in the cache yet", soft_wrap=True)
    data = options.task.load(config.seed)
    run = start_run(name, options.task, config, data, options.out)
    last = config.updates if options.stop_after is None else min(options.stop_after, config.updates)
    records = run.records()
    done = records[-1]["update"] if records else 0
    title = f"{config.model} on {name}"
    state = "" if done == 0 else f", going on from update {done}" if done < last else ", finished before"
    console.print(f"{title}: {run.folder}{state}", soft_wrap=True)
    progress = TrainingProgress(console, title, last, done, data.objective.headline)
    try:
        with progress:
            model = train(config, data, run, stop_after=options.stop_after, listener=progress)
    except KeyboardInterrupt:
        console.print(f"stopped; the checkpoint of update {run.saved} is kept, and the same command goes on from it")
        raise
    curve = Curve.of(run)
    picture = run.write("curve.png", learning_curves([curve]))
    reached = f"after {curve.records[-1]['update']} of {config.updates} updates"
    table = metrics_table(
        f"{title} {reached}, {count_parameters(model)} parameters",
        {"test": curve.last, "constant answer": curve.baseline},
    )
    console.print(table)
    console.print(f"learning curve: {picture}", soft_wrap=True)


def _parse_train(name: str, task_class: type[TaskConfig], words: list[str]) -> Any:
    """The options of ``nprnn train NAME``: the task's own, the training settings over a preset, and a few more."""
    preset_name = "default"
    for k, word in enumerate(words):
        if word.startswith("--preset="):
            preset_name = word.partition("=")[2]
        elif word == "--preset" and k + 1 < len(words):
            preset_name = words[k + 1]
    preset = find_preset(name, preset_name)
    about = "; ".join(f"{key}: {value.about}" for key, value in PRESETS[name].items())
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
            ("threads", Annotated[int | None, tyro.conf.arg(help="Threads to compute with; None leaves it to torch.")]),
        ],
        frozen=True,
    )
    return tyro.cli(
        arguments,
        prog=f"nprnn train {name}",
        description=(task_class.__doc__ or "").splitlines()[0],
        args=words,
        default=arguments(
            task_class(**preset.task), TrainConfig(**preset.train), preset_name, Path("runs"), None, None
        ),
    )


def command_eval(words: list[str]) -> None:
    """Evaluate a run's last checkpoint on the task's test set."""

    @dataclasses.dataclass(frozen=True)
    class Arguments:
        run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="The run folder.")]
        data_dir: Annotated[Path | None, tyro.conf.arg(help="Where the data are, if no longer where they were.")] = None

    options = tyro.cli(Arguments, prog="nprnn eval", description=command_eval.__doc__, args=words)
    restored = restore(options.run, data_dir=options.data_dir)
    metrics = evaluate(restored.model, restored.data.test, restored.data.objective)
    result = {"update": restored.update, "test": metrics, "sequences": len(restored.data.test), "env": environment()}
    path = restored.run.write("eval.json", json.dumps(result, indent=1).encode())
    console.print(
        metrics_table(
            f"{restored.config.model}, update {restored.update}, {len(restored.data.test)} test sequences",
            {"test": metrics, "constant answer": restored.data.objective.baseline},
        )
    )
    console.print(f"written to {path}", soft_wrap=True)


def command_report(words: list[str]) -> None:
    """Write one HTML file on some runs: learning curves and a table."""

    @dataclasses.dataclass(frozen=True)
    class Arguments:
        runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(help="Run folders, or folders of them.")]
        out: Annotated[Path, tyro.conf.arg(help="The file to write.")] = Path("report.html")

    options = tyro.cli(Arguments, prog="nprnn report", description=command_report.__doc__, args=words)
    if not options.runs:
        raise ConfigError("name at least one run folder, or a folder of runs")
    runs = find_runs(options.runs)
    for group in by_task(runs):
        rows = {f"{curve.label}, update {curve.records[-1]['update']}": curve.last for curve in group}
        console.print(metrics_table(group[0].task, {**rows, "constant answer": group[0].baseline}))
    console.print(f"{len(runs)} runs, report to open: {write_report(runs, options.out)}", soft_wrap=True)


def command_info(words: list[str]) -> None:
    """Tell versions, kernels, tasks and models."""
    tyro.cli(
        dataclasses.make_dataclass("Arguments", []), prog="nprnn info", description=command_info.__doc__, args=words
    )
    rows = {key: value for key, value in environment().items() if key not in ("command", "started", "kernel")}
    rows |= {f"kernel: {name}": status for name, status in nprnn.backend_status().items()}
    rows |= {"tasks": ", ".join(TASKS), "models": ", ".join(MODELS)}
    for key, value in rows.items():
        console.print(f"{key:<22} {value}")


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "train": command_train,
    "eval": command_eval,
    "report": command_report,
    "info": command_info,
}
