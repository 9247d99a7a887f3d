"""The commands that are harmed, each on inputs that take no time: what they are given and what must come of it."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faulty import Nursery
from nprnn.feature_store import FeatureStore
from nprnn.runs import Run
from nprnn.runs.run import BEST, LAST
from test_predict_video import backbone, some_clips
from test_tasks import write_images
from test_video import BACKBONES, STATED, video

SMALL = "--hidden 6 --batch 4 --updates 24 --eval-every 6 --threads 1"
MADE = f"addition --length 6 --train-size 40 --valid-size 20 --test-size 20 {SMALL}"
SWEEP = """task = "addition"
[settings]
length = 6
train_size = 40
valid_size = 20
test_size = 20
hidden = 6
batch = 4
updates = 24
eval_every = 6
[grid]
lr = [0.01, 0.003]
"""
EXPERIMENT = """kind = "comparison"
title = "Tiny"
names = ["tiny"]
task = "addition"
axis = "length"
metric = "within_0.04"
of = 20
counted = "sequences of 20"
differs = ["made up"]
[settings]
train_size = 40
valid_size = 20
test_size = 20
hidden = 6
batch = 2
lr = 0.01
cool_at = []
updates = 24
eval_every = 6
[[series]]
name = "np-RNN"
[[scales.paper]]
at = [5, 7]
seeds = [0]
[paper]
source = "nowhere"
tolerance = 10
at = [5, 7]
[paper.bars]
np-RNN = [50, 40]
"""
AGAIN = "reproduce tiny.toml --workers 1 --out out --runs runs --kept kept"
MEANS = f"features videos --out out --backbone backbones:means --frames 2 --workers 1 {' '.join(STATED)}"
FEATURES = f"features videos --out OUT --backbone net.onnx --frames 6 --batch 5 --workers 1 {' '.join(STATED)}"
TRAIN_CLIPS = f"train ucf101 --store store --split split --validation given --pca 3 {SMALL} --out out"
Answers = dict[str, Any]


def equal(a: Any, b: Any) -> bool:
    return bool(a == b)


def near(a: Any, b: Any) -> bool:
    """Equal but for rounding: a member that goes on with fewer others is computed in other products."""
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-5)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(near(value, b[key]) for key, value in a.items())
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(near, a, b))
    return bool(a == b)


@dataclass(frozen=True)
class Scene:
    """A command, its inputs, and what it is to leave.

    Attributes:
        name: of the scene; its first word is the command.
        words: after ``nprnn``, with paths relative to the folder.
        prepare: makes the inputs in a folder.
        answers: reads what must be the same whatever happened, of a folder where the command has ended well.
        unchecked: names of inputs of the user's in which nothing tells that a byte is another one.
        pivot: end of the name of the file at whose writing a half-done folder is left; "" if it does not go on.
        every: updates between two checkpoints of the runs that it leaves; 0 if it leaves none.
        same: whether answers are the right ones.
        elsewhere: beginnings of the names of files that another scene harms in the same way.
    """

    name: str
    words: str
    prepare: Callable[[Path, Nursery], None]
    answers: Callable[[Path], Answers]
    unchecked: tuple[str, ...] = ()
    pivot: str = ""
    every: int = 0
    elsewhere: tuple[str, ...] = ()
    same: Callable[[Any, Any], bool] = equal

    @property
    def command(self) -> str:
        return self.name.split()[0]


def done(nursery: Nursery, words: str, folder: Path) -> None:
    """A command that prepares others."""
    outcome = nursery.run(words.split(), folder)
    if outcome.status != 0:
        raise RuntimeError(f"nprnn {words} ended with {outcome.status}: {outcome.told}")


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def runs_of(folder: Path, weights: bool = True) -> Answers:
    """Records without speeds, and the weights bit for bit, of all runs below a folder."""
    found: Answers = {}
    for config in sorted(folder.rglob("config.json")):
        run = Run.open(config.parent)
        records = [{k: v for k, v in record.items() if k != "updates_per_second"} for record in run.records()]
        kept = {name: digest((run.folder / name).read_bytes()) for name in (LAST, BEST)} if weights else {}
        found[str(config.parent.relative_to(folder))] = (records, kept)
    if not found:
        raise AssertionError(f"no run in {folder}")
    return found


def updates_of(folder: Path) -> dict[str, int]:
    """How far each run's newest readable checkpoint is."""
    return {str(c.parent.relative_to(folder)): Run.open(c.parent).progress() for c in folder.rglob("config.json")}


def store_of(folder: Path) -> Answers:
    """Every clip's features."""
    store = FeatureStore.open(folder)
    return {row.name: (row.label, digest(store.features(k).tobytes())) for k, row in enumerate(store.rows)}


def splits_of(folder: Path) -> Answers:
    """To which side of each split every clip belongs."""
    return {row.name: row.splits for row in FeatureStore.open(folder).rows}


def files_of(folder: Path) -> Answers:
    """The bytes of an export, whose record alone says when and where it was made."""
    record = json.loads((folder / "export.json").read_text())
    return {"files": sorted(record["files"])} | {
        name: digest((folder / name).read_bytes()) for name in sorted(record["files"])
    }


def without(value: Any, *names: str) -> Any:
    """JSON without the values of some names, wherever they are."""
    if isinstance(value, dict):
        return {key: without(child, *names) for key, child in value.items() if key not in names}
    return [without(child, *names) for child in value] if isinstance(value, list) else value


def json_of(path: Path, *names: str) -> Answers:
    return dict(without(json.loads(path.read_text()), "env", *names))


def nothing(folder: Path, nursery: Nursery) -> None:
    """No inputs."""


def arrays(folder: Path, nursery: Nursery) -> None:
    g = np.random.default_rng(0)
    x = g.normal(size=(24, 5, 2)).astype(np.float32)
    np.savez(folder / "data.npz", x=x, y=np.arange(24) % 2)


def tables(folder: Path, nursery: Nursery) -> None:
    """A folder of CSV files with an index."""
    g = np.random.default_rng(0)
    (folder / "data").mkdir()
    lines = ["file,label"]
    for k in range(12):
        steps = g.normal(k % 2, 0.1, (int(g.integers(4, 9)), 2))
        np.savetxt(folder / "data" / f"{k}.csv", steps, delimiter=",", header="left,right", comments="", fmt="%.4f")
        lines.append(f"{k}.csv,{('quiet', 'loud')[k % 2]}")
    (folder / "data" / "index.csv").write_text("\n".join(lines) + "\n")


def images(folder: Path, nursery: Nursery) -> None:
    write_images(folder / "idx")


def settings(folder: Path, nursery: Nursery) -> None:
    (folder / "sweep.toml").write_text(SWEEP)


def experiment(folder: Path, nursery: Nursery) -> None:
    (folder / "tiny.toml").write_text(EXPERIMENT)


def videos(folder: Path, nursery: Nursery) -> None:
    (folder / "backbones.py").write_text(BACKBONES)
    for label in ("Archery", "Biking"):
        for k in (1, 2):
            video(folder / "videos" / label / f"v_{label}_g0{k}_c01.avi", 3 + k, first=20 * k)


def trained(folder: Path, nursery: Nursery) -> None:
    """A run under a name that does not depend on its settings' hash."""
    tables(folder, nursery)
    done(nursery, f"train sequences --data data {SMALL} --out runs", folder)
    (run,) = [path.parent for path in (folder / "runs").glob("*/config.json")]
    (folder / "new").mkdir()
    for name in ("1.csv", "2.csv"):
        shutil.copy(folder / "data" / name, folder / "new")
    (folder / "new" / "index.csv").write_text("file\n1.csv\n2.csv\n")
    np.savez(folder / "new.npz", x=np.ones((3, 4, 2), np.float32))
    (folder / "words").write_text(str(run.relative_to(folder)))


def diverging(folder: Path, nursery: Nursery) -> None:
    (folder / "sweep.toml").write_text(SWEEP.replace("0.003", "1e30").replace("[grid]", "clip = 0.0\n[grid]"))


def kept(folder: Path, nursery: Nursery) -> None:
    """What a clone has of an experiment that was stopped half way."""
    experiment(folder, nursery)
    for length in (5, 7):
        words = MADE.replace("length 6", f"length {length}").replace("batch 4", "batch 2")
        done(nursery, f"train {words} --preset none --lr 0.01 --cool-at --stop-after 12 --out runs", folder)
    done(nursery, f"{AGAIN} --collect", folder)
    shutil.rmtree(folder / "runs")


def split_videos(folder: Path, nursery: Nursery) -> None:
    """Videos with UCF-101's own lists."""
    videos(folder, nursery)
    (folder / "lists").mkdir()
    (folder / "lists" / "classInd.txt").write_text("1 Archery\n2 Biking\n")
    names = [f"{label}/v_{label}_g0{k}_c01.avi" for k in (1, 2) for label in ("Archery", "Biking")]
    for n in (1, 2, 3):
        (folder / "lists" / f"trainlist0{n}.txt").write_text(f"{names[0]} 1\n{names[1]} 2\n")
        (folder / "lists" / f"testlist0{n}.txt").write_text(f"{names[2]}\n{names[3]}\n")


def clips(folder: Path, nursery: Nursery) -> None:
    """Videos with an index, and a backbone in a file."""
    some_clips(folder / "videos")
    backbone(folder / "net.onnx")


def clip_store(folder: Path, nursery: Nursery) -> None:
    clips(folder, nursery)
    done(nursery, FEATURES.replace("OUT", "store"), folder)


def video_run(folder: Path, nursery: Nursery) -> None:
    """A run on clips, by whose backbone another video is answered."""
    clip_store(folder, nursery)
    done(nursery, TRAIN_CLIPS.replace("--out out", "--out runs"), folder)
    (run,) = [path.parent for path in (folder / "runs").glob("*/config.json")]
    (folder / "words").write_text(str(run.relative_to(folder)))


def answered(folder: Path) -> Answers:
    """What was answered for each video, without times."""
    return {path.name: json_of(path, "path", "seconds", "started") for path in sorted((folder / "out").rglob("*.json"))}


def predictions(folder: Path) -> Answers:
    with (folder / "out.csv").open() as file:
        return {str(k): row for k, row in enumerate(csv.DictReader(file))}


TABLES = ("data/index.csv", "new/index.csv", *(f"data/{k}.csv" for k in range(12)), "new/1.csv", "new/2.csv")
SCENES = (
    Scene("train addition", f"train {MADE} --out out", nothing, lambda f: runs_of(f / "out"), (), LAST, 6),
    Scene(
        "train sequences (npz)",
        f"train sequences --data data.npz {SMALL} --out out",
        arrays,
        lambda f: runs_of(f / "out"),
        (),
        LAST,
        6,
        ("out/",),
    ),
    Scene(
        "train sequences (csv)",
        f"train sequences --data data {SMALL} --out out",
        tables,
        lambda f: runs_of(f / "out"),
        TABLES,
        LAST,
        6,
        ("out/",),
    ),
    Scene(
        "train mnist",
        f"train mnist --data-dir idx --any-idx --valid-size 6 {SMALL} --out out",
        images,
        lambda f: runs_of(f / "out"),
        ("idx/train-images-idx3-ubyte", "idx/t10k-images-idx3-ubyte"),
        LAST,
        6,
        ("out/",),
    ),
    Scene(
        "sweep",
        "sweep sweep.toml --workers 1 --out out",
        settings,
        lambda f: runs_of(f / "out", weights=False),
        ("sweep.toml",),
        LAST,
        6,
        same=near,
    ),
    Scene(
        "reproduce",
        AGAIN,
        experiment,
        lambda f: json_of(f / "out" / "record.json", "envs"),
        ("tiny.toml",),
        LAST,
        6,
        "runs/RUN",
        near,
    ),
    Scene(
        "sweep (a member diverges)",
        "sweep sweep.toml --workers 1 --out out",
        diverging,
        lambda f: runs_of(f / "out", weights=False),
        ("sweep.toml",),
        LAST,
        6,
        (
            "out/sweep",
            "sweep.toml",
            *(f"out/RUN/{name}" for name in (".lock", "best", "check", "conf", "curve", "env", "metr")),
        ),
        near,
    ),
    Scene(
        "reproduce (from what was kept)",
        AGAIN,
        kept,
        lambda f: json_of(f / "out" / "record.json", "envs"),
        ("tiny.toml",),
        LAST,
        6,
        ("out/", "runs/", "tiny.toml"),
        near,
    ),
    Scene("train ucf101", TRAIN_CLIPS, clip_store, lambda f: runs_of(f / "out"), (), LAST, 6, ("out/",)),
    Scene(
        "features",
        MEANS,
        videos,
        lambda f: store_of(f / "out"),
        ("backbones.py",),
        ".safetensors",
    ),
    Scene(
        "features (index, ONNX)",
        FEATURES.replace("OUT", "out"),
        clips,
        lambda f: store_of(f / "out"),
        ("videos/index.csv", "net.onnx"),
        elsewhere=("out/", "videos/CLIP"),
    ),
    Scene(
        "features (lists)",
        f"{MEANS} --splits lists",
        split_videos,
        lambda f: {"features": store_of(f / "out"), "splits": splits_of(f / "out")},
        (*(f"lists/{kind}list0{n}.txt" for kind in ("train", "test") for n in (1, 2, 3)), "lists/classInd.txt"),
        elsewhere=("out/", "videos/", "backbones.py"),
    ),
    Scene("import", "import data.npz --out out", arrays, lambda f: store_of(f / "out"), (), ".safetensors"),
    Scene("export (C)", "export RUN --format c --out out", trained, lambda f: files_of(f / "out"), TABLES),
    Scene("export (torch)", "export RUN --format torch --out out", trained, lambda f: files_of(f / "out"), TABLES),
    Scene("export (ONNX)", "export RUN --format onnx --out out", trained, lambda f: files_of(f / "out"), TABLES),
    Scene("predict", "predict RUN new --out out.csv", trained, predictions, TABLES),
    Scene("predict (npz)", "predict RUN new.npz --out out.csv", trained, predictions, TABLES),
    Scene("predict (videos)", "predict RUN videos/run --out out --workers 1", video_run, answered, ("net.onnx",)),
    Scene("eval", "eval RUN", trained, lambda f: json_of(next(f.glob("runs/*/eval.json"))), TABLES),
    Scene(
        "report",
        "report runs --out report.html --json report.json",
        trained,
        lambda f: {"page": (f / "report.html").exists(), **json_of(f / "report.json", "started", "speed")},
        # It tells of the machine, and nothing is computed from it.
        ("runs/RUN/env.json",),
    ),
)
