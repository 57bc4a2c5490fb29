"""How long a thread of Python waits for its turn while another one computes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

SWITCH_SECONDS = 0.0005


@contextmanager
def switch_threads_often() -> Iterator[None]:
    """Let other threads wait at most half a millisecond for their turn, for the block.

    After each read, write or fsync the driver's thread must wait for its turn, and the outbox's
    thread computes nearly all the time while MLflow records trials. Python's default is 5 ms, which
    is longer than the driver's whole work for an event.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, SWITCH_SECONDS))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
