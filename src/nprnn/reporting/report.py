"""A report put together: each study with its criterion, rates, pictures and tables, each made once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nprnn.errors import ConfigError, RunError
from nprnn.reporting.curves import MOST_LINES, learning_curves
from nprnn.reporting.dots import dots_by_model, rate_picture
from nprnn.reporting.explained import FEW
from nprnn.reporting.footprint import Footprint, footprint_of
from nprnn.reporting.heatmaps import MOST_VALUES, heat_map
from nprnn.reporting.members import LeftOut, clean, read_members
from nprnn.reporting.over_keys import dots_over_keys
from nprnn.reporting.panels import curve_panels
from nprnn.reporting.study import Study, studies
from nprnn.reporting.success import Criterion, Rate, criteria, rates
from nprnn.reporting.sweep_copy import Asked, asked_for
from nprnn.reporting.tables import Row, cell_rows, curve_rows, dot_rows, rate_rows, run_rows


@dataclass(frozen=True)
class Picture:
    """A picture with what goes beside it.

    Attributes:
        kind: curves, sensitivity, seeds or success.
        heading: what it shows.
        png: its bytes.
        caption: what it does not say itself.
        rows: the numbers behind it.
    """

    kind: str
    heading: str
    png: bytes
    caption: str
    rows: list[Row]


@dataclass(frozen=True)
class Section:
    """What a report says of one study.

    Attributes:
        name: for its files.
        study: the study.
        criterion: what counts as success; None where nothing says.
        rates: the success rates, of models with runs enough; empty without a criterion.
        few: models with runs that have ended, and too few of them for a rate; empty where there is a single run.
        pictures: in the order of the page.
        runs: a row a run and reading.
        footprint: what its networks take, and what came of their exports.
    """

    name: str
    study: Study
    criterion: Criterion | None
    rates: list[Rate]
    few: list[str]
    pictures: list[Picture]
    runs: list[Row]
    footprint: Footprint


@dataclass(frozen=True)
class Report:
    """Studies, and what could not be read.

    Attributes:
        sections: one for each study.
        left_out: folders that no number stands on.
        notes: what else to tell of the runs.
    """

    sections: list[Section]
    left_out: list[LeftOut]
    notes: Sequence[str] = ()

    @property
    def harmed(self) -> list[LeftOut]:
        """Runs whose numbers stand, with what is damaged or lost beside them."""
        members = (member for section in self.sections for member in section.study.members)
        return [LeftOut(member.folder, told) for member in members for told in member.remarks]

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return sum(len(section.study.members) for section in self.sections)

    def sensitivity(self) -> bytes:
        """The only picture of the metric over settings, as a PNG.

        Raises:
            ConfigError: there is none, or more than one.
        """
        found = [p.png for section in self.sections for p in section.pictures if p.kind == "sensitivity"]
        if len(found) != 1:
            titles = "; ".join(section.study.title for section in self.sections)
            raise ConfigError(
                f"a heat map needs runs of one study whose settings vary, got {len(found)} such studies among: {titles}"
            )
        return found[0]


def assemble(
    folders: Sequence[Path],
    *,
    keys: Sequence[str] = (),
    success: str | None = None,
    named: Sequence[Path] = (),
) -> Report:
    """Read runs and make everything that a report shows.

    Args:
        folders: run folders.
        keys: one or two settings to draw over; empty takes those that vary most.
        success: the criterion, such as "mse<0.01"; None takes each study's default.
        named: what the run folders were found by; where that is the folder of a sweep, the runs that its file does not
            ask for are left out. Empty takes all.

    Returns:
        The report.

    Raises:
        RunError: no run can be read, or none has an evaluation or an end yet.
        ConfigError: keys or a criterion that do not fit the runs.
    """
    asked = asked_for(named, folders) if named else Asked(list(folders), [], [])
    folders = asked.folders
    members, left_out = read_members(folders)
    if not members:
        raise RunError(f"none of {len(folders)} runs can be read; {left_out[0].folder}: {left_out[0].reason}")
    if not any(m.records or m.ended for m in members):
        raise RunError(f"{folders[0]} has no evaluation yet; go on with `nprnn train`")
    found = studies(members, keys)
    wanted = criteria(found, success)
    places = {(str(folder.resolve().parent), clean(folder.name)): folder for folder in folders}
    sections = [_section(k, study, wanted[k], places) for k, study in enumerate(found)]
    return Report(sections, [*asked.left_out, *left_out], asked.notes)


def _section(place: int, study: Study, criterion: Criterion | None, places: Mapping[tuple[str, str], Path]) -> Section:
    known = rates(study, criterion) if criterion else []
    found = [rate for rate in known if rate.runs >= FEW]
    few = [rate.model for rate in known if rate.runs < FEW] if len(study.members) > 1 else []
    pictures = []
    with_records = [m for m in study.members if m.records]
    if with_records:
        many = len(with_records) > MOST_LINES
        png, caption = curve_panels(study) if many else _lines(study)
        pictures.append(Picture("curves", "Learning curves", png, caption, curve_rows(study)))
    if study.axes and any(m.ended for m in study.members):
        pictures.append(_sensitivity(study))
    # One run is told in full by its curve and its row in the table.
    if len(study.members) > 1 and any(m.ended for m in study.members):
        png, caption = dots_by_model(study, criterion)
        pictures.append(Picture("seeds", "Every run as a dot", png, caption, dot_rows(study)))
        if criterion and found:
            caption = (
                f"Success: {study.side} {criterion} by the last iterate ({criterion.origin}). Mark: successes over "
                "runs; line: Wilson's 95 % interval, which takes the runs for independent draws. A run that diverged "
                "is a failure."
            )
            pictures.append(
                Picture("success", "Success rates", rate_picture(found, study), caption, rate_rows(found, criterion))
            )
    words = re.sub(r"[^a-z0-9]+", "-", study.members[0].task.lower()).strip("-")[:40]
    name = f"{place + 1}-{words or 'task'}"
    return Section(
        name, study, criterion, found, few, pictures, run_rows(study, criterion), footprint_of(study, places)
    )


def _lines(study: Study) -> tuple[bytes, str]:
    curves = [member.curve(study.label(member), study.title) for member in study.members if member.records]
    return learning_curves(curves), f"Training loss, and the metric on the {study.side} set, over the updates."


def _sensitivity(study: Study) -> Picture:
    heading = f"Sensitivity to {' and '.join(study.axes)}"
    small = all(len(study.values(key)) <= MOST_VALUES for key in study.axes)
    if len(study.axes) == 2 and small:
        png, caption = heat_map(study)
        return Picture("sensitivity", heading, png, caption, cell_rows(study, study.pooled(study.axes)))
    png, caption = dots_over_keys(study)
    rows = [row for key in study.axes for row in cell_rows(study, study.pooled([key]))]
    return Picture("sensitivity", heading, png, caption, rows)
