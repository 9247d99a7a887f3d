"""ONNX files of ``nprnn export`` beside those of torch's exporters and an LSTM: nodes, bytes, T free or not, time."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from nprnn.bench import interleave, limited, make_record, write_record
from nprnn.bench.records import FOLDER, script_command
from nprnn.bench.timing import Times, ratio
from nprnn.export import Wanted, network_of
from nprnn.export.onnx_format import write_onnx
from nprnn.models import build_model

OURS = "nprnn export"
OLDER, FREE, FIXED = "torch dynamo=False", "torch dynamo=True, T free", "torch dynamo=True, T fixed"
EXPORTERS = (OURS, OLDER, FREE, FIXED)
LSTM, STEP, STEP_INT8 = "LSTM (torch dynamo=False)", "steps", "steps int8"
OUTPUTS = 10
# Another number of sequences than a file is made with: 0 and 1 would be special to torch.
BATCH = 2


class Recurrent(nn.Module):
    """A recurrent layer and a linear head on its last state, as a user would write it.

    Args:
        layer: an RNN or LSTM of torch.
        head: H to O.
    """

    def __init__(self, layer: nn.RNNBase, head: nn.Linear) -> None:
        super().__init__()
        self.layer, self.head = layer, head

    def forward(self, x: Tensor) -> Tensor:
        """Outputs [B, O] of inputs [T, B, I]."""
        y, _ = self.layer(x)
        outputs: Tensor = self.head(y[-1])
        return outputs


def main(
    hidden: int = 100,
    shapes: tuple[tuple[int, int], ...] = ((28, 28), (784, 1)),
    limit: float = 300.0,
    threads: int = 1,
    rounds: int = 100,
    seconds: float = 120.0,
    out: Path = FOLDER / "export.json",
) -> None:
    """Export an RNN by each exporter, and time what came out at batch 1.

    Args:
        hidden: H.
        shapes: T and I of each case.
        limit: seconds an export may take.
        threads: threads of ONNX Runtime; a single sequence leaves nothing to share out.
        rounds: samples of each.
        seconds: of a case, after which no further round begins.
        out: the record.
    """
    cases = []
    for steps, inputs in shapes:
        with tempfile.TemporaryDirectory() as folder:
            exports = {name: export_apart(name, steps, inputs, hidden, Path(folder), limit) for name in EXPORTERS}
            files = {name: Path(folder) / file_of(name) for name, found in exports.items() if "nodes" in found}
            for name, wanted in ((STEP, Wanted("step")), (STEP_INT8, Wanted("step", "int8"))):
                files[name] = written(inputs, hidden, Path(folder) / name, wanted)
            files[LSTM] = Path(folder) / "lstm.onnx"
            to_onnx(lstm(inputs, hidden), torch.zeros(steps, BATCH, inputs), files[LSTM], OLDER)
            with limited(threads):
                times = race(files, steps, inputs, hidden, threads, rounds, seconds)
        cases.append(
            {
                "T": steps,
                "I": inputs,
                "exports": exports,
                "seconds_a_sequence": {name: summary(found) for name, found in times.items()},
                "ratios": {name: ratio(found, times[OURS]) for name, found in times.items() if name != OURS}
                | {f"{STEP_INT8} to {STEP}": ratio(times[STEP_INT8], times[STEP])},
                # On a machine with other work the quickest round says more than the median.
                "ratios_of_least": {
                    name: min(found.samples) / min(times[OURS].samples) for name, found in times.items() if name != OURS
                },
            }
        )
    record = make_record("export", script_command(__file__), threads, H=hidden, B=1, limit=limit, cases=cases)
    write_record(out, record)
    tell(cases)


def export_apart(name: str, steps: int, inputs: int, hidden: int, folder: Path, limit: float) -> dict[str, Any]:
    """Export in a process of its own, which is ended after so many seconds.

    Returns:
        As of ``export_and_try``, or how far it came.
    """
    words = [sys.executable, __file__, "one", name, *map(str, (steps, inputs, hidden)), str(folder / file_of(name))]
    started = time.perf_counter()
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"unfinished_after": limit}
    if done.returncode != 0:
        told = (done.stderr.strip().splitlines() or ["no word"])[-1]
        return {"refused": told, "seconds": time.perf_counter() - started}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def export_and_try(name: str, steps: int, inputs: int, hidden: int, path: Path) -> dict[str, Any]:
    """One exporter's file: what is in it, and whether it runs at another T and B than it was made with.

    Args:
        name: one of ``EXPORTERS``.
        steps: T of the example.
        inputs: I.
        hidden: H.
        path: where the file goes.

    Returns:
        Nodes by operator, bytes, seconds and freedom, or why the exporter refused.
    """
    module, example = rnn(inputs, hidden), torch.rand(steps, BATCH, inputs)
    started = time.perf_counter()
    if name == OURS:
        write_onnx(network_of(module.layer, module.head), path.parent, Wanted())
    else:
        try:
            to_onnx(module, example, path, name)
        except Exception as error:  # the exporter wraps whatever it met
            told = str(error.__cause__ or error).strip().splitlines()
            return {"refused": " ".join(told[:2]), "seconds": time.perf_counter() - started}
    took = time.perf_counter() - started
    nodes = Counter(node.op_type for node in onnx.load(path, load_external_data=False).graph.node)
    return {
        "nodes": sum(nodes.values()),
        "operators": dict(sorted(nodes.items())),
        # Weights may lie in a file beside it.
        "bytes": sum(part.stat().st_size for part in path.parent.glob(f"{path.name}*")),
        "seconds": took,
        "right": agrees(path, module, example),
        "T_free": agrees(path, module, torch.rand(steps + 3, BATCH, inputs)),
        "B_free": agrees(path, module, torch.rand(steps, BATCH + 3, inputs)),
    }


def to_onnx(module: nn.Module, example: Tensor, path: Path, name: str) -> None:
    """By one of torch's exporters, asked for a free B and, but for ``FIXED``, a free T."""
    axes = {1: "B"} if name == FIXED else {0: "T", 1: "B"}
    # What they have to say is on standard output.
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        if name == OLDER:
            torch.onnx.export(
                module, (example,), str(path), dynamo=False, input_names=["x"], dynamic_axes={"x": dict(axes)}
            )
        else:
            free = dict.fromkeys(axes, torch.export.Dim.DYNAMIC)
            torch.onnx.export(
                module, (example,), str(path), dynamo=True, input_names=["x"], dynamic_shapes=(free,), verbose=False
            )


def agrees(path: Path, module: nn.Module, x: Tensor) -> bool:
    """Whether a file answers as the module does."""
    with torch.no_grad():
        expected = module(x).numpy()
    try:
        found = session(path, 1).run(None, {"x": x.numpy()})[0]
    except Exception:  # ONNX Runtime's errors have no base of their own
        return False
    return found.shape == expected.shape and bool(np.allclose(found, expected, rtol=1e-3, atol=1e-4))


def rnn(inputs: int, hidden: int) -> Recurrent:
    """``torch.nn.RNN`` at the np-RNN start."""
    model = build_model("np-RNN", inputs, OUTPUTS, hidden_size=hidden, generator=torch.Generator().manual_seed(0))
    layer = nn.RNN(inputs, hidden, nonlinearity="relu")
    layer.load_state_dict(model.rnn.state_dict())
    assert isinstance(model.head, nn.Linear)
    return Recurrent(layer, model.head).eval()


def lstm(inputs: int, hidden: int) -> Recurrent:
    """``torch.nn.LSTM`` of as many units."""
    torch.manual_seed(0)
    return Recurrent(nn.LSTM(inputs, hidden), nn.Linear(hidden, OUTPUTS)).eval()


def written(inputs: int, hidden: int, folder: Path, wanted: Wanted) -> Path:
    """The same RNN by ``nprnn export``."""
    folder.mkdir()
    module = rnn(inputs, hidden)
    return write_onnx(network_of(module.layer, module.head), folder, wanted).files[0]


def file_of(name: str) -> str:
    """Where an exporter's file goes in the folder of a case."""
    return "model.onnx" if name == OURS else f"torch{EXPORTERS.index(name)}.onnx"


def session(path: Path, threads: int) -> Any:
    """A file, open, with denormals set to zero."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def race(
    files: Mapping[str, Path], steps: int, inputs: int, hidden: int, threads: int, rounds: int, seconds: float
) -> dict[str, Times]:
    """Seconds of a whole sequence by each file that takes B = 1, interleaved."""
    x = np.random.default_rng(0).random((steps, 1, inputs), np.float32)
    h = np.zeros((1, 1, hidden), np.float32)
    calls: dict[str, Callable[[], object]] = {}
    for name, path in files.items():
        opened = session(path, threads)
        if name in (STEP, STEP_INT8):
            calls[name] = partial(in_steps, opened, x, h)
        else:
            # By name: ours gives the last states too, where they are asked for.
            calls[name] = partial(opened.run, [opened.get_outputs()[0].name], {"x": x})
    return interleave(calls, rounds, seconds=seconds, fewest=min(rounds, 5))


def in_steps(opened: Any, x: Any, h: Any) -> Any:
    """The last output [1, O], a call a step."""
    output = None
    for row in x:
        output, h = opened.run(["output", "h_next"], {"x": row, "h": h})
    return output


def summary(times: Times) -> dict[str, float]:
    """Median, quartiles, least and number of samples."""
    lower, upper = times.quartiles
    least = min(times.samples)
    return {"median": times.median, "lower": lower, "upper": upper, "least": least, "n": len(times.samples)}


def tell(cases: list[dict[str, Any]]) -> None:
    """Print a table a case."""
    console = Console(highlight=False)
    for case in cases:
        columns = ("", "nodes", "bytes", "s to export", "T free", "median ms", "x ours", "least ms", "x ours")
        table = Table(*columns, title=f"one sequence, T={case['T']}, I={case['I']}")
        for name in (*EXPORTERS, LSTM, STEP, STEP_INT8):
            found, timed = case["exports"].get(name, {}), case["seconds_a_sequence"].get(name)
            words = [str(found.get(key, "")) for key in ("nodes", "bytes")]
            words.append(f"{found['seconds']:.1f}" if "seconds" in found else str(found.get("unfinished_after", "")))
            words.append("refused" if "refused" in found else str(found.get("T_free", "")))
            for key, ratios in (("median", "ratios"), ("least", "ratios_of_least")):
                words.append("" if timed is None else f"{1e3 * timed[key]:.3g}")
                words.append(f"{case[ratios][name]:.2f}" if name in case[ratios] else "")
            table.add_row(name, *words)
        console.print(table)


def one(name: str, steps: str, inputs: str, hidden: str, path: str) -> None:
    """Export in this process and print what came of it as JSON."""
    print(json.dumps(export_and_try(name, int(steps), int(inputs), int(hidden), Path(path))))


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        one(*sys.argv[2:])
    else:
        tyro.cli(main)
