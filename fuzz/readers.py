"""Fuzzing the readers: bytes that a coverage-guided fuzzer makes, as files, through what reads users' files.

    python fuzz/readers.py all --seconds 3600     every reader, an hour together; the record and corpora are kept
    python fuzz/readers.py npz --seconds 60       one
    python fuzz/readers.py npz -runs=1000 DIR     libFuzzer's own words: see -help=1

An input that makes a reader raise anything but ``nprnn.errors``, or take more than ``limits.py`` allows, is a finding:
it is put into fuzz/findings/READER and fuzzing goes on. ``tests/test_fuzz_corpus.py`` puts corpora and findings through
the readers again, without the fuzzer.
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
READERS = ("idx", "npz", "csv", "index", "config")
# Where an input that is no longer of use would be noticed: in memory, so that no disk waits.
_SCRATCH = "/dev/shm" if Path("/dev/shm").is_dir() else None


class Findings:
    """The findings of a reader: one input for each place that raises, the smallest seen.

    Args:
        reader: its name.
        target: what it does with an input and an empty folder.
    """

    def __init__(self, reader: str, target: Callable[[bytes, Path], None]) -> None:
        self.folder = HERE / "findings" / reader
        self.folder.mkdir(parents=True, exist_ok=True)
        self._target = target
        self._known: dict[str, bytes] = {}
        for path in sorted(self.folder.iterdir()):
            if fault := self.fault(path.read_bytes()):
                self._known.setdefault(_place(fault), path.read_bytes())

    def fault(self, data: bytes) -> BaseException | None:
        """What an input raises that it should not."""
        with tempfile.TemporaryDirectory(dir=_SCRATCH, prefix="nprnn-fuzz-") as folder:
            try:
                self._target(data, Path(folder))
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # a panic of a library in Rust is no Exception
                return error
        return None

    def __call__(self, data: bytes) -> None:
        """Run an input, and keep it if it is a finding."""
        fault = self.fault(data)
        if fault is None:
            return
        place = _place(fault)
        before = self._known.get(place)
        if before is not None and len(data) >= len(before):
            return
        self._known[place] = data
        if before is None:
            sys.stderr.write(f"\nFINDING {place}\n{''.join(traceback.format_exception(fault)[-6:])}\n")
        else:
            (self.folder / _name(place, before)).unlink(missing_ok=True)
        (self.folder / _name(place, data)).write_bytes(data)


def _place(fault: BaseException) -> str:
    """What is raised, and the last line of the package that was in it."""
    frames = [frame for frame in traceback.extract_tb(fault.__traceback__) if "nprnn" in Path(frame.filename).parts]
    last = frames[-1] if frames else traceback.extract_tb(fault.__traceback__)[-1]
    return f"{type(fault).__name__}-{Path(last.filename).stem}-{last.name}"


def _name(place: str, data: bytes) -> str:
    return f"{place}-{hashlib.sha256(data).hexdigest()[:8]}"


def fuzz(reader: str, words: list[str]) -> None:
    """Run the fuzzer in this process; it ends the process."""
    try:
        import atheris
    except ImportError:
        sys.exit("fuzzing needs atheris: pip install -c constraints.txt -e '.[fuzz]'")
    # What the readers stand on is followed too, as far as it is Python and not loaded yet.
    with atheris.instrument_imports(include=["nprnn", "tomllib", "zipfile", "gzip", "csv"]):
        from limits import SECONDS, memory_bounded
        from seeds import SEEDS
        from targets import TARGETS
    warnings.simplefilter("ignore")
    findings = Findings(reader, TARGETS[reader])
    for seed in SEEDS[reader]():  # whatever is loaded on first use
        findings(seed)
    # A merge starts this very command anew through a shell.
    own = shlex.join([sys.executable, str(Path(__file__).resolve()), reader])
    limits = [f"-timeout={SECONDS}", "-rss_limit_mb=4096", f"-artifact_prefix={findings.folder}/"]
    with memory_bounded():
        atheris.Setup([own, *limits, *words], findings)
        atheris.Fuzz()


def put_seeds(reader: str, folder: Path) -> None:
    """The seeds of a reader, as files."""
    from seeds import SEEDS

    for k, seed in enumerate(SEEDS[reader]()):
        (folder / f"seed-{k}").write_bytes(seed)


def session(reader: str, seconds: int) -> dict[str, float]:
    """Fuzz a reader for so long, and keep a small corpus that reaches as much; what it came to."""
    corpus, work = HERE / "corpus" / reader, HERE.parent / "build" / "fuzz" / reader
    for folder in (corpus, work):
        folder.mkdir(parents=True, exist_ok=True)
    log, began, executions, reached = work.with_suffix(".log"), time.monotonic(), 0, {}
    with tempfile.TemporaryDirectory() as seeds:
        put_seeds(reader, Path(seeds))
        folders = [str(work), str(corpus), str(HERE / "findings" / reader), seeds]
        # It ends itself where an input hangs or takes too much memory; such an input is kept, and it is started again.
        for _ in range(8):
            left = int(seconds - (time.monotonic() - began))
            if left < 2:
                break
            flags = [f"-max_total_time={left}", "-print_final_stats=1", "-max_len=8192", "-reload=0"]
            text = _call(reader, [*flags, *folders], log)
            executions += int(_last(text, "stat::number_of_executed_units:") or 0)
            reached = {name: int(_last(text, f" {name}:") or 0) for name in ("cov", "ft")}
        spent = time.monotonic() - began
        with tempfile.TemporaryDirectory() as smaller:
            _call(reader, ["-set_cover_merge=1", "-max_len=8192", smaller, *folders[:2], seeds], log)
            if any(Path(smaller).iterdir()):
                shutil.rmtree(corpus)
                shutil.copytree(smaller, corpus)
    return {"executions": executions, "seconds": round(spent), "edges": reached["cov"], "features": reached["ft"]}


def _call(reader: str, words: list[str], log: Path) -> str:
    command = [sys.executable, __file__, reader, *words]
    with log.open("ab") as file:
        start = file.tell()
        subprocess.run(command, stdout=file, stderr=file, check=False)
    return log.read_bytes()[start:].decode(errors="replace")


def _last(text: str, word: str) -> str | None:
    """The word behind the last one of those."""
    _, found, rest = text.rpartition(word)
    return rest.split()[0] if found else None


def main(words: list[str]) -> int:
    """Fuzz."""
    reader, *rest = words or ["--help"]
    readers = READERS if reader == "all" else (reader,)
    if set(readers) - set(READERS):
        print(f"{__doc__}\nreaders: all, {', '.join(READERS)}")
        return 2
    if rest[:1] != ["--seconds"]:
        fuzz(readers[0], rest)
    from telling import keep

    for each in readers:
        keep(each, session(each, int(rest[1]) // len(readers)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
