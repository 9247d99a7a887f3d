"""What nprnn reproduce tells of its findings in the terminal."""

from __future__ import annotations

from rich.table import Table

from nprnn.cli.common import console
from nprnn.experiments import Findings
from nprnn.experiments.comparison import FINAL, Bar, ComparisonFindings
from nprnn.experiments.planes import PlanesFindings
from nprnn.reporting.comparison.words import spread_of
from nprnn.reporting.planes.prose import QUANTITIES, unmeasured


def tell_selection(findings: Findings) -> None:
    """Table and verdicts in the terminal."""
    table = Table(title=f"{findings.experiment.title}, {findings.scale}", title_justify="left")
    for name in ("model", "chosen by", "setting", "validation", "test, 95 % interval", "parameters"):
        table.add_column(name)
    for row in findings.rows:
        setting = ", ".join(f"{key} {value:g}" for key, value in row.setting.items())
        test = f"{row.test.value:.1%} ({row.test.low:.1%} to {row.test.high:.1%})"
        share = f"{row.parameters:,} (×{row.times:.1f})"
        table.add_row(row.model, row.chosen_by, setting, f"{row.validation.value:.1%}", test, share)
    console.print(table)
    for verdict in findings.verdicts:
        d = verdict.difference
        measured = "" if d is None else f": {100 * d.value:+.1f} points ({100 * d.low:+.1f} to {100 * d.high:+.1f})"
        outcome = (verdict.outcome or "not run").upper()
        say(f"{outcome}: {verdict.claim.says} [{verdict.chosen_by}]{measured}")


def tell_planes(findings: PlanesFindings) -> None:
    """The growth table and the verdicts in the terminal."""
    sizes = findings.experiment.growth.sizes
    grown = {(row.scheme, row.hidden): f"{row.growth:.4f}" for row in findings.rows}
    table = Table(title=f"gradient growth per step at the start, {findings.scale}", title_justify="left")
    for name in ("start", *(f"N = {size}" for size in sizes)):
        table.add_column(name, justify="left" if name == "start" else "right")
    for start in findings.starts:
        table.add_row(start, *(grown.get((start, size), "–") for size in sizes))
    console.print(table)
    for fate in findings.fates:
        told = "HOLDS" if fate.holds else "DOES NOT HOLD"
        plane = fate.plane
        say(f"{told}: ({plane.case}) {fate.case.says} [{plane.frame}]: {plane.fate}, {plane.growth:.3g} a step")
    for number in findings.numbers:
        expected = number.expected
        if number.measured is None:
            continue
        bounds = f"expected {expected.value:g} ± {expected.within:g}: {expected.source}"
        name = f"{expected.scheme}, N = {expected.hidden}, {QUANTITIES[expected.quantity]}"
        say(f"{number.outcome}: {name} {number.measured:.4f} ({bounds})")
    if told := unmeasured(findings):
        say(f"NOT MEASURED: {told}")


def tell_comparison(findings: ComparisonFindings) -> None:
    """Bars and claims in the terminal."""
    experiment = findings.experiment
    title = f"{experiment.counted}, last iterates: mean (least to greatest), scale {findings.record.scale}"
    table = Table(title=title, title_justify="left")
    table.add_column(experiment.axis)
    for at in findings.at:
        table.add_column(f"{at}", justify="right")
    for name, row in findings.bars.items():
        table.add_row(name, *(_bar(row[at], experiment.of) if at in row else "–" for at in findings.at))
    console.print(table)
    for verdict in findings.verdicts:
        say(f"{(verdict.outcome or 'not run').upper()}: {verdict.claim.says} [{verdict.claim.source}]")


def _bar(bar: Bar, of: float) -> str:
    if not bar.n:
        return f"{bar.unfinished} begun"
    told = spread_of(bar.values[FINAL], of)
    return told if bar.outcome is None else f"{told} {bar.outcome}"


def say(text: str) -> None:
    """A line in the terminal, as it is."""
    console.print(text, markup=False, soft_wrap=True)
