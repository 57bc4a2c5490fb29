"""A worker's trials, from submission to end: what the in-process and the process worker share."""

from __future__ import annotations

from collections.abc import Iterator

from harness.engine.trainer import Trainer
from harness.executors.base import Ended, Epoch, Event, Lost
from harness.results import EpochMetrics, Outcome, TrialFailure
from harness.trial import Trial


class TrialRunner:
    """Trains a population and turns what happens into events; the answers decide what goes on.

    An epoch of the population starts when every `Epoch` of the last one was answered.
    """

    def __init__(self, population: Trainer, name: str) -> None:
        self._population, self._name = population, name
        self._refused: list[Event] = []
        self._unanswered: set[str] = set()
        self._answers: list[tuple[str, bool]] = []
        self.broken = False
        """Whether something went wrong that may have left the device unusable."""

    @property
    def busy(self) -> bool:
        """Whether `step` would do anything."""
        if self._refused or self._answers:
            return True
        return bool(len(self._population)) and not self._unanswered

    def submit(self, trial: Trial) -> None:
        """The trial trains from the next epoch on. What cannot train fails, by its event."""
        try:
            self._population.add(trial.uid, trial.spec)
        except (RuntimeError, ValueError, MemoryError) as error:
            self._refused.append(self._ended(trial.uid, TrialFailure(reason=in_words(error))))

    def answer(self, uid: str, keep: bool) -> None:
        assert uid in self._unanswered, f"{uid} waits for no answer"
        self._unanswered.remove(uid)
        self._answers.append((uid, keep))

    def step(self) -> Iterator[list[Event]]:
        """Act on the answers, and train an epoch where none is missing; yields what happened."""
        ended, self._refused = self._refused, []
        answers, self._answers = self._answers, []
        for uid, keep in answers:
            result = self._population.decide(uid, keep)
            if result is not None:
                ended.append(self._ended(uid, result))
        if ended:
            yield ended  # whoever hears of it may submit the next trial before the epoch starts
        elif self._population and not self._unanswered:
            yield from self._epoch()

    def _epoch(self) -> Iterator[list[Event]]:
        try:
            for reports in self._population.train_epoch():
                events: list[Event] = []
                for report in reports:
                    if isinstance(report.outcome, EpochMetrics):
                        self._unanswered.add(report.uid)
                        events.append(Epoch(report.uid, self._name, report.outcome))
                    else:
                        events.append(self._ended(report.uid, report.outcome))
                yield events
        except (RuntimeError, ValueError, MemoryError) as error:
            self.broken = True
            self._unanswered.clear()
            uids, reason = self._population.clear(), in_words(error)
            if len(uids) == 1:
                yield [self._ended(uids[0], TrialFailure(reason=reason))]
            else:
                # One of them is to blame: each may be tried again, by itself.
                yield [Lost(uid, self._name, reason) for uid in uids]

    def _ended(self, uid: str, outcome: Outcome) -> Ended:
        return Ended(uid, self._name, outcome)


def in_words(error: Exception) -> str:
    first = (str(error).strip() or "no message").splitlines()[0]
    _, mark, refused = first.partition("DefaultCPUAllocator: ")
    if mark:  # behind its place in torch's source
        return f"out of memory: {refused}"
    return f"{type(error).__name__}: {first}"
