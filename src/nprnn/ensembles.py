"""From single networks to one ensemble; ``unstack`` of the ensemble is the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

import torch
from torch import nn

from nprnn.errors import InputError
from nprnn.linear import EnsembleLinear
from nprnn.rnn import NPRNN, RNN, settings_of, with_parameters


@overload
def stack(modules: Sequence[RNN | nn.RNN]) -> RNN: ...
@overload
def stack(modules: Sequence[nn.Linear]) -> EnsembleLinear: ...
def stack(modules: Sequence[RNN | nn.RNN] | Sequence[nn.Linear]) -> RNN | EnsembleLinear:
    """Make one ensemble of single networks; its ``unstack`` gives them back.

    Args:
        modules: RNNs of torch or of this package, or ``nn.Linear`` layers, of equal settings. Their weights are copied.

    Returns:
        An ``RNN`` with ``ensemble=len(modules)`` (an ``NPRNN`` if all members are), or an ``EnsembleLinear``; with the
        members' ``requires_grad``, dtype, device and training mode.

    Raises:
        InputError: no module, or some that differ: in kind, settings, dtype, device, ``requires_grad`` or training
            mode. Likewise a member that is an ensemble, or whose weights are parametrized or pruned.
    """
    members: list[nn.Module] = list(modules)
    if not members:
        raise InputError("stack needs at least one module, got none")
    told = [_settings(k, member) for k, member in enumerate(members)]
    _check_equal(told)
    values = [_own_parameters(k, member) for k, member in enumerate(members)]
    _check_equal([_kinds_of(parameters) for parameters in values])
    _check_equal([{"training": member.training} for member in members])
    stacked = {
        name: nn.Parameter(torch.stack([v[name].detach() for v in values]), requires_grad=parameter.requires_grad)
        for name, parameter in values[0].items()
    }
    first = members[0]
    made: RNN | EnsembleLinear
    if isinstance(first, nn.RNNBase):
        kind = NPRNN if all(isinstance(member, NPRNN) for member in members) else RNN
        made = with_parameters(kind, settings_of(first), stacked, ensemble=len(members))
    else:
        outputs, inputs = values[0]["weight"].shape
        made = EnsembleLinear(len(members), inputs, outputs, "bias" in stacked, device="meta")
        for name, parameter in stacked.items():
            setattr(made, name, parameter)
    return made.train(first.training)


def _settings(k: int, member: nn.Module) -> dict[str, Any]:
    if getattr(member, "ensemble", None) is not None:
        raise InputError(f"member {k} is an ensemble itself; stack takes single networks: pass those of its unstack()")
    if isinstance(member, (RNN, nn.RNN)):
        return {"kind": "RNN", **settings_of(member)}
    if isinstance(member, nn.Linear):
        bias = member.bias is not None
        return {"kind": "Linear", "in_features": member.in_features, "out_features": member.out_features, "bias": bias}
    raise InputError(
        f"member {k} is of type {type(member).__name__}; "
        "stack takes nprnn.RNN, nprnn.NPRNN, torch.nn.RNN or torch.nn.Linear"
    )


def _own_parameters(k: int, member: nn.Module) -> dict[str, nn.Parameter]:
    if isinstance(member, nn.RNNBase):
        names = member._flat_weights_names
    else:
        names = ["weight"] if member.bias is None else ["weight", "bias"]
    own = member._parameters
    found = {name: parameter for name in names if (parameter := own.get(name)) is not None}
    if len(found) < len(names):
        raise InputError(
            f"member {k} computes {', '.join(name for name in names if name not in found)} (parametrized or pruned), "
            "and the ensemble would lose that; call torch.nn.utils.parametrize.remove_parametrizations or prune.remove "
            "first, and parametrize the ensemble"
        )
    return found


def _kinds_of(parameters: Mapping[str, nn.Parameter]) -> dict[str, Any]:
    return {
        f"{name}.{what}": getattr(parameter, what)
        for name, parameter in parameters.items()
        for what in ("dtype", "device", "requires_grad")
    }


def _check_equal(told: Sequence[Mapping[str, Any]]) -> None:
    for k, settings in enumerate(told):
        for name, wanted in told[0].items():
            # Another kind has other settings, but then it is the kind that is told.
            if settings.get(name) != wanted:
                raise InputError(
                    f"member {k} has {name}={settings.get(name)!r}, but member 0 has {wanted!r}; "
                    "the members of an ensemble must be alike but for their numbers"
                )
