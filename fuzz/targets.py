"""What is fuzzed: bytes as files, through the readers that the commands use. Only ``nprnn.errors`` may come out.

No target needs the fuzzer: ``tests/test_fuzz_corpus.py`` puts the kept inputs through them.
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import recipes
from bundles import unbundle

from nprnn.bench.records import read_record as read_measurement
from nprnn.errors import NprnnError
from nprnn.experiments.catalogue import find_experiment
from nprnn.experiments.comparison.record import read_comparison_record
from nprnn.experiments.record import read_record
from nprnn.feature_store import FeatureStore
from nprnn.feature_store.clips import file_name
from nprnn.reporting.members import find_runs, read_members
from nprnn.runs import Run
from nprnn.sweep import expand, read_sweep
from nprnn.sweep.account import read_account
from nprnn.tasks.idx import MNIST_MD5, load_idx_set, read_idx
from nprnn.tasks.sequence_files import read_inputs
from nprnn.tasks.sequence_import import read_sequences
from nprnn.tasks.sequence_npz import KEYS
from nprnn.tasks.sequences import Sequences
from nprnn.tasks.ucf101_import import read_ucf101
from nprnn.training.sessions import load_trained
from nprnn.video.layout import find_clips
from nprnn.video.remarks import Remarks
from nprnn.video.splits import Lists

_TRAIN, _TRAIN_LABELS, _TEST, _TEST_LABELS = MNIST_MD5
_IMAGES = b"\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x02\x01\x02\x03\x04"
_LABELS = b"\0\0\x08\x01\0\0\0\x02\0\x01"
_IDX = {_TRAIN: _IMAGES, _TRAIN_LABELS: _LABELS, _TEST: _IMAGES, _TEST_LABELS: _LABELS}
_QUANTISED = ("q", "xmax", "levels")


def idx(data: bytes, folder: Path) -> None:
    """IDX: one file alone, and as each of the four files of a set whose others are good."""
    files = unbundle(data, [*_IDX, "file"], "file")
    _write(folder, {**_IDX, **files})
    if "file" in files:
        with _refusing():
            read_idx(folder / "file")
        for name in _IDX:
            _write(folder, {**_IDX, name: files["file"]})
            with _refusing():
                load_idx_set(folder, any_idx=True)
    else:
        with _refusing():
            load_idx_set(folder, any_idx=True)


def npz(data: bytes, folder: Path) -> None:
    """.npz: whole, or put together of the arrays of a bundle, whose checksums are then right."""
    if data.startswith(b"%% "):
        files = unbundle(data, [*KEYS, *_QUANTISED], "x")
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name, array in files.items():
                archive.writestr(zipfile.ZipInfo(f"{name}.npy"), array)
        data = content.getvalue()
    path = folder / "a.npz"
    path.write_bytes(data)
    with _refusing():
        read_inputs(path)
    with _refusing():
        read_inputs(path, recording=True)
    for task in (Sequences(path, valid_fraction=0.0), Sequences(path, window=2, targets="numbers")):
        with _refusing():
            task.load(0)
    with _refusing():
        _import(read_sequences(path))
    (folder / "index.csv").write_bytes(b"class,clip,row,group,split01\na,c0,0,1,train\na,c1,1,2,test\n")
    with _refusing():
        _import(read_ucf101(folder))


def csv(data: bytes, folder: Path) -> None:
    """CSV: one sequence, or a folder of them with its index."""
    files = unbundle(data, ["index.csv", "a.csv", "b.csv"], "a.csv")
    if "index.csv" not in files:
        files["index.csv"] = b"file,label\na.csv,0\nb.csv,1\n"
    _write(folder, {"a.csv": b"1,2\n3,4\n", "b.csv": b"5,6\n", **files})
    for path in (folder, folder / "a.csv"):
        with _refusing():
            read_inputs(path)
    for targets in ("auto", "classes"):
        with _refusing():
            Sequences(folder, valid_fraction=0.0, targets=targets).load(0)


def index(data: bytes, folder: Path) -> None:
    """Indices of videos and of ready features, UCF-101's class and split lists, remarks on clips."""
    names = ("index.csv", "classInd.txt", "trainlist01.txt", "testlist01.txt", "remarks.csv")
    files = unbundle(data, names, "index.csv")
    for name in ("Archery/v_Archery_g01_c01.avi", "Bowling/v_Bowling_g02_c01.avi"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    _write(folder, files)
    with _refusing():
        find_clips(folder)
    if "index.csv" in files:
        with _refusing():
            len(read_ucf101(folder).names)
    if "remarks.csv" in files:
        with _refusing():
            Remarks(folder, ["a"]).add("a", "kept", "more")
    if files.keys() - {"index.csv"}:
        with _refusing():
            Lists.read(folder).sides("Archery/v_Archery_g01_c01.avi")
        (folder / "index.csv").unlink(missing_ok=True)
        with _refusing():
            find_clips(folder, folder)


def config(data: bytes, folder: Path) -> None:
    """Run folders with their checkpoints, sweep files, experiments and their records, feature stores, measurements.

    Those with checksums may be told in JSON (``recipes.py``): ``checkpoint.json``, ``facts.json`` and ``clip.json``.
    """
    told = ("checkpoint.json", "facts.json", "clip.json")
    files = unbundle(data, [*_READ, *told, "env.json", "metrics.jsonl", "diverged.json"], "config.json")
    clip = file_name("c")
    if "checkpoint.json" in files:
        files["checkpoint.safetensors"] = recipes.checkpoint(files.pop("checkpoint.json"))
    if "facts.json" in files:
        files["store.json"] = recipes.store(files.pop("facts.json"))
    if "clip.json" in files:
        clip, files["clip.safetensors"] = recipes.clip(files.pop("clip.json"))
    for name, content in files.items():
        path = folder / "clips" / clip if name == "clip.safetensors" else folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    for name in files:
        if name in _READ:
            _READ[name](folder)


def _run(folder: Path) -> None:
    with _refusing():
        load_trained(folder)
    with _refusing():
        Run.open(folder).progress()
    with _refusing():
        read_members(find_runs([folder]))
    with _refusing():
        run = Run.open(folder)
        run.env(), run.diverged(), run.in_use(), run.resume()


def _checkpoint_alone(folder: Path) -> None:
    with _refusing():
        Run(folder, {}).resume()


def _sweep(folder: Path) -> None:
    with _refusing():
        expand(read_sweep(folder / "sweep.toml"), most=64)


def _experiment(folder: Path) -> None:
    with _refusing():
        find_experiment(str(folder / "experiment.toml"))


def _record(folder: Path) -> None:
    for read in (read_record, read_comparison_record):
        with _refusing():
            read(folder)


def _store(folder: Path) -> None:
    with _refusing():
        store = FeatureStore.open(folder)
        for k in range(len(store.rows)):
            store.features(k)


def _measurement(folder: Path) -> None:
    with _refusing():
        read_measurement(folder / "measurement.json")


_READ: Mapping[str, Callable[[Path], object]] = {
    "config.json": _run,
    "checkpoint.safetensors": _checkpoint_alone,
    "sweep.toml": _sweep,
    "experiment.toml": _experiment,
    "record.json": _record,
    "store.json": _store,
    "clip.safetensors": _store,
    "measurement.json": _measurement,
    "sweep.json": read_account,
}
TARGETS: Mapping[str, Callable[[bytes, Path], None]] = {
    "idx": idx,
    "npz": npz,
    "csv": csv,
    "index": index,
    "config": config,
}
"""By reader; each takes an input and an empty folder."""


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Errors of the project are what broken files must give, told in text that can be printed."""
    try:
        yield
    except NprnnError as error:
        str(error).encode()


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _import(ready: object) -> None:
    for part in ready.parts:
        clips = part.open()
        for k in range(len(clips.rows)):
            clips.features(k)
