"""Modules to ExecuTorch: what XNNPACK takes whole, and the program around it."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nprnn.errors import RunError
from nprnn.optional import needed

PURPOSE = "--format executorch"
EXTRA = "mobile"


class Delegated(nn.Module):
    """A module that XNNPACK computes, to be called inside a program.

    Args:
        lowered: what it has become.
        inputs: what it takes, in its own order: which of the module's tensors, or a constant.
        outputs: where among its outputs the module's are.
    """

    def __init__(self, lowered: nn.Module, inputs: tuple[int | Tensor, ...], outputs: tuple[int, ...]) -> None:
        super().__init__()
        self.lowered = lowered
        self.outputs = outputs
        self.inputs: list[int | str] = []
        for k, given in enumerate(inputs):
            if isinstance(given, Tensor):
                self.register_buffer(f"constant{k}", given)
            self.inputs.append(f"constant{k}" if isinstance(given, Tensor) else given)

    def forward(self, *arguments: Any) -> tuple[Tensor, ...]:
        """As the module."""
        flat: list[Tensor] = []
        for argument in arguments:
            flat.extend(argument if isinstance(argument, tuple) else (argument,))
        found = self.lowered(*[getattr(self, k) if isinstance(k, str) else flat[k] for k in self.inputs])
        return tuple(found[k] for k in self.outputs)


def delegated(module: nn.Module, example: tuple[Any, ...], shapes: Any, quantiser: Any = None) -> Delegated:
    """Hand a module to XNNPACK.

    Args:
        module: what is computed.
        example: arguments that it takes.
        shapes: their dynamic dimensions, as of ``torch.export.export``.
        quantiser: of torchao; None leaves float32.

    Returns:
        What stands for it.

    Raises:
        ConfigError: ExecuTorch or torchao is not installed.
        RunError: XNNPACK does not take all of it.
    """
    exir = needed("executorch.exir", PURPOSE, EXTRA)
    xnnpack = needed("executorch.backends.xnnpack.partition.xnnpack_partitioner", PURPOSE, EXTRA)
    program = torch.export.export(module.eval(), example, dynamic_shapes=shapes, strict=True)
    if quantiser is not None:
        pt2e = needed("torchao.quantization.pt2e.quantize_pt2e", PURPOSE, EXTRA)
        prepared = pt2e.prepare_pt2e(program.module(), quantiser)
        # Observers see the weights; ranges of states are found anew at every step, in the runtime.
        prepared(*example)
        program = torch.export.export(pt2e.convert_pt2e(prepared), example, dynamic_shapes=shapes, strict=True)
    lowered = exir.to_edge_transform_and_lower(program, partitioner=[xnnpack.XnnpackPartitioner()]).exported_program()
    nodes = list(lowered.graph.nodes)
    calls = [node for node in nodes if node.op == "call_function" and "delegate" in str(node.target)]
    others = [
        str(node.target)
        for node in nodes
        if node.op == "call_function" and node not in calls and "getitem" not in str(node.target)
    ]
    if len(calls) != 1 or others:
        raise RunError(
            f"XNNPACK of the installed executorch takes a step in {len(calls)} parts and leaves {others or 'nothing'}; "
            "this package knows versions that take it whole, such as 1.5.1"
        )
    signature = lowered.graph_signature
    given = {name: k for k, name in enumerate(signature.user_inputs)}
    # XNNPACK keeps the weights of products; constants of other operations stay outside.
    constants = {**signature.inputs_to_buffers, **signature.inputs_to_lifted_tensor_constants}
    kept = {**lowered.state_dict, **lowered.constants}
    inputs = tuple(given[node.name] if node.name in given else kept[constants[node.name]] for node in calls[0].args[1:])
    outputs = tuple(node.args[1] for node in nodes[-1].args[0])
    return Delegated(getattr(lowered.graph_module, calls[0].args[0].target), inputs, outputs)


def program(module: nn.Module, example: tuple[Tensor, ...], shapes: Any, constants: Mapping[str, Any]) -> bytes:
    """A program with one method, ``forward``.

    Args:
        module: of ``executorch_modules``.
        example: arguments that it takes.
        shapes: their dynamic dimensions.
        constants: methods that answer with these values.

    Returns:
        The content of a .pte file.

    Raises:
        ConfigError: ExecuTorch is not installed.
    """
    exir = needed("executorch.exir", PURPOSE, EXTRA)
    passes = needed("executorch.exir.passes", PURPOSE, EXTRA)
    exported = torch.export.export(module.eval(), example, dynamic_shapes=shapes, strict=True)
    # Its check knows of no loops.
    unchecked = exir.EdgeCompileConfig(_check_ir_validity=False)
    edge = exir.to_edge(exported, constant_methods=dict(constants), compile_config=unchecked)
    # Inputs stay where the caller has them: room for the longest sequence is not set aside.
    planning = passes.MemoryPlanningPass(alloc_graph_input=False)
    # Without it, room is set aside for the example's size alone.
    sizes = needed("executorch.exir.passes.sym_shape_eval_pass", PURPOSE, EXTRA).ConstraintBasedSymShapeEvalPass()
    made = edge.to_executorch(exir.ExecutorchBackendConfig(memory_planning_pass=planning, sym_shape_eval_pass=sizes))
    return bytes(made.buffer)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without what the libraries tell of themselves while they are loaded and at work."""
    loggers = [logging.getLogger(name) for name in ("torchao", "torch.utils._pytree", "root", "executorch")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
