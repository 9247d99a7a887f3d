"""Tasks, metrics and runs told in a sentence each, for a person who sees a report before anything else."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence

from nprnn.reporting.members import Member, exactly
from nprnn.reporting.study import Study
from nprnn.tasks import TASKS

# Of the registered tasks; one without a sentence here is told by the first line of its class.
_TASKS = {
    "addition": "answer the sum of the two marked numbers of a sequence (section 4.1)",
    "multiplication": "answer the product of two marked numbers (section 4.2)",
    "mnist": "name what an image shows, read by pixels or --rows (section 4.3)",
    "sequences": "your own sequences, of a .npz or CSV files: classes or numbers",
    "ucf101": "name the action of a clip, of features of frames (section 4.4)",
}
_MEASURES = {
    "mse": "the mean squared error",
    "accuracy": "the share of right answers",
    "cross_entropy": "the mean of -ln of the probability given to the right class",
}
# Fewer runs than this say next to nothing of how often a model succeeds.
FEW = 3
_MOST_PLACES = 3


def task_in_a_line(name: str) -> str:
    """What a task asks for; empty where it is not registered."""
    if name in _TASKS:
        return _TASKS[name]
    return (TASKS[name].__doc__ or "").partition("\n")[0] if name in TASKS else ""


def sentences(study: Study) -> list[str]:
    """What a reader must know of a study before its first picture: task, metric, cooling, and what one seed tells.

    Args:
        study: the runs.

    Returns:
        Sentences, a paragraph's worth.
    """
    asked = task_in_a_line(study.members[0].task)
    found = [f"The task: {asked.rstrip('.')}." if asked else "", _metric(study), _cooling(study.members), _seeds(study)]
    return [told for told in found if told]


def _metric(study: Study) -> str:
    name = study.headline
    told = f"{_meaning(name)}, on the {study.side} set; {'more' if study.higher_is_better else 'less'} is better."
    level = study.baseline.get(name)
    if level is not None:
        guess = "the most frequent class" if name == "accuracy" else "the mean of the answers"
        told += f" Always guessing {guess} scores {level:.4g}, which is called the constant answer below."
    others = "; ".join(_meaning(other) for other in study.metrics if other != name and _meaning(other) != other)
    return f"{told} {others}." if others else told


def _meaning(name: str) -> str:
    """A metric with what it is; its bare name where that is not known."""
    if name in _MEASURES:
        return f"{name} is {_MEASURES[name]}"
    tolerance = re.fullmatch(r"within_(\d+(\.\d+)?)", name)
    return f"{name} is the share of answers that are off by less than {tolerance[1]}" if tolerance else name


def _cooling(members: Sequence[Member]) -> str:
    """Where the learning rate falls: a curve often bends there, which is no event in the network."""
    cooled = [m for m in members if m.train_settings.get("cool_at")]
    if not cooled:
        return ""
    places = {exactly([m.train_settings["cool_at"], m.train_settings.get("cool_by"), m.updates]) for m in cooled}
    first = cooled[0].train_settings
    when, how = "late in the schedule", "is divided"
    # A stranger's settings may be anything.
    with contextlib.suppress(OverflowError, TypeError, ValueError):
        if len(places) == 1 and len(first["cool_at"]) <= _MOST_PLACES and all(0 < at < 1 for at in first["cool_at"]):
            at = " and ".join(f"{share * cooled[0].updates:,.0f}" for share in first["cool_at"])
            when, how = f"at update {at}", f"is divided by {first['cool_by']:g}"
    return f"Cooling: {when} the learning rate {how}, and curves often bend there."


def _seeds(study: Study) -> str:
    most = max(len({m.seed for m in cell.members}) for cell in study.settings)
    if most >= FEW:
        return ""
    each = "One seed each" if most == 1 else "At most two seeds each"
    return (
        f"{each}: another seed draws another start and another order of the data, and may end elsewhere. Train at "
        f"least {FEW}, with --seed 0, 1 and 2, before one model is called the better."
    )
