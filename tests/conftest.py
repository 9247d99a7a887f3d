"""Fixtures and rules for all tests."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import triton_interpreter

ROOT = Path(__file__).resolve().parent.parent

if os.environ.get("TRITON_INTERPRET"):
    triton_interpreter.mend()


def data_folder() -> Path:
    """Where the real data sets are: $NPRNN_DATA, else ../shared/data beside the checkout."""
    return Path(os.environ.get("NPRNN_DATA") or ROOT.parent / "shared" / "data")


def real_data(name: str) -> Path:
    """A file of the real data sets; required when CI=true, the test is skipped with a reason elsewhere."""
    path = data_folder() / name
    if not path.is_file():
        absent(f"REAL DATA NOT FOUND: {path} (set NPRNN_DATA to the folder that holds {Path(name).parent}/)")
    return path


def absent(message: str) -> None:
    """Fail where everything is required (CI=true), skip elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder with the real MNIST files; required when CI=true, skipped with a reason elsewhere."""
    return real_data("mnist/train-images-idx3-ubyte.gz").parent


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard() -> None:
    """A shell's background job ignores Ctrl-C, and so would everything that it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
        absent("FULL AND READ-ONLY DISKS ARE NOT TESTED: this user may not mount a tmpfs")
    try:
        yield folder
    finally:
        # What the test has mapped of it, and left to the collector, keeps it busy.
        gc.collect()
        subprocess.run(["umount", str(folder)], check=True)
