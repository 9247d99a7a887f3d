"""What can be reproduced: the package's experiments of every kind, and files of one's own."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

from nprnn.errors import ConfigError, unknown
from nprnn.experiments.planes.spec import Planes, parse_planes
from nprnn.experiments.spec import Experiment, parse_experiment

# A kind is a class of its own with a key, a title, names, runs and what it takes; `nprnn reproduce` knows how each is
# carried out.
AnyExperiment = Experiment | Planes
_KINDS: Mapping[str, Callable[[str, str], AnyExperiment]] = {"selection": parse_experiment, "planes": parse_planes}


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
    try:
        kind = tomllib.loads(text).get("kind")
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{key}.toml is not TOML: {error}") from error
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ConfigError(f"{key}.toml: kind must be {' or '.join(map(repr, _KINDS))}, got {kind!r}")
    return _KINDS[kind](key, text)
