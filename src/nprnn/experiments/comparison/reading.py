"""From the tables of a comparison's file to the comparison, with names that fit one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from nprnn.errors import ConfigError, unknown
from nprnn.experiments.comparison.axis import At, Value
from nprnn.experiments.comparison.beside import Course, Reference
from nprnn.experiments.comparison.spec import Batch, Claim, Comparison, Published, Series
from nprnn.experiments.comparison.tune import tune_from
from nprnn.experiments.parsing import all_taken, filled, parse, taken
from nprnn.experiments.spec import SCALES
from nprnn.models import find_model

ALL = "all"


def parse_comparison(key: str, text: str) -> Comparison:
    """Read a comparison.

    Raises:
        ConfigError: no TOML, an unknown key, a value of the wrong kind, or names that do not fit one another.
    """
    return parse(key, text, {"comparison": comparison_from})


def comparison_from(key: str, found: dict[str, Any], text: str) -> Comparison:
    """A comparison of the tables of its file.

    Args:
        key: its name, from its file's.
        found: the tables, without ``kind``; emptied.
        text: the file's content.

    Raises:
        ConfigError: an unknown key, a value of the wrong kind, or names that do not fit one another.
    """
    listed, claims, values, published, curves = all_taken(found, "series", "claims", "values", "published", "curves")
    settings, cross, scales, paper, takes, tune = taken(found, "settings", "cross", "scales", "paper", "takes", "tune")
    series = _crossed([filled(Series, entry) for entry in listed], cross)
    rows: dict[Any, list[Any]] = {name: all_taken(scales, name)[0] for name in list(scales)}
    comparison = Comparison(
        key=key,
        **filled(_Plain, found).__dict__,
        settings=settings,
        series=series,
        scales={name: tuple(filled(Batch, entry) for entry in entries) for name, entries in rows.items()},
        paper=_published(paper, [one.name for one in series]),
        claims=tuple(filled(Claim, entry) for entry in claims),
        takes=takes,
        cross=tuple(cross),
        values=tuple(filled(Value, entry) for entry in values),
        tune=tune_from(tune),
        references=tuple(filled(Reference, entry) for entry in published),
        courses=tuple(filled(Course, entry) for entry in curves),
        text=text,
    )
    _check_names(comparison)
    _check_values(comparison)
    _set_apart(comparison)
    _check_choice(comparison)
    _check_tuning(comparison)
    for scale, batches in comparison.scales.items():
        for batch in batches:
            comparison.sweep(batch, _first(comparison, batch))
        if comparison.tune:
            comparison.trials(scale)
    return comparison


def _first(comparison: Comparison, batch: Batch) -> dict[tuple[str, At], Mapping[str, Any]] | None:
    """The first setting of the grid for all, so that a batch can be read before anything is chosen."""
    places = comparison.places([batch])
    return {(series.name, at): comparison.tune.grid[0] for series, at in places} if comparison.tune else None


def _crossed(series: Sequence[Series], cross: Mapping[str, Sequence[Any]]) -> tuple[Series, ...]:
    """Every series with every combination of some settings, whose values are added to its name."""
    for name, values in cross.items():
        if not isinstance(values, list):
            raise ConfigError(f"[cross] {name} must be a list of values, got {values!r}")
    found = []
    for one in series:
        for values in product(*cross.values()):
            name = ", ".join([one.name, *map(str, values)])
            settings = {**one.settings, **dict(zip(cross, values, strict=True))}
            found.append(replace(one, name=name, model=one.model or one.name, settings=settings))
    return tuple(found) if cross else tuple(series)


@dataclass(frozen=True)
class _Plain:
    title: str
    names: tuple[str, ...]
    task: str
    axis: str
    metric: str
    of: float
    counted: str
    differs: tuple[str, ...]
    flattering: bool = False
    choose: tuple[At, ...] = ()
    epoch: int = 0


def _published(found: dict[str, Any], series: Sequence[str]) -> Published | None:
    """The paper's bars; those named all are of every series."""
    if not found:
        return None
    (read,) = taken(found, "bars")
    bars = {name: filled(_Bars, {"numbers": values}).numbers for name, values in read.items()}
    if ALL in bars:
        bars = dict.fromkeys(series, bars.pop(ALL)) | bars
    paper = Published(**filled(_PublishedPlain, found).__dict__, bars=bars)
    for name, values in bars.items():
        if len(values) != len(paper.at):
            raise ConfigError(f"paper.bars: {name} has {len(values)} numbers for {len(paper.at)} values of the axis")
    return paper


@dataclass(frozen=True)
class _Bars:
    numbers: tuple[float, ...]


@dataclass(frozen=True)
class _PublishedPlain:
    source: str
    tolerance: float
    at: tuple[At, ...]


def _check_names(comparison: Comparison) -> None:
    names = [series.name for series in comparison.series]
    if not names or len(set(names)) < len(names):
        raise ConfigError("a comparison needs series of different names")
    for series in comparison.series:
        find_model(series.model or series.name)
    used = [name for batches in comparison.scales.values() for batch in batches for name in batch.series]
    used += [name for claim in comparison.claims for name in (claim.better, *claim.worse)]
    used += comparison.paper.bars if comparison.paper else ()
    for name in used:
        if name not in names:
            raise unknown("series", name, names)
    for scale in comparison.scales:
        if scale not in SCALES:
            raise unknown("scale", scale, SCALES)
    if "paper" not in comparison.scales:
        raise ConfigError("a comparison needs batches of [[scales.paper]]")
    for batch in (batch for batches in comparison.scales.values() for batch in batches):
        if not batch.at or len(set(batch.at)) < len(batch.at):
            raise ConfigError(
                f"a batch names one or more values of {comparison.axis}, each once; got at = {list(batch.at)}"
            )
    trained: dict[tuple[str, At], dict[str, Any]] = {}
    for batch in (batch for scale, batches in comparison.scales.items() if scale != "quick" for batch in batches):
        for place in product((series.name for series in comparison.of_batch(batch)), batch.at):
            if trained.setdefault(place, batch.settings) != batch.settings:
                raise ConfigError(f"half and paper are one record: {place[0]} at {place[1]} has two settings")
    for claim in comparison.claims:
        if bool(claim.worse) == (claim.above is not None or claim.below is not None):
            raise ConfigError(f"the claim {claim.says!r} needs worse, or above or below, and not both")


def _check_values(comparison: Comparison) -> None:
    axis = comparison.along
    axis.check()
    for batches in comparison.scales.values():
        for batch in batches:
            axis.refuse("a batch", batch.at)
    for claim in comparison.claims:
        axis.refuse(f"the claim {claim.says!r}", claim.at)
    axis.refuse("choose", comparison.choose)
    axis.refuse("[paper]", comparison.paper.at if comparison.paper else ())
    for reference in comparison.references:
        reference.check(axis, comparison.of)
    for course in comparison.courses:
        course.check(axis, [series.name for series in comparison.series])
    if comparison.epoch < 0:
        raise ConfigError(f"epoch is how many updates one has, or 0, got {comparison.epoch}")


def _set_apart(comparison: Comparison) -> None:
    """Readings are of all runs: a validation set is held out for every one of them, or for none."""
    found: dict[bool, str] = {}
    for scale, batches in comparison.scales.items():
        for series, at, settings in (one for batch in batches for one in comparison.settled(batch)):
            found.setdefault(settings.get("valid_size") != 0, f"{series.name} at {at} of scale {scale}")
    if len(found) > 1:
        raise ConfigError(
            f"all runs of a comparison have a validation set, or none; {found[True]} has one, and {found[False]} has "
            "none (valid_size = 0)"
        )


def _check_tuning(comparison: Comparison) -> None:
    """Trials and what is compared have nothing in common but the data."""
    tune, batches = comparison.tune, [batch for found in comparison.scales.values() for batch in found]
    if tune is None:
        return
    set_elsewhere: list[Mapping[str, Any]] = [comparison.settings, {comparison.axis: None}]
    set_elsewhere += [value.settings for value in comparison.values]
    set_elsewhere += [series.settings for series in comparison.series]
    set_elsewhere += [batch.settings for batch in batches]
    tune.check((seed for batch in batches for seed in batch.seeds), (name for one in set_elsewhere for name in one))
    of_trials = (tune.settings, tune.quick, *tune.grid)
    if not comparison.validates or any(settings.get("valid_size") == 0 for settings in of_trials):
        raise ConfigError("[tune] chooses by validation sets: valid_size must be more than 0")


def _check_choice(comparison: Comparison) -> None:
    """A choice is by distances from the paper's bars, on validation sets."""
    choose, published = comparison.choose, comparison.paper.at if comparison.paper else ()
    if len(set(choose)) < len(choose):
        raise ConfigError(f"choose names each value once, got {list(choose)}")
    if lacking := [at for at in choose if at not in published]:
        raise ConfigError(f"choose needs bars of the paper at its values; there are none at {lacking}")
    if choose and not comparison.validates:
        raise ConfigError("choose is by validation sets: valid_size must be more than 0")
