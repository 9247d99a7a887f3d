"""Models by name: sizes, starts, heads, one effective bias."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nprnn.errors import ConfigError
from nprnn.init import SCHEMES
from nprnn.models import MODELS, build_model, count_parameters, find_model
from nprnn.seeds import derive


def test_the_names_are_the_papers_and_our_variants() -> None:
    paper = {"np-RNN", "IRNN", "iRNN", "nRNN", "oRNN", "gRNN", "np-tanhRNN", "LSTM"}
    assert set(MODELS) == paper | {"np-RNN-N2", "np-RNN-mirror", "oRNN-mirror"}


@pytest.mark.parametrize("name", [n for n in MODELS if n != "LSTM"])
def test_parameter_count_is_one_bias_a_unit(name: str) -> None:
    model = build_model(name, 2, 1)
    assert count_parameters(model) == 100 * 100 + 100 * 2 + 100 + 100 + 1
    assert model.rnn.nonlinearity == SCHEMES[name].nonlinearity
    x = torch.rand(5, 3, 2)
    model(x).sum().backward()
    assert model.rnn.bias_hh_l0.grad is None
    assert (model.rnn.bias_hh_l0 == 0).all()


def test_lstm_has_four_times_the_recurrent_parameters() -> None:
    lstm = build_model("LSTM", 2, 1)
    assert sum(p.numel() for n, p in lstm.rnn.named_parameters() if "weight" in n) == 4 * (100 * 100 + 100 * 2)


@pytest.mark.parametrize("name", MODELS)
def test_output_is_the_equation(name: str) -> None:
    model = build_model(name, 2, 3, hidden_size=7, generator=derive(0, "x")).double()
    x = torch.randn(6, 4, 2, dtype=torch.float64)
    y, _ = model.rnn(x)
    want = y[-1] @ model.head.weight.T + model.head.bias
    torch.testing.assert_close(model(x), want)


@pytest.mark.parametrize("name", MODELS)
def test_lengths_pick_each_sequences_last_step(name: str) -> None:
    model = build_model(name, 2, 3, hidden_size=7, generator=derive(0, "x"))
    x = torch.randn(6, 3, 2)
    got = model(x, torch.tensor([2, 6, 4]))
    for b, n in enumerate((2, 6, 4)):
        torch.testing.assert_close(got[b], model(x[:n, b : b + 1])[0])


def test_one_seed_gives_one_start_and_a_shared_head_and_input_weight() -> None:
    starts = {name: build_model(name, 2, 1, generator=derive(3, "start")) for name in SCHEMES}
    again = build_model("np-RNN", 2, 1, generator=derive(3, "start"))
    for a, b in zip(again.parameters(), starts["np-RNN"].parameters(), strict=True):
        assert torch.equal(a, b)
    for name, model in starts.items():
        assert torch.equal(model.head.weight, starts["np-RNN"].head.weight)
        drawn = 50 if name.endswith("-mirror") else 100  # its other half mirrors the first
        assert torch.equal(model.rnn.weight_ih_l0[:drawn], starts["np-RNN"].rnn.weight_ih_l0[:drawn])
    other = build_model("np-RNN", 2, 1, generator=derive(4, "start"))
    assert not torch.equal(other.rnn.weight_hh_l0, again.rnn.weight_hh_l0)
    lstms = [build_model("LSTM", 2, 1, generator=derive(3, "start")) for _ in range(2)]
    for a, b in zip(lstms[0].parameters(), lstms[1].parameters(), strict=True):
        assert torch.equal(a, b)


def test_positive_homogeneity_scaling_the_input_weight_only_rescales_the_head() -> None:
    # Section 5 of our notes on the paper: zero biases and h_0 = 0 make the ReLU network positively homogeneous.
    model = build_model("np-RNN", 2, 1, generator=derive(0, "x")).double()
    x = torch.rand(20, 4, 2, dtype=torch.float64)
    before = model(x)
    with torch.no_grad():
        model.rnn.weight_ih_l0 *= 3.5
        model.head.weight /= 3.5
    torch.testing.assert_close(model(x), before)


@pytest.mark.parametrize(("given", "known"), [("np-rnn", "np-RNN"), ("NP-TANHRNN", "np-tanhRNN"), ("lstm", "LSTM")])
def test_case_is_forgiven_where_it_leaves_no_doubt(given: str, known: str) -> None:
    assert find_model(given) == known


def test_unknown_and_doubtful_names() -> None:
    with pytest.raises(ConfigError, match=r"'IRNN' \(identity\) or 'iRNN' \(0\.01 times the identity\)"):
        find_model("irnn")
    with pytest.raises(ConfigError, match=r"Did you mean 'np-tanhRNN'\? Known: np-RNN, "):
        find_model("np-tanh-RNN")
    with pytest.raises(ConfigError, match="hidden_size must be at least 1, got 0"):
        build_model("IRNN", 2, 1, hidden_size=0)


@pytest.mark.parametrize("name", ["np-RNN", "np-tanhRNN", "LSTM"])
@pytest.mark.parametrize("lengths", [None, torch.tensor([2, 7, 4])])
@pytest.mark.parametrize("truncate", [None, 1, 3, 7, 50])
def test_outputs_at_the_last_step_their_mean_and_each(
    name: str, lengths: torch.Tensor | None, truncate: int | None
) -> None:
    model = build_model(name, 2, 3, hidden_size=5, generator=derive(0, "x")).double()
    x = torch.randn(7, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    each = model(x, lengths, at="each", truncate=truncate)
    last = model(x, lengths, truncate=truncate)
    mean = model(x, lengths, at="mean", truncate=truncate)
    for b, n in enumerate([7, 7, 7] if lengths is None else lengths.tolist()):
        y, _ = model.rnn(x[:n, b : b + 1])
        want = model.head(y[:, 0])
        torch.testing.assert_close(each[:n, b], want)
        torch.testing.assert_close(last[b], want[-1])
        torch.testing.assert_close(mean[b], want.mean(0))


@pytest.mark.parametrize("name", ["np-RNN", "LSTM"])
@pytest.mark.parametrize("lengths", [None, torch.tensor([2, 7, 4])])
@pytest.mark.parametrize("at", ["last", "mean", "each"])
def test_truncated_gradients_stay_in_their_segment(name: str, lengths: torch.Tensor | None, at: str) -> None:
    model = build_model(name, 2, 3, hidden_size=5, generator=derive(0, "x")).double()
    x = torch.randn(7, 3, 2, dtype=torch.float64, requires_grad=True)
    out = model(x, lengths, at=at, truncate=3)  # type: ignore[arg-type]
    ends = [7, 7, 7] if lengths is None else lengths.tolist()
    for b, n in enumerate(ends):
        for step in [n - 1] if at != "each" else range(n):
            target = out[step, b] if at == "each" else out[b]
            (gradient,) = torch.autograd.grad(target.sum(), x, retain_graph=True)
            reached = {int(t) for t in gradient[:, b].abs().sum(-1).nonzero()}
            segment = set(range(step // 3 * 3, step + 1))
            if at == "mean":
                segment = set(range(n))
            assert reached <= segment
            assert step in reached
            if at != "mean" and step % 3 == 2 and name == "LSTM":  # an LSTM lets no unit die
                assert reached == segment
    # The whole gradient of the weights is the sum over segments started from constants.
    whole = torch.autograd.grad(out.sum(), model.rnn.weight_hh_l0, retain_graph=True)[0]
    full = model(x, lengths, at=at, truncate=None)  # type: ignore[arg-type]
    assert not torch.allclose(whole, torch.autograd.grad(full.sum(), model.rnn.weight_hh_l0)[0])


def test_scaling_is_part_of_the_model() -> None:
    mean, scale = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 4.0])
    plain = build_model("np-RNN", 2, 1, generator=derive(0, "x"))
    scaled = build_model("np-RNN", 2, 1, mean=mean, scale=scale, generator=derive(0, "x"))
    x = torch.randn(5, 3, 2)
    torch.testing.assert_close(scaled(x), plain((x - mean) / scale))
    assert set(scaled.state_dict()) - set(plain.state_dict()) == {"input_mean", "input_scale"}
    assert count_parameters(scaled) == count_parameters(plain)


def test_an_lstm_on_padded_sequences_has_the_gradients_of_packed_ones() -> None:
    model = build_model("LSTM", 2, 3, hidden_size=5, generator=derive(0, "x")).double()
    x, lengths = torch.randn(7, 3, 2, dtype=torch.float64), torch.tensor([2, 7, 4])
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    want = torch.autograd.grad(model.head(model.rnn(packed)[1][0][0]).square().sum(), list(model.parameters()))
    got = torch.autograd.grad(model(x, lengths).square().sum(), list(model.parameters()))
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other)
