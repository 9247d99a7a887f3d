"""The pass that needs no autograd against the one that does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from nprnn import RNN, EnsembleLinear
from nprnn.models import MODELS, SequenceModel, build_model, stack_models
from nprnn.ops import use_kernel
from nprnn.training.passes import AtTheEnd, ByAutograd
from nprnn.training.stacked import StackedModels

E, T, B, I, H, O = 3, 7, 4, 2, 6, 2  # noqa: E741


def members(name: str, scaled: bool = False, count: int = E) -> list[SequenceModel]:
    """Models in double precision with every number of theirs drawn, biases and scaling too."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(count):
        scaling = [torch.rand(I, generator=generator) + 0.5 for _ in range(2)] if scaled else [None, None]
        model = build_model(name, I, O, hidden_size=H, mean=scaling[0], scale=scaling[1], generator=generator).double()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64), alpha=0.3)
        found.append(model)
    return found


def batch(shared: bool, ragged: bool, count: int = E) -> tuple[Tensor, Tensor | None, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(*([] if shared else [count]), T, B, I, generator=generator, dtype=torch.float64)
    lengths = torch.randint(1, T + 1, (count, B), generator=generator) if ragged else None
    return x, lengths, torch.randn(count, B, O, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("kernel", ["auto", "reference"])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("name", ["np-RNN", "np-tanhRNN"])
def test_both_passes_give_the_same(name: str, scaled: bool, shared: bool, ragged: bool, kernel: str) -> None:
    module = stack_models(members(name, scaled))
    leaves = [p for p in module.parameters() if p.requires_grad]
    assert AtTheEnd.suits(module)
    x, lengths, d_output = batch(shared, ragged)
    with use_kernel(kernel), torch.no_grad():
        quick, slow = AtTheEnd(module), ByAutograd(module, leaves)
        torch.testing.assert_close(quick.forward(x, lengths), slow.forward(x, lengths), rtol=1e-12, atol=1e-12)
        found, expected = quick.backward(d_output), slow.backward(d_output)
    for leaf, one, other in zip(leaves, found, expected, strict=True):
        assert one.reshape(leaf.shape).abs().sum() > 0
        torch.testing.assert_close(one.reshape(leaf.shape), other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"truncate": 3}, {"at": "mean"}, {"at": "each"}])
@pytest.mark.parametrize("names", [["np-RNN"], ["IRNN", "np-RNN", "np-tanhRNN"], ["LSTM", "LSTM"]])
def test_gradients_of_models_trained_together_are_their_own(names: list[str], options: dict[str, Any]) -> None:
    single = [members(name, count=1)[0] for name in names]
    alone = [members(name, count=1)[0] for name in names]
    x, _, _ = batch(False, False, len(names))
    together = StackedModels(single)
    outputs = together(x, **options)
    found = together.differentiate(outputs.square().flatten(1).sum(1))
    for row, model in enumerate(alone):
        output = model(x[row], **options)
        torch.testing.assert_close(outputs[row], output, rtol=1e-12, atol=1e-12)
        trained = [p for p in model.parameters() if p.requires_grad]
        own = torch.cat([g.flatten() for g in torch.autograd.grad(output.square().sum(), trained)])
        torch.testing.assert_close(found[row], own, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", list(MODELS))
def test_every_model_of_the_paper_has_the_quick_pass_but_the_lstm(name: str) -> None:
    if name == "LSTM":
        assert not AtTheEnd.suits(build_model(name, I, O, hidden_size=H))
    else:
        assert AtTheEnd.suits(stack_models(members(name)))


def test_dropout_is_left_to_autograd() -> None:
    factors = torch.zeros(E, B, H, dtype=torch.float64)
    together = StackedModels(members("np-RNN"))
    x, _, _ = batch(False, False)
    outputs = together(x, dropout=factors)
    gradients = together.differentiate(outputs.sum((1, 2)))
    # Nothing but the head's bias is left.
    assert [row.count_nonzero().item() for row in gradients] == [O] * E


@pytest.mark.parametrize(
    "changed", [{"num_layers": 2}, {"bidirectional": True}, {"save": "sqrt"}, {"bias": False}, {"frozen": False}]
)
def test_it_does_not_suit_what_it_would_get_wrong(changed: dict[str, Any]) -> None:
    settings = {name: value for name, value in changed.items() if name != "frozen"}
    rnn = RNN(I, H, nonlinearity="relu", ensemble=E, **settings)
    if rnn.bias and changed.get("frozen", True):
        rnn.get_parameter("bias_hh_l0").requires_grad_(False)
    head = EnsembleLinear(E, H * (1 + rnn.bidirectional), O)
    assert not AtTheEnd.suits(SequenceModel(rnn, head))
