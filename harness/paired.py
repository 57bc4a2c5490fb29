"""Two trials on the same validation examples: where they differ, and whether that is chance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.intervals import mcnemar, wilson
from harness.tracking.predictions import FILE, Predictions
from harness.tracking.records import RunRecord, StudyRun, right

if TYPE_CHECKING:
    from harness.tracking.base import Tracker

LIKELY = 10
"""So many are tested at most: each is a file to read."""


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
    def shows(self) -> bool:
        """Whether the difference is more than chance, at the usual 5 %."""
        return self.p < 0.05


@dataclass(frozen=True)
class Rival:
    """A trial beside the champion."""

    run: RunRecord
    paired: Paired | None
    """The champion, then this one; None where their predictions were not kept."""


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


def rivals(
    tracker: Tracker, study: StudyRun, champion: RunRecord
) -> tuple[Rival | None, Rival | None]:
    """The runner-up, and the best trial with less than half the parameters that is as good.

    As good by all we see: its accuracy lies in the champion's interval, and on the same examples
    no difference shows.
    """
    mine = read_predictions(tracker, champion)

    def rival(run: RunRecord) -> Rival:
        return Rival(run, paired(mine, read_predictions(tracker, run)))

    others = [run for run in study.best_first() if run.uid != champion.uid and run.best]
    if study.given:  # another seed of the same setting is no rival
        own = replace(champion.spec, seed=0)
        others = [run for run in others if replace(run.spec, seed=0) != own]
    low, high = wilson(*right(champion.confusion))
    likely = [
        run
        for run in others
        if run.best
        and low <= run.best.val_accuracy <= high
        and 0 < run.parameters < champion.parameters / 2
    ]
    tested = map(rival, likely[:LIKELY])  # read one by one, up to the first that will do
    smaller = (each for each in tested if each.paired and not each.paired.shows)
    return rival(others[0]) if others else None, next(smaller, None)
