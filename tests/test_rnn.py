"""The modules against ``torch.nn.RNN`` and ``torch.nn.RNNCell``: numbers, gradients, errors, transforms, deployment."""

from __future__ import annotations

import copy
import itertools
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from torch.utils._pytree import tree_leaves, tree_map

import nprnn
from nprnn.errors import InputError

T, B, I, H = 5, 3, 2, 4  # noqa: E741
F64, F32 = torch.float64, torch.float32
LENGTHS = {"sorted": torch.tensor([5, 3, 1]), "unsorted": torch.tensor([2, 5, 3])}
FLAGS = (False, True)
DEEP: dict[str, Any] = {"num_layers": 2, "bidirectional": True}


def product(**choices: Any) -> list[dict[str, Any]]:
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


def pair(seed: int = 0, *, save: Any = "all", dtype: torch.dtype = F64, **options: Any) -> tuple[nprnn.RNN, nn.RNN]:
    torch.manual_seed(seed)
    theirs = nn.RNN(I, H, **options, dtype=dtype)
    ours = nprnn.RNN(I, H, save=save, **options, dtype=dtype)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def randn(*shape: int, seed: int = 1, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype)


def states_of(module: nn.RNN, batch: int = B) -> Tensor:
    return randn(module.num_layers * (2 if module.bidirectional else 1), batch, H, seed=2)


def packed(*shape: int) -> PackedSequence:
    return PackedSequence(randn(*shape), torch.tensor([2, 2]))


def call(module: nn.RNN, x: Tensor, hx: Tensor | None = None, layout: str = "padded") -> tuple[Any, Tensor]:
    if layout == "unbatched":
        return module(x[:, 0], None if hx is None else hx[:, 0])  # type: ignore[no-any-return]
    x = x.transpose(0, 1) if module.batch_first else x
    if layout != "padded":
        x = pack_padded_sequence(x, LENGTHS[layout], module.batch_first, enforce_sorted=layout == "sorted")
    return module(x, hx)  # type: ignore[no-any-return]


def everything(module: nn.RNN, x: Tensor, hx: Tensor | None, layout: str = "padded") -> dict[str, Any]:
    x = x.clone().requires_grad_()
    leaves = {"x": x, **({} if hx is None else {"hx": hx.requires_grad_()}), **dict(module.named_parameters())}
    y, h_n = call(module, x, hx, layout)
    out = y.data if isinstance(y, PackedSequence) else y
    gradients = torch.autograd.grad((out * randn(*out.shape, seed=9)).sum() + h_n.sin().sum(), list(leaves.values()))
    found = y._asdict() if isinstance(y, PackedSequence) else {"y": y}
    return found | {"h_n": h_n} | {f"d{k}": v for k, v in zip(leaves, gradients, strict=True)}


def same(a: Any, b: Any, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


BATCH = randn(T, B, I)
ACTIVATIONS = product(bias=FLAGS, nonlinearity=("relu", "tanh"))
SHAPES = product(num_layers=(1, 2, 3), bidirectional=FLAGS, batch_first=FLAGS)
STARTS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("RNN", (3, 7, 2, "relu", False), {"bidirectional": True}),
    ("RNN", (3, 7), {"num_layers": 3, "batch_first": True, "dropout": 0.5, "dtype": F64}),
    ("RNNCell", (3, 7), {}),
    ("RNNCell", (3, 7, False, "relu"), {"dtype": F64}),
]


@pytest.mark.parametrize("save", ["all", "sqrt"])
@pytest.mark.parametrize("given_hx", FLAGS)
@pytest.mark.parametrize("layout", ["padded", "sorted", "unsorted", "unbatched"])
@pytest.mark.parametrize("options", [s | a for s in SHAPES for a in ACTIVATIONS], ids=str)
def test_values_and_gradients_are_torchs(options: dict[str, Any], layout: str, given_hx: bool, save: str) -> None:
    modules = pair(save=save, dropout=0.0, **options)
    got, want = (everything(m, BATCH, states_of(m) if given_hx else None, layout) for m in modules)
    assert want["dweight_hh_l0"].abs().max() > 1e-3
    same(got, want)


@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (1, 3), (4, 0)])
def test_smallest_shapes_and_empty_batches(steps: int, batch: int) -> None:
    same(*(everything(m, randn(steps, batch, I), states_of(m, batch)) for m in pair(batch_first=True, **DEEP)))


@pytest.mark.parametrize(("kind", "args", "options"), STARTS)
def test_same_start_from_the_same_seed(kind: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    made, after = [], []
    for library in (nprnn, nn):
        torch.manual_seed(5)
        made.append(getattr(library, kind)(*args, **options))
        after.append(torch.get_rng_state())
    assert torch.equal(*after)
    # Not nn.RNN itself: torch.compile refuses every instance of that.
    assert isinstance(made[0], {"RNN": nn.RNNBase, "RNNCell": nn.RNNCell}[kind])
    assert repr(made[0]) == repr(made[1])
    states = [m.state_dict() for m in made]
    assert list(states[0]) == list(states[1])
    same(*states, 0)
    [m.load_state_dict(state, strict=True) for m, state in zip(made, states[::-1], strict=True)]


@pytest.mark.parametrize("train", FLAGS)
@pytest.mark.parametrize("layout", ["padded", "unbatched", "sorted", "unsorted"])
@pytest.mark.parametrize("options", product(dropout=(0.4, 1.0), batch_first=FLAGS, bidirectional=FLAGS), ids=str)
def test_dropout_is_torchs(options: dict[str, Any], layout: str, train: bool) -> None:
    results = []
    for m in pair(num_layers=3, **options):
        torch.manual_seed(7)
        results.append([*everything(m.train(train), BATCH, None, layout).values(), torch.get_rng_state()])
    same(*results)
    plain = pair(num_layers=3, **{**options, "dropout": 0.0})[1]
    undropped = call(plain, BATCH, None, layout)[0]
    undropped = undropped.data if isinstance(undropped, PackedSequence) else undropped
    assert torch.allclose(results[0][0], undropped) != train


REFUSED: list[tuple[str, str, list[tuple[Any, ...]]]] = [
    ("RNN", "Expected 2, got 3", [(randn(T, B, 3),), (randn(T, 3),), (packed(4, 3),)]),
    ("RNN", "does not match weight dtype", [(BATCH.float(),), (BATCH.long(),), (packed(4, I).float(),)]),
    ("RNN", "dim|2-D|2D", [(packed(4, 2, I),), (packed(4),), (randn(I),), (randn(1, T, B, I),)]),
    ("RNN", "hidden size", [(BATCH, randn(1, 4, H)), (BATCH, randn(2, B, H)), (BATCH, randn(1, B, 5))]),
    ("RNN", "hidden size", [(packed(4, I), randn(1, 3, H)), (packed(4, I), randn(1, H)), (BATCH[0], randn(2, H))]),
    ("RNN", "hx should also be", [(BATCH, randn(1, H)), (BATCH[0], randn(1, B, H))]),
    ("RNN", "time step", [(BATCH[:0],)]),
    ("RNN", "float32", [(BATCH, randn(1, B, H).float())]),
    ("RNNCell", "got 3D", [(BATCH,), (BATCH[0], BATCH)]),
    ("RNNCell", "", [(randn(B, 3),), (randn(I), randn(B, H)), (BATCH[0].float(),), (BATCH[0], randn(B, 5))]),
]


@pytest.mark.parametrize(("kind", "words", "args"), [(k, w, args) for k, w, rows in REFUSED for args in rows])
def test_wrong_arguments_are_refused_as_in_torch(kind: str, words: str, args: tuple[Any, ...]) -> None:
    with pytest.raises((RuntimeError, ValueError)) as wanted:
        getattr(nn, kind)(I, H, dtype=F64)(*args)
    # Where torch itself checks, the same type; what it leaves to its kernels is an InputError here.
    with pytest.raises(wanted.type if re.search(words, str(wanted.value)) else InputError, match=words):
        getattr(nprnn, kind)(I, H, dtype=F64)(*args)


@pytest.mark.parametrize("wrong", [{"hidden_size": 0}, {"hidden_size": 2.0}, {"nonlinearity": "gelu"},
    {"num_layers": 0}, {"dropout": 1.5}, {"batch_first": 1}], ids=str)  # fmt: skip
def test_wrong_options_are_refused_as_in_torch(wrong: dict[str, Any]) -> None:
    told = []
    for kind in (nn.RNN, nprnn.RNN):
        with pytest.raises((ValueError, TypeError)) as error:
            kind(**{"input_size": I, "hidden_size": H, **wrong})
        told.append((error.type, str(error.value)))
    assert told[0] == told[1]


@pytest.mark.parametrize(("kind", "name"), [("RNN", "save"), ("RNNCell", "nonlinearity")])
def test_options_torch_does_not_check_are_told(kind: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}.* 'none'"):
        getattr(nprnn, kind)(I, H, **{name: "none"})


def test_final_states_may_be_changed_in_place_and_kept_outputs_not() -> None:
    gradients = []
    for m in pair():
        _, h_n = m(BATCH)
        h_n.mul_(3.0)
        gradients.append(torch.autograd.grad(h_n.square().sum(), list(m.parameters())))
    same(*gradients)
    y, _ = nprnn.RNN(I, H, dtype=F64)(BATCH)
    y.mul_(3.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("dtype", [F32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("autocast", FLAGS)
@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
def test_low_precision_and_autocast(dtype: torch.dtype, autocast: bool, nonlinearity: str) -> None:
    kept, results = F32 if autocast else dtype, []
    for m in pair(nonlinearity=nonlinearity, dtype=kept, **DEEP):
        with torch.autocast("cpu", dtype=dtype, enabled=kept != dtype):
            y, h_n = m(BATCH.to(kept))
        loss = y.float().square().sum() + h_n.float().sum()
        results.append([y, h_n, *torch.autograd.grad(loss, list(m.parameters()))])
    for k, (a, b) in enumerate(zip(*results, strict=True)):
        assert a.dtype == b.dtype == (dtype if k < 2 else kept)
        # One rounding a step; weights of norm about 1 do not amplify it.
        assert (a.double() - b.double()).abs().max() <= T * torch.finfo(dtype).eps * b.double().abs().max()


TRANSFORMS: dict[str, Callable[[Any], Any]] = {
    "value": lambda f: f,
    "grad": lambda f: torch.func.grad(lambda *a: f(*a).sum(), (0, 1, 2)),
    "jacrev": lambda f: torch.func.jacrev(f, (0, 1, 2)),
    "jacfwd": lambda f: torch.func.jacfwd(f, (0, 1, 2)),
    "jvp": lambda f: lambda *a: torch.func.jvp(f, a, tree_map(torch.cos, a)),
    "hessian": lambda f: torch.func.hessian(f, 2),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("which", list(itertools.product((None, 0), repeat=3)), ids=str)
def test_torch_func_and_vmap_over_the_module(which: tuple[int | None, ...], transform: str) -> None:
    # torch.nn.RNN has no batching rule: row by row instead.
    ours, theirs = pair(**DEEP)
    call_both = (lambda *a, m=m: functional_call(m, a[0], a[1:]) for m in (ours, theirs))
    f, g = (TRANSFORMS[transform](lambda *a, c=c: torch.stack([v.cos().sum() for v in c(*a)])) for c in call_both)
    single = (dict(theirs.state_dict()), BATCH, states_of(theirs))
    scaled = [tree_map(lambda v, k=k: v * (1 + k) / 2, single) for k in range(3)]
    rows = [[v if d is None else u for v, u, d in zip(single, row, which, strict=True)] for row in scaled]
    want = tree_map(lambda *v: torch.stack(v), *(g(*row) for row in rows))
    assert max(v.abs().max() for v in tree_leaves(want)) > 1e-3
    stacked = tree_map(lambda *v: torch.stack(v), *scaled)
    args = [v if d is None else u for v, u, d in zip(single, stacked, which, strict=True)]
    run = torch.func.vmap(f, which) if 0 in which else lambda *a: tree_map(lambda v: torch.stack([v] * 3), f(*a))
    same(run(*args), want)


def test_ensemble_of_modules_by_stack_module_state() -> None:
    modules = [pair(seed, **DEEP) for seed in range(3)]
    stacked = stack_module_state([ours for ours, _ in modules])  # type: ignore[arg-type]
    base = copy.deepcopy(modules[0][0]).to("meta")

    def loss(*state: dict[str, Tensor]) -> Any:
        out = functional_call(base, state, (BATCH,))
        return sum(v.cos().sum() for v in out), out

    got = torch.func.vmap(torch.func.grad(loss, has_aux=True))(*stacked)
    for k, (_, theirs) in enumerate(modules):
        out = theirs(BATCH)
        sum(v.cos().sum() for v in out).backward()
        same(tree_map(lambda v, k=k: v[k], got), ({n: p.grad for n, p in theirs.named_parameters()}, out))


@pytest.mark.parametrize(("backend", "directions"), [("inductor", 1), ("aot_eager", 2)])
def test_compile_has_one_node_per_direction(backend: str, directions: int) -> None:
    graphs: list[torch.fx.GraphModule] = []
    build = torch._dynamo.lookup_backend(backend)
    torch.manual_seed(0)
    m = nprnn.RNN(1, 32, bidirectional=directions == 2)
    compiled = torch.compile(m, fullgraph=True, backend=lambda *a: graphs.append(a[0]) or build(*a))
    for seed in range(2):
        x = randn(784, 4, 1, seed=seed, dtype=F32)
        same(*([*everything(run, x, None).values()] for run in (compiled, m)), 1e-5)
    assert len(graphs) == 1
    assert sum("nprnn" in str(node.target) for node in graphs[0].graph.nodes) == directions


@pytest.mark.parametrize("given_hx", FLAGS)
def test_export_with_free_length_and_batch(given_hx: bool) -> None:
    ours, theirs = pair(**DEEP)
    steps, batch = torch.export.Dim("steps", min=1, max=5000), torch.export.Dim("batch", min=1, max=500)
    free = ({0: steps, 1: batch}, {1: batch} if given_hx else None)
    example = (randn(7, 5, I), states_of(theirs, 5) if given_hx else None)
    program = torch.export.export(ours, example, dynamic_shapes=free)
    assert sum("nprnn" in str(node.target) for node in program.graph.nodes) == 4
    for t, b in ((1, 1), (50, 2), (3, 9)):
        args = (randn(t, b, I), states_of(theirs, b) if given_hx else None)
        same(program.module()(*args), theirs(*args))


CHANGES: dict[str, Callable[[nn.Module], Any]] = {
    "orthogonal": lambda m: parametrizations.orthogonal(m, "weight_hh_l0"),
    "weight_norm": lambda m: parametrizations.weight_norm(m, "weight_hh_l0"),
    "prune": lambda m: prune.l1_unstructured(m, "weight_hh_l0", amount=0.5),
}
MOVES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda m: pickle.loads(pickle.dumps(m)),
    "to_empty": lambda m: m.to("meta").to_empty(device="cpu"),
    "share_memory": lambda m: m.share_memory(),
    "flatten_parameters": lambda m: m.flatten_parameters() or m,
    "_apply": lambda m: m._apply(torch.clone),
    "dtypes": lambda m: m.bfloat16().to(F32).double(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_weights_are_seen_and_trained(change: str) -> None:
    ours, theirs = pair(num_layers=2)
    CHANGES[change](ours)
    originals = [p for name, p in ours.named_parameters() if "weight_hh_l0" in name]
    [p.data.mul_(1.5).add_(0.1) for p in originals]
    y, _ = ours(BATCH)
    effective = ours.weight_hh_l0
    assert not torch.equal(effective, theirs.weight_hh_l0)
    theirs.weight_hh_l0.data.copy_(effective)
    want, _ = theirs(BATCH)
    same(y, want)
    pull = torch.autograd.grad(want.cos().sum(), theirs.weight_hh_l0)
    got = torch.autograd.grad(y.cos().sum(), originals, retain_graph=True)
    same(got, torch.autograd.grad(effective, originals, pull))


@pytest.mark.parametrize("move", MOVES)
def test_moved_and_copied_modules_still_compute(move: str, tmp_path: Path) -> None:
    ours, theirs = pair(save="sqrt", **DEEP)
    torch.save(ours.state_dict(), tmp_path / "state.pt")
    moved = MOVES[move](ours)
    if move == "to_empty":
        moved.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True), strict=True)
    theirs = theirs.bfloat16().double() if move == "dtypes" else theirs
    assert (type(moved), moved.save) == (nprnn.RNN, "sqrt")
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda v: kept.append(v.numel()) or v, lambda v: v):
        moved(randn(100, B, I))
    assert max(kept) < 100 * B * H / 4
    same(*(everything(m, BATCH, states_of(m)) for m in (moved, theirs)))


def test_modules_on_meta_tell_shapes() -> None:
    y, h_n = nprnn.RNN(I, H, **DEEP, device="meta")(BATCH.float().to("meta"))
    assert (y.device.type, y.shape, h_n.shape) == ("meta", (T, B, 2 * H), (4, B, H))


@pytest.mark.parametrize("frozen", FLAGS)
def test_distributed_data_parallel(frozen: bool, tmp_path: Path) -> None:
    m, plain = (nprnn.rnn.freeze_bias_hh_(v) if frozen else v for v in pair(**DEEP))
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        for run in (nn.parallel.DistributedDataParallel(m), plain):
            sum(v.cos().sum() for v in run(BATCH)).backward()
    finally:
        torch.distributed.destroy_process_group()
    same(*([p.grad for p in v.parameters()] for v in (m, plain)))


@pytest.mark.parametrize("init", ["np-RNN", "IRNN"])
@pytest.mark.parametrize("bidirectional", FLAGS)
def test_nprnn_trains_one_bias_and_loads_into_torch(init: str, bidirectional: bool) -> None:
    options: dict[str, Any] = {"num_layers": 2, "batch_first": True, "bidirectional": bidirectional, "dtype": F64}
    torch.manual_seed(0)
    m = nprnn.NPRNN(I, H, init=init, **options)
    assert (m.nonlinearity, m.batch_first, m.num_layers, m.bidirectional) == ("relu", True, 2, bidirectional)
    assert torch.equal(m.weight_hh_l0, torch.eye(H, dtype=F64)) == (init == "IRNN")
    before = copy.deepcopy(m.state_dict())
    m(BATCH)[0].square().sum().backward()
    torch.optim.SGD(m.parameters(), lr=0.1, weight_decay=0.1).step()
    for name, value in m.state_dict().items():
        assert torch.equal(value, before[name]) == (not value.any()) == name.startswith("bias_hh")
    plain = nn.RNN(I, H, nonlinearity="relu", **options)
    plain.load_state_dict(m.state_dict(), strict=True)
    same(m(BATCH), plain(BATCH))


def test_nprnn_gradcheck() -> None:
    torch.manual_seed(1)
    m = nprnn.NPRNN(I, H, **DEEP, dtype=F64)
    args = (randn(3, 2, I).requires_grad_(), states_of(m, 2).requires_grad_())
    assert torch.autograd.gradcheck(m, args, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(m, args)


@pytest.mark.parametrize("shape", [(B,), (), (0,)], ids=["batched", "unbatched", "empty"])
@pytest.mark.parametrize("given_hx", FLAGS)
@pytest.mark.parametrize("options", ACTIVATIONS, ids=str)
def test_cell_is_torchs(options: dict[str, Any], given_hx: bool, shape: tuple[int, ...]) -> None:
    results = []
    for library in (nprnn, nn):
        torch.manual_seed(0)
        cell = library.RNNCell(I, H, **options, dtype=F64)
        args = [randn(*shape, n).requires_grad_() for n in ((I, H) if given_hx else (I,))]
        h = cell(*args)
        results.append([h, *torch.autograd.grad(h.sin().sum(), [*args, *cell.parameters()])])
    same(*results)


@pytest.mark.parametrize("init", ["IRNN", None])
def test_cell_step_by_step_is_the_rnn(init: str | None) -> None:
    cell = nprnn.RNNCell(I, H, init=init, dtype=F64)
    assert torch.equal(cell.weight_hh, torch.eye(H, dtype=F64)) == (init == "IRNN")
    m = nprnn.RNN(I, H, nonlinearity=cell.nonlinearity, dtype=F64)
    m.load_state_dict({f"{name}_l0": v for name, v in cell.state_dict().items()}, strict=True)
    states = list(itertools.accumulate(BATCH, lambda h, x: cell(x, h), initial=states_of(m)[0]))
    same(m(BATCH, states_of(m)), (torch.stack(states[1:]), states[-1][None]))


@pytest.mark.parametrize("train", FLAGS)
def test_empty_sequences_among_others_with_dropout(train: bool) -> None:
    m = nprnn.RNN(I, H, 2, dropout=0.5, dtype=F64).train(train)
    y, h_n = m.forward_padded(BATCH, torch.tensor([T, 0, 2]))
    assert (y[:, 1] == 0).all()
    assert (h_n[:, 1] == 0).all()
    assert (y[2:, 2] == 0).all()
    if not train:
        same(y[:2, 2], m(BATCH[:2, 2:])[0][:, 0])
