"""nprnn features."""

from __future__ import annotations

import dataclasses
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from nprnn.cli.common import console, parse
from nprnn.errors import ConfigError, DataError, unknown
from nprnn.feature_store import FeatureStore
from nprnn.reporting.extracting import ExtractionView
from nprnn.reporting.sweeping import span
from nprnn.sweep import cores
from nprnn.training import Interrupt
from nprnn.video import (
    PREPROCESSING,
    BackboneConfig,
    Clip,
    Extraction,
    Layout,
    Order,
    Picking,
    Preprocess,
    Remarks,
    find_clips,
    provenance,
    width_of,
)


@dataclasses.dataclass(frozen=True)
class _Arguments:
    videos: Annotated[
        tyro.conf.Positional[Path],
        tyro.conf.arg(
            help="Folder of videos: a folder for each class, as in UCF-101; or any, with an index.csv, a line a video: "
            "path, label, and if there are any group and split."
        ),
    ]
    out: Annotated[Path, tyro.conf.arg(help="The store: a new folder, or the one of the same command stopped before.")]
    backbone: Annotated[
        str,
        tyro.conf.arg(help="An ONNX file, or module:function, which gives a torch module from [N, 3, S, S] to [N, F]."),
    ]
    splits: Annotated[
        Path | None,
        tyro.conf.arg(help="Folder of UCF-101's lists of sides: trainlist01.txt, testlist01.txt, ..., classInd.txt."),
    ] = None
    frames: Annotated[
        int | None,
        tyro.conf.arg(
            help="How many frames of each video, evenly spread from first to last; all of a shorter one. Or --stride."
        ),
    ] = None
    stride: Annotated[
        int | None, tyro.conf.arg(help="Every so manyth frame (1: all) instead of --frames; longer videos give more.")
    ] = None
    preprocess: Annotated[
        str | None,
        tyro.conf.arg(
            help=f"How frames are made ready: {', '.join(PREPROCESSING)}. --size to --std go before what it says."
        ),
    ] = None
    size: Annotated[int | None, tyro.conf.arg(help="Side of the square that the backbone sees.")] = None
    resize: Annotated[
        int | None, tyro.conf.arg(help="Shorter side of the whole frame before; without --preprocess it is --size.")
    ] = None
    colour: Annotated[Literal["rgb", "bgr"] | None, tyro.conf.arg(help="Order of the channels.")] = None
    scale: Annotated[str | None, tyro.conf.arg(help="Factor of the values 0..255, such as 1/127.5.")] = None
    mean: Annotated[
        str | None, tyro.conf.arg(help="Taken away after that: one number or one a channel, such as 104,117,123.")
    ] = None
    std: Annotated[str | None, tyro.conf.arg(help="Divisor after that: one number or one a channel.")] = None
    output: Annotated[
        str | None, tyro.conf.arg(help="The ONNX file's output; None is `features`, or the first of two axes.")
    ] = None
    batch: Annotated[int, tyro.conf.arg(help="Frames at a time, of several clips where they are short.")] = 16
    workers: Annotated[int | None, tyro.conf.arg(help="Processes of one thread each; None is one for each core.")] = (
        None
    )


def command_features(words: list[str]) -> int:
    """Turn a folder of videos into a store of frame features, or go on with one that was stopped."""
    began = time.monotonic()
    options = parse(_Arguments, words, "nprnn features", command_features.__doc__)
    workers = cores() if options.workers is None else options.workers
    if workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}")
    picking = Picking(options.frames, options.stride)
    preprocess = _preprocess(options)
    layout = find_clips(options.videos, options.splits)
    config = BackboneConfig(options.backbone, options.output, preprocess.size, options.batch)
    backbone = config.load()
    order = Order(config, backbone.identity, preprocess, picking)
    store = FeatureStore.create(options.out, provenance(order), width_of(backbone, preprocess.size))
    # Each worker has its own.
    del backbone
    with store.lock():
        store.verify()
        there = store.names
        todo = [clip for clip in layout.clips if clip.name not in there]
        _tell_found(store, layout, todo, options.videos)
        _relabel(store, layout)
        remarks = Remarks(store.folder, store.names)
        for name, reason in layout.left_out:
            remarks.add(name, "left out", reason)
        view = ExtractionView(console, len(layout.clips), len(layout.clips) - len(todo))
        with Interrupt() as interrupt, view:
            for name, reason in layout.left_out:
                view.on_unfit(name, reason)
            through = Extraction(store, order, workers, remarks, view).run(todo, interrupt)
    _say(f"{len(store.rows)} clips in {store.folder}, {store.width} features a frame, {span(time.monotonic() - began)}")
    if view.left_out or view.in_part:
        _say(f"{view.left_out} left out, {view.in_part} kept in part this time; {remarks.path} says why")
    if not through:
        _say("stopped; the clips in the store are kept, and the same command goes on")
        return 143 if interrupt.signal == signal.SIGTERM else 130
    if not store.rows:
        raise DataError(f"none of the videos in {options.videos} could be read; {remarks.path} says why of each")
    return 0


def _preprocess(options: _Arguments) -> Preprocess:
    """The named settings, with what the options say instead."""
    if options.preprocess is not None and options.preprocess not in PREPROCESSING:
        raise unknown("preprocessing", options.preprocess, PREPROCESSING)
    base = None if options.preprocess is None else PREPROCESSING[options.preprocess]
    given: dict[str, Any] = {
        "size": options.size,
        "resize": options.resize,
        "colour": options.colour,
        "scale": None if options.scale is None else _number("scale", options.scale),
        "mean": None if options.mean is None else _channels("mean", options.mean),
        "std": None if options.std is None else _channels("std", options.std),
    }
    given = {name: value for name, value in given.items() if value is not None}
    if base is not None:
        return dataclasses.replace(base, **given)
    # A backbone that is shown other numbers than it was trained on answers all the same: nothing is assumed.
    if missing := [f"--{name}" for name in ("size", "colour", "scale") if name not in given]:
        raise ConfigError(
            f"how frames are made ready for the backbone is not told: give {', '.join(missing)} (and --mean, --std), "
            f"or --preprocess {'|'.join(PREPROCESSING)}"
        )
    return Preprocess(**{"resize": given["size"], **given})


def _number(name: str, text: str) -> float:
    """A number, or one divided by another."""
    above, slash, below = text.partition("/")
    try:
        return float(above) / (float(below) if slash else 1.0)
    except (ValueError, ZeroDivisionError):
        raise ConfigError(f"{name} must be numbers such as 0.5 or 1/255, got {text!r}") from None


def _channels(name: str, text: str) -> tuple[float, ...]:
    values = tuple(_number(name, cell) for cell in text.split(","))
    return values * 3 if len(values) == 1 else values


def _relabel(store: FeatureStore, layout: Layout) -> None:
    """Give the clips in the store the labels, groups and splits that the folder says now; nothing is decoded."""
    said = {clip.name: clip for clip in layout.clips}
    rows, changes, example = [], Counter[str](), ""
    for row in store.rows:
        if (clip := said.get(row.name)) is None:
            continue
        now = row._replace(label=clip.label, group=clip.group, splits=dict(clip.splits))
        if now == row:
            continue
        rows.append(now)
        changed = [name for name in ("label", "group", "splits") if getattr(row, name) != getattr(now, name)]
        changes.update(changed)
        what = ", ".join(f"{name} {getattr(row, name)!r} becomes {getattr(now, name)!r}" for name in changed)
        example = example or f"{row.name}, whose {what}"
    if not rows:
        return
    told = ", ".join(f"{name} of {count}" for name, count in changes.items())
    _say(f"{len(rows)} clips in the store take what is said of them now ({told}) and keep their features: {example}")
    _say("runs trained on the store as it was cannot go on with it; the index or lists of before bring it back")
    store.relabel(rows)


def _tell_found(store: FeatureStore, layout: Layout, todo: list[Clip], videos: Path) -> None:
    labels = len({clip.label for clip in layout.clips})
    _say(f"{videos}: {len(layout.clips)} clips of {labels} classes, to {store.folder}")
    for line in layout.about:
        _say(line)
    if done := len(layout.clips) - len(todo):
        _say(f"{done} are in the store already and not done again")
    if strangers := store.names - {clip.name for clip in layout.clips}:
        _say(f"{len(strangers)} clips in the store are not among the videos now; they stay")


def _say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
