"""The network that turns pictures into features: an ONNX file, or a torch module by its import path."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from nprnn.errors import ConfigError, DataError, nearest
from nprnn.optional import needed

PREFERRED = "features"
"""The output of an ONNX file that is taken unless another is named."""

_IMPORT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


class Identity(NamedTuple):
    """What tells a backbone from others.

    Attributes:
        name: of its file, or its import path.
        sha256: of its file, or of its weights.
        output: name of the output, or "" where there is one.
        versions: of the library that runs it.
    """

    name: str
    sha256: str
    output: str
    versions: Mapping[str, str]


class Backbone(Protocol):
    """A network with frozen weights.

    Attributes:
        identity: what tells it from others.
    """

    identity: Identity

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features [N, F] of pictures [N, 3, S, S]."""
        ...


@dataclass(frozen=True)
class BackboneConfig:
    """Which backbone, and what it is to take.

    Attributes:
        source: path of an ONNX file, or ``module:function``: a function that gives a ``torch.nn.Module``, or one.
        output: name of an ONNX file's output; None takes ``features``, or the first of two axes.
        size: side of the pictures.
        batch: the most pictures at a time.
    """

    source: str
    output: str | None
    size: int
    batch: int

    def load(self) -> Backbone:
        """The network, ready to run on one thread.

        Raises:
            ConfigError: a library is missing, or what is asked does not fit the network.
            DataError: the file is missing or no network.
        """
        if self.batch < 1:
            raise ConfigError(f"batch must be at least 1, got {self.batch}")
        return TorchBackbone(self) if self._is_code() else OnnxBackbone(self, Path(self.source))

    def origin(self) -> dict[str, Any]:
        """Where it is on this machine, and how it was run, as JSON values."""
        source = self.source if self._is_code() else str(Path(self.source).absolute())
        return {"backbone": source, "batch": self.batch}

    def _is_code(self) -> bool:
        path = Path(self.source)
        return not path.exists() and path.suffix != ".onnx" and _IMPORT.fullmatch(self.source) is not None


def width_of(backbone: Backbone, size: int) -> int:
    """F, found by asking the backbone about one black picture.

    Raises:
        ConfigError: it does not give [N, F].
    """
    return int(backbone(np.zeros((1, 3, size, size), np.float32)).shape[1])


class OnnxBackbone:
    """An ONNX file, run by ONNX Runtime.

    Args:
        config: what is asked.
        path: the file.
    """

    def __init__(self, config: BackboneConfig, path: Path) -> None:
        runtime = needed("onnxruntime", "running an ONNX file", "video")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(
                f"the backbone {path} cannot be read: {error.strerror or error}; expected an ONNX file, or an import "
                "path such as package.module:function"
            ) from error
        options = runtime.SessionOptions()
        # A process for each core, one thread for each process.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            # By path, not by content: weights may lie in files beside it.
            self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no base of their own
            raise DataError(f"{path} is no network that ONNX Runtime can run: {error}") from error
        self._path = path
        self._input, self._rows = self._fitting_input(config)
        self._output = self._chosen_output(config.output)
        sha256 = hashlib.sha256(content).hexdigest()
        self.identity = Identity(path.name, sha256, self._output, {"onnxruntime": runtime.__version__})

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features [N, F] of pictures [N, 3, S, S]."""
        count = len(x)
        if self._rows is not None and count < self._rows:
            x = np.concatenate([x, np.zeros((self._rows - count, *x.shape[1:]), x.dtype)])
        try:
            (y,) = self._session.run([self._output], {self._input: x})
        except Exception as error:
            raise ConfigError(f"{self._path} cannot run on pictures {list(x.shape)}: {error}") from error
        return _flat(y, len(x), f"output {self._output!r} of {self._path}")[:count]

    def _fitting_input(self, config: BackboneConfig) -> tuple[str, int | None]:
        """The name of the input, and how many pictures it insists on."""
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(repr(i.name) for i in inputs)
            raise ConfigError(f"{self._path} has {len(inputs)} inputs ({names}); expected one, the pictures")
        (found,) = inputs
        size = config.size
        says = f"{self._path}: input {found.name!r} is {found.type} {found.shape}"
        if found.type != "tensor(float)":
            raise ConfigError(f"{says}; expected tensor(float): export the network with float32 inputs")
        if len(found.shape) != 4:
            raise ConfigError(f"{says}; expected 4 axes [N, 3, {size}, {size}]")
        rows, channels, *sides = found.shape
        if isinstance(channels, int) and channels != 3:
            last = sides[1] == 3
            hint = ": export it with channels first" if last else ""
            raise ConfigError(f"{says}; expected 3 channels on the second axis, [N, 3, {size}, {size}]{hint}")
        if any(isinstance(side, int) and side != size for side in sides):
            raise ConfigError(f"{says}, but the pictures are {size} x {size}; give the --size that it takes")
        if not isinstance(rows, int):
            return found.name, None
        if rows < config.batch:
            raise ConfigError(f"{says}: it takes {rows} pictures at a time, not {config.batch}; give --batch {rows}")
        return found.name, rows

    def _chosen_output(self, name: str | None) -> str:
        outputs: dict[str, list[Any]] = {output.name: output.shape for output in self._session.get_outputs()}
        listed = ", ".join(f"{key} {shape}" for key, shape in outputs.items())
        if name is not None:
            if name in outputs:
                return name
            guess = nearest(name, outputs)
            hint = f" Did you mean {guess!r}?" if guess else ""
            raise ConfigError(f"{self._path} has no output {name!r}.{hint} It has: {listed}.")
        if PREFERRED in outputs:
            return PREFERRED
        flat = [key for key, shape in outputs.items() if len(shape) == 2]
        if not flat:
            raise ConfigError(f"{self._path} has no output of 2 axes [N, F]; name one with --output: {listed}")
        return flat[0]


class TorchBackbone:
    """A torch module, frozen, in evaluation mode.

    Args:
        config: what is asked; ``source`` names a module and a function in it.
    """

    def __init__(self, config: BackboneConfig) -> None:
        if config.output is not None:
            raise ConfigError(f"--output names an output of an ONNX file; {config.source} gives what it gives")
        self._source = config.source
        self._module = _imported(config.source).eval().requires_grad_(False)
        self.identity = Identity(config.source, _weights_sha256(self._module), "", {})

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features [N, F] of pictures [N, 3, S, S]."""
        with torch.no_grad():
            try:
                y = self._module(torch.from_numpy(x))
            except Exception as error:  # the user's own code
                raise ConfigError(
                    f"{self._source} cannot run on pictures {list(x.shape)}: {type(error).__name__}: {error}"
                ) from error
        if not isinstance(y, torch.Tensor):
            raise ConfigError(f"{self._source} must give a tensor [N, F], got {type(y).__name__}")
        return _flat(y.float().numpy(), len(x), self._source)


def _imported(source: str) -> torch.nn.Module:
    name, _, attribute = source.partition(":")
    # The script `nprnn` has its own folder in front of the path, not the one where it is called.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found: Any = importlib.import_module(name)
        for word in attribute.split("."):
            found = getattr(found, word)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"the backbone {source} cannot be imported: {error}; expected module:function, importable from here, or "
            "the path of an ONNX file"
        ) from error
    except Exception as error:  # the user's own code, which may not even be Python
        raise ConfigError(f"the backbone {source} cannot be imported: {type(error).__name__}: {error}") from error
    try:
        module = found if isinstance(found, torch.nn.Module) or not callable(found) else found()
    except Exception as error:  # the user's own code
        raise ConfigError(f"{source}() failed with {type(error).__name__}: {error}") from error
    if not isinstance(module, torch.nn.Module):
        raise ConfigError(f"{source} must give a torch.nn.Module, got {type(module).__name__}")
    return module


def _weights_sha256(module: torch.nn.Module) -> str:
    digest = hashlib.sha256(repr(module).encode())
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if tensor.numel():
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _flat(y: NDArray[Any], rows: int, what: str) -> NDArray[np.float32]:
    """The values as [N, F]; axes of length 1 behind them, as of pooling, are dropped."""
    if y.ndim < 2 or y.shape[0] != rows or y.shape[1] < 1 or y.size != rows * y.shape[1]:
        raise ConfigError(f"{what} must be [N, F], numbers for each picture; for {rows} pictures it is {list(y.shape)}")
    return y.reshape(rows, -1).astype(np.float32, copy=False)
