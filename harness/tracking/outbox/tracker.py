"""A Tracker that writes to the outbox at once and sends to the store in the background.

Training never waits for the store. A read waits until all earlier writes were sent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import harness.tracking.outbox.messages as messages
from harness.errors import HarnessError, StoreError, Unavailable, Unsent
from harness.system.retries import make_retries
from harness.tracking.base import Tracker
from harness.tracking.outbox.queue import SUFFIX, Outbox
from harness.tracking.outbox.reads import Result, StoreReads
from harness.tracking.outbox.refused import RefusedWrites
from harness.tracking.outbox.restoring import restore_refused
from harness.tracking.outbox.sender import Sender
from harness.tracking.outbox.writes import StoreWrites
from harness.tracking.types import StudyRecord
from harness.trial import Trial

MAX_PAUSE = 5.0
"""The longest pause in seconds between two attempts of a read."""
ANSWER_TIMEOUT = 30.0
"""Seconds to wait for an unavailable store when its answer is needed."""
OPEN_TIMEOUT = 5.0
"""Seconds that the store has to refuse a study before training starts, even if it is just slow."""
PROGRESS_INTERVAL, PROGRESS_MIN_WRITES = 10.0, 20
"""While waiting for more than so many writes, report progress every so many seconds."""
EXIT_TIMEOUT = 3.0
"""Seconds to wait for the store once the user wants to exit."""
COMPACT_BYTES = 1 << 25
"""Drop the sent writes from a file above this size in bytes."""


class OutboxTracker(StoreReads, StoreWrites):
    """Use it as a context manager: its exit sends the remaining writes, or reports them.

    Args:
        folder, name: Of the file `folder/name.spool`; the name is the study's.
        connect: Creates the store's tracker.
        load: Imports what `connect` needs; no timeout counts this time.
        notify: Shows a message to the user.
        is_leaving: Returns true once the user wants to exit.
        sync: The command that sends the writes later, without the study's name.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        connect: Callable[[], Tracker],
        notify: Callable[[str], None] = lambda _: None,
        is_leaving: Callable[[], object] = lambda: False,
        sync: str = "harness sync",
        load: Callable[[], object] = lambda: None,
    ) -> None:
        self._sync = f"{sync} {name}"
        self._outbox = Outbox(folder / f"{name}{SUFFIX}")
        self._notify, self._is_leaving = notify, is_leaving
        self._sender = Sender(self._outbox, connect, load)
        self._reported_trouble = ""
        self.waits_for_store = True
        """Whether `open_study` waits for the store. False trains before it answers: for a store
        that has been checked and a new study, whose record is complete in the outbox."""
        self.ended_cleanly = False
        """Set it to True once the Optuna record has every finished trial. Until then the file
        stays, sent or not: the next driver reads from it which trials were finished."""

    @property
    def is_loading(self) -> bool:
        """Whether the store's client is still to be imported."""
        return self._sender.is_loading and self._sender.error is None

    @property
    def waiting(self) -> int:
        """How many writes were not sent yet."""
        return self._outbox.waiting

    @property
    def error(self) -> HarnessError | None:
        """The error that stopped the sending, or the study's refusal; the next write raises it."""
        return self._sender.error or self._sender.study_refusal

    @property
    def refused(self) -> RefusedWrites | None:
        """The writes that were moved away because the store can never take them."""
        return self._sender.refused

    def find_finish(self, uid: str) -> messages.FinishTrial | None:
        """Return the end of a trial, even if its driver died before it was recorded elsewhere."""
        with self._sender.condition:
            return self._outbox.find_finish(uid)

    def open_study(self, record: StudyRecord, at: float | None = None) -> None:
        """Wait up to OPEN_TIMEOUT for the store, so that its refusal is reported at once.

        Without `waits_for_store`, a later write raises the refusal.
        """
        with self._sender.condition:
            self._outbox.mark_ended(ended=False)
        self._write(messages.OpenStudy.from_record(record, at or time.time()))
        if self.waits_for_store:
            self._wait(ANSWER_TIMEOUT, return_on_trouble=True)
        self._report_connection()
        if self.error is not None:
            raise self.error

    def start_trial(self, trial: Trial, at: float | None = None) -> None:
        """The Optuna record has every earlier trial by now, so the file may be compacted."""
        with self._sender.condition:
            if self._outbox.size > COMPACT_BYTES and self._outbox.sent == self._outbox.size:
                self._outbox.compact()
        self._write(messages.StartTrial(trial=trial, at=at or time.time()))

    def send(self, refuse_lost_study: bool = False, refused: bool = False) -> int:
        """Send the writes that an earlier driver left; return how many. Raises Unsent, StoreError.

        The file of a driver that died stays: the study's next driver reads it. `refused`: send what
        the store refused again, once. See Sender for `refuse_lost_study`.
        """
        studies = restore_refused(self._outbox) if refused else 0
        self._sender.refuse_lost_study = refuse_lost_study or refused
        unfinished = self._outbox.unfinished_trial() if self._outbox.is_train else None
        if unfinished is not None:  # a run of `harness train` is not continued by a next driver
            self.finish_trial(unfinished, "INTERRUPTED", reason="the driver died")
        self.ended_cleanly, waiting = self._outbox.ended or self._outbox.is_train, self.waiting
        with self:
            if waiting:
                self.flush()
        return waiting - studies - (self.refused.count if self.refused else 0)

    def flush(self) -> None:
        """Wait until everything is sent. Raises Unsent if the store does not answer."""
        self._sender.start()
        self._sender.hurry()
        if not self._wait(ANSWER_TIMEOUT):
            raise self._unsent_error()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Send what is left, and delete the file if it is not needed any more."""
        if self.waiting and self._sender.error is None:
            self._sender.start()
            self._sender.hurry()
            with suppress(HarnessError):  # raised below, unless there is another error
                self._wait(EXIT_TIMEOUT)
        self._sender.stop(EXIT_TIMEOUT)
        with self._sender.condition:
            with suppress(StoreError):  # the failed write raised it before
                self._outbox.mark_ended(ended=self.ended_cleanly)
            self._outbox.close(remove=self.ended_cleanly and not self.waiting)
        if self.waiting and not isinstance(error, Unsent):
            self._notify(str(self._unsent_error()))
        if self.refused is not None:
            self._notify(f"{self.refused}; `harness doctor` shows what is missing")
        if error is None and self.error is not None:
            raise self.error

    def _write(self, write: messages.Write) -> None:
        """Append a write, even if the sending has stopped. Raises its error, except at an end."""
        with self._sender.condition:
            self._outbox.append(write)
            self._sender.notify_of_write()
        self._sender.start()
        self._report_connection()
        if self.error is not None and not isinstance(
            write, messages.FinishTrial | messages.CloseStudy
        ):
            raise self.error

    def _report_connection(self) -> None:
        """Report once that the store is unavailable, and once that it answers again."""
        trouble = self._sender.trouble
        if trouble and not self._reported_trouble:
            self._notify(f"{trouble}; until it answers, results are kept in {self._outbox.path}")
        elif self._reported_trouble and not trouble:
            self._notify("the tracking store answers again")
        self._reported_trouble = trouble

    def _wait(self, timeout: float, return_on_trouble: bool = False) -> bool:
        """Wait until everything is sent; return False on a timeout.

        A store that answers, however slowly, is waited for without limit; one that does not for
        `timeout` seconds. Once the user wants to exit, it is EXIT_TIMEOUT for both.
        """
        exit_at = math.inf
        with self._sender.condition:
            last_answer = start = last_report = time.monotonic()
            while not self._sender.is_done:
                if self._sender.error is not None:
                    raise self._sender.error
                now = time.monotonic()
                if self._sender.is_loading:
                    start = now
                if return_on_trouble and (self._sender.trouble or now > start + OPEN_TIMEOUT):
                    return False
                last_answer = last_answer if self._sender.trouble else now
                if now > last_report + PROGRESS_INTERVAL and self.waiting > PROGRESS_MIN_WRITES:
                    last_report = now
                    self._notify(f"waiting for MLflow; writes left to send: {self.waiting:,}")
                if self._is_leaving() and not self._sender.is_loading:
                    exit_at = min(exit_at, now + EXIT_TIMEOUT)
                if now > min(last_answer + timeout, exit_at):
                    return False
                self._sender.condition.wait(0.1)
        return True

    def _request(self, request: Callable[[Tracker], Result]) -> Result:
        def timeout() -> float:
            return EXIT_TIMEOUT if self._is_leaving() else ANSWER_TIMEOUT

        def send_and_request() -> Result:
            self.flush()
            assert self._sender.tracker is not None
            return request(self._sender.tracker)

        try:
            return make_retries(Unavailable, MAX_PAUSE, timeout)(send_and_request)
        except Unavailable as error:
            raise Unsent(f"{error}; rerun the same command once it answers") from None

    def _unsent_error(self) -> Unsent:
        why = self._sender.trouble or str(self._sender.error or "there was no time to send them")
        return Unsent(
            f"writes not sent: {self.waiting:,} ({why}); kept in {self._outbox.path}; "
            f"send them with: {self._sync}, or rerun the same command"
        )
