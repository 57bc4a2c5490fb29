"""Ctrl-C and SIGTERM as a question, so that no write to a record is cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Stop:
    requested: str = ""
    """The signal's name, once one came."""
    _shielded: bool = False
    _late: bool = False
    """Whether a second signal came while shielded."""

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """For what must not be cut in two: a second signal inside raises at its end."""
        outer, self._shielded = self._shielded, True
        try:
            yield
        finally:
            self._shielded = outer
        if self._late and not outer:
            self._late = False
            raise KeyboardInterrupt

    def ask(self, number: int, _: FrameType | None) -> None:
        """A signal's handler."""
        if not self.requested:
            self.requested = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        elif self._shielded:
            self._late = True
        else:
            raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[Stop]:
    """The first SIGINT or SIGTERM asks to stop; the second one raises KeyboardInterrupt."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # Python delivers signals to the main thread alone
        return
    before = {number: signal.signal(number, stop.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
