"""How a model's answers fall: confusion matrix and per-class figures, or errors; and a picture of either."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import torch
from rich.markup import escape
from rich.table import Table
from torch import Tensor

# A table of more classes than this is for the file, not for the terminal.
SHOWN_CLASSES = 30


@dataclass(frozen=True)
class Judgement:
    """Answers against the truth.

    Attributes:
        class_names: of a classification; None for numbers.
        confusion: [classes, classes] counts, rows are the truth; None for numbers.
        truth: numbers [M, O]; None for classes.
        answers: numbers [M, O]; None for classes.
    """

    class_names: tuple[str, ...] | None
    confusion: Tensor | None = None
    truth: Tensor | None = None
    answers: Tensor | None = None

    def per_class(self) -> list[dict[str, Any]]:
        """For each class: name, count, recall (share of its members found) and precision (share of its answers right).

        A share of nothing is None.
        """
        if self.confusion is None or self.class_names is None:
            return []
        right, count, given = self.confusion.diagonal(), self.confusion.sum(1), self.confusion.sum(0)
        return [
            {
                "class": name,
                "count": int(count[k]),
                "recall": float(right[k] / count[k]) if count[k] else None,
                "precision": float(right[k] / given[k]) if given[k] else None,
            }
            for k, name in enumerate(self.class_names)
        ]

    def as_record(self) -> dict[str, Any]:
        """As JSON values."""
        if self.confusion is not None:
            return {"confusion": self.confusion.tolist(), "classes": self.per_class()}
        if self.truth is None or self.answers is None:
            return {}
        error = (self.answers - self.truth).double()
        return {
            "errors": {
                "mean": float(error.mean()),
                "mean_absolute": float(error.abs().mean()),
                "largest_absolute": float(error.abs().max()),
            }
        }


def judge(outputs: Tensor, truth: Tensor, class_names: tuple[str, ...] | None) -> Judgement:
    """Count the answers of a model.

    Args:
        outputs: [M, O].
        truth: classes [M], or numbers [M] or [M, O].
        class_names: of a classification; None for numbers.

    Returns:
        The judgement.
    """
    if class_names is None:
        return Judgement(None, truth=truth.view_as(outputs), answers=outputs)
    n = len(class_names)
    counts = torch.bincount(truth * n + outputs.argmax(-1), minlength=n * n).view(n, n)
    return Judgement(class_names, confusion=counts)


def judgement_tables(found: Judgement) -> list[Table]:
    """Per-class figures and the confusion matrix for a terminal; none for numbers."""
    if found.confusion is None or found.class_names is None or len(found.class_names) > SHOWN_CLASSES:
        return []
    figures = Table(title="per class", title_justify="left")
    for name in ("class", "count", "recall", "precision"):
        figures.add_column(name, justify="left" if name == "class" else "right")
    for row in found.per_class():
        shares = ("–" if row[key] is None else f"{row[key]:.3f}" for key in ("recall", "precision"))
        figures.add_row(escape(row["class"]), str(row["count"]), *shares)
    if len(found.class_names) > 12:
        return [figures]
    matrix = Table(title="truth (rows) and answers (columns)", title_justify="left")
    matrix.add_column("")
    for name in found.class_names:
        matrix.add_column(escape(name), justify="right")
    for name, row in zip(found.class_names, found.confusion.tolist(), strict=True):
        matrix.add_row(escape(name), *map(str, row))
    return [figures, matrix]


def judgement_picture(found: Judgement) -> bytes:
    """The confusion matrix as shares of each true class, or answers over truth, as a PNG."""
    from matplotlib.figure import Figure

    if found.confusion is not None and found.class_names is not None:
        n = len(found.class_names)
        side = min(3.2 + 0.35 * n, 16)
        figure = Figure(figsize=(side + 1, side), layout="constrained")
        axes = figure.subplots()
        share = found.confusion / found.confusion.sum(1, keepdim=True).clamp(min=1)
        image = axes.imshow(share.numpy(), cmap="cividis", vmin=0, vmax=1)
        figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
        if n <= 60:
            axes.set_xticks(range(n), found.class_names, rotation=90, fontsize=8, parse_math=False)
            axes.set_yticks(range(n), found.class_names, fontsize=8, parse_math=False)
        if n <= 25:
            for row in range(n):
                for column in range(n):
                    count = int(found.confusion[row, column])
                    colour = "black" if share[row, column] > 0.5 else "white"
                    if count:
                        axes.text(column, row, str(count), ha="center", va="center", fontsize=7, color=colour)
        axes.set_xlabel("answer")
        axes.set_ylabel("truth")
    else:
        figure = Figure(figsize=(4.8, 4.5), layout="constrained")
        axes = figure.subplots()
        if found.truth is not None and found.answers is not None:
            truth, answers = found.truth.flatten()[:5000], found.answers.flatten()[:5000]
            low, high = float(torch.minimum(truth, answers).min()), float(torch.maximum(truth, answers).max())
            axes.plot([low, high], [low, high], color="0.5", linewidth=1)
            axes.scatter(truth.numpy(), answers.numpy(), s=4, alpha=0.4, color="#0072B2", linewidths=0)
        axes.set_xlabel("truth")
        axes.set_ylabel("answer")
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def prediction_rows(name: str, output: Tensor, class_names: tuple[str, ...] | None) -> list[dict[str, str | float]]:
    """Predictions as rows for a table: the class with its probability and all probabilities, or the numbers.

    Args:
        name: of the sequence.
        output: [1, O], or [T, O] where each step has an answer of its own.
        class_names: of a classification; None for numbers.

    Returns:
        One row for each output.
    """
    rows: list[dict[str, str | float]] = []
    for step, values in enumerate(output.double()):
        row: dict[str, str | float] = {"sequence": name}
        if len(output) > 1:
            row["step"] = step
        if class_names is None:
            row |= {f"y{k}" if len(values) > 1 else "y": float(v) for k, v in enumerate(values)}
        else:
            shares = torch.softmax(values, -1)
            best = int(shares.argmax())
            row |= {"class": class_names[best], "probability": round(float(shares[best]), 6)}
            row |= {f"p({label})": round(float(p), 6) for label, p in zip(class_names, shares, strict=True)}
        rows.append(row)
    return rows
