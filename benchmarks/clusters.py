"""What several workers, parts and a Ray cluster gain and cost on this machine, and what that means for 1,000 cores."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from nprnn.bench import make_record, write_record
from nprnn.bench.records import FOLDER, script_command
from nprnn.sweep.away import write_home
from nprnn.sweep.post import SECONDS_BETWEEN_COPIES, Filed, run_files

# The two nodes are those of the tests.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from ray_nodes import two_nodes

MEMBERS, TOGETHER = 8, 4
FILE = """task = "addition"
seeds = 4
[settings]
length = 50
updates = {updates}
eval_every = {every}
[grid]
lr = [0.01, 0.003]
"""
CORES = 1000


def main(out: Path = FOLDER / "clusters.json", repeats: int = 3, updates: int = 4000) -> None:
    """Measure and write.

    Args:
        out: where the record goes.
        repeats: of each way, interleaved.
        updates: of each of eight members (addition, T = 50, B = 16, H = 100).
    """
    console, folder = Console(), Path(tempfile.mkdtemp(prefix="nprnn-clusters-"))
    file = folder / "grid.toml"
    file.write_text(FILE.format(updates=updates, every=updates // 4))
    seconds: dict[str, list[float]] = {}
    accounts: dict[str, list[Any]] = {}
    with two_nodes() as nodes:
        ways: dict[str, list[list[str]]] = {
            "one worker": [["--workers", "1"]],
            "two workers": [["--workers", "2"]],
            "two parts": [["--workers", "1", "--shard", f"{k}/2"] for k in (1, 2)],
            "Ray, one worker": [["--ray", nodes.address, "--workers", "1"]],
            "Ray, two nodes": [["--ray", nodes.address]],
        }
        for _ in range(repeats):
            for name, commands in ways.items():
                shutil.rmtree(folder / "out", ignore_errors=True)
                seconds.setdefault(name, []).append(_run(file, folder / "out", commands))
                found = [json.loads(path.read_text()) for path in (folder / "out").glob("sweep*.json")]
                accounts.setdefault(name, []).append([one["sessions"][0] for one in found])
                console.print(f"{name}: {seconds[name][-1]:.1f} s, load {os.getloadavg()[0]:.1f}")
    told = _messages(folder / "out", folder / "home")
    results: dict[str, Any] = {
        "sweep": {"members": MEMBERS, "ensemble": TOGETHER, "updates": updates, "T": 50, "B": 16, "H": 100},
        "seconds": {name: {"median": statistics.median(values), "all": values} for name, values in seconds.items()},
        "shards": {name: _shards(found) for name, found in accounts.items()},
        "messages": told,
    }
    results["estimate"] = _estimate(results)
    write_record(out, make_record("clusters", script_command(__file__), 1, **results))
    console.print_json(json.dumps(results["estimate"]))
    shutil.rmtree(folder)


def _run(file: Path, out: Path, commands: list[list[str]]) -> float:
    words = [sys.executable, "-m", "nprnn", "sweep", str(file), "--out", str(out), "--ensemble", str(TOGETHER)]
    began = time.perf_counter()
    running = [subprocess.Popen([*words, *more], stdout=subprocess.DEVNULL) for more in commands]
    if any(process.wait() for process in running):
        raise SystemExit(f"a sweep failed: {words}")
    return time.perf_counter() - began


def _shards(repeats: list[Any]) -> dict[str, float]:
    """Medians over all shards: seconds in all, in training, and the rest; and the command's own share of a second."""
    sessions = [session for found in repeats for session in found]
    shards = [shard for session in sessions for shard in session["shards"]]
    median: Callable[[str], float] = lambda name: statistics.median(shard[name] for shard in shards)  # noqa: E731
    return {
        "seconds": median("seconds"),
        "training_seconds": median("training_seconds"),
        "overhead_seconds": statistics.median(shard["seconds"] - shard["training_seconds"] for shard in shards),
        "home_cpu_share": statistics.median(s["parent_cpu_seconds"] / s["seconds"] for s in sessions),
    }


def _messages(runs: Path, home: Path) -> dict[str, float]:
    """What a member sends home in one copy, and what it takes to put it away."""
    filed = []
    for number, path in enumerate(sorted(runs.glob("*/config.json"))):
        # The config and the note of the machine go once.
        found = [one for one in run_files(path.parent) if one.name not in ("config.json", "env.json")]
        files = {one.name: one.read_bytes() for one in found}
        filed.append(Filed(number, path.parent.name, files, list(files)))
    home.mkdir()
    seconds = []
    for _ in range(20):
        for one in filed:
            began = time.perf_counter()
            write_home(home, one)
            seconds.append(time.perf_counter() - began)
    return {
        "bytes_a_copy": statistics.median(sum(map(len, one.changed.values())) for one in filed),
        "seconds_to_keep_one": statistics.median(seconds),
    }


def _estimate(record: dict[str, Any]) -> dict[str, Any]:
    """1,000 cores, from what was measured here, and from what is assumed."""
    overhead = record["shards"]["Ray, two nodes"]["overhead_seconds"]
    kept, size = record["messages"]["seconds_to_keep_one"], record["messages"]["bytes_a_copy"]
    # A member's update at this shard's speed, alone on a core.
    alone = record["shards"]["one worker"]
    update = alone["training_seconds"] / (TOGETHER * record["sweep"]["updates"])
    members, updates, every = 64, 1_000_000, 5000
    shard = members * updates * update
    between = max(SECONDS_BETWEEN_COPIES, members * every * update)
    copies = CORES * members / between
    return {
        "assumed": [
            f"{CORES} cores like these, each with a shard of {members} members of this size, {updates:,} updates, "
            f"an evaluation every {every:,}",
            "a member's update costs there what it costs here, four to a shard",
            "a network and a disk at home as quick as the loopback and the disk here",
        ],
        "shard_seconds": shard,
        "overhead_seconds": overhead,
        "share_lost_to_starting": overhead / (shard + overhead),
        "copies_a_second": copies,
        "bytes_a_second_home": copies * size,
        "home_core_share_for_copies": copies * kept,
        "cores_that_one_home_serves": 1 / (members / between * kept),
    }


if __name__ == "__main__":
    tyro.cli(main)
