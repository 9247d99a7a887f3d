"""What the record says of what the paper says, and of numbers that were expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nprnn.dynamics import GrowthRow
from nprnn.experiments.planes.plane import Plane, Turn
from nprnn.experiments.planes.record import PlanesRecord
from nprnn.experiments.planes.spec import Case, Expected, Frame, Planes
from nprnn.experiments.spec import Scale

Outcome = Literal["PASS", "MISS"]


@dataclass(frozen=True)
class FateVerdict:
    """What becomes of a case in a frame, beside the paper's claim.

    Attributes:
        case: with the claim.
        frame: where the ReLU acts.
        plane: what was worked out.
    """

    case: Case
    frame: Frame
    plane: Plane

    @property
    def holds(self) -> bool:
        """Whether the claim is true here."""
        return self.case.fate == self.plane.fate


@dataclass(frozen=True)
class NumberVerdict:
    """A number beside what was expected.

    Attributes:
        expected: what.
        measured: the number; None where it was not measured.
    """

    expected: Expected
    measured: float | None

    @property
    def outcome(self) -> Outcome | None:
        """PASS within the tolerance; None where nothing was measured."""
        if self.measured is None:
            return None
        return "PASS" if abs(self.measured - self.expected.value) <= self.expected.within else "MISS"


@dataclass(frozen=True)
class PlanesFindings:
    """All that a page is made of.

    Attributes:
        experiment: at the scale of the record.
        scale: quick or paper.
        env: what computed it.
        starts: name of each start to what it is.
        fates: frame by frame, each with its cases.
        turns: each case by the angle of its leading eigenvector.
        rows: the growth table.
        numbers: what was expected of it.
    """

    experiment: Planes
    scale: Scale
    env: Mapping[str, Any]
    starts: Mapping[str, str]
    fates: tuple[FateVerdict, ...]
    turns: tuple[Turn, ...]
    rows: tuple[GrowthRow, ...]
    numbers: tuple[NumberVerdict, ...]


def conclude_planes(record: PlanesRecord, experiment: Planes) -> PlanesFindings:
    """Findings from a record.

    Args:
        record: the facts.
        experiment: at the record's scale.
    """
    found = {(plane.case, plane.frame): plane for plane in record.planes}
    rows = {(row.scheme, row.hidden): row for row in record.rows}
    numbers = []
    for expected in experiment.expected:
        row = rows.get((expected.scheme, expected.hidden))
        numbers.append(NumberVerdict(expected, None if row is None else getattr(row, expected.quantity)))
    fates = [
        FateVerdict(case, frame, found[case.name, frame.name])
        for frame in experiment.frames
        for case in experiment.cases
        if (case.name, frame.name) in found
    ]
    return PlanesFindings(
        experiment,
        record.scale,
        record.env,
        record.starts,
        tuple(fates),
        tuple(record.turns),
        tuple(record.rows),
        tuple(numbers),
    )
