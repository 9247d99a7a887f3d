"""The files of a comparison: its page in two forms, pictures, tables."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from nprnn.experiments.comparison import ComparisonFindings
from nprnn.reporting.comparison.page import comparison_blocks, comparison_pictures
from nprnn.reporting.comparison.tables import comparison_csv
from nprnn.reporting.experiment_page import write_page


def write_comparison(findings: ComparisonFindings, out: Path, command: Sequence[str]) -> list[Path]:
    """Write the files of findings: ``write_page`` of their page.

    Args:
        findings: of the comparison.
        out: folder for all of them.
        command: what redoes it, word by word.
    """
    blocks = comparison_blocks(findings, shlex.join(command))
    return write_page(out, blocks, comparison_pictures(findings), comparison_csv(findings))
