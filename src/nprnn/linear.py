"""The linear head of an ensemble: one weight for each member, one product for all."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nprnn.errors import InputError


class EnsembleLinear(nn.Module):
    r"""E linear layers of the same shape in one product: :math:`y_e = W_e x_e + b_e`.

    Args:
        ensemble: E, the number of members.
        in_features: H, numbers in.
        out_features: O, numbers out.
        bias: whether there is a bias.
        device: where the weights live.
        dtype: their floating type.

    Attributes:
        weight: [E, O, H], started as E ``torch.nn.Linear`` one after another.
        bias: [E, O], or None.

    Raises:
        InputError: ``ensemble`` is no integer of at least 1.

    Source: section 2, second equation, for each member.
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        ensemble: int,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if type(ensemble) is not int or ensemble < 1:
            raise InputError(f"ensemble must be the number of members, an integer of at least 1; got {ensemble!r}")
        super().__init__()
        self.ensemble, self.in_features, self.out_features = ensemble, in_features, out_features
        self.weight = nn.Parameter(torch.empty(ensemble, out_features, in_features, device=device, dtype=dtype))
        if bias:
            self.bias = nn.Parameter(torch.empty(ensemble, out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew as ``torch.nn.Linear`` does, one member after another."""
        bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0
        with torch.no_grad():
            for k in range(self.ensemble):
                nn.init.kaiming_uniform_(self.weight[k], a=math.sqrt(5))
                if self.bias is not None:
                    nn.init.uniform_(self.bias[k], -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """Each member's outputs.

        Args:
            input: [E, ..., H].

        Returns:
            [E, ..., O].

        Raises:
            InputError: the first axis is not E, or the last not H.
        """
        weight, bias, shape = self.weight, self.bias, input.shape
        if len(shape) < 2 or shape[0] != weight.shape[0] or shape[-1] != weight.shape[2]:
            raise InputError(
                f"input must be [E, ..., H] with E={self.ensemble} and H={self.in_features}, got shape {tuple(shape)}; "
                "what all members share has to be spread first: x.expand(E, *x.shape)"
            )
        x = input if len(shape) == 3 else input.reshape(shape[0], -1, shape[-1])
        # The weight on the left: torch's batched product is twice as fast that way round, a few rows excepted.
        y = weight @ x.mT if bias is None else torch.baddbmm(bias.unsqueeze(2), weight, x.mT)
        y = y.mT.contiguous()
        return y if len(shape) == 3 else y.view(*shape[:-1], weight.shape[1])

    def extra_repr(self) -> str:
        """The arguments."""
        sizes = f"ensemble={self.ensemble}, in_features={self.in_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}"

    def unstack(self) -> list[nn.Linear]:
        """The members as single layers; ``nprnn.stack`` is the way back.

        Returns:
            E modules with copies of the weights, equal bit for bit, and the same ``requires_grad`` and training mode.

        Raises:
            InputError: a weight is parametrized or pruned.
        """
        computed = [name for name in ("weight", "bias") if name not in self._parameters]
        if computed:
            raise InputError(
                f"{', '.join(computed)} is computed (parametrized or pruned), and single layers would lose that; "
                "call torch.nn.utils.parametrize.remove_parametrizations or prune.remove before unstack"
            )
        members = []
        for k in range(self.ensemble):
            member = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
            for name, v in self.named_parameters():
                copy = v.detach()[k].clone(memory_format=torch.contiguous_format)
                setattr(member, name, nn.Parameter(copy, requires_grad=v.requires_grad))
            members.append(member.train(self.training))
        return members
