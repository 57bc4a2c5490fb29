"""The thread that sends an outbox's writes in order to a tracker.

An unavailable tracker is retried with growing pauses. A write that the store refuses because of its
content is tried again alone with a new connection, and then moved to the file of refused writes, so
that it does not hold up the others. Any other error ends the thread; the next write raises it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from harness.errors import HarnessError, Refused, StoreError, StudyError, Unavailable
from harness.system.failpoints import failpoint
from harness.tracking.base import Tracker
from harness.tracking.outbox.messages import (
    FinishTrial,
    LogEpochs,
    OpenStudy,
    StartTrial,
    Write,
    merge_epochs,
)
from harness.tracking.outbox.queue import Outbox
from harness.tracking.outbox.refused import RefusedWrites

MAX_TOGETHER, MAX_BYTES_TOGETHER = 500, 1 << 24
"""The most writes of trials, and their bytes in the outbox, that are sent together."""
DELAY = 3.0
"""Seconds that the writes of trials wait for more of them, so that a trial's points go in one call:
a call of MLflow takes 15 ms of CPU time, however few its points are."""
QUIET_SECONDS, MAX_YIELD = 0.02, 0.1
"""Before each send: wait until the driver has written nothing for so long, and at most so long."""
MAX_REFUSALS = 2
"""How often a write is refused before it is moved away."""
MIN_PAUSE, MAX_PAUSE = 0.5, 15.0
"""Seconds between attempts, doubled each time."""


class Sender:
    """Sends the unsent writes of an outbox until it is stopped."""

    def __init__(
        self,
        outbox: Outbox,
        connect: Callable[[], Tracker],
        load: Callable[[], object] = lambda: None,
    ) -> None:
        """Both are called in the thread: `load` once, `connect` again after each refusal.

        `load` imports the store's client; the thread is not asked to hurry meanwhile.
        """
        self._outbox, self._connect, self._load = outbox, connect, load
        self.is_loading = True
        """Whether `load` has not returned yet."""
        self.refuse_lost_study = False
        """Whether to move away the writes of a study that the store has lost."""
        self.tracker: Tracker | None = None
        self.condition = threading.Condition()
        """Must be held to use the outbox; notified after every write and every send."""
        self.trouble = ""
        """Why the last attempt failed; empty after a successful one."""
        self.error: HarnessError | None = None
        """The error that ended the thread."""
        self.refused: RefusedWrites | None = None
        """The writes that were moved away, with the first reason."""
        self.study_refusal: HarnessError | None = None
        """Why the store refuses the study that the next writes belong to, if it does."""
        self._last_write = 0.0
        """When the driver last wrote, by `time.monotonic`."""
        self._refusals = 0
        """How often the next write was refused."""
        self._alone_until = 0
        """Up to this byte of the outbox, writes are sent one by one, to learn which is refused."""
        self._refused_uids: set[str] = set()
        """The runs of which a write was refused: their other writes get no second attempt."""
        self._hurry = self._stopping = self._started = False
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        """Start the thread, unless it was started before."""
        if not self._started:
            self._started = True
            self._thread.start()

    def notify_of_write(self) -> None:
        """Wake the thread after a write; the caller holds `condition`."""
        self._last_write = time.monotonic()
        self.condition.notify_all()

    def hurry(self) -> None:
        """End the current wait for more writes or for the next attempt."""
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
            is_group, place = False, 0
            try:
                if self.is_loading:
                    self._load()
                    self.is_loading = False
                if self.tracker is None:
                    self._connect_tracker()
                writes, place = self._wait_for_writes()
                is_group = len(writes) > 1
                if self.study_refusal and writes and not isinstance(writes[0], OpenStudy):
                    self._refuse(place, str(self.study_refusal))
                    continue
                for write in merge_epochs(writes):
                    self._yield_to_driver()
                    assert self.tracker is not None
                    write.send(self.tracker)
                    self.study_refusal = None
                failpoint("spool.sent")
                with self.condition:
                    if writes:
                        self._outbox.mark_sent(place, len(writes))
                    self.trouble, pause, self._refusals = "", MIN_PAUSE, 0
                    self.condition.notify_all()
            except Unavailable as error:
                with self.condition:
                    # Without the advice after the semicolon: training continues by itself.
                    self.trouble = str(error).partition("; ")[0]
                    if is_group:  # repeat less at the next failure
                        self._alone_until = place
                    self.condition.notify_all()
                    self._wait_for_retry(pause)
                pause = min(2 * pause, MAX_PAUSE)
            except Exception as error:
                with self.condition:
                    if self._stopping:
                        return  # the call outlived stop()'s timeout: the outbox is closed
                    try:
                        if is_group and self._is_refusal(error):
                            self._send_alone(place)
                            continue
                        if self._skip_refused(error):
                            self.condition.notify_all()
                            continue
                    except StoreError as full:  # the disk
                        error = full
                    self.error = _as_harness_error(error)
                    self.condition.notify_all()
                return

    def _send_alone(self, end: int) -> None:
        """Send the writes of a group again, one by one with a new connection."""
        self.tracker, self._alone_until, self._refusals = None, end, 1
        self._wait_for_retry(MIN_PAUSE)

    def _skip_refused(self, error: Exception) -> bool:
        """Move what the store refuses out of the way; return whether the sending can continue."""
        following = self._outbox.next_write()
        if self.tracker is None or following is None:
            return self._skip_study(error)  # the connection failed
        write, place = following
        if not self._is_refusal(error, write):
            return self._skip_study(error)
        self.tracker = None  # the retry begins with a new connection
        self._refusals += 1
        uid = _get_uid(write)
        if self._refusals < MAX_REFUSALS and uid not in self._refused_uids:
            self._wait_for_retry(MIN_PAUSE)
            return True
        self._refused_uids |= {uid} if uid else set()
        if isinstance(write, OpenStudy):
            self.study_refusal = _as_harness_error(error)
        self._refuse(place, str(_as_harness_error(error)))
        return True

    def _skip_study(self, error: Exception) -> bool:
        """Move the writes of a refused study away, if --fresh has set it aside."""
        end = self._outbox.find_study_end()
        if end is None or not isinstance(error, StoreError | StudyError):
            return False
        self._refuse(end, str(error))
        return True

    def _is_refusal(self, error: Exception, write: Write | None = None) -> bool:
        if isinstance(error, StudyError):
            return self.refuse_lost_study and isinstance(write, OpenStudy)
        return isinstance(error, Refused) or not isinstance(error, HarnessError)

    def _refuse(self, place: int, reason: str) -> None:
        with self.condition:
            refused, before = self._outbox.refuse(place, reason), self.refused
            self.refused = before + refused if before else refused
            self._refusals = 0
            self.condition.notify_all()

    def _connect_tracker(self) -> None:
        """Create the tracker, and open the study that the next writes belong to."""
        tracker = self._connect()
        with self.condition:
            following = self._outbox.next_write()
            needs_study = following is not None and not isinstance(following[0], OpenStudy)
            last_open = self._outbox.last_open() if needs_study else None
        if last_open is not None and not self.study_refusal:
            try:
                last_open.send(tracker)
            except (StoreError, StudyError) as error:
                if not self._is_refusal(error, last_open):
                    raise
                self.study_refusal = error
        with self.condition:
            self.tracker = tracker
            self.condition.notify_all()

    def _wait_for_writes(self) -> tuple[list[Write], int]:
        """Wait for the next writes to send together; return them and the byte offset of their end.

        That is one write, or consecutive writes of trials, which wait DELAY for more of them. After
        a refusal it is one write, so that only the refused one is moved away.
        """
        writes: list[Write] = []
        since = 0.0
        with self.condition:
            place = start = self._outbox.sent
            while not self._stopping:
                is_full = False
                for write, end in self._outbox.read(place):
                    is_single = not isinstance(write, StartTrial | LogEpochs | FinishTrial)
                    is_full = bool(writes) and is_single
                    if is_full:
                        break
                    writes.append(write)
                    place, since = end, since or time.monotonic()
                    is_alone = self._refusals or start < self._alone_until
                    is_full = is_single or len(writes) >= (1 if is_alone else MAX_TOGETHER)
                    is_full = is_full or place > start + MAX_BYTES_TOGETHER
                    if is_full:
                        break
                left = since + DELAY - time.monotonic() if writes else None
                if writes and (is_full or self._hurry or (left is not None and left <= 0)):
                    return writes, place
                self._hurry = False
                self.condition.wait(left)
                if not writes:
                    place = start = self._outbox.sent  # the file may have been compacted
        return [], place

    def _yield_to_driver(self) -> None:
        """Let a busy driver go first: its thread shares Python's lock, and workers wait for it."""
        deadline = time.monotonic() + MAX_YIELD
        with self.condition:
            while not (self._hurry or self._stopping):
                now = time.monotonic()
                left = min(deadline, self._last_write + QUIET_SECONDS) - now
                if left <= 0:
                    return
                self.condition.wait(left)

    def _wait_for_retry(self, seconds: float) -> None:
        """Wait, unless hurried or stopped."""
        until = time.monotonic() + seconds
        while not (self._hurry or self._stopping) and time.monotonic() < until:
            self.condition.wait(until - time.monotonic())
        self._hurry = False


def _get_uid(write: Write) -> str:
    """Return the uid of the trial that a write belongs to; empty for a write of a study."""
    if isinstance(write, StartTrial | FinishTrial):
        return write.trial.uid
    return write.uid if isinstance(write, LogEpochs) else ""


def _as_harness_error(error: Exception) -> HarnessError:
    """Wrap the error of a bug: the thread has no caller that it could reach."""
    if isinstance(error, HarnessError):
        return error
    wrapped = HarnessError(f"results could not be recorded: {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
