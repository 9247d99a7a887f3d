"""The files of an analysis: its page in two forms with the pictures, tables."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nprnn.reporting.blocks import as_html, as_markdown
from nprnn.reporting.dynamics.page import analysis_blocks
from nprnn.reporting.dynamics.pictures import analysis_pictures
from nprnn.reporting.dynamics.rows import Portrayed
from nprnn.reporting.dynamics.tables import analysis_csv
from nprnn.reporting.members import LeftOut
from nprnn.reporting.page import put


def write_analysis(
    found: Sequence[Portrayed],
    left_out: Sequence[LeftOut],
    path: Path,
    command: Sequence[str],
    env: Mapping[str, Any],
    *,
    markdown: Path | None = None,
    brief: bool = False,
) -> list[Path]:
    """Write the page as one HTML file and, if asked, as README.md with its pictures.

    Args:
        found: subjects with their portraits.
        left_out: what could not be analysed, and why.
        path: of the HTML file.
        command: what was asked, in words.
        env: what computed it.
        markdown: folder for README.md and the pictures.
        brief: without pictures and what is behind them.

    Returns:
        The files, that to open first.

    Raises:
        RunError: one cannot be written.
    """
    blocks = analysis_blocks(found, left_out, shlex.join(command), env, brief=brief)
    pictures = {} if brief else analysis_pictures(found)
    written = [put(path, as_html(blocks, pictures).encode())]
    if markdown is not None:
        names = {name: f"{name}.png" for name in pictures}
        written.append(put(markdown / "README.md", as_markdown(blocks, names).encode()))
        written += [put(markdown / names[name], png) for name, png in pictures.items()]
        written += write_analysis_tables(found, markdown, brief=brief)
    return written


def write_analysis_tables(found: Sequence[Portrayed], folder: Path, *, brief: bool = False) -> list[Path]:
    """Write the numbers behind the pictures as CSV files into a folder.

    Args:
        found: subjects with their portraits.
        folder: for the files.
        brief: only those of the page's tables.

    Raises:
        RunError: one cannot be written.
    """
    return [put(folder / name, text.encode()) for name, text in analysis_csv(found, brief=brief).items()]
