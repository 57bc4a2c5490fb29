"""Trials of fixed settings, without Optuna: `harness train`, replays and confirmation runs."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.metrics import get_sort_sign
from harness.results import EpochMetrics, Objective, Outcome, TrialFailure, TrialResult
from harness.search.counts import Counts
from harness.search.study import ATTEMPTS
from harness.tracking.types import CONFIRM_INFIX
from harness.trial import Trial, TrialSpec


class FixedSearch:
    """Trials of a list of specs, in order, for the same driver as a study's. Nothing is recorded.

    The uid of a single trial is `uid`, and it is not retried. Several trials have the uids
    `uid/number`, and are retried if their worker dies.
    """

    learns = False
    in_flight_limit = None
    limit = None

    def __init__(
        self,
        uid: str,
        specs: Sequence[TrialSpec],
        prune_epoch: int | None = None,
        objective: Objective = "val/accuracy",
    ) -> None:
        """`prune_epoch`: prune every trial that reaches this epoch."""
        self.uid, self._prune_epoch, self._objective = uid, prune_epoch, objective
        self.outcomes: dict[int, Outcome] = {}
        """By the number of a trial's first attempt; an interrupted trial counts as failed."""
        self.counts = Counts(0, 0, 0)
        self.ranking: list[tuple[float, int]] = []
        self._is_single = len(specs) == 1
        self._queue = [(number, spec, 1) for number, spec in enumerate(specs)]
        """(number of the first attempt, spec, attempt) of the trials to come, the next first."""
        self._started: list[tuple[int, TrialSpec, int]] = []
        """The same of the trials that were asked for, by number."""

    def ask(self) -> Trial:
        number, (first, spec, attempt) = len(self._started), self._queue.pop(0)
        self._started.append((first, spec, attempt))
        return Trial(number=number, uid=self.trial_uid(number), spec=spec, attempt=attempt)

    def report(self, number: int, metrics: EpochMetrics) -> bool:
        return self._prune_epoch is None or metrics.epoch < self._prune_epoch

    def rank(self, number: int, value: float) -> tuple[float, int]:
        return get_sort_sign(self._objective) * value, number

    def tell_result(self, number: int, result: TrialResult) -> None:
        bisect.insort(self.ranking, self.rank(number, result.best.get_objective(self._objective)))
        self._end(number, result)

    def tell_failure(self, number: int, reason: str) -> None:
        self._end(number, TrialFailure(reason=reason))

    def trial_uid(self, number: int) -> str:
        return self.uid if self._is_single else f"{self.uid}/{number}"

    def requeue(self, number: int, reason: str, blamed: bool) -> int | None:
        first, spec, attempt = self._started[number]
        if not blamed or self._is_single or attempt == ATTEMPTS:
            self._end(number, TrialFailure(reason=reason))
            return None
        self._queue.append((first, spec, attempt + 1))
        return len(self._started) + len(self._queue) - 1

    def tell_interrupted(self, number: int, successor: int | None) -> None: ...

    def _end(self, number: int, outcome: Outcome) -> None:
        self.outcomes[self._started[number][0]] = outcome
        failed = sum(isinstance(outcome, TrialFailure) for outcome in self.outcomes.values())
        self.counts = Counts(len(self.outcomes) - failed, 0, failed)


@dataclass(frozen=True)
class ConfirmationRun:
    """One of a study's best settings, to be trained again with a new seed."""

    number: int
    """The study's trial that has these settings."""
    spec: TrialSpec
    """With the new seed."""
    attempts: int
    """Recorded attempts, interrupted or failed."""
    split: int = 0
    """See `Trial.split`."""


class ConfirmationSearch(FixedSearch):
    """Confirmation runs in order, with the uids `STUDY/confirm/NUMBER.SEED`.

    From the second attempt on, the uid ends in `.ATTEMPT`.
    """

    def __init__(
        self, study_uid: str, runs: Sequence[ConfirmationRun], objective: Objective
    ) -> None:
        super().__init__(study_uid, [run.spec for run in runs], objective=objective)
        self._is_single, self._runs = False, runs

    def ask(self) -> Trial:
        trial = super().ask()
        run = self._runs[self._started[trial.number][0]]
        return replace(trial, confirms=run.number, split=run.split)

    def trial_uid(self, number: int) -> str:
        first, spec, attempt = self._started[number]
        run = self._runs[first]
        attempts = run.attempts + attempt
        suffix = f".{attempts}" if attempts > 1 else ""
        return f"{self.uid}{CONFIRM_INFIX}{run.number}.{spec.seed}{suffix}"
