"""Ensembles against their members one by one: numbers, gradients, starts, stacking and back, transforms, errors."""

from __future__ import annotations

import copy
import io
import itertools
import pickle
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils.rnn import pack_padded_sequence

import nprnn
from nprnn.errors import InputError
from nprnn.ops import cpu, rnn

E, T, B, I, H = 3, 5, 2, 2, 4  # noqa: E741
F64 = torch.float64
FLAGS = (False, True)
SHARING = ("none", "shared", "own")
LENGTHS = torch.tensor([[5, 2], [1, 4], [3, 3]])
DEEP: dict[str, Any] = {"num_layers": 2, "bidirectional": True}


def product(**choices: Any) -> list[dict[str, Any]]:
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


def randn(*shape: int, seed: int = 1, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype)


def made(*, dtype: torch.dtype = F64, seed: int = 0, kind: Any = nprnn.RNN, **options: Any) -> Any:
    torch.manual_seed(seed)
    return kind(I, H, ensemble=E, dtype=dtype, **options)


def singles_of(module: nprnn.RNN) -> list[nn.RNN]:
    """Torch's own modules with the members' weights: none of this package's code takes part in what is wanted."""
    names = ("input_size", "hidden_size", "num_layers", "nonlinearity", "bias", "batch_first", "bidirectional")
    members = []
    for k in range(E):
        member = nn.RNN(**{name: getattr(module, name) for name in names}, dtype=module.weight_ih_l0.dtype)
        member.load_state_dict({name: v[k] for name, v in module.state_dict().items()}, strict=True)
        members.append(member)
    return members


def given(name: str, *shape: int, seed: int) -> tuple[Tensor | None, list[Tensor | None]]:
    """What the ensemble is given, and what each member is: nothing, one tensor for all, or one for each."""
    if name == "none":
        return None, [None] * E
    v = randn(*((E,) if name == "own" else ()), *shape, seed=seed).requires_grad_()
    return v, list(v) if name == "own" else [v] * E


def loss_of(y: Tensor, h_n: Tensor, k: int) -> Tensor:
    """Different for each member, so that members that changed places are seen."""
    return (y * randn(*y.shape, seed=10 + k)).sum() + (k + 1) * h_n.sin().sum()


def same(got: Any, want: Any, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)


def one_by_one(members: Sequence[nn.RNN], xs: Sequence[Any], hxs: Sequence[Any], lengths: Sequence[Any]) -> Any:
    outputs = []
    for member, x, hx, length in zip(members, xs, hxs, lengths, strict=True):
        if length is None:
            outputs.append(member(x, hx))
            continue
        first = member.batch_first
        member.batch_first = False
        y, h_n = member(pack_padded_sequence(x, length, enforce_sorted=False), hx)
        member.batch_first = first
        outputs.append((nn.utils.rnn.pad_packed_sequence(y, total_length=T)[0], h_n))
    return outputs


STATES = product(x=("shared", "own"), hx=SHARING, lengths=SHARING)
KINDS = product(num_layers=(1, 2), bidirectional=FLAGS, nonlinearity=("relu", "tanh"), bias=FLAGS, batch_first=FLAGS)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_member_k_is_the_single_network_with_its_weights(kind: dict[str, Any]) -> None:
    module = made(**kind)
    members = singles_of(module)
    states = kind["num_layers"] * (2 if kind["bidirectional"] else 1)
    for how in STATES:
        # With lengths the time axis leads, whatever batch_first says.
        swapped = kind["batch_first"] and how["lengths"] == "none"
        x, xs = given(how["x"], *((B, T, I) if swapped else (T, B, I)), seed=3)
        hx, hxs = given(how["hx"], states, B, H, seed=4)
        lengths = {"none": None, "shared": LENGTHS[0], "own": LENGTHS}[how["lengths"]]
        each = [lengths[k] if how["lengths"] == "own" else lengths for k in range(E)]  # type: ignore[index]
        want = one_by_one(members, xs, hxs, each)
        y, h_n = module(x, hx) if lengths is None else module.forward_padded(x, lengths, hx)
        assert y.shape == (E, *want[0][0].shape)
        assert h_n.shape == (E, states, B, H)
        same([(y[k], h_n[k]) for k in range(E)], want)
        leaves = [v for v in (x, hx) if v is not None]
        parameters = list(module.parameters())
        wanted = torch.autograd.grad(
            sum(loss_of(*want[k], k) for k in range(E)), [*leaves, *(p for m in members for p in m.parameters())]
        )
        got = torch.autograd.grad(sum(loss_of(y[k], h_n[k], k) for k in range(E)), [*leaves, *parameters])
        same(got[: len(leaves)], wanted[: len(leaves)])
        count = len(parameters)
        for place, gradient in enumerate(got[len(leaves) :]):
            same(gradient, torch.stack([wanted[len(leaves) + k * count + place] for k in range(E)]))


@pytest.mark.parametrize("steps", [1, 2, 400])
@pytest.mark.parametrize("save", ["all", "sqrt"])
def test_shortest_and_long_sequences(save: str, steps: int) -> None:
    module = made(save=save, **DEEP)
    x = randn(E, steps, B, I)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda v: kept.append(v.numel()) or v, lambda v: v):
        y, h_n = module(x)
    want = one_by_one(singles_of(module), x, [None] * E, [None] * E)
    same([(y[k], h_n[k]) for k in range(E)], want, 1e-9)
    if steps == 400:
        # Chunks of about √T steps.
        assert (max(kept) < E * steps * B * H / 4) == (save == "sqrt")


def test_what_is_shared_is_not_copied_and_its_gradient_is_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = cpu._Call

    def spy(*arguments: Any) -> Any:
        seen.append(original(*arguments))
        return seen[-1]

    monkeypatch.setattr(cpu, "_Call", spy)
    module, x = made(), randn(T, B, I).requires_grad_()
    with nprnn.ops.use_kernel("portable"):
        y, _ = module(x)
        (got,) = torch.autograd.grad((y * randn(*y.shape, seed=5)).sum(), x)
    assert [call.x.data_ptr() for call in seen] == [x.data_ptr()] * 2
    own = x.detach().expand(E, T, B, I).clone().requires_grad_()
    y, _ = module(own)
    same(got, torch.autograd.grad((y * randn(*y.shape, seed=5)).sum(), own)[0].sum(0))


STARTS: list[dict[str, Any]] = [
    {},
    {"nonlinearity": "relu", "bias": False, "dtype": F64},
    {"num_layers": 2, "bidirectional": True, "dropout": 0.5},
    {"init": "np-RNN", "num_layers": 2},
    {"init": "oRNN", "generator": 3},
]


@pytest.mark.parametrize("options", STARTS, ids=str)
@pytest.mark.parametrize("kind", [nprnn.RNN, nprnn.NPRNN])
def test_the_start_is_that_of_single_networks_one_after_another(kind: Any, options: dict[str, Any]) -> None:
    if kind is nprnn.NPRNN:
        options = {"init": "np-RNN", **options, "nonlinearity": "relu"}
    found, after = [], []
    for ensemble in FLAGS:
        torch.manual_seed(5)
        settings = dict(options)
        if "generator" in options:
            settings["generator"] = torch.Generator().manual_seed(options["generator"])
        modules = [kind(3, 7, **settings, ensemble=E)] if ensemble else [kind(3, 7, **settings) for _ in range(E)]
        after.append(torch.get_rng_state())
        found.append(modules)
    assert torch.equal(*after)
    singles, (together,) = found
    assert list(together.state_dict()) == list(singles[0].state_dict())
    for name, v in together.named_parameters():
        rows = [getattr(single, name) for single in singles]
        assert torch.equal(v, torch.stack(rows)), name
        assert v.is_leaf
        assert v.requires_grad == rows[0].requires_grad
    assert not torch.equal(together.weight_hh_l0[0], together.weight_hh_l0[1])


@pytest.mark.parametrize("kind", ["RNN", "Linear"])
def test_reset_draws_each_member_as_torch_does(kind: str) -> None:
    module: Any = made(dtype=torch.float32) if kind == "RNN" else nprnn.EnsembleLinear(E, H, 3)
    members: list[Any] = [nn.RNN(I, H) if kind == "RNN" else nn.Linear(H, 3) for _ in range(E)]
    torch.manual_seed(9)
    module.reset_parameters()
    torch.manual_seed(9)
    for k, member in enumerate(members):
        member.reset_parameters()
        for name, v in member.named_parameters():
            assert torch.equal(getattr(module, name)[k], v), name


def test_nprnn_trains_one_bias() -> None:
    module = made(kind=nprnn.NPRNN, num_layers=2)
    assert [n for n, p in module.named_parameters() if not p.requires_grad] == ["bias_hh_l0", "bias_hh_l1"]
    before = copy.deepcopy(module.state_dict())
    module(randn(T, B, I))[0].square().sum().backward()
    torch.optim.SGD(module.parameters(), lr=0.1, weight_decay=0.1).step()
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]) == (not value.any()) == name.startswith("bias_hh")


# --- the head ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", FLAGS)
@pytest.mark.parametrize("shape", [(), (1,), (B,), (T, B), (T, 0)], ids=str)
def test_linear_is_e_linears_one_after_another(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    together = nprnn.EnsembleLinear(E, H, 3, bias, dtype=F64)
    torch.manual_seed(0)
    singles = [nn.Linear(H, 3, bias, dtype=F64) for _ in range(E)]
    assert list(together.state_dict()) == list(singles[0].state_dict())
    for name, v in together.named_parameters():
        assert torch.equal(v, torch.stack([getattr(single, name) for single in singles]))
    x = randn(E, *shape, H).requires_grad_()
    y, rows = together(x), [single(x[k]) for k, single in enumerate(singles)]
    assert y.is_contiguous()
    same(y, torch.stack(rows))
    wanted = torch.autograd.grad(sum(v.cos().sum() for v in rows), [x, *(p for m in singles for p in m.parameters())])
    got = torch.autograd.grad(y.cos().sum(), [x, *together.parameters()])
    same(got[0], wanted[0])
    for place, gradient in enumerate(got[1:]):
        same(gradient, torch.stack(wanted[1 + place :: 1 + bias]))


# --- stacking and back ------------------------------------------------------------------------------------------------

ROWS: dict[str, Callable[[], Any]] = {
    "torch": lambda: nn.RNN(I, H, 2, nonlinearity="relu", bidirectional=True, batch_first=True, dtype=F64),
    "ours": lambda: nprnn.RNN(I, H, 2, dropout=0.25, bias=False, save="sqrt"),
    "np": lambda: nprnn.NPRNN(I, H, init="IRNN"),
    "np-tanh": lambda: nprnn.NPRNN(I, H, init="np-tanhRNN", dtype=torch.bfloat16),
    "linear": lambda: nn.Linear(H, 3, dtype=F64),
    "linear without bias": lambda: nn.Linear(H, 3, bias=False),
}


@pytest.mark.parametrize("train", FLAGS)
@pytest.mark.parametrize("row", ROWS)
def test_stack_and_unstack_are_exact(row: str, train: bool) -> None:
    members = [ROWS[row]().train(train) for _ in range(E)]
    for member in members:
        next(member.parameters()).requires_grad_(False)
    together = nprnn.stack(members)
    assert (together.ensemble, together.training) == (E, train)
    back = together.unstack()
    kind = {"torch": nprnn.RNN, "ours": nprnn.RNN}.get(row, type(members[0]))
    assert [type(v) for v in back] == [kind] * E
    for old, new in zip(members, back, strict=True):
        assert repr(old).partition("(")[2] == repr(new).partition("(")[2]
        assert (getattr(new, "save", "all"), new.training) == (getattr(old, "save", "all"), train)
        assert list(new.state_dict()) == list(old.state_dict())
        for (name, a), b in zip(old.named_parameters(), new.parameters(), strict=True):
            stacked = getattr(together, name)
            assert torch.equal(a, b)
            assert (a.dtype, a.requires_grad) == (b.dtype, b.requires_grad) == (stacked.dtype, stacked.requires_grad)
            assert b.is_leaf
            assert b.is_contiguous()
            assert len({v.untyped_storage().data_ptr() for v in (a, b, stacked)}) == 3
    again = nprnn.stack(back)
    assert repr(again) == repr(together)
    same(again.state_dict(), together.state_dict(), 0)


def test_no_lock_in() -> None:
    module = made(num_layers=2, nonlinearity="relu")
    x = randn(T, B, I)
    y, h_n = module(x)
    for k, member in enumerate(module.unstack()):
        theirs = nn.RNN(I, H, 2, nonlinearity="relu", dtype=F64)
        theirs.load_state_dict(member.state_dict(), strict=True)
        same((y[k], h_n[k]), theirs(x))


def test_members_of_both_libraries_stack() -> None:
    frozen = nprnn.rnn.freeze_bias_hh_(nn.RNN(I, H, nonlinearity="relu"))
    for members in ([nn.RNN(I, H), nprnn.RNN(I, H)], [nprnn.NPRNN(I, H), frozen]):
        together = nprnn.stack(members)
        assert type(together) is nprnn.RNN
        assert together.ensemble == 2


def changed(member: Any, how: Callable[[Any], Any]) -> Any:
    how(member)
    return member


UNEQUAL: list[tuple[str, Callable[[], list[Any]]]] = [
    ("at least one module, got none", lambda: []),
    ("member 0 is of type LSTM; stack takes nprnn.RNN", lambda: [nn.LSTM(I, H)]),
    ("member 1 is of type GRU", lambda: [nn.RNN(I, H), nn.GRU(I, H)]),
    ("member 2 has hidden_size=5, but member 0 has 4", lambda: [nn.RNN(I, 4), nn.RNN(I, 4), nprnn.RNN(I, 5)]),
    ("member 1 has nonlinearity='relu', but member 0 has 'tanh'", lambda: [nn.RNN(I, H), nprnn.NPRNN(I, H)]),
    ("member 1 has save='sqrt', but member 0 has 'all'", lambda: [nn.RNN(I, H), nprnn.RNN(I, H, save="sqrt")]),
    ("member 1 has kind='Linear', but member 0 has 'RNN'", lambda: [nn.RNN(I, H), nn.Linear(I, H)]),
    ("member 1 has out_features=4, but member 0 has 3", lambda: [nn.Linear(2, 3), nn.Linear(2, 4)]),
    ("member 1 has bias=False, but member 0 has True", lambda: [nn.Linear(2, 3), nn.Linear(2, 3, bias=False)]),
    ("member 1 has weight_ih_l0.dtype=torch.float64", lambda: [nn.RNN(I, H), nn.RNN(I, H).double()]),
    ("member 1 has weight.device=device(type='meta')", lambda: [nn.Linear(2, 3), nn.Linear(2, 3, device="meta")]),
    ("member 1 has bias_hh_l0.requires_grad=False", lambda: [
        nn.RNN(I, H), changed(nn.RNN(I, H), nprnn.rnn.freeze_bias_hh_)]),
    ("member 1 has training=False", lambda: [nn.RNN(I, H), nn.RNN(I, H).eval()]),
    ("member 0 is an ensemble itself", lambda: [made()]),
    ("member 1 is an ensemble itself", lambda: [nn.Linear(2, 3), nprnn.EnsembleLinear(2, 2, 3)]),
    ("member 0 computes weight_hh_l0 (parametrized or pruned)", lambda: [
        changed(nprnn.RNN(I, H), lambda m: parametrizations.orthogonal(m, "weight_hh_l0"))]),
    ("member 0 computes bias (parametrized or pruned)", lambda: [
        changed(nn.Linear(2, 3), lambda m: prune.random_unstructured(m, "bias", 0.5))]),
]  # fmt: skip


@pytest.mark.parametrize(("words", "make"), UNEQUAL, ids=[words for words, _ in UNEQUAL])
def test_unequal_members_are_told(words: str, make: Callable[[], list[Any]]) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        nprnn.stack(make())


def test_what_cannot_be_unstacked_is_told() -> None:
    with pytest.raises(InputError, match="single network"):
        nprnn.RNN(I, H).unstack()
    with pytest.raises(InputError, match="weight_hh_l0 is computed"):
        changed(made(), lambda m: parametrizations.orthogonal(m, "weight_hh_l0")).unstack()
    for name in ("weight", "bias"):
        head = changed(nprnn.EnsembleLinear(E, H, 3), lambda m, n=name: prune.random_unstructured(m, n, 0.5))
        with pytest.raises(InputError, match=f"{name} is computed"):
            head.unstack()


# --- torch around it --------------------------------------------------------------------------------------------------

MOVES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda m: pickle.loads(pickle.dumps(m)),
    "to_empty": lambda m: m.to("meta").to_empty(device="cpu"),
    "share_memory": lambda m: m.share_memory(),
    "dtypes": lambda m: m.bfloat16().float().double(),
}


@pytest.mark.parametrize("move", MOVES)
def test_moved_and_copied_ensembles_still_compute(move: str) -> None:
    module = made(save="sqrt", kind=nprnn.NPRNN, **DEEP)
    if move == "dtypes":
        module.bfloat16().double()
    file, x = io.BytesIO(), randn(T, B, I)
    torch.save(module.state_dict(), file)
    want = module(x)
    moved = MOVES[move](module)
    if move == "to_empty":
        file.seek(0)
        moved.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert (type(moved), moved.save, moved.ensemble) == (nprnn.NPRNN, "sqrt", E)
    same(moved(x), want, 0)


def test_repr_tells_the_number_of_members() -> None:
    assert repr(nprnn.RNN(I, H, 2, ensemble=E)) == "RNN(2, 4, num_layers=2, ensemble=3)"
    assert "ensemble" not in repr(nprnn.RNN(I, H))
    head = "EnsembleLinear(ensemble=3, in_features=4, out_features=1, bias=False)"
    assert repr(nprnn.EnsembleLinear(E, H, 1, bias=False)) == head


def test_flattening_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    module, calls = made(), []
    monkeypatch.setattr(nn.RNNBase, "flatten_parameters", lambda m: calls.append(m))
    module.float().flatten_parameters()
    assert calls == []
    single = nprnn.RNN(I, H)
    single.flatten_parameters()
    assert calls[-1] is single


@pytest.mark.parametrize("lengths", [None, LENGTHS[0], LENGTHS], ids=["none", "shared", "own"])
def test_dropout_is_drawn_for_each_member(lengths: Tensor | None) -> None:
    module = made(num_layers=2, dropout=0.5)
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "weight_ih_l1", "weight_hh_l1", "bias_ih_l1"):
        parameter = getattr(module, name)
        parameter.data = parameter.data[:1].expand(E, *parameter.shape[1:]).clone()
    x = randn(T, B, I)
    torch.manual_seed(0)
    y, _ = module.forward_padded(x, lengths)
    torch.manual_seed(0)
    same(module.forward_padded(x, lengths)[0], y, 0)
    assert not torch.equal(y[0, 0], y[1, 0])
    plain = made(num_layers=2)
    plain.load_state_dict(module.state_dict())
    same(module.eval().forward_padded(x, lengths), plain.forward_padded(x, lengths), 0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast(dtype: torch.dtype) -> None:
    module, head = made(dtype=torch.float32), nprnn.EnsembleLinear(E, H, 3)
    x = randn(T, B, I, dtype=torch.float32)
    results = []
    for members in ([(module, head)], list(zip(module.unstack(), head.unstack(), strict=True))):
        with torch.autocast("cpu", dtype=dtype):
            outputs = [linear(recurrent(x)[0]) for recurrent, linear in members]
        loss = sum(v.float().square().sum() for v in outputs)
        gradients = [torch.autograd.grad(loss, list(r.parameters()), retain_graph=True) for r, _ in members]
        one = len(members) == 1
        results.append([outputs[0] if one else torch.stack(outputs)])
        results[-1] += gradients[0] if one else [torch.stack(rows) for rows in zip(*gradients, strict=True)]
    assert results[0][0].dtype == dtype
    assert all(v.dtype == torch.float32 for v in results[0][1:])
    for a, b in zip(*results, strict=True):
        # One rounding for each of T steps, and one for the head.
        assert (a.double() - b.double()).abs().max() <= (T + 1) * torch.finfo(dtype).eps * b.double().abs().max()


class Halved(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2


def test_parametrized_weights_are_seen_and_trained() -> None:
    module, x = made(), randn(T, B, I)
    halved = copy.deepcopy(module)
    halved.weight_hh_l0.data /= 2
    parametrize.register_parametrization(module, "weight_hh_l0", Halved())
    same(module(x), halved(x), 0)
    (want,) = torch.autograd.grad(halved(x)[0].cos().sum(), halved.weight_hh_l0)
    (got,) = torch.autograd.grad(module(x)[0].cos().sum(), module.parametrizations.weight_hh_l0.original)
    same(got, want / 2)
    module.reset_parameters()
    assert not torch.equal(module.weight_hh_l0, halved.weight_hh_l0)


def test_functional_call_and_torch_func() -> None:
    module, x = made(**DEEP), randn(T, B, I)
    hx = randn(E, 4, B, H)
    weights = {name: v.detach() for name, v in module.named_parameters()}

    def loss(weights: dict[str, Tensor], hx: Tensor) -> Tensor:
        y, h_n = functional_call(module, weights, (x, hx))
        return y.cos().sum() + h_n.sin().sum()

    y, h_n = module(x, hx.requires_grad_())
    want = torch.autograd.grad(y.cos().sum() + h_n.sin().sum(), [*module.parameters(), hx])
    hx = hx.detach()
    got = torch.func.grad(loss, (0, 1))(weights, hx)
    same([*got[0].values(), got[1]], list(want))
    rows = {name: torch.stack([v, v / 2]) for name, v in weights.items()}
    got = torch.func.vmap(torch.func.grad(loss), (0, None))(rows, hx)
    for k in range(2):
        same({n: v[k] for n, v in got.items()}, torch.func.grad(loss)({n: v[k] for n, v in rows.items()}, hx))
    tangent = {name: v.cos() for name, v in weights.items()}
    _, pushed = torch.func.jvp(lambda w: loss(w, hx), (weights,), (tangent,))
    same(pushed, sum((g * tangent[n]).sum() for n, g in torch.func.grad(loss)(weights, hx).items()))


@pytest.mark.parametrize(("backend", "options"), [("inductor", {}), ("aot_eager", {**DEEP, "batch_first": True})])
def test_compile_has_one_node_per_layer_and_direction(backend: str, options: dict[str, Any]) -> None:
    graphs: list[torch.fx.GraphModule] = []
    build = torch._dynamo.lookup_backend(backend)
    module = made(**options)
    head = nprnn.EnsembleLinear(E, H * (1 + module.bidirectional), 2, dtype=F64)
    net: Callable[..., Tensor] = lambda x, hx: head(module(x, hx)[0])  # noqa: E731
    compiled = torch.compile(net, fullgraph=True, backend=lambda *a: graphs.append(a[0]) or build(*a))
    x = randn(E, T, B, I)
    hx = randn(module.num_layers * (1 + module.bidirectional), T if module.batch_first else B, H)
    leaves = [*module.parameters(), *head.parameters()]
    results = []
    for run in (net, compiled):
        y = run(x, hx)
        results.append([y, *torch.autograd.grad(y.cos().sum(), leaves)])
    same(*results)
    assert len(graphs) == 1
    assert sum("nprnn" in str(node.target) for node in graphs[0].graph.nodes) == len(hx)


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.003),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_loop_over_an_ensemble_is_e_loops(name: str) -> None:
    torch.manual_seed(0)
    bodies = [nprnn.NPRNN(I, H, dtype=F64) for _ in range(E)]
    heads = [nn.Linear(H, 1, dtype=F64) for _ in range(E)]
    body, head = nprnn.stack(bodies), nprnn.stack(heads)

    def train(parameters: Any, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        optimizer = OPTIMIZERS[name](parameters)
        for step in range(10):
            optimizer.zero_grad()
            loss(randn(T, 8, I, seed=step), randn(8, 1, seed=100 + step)).backward()
            optimizer.step()

    before = copy.deepcopy(body.state_dict())
    # The sum over members: each has the gradient of its own loss.
    train(
        [*body.parameters(), *head.parameters()],
        lambda x, target: (head(body(x)[0][:, -1]) - target).square().mean((1, 2)).sum(),
    )
    for one, linear in zip(bodies, heads, strict=True):
        train(
            [*one.parameters(), *linear.parameters()],
            lambda x, target, one=one, linear=linear: (linear(one(x)[0][-1]) - target).square().mean(),  # type: ignore[misc]
        )
    for got, want in ((body, nprnn.stack(bodies)), (head, nprnn.stack(heads))):
        same(got.state_dict(), want.state_dict())
    assert (body.weight_hh_l0 - before["weight_hh_l0"]).abs().max() > 1e-3


# --- weights as views into one row per member -------------------------------------------------------------------------


def views(theta: Tensor) -> list[Tensor]:
    sizes = {"h0": (B, H), "weight_ih": (H, I), "weight_hh": (H, H), "bias": (H,)}
    parts = theta.split([torch.Size(shape).numel() for shape in sizes.values()], 1)
    return [v.view(E, *shape) for v, shape in zip(parts, sizes.values(), strict=True)]


def test_rows_of_a_wider_matrix_are_passed_as_they_lie() -> None:
    theta = randn(E, B * H + H * I + H * H + H) * 0.5
    x, given = randn(T, B, I), views(theta)
    lengths = LENGTHS.repeat(1, 3)[:, 1 : 1 + B]
    assert not any(v.is_contiguous() for v in (*given, lengths))
    call = cpu._Call(x, *given, lengths, "relu", False, 0)
    assert call.words[-10::2] == tuple(v.data_ptr() for v in (*given, lengths))
    assert call.words[-9::2] == (*[theta.shape[1]] * 4, 6)


@pytest.mark.parametrize("dtype", [torch.float32, F64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("use_lengths", FLAGS)
def test_views_and_copies_give_the_same_bits(use_lengths: bool, dtype: torch.dtype) -> None:
    x = randn(E, T, B, I, dtype=dtype)
    wide = LENGTHS.repeat(1, 3)[:, 1 : 1 + B] if use_lengths else None
    results = []
    for copied in FLAGS:
        theta = (randn(E, B * H + H * I + H * H + H) * 0.5).to(dtype).requires_grad_()
        given = [v.contiguous() if copied else v for v in views(theta)]
        lengths = None if wide is None else wide.contiguous() if copied else wide
        y, h_n = rnn(x, *given, lengths, nonlinearity="tanh")
        results.append([y, h_n, *torch.autograd.grad(y.cos().sum() + h_n.sin().sum(), theta)])
    assert results[0][2].abs().max() > 1e-3
    same(*results, 0)


def test_members_that_are_not_dense_are_copied_and_spread_ones_shared() -> None:
    x, given = randn(T, B, I), views(randn(E, B * H + H * I + H * H + H))
    given[2] = given[2].mT.contiguous().mT
    given[3] = given[3][0].expand(E, H)
    want = rnn(x, *(v.contiguous() for v in given), nonlinearity="tanh")
    same(rnn(x, *given, nonlinearity="tanh"), want, 0)
    weight_hh, member, bias, spread = cpu._Call(x, *given, None, "tanh", False, 0).words[-6:-2]
    assert weight_hh != given[2].data_ptr()
    assert member == H * H
    assert (bias, spread) == (given[3].data_ptr(), 0)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [0, -1, 2.0, True, "3"])
def test_wrong_numbers_of_members_are_told(wrong: Any) -> None:
    for make in (lambda: nprnn.RNN(I, H, ensemble=wrong), lambda: nprnn.NPRNN(I, H, ensemble=wrong)):
        with pytest.raises(InputError, match=f"an integer of at least 1, or None; got {wrong!r}"):
            make()
    with pytest.raises(InputError, match=f"an integer of at least 1; got {wrong!r}"):
        nprnn.EnsembleLinear(wrong, H, 1)


X = randn(T, B, I)
OWN = r"\[E, T, B, I\] with E=3, each member its own; got shape "
REFUSED: list[tuple[str, tuple[Any, ...]]] = [
    (OWN + r"\(5, 2\); an unbatched sequence needs a batch axis", (X[:, 0],)),
    (OWN + r"\(2, 5, 2, 2\)", (X.expand(2, T, B, I),)),
    (OWN + r"\(1, 3, 5, 2, 2\)", (X.expand(1, E, T, B, I),)),
    (r"\(E=3\) takes no PackedSequence; call forward_padded\(x, lengths\)", (pack_padded_sequence(X, [5, 3]),)),
    ("Expected 2, got 3", (randn(T, B, 3),)),
    ("does not match weight dtype", (X.float(),)),
    (r"hidden size \(1, 2, 4\), or that with a leading E=3, got \[1, 3, 4\]", (X, randn(1, 3, H))),
    (r"leading E=3, got \[2, 1, 2, 4\]", (X, randn(2, 1, B, H))),
    (r"leading E=3, got \[1, 4\]", (X, randn(1, H))),
    ("time step", (X[:0],)),
    ("float32", (X, randn(1, B, H).float())),
]


@pytest.mark.parametrize(("words", "args"), REFUSED, ids=[words for words, _ in REFUSED])
def test_wrong_arguments_are_told(words: str, args: tuple[Any, ...]) -> None:
    with pytest.raises((RuntimeError, ValueError), match=words):
        made()(*args)


@pytest.mark.parametrize("shape", [(E, B, T), (B, E), ()], ids=str)
def test_wrong_lengths_are_told(shape: tuple[int, ...]) -> None:
    words = r"lengths must be \[B\], shared by all members, or \[E, B\] with E=3"
    with pytest.raises(InputError, match=words):
        made().forward_padded(X, torch.ones(shape, dtype=torch.int64))
    with pytest.raises(InputError, match=r"lengths must be \[B\] = \(2,\)"):
        made().forward_padded(X, torch.ones(E, 3, dtype=torch.int64))


def test_batch_first_is_in_the_words() -> None:
    with pytest.raises(InputError, match=r"input must be \[B, T, I\], shared by all members, or \[E, B, T, I\]"):
        made(batch_first=True)(X[0])


@pytest.mark.parametrize("shape", [(H,), (2, B, H), (E, B, 5), (T, B, H)], ids=str)
def test_wrong_inputs_of_the_head_are_told(shape: tuple[int, ...]) -> None:
    words = re.escape(f"input must be [E, ..., H] with E=3 and H=4, got shape {shape}")
    with pytest.raises(InputError, match=words):
        nprnn.EnsembleLinear(E, H, 1)(torch.zeros(shape))


def test_a_streamer_runs_one_network() -> None:
    module, head = made(), nprnn.EnsembleLinear(E, H, 1, dtype=F64)
    with pytest.raises(InputError, match=r"RNN is an ensemble of E=3; make a streamer for each of its unstack\(\)"):
        nprnn.Streamer(module)
    with pytest.raises(InputError, match="EnsembleLinear is an ensemble of E=3"):
        nprnn.Streamer(nn.RNN(I, H, dtype=F64), head)  # type: ignore[arg-type]
    y, _ = module(X)
    for k, member in enumerate(module.unstack()):
        streamer = nprnn.Streamer(member)
        for t in range(T):
            same(streamer.step(X[t, 0]), y[k, t, 0])
