"""The thread that sends an outbox's writes in order to a tracker.

An unavailable tracker is retried with growing pauses. Any other error ends the thread; the next
write raises it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from harness.errors import HarnessError, StoreError, StudyError, Unavailable
from harness.system.failpoints import failpoint
from harness.tracking.base import Tracker
from harness.tracking.outbox.messages import LogEpochs, Write, merge_epochs
from harness.tracking.outbox.queue import Outbox

MAX_POINTS_PER_CALL = 500
"""The most points that are sent together, so that those of one trial go in one call."""
POINTS_DELAY = 1.0
"""Seconds that points wait for more points before they are sent."""
MIN_PAUSE, MAX_PAUSE = 0.5, 15.0
"""Seconds between attempts, doubled each time."""


class Sender:
    """Sends the unsent writes of an outbox until it is stopped."""

    def __init__(self, outbox: Outbox, connect: Callable[[], Tracker]) -> None:
        """`connect` is called in the thread, again after each Unavailable."""
        self._outbox, self._connect = outbox, connect
        self.tracker: Tracker | None = None
        self.condition = threading.Condition()
        """Must be held to use the outbox; notified after every write and every send."""
        self.trouble = ""
        """Why the last attempt failed; empty after a successful one."""
        self.error: HarnessError | None = None
        """The error that ended the thread."""
        self._hurry = self._stopping = self._started = False
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        """Start the thread, unless it was started before."""
        if not self._started:
            self._started = True
            self._thread.start()

    def hurry(self) -> None:
        """End the current wait for more points or for the next attempt."""
        with self.condition:
            self._hurry = True
            self.condition.notify_all()

    def stop(self, timeout: float) -> None:
        """Ask the thread to end, and wait up to `timeout` seconds for it.

        A thread that hangs in a call ends with the process.
        """
        with self.condition:
            self._stopping = True
            self.condition.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)

    @property
    def is_done(self) -> bool:
        """Whether every write was sent."""
        return self.tracker is not None and self._outbox.sent == self._outbox.size

    def _run(self) -> None:
        pause = MIN_PAUSE
        while not self._stopping:
            try:
                if self.tracker is None:
                    self._connect_tracker()
                writes, place = self._wait_for_writes()
                for write in merge_epochs(writes):
                    assert self.tracker is not None
                    write.send(self.tracker)
                failpoint("spool.sent")
                with self.condition:
                    if writes:
                        self._outbox.mark_sent(place, len(writes))
                    self.trouble, pause = "", MIN_PAUSE
                    self.condition.notify_all()
            except Unavailable as error:
                with self.condition:
                    # Without the advice after the semicolon: training continues by itself.
                    self.trouble = str(error).partition("; ")[0]
                    self.condition.notify_all()
                    self._wait_for_retry(pause)
                pause = min(2 * pause, MAX_PAUSE)
            except Exception as error:
                with self.condition:
                    if self._stopping:
                        return  # the call outlived stop()'s timeout: the outbox is closed
                    if isinstance(error, StoreError | StudyError) and self._outbox.skip_study():
                        continue
                    self.error = _as_harness_error(error)
                    self.condition.notify_all()
                return

    def _connect_tracker(self) -> None:
        """Create the tracker, and open the study that the next writes belong to."""
        tracker = self._connect()
        with self.condition:
            is_empty = self._outbox.sent >= self._outbox.size
            last_open = None if is_empty else self._outbox.last_open()
        if last_open is not None:
            last_open.send(tracker)
        with self.condition:
            self.tracker = tracker
            self.condition.notify_all()

    def _wait_for_writes(self) -> tuple[list[Write], int]:
        """Wait for the next writes to send together; return them and the byte offset of their end.

        That is one write, or consecutive points, which wait POINTS_DELAY for more points.
        """
        writes: list[Write] = []
        since = 0.0
        with self.condition:
            place = self._outbox.sent
            while not self._stopping:
                is_full = False
                for write, end in self._outbox.read(place):
                    is_single = not isinstance(write, LogEpochs)
                    is_full = bool(writes) and is_single
                    if is_full:
                        break
                    writes.append(write)
                    place, since = end, since or time.monotonic()
                    is_full = is_single or len(writes) == MAX_POINTS_PER_CALL
                    if is_full:
                        break
                left = since + POINTS_DELAY - time.monotonic() if writes else None
                if writes and (is_full or self._hurry or (left is not None and left <= 0)):
                    return writes, place
                self._hurry = False
                self.condition.wait(left)
                place = place if writes else self._outbox.sent  # the file may have been compacted
        return [], place

    def _wait_for_retry(self, seconds: float) -> None:
        """Wait, unless hurried or stopped."""
        until = time.monotonic() + seconds
        while not (self._hurry or self._stopping) and time.monotonic() < until:
            self.condition.wait(until - time.monotonic())
        self._hurry = False


def _as_harness_error(error: Exception) -> HarnessError:
    """Wrap the error of a bug: the thread has no caller that it could reach."""
    if isinstance(error, HarnessError):
        return error
    wrapped = HarnessError(f"results could not be recorded: {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
