"""Learning curves of runs, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nprnn.errors import RunError
from nprnn.reporting.drawing import COLOURS, STYLES, bare, cut, png
from nprnn.runs import Run
from nprnn.training.readings import readings, side, told

# More lines than this in one picture are a tangle.
MOST_LINES = 14


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
        """The metrics in three readings."""
        return readings(self.records, self.headline, self.higher_is_better)

    @property
    def last(self) -> dict[str, float]:
        """The metrics of the last evaluation."""
        return dict(told(self.records[-1]))

    @property
    def side(self) -> str:
        """The set that evaluations tell of: test, or valid where the test set is withheld."""
        return side(self.records[-1])


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
        value = f"{told(records[-1])[headline]:.4f}" if records else "–"
    except RunError as error:
        return f"damaged: {error}", "", "", ""
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
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
    # A few names fit beside the lines; more of them stand below, each with its own room.
    below = len(curves) > 4
    figure = Figure(figsize=(9.6, 3.8 + (0.2 * (len(curves) + 1) // 2 if below else 0)), layout="constrained")
    left, right = figure.subplots(1, 2)
    for k, curve in enumerate(curves):
        look: dict[str, Any] = {
            "color": COLOURS[k % len(COLOURS)],
            "linestyle": STYLES[k // len(COLOURS) % len(STYLES)],
            "marker": "o",
            "markersize": 3,
            "label": cut(curve.label, 70),
        }
        updates = [record["update"] for record in curve.records]
        left.plot(updates, [record["loss"] for record in curve.records], **look)
        right.plot(updates, [told(record)[headline] for record in curve.records], **look)
    if headline in curves[0].baseline:
        for axes in (left, right) if headline == "mse" else (right,):
            level = curves[0].baseline[headline]
            axes.axhline(level, color="0.45", linewidth=1, linestyle=(0, (2, 2)), label=f"constant answer {level:.4g}")
    for axes, title in ((left, "training loss"), (right, f"{curves[0].side} {cut(headline)}")):
        axes.set_title(title, fontsize=11, parse_math=False)
        axes.set_xlabel("updates")
        bare(axes)
        if headline == "mse":
            axes.set_yscale("log")
    if below:
        lines, names = right.get_legend_handles_labels()
        legend: Any = figure.legend(lines, names, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    else:
        legend = right.legend(frameon=False, fontsize=9)
    for text in legend.get_texts():
        text.set_parse_math(False)
    figure.suptitle(cut(curves[0].task, 110), fontsize=11, x=0.01, ha="left", parse_math=False)
    return png(figure)
