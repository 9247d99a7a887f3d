"""Three readings of every metric: the last iterate, the mean of the last evaluations, and what validation chose.

They are of the test set, or of the validation set where a run withholds the test set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

FINAL = "final"
LAST_TENTH = "mean of last 10 %"
CHOSEN = "chosen on validation"


def readings(
    records: Sequence[Mapping[str, Any]], headline: str, higher_is_better: bool
) -> dict[str, dict[str, float]]:
    """Metrics of a run, read in three ways.

    Args:
        records: its evaluations, in order; at least one.
        headline: the metric to choose by.
        higher_is_better: of the headline.

    Returns:
        Reading to metrics: the last evaluation; the mean of the last tenth of them (at least one); and, if there is a
        validation set, the evaluation whose validation metric is best, the earliest of equals. The last has also the
        ``update`` that was chosen.
    """
    tail = records[-max(1, round(len(records) / 10)) :]
    found = {
        FINAL: dict(told(records[-1])),
        LAST_TENTH: {name: sum(told(r)[name] for r in tail) / len(tail) for name in told(records[-1])},
    }
    best: Mapping[str, Any] | None = None
    for record in records:
        old = None if best is None else best["valid"][headline]
        if "valid" in record and is_better(record["valid"][headline], old, higher_is_better):
            best = record
    if best is not None:
        found[CHOSEN] = {**told(best), "update": best["update"]}
    return found


def side(record: Mapping[str, Any]) -> str:
    """Which set an evaluation tells of: test, or valid where the test set is withheld."""
    return "test" if "test" in record else "valid"


def told(record: Mapping[str, Any]) -> Mapping[str, float]:
    """The metrics of an evaluation on the set that it tells of."""
    metrics: Mapping[str, float] = record[side(record)]
    return metrics


def is_better(new: float, old: float | None, higher_is_better: bool) -> bool:
    """Whether a metric improves on the best so far; a tie does not, and nothing improves by being NaN."""
    if old is None:
        return new == new
    return new > old if higher_is_better else new < old
