"""The process executor: one worker process for each CPU core or GPU of this machine.

A worker and the driver share a pipe. A dead worker is an end of file on it, a hung worker a long
silence. Workers come from a fork server that has imported torch: half the memory and start-up time
of new interpreters.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Self

from harness.data.training_files import TrainingFiles
from harness.errors import HarnessError
from harness.executors.assignment import TrialQueue
from harness.executors.base import LEAVING, READY, EpochEnded, Event, Setup, TrialLost
from harness.executors.hang_detection import HUNG_AFTER, POLL_SECONDS, HangDetector
from harness.executors.worker_process import Worker, WorkerStarter, kill_workers
from harness.trial import Trial

FAILED_STARTS = 3
"""No more workers are started after this many in a row ended before they were ready."""


class ProcessExecutor:
    """One worker for each of `setups`.

    Dead and hung workers are replaced; a worker hangs if it is silent for `hung_after` seconds and
    for ten times the slowest epoch.
    """

    def __init__(
        self, files: TrainingFiles, setups: Sequence[Setup], hung_after: float = HUNG_AFTER
    ) -> None:
        self._starter, self._queue = WorkerStarter(files), TrialQueue(files)
        self._detector = HangDetector(hung_after)
        self._setups, self._workers = list(setups), list[Worker]()
        self._failed_starts = 0

    @property
    def slots(self) -> int:
        return sum(setup.slots for setup in self._setups)

    def start(self) -> None:
        """Start the missing workers. Blocks until the fork server is ready."""
        while len(self._workers) < len(self._setups):
            index = len(self._workers)
            self._workers.append(self._starter.start(f"worker {index}", self._setups[index]))

    def submit(self, trials: Sequence[Trial]) -> None:
        self.start()
        self._queue.extend(trials)
        self._assign_trials()

    def answer(self, uid: str, keep: bool) -> None:
        for worker in self._workers:
            if uid in worker.trials:
                worker.unanswered.discard(uid)
                worker.send((uid, keep))

    def wait(self, timeout: float) -> list[Event]:
        """Return the next events; a worker that gets ready or is replaced is not an event."""
        self.start()
        deadline = time.monotonic() + timeout
        while True:
            events = self._receive(max(0.0, min(POLL_SECONDS, deadline - time.monotonic())))
            self._assign_trials()
            if events or time.monotonic() >= deadline:
                return events

    def close(self) -> None:
        self._queue.clear()
        try:
            kill_workers(self._workers)
        except BaseException:  # Ctrl-C must leave no worker
            kill_workers(self._workers)
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

    def _assign_trials(self) -> None:
        for worker, trial in self._queue.assign(self._workers, in_order=self.slots == 1):
            worker.send(trial)

    def _receive(self, timeout: float) -> list[Event]:
        by_connection = {worker.connection: worker for worker in self._workers}
        before = time.monotonic()
        readable = wait(list(by_connection), timeout)
        passed = time.monotonic() - before
        for worker in self._workers:
            if worker.is_due:
                self._detector.add_silence(worker.name, passed)
        events = [
            event
            for connection in readable
            if isinstance(connection, Connection)
            for event in self._read(by_connection[connection])
        ]
        return events + [
            event for worker in list(self._workers) for event in self._check_for_hang(worker)
        ]

    def _read(self, worker: Worker) -> list[Event]:
        try:
            message = worker.connection.recv()
        except BlockingIOError:
            return self._replace(worker, "hung in the middle of a message, killed")
        except (EOFError, OSError):  # OSError if it died in the middle of a message
            worker.process.join(5)
            return self._replace(worker)
        if not isinstance(message, EpochEnded):
            self._detector.record_message(worker.name)
        if message == READY:
            worker.is_ready, self._failed_starts = True, 0
            return []
        if message == LEAVING:
            worker.is_leaving = True
            return []
        if isinstance(message, str):
            device = worker.setup.device
            hint = "" if device == "cpu" else "; --cpu trains without the GPU"
            raise HarnessError(f"{worker.name} on {device} cannot start: {message}{hint}")
        event: Event = message
        if isinstance(event, EpochEnded):
            trial = worker.trials[event.uid]
            self._detector.record_message(worker.name, self._queue.estimate_work_to_event([trial]))
            worker.unanswered.add(event.uid)
        else:
            del worker.trials[event.uid]
            worker.unanswered.discard(event.uid)
        return [event]

    def _check_for_hang(self, worker: Worker) -> list[Event]:
        """Replace a worker that has been silent for too long."""
        silence = self._detector.get_silence(worker.name)
        if not worker.is_due or silence <= self._queue.get_silence_limit(worker, self._detector):
            return []
        missing = "no epoch" if worker.is_ready else "not ready"
        return self._replace(worker, f"hung: {missing} for {silence:.0f} s, killed")

    def _replace(self, worker: Worker, reason: str = "") -> list[Event]:
        kill_workers([worker])
        reason = f"{worker.name} {reason or f'died ({_describe_exit(worker.process.exitcode)})'}"
        self._detector.record_message(worker.name)
        self._failed_starts += not worker.is_ready
        if self._failed_starts >= FAILED_STARTS:
            raise HarnessError(f"{reason} before it was ready, {FAILED_STARTS} times in a row")
        index = self._workers.index(worker)
        self._workers[index] = self._starter.start(worker.name, worker.setup)
        return [TrialLost(uid, worker.name, reason) for uid in worker.trials]


def _describe_exit(exitcode: int | None) -> str:
    if exitcode is None:
        return "hanging"
    return f"signal {-exitcode}" if exitcode < 0 else f"exit status {exitcode}"
