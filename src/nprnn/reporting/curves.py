"""Learning curves of runs, as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nprnn.errors import RunError
from nprnn.runs import Run
from nprnn.training.readings import readings

# Okabe and Ito's palette, told apart by the colour-blind; the line styles tell more models apart in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Curve:
    """What a report says of one run.

    Attributes:
        label: model and seed.
        task: the task with its settings.
        headline: the metric to plot.
        baseline: what a constant answer scores, by metric.
        higher_is_better: of that metric.
        records: the evaluations.
        folder: name of the run folder.
        updates: length of the schedule.
    """

    label: str
    task: str
    headline: str
    higher_is_better: bool
    baseline: dict[str, float]
    records: list[dict[str, Any]] = field(repr=False)
    folder: str
    updates: int

    @classmethod
    def of(cls, run: Run) -> Curve:
        """Read a run folder.

        Raises:
            RunError: a damaged config, or nothing evaluated yet.
        """
        records = run.records()
        if not records:
            raise RunError(f"{run.folder} has no evaluation yet; go on with `nprnn train`")
        try:
            train, objective = run.config["train_config"], run.config["objective"]
            return cls(
                f"{train['model']}, seed {train['seed']}",
                task_settings(run),
                objective["headline"],
                objective["higher_is_better"],
                objective["baseline"],
                records,
                run.folder.name,
                train["updates"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{run.folder / 'config.json'} is damaged: {error!r}") from error

    @property
    def readings(self) -> dict[str, dict[str, float]]:
        """The test metrics in three readings."""
        return readings(self.records, self.headline, self.higher_is_better)

    @property
    def last(self) -> dict[str, float]:
        """The metrics of the last evaluation."""
        metrics: dict[str, float] = self.records[-1]["test"]
        return metrics


def task_settings(run: Run) -> str:
    """The task of a run with those of its settings that are not off."""
    settings = ", ".join(f"{k} {v}" for k, v in run.config["task_config"].items() if v not in (None, False))
    return f"{run.config['task']}: {settings}" if settings else str(run.config["task"])


def run_state(folder: Path) -> tuple[str, str, str, str]:
    """State, updates, headline metric and its last test value of a run folder; a damaged one says so."""
    try:
        run = Run.open(folder)
        done, total = run.progress(), int(run.config["train_config"]["updates"])
        records, headline = run.records(), str(run.config["objective"]["headline"])
        value = f"{records[-1]['test'][headline]:.4f}" if records else "–"
    except RunError as error:
        return f"damaged: {error}", "", "", ""
    except (KeyError, TypeError, ValueError) as error:
        return f"damaged: config.json: {error!r}", "", "", ""
    blown = run.diverged()
    if blown is not None:
        state = f"diverged at update {blown}"
    elif run.in_use():
        state = "running"
    else:
        state = "finished" if done >= total else "stopped" if done else "not begun"
    return state, f"{done} of {total}", headline, value


def learning_curves(curves: Sequence[Curve]) -> bytes:
    """Training loss and test metric of runs of one task over the updates, with the baseline, as a PNG.

    Args:
        curves: runs with the same headline metric.

    Returns:
        The PNG's bytes.
    """
    from matplotlib.figure import Figure

    headline = curves[0].headline
    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for k, curve in enumerate(curves):
        look: dict[str, Any] = {
            "color": _COLOURS[k % len(_COLOURS)],
            "linestyle": _STYLES[k // len(_COLOURS) % len(_STYLES)],
            "marker": "o",
            "markersize": 3,
            "label": curve.label,
        }
        updates = [record["update"] for record in curve.records]
        left.plot(updates, [record["loss"] for record in curve.records], **look)
        right.plot(updates, [record["test"][headline] for record in curve.records], **look)
    if headline in curves[0].baseline:
        for axes in (left, right) if headline == "mse" else (right,):
            level = curves[0].baseline[headline]
            axes.axhline(level, color="0.45", linewidth=1, linestyle=(0, (2, 2)), label=f"constant answer {level:.4g}")
    for axes, title in ((left, "training loss"), (right, f"test {headline}")):
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("updates")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if headline == "mse":
            axes.set_yscale("log")
    right.legend(frameon=False, fontsize=9)
    figure.suptitle(curves[0].task, fontsize=11, x=0.01, ha="left", parse_math=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
