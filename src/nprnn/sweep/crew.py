"""Who trains the shards of a sweep: processes of this machine, or others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from nprnn.sweep.messages import Given, Message
from nprnn.sweep.shards import Shard


class Crew(Protocol):
    """Workers, each known by a number that its shard was started with until it is ``Gone``."""

    def most(self) -> int:
        """How many workers there may be at once, at this moment."""

    def start(self, number: int, shard: Shard, members: Sequence[Given]) -> None:
        """Put a shard to work.

        Args:
            number: what to call the worker; no other one at work has it.
            shard: what it trains.
            members: the members of the shard.

        Raises:
            RunError: no worker can be had.
        """

    def listen(self, seconds: float) -> Sequence[tuple[int, Message]]:
        """What was told by which worker, waited for that long at most; ``Gone`` is the last of each."""

    def stop(self) -> None:
        """Ask every worker to write checkpoints and end."""

    def kill(self) -> None:
        """End every worker at once."""

    def close(self) -> None:
        """Let go of the workers: they are to write checkpoints and end, and nobody listens any more."""
