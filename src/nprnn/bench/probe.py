"""Where the time of a training step goes: the parts of an update, timed from outside the loop."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from nprnn.models import SequenceModel
from nprnn.rnn import RNN
from nprnn.tasks import Batch, Split, TaskData

PARTS = ("recurrence forward", "recurrence backward", "head and loss", "clip and optimiser", "data", "rest")
_FORWARD, _BACKWARD, _HEAD, _OPTIMISER, _DATA, _REST = PARTS
_WHOLE_BACKWARD = "backward"


class Probe:
    """Adds up the seconds of the parts of an update, for data, a model and a loop that it has been put into."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._began = self._ended = 0.0

    def shares(self, total: float) -> dict[str, float]:
        """The share of each part, in ``PARTS``' order.

        Args:
            total: seconds of all updates together.

        Returns:
            Part to share; they add up to 1.
        """
        seconds = {part: self._seconds[part] for part in PARTS if part != _REST}
        # What of the backward pass is not the recurrence's is the head's and the loss's.
        seconds[_HEAD] += self._seconds[_WHOLE_BACKWARD] - seconds[_BACKWARD]
        shares = {part: value / total for part, value in seconds.items()}
        return {**shares, _REST: 1 - sum(shares.values())}

    def of_data(self, data: TaskData) -> TaskData:
        """The data with the drawing of batches and the loss timed."""
        objective = dataclasses.replace(data.objective, loss=self._timed(_HEAD, data.objective.loss))
        return dataclasses.replace(data, train=_TimedSplit(data.train, self), objective=objective)

    def of_model(self, model: SequenceModel) -> SequenceModel:
        """The model with its layer and its head timed, forward and backward; changed in place."""
        layer: nn.Module = model.rnn
        # The model calls our layer by this name, and any other as a module.
        name = "forward_padded" if isinstance(layer, RNN) else "forward"
        run = self._timed(_FORWARD, getattr(layer, name))

        def forward(*arguments: Any) -> Any:
            y, last = run(*arguments)
            # The gradient of the last state is there when the recurrence's own backward begins.
            (last[0] if isinstance(last, tuple) else last).register_hook(self._begin)
            return y, last

        setattr(layer, name, forward)
        for parameter in layer.parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(self._end)  # type: ignore[no-untyped-call]
        setattr(model.head, "forward", self._timed(_HEAD, model.head.forward))  # noqa: B010
        return model

    @contextlib.contextmanager
    def watching(self, loop: ModuleType) -> Iterator[None]:
        """Time what the training loop calls by name, for a while.

        Args:
            loop: the module of the loop, with ``build_optimizer`` and ``clip_``.

        Yields:
            Nothing.
        """
        make_optimizer, backward = loop.build_optimizer, torch.Tensor.backward

        def build_optimizer(*arguments: Any) -> Any:
            optimizer = make_optimizer(*arguments)
            optimizer.step = self._timed(_OPTIMISER, optimizer.step)
            return optimizer

        def run_backward(*arguments: Any, **options: Any) -> None:
            self._timed(_WHOLE_BACKWARD, backward)(*arguments, **options)
            self._seconds[_BACKWARD] += self._ended - self._began

        with (
            patch.object(loop, "build_optimizer", build_optimizer),
            patch.object(loop, "clip_", self._timed(_OPTIMISER, loop.clip_)),
            patch.object(torch.Tensor, "backward", run_backward),
        ):
            yield

    def draw(self, split: Split, index: Tensor) -> Batch:
        """A batch of a set, timed."""
        batch: Batch = self._timed(_DATA, split.batch)(index)
        return batch

    def _timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            result = call(*arguments, **options)
            self._seconds[part] += time.perf_counter() - start
            return result

        return timed

    def _begin(self, gradient: Tensor) -> None:
        self._began = time.perf_counter()

    def _end(self, parameter: Tensor) -> None:
        self._ended = time.perf_counter()


@dataclasses.dataclass(frozen=True)
class _TimedSplit:
    inner: Split
    probe: Probe

    def __len__(self) -> int:
        return len(self.inner)

    def batch(self, index: Tensor) -> Batch:
        return self.probe.draw(self.inner, index)
