"""A checkpoint in one safetensors file: tensors, counters, and a checksum over both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nprnn.errors import RunError
from nprnn.files import parse_json


class Checkpoint(NamedTuple):
    """Tensors by name, how many updates they have had, and what else the writer wants back (JSON values)."""

    tensors: dict[str, Tensor]
    update: int
    extra: dict[str, Any]


def pack(checkpoint: Checkpoint) -> bytes:
    """A checkpoint as the bytes of a safetensors file."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().contiguous() for name, tensor in checkpoint.tensors.items()}
    facts = {"update": checkpoint.update, "extra": checkpoint.extra}
    # One entry, because safetensors writes several in any order: equal checkpoints shall be equal files.
    return save(tensors, metadata={"nprnn": json.dumps({**facts, "checksum": _checksum(tensors, facts)})})


def unpack(path: Path) -> Checkpoint:
    """Read a checkpoint back.

    Raises:
        RunError: the file is damaged, by a single bit even.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = parse_json((file.metadata() or {})["nprnn"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if facts.pop("checksum") != _checksum(tensors, facts):
            raise ValueError("its checksum does not fit its content")
        return Checkpoint(tensors, int(facts["update"]), facts["extra"])
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, OSError, RecursionError) as error:
        raise RunError(f"{path} is damaged ({error})") from error


def _checksum(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> str:
    """The safetensors format has none of its own, and a flipped bit in a weight is no error to it."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
