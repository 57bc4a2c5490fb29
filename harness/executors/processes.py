"""Trials in worker processes of this machine: a worker a core, or a GPU.

A worker and the driver share one pipe; a dead worker shows as its end of file, a hung one by its
silence. Workers come from a fork server that has imported torch once: half the memory and start-up
time of fresh interpreters.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Self

from harness.data.prepare import TrainingFiles
from harness.errors import HarnessError
from harness.executors.assignment import Waiting
from harness.executors.base import LEAVING, READY, Epoch, Event, Lost, Setup
from harness.executors.hang_detection import HUNG_AFTER, SLICE, HangDetector
from harness.executors.worker_process import Starter, Worker, end
from harness.trial import Trial

FAILED_STARTS = 3
"""After so many workers in a row that ended before they were ready, no more are started."""


class ProcessExecutor:
    """One worker for each of `setups`, trials spread evenly. Dead workers are replaced, and those
    that are silent for `hung_after` seconds and ten times the slowest epoch."""

    def __init__(
        self, files: TrainingFiles, setups: Sequence[Setup], hung_after: float = HUNG_AFTER
    ) -> None:
        self._starter, self._waiting = Starter(files), Waiting(files)
        self._watchdog = HangDetector(hung_after)
        self._setups, self._workers = list(setups), list[Worker]()
        self._failed_starts = 0

    @property
    def slots(self) -> int:
        return sum(setup.slots for setup in self._setups)

    def start(self) -> None:
        """Start the workers, if they are not; blocks until the fork server is ready."""
        while len(self._workers) < len(self._setups):
            index = len(self._workers)
            self._workers.append(self._starter.start(f"worker {index}", self._setups[index]))

    def submit(self, trials: Sequence[Trial]) -> None:
        self.start()
        self._waiting.extend(trials)
        self._feed()

    def answer(self, uid: str, keep: bool) -> None:
        for worker in self._workers:
            if uid in worker.trials:
                worker.unanswered.discard(uid)
                worker.send((uid, keep))

    def wait(self, timeout: float) -> list[Event]:
        """The first events to come; a worker's getting ready or being replaced is none."""
        self.start()
        deadline = time.monotonic() + timeout
        while True:
            events = self._listen(max(0.0, min(SLICE, deadline - time.monotonic())))
            self._feed()
            if events or time.monotonic() >= deadline:
                return events

    def close(self) -> None:
        self._waiting.clear()
        try:
            end(self._workers)
        except BaseException:  # Ctrl-C is no reason to leave one
            end(self._workers)
            raise
        self._workers = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _feed(self) -> None:
        for worker, trial in self._waiting.given(self._workers, alone=self.slots == 1):
            worker.send(trial)

    def _listen(self, timeout: float) -> list[Event]:
        by_connection = {worker.connection: worker for worker in self._workers}
        before = time.monotonic()
        spoke = wait(list(by_connection), timeout)
        passed = time.monotonic() - before
        for worker in self._workers:
            if worker.owes:
                self._watchdog.waited(worker.name, passed)
        events = [
            event
            for connection in spoke
            if isinstance(connection, Connection)
            for event in self._read(by_connection[connection])
        ]
        return events + [event for worker in list(self._workers) for event in self._check(worker)]

    def _read(self, worker: Worker) -> list[Event]:
        try:
            message = worker.connection.recv()
        except BlockingIOError:
            return self._replace(worker, "hung in the middle of a message, killed")
        except (EOFError, OSError):  # OSError where it died in the middle of a message
            worker.process.join(5)
            return self._replace(worker)
        if not isinstance(message, Epoch):
            self._watchdog.heard(worker.name)
        if message == READY:
            worker.ready, self._failed_starts = True, 0
            return []
        if message == LEAVING:
            worker.leaving = True
            return []
        if isinstance(message, str):
            device = worker.setup.device
            hint = "" if device == "cpu" else "; --cpu trains without the GPU"
            raise HarnessError(f"{worker.name} on {device} cannot start: {message}{hint}")
        event: Event = message
        if isinstance(event, Epoch):
            trial = worker.trials[event.uid]
            self._watchdog.heard(worker.name, self._waiting.work_before_event([trial]))
            worker.unanswered.add(event.uid)
        else:
            del worker.trials[event.uid]
            worker.unanswered.discard(event.uid)
        return [event]

    def _check(self, worker: Worker) -> list[Event]:
        """End a worker that has been silent for too long."""
        silence = self._watchdog.silence(worker.name)
        if not worker.owes or silence <= self._waiting.patience(worker, self._watchdog):
            return []
        what = "no epoch" if worker.ready else "not ready"
        return self._replace(worker, f"hung: {what} for {silence:.0f} s, killed")

    def _replace(self, worker: Worker, how: str = "") -> list[Event]:
        end([worker])
        how = f"{worker.name} {how or f'died ({_describe(worker.process.exitcode)})'}"
        self._watchdog.heard(worker.name)
        self._failed_starts += not worker.ready
        if self._failed_starts >= FAILED_STARTS:
            raise HarnessError(f"{how} before it was ready, {FAILED_STARTS} times in a row")
        place = self._workers.index(worker)
        self._workers[place] = self._starter.start(worker.name, worker.setup)
        return [Lost(uid, worker.name, how) for uid in worker.trials]


def _describe(exitcode: int | None) -> str:
    if exitcode is None:
        return "hanging"
    return f"signal {-exitcode}" if exitcode < 0 else f"exit status {exitcode}"
