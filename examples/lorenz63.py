"""Lorenz-63 from its series alone: python examples/lorenz63.py --out FOLDER [--linear-units 25] [--seed 0 1 2 3 4].

An almost-linear RNN (or, with ``--linear-units 0``, a plain ReLU RNN) learns to go on by itself as the system does, by
sparse teacher forcing (Mikhaeil et al. 2022, Brenner et al. 2024): every ``interval`` steps its first three states, the
observed ones, are replaced by the observation. Here the stretches between are independent sequences: they are the
batch, their forced states are h0, and an update is two calls of ``nprnn.ops.rnn``, for all seeds at once (the axis E).

1. The other states of h0: the network follows the ``warmup`` observations before, its observed units held at what was
   seen; their columns of W_hh are the input weight. (Usually they are carried over from the stretch before, which must
   then be run first.) It begins to follow at random states, so that it has to forget within ``warmup`` steps where it
   began. Begun at 0, slow linear units were free to be elsewhere after a long run, which then went astray.
2. From h0 the network runs free for ``interval`` steps and is compared with the observations.

Observed units are linear if at least three are; ReLU units hold observations shifted until all are positive (the
attractor is bounded: they are then as good as linear ones). Seeds that have a record in FOLDER are not run again.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nprnn.dynamics import System, lyapunov_spectrum
from nprnn.dynamics.reconstruction import power_spectrum_distance, state_space_divergence
from nprnn.files import write_atomically
from nprnn.init import normalized_positive_definite_
from nprnn.ops import rnn
from nprnn.seeds import derive

DT = 0.01
SEEN = 3
TRUE_EXPONENTS = (0.9056, 0.0, -14.5723)  # Sprott 2003; their sum is -41/3


@dataclass(frozen=True)
class Settings:
    """What makes a record; ``interval``, ``warmup`` and ``steps`` (of each trajectory) are in steps of DT."""

    hidden: int = 50
    linear_units: int = 25
    updates: int = 40_000
    interval: int = 30
    warmup: int = 20
    batch: int = 32
    lr: float = 5e-3
    last_lr: float = 1e-5
    steps: int = 100_000


@dataclass(frozen=True)
class Networks:
    """E networks: ``weight`` [E, H, H], ``bias`` [E, H]."""

    weight: Tensor
    bias: Tensor
    linear_units: int

    def follow(self, seen: Tensor, start: Tensor) -> Tensor:
        """h0 [E, B, H] at the last of the observations [E, T, B, 3]; ``start`` [E, B, H-3] is at the first."""
        own, linear_units = self.weight[:, SEEN:], max(0, self.linear_units - SEEN)
        weights = own[..., :SEEN], own[..., SEEN:], self.bias[:, SEEN:]
        _, hidden = rnn(seen[:, :-1], start, *weights, nonlinearity="relu", linear_units=linear_units)
        return torch.cat([seen[:, -1], hidden], -1)

    def run(self, h0: Tensor, steps: int) -> Tensor:
        """The observed units [E, T, B, 3] after h0, with no input but 0."""
        x, weight_ih = h0.new_zeros(steps, h0.shape[1], 1), h0.new_zeros(h0.shape[-1], 1)
        y, _ = rnn(x, h0, weight_ih, self.weight, self.bias, nonlinearity="relu", linear_units=self.linear_units)
        return y[..., :SEEN]


def lorenz(s: np.ndarray) -> np.ndarray:
    """The right-hand side at states [..., 3]: σ = 10, ρ = 28, β = 8/3."""
    x, y, z = s[..., 0], s[..., 1], s[..., 2]
    return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], -1)


def step(s: np.ndarray) -> np.ndarray:
    """The states DT later, by the classical Runge-Kutta method of order 4."""
    k1 = lorenz(s)
    k2 = lorenz(s + DT / 2 * k1)
    k3 = lorenz(s + DT / 2 * k2)
    return s + DT / 6 * (k1 + 2 * k2 + 2 * k3 + lorenz(s + DT * k3))


def trajectories(count: int, steps: int, transient: int = 2000) -> np.ndarray:
    """``count`` stretches of the attractor [count, steps, 3]."""
    s, path = np.random.default_rng(0).normal([0, 0, 25], 5, (count, 3)), np.empty((count, steps, 3))
    for t in range(-transient, steps):
        s = step(s)
        if t >= 0:
            path[:, t] = s
    return path


def fresh(hidden: int, seed: int) -> Tensor:
    """[W_hh, b] of a network [H, H+1]: the np-RNN start, shrunk, reading observed states that stand still."""
    draw = derive(seed, "start")
    weight = 0.7 * normalized_positive_definite_(torch.empty(hidden, hidden), generator=draw)
    weight[SEEN:, :SEEN] = torch.randn(hidden - SEEN, SEEN, generator=draw) / math.sqrt(hidden)
    weight[:SEEN] = 0.01 * torch.randn(SEEN, hidden, generator=draw)
    weight[:SEEN, :SEEN] = torch.eye(SEEN)
    # Kinks in many places, not all through the mean of the data.
    bias = torch.cat([torch.zeros(SEEN), 0.5 * torch.randn(hidden - SEEN, generator=draw)])
    return torch.cat([weight, bias[:, None]], 1)


def train(settings: Settings, seeds: list[int], series: Tensor) -> tuple[Networks, Tensor]:
    """Networks trained on a series [T, 3], and their last losses [E]."""
    both = torch.stack([fresh(settings.hidden, seed) for seed in seeds]).requires_grad_()
    optimizer = torch.optim.Adam([both], lr=settings.lr, betas=(0.9, 0.99))
    cooling = (settings.last_lr / settings.lr) ** (1 / settings.updates)
    draws = [derive(seed, "batches") for seed in seeds]
    window = torch.arange(settings.warmup + settings.interval + 1)[:, None]
    size = settings.batch, settings.hidden - SEEN
    for _ in range(settings.updates):
        first = torch.stack([torch.randint(len(series) - len(window) + 1, size[:1], generator=draw) for draw in draws])
        start = torch.stack([torch.randn(size, generator=draw) for draw in draws])
        seen = series[first[:, None] + window]
        networks = Networks(both[..., :-1], both[..., -1], settings.linear_units)
        h0 = networks.follow(seen[:, : settings.warmup + 1], start)
        errors = networks.run(h0, settings.interval) - seen[:, settings.warmup + 1 :]
        loss = errors.square().mean((1, 2, 3))
        # No network's loss depends on another's weights: the gradient of the sum is everyone's own, and so is its clip.
        (grad,) = torch.autograd.grad(loss.sum(), both)
        both.grad = grad / grad.norm(dim=(1, 2), keepdim=True).clamp(min=1)
        optimizer.step()
        optimizer.param_groups[0]["lr"] *= cooling
    both = both.detach()
    return Networks(both[..., :-1], both[..., -1], settings.linear_units), loss.detach()


def begin(networks: Networks, series: Tensor, warmup: int, starts: int = 1) -> Tensor:
    """h0 [E, B, H] at ``starts`` places of a series [T, 3], the first as early as can be."""
    first = torch.linspace(0, len(series) - warmup - 1, starts).long()
    seen = series[first + torch.arange(warmup + 1)[:, None]].expand(len(networks.bias), -1, -1, SEEN)
    return networks.follow(seen, series.new_zeros(len(seen), starts, networks.bias.shape[1] - SEEN))


def compare(true: Tensor, generated: Tensor) -> dict[str, float | None]:
    """The measures over the last steps of ``true`` [T, 3]; None for a network that blew up."""
    if not bool(generated.isfinite().all()):
        return {"D_stsp": None, "D_H": None}
    true = true[-len(generated) :]
    return {"D_stsp": state_space_divergence(true, generated), "D_H": power_spectrum_distance(true, generated)}


def experiment(settings: Settings, paths: dict[int, Path]) -> None:
    """Train and judge networks of these seeds; a record each, and a picture beside the first."""
    raw, warmup, seeds = trajectories(4, settings.steps), settings.warmup, list(paths)
    data = torch.tensor((raw - raw[0].mean(0)) / raw[0].std(0))
    data += 0 if settings.linear_units >= SEEN else 1 - data[0].min()
    began = time.process_time()
    trained, losses = train(settings, seeds, data[0].float())
    seconds = (time.process_time() - began) / len(seeds)
    networks = Networks(trained.weight.double(), trained.bias.double(), trained.linear_units)
    valid, test = (networks.run(begin(networks, v, warmup), len(v) - warmup - 1)[:, :, 0] for v in data[1:3])
    system = System(networks.weight, None, networks.bias, "relu", networks.linear_units)
    h0 = begin(networks, data[2], warmup, starts=16)
    settle, length = settings.steps // 100, settings.steps // 8
    rates = lyapunov_spectrum(system, h0=h0, warmup=settle, steps=length, exponents=SEEN, generator=derive(0, "frame"))
    for k, seed in enumerate(seeds):
        record = {
            "seed": seed,
            "settings": asdict(settings),
            "loss": float(losses[k]),
            "train_cpu_seconds": seconds,
            "exponents": (rates.exponents[k] / DT).tolist(),
            "exponents_se": (rates.standard_error[k] / DT).tolist(),
            "valid": compare(data[1], valid[k]),
            "test": compare(data[2], test[k]),
            "another_true_trajectory": compare(data[2], data[3, warmup + 1 :]),
            "weight_hh": networks.weight[k].tolist(),
            "bias": networks.bias[k].tolist(),
        }
        write_atomically(paths[seed], json.dumps(record).encode())
    shown = {"Lorenz-63": data[2], **{f"seed {seed}": series for seed, series in zip(seeds, test, strict=True)}}
    picture(shown, paths[seeds[0]].with_suffix(".png"))


def picture(shown: dict[str, Tensor], path: Path, steps: int = 6000) -> None:
    """The last steps of series [T, 3] side by side: z over x, and x over time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(shown), 5), layout="constrained")
    for axes, (title, series) in zip(figure.subplots(2, len(shown), sharey="row").T, shown.items(), strict=True):
        x, _, z = series[-steps:].T
        axes[0].plot(x, z, linewidth=0.3, color="black")
        axes[0].set(title=title, xlabel="x", ylabel="z")
        axes[1].plot(DT * np.arange(len(x)), x, linewidth=0.5, color="black")
        axes[1].set(xlabel="time", ylabel="x")
    figure.savefig(path, dpi=110)


def summary(records: list[dict[str, Any]]) -> str:
    """Markdown: each seed, and mean (standard deviation) of each kind of network."""
    lines = ["| linear units | seed | λ1 | λ2 | λ3 | D_stsp | D_H |", "|---|---|---|---|---|---|---|"]
    for kind, members in groupby(records, lambda r: f"{r['settings']['linear_units']} of {r['settings']['hidden']}"):
        seeds, found = zip(*((r["seed"], [*r["exponents"], *r["test"].values()]) for r in members), strict=True)
        rows = np.array(found, dtype=float)  # None becomes NaN
        numbers = [" | ".join(f"{v:.3f}" for v in row) for row in rows]
        lines += [f"| {kind} | {seed} | {row} |" for seed, row in zip(seeds, numbers, strict=True)]
        near = (abs(rows[:, 0] / TRUE_EXPONENTS[0] - 1) < 0.1).sum(), (abs(rows[:, 1]) < 0.05).sum()
        judged = f"λ1 within 10 %: {near[0]} of {len(rows)}; λ2 within 0.05 of 0: {near[1]}"
        if len(rows) > 1:
            spread = [f"{v.mean():.3f} ({v.std(ddof=1):.3f})" for v in rows.T]
            lines.append(f"| **{kind}** | {judged} | {' | '.join(spread)} |")
    floor = [*TRUE_EXPONENTS, *records[0]["another_true_trajectory"].values()]
    lines.append(f"| the truth | another trajectory | {' | '.join(f'{v:.3f}' for v in floor)} |")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> None:
    """Run the seeds that have no record yet; show a table of all records of the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=Path, required=True)
    for key, default in asdict(Settings()).items():
        parser.add_argument("--" + key.replace("_", "-"), type=type(default), default=default)
    given = vars(parser.parse_args(argv))
    seeds, out = given.pop("seed"), given.pop("out")
    settings = Settings(**given)
    out.mkdir(parents=True, exist_ok=True)
    paths = {k: out / f"linear{settings.linear_units}of{settings.hidden}-seed{k}.json" for k in seeds}
    for path in paths.values():
        if path.exists() and json.loads(path.read_text())["settings"] != asdict(settings):
            raise SystemExit(f"{path} is of other settings: give another --out")
    if todo := {seed: path for seed, path in paths.items() if not path.exists()}:
        experiment(settings, todo)
    table = summary([json.loads(path.read_text()) for path in sorted(out.glob("linear*of*-seed*.json"))])
    write_atomically(out / "summary.md", table.encode())
    print(table, end="")


if __name__ == "__main__":
    torch.set_num_threads(1)  # small matrices only lose by more
    torch.set_flush_denormal(True)
    main()
