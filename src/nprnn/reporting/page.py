"""Reports as one self-contained HTML file: pictures inside, no network, user text escaped."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Sequence
from pathlib import Path

from nprnn.errors import RunError
from nprnn.files import write_atomically
from nprnn.reporting.curves import Curve, learning_curves
from nprnn.runs import Run

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>nprnn report</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
img { max-width: 100%; } table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; } tr.baseline td { color: #555; font-style: italic; }
.scroll { overflow-x: auto; } code { font-size: .9em; }
</style></head><body>
<h1>nprnn report</h1>
{% for group in groups %}
<h2>{{ group.task }}</h2>
<img alt="Learning curves: {{ group.task }}" src="data:image/png;base64,{{ group.picture }}">
<div class="scroll"><table>
<tr><th>run</th><th>reading</th><th>updates</th>{% for m in group.metrics %}<th>test {{ m }}</th>{% endfor %}</tr>
{% for c in group.curves %}{% for name, reading in c.readings.items() %}
<tr><td>{% if loop.first %}{{ c.label }}<br><code>{{ c.folder }}</code>{% endif %}</td><td>{{ name }}</td>
<td>{{ reading["update"] if "update" in reading else c.records[-1]["update"] }} of {{ c.updates }}</td>
{% for m in group.metrics %}<td>{{ "%.4f"|format(reading[m]) if m in reading else "–" }}</td>{% endfor %}</tr>
{% endfor %}{% endfor %}
<tr class="baseline"><td>constant answer</td><td></td><td></td>
{% for m in group.metrics %}<td>{{ "%.4f"|format(group.baseline[m]) if m in group.baseline else "–" }}</td>{% endfor %}
</tr></table></div>
{% endfor %}
<p>Readings of each run: the last iterate; the mean of the last tenth of its evaluations; the iterate that did best
on the validation set. Nothing was chosen by the test set.</p>
</body></html>
"""


def find_runs(paths: Sequence[Path]) -> list[Run]:
    """The runs among ``paths``: run folders, and folders of run folders, in the order of their names.

    Raises:
        RunError: a path that holds none.
    """
    runs = []
    for path in paths:
        folders = [path] if (path / "config.json").exists() else sorted(p.parent for p in path.glob("*/config.json"))
        if not folders:
            raise RunError(f"{path} is not a run folder and holds none (a run has a config.json)")
        runs += [Run.open(folder) for folder in folders]
    return runs


def by_task(runs: Sequence[Run]) -> list[list[Curve]]:
    """The curves of some runs, those of one task setting together.

    Raises:
        RunError: nothing evaluated yet, or a damaged run.
    """

    def key(curve: Curve) -> tuple[str, str]:
        return curve.task, curve.headline

    return [list(group) for _, group in itertools.groupby(sorted(map(Curve.of, runs), key=key), key=key)]


def write_report(runs: Sequence[Run], path: Path) -> Path:
    """Write the report of some runs, a section per task setting.

    Args:
        runs: the runs; each needs an evaluation.
        path: the HTML file to write.

    Returns:
        ``path``.

    Raises:
        RunError: nothing evaluated yet, a damaged run, or ``path`` cannot be written.
    """
    import jinja2

    groups = []
    for group in by_task(runs):
        groups.append(
            {
                "task": group[0].task,
                "curves": group,
                "metrics": list(dict.fromkeys(name for curve in group for name in curve.last)),
                "baseline": group[0].baseline,
                "picture": base64.b64encode(learning_curves(group)).decode(),
            }
        )
    html = (
        jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_PAGE).render(groups=groups)
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path.resolve(), html.encode())
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    return path
