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


@contextmanager
def interruptible() -> Iterator[Stop]:
    """The first SIGINT or SIGTERM asks to stop; the second one raises KeyboardInterrupt.

    Asking, so that no write to a record is cut in two.
    """
    stop = Stop()

    def ask(number: int, _: FrameType | None) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name

    if threading.current_thread() is not threading.main_thread():
        yield stop  # Python delivers signals to the main thread alone
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
