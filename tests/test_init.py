"""The starts against the paper, each slip seen in public code, the manners of ``torch.nn.init``, and whole modules."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

import nprnn
from nprnn import init
from nprnn.errors import ConfigError, InputError
from nprnn.init import SCHEMES, alpha, init_rnn_, input_weight_, split_diagonal
from nprnn.init import is_normalized_positive_definite as is_np
from nprnn.init import normalized_positive_definite_ as np_
from nprnn.init.slips import apply_slip_
from nprnn.init.weights import Fan

Fill = Callable[..., Tensor]
F64, F32 = torch.float64, torch.float32
N, I = 100, 2  # noqa: E741
EYE = torch.eye(N, dtype=F64)
# Every statistical check below rejects a right start with about this probability; the seeds are fixed besides.
ERROR_RATE = 1e-6
Z = NormalDist().inv_cdf(1 - ERROR_RATE / 2)
SEEDS, BATCHES = st.integers(0, 2**31), st.lists(st.integers(0, 3), max_size=2)
FILLS = [np_, init.normalized_gaussian_, init.orthogonal_, init.gaussian_, input_weight_, init.output_weight_]
RANDOM: dict[str, Fill] = {fill.__name__: fill for fill in FILLS}
EVERY: dict[str, Fill] = {**RANDOM, "identity_": lambda tensor, generator=None: init.identity_(tensor, 0.3)}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def filled(fill: Fill, *shape: int, seed: int = 0, dtype: torch.dtype = F64, **options: Any) -> Tensor:
    return fill(torch.full(shape, math.nan, dtype=dtype), generator=seeded(seed), **options)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=F64, generator=seeded(seed))


def has_variance(weight: Tensor, variance: float) -> bool:
    """Chi-square test, two-sided, by Wilson and Hilferty: the cube root of chi²/k is close to normal."""
    spread = 2 / (9 * weight.numel())
    ratio = float(weight.square().mean()) / variance
    return abs(ratio ** (1 / 3) - (1 - spread)) / math.sqrt(spread) < Z


def has_mean_zero(draws: Tensor, variance: float) -> bool:
    return abs(float(draws.mean())) * math.sqrt(draws.numel() / variance) < Z


def is_normal(weight: Tensor, variance: float) -> bool:
    """Kolmogorov and Smirnov's distance under the bound of Dvoretzky, Kiefer and Wolfowitz, good for every n."""
    n = weight.numel()
    below = torch.special.ndtr(weight.flatten().sort().values / math.sqrt(variance))
    steps = torch.arange(n + 1, dtype=F64) / n
    distance = float(torch.maximum(steps[1:] - below, below - steps[:-1]).max())
    return distance < math.sqrt(math.log(2 / ERROR_RATE) / (2 * n))


def is_eq_9(w: Tensor) -> bool:
    """Symmetric, largest eigenvalue 1, smallest where A = RᵀR / N puts it at N = 100."""
    values = torch.linalg.eigvalsh(w)
    return torch.equal(w, w.mT) and bool(abs(values[-1] - 1) < 1e-6) and bool(0.17 < values[0] < 0.23)


def test_alpha_has_the_papers_values() -> None:
    assert alpha(100) == pytest.approx(1.43171, abs=1e-5)
    assert alpha(2) == alpha(6) == pytest.approx(1.974, abs=5e-4)
    assert alpha(2) / math.sqrt(2) == pytest.approx(1.396, abs=5e-4)
    assert alpha(100) / math.sqrt(100) == pytest.approx(0.143, abs=5e-4)


@given(n=st.integers(1, 100_000))
def test_alpha_is_flat_to_six_then_falls_towards_root_two(n: int) -> None:
    assert math.sqrt(2) < alpha(n + 1) <= alpha(n)
    assert (alpha(n + 1) == alpha(n)) == (n < 6)


@settings(max_examples=80, deadline=None)
@given(n=st.integers(1, 40), batch=BATCHES.filter(all), dtype=st.sampled_from([F64, F32]), seed=SEEDS)
def test_eq_9_keeps_its_promise_at_every_size(n: int, batch: list[int], dtype: torch.dtype, seed: int) -> None:
    w = filled(np_, *batch, n, n, seed=seed, dtype=dtype)
    assert is_np(w)
    assert torch.equal(w, w.mT)


@pytest.mark.parametrize("seed", range(8))
def test_eq_9_and_the_n2_reading_at_the_papers_size(seed: int) -> None:
    w, n2 = (SCHEMES[s].recurrent(torch.empty(N, N, dtype=F64), seeded(seed)) for s in ("np-RNN", "np-RNN-N2"))
    assert is_eq_9(w)
    assert is_np(w)
    assert torch.linalg.eigvalsh(n2)[0] > 0.9
    torch.testing.assert_close(n2, eq_9(seed, power=2), rtol=0, atol=1e-12)
    # By another route: e = λmax(A) + 1, and λmax(A) is the largest singular value of R, squared, over N.
    r = randn(N, N, seed=seed)
    e = torch.linalg.svdvals(r)[0] ** 2 / N + 1
    torch.testing.assert_close(w, (r.T @ r / N + EYE) / e, rtol=0, atol=1e-12)


def eq_9(seed: int, *, power: int = 1, which: int = -1) -> Tensor:
    r = randn(N, N, seed=seed)
    b = r.T @ r / N**power + EYE
    b = (b + b.T) / 2
    return b / torch.linalg.eigvalsh(b)[which]


# For each weight: looks_like_the_paper, our start, the equation written out. For each slip: the weight and the mistake.
Trio = tuple[Callable[[Tensor], bool], Fill, Fill]
GAIN, WRONG_GAIN = math.sqrt(2) * math.exp(1.2 / (N - 2.4)), math.sqrt(2) * math.exp(1.2 / N - 2.4)
W_HH: Trio = (is_eq_9, lambda s: filled(np_, N, N, seed=s), eq_9)
HX, YH = (lambda s: filled(input_weight_, N, I, seed=s)), (lambda s: filled(init.output_weight_, 1, N, seed=s))
W_HX: Trio = (lambda w: has_variance(w, 0.143171**2), HX, lambda s, std=GAIN / N**0.5: std * randn(N, I, seed=s))
W_YH: Trio = (lambda w: has_variance(w, 2 / 101), YH, lambda s, std=(2 / 101) ** 0.5: std * randn(1, N, seed=s))
SLIPS: dict[str, tuple[Trio, dict[str, float]]] = {
    "parenthesis in alpha": (W_HX, {"std": WRONG_GAIN / N**0.5}),
    "variance as deviation in W_hx": (W_HX, {"std": GAIN / N}),
    "no alpha": (W_HX, {"std": 1 / N**0.5}),
    "variance as deviation in W_yh": (W_YH, {"std": 2 / 101}),
    "1/N² for 1/N": (W_HH, {"power": 2}),
    "the first eigenvalue": (W_HH, {"which": 0}),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_told_from_the_paper(slip: str) -> None:
    (looks_like_the_paper, ours, equation), mistake = SLIPS[slip]
    for seed in range(5):
        assert looks_like_the_paper(ours(seed))
        assert looks_like_the_paper(equation(seed))
        assert not looks_like_the_paper(equation(seed, **mistake))
        torch.testing.assert_close(ours(seed), equation(seed), rtol=0, atol=1e-12)


DISTRIBUTIONS: list[tuple[Fill, tuple[int, ...], dict[str, Any], float]] = [
    (input_weight_, (100, N, I), {}, 0.143171**2),
    (input_weight_, (100, N, I), {"fan": "in"}, math.exp(2 / 3)),
    (input_weight_, (100, 3, 70), {}, 2 * math.exp(2 / 3) / 3),
    (init.output_weight_, (200, 1, N), {}, 2 / 101),
    (init.output_weight_, (20, 10, N), {}, 2 / 110),
    (init.gaussian_, (2, N, N), {}, 1 / N),
    (init.gaussian_, (50, 20, 20), {"variance": 0.25}, 0.25),
]


@pytest.mark.parametrize(("fill", "shape", "options", "variance"), DISTRIBUTIONS)
def test_distribution(fill: Fill, shape: tuple[int, ...], options: dict[str, Any], variance: float) -> None:
    w = filled(fill, *shape, seed=11, **options)
    assert has_variance(w, variance)
    assert has_mean_zero(w, variance)
    assert is_normal(w, variance)
    torch.testing.assert_close(w, math.sqrt(variance) * randn(*shape, seed=11), rtol=1e-5, atol=0)
    # The checks have teeth: a draw that is wider, shifted, or uniform with the same variance fails.
    assert not has_variance(w * 1.05, variance)
    assert not has_mean_zero(w + 0.1 * math.sqrt(variance), variance)
    uniform = torch.rand(shape, dtype=F64, generator=seeded(1)) * 2 - 1
    assert not is_normal(uniform * math.sqrt(3 * variance), variance)


@given(n=st.integers(1, 9), batch=BATCHES, scale=st.floats(-2, 2))
def test_identity_is_exact(n: int, batch: list[int], scale: float) -> None:
    ours = init.identity_(torch.full((*batch, n, n), math.nan, dtype=F64), scale)
    assert torch.equal(ours, (scale * EYE[:n, :n]).expand(*batch, n, n))
    assert torch.equal(init.identity_(torch.empty(*batch, n, n)), torch.eye(n).expand(*batch, n, n))


@pytest.mark.parametrize("n", [1, 2, 5, N])
def test_normalized_gaussian_has_spectral_radius_one_and_no_symmetry(n: int) -> None:
    w, g = filled(init.normalized_gaussian_, 4, n, n), randn(4, n, n)
    radius = torch.linalg.eigvals(w).abs().amax(-1)
    torch.testing.assert_close(radius, torch.ones(4, dtype=F64), rtol=0, atol=1e-9)
    torch.testing.assert_close(w / w[:, :1, :1], g / g[:, :1, :1])  # a multiple of the draw,
    assert (w[:, 0, 0] * g[:, 0, 0] > 0).all()  # and a positive one
    assert n == 1 or bool(((w - w.mT).abs().amax((-1, -2)) > 1e-3).all())


@pytest.mark.parametrize("n", [3, 6])
def test_orthogonal_is_orthogonal_and_uniform(n: int) -> None:
    w, naive = filled(init.orthogonal_, 4000, n, n), torch.linalg.qr(randn(4000, n, n)).Q
    torch.testing.assert_close(w @ w.mT, EYE[:n, :n].expand_as(w), rtol=0, atol=1e-13)
    assert ((w.mT @ randn(4000, n, n)).diagonal(dim1=-2, dim2=-1) > 0).all()  # R's diagonal is positive
    signs = torch.linalg.det(w).round()
    assert set(signs.tolist()) == {-1.0, 1.0}
    assert has_mean_zero(signs, 1.0)
    # Under the uniform distribution the trace has mean 0 and variance 1; QR without the signs put right is biased.
    assert [has_mean_zero(q.diagonal(dim1=-2, dim2=-1).sum(-1), 1.0) for q in (w, naive)] == [True, False]


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", [F64, F32, torch.bfloat16, torch.float16], ids=str)
def test_in_place_on_parameters_and_views_with_the_same_start_in_every_dtype(name: str, dtype: torch.dtype) -> None:
    base = torch.full((24, 25), -7.0, dtype=dtype)
    for tensor in (torch.full((12, 12), math.nan, dtype=dtype), base[::2, 1::2].T):
        parameter = nn.Parameter(tensor)
        assert EVERY[name](parameter, generator=seeded(5)) is parameter
        assert (parameter.data_ptr(), parameter.dtype) == (tensor.data_ptr(), dtype)
        assert (parameter.requires_grad, parameter.is_leaf) == (True, True)
        assert torch.equal(tensor, filled(EVERY[name], 12, 12, seed=5).to(dtype))
    assert int((base == -7).sum()) == base.numel() - 12 * 12
    assert not EVERY[name](torch.empty(12, 12)).requires_grad


@pytest.mark.parametrize("name", RANDOM)
def test_independent_draws_from_the_generator_alone_or_the_global_one(name: str) -> None:
    before, g = torch.get_rng_state(), seeded(1)
    first, second = (EVERY[name](torch.empty(2, 3, 9, 9, dtype=F64), generator=g).flatten(0, 1) for _ in range(2))
    assert torch.equal(first, filled(EVERY[name], 2, 3, 9, 9, seed=1).flatten(0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    draws = [*first, *second]
    assert not any(torch.isclose(draws[i], draws[j]).all() for i in range(12) for j in range(i))
    assert [is_np(draw) for draw in draws] == [name == np_.__name__] * 12
    torch.manual_seed(1)
    assert torch.equal(EVERY[name](torch.empty(6, 9, 9, dtype=F64)), first)  # CPU generators of one seed agree


@pytest.mark.parametrize("name", EVERY)
def test_meta_tensors_draw_nothing_and_what_is_no_weight_is_refused(name: str) -> None:
    tensor, g = torch.empty(3, 3, device="meta"), seeded(0)
    assert EVERY[name](tensor, generator=g) is tensor
    assert torch.equal(g.get_state(), seeded(0).get_state())
    with pytest.raises(InputError, match=r"shape \(4,\)"):
        EVERY[name](torch.empty(4))
    with pytest.raises(InputError, match=r"floating point, got torch\.int64"):
        EVERY[name](torch.zeros(4, 4, dtype=torch.int64))
    for shape in [(3, 4), (2, 3, 4), (0, 0)] if name not in ("input_weight_", "output_weight_") else []:
        with pytest.raises(InputError, match=r"square, \[\.\.\., N, N\]"):
            EVERY[name](torch.empty(shape))


def relu_rnn() -> nn.RNN:
    return nn.RNN(I, 3, nonlinearity="relu")


REFUSED: list[tuple[type[Exception], str, Callable[[], object]]] = [
    (InputError, "N >= 1, got 0", lambda: alpha(0)),
    (InputError, "fan must be 'hidden' .*, got 'out'", lambda: input_weight_(EYE.clone(), fan="out")),  # type: ignore[arg-type]
    (InputError, r"variance >= 0, got -0\.1", lambda: init.gaussian_(EYE.clone(), variance=-0.1)),
    (InputError, "square", lambda: is_np(torch.empty(2, 3))),
    (InputError, "square", lambda: split_diagonal(torch.empty(2, 3))),
    (InputError, "got LSTM;", lambda: init_rnn_(nn.LSTM(I, 3))),
    (InputError, "got Linear;", lambda: init_rnn_(nn.Linear(3, 3))),
    (InputError, "weight_hh_l0 .*parametr", lambda: init_rnn_(parametrizations.orthogonal(relu_rnn(), "weight_hh_l0"))),
    (InputError, "weight_ih_l0 .*pruning", lambda: init_rnn_(prune.identity(relu_rnn(), "weight_ih_l0"))),
    (ConfigError, r"'np-rnn'\. Did you mean 'np-RNN'\? Known: np-RNN, np", lambda: init_rnn_(relu_rnn(), "np-rnn")),
    (ConfigError, "nonlinearity='relu'.* has 'tanh' .*='relu'", lambda: init_rnn_(nn.RNN(I, 3))),
    (ConfigError, "nonlinearity='relu'.* has 'tanh' .*='relu'", lambda: init_rnn_(nn.RNNCell(I, 3), "IRNN")),
    (ConfigError, "nonlinearity='tanh'", lambda: nprnn.RNN(I, 3, init="np-tanhRNN", nonlinearity="relu")),
]


@pytest.mark.parametrize(("error", "message", "call"), REFUSED)
def test_refused(error: type[Exception], message: str, call: Callable[[], object]) -> None:
    with pytest.raises(error, match=message):
        call()


def test_is_normalized_positive_definite_and_its_tolerance() -> None:
    good, tilt = filled(np_, 3, 6, 6), torch.tensor([[0.0, 1e-4], [0.0, 0.0]], dtype=F64)
    assert all(is_np(w) for w in (good, good[0].bfloat16(), torch.ones(1, 1), torch.tensor([1, 0.5, 1e-9]).diag()))
    for spectrum in ([1, 1], [1, 1, 0.5], [2, 1], [0.9, 0.5], [1, -0.1], [1, 0], [1, math.nan], [1, math.inf], [0.9]):
        assert not is_np(torch.tensor(spectrum, dtype=F64).diag()), spectrum
    for bad in (2 * good[0], 0.5 * good[0], good[0] + 1e-3 * torch.ones(6, 6).triu(1), math.nan * good[0], EYE[:6, :6]):
        assert not is_np(bad)
        assert not is_np(torch.stack([good[0], bad, good[1]]))
    assert not is_np(torch.eye(4, dtype=torch.bfloat16))
    w, close = torch.tensor([1, 0.5], dtype=F64).diag(), torch.tensor([1, 1 - 1e-4], dtype=F64).diag()
    for wrong in (w + tilt, w * (1 + 1e-4)):
        assert [is_np(wrong), is_np(wrong, tol=0.5e-4), is_np(wrong, tol=2e-4)] == [False, False, True]
    assert [is_np(close), is_np(close, tol=0.5e-4), is_np(close, tol=2e-4)] == [True, True, False]


@given(n=st.integers(1, 8), batch=BATCHES, seed=SEEDS)
def test_split_diagonal_reassembles_from_new_tensors(n: int, batch: list[int], seed: int) -> None:
    w = randn(*batch, n, n, seed=seed)
    d, off = split_diagonal(w)
    assert d.shape == (*batch, n)
    assert torch.equal(torch.diag_embed(d) + off, w)
    assert (off.diagonal(dim1=-2, dim2=-1) == 0).all()
    d[...], off[...] = 9.0, 9.0
    assert torch.equal(w, randn(*batch, n, n, seed=seed))


def test_split_diagonal_is_differentiable_and_exact_at_infinity() -> None:
    assert torch.autograd.gradcheck(split_diagonal, (randn(2, 3, 3).requires_grad_(),))
    assert (split_diagonal(torch.full((2, 2), math.inf))[1].diagonal() == 0).all()


def is_mirrored(w: Tensor) -> bool:
    return torch.equal(w[: N // 2, : N // 2], -w[N // 2 :, : N // 2])


STARTS: dict[str, Callable[[Tensor], bool]] = {
    "np-RNN": is_eq_9,
    "np-RNN-N2": lambda w: is_np(w) and bool(torch.linalg.eigvalsh(w)[0] > 0.9),
    "IRNN": lambda w: torch.equal(w, EYE),
    "iRNN": lambda w: torch.equal(w, 0.01 * EYE),
    "nRNN": lambda w: bool(abs(torch.linalg.eigvals(w).abs().max() - 1) < 1e-9 and torch.linalg.svdvals(w)[0] > 1.5),
    "oRNN": lambda w: torch.allclose(w @ w.T, EYE, rtol=0, atol=1e-12) and not torch.allclose(w, w.T),
    "gRNN": lambda w: has_variance(w, 1 / N) and is_normal(w, 1 / N) and not (STARTS["nRNN"](w) or STARTS["oRNN"](w)),
    "np-tanhRNN": is_eq_9,
    "np-RNN-mirror": lambda w: is_mirrored(w) and torch.equal(w, w.T),
    "oRNN-mirror": lambda w: is_mirrored(w) and not torch.equal(w, w.T),
}
MIRRORED = ("np-RNN-mirror", "oRNN-mirror")
DEEP = {"num_layers": 2, "bidirectional": True}
KINDS = [(nn.RNN, DEEP), (nn.RNN, {}), (nn.RNNCell, {}), (nprnn.RNN, DEEP), (nprnn.RNNCell, {})]


def test_the_schemes_are_those_of_table_1_with_one_input_weight_for_one_seed() -> None:
    assert list(SCHEMES) == [
        "np-RNN",
        "np-RNN-N2",
        "IRNN",
        "iRNN",
        "nRNN",
        "oRNN",
        "gRNN",
        "np-tanhRNN",
        *MIRRORED,
    ]
    for name, scheme in SCHEMES.items():
        assert init.find_scheme(name) is init.find_scheme(scheme) is scheme
        net = nprnn.RNN(I, N, init=name, generator=seeded(4), dtype=F64)
        assert net.nonlinearity == scheme.nonlinearity == ("tanh" if name == "np-tanhRNN" else "relu")
        drawn = filled(input_weight_, N, I, seed=4)
        if name in MIRRORED:
            drawn[N // 2 :] = -drawn[: N // 2]
        assert torch.equal(net.weight_ih_l0, drawn)
        passed = {other for other, check in STARTS.items() if check(net.weight_hh_l0.detach())}
        assert passed == ({"np-RNN", "np-tanhRNN"} if name in ("np-RNN", "np-tanhRNN") else {name})


@pytest.mark.parametrize("scheme", STARTS)
@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize(("bias", "fan"), [(True, "hidden"), (False, "in")])
def test_init_rnn_starts_all_layers(scheme: str, kind: Any, options: dict[str, Any], bias: bool, fan: Any) -> None:
    m = kind(I, N, nonlinearity=SCHEMES[scheme].nonlinearity, bias=bias, dtype=F64, **options)
    assert init_rnn_(m, scheme, fan=fan, generator=seeded(1)) is m
    parts = {k: [p for n, p in m.named_parameters() if n.startswith(k)] for k in ("weight_hh", "weight_ih", "bias")}
    assert [len(part) for part in parts.values()] == ([4, 4, 8 * bias] if options else [1, 1, 2 * bias])
    assert all(STARTS[scheme](w.detach()) for w in parts["weight_hh"])
    for w in parts["weight_ih"]:
        if scheme in MIRRORED:  # half of it is drawn
            assert torch.equal(w[: N // 2], -w[N // 2 :])
            w = w[: N // 2]
        std = {"hidden": 0.143171, 2: 1.39561, 200: 0.100609}[fan if fan == "hidden" else w.shape[1]]
        assert has_variance(w.detach(), std**2)
    assert all((b == 0).all() for b in parts["bias"]) == (scheme not in MIRRORED or not bias)
    if options:
        assert not torch.equal(*parts["weight_ih"][:2])
        assert torch.equal(*parts["weight_hh"][:2]) == (scheme in ("IRNN", "iRNN", "oRNN-mirror"))


def test_defaults_own_schemes_and_the_frozen_bias() -> None:
    default, named = init_rnn_(relu_rnn(), generator=seeded(4)), init_rnn_(relu_rnn(), "np-RNN", generator=seeded(4))
    assert torch.equal(default.weight_hh_l0, named.weight_hh_l0)
    half = init.Scheme("half", "tanh", lambda tensor, generator: init.identity_(tensor, 0.5), "")
    assert torch.equal(init_rnn_(nn.RNN(I, 3), half).weight_hh_l0, 0.5 * torch.eye(3))
    ours, frozen = nprnn.RNN(I, N, init="np-RNN", dtype=F64), nprnn.NPRNN(I, N, dtype=F64)
    assert [nprnn.RNN(I, 3).nonlinearity, ours.nonlinearity, frozen.nonlinearity] == ["tanh", "relu", "relu"]
    assert all(is_eq_9(m.weight_hh_l0.detach()) for m in (ours, frozen))
    fixed = [[name for name, p in m.named_parameters() if not p.requires_grad] for m in (ours, frozen)]
    assert fixed == [[], ["bias_hh_l0"]]
    assert (frozen.bias_hh_l0 == 0).all()


def test_a_refused_module_is_left_as_it_was() -> None:
    for name in ("weight_hh_l1", "bias_ih_l0"):
        module = nn.RNN(2, 3, 2, nonlinearity="relu")
        before = {k: v.clone() for k, v in module.state_dict().items()}
        generator = torch.Generator().manual_seed(0)
        state = generator.get_state()
        prune.identity(module, name)
        with pytest.raises(InputError, match=f"{name} not found"):
            init_rnn_(module, "np-RNN", generator=generator)
        assert torch.equal(generator.get_state(), state)
        after = {k.removesuffix("_orig"): v for k, v in module.state_dict().items() if not k.endswith("_mask")}
        assert all(torch.equal(after[k], v) for k, v in before.items())


@pytest.mark.parametrize("fan", ["hidden", "in"])
def test_slips_are_the_mistakes_written_out(fan: Fan) -> None:
    n = N if fan == "hidden" else 70
    wrong = math.sqrt(2) * math.exp(1.2 / max(n, 6) - 2.4)
    right, spread = init.alpha(n) / math.sqrt(n), 2 / (N + 3)
    scales = {
        "none": (right, math.sqrt(spread)),
        "alpha": (wrong / math.sqrt(n), math.sqrt(spread)),
        "variance": (init.alpha(n) / n, spread),
        "both": (wrong / n, spread),
    }
    for slip, (of_ih, of_out) in scales.items():
        weight_ih = filled(input_weight_, N, 70, seed=1, fan=fan)
        weight_out = filled(init.output_weight_, 3, N, seed=2)
        apply_slip_(weight_ih, weight_out, slip, fan=fan)  # type: ignore[arg-type]
        torch.testing.assert_close(weight_ih, of_ih * randn(N, 70, seed=1), rtol=1e-12, atol=0)
        torch.testing.assert_close(weight_out, of_out * randn(3, N, seed=2), rtol=1e-12, atol=0)
    with pytest.raises(InputError, match="slip must be"):
        apply_slip_(torch.ones(2, 2), torch.ones(1, 2), "parenthesis")  # type: ignore[arg-type]


def test_a_name_that_case_alone_tells_apart_is_not_guessed() -> None:
    with pytest.raises(ConfigError, match=r"unknown scheme 'irnn': it could be 'IRNN' or 'iRNN'"):
        init_rnn_(nn.RNN(2, 3, nonlinearity="relu"), "irnn")
    with pytest.raises(ConfigError, match=r"Did you mean 'np-RNN'\?"):
        init_rnn_(nn.RNN(2, 3, nonlinearity="relu"), "NP-rnn")
