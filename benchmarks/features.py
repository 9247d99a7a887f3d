"""Features of videos, against what decoding them and running the backbone take by themselves.

The bound is two plain loops on one thread: PyAV decodes every frame up to the last that is picked and turns the picked
ones into arrays; the backbone runs on batches of pictures that lie ready. One worker can be no quicker than their sum,
W workers no quicker than a W-th of it. Bound and extraction take turns.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console

from nprnn.bench import Times, make_record, ratio, write_record
from nprnn.bench.records import FOLDER, script_command
from nprnn.feature_store import FeatureStore
from nprnn.video import (
    PREPROCESSING,
    BackboneConfig,
    Clip,
    Extraction,
    Order,
    Picking,
    Remarks,
    find_clips,
    provenance,
    width_of,
)

console = Console(highlight=False)


def main(
    videos: Path,
    backbone: Path,
    preprocess: str = "mobilenet_v2",
    frames: int = 25,
    batch: int = 16,
    workers: tuple[int, ...] = (1, 2),
    rounds: int = 3,
    out: Path = FOLDER / "features.json",
) -> None:
    """Time decoding, the backbone, and extraction by some numbers of workers.

    Args:
        videos: folder of videos, as ``nprnn features`` takes it.
        backbone: an ONNX file.
        preprocess: named settings of what it is shown.
        frames: of each video.
        batch: pictures at a time.
        workers: processes, one number after the other.
        rounds: of everything.
        out: the record.
    """
    settings = PREPROCESSING[preprocess]
    config = BackboneConfig(str(backbone), None, settings.size, batch)
    network = config.load()
    order = Order(config, network.identity, settings, Picking(frames, None))
    clips = find_clips(videos, None).clips
    pictures = np.random.default_rng(0).integers(0, 256, (batch, settings.size, settings.size, 3), np.uint8)
    ready = settings.numbers(pictures)
    samples: dict[str, list[float]] = {}
    counted = 0
    for number in range(rounds):
        seconds, counted = decode_all(clips, frames)
        samples.setdefault("decode", []).append(seconds)
        samples.setdefault("backbone", []).append(run_network(network, ready, counted))
        for count in workers if number % 2 == 0 else workers[::-1]:
            rate, started = extract(order, clips, count)
            samples.setdefault(f"{count} workers", []).append(rate)
            samples.setdefault(f"{count} workers with their start", []).append(started)
    times = {name: Times(tuple(values)) for name, values in samples.items()}
    alone = Times(tuple(a + b for a, b in zip(samples["decode"], samples["backbone"], strict=True)))
    share: dict[str, float] = {}
    for count in workers:
        for name in (f"{count} workers", f"{count} workers with their start"):
            share[name] = ratio(alone.shared_by(count), times[name])
            console.print(f"{name}: {share[name]:.2f} of what {count} such threads allow")
    medians = {name: found.median for name, found in times.items()}
    facts = {"clips": len(clips), "frames": counted, "backbone": network.identity.name, "seconds": medians}
    write_record(out, make_record("features", script_command(__file__), max(workers), **facts, share_of_bound=share))


def decode_all(clips: Sequence[Clip], frames: int) -> tuple[float, int]:
    """Seconds to decode the clips on one thread and make arrays of the picked frames; and how many are picked."""
    import av

    began, picked = time.perf_counter(), 0
    for clip in clips:
        with av.open(str(clip.path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            total = stream.frames
            wanted = set(np.linspace(0, total - 1, min(frames, total)).round().astype(int).tolist())
            for k, frame in enumerate(container.decode(stream)):
                if k in wanted:
                    frame.to_ndarray(format="rgb24")
                    picked += 1
    return time.perf_counter() - began, picked


def run_network(network: Any, ready: Any, pictures: int) -> float:
    """Seconds that the backbone takes for so many pictures."""
    batches = -(-pictures // len(ready))
    network(ready)
    began = time.perf_counter()
    for _ in range(batches):
        network(ready)
    return (time.perf_counter() - began) * pictures / (batches * len(ready))


class Watch:
    """Notes when clips are done."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def on_done(self, name: str, remark: str) -> None:
        self.moments.append(time.perf_counter())

    def on_left_out(self, name: str, reason: str) -> None:
        raise SystemExit(f"{name}: {reason}")

    def draw(self) -> None:
        pass


def extract(order: Order, clips: Sequence[Clip], workers: int) -> tuple[float, float]:
    """Seconds for all clips at the pace from the first to the last that is done; and with all that comes before."""
    with tempfile.TemporaryDirectory() as folder:
        network = order.backbone.load()
        store = FeatureStore.create(Path(folder) / "store", provenance(order), width_of(network, order.preprocess.size))
        watch = Watch()
        with store.lock():
            began = time.perf_counter()
            Extraction(store, order, workers, Remarks(store.folder, store.names), watch).run(clips, lambda: False)
            whole = time.perf_counter() - began
    # The first clips of all workers come with their start.
    first, rest = watch.moments[workers - 1], len(watch.moments) - workers
    return (watch.moments[-1] - first) * len(clips) / rest, whole


if __name__ == "__main__":
    tyro.cli(main)
