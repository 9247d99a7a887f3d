"""The files of a selection experiment: its page in two forms, pictures, tables."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from nprnn.experiments.findings import Findings
from nprnn.reporting.experiment_page import write_page
from nprnn.reporting.selection.page import selection_blocks, selection_pictures
from nprnn.reporting.selection.tables import selection_csv


def write_selection(findings: Findings, folder: Path, command: Sequence[str]) -> list[Path]:
    """Write the files of findings: ``write_page`` of their page.

    Args:
        findings: of the experiment.
        folder: for all of them.
        command: what redoes it, word by word.
    """
    blocks = selection_blocks(findings, shlex.join(command))
    return write_page(folder, blocks, selection_pictures(findings), selection_csv(findings))
