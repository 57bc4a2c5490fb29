"""Two trials on the same validation examples: where they differ, and whether that is chance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from harness.intervals import LEVEL, mcnemar
from harness.tracking.predictions import FILE, Predictions
from harness.tracking.records import RunRecord, StudyRun

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
    def shows(self) -> bool:
        """Whether the difference is more than chance, at the usual 5 %."""
        return self.p < LEVEL


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
    true, one, other = (
        np.frombuffer(row, np.uint8) for row in (first.true, first.predicted, second.predicted)
    )
    only_first = int(np.count_nonzero((one == true) & (other != true)))
    only_second = int(np.count_nonzero((other == true) & (one != true)))
    p = mcnemar(only_first, only_second)
    return Paired(len(first.true), only_first, only_second, p)


def rivals(study: StudyRun, champion: RunRecord) -> list[RunRecord]:
    """The complete trials that the champion is compared with, best first."""
    others = [run for run in study.best_first() if run.uid != champion.uid and run.best]
    if study.given:  # another seed of the same setting is no rival
        own = replace(champion.spec, seed=0)
        others = [run for run in others if replace(run.spec, seed=0) != own]
    return others


def runner_up(tracker: Tracker, study: StudyRun, champion: RunRecord) -> Rival | None:
    """The best of the others; None where there is none."""
    run = next(iter(rivals(study, champion)), None)
    if run is None:
        return None
    return Rival(run, paired(read_predictions(tracker, champion), read_predictions(tracker, run)))
