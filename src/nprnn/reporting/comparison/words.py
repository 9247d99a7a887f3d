"""The numbers of a comparison as a person reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nprnn.experiments.comparison import Asked, At, Bar, Comparison
from nprnn.experiments.comparison.spec import Claim

NOTHING = "–"
# Of axes, as the paper writes them.
_SYMBOLS = {"length": "T"}
# So many decimals more tell a number from its bound, or nothing does.
_MORE_DECIMALS = 3
_PERCENT = 100


def amount(value: float, of: float, bound: float | None = None, *, signed: bool = False) -> str:
    """A number of sequences.

    Args:
        value: the number.
        of: how many a whole share is; it decides on decimals.
        bound: what the number is held against: it is never rounded onto it or to its other side.
        signed: whether a plus is written.
    """
    fewest = max(0, round(4 - math.log10(of)))
    enough = (d for d in range(fewest, fewest + _MORE_DECIMALS) if _same_side(round(value, d), value, bound))
    decimals = next(enough, fewest + _MORE_DECIMALS)
    text = f"{value:{'+' if signed else ''},.{decimals}f}"
    zero = float(text.replace(",", "")) == 0
    return f"{0:.{decimals}f}" if zero else text.replace("-", "−")


def _same_side(told: float, value: float, bound: float | None) -> bool:
    return bound is None or ((told > bound) == (value > bound) and (told < bound) == (value < bound))


def symbol(experiment: Comparison) -> str:
    """The axis in few characters."""
    return _SYMBOLS.get(experiment.axis, experiment.axis)


def place(experiment: Comparison, *at: At) -> str:
    """Values of the axis, such as "T = 150, 300" or "plain, permuted pixels"."""
    if experiment.values:
        return experiment.along.words(at)
    return f"{symbol(experiment)} = {', '.join(map(str, at))}"


def where(experiment: Comparison, *at: At) -> str:
    """The same with the word before it, such as "at T = 150, 300" or "with plain pixels"."""
    return f"{'with' if experiment.values else 'at'} {place(experiment, *at)}"


def behind(experiment: Comparison, at: At, words: str) -> str:
    """A value and what stands behind it, such as "T = 150 n = 5" or "plain pixels: n = 5"."""
    return f"{place(experiment, at)}{':' if experiment.values else ''} {words}"


def shares(experiment: Comparison) -> str:
    """What bars show, such as "counts" or "percentages"."""
    return "percentages" if experiment.of == _PERCENT else "counts"


def sentence(words: str) -> str:
    """Words with a capital first, the rest as they are."""
    return words[:1].upper() + words[1:]


def spread_of(values: Sequence[float], of: float) -> str:
    """A mean with the least and the greatest, where there is more than one."""
    mean = amount(math.fsum(values) / len(values), of)
    return f"{mean} ({amount(min(values), of)} to {amount(max(values), of)})" if len(values) > 1 else mean


def mean_of_bar(bar: Bar, of: float) -> str:
    """A bar's mean, beyond doubt within the paper's tolerance or not."""
    if bar.paper is None:
        return amount(bar.mean(), of)
    edge = bar.paper + math.copysign(bar.tolerance, bar.mean() - bar.paper)
    return amount(bar.mean(), of, edge)


def beside_paper(bar: Bar, of: float) -> tuple[str, str, str, str]:
    """A bar's mean, the paper's, the difference, and the outcome."""
    if bar.paper is None:
        return amount(bar.mean(), of), NOTHING, NOTHING, "not in the paper"
    apart = bar.mean() - bar.paper
    difference = amount(apart, of, math.copysign(bar.tolerance, apart), signed=True)
    return mean_of_bar(bar, of), amount(bar.paper, of), difference, bar.outcome or NOTHING


def bound_words(claim: Claim, of: float) -> str:
    """What a claim's number must be, such as "> 7,000"."""
    bounds = [(">", claim.beyond)] if claim.worse else [(">", claim.above), ("<", claim.below)]
    return " and ".join(f"{sign} {amount(bound, of)}" for sign, bound in bounds if bound is not None)


def asked_words(asked: Asked, claim: Claim, of: float) -> str:
    """The number of a claim at a value: a lead with its sign, or the bar."""
    return amount(asked.number, of, asked.bound, signed=bool(claim.worse))


def agreement(asked: Asked, claim: Claim) -> str:
    """How many single runs, or pairs of runs, say what the means say."""
    agree, count = asked.single
    return f"{agree} of {count} {'pair' if claim.worse else 'run'}{'' if count == 1 else 's'}"
