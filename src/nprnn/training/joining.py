"""From the processes that torchrun started to partners in training."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from nprnn.errors import ConfigError, RunError
from nprnn.training.partners import ALONE, Lost, Partners
from nprnn.training.together import Together

# What torchrun tells each process that it starts; torch.distributed reads the same.
_CALL = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@contextmanager
def joined() -> Iterator[Partners]:
    """The partners of this process, if ``torchrun`` started it with others; ``ALONE`` if not.

    They speak over gloo, and about what is on CUDA devices over NCCL. At the end, however it comes, they part.

    Yields:
        The partners.

    Raises:
        ConfigError: this torch cannot do it.
        RunError: the others do not come.
    """
    if any(name not in os.environ for name in _CALL) or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    dist: Any = torch.distributed
    if not (dist.is_available() and dist.is_gloo_available()):
        raise ConfigError(
            f"this torch ({torch.__version__}) cannot train in several processes; start one, without torchrun"
        )
    devices = dist.is_nccl_available() and torch.cuda.is_available()
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if devices else "gloo")
    except (RuntimeError, ValueError) as error:
        raise RunError(f"this process (rank {os.environ['RANK']}) could not meet the others: {error}") from error
    rank, world = dist.get_rank(), dist.get_world_size()
    partners = Together(rank, world, _Network(rank, world), int(os.environ.get("LOCAL_RANK", rank)))
    try:
        yield partners
    finally:
        partners.close()
        dist.destroy_process_group()


class _Network:
    """``torch.distributed`` as a wire."""

    def __init__(self, rank: int, world: int) -> None:
        self._rank, self._world = rank, world
        self._dist: Any = torch.distributed

    def sum(self, numbers: Tensor) -> None:
        with self._reaching():
            self._dist.all_reduce(numbers)

    def gather(self, note: Any) -> Sequence[Any]:
        found = [None] * self._world
        with self._reaching():
            self._dist.all_gather_object(found, note)
        return found

    def give(self, note: Any) -> Any:
        box = [note]
        with self._reaching():
            self._dist.broadcast_object_list(box, src=0)
        return box[0]

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            # Gloo begins with a place in its own source, and ends with advice.
            said = re.sub(r"^\[\S+\] ", "", str(error).strip()).partition(". ")[0].partition("\n")[0]
            raise Lost(
                f"rank {self._rank} of {self._world} lost the others ({said}); one of them has ended, and should have "
                "said why"
            ) from error
