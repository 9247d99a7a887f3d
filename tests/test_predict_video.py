"""From a video file to an answer: the very one that the task gives, a picture of it, and every trouble on the way."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nprnn.cli import main
from nprnn.cli.prediction_folder import PredictionFolder
from nprnn.errors import DataError
from nprnn.feature_store import ClipRow, FeatureStore, recall_origin
from nprnn.reporting import ClipScores, clip_picture, clip_timeline, frames_to_show, scores_over_time
from nprnn.reporting.clip_timeline import in_words
from nprnn.reporting.sheet import apart
from nprnn.runs import BEST, LAST, Run
from nprnn.tasks.ucf101 import Ucf101
from nprnn.tasks.ucf101_feeding import Recipe
from nprnn.training import TrainConfig, load_data, load_trained, predict, start_run, train
from nprnn.video import Making, Picking, new_videos, thumbnails
from nprnn.video.clock import Clock, Moment
from nprnn.video.decode import Video
from test_cli import QUICK, run_main, said
from test_video import BACKBONES, STATED, audio_only, camera_video, video

av = pytest.importorskip("av")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

WIDTH = 6
CLASSES = ("fall", "jump", "run")
CONFIG = TrainConfig(model="np-RNN", hidden=8, batch=4, updates=12, eval_every=6, lr=0.05)


def backbone(path: Path, seed: int = 0) -> Path:
    """A network in a file: the means of the channels, times a matrix, as [N, F]."""
    weight = np.random.default_rng(seed).normal(size=(3, WIDTH)).astype(np.float32) / 50
    helper = onnx.helper
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["features"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", 1, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("features", 1, ["N", WIDTH])],
        [onnx.numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def some_clips(folder: Path) -> Path:
    """Clips of three classes and four sources each, of five to eight frames, and an index of them."""
    lines = ["path,label,group,split"]
    for k, label in enumerate(CLASSES):
        for source in range(4):
            name = f"{label}/{source}.avi"
            video(folder / name, 5 + (k + source) % 4, first=70 * k + 9 * source)
            side = ("train", "train", "valid", "test")[source]
            lines.append(f"{name},{label},{4 * k + source},{side}")
    (folder / "index.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos, a backbone and a store made with it."""
    folder = tmp_path_factory.mktemp("place")
    some_clips(folder / "videos")
    backbone(folder / "net.onnx")
    words = ["features", str(folder / "videos"), "--out", str(folder / "store"), *STATED, "--workers", "1"]
    assert main([*words, "--backbone", str(folder / "net.onnx"), "--frames", "6", "--batch", "5"]) == 0
    return folder


@pytest.fixture
def own(place: Path, tmp_path: Path) -> Path:
    """A copy of it, to move and to spoil."""
    shutil.copytree(place, tmp_path / "own")
    made = recall_origin(place / "store")
    (tmp_path / "own" / "store" / "origin.json").write_text(
        json.dumps({**made, "backbone": str(tmp_path / "own" / "net.onnx")})
    )
    return tmp_path / "own"


def trained_on(store: Path, runs: Path, loss_at: Any = "auto", **settings: Any) -> Path:
    task = Ucf101(store=store, split="split", validation="given", **settings)
    config = TrainConfig(**{**CONFIG.__dict__, "loss_at": loss_at})
    data = task.load(0)
    run = start_run("ucf101", task, config, data, runs)
    train(config, data, run)
    return run.folder


def record_of(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return found


def png_size(content: bytes) -> tuple[int, int]:
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


# ---- the very answers of the task


@pytest.mark.parametrize(
    ("settings", "loss_at"),
    [
        ({}, "last"),
        ({"scaling": "l2"}, "mean"),
        ({"scaling": "standardise"}, "each"),
        ({"pca": 3}, "last"),
        ({"pca": 2, "scaling": "l2"}, "mean"),
        ({"pca": 4, "scaling": "standardise"}, "last"),
    ],
)
def test_a_video_gets_the_outputs_that_the_task_gives_for_its_clip(
    place: Path, tmp_path: Path, settings: dict[str, Any], loss_at: str
) -> None:
    folder = trained_on(place / "store", tmp_path / "runs", loss_at, **settings)
    out = tmp_path / "out"
    words = ["predict", str(folder), str(place / "videos"), "--out", str(out), "--no-pictures", "--workers", "1"]
    assert main(words) == 0
    trained = load_trained(folder, LAST)
    data = load_data(trained.run)
    at = "last" if loss_at == "each" else loss_at
    assert trained.at == at
    compared = 0
    for side in (data.train, data.valid, data.test):
        assert side is not None
        everyone, _ = predict(trained.model, side, trained.at, steps_have_targets=False)
        for k, name in enumerate(side.names):  # type: ignore[attr-defined]
            batch = side.batch(torch.tensor([k]))
            with torch.no_grad():
                alone = trained.model(batch.x, batch.lengths, at=trained.at)[0]
            found = record_of(out, name)
            assert found["outputs"] == alone.tolist()
            np.testing.assert_allclose(found["outputs"], everyone[k], rtol=1e-5, atol=1e-6)
            assert found["judged_at"] == at
            np.testing.assert_allclose(
                found["probabilities_after_each_frame"][-1], torch.softmax(alone.double(), -1), atol=1e-6
            )
            compared += 1
    assert compared == 12


def test_what_comes_before_the_end_is_what_a_shorter_clip_gives(place: Path, tmp_path: Path) -> None:
    model = load_trained(trained_on(place / "store", tmp_path, "mean")).model
    x = torch.randn(7, WIDTH, generator=torch.Generator().manual_seed(0))
    for at in ("last", "mean"):
        _, over_time = scores_over_time(model, x, at)  # type: ignore[arg-type]
        for steps in range(1, 8):
            outputs, _ = scores_over_time(model, x[:steps], at)  # type: ignore[arg-type]
            torch.testing.assert_close(over_time[steps - 1], outputs)


# ---- what is told and written


def test_nothing_but_the_run_and_the_video_is_needed(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trained_on(place / "store", tmp_path / "runs", scaling="l2")
    # The store is not asked: all that is needed was remembered.
    monkeypatch.setattr(FeatureStore, "open", lambda folder: pytest.fail("opened"))
    capsys.readouterr()
    assert main(["predict", str(folder), str(place / "videos" / "jump" / "1.avi"), "--top", "2"]) == 0
    told = said(capsys)
    out = folder / "predictions"
    assert {path.name for path in out.iterdir()} == {"1.avi.json", "1.avi.csv", "1.avi.png"}
    assert f"picture: {out / '1.avi.png'}" in told
    assert "features by net.onnx of 6 frames a video" in told
    found = record_of(out, "1.avi")
    assert f"1.avi {found['answer']}" in told
    assert (found["clip"], found["path"]) == ("1.avi", str(place / "videos" / "jump" / "1.avi"))
    assert found["classes"] == list(CLASSES)
    # Seven frames at 25 a second, of which six are seen.
    assert [frame["frame"] for frame in found["frames"]] == Picking(frames=6).spread(7)
    assert [frame["seconds"] for frame in found["frames"]] == [
        pytest.approx(k / 25) for k in Picking(frames=6).spread(7)
    ]
    shares = torch.softmax(torch.tensor(found["outputs"]).double(), 0)
    assert len(found["top"]) == 2
    assert [entry["probability"] for entry in found["top"]] == sorted(shares.tolist(), reverse=True)[:2]
    assert (found["answer"], found["probability"]) == tuple(found["top"][0].values())
    assert found["answer"] == CLASSES[int(shares.argmax())]
    course = np.array(found["probabilities_after_each_frame"])
    assert course.shape == (6, 3)
    np.testing.assert_allclose(course.sum(1), 1)
    assert (found["model"], found["checkpoint"], found["update"], found["run"]) == ("np-RNN", "last", 12, folder.name)
    store = json.loads((place / "store" / "store.json").read_text())["provenance"]
    assert found["features"] == {**store, "versions_now": store["versions"]}
    assert len(found["features"]["backbone_sha256"]) == 64
    assert found["env"]["kernel"]
    rows = list(csv.DictReader((out / "1.avi.csv").open()))
    assert list(rows[0]) == ["frame", "seconds", *(f"p({name})" for name in CLASSES)]
    np.testing.assert_allclose([[float(row[f"p({name})"]) for name in CLASSES] for row in rows], course, atol=1e-6)
    width, height = png_size((out / "1.avi.png").read_bytes())
    assert 1200 < width < 2000
    assert 600 < height < 1200


def test_a_folder_and_the_best_weights(place: Path, tmp_path: Path) -> None:
    folder = trained_on(place / "store", tmp_path / "runs")
    out = tmp_path / "o"
    words = ["predict", str(folder), str(place / "videos"), str(place / "videos" / "run" / "0.avi")]
    assert main([*words, "--checkpoint", "best", "--out", str(out), "--no-pictures"]) == 0
    rows = list(csv.DictReader((out / "predictions-best.csv").open()))
    # Each once, though one was named twice.
    assert [row["clip"] for row in rows] == sorted(f"{label}/{k}.avi" for label in CLASSES for k in range(4))
    update = load_trained(folder, BEST).update
    for row in rows:
        found = record_of(out, f"{row['clip']}-best")
        assert (found["answer"], found["update"], found["checkpoint"]) == (row["class1"], update, "best")
        assert float(row["probability1"]) == pytest.approx(found["probability"], abs=1e-6)
    assert not list(out.rglob("*.png"))


def test_bad_videos_among_good_ones(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = trained_on(place / "store", tmp_path / "runs")
    mixed = tmp_path / "mixed"
    whole = camera_video(mixed / "cut.avi").read_bytes()
    (mixed / "cut.avi").write_bytes(whole[: len(whole) // 2])
    (mixed / "empty.avi").write_bytes(b"")
    (mixed / "words.mp4").write_text("these are words\n" * 100)
    (mixed / "folder.avi").mkdir()
    audio_only(mixed / "audio.avi")
    video(mixed / "deep" / "[red]good.avi", 5)
    (mixed / "notes.txt").write_text("not a video, and not called one")
    capsys.readouterr()
    assert main(["predict", str(folder), str(mixed), str(tmp_path / "nowhere.avi"), "--no-pictures"]) == 1
    told = said(capsys)
    for words in (
        "left out: empty.avi: it is empty",
        "left out: words.mp4: it cannot be opened: it is no video",
        "left out: folder.avi: it is a folder",
        "left out: audio.avi: it has no pictures",
        "left out: nowhere.avi: there is no such file",
        "kept in part: cut.avi:",
        "5 could not be read and have no answer",
        "deep/[red]good.avi",
    ):
        assert words in told, words
    out = folder / "predictions"
    assert {path.relative_to(out).as_posix() for path in out.rglob("*.json")} == {
        "cut.avi.json",
        "deep/[red]good.avi.json",
    }
    assert "cut short" in record_of(out, "cut.avi")["remark"] or "broken" in record_of(out, "cut.avi")["remark"]
    assert main(["predict", str(folder), str(mixed / "empty.avi"), str(mixed / "words.mp4")]) == 2
    told = said(capsys)
    assert "left out: words.mp4" in told
    assert "none of the videos could be read" in told


def test_stopped_between_two_videos(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trained_on(place / "store", tmp_path / "runs")
    real = PredictionFolder.put

    def then_ctrl_c(*words: Any) -> Any:
        files = real(*words)
        os.kill(os.getpid(), signal.SIGINT)
        return files

    monkeypatch.setattr(PredictionFolder, "put", then_ctrl_c)
    # What runs the tests may ignore Ctrl-C.
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["predict", str(folder), str(place / "videos"), "--no-pictures", "--workers", "1"]) == 130
    finally:
        signal.signal(signal.SIGINT, old)
    assert "stopped after 1 videos; what was answered is kept" in said(capsys)
    assert len(list((folder / "predictions").rglob("*.json"))) == 1


def test_a_folder_that_cannot_be_written_to_costs_the_files_only(
    place: Path, small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trained_on(place / "store", tmp_path / "runs")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    words = ["predict", str(folder), str(place / "videos" / "run"), "--out", str(small_disk / "o"), "--no-pictures"]
    assert main(words) == 2
    told = said(capsys)
    assert "nprnn: error: cannot write" in told
    assert all(f"{k}.avi" in told for k in range(4)), "what could be told was not"


# ---- where things are


def test_a_backbone_that_was_moved(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = trained_on(own / "store", tmp_path / "runs")
    clip = str(own / "videos" / "run" / "2.avi")
    words = ["predict", str(folder), clip, "--no-pictures"]
    sha256 = Making.of(FeatureStore.open(own / "store").provenance).sha256
    (own / "net.onnx").rename(own / "moved.onnx")
    assert main(words) == 2
    told = said(capsys)
    assert f"the backbone net.onnx is not at {own / 'net.onnx'} or {folder / 'net.onnx'}" in told
    assert f"--backbone FILE (its sha256 is {sha256})" in told
    backbone(own / "net.onnx", seed=1)
    assert main(words) == 2
    assert f"{own / 'net.onnx'} is another file by now" in said(capsys)
    assert main([*words, "--backbone", str(own / "net.onnx")]) == 2
    told = said(capsys)
    assert f"{own / 'net.onnx'} is another backbone" in told
    assert f"than net.onnx (sha256 {sha256[:16]}" in told
    assert main([*words, "--backbone", str(own / "no.onnx")]) == 2
    assert f"the backbone {own / 'no.onnx'} cannot be read: No such file" in said(capsys)
    assert main([*words, "--backbone", str(own / "moved.onnx")]) == 0
    first = record_of(folder / "predictions", "2.avi")["outputs"]
    # A copy in the run folder is found by itself.
    shutil.copy(own / "moved.onnx", folder / "net.onnx")
    assert main([*words, "--out", str(tmp_path / "again")]) == 0
    assert record_of(tmp_path / "again", "2.avi")["outputs"] == first


def test_the_store_tells_of_the_backbone_once_its_command_ran_again(own: Path, tmp_path: Path) -> None:
    folder = trained_on(own / "store", tmp_path / "runs")
    (own / "nets").mkdir()
    (own / "net.onnx").rename(own / "nets" / "net.onnx")
    words = ["features", str(own / "videos"), "--out", str(own / "store"), *STATED, "--frames", "6", "--batch", "3"]
    assert main([*words, "--backbone", str(own / "nets" / "net.onnx")]) == 0
    assert recall_origin(own / "store") == {"backbone": str(own / "nets" / "net.onnx"), "batch": 3}
    assert main(["predict", str(folder), str(own / "videos" / "run" / "2.avi"), "--no-pictures"]) == 0


def test_a_store_that_was_moved(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = trained_on(own / "store", tmp_path / "runs", scaling="standardise")
    projected = trained_on(own / "store", tmp_path / "runs", pca=3)
    clip = str(own / "videos" / "fall" / "3.avi")
    assert main(["predict", str(projected), clip, "--no-pictures"]) == 0
    before = record_of(projected / "predictions", "3.avi")["outputs"]
    (own / "store").rename(own / "elsewhere")
    (components,) = own.glob("store.pca3-*")
    shutil.rmtree(components)
    assert main(["predict", str(plain), clip, "--no-pictures"]) == 0
    capsys.readouterr()
    assert main(["predict", str(projected), clip, "--no-pictures"]) == 2
    told = said(capsys)
    assert "is not a feature store: it has no store.json; say with --store where the run's feature store is" in told
    words = ["predict", str(projected), clip, "--no-pictures", "--store"]
    assert main([*words, str(own / "elsewhere"), "--out", str(tmp_path / "o")]) == 0
    np.testing.assert_allclose(record_of(tmp_path / "o", "3.avi")["outputs"], before, rtol=1e-3, atol=1e-3)
    other = FeatureStore.create(own / "other", {}, WIDTH)
    for row in FeatureStore.open(own / "elsewhere").rows:
        other.append(row, np.ones((row.length, WIDTH)))
    capsys.readouterr()
    assert main([*words, str(own / "other")]) == 2
    assert "are not those that" in said(capsys)


def test_a_run_that_remembers_nothing_asks_its_store(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trained_on(own / "store", tmp_path / "runs")
    env = json.loads((folder / "env.json").read_text())
    words = ["predict", str(folder), str(own / "videos" / "fall" / "3.avi"), "--no-pictures"]
    # As runs of before have it.
    (folder / "env.json").write_text(json.dumps({k: v for k, v in env.items() if k != "recipe"}))
    assert main(words) == 0
    (folder / "env.json").unlink()
    capsys.readouterr()
    assert main(words) == 2
    assert "say with --store where" in said(capsys)
    assert main([*words, "--store", str(own / "store")]) == 0


def test_a_damaged_projection_is_told(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = trained_on(own / "store", tmp_path / "runs", pca=3)
    (components,) = own.glob("store.pca3-*")
    (components / "projection.safetensors").write_bytes(b"x")
    assert main(["predict", str(folder), str(own / "videos" / "fall" / "3.avi")]) == 2
    told = said(capsys)
    assert "projection.safetensors is damaged" in told
    assert f"delete the folder {components}" in told


def test_what_a_run_remembers_is_no_part_of_what_it_is(own: Path, tmp_path: Path) -> None:
    first = trained_on(own / "store", tmp_path / "a")
    (own / "store" / "origin.json").unlink()
    second = trained_on(own / "store", tmp_path / "b")
    assert first.name == second.name
    assert (first / "config.json").read_bytes() == (second / "config.json").read_bytes()
    remembered = [Recipe.read(Run.open(folder).env()["recipe"]) for folder in (first, second)]
    assert remembered[0] is not None
    assert remembered[0].origin["backbone"] == str(own / "net.onnx")
    assert remembered[1] is not None
    assert remembered[1].origin == {}
    assert remembered[1]._replace(origin=remembered[0].origin) == remembered[0]


@pytest.mark.parametrize(
    "record", [None, [], {}, {"width": 3}, {"width": "3", "provenance": {}, "origin": {}, "components": None}]
)
def test_a_damaged_recipe_is_none(record: object) -> None:
    assert Recipe.read(record) is None


# ---- what does not fit


def test_ready_made_features_have_no_backbone(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = FeatureStore.create(tmp_path / "s", {"source": "ucf101/vgg16_relu6"}, WIDTH)
    for k in range(12):
        side = ("train", "train", "valid", "test")[k % 4]
        store.append(ClipRow(f"{k}", CLASSES[k // 4], k, {"split": side}, 4), np.ones((4, WIDTH)))
    folder = trained_on(tmp_path / "s", tmp_path / "runs")
    clip = str(place / "videos" / "run" / "2.avi")
    for more in ([], ["--backbone", str(place / "net.onnx")]):
        assert main(["predict", str(folder), clip, *more]) == 2
        told = said(capsys)
        assert "the store does not say which backbone made its own" in told
        assert "source 'ucf101/vgg16_relu6'" in told


def test_a_run_on_shuffled_frames_is_refused(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = trained_on(place / "store", tmp_path / "runs", shuffle_frames=True)
    assert main(["predict", str(folder), str(place / "videos" / "run" / "2.avi")]) == 2
    assert "would mean nothing" in said(capsys)


def test_each_kind_of_run_refuses_the_others_files(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((30, 4, 2)), y=np.arange(30) % 2)
    clip = str(place / "videos" / "run" / "2.avi")
    on_videos = trained_on(place / "store", tmp_path / "runs")
    words = ["train", "sequences", "--data", str(tmp_path / "x.npz"), *QUICK, "--out", str(tmp_path / "q")]
    assert main(words) == 0
    (on_sequences,) = (path.parent for path in (tmp_path / "q").glob("*/config.json"))
    empty = tmp_path / "nothing"
    empty.mkdir()
    for words, message in (
        ([str(on_videos), str(tmp_path / "x.npz")], "x.npz is no video: the run's network was trained on videos"),
        ([str(on_videos), str(empty)], "holds no videos (endings:"),
        ([str(on_videos)], "name what to predict for"),
        ([str(on_videos), clip, "--top", "0"], "top must be at least 1, got 0"),
        ([str(on_videos), clip, "--workers", "0"], "workers must be at least 1, got 0"),
        ([str(on_sequences), clip], "2.avi is a video, but"),
        ([str(on_sequences), str(tmp_path / "x.npz"), clip], "takes one file or folder at a time, got 2"),
        ([str(on_sequences), str(tmp_path / "x.npz"), "--top", "3", "--no-pictures"], "--top, --no-pictures: only for"),
    ):
        capsys.readouterr()
        assert run_main(["predict", *words]) == 2
        assert message in said(capsys), words
    assert main(["predict", str(on_sequences), str(tmp_path / "x.npz")]) == 0


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module with backbones, which can be imported here and in new processes."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "zoo_of_backbones.py").write_text(BACKBONES)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "code"))
    yield
    sys.modules.pop("zoo_of_backbones", None)


def test_code_is_run_only_where_the_user_names_it(
    code: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = some_clips(tmp_path / "videos")
    words = ["features", str(videos), "--out", str(tmp_path / "store"), *STATED, "--stride", "2", "--workers", "1"]
    assert main([*words, "--backbone", "zoo_of_backbones:means"]) == 0
    folder = trained_on(tmp_path / "store", tmp_path / "runs")
    words = ["predict", str(folder), str(videos / "run" / "1.avi"), "--no-pictures"]
    capsys.readouterr()
    assert main(words) == 2
    assert "give --backbone zoo_of_backbones:means" in said(capsys)
    assert main([*words, "--backbone", "zoo_of_backbones:others"]) == 2
    assert "zoo_of_backbones:others is another backbone" in said(capsys)
    assert main([*words, "--backbone", "zoo_of_backbones:means"]) == 0
    assert "of one frame of 2" in said(capsys)
    trained = load_trained(folder)
    data = load_data(trained.run)
    place = data.train.names.index("run/1.avi")  # type: ignore[attr-defined]
    with torch.no_grad():
        alone = trained.model(data.train.batch(torch.tensor([place])).x[:4])[0]
    assert record_of(folder / "predictions", "1.avi")["outputs"] == alone.tolist()


def test_other_versions_of_libraries_are_told(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = trained_on(own / "store", tmp_path / "runs")
    env = json.loads((folder / "env.json").read_text())
    env["recipe"]["provenance"]["versions"]["av"] = "1.2.3"
    (folder / "env.json").write_text(json.dumps(env))
    capsys.readouterr()
    assert main(["predict", str(folder), str(own / "videos" / "run" / "2.avi"), "--no-pictures"]) == 0
    assert f"that was made with av 1.2.3, now {av.__version__}: features may differ" in said(capsys)


def test_provenance_that_does_not_tell_all_is_refused(place: Path) -> None:
    known = dict(FeatureStore.open(place / "store").provenance)
    assert Making.of(known).picking == Picking(frames=6)
    for key in ("size", "picking", "versions"):
        with pytest.raises(DataError, match="does not say how its features were made"):
            Making.of({k: v for k, v in known.items() if k != key})
    with pytest.raises(DataError, match="does not say how its features were made"):
        Making.of({**known, "picking": {"frames": 0}})


# ---- which videos are meant


def test_which_videos_are_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/v.avi", "b/v.avi", "b/c/w.MP4", "b/.hidden/x.avi", "b/.x.avi", "odd.bin", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    videos, left_out = new_videos([tmp_path / "a" / "v.avi", tmp_path / "b", tmp_path / "odd.bin"])
    whole = "/".join(tmp_path.parts[1:])
    assert [video.name for video in videos] == [f"{whole}/a/v.avi", f"{whole}/b/v.avi", "c/w.MP4", "odd.bin"]
    assert left_out == []
    monkeypatch.chdir(tmp_path / "a")
    videos, left_out = new_videos([Path("../b/v.avi"), Path("v.avi"), Path("../a/v.avi"), Path("../b/../no.avi")])
    assert [video.path for video in videos] == [tmp_path / "b" / "v.avi", tmp_path / "a" / "v.avi"]
    assert all(".." not in video.name for video in videos)
    assert [entry.reason for entry in left_out] == ["there is no such file"]


# ---- when frames are shown


@pytest.mark.parametrize(("ending", "codec"), [("avi", "png"), ("mkv", "ffv1"), ("mov", "png")])
def test_moments_of_frames(tmp_path: Path, ending: str, codec: str) -> None:
    path = video(tmp_path / f"v.{ending}", 23, codec=codec)
    for picking, wanted in ((Picking(frames=5), [0, 6, 11, 17, 22]), (Picking(stride=10), [0, 10, 20])):
        reading = Video(path)
        list(reading.pictures(picking, lambda frame: None))
        assert [moment.frame for moment in reading.moments] == wanted
        assert [moment.seconds for moment in reading.moments] == [pytest.approx(k / 25, abs=2e-3) for k in wanted]


def test_moments_of_frames_that_hang_on_later_ones(tmp_path: Path) -> None:
    path = tmp_path / "v.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.max_b_frames = 64, 48, "yuv420p", 2
        for k in range(20):
            image = np.full((48, 64, 3), 10 * k, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    reading = Video(path)
    list(reading.pictures(Picking(stride=5), lambda frame: None))
    assert [moment.frame for moment in reading.moments] == [0, 5, 10, 15]
    assert [moment.seconds for moment in reading.moments] == pytest.approx([0, 0.2, 0.4, 0.6])


def test_the_clock() -> None:
    def moments(times: list[float | None], start: float | None, rate: float | None) -> list[float | None]:
        clock = Clock(start, rate)
        for k, time in enumerate(times):
            clock.tick(time)
            clock.pick(k)
        return [moment.seconds for moment in clock.moments()]

    assert moments([1.5, 2.0, 4.0], 1.0, 25) == [0.0, 0.5, 2.5]
    assert moments([1.5, 2.0], None, None) == [0.0, 0.5]
    # An AVI tells when frames are decoded, which may be another order.
    assert moments([0.04, 0.08, 0.16, 0.12], 0.0, 25) == [0.0, 0.04, 0.08, 0.12]
    assert moments([0.0, None, 1.0], 0.0, 10) == [0.0, 0.1, 0.2]
    assert moments([0.0, 0.0], 0.0, None) == [None, None]
    clock = Clock(1.0, 10)
    clock.skip()
    clock.tick(1.5)
    clock.pick(0)
    assert clock.moments() == (Moment(0, 0.5),)
    clock = Clock(0.0, 10)
    clock.tick(None)
    clock.skip()
    clock.tick(None)
    clock.pick(1)
    assert clock.moments() == (Moment(1, 0.2),)


# ---- the picture


def scores(
    steps: int, names: tuple[str, ...], *, seconds: tuple[float, ...] | None = None, name: str = "a.avi"
) -> ClipScores:
    over_time = torch.randn(steps, len(names), generator=torch.Generator().manual_seed(steps))
    return ClipScores(name, names, tuple(range(steps)), seconds, over_time[-1], over_time, "last")


def images(found: ClipScores, shape: tuple[int, int]) -> dict[int, Any]:
    return {place: np.full((*shape, 3), 9 * place % 256, np.uint8) for place in frames_to_show(found)}


@pytest.mark.parametrize("shape", [(90, 120), (160, 90), (30, 240), (240, 30), (1, 1)])
@pytest.mark.parametrize("steps", [1, 2, 25])
def test_pictures_of_all_shapes(steps: int, shape: tuple[int, int]) -> None:
    found = scores(steps, CLASSES, seconds=tuple(k / 5 for k in range(steps)))
    width, height = png_size(clip_picture(found, images(found, shape), "made up"))
    assert width == 1590
    assert 600 < height < 1000


@pytest.mark.parametrize(
    "names",
    [
        ("only",),
        tuple(f"class {k}" for k in range(101)),
        ("W" * 500, "$\\frac$ cost $", "a\nb\tc", "動作", "[bold]x"),
    ],
)
def test_pictures_of_all_classes(names: tuple[str, ...], recwarn: pytest.WarningsRecorder) -> None:
    found = scores(9, names, name="\n" + "long/" * 100 + ".avi")
    for count in (1, 5, 100):
        png_size(clip_picture(found, images(found, (9, 16)), "made up", count))
    assert not [str(w.message) for w in recwarn if "Glyph" in str(w.message)]


def test_a_picture_without_frames_and_of_uneven_times() -> None:
    found = scores(6, CLASSES, seconds=(0.0, 0.1, 0.2, 0.3, 7.0, 100.0))
    png_size(clip_picture(found, {}, "made up"))
    png_size(clip_picture(found, images(found, (90, 120)), "made up"))


def test_what_the_lines_are(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(clip_timeline, "png", lambda figure: drawn.append(figure) or b"")
    names = tuple("abcdefgh")
    found = scores(13, names, seconds=tuple(0.5 * k for k in range(13)))
    clip_picture(found, images(found, (90, 120)), "made up", 3)
    (figure,) = drawn
    panel, *frames = figure.axes
    course = found.course.numpy()
    lines = [line for line in panel.lines if len(line.get_xdata()) == 13]
    assert all(list(line.get_xdata()) == list(found.seconds or ()) for line in lines)
    best = [k for k, _ in found.top(3)]
    for line, k in zip(lines, best, strict=False):
        np.testing.assert_array_equal(line.get_ydata(), course[:, k])
    np.testing.assert_allclose(lines[3].get_ydata(), 1 - course[:, best].sum(1))
    texts = [text.get_text() for text in figure.texts]
    for k, share in found.top(3):
        assert f"{names[k]}  {in_words(share)}" in texts
    assert f"{names[best[0]]}, probability {in_words(found.top(1)[0][1])}" in texts
    assert any(text.startswith("5 others together") for text in texts)
    assert any("at the last frame" in text for text in texts)
    # Each frame stands above its moment: of 13, every second is shown.
    assert len(frames) == 7
    for place, frame in zip(range(0, 13, 2), frames, strict=True):
        box, whole = frame.get_position(), panel.get_position()
        low, high = panel.get_xlim()
        at = low + ((box.x0 + box.x1) / 2 - whole.x0) / whole.width * (high - low)
        assert at == pytest.approx(0.5 * place)
    # The first and the last, to the point.
    assert frames[0].get_position().x0 == pytest.approx(panel.get_position().x0)
    assert frames[-1].get_position().x1 == pytest.approx(panel.get_position().x1)


def test_frames_to_show() -> None:
    assert frames_to_show(scores(5, CLASSES)) == [0, 1, 2, 3, 4]
    found = frames_to_show(scores(100, CLASSES))
    assert (found[0], found[-1]) == (0, 99)
    assert len(found) <= 15


def test_thumbnails_are_the_frames_upright_and_small(tmp_path: Path) -> None:
    path = camera_video(tmp_path / "v.avi", 12)
    with av.open(str(path)) as container:
        whole = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    small = thumbnails(path, [2, 7, 500])
    assert len(small) == 2
    np.testing.assert_array_equal(small[0], whole[2])
    np.testing.assert_array_equal(small[1], whole[7])
    (narrow,) = thumbnails(video(tmp_path / "w.avi", 1, size=(60, 480)), [0])
    assert narrow.shape == (240, 30, 3)


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (0.0, "0.00"),
        (1e-9, "<0.01"),
        (0.0049, "<0.01"),
        (0.005, "0.01"),
        (0.5, "0.50"),
        (0.994, "0.99"),
        (0.995, ">0.99"),
        (0.9999, ">0.99"),
        (1.0, "1.00"),
    ],
)
def test_probabilities_in_words(probability: float, words: str) -> None:
    assert re.fullmatch(re.escape(words), in_words(probability))


@given(st.lists(st.floats(-5, 15), min_size=1, max_size=12).map(sorted), st.floats(0.01, 3))
def test_labels_keep_apart(wishes: list[float], gap: float) -> None:
    places = apart(wishes, gap, 0, 10)
    room = min(gap, 10 / max(len(wishes) - 1, 1))
    assert all(-1e-6 <= place <= 10 + 1e-6 for place in places)
    assert all(b - a >= room - 1e-6 for a, b in itertools.pairwise(places))
    inside = [min(max(wish, 0), 10) for wish in wishes]
    if all(b - a >= gap for a, b in itertools.pairwise(inside)):
        np.testing.assert_allclose(places, inside, atol=1e-6)


def test_labels_that_collide_move_alike() -> None:
    assert apart([5.0, 5.0, 5.0], 1.0, 0.0, 10.0) == pytest.approx([4.0, 5.0, 6.0])
    assert apart([0.0, 0.0], 1.0, 0.0, 10.0) == pytest.approx([0.0, 1.0])
    assert apart([10.0, 10.0], 1.0, 0.0, 10.0) == pytest.approx([9.0, 10.0])
