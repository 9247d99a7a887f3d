"""Forward and backward pass of models that run in one call: by autograd, or without it where both are known by heart.

Recording a graph, sorting it and walking it back takes a quarter of the time of an update of short sequences at batch
1. A layer and a head whose loss is taken after the last step need none of it: their derivatives are three products and
the operator's own backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nprnn.linear import EnsembleLinear
from nprnn.models import SequenceModel
from nprnn.ops import library
from nprnn.rnn import RNN

_TRAINED = ("rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0", "head.weight", "head.bias")


class ByAutograd:
    """The pass of any model.

    Args:
        module: a single model, or E in one.
        leaves: its trained parameters.
    """

    def __init__(self, module: SequenceModel, leaves: Sequence[nn.Parameter]) -> None:
        self._module, self._leaves = module, leaves

    def forward(self, x: Tensor, lengths: Tensor | None, **options: Any) -> Tensor:
        """Outputs, cut off from the graph that ``backward`` goes back through.

        Args:
            x: inputs as the module takes them.
            lengths: likewise.
            **options: likewise.

        Returns:
            As the module.
        """
        with torch.enable_grad():
            self._output = self._module(x, lengths, **options)
        output: Tensor = self._output.detach()
        return output

    def backward(self, d_output: Tensor) -> Sequence[Tensor]:
        """Gradients of the leaves.

        Args:
            d_output: the gradient of the outputs.

        Returns:
            One for each leaf, in their order.
        """
        output = self._output
        del self._output
        return torch.autograd.grad(output, self._leaves, d_output)


class AtTheEnd:
    """The pass of E models of one layer whose outputs are those after the last step; ``suits`` tells where it goes.

    With h = h_T: o = W_yh h + b_y, dW_yh = do^T h, db_y = Σ_b do, dh = do W_yh.

    Args:
        module: E models in one.

    Source: section 2.
    """

    def __init__(self, module: SequenceModel) -> None:
        rnn, head = module.rnn, module.head
        self._module = module
        # Forward in time, every unit through the nonlinearity.
        self._options: Any = (rnn.nonlinearity, False, 0)
        self._weights = rnn.get_parameter("weight_ih_l0"), rnn.get_parameter("weight_hh_l0")
        self._biases = rnn.get_parameter("bias_ih_l0"), rnn.get_parameter("bias_hh_l0")
        self._head, self._head_bias = head.weight, head.get_parameter("bias").detach().unsqueeze(2)

    @staticmethod
    def suits(module: SequenceModel) -> bool:
        """Whether it computes what the module does for a loss after the last step, without truncation and dropout.

        Args:
            module: E models in one.

        Returns:
            Whether it goes there.
        """
        rnn = module.rnn
        trained = tuple(name for name, p in module.named_parameters() if p.requires_grad)
        return (
            isinstance(rnn, RNN)
            and isinstance(module.head, EnsembleLinear)
            and trained == _TRAINED
            and (rnn.num_layers, rnn.bidirectional, rnn.save) == (1, False, "all")
        )

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Outputs of every model; see ``ByAutograd``.

        Args:
            x: inputs [E, T, B, I], or [T, B, I] for all.
            lengths: steps of each sequence [E, B], or None.

        Returns:
            [E, B, O].
        """
        x = self._module.scaled(x)
        h0 = x.new_zeros(x.shape[-2], self._weights[1].shape[-1])
        bias = self._biases[0] + self._biases[1]
        self._given: list[Any] = [x, h0, *self._weights, bias, None if lengths is None else lengths.long()]
        self._y, self._h = library.forward(*self._given, *self._options)
        return torch.baddbmm(self._head_bias, self._head, self._h.mT).mT

    def backward(self, d_output: Tensor) -> Sequence[Tensor]:
        """Gradients of the trained parameters, in their order; see ``ByAutograd``.

        Args:
            d_output: [E, B, O].

        Returns:
            Those of W_ih, W_hh, the bias, and the head's weight and bias.
        """
        h, y, given = self._h, self._y, self._given
        del self._h, self._y, self._given
        # Nobody wants the gradients of x and h0.
        arguments: list[Any] = [None, d_output @ self._head, *given, y, *self._options, False, False]
        found = library.backward(*arguments)
        return *found[2:], d_output.mT @ h, d_output.sum(1)
