"""``nprnn.RNN`` under DistributedDataParallel, Lightning and Accelerate, on two processes: the numbers of one."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from conftest import ROOT, absent
from launching import ended, torchrun
from test_docs import blocks, run_block
from wrapped import KINDS, accelerate, lightning, plain


@pytest.fixture
def needs_lightning() -> None:
    installed("lightning")


@pytest.fixture
def needs_accelerate() -> None:
    installed("accelerate")


def installed(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        absent(f"{name.upper()} IS NOT TESTED: it is not installed (pip install {name})")


def on_two(wrapper: str, folder: Path, *kinds: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What each of two processes ends with, and of what kind."""
    ((status, _, err),) = ended(torchrun(str(ROOT / "tests" / "wrapped.py"), wrapper, str(folder), *kinds))
    assert status == 0, err
    for kind in kinds:
        for rank in range(2):
            yield kind, torch.load(folder / f"{kind}-{rank}.pt")


def assert_plain(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, v in wanted.items():
        torch.testing.assert_close(found[name], v, rtol=1e-11, atol=1e-13, msg=name)


@pytest.mark.slow
def test_distributed_data_parallel(tmp_path: Path) -> None:
    for kind, found in on_two("ddp", tmp_path, *KINDS):
        weights, gradients = plain(kind)
        assert all(v.count_nonzero() for v in gradients.values())
        assert_plain(found["gradients"], gradients)
        assert_plain(found["weights"], weights)


@pytest.mark.slow
@pytest.mark.usefixtures("needs_lightning")
def test_lightning(tmp_path: Path) -> None:
    assert_plain(lightning("single", processes=1)["weights"], plain("single")[0])
    for kind, found in on_two("lightning", tmp_path, "single", "ensemble"):
        assert_plain(found["weights"], plain(kind)[0])


@pytest.mark.slow
@pytest.mark.usefixtures("needs_accelerate")
def test_accelerate(tmp_path: Path) -> None:
    assert_plain(accelerate("single")["weights"], plain("single")[0])
    for kind, found in on_two("accelerate", tmp_path, "single", "ensemble"):
        assert_plain(found["weights"], plain(kind)[0])


@pytest.mark.slow
@pytest.mark.usefixtures("needs_lightning", "needs_accelerate")
def test_the_page_runs(tmp_path: Path) -> None:
    command, *scripts = blocks("docs/data_parallel.md")
    assert "addition, on 2 processes" in re.sub(r"addition: \S+,", "addition,", run_block(*command, tmp_path))
    assert [language for language, _ in scripts] == ["python"] * 3
    for _, text in scripts:
        (tmp_path / "file.py").write_text(text)
        if "lightning" in text:
            # It starts its processes itself.
            done = subprocess.run(
                [sys.executable, "file.py"], cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            assert "Starting with 2 processes" in done.stderr
            continue
        said = []
        for processes in (1, 2):
            ((status, out, err),) = ended(torchrun("file.py", processes=processes, cwd=tmp_path))
            assert status == 0, err
            said.append(float(out))
        assert said[0] == pytest.approx(said[1], abs=2e-4)
