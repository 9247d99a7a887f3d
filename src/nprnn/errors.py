"""The exceptions nprnn raises, and the one sentence maker for misspelt names.

Every message says what was expected, what came, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NprnnError(Exception):
    """Base of all errors that nprnn raises on purpose; the command line prints them without a traceback."""


class InputError(NprnnError, ValueError):
    """A tensor or argument of the wrong shape, dtype, device or range."""


class ConfigError(NprnnError, ValueError):
    """A setting that is unknown, of the wrong kind, or makes no sense with the others."""


class DataError(NprnnError, ValueError):
    """A data file that is missing, truncated, of another format, or not what it claims to be."""


class AbsentDataError(DataError):
    """No data at all where they should be: no such folder, for one."""


class RunError(NprnnError, RuntimeError):
    """A run folder that is missing, incomplete, damaged, or belongs to another config."""


class NonFiniteError(NprnnError, ArithmeticError):
    """The training loss became NaN or infinite; the last good checkpoint was kept."""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The member of ``names`` most like ``name``, whatever its case, or None if nothing is alike."""
    lowered = {known.lower(): known for known in names}
    found = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    return lowered[found[0]] if found else None


def unknown(kind: str, name: str, names: Iterable[str]) -> ConfigError:
    """The error for an unknown ``kind`` (such as "model"), naming the nearest right name and all of them."""
    known = list(names)
    guess = nearest(name, known)
    hint = f" Did you mean {guess!r}?" if guess else ""
    return ConfigError(f"unknown {kind} {name!r}.{hint} Known: {', '.join(known)}.")
