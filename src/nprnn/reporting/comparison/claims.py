"""What becomes of the claims of a comparison, as words for tables."""

from __future__ import annotations

from nprnn.experiments.comparison import Asked, ClaimVerdict, ComparisonFindings
from nprnn.reporting.blocks import Table
from nprnn.reporting.comparison import words
from nprnn.reporting.comparison.standing import bar_at
from nprnn.reporting.comparison.words import agreement, asked_words, bound_words, symbol

NOT_RUN = "not run"


def outcome_words(verdict: ClaimVerdict) -> str:
    """What becomes of a claim, and of how many of its values that is said, where not of all."""
    asked, missing = len(verdict.asked), len(verdict.missing)
    some = f"; {asked} of {asked + missing} values run" if asked and missing else ""
    return f"{verdict.outcome or NOT_RUN}{some}"


def where(findings: ComparisonFindings, verdict: ClaimVerdict) -> str:
    """At which values a claim holds, at which it does not, and which were not run."""
    experiment = findings.experiment
    groups = (
        ("holds", [one.at for one in verdict.asked if one.holds]),
        ("does not", [one.at for one in verdict.asked if not one.holds]),
        ("not run", list(verdict.missing)),
    )
    return "; ".join(f"{told} {words.where(experiment, *at)}" for told, at in groups if at)


def claims_table(findings: ComparisonFindings) -> Table:
    """A row a claim."""
    columns = ("no.", "claim", "source", "here", "where")
    rows = [
        (str(k), verdict.claim.says, verdict.claim.source, outcome_words(verdict), where(findings, verdict))
        for k, verdict in enumerate(findings.verdicts, 1)
    ]
    return Table(columns, rows, columns[1:])


def numbers_table(findings: ComparisonFindings) -> Table:
    """A row a claim and value that was run."""
    head = symbol(findings.experiment)
    columns = ("no.", "of", head, "number", "must be", "n", "single runs that agree", "here")
    rows = []
    for k, verdict in enumerate(findings.verdicts, 1):
        claim, of = verdict.claim, findings.experiment.of
        for one in verdict.asked:
            subject = f"{claim.better} less {one.rival}" if one.rival else claim.better
            numbers = (asked_words(one, claim, of), bound_words(claim, of), seeds_of(findings, one))
            holds = "holds" if one.holds else "does not hold"
            rows.append((str(k), subject, str(one.at), *numbers, agreement(one, claim), holds))
    return Table(columns, rows, ("of", "here"))


def seeds_of(findings: ComparisonFindings, asked: Asked) -> str:
    """How many seeds stand behind the number of a claim; of both sides, where they differ."""
    rival = bar_at(findings, asked.rival, asked.at) if asked.rival else None
    return str(asked.n) if rival is None or rival.n == asked.n else f"{asked.n} against {rival.n}"


def asked_of(verdict: ClaimVerdict, of: float) -> str:
    """What a claim asks for, such as "np-RNN > 7,000" or "np-RNN less nRNN > 500"."""
    claim = verdict.claim
    worse = f" less {claim.worse[0]}" if len(claim.worse) == 1 else ""
    if len(claim.worse) > 1:
        worse = f" less the best of {', '.join(claim.worse)}"
    return f"{claim.better}{worse} {bound_words(claim, of)}"


def told_at(findings: ComparisonFindings, verdict: ClaimVerdict, asked: Asked) -> str:
    """A claim at a value in one line, such as "T = 150 holds: 9,400 (n = 5, 5 of 5 runs agree)"."""
    claim, experiment = verdict.claim, findings.experiment
    over = f" over {asked.rival}" if asked.rival else ""
    behind = f"n = {seeds_of(findings, asked)}, {agreement(asked, claim)} agree"
    holds = "holds" if asked.holds else "does not hold"
    if experiment.values:
        holds = f"it {holds}"
    at = words.where(experiment, asked.at) if experiment.values else words.place(experiment, asked.at)
    return f"{at} {holds}: {asked_words(asked, claim, experiment.of)}{over} ({behind})"
