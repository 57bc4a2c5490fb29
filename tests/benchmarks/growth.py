"""Benchmark how many workers one driver can feed, and how a trial's cost grows with the study.

    python tests/benchmarks/growth.py workers [SECONDS]     # of a stub's epoch: 0.1
    python tests/benchmarks/growth.py trials [TRIALS]       # 5000, at least 50

The driver, the search (TPE, median pruner, the space of studies/fashion-mnist.toml), PostgreSQL and
an MLflow server over HTTP on a second database of it are real, all on this machine. The executor
trains nothing. `workers`: each of 1, 2, 4, 8, 64 stubs answers with an epoch after SECONDS, and the
throughput is compared with what they offer; sampling is random, so no stub waits for another.
`trials`: two stubs answer at once, as in driver_cost.py. Printed are the driver's process time for
a trial and the wall time, which includes the servers; and the seconds in which the outbox sends a
trial to the MLflow server, which continues after the driver is done.
"""

from __future__ import annotations

import heapq
import itertools
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from harness.config.loader import load
from harness.executors.base import Event, TrialEnded
from harness.search.open_study import open_search
from harness.sweep.driver import Driver
from harness.sweep.progress import Silent
from harness.system.signals import StopFlag
from harness.tracking.base import Tracker
from harness.tracking.outbox.messages import FinishTrial, LogEpochs, StartTrial
from harness.tracking.types import StudyRecord
from harness.trial import Trial
from harness.workspace import Workspace
from tests.benchmarks.driver_cost import (
    CLASSES,
    EPOCHS,
    EXAMPLES,
    SamplerTimer,
    Slot,
    Stub,
    print_table,
    read_processor_name,
)
from tests.faults.mlflow_server import MlflowServer
from tests.support.postgres import Postgres

WORKERS = (1, 2, 4, 8, 64)
DURATION, MAX_TRIALS = 20.0, 600
"""Seconds to keep each number of workers busy, and the most trials that they train."""


class PacedStub(Stub):
    """An executor of `slots` stub workers that each take `seconds` for an epoch."""

    def __init__(self, slots: int, seconds: float) -> None:
        super().__init__(SamplerTimer(), False)
        self.slots, self._seconds, self.events = slots, seconds, 0  # type: ignore[misc]
        self._due: list[tuple[float, int, Slot]] = []
        self._unanswered: dict[str, Slot] = {}
        self._ties = itertools.count()

    def submit(self, trials: Sequence[Trial]) -> None:
        self._waiting.extend(trials)
        self._fill()

    def wait(self, timeout: float) -> list[Event]:
        deadline = time.perf_counter() + timeout
        self._fill()
        due = min(deadline, self._due[0][0] if self._due else deadline)
        time.sleep(max(0.0, due - time.perf_counter()))
        events: list[Event] = []
        while self._due and self._due[0][0] <= time.perf_counter():
            slot = heapq.heappop(self._due)[2]
            event = self._event(slot)
            events.append(event)
            if isinstance(event, TrialEnded):
                self._busy -= 1
            else:
                self._unanswered[event.uid] = slot
        self.events += len(events)
        return events

    def answer(self, uid: str, keep: bool) -> None:
        slot = self._unanswered.pop(uid)
        slot.keep = keep
        more = keep and len(slot.epochs) < EPOCHS
        self._push(slot, self._seconds if more else 0.0)

    _busy = 0

    def _fill(self) -> None:
        while self._waiting and self._busy < self.slots:
            self._busy += 1
            self._push(Slot(self._waiting.popleft(), []), self._seconds)

    def _push(self, slot: Slot, seconds: float) -> None:
        heapq.heappush(self._due, (time.perf_counter() + seconds, next(self._ties), slot))


class SendTimer:
    """Accumulates the seconds that sending each trial takes, over all outboxes."""

    def __init__(self) -> None:
        self._open: dict[str, float] = {}
        self.ended: list[float] = []
        """Seconds by trial, in the order in which their last message was sent."""
        for kind in (StartTrial, LogEpochs, FinishTrial):
            kind.send = self._timed(kind.send)

    def _timed(self, send: Callable[..., None]) -> Callable[..., None]:
        def timed(write: StartTrial | LogEpochs | FinishTrial, tracker: Tracker) -> None:
            started = time.perf_counter()
            send(write, tracker)
            uid = write.uid if isinstance(write, LogEpochs) else write.trial.uid
            spent = self._open.pop(uid, 0.0) + time.perf_counter() - started
            if isinstance(write, FinishTrial):
                self.ended.append(spent)
            else:
                self._open[uid] = spent

        return timed

    def print_summary(self) -> None:
        print("\nsent to the MLflow server, ms a trial: median (quartiles) over 50 trials")
        for end in (50, 200, 500, *range(1000, len(self.ended) + 1, 1000)):
            if end <= len(self.ended):
                some = [1000 * seconds for seconds in self.ended[end - 50 : end]]
                low, middle, high = statistics.quantiles(some, n=4)
                print(f"  trials {end - 50}-{end}: {middle:.0f} ({low:.0f} to {high:.0f})")


def drive(
    executor: Stub, trials: int, sampler: str, servers: tuple[str, str], folder: Path
) -> float:
    """Run a study; return the seconds until the driver is done."""
    storage, tracking = servers
    name = f"growth-{executor.slots}-{sampler}"
    overrides = [f"train.epochs={EPOCHS}", f"study.name={name}", f"study.sampler={sampler}"]
    config = load("fashion-mnist", overrides, {"trials": trials})
    workspace = Workspace(folder, storage)
    with (
        open_search(config, workspace.study_storage(tracking)) as search,
        workspace.open_outbox(name, tracking) as tracker,
    ):
        record = StudyRecord(
            name=name,
            uid=search.uid,
            text=config.text,
            definition=config.definition(),
            facts={},
            dataset=config.data.name,
            dataset_digest="",
            dataset_source="",
            sizes={"validation": EXAMPLES},
            classes=tuple(map(str, range(CLASSES))),
        )
        tracker.open_study(record)
        tracker.flush()
        objective = config.study.objective
        driver = Driver(search, executor, tracker, Silent(), target=trials, objective=objective)
        started = time.perf_counter()
        driver.run(StopFlag())
        driven = time.perf_counter() - started
        tracker.flush()
        sent = time.perf_counter() - started
        tracker.close_study(search.uid, "COMPLETE")
        tracker.flush()
        tracker.ended_cleanly = True
    print(
        f"  driven in {driven:.1f} s; all on the MLflow server after {sent:.1f} s, "
        f"{trials / sent:.1f} trials a second"
    )
    return driven


def measure_workers(seconds: float, servers: tuple[str, str], folder: Path) -> None:
    print(f"epochs of {seconds} s, {EPOCHS} a trial; events are epochs and ends")
    for workers in WORKERS:
        trials = max(workers, round(workers * DURATION / seconds / EPOCHS))
        trials = min(trials, MAX_TRIALS)
        executor = PacedStub(workers, seconds)
        began = time.process_time()
        took = drive(executor, trials, "random", servers, folder)
        busy = time.process_time() - began
        offered = workers / seconds
        epochs = executor.events - trials
        print(
            f"{workers:3} workers, {trials:5} trials: {executor.events / took:7.1f} events and "
            f"{trials / took:6.2f} trials a second; {100 * epochs / took / offered:5.1f} % of the "
            f"epochs offered; {1000 * busy / trials:.1f} ms of process a trial",
            flush=True,
        )


def main(benchmark: str, figure: str) -> None:
    packages = ", ".join(f"{name} {version(name)}" for name in ("optuna", "mlflow", "sqlalchemy"))
    print(f"{read_processor_name()}, {os.cpu_count()} cores, {platform.platform()}")
    print(f"Python {platform.python_version()}, {packages}, PostgreSQL and an MLflow server here")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(Postgres())
        server = stack.enter_context(MlflowServer(folder, postgres.create_database()))
        servers = postgres.create_database(), server.url
        if benchmark == "workers":
            measure_workers(float(figure or 0.1), servers, folder / "mlruns")
            return
        executor, trials, sent = Stub(SamplerTimer(), False), int(figure or 5000), SendTimer()
        drive(executor, trials, "tpe", servers, folder / "mlruns")
        costs = list(executor.costs.values())
        print(
            f"{trials} trials, 1 run; per trial: median (quartiles) over 50 trials, by their ends"
        )
        print_table(costs)
        sent.print_summary()
        first, last = costs[:50], costs[-50:]
        walls = [statistics.median(cost.driver.wall for cost in part) for part in (first, last)]
        print(
            f"trials an hour, at first and at last: {3600 / walls[0]:,.0f}, {3600 / walls[1]:,.0f}"
        )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "workers", sys.argv[2] if len(sys.argv) > 2 else "")
