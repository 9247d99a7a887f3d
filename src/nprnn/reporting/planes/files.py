"""The files of an experiment on planes: its page in two forms, pictures, tables."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from nprnn.experiments.planes import PlanesFindings
from nprnn.reporting.page import put
from nprnn.reporting.planes.page import planes_html, planes_markdown, planes_pictures
from nprnn.reporting.planes.tables import planes_csv


def write_planes(findings: PlanesFindings, folder: Path, command: Sequence[str]) -> list[Path]:
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
    words, pictures = shlex.join(command), planes_pictures(findings)
    paths = {name: f"{name}.png" for name in pictures}
    contents = {
        "report.html": planes_html(findings, pictures, words).encode(),
        "README.md": planes_markdown(findings, paths, words).encode(),
        **{paths[name]: png for name, png in pictures.items()},
        **{name: text.encode() for name, text in planes_csv(findings).items()},
    }
    return [put(folder / name, content) for name, content in contents.items()]
