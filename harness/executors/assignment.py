"""A worker's load, and which worker gets the next trial; the same for all executors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from harness.data.training_files import TrainingFiles
from harness.engine import cost_model
from harness.executors.base import Setup
from harness.executors.hang_detection import HangDetector
from harness.trial import Trial


@dataclass(eq=False)
class WorkerLoad:
    """A worker's trials, as the driver knows them."""

    name: str
    setup: Setup
    is_ready: bool = False
    is_leaving: bool = False
    """Whether it takes no more trials."""
    trials: dict[str, Trial] = field(default_factory=dict)
    """By uid: the trials that it was sent and has not ended."""
    unanswered: set[str] = field(default_factory=set)
    """Those of its trials that wait for the driver's answer."""

    @property
    def is_due(self) -> bool:
        """Whether the next message is the worker's, not the driver's."""
        is_training = bool(self.trials) and not self.unanswered
        return not self.is_ready or self.is_leaving or is_training

    def has_room(self, trial: Trial) -> bool:
        """Whether it may get the trial now.

        A retried trial trains alone: if this worker dies too, the trial is to blame.
        """
        if not self.is_ready or self.is_leaving or len(self.trials) >= self.setup.slots:
            return False
        return not self.trials or all(
            other.attempt == 1 for other in (trial, *self.trials.values())
        )


L = TypeVar("L", bound=WorkerLoad)


class TrialQueue:
    """The trials that no worker has yet."""

    def __init__(self, files: TrainingFiles) -> None:
        self._size = math.prod(files.shape), len(files.classes) or 1
        self._queue: list[Trial] = []

    def extend(self, trials: Sequence[Trial]) -> None:
        self._queue.extend(trials)

    def clear(self) -> None:
        self._queue.clear()

    def assign(self, workers: Sequence[L], in_order: bool) -> Iterator[tuple[L, Trial]]:
        """Assign trials to the workers with the fewest trials, retries and long trials first.

        `in_order` assigns them in the order of submission instead: the bits of a continued sweep
        depend on it if trials train one at a time.
        """
        while self._queue:
            trial = self._queue[0]
            if not in_order:
                trial = max(
                    self._queue, key=lambda trial: (trial.attempt, self.estimate_work(trial))
                )
            free = [worker for worker in workers if worker.has_room(trial)]
            if not free:
                break  # no other trial either, or one that must train alone would starve
            worker = min(free, key=lambda worker: len(worker.trials))
            worker.trials[trial.uid] = trial
            self._queue.remove(trial)
            yield worker, trial

    def estimate_work(self, trial: Trial) -> float:
        return cost_model.estimate_work(trial.spec, *self._size)

    def get_silence_limit(self, worker: WorkerLoad, detector: HangDetector) -> float:
        """Seconds without a message after which a worker whose message is due counts as hung."""
        if not worker.is_ready:
            return detector.start_limit
        limit = detector.get_limit(self.estimate_work_to_event(worker.trials.values()))
        # The work of a custom model is unknown, so other trials' speed says nothing about it.
        is_unknown = any(trial.spec.model for trial in worker.trials.values())
        return max(limit, detector.start_limit) if is_unknown else limit

    def estimate_work_to_event(self, trials: Iterable[Trial]) -> float:
        """The work of the trials' epochs up to their next event."""
        return sum(
            self.estimate_work(trial)
            * min(trial.spec.evaluate_every, trial.spec.epochs)
            / trial.spec.epochs
            for trial in trials
        )
