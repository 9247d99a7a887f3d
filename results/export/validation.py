"""The pixel network in int8 on the 5,000 images that validated its training: python validation.py MNIST_DIR."""

import dataclasses
import json
import sys
import tempfile
from pathlib import Path

from nprnn.export import Wanted, export, network_of_run
from nprnn.training import environment, load_data, load_trained

here = Path(__file__).parent
trained = load_trained(here / "runs" / "mnist-np-RNN-N2-s0-23154fa3")
data = load_data(trained.run, data_dir=sys.argv[1])
data = dataclasses.replace(data, test=data.valid)
found = {}
with tempfile.TemporaryDirectory() as scratch:
    for name, mode in (("c", "sequence"), ("onnx", "step"), ("executorch", "step")):
        written = export(network_of_run(trained), name, Path(scratch) / name, Wanted(mode, "int8"), data=data)
        # ``data`` calls them the test set.
        found[name] = {**written.verification.as_record(), "inputs": "the validation set"}
(here / "validation.json").write_text(json.dumps({"int8": found, "env": environment()}, indent=1) + "\n")
