"""A one-layer recurrent network as a dynamical system: weights in float64, a step, its Jacobian."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nprnn.errors import InputError
from nprnn.init import Scheme, find_scheme, input_weight_
from nprnn.init.weights import Fan
from nprnn.models import SequenceModel
from nprnn.ops import Nonlinearity
from nprnn.ops.reference import activation, project, through


@dataclass(frozen=True, eq=False)
class System:
    r"""The map :math:`h_t = f(W_{hh} h_{t-1} + W_{hx} x_t + b)`, in float64 on the CPU.

    Weights may carry one leading axis E: E networks at once. Shapes below are without it; where the weights or an
    argument have it, so has the result.

    Attributes:
        weight_hh: [H, H].
        weight_ih: [H, I], or None for a network without inputs.
        bias: [H], the sum of all biases.
        nonlinearity: f, ``"relu"`` or ``"tanh"``.
        linear_units: f is the identity on the first so many units (almost-linear RNNs).

    Raises:
        InputError: shapes that do not fit together, weights that are not finite, or unknown options.

    Source: section 2, first equation.
    """

    weight_hh: Tensor
    weight_ih: Tensor | None
    bias: Tensor
    nonlinearity: Nonlinearity = "relu"
    linear_units: int = 0

    def __post_init__(self) -> None:
        for name in ("weight_hh", "weight_ih", "bias"):
            value = getattr(self, name)
            if value is not None:
                # MPS has no float64, and these systems are small.
                object.__setattr__(self, name, value.detach().to("cpu", torch.float64))
        _check(self)

    @property
    def hidden(self) -> int:
        """H."""
        return self.weight_hh.shape[-1]

    @property
    def inputs(self) -> int:
        """I; 0 for a network without inputs."""
        return 0 if self.weight_ih is None else self.weight_ih.shape[-1]

    @property
    def ensemble(self) -> int | None:
        """E, or None for a single network."""
        given = ((self.weight_hh, 2), (self.weight_ih, 2), (self.bias, 1))
        return next((v.shape[0] for v, dims in given if v is not None and v.dim() > dims), None)

    @classmethod
    def of(cls, module: nn.Module, *, linear_units: int = 0) -> System:
        """The system that a trained or fresh network is.

        Args:
            module: ``nprnn.RNN``, ``torch.nn.RNN``, an ``RNNCell``, or a ``SequenceModel`` (whose scaling of the inputs
                goes into the input weight and the bias, and whose head is left out); one layer, one direction.
                Ensembles keep their leading E.
            linear_units: the number of linear units that the module is run with.

        Returns:
            The system, with copies of the weights and one bias, the sum of both.

        Raises:
            InputError: an LSTM, several layers, or two directions.
        """
        mean = scale = None
        if isinstance(module, SequenceModel):
            mean, scale, module = module.input_mean, module.input_scale, module.rnn
        cell = isinstance(module, nn.RNNCell)
        if not cell and not (isinstance(module, nn.RNNBase) and module.mode in ("RNN_TANH", "RNN_RELU")):
            raise InputError(
                "System.of takes nprnn.RNN, torch.nn.RNN, an RNNCell, or a SequenceModel with such a layer; "
                f"got {type(module).__name__}"
            )
        if not cell and (module.num_layers != 1 or module.bidirectional):
            raise InputError(
                f"a System is one layer in one direction; this module has {module.num_layers} layers"
                f"{' and two directions' if module.bidirectional else ''}: build a System of each layer's weights"
            )
        suffix = "" if cell else "_l0"

        def copy(name: str) -> Tensor:
            value: Tensor = getattr(module, name + suffix)
            return value.detach().to("cpu", torch.float64, copy=True)

        weight_ih = copy("weight_ih")
        bias = copy("bias_ih") + copy("bias_hh") if module.bias else weight_ih.new_zeros(weight_ih.shape[:-1])
        if mean is not None and scale is not None:
            # An ensemble scales by [E, 1, 1, I].
            mean, scale = (
                v.detach().to("cpu", torch.float64).reshape(*weight_ih.shape[:-2], -1) for v in (mean, scale)
            )
            weight_ih = weight_ih / scale[..., None, :]
            bias = bias - (weight_ih @ mean[..., None]).squeeze(-1)
        return cls(copy("weight_hh"), weight_ih, bias, _named(str(module.nonlinearity)), linear_units)

    @classmethod
    def start(
        cls,
        scheme: str | Scheme,
        hidden: int,
        inputs: int,
        *,
        fan: Fan = "hidden",
        ensemble: int | None = None,
        generator: torch.Generator | None = None,
    ) -> System:
        """A network at its start, drawn in float64 as ``nprnn.RNN(..., init=scheme)`` draws it.

        Args:
            scheme: a name from ``nprnn.init.SCHEMES``, or a ``Scheme``.
            hidden: H.
            inputs: I; 0 for a network without inputs.
            fan: what N is in the input weight (``nprnn.init.input_weight_``).
            ensemble: E independent draws, one after another; None is a single one.
            generator: source of the random numbers; one seed gives all schemes the same first input weight.

        Returns:
            The system; biases are 0, but for a start that has its own.

        Raises:
            ConfigError: unknown scheme.
            InputError: a size below 1 (below 0 for ``inputs``).

        Source: Table 1, Eqs. 9 and 10.
        """
        scheme = find_scheme(scheme)
        if hidden < 1 or inputs < 0 or (ensemble is not None and ensemble < 1):
            raise InputError(
                f"a start needs hidden >= 1, inputs >= 0 and ensemble >= 1 or None; got {hidden}, {inputs}, {ensemble}"
            )
        lead = () if ensemble is None else (ensemble,)
        weight_hh = torch.empty(*lead, hidden, hidden, dtype=torch.float64)
        weight_ih = torch.empty(*lead, hidden, inputs, dtype=torch.float64) if inputs else None
        bias = weight_hh.new_zeros(*lead, hidden)
        for k in range(ensemble or 1):
            own: tuple[int, ...] = () if ensemble is None else (k,)
            if weight_ih is not None:
                input_weight_(weight_ih[own], fan=fan, generator=generator)
            scheme.recurrent(weight_hh[own], generator)
            if scheme.fit is not None:
                scheme.fit(None if weight_ih is None else weight_ih[own], weight_hh[own], [bias[own]])
        return cls(weight_hh, weight_ih, bias, scheme.nonlinearity)

    def member(self, k: int) -> System:
        """Network ``k`` of an ensemble as a single system.

        Raises:
            InputError: this is no ensemble.
        """
        if self.ensemble is None:
            raise InputError("this System is a single network: it has no members")
        weight_ih = self.weight_ih
        return replace(
            self,
            weight_hh=self.weight_hh[k] if self.weight_hh.dim() > 2 else self.weight_hh,
            weight_ih=weight_ih[k] if weight_ih is not None and weight_ih.dim() > 2 else weight_ih,
            bias=self.bias[k] if self.bias.dim() > 1 else self.bias,
        )

    def drive(self, x: Tensor | None = None) -> Tensor:
        r"""What reaches the units from outside, :math:`W_{hx} x + b`.

        Args:
            x: inputs [T, B, I], or that with a leading E; None means zero input.

        Returns:
            [T, B, H]; [1, 1, H] for None.

        Raises:
            InputError: another shape, or values that are not finite.
        """
        bias = self.bias[..., None, None, :]
        if x is None:
            return bias
        if self.weight_ih is None:
            raise InputError("this system has no inputs (weight_ih is None): x must be None")
        x = x.detach().to("cpu", torch.float64)
        if x.dim() not in (3, 4) or x.shape[-1] != self.inputs or 0 in x.shape:
            raise InputError(
                f"x must be [T, B, I] with I={self.inputs} and T, B >= 1, or that with a leading E; "
                f"got {tuple(x.shape)}"
            )
        if x.dim() == 4 and self.ensemble not in (None, x.shape[0]):
            raise InputError(f"x has E={x.shape[0]}, but the system is an ensemble of {self.ensemble}")
        if not bool(x.isfinite().all()):
            raise InputError("x holds NaN or infinite values")
        return project(x, self.weight_ih) + bias

    def step(self, h: Tensor, x: Tensor | None = None) -> Tensor:
        """The state after one step.

        Args:
            h: [B, H], or that with a leading E.
            x: input of that step [B, I], or that with a leading E; None means zero input.

        Returns:
            [B, H].

        Raises:
            InputError: shapes that do not fit.
        """
        drive = self.drive(None if x is None else x.unsqueeze(-3)).squeeze(-3)
        return self.activation(self.states_like(h) @ self.weight_hh.mT + drive)

    def jacobian(self, h: Tensor, x: Tensor | None = None) -> Tensor:
        r"""The derivative of one step, :math:`D\,W_{hh}` with :math:`D = \mathrm{diag}(f'(z))`, at the state before it.

        Where a ReLU's z is exactly 0 its slope counts as 0, as in torch.

        Args:
            h: [B, H], or that with a leading E.
            x: input of that step [B, I]; None means zero input.

        Returns:
            [B, H, H].

        Raises:
            InputError: shapes that do not fit.
        """
        return self.slopes(self.step(h, x))[..., None] * self.weight_hh.unsqueeze(-3)

    def activation(self, z: Tensor) -> Tensor:
        """f(z), unit by unit on the last axis."""
        return activation(z, self.nonlinearity, self.linear_units)

    def slopes(self, y: Tensor) -> Tensor:
        """f'(z) as a function of y = f(z): 1 or 0 for ReLU, 1 - y² for tanh, 1 for linear units."""
        return through(torch.ones_like(y), y, self.nonlinearity, self.linear_units)

    def states_like(self, h: Tensor) -> Tensor:
        """``h`` in float64, checked to be states [B, H] or [E, B, H].

        Raises:
            InputError: another shape, or values that are not finite.
        """
        h = h.detach().to("cpu", torch.float64)
        if h.dim() not in (2, 3) or h.shape[-1] != self.hidden:
            raise InputError(
                f"states must be [B, H] with H={self.hidden}, or that with a leading E; got {tuple(h.shape)}"
            )
        if h.dim() == 3 and self.ensemble not in (None, h.shape[0]):
            raise InputError(f"the states have E={h.shape[0]}, but the system is an ensemble of {self.ensemble}")
        if not bool(h.isfinite().all()):
            raise InputError("the states hold NaN or infinite values")
        return h


def _named(nonlinearity: str) -> Nonlinearity:
    if nonlinearity == "relu":
        return "relu"
    if nonlinearity == "tanh":
        return "tanh"
    raise InputError(f"nonlinearity must be 'relu' or 'tanh', got {nonlinearity!r}")


def _check(system: System) -> None:
    hidden = system.weight_hh.shape[-1] if system.weight_hh.dim() else 0
    shapes = {"weight_hh": (system.weight_hh, (hidden, hidden)), "bias": (system.bias, (hidden,))}
    if system.weight_ih is not None:
        shapes["weight_ih"] = (system.weight_ih, (hidden, system.weight_ih.shape[-1] if system.weight_ih.dim() else 0))
    members = {}
    for name, (value, shape) in shapes.items():
        if value.dim() not in (len(shape), len(shape) + 1) or value.shape[-len(shape) :] != shape or 0 in value.shape:
            axes = {"weight_hh": "[H, H]", "weight_ih": "[H, I]", "bias": "[H]"}[name]
            raise InputError(
                f"{name} must be {axes} with H={hidden} that of weight_hh, or that with a leading E; "
                f"got {tuple(value.shape)}"
            )
        if value.dim() > len(shape):
            members[name] = value.shape[0]
        if not bool(value.isfinite().all()):
            raise InputError(f"{name} holds NaN or infinite values: nothing can be said of such a network")
    if len(set(members.values())) > 1:
        raise InputError(f"the weights disagree on the number of ensemble members E: {members}")
    _named(system.nonlinearity)
    if not 0 <= system.linear_units <= hidden:
        raise InputError(f"linear_units must be between 0 and H={hidden}, got {system.linear_units}")
