"""Where features come from, as JSON values: what must be equal for two of them to stand in one store."""

from __future__ import annotations

import contextlib
import dataclasses
from importlib import metadata
from typing import Any

import torch

from nprnn.optional import needed
from nprnn.video.worker import Order


def provenance(order: Order) -> dict[str, Any]:
    """The settings that features depend on, and the versions of what computes them.

    How many frames go through the backbone at a time, and in how many processes, changes no more than the last bits.

    Args:
        order: how features are made.

    Returns:
        JSON values by name.

    Raises:
        ConfigError: PyAV is not installed.
    """
    name, sha256, output, versions = order.identity
    libraries = {"torch": torch.__version__, "av": needed("av", "reading videos", "video").__version__, **versions}
    # A checkout that was never installed has no version to tell.
    with contextlib.suppress(metadata.PackageNotFoundError):
        libraries["nprnn"] = metadata.version("nprnn")
    return {
        "backbone": name,
        "backbone_sha256": sha256,
        "output": output,
        **order.preprocess.record(),
        "picking": {key: value for key, value in dataclasses.asdict(order.picking).items() if value is not None},
        "versions": libraries,
    }
