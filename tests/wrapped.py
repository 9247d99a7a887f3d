"""A small network trained under the usual wrappers: torchrun runs this file; ``plain`` is the loop that they equal.

    torchrun ... wrapped.py WRAPPER FOLDER KIND...

leaves the weights of each process in ``FOLDER/KIND-RANK.pt``, in double precision.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import nprnn

STEPS, BATCH, UPDATES, MEMBERS = 6, 4, 6, 3
KINDS: dict[str, dict[str, Any]] = {
    "single": {},
    "two layers, both ways": {"num_layers": 2, "bidirectional": True},
    "sqrt": {"save": "sqrt"},
    "ensemble": {"ensemble": MEMBERS},
}


class Network(nn.Module):
    """An RNN and its head; an ensemble of them gives outputs with a leading E."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.rnn = nprnn.RNN(2, 7, nonlinearity="relu", batch_first=True, **KINDS[kind])
        width = 7 * (1 + self.rnn.bidirectional)
        self.head = nprnn.EnsembleLinear(MEMBERS, width, 1) if kind == "ensemble" else nn.Linear(width, 1)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(x)
        return self.head(y.mean(-2))[..., 0]


def loss_of(outputs: Tensor, y: Tensor) -> Tensor:
    """Mean over sequences; of an ensemble the sum over its members."""
    return (outputs - y).square().mean(-1).sum()


def data() -> TensorDataset:
    g = torch.Generator().manual_seed(5)
    count = BATCH * UPDATES
    x = torch.rand(count, STEPS, 2, generator=g, dtype=torch.float64)
    return TensorDataset(x, torch.rand(count, generator=g, dtype=torch.float64))


def optimizer_of(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)


def plain(kind: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights of one process, and the gradients of its first update."""
    network = Network(kind)
    optimizer = optimizer_of(network)
    first: dict[str, Tensor] = {}
    for x, y in DataLoader(data(), BATCH):
        optimizer.zero_grad()
        loss_of(network(x), y).backward()
        first = first or {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
        optimizer.step()
    return network.state_dict(), first


def ddp(kind: str) -> dict[str, Any]:
    from torch.nn.parallel import DistributedDataParallel

    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    network = Network(kind)
    wrapped = DistributedDataParallel(network)
    optimizer = optimizer_of(network)
    first: dict[str, Tensor] = {}
    share = BATCH // torch.distributed.get_world_size()
    for x, y in DataLoader(data(), share, sampler=DistributedSampler(data(), shuffle=False)):
        optimizer.zero_grad()
        loss_of(wrapped(x), y).backward()
        first = first or {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
        optimizer.step()
    return {"weights": network.state_dict(), "gradients": first}


def lightning(kind: str, processes: int = 2) -> dict[str, Any]:
    import lightning as L

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = Network(kind)

        def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
            x, y = batch
            return loss_of(self.network(x), y)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return optimizer_of(self)

        def train_dataloader(self) -> DataLoader[Any]:
            # What Lightning would put in shuffles.
            trainer = self.trainer
            sampler = DistributedSampler(data(), trainer.world_size, trainer.global_rank, shuffle=False)
            return DataLoader(data(), BATCH // trainer.world_size, sampler=sampler)

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(
        accelerator="cpu",
        devices=processes,
        strategy="ddp" if processes > 1 else "auto",
        max_epochs=1,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **quiet,
    )
    module = Module()
    trainer.fit(module)
    return {"weights": module.network.state_dict()}


def accelerate(kind: str) -> dict[str, Any]:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    network = Network(kind)
    share = BATCH // accelerator.num_processes
    model, optimizer, batches = accelerator.prepare(network, optimizer_of(network), DataLoader(data(), share))
    for x, y in batches:
        optimizer.zero_grad()
        accelerator.backward(loss_of(model(x), y))
        optimizer.step()
    return {"weights": accelerator.unwrap_model(model).state_dict()}


WRAPPERS: dict[str, Callable[[str], dict[str, Any]]] = {"ddp": ddp, "lightning": lightning, "accelerate": accelerate}


def main(wrapper: str, folder: str, *kinds: str) -> None:
    rank = os.environ["RANK"]
    for kind in kinds:
        torch.save(WRAPPERS[wrapper](kind), Path(folder) / f"{kind}-{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
