"""A trained network run one step at a time, for where a sequence has no end: sensors, audio, control."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nprnn.errors import InputError
from nprnn.ops import cpu
from nprnn.ops.backends import chosen_instruction_set, kernel
from nprnn.streaming_weights import layers_of, linear_of, scaling_of

# From so many multiplications on the operator is quicker than the compiled step, which packs nothing and stays on one
# thread: it multiplies several rows at once, on several threads.
_LARGE = 8e6
# Numbers of a state that the operator gives in one call: they stay in the second-level cache.
_PIECE = 1 << 18
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


class Streamer:
    r"""Step by step or in chunks, one stream or many, without gradients.

    :math:`h \leftarrow f(W_{ih} (x - m) / s + b_{ih} + W_{hh} h + b_{hh})`. The weights are copied at the start: what
    the module learns afterwards is not seen. A streamer serves one thread at a time.

    However a sequence is cut, into steps or chunks, its states are those of the whole sequence: to the bit for one
    stream on the compiled kernel, to rounding for many (where a call is large it goes to the operator, which adds in
    another order) and on the reference. The compiled step works on the calling thread alone, where a second thread
    would have to be waited for, and allocates nothing.

    Args:
        module: an RNN of torch or of this package that runs forward (any number of layers), or an ``RNNCell``, in
            float32 or float64 on the CPU.
        head: a linear layer on the last state; None gives the state itself.
        mean: m, subtracted from every input [I], or None.
        scale: s, what every input is divided by then [I], or None.
        streams: run N streams at once: inputs [N, I], outputs [N, O], states [layers, N, H]. None is one stream,
            without that axis.

    Attributes:
        streams: N, or None.
        input_size: I.
        state: the states of all layers [layers, H] or [layers, N, H], changed by every step; write to it to set them.
        output: what the last step returned: [O] or [N, O] with a head, else the last layer of ``state``.
        steps: how many there were since the start or the last ``reset`` of all streams.

    Raises:
        InputError: a module that is bidirectional, an ensemble, an LSTM, or not on the CPU; a head, a mean or a scale
            that does not fit; streams below 1.

    Source: section 2.
    """

    # Not as inference tensors, whatever the mode of the caller: those could not be reset outside of it.
    @torch.inference_mode(False)
    @torch.no_grad()
    def __init__(
        self,
        module: nn.Module,
        head: nn.Linear | None = None,
        *,
        mean: Tensor | None = None,
        scale: Tensor | None = None,
        streams: int | None = None,
    ) -> None:
        for part in (module, head):
            members = getattr(part, "ensemble", None)
            if members is not None:
                raise InputError(
                    f"a streamer runs one network, but {type(part).__name__} is an ensemble of E={members}; "
                    "make a streamer for each of its unstack()"
                )
        if streams is not None and (not isinstance(streams, int) or isinstance(streams, bool) or streams < 1):
            raise InputError(
                f"streams must be a whole number from 1 on, or None for one without an axis; got {streams!r}"
            )
        layers = layers_of(module)
        first = layers[0].weight_ih
        hidden, self.input_size = first.shape
        if head is not None and head.in_features != hidden:
            raise InputError(f"the head takes {head.in_features} numbers, but the state has {hidden}")
        self.streams = streams
        self.steps = 0
        self._layers = layers
        self._head = None if head is None else linear_of(head, first)
        self._scaling = scaling_of(mean, scale, first)
        axis = () if streams is None else (streams,)
        self._x = first.new_zeros(*axis, self.input_size)
        self.state = first.new_zeros(len(layers), *axis, hidden)
        self.output = self.state[-1] if head is None else first.new_zeros(*axis, head.out_features)
        self._multiplications = sum(layer.weight_ih.numel() + layer.weight_hh.numel() for layer in layers) * (
            streams or 0
        )
        self._kernel = kernel(first)
        self._compiled = self._compile()

    def _compile(self) -> Any:
        chosen = chosen_instruction_set()
        if chosen is None:
            return None
        compiled = cpu.streamer(chosen, self._x.dtype, self.streams or 1)
        if self._scaling is not None:
            compiled.standardise(*(part.data_ptr() for part in self._scaling))
        for layer, state in zip(self._layers, self.state, strict=True):
            hidden, inputs = layer.weight_ih.shape
            words = (part.data_ptr() for part in (layer.weight_ih, layer.weight_hh, layer.bias, state))
            compiled.add(inputs, hidden, layer.nonlinearity == "tanh", 0, *words)
        if self._head is not None:
            weight, bias = self._head
            outputs, inputs = weight.shape
            compiled.add(inputs, outputs, False, outputs, weight.data_ptr(), 0, bias.data_ptr(), self.output.data_ptr())
        return compiled

    def step(self, x: Any) -> Tensor:
        """Take in one input of every stream.

        Args:
            x: [I], or [N, I] for many streams: a tensor of the streamer's type (read where it lies), or anything
                ``torch.as_tensor`` takes.

        Returns:
            ``output``, the same tensor at every step: clone it to keep it.

        Raises:
            InputError: another shape, no real numbers, or one that is NaN or infinite; the state is as it was.
        """
        own = self._x
        as_it_is = type(x) is Tensor and x.dtype is own.dtype and x.shape == own.shape and x.is_cpu
        if not as_it_is or not x.is_contiguous():
            x = own.copy_(self._taken(x, own.shape))
        if self._compiled is None or (self.streams is not None and self._large(1)):
            self._check(x)
            self._operate(x[None])
        elif not self._compiled.step(x.data_ptr()):
            raise self._not_finite(x)
        self.steps += 1
        return self.output

    def run(self, x: Any) -> Tensor:
        """Take in a chunk: all its steps at once, from the state as it is.

        Args:
            x: [T, I], or [T, N, I] for many streams; T may be 0.

        Returns:
            The outputs of all steps [T, O] or [T, N, O], a tensor of their own.

        Raises:
            InputError: as ``step``; no step of the chunk is taken then.
        """
        own = self._x
        x = self._taken(x, ("T", *own.shape)).to(own).contiguous()
        if x.untyped_storage().data_ptr() == self.state.untyped_storage().data_ptr():
            x = x.clone()  # a chunk of states, which the first step would overwrite
        if self._compiled is None or self._large(len(x)):
            self._check(x)
            out = self._operate(x)
        else:
            out = own.new_empty(len(x), *self.output.shape)
            if not self._compiled.run(x.data_ptr(), len(x), out.data_ptr()):
                raise self._not_finite(x)
        self.steps += len(x)
        return out

    def _large(self, steps: int) -> bool:
        """Whether the operator is worth its packing: where one row alone would not be quicker by leaving units out."""
        if steps * self._multiplications < _LARGE:
            return False
        return self._layers[0].nonlinearity == "tanh" or torch.get_num_threads() > 1

    @torch.no_grad()
    def _operate(self, x: Tensor) -> Tensor:
        """The steps x [T, I] or [T, N, I] by the operator, and their outputs."""
        out = x.new_empty(len(x), *self.output.shape)
        rows, hidden = self.streams or 1, self.state.shape[-1]
        states = list(self.state.view(len(self.state), rows, hidden))
        with torch.autocast("cpu", enabled=False):
            size = max(1, max(256, _PIECE // hidden) // rows)
            for start in range(0, len(x), size):
                y = x[start : start + size].view(-1, rows, self.input_size)
                if self._scaling is not None:
                    mean, scale = self._scaling
                    y = (y - mean) / scale
                for k, layer in enumerate(self._layers):
                    weights = (layer.weight_ih, layer.weight_hh, layer.bias)
                    y, states[k] = self._kernel.forward(y, states[k], *weights, None, layer.nonlinearity, False, 0)
                piece = out[start : start + size]
                piece.copy_((y if self._head is None else functional.linear(y, *self._head)).view_as(piece))
        if len(x):
            self.state.copy_(torch.stack(states).view_as(self.state))
            self.output.copy_(out[-1])
        return out

    def reset(self, hx: Tensor | None = None, streams: Sequence[int] | Tensor | None = None) -> None:
        """Go back to the start of a sequence.

        Args:
            hx: states [layers, H], of many streams [layers, N, H]; None means 0.
            streams: which of the many, by number from 0 on; the others go on, and ``hx`` is of these [layers, n, H].
                None means all.

        Raises:
            InputError: another shape, states that are not finite, or streams that there are not.
        """
        places = slice(None) if streams is None else self._places(streams)
        of = self.state[:, places]
        if hx is not None and hx.shape != of.shape:
            axes = "[layers, H]" if self.streams is None else "[layers, N, H]"
            raise InputError(f"hx must be {axes} = {tuple(of.shape)}, got {tuple(hx.shape)}")
        if hx is not None and not hx.isfinite().all():
            raise InputError("hx holds numbers that are not finite: no later state would be finite either")
        with torch.no_grad():
            self.state[:, places] = 0 if hx is None else hx.to(of)
        if streams is None:
            self.steps = 0

    def _places(self, streams: Sequence[int] | Tensor) -> Tensor:
        if self.streams is None:
            raise InputError("this streamer has one stream: reset() is all of it; Streamer(..., streams=N) makes many")
        places = _tensor("streams", streams)
        # What is empty has no integers' type of its own.
        if places.dim() != 1 or (len(places) and places.dtype not in _INTEGERS):
            raise InputError(f"streams must be a list of whole numbers, got {streams!r}")
        numbers = places.tolist()
        strange = [number for number in numbers if not 0 <= number < self.streams]
        if strange:
            raise InputError(f"streams are numbered 0..{self.streams - 1}, got {strange[0]}")
        if len(set(numbers)) < len(numbers):
            raise InputError(f"every stream may be named once, got {numbers}")
        return places.long()

    def _taken(self, x: Any, shape: Sequence[int | str]) -> Tensor:
        """x as a tensor of real numbers of this shape, in which a word stands for any size."""
        given = _tensor("x", x)
        if given.is_complex():
            raise InputError(f"x must be real numbers, got {given.dtype}")
        fits = given.dim() == len(shape) and all(
            isinstance(b, str) or a == b for a, b in zip(given.shape, shape, strict=True)
        )
        if not fits:
            axes = [*(["T"] if len(shape) > self._x.dim() else []), *([] if self.streams is None else ["N"]), "I"]
            wanted = ", ".join(map(str, shape))
            raise InputError(f"x must be [{', '.join(axes)}] = [{wanted}], got shape {tuple(given.shape)}")
        return given

    def _check(self, x: Tensor) -> None:
        # A sum shows what is not finite at a fraction of the price of asking every number.
        if not math.isfinite(x.sum()) and not x.isfinite().all():
            raise self._not_finite(x)

    def _not_finite(self, x: Tensor) -> InputError:
        """What to tell of an input or a chunk with numbers that are not finite."""
        strange = (~x.isfinite()).nonzero().tolist()
        first = strange[0]
        step = self.steps + (first[0] if x.dim() > self._x.dim() else 0)
        stream = "" if self.streams is None else f" of stream {first[-2]}"
        more = f" (and {len(strange) - 1} more)" if len(strange) > 1 else ""
        return InputError(
            f"x[{', '.join(map(str, first))}] is {float(x[tuple(first)])}{more}, at step {step}{stream}: inputs must "
            "be finite; fill it in or leave the step out. Nothing of this call was taken in: the state is as it was"
        )


def _tensor(name: str, given: Any) -> Tensor:
    try:
        return torch.as_tensor(given).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{name} must be numbers, as torch.as_tensor takes them; got {type(given).__name__} ({error})"
        ) from error
