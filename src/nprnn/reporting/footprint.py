"""What the networks of a study cost to run, and what came of their exports: the footprint table.

Nothing is measured here: times and accuracies are those that ``nprnn export`` left in ``RUN/exports/*/export.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nprnn.export.footprint import LSTM_GATES, Cost, Size, cost_of
from nprnn.reporting.exports import PRECISIONS, ExportRecord, count, read_exports
from nprnn.reporting.members import LeftOut, Member
from nprnn.reporting.study import Study

LSTM = "LSTM"


@dataclass(frozen=True)
class Line:
    """A row of the table; None is what is not known of it.

    Attributes:
        row: network (in torch), streamer, export or LSTM.
        model: its model, or those of its shape.
        seed: of the run that was exported.
        export: its folder's name.
        format: with its mode where that is not the usual one.
        hidden: H.
        parameters: weights and biases.
        weights_float32: bytes.
        weights_int8: bytes.
        state_float32: bytes.
        state_int8: bytes, beside weights of 8 bits.
        flops_per_step: multiplications and additions.
        seconds_per_step: at batch 1.
        before: the headline of the network in torch.
        after: that of what was exported.
        agreement: share of answers with the same class.
        compared_on: which sequences.
        update: of the exported weights.
        checkpoint: of the exported weights.
        folder: of the run.
        machine: what the time was measured on.
    """

    row: str
    model: str
    seed: int | None = None
    export: str | None = None
    format: str | None = None
    hidden: int | None = None
    parameters: int | None = None
    weights_float32: int | None = None
    weights_int8: int | None = None
    state_float32: int | None = None
    state_int8: int | None = None
    flops_per_step: int | None = None
    seconds_per_step: float | None = None
    before: float | None = None
    after: float | None = None
    agreement: float | None = None
    compared_on: str | None = None
    update: int | None = None
    checkpoint: str | None = None
    folder: str | None = None
    machine: str | None = None


@dataclass(frozen=True)
class Footprint:
    """The footprint table of a study.

    Attributes:
        lines: by shape; first the network, then its exports, then the LSTM.
        remarks: exports that could not be read.
    """

    lines: list[Line]
    remarks: list[LeftOut]

    @property
    def exports(self) -> int:
        """How many exports are in it."""
        return sum(line.row == "export" for line in self.lines)

    @property
    def classes(self) -> bool:
        """Whether any was compared by its classes."""
        return any(line.agreement is not None for line in self.lines)

    @property
    def machines(self) -> list[str]:
        """What the times were measured on."""
        return list(dict.fromkeys(line.machine for line in self.lines if line.machine))


def footprint_of(study: Study, places: Mapping[tuple[str, str], Path]) -> Footprint:
    """Gather the table.

    Args:
        study: the runs.
        places: run folders by ``Member.parent`` and ``Member.folder``.

    Returns:
        The table; without exports it has what formulas tell.
    """
    shapes: dict[Size, list[Member]] = {}
    exports: dict[Size, list[tuple[Member, ExportRecord]]] = {}
    remarks: list[LeftOut] = []
    for member in study.members:
        if (size := _size(member)) is not None:
            shapes.setdefault(size, []).append(member)
        place = places.get((member.parent, member.folder))
        for found in [] if place is None else read_exports(place):
            if isinstance(found, LeftOut):
                remarks.append(found)
                continue
            exports.setdefault(found.size, []).append((member, found))
            if all(known is not member for known in shapes.setdefault(found.size, [])):
                shapes[found.size].append(member)
    lines = [line for size in sorted(shapes) for line in _lines(study, size, shapes[size], exports.get(size, []))]
    return Footprint(lines, remarks)


def _lines(
    study: Study, size: Size, members: Sequence[Member], exports: Sequence[tuple[Member, ExportRecord]]
) -> list[Line]:
    measured = [record for _, record in exports if record.seconds]
    # Those of one export were measured in turns, and can be compared.
    last = max(measured, key=lambda record: record.made, default=None)
    seconds, machine = ({}, None) if last is None else (last.seconds, last.machine)
    models = [m for m in study.models if m != LSTM and any(member.model == m for member in members)]
    lines = []
    if models:
        names = ", ".join(models)
        lines.append(_by_formula("network", names, size, cost_of(size), seconds.get("torch"), machine))
        if "streamer" in seconds:
            time = seconds["streamer"]
            lines.append(Line("streamer", names, hidden=size.hidden, seconds_per_step=time, machine=machine))
    lines += [_of_export(study, member, record) for member, record in exports]
    lines.append(_by_formula("LSTM", LSTM, size, cost_of(size, LSTM_GATES), seconds.get("lstm"), machine))
    return lines


def _by_formula(row: str, model: str, size: Size, cost: Cost, seconds: float | None, machine: str | None) -> Line:
    return Line(
        row,
        model,
        hidden=size.hidden,
        parameters=cost.parameters,
        weights_float32=cost.weight_bytes["float32"],
        weights_int8=cost.weight_bytes["int8"],
        state_float32=cost.state_bytes["float32"],
        state_int8=cost.state_bytes["int8"],
        flops_per_step=cost.flops_per_step,
        seconds_per_step=seconds,
        machine=None if seconds is None else machine,
    )


def _of_export(study: Study, member: Member, record: ExportRecord) -> Line:
    cost = cost_of(record.size)
    seconds = record.seconds.get("export")
    return Line(
        "export",
        member.model,
        member.seed,
        record.name,
        record.kind,
        record.size.hidden,
        cost.parameters,
        **{
            f"{what}_{precision}": size if precision == record.precision else None
            for what, size in (("weights", record.weight_bytes), ("state", record.state_bytes))
            for precision in PRECISIONS
        },
        flops_per_step=cost.flops_per_step,
        seconds_per_step=seconds,
        before=record.expected.get(study.headline),
        after=record.found.get(study.headline),
        agreement=record.agreement,
        compared_on=record.compared_on,
        update=record.update,
        checkpoint=record.checkpoint,
        folder=member.folder,
        machine=None if seconds is None else record.machine,
    )


def _size(member: Member) -> Size | None:
    """The shape of a run's model; None where its config does not tell."""
    try:
        model = json.loads(member.identity)["model"]
        sizes = (model["input_size"], member.train_settings["hidden"], model["output_size"])
        return Size(*(count(value, 1) for value in sizes))
    except (ValueError, KeyError, TypeError):
        return None
