"""Where numbers are computed: the processor, or a CUDA device."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from nprnn.errors import ConfigError

CPU = torch.device("cpu")


def find_device(name: str | torch.device) -> torch.device:
    """The device of that name, if it is there. Nothing is started on it yet.

    Args:
        name: ``"cpu"``, ``"cuda"`` (torch's current CUDA device) or ``"cuda:N"``.

    Returns:
        The device.

    Raises:
        ConfigError: another name, a torch without CUDA, or no such device on this machine.
    """
    name = str(name)
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ConfigError(f"device must be cpu, cuda or cuda:N, got {name!r}")
    if name == "cpu":
        return CPU
    if found := missing_cuda():
        raise ConfigError(f"device {name} was asked for, but {found} or leave out --device")
    device, count = torch.device(name), torch.cuda.device_count()
    if device.index is not None and device.index >= count:
        there = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise ConfigError(f"device {name} was asked for, but this machine has {there}")
    return device


def missing_cuda() -> str:
    """Why there is no CUDA device, and what to do about it; "" where there is one."""
    if torch.version.cuda is None and torch.version.hip is None:
        return f"this torch ({torch.__version__}) was built without CUDA; install a CUDA build of torch"
    if not torch.cuda.is_available():
        return (
            f"this torch ({torch.__version__}) finds no CUDA device; see that nvidia-smi lists one, with a driver "
            "that is recent enough for this torch,"
        )
    return ""


def about(device: torch.device) -> dict[str, str]:
    """What to remember of a device: its name, and the version of CUDA (or ROCm) that torch was built for."""
    if device.type == "cpu":
        return {"device": "cpu"}
    version = torch.version.cuda or torch.version.hip or "unknown"
    return {"device": torch.cuda.get_device_name(device), "cuda": version}


def cuda_status() -> str:
    """One line on the CUDA devices there are, or why there are none."""
    if found := missing_cuda():
        return f"none: {found.rstrip(',')}"
    told = []
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        told.append(f"cuda:{number} {facts.name}, {facts.total_memory / 2**30:.0f} GiB")
    return "; ".join(told)


def free_memory(name: str) -> int:
    """Bytes free on a CUDA device. To ask starts CUDA in this process, which takes some of them."""
    free, _ = torch.cuda.mem_get_info(torch.device(name))
    return int(free)


def synchronize(device: torch.device) -> None:
    """Wait until a device has done all that it was told to."""
    if device.type != "cpu":
        torch.cuda.synchronize(device)


def move(v: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; itself if it is there already."""
    # What goes there need not be waited for: ordinary memory has been read when the call returns. What comes back must.
    return v.to(device, non_blocking=device.type != "cpu")


@contextmanager
def computing_on(device: torch.device) -> Iterator[None]:
    """What surrounds a computation on a device: kernels start there, and float32 is float32.

    Only cuDNN (our LSTM) rounds to TF32 unless it is told not to; torch's own products do not by default.
    """
    if device.type == "cpu":
        yield
        return
    layers: Any = torch.backends.cudnn.rnn
    before = layers.fp32_precision
    with torch.cuda.device(device):
        layers.fp32_precision = "ieee"
        try:
            yield
        finally:
            layers.fp32_precision = before
