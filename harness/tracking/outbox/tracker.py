"""A tracker whose writes stand on disk at once and reach the store when it answers.

Training does not wait for the store: it may be slow, restart or stay away for a whole study. What
asks the store for something waits until all of the writes before it arrived.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.errors import HarnessError, StoreError, Unavailable, Unsent
from harness.results import EpochMetrics, Outcome
from harness.tracking.base import Tracker
from harness.tracking.outbox.asking import Answer, Asking
from harness.tracking.outbox.messages import (
    Close,
    File,
    Finish,
    Open,
    Points,
    Replay,
    Select,
    Start,
    Test,
    Write,
)
from harness.tracking.outbox.queue import SUFFIX, Outbox
from harness.tracking.outbox.sender import Sender
from harness.tracking.types import Curve, State, StudyRecord, TestReading
from harness.trial import Trial

PATIENCE = 30.0
"""Seconds that a store which does not answer is waited for where its answer is needed."""
OPENING = 5.0
"""Seconds that it is given to refuse a study before training begins, be it merely slow."""
TOLD, FEW = 10.0, 20
"""Whoever waits for more than a few writes is told so every so many seconds."""
HURRIED = 3.0
"""The same once the user wants to leave."""
LARGE = 1 << 25
"""Bytes from which on what was sent is dropped from the file while the study goes on."""


class OutboxTracker(Asking):
    """Use as a context manager: leaving it sends what it can and says what it could not.

    `connect` makes the tracker that the writes are for; `say` tells people that it does not answer;
    `leaving` is asked whether somebody wants to be gone. `sync` is the command that sends later.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        connect: Callable[[], Tracker],
        say: Callable[[str], None] = lambda _: None,
        leaving: Callable[[], object] = lambda: False,
        sync: str = "harness sync",
    ) -> None:
        self._sync = f"{sync} {name}"
        self._file = Outbox(folder / f"{name}{SUFFIX}")
        self._say, self._leaving = say, leaving
        self._sender = Sender(self._file, connect)
        self._told = ""
        self.in_order = False
        """To be set when the study's own record knows of all that was finished; until then the
        file stays, sent or not, for the next driver to learn from."""

    @property
    def waiting(self) -> int:
        """How many writes are not sent."""
        return self._file.waiting

    @property
    def error(self) -> HarnessError | None:
        """Why nothing more is sent; whoever writes hears of it."""
        return self._sender.error

    def finished(self, uid: str) -> Finish | None:
        """How a trial ended, which its driver may have died before it told anybody else."""
        with self._sender.changed:
            ends = [
                write
                for write, _ in self._file.read()
                if isinstance(write, Finish) and write.trial.uid == uid
            ]
        return ends[-1] if ends else None

    def open(self, record: StudyRecord, at: float | None = None) -> None:
        """Waits a while for the store, so that one that refuses the study is heard of at once."""
        with self._sender.changed:
            self._file.mark(ended=False)
        self._write(Open.of(record, at or time.time()))
        self._wait(PATIENCE, until_trouble=True)
        self._news()

    def start(self, trial: Trial, at: float | None = None) -> None:
        """By now the study's own record knows of all that was finished before: see `finished`."""
        with self._sender.changed:
            if self._file.size > LARGE and self._file.sent == self._file.size:
                self._file.compact()
        self._write(Start(trial=trial, at=at or time.time()))

    def log_epochs(self, uid: str, metrics: Sequence[EpochMetrics]) -> None:
        self._write(Points(uid=uid, metrics=tuple(metrics)))

    def finish(
        self,
        trial: Trial,
        state: State,
        *,
        worker: str = "",
        epochs: Sequence[EpochMetrics] = (),
        outcome: Outcome | None = None,
        reason: str = "",
        successor: int | None = None,
        keep: bool = False,
        displaced: str = "",
        at: float | None = None,
    ) -> None:
        self._write(
            Finish.of(
                trial,
                state,
                outcome,
                keep,
                worker=worker,
                epochs=tuple(epochs),
                reason=reason,
                successor=successor,
                displaced=displaced,
                at=at or time.time(),
            )
        )

    def log_selection(self, uid: str, selection: Mapping[str, Any]) -> None:
        self._write(Select(uid=uid, selection=dict(selection)))

    def log_test(self, uid: str, reading: TestReading, champion: bool = True) -> None:
        self._write(Test(uid=uid, reading=reading, champion=champion))

    def log_file(self, uid: str, name: str, content: bytes) -> None:
        self._write(File(uid=uid, name=name, content=content))

    def close(
        self,
        uid: str,
        state: State,
        *,
        reason: str = "",
        note: str = "",
        metrics: Mapping[str, float] | None = None,
        curves: Mapping[str, Curve] | None = None,
        at: float | None = None,
    ) -> None:
        self._write(
            Close(
                uid=uid,
                state=state,
                reason=reason,
                note=note,
                metrics=dict(metrics or {}),
                curves=dict(curves or {}),
                at=at or time.time(),
            )
        )

    def log_replay(
        self, run_id: str, found: str, metrics: Mapping[str, float], at: float | None = None
    ) -> None:
        replay = Replay(run_id=run_id, found=found, metrics=dict(metrics), at=at or time.time())
        self._write(replay)

    def send(self) -> int:
        """Send what an earlier driver left, and give the file up: how many writes. Raises Unsent.

        The file of a driver that died stays, for the study's next driver learns from it.
        """
        alone = self._file.unfinished() if self._file.is_train else None
        if alone is not None:  # whose driver died, and which nobody goes on with
            self.finish(alone, "INTERRUPTED", reason="the driver died")
        self.in_order, waiting = self._file.ended or self._file.is_train, self.waiting
        with self:
            if waiting:
                self.flush()
        return waiting

    def flush(self) -> None:
        """Wait until everything is sent. Raises Unsent where the store does not answer."""
        self._sender.start()
        self._sender.hurry()
        if not self._wait(PATIENCE):
            raise self._unsent()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """The file goes away where nothing in it is needed any more."""
        if self.waiting and self.error is None:
            self._sender.start()
            self._sender.hurry()
            with suppress(HarnessError):  # told below, unless there is another error to tell
                self._wait(HURRIED)
        self._sender.stop(HURRIED)
        with self._sender.changed:
            with suppress(StoreError):  # told before, by whoever wrote
                self._file.mark(ended=self.in_order)
            self._file.close(remove=self.in_order and not self.waiting)
        if self.waiting and not isinstance(error, Unsent):
            self._say(str(self._unsent()))
        if error is None and self.error is not None:
            raise self.error

    def _write(self, write: Write) -> None:
        """Kept even where the store refuses; raises that, unless it tells of an end."""
        with self._sender.changed:
            self._file.append(write)
            self._sender.changed.notify_all()
        self._sender.start()
        self._news()
        if self._sender.error is not None and not isinstance(write, Finish | Close):
            raise self._sender.error

    def _news(self) -> None:
        """Say once that the store is away, once that it is back."""
        trouble = self._sender.trouble
        if trouble and not self._told:
            self._say(f"{trouble}; what is to be recorded waits in {self._file.path}")
        elif self._told and not trouble:
            self._say("the record's store answers again")
        self._told = trouble

    def _wait(self, patience: float, until_trouble: bool = False) -> bool:
        """Whether all was sent. Waits while the store answers, however slowly, and `patience` while
        it does not; HURRIED at most for somebody who wants to leave."""
        leave = math.inf
        with self._sender.changed:
            since = begun = told = time.monotonic()
            while not self._sender.done:
                if self._sender.error is not None:
                    raise self._sender.error
                now = time.monotonic()
                if until_trouble and (self._sender.trouble or now > begun + OPENING):
                    return False
                since = since if self._sender.trouble else now
                if now > told + TOLD and self._file.waiting > FEW:
                    told = now
                    self._say(
                        f"waiting for MLflow, which has {self._file.waiting:,} writes to come"
                    )
                leave = min(leave, now + HURRIED) if self._leaving() else leave
                if now > min(since + patience, leave):
                    return False
                self._sender.changed.wait(0.1)
        return True

    def _ask(self, question: Callable[[Tracker], Answer]) -> Answer:
        since, pause = time.monotonic(), 0.5
        while True:
            self.flush()
            assert self._sender.tracker is not None
            try:
                return question(self._sender.tracker)
            except Unavailable as error:
                allowed = HURRIED if self._leaving() else PATIENCE
                if time.monotonic() - since > allowed:
                    raise Unsent(
                        f"{error}; what is missing is done by the same command, once it answers"
                    ) from None
                time.sleep(pause)
                pause = min(2 * pause, 5.0)

    def _unsent(self) -> Unsent:
        why = self._sender.trouble or str(self._sender.error or "there was no time to send them")
        return Unsent(
            f"{self.waiting} writes of the record wait in {self._file.path} ({why}); send them "
            f"later: {self._sync}, or the same command again"
        )
