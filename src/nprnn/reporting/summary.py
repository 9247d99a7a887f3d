"""The tables of results and of speed in the README, made from what is under ``results/``: make readme."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from nprnn.bench import summary as bench
from nprnn.errors import DataError
from nprnn.files import write_atomically
from nprnn.reporting.curves import Curve, task_settings
from nprnn.runs import Run

BEGIN, END = "<!-- results: written by make readme -->", "<!-- end of results -->"


def results_table(folder: Path) -> str:
    """A Markdown table of the runs in ``folder/<experiment>/<run>``: one row an experiment, model and task setting.

    Each metric is the test metric of the last iterate: its mean over seeds, with the least and the greatest.
    """
    groups: dict[tuple[str, str, str], list[Curve]] = defaultdict(list)
    failures = []
    for path in sorted(folder.glob("*/*/config.json")):
        run = Run.open(path.parent)
        blown = run.diverged()
        if blown is not None:
            train = run.config["train_config"]
            total = f"{blown:,} of {train['updates']:,}"
            where = f"{path.parent.parent.name} | {task_settings(run)} | {train['model']} | 1 | {total}"
            failures.append(f"| {where} | diverged: the loss became no number | – |")
            continue
        curve = Curve.of(run)
        groups[path.parent.parent.name, curve.task, str(run.config["train_config"]["model"])].append(curve)
    lines = [
        "| experiment | task | model | n | updates | test, last iterate: mean (least to greatest) | constant answer |",
        "|---|---|---|---|---|---|---|",
    ]
    for (experiment, task, model), curves in groups.items():
        name = curves[0].headline
        values = [curve.last[name] for curve in curves]
        spread = f" ({min(values):.4f} to {max(values):.4f})" if len(values) > 1 else ""
        done = {f"{curve.records[-1]['update']:,} of {curve.updates:,}" for curve in curves}
        baseline = curves[0].baseline.get(name)
        lines.append(
            f"| {experiment} | {task} | {model} | {len(values)} | {'; '.join(sorted(done))} "
            f"| {name} {sum(values) / len(values):.4f}{spread} | {'–' if baseline is None else f'{baseline:.4f}'} |"
        )
    return "\n".join([*lines, *failures])


def with_results(page: str, table: str, begin: str = BEGIN, end: str = END) -> str:
    """The page with the table between its two markers.

    Raises:
        DataError: the page has no markers.
    """
    if begin not in page or end not in page:
        raise DataError(f"the page needs the lines {begin} and {end}")
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"


def main() -> None:
    """Rewrite the tables of a page: PAGE RESULTS."""
    page, results = Path(sys.argv[1]), Path(sys.argv[2])
    text = with_results(page.read_text(), results_table(results))
    text = with_results(text, bench.bench_table(results / "bench"), bench.BEGIN, bench.END)
    write_atomically(page, text.encode())


if __name__ == "__main__":
    main()
