"""The thread that sends a spool's writes, in order, to the tracker they are for.

A tracker that does not answer is asked again and again, ever less often; any other error ends the
thread, and whoever writes next hears of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from harness.errors import HarnessError, StoreError, StudyError, Unavailable
from harness.system.failpoints import failpoint
from harness.tracking.base import Tracker
from harness.tracking.outbox.messages import Points, Write, merged
from harness.tracking.outbox.queue import Outbox

AT_ONCE = 500
"""Points that are looked at together, so that those of one curve go in one call."""
POINTS_SECONDS = 1.0
"""Points of a curve wait so long for others before they are sent."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
"""Seconds between attempts, twice as many each time."""


class Sender:
    def __init__(self, file: Outbox, connect: Callable[[], Tracker]) -> None:
        """`connect` is called in the thread, again and again where it raises Unavailable."""
        self._file, self._connect = file, connect
        self.tracker: Tracker | None = None
        self.changed = threading.Condition()
        """Held by whoever touches the file; notified of what was written and what was sent."""
        self.trouble = ""
        """Why the last attempt came to nothing."""
        self.error: HarnessError | None = None
        """Why no more is sent."""
        self._hurry = self._stopping = self._started = False
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)

    def start(self) -> None:
        if not self._started:
            self._started = True
            self._thread.start()

    def hurry(self) -> None:
        """Wait neither for more points nor until the next attempt."""
        with self.changed:
            self._hurry = True
            self.changed.notify_all()

    def stop(self, timeout: float) -> None:
        """Let the thread end; one that hangs in a call dies with the process."""
        with self.changed:
            self._stopping = True
            self.changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)

    @property
    def done(self) -> bool:
        return self.tracker is not None and self._file.sent == self._file.size

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping:
            try:
                if self.tracker is None:
                    self._begin()
                writes, place = self._next()
                for write in merged(writes):
                    assert self.tracker is not None
                    write.send(self.tracker)
                failpoint("spool.sent")
                with self.changed:
                    if writes:
                        self._file.mark_sent(place, len(writes))
                    self.trouble, pause = "", FIRST_PAUSE
                    self.changed.notify_all()
            except Unavailable as error:
                with self.changed:
                    # Without the advice for those who cannot go on: training does.
                    self.trouble = str(error).partition("; ")[0]
                    self.changed.notify_all()
                    self._pause(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            except Exception as error:
                with self.changed:
                    if self._stopping:
                        return  # nobody waited for this call any longer: the file was given up
                    if isinstance(error, StoreError | StudyError) and self._file.skip_study():
                        continue
                    self.error = _ours(error)
                    self.changed.notify_all()
                return

    def _begin(self) -> None:
        """Make the tracker, and open it as the writes to come expect."""
        tracker = self._connect()
        with self.changed:
            before = self._file.opened() if self._file.sent < self._file.size else None
        if before is not None:
            before.send(tracker)
        with self.changed:
            self.tracker = tracker
            self.changed.notify_all()

    def _next(self) -> tuple[list[Write], int]:
        """What to send before it is marked as sent, and where it ends: one write, or points that
        stand together; waits for something, and a little for more points."""
        found: list[Write] = []
        since = 0.0
        with self.changed:
            place = self._file.sent
            while not self._stopping:
                whole = False
                for write, end in self._file.read(place):
                    alone = not isinstance(write, Points)
                    whole = bool(found) and alone
                    if whole:
                        break
                    found.append(write)
                    place, since = end, since or time.monotonic()
                    whole = alone or len(found) == AT_ONCE
                    if whole:
                        break
                left = since + POINTS_SECONDS - time.monotonic() if found else None
                if found and (whole or self._hurry or (left is not None and left <= 0)):
                    return found, place
                self._hurry = False
                self.changed.wait(left)
                place = place if found else self._file.sent  # the file may have begun anew
        return [], place

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not (self._hurry or self._stopping) and time.monotonic() < until:
            self.changed.wait(until - time.monotonic())
        self._hurry = False


def _ours(error: Exception) -> HarnessError:
    """A bug is told as one too: the thread has nobody else to tell."""
    if isinstance(error, HarnessError):
        return error
    wrapped = HarnessError(f"the record could not be written: {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
