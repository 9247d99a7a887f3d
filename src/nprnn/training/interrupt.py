"""Ctrl-C and SIGTERM as a request that the loop answers between two updates."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupt:
    """While entered, the first SIGINT or SIGTERM only sets ``signal``; the second acts as it always does.

    Outside the main thread, where Python handles no signals, it does nothing.

    Attributes:
        signal: the number of the signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._old: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        """Listen."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # A signal the parent process had ignored stays so, as does a handler that is not Python's.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._old[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put back who listened before."""
        self._restore()

    @property
    def name(self) -> str:
        """What came, as a person calls it; empty where nothing did."""
        return "" if self.signal is None else "Ctrl-C" if self.signal == signal.SIGINT else "SIGTERM"

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.signal is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self._old = {}
