"""ONNX Runtime as a rival: a model of one ``RNN`` node, for inference."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nprnn.bench.problem import Problem, Rival

# Old enough for every runtime in use; the operator has not changed since.
_OPSET, _IR_VERSION = 14, 8


def build(problem: Problem, threads: int) -> Rival:
    """A session on one member, with denormals set to zero, that gives the last state.

    Args:
        problem: what to compute.
        threads: threads of the session.

    Returns:
        The rival.
    """
    alone = problem.member(0)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    session = onnxruntime.InferenceSession(rnn_model(alone), options, providers=["CPUExecutionProvider"])
    feed = {"X": alone.x.numpy()}

    def run() -> NDArray[Any]:
        h_n: NDArray[Any] = session.run(["Y_h"], feed)[0]
        return h_n

    return Rival(run, lambda: {"h_n": run()[0]})


def rnn_model(problem: Problem) -> bytes:
    """The ONNX file of one ``RNN`` node with the problem's weights: X [T, B, I] to Y_h [1, B, H]."""
    shape = problem.shape
    bias = np.concatenate([problem.bias.numpy(), np.zeros(shape.hidden, np.float32)])
    weights = {"W": problem.weight_ih.numpy(), "R": problem.weight_hh.numpy(), "B": bias}
    node = helper.make_node(
        "RNN", ["X", *weights], ["", "Y_h"], hidden_size=shape.hidden, activations=["Relu"], direction="forward"
    )
    graph = helper.make_graph(
        [node],
        "rnn",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [shape.steps, shape.batch, shape.inputs])],
        [helper.make_tensor_value_info("Y_h", TensorProto.FLOAT, [1, shape.batch, shape.hidden])],
        # One direction, which the operator has as the leading axis.
        [numpy_helper.from_array(value[None], name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    return bytes(model.SerializeToString())
