"""Graceful shutdown: Ctrl-C and SIGTERM set a flag that the driver polls.

So no write to a record is interrupted halfway.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class StopFlag:
    """The flag that a signal sets; a second signal raises KeyboardInterrupt."""

    requested: str = ""
    """The signal's name; empty before the first one."""
    _is_shielded: bool = False
    _second_signal: bool = False
    """Whether a second signal came during `shield`."""

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Delay a second signal's KeyboardInterrupt until the end of the block."""
        was_shielded, self._is_shielded = self._is_shielded, True
        try:
            yield
        finally:
            self._is_shielded = was_shielded
        if self._second_signal and not was_shielded:
            self._second_signal = False
            raise KeyboardInterrupt

    def handle_signal(self, number: int, _: FrameType | None) -> None:
        """Handle a signal: set the flag, or interrupt if it is set already."""
        if not self.requested:
            self.requested = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        elif self._is_shielded:
            self._second_signal = True
        else:
            raise KeyboardInterrupt


@contextmanager
def graceful_shutdown() -> Iterator[StopFlag]:
    """Handle SIGINT and SIGTERM during the block: the first sets the flag, the second interrupts.

    Outside the main thread, which alone receives signals, the flag is never set.
    """
    stop = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, stop.handle_signal) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
