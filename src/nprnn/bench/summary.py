"""The tables of a record, for the terminal and for the README."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nprnn.bench.records import newest
from nprnn.bench.rivals import OURS, RIVALS, TORCH

BEGIN, END = "<!-- bench: written by make readme -->", "<!-- end of bench -->"
# Those that are named in targets, or that a reader is likely to use.
_COLUMNS = (TORCH, "lstm", "jax", "onnxruntime")


def bench_table(folder: Path) -> str:
    """A Markdown table of the newest complete ``nprnn bench`` in a folder, with a line on how it was made.

    Our time, how many times as long each rival takes, and how near the machine's limit we are. A target stands in
    parentheses; a missed one says so.

    Args:
        folder: where the records are.

    Returns:
        The table, or a sentence where there is no such record.

    Raises:
        DataError: a file there is not a record.
    """
    record = newest(folder, "bench")
    if record is None:
        return "Nothing measured yet: `nprnn bench`."
    rivals = [f"{RIVALS[name][0]} takes" for name in _COLUMNS]
    rows = [["shape", "sizes", "nprnn, ms", *rivals, "GFLOP/s", "of GEMM peak", "first-order bound"]]
    rows.append(["---"] * len(rows[0]))
    for shape in record["shapes"]:
        ratios = [verdict(shape["ratios"].get(name), as_ratio) for name in _COLUMNS]
        speed = [f"{shape['flops_per_second'] / 1e9:.1f}", verdict(shape["peak_share"], as_percent)]
        time = digits(shape["rivals"][OURS]["median"] * 1e3)
        rows.append([shape["label"], sizes(shape), time, *ratios, *speed, shape["limit"]["binds"]])
    return "\n".join([*("| " + " | ".join(row) + " |" for row in rows), "", caption(record)])


def caption(record: Mapping[str, Any]) -> str:
    """How a record was made, in one sentence."""
    versions, limits = record["versions"], record["limits"]
    used = ", ".join(f"{name} {versions[name]}" for name in ("torch", "jax", "onnxruntime") if name in versions)
    threads = f"{record['threads']} thread{'s' if record['threads'] > 1 else ''}"
    load = record["machine"]["load"]
    # A machine that others use makes any number possible.
    busy = "" if load is None else f", load average before {load:.1f}"
    return (
        f"`{' '.join(record['command'])}` at {record['git'] or 'an unknown commit'}: {record['machine']['processor']}, "
        f"kernel {record['kernel']}, {threads}, {used}; float32, medians of interleaved rounds; GEMM peak "
        f"{limits['gemm_float32'] / 1e9:.0f} GFLOP/s before, {_among(record)} between a row's rounds, which its share "
        f"is of; copying {limits['bandwidth'] / 1e9:.0f} GB/s{busy}."
    )


def _among(record: Mapping[str, Any]) -> str:
    """The least and the greatest of the peaks that were measured between rivals; others at work make them differ."""
    peaks = [shape["gemm_float32"] / 1e9 for shape in record["shapes"]]
    return f"{min(peaks):.0f} to {max(peaks):.0f}"


def rival_rows(shape: Mapping[str, Any]) -> list[list[str]]:
    """A row for each rival on a shape: name, median and quartiles in ms, times ours, target, peak memory in MiB."""
    rows = []
    for name, time in shape["rivals"].items():
        if "missing" in time:
            rows.append([RIVALS[name][0], "missing", "", "", "", ""])
            continue
        entry, memory = shape["ratios"].get(name), shape["memory"].get(name)
        quartiles = f"{digits(time['lower'] * 1e3)}–{digits(time['upper'] * 1e3)}"
        rows.append(
            [
                RIVALS[name][0],
                digits(time["median"] * 1e3),
                quartiles,
                "" if entry is None else as_ratio(entry["value"]),
                "" if entry is None else _target(entry, as_ratio),
                "" if memory is None else f"{memory / 2**20:.1f}",
            ]
        )
    return rows


def speed_line(shape: Mapping[str, Any]) -> str:
    """How near a shape is to the machine's limits, in one line."""
    share, limit = shape["peak_share"], shape["limit"]
    target = _target(share, as_percent)
    return (
        f"{shape['flops_per_second'] / 1e9:.1f} GFLOP/s, {as_percent(share['value'])} of the GEMM peak"
        f"{f' ({target})' if target else ''}; at least {max(limit['arithmetic'], limit['traffic']) * 1e3:.3g} ms by "
        f"{limit['binds']}"
    )


def losses(record: Mapping[str, Any]) -> list[str]:
    """A sentence for each missed target, and for each rival that was faster than we."""
    lines = []
    for shape in record["shapes"]:
        for name, entry in shape["ratios"].items():
            taken = "" if entry["value"] is None else f"{RIVALS[name][0]} takes {as_ratio(entry['value'])} our time"
            if entry["met"] is False:
                lines.append(f"{shape['label']}: missed: {taken}, target {as_ratio(entry['target'])}")
            elif entry["value"] is not None and entry["value"] < 1:
                lines.append(f"{shape['label']}: slower: {taken}")
        share = shape["peak_share"]
        if share["met"] is False:
            reached = f"{as_percent(share['value'])} of the GEMM peak, target {as_percent(share['target'])}"
            lines.append(f"{shape['label']}: missed: {reached}")
    return lines


def sizes(shape: Mapping[str, Any]) -> str:
    """A shape's sizes, and what is done where it is not training."""
    members = f", E={shape['E']} (a member)" if shape["E"] > 1 else ""
    forward = ", forward" if shape["inference"] else ""
    return f"T={shape['T']}, B={shape['B']}, I={shape['I']}, H={shape['H']}{members}{forward}"


def verdict(entry: Mapping[str, Any] | None, text: Callable[[float], str]) -> str:
    """A value with its target, if there is one, and whether it is met."""
    if entry is None:
        return "–"
    if entry["value"] is None:
        return "missing"
    target = _target(entry, text)
    return text(entry["value"]) + (f" ({target})" if target else "")


def as_ratio(value: float) -> str:
    """A ratio in three digits."""
    return f"{digits(value)}x"


def as_percent(value: float) -> str:
    """A share in per cent."""
    return f"{100 * value:.0f} %"


def digits(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"


def _target(entry: Mapping[str, Any], text: Callable[[float], str]) -> str:
    if entry["target"] is None:
        return ""
    return f"≥ {text(entry['target'])}{'' if entry['met'] else ' missed'}"
