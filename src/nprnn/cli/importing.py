"""nprnn import."""

from __future__ import annotations

import csv
import dataclasses
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import tyro

from nprnn.cli.common import console, parse
from nprnn.errors import ConfigError, DataError
from nprnn.feature_store import SIDES, FeatureStore
from nprnn.feature_store.store import FACTS
from nprnn.reporting.extracting import ExtractionView
from nprnn.reporting.sweeping import span
from nprnn.tasks.ready_features import ReadyFeatures
from nprnn.tasks.sequence_import import SPLIT, read_sequences
from nprnn.tasks.ucf101_import import INDEX, read_ucf101
from nprnn.training import Interrupt
from nprnn.video.layout import SUFFIXES

_EXPECTED = (
    "expected a folder with an index.csv (class, clip, row, group, split01, ...) and a <class>.npz for each class, or "
    "a .npz of classified sequences (x, y, lengths, ...) as `nprnn train sequences` reads it"
)


@dataclasses.dataclass(frozen=True)
class _Arguments:
    source: Annotated[
        tyro.conf.Positional[Path],
        tyro.conf.arg(
            help="Ready features: a folder with an index.csv and a .npz file for each class, or a .npz of classified "
            "sequences."
        ),
    ]
    out: Annotated[Path, tyro.conf.arg(help="The store: a new folder, or the one of the same command stopped before.")]
    split_name: Annotated[
        str | None,
        tyro.conf.arg(help=f"What the store calls the split of a .npz of sequences; None is `{SPLIT}`."),
    ] = None


def command_import(words: list[str]) -> int:
    """Put ready features, or sequences with a class each, into a store, or go on with one that was stopped."""
    began = time.monotonic()
    options = parse(_Arguments, words, "nprnn import", command_import.__doc__)
    ready = _read(options.source, options.split_name)
    store = ready.open_store(options.out)
    with store.lock():
        store.verify()
        total, done = len(ready.names), len(ready.names & store.names)
        _say(f"{options.source}: {total} clips, to {store.folder}")
        for line in ready.about:
            _say(line)
        if done:
            _say(f"{done} are in the store already and not done again")
        if strangers := len(store.names) - done:
            _say(f"{strangers} clips in the store are not in {options.source} now; they stay")
        view = ExtractionView(console, total, done)

        def progress(done: int, of: int) -> None:
            view.on_done("", "")
            view.draw()

        with Interrupt() as interrupt, view:
            through = ready.fill(store, progress=progress, stop=interrupt)
    _say(f"{_summary(store)}, {span(time.monotonic() - began)}")
    if not through:
        _say("stopped; the clips in the store are kept, and the same command goes on")
        return 143 if interrupt.signal == signal.SIGTERM else 130
    return 0


def _read(source: Path, split_name: str | None) -> ReadyFeatures:
    """Whichever of the known kinds the source is."""
    if split_name == "":
        raise ConfigError("split-name must be at least one character; leave it out to call the split `split`")
    if not os.path.isdir(source):
        if not os.path.exists(source):
            raise DataError(f"{source}: there is no such file or folder; {_EXPECTED}")
        if source.suffix.lower() == ".npz":
            return read_sequences(source, split_name)
        if source.suffix.lower() in SUFFIXES:
            raise DataError(f"{source} is a video; `nprnn features` makes features of a folder of videos")
        raise DataError(f"{source} is no .npz file; {_EXPECTED}")
    if (source / FACTS).exists():
        raise DataError(f"{source} is a feature store already: nprnn train ucf101 --store {source}")
    if not (source / INDEX).exists():
        if any(path.suffix.lower() in SUFFIXES for pattern in ("*", "*/*") for path in source.glob(pattern)):
            raise DataError(f"{source} holds videos; `nprnn features` makes features of them")
        raise DataError(f"{source} has no {INDEX}; {_EXPECTED}")
    columns = _columns(source / INDEX)
    if columns & {"file", "path"} and not columns & {"clip", "row"}:
        raise DataError(
            f"{source / INDEX} lists files, not rows of .npz files: `nprnn features` takes a folder of videos, `nprnn "
            f"train sequences --data` one of CSV files; here {_EXPECTED}"
        )
    if split_name is not None:
        raise ConfigError(f"split-name is for a .npz of sequences; {source / INDEX} names its splits itself")
    return read_ucf101(source)


def _columns(index: Path) -> set[str]:
    """The columns of an index; none where it cannot be read, of which its reader will tell."""
    try:
        with index.open(encoding="utf-8-sig", newline="") as file:
            return {column.strip().lower() for column in next(csv.reader([file.readline(1 << 16)]), [])}
    except (OSError, ValueError, csv.Error):
        return set()


def _summary(store: FeatureStore) -> str:
    """A store in words: its clips, classes, features, groups and splits."""
    rows = store.rows
    groups = {row.group for row in rows if row.group is not None}
    told = [
        f"{len(rows)} clips of {len({row.label for row in rows})} classes in {store.folder}",
        f"{store.width} features a step",
        f"{len(groups)} groups" if groups else "no groups",
    ]
    for split in sorted({split for row in rows for split in row.splits}):
        counts = Counter(row.splits.get(split) for row in rows)
        told.append(f"split {split}: " + " ".join(f"{side} {counts[side]}" for side in SIDES if counts[side]))
    return ", ".join(told if any(row.splits for row in rows) else [*told, "no split"])


def _say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
