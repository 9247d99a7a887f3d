"""Text measured before it is drawn, so that a picture can be given the room that its words need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nprnn.reporting.sheet import Sheet


class Ruler:
    """Measures text in inches."""

    def __init__(self) -> None:
        self._sheet = Sheet.of(1.0, 1.0)

    def width(self, words: str, size: float, **look: Any) -> float:
        """How wide words are at a font size in points."""
        text = self._sheet.text(0, 0, words, fontsize=size, **look)
        width = float(text.get_window_extent().width) / self._sheet.figure.dpi
        text.remove()
        return width

    def lines(self, words: str, room: float, size: float, most: int = 4, **look: Any) -> list[str]:
        """Words broken into lines no wider than there is room; a last line that more would follow ends with dots."""
        lines = [""]
        for word in words.replace(" %", "\xa0%").split(" "):
            longer = f"{lines[-1]} {word}".strip()
            if not lines[-1] or self.width(longer, size, **look) <= room:
                lines[-1] = longer
            else:
                lines.append(word)
        kept = [self.cut(line, room, size, **look) for line in lines[:most]]
        if len(lines) > most:
            kept[-1] = self.cut(f"{kept[-1]} …", room, size, **look)
        return kept

    def cut(self, words: str, room: float, size: float, **look: Any) -> str:
        """Words, or as many characters of them with dots behind as there is room for."""
        return self._longest(words, room, size, lambda kept: f"{words[:kept].rstrip(' …')}…", look)

    def squeezed(self, words: str, room: float, size: float, **look: Any) -> str:
        """Words, or with dots for their middle: names often differ at their ends."""

        def ends(kept: int) -> str:
            return f"{words[: kept - kept // 2]}…{words[len(words) - kept // 2 :]}"

        return self._longest(words, room, size, ends, look)

    def _longest(
        self, words: str, room: float, size: float, short: Callable[[int], str], look: Mapping[str, Any]
    ) -> str:
        if self.width(words, size, **look) <= room:
            return words
        low, high = 0, len(words) - 1
        while low < high:
            middle = (low + high + 1) // 2
            fits = self.width(short(middle), size, **look) <= room
            low, high = (middle, high) if fits else (low, middle - 1)
        return short(low)
