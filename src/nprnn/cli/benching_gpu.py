"""nprnn bench --device cuda."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from nprnn.bench import make_record, write_record
from nprnn.bench.gpu import cells, measure_cells
from nprnn.bench.records import FOLDER
from nprnn.cli.common import console
from nprnn.errors import ConfigError

# Those that have targets come first.
_QUICK_CELLS = 6
_SECONDS = 20.0


def bench_gpu(device: str, rounds: int, quick: bool, out: Path | None, words: Sequence[str]) -> int:
    """Time the kernels of a CUDA device against cuDNN; returns the exit status."""
    if device not in ("cuda", "cuda:0"):
        raise ConfigError(
            f"nprnn bench measures the first CUDA device, got {device}; choose one by CUDA_VISIBLE_DEVICES"
        )
    record = make_record("gpu", ["nprnn", "bench", *words], torch.get_num_threads(), complete=False)
    path = out or FOLDER / f"gpu-{record['started'].replace(':', '')}.json"
    # A place that cannot be written is found out now.
    write_record(path, record)
    wanted = cells()[: _QUICK_CELLS if quick else None]
    done = measure_cells(record, path, wanted, rounds=rounds, seconds=lambda left: _SECONDS, tell=_tell)
    record["complete"] = done and not quick
    write_record(path, record)
    console.print(gpu_table(record))
    _tell(f"record: {path}")
    return 0


def _tell(line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)


def gpu_table(record: dict[str, Any]) -> Table:
    """A record's cells, a row each."""
    table = Table(title=f"{record['gpu']}, torch {record['versions']['torch']}; times in ms", title_justify="left")
    headings = ("H", "B", "T", "E", "forward", "cuDNN", "both", "cuDNN", "graph", "µs a step", "of limit")
    for heading in headings:
        table.add_column(heading, justify="right")
    for found in record["cells"]:
        sizes = [str(found["cell"][name]) for name in ("hidden", "batch", "steps", "members")]
        if "failed" in found:
            table.add_row(*sizes, "failed")
            continue
        micro, ratios = found["microseconds"], found["times_cudnn"]
        graph = f"{micro['graph both'] / 1e3:.3g}" if "graph both" in micro else "-"
        table.add_row(
            *sizes,
            f"{micro['nprnn forward'] / 1e3:.3g}",
            f"{ratios['forward']:.1f}x",
            f"{micro['nprnn both'] / 1e3:.3g}",
            f"{ratios['both']:.1f}x",
            graph,
            f"{found['forward_microseconds_a_step']:.2f}",
            f"{found['of_first_order_limit']:.0%}",
        )
    return table
