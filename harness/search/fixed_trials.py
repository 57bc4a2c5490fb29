"""Settings that are given, not searched for: what `harness train` and the benchmarks drive."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from harness.metrics import get_sort_sign
from harness.results import EpochMetrics, Objective, Outcome, TrialFailure, TrialResult
from harness.search.study import ATTEMPTS, Counts
from harness.trial import Trial, TrialSpec


class FixedSearch:
    """Trials of given specs, in order, through the same driver as a study's. Nothing is kept.

    A single trial's uid is `uid` itself, for its run stands alone; those of a list are
    `uid/number`, and are tried again where their worker died.
    """

    learns = False
    in_flight_limit = None

    def __init__(
        self,
        uid: str,
        specs: Sequence[TrialSpec],
        until: int | None = None,
        objective: Objective = "val/accuracy",
    ) -> None:
        """Every trial that comes to epoch `until` is pruned there."""
        self.uid, self._until, self._objective = uid, until, objective
        self.outcomes: dict[int, Outcome] = {}
        """By the number of a trial's first attempt; an interrupted trial's is a failure."""
        self.counts = Counts(0, 0, 0)
        self.ranking: list[tuple[float, int]] = []
        self._alone = len(specs) == 1
        self._waiting = [(number, spec, 1) for number, spec in enumerate(specs)]
        """(number of the first attempt, spec, attempt), next first."""
        self._asked: list[tuple[int, TrialSpec, int]] = []
        """The same, by number."""

    def ask(self) -> Trial:
        number, (first, spec, attempt) = len(self._asked), self._waiting.pop(0)
        self._asked.append((first, spec, attempt))
        return Trial(number=number, uid=self.trial_uid(number), spec=spec, attempt=attempt)

    def report(self, number: int, metrics: EpochMetrics) -> bool:
        return self._until is None or metrics.epoch < self._until

    def rank(self, number: int, value: float) -> tuple[float, int]:
        return get_sort_sign(self._objective) * value, number

    def tell_result(self, number: int, result: TrialResult) -> None:
        bisect.insort(self.ranking, self.rank(number, result.best.get_objective(self._objective)))
        self._end(number, result)

    def tell_failure(self, number: int, reason: str) -> None:
        self._end(number, TrialFailure(reason=reason))

    def trial_uid(self, number: int) -> str:
        return self.uid if self._alone else f"{self.uid}/{number}"

    def requeue(self, number: int, reason: str, blamed: bool) -> int | None:
        first, spec, attempt = self._asked[number]
        if not blamed or self._alone or attempt == ATTEMPTS:
            self._end(number, TrialFailure(reason=reason))
            return None
        self._waiting.append((first, spec, attempt + 1))
        return len(self._asked) + len(self._waiting) - 1

    def tell_interrupted(self, number: int, successor: int | None) -> None: ...

    def _end(self, number: int, outcome: Outcome) -> None:
        self.outcomes[self._asked[number][0]] = outcome
        failed = sum(isinstance(outcome, TrialFailure) for outcome in self.outcomes.values())
        self.counts = Counts(len(self.outcomes) - failed, 0, failed)
