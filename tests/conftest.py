"""Fixtures and rules for all tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent


def data_folder() -> Path:
    """Where the real data sets are: $NPRNN_DATA, else ../shared/data beside the checkout."""
    return Path(os.environ.get("NPRNN_DATA") or ROOT.parent / "shared" / "data")


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder with the real MNIST files; required when CI=true, skipped with a reason elsewhere."""
    folder = data_folder() / "mnist"
    if not folder.is_dir():
        message = f"REAL DATA NOT FOUND: {folder} (set NPRNN_DATA to the folder that holds mnist/)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread_each() -> None:
    """Test workers share the cores; small matrices only lose by more threads."""
    torch.set_num_threads(1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB of its own, to fill or to make read-only; required when CI=true."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        message = "FULL AND READ-ONLY DISKS ARE NOT TESTED: this user may not mount a tmpfs"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
