"""Two trials on the same validation examples: where they differ, and whether that is chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.intervals import mcnemar
from harness.tracking.predictions import FILE, Predictions
from harness.tracking.records import RunRecord

if TYPE_CHECKING:
    from harness.tracking.base import Tracker


@dataclass(frozen=True)
class Paired:
    """How two trials did on the examples that both have seen."""

    examples: int
    only_first: int
    """Examples that the first alone has right."""
    only_second: int
    p: float
    """McNemar's exact test that both err alike."""

    @property
    def difference(self) -> float:
        """Accuracy of the second less that of the first."""
        return (self.only_second - self.only_first) / self.examples


def read_predictions(tracker: Tracker, run: RunRecord) -> Predictions | None:
    """None where the run has kept none."""
    content = tracker.read_file(run.run_id, FILE)
    return Predictions.from_file(content) if content else None


def paired(first: Predictions | None, second: Predictions | None) -> Paired | None:
    """None where either kept no predictions, or they are not of the same examples."""
    if first is None or second is None or first.true != second.true or not first.true:
        return None
    only_first = only_second = 0
    for true, one, other in zip(first.true, first.predicted, second.predicted, strict=True):
        only_first += one == true != other
        only_second += other == true != one
    p = mcnemar(only_first, only_second)
    return Paired(len(first.true), only_first, only_second, p)
