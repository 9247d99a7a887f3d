"""The HTML of pages as templates; all text goes through autoescape."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
img { max-width: 100%; } table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #ddd; vertical-align: top; }
th:first-child, td:first-child { text-align: left; } tr.baseline td { color: #555; font-style: italic; }
.scroll { overflow-x: auto; } code { font-size: .9em; overflow-wrap: anywhere; } figure { margin: 1rem 0 1.5rem; }
figcaption { color: #444; max-width: 50rem; } summary { cursor: pointer; }
.dense th, .dense td { padding: .3rem .4rem; } .dense td:first-child { min-width: 14em; }
.loud { border-left: .3rem solid #D55E00; padding: .3rem .8rem; background: #fdf1ea; }
"""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>nprnn report</title>
<style>{{ style }}</style></head><body>
{% macro links(found) %}{% for link in found %}
<a href="{{ link.uri }}" download="{{ link.name }}">{{ link.text }}</a>{% endfor %}{% endmacro %}
{% macro count(value) %}{{ "–" if value is none else "{:,}".format(value) }}{% endmacro %}
{% macro number(value) %}{{ "–" if value is none else "%.4f"|format(value) }}{% endmacro %}
<h1>nprnn report</h1>
{% if left_out %}
<div class="loud"><p>LEFT OUT: {{ left_out|length }} folder{{ "s" if left_out|length > 1 else "" }}</p>
<ul>{% for folder in left_out %}<li><code>{{ folder.folder }}</code>: {{ folder.reason }}</li>{% endfor %}</ul></div>
{% endif %}
{% if harmed %}
<div class="loud"><p>HARMED, and not left out:</p>
<ul>{% for folder in harmed %}<li><code>{{ folder.folder }}</code>: {{ folder.reason }}</li>{% endfor %}</ul></div>
{% endif %}
{% for note in notes %}
<div class="loud"><p>{{ note }}</p></div>
{% endfor %}
{% for s in sections %}
<h2>{{ s.study.title }}</h2>
<p>{{ s.about|join(" ") }}</p>
<p>{{ s.study.members|length }} run{{ "s" if s.study.members|length > 1 else "" }} of {{ s.study.models|join(", ") }}.
{% if s.study.keys %}What varies: {% for key, values in s.varied.items() %}<b>{{ key }}</b> ({{ values }}){{
 ", " if not loop.last else "" }}{% endfor %}.{% endif %}</p>
{% if s.unfinished %}
<div class="loud"><p>NOT FINISHED: {{ s.unfinished|length }} of {{ s.study.members|length }} runs. They are left out of
every mean and rate below.</p>
<details><summary>which</summary><ul>{% for m in s.unfinished %}
<li><code>{{ m.folder }}</code>: {{ m.ended_at }} of {{ m.updates }} updates</li>{% endfor %}</ul></details></div>
{% endif %}
{% for p in s.pictures %}
<h3>{{ p.heading }}</h3>
<figure>
<img alt="{{ p.heading }}: {{ s.study.title }}" src="data:image/png;base64,{{ p.png|base64 }}">
<figcaption>{{ p.caption }} {{ links(p.links) }}</figcaption></figure>
{% if p.kind == "success" %}
<div class="scroll"><table>
<tr><th>model</th><th>succeeded</th><th>rate</th><th>95 % interval</th><th>diverged</th><th>not finished</th>
<th>settings solved by every seed</th></tr>
{% for r in s.rates %}
<tr><td>{{ r.model }}</td><td>{{ r.successes }} of {{ r.runs }}</td><td>{{ "%.3f"|format(r.rate) }}</td>
<td>{{ "%.3f"|format(r.low) }} to {{ "%.3f"|format(r.high) }}</td><td>{{ r.diverged }}</td>
<td>{{ r.not_finished }}</td><td>{{ r.solved }} of {{ r.settings }}</td></tr>
{% endfor %}</table></div>
{% endif %}
{% endfor %}
{% if s.few %}
<p>Success is {{ s.study.side }} {{ s.criterion }} by the last iterate ({{ s.criterion.origin }}). No success rate is
told of {{ s.few|join(", ") }}: fewer than {{ least }} runs have ended.</p>
{% endif %}
{% if s.best %}
<h3>Best setting of each model, chosen by validation</h3>
<div class="scroll"><table>
<tr><th>model</th><th>setting</th><th>runs</th><th>validation</th>
{% for name in s.readings %}<th>{{ s.study.side }}, {{ name }}</th>{% endfor %}</tr>
{% for b in s.best %}
<tr><td>{{ b.model }}</td><td>{{ b.text }}</td><td>{{ b.n }}</td><td>{{ number(b.validation) }}</td>
{% for name in s.readings %}<td>{{ number(b.tests[name].mean) }}{% if b.tests[name]["values"]|length > 1 %}<br>
{{ number(b.tests[name]["values"]|min) }} to {{ number(b.tests[name]["values"]|max) }}{% endif %}</td>{% endfor %}</tr>
{% endfor %}</table></div>
<p>{{ s.study.headline }}: the mean over the runs of the setting that finished, with the least and the greatest.
The setting was chosen by the mean validation {{ s.study.headline }} of the last iterates, among settings that lost the
fewest seeds. {{ links(s.best_links) }}</p>
{% endif %}
<h3>Runs</h3>
{% if s.folded %}<details><summary>all {{ s.study.members|length }} runs</summary>{% endif %}
<div class="scroll"><table>
<tr><th>run</th><th>state</th><th>reading</th><th>updates</th>
{% for m in s.study.metrics %}<th>{{ s.study.side }} {{ m }}</th>{% endfor %}</tr>
{% for run in s.runs %}{% for reading in run.readings %}
<tr><td>{% if loop.first %}{{ run.label }}<br><code>{{ run.member.folder }}</code>{% endif %}</td>
<td>{% if loop.first %}{{ run.state }}{% endif %}</td><td>{{ reading.name }}</td>
<td>{{ reading["update"] }} of {{ run.member.updates }}</td>
{% for m in s.study.metrics %}<td>{{ number(reading.metrics.get(m)) }}</td>{% endfor %}</tr>
{% endfor %}{% endfor %}
<tr class="baseline"><td>constant answer</td><td></td><td></td><td></td>
{% for m in s.study.metrics %}<td>{{ number(s.study.baseline.get(m)) }}</td>{% endfor %}
</tr></table></div>
{% if s.folded %}</details>{% endif %}
<p>{{ links(s.run_links) }}</p>
{% if s.footprint.lines %}
<h3>Footprint</h3>
{% if s.footprint_folded %}<details><summary>all {{ s.footprint.lines|length }} rows</summary>{% endif %}
<div class="scroll"><table class="dense">
<tr><th rowspan="2">network</th><th rowspan="2">parameters</th><th colspan="2">weights, bytes</th>
<th colspan="2">state, bytes</th><th rowspan="2">flops a step</th><th rowspan="2">µs a step</th>
{% if s.footprint.exports %}<th colspan="2">test {{ s.study.headline }}</th>{% endif %}
{% if s.footprint.classes %}<th rowspan="2">same class</th>{% endif %}</tr>
<tr><th>float32</th><th>int8</th><th>float32</th><th>int8</th>
{% if s.footprint.exports %}<th>in torch</th><th>exported</th>{% endif %}</tr>
{% for f in s.footprint.lines %}
<tr><td>{% if f.row == "export" %}{{ f.export }}{% if not
(f.export ~ "-").startswith(f.format|replace(", ", "-") ~ "-") %} ({{ f.format }}){% endif %}{% if
f["update"] is not none %}, update {{ f["update"] }}{% endif %}<br><code>{{ f.folder }}</code>{% elif
f.row == "streamer" %}the same in nprnn.Streamer{% else %}{{ f.model }}, {{ f.hidden }} hidden units, in torch{%
if f.model not in s.study.models and f.row == "LSTM" %}<br>(not trained: to compare with){% endif %}{%
endif %}</td><td>{{ count(f.parameters) }}</td>
<td>{{ count(f.weights_float32) }}</td><td>{{ count(f.weights_int8) }}</td>
<td>{{ count(f.state_float32) }}</td><td>{{ count(f.state_int8) }}</td><td>{{ count(f.flops_per_step) }}</td>
<td>{{ "–" if f.seconds_per_step is none else "%.3g"|format(1e6 * f.seconds_per_step) }}</td>
{% if s.footprint.exports %}<td>{{ number(f.before) }}</td><td>{{ number(f.after) }}{% if
f.compared_on and f.compared_on != "the whole test set" %}<br>{{ f.compared_on }}{% endif %}</td>{% endif %}
{% if s.footprint.classes %}<td>{{ "–" if f.agreement is none else "%.2f %%"|format(100 * f.agreement) }}</td>{%
endif %}</tr>
{% endfor %}</table></div>
{% if s.footprint_folded %}</details>{% endif %}
{% if "LSTM" not in s.study.models %}
<p>No LSTM was trained here: its row is what one of as many hidden units would take, sizes and flops by formula and a
time, where there is one, with untrained weights.</p>
{% endif %}
<p>Parameters are those that inference needs: one bias a unit, for the LSTM one a gate and unit. Bytes of an export are
as its format counts them, the others by formula: in float32 4 a number; in int8 1 a weight, 8 a row for its scale and
bias, 2 a number of the state. Flops are the multiplications and additions of the matrix products, with I inputs, H
hidden units and O outputs: 2H(I + H) + 2OH, for the LSTM 8H(I + H) + 2OH; biases and activations are not counted.
{% if s.footprint.exports %}Exports were compared with the network on the whole test set, where nothing else is said.
{% endif %}
{% if s.footprint.machines %}A step's time is that of a single sequence, as <code>nprnn export</code> measured it, the
median of turns: in torch a call of <code>RNNCell</code> or <code>LSTMCell</code> and of the head, on one thread; of an
export what a longer sequence takes beyond a shorter one, without the head where only a sequence is answered.
Measured on {{ s.footprint.machines|join("; ") }}.{% endif %}
{% if not s.footprint.exports %}<code>nprnn export</code> measures a step's time and what int8 costs.{% endif %}
{{ links(s.footprint_links) }}</p>
{% endif %}
{% if s.footprint.remarks %}
<div class="loud"><p>EXPORTS LEFT OUT: {{ s.footprint.remarks|length }}</p>
<ul>{% for e in s.footprint.remarks %}<li><code>{{ e.folder }}</code>: {{ e.reason }}</li>{% endfor %}</ul></div>
{% endif %}
{% endfor %}
<p>Readings of each run: the last iterate; the mean of the last tenth of its evaluations; the iterate that did best
on the validation set. Nothing was chosen by the test set.</p>
</body></html>
"""


def template(text: str) -> Template:
    """A page's template: what is put in is escaped, a name that is missing is an error.

    It has ``style``, the style sheet of all pages, and the filter ``base64``, which takes bytes.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode()
    environment.globals["style"] = Markup(STYLE)
    return environment.from_string(text)
