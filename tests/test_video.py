"""Videos to features: the right frames, as the backbone wants them, into a store that survives whatever happens."""

from __future__ import annotations

import csv
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from conftest import real_data
from nprnn.cli.features import command_features
from nprnn.errors import DataError, NprnnError
from nprnn.feature_store import FeatureStore
from nprnn.reporting import extracting
from nprnn.video import PREPROCESSING, BackboneConfig, Picking, Preprocess, find_clips, splits, width_of
from nprnn.video.decode import Video
from nprnn.video.splits import Lists

av = pytest.importorskip("av")

# Backbones by import path. `means` gives the mean of each channel, the brightest value, and a product that needs all.
BACKBONES = """
import os, signal, time
import torch

class Means(torch.nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        self.register_buffer("weight", torch.randn(3, 5, generator=torch.Generator().manual_seed(seed)))

    def forward(self, x):
        means = x.mean((2, 3))
        return torch.cat([means, means @ self.weight], 1)

def means(): return Means()
def others(): return Means(1)
def random(): return Means(int.from_bytes(os.urandom(4), "big"))
def not_a_module(): return 3
def fails(): raise FileNotFoundError("weights.pt")

class Slow(Means):
    def forward(self, x):
        time.sleep(0.05 * len(x))
        return super().forward(x)

def slow(): return Slow()

class Deadly(Means):
    def forward(self, x):
        # A black picture kills the process, as a file may that is made to.
        if len(x) > 1 and (x.flatten(1).amax(1) == 0).any() or (len(x) == 1 and os.environ.get("ALL") == "1"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)

def deadly(): return Deadly()

class Huge(Means):
    def forward(self, x):
        return super().forward(x) * 1e5

def huge(): return Huge()
"""
RUN = """
import sys
from nprnn.cli.features import command_features
from nprnn.errors import NprnnError
if __name__ == "__main__":
    try:
        sys.exit(command_features(sys.argv[1:]))
    except NprnnError as error:
        sys.exit(f"error: {error}")
"""
STATED = ["--size", "8", "--colour", "rgb", "--scale", "1"]


def colour(k: int) -> tuple[int, int, int]:
    return k % 256, 255 - k % 256, 7 * k % 256


def video(path: Path, count: int, *, size: tuple[int, int] = (16, 12), codec: str = "png", first: int = 0) -> Path:
    """A video whose frame k is of one colour, exact where the codec is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = "rgb24" if codec == "png" else "bgr0"
        for k in range(first, first + count):
            image = np.full((size[1], size[0], 3), colour(k), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def camera_video(path: Path, count: int = 40) -> Path:
    """A video as cameras make them: every frame but a few hangs on the one before."""
    down, across = np.mgrid[0:120, 0:160]
    waves = (np.sin(across / (5 + c) + np.cos(down / (7 + c)) * 3) for c in range(3))
    big = np.stack([(120 * wave + 127).astype(np.uint8) for wave in waves], -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 160, 120, "yuv420p", 12
        for k in range(count):
            image = np.roll(big, 9 * k, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def audio_only(path: Path) -> Path:
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def frames_of(path: Path, **picking: int) -> list[tuple[int, ...]]:
    """The colours of the frames that are picked."""
    return [tuple(int(v) for v in frame[5, 5]) for frame in Video(path).pictures(Picking(**picking), lambda f: f)]


def decoded(path: Path) -> list[Any]:
    """All frames of a video, by PyAV alone."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def fault(action: Callable[[], object]) -> str:
    with pytest.raises(NprnnError) as caught:
        action()
    return str(caught.value)


# ---- frames


@pytest.mark.parametrize(
    ("wanted", "count", "chosen"),
    [
        (5, 23, [0, 6, 11, 17, 22]),
        (2, 7, [0, 6]),
        (1, 7, [3]),
        (1, 8, [3]),
        (3, 4, [0, 2, 3]),
        (9, 4, [0, 1, 2, 3]),
        (4, 1, [0]),
        (4, 0, []),
    ],
)
def test_spread(wanted: int, count: int, chosen: list[int]) -> None:
    assert Picking(frames=wanted).spread(count) == chosen


def test_spread_is_even_from_first_to_last() -> None:
    for count in range(2, 60):
        for wanted in range(2, count + 1):
            chosen = Picking(frames=wanted).spread(count)
            assert len(set(chosen)) == wanted
            assert (chosen[0], chosen[-1]) == (0, count - 1)
            assert np.abs(np.array(chosen) - np.linspace(0, count - 1, wanted)).max() < 0.501


@pytest.mark.parametrize("ending", ["avi", "mkv", "mov"])
def test_the_frames_that_are_picked_are_those(tmp_path: Path, ending: str) -> None:
    path = video(tmp_path / f"v.{ending}", 23, codec="ffv1" if ending == "mkv" else "png")
    assert frames_of(path, frames=5) == [colour(k) for k in (0, 6, 11, 17, 22)]
    assert frames_of(path, frames=100) == [colour(k) for k in range(23)]
    assert frames_of(path, stride=4) == [colour(k) for k in (0, 4, 8, 12, 16, 20)]
    assert frames_of(path, stride=50) == [colour(0)]


def claim(path: Path, frames: int) -> None:
    """Make an AVI's header lie about the number of its frames."""
    content = bytearray(path.read_bytes())
    place = content.index(b"strh") + 40
    content[place : place + 4] = frames.to_bytes(4, "little")
    path.write_bytes(content)


@pytest.mark.parametrize("said", [0, 1, 10, 22, 24, 40, 2**31 - 1, 2**32 - 1])
def test_a_header_that_lies_changes_nothing(tmp_path: Path, said: int) -> None:
    path = video(tmp_path / "v.avi", 23)
    claim(path, said)
    reading = Video(path)
    seen = [tuple(frame[5, 5]) for frame in reading.pictures(Picking(frames=5), lambda f: f)]
    assert seen == [colour(k) for k in (0, 6, 11, 17, 22)]
    assert ("cut short" in reading.remark) == (23 < said < 2**31 or f"promises {said}" in reading.remark)


def test_frames_are_not_held(tmp_path: Path) -> None:
    path = video(tmp_path / "v.avi", 60, size=(320, 240))
    tracemalloc.start()
    try:
        assert sum(1 for _ in Video(path).pictures(Picking(stride=1), lambda f: f)) == 60
        assert sum(1 for _ in Video(path).pictures(Picking(frames=60), lambda f: f[:8, :8].copy())) == 60
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * 320 * 240 * 3


def test_a_video_that_was_held_on_its_side_stands_upright(tmp_path: Path) -> None:
    path = tmp_path / "v.mov"
    image = np.zeros((12, 16, 3), np.uint8)
    image[0, 0] = 255
    for degrees in (90, 180, 270):
        with av.open(str(path), "w") as container:
            stream = container.add_stream("png", rate=25)
            if not hasattr(stream, "set_display_rotation"):
                pytest.skip("this PyAV cannot write a rotation")
            stream.width, stream.height, stream.pix_fmt = 16, 12, "rgb24"
            stream.set_display_rotation(degrees)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        with av.open(str(path)) as container:
            (frame,) = container.decode(video=0)
            quarters = frame.rotation // 90
        assert quarters
        (seen,) = Video(path).pictures(Picking(stride=1), lambda f: f)
        # ffmpeg's own filter is the judge: transposing twice, clockwise or not.
        assert np.array_equal(seen, np.rot90(image, quarters))


# ---- broken files


def zoo(folder: Path) -> dict[str, str]:
    """Files that are no videos, or no more, and a word of the reason for each."""
    folder.mkdir(parents=True)
    whole = camera_video(folder / "whole.tmp.avi").read_bytes()
    (folder / "whole.tmp.avi").unlink()
    body = whole.index(b"movi")
    (folder / "empty.avi").write_bytes(b"")
    (folder / "text.avi").write_text("these are words\n" * 200)
    (folder / "cut_in_header.avi").write_bytes(whole[:100])
    (folder / "header_only.avi").write_bytes(whole[: body + 4])
    (folder / "cut_in_first_frame.avi").write_bytes(whole[: body + 700])
    (folder / "no_frames.avi").write_bytes(_without_frames(folder))
    audio_only(folder / "audio.avi")
    (folder / "folder.avi").mkdir()
    (folder / "dangling.avi").symlink_to(folder / "nowhere.avi")
    (folder / "zeros.avi").write_bytes(bytes(5000))
    (folder / "playlist.avi").write_text(f"ffconcat version 1.0\nfile '{folder}/../good.avi'\n")
    (folder / "all_flipped.avi").write_bytes(whole[: body + 12] + random.Random(0).randbytes(len(whole) - body - 12))
    return {
        "empty.avi": "it is empty",
        "text.avi": "no video",
        "cut_in_header.avi": "no video",
        "header_only.avi": "it holds no frames, though its header promises 40",
        "cut_in_first_frame.avi": "all of its 1 frames are broken",
        "no_frames.avi": "no",
        "audio.avi": "it has no pictures: it holds audio",
        "folder.avi": "it is a folder",
        "dangling.avi": "it is a link to",
        "zeros.avi": "it cannot be opened",
        "playlist.avi": "it cannot be opened",
        "all_flipped.avi": "",
    }


def _without_frames(folder: Path) -> bytes:
    path = folder / "nothing.tmp.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 12, "yuv420p"
        container.start_encoding()
    content = path.read_bytes()
    path.unlink()
    return content


def test_a_video_cut_anywhere_gives_its_good_frames_or_a_reason(tmp_path: Path) -> None:
    whole = camera_video(tmp_path / "v.avi").read_bytes()
    path, before = tmp_path / "cut.avi", 0
    for size in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole[:size])
        reading = Video(path)
        try:
            count = sum(1 for _ in reading.pictures(Picking(stride=1), lambda f: f))
        except DataError:
            assert before == 0
        else:
            assert count >= before > -1
            assert count >= 1
            assert "cut short" in reading.remark or "broken" in reading.remark or count == 40
            before = count
    assert before > 30


def test_flipped_bytes_cost_frames_and_are_told(tmp_path: Path) -> None:
    path = camera_video(tmp_path / "v.avi")
    content = bytearray(path.read_bytes())
    good, draw = decoded(path), random.Random(1)
    start, stop = len(content) // 2, content.rindex(b"idx1")
    for _ in range(40):
        content[draw.randrange(start, stop)] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    reading = Video(path)
    pictures = list(reading.pictures(Picking(stride=1), lambda f: f))
    assert 0 < len(pictures) < 40
    assert "frames are broken and left out" in reading.remark
    # Frames before the first flip are untouched.
    assert all(np.array_equal(pictures[k], good[k]) for k in range(5))
    again = Video(path)
    spread = list(again.pictures(Picking(frames=4), lambda f: f))
    chosen = Picking(frames=4).spread(len(pictures))
    assert all(np.array_equal(a, pictures[k]) for a, k in zip(spread, chosen, strict=True))
    assert again.remark == reading.remark


def test_exact_frames_survive_around_a_broken_one(tmp_path: Path) -> None:
    path = video(tmp_path / "v.avi", 9)
    content = bytearray(path.read_bytes())
    places = [k for k in range(len(content)) if content[k : k + 8] == b"\x89PNG\r\n\x1a\n"]
    assert len(places) == 9
    # The size of the picture, which a checksum follows.
    content[places[4] + 16 : places[4] + 20] = b"\xff" * 4
    path.write_bytes(content)
    reading = Video(path)
    seen = [tuple(f[5, 5]) for f in reading.pictures(Picking(stride=1), lambda f: f)]
    assert seen == [colour(k) for k in (0, 1, 2, 3, 5, 6, 7, 8)]
    assert reading.remark == "1 of 9 frames are broken and left out"
    assert frames_of(path, frames=3) == [colour(k) for k in (0, 5, 8)]


@pytest.fixture
def nobody() -> Iterator[None]:
    """Whoever runs the tests, here it is someone who may not read everything."""
    own = os.geteuid()
    if own == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(own)


def test_what_may_not_be_read_is_told(nobody: None) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = video(Path(place) / "A" / "v.avi", 3)
        path.chmod(0)
        (clip,) = find_clips(Path(place)).clips
        assert "ermission denied" in fault(lambda: list(Video(clip.path).pictures(Picking(stride=1), lambda f: f)))
        path.parent.chmod(0)
        message = fault(lambda: find_clips(Path(place)))
        assert message.startswith(f"{path.parent} cannot be read: Permission denied")
        path.parent.chmod(0o700)


# ---- what videos there are


def test_ucf_101(tmp_path: Path) -> None:
    for name in (
        "HandstandPushups/v_HandStandPushups_g01_c01.avi",
        "HandstandPushups/v_HandStandPushups_g02_c01.avi",
        "Archery/v_Archery_g07_c03.avi",
        "Archery/v_Archery_g25_c01.AVI",
        "Archery/v_Biking_g01_c01.avi",
        "Archery/mine.mp4",
        "Archery/notes.txt",
        "Archery/.hidden.avi",
    ):
        (tmp_path / "v" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "v" / name).write_bytes(b"x")
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "classInd.txt").write_bytes(b"1 Archery\r\n2 HandstandPushups\r\n")
    (lists / "trainlist01.txt").write_bytes(
        b"handstandpushups/v_HandstandPushups_g01_c01.avi 2\r\n\r\nArchery/v_Archery_g07_c03.avi 1\r\n"
    )
    (lists / "testlist01.txt").write_bytes(b"HandstandPushups/v_HandStandPushups_g02_c01.avi\r\n")
    (lists / "testlist02.txt").write_bytes(b"Archery/v_Archery_g07_c03.avi\r\n")
    found = find_clips(tmp_path / "v", lists)
    assert [(c.name, c.label, c.group, dict(c.splits)) for c in found.clips] == [
        ("Archery/mine.mp4", "Archery", None, {}),
        ("Archery/v_Archery_g07_c03.avi", "Archery", 7, {"01": "train", "02": "test"}),
        ("Archery/v_Archery_g25_c01.AVI", "Archery", 25, {}),
        ("HandstandPushups/v_HandStandPushups_g01_c01.avi", "HandstandPushups", 1, {"01": "train"}),
        ("HandstandPushups/v_HandStandPushups_g02_c01.avi", "HandstandPushups", 2, {"01": "test"}),
    ]
    ((name, reason),) = found.left_out
    assert name == "Archery/v_Biking_g01_c01.avi"
    assert "says class Biking, its folder Archery" in reason
    assert any("1 of 5 clips have no group" in line for line in found.about)
    assert any("2 of 5 clips are on no side" in line for line in found.about)
    assert all(not clip.splits for clip in find_clips(tmp_path / "v").clips)


def test_another_spelling_of_the_folder_takes_the_official_class(tmp_path: Path) -> None:
    path = tmp_path / "v" / "HandStandPushups" / "v_HandStandPushups_g01_c01.avi"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 HandstandPushups\n")
    (lists / "trainlist01.txt").write_text("HandstandPushups/v_HandStandPushups_g01_c01.avi 1\n")
    (clip,) = find_clips(tmp_path / "v", lists).clips
    assert (clip.label, dict(clip.splits)) == ("HandstandPushups", {"01": "train"})


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, ["no split lists", "trainlist01.txt"]),
        ({"trainlist01.txt": "v_Archery_g01_c01.avi 1\n"}, ["line 1", "is no clip"]),
        ({"trainlist01.txt": "A/v.avi 1\n", "testlist01.txt": "\na/V.avi\n"}, ["trainlist01", "test list of 01 too"]),
        ({"trainlist01.txt": "A/v.avi 2\n", "classInd.txt": "1 A\n2 B\n"}, ["number 2", "to B"]),
        ({"trainlist01.txt": "A/v.avi 3\n", "classInd.txt": "1 A\n"}, ["number 3", "to None"]),
        ({"trainlist01.txt": "A/v.avi\n", "classInd.txt": "A\n"}, ["is no class"]),
        ({"trainlist01.txt": "A/v.avi\n", "classInd.txt": "1 A\n1 B\n"}, ["1 is there already"]),
        ({"trainlist01.txt": "A/other.avi\n"}, ["name none of the 1 videos", "'A/other.avi'", "'A/v_A_g01_c01.avi'"]),
    ],
)
def test_lists_refused(tmp_path: Path, files: dict[str, str], words: list[str]) -> None:
    lists, videos = tmp_path / "lists", tmp_path / "v"
    lists.mkdir()
    (videos / "A").mkdir(parents=True)
    (videos / "A" / "v_A_g01_c01.avi").write_bytes(b"x")
    for name, text in files.items():
        (lists / name).write_text(text)
    message = fault(lambda: find_clips(videos, lists))
    for word in words:
        assert word in message


def test_a_list_is_no_larger_than_lists_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trainlist01.txt").write_text("A/v_A_g01_c01.avi 1\n")
    assert Lists.read(tmp_path).example == "A/v_A_g01_c01.avi"
    monkeypatch.setattr(splits, "MAX_BYTES", 10)
    assert "over the limit of 10" in fault(lambda: Lists.read(tmp_path))


def test_folders_refused(tmp_path: Path) -> None:
    assert "is not a folder" in fault(lambda: find_clips(tmp_path / "no"))
    assert "holds no videos" in fault(lambda: find_clips(tmp_path))
    for name in ("Biking", "biking"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "v.avi").write_bytes(b"x")
    assert "are one class by name" in fault(lambda: find_clips(tmp_path))


@pytest.mark.parametrize("header", ["path,label,group,split01,split02,extra", "file,class,group,split01,split02,sha"])
def test_index(tmp_path: Path, header: str) -> None:
    for name in ("a.avi", "deep/b.avi", "c.avi"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "d.avi").symlink_to(tmp_path / "c.avi")
    lines = [
        header,
        "./deep//b.avi,run,g07,train,test,1",
        "a.avi,walk,3,test,,2",
        "d.avi,run,,,valid,",
        "e.avi,run,1,,,",
    ]
    (tmp_path / "index.csv").write_bytes(("\ufeff" + "\r\n".join(lines) + "\r\n").encode())
    found = find_clips(tmp_path)
    assert [(c.name, c.label, c.group, dict(c.splits)) for c in found.clips] == [
        ("a.avi", "walk", 3, {"01": "test"}),
        ("d.avi", "run", None, {"02": "valid"}),
        ("deep/b.avi", "run", 7, {"01": "train", "02": "test"}),
    ]
    assert list(found.left_out) == [("e.avi", "there is no such file")]
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "trainlist01.txt").write_text("deep/b.avi\n")
    assert "has splits already" in fault(lambda: find_clips(tmp_path, lists))


def test_a_lone_column_of_splits(tmp_path: Path) -> None:
    (tmp_path / "a.avi").write_bytes(b"x")
    (tmp_path / "index.csv").write_text("path,label,split\na.avi,run,valid\n")
    (clip,) = find_clips(tmp_path).clips
    assert dict(clip.splits) == {"split": "valid"}


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("path,label,extra", "'extra'"),
        ("path,label,grup", "'grup' (did you mean 'group'?)"),
        ("path,label,Split 01,Group", None),
        ("path,label,spilt", "'spilt' (did you mean 'split'?)"),
        # The name that it is like is there already.
        ("file,class,labels,filename", "'labels', 'filename'"),
        ("Path,Label,,recorded by", "'', 'recorded by'"),
        ("path,label,group,split01,split02", None),
        ("path,label," + ",".join(f"c{k}" for k in range(12)), "'c9', ... (12)"),
    ],
)
def test_columns_of_an_index_that_are_not_used_are_told(tmp_path: Path, header: str, told: str | None) -> None:
    (tmp_path / "a.avi").write_bytes(b"x")
    cells = ["a.avi", "run", *("" for _ in header.split(",")[2:])]
    (tmp_path / "index.csv").write_text(f"{header}\n{','.join(cells)}\n")
    lines = [line for line in find_clips(tmp_path).about if "not used" in line]
    if told is None:
        assert not lines
    else:
        (line,) = lines
        assert line.startswith(f"{tmp_path / 'index.csv'}: columns that are not used: '")
        assert f"{told}. Known: path (or file), label (or class), group, split, " in line


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ("", ["one column 'path' or 'file'", "nothing"]),
        ("path\na.avi\n", ["one column 'label' or 'class'"]),
        ("path,file,label\na.avi,a.avi,x\n", ["one column 'path' or 'file'"]),
        ("path,label,split,split\na.avi,x,train,test\n", ["'split' is there twice"]),
        ("path,label\n", ["lists no videos"]),
        ("path,label\na.avi\n", ["line 2", "1 cells"]),
        ("path,label\na.avi,\n", ["line 2", "'label' is empty"]),
        ("path,label\n,x\n", ["line 2", "path is empty"]),
        ("path,label\na.avi,x\n./a.avi,x\n", ["line 3", "in line 2 already"]),
        ("path,label\n../out.avi,x\n", ["line 2", "'../out.avi' leads out of"]),
        ("path,label\nb/../a.avi,x\n", ["line 2", "leads out of", "without '..'"]),
        ("path,label\n{root}/out.avi,x\n", ["line 2", "leads out of"]),
        ("path,label\n..\\out.avi,x\n", ["line 2", "leads out of"]),
        ("path,label\nC:\\out.avi,x\n", ["line 2", "leads out of"]),
        ("path,label\nlink.avi,x\n", ["line 2", "a link that leads out of"]),
        ("path,label\nlinked/out.avi,x\n", ["line 2", "a link that leads out of"]),
        ("path,label\nhanging.avi,x\n", ["line 2", "a link that leads out of"]),
        ("path,label\na\0.avi,x\n", ["line 2", "is not a path"]),
        ('path,label\n"a.avi,x\n', ["not a CSV text file"]),
        ("path,label,group\na.avi,x,gX\n", ["line 2", "group 'gX' is not a number"]),
        ("path,label,split\na.avi,x,validation\n", ["unknown side 'validation'", "'valid'?"]),
    ],
)
def test_index_refused(tmp_path: Path, index: str, words: list[str]) -> None:
    place = tmp_path / "f"
    place.mkdir()
    (place / "a.avi").write_bytes(b"x")
    (tmp_path / "out.avi").write_bytes(b"x")
    (place / "link.avi").symlink_to(tmp_path / "out.avi")
    (place / "linked").symlink_to(tmp_path)
    (place / "hanging.avi").symlink_to(tmp_path / "nowhere")
    (place / "index.csv").write_text(index.replace("{root}", str(tmp_path)))
    message = fault(lambda: find_clips(place))
    assert str(place / "index.csv") in message
    for word in words:
        assert word in message


def test_what_is_no_file_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / "good.avi").write_bytes(b"x")
    os.mkfifo(tmp_path / "A" / "pipe.avi")
    (tmp_path / "A" / "loop.avi").symlink_to("loop.avi")
    (tmp_path / "A" / os.fsdecode(b"\xff.avi")).write_bytes(b"x")
    found = find_clips(tmp_path)
    assert [clip.name for clip in found.clips] == ["A/good.avi"]
    assert {reason.split()[-1] for _, reason in found.left_out} == {"one", "file", "it"}


# ---- what the backbone is shown


def test_resizing_is_pillows() -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for height, width, size, resize in ((240, 320, 224, 256), (320, 240, 31, 40), (50, 50, 64, 64), (9, 31, 9, 9)):
        frame = rng.integers(0, 256, (height, width, 3), np.uint8)
        short = min(height, width)
        tall, wide = resize * height // short, resize * width // short
        whole = np.asarray(Image.fromarray(frame).resize((wide, tall), Image.Resampling.BILINEAR))
        top, left = round((tall - size) / 2), round((wide - size) / 2)
        mine = Preprocess(size, resize).picture(frame)
        assert mine.shape == (size, size, 3)
        assert np.abs(mine.astype(int) - whole[top : top + size, left : left + size]).max() <= 1


def test_numbers_are_scaled_and_ordered() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    x = pictures.astype(np.float64)
    for name, wanted in {
        "mobilenet_v2": x / 127.5 - 1,
        "squeezenet": x[..., ::-1] - np.array([104, 117, 123]),
        "imagenet": (x / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225]),
    }.items():
        found = PREPROCESSING[name].numbers(pictures)
        assert found.dtype == np.float32
        assert found.flags.c_contiguous
        np.testing.assert_allclose(found, wanted.transpose(0, 3, 1, 2), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": 0}, "size must be 1 to"),
        ({"resize": 10}, "resize must be at least size 16"),
        ({"colour": "grey"}, "colour must be rgb or bgr"),
        ({"scale": 0.0}, "not 0"),
        ({"std": (1.0, 0.0, 1.0)}, "not 0"),
        ({"mean": (1.0, 2.0)}, "3 finite numbers"),
        ({"mean": (1.0, 2.0, float("nan"))}, "3 finite numbers"),
    ],
)
def test_preprocessing_refused(settings: dict[str, Any], words: str) -> None:
    assert words in fault(lambda: Preprocess(**{"size": 16, "resize": 16, **settings}))


# ---- whole runs


@pytest.fixture
def backbones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which ``zoo_of_backbones`` can be imported, here and in new processes."""
    place = tmp_path / "code"
    place.mkdir()
    (place / "zoo_of_backbones.py").write_text(BACKBONES)
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setenv("PYTHONPATH", str(place))
    yield place
    sys.modules.pop("zoo_of_backbones", None)


def words_of(videos: Path, out: Path, *more: str, backbone: str = "means", workers: int = 1) -> list[str]:
    return [
        *(str(videos), "--out", str(out), "--backbone", f"zoo_of_backbones:{backbone}", "--workers", str(workers)),
        *(more if "--size" in more else (*STATED, *more)),
    ]


def some_videos(folder: Path, count: int = 6, frames: int = 10) -> Path:
    for k in range(count):
        video(folder / "ABC"[k % 3] / f"v_{'ABC'[k % 3]}_g{k // 3 + 1:02}_c01.avi", frames + k, first=20 * k + 1)
    return folder


def by_hand(path: Path, frames: list[int], settings: Preprocess, backbone: Any) -> Any:
    every = decoded(path)
    x = torch.tensor(np.stack([settings.picture(every[k]) for k in frames])).permute(0, 3, 1, 2).float()
    return backbone(x).half().numpy()


def test_features_are_those_made_by_hand(tmp_path: Path, backbones: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import zoo_of_backbones  # type: ignore[import-not-found]

    videos = some_videos(tmp_path / "v")
    assert command_features(words_of(videos, tmp_path / "s", "--frames", "7", "--batch", "4", workers=2)) == 0
    said = capsys.readouterr().out
    assert "6 clips of 3 classes" in said
    store = FeatureStore.open(tmp_path / "s")
    assert (store.width, len(store.rows)) == (8, 6)
    for k, row in enumerate(store.rows):
        path = videos / row.name
        assert (row.label, row.length) == (path.parent.name, 7)
        assert row.group == int(path.stem.split("_g")[1][:2])
        total = len(decoded(path))
        chosen = Picking(frames=7).spread(total)
        wanted = by_hand(path, chosen, Preprocess(8, 8), zoo_of_backbones.means())
        assert store.features(k).dtype == np.float16
        assert np.array_equal(store.features(k), wanted)
    known = store.provenance
    assert (known["backbone"], known["picking"]) == ("zoo_of_backbones:means", {"frames": 7})
    assert (known["size"], known["colour"], known["scale"], known["mean"]) == (8, "rgb", 1.0, [0.0] * 3)
    assert len(known["backbone_sha256"]) == 64
    assert {"nprnn", "torch", "av"} <= set(known["versions"])

    # Another session adds what is new, and touches nothing else.
    old = {path: path.stat().st_mtime_ns for path in (tmp_path / "s" / "clips").iterdir()}
    video(videos / "C" / "new.avi", 3)
    assert command_features(words_of(videos, tmp_path / "s", "--frames", "7", "--batch", "64")) == 0
    assert "6 are in the store already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in old} == old
    rows = {row.name: row for row in FeatureStore.open(tmp_path / "s").rows}
    assert rows["C/new.avi"].length == 3

    # Other settings, and other facts, are refused with the difference.
    for more, word in (
        (["--frames", "8"], "frames"),
        (["--stride", "2"], "{'frames': 7}, wanted {'stride': 2}"),
        (["--frames", "7", "--size", "7", "--colour", "rgb", "--scale", "1"], "size"),
        (["--frames", "7", "--mean", "1,2,3"], "mean"),
    ):
        message = fault(lambda more=more: command_features(words_of(videos, tmp_path / "s", *more)))  # type: ignore[misc]
        assert "holds other features" in message
        assert word in message
    message = fault(lambda: command_features(words_of(videos, tmp_path / "s", "--frames", "7", backbone="others")))
    assert "backbone" in message


def test_corrected_labels_need_no_decoding(tmp_path: Path, backbones: Path, capsys: pytest.CaptureFixture[str]) -> None:
    videos, index = some_videos(tmp_path / "v"), tmp_path / "v" / "index.csv"
    names = sorted(f"{path.parent.name}/{path.name}" for path in videos.glob("*/*.avi"))
    lines = [f"{name},{name[0]},{k},{'train' if k else 'test'}" for k, name in enumerate(names)]
    first = "\n".join(["path,label,group,split", *lines])
    index.write_text(first)
    words = words_of(videos, tmp_path / "s", "--frames", "7")
    assert command_features(words) == 0
    before = FeatureStore.open(tmp_path / "s")
    features = [before.features(k).copy() for k in range(6)]
    files = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "s" / "clips").iterdir()}
    # Videos that are gone, or could not be read any more, show that none is looked into.
    for path in videos.glob("*/*.avi"):
        path.write_bytes(b"no video")
    video(videos / "A" / "new.avi", 4)
    corrected = [
        lines[0].replace(",A,0,test", ",X,0,valid"),
        lines[1].replace(",1,", ",,"),
        *lines[2:],
        "A/new.avi,A,,",
    ]
    index.write_text("\n".join(["path,label,group,split", *corrected]))
    capsys.readouterr()
    assert command_features(words) == 0
    said = capsys.readouterr().out
    assert (
        "2 clips in the store take what is said of them now (label of 1, splits of 1, group of 1) and keep their "
        f"features: {names[0]}, whose label 'A' becomes 'X', splits {{'split': 'test'}} becomes {{'split': 'valid'}}"
    ) in said
    assert "6 are in the store already and not done again" in said
    after = FeatureStore.open(tmp_path / "s")
    rows = {row.name: row for row in after.rows}
    old = {row.name: row for row in before.rows}
    assert rows[names[0]] == old[names[0]]._replace(label="X", splits={"split": "valid"})
    assert rows[names[1]] == old[names[1]]._replace(group=None)
    assert {name: rows[name] for name in names[2:]} == {name: old[name] for name in names[2:]}
    assert set(rows) == {*names, "A/new.avi"}
    after.verify()
    for k, row in enumerate(before.rows):
        place = [r.name for r in after.rows].index(row.name)
        assert np.array_equal(after.features(place), features[k])
    now = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "s" / "clips").iterdir()}
    assert sum(now[name] != files[name] for name in files) == 2
    assert after.fingerprint() != before.fingerprint()
    # Nothing to take is not told, and the index of before brings the store of before back.
    assert command_features(words) == 0
    assert "take what is said" not in capsys.readouterr().out
    index.write_text(first)
    assert command_features(words) == 0
    back = {row.name: row for row in FeatureStore.open(tmp_path / "s").rows}
    assert {name: back[name] for name in names} == old


def test_broken_videos_are_left_out_with_the_reason(
    tmp_path: Path, backbones: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reasons = zoo(tmp_path / "v" / "Zoo")
    video(tmp_path / "v" / "good.avi", 5)
    video(tmp_path / "v" / "Good" / "a.avi", 5)
    whole = camera_video(tmp_path / "v" / "Good" / "b.avi").read_bytes()
    (tmp_path / "v" / "Good" / "b.avi").write_bytes(whole[: len(whole) // 2])
    assert command_features(words_of(tmp_path / "v", tmp_path / "s", "--stride", "1")) == 0
    said = capsys.readouterr().out
    names = FeatureStore.open(tmp_path / "s").names
    assert {"Good/a.avi", "Good/b.avi"} <= names <= {"Good/a.avi", "Good/b.avi", "Zoo/all_flipped.avi"}
    remarks = {row["name"]: row for row in csv.DictReader((tmp_path / "s" / "remarks.csv").open())}
    for name, reason in reasons.items():
        if name == "all_flipped.avi":
            continue
        assert remarks[f"Zoo/{name}"]["what"] == "left out"
        assert reason in remarks[f"Zoo/{name}"]["remark"], name
        assert f"left out: Zoo/{name}" in said
    assert remarks["Good/b.avi"]["what"] == "kept"
    assert "cut short" in remarks["Good/b.avi"]["remark"] or "broken" in remarks["Good/b.avi"]["remark"]

    # A second session tries them again, and keeps the remark on what is in the store.
    assert command_features(words_of(tmp_path / "v", tmp_path / "s", "--stride", "1")) == 0
    again = [row["name"] for row in csv.DictReader((tmp_path / "s" / "remarks.csv").open())]
    assert sorted(again) == sorted(remarks)


def test_nothing_readable_is_an_error(tmp_path: Path, backbones: Path) -> None:
    (tmp_path / "v" / "A").mkdir(parents=True)
    (tmp_path / "v" / "A" / "a.avi").write_text("words")
    message = fault(lambda: command_features(words_of(tmp_path / "v", tmp_path / "s", "--stride", "1")))
    assert "none of the videos" in message
    assert "remarks.csv" in message


def test_a_clip_that_kills_its_process_is_left_out(tmp_path: Path, backbones: Path) -> None:
    videos = some_videos(tmp_path / "v", 4, frames=4)
    image = np.zeros((12, 16, 3), np.uint8)
    with av.open(str(videos / "B" / "black.avi"), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 12, "rgb24"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    options = words_of(videos, tmp_path / "s", "--stride", "1", "--batch", "8", backbone="deadly")
    assert command_features(options) == 0
    assert FeatureStore.open(tmp_path / "s").names == {c.name for c in find_clips(videos).clips} - {"B/black.avi"}
    ((row),) = csv.DictReader((tmp_path / "s" / "remarks.csv").open())
    assert row["name"] == "B/black.avi"
    assert "SIGKILL" in row["remark"]


def test_features_beyond_float16_are_left_out(tmp_path: Path, backbones: Path) -> None:
    videos = some_videos(tmp_path / "v", 1)
    message = fault(lambda: command_features(words_of(videos, tmp_path / "s", "--stride", "4", backbone="huge")))
    assert "none of the videos" in message
    assert "beyond float16" in (tmp_path / "s" / "remarks.csv").read_text()


@pytest.mark.parametrize(
    ("backbone", "words"),
    [
        ("random", "another network at each call"),
        ("not_a_module", "must give a torch.nn.Module, got int"),
        ("fails", "failed with FileNotFoundError: weights.pt"),
        ("absent", "has no attribute 'absent'"),
    ],
)
def test_torch_backbones_refused(tmp_path: Path, backbones: Path, backbone: str, words: str) -> None:
    videos = some_videos(tmp_path / "v", 1)
    options = words_of(videos, tmp_path / "s", "--stride", "4", backbone=backbone)
    assert words in fault(lambda: command_features(options))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "either --frames N"),
        (["--frames", "3", "--stride", "2"], "either --frames N"),
        (["--frames", "0"], "frames must be at least 1"),
        (["--stride", "1", "--batch", "0"], "batch must be at least 1"),
        (["--stride", "1", "--workers", "0"], "workers must be at least 1"),
        (["--stride", "1", "--scale", "1/0"], "such as 0.5 or 1/255"),
        (["--stride", "1", "--scale", "x"], "such as 0.5 or 1/255"),
        (["--stride", "1", "--mean", "1,2"], "3 finite numbers"),
        (["--stride", "1", "--preprocess", "mobilenet"], "Did you mean 'mobilenet_v2'?"),
        (["--stride", "1", "--output", "x"], "--output names an output of an ONNX file"),
    ],
)
def test_options_refused(tmp_path: Path, backbones: Path, more: list[str], words: str) -> None:
    videos = some_videos(tmp_path / "v", 1)
    assert words in fault(lambda: command_features(words_of(videos, tmp_path / "s", *more)))


def test_preprocessing_must_be_told(tmp_path: Path) -> None:
    videos = some_videos(tmp_path / "v", 1)
    words = [str(videos), "--out", str(tmp_path / "s"), "--backbone", "a:b", "--stride", "1", "--size", "8"]
    message = fault(lambda: command_features(words))
    assert "give --colour, --scale" in message
    assert "mobilenet_v2|squeezenet|imagenet" in message


def test_a_missing_library_is_told_with_its_remedy(tmp_path: Path) -> None:
    videos = some_videos(tmp_path / "v", 1)
    (tmp_path / "x.onnx").write_bytes(b"x")
    code = (
        "import sys; sys.modules[sys.argv.pop(1)] = None\n"
        "from nprnn.cli.features import command_features\n"
        "from nprnn.errors import ConfigError\n"
        "try:\n    command_features(sys.argv[1:])\nexcept ConfigError as error:\n    print(error)\n"
    )
    for library, backbone in (("onnxruntime", str(tmp_path / "x.onnx")), ("av", "torch.nn:Flatten")):
        words = [library, str(videos), "--out", str(tmp_path / "s"), "--backbone", backbone, "--stride", "1", *STATED]
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
        assert f"needs the library {library}" in done.stdout
        assert "pip install 'nprnn[video]'" in done.stdout


# ---- killed, stopped, and in one another's way


def begin(folder: Path, words: list[str]) -> subprocess.Popen[str]:
    (folder / "run.py").write_text(RUN)
    return subprocess.Popen(
        [sys.executable, str(folder / "run.py"), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def await_clips(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 120
    while len(list(out.glob("clips/[!.]*"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


def members_of(group: int) -> list[int]:
    """Processes of a group that are alive."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(place.name))
    return found


def await_end(group: int) -> None:
    """Nothing that the command started outlives it by more than a moment."""
    until = time.monotonic() + 20
    while members_of(group):
        assert time.monotonic() < until, "processes outlive the command"
        time.sleep(0.05)


@pytest.mark.slow
def test_killed_and_gone_on(tmp_path: Path, backbones: Path) -> None:
    videos = some_videos(tmp_path / "v", 12, frames=6)
    options = words_of(videos, tmp_path / "s", "--frames", "4", "--batch", "3", backbone="slow", workers=2)
    process = begin(tmp_path, options)
    await_clips(tmp_path / "s", 3, process)

    # A second one is refused while the first is at work.
    assert "another process" in fault(lambda: command_features(options))

    process.kill()
    process.communicate()
    await_end(process.pid)
    before = FeatureStore.open(tmp_path / "s").names
    assert 3 <= len(before) < 12
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "s" / "clips").glob("[!.]*")}

    process = begin(tmp_path, options)
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert f"{len(before)} are in the store already" in said
    store = FeatureStore.open(tmp_path / "s")
    assert len(store.rows) == 12
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert [row.length for row in store.rows] == [4] * 12
    assert not list((tmp_path / "s" / "clips").glob(".*"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_cleanly(tmp_path: Path, backbones: Path, number: int, status: int) -> None:
    videos = some_videos(tmp_path / "v", 12, frames=6)
    options = words_of(videos, tmp_path / "s", "--frames", "4", "--batch", "4", backbone="slow", workers=2)
    process = begin(tmp_path, options)
    await_clips(tmp_path / "s", 1, process)
    # As a terminal does: every process of the group hears it.
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    assert "the same command goes on" in said
    assert errors == ""
    await_end(process.pid)
    assert 1 <= len(FeatureStore.open(tmp_path / "s").rows) < 12


# ---- real clips, real networks


def model(name: str) -> Path:
    pytest.importorskip("onnxruntime")
    return real_data(f"models/{name}")


NETWORKS = {"mobilenet_v2": ("mobilenet_v2_1.0_224.onnx", 1280), "squeezenet": ("squeezenet_v1.1.onnx", 512)}


@pytest.mark.real_data
@pytest.mark.parametrize("name", NETWORKS)
def test_the_macaw_is_named(name: str) -> None:
    config = BackboneConfig(str(model(NETWORKS[name][0])), "logits", PREPROCESSING[name].size, 4)
    (frame,) = decoded(real_data("models/parrot.jpg"))
    settings = PREPROCESSING[name]
    logits = config.load()(settings.numbers(settings.picture(frame)[None]))[0]
    labels = real_data("models/imagenet_labels.txt").read_text().splitlines()
    # MobileNet has a class for the background in front, as the list has.
    assert labels[int(logits.argmax()) + (len(labels) - len(logits))] == "macaw"


@pytest.mark.real_data
@pytest.mark.parametrize("name", NETWORKS)
def test_real_clips_through_real_networks(tmp_path: Path, name: str) -> None:
    import onnxruntime

    file, width = NETWORKS[name]
    path, videos = model(file), tmp_path / "v"
    names = [
        "Archery/v_Archery_g02_c02.avi",
        "Biking/v_Biking_g01_c04.avi",
        "BenchPress/v_BenchPress_g01_c03.avi",
    ]
    for clip in names:
        (videos / clip).parent.mkdir(parents=True)
        (videos / clip).symlink_to(real_data(f"ucf101/clips/{clip}"))
    words = [str(videos), "--out", str(tmp_path / "s"), "--backbone", str(path), "--preprocess", name, "--frames", "5"]
    lists = str(real_data("ucf101/splits/trainlist01.txt").parent)
    assert command_features([*words, "--batch", "6", "--workers", "1", "--splits", lists]) == 0
    store = FeatureStore.open(tmp_path / "s")
    assert (store.width, store.provenance["output"]) == (width, "features")
    assert store.provenance["backbone"] == file
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    settings = PREPROCESSING[name]
    for k, row in enumerate(store.rows):
        frames = decoded(videos / row.name)
        pictures = np.stack([settings.picture(frames[j]) for j in Picking(frames=5).spread(len(frames))])
        x = pictures.astype(np.float32)
        x = x[..., ::-1] - np.float32([104, 117, 123]) if name == "squeezenet" else x / np.float32(127.5) - 1
        (wanted,) = session.run(["features"], {"image": np.ascontiguousarray(x.transpose(0, 3, 1, 2))})
        assert set(row.splits) == {"01", "02", "03"}
        found = store.features(k).astype(np.float32)
        np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-3)
        # But for what stood on the edge between two float16 numbers, all bits are equal.
        assert (found == wanted.astype(np.float16)).mean() > 0.99


@pytest.mark.real_data
def test_the_real_index_and_lists_agree() -> None:
    videos = real_data("ucf101/clips/index.csv").parent
    found = find_clips(videos)
    assert (len(found.clips), found.left_out) == (60, ())
    lists = Lists.read(real_data("ucf101/splits/classInd.txt").parent)
    assert len(lists.classes) == 101
    assert lists.classes["handstandpushups"] == "HandstandPushups"
    for clip in found.clips:
        assert lists.sides(clip.name) == clip.splits
        assert clip.name.startswith(f"{clip.label}/v_{clip.label}_g{clip.group:02}_")


@pytest.mark.real_data
def test_what_does_not_fit_a_network_is_told() -> None:
    path = str(model("mobilenet_v2_1.0_224.onnx"))
    message = fault(lambda: BackboneConfig(path, None, 227, 16).load())
    assert "'image' is tensor(float) ['N', 3, 224, 224]" in message
    assert "pictures are 227 x 227" in message
    message = fault(lambda: BackboneConfig(path, "feature", 224, 16).load())
    assert "Did you mean 'features'?" in message
    assert "logits ['N', 1001]" in message
    assert width_of(BackboneConfig(path, None, 224, 16).load(), 224) == 1280


def test_files_that_are_no_network(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "x.onnx").write_bytes(b"no network")
    assert "no network that ONNX Runtime can run" in fault(BackboneConfig(str(tmp_path / "x.onnx"), None, 8, 1).load)
    assert "cannot be read" in fault(BackboneConfig(str(tmp_path / "y.onnx"), None, 8, 1).load)
    assert "cannot be read" in fault(BackboneConfig("no such thing", None, 8, 1).load)
    assert "cannot be imported" in fault(BackboneConfig("no_such.module:thing", None, 8, 1).load)


def onnx_file(path: Path, inputs: dict[str, tuple[int, list[Any]]], axes: tuple[int, ...]) -> Path:
    """A network that gives the mean of its first input over some axes, as ``y``."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    given = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
    (first, (kind, shape)) = next(iter(inputs.items()))
    left = [1 if k in axes else side for k, side in enumerate(shape)]
    node = helper.make_node("ReduceMean", [first], ["y"], axes=list(axes), keepdims=1)
    out = helper.make_tensor_value_info("y", kind, left)
    graph = helper.make_graph([node], "g", given, [out])
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(file.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("inputs", "output", "words"),
    [
        ({"x": (1, ["N", 8, 8, 3])}, "y", "export it with channels first"),
        ({"x": (1, ["N", 1, 8, 8])}, "y", "expected 3 channels"),
        ({"x": (1, ["N", 3, 8])}, "y", "expected 4 axes"),
        ({"x": (10, ["N", 3, 8, 8])}, "y", "expected tensor(float)"),
        ({"x": (1, ["N", 3, 8, 8]), "z": (1, [1])}, "y", "2 inputs ('x', 'z')"),
        ({"x": (1, [2, 3, 8, 8])}, "y", "give --batch 2"),
        ({"x": (1, ["N", 3, 8, 8])}, None, "name one with --output"),
    ],
)
def test_inputs_that_do_not_fit(tmp_path: Path, inputs: Any, output: str | None, words: str) -> None:
    path = onnx_file(tmp_path / "x.onnx", inputs, (2,))
    assert words in fault(BackboneConfig(str(path), output, 8, 16).load)


def test_axes_of_length_one_are_dropped_and_a_fixed_batch_is_filled_up(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "x.onnx", {"x": (1, [4, 3, 8, 8])}, (2, 3))
    backbone = BackboneConfig(str(path), "y", 8, 4).load()
    x = np.random.default_rng(0).normal(size=(3, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(backbone(x), x.mean((2, 3)), rtol=1e-4, atol=1e-6)
    path = onnx_file(tmp_path / "z.onnx", {"x": (1, ["N", 3, 8, 8])}, (2,))
    wide = BackboneConfig(str(path), "y", 8, 4).load()
    assert "must be [N, F]" in fault(lambda: wide(x))


# ---- what a person sees


def test_progress_on_a_plain_stream_and_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(extracting.time, "monotonic", lambda: now)
    for terminal in (False, True):
        stream = io.StringIO()
        console = Console(file=stream, force_terminal=terminal, width=100, highlight=False)
        with extracting.ExtractionView(console, 10, 2) as view:
            view.on_unfit("empty.avi", "it is empty")
            for k in range(5):
                view.draw()
                now += 4.0
                view.on_done(f"{k}.avi", "1 of 9 frames are broken" if k == 1 else "")
            view.on_left_out("[x].avi", "it is no video")
            now += 20.0
            view.draw()
        said = stream.getvalue()
        assert "left out: [x].avi: it is no video" in said
        assert "kept in part: 1.avi: 1 of 9 frames are broken" in said
        assert (view.left_out, view.in_part) == (2, 1)
        # Six answers, the first 36 seconds ago: the seconds before it are of processes that begin.
        assert ("8/10 clips  0.14 clips/s  14 s left" in said) is not terminal
        # The last word is of the moment of the last answer, not of what came after.
        assert ("0.31 clips/s" in said) is terminal


def test_a_flood_of_remarks_is_cut(tmp_path: Path) -> None:
    stream = io.StringIO()
    with extracting.ExtractionView(Console(file=stream, width=100), 100, 0) as view:
        for k in range(100):
            view.on_left_out(f"{k}.avi", "it is empty")
    assert stream.getvalue().count("left out:") == 20
    assert "only written down" in stream.getvalue()
    assert view.left_out == 100
