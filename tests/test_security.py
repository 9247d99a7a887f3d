"""Strangers' files and texts: nothing runs, nothing leads out of a folder, nothing takes memory because it says so.

| point | here | in the tests of the reader |
|---|---|---|
| nothing is unpickled or run | calls in src, checkpoints, clips | test_sequence_npz, test_import, test_predict_video |
| no path leads out | every index, archives, names of folders | test_video, test_feature_store, test_cluster |
| sizes that are claimed | hostile_files.py in 256 MiB, videos | test_idx, test_sequence_npz |
| depth, numbers without end | | test_config_fuzz |
| text in pages | every kind of block, every template | test_report, test_reproduction_pages, test_comparison_pages |
| downloads | nothing else opens an address | test_download: TLS, checksum before place, redirects, limits |
"""

from __future__ import annotations

import ast
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

import hostile_files
from conftest import ROOT
from html_pages import Page, rendered
from nprnn.cli import main
from nprnn.errors import ConfigError, DataError, NprnnError, RunError
from nprnn.feature_store import ClipRow, FeatureStore
from nprnn.reporting import blocks
from nprnn.reporting.explorer import write_explorer
from nprnn.reporting.layout import template
from nprnn.runs import LAST, Run
from nprnn.tasks.sequence_files import read_inputs
from nprnn.tasks.sequences import Sequences
from nprnn.tasks.ucf101_import import read_ucf101
from nprnn.training import TrainConfig, start_run, train
from nprnn.video import Picking, find_clips, new_videos
from nprnn.video.decode import Video
from sequence_makers import attempt
from small_runs import CONFIG, TASK

SOURCE = ROOT / "src" / "nprnn"
SCRIPT = "</title></script><script>alert(1)</script><img src=x onerror='alert(1)'>\"&\u202e\x1b[31m"


def calls() -> Iterator[tuple[str, str, dict[str, ast.expr]]]:
    """(place, what is called, its arguments by name) of every call in the package."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                named = {word.arg: word.value for word in node.keywords if word.arg}
                yield f"{path.relative_to(ROOT)}:{node.lineno}", ast.unparse(node.func), named


def imports() -> Iterator[tuple[str, str]]:
    """(file, module) of every import in the package."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            name = str(path.relative_to(SOURCE))
            if isinstance(node, ast.Import):
                yield from ((name, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from ((name, f"{node.module}.{alias.name}") for alias in node.names)


def is_true(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is True


def test_no_call_runs_what_a_file_says() -> None:
    refused = re.compile(
        r"(eval|exec|compile|__import__|os\.(system|popen)|(np|numpy)\.load|.*(pickle|shelve|marshal|dill|joblib)\.\w+"
        r"|yaml\.\w*load\w*|.*\.(extract|extractall|unpack_archive)|shutil\.unpack_archive|tempfile\.mktemp"
        r"|.*_create_unverified_context)"
    )
    for place, name, words in calls():
        assert not refused.fullmatch(name), f"{place} calls {name}"
        assert not is_true(words.get("shell")), f"{place}: a shell reads what is in a name"
        assert not is_true(words.get("allow_pickle")), place
        assert name != "torch.load" or is_true(words.get("weights_only")), f"{place}: torch.load may unpickle anything"


UNPICKLES = ("pickle", "shelve", "marshal", "dill", "cloudpickle", "joblib", "yaml")


def test_what_unpickles_is_not_even_imported_and_addresses_are_opened_in_one_place() -> None:
    for file, module in imports():
        assert module.split(".")[0] not in UNPICKLES, f"{file} imports {module}"
        if re.match(r"urllib\.request|http\.client|requests|httpx|ftplib|urllib3", module):
            assert file == "tasks/transfer.py", f"{file} imports {module}"


# What these read, the package has just written itself.
OWN_JSON = ("reporting/footprint.py", "feature_store/store.py", "bench/memory.py")


def test_files_of_json_and_toml_are_parsed_where_depth_and_digits_are_bounded() -> None:
    for place, name, _ in calls():
        if re.fullmatch(r"(json|tomllib)\.loads?", name):
            file = place.removeprefix("src/nprnn/").partition(":")[0]
            assert file in ("files.py", *OWN_JSON), f"{place}: use nprnn.files.parse_json or parse_toml"


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.mark),))


@pytest.mark.parametrize("how", ["pickle", "torch", "old torch"])
def test_a_pickle_in_a_checkpoint_s_place_is_damage(how: str, tmp_path: Path) -> None:
    mark, run = tmp_path / "unpickled", Run.create(tmp_path, "run", {"a": 1}, {})
    path = run.folder / LAST
    if how == "pickle":
        path.write_bytes(pickle.dumps(Trap(mark)))
    else:
        torch.save({"model": Trap(mark)}, path, _use_new_zipfile_serialization=how == "torch")
    assert zipfile.is_zipfile(path) is (how == "torch")
    with pytest.raises(RunError, match="damaged"):
        run.resume()
    assert not mark.exists()
    store = FeatureStore.create(tmp_path / "store", {}, 2)
    store.append(ClipRow("c", "a", None, {}, 3), np.ones((3, 2), np.float32))
    (clip,) = (store.folder / "clips").iterdir()
    clip.write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="damaged"):
        FeatureStore.open(store.folder)
    assert not mark.exists()
    os.mkdir(mark)
    with pytest.raises(FileExistsError):
        torch.load(path.rename(tmp_path / "x.pt"), weights_only=False)  # the trap is one


def test_a_pickle_of_an_array_is_no_data(tmp_path: Path) -> None:
    mark, trap = tmp_path / "unpickled", np.empty(1, object)
    trap[:] = [Trap(mark)]
    for name in ("x.npy", "x.npz"):
        with (tmp_path / name).open("wb") as file:
            np.save(file, trap, allow_pickle=True)
        with pytest.raises(DataError, match=r"expected a \.npz|damaged"):
            Sequences(tmp_path / name).load(0)
    assert not mark.exists()


# --- paths

NAMES = [
    *("../secret", "a/../../secret", "/secret", "//secret", "{root}/secret", "link", "linked/secret", "loop"),
    *("a\0b", "x" * 5000, "/".join(["x" * 200] * 30), "..", "../f/../secret", "~/secret", "$HOME/secret"),
    *("C:\\secret", "C:secret", "\\\\server\\share\\secret", "..\\secret", "\\secret", "file:///secret", "|secret"),
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with links out of it, beside a file that nobody may find."""
    folder = tmp_path / "f"
    folder.mkdir()
    for name in ("secret", "secret.csv", "secret.npz"):
        (tmp_path / name).write_text("1,2\n")
    for name, to in (("link", "secret"), ("linked", "."), ("loop", "f/loop")):
        (folder / name).symlink_to(tmp_path / to)
    return folder


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:24]))
def test_no_index_leads_out_of_its_folder(name: str, place: Path) -> None:
    cell = name.replace("{root}", str(place.parent))
    index = place / "index.csv"
    index.write_text(f"file,label\n{cell},a\n")
    with pytest.raises(DataError, match=r"line 2|not a CSV"):
        read_inputs(place)
    # Of videos an odd name inside the folder is only a clip that is not there.
    index.write_text(f"path,label\n{cell},a\n")
    layout, told = attempt(lambda: find_clips(place))
    if layout is None:
        assert "line 2" in told
    else:
        assert not layout.clips
        assert Path(os.path.abspath(place / cell)).is_relative_to(place)
    index.write_text(f"class,clip,row,group\n{cell},c,0,1\n")
    with pytest.raises(DataError, match=re.escape(str(place))):
        [part.open() for part in read_ucf101(place).parts]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:24]))
def test_lists_name_clips_and_open_none(name: str, place: Path) -> None:
    cell = name.replace("{root}", str(place.parent))
    (place / "A").mkdir()
    (place / "A" / "v_A_g01_c01.avi").write_bytes(b"x")
    (place / "trainlist01.txt").write_text(f"A/v_A_g01_c01.avi 1\nA/{cell}\n")
    (place / "classInd.txt").write_text(f"1 A\n2 {cell}\n")
    layout = find_clips(place, place)
    assert [clip.name for clip in layout.clips] == ["A/v_A_g01_c01.avi"]


@pytest.mark.parametrize("name", ["../x.npy", "/tmp/x.npy", "a/../../x.npy", "..\\x.npy", "C:\\x.npy", "x\0.npy"])
def test_nothing_is_unpacked_from_an_archive(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "in"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "a.npz", "w") as archive:
        archive.writestr(name, hostile_files.npy("(1,)", bytes(4)))
    with pytest.raises(DataError):
        read_inputs(folder / "a.npz")
    (folder / "index.csv").write_text("class,clip,row,group\na,c,0,1\n")
    with pytest.raises(DataError):
        [part.open() for part in read_ucf101(folder).parts]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.npz", "deep", "in", "index.csv"]


def test_names_of_new_videos_stay_below_their_folder(tmp_path: Path) -> None:
    for folder in ("a", "b/..c", "b"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "..v.avi").write_bytes(b"x")
        (tmp_path / folder / "v.avi").write_bytes(b"x")
    (tmp_path / "b" / "out").symlink_to(tmp_path)
    odd = tmp_path / "a" / ".." / "b"
    videos, _ = new_videos([tmp_path / "a", odd, odd / "v.avi", tmp_path / "a" / ".." / "a" / "v.avi"])
    assert len({video.name for video in videos}) == len(videos) >= 2
    for video in videos:
        assert ".." not in Path(video.name).parts
        assert not Path(video.name).is_absolute()


@pytest.mark.parametrize("name", ["../run", "/tmp/run", "a/b"])
def test_a_run_s_folder_is_named_by_known_words(name: str) -> None:
    # The folder's name is the task's, the model's, a number and a hash.
    with pytest.raises(ConfigError, match="unknown model"):
        TrainConfig(model=name)


# --- sizes


def test_small_files_that_claim_much_take_little_memory(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tests" / "hostile_files.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said.keys() == {make.__name__ for make in hostile_files.FILES}
    for name, words in said.items():
        assert words not in ("READ", "MEMORY"), name
        assert "/" in words, f"{name}: no file is named in {words!r}"
    limits = ["idx_header", "npz_bomb", "split_lists", *(name for name in said if name.startswith("csv"))]
    limits += [name for name in said if "index" in name]
    for name in limits:
        assert re.search(r"over the limit|a row of more than", said[name]), said[name]


def test_frames_that_claim_to_be_huge_are_not_made(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 12, "bgr24"
        image = np.zeros((12, 16, 3), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    content = path.read_bytes()
    assert len(list(Video(path).pictures(Picking(stride=1), lambda frame: frame))) == 1
    at = content.index(b"strf") + 12
    path.write_bytes(content[:at] + (10_000).to_bytes(4, "little") * 2 + content[at + 8 :])
    with pytest.raises(DataError, match=r"10000 x 10000, over the limit"):
        list(Video(path).pictures(Picking(stride=1), lambda frame: frame))


# --- pages


def test_every_template_escapes_what_is_put_in() -> None:
    assert "<script" not in template("<p title='{{ a }}'>{{ a }}</p>").render(a=SCRIPT)
    for place, name, words in calls():
        # The other one writes C, whose own test has text that would end a comment.
        if name.endswith("Environment") and "export/c_source" not in place:
            assert is_true(words["autoescape"]), place
        if name.endswith("Markup"):
            assert place.startswith("src/nprnn/reporting/layout.py"), f"{place}: text that is not escaped"
    for path in SOURCE.rglob("*.py"):
        assert not re.search(r"\|\s*safe\b|autoescape false", path.read_text()), path


def every_block(text: str) -> list[blocks.Block]:
    return [
        blocks.Heading(text, 1),
        blocks.Paragraph(text),
        blocks.Notice(text),
        blocks.Bullets([text]),
        blocks.Table([text, "n"], [[text, text]], [text]),
        blocks.Picture("p", text, text),
        blocks.Code(text),
        blocks.Files({text: text}),
        blocks.Link(text, text),
    ]


@pytest.mark.parametrize("text", [SCRIPT, "javascript:alert(1)", '" onclick="alert(1)', "{{ 7 * 7 }}", "]]>", "-->"])
def test_every_kind_of_block_escapes_its_text(text: str) -> None:
    made = every_block(text)
    kinds = {kind for kind in vars(blocks).values() if isinstance(kind, type) and kind.__module__ == blocks.__name__}
    assert {type(block) for block in made} == kinds
    page = Page(blocks.as_html(made, {"p": b"png"}))
    plain = Page(blocks.as_html(every_block("plain"), {"p": b"png"}))
    assert page.tags == plain.tags, "text became a tag"
    assert page.texts["h1"] == [text]
    # A path is quoted, colons too, so that it leads to a file beside the page whatever it is called.
    assert not any(re.match(r"\s*javascript:", link, re.I) for link in page.links)


def test_the_explorer_takes_numbers_alone(tmp_path: Path) -> None:
    for value in (SCRIPT, "1", [1], None, True):
        with pytest.raises(NprnnError):
            write_explorer(tmp_path / "e.html", {"leading": value})
    with pytest.raises(NprnnError):
        write_explorer(tmp_path / "e.html", {SCRIPT: 1})
    assert not (tmp_path / "e.html").exists()


def test_the_page_of_an_analysis_escapes_names(tmp_path: Path) -> None:
    data = TASK.load(0)
    run = start_run("addition", TASK, CONFIG, data, tmp_path)
    train(CONFIG, data, run)
    name = SCRIPT.replace("/", "_")
    folder = run.folder.rename(tmp_path / name)
    pages = [tmp_path / "a.html", tmp_path / "md" / "README.md"]
    words = ["analyse", str(folder), "--out", str(pages[0]), "--markdown", str(pages[1].parent), "--brief"]
    assert main(words) == 0
    html, markdown = (page.read_text() for page in pages)
    for page in (Page(html), rendered(markdown)):
        assert any("alert(1)" in text for texts in page.texts.values() for text in texts), "the name is not on the page"
        assert "script" not in page.tags
        assert not any("onerror" in link or link == "x" for link in page.links)
