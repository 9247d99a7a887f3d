"""The files of a selection experiment: its page in two forms, pictures, tables."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from nprnn.experiments.findings import Findings
from nprnn.reporting.page import put
from nprnn.reporting.selection.page import selection_html, selection_markdown, selection_pictures
from nprnn.reporting.selection.tables import selection_csv


def write_selection(findings: Findings, folder: Path, command: Sequence[str]) -> list[Path]:
    """Write the page as report.html and README.md, its pictures as PNG and its tables as CSV.

    Args:
        findings: of the experiment.
        folder: for all of them.
        command: what redoes it, word by word.

    Returns:
        The files, that to open first.

    Raises:
        RunError: one cannot be written.
    """
    words, pictures = shlex.join(command), selection_pictures(findings)
    paths = {name: f"{name}.png" for name in pictures}
    contents = {
        "report.html": selection_html(findings, pictures, words).encode(),
        "README.md": selection_markdown(findings, paths, words).encode(),
        **{paths[name]: png for name, png in pictures.items()},
        **{name: text.encode() for name, text in selection_csv(findings).items()},
    }
    return [put(folder / name, content) for name, content in contents.items()]
