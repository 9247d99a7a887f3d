"""A CUDA device that is not there: its tensors lie in ordinary memory, and what mixes them with others is refused.

Numbers are computed as on the CPU, so what comes out can be compared bit for bit. It is stricter than a real device,
which takes indices from the CPU and waits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from nprnn.ops import use_kernel
from nprnn.tasks.base import as_tensor

CUDA = torch.device("cuda", 0)
NAME = "a pretended device"

_READERS = {"item", "tolist", "__bool__", "__int__", "__float__", "__index__", "equal", "allclose", "nonzero", "any_"}
_FROM_LISTS = {"tensor", "new_tensor", "as_tensor"}


class _Below(TorchDispatchMode):
    """What torch computes by itself, and keeps for autograd, is where it came from."""

    def __init__(self, device: Pretended) -> None:
        super().__init__()
        self._device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        there = any(isinstance(v, Tensor) and self._device.holds(v) for v in tree_leaves((args, kwargs)))
        return tree_map(self._device.put, result) if there else result


class Pretended(TorchFunctionMode):
    """Everything in a ``with`` block sees the device.

    Attributes:
        waits: names of the calls for which a real device would have been waited for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        # Kept alive: an address that were used again would be taken for the old tensor.
        self._there: dict[int, Any] = {}
        self._below = _Below(self)

    def __enter__(self) -> Pretended:
        # What is kept for a device was of another one.
        as_tensor.cache_clear()
        self._below.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._below.__exit__(*error)
        as_tensor.cache_clear()

    def holds(self, v: Tensor) -> bool:
        """Whether a tensor is on the device."""
        with torch._C.DisableTorchFunction():
            return v.untyped_storage()._cdata in self._there

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name in ("__get__", "__set__"):
            return self._property(func, name, args)
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if name in ("to", "cpu", "cuda"):
            return self._moved(func, name, args, kwargs)
        if name == "_has_compatible_shallow_copy_type":
            return True
        if name == "copy_":
            return self._copied(func, args, kwargs)
        if func is torch.autograd.grad:
            return self._differentiated(*args, **kwargs)

        tensors = [v for v in tree_leaves((args, kwargs)) if isinstance(v, Tensor)]
        places = {self.holds(v) for v in tensors if v.dim() or self.holds(v)}
        if len(places) > 1:
            told = ", ".join(f"{'cuda' if self.holds(v) else 'cpu'} {tuple(v.shape)}" for v in tensors)
            raise RuntimeError(f"{resolve_name(func) or name}: tensors on the CPU and on the device: {told}")
        there = places == {True}
        if "device" in kwargs and kwargs["device"] is not None:
            there = torch.device(kwargs.pop("device")).type == "cuda"
        if there:
            self._note(name, first, args)
        result = func(*args, **kwargs)
        if there:
            tree_map(self.put, result)
        return result

    def put(self, v: Any) -> Any:
        """Say of what lies in a tensor's memory that it is on the device."""
        if isinstance(v, Tensor):
            storage = v.untyped_storage()
            self._there[storage._cdata] = storage
        return v

    def _note(self, name: str, first: Tensor | None, args: Any) -> None:
        if name in ("numpy", "__array__"):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        by_mask_or_list = name in ("__getitem__", "__setitem__") and any(
            isinstance(v, list) or (isinstance(v, Tensor) and v.dtype == torch.bool)
            for v in (args[1] if isinstance(args[1], tuple) else (args[1],))
        )
        if name in _READERS or name in _FROM_LISTS or name == "masked_select" or by_mask_or_list:
            self.waits.append(name)

    def _property(self, func: Any, name: str, args: Any) -> Any:
        whose = resolve_name(func) or str(func)
        if name == "__get__" and self.holds(args[0]):
            if ".device." in whose:
                return CUDA
            if ".is_cuda." in whose:
                return True
        return func(*args)

    def _moved(self, func: Any, name: str, args: Any, kwargs: dict[str, Any]) -> Any:
        v, was = args[0], self.holds(args[0])
        given = [*args[1:], kwargs.get("device"), kwargs.get("other")]
        there, dtype = {"cpu": False, "cuda": True}.get(name, was), v.dtype
        for wish in given:
            if isinstance(wish, Tensor):
                there, dtype = self.holds(wish), wish.dtype
            elif isinstance(wish, (str, torch.device)):
                there = torch.device(wish).type == "cuda"
        waited = not (kwargs.get("non_blocking") or any(wish is True for wish in args[1:]))
        dtype = next((w for w in (*given, kwargs.get("dtype")) if isinstance(w, torch.dtype)), dtype)
        if there == was:
            result = v.to(dtype)
            return self.put(result) if there else result
        if not there and not waited:
            raise RuntimeError("numbers were read before they had come from the device: non_blocking towards the CPU")
        if waited:
            self.waits.append(name)
        result = v.to(dtype, copy=True)
        return self.put(result) if there else self._take(result)

    def _take(self, v: Tensor) -> Tensor:
        self._there.pop(v.untyped_storage()._cdata, None)
        return v

    def _copied(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        if self.holds(args[0]) != self.holds(args[1]) and not kwargs.get("non_blocking"):
            self.waits.append("copy_")
        return func(*args, **kwargs)

    def _differentiated(self, outputs: Any, inputs: Any, grad_outputs: Any, **_: Any) -> Any:
        """``torch.autograd.grad``, with an eye on the functions that it calls."""
        told, wanted, given = ((v,) if isinstance(v, Tensor) else tuple(v) for v in (outputs, inputs, grad_outputs))
        if len({self.holds(v) for v in (*told, *wanted, *given)}) > 1:
            raise RuntimeError("torch.autograd.grad: tensors on the CPU and on the device")
        # Autograd calls functions of ours, which are looked at too.
        super().__enter__()
        try:
            found: tuple[Tensor, ...] = torch.autograd.graph._engine_run_backward(
                told, given, False, False, wanted, False, False
            )
        finally:
            super().__exit__(None, None, None)
        assert all(self.holds(v) == self.holds(told[0]) for v in found)
        return found


@contextlib.contextmanager
def pretended_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pretended]:
    """A torch with one CUDA device, whose kernel is the reference."""
    with monkeypatch.context() as patched, use_kernel("reference"):
        patched.setattr(torch.version, "cuda", "13.0")
        for name, answer in (
            ("is_available", True),
            ("device_count", 1),
            ("get_device_name", NAME),
            ("synchronize", None),
            ("mem_get_info", (3 * 2**30, 4 * 2**30)),
        ):
            patched.setattr(torch.cuda, name, lambda *_, answer=answer: answer)
        patched.setattr(torch.cuda, "device", contextlib.nullcontext)
        patched.setattr(torch.backends.cudnn, "is_acceptable", lambda _: False)
        with Pretended() as device:
            yield device
