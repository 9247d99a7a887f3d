"""nprnn eval."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import tyro

from nprnn.cli.common import CHECKPOINTS, OnDevice, RunFolder, WhichCheckpoint, console, parse
from nprnn.devices import find_device
from nprnn.reporting import judge, judgement_picture, judgement_tables, metrics_table
from nprnn.tasks.base import placed
from nprnn.training import environment, evaluate, load_data, load_trained, predict


def command_eval(words: list[str]) -> int:
    """Evaluate a run on the task's test set: metrics, the confusion matrix or errors, and a picture of them."""

    @dataclasses.dataclass(frozen=True)
    class Arguments:
        run: RunFolder
        checkpoint: WhichCheckpoint = "last"
        data_dir: Annotated[
            Path | None,
            tyro.conf.arg(aliases=["--data", "--store"], help="Where the data are, if no longer where they were."),
        ] = None
        device: OnDevice = "cpu"

    options = parse(Arguments, words, "nprnn eval", command_eval.__doc__)
    device = find_device(options.device)
    trained = load_trained(options.run, CHECKPOINTS[options.checkpoint])
    data = load_data(trained.run, data_dir=options.data_dir, data=options.data_dir, store=options.data_dir)
    targets = {"at": trained.at, "steps_have_targets": data.steps_have_targets}
    model, test = trained.model.to(device), placed(data.test, device)
    metrics = evaluate(model, test, data.objective, **targets)  # type: ignore[arg-type]
    outputs, truth = predict(model, test, **targets)  # type: ignore[arg-type]
    found = judge(outputs, truth, trained.class_names)

    rows = {"test": metrics, "constant answer": dict(data.objective.baseline)}
    console.print(
        metrics_table(f"{trained.config.model}, update {trained.update}, {len(data.test)} test sequences", rows)
    )
    for table in judgement_tables(found):
        console.print(table)
    result: dict[str, Any] = {
        "checkpoint": options.checkpoint,
        "update": trained.update,
        "sequences": len(data.test),
        "test": metrics,
        **found.as_record(),
        "env": environment(device),
    }
    suffix = "" if options.checkpoint == "last" else "-best"
    path = trained.run.write(f"eval{suffix}.json", json.dumps(result, indent=1).encode())
    picture = trained.run.write(f"eval{suffix}.png", judgement_picture(found))
    console.print(f"written to {path} and {picture}", markup=False, soft_wrap=True)
    return 0
