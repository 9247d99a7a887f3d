"""What a network says of a clip: the answer, and how it came about over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nprnn.models import At, SequenceModel


@dataclass(frozen=True, eq=False)
class ClipScores:
    """The scores of a clip's classes.

    Attributes:
        name: of the clip.
        class_names: of the classes.
        frames: numbers of the frames the network saw, in order [T].
        seconds: when these are shown [T]; None where the file does not tell.
        outputs: what the answer is read from, before the softmax [O].
        over_time: the same after each frame, as if the clip ended there [T, O].
        at: how outputs are read: "last", after the last frame, or "mean", their mean over the frames so far.
    """

    name: str
    class_names: tuple[str, ...]
    frames: tuple[int, ...]
    seconds: tuple[float, ...] | None
    outputs: Tensor
    over_time: Tensor
    at: At

    @property
    def probabilities(self) -> Tensor:
        """Of the classes, float64 [O]."""
        return torch.softmax(self.outputs.double(), -1)

    @property
    def course(self) -> Tensor:
        """Probabilities after each frame, float64 [T, O]."""
        return torch.softmax(self.over_time.double(), -1)

    def top(self, count: int) -> list[tuple[int, float]]:
        """(class, probability) of the likeliest classes, the first of them the answer."""
        shares = self.probabilities
        # Equal ones by their number, as in training.
        order = shares.argsort(descending=True, stable=True)[:count].tolist()
        return [(k, float(shares[k])) for k in order]

    def as_record(self, count: int) -> dict[str, Any]:
        """As JSON values, with the likeliest ``count`` classes named."""
        top = [{"class": self.class_names[k], "probability": p} for k, p in self.top(count)]
        seconds: Sequence[float | None] = self.seconds or [None] * len(self.frames)
        return {
            "clip": self.name,
            "answer": top[0]["class"],
            "probability": top[0]["probability"],
            "top": top,
            "judged_at": self.at,
            "classes": list(self.class_names),
            "outputs": self.outputs.tolist(),
            "frames": [{"frame": k, "seconds": at} for k, at in zip(self.frames, seconds, strict=True)],
            "probabilities_after_each_frame": self.course.tolist(),
        }

    def rows(self) -> list[dict[str, str | float]]:
        """Probabilities after each frame, as rows for a table."""
        found: list[dict[str, str | float]] = []
        for k, shares in enumerate(self.course.tolist()):
            row: dict[str, str | float] = {"frame": self.frames[k]}
            row["seconds"] = "" if self.seconds is None else round(self.seconds[k], 4)
            row |= {f"p({name})": round(p, 6) for name, p in zip(self.class_names, shares, strict=True)}
            found.append(row)
        return found


@torch.no_grad()
def scores_over_time(model: SequenceModel, x: Tensor, at: At) -> tuple[Tensor, Tensor]:
    """What the answer for a clip is read from, and what it would be read from after each frame.

    Args:
        model: the network, in evaluation mode.
        x: inputs [T, I].
        at: "last" or "mean".

    Returns:
        Outputs [O], as the task judges them, and [T, O].
    """
    clip = x.unsqueeze(1)
    each = model(clip, at="each").squeeze(1)
    if at == "mean":
        each = (each.double().cumsum(0) / torch.arange(1, len(each) + 1).unsqueeze(1)).to(each)
    return model(clip, at=at).squeeze(0), each
