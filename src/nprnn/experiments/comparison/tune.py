"""How settings are tried before a comparison: the same grid, trials and rule for every series at every value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

from nprnn.errors import ConfigError
from nprnn.experiments.parsing import filled

Rule = Literal["last", "last tenth"]
# What is set for trials, or tells series and runs apart.
_NOT_TRIED = ("model", "seed", "withhold_test")


@dataclass(frozen=True)
class Tune:
    """The trials of every series at every value of the axis.

    Attributes:
        seeds: of each setting's trials; no run that is compared has one of them.
        grid: the settings that are tried, in their order.
        settings: of the trials, over the experiment's and the values'.
        quick: over these at the scale quick.
        rule: what a trial scores: the metric on the validation set at its last evaluation, or the mean of it over the
            last tenth of them.
    """

    seeds: tuple[int, ...]
    grid: tuple[Mapping[str, Any], ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] = field(default_factory=dict)
    rule: Rule = "last"

    @property
    def names(self) -> tuple[str, ...]:
        """The settings that are tried."""
        return tuple(dict.fromkeys(name for setting in self.grid for name in setting))

    def of_trials(self, *, quick: bool) -> dict[str, Any]:
        """What trials set: they never read the test set."""
        return {**self.settings, **(self.quick if quick else {}), "withhold_test": True}

    def check(self, seeds: Iterable[int], taken: Iterable[str]) -> None:
        """Refuse trials that would not be fair.

        Args:
            seeds: of the runs that are compared.
            taken: names of settings that are set elsewhere, and the axis.

        Raises:
            ConfigError: a seed that is tried and compared, a setting that is tried and set, or nothing to try.
        """
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"[tune] needs seeds of its own, each once, got {list(self.seeds)}")
        if again := sorted(set(self.seeds) & set(seeds)):
            raise ConfigError(
                f"the seeds {again} are tried in [tune] and compared afterwards; a setting is confirmed with fresh "
                "seeds: name others"
            )
        elsewhere = {*taken, *self.settings, *self.quick, *_NOT_TRIED}
        if set_twice := [name for name in self.names if name in elsewhere]:
            raise ConfigError(f"{set_twice[0]!r} is in [tune.grid] and set elsewhere; leave it in one of them")


def tune_from(found: dict[str, Any]) -> Tune | None:
    """The trials of the table [tune].

    Args:
        found: the table; ``grid`` is a table of settings, each with a list of values that are crossed, or several such
            tables, one after another. Emptied; where it is empty there are no trials.

    Raises:
        ConfigError: a key that is missing or unknown, a value of the wrong kind, or a grid of nothing or of equals.
    """
    if not found:
        return None
    tables = found.pop("grid", [])
    plain = filled(_Plain, found)
    grid = [setting for table in ([tables] if isinstance(tables, dict) else tables) for setting in _crossed(table)]
    if not grid or len({json.dumps(setting, sort_keys=True) for setting in grid}) < len(grid):
        raise ConfigError("[tune.grid] needs settings to try, each once")
    return Tune(**{**plain.__dict__, "grid": tuple(grid)})


@dataclass(frozen=True)
class _Plain:
    seeds: tuple[int, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    quick: dict[str, Any] = field(default_factory=dict)
    rule: Rule = "last"


def _crossed(table: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    if not isinstance(table, dict) or any(not isinstance(values, list) or not values for values in table.values()):
        raise ConfigError(f"[tune.grid] takes settings, each with a list of values; got {table!r}")
    return [dict(zip(table, values, strict=True)) for values in product(*table.values())]
