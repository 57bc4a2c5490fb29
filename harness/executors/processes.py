"""Trials in worker processes of this machine: a worker a core, or a GPU.

A worker and the driver share one pipe; a dead worker shows as its end of file. Workers come from a
fork server that has imported torch once: half the memory and start-up time of fresh interpreters.
"""

from __future__ import annotations

import math
import multiprocessing
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from types import ModuleType, TracebackType
from typing import Self, cast

from harness import packing
from harness.data.files import TrainingFiles
from harness.errors import HarnessError
from harness.executors.base import LEAVING, READY, Epoch, Event, Lost, Setup
from harness.trial import Trial

FAILED_STARTS = 3
"""After so many workers in a row that died before they were ready, no more are started."""


@dataclass
class Worker:
    name: str
    setup: Setup
    process: BaseProcess
    connection: Connection
    ready: bool = False
    leaving: bool = False
    trials: dict[str, Trial] = field(default_factory=dict)
    """By uid: what it was given and has not ended."""


class ProcessExecutor:
    """One worker for each of `setups`, trials spread evenly. Dead workers are replaced."""

    def __init__(self, files: TrainingFiles, setups: Sequence[Setup]) -> None:
        self._files = files
        # Forking after torch was imported is not safe on macOS.
        method = "spawn" if sys.platform == "darwin" else "forkserver"
        self._context = cast("SpawnContext", multiprocessing.get_context(method))
        self._setups, self._workers = list(setups), list[Worker]()
        if method == "forkserver":
            self._context.set_forkserver_preload(["harness.executors.worker"])
            with _sigint_blocked():
                forkserver.ensure_running()  # returns at once; torch is imported meanwhile
        self._queue: list[Trial] = []
        self._failed_starts = 0

    @property
    def slots(self) -> int:
        return sum(setup.slots for setup in self._setups)

    def start(self) -> None:
        """Start the workers, if they are not; blocks until the fork server is ready."""
        if not self._workers:
            self._workers = [
                self._start(f"worker {index}", setup) for index, setup in enumerate(self._setups)
            ]

    def submit(self, trials: Sequence[Trial]) -> None:
        self.start()
        self._queue.extend(trials)
        self._feed()

    def answer(self, uid: str, keep: bool) -> None:
        for worker in self._workers:
            if uid in worker.trials:
                self._send(worker, (uid, keep))

    def wait(self, timeout: float) -> list[Event]:
        """The first events to come; a worker's getting ready or being replaced is none."""
        self.start()
        deadline = time.monotonic() + timeout
        while True:
            by_connection = {worker.connection: worker for worker in self._workers}
            left = max(0.0, deadline - time.monotonic())
            events = [
                event
                for connection in wait(list(by_connection), left)
                if isinstance(connection, Connection)
                for event in self._read(by_connection[connection])
            ]
            self._feed()
            if events or time.monotonic() >= deadline:
                return events

    def close(self) -> None:
        self._queue.clear()
        for worker in self._workers:
            worker.connection.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
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
        """Give waiting trials to the workers that have least to do, the longest trial first."""
        while self._queue:
            trial = max(self._queue, key=self._urgency)
            free = [worker for worker in self._workers if _has_room(worker, trial)]
            if not free:
                break  # also for the others, or one that needs a worker to itself would starve
            worker = min(free, key=lambda worker: len(worker.trials))
            worker.trials[trial.uid] = trial
            self._queue.remove(trial)
            self._send(worker, trial)

    def _urgency(self, trial: Trial) -> tuple[int, float]:
        files = self._files
        work = packing.work(trial.spec, math.prod(files.shape), len(files.classes))
        return trial.attempt, work

    def _send(self, worker: Worker, message: Trial | tuple[str, bool]) -> None:
        # Where the worker is dead, the next read finds its end of file and reports the trial lost.
        with suppress(BrokenPipeError, ConnectionResetError):
            worker.connection.send(message)

    def _read(self, worker: Worker) -> list[Event]:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):  # OSError where it died in the middle of a message
            return self._replace(worker)
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
        if not isinstance(event, Epoch):
            del worker.trials[event.uid]
        return [event]

    def _replace(self, worker: Worker) -> list[Event]:
        worker.process.join(5)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        how = f"{worker.name} died ({_describe(worker.process.exitcode)})"
        self._failed_starts += not worker.ready
        if self._failed_starts >= FAILED_STARTS:
            raise HarnessError(f"{how} before it was ready, {FAILED_STARTS} times in a row")
        worker.connection.close()
        self._workers[self._workers.index(worker)] = self._start(worker.name, worker.setup)
        return [Lost(uid, worker.name, how) for uid in worker.trials]

    def _start(self, name: str, setup: Setup) -> Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(theirs, self._files, setup, name), name=name, daemon=True
        )
        with _empty_main(), _sigint_blocked():
            process.start()
        theirs.close()  # so that the worker's death is this pipe's end of file
        return Worker(name, setup, process, ours)


def _serve(connection: Connection, files: TrainingFiles, setup: Setup, name: str) -> None:
    """Runs in the worker; the import is here so that the driver does without torch."""
    from harness.executors.worker import serve

    serve(connection, files, setup, name)


def _has_room(worker: Worker, trial: Trial) -> bool:
    """A trial whose worker died before gets one to itself: another death is its own fault."""
    if not worker.ready or worker.leaving or len(worker.trials) >= worker.setup.slots:
        return False
    return not worker.trials or all(
        other.attempt == 1 for other in (trial, *worker.trials.values())
    )


def _describe(exitcode: int | None) -> str:
    if exitcode is None:
        return "hanging"
    return f"signal {-exitcode}" if exitcode < 0 else f"exit status {exitcode}"


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Ctrl-C is the driver's to handle: what starts in here inherits the mask and never sees it."""
    resource_tracker.ensure_running()  # starting it would unblock SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _empty_main() -> Iterator[None]:
    """Keep a starting process from importing the user's script again.

    multiprocessing re-imports __main__ in a child, to find functions defined there. Ours are not,
    and a script that calls `harness.run_study` at its top level would start itself over.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
