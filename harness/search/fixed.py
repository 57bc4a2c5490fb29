"""Settings that are given, not searched for: what `harness train` and the benchmarks drive."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from harness.search.study import Counts
from harness.trial import EpochMetrics, Outcome, Trial, TrialFailure, TrialResult, TrialSpec


class FixedSearch:
    """Trials of given specs, in order, through the same driver as a study's. Nothing is kept.

    A single trial's uid is `uid` itself, for its run stands alone; those of a list are
    `uid/number`.
    """

    in_flight_limit = None

    def __init__(self, uid: str, specs: Sequence[TrialSpec]) -> None:
        self.uid = uid
        self.outcomes: dict[int, Outcome] = {}
        """By number; an interrupted trial's is a failure."""
        self._specs, self._asked = list(specs), 0
        self.counts = Counts(0, 0, 0)
        self.ranking: list[tuple[float, int]] = []

    def ask(self) -> Trial:
        number, self._asked = self._asked, self._asked + 1
        return Trial(number=number, uid=self.trial_uid(number), spec=self._specs[number])

    def report(self, number: int, metrics: EpochMetrics) -> bool:
        return True

    def rank(self, number: int, value: float) -> tuple[float, int]:
        return -value, number

    def tell_result(self, number: int, result: TrialResult) -> None:
        self.outcomes[number] = result
        bisect.insort(self.ranking, self.rank(number, result.best.val_accuracy))
        self._count()

    def tell_failure(self, number: int, reason: str) -> None:
        self.outcomes[number] = TrialFailure(reason=reason)
        self._count()

    def trial_uid(self, number: int) -> str:
        return self.uid if len(self._specs) == 1 else f"{self.uid}/{number}"

    def requeue(self, number: int, reason: str, blamed: bool) -> int | None:
        self.outcomes[number] = TrialFailure(reason=reason)
        return None

    def tell_interrupted(self, number: int, successor: int | None) -> None:
        self._count()

    def _count(self) -> None:
        failed = sum(isinstance(outcome, TrialFailure) for outcome in self.outcomes.values())
        self.counts = Counts(len(self.outcomes) - failed, 0, failed)
