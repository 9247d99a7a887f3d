"""Running an exported ONNX file by ONNX Runtime, whole sequences in either mode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nprnn.errors import DataError, InputError
from nprnn.export.onnx_graph import KEY
from nprnn.files import parse_json
from nprnn.optional import needed
from nprnn.training.readout import live


class OnnxNetwork:
    """An ONNX file of ``nprnn export``, with the answers of ``Network.outputs``.

    A file of mode ``"step"`` is run step by step, a state standing still once its sequence has ended.

    Args:
        path: the file.

    Attributes:
        mode: ``"sequence"`` or ``"step"``.
        at: where outputs are taken: ``"last"``, ``"mean"`` or ``"each"``.
        class_names: of a classification, else None.
        input_size: I.
        states: layers times directions.
        hidden_size: H.
        session: the ``onnxruntime.InferenceSession``.

    Raises:
        ConfigError: onnxruntime is not installed.
        DataError: the file cannot be read, is cut short or damaged, or is no file of ``nprnn export``.
    """

    def __init__(self, path: Path) -> None:
        runtime = needed("onnxruntime", "running an ONNX file", "onnx")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
        options = runtime.SessionOptions()
        # Only errors: that lengths and initial_h may be left out is no news.
        options.log_severity_level = 3
        try:
            self.session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no base of their own
            raise DataError(
                f"{path} is no ONNX file that ONNX Runtime can run, or it is cut short or damaged; export it anew "
                f"({error})"
            ) from error
        metadata = self.session.get_modelmeta().custom_metadata_map
        if KEY not in metadata:
            raise DataError(
                f"{path} lacks the metadata {KEY!r}, with which files of nprnn export end: it is cut short, or "
                "something else; export it anew"
            )
        try:
            facts = parse_json(metadata[KEY])
            self.mode, self.at = str(facts["mode"]), str(facts["at"])
            names = parse_json(metadata.get("class_names", "null"))
            self.class_names: tuple[str, ...] | None = None if names is None else tuple(names)
            self._state = "initial_h" if self.mode == "sequence" else "h"
            values = (*self.session.get_inputs(), *self.session.get_overridable_initializers())
            shapes = {value.name: value.shape for value in values}
            self.input_size = int(shapes["x"][-1])
            self.states, self.hidden_size = int(shapes[self._state][0]), int(shapes[self._state][-1])
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise DataError(f"{path} is no file of nprnn export, or is damaged ({error!r}); export it anew") from error

    def outputs(self, x: Tensor, lengths: Tensor | None = None, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What the file answers.

        Args:
            x: inputs [T, B, I], as the task gives them (not yet scaled).
            lengths: integers [B], 1..T; None means all T.
            h0: initial states [layers * directions, B, H]; None means 0.

        Returns:
            Outputs [B, O], or [T, B, O] for ``"each"``, and the final states [layers * directions, B, H].

        Raises:
            InputError: another shape, lengths beyond 1..T, or numbers that are not finite.
        """
        self._check(x, lengths, h0)
        inputs = x.detach().float().contiguous().numpy()
        ends = None if lengths is None else lengths.to(torch.int32).numpy()
        start = None if h0 is None else h0.detach().float().contiguous().numpy()
        run = self._sequence if self.mode == "sequence" else self._steps
        output, final = run(inputs, ends, start)
        return torch.from_numpy(output), torch.from_numpy(final)

    def _sequence(
        self, x: NDArray[np.float32], lengths: NDArray[np.int32] | None, start: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        given = {"x": x, "lengths": lengths, self._state: start}
        output, final = self.session.run(
            ["output", "Y_h"], {name: value for name, value in given.items() if value is not None}
        )
        return output, final

    def _steps(
        self, x: NDArray[np.float32], lengths: NDArray[np.int32] | None, start: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        steps, batch = x.shape[:2]
        ends = np.full(batch, steps, np.int32) if lengths is None else lengths
        h = np.zeros((self.states, batch, self.hidden_size), np.float32) if start is None else start
        each: list[NDArray[np.float32]] = []
        taken: NDArray[np.float32] = np.zeros((), np.float32)
        for step, row in enumerate(x):
            output, fresh = self.session.run(["output", "h_next"], {"x": row, "h": h})
            alive = (step < ends)[:, None]
            h = np.where(alive, fresh, h)
            if self.at == "last":
                taken = np.where(alive, output, taken)
            elif self.at == "mean":
                taken = taken + np.where(alive, output, np.float32(0))
            else:
                each.append(output)
        if self.at == "each":
            return np.stack(each), h
        if self.at == "mean":
            taken = (taken / ends[:, None]).astype(np.float32)
        return taken, h

    def _check(self, x: Tensor, lengths: Tensor | None, h0: Tensor | None) -> None:
        if x.ndim != 3 or x.shape[2] != self.input_size or 0 in x.shape:
            raise InputError(
                f"x must be [T, B, I] with I = {self.input_size} and at least one step and sequence, got shape "
                f"{tuple(x.shape)}"
            )
        steps, batch = x.shape[:2]
        if lengths is not None:
            if lengths.shape != (batch,) or lengths.is_floating_point():
                raise InputError(
                    f"lengths must be integers [B] = [{batch}], got {lengths.dtype} of shape {tuple(lengths.shape)}"
                )
            if not 1 <= int(lengths.min()) <= int(lengths.max()) <= steps:
                raise InputError(
                    f"lengths must be from 1 to T = {steps}, got {int(lengths.min())} to {int(lengths.max())}"
                )
        shape = (self.states, batch, self.hidden_size)
        if h0 is not None and h0.shape != shape:
            raise InputError(f"h0 must be [layers * directions, B, H] = {shape}, got shape {tuple(h0.shape)}")
        # Beyond its end a sequence may hold anything.
        if not (x if lengths is None else x[live(lengths, steps)]).isfinite().all():
            raise InputError("x holds numbers that are not finite (NaN or infinity): mend or leave out such sequences")
        if h0 is not None and not h0.isfinite().all():
            raise InputError("h0 holds numbers that are not finite (NaN or infinity): start from 0 instead")
