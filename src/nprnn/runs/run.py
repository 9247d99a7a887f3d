"""A run is a folder: what was asked for, on what, what came of it, and where it stands.

    config.json              task, its settings, training settings, fingerprint of the data
    env.json                 versions, machine, kernel, threads, when it began
    metrics.jsonl            a line per evaluation, with a checksum (records.py)
    checkpoint.safetensors   weights, optimiser and counters after the last evaluation (or Ctrl-C), in one file so that
                             they cannot be of different moments; checkpoint.previous.safetensors is the one before
    best.safetensors         the weights that did best on the validation set
    diverged.json            only where the numbers blew up: at which update, and how

Every file is replaced atomically or appended to a line at a time, and records past the checkpoint are dropped on
resume, so a killed process leaves a folder that goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nprnn.errors import RunError
from nprnn.files import keep_copy, parse_json, write_atomically
from nprnn.locks import is_locked, locked
from nprnn.runs.checkpoint import Checkpoint, pack, unpack
from nprnn.runs.records import line_of, read_records

FORMAT = 1
LAST = "checkpoint.safetensors"
PREVIOUS = "checkpoint.previous.safetensors"
METRICS = "metrics.jsonl"
# In a checkpoint: how many evaluations there had been, and what has gathered since the last (training's own).
RECORDED = "evaluations"
WINDOW = "window"
BEST = "best.safetensors"
DIVERGED = "diverged.json"
# All that is written here while training; what a killed process left half-written of it is removed on resume.
_WRITTEN = ("config.json", "env.json", METRICS, LAST, PREVIOUS, BEST, DIVERGED, "curve.png")
# As training names them: model, seed, hash. A date alone would pass for a hash.
_NAME = re.compile(r".+-s\d+-([0-9a-f]{8})")
_SNAPSHOT = re.compile(r"snapshot-(\d{9,})\.safetensors")
# Never through a link: a run folder may be a stranger's. (Not every system knows these.)
_CAREFUL = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Run:
    """An open run folder.

    Attributes:
        folder: where it is.
        config: the contents of ``config.json``.
        saved: updates done at the last checkpoint; 0 before the first.
        notice: what a person should know of the state it was found in, or "".
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.folder = folder
        self.config = config
        self.saved = 0
        self.notice = ""
        # Evaluations since the beginning, as the checkpoint knows them: lines of metrics.jsonl can be lost.
        self._recorded = 0

    @classmethod
    def create(cls, parent: Path, name: str, config: Mapping[str, Any], env: Mapping[str, Any]) -> Run:
        """Open the folder of this very config under ``parent``, making it if it is new.

        Args:
            parent: folder of runs.
            name: readable start of the folder's name; a hash of ``config`` follows.
            config: JSON values that determine the result: settings and the data's fingerprint.
            env: JSON values that describe the machine; written once.

        Returns:
            The run, new or to be resumed.

        Raises:
            RunError: the folder cannot be made or written.
        """
        config = {"format": FORMAT, **config}
        text = _text_of(config)
        folder = parent / f"{name}-{_hash_of(text)}"
        if (folder / "config.json").exists():
            run = cls.open(folder)
            if run.config != config:
                raise RunError(f"{folder} holds another config than its name says; move it away")
            return run
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / "env.json", json.dumps(env, indent=1, sort_keys=True).encode())
            # The config last: a folder that has one is complete enough to resume.
            write_atomically(folder / "config.json", text.encode())
        except OSError as error:
            raise RunError(f"cannot make the run folder {folder}: {error.strerror or error}") from error
        return cls(folder, config)

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Open an existing run.

        Raises:
            RunError: not a run folder, a damaged ``config.json``, or one from another version of this package.
        """
        path = folder / "config.json"
        try:
            config = parse_json(path.read_text())
        except FileNotFoundError:
            within = sorted(path.parent.name for path in folder.glob("*/config.json")) if folder.is_dir() else []
            hint = f"; {folder / within[0]} is one" if within else ""
            raise RunError(f"{folder} is not a run: it has no config.json{hint}") from None
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read: {error}") from error
        if not isinstance(config, dict) or config.get("format") != FORMAT:
            raise RunError(f"{path} is not of format {FORMAT}, which this version of nprnn reads")
        # A folder may have a name of its own; one that ends as ours do says what it holds.
        ours = _NAME.fullmatch(folder.resolve().name)
        if ours and ours[1] != _hash_of(_text_of(config)):
            raise RunError(f"{path} is damaged: it is another config than the folder's name says")
        return cls(folder, config)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a line to ``metrics.jsonl``."""
        with self._writing(METRICS) as path:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _CAREFUL, 0o666)
            with os.fdopen(descriptor, "a") as file:
                file.write(line_of(record))
                file.flush()
        self._recorded += 1

    def records(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``; a last line cut short by a kill is left out.

        Raises:
            RunError: a line is damaged.
        """
        return read_records(self.folder / METRICS)

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint, keeping the one before."""
        path = self.folder / LAST
        with self._writing(LAST):
            if path.exists():
                keep_copy(path, self.folder / PREVIOUS)
            extra = {**checkpoint.extra, RECORDED: self._recorded}
            write_atomically(path, pack(checkpoint._replace(extra=extra)))
        self.saved = checkpoint.update

    def save_best(self, checkpoint: Checkpoint) -> None:
        """Replace the weights that did best."""
        self.write(BEST, pack(checkpoint))

    def save_snapshot(self, checkpoint: Checkpoint) -> None:
        """Keep weights of this moment beside those of others."""
        self.write(f"snapshot-{checkpoint.update:09d}.safetensors", pack(checkpoint))

    def snapshots(self) -> dict[int, str]:
        """The names of the kept weights by their update, in order."""
        found = {path.name: _SNAPSHOT.fullmatch(path.name) for path in self.folder.glob("snapshot-*")}
        return dict(sorted((int(match[1]), name) for name, match in found.items() if match))

    def read_checkpoint(self, name: str) -> Checkpoint | None:
        """A checkpoint of the folder, ``LAST``, ``BEST`` or a snapshot; None if there is none.

        Raises:
            RunError: a damaged file.
        """
        path = self.folder / name
        return unpack(path) if path.exists() else None

    def resume(self) -> Checkpoint | None:
        """The checkpoint to go on from: the last, or the one before if that is damaged; None for a fresh start.

        Records and snapshots that came after it are dropped: they will be made again. So are half-written files of a
        process that was killed, and the note that an earlier try diverged.

        Raises:
            RunError: all checkpoints are damaged, or a record is.
        """
        for name in (*_WRITTEN, "snapshot-*"):
            for litter in self.folder.glob(f".{name}.*"):
                with self._writing(litter.name):
                    litter.unlink()
        with self._writing(DIVERGED) as path:
            path.unlink(missing_ok=True)
        checkpoint, self.notice = self.newest()
        self.saved = checkpoint.update if checkpoint else 0
        for update, name in self.snapshots().items():
            if update > self.saved:
                with self._writing(name) as path:
                    path.unlink()
        records, kept, lost = self.records(), [], ""
        self._recorded = 0
        if checkpoint:
            kept = _past(checkpoint, records)
            self._recorded = self._count(checkpoint, len(kept))
            lost = self.lost_of(checkpoint, records)
            extra = {name: value for name, value in checkpoint.extra.items() if name != RECORDED}
            checkpoint = checkpoint._replace(extra=extra)
        if len(kept) < len(records) or self._cut_short():
            self.write(METRICS, "".join(map(line_of, kept)).encode())
        if lost:
            self.notice = f"{self.notice}; {lost}" if self.notice else lost
        return checkpoint

    def lost_records(self) -> str:
        """What a person should know where ``metrics.jsonl`` lacks evaluations that the checkpoint knows of, or "".

        Raises:
            RunError: all checkpoints are damaged, or a record is.
        """
        checkpoint = self.newest()[0]
        return "" if checkpoint is None else self.lost_of(checkpoint, self.records())

    def lost_of(self, checkpoint: Checkpoint, records: Sequence[Mapping[str, Any]]) -> str:
        """As ``lost_records``, where the checkpoint and the records have been read."""
        there = len(_past(checkpoint, records))
        recorded = self._count(checkpoint, there)
        if there >= recorded:
            return ""
        return (
            f"{self.folder / METRICS} has lost {recorded - there} of {recorded} evaluations up to update "
            f"{checkpoint.update}: the weights are whole, the curve and the mean of the last lack them"
        )

    def _count(self, checkpoint: Checkpoint, there: int) -> int:
        """The evaluations that a checkpoint knows of; ``there`` where it is of before they were counted."""
        count = checkpoint.extra.get(RECORDED, there)
        if type(count) is not int or count < 0:
            raise RunError(f"a checkpoint of {self.folder} is damaged: it counts {count!r} evaluations")
        return count

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training in this folder.

        Raises:
            RunError: another process does.
        """
        with contextlib.ExitStack() as held:
            with self._writing(".lock") as path:
                had = held.enter_context(locked(path))
            if not had:
                raise RunError(f"another process is training in {self.folder}")
            yield

    def in_use(self) -> bool:
        """Whether a process trains in this folder now, as far as can be told; changes nothing."""
        return is_locked(self.folder / ".lock")

    def progress(self) -> int:
        """Updates done at the last checkpoint that can be read; 0 without one.

        Raises:
            RunError: there are checkpoints, and all are damaged.
        """
        checkpoint = self.newest()[0]
        return checkpoint.update if checkpoint else 0

    def newest(self) -> tuple[Checkpoint | None, str]:
        """The last checkpoint, or the one before if that is missing or damaged, and what to tell of that.

        Raises:
            RunError: there are checkpoints, and all are damaged.
        """
        told = ""
        try:
            checkpoint = self.read_checkpoint(LAST)
        except RunError as error:
            checkpoint = self.read_checkpoint(PREVIOUS)
            if checkpoint is None:
                raise
            told = str(error)
        else:
            if checkpoint is None:
                checkpoint = self.read_checkpoint(PREVIOUS)
                told = f"{self.folder / LAST} is missing" if checkpoint else ""
        if checkpoint and told:
            told += f"; going on from the checkpoint before it, of update {checkpoint.update}"
        return checkpoint, told

    def diverged(self) -> int | None:
        """The update at which the numbers blew up; None if they did not."""
        try:
            return int(parse_json((self.folder / DIVERGED).read_text())["update"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def files(self) -> list[Path]:
        """The files that training goes on from; checkpoints first, so that records read later are not behind them."""
        found = [self.folder / name for name in (LAST, PREVIOUS, *_WRITTEN, *self.snapshots().values())]
        return [path for path in dict.fromkeys(found) if path.is_file()]

    def write(self, name: str, content: bytes) -> Path:
        """Put a file into the folder, atomically."""
        with self._writing(name) as path:
            write_atomically(path, content)
        return path

    def env(self) -> dict[str, Any]:
        """The contents of ``env.json``; empty if it was lost, for nothing depends on it but where data were found."""
        return self._read_env()[0]

    def env_damage(self) -> str:
        """What a person should know where ``env.json`` is there and cannot be read, or ""."""
        return self._read_env()[1]

    def _read_env(self) -> tuple[dict[str, Any], str]:
        path = self.folder / "env.json"
        try:
            env = parse_json(path.read_text())
            if not isinstance(env, dict):
                raise ValueError("it is no table of names and values")
        except FileNotFoundError:
            return {}, ""
        except (OSError, ValueError) as error:
            lost = "what the run was computed on, and where its data were, is not known"
            return {}, f"{path} is damaged ({error}): {lost}"
        return env, ""

    def _cut_short(self) -> bool:
        path = self.folder / METRICS
        return path.exists() and not path.read_bytes().endswith(b"\n")

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[Path]:
        try:
            yield self.folder / name
        except OSError as error:
            raise RunError(f"cannot write {self.folder / name}: {error.strerror or error}") from error


def _past(checkpoint: Checkpoint, records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The evaluations before a checkpoint; where its update waits for its own, one of that update came after it."""
    window = checkpoint.extra.get(WINDOW)
    # The oldest have the losses themselves and no number of them.
    waits = isinstance(window, Mapping) and bool(window.get("updates", window.get("loss")))
    return [record for record in records if record["update"] < checkpoint.update + (not waits)]


def _text_of(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=1, sort_keys=True)


def _hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
