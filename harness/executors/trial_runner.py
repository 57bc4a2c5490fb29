"""Trains a worker's trials and turns what happens into events; the same in every executor."""

from __future__ import annotations

from collections.abc import Iterator

from harness.engine.trainer import Report
from harness.executors.base import EpochEnded, Event, TrialEnded, TrialLost
from harness.executors.trainer_pool import TrainerPool
from harness.results import EpochMetrics, Outcome, TrialFailure
from harness.trial import Trial


class TrialRunner:
    """Trains the trials of one worker.

    The next epoch starts when every `EpochEnded` of the last one was answered.
    """

    def __init__(self, trainers: TrainerPool, name: str) -> None:
        self._trainers, self._name = trainers, name
        self._failed: list[Event] = []
        self._unanswered: set[str] = set()
        self._answers: list[tuple[str, bool]] = []
        self.is_broken = False
        """Whether an error may have left the device unusable."""

    @property
    def is_busy(self) -> bool:
        """Whether `step` would do anything."""
        if self._failed or self._answers:
            return True
        return any(map(len, self._trainers)) and not self._unanswered

    def submit(self, trial: Trial) -> None:
        """Train the trial from the next epoch on. One that cannot train fails, with an event."""
        try:
            self._trainers.open(trial).add(trial.uid, trial.spec, keep_history=trial.split > 0)
        except (RuntimeError, ValueError, MemoryError) as error:
            self._failed.append(
                self._make_ended(trial.uid, TrialFailure(reason=describe_error(error)))
            )

    def answer(self, uid: str, keep: bool) -> None:
        assert uid in self._unanswered, f"{uid} does not wait for an answer"
        self._unanswered.remove(uid)
        self._answers.append((uid, keep))

    def step(self) -> Iterator[list[Event]]:
        """Apply the answers, and train an epoch if none is missing; yield the events."""
        ended, self._failed = self._failed, []
        answers, self._answers = self._answers, []
        for uid, keep in answers:
            result = self._trainers.find(uid).decide(uid, keep)
            if result is not None:
                ended.append(self._make_ended(uid, result))
        if ended:
            yield ended  # the caller may submit another trial before the epoch starts
        elif self.is_busy:
            yield from self._epoch()

    def _epoch(self) -> Iterator[list[Event]]:
        try:
            for reports in self._train_epoch():
                events: list[Event] = []
                for report in reports:
                    if isinstance(report.outcome, EpochMetrics):
                        self._unanswered.add(report.uid)
                        events.append(EpochEnded(report.uid, self._name, report.outcome))
                    else:
                        events.append(self._make_ended(report.uid, report.outcome))
                yield events
        except (RuntimeError, ValueError, MemoryError) as error:
            self.is_broken = True
            self._unanswered.clear()
            reason = describe_error(error)
            uids = [uid for trainer in self._trainers for uid in trainer.clear()]
            if len(uids) == 1:
                yield [self._make_ended(uids[0], TrialFailure(reason=reason))]
            else:
                # One of them is to blame: each may be retried alone.
                yield [TrialLost(uid, self._name, reason) for uid in uids]

    def _train_epoch(self) -> Iterator[list[Report]]:
        for trainer in self._trainers:
            yield from trainer.train_epoch()

    def _make_ended(self, uid: str, outcome: Outcome) -> TrialEnded:
        self._trainers.close(uid)
        return TrialEnded(uid, self._name, outcome)


def describe_error(error: Exception) -> str:
    """Describe an error of torch on one line."""
    first = (str(error).strip() or "no message").splitlines()[0]
    # Torch's message starts with the position in its source.
    _, separator, message = first.partition("DefaultCPUAllocator: ")
    if separator:
        return f"out of memory: {message}"
    return f"{type(error).__name__}: {first}"
