"""A run is a folder: what was asked for, on what, what came of it, and where it stands.

    config.json              task, its settings, training settings, fingerprint of the data
    env.json                 versions, machine, kernel, threads, when it began
    metrics.jsonl            a line per evaluation
    checkpoint.safetensors   the weights, and the number of updates they have had

Every file is replaced atomically or appended to a line at a time, and records past the checkpoint are dropped on
resume, so a killed process leaves a folder that goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from nprnn.errors import RunError

FORMAT = 1


class Run:
    """An open run folder.

    Attributes:
        folder: where it is.
        config: the contents of ``config.json``.
        saved: updates done at the last checkpoint; 0 before the first.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.folder = folder
        self.config = config
        self.saved = 0

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
        text = json.dumps(config, indent=1, sort_keys=True)
        folder = parent / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
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
            config = json.loads(path.read_text())
        except FileNotFoundError:
            raise RunError(f"{folder} is not a run: it has no config.json") from None
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read: {error}") from error
        if not isinstance(config, dict) or config.get("format") != FORMAT:
            raise RunError(f"{path} is not of format {FORMAT}, which this version of nprnn reads")
        return cls(folder, config)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a line to ``metrics.jsonl``."""
        with self._writing("metrics.jsonl") as path, path.open("a") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()

    def records(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``; a last line cut short by a kill is left out."""
        path = self.folder / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        records = []
        for number, line in enumerate(lines, 1):
            try:
                records.append(json.loads(line))
            except ValueError as error:
                if number == len(lines):
                    break
                raise RunError(f"{path} line {number} is damaged: {error}") from error
        return records

    def save_checkpoint(self, model: nn.Module, update: int) -> None:
        """Replace the checkpoint by these weights after ``update`` updates."""
        from safetensors.torch import save

        tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        with self._writing("checkpoint.safetensors") as path:
            write_atomically(path, save(tensors, metadata={"update": str(update)}))
        self.saved = update

    def read_checkpoint(self, model: nn.Module) -> int:
        """Load the checkpoint into ``model``.

        Returns:
            The updates the weights have had; 0, and the model untouched, without a checkpoint.

        Raises:
            RunError: a damaged checkpoint, or one that does not fit the model.
        """
        from safetensors import SafetensorError, safe_open

        path = self.folder / "checkpoint.safetensors"
        if not path.exists():
            return 0
        try:
            with safe_open(path, framework="pt") as file:
                update = int((file.metadata() or {})["update"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            model.load_state_dict(tensors)
        except (SafetensorError, KeyError, ValueError, RuntimeError, OSError) as error:
            raise RunError(
                f"{path} is damaged or not of this model ({error}); delete it to train again from the start"
            ) from error
        return update

    def resume(self, model: nn.Module) -> int:
        """Load the checkpoint into ``model`` and drop the records that lie past it; returns and raises likewise."""
        self.saved = self.read_checkpoint(model)
        records = self.records()
        kept = [record for record in records if record["update"] <= self.saved]
        if len(kept) < len(records) or self._cut_short():
            text = "".join(json.dumps(record) + "\n" for record in kept)
            with self._writing("metrics.jsonl") as path:
                write_atomically(path, text.encode())
        return self.saved

    def write(self, name: str, content: bytes) -> Path:
        """Put a file into the folder, atomically."""
        with self._writing(name) as path:
            write_atomically(path, content)
        return path

    def env(self) -> dict[str, Any]:
        """The contents of ``env.json``; empty if it was lost, for nothing depends on it but where data were found."""
        try:
            env = json.loads((self.folder / "env.json").read_text())
        except (OSError, ValueError):
            return {}
        return env if isinstance(env, dict) else {}

    def _cut_short(self) -> bool:
        path = self.folder / "metrics.jsonl"
        return path.exists() and not path.read_bytes().endswith(b"\n")

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[Path]:
        try:
            yield self.folder / name
        except OSError as error:
            raise RunError(f"cannot write {self.folder / name}: {error.strerror or error}") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``, so that at any moment there is either the old file or the new one.

    Raises:
        OSError: the folder cannot be written or the disk is full; the old file is untouched.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; a result is as readable as any other file of the user's.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
