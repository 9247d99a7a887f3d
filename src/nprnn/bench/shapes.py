"""The shapes that are measured: the paper's own and some around them, each with its targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nprnn.errors import ConfigError, InputError, unknown

_BYTES = 4  # float32


@dataclass(frozen=True)
class Shape:
    """A recurrence to time, in float32 with relu.

    Attributes:
        label: how it is called on the command line and in records.
        steps: T.
        batch: B.
        inputs: I.
        hidden: H; 100 in every experiment of the paper.
        members: E; times and flops are those of one member.
        inference: forward only.
        targets: by rival, how many times longer than ours its time is to be at least.
        peak_target: least share of the GEMM peak, or None.
    """

    label: str
    steps: int
    batch: int
    inputs: int
    hidden: int = 100
    members: int = 1
    inference: bool = False
    targets: Mapping[str, float] = field(default_factory=dict)
    peak_target: float | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "inputs", "hidden", "members"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")

    def forward_only(self) -> Shape:
        """The same for inference; the targets of training go."""
        return self if self.inference else replace(self, inference=True, targets={}, peak_target=None)

    @property
    def flops(self) -> int:
        r"""Operations of one member: :math:`T B H (6 H + 4 I)`, or :math:`T B H (2 H + 2 I)` forward only.

        A multiplication and an addition each for :math:`W_{hh} y`, :math:`W_{hh}^T dz`, :math:`dz\,y^T`, and
        for :math:`W_{ih} x`, :math:`dz\,x^T`; the gradient of x is not computed.
        """
        each = 2 * self.hidden + 2 * self.inputs if self.inference else 6 * self.hidden + 4 * self.inputs
        return self.steps * self.batch * self.hidden * each

    @property
    def traffic(self) -> int:
        """Bytes of one member that no schedule avoids once nothing stays in cache.

        y is written; x and the weights are read; and in the backward pass y and x are read again and the gradients of
        the weights written.
        """
        passes = 1 if self.inference else 2
        rows = self.steps * self.batch * (self.hidden + self.inputs)
        weights = self.hidden * (self.hidden + self.inputs + 1)
        return _BYTES * passes * (rows + weights)


SHAPES: dict[str, Shape] = {
    shape.label: shape
    for shape in (
        Shape("addition-150", 150, 1, 2, targets={"torch": 25, "jax": 2.5}),
        Shape("addition-400", 400, 1, 2, targets={"torch": 40, "jax": 3}),
        Shape("multiplication-200", 200, 16, 2, targets={"torch": 8, "jax": 3.5}, peak_target=0.35),
        Shape("mnist-784", 784, 16, 1, targets={"torch": 10, "jax": 4}, peak_target=0.45),
        Shape("mnist-784-b100", 784, 100, 1, targets={"torch": 5, "jax": 5}, peak_target=0.65),
        Shape("mnist-784-h256", 784, 128, 1, 256, targets={"torch": 1.5, "jax": 2}, peak_target=0.70),
        Shape("mnist-784-h512", 784, 128, 1, 512, targets={"torch": 1.1, "jax": 2}, peak_target=0.75),
        Shape("ucf101", 40, 256, 1024, targets={"torch": 1.2, "jax": 1.4}, peak_target=0.85),
        Shape("ensemble-28", 150, 1, 2, members=28, targets={"torch": 120, "jax": 6}, peak_target=0.40),
        Shape("inference-784", 784, 1, 1, inference=True, targets={"onnxruntime": 1.5, "lstm": 1}),
    )
}


def find_shape(word: str) -> Shape:
    """A shape of ``SHAPES`` by its label, or one without targets from its sizes: ``T,B,I,H`` or ``T,B,I,H,E``.

    Raises:
        ConfigError: no shape has that label (the message lists all), or a size below 1.
        InputError: sizes that are not four or five integers.
    """
    if word in SHAPES:
        return SHAPES[word]
    if "," not in word:
        raise unknown("shape", word, [*SHAPES, "T,B,I,H", "T,B,I,H,E"])
    try:
        sizes = [int(size) for size in word.split(",")]
    except ValueError:
        sizes = []
    if len(sizes) not in (4, 5):
        raise InputError(f"a shape is a label, or T,B,I,H or T,B,I,H,E in integers, such as 784,16,1,100; got {word!r}")
    steps, batch, inputs, hidden, members = (*sizes, 1)[:5]
    return Shape(word, steps, batch, inputs, hidden, members)
