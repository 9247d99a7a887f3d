"""The files of an experiment on planes: its page in two forms, pictures, tables, the explorer."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from nprnn.experiments.planes import PlanesFindings
from nprnn.reporting.experiment_page import write_page
from nprnn.reporting.explorer import write_explorer
from nprnn.reporting.planes.page import EXPLORER, planes_blocks, planes_pictures
from nprnn.reporting.planes.tables import planes_csv


def write_planes(findings: PlanesFindings, folder: Path, command: Sequence[str]) -> list[Path]:
    """Write the files of findings: ``write_page`` of their page, and the explorer that it leads to.

    Args:
        findings: of the experiment.
        folder: for all of them.
        command: what redoes it, word by word.
    """
    blocks = planes_blocks(findings, shlex.join(command))
    written = write_page(folder, blocks, planes_pictures(findings), planes_csv(findings))
    return [*written, write_explorer(folder / EXPLORER)]
