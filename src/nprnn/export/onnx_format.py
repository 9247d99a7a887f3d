"""``--format onnx``: a graph with one ``RNN`` node for each layer and direction, or of a single step."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from torch import Tensor

from nprnn.errors import ConfigError
from nprnn.export.format import Exported, Wanted
from nprnn.export.network import Network
from nprnn.export.onnx_graph import OLDEST_OPSET, build
from nprnn.export.onnx_int8 import ABOUT, quantised
from nprnn.export.onnx_nodes import CONSTANT
from nprnn.export.onnx_runner import OnnxNetwork
from nprnn.optional import needed

FILE = "model.onnx"


def write_onnx(network: Network, folder: Path, wanted: Wanted) -> Exported:
    """Write a network as one ONNX file, checked by ``onnx.checker`` and opened by ONNX Runtime.

    Mode ``"sequence"``: inputs ``x`` [T, B, I], ``lengths`` int32 [B] and ``initial_h`` [layers * directions, B, H], of
    which the last two may be left out; outputs ``output`` [B, O] ([T, B, O] for ``at="each"``) and ``Y_h``, the final
    states. A bidirectional layer is two nodes: some runtimes have no RNN of both directions.

    Mode ``"step"``: inputs ``x`` [B, I] and ``h`` [layers, B, H], outputs ``output`` [B, O] and ``h_next``. With
    ``at="mean"`` the answer for a sequence is the mean of the steps' outputs, which the caller takes.

    Either has the scaling of the inputs, the head, class names (as JSON) and ``about`` in it.

    Args:
        network: the network.
        folder: where to write ``model.onnx``.
        wanted: mode, precision and opset; None is the oldest opset that can be written. Calibration is not used.

    Returns:
        The file and how to run it.

    Raises:
        ConfigError: int8 for whole sequences, steps of a bidirectional network, an opset that cannot be written or run,
            or a library that is not installed.
    """
    if wanted.mode == "step" and network.directions == 2:
        raise ConfigError(
            "a bidirectional network needs the end of the sequence first: it cannot run step by step; "
            "leave out --mode step"
        )
    if wanted.precision == "int8" and wanted.mode != "step":
        raise ConfigError(
            "ONNX Runtime has no RNN node in int8; add --mode step, of which the products are nodes of their own, "
            "or leave out --int8"
        )
    onnx = needed("onnx", "writing an ONNX file", "onnx")
    runtime = needed("onnxruntime", "running what was written", "onnx")
    int8 = wanted.precision == "int8"
    model = build(network, wanted.mode, _opset(onnx, runtime, wanted.opset), apart=int8)
    if int8:
        model = quantised(model)
    path = folder / FILE
    onnx.save(model, path)
    onnx.checker.check_model(str(path), full_check=True)
    written = OnnxNetwork(path)

    def answer(x: Tensor, lengths: Tensor | None) -> Tensor:
        return written.outputs(x, lengths)[0]

    details = _details(model) | {"onnxruntime": runtime.__version__}
    if int8:
        details["int8"] = ABOUT
    state_bytes = 4 * network.states * network.hidden_size
    return Exported((path,), answer, _weight_bytes(onnx, model), state_bytes, details)


def _opset(onnx: Any, runtime: Any, asked: int | None) -> int:
    if asked is None:
        return OLDEST_OPSET
    newest = _newest_opset(onnx, runtime)
    if not OLDEST_OPSET <= asked <= newest:
        raise ConfigError(
            f"opset {asked} cannot be written: {OLDEST_OPSET} to {newest} can, with onnx {onnx.__version__} and "
            f"onnxruntime {runtime.__version__}; leave --opset out for {OLDEST_OPSET}, which the most runtimes take"
        )
    return asked


def _newest_opset(onnx: Any, runtime: Any) -> int:
    """The newest that both libraries know; ONNX Runtime, which is often behind, does not tell but by refusing."""
    helper = onnx.helper
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "least", [x], [y])
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    for opset in range(onnx.defs.onnx_opset_version(), OLDEST_OPSET, -1):
        imports = [helper.make_opsetid("", opset)]
        version = helper.find_min_ir_version_for(imports)
        content = helper.make_model(graph, opset_imports=imports, ir_version=version).SerializeToString()
        try:
            runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception:  # ONNX Runtime's errors have no base of their own
            continue
        return opset
    return OLDEST_OPSET


def _details(model: Any) -> dict[str, Any]:
    return {
        "opset": model.opset_import[0].version,
        "ir_version": model.ir_version,
        "nodes": dict(sorted(Counter(node.op_type for node in model.graph.node).items())),
        "inputs": {value.name: _shape(value) for value in model.graph.input},
        "outputs": {value.name: _shape(value) for value in model.graph.output},
    }


def _shape(value: Any) -> list[int | str]:
    """Sizes, and names where any size will do."""
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


def _weight_bytes(onnx: Any, model: Any) -> int:
    inputs = {value.name for value in model.graph.input}
    return sum(
        onnx.numpy_helper.to_array(tensor).nbytes
        for tensor in model.graph.initializer
        if tensor.name not in inputs and not tensor.name.startswith(CONSTANT)
    )
