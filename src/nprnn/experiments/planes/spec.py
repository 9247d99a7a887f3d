"""An experiment on phase planes and gradients at the start as data: a TOML file that says what is drawn and expected.

Nothing is trained. The planes are of two units without input or bias, by the eigenvalues of the recurrent weight; the
growth table is of fresh starts at several sizes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from nprnn.errors import ConfigError
from nprnn.experiments.driving import is_made_up
from nprnn.experiments.parsing import all_taken, filled, parse, taken
from nprnn.experiments.spec import Scale
from nprnn.init import find_scheme

Fate = Literal["stands still", "comes to rest on a line", "falls to the origin", "diverges"]
Quantity = Literal["growth", "lowest", "highest", "far_growth"]


@dataclass(frozen=True)
class Case:
    """A pair of eigenvalues, and what the paper says becomes of states.

    Attributes:
        name: such as "a".
        eigenvalues: the leading one, then the other; both above 0.
        says: the paper's claim, for a person.
        fate: the same, to be judged by.
    """

    name: str
    eigenvalues: tuple[float, ...]
    says: str
    fate: Fate


@dataclass(frozen=True)
class Frame:
    """Where the ReLU acts.

    Attributes:
        name: short.
        about: for a person.
        angle: of the leading eigenvector to the axis of unit 1, in degrees, the ReLU acting on units; None: it acts on
            the coordinates along the eigenvectors.
    """

    name: str
    about: str
    angle: float | None = None


@dataclass(frozen=True)
class Growth:
    """What the growth table is of.

    Attributes:
        task: a made-up task, whose sequences are the inputs.
        length: T.
        sizes: values of N.
        draws: starts of each.
        quick_sizes: at the scale "quick".
        quick_draws: likewise.
        seed: of weights and cotangents.
    """

    task: str
    length: int
    sizes: tuple[int, ...]
    draws: int
    quick_sizes: tuple[int, ...]
    quick_draws: int
    seed: int = 0


@dataclass(frozen=True)
class Expected:
    """A number that the table should have.

    Attributes:
        scheme: name of the start.
        hidden: N.
        quantity: a column of ``nprnn.dynamics.GrowthRow``.
        value: the number.
        within: how far from it still passes.
        source: who says so.
    """

    scheme: str
    hidden: int
    quantity: Quantity
    value: float
    within: float
    source: str


@dataclass(frozen=True)
class Planes:
    """An experiment of this kind.

    Attributes:
        key: short name, from its file's.
        title: what it is.
        names: the figures that it makes.
        differs: how it departs from the paper, in sentences.
        starts: states before the first step, two coordinates each.
        steps: how many are taken from each.
        cases: the columns of the picture.
        frames: its rows.
        growth: what the table is of.
        expected: numbers that it should have.
        text: its file's content.
        takes: time, as measured.
    """

    key: str
    title: str
    names: tuple[str, ...]
    differs: tuple[str, ...]
    starts: tuple[tuple[float, ...], ...]
    steps: int
    cases: tuple[Case, ...]
    frames: tuple[Frame, ...]
    growth: Growth
    expected: tuple[Expected, ...]
    text: str = field(repr=False)
    takes: str = ""

    @property
    def scales(self) -> tuple[Scale, ...]:
        """Those it has."""
        return ("quick", "paper")

    def count(self, scale: Scale) -> int:
        """How many runs there are: none is trained."""
        return 0

    def lasts(self, scale: Scale) -> str:
        """What a scale takes, where it was measured."""
        return self.takes if scale == "paper" else ""

    def at(self, scale: Scale) -> Planes:
        """The experiment at a scale: quick has smaller networks and fewer draws."""
        if scale == "paper":
            return self
        quick = replace(self.growth, sizes=self.growth.quick_sizes, draws=self.growth.quick_draws)
        return replace(self, growth=quick)


def parse_planes(key: str, text: str) -> Planes:
    """Read an experiment.

    Raises:
        ConfigError: no TOML, an unknown key, a value of the wrong kind or out of range, or an unknown name.
    """
    return parse(key, text, {"planes": planes_from})


@dataclass(frozen=True)
class _Plain:
    title: str
    names: tuple[str, ...]
    differs: tuple[str, ...]
    starts: tuple[tuple[float, ...], ...]
    steps: int
    takes: str = ""


def planes_from(key: str, found: dict[str, Any], text: str) -> Planes:
    """An experiment of what ``parse`` hands on; ``found`` is emptied.

    Raises:
        ConfigError: an unknown key, a value of the wrong kind or out of range, or an unknown name.
    """
    cases, frames, expected = all_taken(found, "cases", "frames", "expected")
    (growth,) = taken(found, "growth")
    experiment = Planes(
        key=key,
        **filled(_Plain, found).__dict__,
        cases=tuple(filled(Case, entry) for entry in cases),
        frames=tuple(filled(Frame, entry) for entry in frames),
        growth=filled(Growth, growth),
        expected=tuple(filled(Expected, entry) for entry in expected),
        text=text,
    )
    _check_planes(experiment)
    _check_growth(experiment)
    return experiment


def _check_planes(experiment: Planes) -> None:
    if not experiment.names or not experiment.cases or not experiment.frames or experiment.steps < 1:
        raise ConfigError("an experiment on planes needs names, [[cases]], [[frames]], and at least one step")
    if not experiment.starts or any(
        len(start) != 2 or not all(map(math.isfinite, start)) for start in experiment.starts
    ):
        raise ConfigError("starts must be at least one state of two finite numbers")
    for names in ([case.name for case in experiment.cases], [frame.name for frame in experiment.frames]):
        if len(set(names)) < len(names):
            raise ConfigError(f"cases and frames need different names, got {', '.join(names)}")
    for case in experiment.cases:
        if len(case.eigenvalues) != 2 or not 0 < case.eigenvalues[1] <= case.eigenvalues[0] < math.inf:
            raise ConfigError(
                f"case {case.name!r}: eigenvalues must be two numbers above 0, the leading one first; "
                f"got {case.eigenvalues}"
            )
    for frame in experiment.frames:
        if frame.angle is not None and not -90 < frame.angle <= 90:
            raise ConfigError(f"frame {frame.name!r}: angle must be above -90 and at most 90 degrees")


def _check_growth(experiment: Planes) -> None:
    growth = experiment.growth
    if not is_made_up(growth.task):
        raise ConfigError(f"the growth table needs a made-up task, such as addition; {growth.task} reads data")
    numbers: Sequence[int] = (growth.length, growth.draws, growth.quick_draws, *growth.sizes, *growth.quick_sizes)
    if min(numbers) < 1 or not growth.sizes or not growth.quick_sizes:
        raise ConfigError("length, draws and sizes of the growth table must be at least 1, and there must be sizes")
    for entry in experiment.expected:
        find_scheme(entry.scheme)
        if entry.within < 0:
            raise ConfigError(f"within must be 0 or more, got {entry.within}")
