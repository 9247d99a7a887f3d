"""An experiment on planes from start to record: work out the planes, measure the starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from nprnn.dynamics import growth_table
from nprnn.errors import RunError
from nprnn.experiments.driving import one_each
from nprnn.experiments.planes.plane import plane, turned
from nprnn.experiments.planes.record import PlanesRecord, read_planes_record
from nprnn.experiments.planes.spec import Planes
from nprnn.experiments.spec import Scale
from nprnn.experiments.storing import RECORD
from nprnn.init import SCHEMES
from nprnn.training import environment

ANGLES = range(-89, 91)


def carry_out_planes(
    experiment: Planes, out: Path, *, scale: Scale, tell: Callable[[str], None], command: Sequence[str] = ()
) -> PlanesRecord:
    """Do the experiment and write its record.

    Args:
        experiment: what is asked.
        out: folder for the record.
        scale: quick or paper.
        tell: takes lines for a person.
        command: what was asked, for the record.

    Returns:
        The record.

    Raises:
        RunError: a record in ``out`` of another experiment, or one that cannot be written.
    """
    _mind(experiment, scale, out)
    asked, experiment = experiment, experiment.at(scale)
    record = PlanesRecord(asked.key, asked.text, scale, list(command), environment())
    record.planes = [plane(experiment, case, frame) for frame in experiment.frames for case in experiment.cases]
    record.turns = [turn for case in experiment.cases for turn in turned(case, ANGLES)]
    growth = experiment.growth
    x = one_each(growth.task, growth.length, growth.draws)
    for name, scheme in SCHEMES.items():
        tell(f"gradients at the start of {name}, N = {', '.join(map(str, growth.sizes))}")
        record.rows += growth_table(x, schemes=[name], sizes=growth.sizes, draws=growth.draws, seed=growth.seed)
        record.starts[name] = scheme.description
    record.write(out)
    return record


def _mind(experiment: Planes, scale: Scale, out: Path) -> None:
    """Nothing of another experiment is overwritten."""
    if not (out / RECORD).exists():
        return
    try:
        old = read_planes_record(out)
    except RunError as error:
        raise RunError(f"{error}; move it away, or name another folder with --out") from error
    if (old.key, old.scale) != (experiment.key, scale):
        raise RunError(
            f"{out / RECORD} is of another experiment ({old.key}, {old.scale}); move it away, or name another folder "
            "with --out"
        )
