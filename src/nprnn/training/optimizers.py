"""Optimisers of E members at once: parameters are the rows of a matrix, and every row has settings of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nprnn.devices import move
from nprnn.errors import ConfigError
from nprnn.training.config import TrainConfig

# What each optimiser keeps of the past: a row of numbers as long as the parameters, for each member.
_STATE: dict[str, tuple[str, ...]] = {
    "sgd": (),
    "momentum": ("momentum_buffer",),
    "rmsprop": ("square_avg",),
    "adam": ("exp_avg", "exp_avg_sq"),
}


class StackedOptimizer:
    """SGD, momentum, RMSprop or Adam as in ``torch.optim``, for E members that differ in every setting.

    Args:
        configs: the settings of each member; all name one optimiser.
        parameters: [E, P], changed in place by ``step``.
        recurrent: where the recurrent weights are among them [P], True there; None if none has a rate of its own.

    Attributes:
        state: what is kept of the past, by torch's names, [E, P] each; Adam's ``step`` [E, 1] counts updates.

    Raises:
        ConfigError: the members name different optimisers.

    Source: the update rules of ``torch.optim``; section 3 (SGD), 4.3 and 4.4 (RMSprop).
    """

    def __init__(self, configs: Sequence[TrainConfig], parameters: Tensor, recurrent: Tensor | None = None) -> None:
        kinds = sorted({config.optimizer for config in configs})
        if len(kinds) != 1:
            raise ConfigError(f"the members of an ensemble have one optimizer, got {' and '.join(kinds)}")
        self.kind = kinds[0]
        self.parameters = parameters
        self._settings = torch.tensor(
            [[c.momentum, c.decay, c.eps, c.weight_decay] for c in configs], dtype=torch.float64
        ).to(parameters.device)
        self._rates: Tensor | None = None
        if recurrent is not None and any(config.lr_hh != 1 for config in configs):
            slower = parameters.new_tensor([[config.lr_hh] for config in configs])
            self._rates = torch.where(move(recurrent, parameters.device), slower, 1)
        self.state = {name: torch.zeros_like(parameters) for name in _STATE[self.kind]}
        if self.kind == "adam":
            self.state["step"] = torch.zeros(len(configs), 1, dtype=torch.float64, device=parameters.device)
        self._spread()

    def step(self, gradients: Tensor, lr: Tensor, factors: Tensor | None = None) -> None:
        """Update the parameters.

        Args:
            gradients: [E, P]; changed in place.
            lr: learning rates [E, 1].
            factors: of the gradients [E, 1], as ``StackedClip`` gives them; None means 1.
        """
        p, d = self.parameters, gradients
        if factors is not None and self.kind == "sgd" and not self._decays:
            # One pass over the numbers less.
            lr = lr * factors
        elif factors is not None:
            d.mul_(factors)
        if self._decays:
            d.addcmul_(p, self._weight_decay)
        if self.kind == "sgd":
            p.addcmul_(d, self._own(lr), value=-1)
        elif self.kind == "momentum":
            p.addcmul_(self.state["momentum_buffer"].mul_(self._momentum).add_(d), self._own(lr), value=-1)
        elif self.kind == "rmsprop":
            square = self.state["square_avg"].lerp_(d.square(), self._not_decay)
            p.addcdiv_(d.mul_(self._own(lr)), square.sqrt().add_(self._eps), value=-1)
        else:
            self.state["step"] += 1
            first = self.state["exp_avg"].lerp_(d, self._not_momentum)
            second = self.state["exp_avg_sq"].lerp_(d.square_(), self._not_decay)
            momentum, decay = self._settings[:, 0:1], self._settings[:, 1:2]
            rate = self._own((lr / (1 - momentum ** self.state["step"])).to(p))
            root = (1 - decay ** self.state["step"]).rsqrt().to(p)
            p.addcdiv_(first * rate, second.sqrt().mul_(root).add_(self._eps), value=-1)

    def keep(self, rows: Tensor, parameters: Tensor) -> None:
        """Go on with some of the members.

        Args:
            rows: their places [E'], on the CPU.
            parameters: theirs [E', P].
        """
        self.parameters, rows = parameters, move(rows, parameters.device)
        self._settings = self._settings[rows]
        self._rates = None if self._rates is None else self._rates[rows]
        self.state = {name: value[rows] for name, value in self.state.items()}
        self._spread()

    def member(self, row: int) -> dict[str, Tensor]:
        """A member's state, as ``restore`` takes it back."""
        return {name: value[row].clone() for name, value in self.state.items()}

    def restore(self, row: int, tensors: dict[str, Tensor]) -> None:
        """Put back what ``member`` gave.

        Raises:
            ValueError: something is missing, or of another shape.
        """
        for name, value in self.member(row).items():
            if name not in tensors or tensors[name].shape != value.shape:
                raise ValueError(f"no {name} of shape {tuple(value.shape)}")
            self.state[name][row].copy_(tensors[name])

    def _own(self, lr: Tensor) -> Tensor:
        return lr if self._rates is None else lr * self._rates

    def _spread(self) -> None:
        # In double precision, as torch's own numbers are: in single 1 - 0.9999 has three digits left.
        settings = torch.cat([self._settings, 1 - self._settings[:, :2]], 1).to(self.parameters.dtype)
        columns = settings.unsqueeze(-1).unbind(1)
        self._momentum, _, self._eps, self._weight_decay, self._not_momentum, self._not_decay = columns
        self._decays = bool(self._weight_decay.any())


class StackedClip:
    """Bound each member's gradient: by the joint norm of all its parameters, or entry by entry; or not at all.

    As ``torch.nn.utils.clip_grad_norm_`` and ``clip_grad_value_`` do.

    Args:
        configs: the settings of each member.
        like: tells the dtype and the device.
    """

    def __init__(self, configs: Sequence[TrainConfig], like: Tensor) -> None:
        def limits(by: str) -> Tensor:
            bounds = [c.clip if c.clip and c.clip_by == by else torch.inf for c in configs]
            return torch.tensor(bounds, dtype=like.dtype, device=like.device).unsqueeze(1)

        self._norm, self._value = limits("norm"), limits("value")
        self._by_norm, self._by_value = (bool(v.isfinite().any()) for v in (self._norm, self._value))

    def __call__(self, gradients: Tensor) -> tuple[Tensor, Tensor | None]:
        """Clip entries in place, and tell what to multiply each row by to clip its norm.

        Args:
            gradients: [E, P].

        Returns:
            The norms before [E], and factors [E, 1] or None for 1.
        """
        norms = torch.linalg.vector_norm(gradients, dim=1)
        if self._by_value:
            gradients.clamp_(-self._value, self._value)
        return norms, (self._norm / (norms.unsqueeze(1) + 1e-6)).clamp_(max=1) if self._by_norm else None
