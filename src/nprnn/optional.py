"""Libraries that only some commands need, imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from nprnn.errors import ConfigError


def needed(name: str, purpose: str, extra: str) -> Any:
    """A library of an extra.

    Args:
        name: of the module.
        purpose: what it is needed for, as the start of a sentence.
        extra: the extra that brings it, such as ``video``.

    Returns:
        The module.

    Raises:
        ConfigError: it is not installed, or does not load.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"{purpose} needs the library {name}, which cannot be imported ({error}); "
            f"install it with: pip install 'nprnn[{extra}]'"
        ) from error
