"""Small valid files of every kind that is fuzzed, to begin with: bundles, and whole files where bytes matter."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from bundles import bundle

from nprnn.bench import make_record
from nprnn.experiments.comparison.record import ComparisonRecord, Trained, Trial
from nprnn.experiments.record import Judged, Record
from nprnn.feature_store import ClipRow, FeatureStore
from nprnn.feature_store.clips import checksum
from nprnn.tasks import Addition
from nprnn.tasks.idx import MNIST_MD5
from nprnn.training import TrainConfig, start_run, train


def idx() -> list[bytes]:
    """Every type, raw and gzipped, and a whole set."""
    arrays = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
    files = [
        bytes([0, 0, code, len(shape)])
        + b"".join(n.to_bytes(4, "big") for n in shape)
        + np.arange(np.prod(shape), dtype=kind).tobytes()
        for code, kind in arrays.items()
        for shape in ((2,), (2, 1, 2))
    ]
    images, labels = files[1], b"\0\0\x08\x01\0\0\0\x02\0\x01"
    whole = dict(zip(MNIST_MD5, (images, labels, images, labels), strict=True))
    packed = [gzip.compress(content, mtime=0) for content in files[:4]]
    return [*files, *packed, labels, bundle(whole)]


def npz() -> list[bytes]:
    """Every layout, as bundles of arrays and as files of NumPy's."""
    x, flat = np.arange(24, dtype=np.float32).reshape(4, 3, 2), np.arange(12, dtype=np.float32).reshape(6, 2)
    split = ["train", "train", "test", "test"]
    tables: list[dict[str, Any]] = [
        {"x": x, "y": [0, 1, 0, 1], "split": split, "group": [1, 2, 3, 4], "class_names": ["a", "b"]},
        {"x": x, "y": ["b", "a", "b", "a"], "name": ["p", "q", "r", "s"], "split": np.array(split, "S5")},
        {"x": x.astype(">f8"), "y": np.asfortranarray(x[..., 0])},
        {"x": flat, "lengths": [1, 2, 1, 2], "y": [0.5, 1.0, 1.5, 2.0], "group": ["g", "h", "i", "j"]},
        {"x": np.arange(20.0), "y": np.arange(20.0)},
        {"q": x.astype(np.uint8)[:2], "name": ["c0", "c1"], "xmax": 2.0, "levels": 200},
    ]
    found = []
    for table in tables:
        found.append(bundle({name: _npy(array) for name, array in table.items()}))
        for save in (np.savez, np.savez_compressed):
            content = io.BytesIO()
            save(content, **table)
            found.append(content.getvalue())
    return found


def csv() -> list[bytes]:
    """A sequence, and folders of them."""
    return [
        b"1,2\n3,4\n",
        "\ufefftime,speed\r\n0, -1.5\r\n1,2e-3\r\n".encode(),
        b'"1","2"\n"3","4"\n',
        bundle({"index.csv": b"file,label,split,group\na.csv,0,train,1\nb.csv,1,test,2", "a.csv": b"1,2\n3,4"}),
        bundle({"index.csv": b"file,label\na.csv,walk\nb.csv,run"}),
        bundle({"index.csv": b"label,file\n0.5,a.csv\n1.5,b.csv", "b.csv": b"5,6\n7,8\n9,10"}),
    ]


def index() -> list[bytes]:
    """Indices, class lists, split lists and remarks."""
    videos = ("Archery/v_Archery_g01_c01.avi", "Bowling/v_Bowling_g02_c01.avi")
    lists = {
        "classInd.txt": b"1 Archery\r\n2 Bowling\r\n",
        "trainlist01.txt": f"{videos[0]} 1\n".encode(),
        "testlist01.txt": f"{videos[1]}\n".encode(),
    }
    return [
        f"path,label,group,split01\n{videos[0]},Archery,g01,train\n{videos[1]},Bowling,,test\n".encode(),
        f'file,class,split\n"{videos[0]}","a, b",train\n'.encode(),
        b"class,clip,row,group,split01,split02\na,c0,0,1,train,test\na,c1,1,2,test,\n",
        bundle(lists),
        bundle({"remarks.csv": b"name,what,remark\na,kept,said\n"}),
    ]


def config() -> list[bytes]:
    """A trained run, sweeps, every experiment of the package, a store, a measurement."""
    found = []
    with TemporaryDirectory() as place:
        task = Addition(length=4, train_size=8, valid_size=4, test_size=4)
        settings = TrainConfig(hidden=2, batch=2, updates=2, eval_every=1)
        run = start_run("addition", task, settings, data := task.load(0), Path(place))
        train(settings, data, run)
        files = {path.name: path.read_bytes() for path in run.folder.iterdir() if path.is_file()}
        texts = {name: files[name] for name in ("config.json", "env.json", "metrics.jsonl")}
        tensors = {name: list(t.shape) for name, t in run.read_checkpoint("checkpoint.safetensors").tensors.items()}
        told = json.dumps({"tensors": tensors, "update": 2, "extra": {}}).encode()
        found += [
            texts["config.json"],
            bundle(texts),
            bundle({"config.json": texts["config.json"], "checkpoint.json": told}),
            bundle({"config.json": texts["config.json"], "diverged.json": b'{"update": 1}'}),
            bundle({"checkpoint.safetensors": files["checkpoint.safetensors"]}),
        ]
        store = FeatureStore.create(Path(place) / "store", {"source": "made up"}, 2)
        store.append(ClipRow("c", "a", 1, {"01": "train"}, 3), np.ones((3, 2), np.float32))
        clip = next((store.folder / "clips").glob("*.safetensors")).read_bytes()
        found.append(bundle({"store.json": (store.folder / "store.json").read_bytes(), "clip.safetensors": clip}))
        facts = {"format": 1, "width": 2, "provenance": {"source": "made up"}}
        row = {"row": store.rows[0]._asdict(), "features": checksum(np.zeros((3, 2), np.float16)), "shape": [3, 2]}
        found.append(bundle({"facts.json": json.dumps(facts).encode(), "clip.json": json.dumps(row).encode()}))
    small = b'task = "addition"\nseeds = [0, 1]\n[settings]\nlength = 9\ncool_at = []\n[grid]\nlr = [0.1, 1e-3]\n'
    listed = (
        b'task = "mnist"\npreset = "quick"\nseeds = 2\n[[list]]\nmodel = "LSTM"\n[[list]]\nmodel = "IRNN"\nclip = 0.5\n'
    )
    found += [bundle({"sweep.toml": text}) for text in (small, listed)]
    for file in sorted(resources.files("nprnn.experiments").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            found.append(bundle({"experiment.toml": file.read_bytes()}))
    found += [bundle({"record.json": content}) for content in _records()]
    found.append(bundle({"measurement.json": json.dumps(make_record("bench", ["bench"], 1)).encode()}))
    found.append(bundle({"sweep.json": b'{"format": 1, "task": "addition", "members": [], "sessions": []}'}))
    return found


def _records() -> list[bytes]:
    run = Trained("a", 1, 0, "a-12345678", "0" * 16, "finished", 2, 0, [[1, 0.5, 0.25], [2, 0.5, 0.125]])
    trial = Trial({"lr": 0.1}, run)
    comparison = ComparisonRecord("k", "text", "quick", ["nprnn"], {}, columns=["test mse"], runs=[run], trials=[trial])
    judged = Judged("arm", "", "IRNN", {"lr": 0.1}, 0, "finished", "run", "101", 0.5)
    selection = Record("k", "text", "quick", ["nprnn"], {}, runs=[judged])
    found = []
    for record in (comparison, selection):
        with TemporaryDirectory() as place:
            found.append(record.write(Path(place)).read_bytes())
    return found


def _npy(array: Any) -> bytes:
    content = io.BytesIO()
    np.save(content, np.asarray(array), allow_pickle=False)
    return content.getvalue()


SEEDS: Mapping[str, Callable[[], list[bytes]]] = {"idx": idx, "npz": npz, "csv": csv, "index": index, "config": config}
"""By reader."""
