"""What can be reproduced: the package's experiments of every kind, and files of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from nprnn.errors import ConfigError, unknown
from nprnn.experiments.comparison.reading import comparison_from
from nprnn.experiments.comparison.spec import Comparison
from nprnn.experiments.parsing import parse
from nprnn.experiments.planes.spec import Planes, planes_from
from nprnn.experiments.spec import Experiment, experiment_from

# A kind is a class of its own with a key, a title, names, scales, and for each scale its runs and what it takes;
# `nprnn reproduce` knows how each is carried out.
AnyExperiment = Experiment | Planes | Comparison
_KINDS: Mapping[str, Callable[[str, dict[str, Any], str], AnyExperiment]] = {
    "selection": experiment_from,
    "planes": planes_from,
    "comparison": comparison_from,
}


def catalogue() -> dict[str, AnyExperiment]:
    """The experiments of the package, by key."""
    files = sorted(resources.files("nprnn.experiments").iterdir(), key=lambda file: file.name)
    keys = {file.name.removesuffix(".toml"): file for file in files if file.name.endswith(".toml")}
    return {key: parse_any(key, file.read_text()) for key, file in keys.items()}


def experiments() -> dict[str, Experiment]:
    """The selection experiments of the package, by key."""
    return {key: found for key, found in catalogue().items() if isinstance(found, Experiment)}


def find_experiment(name: str) -> AnyExperiment:
    """The experiment of that key, that makes the figure or table of that name, or of that TOML file.

    Raises:
        ConfigError: there is none; the message lists all. Or a file that cannot be read.
    """
    if name.endswith(".toml"):
        path = Path(name)
        try:
            return parse_any(path.stem, path.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the experiment {path}: {error}") from error
    known = catalogue()
    for experiment in known.values():
        if name == experiment.key or name in experiment.names:
            return experiment
    raise unknown("experiment", name, dict.fromkeys(n for e in known.values() for n in (e.key, *e.names)))


def parse_any(key: str, text: str) -> AnyExperiment:
    """Read an experiment of whatever kind it says it is.

    Raises:
        ConfigError: no TOML, an unknown kind, or what its kind refuses.
    """
    return parse(key, text, _KINDS)
