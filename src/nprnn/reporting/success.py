"""Which runs succeeded: a criterion on the last iterate, and rates with Wilson's interval."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nprnn.errors import ConfigError, InputError, unknown
from nprnn.reporting.members import Member
from nprnn.reporting.study import Study

# The normal quantile of a two-sided 95 % interval.
Z95 = 1.959964


@dataclass(frozen=True)
class Criterion:
    """Success is a test metric of the last iterate below or above a bound.

    Attributes:
        metric: its name.
        sign: "<" or ">".
        bound: the number.
        origin: where the bound comes from.
    """

    metric: str
    sign: str
    bound: float
    origin: str = "as asked for"

    @classmethod
    def parse(cls, text: str) -> Criterion:
        """Read a criterion such as "mse<0.01" or "within_0.04 > 0.9".

        Raises:
            ConfigError: not of that form.
        """
        parts = re.fullmatch(r"\s*([^<>]+?)\s*([<>])\s*([^<>=\s]+)\s*", text)
        try:
            bound = float(parts[3]) if parts else math.nan
        except ValueError:
            bound = math.nan
        if parts is None or not math.isfinite(bound):
            raise ConfigError(
                f"success must be a metric, < or >, and a number, such as 'mse<0.01' (with the quotes); got {text!r}"
            )
        return cls(parts[1], parts[2], bound)

    @classmethod
    def default(cls, study: Study) -> Criterion | None:
        """A tenth of the constant answer's error; or halfway from its share to 1. None where its score is unknown."""
        level = study.baseline.get(study.headline)
        if level is None:
            return None
        if study.higher_is_better:
            return cls(study.headline, ">", (1 + level) / 2, "halfway from the constant answer to 1")
        return cls(study.headline, "<", level / 10, "a tenth of the constant answer")

    def met(self, member: Member) -> bool:
        """Whether a run succeeded; one that diverged did not."""
        if member.state != "finished" or self.metric not in member.final:
            return False
        value = member.final[self.metric]
        return value < self.bound if self.sign == "<" else value > self.bound

    def __str__(self) -> str:
        return f"{self.metric} {self.sign} {self.bound:.6g}"


@dataclass(frozen=True)
class Rate:
    """How often a model succeeded.

    Attributes:
        model: the model.
        successes: k.
        runs: n, those that diverged among them and those not finished left out.
        diverged: of the runs.
        not_finished: runs that are not counted.
        low: lower end of the interval for the rate.
        high: upper end.
        settings: settings of which every run has ended.
        solved: those of them in which every run succeeded.
    """

    model: str
    successes: int
    runs: int
    diverged: int
    not_finished: int
    low: float
    high: float
    settings: int
    solved: int

    @property
    def rate(self) -> float:
        """Successes over runs."""
        return self.successes / self.runs


def wilson(successes: int, runs: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval for a share.

    Args:
        successes: k, from 0 to n.
        runs: n, at least 1.
        z: the normal quantile; the default is for 95 %.

    Returns:
        The two ends.

    Raises:
        InputError: no runs, or more successes than runs.
    """
    if runs < 1 or not 0 <= successes <= runs:
        raise InputError(f"a rate needs at least 1 run and 0 to that many successes, got {successes} of {runs}")
    share, weight = successes / runs, z * z / runs
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / runs + weight / (4 * runs))
    # At the ends the formula gives 0 and 1 exactly, but for rounding.
    return 0.0 if successes == 0 else centre - half, 1.0 if successes == runs else centre + half


def rates(study: Study, criterion: Criterion) -> list[Rate]:
    """The success rate of each model of a study over all of its runs; a model of which no run has ended has none."""
    found = []
    for model in study.models:
        members = [m for m in study.members if m.model == model]
        ended = [m for m in members if m.ended]
        if not ended:
            continue
        k = sum(map(criterion.met, ended))
        whole = [c.members for c in study.settings if c.model == model and all(m.ended for m in c.members)]
        solved = sum(all(map(criterion.met, cell)) for cell in whole)
        diverged = sum(m.state == "diverged" for m in ended)
        low, high = wilson(k, len(ended))
        found.append(Rate(model, k, len(ended), diverged, len(members) - len(ended), low, high, len(whole), solved))
    return found


def criteria(studies: Sequence[Study], text: str | None) -> Mapping[int, Criterion | None]:
    """The criterion of each study by its place: the one asked for where the study has that metric, else the default.

    Raises:
        ConfigError: a criterion that cannot be read, or whose metric no study has.
    """
    asked = None if text is None else Criterion.parse(text)
    known = list(dict.fromkeys(name for study in studies for name in study.metrics))
    if asked and asked.metric not in known:
        raise unknown("metric", asked.metric, known)
    return {
        k: asked if asked and asked.metric in study.metrics else Criterion.default(study)
        for k, study in enumerate(studies)
    }
