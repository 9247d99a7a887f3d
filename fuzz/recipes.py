"""Files with checksums, told in JSON, so that what is fuzzed is what lies behind the checksum."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save

from nprnn.feature_store.clips import file_name, seal
from nprnn.runs.checkpoint import Checkpoint, pack

MOST_NUMBERS = 4096


def checkpoint(told: bytes) -> bytes:
    """A checkpoint of {"tensors": {name: shape}, "update": ..., "extra": ...}; of what is not that, the text itself."""
    try:
        facts = json.loads(told)
        tensors = {str(name): torch.zeros(_small(shape)) for name, shape in facts["tensors"].items()}
        return pack(Checkpoint(tensors, facts["update"], facts["extra"]))
    except Exception:
        return told


def store(told: bytes) -> bytes:
    """``store.json`` of its content without the seal."""
    try:
        facts = json.loads(told)
        return json.dumps({**facts, "seal": seal(facts)}).encode()
    except Exception:
        return told


def clip(told: bytes) -> tuple[str, bytes]:
    """A clip's file of {"row": ..., "shape": ..., "features": ...}, under the name that its row asks for."""
    try:
        facts = json.loads(told)
        values = np.zeros(_small(facts.pop("shape")), np.float16)
        name = file_name(facts["row"]["name"])
        return name, save({"features": values}, metadata={"nprnn": json.dumps({**facts, "seal": seal(facts)})})
    except Exception:
        return file_name("c"), told


def _small(shape: Any) -> tuple[int, ...]:
    sizes = tuple(map(int, shape))
    if min(sizes, default=1) < 0 or math.prod(sizes) > MOST_NUMBERS:
        raise ValueError(f"{sizes} is no shape of few numbers")
    return sizes
