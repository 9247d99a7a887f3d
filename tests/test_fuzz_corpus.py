"""Every input that fuzzing kept, through the readers again: only the project's errors, in bounded time and memory."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from conftest import ROOT

FUZZ = ROOT / "fuzz"
sys.path.insert(0, str(FUZZ))
from bundles import bundle, unbundle  # noqa: E402
from limits import HangError, bounded  # noqa: E402
from readers import READERS  # noqa: E402
from seeds import SEEDS  # noqa: E402
from targets import TARGETS  # noqa: E402


def through(reader: str, data: bytes, folder: Path) -> None:
    folder.mkdir()
    with bounded():
        TARGETS[reader](data, folder)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["corpus", "findings"])
@pytest.mark.parametrize("reader", READERS)
def test_kept_inputs_are_read_or_refused(reader: str, kind: str, tmp_path: Path) -> None:
    inputs = sorted((FUZZ / kind / reader).glob("*"))
    assert inputs or kind == "findings", "no corpus"
    for k, path in enumerate(inputs):
        try:
            through(reader, path.read_bytes(), tmp_path / str(k))
        except BaseException as error:
            error.add_note(f"in {path.relative_to(ROOT)}")
            raise


@pytest.mark.parametrize("reader", READERS)
def test_seeds_are_read(reader: str, tmp_path: Path) -> None:
    for k, seed in enumerate(SEEDS[reader]()):
        through(reader, seed, tmp_path / str(k))


def test_the_corpora_are_small() -> None:
    files = [path for path in (FUZZ / "corpus").rglob("*") if path.is_file()]
    assert len(files) < 1000
    assert sum(path.stat().st_size for path in files) < 1_000_000


def test_bundles_come_back_and_hold_no_other_names() -> None:
    files = {"a": b"1\n%% b", "c": b""}
    assert unbundle(bundle({"a": b"1\n", "c": b""}), ["a", "c"], "a") == {"a": b"1\n", "c": b""}
    assert unbundle(bundle(files), ["a", "c"], "a") == {"a": b"1", "c": b""}, "a name that is not known is passed over"
    assert unbundle(b"plain", ["a"], "a") == {"a": b"plain"}
    assert unbundle(b"%% ../up\nx", ["a"], "a") == {}


def test_what_hangs_or_takes_too_much_memory_is_a_finding() -> None:
    def hang() -> None:
        while True:
            pass

    with pytest.raises(HangError), bounded(seconds=0.05):
        hang()
    with pytest.raises(MemoryError), bounded(memory=1 << 26):
        bytearray(1 << 28)
