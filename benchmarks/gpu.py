"""On a CUDA device, with nothing to download: are the kernels right, how fast are they, and Fig. 3 as far as it goes.

``make gpu`` runs it straight from the checkout: torch and Triton are all it needs (no command line, no compiled CPU
kernel). It ends after so many minutes and writes what it has by then:

    gpu.json         correctness against float64 and the table of cells, as far as they were measured
    fig3/            record, pictures and page of ``nprnn reproduce fig3``
    fig3-runs.tar    the runs that have not ended, to be unpacked into results/state/addition
"""

from __future__ import annotations

import argparse
import itertools
import tarfile
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nprnn.bench.gpu import cells, measure_cells
from nprnn.bench.records import FOLDER, make_record, script_command, write_record
from nprnn.devices import find_device
from nprnn.errors import NprnnError
from nprnn.experiments import find_experiment
from nprnn.experiments.comparison import (
    Comparison,
    carry_out_comparison,
    conclude_comparison,
    parse_comparison,
)
from nprnn.ops import reference
from nprnn.sweep import SweepFile, identity, prepare
from nprnn.sweep.shelf import Shelf
from nprnn.training import Member, ensemble_key, start_run, train_ensemble

# Of the time: the kernels' answers, the table; Fig. 3 has the rest.
_SHARES = {"correctness": 0.15, "speed": 0.6}
_STOPPED = 143


def main() -> None:
    """Read the words and do all three, one after the other."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--minutes", type=float, default=9.0, help="end after so long")
    words.add_argument("--out", type=Path, default=FOLDER, help="folder for what is found")
    options = words.parse_args()
    try:
        find_device("cuda")
    except NprnnError as error:
        raise SystemExit(f"make gpu: {error}".replace(" or leave out --device", "")) from error
    began = time.monotonic()
    end = began + 60 * options.minutes

    def until(share: float) -> float:
        return began + share * (end - began)

    record = make_record("gpu", script_command(__file__), torch.get_num_threads(), complete=False)
    path = options.out / "gpu.json"
    write_record(path, record)
    record["correctness"] = correctness(until(_SHARES["correctness"]), "cuda")
    write_record(path, record)
    for line in record["correctness"]["wrong"]:
        tell(f"WRONG: {line}")
    speed(record, path, until(_SHARES["correctness"] + _SHARES["speed"]))
    figure(options.out, end - 10, "cuda")
    tell(f"written: {path}")


def tell(line: str) -> None:
    """A line for whoever watches."""
    print(line, flush=True)


# --- are they right? --------------------------------------------------------------------------------------------------

# Of the norm, against the reference in float64 on the same device: float32 over up to 50 steps, and states rounded to 8
# or 11 bits at each of them.
BOUNDS = {torch.float32: 1e-5, torch.bfloat16: 0.1, torch.float16: 0.02}


def correctness(end: float, device: str) -> dict[str, Any]:
    """Values and gradients of many problems against the reference in float64.

    Args:
        end: no new problem is begun after this moment of the monotonic clock.
        device: where.

    Returns:
        How many were tried, the largest error of each dtype, and the problems that are beyond the bound.
    """
    worst: dict[str, float] = {}
    wrong: list[str] = []
    tried = 0
    hiddens, batches, steps = (100, 5, 128, 256, 64, 512, 33), (1, 17, 70), (50, 1)
    ways = [("relu", False, 0), ("tanh", True, 0), ("relu", True, 3), ("tanh", False, 3)]
    grid = itertools.product(BOUNDS, steps, batches, hiddens, (0, 3), (False, True), ways)
    for dtype, t, b, h, members, ragged, (nonlinearity, reverse, linear) in grid:
        if time.monotonic() > end:
            break
        name = (
            f"{dtype} T={t} B={b} H={h} E={members} lengths={ragged} {nonlinearity} reverse={reverse} linear={linear}"
        )
        error = _error(dtype, t, b, h, members, ragged, (nonlinearity, reverse, min(linear, h)), device)
        tried += 1
        worst[str(dtype)] = max(worst.get(str(dtype), 0.0), error)
        if not error <= BOUNDS[dtype]:
            wrong.append(f"{name}: {error:.1e}")
    tell(f"correctness: {tried} problems, {len(wrong)} beyond the bound; largest errors {worst}")
    return {"tried": tried, "largest": worst, "wrong": wrong, "bounds": {str(k): v for k, v in BOUNDS.items()}}


def _error(
    dtype: torch.dtype,
    t: int,
    b: int,
    h: int,
    members: int,
    ragged: bool,
    options: tuple[str, bool, int],
    device: str,
) -> float:
    """The largest error of all outputs and gradients, in norms of what it should be."""
    generator = torch.Generator().manual_seed(t + b + h + members)
    lead = (members,) if members else ()

    def draw(scale: float, *shape: int) -> Tensor:
        return (scale * torch.randn(*lead, *shape, generator=generator)).to(device, dtype)

    x, h0 = draw(1, t, b, 2), draw(1, b, h)
    weights = draw(0.7, h, 2), draw(0.5 * h**-0.5, h, h), draw(0.3, h)
    lengths = torch.randint(1, t + 1, (*lead, b), generator=generator).to(device) if ragged else None
    cotangents = draw(0.1, t, b, h), draw(1, b, h)
    inputs = (x, h0, *weights)
    got_y, got_h = torch.ops.nprnn.rnn_forward(*inputs, lengths, *options)
    exact = tuple(v.double() for v in inputs)
    y, h_n = reference.forward(*exact, lengths, *options)
    # Both differentiate at the same y: rounding must not turn a unit off on one side alone.
    at = y.to(dtype)
    got = torch.ops.nprnn.rnn_backward(*cotangents, *inputs, lengths, at, *options, True)
    want = reference.backward(*(v.double() for v in cotangents), *exact, lengths, at.double(), *options, True)
    pairs = [(got_y, y), (got_h, h_n), *zip(got, want, strict=True)]
    return max(float((a.double() - w).norm() / w.norm().clamp(min=1e-30)) for a, w in pairs if w is not None)


# --- how fast? --------------------------------------------------------------------------------------------------------


def speed(record: dict[str, Any], path: Path, end: float) -> None:
    """Measure cell by cell, those with targets first, and write after each.

    Args:
        record: is filled.
        path: where it is written.
        end: no new cell is begun after this moment.
    """

    def seconds(cells_left: int) -> float:
        left = end - time.monotonic()
        return min(20.0, left / cells_left + 2) if left > 0 else 0.0

    done = measure_cells(record, path, cells(), rounds=7, seconds=seconds, tell=tell)
    record["complete"] = done
    write_record(path, record)


# --- Fig. 3 -----------------------------------------------------------------------------------------------------------


def figure(out: Path, end: float, device: str, name: str = "fig3") -> None:
    """Fig. 3 at scale paper, until the time is over.

    Args:
        out: folder for what is found.
        end: training stops at this moment.
        device: where.
        name: another experiment of that kind, or its file.
    """
    experiment = find_experiment(name)
    if not isinstance(experiment, Comparison):
        raise SystemExit(f"{name} compares no models trained alike")
    with tempfile.TemporaryDirectory() as folder:
        runs, kept = Path(folder) / "runs", Path(folder) / "kept"
        record, _ = carry_out_comparison(
            experiment,
            runs,
            kept,
            out / experiment.key,
            scale="paper",
            train=_trainer(experiment, end, device),
            tell=tell,
            command=script_command(__file__),
        )
        if kept.exists():
            with tarfile.open(out / f"{experiment.key}-runs.tar", "w") as archive:
                archive.add(kept, ".")
    try:
        from nprnn.reporting.comparison import write_comparison
    except ModuleNotFoundError as error:
        tell(
            f"no pictures here ({error}); elsewhere: nprnn reproduce {name} --report-only --out {out / experiment.key}"
        )
        return
    findings = conclude_comparison(record, parse_comparison(record.key, record.experiment))
    write_comparison(findings, out / experiment.key, record.command)


def _trainer(experiment: Comparison, end: float, device: str) -> Callable[[SweepFile, Path, frozenset[str]], int]:
    """What trains a batch here, in this process: all that fits together as one ensemble after the other."""

    def train(file: SweepFile, runs: Path, without: frozenset[str]) -> int:
        members, facts = prepare(file)
        groups: dict[Hashable, list[Any]] = defaultdict(list)
        for member in members:
            if identity(experiment.task, member, facts[member.task].fingerprint) not in without:
                groups[member.task, ensemble_key(member.config)].append(member)
        shelf = Shelf()
        for group in groups.values():
            if time.monotonic() > end:
                return _STOPPED
            together = []
            for member in group:
                data = shelf.get(member.task, member.config.seed)
                together.append(
                    Member(member.config, data, start_run(experiment.task, member.task, member.config, data, runs))
                )
            began = time.monotonic()
            outcomes = train_ensemble(together, stop=lambda: time.monotonic() > end, device=device)
            updates, seconds = sum(outcome.update for outcome in outcomes), time.monotonic() - began
            rate = f"{updates} updates in {seconds:.0f} s, {updates / seconds:.0f} a second"
            tell(f"{len(together)} members together: {rate}")
        return _STOPPED if time.monotonic() > end else 0

    return train


if __name__ == "__main__":
    main()
