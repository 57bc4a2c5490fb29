"""Two trials on the same validation examples: where they differ, and whether that is chance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.stats.proportions import LEVEL, mcnemar
from harness.stats.regression import sign_flips
from harness.tracking.predictions import (
    PREDICTIONS_FILE,
    TEST_PREDICTIONS_FILE,
    Predictions,
    TestPredictions,
)
from harness.tracking.types import RunRecord, StudyRun

if TYPE_CHECKING:
    from harness.tracking.base import Tracker

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Paired:
    """How two trials did on the examples that both have seen."""

    examples: int
    only_first: int
    """Examples that the first alone has right; of a regression those on which it is nearer."""
    only_second: int
    p: float
    """McNemar's exact test that both err alike; of a regression a sign-flip test of their squared
    errors."""
    squares: tuple[float, float] | None = None
    """Of a regression: the mean squared error of each."""

    @property
    def shows(self) -> bool:
        """Whether the difference is more than chance, at the usual 5 %."""
        return self.p < LEVEL

    @property
    def second_leads(self) -> bool:
        if self.squares is not None:
            return self.squares[1] < self.squares[0]
        return self.only_second > self.only_first

    @property
    def test(self) -> str:
        """What the p-value is called by."""
        return "McNemar" if self.squares is None else "sign-flip"


@dataclass(frozen=True)
class Rival:
    """A trial beside the champion."""

    run: RunRecord
    paired: Paired | None
    """The champion, then this one; None where their predictions were not kept."""


def read_predictions(tracker: Tracker, run: RunRecord) -> Predictions | None:
    """None where the run has kept none."""
    content = tracker.read_file(run.run_id, PREDICTIONS_FILE)
    return Predictions.from_bytes(content) if content else None


def predicted_of(tracker: Tracker, run: RunRecord, test: str) -> dict[str, Values]:
    """What a run of a regression predicted, by part: [2, examples], true and predicted.

    `test` is what the test part is called, which is there where it was read.
    """
    found, said = {}, read_predictions(tracker, run)
    if said is not None:
        found["validation"] = said.to_array()
    if content := tracker.read_file(run.run_id, TEST_PREDICTIONS_FILE):
        read = TestPredictions.from_bytes(content)
        found[test] = np.stack([read.true, read.predicted])
    return found


def paired(first: Predictions | None, second: Predictions | None) -> Paired | None:
    """None where either kept no predictions, or they are not of the same examples."""
    return None if first is None else against(first, [second])[0]


def against(first: Predictions, others: Sequence[Predictions | None]) -> list[Paired | None]:
    """The same of many others, each beside the first: a regression's share the flips of a test."""
    fits = [bool(each and each.true == first.true and first.true) for each in others]
    known = [each for each, fit in zip(others, fits, strict=True) if each and fit]
    tested = iter(
        _nearer(first, known) if first.is_regression and known else map(_right(first), known)
    )
    return [next(tested) if fit else None for fit in fits]


def _right(first: Predictions) -> Callable[[Predictions], Paired]:
    true, one = first.to_array()

    def tested(second: Predictions) -> Paired:
        other = second.to_array()[1]
        only_first = int(np.count_nonzero((one == true) & (other != true)))
        only_second = int(np.count_nonzero((other == true) & (one != true)))
        return Paired(len(true), only_first, only_second, mcnemar(only_first, only_second))

    return tested


def _nearer(first: Predictions, others: Sequence[Predictions]) -> Iterator[Paired]:
    true, said = first.to_array().astype(np.float64)
    one = np.square(said - true)  # [n]
    many = np.square(np.stack([each.to_array()[1] for each in others]).astype(np.float64) - true)
    for squares, p in zip(many, sign_flips(one - many), strict=True):
        nearer = int(np.count_nonzero(one < squares)), int(np.count_nonzero(squares < one))
        yield Paired(len(true), *nearer, p, (float(one.mean()), float(squares.mean())))


def rivals(study: StudyRun, champion: RunRecord) -> list[RunRecord]:
    """The complete trials that the champion is compared with, best first."""
    others = [run for run in study.rank_trials() if run.uid != champion.uid and run.best]
    if study.is_grid_or_list:  # another seed of the same setting is no rival
        own = replace(champion.spec, seed=0)
        others = [run for run in others if replace(run.spec, seed=0) != own]
    return others


def runner_up(tracker: Tracker, study: StudyRun, champion: RunRecord) -> Rival | None:
    """The best of the others; None where there is none."""
    run = next(iter(rivals(study, champion)), None)
    if run is None:
        return None
    return Rival(run, paired(read_predictions(tracker, champion), read_predictions(tracker, run)))
