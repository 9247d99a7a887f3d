"""Runs that take no time, and their numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nprnn.runs import Run
from nprnn.tasks import Addition
from nprnn.training import TrainConfig

TASK = Addition(length=6, train_size=40, valid_size=20, test_size=30)
CONFIG = TrainConfig(hidden=8, batch=4, updates=24, lr=0.05, eval_every=6, clip=0.5)


def unchecked(folder: Path) -> str:
    """The records of a run without their checksums, as older versions wrote them and as a test may change them."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    text = "".join(json.dumps({k: v for k, v in line.items() if k != "check"}) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text)
    return text


def numbers(run: Run) -> list[dict[str, Any]]:
    """The records without the speeds, which no two runs share."""
    return [{k: v for k, v in record.items() if k != "updates_per_second"} for record in run.records()]
