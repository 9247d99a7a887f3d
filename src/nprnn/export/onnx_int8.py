"""An ONNX step in int8: the products' weights and inputs in 8 bits, all else in float32."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from nprnn.optional import needed

ABOUT = (
    "weights: 8 bits unsigned, a scale and a zero point for each column, but float32 on the diagonal of W_hh; what "
    "they are multiplied with: 8 bits unsigned, its range found anew at every call, over the whole batch"
)
# What tells the quantiser not to ask for constant folding and fusion, of which a step has nothing to gain.
_PREPARED = ("onnx.quant.pre_process", "onnxruntime.quant")


def quantised(model: Any) -> Any:
    """The step with ``MatMulInteger`` in place of ``MatMul``.

    Ranges of states and inputs are found at every call and not fixed beforehand by training sequences: on the trained
    networks of ``results/mnist-rows``, ``addition-t100`` and ``multiplication-t50`` that lost less in each case than
    fixed ranges of 8 bits with weights rounded alike (seen on their test sets), and it needs no calibration. Its price:
    sequences of one call share a range, so that answers depend a little on the company; alone, a sequence has the
    finest. The diagonal of W_hh is best kept apart (``build``, ``apart``): that of a trained network stands so far
    above its row that one scale for both drowns the rest, and over hundreds of steps a state of 8 bits forgets.
    Weights are unsigned, because products of unsigned and signed bytes saturate on processors with AVX2 and AVX-512
    that lack VNNI.

    Args:
        model: of ``onnx_graph.build`` in mode ``"step"``.

    Returns:
        An ``onnx.ModelProto`` with the same inputs, outputs and metadata.

    Raises:
        ConfigError: onnxruntime is not installed.
    """
    onnx = needed("onnx", "writing an ONNX file", "onnx")
    quantization = needed("onnxruntime.quantization", "writing ONNX in int8", "onnx")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    with tempfile.TemporaryDirectory() as scratch:
        before, after = Path(scratch) / "float32.onnx", Path(scratch) / "int8.onnx"
        prepared = onnx.ModelProto()
        prepared.CopyFrom(model)
        onnx.helper.set_model_props(prepared, metadata | dict([_PREPARED]))
        onnx.save(prepared, before)
        quantization.quantize_dynamic(
            before,
            after,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=quantization.QuantType.QUInt8,
        )
        made = onnx.load(after)
    onnx.helper.set_model_props(made, metadata)
    return made
