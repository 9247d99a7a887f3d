"""What every format is: a function that writes a network into a folder and can run what it wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from nprnn.export.network import Network

Mode = Literal["sequence", "step"]
Precision = Literal["float32", "int8"]
# From inputs [T, B, I] and lengths [B] or None to outputs as of ``Network.outputs``: [B, O], or [T, B, O] for "each".
Answer = Callable[[Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class Wanted:
    """What is asked of a format.

    Attributes:
        mode: whole sequences in one call, or a step at a time with the state in and out.
        precision: of the weights.
        opset: of ONNX; None is the format's own choice.
        calibration: inputs [T, B, I] and lengths [B] or None, of training sequences, for int8; else None.
    """

    mode: Mode = "sequence"
    precision: Precision = "float32"
    opset: int | None = None
    calibration: tuple[Tensor, Tensor | None] | None = None


@dataclass(frozen=True)
class Exported:
    """What a format wrote.

    Attributes:
        files: in the folder, what is shipped first.
        answer: runs those very files; None where this machine cannot, which ``details`` then tells.
        weight_bytes: bytes of weights and scales, as the device keeps them.
        state_bytes: bytes of the state and of what else a stream needs from step to step.
        details: JSON values for the record: nodes of a graph, compilers that took it, and so on.
    """

    files: tuple[Path, ...]
    answer: Answer | None
    weight_bytes: int
    state_bytes: int
    details: Mapping[str, Any]


# Writes a network into a folder that exists and is empty.
Writer = Callable[[Network, Path, Wanted], Exported]
