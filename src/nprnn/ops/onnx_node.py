"""What ``torch.onnx.export`` sees of the operator: one node ``RNN`` of ONNX, whatever T and B are.

Both exporters learn it here, so that users pass nothing. The present one (``dynamo=True``) writes every graph once more
operator by operator, and there ``nprnn::rnn`` gives way to the node; so a program that ``torch.export`` made before can
be exported too. The older one (``dynamo=False``) has a table of its own.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import ProxyTorchDispatchMode

from nprnn.errors import InputError
from nprnn.ops import library as library  # registers the operators

# From here on the axes that are added and dropped are inputs of their nodes.
_OPSET = 13

# Dimensions of one network's x, h0, weight_ih, weight_hh, bias, lengths.
_DIMS = (3, 2, 2, 2, 1, 1)


def exporting() -> bool:
    """Whether ``torch.onnx.export`` looks on. Where that is the older exporter, it is told of the operator."""
    if torch.compiler.is_compiling():
        # Dynamo cannot trace the question, and the exporter falls back on it at most.
        return not torch.compiler.is_dynamo_compiling() and _exporter() is not None
    if not torch.jit.is_tracing() or (onnx := _exporter()) is None:  # type: ignore[attr-defined]
        return False
    symbolic = onnx.symbolic_helper.parse_args(*"vvvvvvsbi")(_older_node)
    onnx.register_custom_op_symbolic("nprnn::rnn_forward", symbolic, _OPSET)
    return True


def check(dtype: torch.dtype, *, ensemble: bool, linear_units: int = 0) -> None:
    """Raise InputError for what no node can express."""
    if ensemble:
        raise InputError("a node RNN of ONNX is one network: unstack() the ensemble and export its members one by one")
    if linear_units:
        raise InputError(
            f"a node RNN of ONNX has one activation for all its units, got linear_units={linear_units}; "
            "write this recurrence as a loop over its steps to export it"
        )
    if dtype not in (torch.float32, torch.float16):
        raise InputError(
            f"ONNX Runtime has a node RNN for float32 and float16, not for {dtype}; export model.float() instead"
        )


def _exporter() -> Any:
    """``torch.onnx`` while it exports, else None."""
    # Whoever exports has imported it, which takes too long to do it here.
    onnx = sys.modules.get("torch.onnx")
    return onnx if onnx is not None and onnx.is_in_onnx_export() else None


def _dispatch(mode: ProxyTorchDispatchMode, operator: Any, types: Any, arguments: Any, options: Any) -> Any:
    """``nprnn::rnn`` where torch writes a graph: the node if that is for ONNX, else the operator itself."""
    if _exporter() is None:
        return mode.__torch_dispatch__(operator, types, arguments, options)
    with mode:
        return _node(*arguments[:-1])


torch.library.register_torch_dispatch("nprnn::rnn", ProxyTorchDispatchMode, _dispatch)


def _node(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    lengths: Tensor | None,
    nonlinearity: str,
    reverse: bool,
    linear_units: int,
) -> tuple[Tensor, Tensor]:
    tensors = (x, h0, weight_ih, weight_hh, bias, lengths)
    ensemble = any(v is not None and v.dim() > own for v, own in zip(tensors, _DIMS, strict=True))
    check(x.dtype, ensemble=ensemble, linear_units=linear_units)
    (steps, batch, _), hidden = x.shape, weight_hh.shape[0]
    # ONNX has an axis of directions, two biases in a row, and 32 bits for a length.
    y, h_n = torch.onnx.ops.symbolic_multi_out(
        "RNN",
        (
            x,
            weight_ih.unsqueeze(0),
            weight_hh.unsqueeze(0),
            None if bias is None else torch.cat([bias, torch.zeros_like(bias)]).unsqueeze(0),
            None if lengths is None else lengths.to(torch.int32),
            h0.unsqueeze(0),
        ),
        {
            "hidden_size": hidden,
            "activations": [nonlinearity.capitalize()],
            "direction": "reverse" if reverse else "forward",
        },
        dtypes=(x.dtype, x.dtype),
        shapes=((steps, 1, batch, hidden), (1, batch, hidden)),
    )
    if x.device.type != "cpu":
        # What stands for the node while torch writes the graph is always on the CPU.
        y, h_n = y.to(x.device), h_n.to(x.device)
    y, h_n = y.squeeze(1), h_n.squeeze(0)
    # Of a sequence without steps ONNX says nothing, and ONNX Runtime gives 0.
    return y, h_n if lengths is None else torch.where((lengths == 0).unsqueeze(-1), h0, h_n)


def _older_node(
    graph: Any,
    x: Any,
    h0: Any,
    weight_ih: Any,
    weight_hh: Any,
    bias: Any,
    lengths: Any,
    nonlinearity: str,
    reverse: bool,
    linear_units: int,
) -> tuple[Any, Any]:
    """``_node`` in the words of the older exporter, for ``nprnn::rnn_forward``."""
    bias, lengths = (None if v.node().mustBeNone() else v for v in (bias, lengths))
    onnx: Any = torch.onnx
    dtype = onnx.JitScalarType.from_value(x).dtype()

    def constant(value: Tensor) -> Any:
        return graph.op("Constant", value_t=value)

    def led(v: Any) -> Any:
        return graph.op("Unsqueeze", v, constant(torch.tensor([0])))

    hidden = weight_hh.type().sizes()[0]
    zeros = constant(torch.zeros(hidden, dtype=dtype))
    nothing = graph.op("prim::Constant")
    nothing.setType(torch._C.OptionalType.ofTensor())
    y, h_n = graph.op(
        "RNN",
        x,
        led(weight_ih),
        led(weight_hh),
        nothing if bias is None else led(graph.op("Concat", bias, zeros, axis_i=0)),
        nothing if lengths is None else graph.op("Cast", lengths, to_i=onnx.TensorProtoDataType.INT32),
        led(h0),
        hidden_size_i=hidden,
        activations_s=[nonlinearity.capitalize()],
        direction_s="reverse" if reverse else "forward",
        outputs=2,
    )
    y, h_n = (graph.op("Squeeze", v, constant(torch.tensor([axis]))) for v, axis in ((y, 1), (h_n, 0)))
    if lengths is not None:
        empty = graph.op("Equal", lengths, constant(torch.tensor(0)))
        h_n = graph.op("Where", graph.op("Unsqueeze", empty, constant(torch.tensor([-1]))), h0, h_n)
    return y, h_n
