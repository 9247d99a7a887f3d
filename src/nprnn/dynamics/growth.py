"""How vectors grow and shrink along a trajectory: gradients on their way back, perturbations on their way forward.

Products of the Jacobians D_t W with the masks of the trajectory, exactly as autograd has them, but rescaled at every
step and with the logarithm of the norm kept, so that nothing underflows over any length.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nprnn.dynamics.trajectory import Trajectory
from nprnn.errors import InputError


@dataclass(frozen=True, eq=False)
class Curve:
    """Norms of K vectors for each sequence, by the number of steps they were carried.

    Attributes:
        logs: [S+1, B, K], the logarithm (nats) of the norm after s = 0..S steps; -inf where the vector is exactly 0.
    """

    logs: Tensor

    @property
    def steps(self) -> int:
        """S."""
        return self.logs.shape[-3] - 1

    def per_step(self) -> Tensor:
        r"""Growth per step over all steps, :math:`(\lVert v_S \rVert / \lVert v_0 \rVert)^{1/S}` [B, K]; 0 where the
        vector vanished.

        Raises:
            InputError: no step was taken.
        """
        _some(self.steps)
        grown = (self.logs.select(-3, -1) - self.logs.select(-3, 0)) / self.steps
        return grown.exp().masked_fill(self.vanished(), 0.0)

    def far_per_step(self, steps: int = 100) -> Tensor:
        """Growth per step far from where the vectors began: e to the slope of a least-squares line through the
        logarithms of the last ``steps`` steps (all, if there are fewer), [B, K]; 0 where the vector vanished.

        Raises:
            InputError: no step was taken, or ``steps`` is below 1.
        """
        _some(min(self.steps, steps))
        logs = self.logs[..., -min(self.steps, steps) - 1 :, :, :]
        s = torch.arange(logs.shape[-3], dtype=logs.dtype)
        s = (s - s.mean()) / (s - s.mean()).square().sum()
        gone = self.vanished()
        slope = (logs.masked_fill(gone.unsqueeze(-3), 0.0) * s[:, None, None]).sum(-3)
        return slope.exp().masked_fill(gone, 0.0)

    def vanished(self) -> Tensor:
        """Where the vector ended as exactly 0 [B, K]: no unit that it passed through was on."""
        return self.logs.select(-3, -1).isneginf()


def gradient_curve(
    path: Trajectory, cotangents: Tensor | None = None, *, count: int = 1, generator: torch.Generator | None = None
) -> Curve:
    r"""The gradient on its way back, :math:`g_{t-1} = W_{hh}^\top D_t\, g_t`, from the last state to :math:`h_0`.

    With Gaussian cotangents, ``per_step()`` is :math:`(\lVert g_0 \rVert / \lVert g_T \rVert)^{1/T}`: below 1 the
    gradient of a loss on the last step fades with the lag, above 1 it explodes.

    Args:
        path: the trajectory whose masks (slopes) are meant, [T, B, H].
        cotangents: :math:`g_T` [B, K, H], or that with a leading E; None draws them.
        count: K, the number of Gaussian cotangents for each sequence where they are drawn.
        generator: source of their numbers.

    Returns:
        The curve, S = T: ``logs[s]`` is log ‖∂L/∂h_{T-s}‖.

    Raises:
        InputError: cotangents of another shape, or ``count`` below 1.

    Source: section 5 of our reading of the paper (its section 2 argues in the eigenbasis of W_hh instead).
    """
    g = _directions(path, path.system.hidden, cotangents, count, generator, "cotangents")
    slopes, weight, logs = path.slopes, path.system.weight_hh, [torch.linalg.vector_norm(g, dim=-1).log()]
    g = _unit(g)[0]
    for t in reversed(range(path.steps)):
        g, grown = _unit(_times(g * slopes.select(-3, t).unsqueeze(-2), weight))
        logs.append(logs[-1] + grown)
    return Curve(torch.stack(logs, -3))


def tangent_curve(
    path: Trajectory,
    tangents: Tensor | None = None,
    *,
    first: int = 0,
    count: int = 1,
    generator: torch.Generator | None = None,
) -> Curve:
    r"""A small change of a state on its way forward, :math:`v_t = D_t W_{hh}\, v_{t-1}`.

    Args:
        path: the trajectory that is disturbed, [T, B, H].
        tangents: the change of :math:`h_s` [B, K, H], or that with a leading E; None draws Gaussian ones.
        first: s in 0..T; 0 is the state before the first step.
        count: K, where they are drawn.
        generator: source of their numbers.

    Returns:
        The curve, S = T - s: ``logs[k]`` is log ‖v_{s+k}‖.

    Raises:
        InputError: ``first`` out of range, tangents of another shape, or ``count`` below 1.
    """
    _in_range("first", first, path.steps)
    v = _directions(path, path.system.hidden, tangents, count, generator, "tangents")
    return _forward(path, v, first, torch.linalg.vector_norm(v, dim=-1).log())


def input_curve(
    path: Trajectory,
    directions: Tensor | None = None,
    *,
    step: int = 0,
    count: int = 1,
    generator: torch.Generator | None = None,
) -> Curve:
    r"""What a small change of one input does to the states from then on: :math:`D_t W_{hx}\,\delta x_t`, then carried
    as a tangent.

    Args:
        path: the trajectory that is disturbed, [T, B, H].
        directions: δx [B, K, I], or that with a leading E; None draws Gaussian ones.
        step: which input, 0..T-1.
        count: K, where they are drawn.
        generator: source of their numbers.

    Returns:
        The curve, S = T - 1 - ``step``: ``logs[k]`` is log of ‖δh‖ / ‖δx‖, k steps after the state that saw the input
        first.

    Raises:
        InputError: a network without inputs, ``step`` out of range, directions of another shape, or ``count`` below 1.
    """
    system = path.system
    if system.weight_ih is None:
        raise InputError("this system has no inputs that could be changed")
    _in_range("step", step, path.steps - 1)
    dx = _directions(path, system.inputs, directions, count, generator, "directions")
    dx = _unit(dx)[0]
    v = _times(dx, system.weight_ih.mT) * path.slopes.select(-3, step).unsqueeze(-2)
    return _forward(path, v, step + 1, torch.linalg.vector_norm(v, dim=-1).log())


def geometric_mean(factors: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """exp of the mean logarithm over ``dim`` (all for None): the mean that growth factors have. One 0 makes it 0."""
    logs = factors.log()
    return (logs.mean() if dim is None else logs.mean(dim)).exp()


def _forward(path: Trajectory, v: Tensor, first: int, log: Tensor) -> Curve:
    slopes, weight, logs = path.slopes, path.system.weight_hh.mT, [log]
    v = _unit(v)[0]
    for t in range(first, path.steps):
        v, grown = _unit(_times(v, weight) * slopes.select(-3, t).unsqueeze(-2))
        logs.append(logs[-1] + grown)
    return Curve(torch.stack(logs, -3))


def _times(rows: Tensor, weight: Tensor) -> Tensor:
    """Row vectors [B, K, N] times a matrix, E on either or both."""
    return rows @ (weight if weight.dim() == 2 else weight.unsqueeze(-3))


def _unit(v: Tensor) -> tuple[Tensor, Tensor]:
    """The vectors at length 1 (0 stays 0), and the logarithms of the lengths they had."""
    norms = torch.linalg.vector_norm(v, dim=-1)
    return v / torch.where(norms == 0, 1.0, norms).unsqueeze(-1), norms.log()


def _directions(
    path: Trajectory, size: int, given: Tensor | None, count: int, generator: torch.Generator | None, name: str
) -> Tensor:
    lead, batch = path.scaled.shape[:-3], path.scaled.shape[-2]
    if given is None:
        if count < 1:
            raise InputError(f"count must be at least 1, got {count}")
        return torch.randn(*lead, batch, count, size, dtype=torch.float64, generator=generator)
    v = given.detach().to("cpu", torch.float64)
    fits = v.dim() in (3, 3 + len(lead)) and v.shape[-3] == batch and v.shape[-1] == size and v.shape[-2] > 0
    if not fits or (v.dim() == 4 and v.shape[:1] != lead):
        raise InputError(
            f"{name} must be [B, K, {size}] with B={batch}{f', or that with a leading E={lead[0]}' if lead else ''}; "
            f"got {tuple(v.shape)}"
        )
    return v.expand(*lead, *v.shape[-3:])


def _in_range(name: str, value: int, largest: int) -> None:
    if not 0 <= value <= largest:
        raise InputError(f"{name} must be between 0 and {largest}, got {value}")


def _some(steps: int) -> None:
    if steps < 1:
        raise InputError("growth per step needs at least one step")
