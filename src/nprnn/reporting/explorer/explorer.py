"""The explorer's page: its parts, put into one file that opens anywhere."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

from nprnn.errors import ConfigError, unknown
from nprnn.reporting.page import put

# In the order in which they build on each other.
SCRIPTS = (
    "system.js",
    "orbits.js",
    "words.js",
    "frame.js",
    "marks.js",
    "plane.js",
    "growth.js",
    "presets.js",
    "tables.js",
    "page.js",
)
# The start of the path, in unit coordinates, is chosen in the planes and has no slider.
_START = {"x": (-1000.0, 1000.0), "y": (-1000.0, 1000.0)}


@dataclass(frozen=True)
class Setting:
    """A number that the page can be opened with.

    Attributes:
        low: the least that it may be.
        high: the greatest.
    """

    low: float
    high: float


def settings() -> dict[str, Setting]:
    """What can be set on the page, by name: its sliders, and x and y, the start of the path."""
    reader = _Sliders()
    reader.feed(_part("explorer.html"))
    return {**reader.found, **{name: Setting(*ends) for name, ends in _START.items()}}


def write_explorer(path: Path, state: Mapping[str, float] | None = None) -> Path:
    """Write the page on the phase plane of two ReLU units: one HTML file that asks the network for nothing.

    Args:
        path: the file; its folder is made where there is none.
        state: what it opens with where its address says nothing else, such as ``{"l1": 1.1, "angle": -35}``; names and
            ranges are those of ``settings()``. What is left out is as on the page.

    Returns:
        ``path``.

    Raises:
        ConfigError: an unknown name, or a number out of range.
        RunError: the file cannot be written.

    Source: section 2, Eq. 8 and Fig. 2.
    """
    given = {} if state is None else dict(state)
    known = settings()
    for name, value in given.items():
        if name not in known:
            raise unknown("setting of the explorer", name, known)
        low, high = known[name].low, known[name].high
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigError(f"{name} must be a number, got {value!r}")
        if not low <= value <= high:
            raise ConfigError(f"{name} must be between {low:g} and {high:g}, got {value:g}")
    page = _part("explorer.html")
    for mark, content in (
        ("/*{style}*/", _part("style.css")),
        ("/*{script}*/", "".join(map(_part, SCRIPTS))),
        ('id="given">{}', f'id="given">{json.dumps(given)}'),
    ):
        page = page.replace(mark, content)
    return put(path, page.encode())


def _part(name: str) -> str:
    return (files("nprnn.reporting.explorer") / name).read_text("utf-8")


class _Sliders(HTMLParser):
    """The ranges of the page's sliders: they are written there and nowhere else."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, Setting] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "input" and given.get("type") == "range":
            low, high = (float(given[key] or "nan") for key in ("min", "max"))
            self.found[str(given["name"])] = Setting(low, high)
