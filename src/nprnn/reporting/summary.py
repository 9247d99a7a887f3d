"""The README's tables of results and of speed, and docs/reproduction.md's claims, from ``results/``: make readme."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from nprnn.bench import summary as bench
from nprnn.errors import DataError
from nprnn.files import write_atomically
from nprnn.reporting.comparison import claims_page
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


def put_part(path: Path, name: str, part: str, title: str) -> None:
    """Write a part of a page that several commands write parts of, between ``<!-- name -->`` and ``<!-- /name -->``.

    Args:
        path: the page; it is made if it is not there.
        name: of the part.
        part: Markdown.
        title: what a new page begins with.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    text = path.read_text() if path.exists() else f"{title}\n"
    if begin not in text:
        text = f"{text.rstrip()}\n\n{begin}\n{end}\n"
    write_atomically(path, with_results(text, part, begin, end).encode())


def with_results(page: str, table: str, begin: str = BEGIN, end: str = END) -> str:
    """The page with the table between its two markers.

    Raises:
        DataError: the page has no markers.
    """
    if begin not in page or end not in page:
        raise DataError(f"the page needs the lines {begin} and {end}")
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"


def with_claims(page: str, results: Path) -> str:
    """The page on reproduction with what becomes of the claims of all comparisons in a folder.

    Raises:
        DataError: the page has no markers, or reasons are of no claim.
        RunError: a damaged record.
    """
    found = claims_page.comparisons_in(results)
    part = claims_page.reproduction_page(found, claims_page.reasons_in(results, found))
    return with_results(page, part, claims_page.BEGIN, claims_page.END)


def main() -> None:
    """Rewrite the parts of two pages that are made from results: README RESULTS REPRODUCTION."""
    readme, results, reproduction = map(Path, sys.argv[1:4])
    text = with_results(readme.read_text(), results_table(results))
    text = with_results(text, bench.bench_table(results / "bench"), bench.BEGIN, bench.END)
    claims = with_claims(reproduction.read_text(), results)
    write_atomically(readme, text.encode())
    write_atomically(reproduction, claims.encode())


if __name__ == "__main__":
    main()
