"""Features that are ready, from whatever files, into a feature store: the loop that all importers share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from nprnn.errors import DataError
from nprnn.feature_store import ClipRow, FeatureStore


class Clips(NamedTuple):
    """Clips of one file, opened.

    Attributes:
        rows: what is known of each.
        width: F, features a step.
        features: gives the floats [T, F] of ``rows[k]``.
    """

    rows: Sequence[ClipRow]
    width: int
    features: Callable[[int], NDArray[Any]]


class Part(NamedTuple):
    """Clips of one file, not opened yet.

    Attributes:
        path: the file.
        names: of the clips.
        open: opens the file and checks it.
    """

    path: Path
    names: Sequence[str]
    open: Callable[[], Clips]


@dataclass(frozen=True, eq=False)
class ReadyFeatures:
    """What an import is of.

    Attributes:
        provenance: JSON values that say where the features come from.
        parts: the files, at least one; all clips have different names.
        about: what a person should know of them, in lines.
    """

    provenance: Mapping[str, Any]
    parts: Sequence[Part]
    about: tuple[str, ...] = ()

    @property
    def names(self) -> set[str]:
        """The names of all clips."""
        return {name for part in self.parts for name in part.names}

    def open_store(self, folder: Path) -> FeatureStore:
        """Make the store, or open it to go on; a source whose first file is bad leaves no store behind.

        Raises:
            DataError: a bad file, or a folder that holds something else or cannot be written.
        """
        return FeatureStore.create(folder, self.provenance, self.parts[0].open().width)

    def fill(
        self,
        store: FeatureStore,
        *,
        progress: Callable[[int, int], None] = lambda done, of: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Append the clips that the store lacks; a file whose clips are all there is not opened.

        Args:
            store: what ``open_store`` gave.
            progress: called after each clip with the clips done, those of before among them, and the clips in all.
            stop: asked before each clip.

        Returns:
            Whether all clips are there now, rather than ``stop`` having said so.

        Raises:
            DataError: a bad file, or a store that cannot be written or that another process writes; what was appended
                before stays.
        """
        with store.lock():
            there = store.names
            done, total = len(there & self.names), len(self.names)
            for part in self.parts:
                if there.issuperset(part.names):
                    continue
                clips = part.open()
                if clips.width != store.width:
                    raise DataError(f"{part.path} has {clips.width} features a frame, the others {store.width}")
                for k, row in enumerate(clips.rows):
                    if row.name in there:
                        continue
                    if stop():
                        return False
                    store.append(row, clips.features(k))
                    progress(done := done + 1, total)
        return True
