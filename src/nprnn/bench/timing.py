"""Timing several callables in one run, so that what disturbs the machine disturbs all of them alike."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

# A sample shorter than this many seconds is mostly the clock and the scheduler.
LEAST = 0.005
# Thread pools keep spinning for a moment after their work, and would spin into the next callable's sample.
PAUSE = 0.005


@dataclass(frozen=True)
class Times:
    """How long one call took.

    Attributes:
        samples: seconds a call, one number a round, in the order of the rounds.
    """

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds a call."""
        return statistics.median(self.samples)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The lower and the upper quartile of the samples."""
        if len(self.samples) == 1:
            return self.samples[0], self.samples[0]
        lower, _, upper = statistics.quantiles(self.samples, n=4, method="inclusive")
        return lower, upper

    def shared_by(self, members: int) -> Times:
        """The time of one of the members that a call serves together."""
        return Times(tuple(sample / members for sample in self.samples))


def interleave(
    calls: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    seconds: float = math.inf,
    fewest: int = 1,
    least: float = LEAST,
    around: Callable[[str], contextlib.AbstractContextManager[object]] = lambda name: contextlib.nullcontext(),
    tell: Callable[[int, str], None] = lambda number, name: None,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Times]:
    """Time callables round by round, every second round in the opposite order.

    Each is called twice beforehand: once to warm up, once to learn how many calls make a sample of ``least`` seconds.
    Where that is more than one, every sample starts with a call that does not count.

    Args:
        calls: what to time, by name.
        rounds: samples of each.
        seconds: begin no further round once so much time has passed, warm-up not counted...
        fewest: ... and so many rounds are done.
        least: shortest sample, in seconds.
        around: a context by name, entered around the warm-up and around each sample, outside the timed region.
        tell: told the round's number, from 0, and the name before each sample.
        clock: seconds from some fixed moment.
        sleep: waits some seconds.

    Returns:
        Name to times, all of the same number of samples.
    """
    repeats = {}
    for name, call in calls.items():
        with around(name):
            call()
            repeats[name] = max(1, math.ceil(least / max(sample(call, 1, clock), 1e-9)))
    samples: dict[str, list[float]] = {name: [] for name in calls}
    started = clock()
    for number in range(rounds):
        if number >= fewest and clock() - started >= seconds:
            break
        for name in list(calls) if number % 2 == 0 else reversed(list(calls)):
            tell(number, name)
            sleep(PAUSE)
            with around(name):
                if repeats[name] > 1:
                    calls[name]()
                samples[name].append(sample(calls[name], repeats[name], clock))
    return {name: Times(tuple(values)) for name, values in samples.items()}


def sample(call: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds a call, over so many calls one after the other."""
    start = clock()
    for _ in range(repeats):
        call()
    return (clock() - start) / repeats


def ratios(slow: Times, fast: Times) -> Sequence[float]:
    """How many times longer ``slow`` took than ``fast`` in each round."""
    return [a / b for a, b in zip(slow.samples, fast.samples, strict=True)]


def ratio(slow: Times, fast: Times) -> float:
    """The median over rounds of how many times longer ``slow`` took than ``fast``.

    Of rounds, not of medians: what slows a whole round down drops out.
    """
    return statistics.median(ratios(slow, fast))
