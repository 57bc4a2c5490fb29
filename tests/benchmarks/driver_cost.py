"""Benchmark the driver's cost per trial, and how it grows with the study.

    python tests/benchmarks/driver_cost.py [TRIALS] [rising]        # TRIALS: 2000, at least 50

The driver, the search (TPE, median pruner, the space of studies/fashion-mnist.toml) and MLflow on
SQLite are real, in a temporary folder. The executor trains nothing: its 2 slots answer at once with
5 epochs of a smooth curve that depends on the settings alone. Measured is the process time that the
driver spends on a trial's epochs, its end and the sampling of its successor, including what the
outbox's thread sends to MLflow meanwhile, without the stub's own time. `sampler` is the part inside
Optuna's TPESampler.

The median pruner stops more and more trials as a study goes on. With `rising` each trial does a bit
better than those before it and runs all of its 5 epochs: the most work that a driver can have.
"""

from __future__ import annotations

import functools
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import optuna

from harness.config.loader import load
from harness.executors.base import EpochEnded, Event, TrialEnded
from harness.results import EpochMetrics, StopReason, TrialResult
from harness.search.open_study import open_search
from harness.sweep.driver import Driver
from harness.sweep.progress import ProgressDisplay, Silent
from harness.system.signals import StopFlag
from harness.tracking.types import StudyRecord
from harness.trial import Trial, TrialSpec
from harness.workspace import Workspace

EPOCHS, CLASSES, EXAMPLES = 5, 10, 6000
SAMPLING = (
    "infer_relative_search_space",
    "sample_relative",
    "sample_independent",
    "before_trial",
    "after_trial",
)


@dataclass(frozen=True)
class Clock:
    """Seconds of process time and of wall time."""

    process: float = 0.0
    wall: float = 0.0

    @classmethod
    def now(cls) -> Clock:
        return cls(time.process_time(), time.perf_counter())

    def __add__(self, other: Clock) -> Clock:
        return Clock(self.process + other.process, self.wall + other.wall)

    def __sub__(self, other: Clock) -> Clock:
        return Clock(self.process - other.process, self.wall - other.wall)


@dataclass
class Cost:
    """The driver's time for one trial."""

    driver: Clock = Clock()
    sampler: Clock = Clock()
    epochs: int = 0


class SamplerTimer:
    """Accumulates the time inside all TPESamplers."""

    def __init__(self) -> None:
        self.spent, self._inside = Clock(), False
        for name in SAMPLING:
            method = getattr(optuna.samplers.TPESampler, name)
            setattr(optuna.samplers.TPESampler, name, self._timed(method))

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def timed(*arguments: Any) -> Any:
            if self._inside:  # one method of the sampler calls another
                return method(*arguments)
            self._inside, started = True, Clock.now()
            try:
                return method(*arguments)
            finally:
                self._inside = False
                self.spent += Clock.now() - started

        return timed


def epoch_metrics(spec: TrialSpec, epoch: int, lead: int) -> EpochMetrics:
    """Return an epoch of a saturating curve whose height and speed depend on the settings.

    `lead` raises it.
    """
    rate = math.log10(spec.learning_rate / 3e-3)
    size = sum(math.log2(width) for width in spec.hidden) / 20
    height = 0.9 - 0.03 * rate**2 - 0.02 * (size - 1) ** 2
    height += {"none": 0.0, "before": 0.01, "after": 0.005}[spec.batch_norm]
    height -= 0.05 * min(1.0, 2e3 * spec.l1) + 0.02 * min(1.0, 1e3 * spec.l2)
    speed = 0.8 + 0.4 * max(-1.0, min(1.0, rate)) + 0.1 * size
    accuracy = height * (1 - 0.5 * math.exp(-speed * epoch))
    accuracy = (lead + accuracy) / (lead + 1)
    return EpochMetrics(
        epoch=epoch,
        train_loss=1.05 - accuracy,
        train_accuracy=accuracy,
        penalty=spec.l1 + spec.l2,
        val_loss=1.1 - accuracy,
        val_accuracy=accuracy,
        learning_rate=spec.learning_rate,
        seconds=0.5,
        time=1.7e9 + epoch,
    )


@dataclass
class Slot:
    """A trial in "training": the epochs reported so far, and whether it continues."""

    trial: Trial
    epochs: list[EpochMetrics]
    keep: bool = True


class Stub:
    """An executor that trains nothing.

    It returns one event at a time, so the driver's time between two waits belongs to that event.
    """

    def __init__(self, sampling: SamplerTimer, rising: bool, slots: int = 2) -> None:
        self._rising, self.slots = rising, slots
        self.costs: dict[str, Cost] = {}
        """By uid, in the order in which trials ended."""
        self._sampling = sampling
        self._waiting: deque[Trial] = deque()
        self._active: deque[Slot] = deque()
        self._open: dict[str, Cost] = {}
        self._charged: Cost = Cost()
        self._left = Clock.now(), sampling.spent
        right = EXAMPLES // CLASSES - 9 * (CLASSES - 1)
        self._confusion = tuple(
            tuple(right if row == column else 9 for column in range(CLASSES))
            for row in range(CLASSES)
        )

    def submit(self, trials: Sequence[Trial]) -> None:
        self._waiting.extend(trials)

    def wait(self, timeout: float) -> list[Event]:
        now, spent = Clock.now(), self._sampling.spent
        self._charged.driver += now - self._left[0]
        self._charged.sampler += spent - self._left[1]
        event = self._next()
        cost = self._open.setdefault(event.uid, Cost())
        cost.epochs += isinstance(event, EpochEnded)
        if isinstance(event, TrialEnded):
            self.costs[event.uid] = self._open.pop(event.uid)
        self._charged = cost
        self._left = Clock.now(), spent
        return [event]

    def _next(self) -> Event:
        while self._waiting and len(self._active) < self.slots:
            self._active.append(Slot(self._waiting.popleft(), []))
        slot = self._active.popleft()
        event = self._event(slot)
        if isinstance(event, EpochEnded):
            self._active.append(slot)  # the other slot is next
        return event

    def _event(self, slot: Slot) -> EpochEnded | TrialEnded:
        uid = slot.trial.uid
        if slot.keep and len(slot.epochs) < EPOCHS:
            lead = slot.trial.number if self._rising else 0
            slot.epochs.append(epoch_metrics(slot.trial.spec, len(slot.epochs) + 1, lead))
            return EpochEnded(uid, "stub", slot.epochs[-1])
        return TrialEnded(uid, "stub", self._result(slot, "finished" if slot.keep else "pruned"))

    def _result(self, slot: Slot, stopped: StopReason) -> TrialResult:
        return TrialResult(
            best=max(slot.epochs, key=lambda metrics: metrics.val_accuracy),
            epochs=len(slot.epochs),
            stopped=stopped,
            parameters=266_610,
            seconds=0.5 * len(slot.epochs),
            confusion=self._confusion,
            predictions=bytes(index % CLASSES for index in range(EXAMPLES)),
            weights=bytes(1000),
        )

    def answer(self, uid: str, keep: bool) -> None:
        for slot in self._active:
            if slot.trial.uid == uid:
                slot.keep = keep

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


def drive(
    trials: int, folder: Path, rising: bool, slots: int = 2, watcher: ProgressDisplay | None = None
) -> tuple[list[Cost], str]:
    """Run a study; return every trial's cost, in the order of their ends, and how they ended."""
    config = load("fashion-mnist", [f"train.epochs={EPOCHS}", "study.seed=0"], {"trials": trials})
    workspace = Workspace(folder)
    with (
        open_search(config, workspace.journal_folder(workspace.local_uri)) as search,
        workspace.open_outbox(config.study.name, workspace.local_uri) as tracker,
    ):
        record = StudyRecord(
            name=config.study.name,
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
        executor = Stub(SamplerTimer(), rising, slots)
        objective = config.study.objective
        driver = Driver(
            search, executor, tracker, watcher or Silent(), target=trials, objective=objective
        )
        driver.run(StopFlag())
        tracker.close_study(search.uid, "COMPLETE")
        tracker.flush()
        tracker.ended_cleanly = True
        ended = f"{search.counts.complete} complete, {search.counts.pruned} pruned"
    return list(executor.costs.values()), ended


def read_processor_name() -> str:
    """Return the CPU's name, which Python does not provide on Linux."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def format_quartiles(seconds: Sequence[float]) -> str:
    """Format median and quartiles in milliseconds."""
    low, middle, high = (1000 * value for value in statistics.quantiles(seconds, n=4))
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


def print_table(costs: Sequence[Cost]) -> None:
    n = len(costs)
    starts = [start for start in (25, 475, 975, 2475) if start < n - 50] + [n - 50]
    windows = {start: costs[start : start + 50] for start in starts}
    first, last = windows[starts[0]], windows[starts[-1]]
    head = ("process ms", "without sampler", "sampler", "wall ms", "wall without sampler")
    measures: list[Callable[[Cost], float]] = [
        lambda cost: cost.driver.process,
        lambda cost: (cost.driver - cost.sampler).process,
        lambda cost: cost.sampler.process,
        lambda cost: cost.driver.wall,
        lambda cost: (cost.driver - cost.sampler).wall,
    ]
    print(f"{'trials':<12}" + "".join(f"{name:<24}" for name in head) + "epochs")
    for start, window in windows.items():
        cells = [format_quartiles([measure(cost) for cost in window]) for measure in measures]
        epochs = statistics.mean(cost.epochs for cost in window)
        row = "".join(f"{cell:<24}" for cell in cells)
        print(f"{f'{start + 1}-{start + 50}':<12}{row}{epochs:.1f}")
    ratios = [
        statistics.median(map(measure, last)) / statistics.median(map(measure, first))
        for measure in measures
    ]
    print(f"{'last/first':<12}" + "".join(f"{ratio:<24.2f}" for ratio in ratios))


def main(trials: int, rising: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        started = Clock.now()
        costs, ended = drive(trials, Path(folder), rising)
        took = Clock.now() - started
    packages = ", ".join(f"{name} {version(name)}" for name in ("optuna", "mlflow", "sqlalchemy"))
    print(f"{read_processor_name()}, {os.cpu_count()} cores, {platform.platform()}")
    print(f"Python {platform.python_version()}, {packages}")
    print(f"{trials} trials, 1 run: {ended}; {took.wall:.0f} s, {took.process:.0f} s of process")
    print(
        "per trial: median (quartiles) over the 50 trials of each row, in the order of their ends"
    )
    print_table(costs)


if __name__ == "__main__":
    arguments = [word for word in sys.argv[1:] if word != "rising"]
    main(int(arguments[0]) if arguments else 2000, "rising" in sys.argv)
