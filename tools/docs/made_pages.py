"""Pages of the site that nobody writes: from results/, from the records there, and from the commands' own help."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator

from page_links import ROOT, linked, site_uri


def pages_of_results() -> list[str]:
    """The pages in results/, as paths in the repository; those of single runs are none."""
    found = [*ROOT.glob("results/*.md"), *ROOT.glob("results/*/*.md"), *ROOT.glob("results/*/*/*.md")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def files_linked(pages: list[str]) -> list[str]:
    """The pictures, tables and records that some pages show or link to."""
    found = {file for page in pages for file in linked(page, (ROOT / page).read_text())}
    return sorted(file for file in found if file.startswith("results/") and (ROOT / file).is_file() and site_uri(file))


def measured() -> str:
    """One row for each experiment, model and setting with runs in results/."""
    from nprnn.reporting.summary import results_table

    return f"""# Runs so far

From the run folders that are kept in `results/`; what they are is told in [Results](README.md). Each metric is that of
the last iterate on the test set.

{results_table(ROOT / "results")}
"""


def speed() -> str:
    """The newest complete benchmark."""
    from nprnn.bench.summary import bench_table

    return f"""# Speed: ten shapes

Forward and backward unless said, from the newest complete record of `nprnn bench` in `results/bench`. What bounds each
row, why targets are missed, and the other measurements: [Speed](README.md).

{bench_table(ROOT / "results" / "bench")}
"""


def commands() -> str:
    """Every command with what its ``--help`` prints."""
    from nprnn.cli import COMMANDS
    from nprnn.tasks import TASKS

    parts = [
        "# Commands\n\nWhat `nprnn COMMAND --help` prints. "
        "`--debug`, with any command, shows the traceback of an error.\n"
    ]
    for name in COMMANDS:
        parts.append(f"## nprnn {name}\n\n{_fence(_help(name))}")
        if name == "train":
            parts.extend(f"### nprnn train {task}\n\n{_fence(text)}" for task, text in _tasks(list(TASKS)))
    return "\n".join(parts)


def _tasks(names: list[str]) -> Iterator[tuple[str, str]]:
    """The help of each task; what is the same for all of them is told once, with the first."""
    for k, name in enumerate(names):
        text = _help("train", name)
        if k:
            text = re.sub(r"^ train options\n(?:.*\S.*\n)+", f" train options: as of {names[0]}\n", text, flags=re.M)
        yield name, text


def _help(*words: str) -> str:
    from nprnn.cli import main

    said = io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "84"
    try:
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            main([*words, "--help"])
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    return said.getvalue()


def _fence(text: str) -> str:
    return f"```text\n{text.strip()}\n```\n"
