"""The operator: its definition, gradcheck, opcheck, ensembles, lengths, torch.func, compile, export."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import nprnn
from nprnn.errors import InputError
from nprnn.ops import library, reference, rnn
from nprnn.ops.backends import Kernel

T, B, I, H = 5, 3, 2, 4  # noqa: E741


def problem(
    seed: int = 0, *, steps: int = T, batch: int = B, members: dict[str, int] | None = None
) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    shapes = {"x": (steps, batch, I), "h0": (batch, H), "weight_ih": (H, I), "weight_hh": (H, H), "bias": (H,)}
    lead = members or {}
    return {
        name: torch.randn(*((lead[name],) if name in lead else ()), *shape, generator=g, dtype=torch.float64) * 0.7
        for name, shape in shapes.items()
    }


def one_sequence(x: Tensor, h0: Tensor, wi: Tensor, wh: Tensor, b: Tensor, f: Any, reverse: bool, k: int) -> Any:
    """Unbatched loop over Python indices, straight from the equation."""
    h, ys = h0, {}
    for t in range(len(x))[:: -1 if reverse else 1]:
        s = wi @ x[t] + wh @ h + b
        h = torch.stack([s[u] if u < k else f(s[u]) for u in range(len(s))])
        ys[t] = h
    return torch.stack([ys[t] for t in range(len(x))]), h


OPTIONS = list(itertools.product(("relu", "tanh"), (False, True), (0, 2)))


@pytest.mark.parametrize(("nonlinearity", "reverse", "linear_units"), OPTIONS)
def test_values_are_the_equation(nonlinearity: str, reverse: bool, linear_units: int) -> None:
    p = problem()
    lengths = torch.tensor([5, 1, 3])
    y, h_n = rnn(**p, lengths=lengths, nonlinearity=nonlinearity, reverse=reverse, linear_units=linear_units)
    f = torch.relu if nonlinearity == "relu" else torch.tanh
    for b, n in enumerate(lengths.tolist()):
        want_y, want_h = one_sequence(
            p["x"][:n, b], p["h0"][b], p["weight_ih"], p["weight_hh"], p["bias"], f, reverse, linear_units
        )
        torch.testing.assert_close(y[:n, b], want_y, rtol=0, atol=1e-13)
        torch.testing.assert_close(h_n[b], want_h, rtol=0, atol=1e-13)
        assert (y[n:, b] == 0).all()


@pytest.mark.parametrize("save", ["all", "sqrt"])
@pytest.mark.parametrize(("nonlinearity", "reverse", "linear_units"), OPTIONS)
@pytest.mark.parametrize("lengths", [None, torch.tensor([5, 1, 3])])
def test_gradcheck(nonlinearity: str, reverse: bool, linear_units: int, lengths: Tensor | None, save: str) -> None:
    def call(x: Tensor, h0: Tensor, wi: Tensor, wh: Tensor, b: Tensor) -> Any:
        return rnn(
            x, h0, wi, wh, b, lengths,
            nonlinearity=nonlinearity, reverse=reverse, linear_units=linear_units, save=save,
        )  # fmt: skip

    args = [v.requires_grad_() for v in problem(1).values()]
    assert torch.autograd.gradcheck(call, args, check_forward_ad=True, check_batched_grad=True)


@pytest.mark.parametrize("save", ["all", "sqrt"])
@pytest.mark.parametrize(("nonlinearity", "reverse", "linear_units"), OPTIONS)
def test_gradgradcheck(nonlinearity: str, reverse: bool, linear_units: int, save: str) -> None:
    lengths = torch.tensor([3, 2])

    def call(x: Tensor, h0: Tensor, wi: Tensor, wh: Tensor, b: Tensor) -> Any:
        return rnn(
            x, h0, wi, wh, b, lengths,
            nonlinearity=nonlinearity, reverse=reverse, linear_units=linear_units, save=save,
        )  # fmt: skip

    args = [v.requires_grad_() for v in problem(2, steps=3, batch=2).values()]
    assert torch.autograd.gradgradcheck(call, args, check_fwd_over_rev=True)


NAMES = ("x", "h0", "weight_ih", "weight_hh", "bias")


@pytest.mark.parametrize("carriers", [c for r in range(6) for c in itertools.combinations(NAMES, r)])
@pytest.mark.parametrize("use_lengths", [False, True])
def test_ensemble_equals_members_one_by_one(carriers: tuple[str, ...], use_lengths: bool) -> None:
    members = 3
    p = {k: v.requires_grad_() for k, v in problem(3, members=dict.fromkeys(carriers, members)).items()}
    lengths = torch.tensor([[5, 1, 3], [2, 2, 4], [1, 5, 5]]) if use_lengths else None
    expected = members if carriers or use_lengths else None
    y, h_n = rnn(**p, lengths=lengths, nonlinearity="relu")
    if expected is None:
        assert y.dim() == 3
        return
    singles = [
        rnn(
            **{k: v[e] if k in carriers else v for k, v in p.items()},
            lengths=None if lengths is None else lengths[e],
            nonlinearity="relu",
        )
        for e in range(members)
    ]
    torch.testing.assert_close(y, torch.stack([s[0] for s in singles]))
    torch.testing.assert_close(h_n, torch.stack([s[1] for s in singles]))
    weight = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(0))
    got = torch.autograd.grad((y * weight).sum() + h_n.square().sum(), list(p.values()))
    loss = sum((s[0] * weight[e]).sum() + s[1].square().sum() for e, s in enumerate(singles))
    want = torch.autograd.grad(loss, list(p.values()))
    for name, a, b in zip(p, got, want, strict=True):
        torch.testing.assert_close(a, b, msg=lambda m, name=name: f"{name}: {m}")


def test_a_shared_input_is_as_good_as_a_copy_for_each_member() -> None:
    p = problem(members={"weight_hh": 4})
    y, _ = rnn(**p, nonlinearity="relu")
    shared = rnn(**{**p, "x": p["x"].expand(4, *p["x"].shape)}, nonlinearity="relu")[0]
    torch.testing.assert_close(y, shared)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.integers(1, 9),
    batch=st.integers(1, 4),
    seed=st.integers(0, 99),
    nonlinearity=st.sampled_from(["relu", "tanh"]),
    reverse=st.booleans(),
    data=st.data(),
)
def test_sqrt_memory_gives_the_same_numbers(
    steps: int, batch: int, seed: int, nonlinearity: str, reverse: bool, data: st.DataObject
) -> None:
    p = {k: v.requires_grad_() for k, v in problem(seed, steps=steps, batch=batch).items()}
    lengths = torch.tensor(data.draw(st.lists(st.integers(1, steps), min_size=batch, max_size=batch)))
    results = []
    for save in ("all", "sqrt"):
        y, h_n = rnn(**p, lengths=lengths, nonlinearity=nonlinearity, reverse=reverse, save=save)
        results.append([y, h_n, *torch.autograd.grad(y.cos().sum() + h_n.sin().sum(), list(p.values()))])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_sqrt_memory_keeps_about_sqrt_t_states() -> None:
    steps = 400
    p = {k: v.requires_grad_() for k, v in problem(steps=steps).items()}
    kept: dict[str, dict[int, int]] = {"all": {}, "sqrt": {}}

    def note(save: str, v: Tensor) -> Tensor:
        kept[save][v.untyped_storage().data_ptr()] = v.untyped_storage().nbytes()
        return v

    for save, sizes in kept.items():
        sizes.clear()
        with torch.autograd.graph.saved_tensors_hooks(lambda v, save=save: note(save, v), lambda v: v):
            rnn(**p, nonlinearity="relu", save=save)
    inputs = sum(v.untyped_storage().nbytes() for v in p.values())
    state = B * H * 8
    assert sum(kept["all"].values()) - inputs >= steps * state
    assert sum(kept["sqrt"].values()) - inputs <= 21 * state


def test_reference_backward_is_the_gradient_of_the_reference() -> None:
    p = problem(5)
    lengths = torch.tensor([4, 5, 1])
    leaves = [v.clone().requires_grad_() for v in p.values()]
    y, h_n = reference.forward(*leaves, lengths, "tanh", True, 1)
    dy, dh_n = torch.randn_like(y), torch.randn_like(h_n)
    want = torch.autograd.grad((y * dy).sum() + (h_n * dh_n).sum(), leaves)
    got = reference.backward(dy, dh_n, *p.values(), lengths, y.detach(), "tanh", True, 1)
    for a, b in zip(got, want, strict=True):
        assert a is not None
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lengths", [None, torch.tensor([5, 1, 3])])
def test_opcheck(bias: bool, lengths: Tensor | None) -> None:
    p = problem()
    plain = [*p.values()]
    if not bias:
        plain[4] = None  # type: ignore[call-overload]
    options = ("relu", False, 1)
    torch.library.opcheck(torch.ops.nprnn.rnn_forward.default, (*plain, lengths, *options))
    y, h_n = torch.ops.nprnn.rnn_forward(*plain, lengths, *options)
    for need_dx in (True, False):
        torch.library.opcheck(
            torch.ops.nprnn.rnn_backward.default,
            (torch.randn_like(y), torch.randn_like(h_n), *plain, lengths, y, *options, need_dx),
        )
    for recompute in (True, False):
        leaves = [None if v is None else v.clone().requires_grad_() for v in plain]
        torch.library.opcheck(torch.ops.nprnn.rnn.default, (*leaves, lengths, *options, recompute))


def seen_by_backward(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The arguments of every backward pass of the operator from now on, which runs on the reference."""
    seen: list[tuple[Any, ...]] = []

    def spy(*arguments: Any) -> Any:
        seen.append(arguments)
        return reference.backward(*arguments)

    monkeypatch.setattr(library, "kernel", lambda *tensors: Kernel(reference.forward, spy))
    return seen


def test_last_step_loss_arrives_without_a_gradient_for_y(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = seen_by_backward(monkeypatch)
    p = {k: v.requires_grad_() for k, v in problem().items()}
    rnn(**p, nonlinearity="relu")[1].sum().backward()
    rnn(**p, nonlinearity="relu")[0].sum().backward()
    assert [(dy is None, dh_n is None) for dy, dh_n, *_ in seen] == [(True, False), (False, True)]


def test_gradients_for_x_and_h0_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = seen_by_backward(monkeypatch)
    p = problem()
    for name in ("weight_hh", "x", "h0"):
        p[name].requires_grad_()
        rnn(**p, nonlinearity="relu")[1].sum().backward()
    assert [arguments[-2:] for arguments in seen] == [(False, False), (True, False), (True, True)]


# --- torch.func, against the reference, which is plain torch ---------------------------------------------------------


def both(seed: int, nonlinearity: str) -> tuple[Any, Any, list[Tensor]]:
    lengths = torch.tensor([5, 2, 4])

    def fast(*a: Tensor) -> Tensor:
        y, h_n = rnn(*a, lengths, nonlinearity=nonlinearity)
        return y.cos().sum() + h_n.square().sum()

    def slow(*a: Tensor) -> Tensor:
        y, h_n = reference.forward(*a, lengths, nonlinearity, False, 0)
        return y.cos().sum() + h_n.square().sum()

    return fast, slow, list(problem(seed).values())


def same(a: Any, b: Any) -> None:
    left, right = torch.utils._pytree.tree_leaves(a), torch.utils._pytree.tree_leaves(b)
    assert len(left) == len(right) > 0
    for x, y in zip(left, right, strict=True):
        assert y.abs().max() > 1e-6
        torch.testing.assert_close(x, y, rtol=1e-10, atol=1e-10)


ARGS = tuple(range(5))


@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
@pytest.mark.parametrize(
    "transform",
    [
        lambda f: torch.func.grad(f, ARGS),
        lambda f: torch.func.jacrev(f, ARGS),
        lambda f: torch.func.jacfwd(f, ARGS),
        lambda f: torch.func.hessian(f, (3, 4)),
        lambda f: torch.func.jacrev(torch.func.jacrev(f, (3, 4)), (2, 3)),
        lambda f: torch.func.jacfwd(torch.func.jacfwd(f, (3,)), (3,)),
        lambda f: torch.func.grad(lambda *a: sum(g.sin().sum() for g in torch.func.grad(f, ARGS)(*a)), ARGS),
        lambda f: lambda *a: torch.func.jvp(f, a, tuple(v.cos() for v in a)),
        lambda f: lambda *a: torch.func.vjp(f, *a)[1](torch.tensor(2.0, dtype=torch.float64)),
    ],
    ids=["grad", "jacrev", "jacfwd", "hessian", "jacrev2", "jacfwd2", "grad of grad", "jvp", "vjp"],
)
def test_torch_func(transform: Any, nonlinearity: str) -> None:
    fast, slow, args = both(4, nonlinearity)
    same(transform(fast)(*args), transform(slow)(*args))


@pytest.mark.parametrize("which", [c for r in (1, 2, 5) for c in itertools.combinations(range(5), r)])
@pytest.mark.parametrize("inner", ["value", "grad", "hessian"])
def test_vmap_over_any_arguments(which: tuple[int, ...], inner: str) -> None:
    fast, slow, args = both(6, "tanh")
    rows = [torch.stack([v, v * 0.5, v.roll(1, 0)], 1) if k in which else v for k, v in enumerate(args)]
    in_dims = tuple(1 if k in which else None for k in range(5))
    transform = {
        "value": lambda f: f,
        "grad": lambda f: torch.func.grad(f, ARGS),
        "hessian": lambda f: torch.func.hessian(f, (3,)),
    }[inner]
    same(
        torch.func.vmap(transform(fast), in_dims)(*rows),
        torch.func.vmap(transform(slow), in_dims)(*rows),
    )


def test_vmap_over_an_ensemble_and_nested_vmap() -> None:
    p = problem(7, members={"weight_hh": 3, "bias": 3})
    args = list(p.values())

    def make(run: Any) -> Any:
        def loss(x: Tensor, wh: Tensor) -> Tensor:
            y, h_n = run(x, args[1], args[2], wh, args[4])
            return y.cos().sum() + h_n.square().sum()

        return torch.func.vmap(torch.func.vmap(torch.func.grad(loss, (0, 1)), in_dims=(0, None)), in_dims=(None, 0))

    xs = torch.stack([args[0], args[0] * 2])
    whs = torch.stack([args[3], args[3] * 0.5, args[3] * 0.1, args[3].mT])
    fast = make(lambda *a: rnn(*a, nonlinearity="tanh"))(xs, whs)
    slow = make(lambda *a: reference.forward(*a, None, "tanh", False, 0))(xs, whs)
    same(fast, slow)


def test_batched_gradients_of_autograd() -> None:
    p = {k: v.requires_grad_() for k, v in problem(8).items()}
    y, _ = rnn(**p, nonlinearity="tanh")
    probe = torch.eye(6, y.numel(), dtype=y.dtype).view(6, *y.shape)
    got = torch.autograd.grad(y, list(p.values()), probe, is_grads_batched=True, retain_graph=True)
    for k in range(6):
        for a, b in zip(got, torch.autograd.grad(y, list(p.values()), probe[k], retain_graph=True), strict=True):
            torch.testing.assert_close(a[k], b)


# --- dtypes, compile, export, errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_low_precision_follows_float64(dtype: torch.dtype) -> None:
    p = {k: v.to(dtype).requires_grad_() for k, v in problem(9).items()}
    q = {k: v.detach().double().requires_grad_() for k, v in p.items()}
    y, h_n = rnn(**p, nonlinearity="relu")
    want, _ = rnn(**q, nonlinearity="relu")
    assert y.dtype == h_n.dtype == dtype
    # One rounding a step, amplified by at most max(1, ‖W_hh‖) a step.
    norm = float(torch.linalg.matrix_norm(q["weight_hh"], 2).clamp(min=1))
    bound = 8 * T * torch.finfo(dtype).eps * norm**T * float(want.detach().abs().max())
    assert (y.double() - want).abs().max() <= bound
    y.sum().backward()
    want.sum().backward()
    for name in p:
        scale = float(q[name].grad.abs().max())  # type: ignore[union-attr]
        assert (p[name].grad.double() - q[name].grad).abs().max() <= 8 * T * torch.finfo(dtype).eps * norm**T * scale


@pytest.mark.parametrize("save", ["all", "sqrt"])
def test_compile_gives_the_same_values_and_gradients(save: str) -> None:
    p = {k: v.requires_grad_() for k, v in problem(10).items()}

    def loss(*a: Tensor) -> Tensor:
        y, h_n = rnn(*a, torch.tensor([5, 1, 3]), nonlinearity="tanh", save=save)
        return y.cos().sum() + h_n.square().sum()

    want = torch.autograd.grad(loss(*p.values()), list(p.values()))
    compiled = torch.compile(loss, fullgraph=True)
    got = torch.autograd.grad(compiled(*p.values()), list(p.values()))
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)


def test_forward_mode_under_compile_is_not_zero() -> None:
    p = problem(11)

    def final(x: Tensor) -> Tensor:
        return rnn(x, *list(p.values())[1:], nonlinearity="tanh")[1]

    def push(x: Tensor, v: Tensor) -> Tensor:
        return torch.func.jvp(final, (x,), (v,))[1]

    v = torch.randn_like(p["x"])
    want = push(p["x"], v)
    assert want.abs().max() > 0.1
    torch.testing.assert_close(torch.compile(push, backend="aot_eager", fullgraph=True)(p["x"], v), want)


@pytest.mark.parametrize("run", [rnn, reference.forward], ids=["operator", "reference"])
def test_padding_is_not_looked_at_even_if_it_is_no_number(run: Any) -> None:
    p = problem(12)
    lengths = torch.tensor([5, 2, 3])
    results = []
    for padding in (0.0, float("nan"), float("inf")):
        x = p["x"].clone()
        x[2:, 1], x[3:, 2] = padding, padding
        leaves = [x.requires_grad_(), *(p[k].clone().requires_grad_() for k in list(p)[1:])]
        y, h_n = run(*leaves, lengths, nonlinearity="tanh", reverse=False, linear_units=0)
        results.append([y, h_n, *torch.autograd.grad(y.cos().sum() + h_n.sum(), leaves)])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("save", ["all", "sqrt"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_lengths_of_any_integer_type(dtype: torch.dtype, save: Any) -> None:
    p = problem(13)
    lengths = torch.tensor([1, 4, 5])
    want = rnn(**p, lengths=lengths, nonlinearity="relu", save=save)
    got = rnn(**p, lengths=lengths.to(dtype), nonlinearity="relu", save=save)
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)


def test_export_keeps_one_node_and_a_free_length() -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nprnn.NPRNN(I, H)

        def forward(self, x: Tensor) -> Tensor:
            return self.rnn(x)[0]

    net = Net()
    steps = torch.export.Dim("steps", min=2, max=10000)
    program = torch.export.export(net, (torch.randn(7, 2, I),), dynamic_shapes={"x": {0: steps}})
    nodes = [n for n in program.graph.nodes if n.op == "call_function" and "nprnn" in str(n.target)]
    assert len(nodes) == 1
    for length in (3, 50):
        x = torch.randn(length, 2, I)
        torch.testing.assert_close(program.module()(x), net(x))


GOOD = {k: v.shape for k, v in problem().items()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": (T, B, I + 1)}, r"weight_ih must be \[H, I\] = \(4, 3\)"),
        ({"x": (T, B)}, r"x must be \[T, B, I\], or that with a leading E; got shape \(5, 3\)"),
        ({"x": (0, B, I)}, "at least one time step"),
        ({"h0": (B + 1, H)}, r"h0 must be \[B, H\] = \(3, 4\)"),
        ({"weight_hh": (H, H + 1)}, r"weight_hh must be \[H, H\] = \(4, 4\)"),
        ({"bias": (H + 1,)}, r"bias must be \[H\] = \(4,\)"),
        ({"bias": (2, H), "h0": (3, B, H)}, r"disagree on the number of ensemble members E: .*'bias': 2"),
    ],
)
def test_wrong_shapes_are_told(change: dict[str, tuple[int, ...]], words: str) -> None:
    p = {k: torch.zeros(change.get(k, shape)) for k, shape in GOOD.items()}
    with pytest.raises(InputError, match=words):
        rnn(**p, nonlinearity="relu")


def test_wrong_options_are_told() -> None:
    p = problem()
    with pytest.raises(InputError, match="'relu' or 'tanh', got 'gelu'"):
        rnn(**p, nonlinearity="gelu")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="between 0 and H=4, got 5"):
        rnn(**p, nonlinearity="relu", linear_units=5)
    with pytest.raises(InputError, match="'all' or 'sqrt'"):
        rnn(**p, nonlinearity="relu", save="none")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"h0 is torch.float32 on cpu, but x is torch.float64"):
        rnn(**{**p, "h0": p["h0"].float()}, nonlinearity="relu")
    with pytest.raises(InputError, match=r"lengths must be integers, got torch\.float64"):
        rnn(**p, lengths=torch.ones(B, dtype=torch.float64), nonlinearity="relu")
