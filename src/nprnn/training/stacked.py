"""E models whose trained numbers are the rows of one matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nprnn.devices import move
from nprnn.models import At, SequenceModel, stack_models
from nprnn.rnn import RNN
from nprnn.training.passes import AtTheEnd, ByAutograd


class _Group(NamedTuple):
    """Models that run in one call: rows first..last-1, the module, and its passes, the quick one where it has one."""

    first: int
    last: int
    stacked: bool
    module: SequenceModel
    by_autograd: ByAutograd
    at_the_end: AtTheEnd | None


class StackedModels:
    """Models of one size, trained together.

    Row k of ``parameters`` [E, P] holds all trained parameters of model k, and the tensors of the model, and those of
    the ensembles that run several models in one call, are views of it: what an optimiser does to the matrix, it does
    to them. Models of another nonlinearity take a call of their own; so does every LSTM.

    Args:
        models: of one size; those of a kind (``kind``) stand together. They are changed: their parameters become views.

    Attributes:
        parameters: [E, P].
        gradients: [E, P], filled by ``differentiate``.
        models: the models.
        recurrent: where the recurrent weights stand in a row [P], True there.
    """

    def __init__(self, models: Sequence[SequenceModel]) -> None:
        self.models = list(models)
        marks = [
            torch.full((p.numel(),), "weight_hh" in name) for name, p in models[0].named_parameters() if p.requires_grad
        ]
        self.recurrent = torch.cat(marks)
        rows = [torch.cat([p.detach().flatten() for p in _trained(model)]) for model in models]
        self._lay_out(torch.stack(rows))

    def __call__(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        *,
        at: At = "last",
        truncate: int | None = None,
        dropout: Tensor | None = None,
    ) -> Tensor:
        """Outputs of every model on its batch.

        Args:
            x: inputs [E, T, B, I], or [T, B, I] for all.
            lengths: steps of each sequence [E, B], or None.
            at: as for ``SequenceModel``.
            truncate: likewise.
            dropout: likewise, with a leading E.

        Returns:
            [E, B, O], or [E, T, B, O] where ``at`` is ``"each"``.
        """
        self._passes: list[ByAutograd | AtTheEnd] = []
        outputs = []
        with torch.no_grad():
            for group in self._groups:
                rows: slice | int = slice(group.first, group.last) if group.stacked else group.first
                own = [None if v is None else v[rows] for v in (lengths, dropout)]
                inputs = x[rows] if x.dim() > 3 else x
                if group.at_the_end is not None and at == "last" and truncate is None and dropout is None:
                    output = group.at_the_end.forward(inputs, own[0])
                    self._passes.append(group.at_the_end)
                else:
                    output = group.by_autograd.forward(inputs, own[0], at=at, truncate=truncate, dropout=own[1])
                    self._passes.append(group.by_autograd)
                outputs.append(output if group.stacked else output.unsqueeze(0))
            self._outputs = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
        return self._outputs.requires_grad_()

    def differentiate(self, losses: Tensor) -> Tensor:
        """Fill ``gradients`` with those of each model's own loss.

        Args:
            losses: [E].

        Returns:
            ``gradients`` [E, P].
        """
        # No model's loss depends on another's outputs: the gradient of their sum is everyone's own.
        (d_outputs,) = torch.autograd.grad(losses, self._outputs, self._ones)
        with torch.no_grad():
            for (first, last, stacked, *_), passes in zip(self._groups, self._passes, strict=True):
                found = passes.backward(d_outputs[first:last] if stacked else d_outputs[first])
                torch.cat([v.reshape(last - first, -1) for v in found], 1, out=self.gradients[first:last])
        return self.gradients

    def keep(self, rows: Tensor) -> None:
        """Go on with some of the models; the others get their parameters for themselves.

        Args:
            rows: places of those that stay, rising; on the CPU.
        """
        places = rows.tolist()
        for place, model in enumerate(self.models):
            if place not in places:
                for parameter in _trained(model):
                    parameter.data = parameter.data.clone()
        self.models = [self.models[place] for place in places]
        self._lay_out(self.parameters[move(rows, self.parameters.device)])

    def _lay_out(self, parameters: Tensor) -> None:
        self.parameters, self.gradients = parameters, torch.empty_like(parameters)
        self._groups: list[_Group] = []
        for row, model in enumerate(self.models):
            _place(_trained(model), parameters[row])
        for first, last, stacked in self._kinds():
            module = stack_models(self.models[first:last]) if stacked else self.models[first]
            leaves = list(_trained(module))
            if stacked:
                _place(leaves, parameters[first:last])
            at_the_end = AtTheEnd(module) if stacked and AtTheEnd.suits(module) else None
            self._groups.append(_Group(first, last, stacked, module.train(), ByAutograd(module, leaves), at_the_end))
        self._ones = parameters.new_ones(len(self.models))

    def _kinds(self) -> Iterator[tuple[int, int, bool]]:
        first = 0
        for key, group in groupby(self.models, kind):
            last = first + len(list(group))
            if key:
                yield first, last, True
            else:
                yield from ((row, row + 1, False) for row in range(first, last))
            first = last


def kind(model: SequenceModel) -> str:
    """What models must share to run in one call: the nonlinearity; "" for those that run alone (the LSTM)."""
    return str(model.rnn.nonlinearity) if isinstance(model.rnn, RNN) else ""


def _trained(model: nn.Module) -> Iterator[nn.Parameter]:
    return (p for p in model.parameters() if p.requires_grad)


def _place(parameters: Iterator[nn.Parameter] | list[nn.Parameter], store: Tensor) -> None:
    """Make the parameters views of ``store``, whose last axis they fill in their order."""
    offset, members = 0, store.dim() - 1
    for parameter in parameters:
        size = parameter[0].numel() if members else parameter.numel()
        parameter.data = store[..., offset : offset + size].view(parameter.shape)
        offset += size
