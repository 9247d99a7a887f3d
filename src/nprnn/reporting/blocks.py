"""A page as a list of blocks, written as Markdown or as one HTML file, so that the two cannot disagree."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from nprnn.reporting.layout import template
from nprnn.reporting.sheet import plain


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the page's title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class Notice:
    """Plain text that must not be overlooked."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """Items of plain text."""

    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """Cells of plain text.

    Attributes:
        columns: their names; those in ``words`` hold words, all others numbers.
        rows: as many cells each as there are columns.
        words: names of columns.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[str] = ()


@dataclass(frozen=True)
class Picture:
    """A picture by its name, with a text for who cannot see it and a caption."""

    name: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Code:
    """Lines to be copied as they are."""

    text: str


@dataclass(frozen=True)
class Files:
    """CSV files beside the page, content by name: Markdown links to them, HTML holds them."""

    contents: Mapping[str, str]


@dataclass(frozen=True)
class Link:
    """Plain text that leads to another page.

    Attributes:
        text: what it says.
        path: the other page's, from this one.
    """

    text: str
    path: str


Block = Heading | Paragraph | Notice | Bullets | Table | Picture | Code | Files | Link


def as_markdown(blocks: Sequence[Block], pictures: Mapping[str, str]) -> str:
    """A page in Markdown.

    Args:
        blocks: of the page, in order.
        pictures: name of a picture to its path from the page; one that is not here is left out.

    Returns:
        The page's text, of GitHub's dialect.
    """
    parts = [_markdown(block, pictures) for block in blocks]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_html(blocks: Sequence[Block], pictures: Mapping[str, bytes]) -> str:
    """A page as one HTML file that needs no other, but for its links, and runs nothing.

    Args:
        blocks: of the page, in order; the first heading is its title.
        pictures: name of a picture to its PNG; one that is not here is left out.

    Returns:
        The file's text.
    """
    title = next((block.text for block in blocks if isinstance(block, Heading)), "nprnn")
    views = [
        {"kind": type(block).__name__, "block": block}
        for block in blocks
        if not isinstance(block, Picture) or block.name in pictures
    ]
    return template(_PAGE).render(title=title, views=views, pictures=pictures, uri=_uri, path=_path)


def _uri(content: str) -> str:
    return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(content.encode()).decode()}"


def _markdown(block: Block, pictures: Mapping[str, str]) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_escaped(text)}"
        case Paragraph(text):
            return _opening(text)
        case Notice(text):
            return f"> **{_escaped(text)}**"
        case Bullets(items):
            return "\n".join(f"- {_opening(item)}" for item in items)
        case Table():
            return _table(block)
        case Picture(name, alt, caption):
            image = f"![{_escaped(alt)}]({_path(pictures[name])})\n\n{_opening(caption)}" if name in pictures else ""
            return image.strip()
        case Code(text):
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
            return f"{fence}sh\n{text}\n{fence}"
        case Files(contents):
            return "\n".join(f"- [{_escaped(name)}]({_path(name)})" for name in contents)
        case Link(text, path):
            return f"[{_escaped(text)}]({_path(path)})"


def _table(table: Table) -> str:
    rules = [":--" if column in table.words else "--:" for column in table.columns]
    rows = [list(map(_escaped, row)) for row in (table.columns, *table.rows)]
    lines = [f"| {' | '.join(cells)} |" for cells in (rows[0], rules, *rows[1:])]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """Plain text on one line such that Markdown shows it as it is."""
    line = " ".join(plain(text).split())
    return re.sub(r"([\\`*_{}\[\]<>|~$&])", r"\\\1", line)


def _opening(text: str) -> str:
    """The same at the start of a block, where more signs make a heading, a list, a quotation or a rule."""
    return re.sub(r"^(\d*)([-+=#]|(?<=\d)[.)](?=\s|$))", r"\1\\\2", _escaped(text))


def _path(text: str) -> str:
    """A relative path as a link's target."""
    return quote(text)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>{{ style }}
th.words, td.words { text-align: left; min-width: 6rem; } td.number, th.number { white-space: nowrap; }
td.number { font-variant-numeric: tabular-nums; } th.number { white-space: normal; }
td.words:first-child { min-width: 5rem; } figure img { min-width: 42rem; } pre { overflow-x: auto; }
@media (min-width: 46rem) { figure img { min-width: 0; } }
</style></head><body>
{% for view in views %}{% set b = view.block %}
{% if view.kind == "Heading" %}<h{{ b.level }}>{{ b.text }}</h{{ b.level }}>
{% elif view.kind == "Paragraph" %}<p>{{ b.text }}</p>
{% elif view.kind == "Notice" %}<p class="loud">{{ b.text }}</p>
{% elif view.kind == "Bullets" %}<ul>{% for item in b["items"] %}<li>{{ item }}</li>{% endfor %}</ul>
{% elif view.kind == "Table" %}<div class="scroll"><table>
<tr>{% for name in b.columns %}<th scope="col" class="{{ "words" if name in b.words else "number" }}">{{ name }}</th>
{%- endfor %}</tr>
{% for row in b.rows %}<tr>{% for cell in row %}{% set words = b.columns[loop.index0] in b.words -%}
<td class="{{ "words" if words else "number" }}">{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
{% elif view.kind == "Picture" %}<figure><div class="scroll">
<img alt="{{ b.alt }}" src="data:image/png;base64,{{ pictures[b.name]|base64 }}"></div>
<figcaption>{{ b.caption }}</figcaption></figure>
{% elif view.kind == "Code" %}<pre><code>{{ b.text }}</code></pre>
{% elif view.kind == "Files" %}<ul>{% for name, content in b.contents.items() %}
<li><a href="{{ uri(content) }}" download="{{ name }}">{{ name }}</a></li>{% endfor %}</ul>
{% elif view.kind == "Link" %}<p><a href="{{ path(b.path) }}">{{ b.text }}</a></p>
{% endif %}{% endfor %}</body></html>
"""
