"""The blocks of the README and of docs/: what they are, how they are run, and why a few are not."""

from __future__ import annotations

import contextlib
import glob
import io
import json
import os
import re
import shlex
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from conftest import ROOT
from nprnn.cli import main

PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md"))]
# What a reader can run, and what is only shown.
RUNNABLE, SHOWN = ("python", "sh"), ("text", "toml", "math", "csv")

# Blocks that another test runs, by page and language, with what it asks of their output.
ELSEWHERE = {
    ("docs/video.md", "sh"): "test_video_chain.py::test_the_page_on_videos_runs",
    ("docs/data_parallel.md", "sh"): "test_wrappers.py::test_the_page_runs",
    ("docs/data_parallel.md", "python"): "test_wrappers.py::test_the_page_runs",
    ("docs/dynamics.md", "python"): "test_analyse.py::test_the_page_on_dynamics_runs",
}
# Commands, and blocks by their first line, that are not run, by page and their beginning; each with the reason.
NOT_RUN = {
    ("docs/dynamics.md", "nprnn analyse np-RNN-mirror IRNN --task mnist"): "needs MNIST's own files: test_analyse.py",
    ("docs/dynamics.md", "nprnn analyse runs/mnist"): "needs MNIST's own files: test_analyse.py",
    ("README.md", "make demo"): "make test would run itself; the commands of make demo are run by a test of their own",
    ("docs/index.md", "python -m venv"): "installs the package; make does it before every test",
    ("docs/reproduction.md", "nprnn features UCF-101"): "needs UCF-101's videos; docs/video.md has some",
    ("docs/reproduction.md", "nprnn import vgg16_relu6"): "needs features of all clips: test_import.py has some",
    ("docs/reproduction.md", "python examples/msraction3d.py"): "needs MSR-Action3D; test_examples.py has a small one",
    ("docs/sweeps.md", "nprnn sweep grid.toml --dry-run"): "shows a command and its options; test_sweep.py runs them",
    ("docs/clusters.md", "pip install"): "needs two machines; test_cluster.py runs the commands on one",
    ("docs/clusters.md", "nprnn sweep grid.toml --out"): "needs machines that share a folder; see test_sweep_parts.py",
    ("docs/clusters.md", "ray start"): "test_cluster.py runs these commands, and kills a node",
    ("docs/clusters.md", "#!/bin/bash"): "scripts for SLURM; their commands are those that test_cluster.py runs",
    ("docs/data_parallel.md", "torchrun --nnodes 2"): "needs two machines; test_torchrun.py has one",
}
# What makes a command tiny: options that are added where a block does not give them.
_SMALL = "--updates 4 --eval-every 2 --hidden 4 --batch 4 --threads 1"
_MARKED = f"{_SMALL} --length 12 --train-size 20 --valid-size 8 --test-size 8"
TINY = {
    "train addition": _MARKED,
    "train multiplication": _MARKED,
    "train mnist": f"{_SMALL} --any-idx --valid-size 6",
    "train sequences": _SMALL,
    "train ucf101": _SMALL,
    "analyse": "--draws 2 --exponents 2 --period 1 --hidden 6",
    "features": "--workers 1",
    "sweep": "--workers 1",
    "reproduce small/fig3.toml": "--workers 1",
}
# And words that are put in the place of others: a small experiment, and files that are there for a download.
PUT = {"fig3": "small/fig3.toml", "--download": "--data-dir=mnist"}


class Block(NamedTuple):
    """A block of code."""

    language: str
    text: str

    @property
    def first(self) -> str:
        return self.text.splitlines()[0]


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page that can be run, in order."""
    return [block for block in all_blocks(page) if block.language in RUNNABLE]


def all_blocks(page: str) -> list[Block]:
    """All blocks of a page in order; one that is only indented is of the language "indented"."""
    fence = r"^```(?P<language>\S*)\n(?P<fenced>.*?)^```"
    indented = r"(?<=\n\n)(?P<indented>(?:    [^\n]*\n|\n(?=    ))+)"
    found = re.finditer(f"{fence}|{indented}", (ROOT / page).read_text(), re.S | re.M)
    return [
        Block("indented", re.sub(r"^    ", "", m["indented"], flags=re.M))
        if m["indented"]
        else Block(m["language"], m["fenced"])
        for m in found
        # Within a list four spaces are no code.
        if not m["indented"] or not re.search(r"^\d+\.|^- ", _paragraph_before(m), re.M)
    ]


def _paragraph_before(found: re.Match[str]) -> str:
    return found.string[: found.start()].rstrip("\n").split("\n\n")[-1]


def reason(page: str, line: str) -> tuple[str, str] | None:
    """Where NOT_RUN has the reason not to run a line, or the block that begins with it."""
    return next((key for key in NOT_RUN if key[0] == page and line.startswith(key[1])), None)


def to_run(page: str) -> list[Block]:
    """The blocks that are run as blocks of their page; of one that is nprnn's commands, those that are run."""
    found = []
    for block in blocks(page):
        lines = block.text.splitlines(keepends=True)
        if all(line.startswith("nprnn ") for line in lines):
            lines = [line for line in lines if reason(page, line) is None]
        elif reason(page, block.first):
            lines = []
        if lines and (page, block.language) not in ELSEWHERE:
            found.append(Block(block.language, "".join(lines)))
    return found


def run_page(page: str, folder: Path) -> list[str]:
    """Run the blocks of a page in order, as a reader would, in a folder; what each one said.

    Neighbouring blocks of Python share a process. Those of the README share their names too.
    """
    said: list[str] = []
    for language, some in groupby(to_run(page), key=lambda block: block.language):
        texts = [block.text for block in some]
        if language == "python":
            said += run_python(texts, folder, together=page == "README.md")
        else:
            said += [run_shell(text, folder) for text in texts]
    return said


def run_python(texts: list[str], folder: Path, *, together: bool = False) -> list[str]:
    """Run blocks one after the other in one process, each with names of its own unless they go together."""
    mark = "-- next block --"
    script = (
        f"import json, sys\ntexts, names = json.loads(sys.argv[1]), {{'__name__': '__main__'}}\n"
        f"for text in texts:\n    exec(compile(text, text, 'exec'), names{'' if together else '.copy()'})\n"
        f"    print({mark!r})"
    )
    return _told([sys.executable, "-c", script, json.dumps(texts)], folder).split(f"{mark}\n")[:-1]


def run_shell(text: str, folder: Path) -> str:
    """Run a block of commands: here and tiny if all of them are nprnn's, else by a shell and as they stand."""
    commands = [] if "<<" in text else commands_of(text)
    if commands and all(words[0] == "nprnn" for words in commands):
        return "".join(_run_here(words[1:], folder) for words in commands)
    return run_bash(text, folder)


def run_bash(text: str, folder: Path) -> str:
    """Run commands as they stand."""
    return _told(["bash", "-euo", "pipefail", "-c", text], folder)


def commands_of(text: str) -> list[list[str]]:
    """The words of each command of a block."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=";")
        words.whitespace_split = True
        found += [list(some) for parted, some in groupby(words, key=lambda word: word == ";") if not parted]
    return found


def tiny(words: list[str]) -> list[str]:
    """The words of a command with what makes it tiny."""
    words = [PUT.get(word, word) for word in words]
    key = next((key for key in TINY if words[: len(key.split())] == key.split()), None)
    options = re.findall(r"(--\S+)((?: [^- ]\S*)?)", "" if key is None else TINY[key])
    given = {word.partition("=")[0] for word in words}
    return words + [word for name, value in options if name not in given for word in (name, value.strip()) if word]


def _run_here(words: list[str], folder: Path) -> str:
    said = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        found = [sorted(glob.glob(word)) or [word] if "*" in word else [word] for word in tiny(words)]
        status = main([word for several in found for word in several])
    assert status == 0, f"nprnn {' '.join(words)}\n{said.getvalue()}"
    return said.getvalue()


def _told(command: list[str], folder: Path) -> str:
    # The commands of this very environment come first.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
    return done.stdout
