"""Settings that are given, not searched for: what `harness train` drives."""

from __future__ import annotations

from harness.search.study import Counts
from harness.trial import EpochMetrics, Trial, TrialResult, TrialSpec


class FixedSearch:
    """One trial of a given spec, through the same driver as a study's trials. Nothing is kept."""

    in_flight_limit = None

    def __init__(self, uid: str, spec: TrialSpec) -> None:
        self.uid = uid
        self.outcome: TrialResult | None = None
        self.reason = ""
        """Why there is no outcome."""
        self._trial = Trial(number=0, uid=uid, spec=spec)
        self.counts = Counts(0, 0, 0)
        self.ranking: list[tuple[float, int]] = []

    def ask(self) -> Trial:
        return self._trial

    def report(self, number: int, metrics: EpochMetrics) -> bool:
        return True

    def rank(self, number: int, value: float) -> tuple[float, int]:
        return value, number

    def tell_result(self, number: int, result: TrialResult) -> None:
        self.outcome = result
        self.counts = Counts(1, 0, 0)

    def tell_failure(self, number: int, reason: str) -> None:
        self.reason = reason
        self.counts = Counts(0, 0, 1)

    def trial_uid(self, number: int) -> str:
        return self.uid

    def requeue(self, number: int, reason: str, blamed: bool) -> int | None:
        self.reason = reason
        return None

    def tell_interrupted(self, number: int, successor: int | None) -> None:
        self.counts = Counts(0, 0, 1)
