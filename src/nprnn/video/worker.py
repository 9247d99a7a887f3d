"""One process of an extraction: it decodes clips, fills batches with their frames, and tells the features."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from nprnn.errors import ConfigError, NprnnError
from nprnn.video.backbone import Backbone, BackboneConfig, Identity
from nprnn.video.clock import Moment
from nprnn.video.decode import Picking, Video
from nprnn.video.preprocess import Preprocess


class Order(NamedTuple):
    """How a worker is to work.

    Attributes:
        backbone: which.
        identity: what the backbone must turn out to be.
        preprocess: what it is shown of a frame.
        picking: which frames.
    """

    backbone: BackboneConfig
    identity: Identity
    preprocess: Preprocess
    picking: Picking


class Given(NamedTuple):
    """A clip to do, by its number."""

    clip: int
    path: Path


class Ready(NamedTuple):
    """The backbone is loaded."""


class Begun(NamedTuple):
    """The clip that came last is being decoded; the next one may come."""


class Done(NamedTuple):
    """The features [T, F] of a clip, where its T frames are in it, and what a person should know of it, or nothing."""

    clip: int
    features: NDArray[np.float16]
    moments: tuple[Moment, ...]
    remark: str


class Refused(NamedTuple):
    """A clip gives no features, and why."""

    clip: int
    reason: str


class Broken(NamedTuple):
    """The worker gives up: no clip would do."""

    error: str


Message = Ready | Begun | Done | Refused | Broken


def labour(channel: Connection, order: Order) -> None:
    """What the process does: clips until None comes, or until nobody is there any more.

    Args:
        channel: clips come out of it, messages go into it.
        order: how to work.
    """
    # Ctrl-C reaches every process of a terminal; it is left to the parent, which ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    torch.set_num_threads(1)
    try:
        try:
            desk = _Desk(channel, order)
            channel.send(Ready())
            while (given := channel.recv()) is not None:
                desk.take(given)
            desk.flush()
        except NprnnError as error:
            channel.send(Broken(str(error)))
        except (EOFError, OSError):
            raise
        except Exception as error:
            channel.send(Broken(f"a process failed: {type(error).__name__}: {error}"))
    except (EOFError, OSError):
        # The parent is gone, and the store with it.
        return


@dataclass
class _Hand:
    """A clip in hand.

    Attributes:
        clip: its number.
        expected: frames that went into batches.
        rows: features [n, F] that came out of them.
        closed: whether no more frames will come.
        moments: where those frames are.
        remark: to be told with the features.
    """

    clip: int
    expected: int = 0
    rows: list[NDArray[np.float16]] = field(default_factory=list)
    closed: bool = False
    moments: tuple[Moment, ...] = ()
    remark: str = ""


class _Desk:
    """Where frames wait for their batch, and clips for their last frame."""

    def __init__(self, channel: Connection, order: Order) -> None:
        self._channel = channel
        self._order = order
        self._backbone: Backbone = order.backbone.load()
        if self._backbone.identity != order.identity:
            raise ConfigError(
                f"{order.backbone.source} is another network at each call: its weights differ. Let it load them from a "
                "file, or seed it (torch.manual_seed) before it makes them."
            )
        self._waiting: list[tuple[_Hand, NDArray[np.uint8]]] = []

    def take(self, given: Given) -> None:
        """Decode a clip; full batches run meanwhile, the rest waits for the next clip's frames."""
        self._channel.send(Begun())
        hand = _Hand(given.clip)
        video = Video(given.path)
        pictures = video.pictures(self._order.picking, self._order.preprocess.picture)
        while True:
            try:
                picture = next(pictures, None)
            except ConfigError:
                raise
            except NprnnError as error:
                return self._refuse(hand, str(error))
            # A file can be broken in ways that no list of exceptions foresees; it is one clip of many.
            except Exception as error:
                return self._refuse(hand, f"reading it failed: {type(error).__name__}: {error}")
            if picture is None:
                break
            hand.expected += 1
            self._waiting.append((hand, picture))
            if len(self._waiting) == self._order.backbone.batch:
                self.flush()
        hand.closed, hand.moments, hand.remark = True, video.moments, video.remark
        self._finish(hand)

    def flush(self) -> None:
        """Run the frames that wait, and finish the clips that have all of theirs."""
        if not self._waiting:
            return
        hands, pictures = zip(*self._waiting, strict=True)
        self._waiting = []
        features = self._backbone(self._order.preprocess.numbers(np.stack(pictures)))
        with np.errstate(over="ignore"):
            rounded = features.astype(np.float16)
        start = 0
        for stop in range(1, len(hands) + 1):
            if stop == len(hands) or hands[stop] is not hands[start]:
                hands[start].rows.append(rounded[start:stop])
                self._finish(hands[start])
                start = stop

    def _finish(self, hand: _Hand) -> None:
        if not hand.closed or sum(map(len, hand.rows)) < hand.expected:
            return
        features = np.concatenate(hand.rows)
        if not np.isfinite(features).all():
            self._refuse(hand, "the backbone gives numbers for it that are NaN or beyond float16 (±65504)")
            return
        self._channel.send(Done(hand.clip, features, hand.moments, hand.remark))

    def _refuse(self, hand: _Hand, reason: str) -> None:
        self._waiting = [(other, picture) for other, picture in self._waiting if other is not hand]
        self._channel.send(Refused(hand.clip, reason))
