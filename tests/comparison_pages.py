"""What tests of comparisons share: pages in both forms, the figures that are drawn, and what can be read in them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import pytest
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from html_pages import Page, rendered
from nprnn.experiments.comparison import ComparisonFindings
from nprnn.reporting.blocks import as_html, as_markdown
from nprnn.reporting.comparison import bars, comparison_blocks, courses, curves, families, published, rows, trials

PNG = b"\x89PNG\r\n\x1a\n"
COMMAND = "nprnn reproduce tiny --scale half"


def both(findings: ComparisonFindings) -> list[Page]:
    """The page from Markdown, and from HTML."""
    blocks = comparison_blocks(findings, COMMAND)
    return [rendered(as_markdown(blocks, {})), Page(as_html(blocks, {}))]


def table(page: Page, first: str, other: str) -> list[dict[str, str]]:
    """The rows of the first table with these columns."""
    [rows, *_] = [rows for rows in page.tables if rows[0][0] == first and other in rows[0]]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures of the pictures that are made from now on; their bytes are not."""
    kept: list[Figure] = []

    def keep(figure: Figure) -> bytes:
        kept.append(figure)
        return PNG

    for module in (bars, courses, curves, families, published, rows, trials):
        monkeypatch.setattr(module, "png", keep)
    return kept


def texts_of(figure: Figure) -> list[Text]:
    """All texts that are drawn: ticks beyond an axis are not."""
    unseen = {id(label) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for label in beyond(axis)}
    found = [t for t in figure.findobj(Text) if isinstance(t, Text) and t.get_text().strip() and t.get_visible()]
    return [text for text in found if id(text) not in unseen]


def beyond(axis: Axis) -> Iterator[Text]:
    low, high = sorted(axis.get_view_interval())
    for tick in axis.get_major_ticks():
        if not low <= tick.get_loc() <= high:
            yield from (tick.label1, tick.label2)


def words_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in texts_of(figure)]


def marks(axes: Axes, marker: str) -> list[float]:
    """Heights of all markers of a kind."""
    lines = [line for line in axes.get_lines() if line.get_marker() == marker]
    return [float(y) for line in lines for y in line.get_ydata()]  # type: ignore[union-attr]


def check(figure: Figure) -> None:
    """No text lies on another, beyond the figure's edge, or is below 8 points; no picture is wider than a page."""
    FigureCanvasAgg(figure).draw()
    texts = texts_of(figure)
    assert min(text.get_fontsize() for text in texts) >= 8
    assert figure.get_figwidth() < 13.01
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    for words, box in boxes:
        assert box.x0 >= 0, words
        assert box.x1 <= figure.bbox.width, words
        assert box.y0 >= 0, words
        assert box.y1 <= figure.bbox.height, words
    for (one, a), (other, b) in combinations(boxes, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across < 2 or down < 3, (one, other)
