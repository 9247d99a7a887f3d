"""What a selection experiment comes to: grids, chosen settings, test rows with intervals, verdicts. No pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from nprnn.experiments.spec import Arm, Claim, Experiment

Outcome = Literal["shown", "contradicted", "open"]


class Interval(NamedTuple):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Cell:
    """One setting of a model in an arm.

    Attributes:
        setting: of the grid, by name.
        accuracy: on validation, mean over seeds of the share of all clips that are judged; None where no run finished.
        cross_entropy: on validation, in nats, likewise.
        by_seed: accuracy of each seed that finished.
        diverged: runs whose numbers blew up.
        missing: runs that have not ended.
    """

    setting: Mapping[str, Any]
    accuracy: float | None
    cross_entropy: float | None
    by_seed: tuple[float, ...]
    diverged: int
    missing: int


@dataclass(frozen=True)
class Grid:
    """A model's validation accuracy over the grid of an arm.

    Attributes:
        arm: the arm.
        model: the model.
        cells: every setting, in the order of the grid.
        chosen: the setting with the most finished seeds, then the best accuracy, then the least cross-entropy; the best
            so far while runs are missing; None where no run finished.
        clips: how many clips are judged.
        units: how many independent sources they come from.
    """

    arm: Arm
    model: str
    cells: tuple[Cell, ...]
    chosen: Cell | None
    clips: int
    units: int

    @property
    def range(self) -> tuple[float, float] | None:
        """Least and greatest accuracy; a setting of which no run finished counts as 0. None without any."""
        found = [0.0 if cell.accuracy is None and cell.diverged else cell.accuracy for cell in self.cells]
        known = [value for value in found if value is not None]
        return (min(known), max(known)) if known else None


@dataclass(frozen=True)
class Row:
    """A model with its chosen setting, tested.

    Attributes:
        model: the model.
        chosen_by: name of the arm that chose.
        setting: of the grid.
        validation: accuracy of that setting in that arm.
        test: mean over seeds of the accuracy on the test clips.
        by_seed: the accuracy of each seed.
        parameters: trained numbers in the model.
        times: that over the least of all models.
        shuffled: test accuracy with the frames of every clip shuffled, in training and in testing; None if not run.
        order: paired difference, test less shuffled; None if not run.
    """

    model: str
    chosen_by: str
    setting: Mapping[str, Any]
    validation: Interval
    test: Interval
    by_seed: tuple[float, ...]
    parameters: int
    times: float
    shuffled: Interval | None
    order: Interval | None


@dataclass(frozen=True)
class Yardstick:
    """A model without a network, to measure by.

    Attributes:
        name: what it is.
        about: fitted to what.
        test: its accuracy on the test clips.
        parameters: trained numbers in it.
    """

    name: str
    about: str
    test: Interval
    parameters: int


@dataclass(frozen=True)
class Verdict:
    """What becomes of a claim.

    Attributes:
        claim: the claim.
        chosen_by: the arm that chose the settings that are compared; of a claim on the grid, the arm.
        difference: accuracy of its better model less that of its worse one; None where runs are missing.
        outcome: shown, contradicted, or open; None where runs are missing.
    """

    claim: Claim
    chosen_by: str
    difference: Interval | None
    outcome: Outcome | None


@dataclass(frozen=True)
class Findings:
    """All of it.

    Attributes:
        experiment: what was asked.
        scale: quick or paper.
        counts: clips that train, choose and test in the arm whose runs are tested.
        units: independent sources of the test clips.
        constant: accuracy of the most frequent class on test.
        grids: of every arm and model, in the order of the experiment.
        rows: by choosing arm, then model.
        yardsticks: other models.
        verdicts: of every claim; those on test once for each choosing arm.
        runs: how many runs there are: finished, diverged, missing.
        env: what computed them, as JSON values.
    """

    experiment: Experiment
    scale: str
    counts: tuple[int, int, int]
    units: int
    constant: float
    grids: Sequence[Grid]
    rows: Sequence[Row]
    yardsticks: Sequence[Yardstick]
    verdicts: Sequence[Verdict]
    runs: tuple[int, int, int]
    env: Mapping[str, Any]
