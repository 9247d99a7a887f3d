"""A program of ExecuTorch, run by its own runtime in Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nprnn.errors import InputError, RunError
from nprnn.export.executorch_lowering import EXTRA, quietly
from nprnn.files import parse_json
from nprnn.optional import needed

# The method that tells what a program is.
TOLD = "nprnn"
_RUNNING = "running a .pte file"


class Program:
    """A file that ``nprnn export --format executorch`` wrote.

    Args:
        path: the .pte file.

    Raises:
        ConfigError: ExecuTorch is not installed.
        RunError: the file is missing, truncated, or not one of this package's.
    """

    def __init__(self, path: Path) -> None:
        with quietly():
            runtime = needed("executorch.runtime", _RUNNING, EXTRA)
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise RunError(f"cannot read {path}: {error.strerror or error}") from error
        try:
            self._program = runtime.Runtime.get().load_program(content)
            self.about: dict[str, Any] = parse_json(self._program.load_method(TOLD).execute(())[0])
            self._forward: Callable[[Sequence[Tensor]], Sequence[Tensor]]
            self._forward = self._program.load_method("forward").execute
        except (RuntimeError, KeyError, ValueError) as error:
            raise RunError(
                f"{path} is no whole program of nprnn export --format executorch ({error}); export the run again"
            ) from error
        self.path = Path(path)

    def __call__(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Run ``forward`` once.

        Args:
            x: inputs, [B, I] of a step or [T, 1, I] of a sequence.
            h: states [layers * directions, B, H].

        Returns:
            Outputs and states.

        Raises:
            InputError: numbers of another shape, or that are not finite.
            RunError: the runtime fails.
        """
        features, rank = self.about["input_size"], 2 if self.about["mode"] == "step" else 3
        if x.dim() != rank or x.shape[-1] != features:
            axes = "[B, I]" if rank == 2 else "[T, 1, I]"
            raise InputError(f"{self.path.name} takes inputs {axes} with I={features}, got shape {tuple(x.shape)}")
        states = (self.about["states"], x.shape[-2], self.about["hidden_size"])
        if tuple(h.shape) != states:
            raise InputError(f"{self.path.name} takes states of shape {states} for this batch, got {tuple(h.shape)}")
        most = self.about["most_streams"] if rank == 2 else self.about["most_steps"]
        if not 1 <= len(x) <= most or (rank == 3 and x.shape[1] != 1):
            allowed = f"1 to {most} sequences" if rank == 2 else f"1 to {most} steps of one sequence"
            raise InputError(f"{self.path.name} takes {allowed} in a call, got shape {tuple(x.shape)}")
        if not (bool(x.isfinite().all()) and bool(h.isfinite().all())):
            raise InputError(f"inputs and states of {self.path.name} must be finite numbers, got NaN or infinity")
        try:
            found = self._forward((x.float().contiguous(), h.float().contiguous()))
        except RuntimeError as error:
            raise RunError(f"{self.path}: ExecuTorch fails ({error})") from error
        # The runtime writes the next call's answers into the same memory.
        return found[0].clone(), found[1].clone()

    def start(self, sequences: int = 1) -> Tensor:
        """States of 0 [layers * directions, B, H]."""
        return torch.zeros(self.about["states"], sequences, self.about["hidden_size"])

    def outputs(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Whole sequences, as ``Network.outputs`` answers them.

        Args:
            x: inputs [T, B, I].
            lengths: [B], 1..T; None means all T.

        Returns:
            Outputs [B, O], or [T, B, O] where each step is answered.
        """
        ends = [len(x)] * x.shape[1] if lengths is None else [int(n) for n in lengths]
        return self._by_steps(x, torch.tensor(ends)) if self.about["mode"] == "step" else self._one_by_one(x, ends)

    def _by_steps(self, x: Tensor, ends: Tensor) -> Tensor:
        at, most = self.about["at"], self.about["most_streams"]
        parts = []
        for first in range(0, x.shape[1], most):
            part, end = x[:, first : first + most], ends[first : first + most]
            h = self.start(part.shape[1])
            answers = []
            for now in part:
                answer, h = self(now, h)
                answers.append(answer)
            y = torch.stack(answers)
            alive = (torch.arange(len(y))[:, None] < end).unsqueeze(-1)
            if at == "each":
                # States beyond the end are 0, and so the head gives its bias.
                rest = torch.tensor(self.about["beyond"])
                parts.append(torch.where(alive, y, rest))
            elif at == "mean":
                # The head is linear: the mean of its answers is its answer to the mean.
                parts.append(torch.where(alive, y, 0).sum(0) / end.unsqueeze(-1))
            else:
                parts.append(y[end - 1, torch.arange(y.shape[1])])
        return torch.cat(parts, 1 if at == "each" else 0)

    def _one_by_one(self, x: Tensor, ends: Sequence[int]) -> Tensor:
        each = self.about["at"] == "each"
        # What has no end but the caller's patience is cut, and goes on from the state before.
        longest = self.about["most_steps"] if each and self.about["directions"] == 1 else len(x)
        found = []
        for k, end in enumerate(ends):
            h = self.start()
            pieces = []
            for first in range(0, end, longest):
                answer, h = self(x[first : min(first + longest, end), k : k + 1], h)
                pieces.append(answer)
            if each:
                rest = torch.tensor(self.about["beyond"]).expand(len(x) - end, 1, -1)
                pieces.append(rest)
            found.append(torch.cat(pieces))
        return torch.cat(found, 1 if each else 0)
