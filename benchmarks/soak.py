"""Does memory stay where it is, and speed? A sweep or reproduction that runs is watched from outside, for hours."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from nprnn.bench import make_record, write_record
from nprnn.bench.records import read_record, script_command
from nprnn.reporting.summary import put_part

FOLDER = Path("results/robustness")
# What is still being imported, drawn and allocated for the first time says nothing of leaks.
WARM = 300.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


def main(pid: int, sweep: Path, out: Path = FOLDER / "soak.json", seconds: float = 7200.0, every: float = 20.0) -> None:
    """Watch a running process and its children, and write what was seen; as often as it is seen, for it may end.

    Args:
        pid: the process of the command.
        sweep: its sweep.json, which tells how far each member is.
        out: where the record goes; picture and page are written beside it.
        seconds: how long.
        every: seconds between two looks.
    """
    console = Console()
    command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    words = command[command.index(next(word for word in command if word.endswith("nprnn"))) + 1 :]
    command = ["nprnn", *(Path(word).name if "/" in word else word for word in words)]
    began, looks = time.monotonic(), []
    while time.monotonic() - began < seconds and Path(f"/proc/{pid}").exists():
        if found := _look(pid, sweep, time.monotonic() - began):
            looks.append(found)
        if len(looks) > 2:
            _write(out, command, looks)
        time.sleep(every)
    console.print(f"{len(looks)} looks in {looks[-1]['seconds'] / 3600:.2f} hours, written to {out}")


def _words() -> list[str]:
    """The command without the number and the place that no other time will have."""
    words = script_command(__file__)
    for name, value in (("--pid", "PID"), ("--sweep", "sweep.json")):
        if name in words:
            words[words.index(name) + 1] = value
    return words


def _look(pid: int, sweep: Path, seconds: float) -> dict[str, Any] | None:
    """Of every process: resident and private bytes, processor seconds, threads, open files; of the sweep: updates."""
    try:
        updates = sum(member["update"] for member in json.loads(sweep.read_text())["members"])
        processes = {}
        for child in [pid, *_children(pid)]:
            place = Path(f"/proc/{child}")
            rest = (place / "stat").read_text().rpartition(")")[2].split()
            if "spawn_main" not in (place / "cmdline").read_text() and child != pid:
                continue
            private = sum(
                int(line.split()[1]) * 1024
                for line in (place / "smaps_rollup").read_text().splitlines()
                if line.startswith("Private_")
            )
            processes[str(child)] = {
                "resident": int((place / "statm").read_text().split()[1]) * PAGE_BYTES,
                "private": private,
                "cpu": (int(rest[11]) + int(rest[12])) / TICKS,
                "threads": int(rest[17]),
                "files": len(list((place / "fd").iterdir())),
            }
    except (OSError, ValueError):
        return None
    return {"seconds": round(seconds, 1), "load": os.getloadavg()[0], "updates": updates, "processes": processes}


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *_children(child)]
    return found


def _write(out: Path, command: list[str], looks: list[dict[str, Any]]) -> None:
    """The record, the picture and our part of the page."""
    summary = summarise(looks)
    write_record(out, make_record("soak", _words(), 1, watched=command, summary=summary, looks=looks))
    _draw(out.with_suffix(".png"), looks)
    part = "\n".join(_lines(read_record(out)))
    put_part(out.with_name("README.md"), "soak", part, "# Broken and hostile input")


def summarise(looks: list[dict[str, Any]]) -> dict[str, Any]:
    """What was seen after the first five minutes, of each process that was there for all of the rest."""
    end = looks[-1]["seconds"]
    late = [look for look in looks if look["seconds"] >= min(WARM, end / 2)]
    names = set.intersection(*(set(look["processes"]) for look in late))
    hours = [look["seconds"] / 3600 for look in late]
    processes = {}
    for name in sorted(names, key=int):
        seen = [look["processes"][name] for look in late]
        processes[name] = {
            "private_bytes": {
                "first": seen[0]["private"],
                "last": seen[-1]["private"],
                "most": max(s["private"] for s in seen),
            },
            "private_bytes_an_hour": slope(hours, [s["private"] for s in seen]),
            "files": [min(s["files"] for s in seen), max(s["files"] for s in seen)],
            "threads": [min(s["threads"] for s in seen), max(s["threads"] for s in seen)],
        }
    rates = speeds(late)
    return {
        "hours": end / 3600,
        "processes": processes,
        "updates": looks[-1]["updates"] - looks[0]["updates"],
        "updates_a_cpu_second": {
            "median": statistics.median(rate for _, rate in rates),
            "first_half": statistics.median(rate for _, rate in rates[: (len(rates) + 1) // 2]),
            "second_half": statistics.median(rate for _, rate in rates[len(rates) // 2 :]),
        },
    }


def speeds(looks: list[dict[str, Any]], apart: float = 300.0) -> list[tuple[float, float]]:
    """Updates of a member for each second of a processor, over stretches of five minutes, by the hour of their ends.

    Other work on the machine takes seconds from ours, and less of what a second does.
    """
    found, start = [], looks[0]
    for look in looks[1:]:
        if look["seconds"] - start["seconds"] < apart:
            continue
        cpu = sum(
            one["cpu"] - start["processes"].get(name, {"cpu": 0.0})["cpu"] for name, one in look["processes"].items()
        )
        if cpu > 0:
            found.append((look["seconds"] / 3600, (look["updates"] - start["updates"]) / cpu))
        start = look
    return found or [(looks[-1]["seconds"] / 3600, 0.0)]


def slope(x: list[float], y: list[float]) -> float:
    """The median over all pairs of points (Theil and Sen): an evaluation takes memory for moments, a leak for good."""
    found = [(d - b) / (c - a) for (a, b), (c, d) in itertools.combinations(zip(x, y, strict=True), 2) if c != a]
    return statistics.median(found) if found else 0.0


def _draw(path: Path, looks: list[dict[str, Any]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (memory, speed) = plt.subplots(2, 1, figsize=(8, 5), sharex=True, layout="constrained")
    for k, name in enumerate(sorted({name for look in looks for name in look["processes"]}, key=int)):
        there = [look for look in looks if name in look["processes"]]
        points = [(look["seconds"] / 3600, look["processes"][name]["private"] / 1e6) for look in there]
        memory.plot(*zip(*points, strict=True), label="the command" if k == 0 else f"worker {k}", linewidth=1.2)
    memory.set_ylabel("private memory, MB")
    memory.set_ylim(bottom=0)
    memory.legend(frameon=False, fontsize=8)
    speed.plot(*zip(*speeds(looks), strict=True), marker="o", markersize=3, linewidth=1.2)
    speed.set_ylabel("updates of a member\na processor second")
    speed.set_ylim(bottom=0)
    speed.set_xlabel("hours")
    for axes in (memory, speed):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _lines(record: dict[str, Any]) -> list[str]:
    summary = record["summary"]
    rate = summary["updates_a_cpu_second"]
    lines = [
        "## Soak",
        "",
        f"`{' '.join(record['watched'])}` ([its settings](soak.toml)) was watched for {summary['hours']:.1f} hours: "
        f"{summary['updates']:,} updates "
        f"of its members ({record['machine']['processor']}, which did other work too, so speed is told for each second "
        f"of a processor that it got): {rate['median']:.1f} updates a processor second, {rate['first_half']:.1f} in "
        f"the first half and {rate['second_half']:.1f} in the second.",
        "",
        "| process | private memory after 5 minutes | at the end | at most | MB an hour | open files | threads |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for k, one in enumerate(summary["processes"].values()):
        held = one["private_bytes"]
        numbers = [f"{held[key] / 1e6:.1f} MB" for key in ("first", "last", "most")]
        spans = ["–".join(map(str, dict.fromkeys(one[key]))) for key in ("files", "threads")]
        growth = f"{one['private_bytes_an_hour'] / 1e6:+.2f}"
        lines.append(f"| {'the command' if k == 0 else f'worker {k}'} | {' | '.join([*numbers, growth, *spans])} |")
    return [*lines, "", "![memory and speed](soak.png)", "", f"Again: `{' '.join(record['command'])}` (`soak.json`)."]


if __name__ == "__main__":
    tyro.cli(main)
