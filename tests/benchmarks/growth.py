"""How many workers one driver can feed, and what a trial costs it as a study grows.

    python tests/benchmarks/growth.py workers [SECONDS]     # of a stub's epoch: 0.1
    python tests/benchmarks/growth.py trials [TRIALS]       # 5000, at least 50

The driver, the search (TPE, median pruner, the space of studies/fashion-mnist.toml), PostgreSQL and
an MLflow server on a second database of it, reached over HTTP, are the real ones, all on this
machine; the executor trains nothing. `workers`: each of 1, 2, 4, 8, 64 stubs answers with an epoch
after SECONDS, and what comes of it is held against what they offer; random sampling, so that none
waits for another. `trials`: two stubs answer at once, as in driver_cost.py, and the process time
that the driver spends on a trial is told beside the wall's, which has the servers' in it; and the
seconds in which the spool sends a trial to the MLflow server, which go on when the driver is done.
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
from harness.executors.base import Ended, Event
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
    Sampling,
    Slot,
    Stub,
    processor,
    table,
)
from tests.faults.mlflow_server import Server
from tests.support.postgres import Postgres

WORKERS = (1, 2, 4, 8, 64)
LASTS, MOST = 20.0, 600
"""Seconds that each number of workers is to be busy, and trials that they train at most."""


class Paced(Stub):
    """So many workers, each of which takes `seconds` for an epoch."""

    def __init__(self, slots: int, seconds: float) -> None:
        super().__init__(Sampling(), False)
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
            if isinstance(event, Ended):
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


class Sent:
    """Seconds that sending each trial took, from every spool that is made."""

    def __init__(self) -> None:
        self._open: dict[str, float] = {}
        self.ended: list[float] = []
        """In the order in which they were all sent."""
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

    def tell(self) -> None:
        print("\nsent to the MLflow server, ms a trial: median (quartiles) over 50 trials")
        for place in (50, 200, 500, *range(1000, len(self.ended) + 1, 1000)):
            if place <= len(self.ended):
                some = [1000 * each for each in self.ended[place - 50 : place]]
                low, middle, high = statistics.quantiles(some, n=4)
                print(f"  trials {place - 50}-{place}: {middle:.0f} ({low:.0f} to {high:.0f})")


def drive(executor: Stub, trials: int, sampler: str, servers: tuple[str, str], at: Path) -> float:
    """Seconds from the first trial to the last one's record."""
    storage, tracking = servers
    name = f"growth-{executor.slots}-{sampler}"
    overrides = [f"train.epochs={EPOCHS}", f"study.name={name}", f"study.sampler={sampler}"]
    config = load("fashion-mnist", overrides, {"trials": trials})
    workspace = Workspace(at, storage)
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


def of_workers(seconds: float, servers: tuple[str, str], at: Path) -> None:
    print(f"epochs of {seconds} s, {EPOCHS} a trial; events are epochs and ends")
    for workers in WORKERS:
        trials = max(workers, round(workers * LASTS / seconds / EPOCHS))
        trials = min(trials, MOST)
        executor = Paced(workers, seconds)
        began = time.process_time()
        took = drive(executor, trials, "random", servers, at)
        busy = time.process_time() - began
        offered = workers / seconds
        epochs = executor.events - trials
        print(
            f"{workers:3} workers, {trials:5} trials: {executor.events / took:7.1f} events and "
            f"{trials / took:6.2f} trials a second; {100 * epochs / took / offered:5.1f} % of the "
            f"epochs offered; {1000 * busy / trials:.1f} ms of process a trial",
            flush=True,
        )


def main(what: str, figure: str) -> None:
    packages = ", ".join(f"{name} {version(name)}" for name in ("optuna", "mlflow", "sqlalchemy"))
    print(f"{processor()}, {os.cpu_count()} cores, {platform.platform()}")
    print(f"Python {platform.python_version()}, {packages}, PostgreSQL and an MLflow server here")
    with ExitStack() as stack:
        at = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(Postgres())
        server = stack.enter_context(Server(at, postgres.database()))
        servers = postgres.database(), server.url
        if what == "workers":
            of_workers(float(figure or 0.1), servers, at / "mlruns")
            return
        executor, trials, sent = Stub(Sampling(), False), int(figure or 5000), Sent()
        drive(executor, trials, "tpe", servers, at / "mlruns")
        costs = list(executor.costs.values())
        print(
            f"{trials} trials, 1 run; per trial: median (quartiles) over 50 trials, by their ends"
        )
        table(costs)
        sent.tell()
        first, last = costs[:50], costs[-50:]
        walls = [statistics.median(cost.driver.wall for cost in part) for part in (first, last)]
        print(
            f"trials an hour, at first and at last: {3600 / walls[0]:,.0f}, {3600 / walls[1]:,.0f}"
        )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "workers", sys.argv[2] if len(sys.argv) > 2 else "")
