"""What the pages of experiments of every kind share: how to redo it, what computed it, and the files of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nprnn.reporting.blocks import Block, Code, Files, Heading, Paragraph, Table, as_html, as_markdown
from nprnn.reporting.members import show
from nprnn.reporting.page import put

# What an environment holds that is not what computed it.
_NOT_SHOWN = ("command", "locations", "seed", "started")


def how_to_redo(command: str, takes: str, numbers: str, tables: Mapping[str, str]) -> list[Block]:
    """The part on how to redo an experiment, with its tables as files.

    Args:
        command: what redoes it.
        takes: time and memory; "" where nobody measured.
        numbers: what the tables hold, such as "The numbers in full".
        tables: CSV by the file's name.
    """
    blocks: list[Block] = [Heading("How to redo it"), Code(command)]
    blocks += [Paragraph(f"It takes: {takes}.")] if takes else []
    return [*blocks, Paragraph(f"{numbers}:"), Files(tables)]


def what_computed_it(env: Mapping[str, Any]) -> list[Block]:
    """The part on what computed an experiment; empty where that is not known.

    Args:
        env: as ``nprnn.training.environment`` has it; what tells where data lie is not shown.
    """
    rows = [(key, _shown(value)) for key, value in sorted(env.items()) if key not in _NOT_SHOWN]
    return [Heading("What computed it"), Table(("what", "which"), rows, ("what", "which"))] if rows else []


def write_page(
    folder: Path, blocks: Sequence[Block], pictures: Mapping[str, bytes], tables: Mapping[str, str]
) -> list[Path]:
    """Write a page as report.html and README.md, its pictures as PNG and its tables as CSV.

    Args:
        folder: for all of them.
        blocks: of the page.
        pictures: PNG by the picture's name.
        tables: CSV by the file's name.

    Returns:
        The files, that to open first.

    Raises:
        RunError: one cannot be written.
    """
    paths = {name: f"{name}.png" for name in pictures}
    contents = {
        "report.html": as_html(blocks, pictures).encode(),
        "README.md": as_markdown(blocks, paths).encode(),
        **{paths[name]: png for name, png in pictures.items()},
        **{name: text.encode() for name, text in tables.items()},
    }
    return [put(folder / name, content) for name, content in contents.items()]


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {show(entry)}" for key, entry in value.items())
    return show(value)
