"""A folder of clips' features: appended to safely, opened quickly, read without loading the rest.

    store.json               format, width, and where the features come from
    clips/*.safetensors      one clip each, as clips.py says
    origin.json              where its making found what it took, as origin.py says; may be lost

A file a clip makes appending one atomic replacement, so a kill harms nothing; and a batch costs the clips it holds,
however large the store is.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nprnn.errors import DataError
from nprnn.feature_store.clips import (
    SUFFIX,
    ClipRow,
    Header,
    checked,
    checksum,
    damaged,
    file_name,
    map_features,
    pack,
    read_header,
    seal,
)
from nprnn.files import parse_json, write_atomically
from nprnn.locks import locked

FORMAT = 1
FACTS = "store.json"
CLIPS = "clips"
# Opening a small file takes ten times as long as reading it: the clips read last stay mapped, up to so many bytes.
_MAPPED = 256 * 2**20


class FeatureStore:
    """An open store.

    Attributes:
        folder: where it is.
        width: F, features a step.
        provenance: JSON values that say where the features come from.
    """

    def __init__(self, folder: Path, width: int, provenance: Mapping[str, Any]) -> None:
        self.folder = folder
        self.width = width
        self.provenance = provenance
        self._headers: dict[str, Header] = {}
        self._files: set[str] = set()
        self._rows: tuple[ClipRow, ...] | None = None
        self._verified: set[str] = set()
        self._mapped: OrderedDict[str, NDArray[np.float16]] = OrderedDict()
        self._mapped_bytes = 0
        self._locked = False

    @classmethod
    def create(cls, folder: Path, provenance: Mapping[str, Any], width: int) -> FeatureStore:
        """Make a store, or open it to go on with if it is there.

        Args:
            folder: where; new, empty, or a store already.
            provenance: JSON values that say where the features come from.
            width: F, features a step.

        Returns:
            The store, with whatever clips it has.

        Raises:
            DataError: a store of other features is there, or something else; or the folder cannot be written.
        """
        if type(width) is not int or width < 1:
            raise DataError(f"{folder}: width must be at least 1 feature, got {width!r}")
        try:
            provenance = json.loads(json.dumps(dict(provenance), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise DataError(f"{folder}: provenance must be JSON values ({error})") from None
        if not (folder / FACTS).exists():
            new = cls(folder, width, provenance)
            with new._writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
            with new.lock(wait=True):
                new._begin()
        found = cls.open(folder)
        if found.width != width:
            raise found._other(f"their width is {found.width}, wanted {width}")
        there = found.provenance
        for key in sorted({**there, **provenance}):
            if there.get(key) != provenance.get(key) or (key in there) != (key in provenance):
                raise found._other(f"their {key} is {there.get(key)!r}, wanted {provenance.get(key)!r}")
        return found

    @classmethod
    def open(cls, folder: Path) -> FeatureStore:
        """Open a store; of the clips the headers alone are read.

        Raises:
            DataError: no store, one of another version, or damaged files; they are named.
        """
        path = folder / FACTS
        try:
            facts = parse_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"{folder} is not a feature store: it has no {FACTS}") from None
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read: {error}") from error
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise DataError(f"{path} is not of format {FORMAT}, which this version of nprnn reads")
        try:
            checks = facts.pop("seal", None) == seal(facts)
        except RecursionError:  # what can just be read may be nested too deeply to be written
            checks = False
        width, provenance = facts.get("width"), facts.get("provenance")
        if not (checks and type(width) is int and width >= 1 and isinstance(provenance, dict)):
            raise DataError(f"{path} is damaged: its checksum does not fit its content")
        store = cls(folder, width, provenance)
        store._look()
        return store

    @property
    def rows(self) -> tuple[ClipRow, ...]:
        """All clips, ordered by name; appending one moves those behind it."""
        if self._rows is None:
            self._rows = tuple(self._headers[name].row for name in sorted(self._headers))
        return self._rows

    @property
    def names(self) -> set[str]:
        """The names of all clips."""
        return set(self._headers)

    def features(self, k: int) -> NDArray[np.float16]:
        """The features [T, F] of ``rows[k]``, mapped from the file and read-only.

        What is read for the first time is held against its checksum.

        Raises:
            DataError: the file is gone, or damaged, by a single bit even.
        """
        row = self.rows[k]
        if row.name in self._mapped:
            self._mapped.move_to_end(row.name)
            return self._mapped[row.name]
        path = self._path(row)
        values = map_features(path, row.length, self.width)
        if row.name not in self._verified:
            if checksum(values) != self._headers[row.name].checksum:
                raise damaged(path, "its checksum does not fit its content")
            self._verified.add(row.name)
        self._mapped[row.name] = values
        self._mapped_bytes += values.nbytes
        while self._mapped_bytes > _MAPPED and len(self._mapped) > 1:
            self._mapped_bytes -= self._mapped.popitem(last=False)[1].nbytes
        return values

    def verify(self) -> None:
        """Hold the features of every clip against their checksums.

        Raises:
            DataError: a file is gone, or damaged, by a single bit even; it is named.
        """
        for k in range(len(self._headers)):
            self.features(k)

    def append(self, row: ClipRow, features: NDArray[Any]) -> None:
        """Add a clip; when this returns it is on the disk, and a kill before leaves nothing of it.

        Args:
            row: what is known of it.
            features: finite floats [T, F]; they are rounded to float16.

        Raises:
            DataError: a name that is there already, a row or features that make no sense, another process writes, or
                the folder cannot be written.
        """
        row, features = checked(row), np.asarray(features)
        if features.shape != (row.length, self.width) or features.dtype.kind != "f":
            raise DataError(
                f"{row.name} needs floats [{row.length}, {self.width}], got {features.dtype} {list(features.shape)}"
            )
        header, content = pack(row, features)
        path = self._path(row)
        with self.lock(), self._writing(path):
            # Asking the disk too is for systems without locks, where another may have written it meanwhile.
            if row.name in self._headers or path.exists():
                raise DataError(f"{self.folder} has a clip {row.name!r} already, and no clip is ever replaced")
            write_atomically(path, content)
            _sync(path.parent)
        self._add(header)

    def relabel(self, rows: Iterable[ClipRow]) -> None:
        """Say something else of clips that are there; their features stay as they are, to the bit.

        Each clip's file is replaced in one step: after a kill it says the one or the other. Other processes that have
        the store open go on with what it said before.

        Args:
            rows: what is known of each now; their names and lengths stay.

        Raises:
            DataError: a row of no clip here or that makes no sense, a damaged file, another process writes, or the
                folder cannot be written.
        """
        with self.lock():
            places = {row.name: (k, row.length) for k, row in enumerate(self.rows)}
            try:
                for row in map(checked, rows):
                    k, length = places.get(row.name, (0, 0))
                    if row.length != length:
                        raise DataError(f"{self.folder} has no clip {row.name!r} of {row.length} steps to relabel")
                    header, content = pack(row, self.features(k))
                    # Some systems replace no file that is mapped.
                    self._mapped_bytes -= self._mapped.pop(row.name).nbytes
                    path = self._path(row)
                    with self._writing(path):
                        write_atomically(path, content)
                        _sync(path.parent)
                    self._headers[row.name] = header
            finally:
                # Once, for sorting all rows after each would take longer than all the rest.
                self._rows = None

    @contextlib.contextmanager
    def lock(self, *, wait: bool = False) -> Iterator[None]:
        """Keep other processes from appending; what they appended until now is seen. One lock serves many appends.

        Args:
            wait: wait for another process to end its writing, rather than give up.

        Raises:
            DataError: another process writes, or the folder cannot be written.
        """
        if self._locked:
            yield
            return
        path = self.folder / ".lock"
        with contextlib.ExitStack() as held:
            with self._writing(path):
                had = held.enter_context(locked(path, wait=wait, needed=True))
            if not had:
                raise DataError(f"another process is writing to {self.folder}; wait for it to end")
            self._locked = True
            try:
                with self._writing(self.folder):
                    for litter in self.folder.glob(f"{CLIPS}/.*{SUFFIX}.*"):
                        litter.unlink()
                self._look()
                yield
            finally:
                self._locked = False

    def fingerprint(self) -> str:
        """A hash of where the features come from, of all rows, and of all features by their checksums."""
        clips = [self._headers[row.name] for row in self.rows]
        return seal({"width": self.width, "provenance": self.provenance, "clips": clips})

    def _begin(self) -> None:
        """Make an empty folder a store; the lock is held."""
        if (self.folder / FACTS).exists():
            return
        others = [p.name for p in self.folder.iterdir() if not p.name.startswith(".") and p.name != CLIPS]
        if others or self._files:
            raise DataError(f"{self.folder} is no feature store and not empty; name a new folder, or move it away")
        facts = {"format": FORMAT, "width": self.width, "provenance": self.provenance}
        with self._writing(self.folder):
            (self.folder / CLIPS).mkdir(exist_ok=True)
            text = json.dumps({**facts, "seal": seal(facts)}, indent=1, sort_keys=True)
            write_atomically(self.folder / FACTS, text.encode())
            _sync(self.folder)

    def _look(self) -> None:
        """Read the headers of clips that were not seen before."""
        folder = self.folder / CLIPS
        try:
            names = {entry.name for entry in os.scandir(folder)}
        except FileNotFoundError:
            names = set()
        except OSError as error:
            raise damaged(folder, error) from error
        # Hidden files are what a killed process left, or a desktop's.
        for name in sorted(n for n in names - self._files if n.endswith(SUFFIX) and not n.startswith(".")):
            self._add(read_header(folder / name, self.width))

    def _add(self, header: Header) -> None:
        self._headers[header.row.name] = header
        self._files.add(file_name(header.row.name))
        self._rows = None

    def _path(self, row: ClipRow) -> Path:
        return self.folder / CLIPS / file_name(row.name)

    def _other(self, difference: str) -> DataError:
        return DataError(f"{self.folder} holds other features: {difference}; name another folder, or move it away")

    @contextlib.contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(f"cannot write {path}: {error.strerror or error}") from error


def _sync(folder: Path) -> None:
    """A file's new name is on the disk only when its folder is."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
