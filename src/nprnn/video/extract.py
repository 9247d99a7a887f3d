"""An extraction: the clips of a folder into a feature store, with remarks on those that give less or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from nprnn.feature_store import ClipRow, FeatureStore, remember_origin
from nprnn.video.crew import Crew
from nprnn.video.layout import Clip
from nprnn.video.remarks import Remarks
from nprnn.video.worker import Done, Order


class Watcher(Protocol):
    """Told what becomes of clips, and asked to draw."""

    def on_done(self, name: str, remark: str) -> None:
        """A clip is in the store; the remark says what was amiss, or nothing."""

    def on_left_out(self, name: str, reason: str) -> None:
        """A clip gives no features."""

    def draw(self) -> None:
        """Called several times a second."""


class Extraction:
    """Puts the features of clips into a store.

    Args:
        store: where to; its lock is held by the caller.
        order: how to.
        workers: processes at once.
        remarks: where to write down what is amiss with clips.
        watcher: told of clips.
    """

    def __init__(self, store: FeatureStore, order: Order, workers: int, remarks: Remarks, watcher: Watcher) -> None:
        self._store = store
        self._order = order
        self._workers = workers
        self._remarks = remarks
        self._watcher = watcher
        self._clips: Sequence[Clip] = ()

    def run(self, clips: Sequence[Clip], stop: Callable[[], bool]) -> bool:
        """Do the clips, in about their order, as ``Crew.run`` does.

        Args:
            clips: what to do; none of them is in the store.
            stop: asked several times a second; true ends the workers, whose clips in hand are lost.

        Returns:
            Whether all was done, and not stopped before.

        Raises:
            RunError: no process can be started, or none can work; says why.
            DataError: the store cannot be written.
        """
        remember_origin(self._store.folder, self._order.backbone.origin())
        self._clips = clips
        return Crew(self._order, self._workers, self).run([clip.path for clip in clips], stop)

    def take(self, done: Done) -> None:
        """Put a clip's features into the store."""
        found = self._clips[done.clip]
        # The remark first: one on a clip that is not in the store is dropped by the next session.
        if done.remark:
            self._remarks.add(found.name, "kept", done.remark)
        row = ClipRow(found.name, found.label, found.group, found.splits, len(done.features))
        self._store.append(row, done.features)
        self._watcher.on_done(found.name, done.remark)

    def leave_out(self, clip: int, reason: str) -> None:
        """Write down why a clip gives nothing."""
        name = self._clips[clip].name
        self._remarks.add(name, "left out", reason)
        self._watcher.on_left_out(name, reason)

    def draw(self) -> None:
        """Let the watcher draw."""
        self._watcher.draw()
