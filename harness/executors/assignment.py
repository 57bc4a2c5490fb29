"""What a worker has to do, and which worker is given the next trial: the same for all executors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from harness.data.prepare import TrainingFiles
from harness.engine import cost_model
from harness.executors.base import Setup
from harness.executors.hang_detection import HangDetector
from harness.trial import Trial


@dataclass(eq=False)
class WorkerLoad:
    """A worker's trials, as the driver knows of them."""

    name: str
    setup: Setup
    ready: bool = False
    leaving: bool = False
    """It takes no more trials."""
    trials: dict[str, Trial] = field(default_factory=dict)
    """By uid: what it was given and has not ended."""
    unanswered: set[str] = field(default_factory=set)
    """Those of its trials that wait for the driver's answer."""

    @property
    def owes(self) -> bool:
        """Whether it is the worker's turn to speak."""
        return not self.ready or self.leaving or (bool(self.trials) and not self.unanswered)

    def has_room(self, trial: Trial) -> bool:
        """A trial whose worker died before gets one to itself: another death is its own fault."""
        if not self.ready or self.leaving or len(self.trials) >= self.setup.slots:
            return False
        return not self.trials or all(
            other.attempt == 1 for other in (trial, *self.trials.values())
        )


L = TypeVar("L", bound=WorkerLoad)


class Waiting:
    """Trials that no worker has yet."""

    def __init__(self, files: TrainingFiles) -> None:
        self._size = math.prod(files.shape), len(files.classes) or 1
        self._queue: list[Trial] = []

    def extend(self, trials: Sequence[Trial]) -> None:
        self._queue.extend(trials)

    def clear(self) -> None:
        self._queue.clear()

    def given(self, workers: Sequence[L], alone: bool) -> Iterator[tuple[L, Trial]]:
        """Give trials to the workers that have least to do, the longest trial first.

        Where one trains `alone`, it takes them as they come: then a continued sweep repeats its
        bits.
        """
        while self._queue:
            trial = self._queue[0]
            if not alone:
                trial = max(self._queue, key=lambda trial: (trial.attempt, self.work(trial)))
            free = [worker for worker in workers if worker.has_room(trial)]
            if not free:
                break  # also for the others, or one that needs a worker to itself would starve
            worker = min(free, key=lambda worker: len(worker.trials))
            worker.trials[trial.uid] = trial
            self._queue.remove(trial)
            yield worker, trial

    def work(self, trial: Trial) -> float:
        return cost_model.estimate_work(trial.spec, *self._size)

    def patience(self, load: WorkerLoad, watchdog: HangDetector) -> float:
        """Seconds that it may be silent when it is its turn to speak."""
        if not load.ready:
            return watchdog.start_limit
        limit = watchdog.limit(self.work_before_event(load.trials.values()))
        # What was seen of a model of one's own says little of another: its size is not known.
        unknown = any(trial.spec.model for trial in load.trials.values())
        return max(limit, watchdog.start_limit) if unknown else limit

    def work_before_event(self, trials: Iterable[Trial]) -> float:
        """Of their epochs until they report one."""
        return sum(
            self.work(trial) * min(trial.spec.evaluate_every, trial.spec.epochs) / trial.spec.epochs
            for trial in trials
        )
