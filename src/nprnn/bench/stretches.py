"""Whole training steps, a stretch at a time, by the loop itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from nprnn.devices import find_device, synchronize
from nprnn.training import Member, train_ensemble


def stretch(
    members: Sequence[Member],
    updates: int,
    *,
    device: str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Train on for so many updates, and one before that is not timed.

    The time counts from the end of the first update to the end of the last, so that what surrounds the updates
    (checkpoints, batches drawn ahead for the first time) does not.

    Args:
        members: as for ``train_ensemble``; a later call goes on where this one stopped.
        updates: how many are timed; no evaluation should fall among them.
        device: where to compute.
        clock: seconds from some fixed moment.

    Returns:
        Seconds an update (of all members together).
    """
    times: list[float] = []

    place = find_device(device)

    def stop() -> bool:
        # A device is asked once an update is under way there: the first and the last are waited for.
        if len(times) in (0, updates):
            synchronize(place)
        times.append(clock())
        return len(times) > updates

    train_ensemble(members, stop=stop, device=place)
    return (times[-1] - times[0]) / updates
