"""``--format c``: one dependency-free C99 file and its header, in float32 or with weights of 8 bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nprnn.errors import ConfigError, RunError
from nprnn.export.c_building import checked, running
from nprnn.export.c_cortex import on_cortex_m4
from nprnn.export.c_integers import IntegerNetwork, rounded_mean
from nprnn.export.c_quantise import HEADROOM, quantise
from nprnn.export.c_seen import alive_steps
from nprnn.export.c_source import CHECK, FOLDER, GOLDEN, HEADER, MODEL, golden, sources
from nprnn.export.format import Answer, Exported, Wanted
from nprnn.export.network import Direction, Network
from nprnn.files import write_atomically

# A mean goes into the biases where it is at most so many times the scale: more would cost digits.
_FOLDED = 16.0
# Golden vectors: sequences, and numbers of their inputs at most, for they too take flash when a device is checked.
_SEQUENCES, _STEPS, _NUMBERS = 2, 32, 4096
_TOLERANCE = 1e-5


def write_c(network: Network, folder: Path, wanted: Wanted) -> Exported:
    """Write ``nprnn_model.c`` and ``.h``, and ``check.c`` with ``golden.h``, which tells whether a build is right.

    Args:
        network: of one direction.
        folder: where to write.
        wanted: float32 or int8; the file has both a function for steps and one for sequences.

    Returns:
        The files and how to run them.

    Raises:
        ConfigError: two directions, a mode of its own for steps, or a network that int8 cannot hold.
        RunError: a compiler of this machine builds something else of the files.
    """
    if wanted.mode != "sequence":
        raise ConfigError("--format c writes nprnn_step and nprnn_run into one file; leave --mode out")
    if network.directions == 2:
        raise ConfigError(
            "--format c is for streams, and a network of two directions must know the end before it can begin; "
            "--format onnx has both directions"
        )
    integers, weight_bytes = write_files(network, folder, wanted)
    details = _details(folder, integers)
    answer = running(folder, network.at == "each", network.input_size, network.output_size)
    if answer is None:
        details["not_compiled"] = "no C compiler was found, so the files were not run" + (
            "; the same arithmetic in numpy was compared instead" if integers is not None else ""
        )
        answer = None if integers is None else _emulated(integers)
    return Exported(
        tuple(folder / name for name in (MODEL, HEADER, CHECK, GOLDEN)),
        answer,
        weight_bytes,
        _state_bytes(network, integers is not None),
        details,
    )


def write_files(network: Network, folder: Path, wanted: Wanted) -> tuple[IntegerNetwork | None, int]:
    """Write the four files, and run nothing.

    Args:
        network: of one direction.
        folder: where to write.
        wanted: precision, and calibration for int8.

    Returns:
        The network in whole numbers, for int8, and the bytes of all constants.

    Raises:
        ConfigError: as of ``write_c``.
    """
    integers = None
    if wanted.precision == "int8":
        if wanted.calibration is None:
            raise ConfigError("--format c --int8 needs training sequences to calibrate on")
        integers = quantise(network, wanted.calibration)
    else:
        network = _folded(network)
    texts, weight_bytes = sources(network, integers)
    texts[CHECK] = (FOLDER / CHECK).read_text()
    texts[GOLDEN] = _golden(network, integers, wanted.calibration)
    for name, text in texts.items():
        write_atomically(folder / name, text.encode())
    return integers, weight_bytes


def _folded(network: Network) -> Network:
    """Without a scale, and without a mean where that costs no digits."""
    mean = network.mean
    if mean is None:
        return network.folded()
    scale = torch.ones_like(mean) if network.scale is None else network.scale
    if bool((mean.abs() <= _FOLDED * scale).all()):
        return network.folded()
    return replace(replace(network, mean=None).folded(), mean=mean)


def _state_bytes(network: Network, int8: bool) -> int:
    states = network.hidden_size * len(network.layers) * (2 if int8 else 4)
    return states + (8 * network.hidden_size + 8 if network.at == "mean" else 0)


def _golden(network: Network, integers: IntegerNetwork | None, calibration: tuple[Tensor, Tensor | None] | None) -> str:
    """Drawn inputs, not the user's data, with what is expected after each step."""
    steps = max(3, min(_STEPS, _NUMBERS // (_SEQUENCES * network.input_size)))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(steps, _SEQUENCES, network.input_size, generator=generator)
    if calibration is not None:
        seen = calibration[0][alive_steps(*calibration)]
        x = x * seen.std(0, correction=0) + seen.mean(0)
    elif network.mean is not None:
        x = x + network.mean
    if integers is not None:
        return golden(_by_sequence(x.numpy()), _by_sequence(_integer_steps(integers, x.numpy())), 0.0, True)
    expected, exact = _float_steps(network, x), _float_steps(_doubled(network), x.double())
    # As far as float32 itself is from the truth, or ten times that.
    error = float(((expected - exact).abs() / (1 + exact.abs())).max())
    tolerance = max(_TOLERANCE, 10 * error)
    return golden(_by_sequence(x.numpy()), _by_sequence(exact.float().numpy()), tolerance, False)


def _by_sequence(v: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(v.swapaxes(0, 1))


def _float_steps(network: Network, x: Tensor) -> Tensor:
    """Outputs after each step [T, B, O]; for a mean, of the steps so far."""
    outputs, _ = replace(network, at="each").outputs(x)
    if network.at != "mean":
        return outputs
    return outputs.cumsum(0) / torch.arange(1, len(x) + 1).to(x)[:, None, None]


def _doubled(network: Network) -> Network:
    return replace(
        network,
        layers=tuple(tuple(Direction(*(w.double() for w in d)) for d in layer) for layer in network.layers),
        head=None if network.head is None else (network.head[0].double(), network.head[1].double()),
        mean=None if network.mean is None else network.mean.double(),
        scale=None if network.scale is None else network.scale.double(),
    )


def _integer_steps(network: IntegerNetwork, x: NDArray[np.float32]) -> NDArray[np.float32]:
    found = []
    total = np.zeros((x.shape[1], network.hidden_size), np.int64)
    for t, states in enumerate(network.steps(x), 1):
        total += states[-1]
        found.append(network.read(rounded_mean(total, np.array(t)) if network.at == "mean" else states[-1]))
    return np.stack(found)


def _emulated(integers: IntegerNetwork) -> Answer:
    def answer(x: Tensor, lengths: Tensor | None) -> Tensor:
        return torch.from_numpy(integers.outputs(x.numpy(), None if lengths is None else lengths.numpy()))

    return answer


def _details(folder: Path, integers: IntegerNetwork | None) -> dict[str, Any]:
    compiled = checked(folder)
    device = on_cortex_m4(folder)
    if device.get("passed") is False:
        raise RunError(
            f"the C files on an emulated Cortex-M4 do not give the network's numbers ({device['check']}); "
            "they were not kept. Please report this"
        )
    found: dict[str, Any] = {"compilers": compiled, "cortex_m4": device, "told": _told(compiled, device)}
    if integers is not None:
        found["int8"] = {
            "state_bits": integers.bits + 1,
            "headroom": HEADROOM,
            "state_scales": [layer.scale for layer in integers.layers],
            "shifts": [layer.shift for layer in integers.layers],
        }
    return found


def _told(compiled: list[dict[str, Any]], device: Mapping[str, Any]) -> list[str]:
    """What a person wants to see of it."""
    lines = [
        f"{c['version']}: {'no warnings' if c['no_warnings'] else 'WARNINGS, see export.json'}; {c.get('check')}"
        for c in compiled
    ]
    if "flash" in device:
        lines.append(
            f"Cortex-M4 (-Os): flash {device['flash']:,} bytes, RAM {device['ram']:,} bytes and at most "
            f"{device['stack']:,} of stack"
        )
    if "check" in device:
        lines.append(f"emulated Cortex-M4: {device['check']}")
    if "absent" in device:
        lines.append(device["absent"])
    return lines
