"""The numbers behind the pictures of a comparison as CSV."""

from __future__ import annotations

from collections.abc import Mapping

from nprnn.experiments.comparison import ClaimVerdict, ComparisonFindings
from nprnn.reporting.comparison.trials import trial_rows
from nprnn.reporting.tables import Row, as_csv


def comparison_csv(findings: ComparisonFindings) -> Mapping[str, str]:
    """The numbers in full, in counts.

    Args:
        findings: of the comparison.

    Returns:
        File name to CSV: bars.csv has a row a bar and reading, ranking.csv a row a series and value that the choice is
        made at, claims.csv a row a claim and value, trials.csv a row a series, value and setting that was tried,
        curves.csv a row an evaluation. What is not asked has no file.
    """
    found = {"bars.csv": _bars(findings)}
    found |= {"ranking.csv": _ranking(findings)} if findings.ranking.ranked else {}
    found |= {"claims.csv": _claims(findings)} if findings.verdicts else {}
    found |= {"trials.csv": trial_rows(findings)} if findings.tuned else {}
    found["curves.csv"] = _curves(findings)
    return {name: as_csv(rows) for name, rows in found.items()}


def _bars(findings: ComparisonFindings) -> list[Row]:
    rows: list[Row] = []
    for row in findings.bars.values():
        for bar in row.values():
            for reading in findings.readings:
                mean, low, high = bar.interval(reading) if bar.n else (None, None, None)
                found: Row = {"series": bar.series, findings.experiment.axis: bar.at, "n": bar.n, "reading": reading}
                found |= {"mean": mean, "low 95 %": low, "high 95 %": high}
                found |= {"values by seed": " ".join(map(repr, bar.values[reading]))}
                found |= {"seeds": _joined(bar.seeds), "diverged": _joined(bar.diverged), "unfinished": bar.unfinished}
                rows.append({**found, "paper": bar.paper, "outcome of the last iterates": bar.outcome})
    return rows


def _ranking(findings: ComparisonFindings) -> list[Row]:
    rows: list[Row] = []
    for k, one in enumerate(findings.ranking.ranked, 1):
        for near in one.near:
            found: Row = {"rank": k, "series": one.series, "distance": one.distance, findings.experiment.axis: near.at}
            found |= {"paper": near.paper, "distance here": near.distance, "n": len(near.seeds)}
            found |= {"mean on validation": near.mean, "on validation by seed": " ".join(map(repr, near.values))}
            rows.append({**found, "seeds": _joined(near.seeds)})
    return rows


def _claims(findings: ComparisonFindings) -> list[Row]:
    rows: list[Row] = []
    for verdict in findings.verdicts:
        asked = {one.at: one for one in verdict.asked}
        for at in verdict.claim.at:
            found: Row = {**_claim(verdict), findings.experiment.axis: at}
            if one := asked.get(at):
                agree, count = one.single
                found |= {"number": one.number, "rival": one.rival, "n": one.n, "holds": str(one.holds).lower()}
                found |= {"single runs or pairs that agree": agree, "single runs or pairs": count}
            else:
                found["holds"] = "not run"
            rows.append(found)
    return rows


def _claim(verdict: ClaimVerdict) -> Row:
    claim = verdict.claim
    found: Row = {"claim": claim.says, "source": claim.source, "outcome": verdict.outcome or "not run"}
    bounds = {"beyond": claim.beyond if claim.worse else None, "above": claim.above, "below": claim.below}
    return {**found, "better": claim.better, "worse": " ".join(claim.worse), **bounds}


def _curves(findings: ComparisonFindings) -> list[Row]:
    record = findings.record
    return [
        {
            "series": run.series,
            findings.experiment.axis: run.at,
            "seed": run.seed,
            "state": run.state,
            **dict(zip(("update", "training loss", *record.columns), evaluation, strict=True)),
        }
        for run in record.runs
        for evaluation in run.evaluations
    ]


def _joined(seeds: tuple[int, ...]) -> str:
    return " ".join(map(str, seeds))
