"""The text of the C files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nprnn.export.c_integers import INPUT_BITS, TANH_END, TANH_STEP_BITS, TANH_TABLE, IntegerNetwork
from nprnn.export.network import Network

FOLDER = Path(__file__).parent / "c"
MODEL, HEADER, CHECK, GOLDEN = "nprnn_model.c", "nprnn_model.h", "check.c", "golden.h"
_WIDTH = 110
_BYTES = {"float": 4, "int8_t": 1, "int16_t": 2, "uint16_t": 2, "int32_t": 4}


@dataclass(frozen=True)
class Array:
    """A constant of a C file.

    Attributes:
        name: in C.
        ctype: of its numbers.
        about: one line on it.
        values: the numbers, in the order of memory.
    """

    name: str
    ctype: str
    about: str
    values: NDArray[Any]

    @property
    def count(self) -> int:
        """How many."""
        return self.values.size

    @property
    def bytes(self) -> int:
        """Of memory."""
        return self.count * _BYTES[self.ctype]

    @property
    def text(self) -> str:
        """The numbers in lines."""
        number = _float if self.ctype == "float" else _integer
        return _lines(number(v) for v in self.values.flatten())


def float32_arrays(network: Network) -> list[Array]:
    """The constants of a network in float32; products go by columns."""
    found = []
    if network.mean is not None:
        found.append(Array("INPUT_MEAN", "float", "Subtracted from the inputs.", network.mean.numpy()))
    for k, ((weight_ih, weight_hh, bias),) in enumerate(network.layers):
        found += [
            Array(f"WEIGHT_IH_{k}", "float", "What each input adds to all units: a column each.", weight_ih.numpy().T),
            Array(f"WEIGHT_HH_{k}", "float", "Likewise of each unit's last state.", weight_hh.numpy().T),
            Array(f"BIAS_{k}", "float", "Of each unit.", bias.numpy()),
        ]
    if network.head is not None:
        weight, bias = network.head
        found += [
            Array("HEAD_WEIGHT", "float", "What each unit adds to all outputs: a column each.", weight.numpy().T),
            Array("HEAD_BIAS", "float", "Of each output.", bias.numpy()),
        ]
    return found


def int8_arrays(network: IntegerNetwork) -> list[Array]:
    """The constants of a network in whole numbers; products go by rows."""
    found = []
    if network.mean is not None:
        found.append(Array("INPUT_MEAN", "float", "Subtracted from the inputs.", network.mean))
    told = f"What inputs are multiplied by; their integers have {INPUT_BITS} bits more than are kept."
    found.append(Array("INPUT_SCALE", "float", told, network.inverse))
    for k, layer in enumerate(network.layers):
        told = f"A row's scale times 2^{layer.shift}."
        kept = f"What a unit keeps of its last state, the diagonal of W_hh, times 2^{layer.keep_shift}."
        found += [
            Array(f"WEIGHT_{k}", "int8_t", "[W_ih W_hh] less what is kept, a row for each unit.", layer.weight),
            Array(f"BIAS_{k}", "int32_t", "Of each row, in units of its products.", layer.bias),
            Array(f"MULTIPLIER_{k}", "uint16_t", told, layer.multiplier),
            Array(f"KEEP_{k}", "int16_t", kept, layer.keep),
        ]
    if network.nonlinearity == "tanh":
        found.append(Array("TANH", "int16_t", "tanh(k / 16) 2^15.", TANH_TABLE))
    if network.head is None:
        scale = np.array([network.layers[-1].scale], np.float32)
        found.append(Array("STATE_SCALE", "float", "What 1 in a state stands for.", scale))
    else:
        weight, bias, scales = network.head
        found += [
            Array("HEAD_WEIGHT", "int8_t", "A row for each output.", weight),
            Array("HEAD_BIAS", "int32_t", "Of each row, in units of its products.", bias),
            Array("HEAD_SCALE", "float", "Of each row.", scales),
        ]
    return found


def sources(network: Network, integers: IntegerNetwork | None) -> tuple[dict[str, str], int]:
    """The model and its header.

    Args:
        network: of one direction, its scale folded into its weights.
        integers: the same in whole numbers, or None for float32.

    Returns:
        Text by name of file, and the bytes of all constants.
    """
    arrays = float32_arrays(network) if integers is None else int8_arrays(integers)
    weight_bytes = sum(array.bytes for array in arrays)
    tanh = network.nonlinearity == "tanh"
    values: dict[str, Any] = {
        "about": _about(network, integers is not None),
        "arrays": arrays,
        "at": network.at,
        "class_names": [string_literal(name) for name in network.class_names or ()],
        "head": network.head is not None,
        "hidden": network.hidden_size,
        "input_mean": any(array.name == "INPUT_MEAN" for array in arrays),
        "inputs": network.input_size,
        "int8": integers is not None,
        "layers": len(network.layers),
        "libm": tanh and integers is None,
        "outputs": network.output_size,
        "tanh": tanh,
        "weight_bytes": weight_bytes,
    }
    if integers is not None:
        values |= {
            "input_bits": INPUT_BITS,
            "limit": integers.limit,
            "narrow": 15 - integers.bits,
            "shifts": [(layer.shift, layer.shift - layer.keep_shift) for layer in integers.layers],
            "tanh_end": TANH_END,
            "tanh_step_bits": TANH_STEP_BITS,
        }
    return {name: _rendered(name, values) for name in (MODEL, HEADER)}, weight_bytes


def golden(x: NDArray[np.float32], outputs: NDArray[np.float32], tolerance: float, int8: bool) -> str:
    """``golden.h``.

    Args:
        x: inputs [N, T, I].
        outputs: after each step, from the first on [N, T, O].
        tolerance: of 1 + the size of an output.
        int8: whether the outputs are those of the whole numbers.
    """
    arrays = [
        Array("golden_x", "float", "[sequence][step][input]", x),
        Array("golden_out", "float", "[sequence][step][output], after each step", outputs),
    ]
    values = {"arrays": arrays, "int8": int8, "sequences": len(x), "steps": x.shape[1], "tolerance": _float(tolerance)}
    return _rendered(GOLDEN, values)


def string_literal(text: str) -> str:
    """A string of C that means the UTF-8 of ``text``, in whatever encoding the file is read."""
    plain = set(range(32, 127)) - set(b'"\\?')
    return '"' + "".join(chr(c) if c in plain else f"\\{c:03o}" for c in text.encode()) + '"'


def _about(network: Network, int8: bool) -> list[str]:
    units = "ReLU" if network.nonlinearity == "relu" else "tanh"
    precision = "int8 weights, int16 states" if int8 else "float32"
    taken = {"last": "after the last step", "mean": "mean of all steps", "each": "after each step"}[network.at]
    lines = [
        f"Recurrent network: inputs {network.input_size}, layers {len(network.layers)} of "
        f"{network.hidden_size} {units} units, outputs {network.output_size} ({taken}); {precision}.",
        *(f"{key}: {value}" for key, value in network.about.items()),
    ]
    return [_harmless(line) for line in lines]


def _harmless(line: str) -> str:
    """Text that cannot end a comment, nor begin one."""
    line = "".join(c if 32 <= ord(c) < 127 else "?" for c in line)
    return re.sub(r"\?(?=\?)", "? ", line.replace("*/", "* /").replace("/*", "/ *")).replace("\\", "/")


def _float(value: Any) -> str:
    text = f"{float(np.float32(value)):.9g}"
    return (text if "." in text or "e" in text else f"{text}.0") + "f"


def _integer(value: Any) -> str:
    return str(int(value))


def _lines(words: Iterable[str]) -> str:
    lines, line = [], "   "
    for word in words:
        if len(line) + len(word) + 2 > _WIDTH:
            lines.append(line)
            line = "   "
        line += f" {word},"
    return "\n".join([*lines, line])


def _rendered(name: str, values: Mapping[str, Any]) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{name}.jinja").render(values)
