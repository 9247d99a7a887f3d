"""The whole chain on real videos: features by real networks, training, judging, predicting; and what is broken."""

from __future__ import annotations

import csv
import json
import random
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from conftest import real_data
from nprnn.cli import main
from nprnn.feature_store import FeatureStore
from nprnn.runs import LAST
from nprnn.training import load_data, load_trained, predict
from nprnn.video import Picking
from nprnn.video.decode import Video
from test_cli import said
from test_docs import blocks, run_block
from test_video import NETWORKS, audio_only, zoo

pytestmark = [pytest.mark.real_data]
av = pytest.importorskip("av")
pytest.importorskip("onnxruntime")


HOPELESS = (
    "empty.avi",
    "text.avi",
    "cut_in_header.avi",
    "header_only.avi",
    "cut_in_first_frame.avi",
    "no_frames.avi",
    "audio.avi",
    "folder.avi",
    "dangling.avi",
    "zeros.avi",
    "playlist.avi",
    "noise.mp4",
    "picture.avi",
    "sound.avi",
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real clips of the classes that have several sources, divided by source, and broken files among them.

    What is learnt of so few is no result; that nothing is lost or mixed up on the way is.
    """
    index = real_data("ucf101/clips/index.csv")
    rows = list(csv.DictReader(index.open()))
    groups = defaultdict(set)
    for row in rows:
        groups[row["class"]].add(int(row["group"]))
    # UCF-101 numbers the sources of each class for itself; here a number is one source.
    numbers = {key: k for k, key in enumerate(sorted((c, g) for c, found in groups.items() for g in found))}
    folder = tmp_path_factory.mktemp("chain") / "videos"
    lines = ["path,label,group,split"]
    for row in rows:
        label, group = row["class"], int(row["group"])
        if len(groups[label]) < 2:
            continue
        ordered = sorted(groups[label])
        side = "test" if group == ordered[-1] else "valid" if len(ordered) > 2 and group == ordered[-2] else "train"
        (folder / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(index.parent / row["file"], folder / row["file"])
        lines.append(f"{row['file']},{label},{numbers[label, group]},{side}")
    assert len(lines) == 39
    (folder / "index.csv").write_text("\n".join([*lines, *_broken(folder)]) + "\n")
    return folder


def _broken(folder: Path) -> list[str]:
    """Broken files of many kinds in ``broken``, and their lines of the index."""
    reasons = zoo(folder / "broken")
    whole = real_data("ucf101/clips/Biking/v_Biking_g01_c04.avi").read_bytes()
    (folder / "broken" / "cut_in_the_middle.avi").write_bytes(whole[: len(whole) // 2])
    (folder / "broken" / "noise.mp4").write_bytes(random.Random(0).randbytes(20_000))
    shutil.copy(real_data("models/parrot.jpg"), folder / "broken" / "picture.avi")
    audio_only(folder / "broken" / "sound.avi")
    names = [*reasons, "cut_in_the_middle.avi", "noise.mp4", "picture.avi", "sound.avi", "missing.avi"]
    return [f"broken/{name},Diving,{1000 + k},train" for k, name in enumerate(names)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "settings"), [("mobilenet_v2", ["--scaling", "l2"]), ("squeezenet", ["--pca", "16"])])
def test_from_videos_to_answers(
    videos: Path, tmp_path: Path, name: str, settings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    network, store = real_data(f"models/{NETWORKS[name][0]}"), tmp_path / "store"
    words = ["features", str(videos), "--out", str(store), "--backbone", str(network), "--preprocess", name]
    assert main([*words, "--frames", "8", "--workers", "2"]) == 0
    told = said(capsys)
    remarks = {row["name"]: row for row in csv.DictReader((store / "remarks.csv").open())}
    for broken in [*HOPELESS, "missing.avi"]:
        assert remarks[f"broken/{broken}"]["what"] == "left out", broken
        assert remarks[f"broken/{broken}"]["remark"]
        assert f"left out: broken/{broken}" in told
    assert remarks["broken/cut_in_the_middle.avi"]["what"] == "kept"
    rows = FeatureStore.open(store).rows
    whole = [row for row in rows if not row.name.startswith("broken/")]
    assert len(whole) == 38
    assert {row.length for row in whole} == {8}

    words = ["train", "ucf101", "--store", str(store), "--split", "split", "--validation", "given", *settings]
    words += ["--hidden", "32", "--batch", "8", "--updates", "150", "--eval-every", "50", "--lr", "0.01"]
    assert main([*words, "--out", str(tmp_path / "runs")]) == 0
    (folder,) = (path.parent for path in (tmp_path / "runs").glob("*/config.json"))
    assert main(["eval", str(folder)]) == 0
    judged = json.loads((folder / "eval.json").read_text())
    assert judged["sequences"] == 12

    # The videos are answered for as their clips in the store are.
    capsys.readouterr()
    out = tmp_path / "out"
    tested = [str(videos / row.name) for row in rows if row.splits["split"] == "test"]
    assert len(tested) == 12
    assert main(["predict", str(folder), *tested, str(videos / "broken"), "--out", str(out)]) == 1
    told = said(capsys)
    for broken in HOPELESS:
        assert f"left out: {broken}" in told
    trained = load_trained(folder, LAST)
    data = load_data(trained.run)
    outputs, truth = predict(trained.model, data.test, trained.at, steps_have_targets=False)
    right = 0
    for clip, output, y in zip(data.test.names, outputs, truth, strict=True):  # type: ignore[attr-defined]
        found = json.loads((out / f"{Path(clip).name}.json").read_text())
        # Frames share batches with those of other clips, which changes the last bits of features.
        np.testing.assert_allclose(found["outputs"], output, rtol=0.01, atol=0.01)
        assert found["classes"] == sorted({row.label for row in rows})
        assert found["features"]["backbone"] == network.name
        assert [frame["frame"] for frame in found["frames"]] == Picking(frames=8).spread(frames_in(videos / clip))
        assert found["frames"][0]["seconds"] == 0
        assert (out / f"{Path(clip).name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        right += found["answer"] == found["classes"][int(y)]
    assert right / 12 == pytest.approx(judged["test"]["accuracy"])


def frames_in(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_an_avi_that_tells_the_order_of_decoding() -> None:
    path = real_data("ucf101/clips/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi")
    with av.open(str(path)) as container:
        told = [frame.time for frame in container.decode(video=0)]
    assert told != sorted(told)
    reading = Video(path)
    list(reading.pictures(Picking(frames=5), lambda frame: None))
    chosen = Picking(frames=5).spread(len(told))
    assert [moment.seconds for moment in reading.moments] == [k / 25 for k in chosen]


def test_the_real_clips_are_as_long_as_their_index_says() -> None:
    index = real_data("ucf101/clips/index.csv")
    for row in list(csv.DictReader(index.open()))[::6]:
        reading = Video(index.parent / row["file"])
        list(reading.pictures(Picking(frames=2), lambda frame: None))
        last = reading.moments[-1]
        assert last.frame == int(row["frames"]) - 1
        assert last.seconds == pytest.approx(last.frame / float(row["fps"]), abs=0.01)


@pytest.mark.slow
def test_the_page_on_videos_runs(videos: Path, tmp_path: Path) -> None:
    shutil.copytree(videos, tmp_path / "videos", ignore=shutil.ignore_patterns("broken"))
    index = (videos / "index.csv").read_text().splitlines()
    (tmp_path / "videos" / "index.csv").write_text("\n".join(line for line in index if "broken" not in line) + "\n")
    shutil.copy(real_data(f"models/{NETWORKS['mobilenet_v2'][0]}"), tmp_path / "mobilenet_v2.onnx")
    shutil.copy(real_data("ucf101/clips/Biking/v_Biking_g20_c06.avi"), tmp_path / "clip.avi")
    shutil.copytree(videos / "SoccerJuggling", tmp_path / "holiday")
    commands = [text for language, text in blocks("docs/video.md") if language == "sh"]
    assert len(commands) == 6
    told = [run_block("sh", text, tmp_path) for text in commands]
    assert "38 clips in store" in told[0]
    assert "38 clips in store-mynet" in told[1]
    (folder,) = (tmp_path / "runs").iterdir()
    assert f"picture: runs/{folder.name}/predictions/clip.avi.png" in told[4].replace("\n", " ")
    rows = list(csv.DictReader((tmp_path / "answers" / "predictions-best.csv").open()))
    assert [row["clip"] for row in rows] == [
        "clip.avi",
        "v_SoccerJuggling_g23_c01.avi",
        "v_SoccerJuggling_g24_c01.avi",
    ]
    assert set(rows[0]) == {"clip", *(f"{what}{k}" for what in ("class", "probability") for k in (1, 2, 3))}
