"""An ONNX graph, put together node by node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nprnn.optional import needed

# Initialisers of this prefix are axes and shapes, no weights.
CONSTANT = "const."


class Graph:
    """Nodes and initialisers as they are added.

    Args:
        opset: of ONNX.

    Attributes:
        opset: likewise.
        helper: ``onnx.helper``.

    Raises:
        ConfigError: onnx is not installed.
    """

    def __init__(self, opset: int) -> None:
        onnx = needed("onnx", "writing an ONNX file", "onnx")
        self.helper, self._types, self._onnx = onnx.helper, onnx.TensorProto, onnx
        self.opset = opset
        self._nodes: list[Any] = []
        self._initializers: dict[str, Any] = {}
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def add(self, op: str, inputs: Sequence[str], output: str | Sequence[str], **attributes: Any) -> str:
        """A node named after its (first) output, whose name is returned."""
        outputs = [output] if isinstance(output, str) else list(output)
        name = next(filter(None, outputs))
        self._nodes.append(self.helper.make_node(op, inputs, outputs, name=f"{op} {name}", **attributes))
        return outputs[0]

    def weight(self, name: str, value: Tensor | NDArray[Any]) -> str:
        """An initialiser."""
        array = np.asarray(value.numpy() if isinstance(value, Tensor) else value, order="C")
        self._initializers[name] = self._onnx.numpy_helper.from_array(array, name)
        return name

    def integers(self, *values: int) -> str:
        """A constant vector of int64."""
        name = CONSTANT + ",".join(map(str, values))
        return self.weight(name, np.array(values, np.int64))

    def scalar(self, value: int | float, dtype: type[np.generic]) -> str:
        """A constant without axes."""
        return self.weight(f"{CONSTANT}{dtype.__name__}.{value}", np.array(value, dtype))

    def input(self, name: str, shape: Sequence[int | str], about: str, *, integer: bool = False) -> str:
        """An input; one that has an initialiser of its name may be left out."""
        self._inputs.append(self._value(name, shape, about, integer=integer))
        return name

    def output(self, name: str, shape: Sequence[int | str], about: str) -> None:
        """An output."""
        self._outputs.append(self._value(name, shape, about))

    def _value(self, name: str, shape: Sequence[int | str], about: str, *, integer: bool = False) -> Any:
        kind = self._types.INT32 if integer else self._types.FLOAT
        return self.helper.make_tensor_value_info(name, kind, list(shape), about)

    def cast(self, name: str, output: str, *, floating: bool = False) -> str:
        """To float32, or to int32."""
        return self.add("Cast", [name], output, to=self._types.FLOAT if floating else self._types.INT32)

    def sum_of_steps(self, name: str, output: str) -> str:
        """[T, B, D] to [B, D]."""
        if self.opset < 13:
            return self.add("ReduceSum", [name], output, axes=[0], keepdims=0)
        return self.add("ReduceSum", [name, self.integers(0)], output, keepdims=0)

    def model(self, name: str) -> Any:
        """The whole."""
        graph = self.helper.make_graph(
            self._nodes, name, self._inputs, self._outputs, list(self._initializers.values())
        )
        imports = [self.helper.make_opsetid("", self.opset)]
        # The oldest too, for runtimes that ask for it.
        version = self.helper.find_min_ir_version_for(imports)
        return self.helper.make_model(graph, opset_imports=imports, ir_version=version, producer_name="nprnn")
