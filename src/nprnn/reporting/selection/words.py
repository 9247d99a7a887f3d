"""The numbers of a selection experiment as a person reads them: percent, points, settings, how many of what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nprnn.experiments.findings import Cell, Findings, Grid, Interval, Outcome
from nprnn.experiments.spec import Experiment
from nprnn.reporting.members import is_number, show

NOTHING = "–"
# More decimals than these tell nothing of a few hundred clips.
_MOST_DECIMALS = 3


def percent(share: float, decimals: int = 1) -> str:
    """A share in percent without its sign, which says 100 or 0 of nothing but all and none."""
    text = f"{100 * share:.{decimals}f}"
    if float(text) == 100:
        return "100" if share == 1 else f">{100 - 10**-decimals:.{decimals}f}"
    if float(text) == 0:
        return "0" if share == 0 else f"<{10**-decimals:.{decimals}f}"
    return text


def printed(share: float) -> str:
    """A published share in percent, with the decimals that it was published with."""
    return f"{100 * share:.4g}"


def points(difference: float, decimals: int = 1) -> str:
    """A difference of shares in percentage points, with its sign."""
    text = f"{100 * difference:+.{decimals}f}"
    return f"{0:.{decimals}f}" if float(text) == 0 else text.replace("-", "−")


def with_interval(share: Interval) -> str:
    """A share in percent, with its interval."""
    return f"{percent(share.value)} ({percent(share.low)} to {percent(share.high)})"


def difference(found: Interval, bound: float = 0.0) -> str:
    """A difference in points, with its interval: an end that is near a bound in so many decimals that it is off it."""
    return f"{points(found.value)} ({_end(found.low, bound)} to {_end(found.high, bound)})"


def _end(value: float, bound: float) -> str:
    for decimals in range(1, _MOST_DECIMALS + 1):
        if _side(round(100 * value, decimals) / 100, bound) == _side(value, bound):
            break
    return points(value, decimals)


def _side(value: float, bound: float) -> int:
    apart = value - bound
    return 0 if abs(apart) < 1e-9 else 1 if apart > 0 else -1


def brief(value: Any) -> str:
    """A setting's value in few characters: small numbers in powers of ten, as papers write learning rates."""
    if not is_number(value) or not 0 < abs(value) < 0.1:
        return show(value)
    digits = 1
    while digits < 17 and float(f"{value:.{digits - 1}e}") != value:
        digits += 1
    mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
    scientific = f"{mantissa}e{int(power)}"
    return scientific if len(scientific) <= len(show(value)) else show(value)


def setting_words(setting: Mapping[str, Any]) -> str:
    """A setting such as "lr 1e-3, dropout 0.5"."""
    return ", ".join(f"{key} {brief(value)}" for key, value in setting.items())


def counted(count: int, thing: str, things: str = "") -> str:
    """A number of things, such as "1 run" or "1,200 runs"."""
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"


def source_words(experiment: Experiment, units: int) -> str:
    """How many independent sources clips come from, such as "10 sources"."""
    return counted(units, experiment.unit_name or "source")


def paper_name(experiment: Experiment) -> str:
    """What the paper's numbers are called, so that no one holds ours against those of other data."""
    return f"paper ({experiment.paper_on})" if experiment.paper_on else "paper"


def seed_words(cells: Sequence[Cell]) -> str:
    """How many seeds stand behind the means of some settings."""
    counts = sorted({len(cell.by_seed) for cell in cells if cell.accuracy is not None})
    if not counts:
        return "no seed finished"
    return counted(counts[-1], "seed") if len(counts) == 1 else f"{counts[0]} to {counted(counts[-1], 'seed')}"


def judged_words(findings: Findings, grids: Sequence[Grid]) -> str:
    """On what the accuracies of an arm stand: seeds, clips, sources."""
    cells = [cell for grid in grids for cell in grid.cells]
    clips = f"{counted(grids[0].clips, 'clip')} of {source_words(findings.experiment, grids[0].units)}"
    return f"{seed_words(cells)} a setting; {clips} judged"


def grids_of(findings: Findings, arm: str) -> list[Grid]:
    """The grids of an arm, in the order of the models; none where it has not been run."""
    return [grid for grid in findings.grids if grid.arm.name == arm and grid.cells]


def whole(findings: Findings, arm: str) -> bool:
    """Whether every run of an arm has ended, so that there is nothing left to wait for before a choice."""
    grids = grids_of(findings, arm)
    return bool(grids) and not any(cell.missing for grid in grids for cell in grid.cells)


def lost(cells: Sequence[Cell]) -> str:
    """What a range stands without, such as "2 diverged, 1 missing" settings; "" where nothing is lost."""
    diverged = sum(cell.accuracy is None and bool(cell.diverged) for cell in cells)
    missing = sum(cell.accuracy is None and not cell.diverged for cell in cells)
    parts = [f"{count} {word}" for count, word in ((diverged, "diverged"), (missing, "missing")) if count]
    return ", ".join(parts)


def untested(findings: Findings, arm: str, model: str) -> str:
    """Why there is no test accuracy for a model whose setting an arm was to choose."""
    grid = next((grid for grid in grids_of(findings, arm) if grid.model == model), None)
    if grid is None:
        return "not run"
    if not whole(findings, arm):
        return "runs are missing"
    return "every setting diverged" if grid.chosen is None else "not tested"


def outcome_word(outcome: Outcome | None) -> str:
    """A verdict in words."""
    return "not run" if outcome is None else outcome


def paper_setting(experiment: Experiment, model: str) -> dict[str, Any] | None:
    """The setting that the paper chose, where its text names one of the grid's, value by value; None elsewhere."""
    published = experiment.paper.get(model)
    if published is None:
        return None
    parts = [part.strip() for part in published.best.split(";")]
    if len(parts) != len(experiment.grid):
        return None
    found = {}
    for part, (key, values) in zip(parts, experiment.grid.items(), strict=True):
        match = [value for value in values if _same(value, part)]
        if not match:
            return None
        found[key] = match[0]
    return found


def _same(value: Any, text: str) -> bool:
    try:
        return float(text) == value if is_number(value) else text == show(value)
    except ValueError:
        return False
