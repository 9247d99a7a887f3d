"""What becomes of the paper's claims, for docs/reproduction.md: of every comparison that is recorded under results/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nprnn.errors import DataError, RunError, unknown
from nprnn.experiments.comparison import (
    ClaimVerdict,
    ComparisonFindings,
    conclude_comparison,
    parse_comparison,
    read_comparison_record,
)
from nprnn.experiments.comparison.record import KIND
from nprnn.experiments.storing import RECORD
from nprnn.files import parse_json, parse_toml
from nprnn.reporting.blocks import Block, Files, Heading, Paragraph, Table, as_markdown
from nprnn.reporting.comparison import prose
from nprnn.reporting.comparison.claims import asked_of, outcome_words, told_at
from nprnn.reporting.comparison.words import NOTHING, place

BEGIN, END = "<!-- claims: written by make readme -->", "<!-- end of claims -->"
REASONS = "reasons.toml"


def reproduction_page(findings: Sequence[ComparisonFindings], reasons: Mapping[str, Mapping[str, str]]) -> str:
    """Markdown on the claims of comparisons: what each says and asks, what was found, and why that may be.

    Args:
        findings: of the comparisons, in the order of the page.
        reasons: key of a comparison and what a claim says to the likeliest reason; a claim may have none.

    Returns:
        A part for each comparison, without a title of the whole.
    """
    if not findings:
        return "Nothing is recorded yet."
    blocks = [block for one in findings for block in _part(one, reasons.get(one.experiment.key, {}))]
    return as_markdown(blocks, {}).strip()


def comparisons_in(results: Path) -> list[ComparisonFindings]:
    """Findings of the comparisons recorded in ``results/<key>``, by key.

    Args:
        results: folder of a folder for each experiment; what lies elsewhere, such as a quick part, is no result.

    Raises:
        RunError: a damaged record.
    """
    found = []
    for path in sorted(results.glob(f"*/{RECORD}")):
        try:
            content = parse_json(path.read_bytes())
            mine = content.get("kind") == KIND and content.get("key") == path.parent.name
        except (OSError, ValueError, AttributeError) as error:
            raise RunError(f"{path} is damaged: {error!r}") from error
        if mine:
            record = read_comparison_record(path.parent)
            found.append(conclude_comparison(record, parse_comparison(record.key, record.experiment)))
    return found


def reasons_in(results: Path, findings: Sequence[ComparisonFindings]) -> dict[str, dict[str, str]]:
    """The likeliest reasons, from ``results/<key>/reasons.toml``: what a claim says = why it came out so.

    Args:
        results: folder of a folder for each experiment.
        findings: of the comparisons.

    Returns:
        Key, then claim, to reason; empty for a comparison without the file.

    Raises:
        DataError: no TOML, no text, or of a claim that there is not.
    """
    found: dict[str, dict[str, str]] = {}
    for one in findings:
        path = results / one.experiment.key / REASONS
        try:
            reasons = parse_toml(path.read_text())
        except FileNotFoundError:
            reasons = {}
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read {path}: {error}") from error
        claims = [verdict.claim.says for verdict in one.verdicts]
        for says, reason in reasons.items():
            if says not in claims:
                raise DataError(f"{path}: {unknown('claim', says, claims)}")
            if not isinstance(reason, str):
                raise DataError(f"{path}: the reason of {says!r} must be text, got {reason!r}")
        found[one.experiment.key] = reasons
    return found


def _part(findings: ComparisonFindings, reasons: Mapping[str, str]) -> list[Block]:
    experiment = findings.experiment
    columns = ["claim", "source", "asked", "here", "numbers"]
    rows = [_row(findings, verdict) for verdict in findings.verdicts]
    if given := [reasons.get(verdict.claim.says) for verdict in findings.verdicts if reasons]:
        columns.append("likeliest reason")
        rows = [(*row, reason or NOTHING) for row, reason in zip(rows, given, strict=True)]
    blocks: list[Block] = [
        Heading(f"{experiment.title} ({', '.join(experiment.names)})", 3),
        Paragraph(prose.head(findings)),
        Paragraph(f"{prose.answer(findings)} {prose.tally(findings)}" if rows else prose.answer(findings)),
        *([Table(columns, rows, columns)] if rows else []),
        Files({f"../results/{experiment.key}/README.md": ""}),
    ]
    return blocks


def _row(findings: ComparisonFindings, verdict: ClaimVerdict) -> tuple[str, ...]:
    claim = verdict.claim
    numbers = [told_at(findings, verdict, one) for one in verdict.asked]
    numbers += [f"not run: {place(findings.experiment, *verdict.missing)}"] if verdict.missing else []
    asked = asked_of(verdict, findings.experiment.of)
    return (claim.says, claim.source, asked, outcome_words(verdict), "; ".join(numbers))
