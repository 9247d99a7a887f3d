"""Starts for a whole recurrent module, by the names of the paper's Table 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn

from nprnn.errors import ConfigError, InputError, unknown
from nprnn.init import weights
from nprnn.init.mirrored import mirror_, mirrored_positive_definite_
from nprnn.init.rotations import mirror_rotations_, mirrored_rotations_
from nprnn.init.weights import Fan


class _RecurrentStart(Protocol):
    def __call__(self, tensor: Tensor, generator: torch.Generator | None) -> Tensor: ...


class _Fit(Protocol):
    def __call__(self, weight_ih: Tensor | None, weight_hh: Tensor, biases: Sequence[Tensor]) -> object: ...


@dataclass(frozen=True)
class Scheme:
    """A start for a whole RNN: recurrent weight by ``recurrent``, input weight by Eq. 10, biases 0, then ``fit``.

    Attributes:
        name: how the paper, or this package, calls it.
        nonlinearity: the function the start is meant for.
        recurrent: fills W_hh in place.
        description: one line for tables.
        fit: makes the input weight and the biases fit the recurrent weight, in place; None leaves them.
    """

    name: str
    nonlinearity: Literal["relu", "tanh"]
    recurrent: _RecurrentStart
    description: str
    fit: _Fit | None = None


def _np(tensor: Tensor, generator: torch.Generator | None) -> Tensor:
    return weights.normalized_positive_definite_(tensor, generator=generator)


_ALL = (
    Scheme("np-RNN", "relu", _np, "normalised positive definite (Eq. 9)"),
    Scheme(
        "np-RNN-N2",
        "relu",
        lambda t, g: weights.normalized_positive_definite_(t, power=2, generator=g),
        "Eq. 9 with 1/N² for 1/N: nearly the identity, seen in public code",
    ),
    Scheme("IRNN", "relu", lambda t, g: weights.identity_(t), "identity"),
    Scheme("iRNN", "relu", lambda t, g: weights.identity_(t, 0.01), "0.01 times the identity"),
    Scheme(
        "nRNN",
        "relu",
        lambda t, g: weights.normalized_gaussian_(t, generator=g),
        "Gaussian divided by its spectral radius",
    ),
    Scheme("oRNN", "relu", lambda t, g: weights.orthogonal_(t, generator=g), "random orthogonal"),
    Scheme("gRNN", "relu", lambda t, g: weights.gaussian_(t, generator=g), "Gaussian of variance 1/N"),
    Scheme("np-tanhRNN", "tanh", _np, "normalised positive definite (Eq. 9), with tanh"),
    Scheme(
        "np-RNN-mirror",
        "relu",
        lambda t, g: mirrored_positive_definite_(t, generator=g),
        "units in mirrored pairs, normalised as the ReLU leaves them (our own)",
        mirror_,
    ),
    Scheme(
        "oRNN-mirror",
        "relu",
        lambda t, g: mirrored_rotations_(t),
        "mirrored pairs that rotate at low frequencies, orthogonal as the ReLU leaves them (our own)",
        mirror_rotations_,
    ),
)
SCHEMES: dict[str, Scheme] = {scheme.name: scheme for scheme in _ALL}


def find_scheme(scheme: str | Scheme) -> Scheme:
    """The scheme of that exact name, or the scheme itself (IRNN and iRNN differ by case alone).

    Raises:
        ConfigError: no scheme has that name; the message lists all and names the nearest.
    """
    if isinstance(scheme, Scheme):
        return scheme
    if scheme not in SCHEMES:
        alike = [known for known in SCHEMES if known.lower() == str(scheme).lower()]
        if len(alike) > 1:
            raise ConfigError(
                f"unknown scheme {scheme!r}: it could be {' or '.join(map(repr, alike))}, whose names differ by case "
                "alone (IRNN starts with the identity, iRNN with a hundredth of it)"
            )
        raise unknown("scheme", str(scheme), SCHEMES)
    return SCHEMES[scheme]


Recurrent = TypeVar("Recurrent", bound=nn.Module)


def init_rnn_(
    module: Recurrent,
    scheme: str | Scheme = "np-RNN",
    *,
    fan: Fan = "hidden",
    generator: torch.Generator | None = None,
) -> Recurrent:
    """Give every layer and direction of an RNN one of the starts of Table 1, or our own; biases become 0 but for ours.

    Fits a plain ``torch.nn.RNN`` or ``torch.nn.RNNCell`` as well as this package's.

    Args:
        module: the RNN or RNNCell, changed in place.
        scheme: a name from ``nprnn.init.SCHEMES``, or a ``Scheme``.
        fan: what N is in the input weight (see ``input_weight_``).
        generator: source of the random numbers; one generator gives one start.

    Returns:
        ``module``.

    Raises:
        ConfigError: unknown scheme, or the module's nonlinearity is not the scheme's.
        InputError: ``module`` has no recurrent weights of an RNN.

    Source: Table 1, Eqs. 9 and 10.
    """
    scheme = find_scheme(scheme)
    kind = getattr(module, "mode", None) if isinstance(module, nn.RNNBase) else None
    if not (kind in ("RNN_TANH", "RNN_RELU") or isinstance(module, nn.RNNCell)):
        raise InputError(
            f"init_rnn_ fits torch.nn.RNN, torch.nn.RNNCell and their subclasses, got {type(module).__name__}; "
            "for other modules call the functions of nprnn.init on their weights"
        )
    nonlinearity = str(module.nonlinearity)
    if nonlinearity != scheme.nonlinearity:
        raise ConfigError(
            f"scheme {scheme.name!r} is a start for nonlinearity={scheme.nonlinearity!r}, but this module has "
            f"{nonlinearity!r} (torch's default is 'tanh'). Build it with nonlinearity={scheme.nonlinearity!r}, "
            "or choose another scheme"
        )
    # All layers are found before any is touched: a refused module is left as it was.
    layers = list(_layers(module))
    with torch.no_grad():
        for weight_ih, weight_hh, biases in layers:
            # The input weight first: one seed then gives one layer's every scheme the same input weight.
            weights.input_weight_(weight_ih, fan=fan, generator=generator)
            scheme.recurrent(weight_hh, generator)
            for bias in biases:
                bias.zero_()
            if scheme.fit is not None:
                scheme.fit(weight_ih, weight_hh, biases)
    return module


def _layers(module: nn.Module) -> Iterator[tuple[Tensor, Tensor, list[Tensor]]]:
    if isinstance(module, nn.RNNBase):
        directions = ("", "_reverse") if module.bidirectional else ("",)
        suffixes = [f"_l{layer}{direction}" for layer in range(module.num_layers) for direction in directions]
    else:
        suffixes = [""]
    parameters = dict(module.named_parameters(recurse=False))
    for suffix in suffixes:
        names = [kind + suffix for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        wanted = names if module.bias else names[:2]
        missing = [name for name in wanted if name not in parameters]
        if missing:
            raise InputError(
                f"{', '.join(missing)} not found among this module's own parameters; "
                "call init_rnn_ before registering a parametrization or pruning on it"
            )
        yield parameters[names[0]], parameters[names[1]], [parameters[name] for name in wanted[2:]]
