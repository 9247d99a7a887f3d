r"""Formulas as MathML, made while the site is built: no script, no font and no network is needed to read them.

Pages write $`x`$ within a line and a fence of the language math for a line of its own, as GitHub does; docstrings write
:math:`x` and ``.. math::``, as torch's do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from latex2mathml.converter import convert
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor
from markdown.preprocessors import Preprocessor

if TYPE_CHECKING:
    from markdown import Markdown

_LINE = r":math:`([^`]+)`|\$`([^`]+)`\$"
_FENCE = re.compile(r"^```math\n(.*?)^```$", re.S | re.M)
_DIRECTIVE = re.compile(r"^( *)\.\. math::[ ]?(.*)$")
# What MathML Core no longer knows, or the library writes as another character.
_SCRIPT = re.compile(r'<mi mathvariant="script">([A-Z])</mi>')
_SCRIPT_LETTERS = {"B": "ℬ", "E": "ℰ", "F": "ℱ", "H": "ℋ", "I": "ℐ", "L": "ℒ", "M": "ℳ", "R": "ℛ"}


def mathml(formula: str, display: str = "inline") -> str:
    """A formula as MathML.

    Raises:
        ValueError: it has a command that is not known.
    """
    found = convert(" ".join(formula.split()), display=display).replace(r"\_", "_")
    if "\\" in found or "&#x0005C;" in found:
        raise ValueError(f"the formula {formula!r} has a command that latex2mathml does not know")
    found = _SCRIPT.sub(lambda m: f"<mi>{_SCRIPT_LETTERS.get(m[1], chr(0x1D49C + ord(m[1]) - ord('A')))}</mi>", found)
    return found.replace("<mi>&#x0007E;</mi>", "<mo>&#x0223C;</mo>")


class _InLine(InlineProcessor):
    def handleMatch(self, m: re.Match[str], data: str) -> tuple[str, int, int]:
        return self.md.htmlStash.store(mathml(m[1] or m[2])), m.start(0), m.end(0)


class _OnItsOwn(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        text = _FENCE.sub(lambda m: self._kept(m[1]), "\n".join(lines))
        return list(self._directives(text.split("\n")))

    def _kept(self, formula: str) -> str:
        made = f'<div class="formula">{mathml(formula, "block")}</div>'
        return f"\n\n{self.md.htmlStash.store(made)}\n\n"

    def _directives(self, lines: list[str]) -> Iterator[str]:
        rest = iter([*lines, None])
        line = next(rest)
        while line is not None:
            found = _DIRECTIVE.match(line)
            if found is None:
                yield line
                line = next(rest)
                continue
            formula = [found[2]]
            line = next(rest)
            while line is not None and (not line.strip() or line.startswith(found[1] + " ")):
                formula.append(line)
                line = next(rest)
            yield from self._kept(" ".join(formula)).split("\n")


class Formulas(Extension):
    """The Markdown extension."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Before code is taken for code."""
        md.inlinePatterns.register(_InLine(_LINE, md), "formulas", 195)
        md.preprocessors.register(_OnItsOwn(md), "formulas", 30)
