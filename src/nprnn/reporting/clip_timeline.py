"""A clip as the network saw it: some of its frames over the time axis, and the likeliest classes under them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nprnn.reporting.clip_scores import ClipScores
from nprnn.reporting.drawing import COLOURS, MARKERS, png
from nprnn.reporting.sheet import Sheet, apart, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLASSES = len(COLOURS)
"""So many lines can be told apart."""

Image = NDArray[np.uint8]

# In inches: frames stand exactly above their moment, which no automatic layout grants.
_WIDTH, _LEFT, _PANEL = 10.6, 0.85, 6.9
_TITLE, _LINK, _SCORES, _BOTTOM = 0.82, 0.24, 3.0, 0.62
_TALLEST, _GAP, _LABEL = 1.1, 0.07, 0.24
# So many frames in a strip, and of those that are higher than wide.
_ACROSS, _UPRIGHT = 7, 8
_TOPS = (0.01, 0.02, 0.05, 0.1, 0.2, 1.0)
_DARK, _GREY = "0.15", "0.4"


def frames_to_show(scores: ClipScores) -> list[int]:
    """The frames that ``clip_picture`` may show, by their places among those that the network saw, ascending."""
    return sorted({*_chosen(scores, _ACROSS), *_chosen(scores, _UPRIGHT)})


def clip_picture(scores: ClipScores, images: Mapping[int, Image], about: str, count: int = 5) -> bytes:
    """Probabilities of the likeliest classes over time, with frames of the clip above.

    Args:
        scores: of the clip.
        images: frames by their places, red, green, blue [H, W, 3]; those of ``frames_to_show``, or fewer, or none.
        about: a line on what made the answer.
        count: classes to draw, at most ``MOST_CLASSES``.

    Returns:
        The PNG's bytes.
    """
    with warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; the files beside the picture have it right.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        return _drawn(scores, images, about, count)


def in_words(probability: float) -> str:
    """A probability in two digits, which never says 1 of what is less, nor 0 of what is more."""
    if 0 < probability < 0.005:
        return "<0.01"
    return ">0.99" if 0.995 <= probability < 1 else f"{probability:.2f}"


def _drawn(scores: ClipScores, images: Mapping[int, Image], about: str, count: int) -> bytes:
    shown, wide, tall = _strip(scores, images)
    link = _LINK if shown else 0.0
    sheet = Sheet.of(_WIDTH, _TITLE + tall + link + _SCORES + _BOTTOM)
    axes = sheet.axes(_LEFT, _BOTTOM, _PANEL, _SCORES)
    times = _times(scores)
    top = scores.top(min(count, MOST_CLASSES))
    _scales(axes, times, wide, float(scores.course[:, [k for k, _ in top]].max()))
    _label_axes(axes, scores)
    _lines(axes, sheet, scores, top)
    _frames(axes, sheet, times, shown, wide, _BOTTOM + _SCORES + link)
    _decision(axes, sheet, scores, _BOTTOM + _SCORES + link + tall / 2 if shown else 0.0)
    _head(sheet, scores, top[0], about)
    return png(sheet.figure)


def _times(scores: ClipScores) -> NDArray[np.float64]:
    return np.array(scores.frames if scores.seconds is None else scores.seconds, np.float64)


def _chosen(scores: ClipScores, count: int) -> list[int]:
    """Places of frames: evenly over time, the first and the last among them."""
    times = _times(scores)
    goals = np.linspace(times[0], times[-1], count)
    return list(range(len(times))) if len(times) <= count else [int(np.abs(times - goal).argmin()) for goal in goals]


def _strip(scores: ClipScores, images: Mapping[int, Image]) -> tuple[dict[int, Image], float, float]:
    """The frames to show by their places, how wide each is drawn, and how high the highest."""
    if not images:
        return {}, 0.6, 0.0
    aspect = max(image.shape[1] / image.shape[0] for image in images.values())
    count = _UPRIGHT if aspect < 1 else _ACROSS
    wide = min(_PANEL / count - _GAP, _TALLEST * aspect)
    shown = {place: images[place] for place in _chosen(scores, count) if place in images}
    return shown, wide, max(wide * image.shape[0] / image.shape[1] for image in images.values())


def _scales(axes: Axes, times: NDArray[np.float64], wide: float, highest: float) -> None:
    """Time such that the first frame's picture begins where the panel does and the last one's ends there."""
    first, last = float(times[0]), float(times[-1])
    half = (last - first) * (wide / 2) / (_PANEL - wide)
    # A single frame stands where the last one always does.
    low = first - half if last > first else last - (_PANEL - wide / 2)
    axes.set_xlim(low, last + (half if last > first else wide / 2))
    axes.set_xticks([t for t in axes.get_xticks() if first <= t <= last] if last > first else [first])
    # Of 0 to 1 as a rule, so that pictures compare; but where the likeliest have little, all would lie on the axis.
    top = min(t for t in _TOPS if t >= min(1.08 * highest, 1.0) or t == 1.0)
    axes.set_ylim(0, top)
    parts = 4 if top in (0.02, 0.2, 1.0) else 5
    ticks = [round(top * k / parts, 6) for k in range(parts + 1)]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.tick_params(labelsize=10)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.patch.set_alpha(0)


def _label_axes(axes: Axes, scores: ClipScores) -> None:
    axes.set_xlabel("frame" if scores.seconds is None else "seconds", fontsize=10.5)
    reading = "probability, mean of frames so far" if scores.at == "mean" else "probability after each frame"
    axes.set_ylabel(reading, fontsize=10.5)


@dataclass(frozen=True)
class _End:
    """Where a line ends, and what is written there."""

    share: float
    name: str
    colour: str
    marker: str = ""
    first: bool = False


def _lines(axes: Axes, sheet: Sheet, scores: ClipScores, top: Sequence[tuple[int, float]]) -> None:
    """A line a class, with its name at its end, and one for all others."""
    times, course, highest = _times(scores), scores.course.numpy(), axes.get_ylim()[1]
    marked = sorted({*range(0, len(times), max(1, len(times) // 25)), len(times) - 1})
    ends = []
    for rank, (k, share) in enumerate(top):
        width, size = (2.6, 5.5) if rank == 0 else (1.5, 4.5)
        axes.plot(
            times,
            course[:, k],
            color=COLOURS[rank],
            marker=MARKERS[rank],
            markevery=marked,
            markersize=size,
            linewidth=width,
            zorder=4 - rank / 10,
            clip_on=False,
        )
        ends.append(_End(share, plain(scores.class_names[k]), COLOURS[rank], MARKERS[rank], rank == 0))
    rest = len(scores.class_names) - len(top)
    if rest:
        others = 1 - course[:, [k for k, _ in top]].sum(1)
        axes.plot(times, others, color=_GREY, linestyle=(0, (1, 1.5)), linewidth=1.5, zorder=2)
        share = max(0.0, 1 - sum(share for _, share in top))
        name = "1 other class" if rest == 1 else f"{rest} others together"
        ends.append(_End(share, name if share <= highest else f"{rest} others, not drawn", _GREY))
    ends.reverse()
    ends.sort(key=lambda end: end.share)
    edge, x = _LEFT + _PANEL, _LEFT + _inches(axes, times[-1])
    marks = [_BOTTOM + min(end.share / highest, 1) * _SCORES for end in ends]
    for mark, y, end in zip(marks, apart(marks, _LABEL, _BOTTOM, _BOTTOM + _SCORES), ends, strict=True):
        if end.share <= highest:
            sheet.line([x, edge, edge + 0.1], [mark, y, y], color=end.colour, linewidth=0.8, alpha=0.8)
        if end.marker:
            sheet.line([edge + 0.2], [y], color=end.colour, marker=end.marker, markersize=6)
        text = sheet.text(edge + 0.33, y, end.name, fontsize=10.5, fontweight="bold" if end.first else "normal")
        sheet.fit(text, _WIDTH - edge - 0.45, tail=f"  {in_words(end.share)}")


def _frames(
    axes: Axes, sheet: Sheet, times: NDArray[np.float64], shown: Mapping[int, Image], wide: float, bottom: float
) -> None:
    """The strip: each frame above its moment, or as near as its neighbours allow, with a line down to it."""
    wishes = [_inches(axes, times[place]) for place in shown]
    middles = apart(wishes, wide + _GAP, wide / 2, _PANEL - wide / 2)
    for wish, middle, (place, image) in zip(wishes, middles, shown.items(), strict=True):
        last = place == len(times) - 1
        frame = sheet.axes(_LEFT + middle - wide / 2, bottom, wide, wide * image.shape[0] / image.shape[1])
        frame.imshow(image, aspect="auto", interpolation="lanczos")
        frame.set_xticks([])
        frame.set_yticks([])
        frame.spines[:].set(color=_DARK if last else "0.7", linewidth=1.6 if last else 0.6)
        look: dict[str, Any] = {"color": "0.6", "linewidth": 0.8}
        if last:
            look = {"color": _DARK, "linewidth": 1.2, "linestyle": (0, (4, 3))}
        sheet.line([_LEFT + wish, _LEFT + middle], [_BOTTOM + _SCORES, bottom], **look, zorder=-1)
        if not last:
            axes.axvline(times[place], color="0.87", linewidth=0.7, zorder=0)


def _decision(axes: Axes, sheet: Sheet, scores: ClipScores, middle: float) -> None:
    """Where the answer is read: a line at the last frame, and words beside the frame's picture if there is one."""
    last = _times(scores)[-1]
    axes.axvline(last, color=_DARK, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    words = "the mean of all frames" if scores.at == "mean" else "at the last frame"
    if middle:
        sheet.text(_LEFT + _PANEL + 0.12, middle, f"answer read here:\n{words}", fontsize=10, color=_DARK)
    else:
        x = _LEFT + _inches(axes, last)
        sheet.text(x, _BOTTOM + _SCORES + 0.12, f"answer read here: {words}", fontsize=10, color=_DARK, ha="right")


def _head(sheet: Sheet, scores: ClipScores, best: tuple[int, float], about: str) -> None:
    room = _WIDTH - 0.3
    title = sheet.text(0.15, sheet.height - 0.33, plain(scores.class_names[best[0]]), fontsize=15, fontweight="bold")
    sheet.fit(title, room, tail=f", probability {in_words(best[1])}")
    under = sheet.text(0.15, sheet.height - 0.62, plain(scores.name), fontsize=10, color="0.25")
    sheet.fit(under, room, tail=f"   {plain(about)}")


def _inches(axes: Axes, time: float) -> float:
    """Where a moment is, from the panel's left edge."""
    low, high = axes.get_xlim()
    return float((time - low) / (high - low) * _PANEL)
