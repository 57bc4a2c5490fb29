"""Compare two trials on the same validation examples: is their difference more than chance?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.analysis.formatting import format_count
from harness.metrics import Score
from harness.stats.proportions import SIGNIFICANCE_LEVEL, compute_mcnemar_p_value
from harness.stats.regression import compute_paired_p_values
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
class PairedTest:
    """The result of a significance test of two trials on the same examples.

    Classifiers are compared by McNemar's exact test, regressions by a bootstrap-t test of their
    squared errors.
    """

    examples: int
    only_first: int
    """Examples that the first trial alone has right; for a regression, those on which it is nearer
    to the true value."""
    only_second: int
    p_value: float
    mean_squared_errors: tuple[float, float] | None = None
    """Of both trials, for a regression."""

    @property
    def is_significant(self) -> bool:
        return self.p_value < SIGNIFICANCE_LEVEL

    @property
    def is_second_better(self) -> bool:
        if self.mean_squared_errors is not None:
            return self.mean_squared_errors[1] < self.mean_squared_errors[0]
        return self.only_second > self.only_first

    @property
    def test_name(self) -> str:
        return "McNemar" if self.mean_squared_errors is None else "bootstrap-t"


@dataclass(frozen=True)
class RunnerUp:
    """The best trial after the champion."""

    run: RunRecord
    test: PairedTest | None
    """The champion against this trial; None if the predictions of either were not recorded."""

    def describe(self, score: Score) -> str:
        """Return its score, and whether it differs significantly from the champion."""
        value = score.format_value(self.run.score)  # no interval: it is one of the best of many
        text, test = f"trial {self.run.number}, {score.name} {value}", self.test
        if test is None:
            return text
        conclusion = "no significant difference"
        if test.is_significant:  # by another objective, the runner-up may be the more accurate one
            better = "runner-up" if test.is_second_better else "champion"
            conclusion = f"a significant difference in the {better}'s favour"
        p_value = f"{test.test_name} p = {test.p_value:.2g}"
        examples = format_count(test.examples, "example")
        return f"{text}: {conclusion}{score.tested_note} on {examples} ({p_value})"


def read_predictions(tracker: Tracker, run: RunRecord) -> Predictions | None:
    """Return a run's predictions on the validation set; None if they were not recorded."""
    content = tracker.read_file(run.run_id, PREDICTIONS_FILE)
    return Predictions.from_bytes(content) if content else None


def read_regression_predictions(
    tracker: Tracker, run: RunRecord, test_name: str
) -> dict[str, Values]:
    """Return the true and the predicted values of a regression, [2, examples], by split.

    The splits are `validation` and, if it was read, the test set under `test_name`.
    """
    predictions, validation = {}, read_predictions(tracker, run)
    if validation is not None:
        predictions["validation"] = validation.to_array()
    if content := tracker.read_file(run.run_id, TEST_PREDICTIONS_FILE):
        test = TestPredictions.from_bytes(content)
        predictions[test_name] = np.stack([test.true, test.predicted])
    return predictions


def run_paired_test(first: Predictions | None, second: Predictions | None) -> PairedTest | None:
    """Test two trials; None without predictions of both on the same examples."""
    return None if first is None else run_paired_tests(first, [second])[0]


def run_paired_tests(
    first: Predictions, others: Sequence[Predictions | None]
) -> list[PairedTest | None]:
    """Test each of several trials against the first. All regressions share one set of resamples."""
    usable = [bool(each and each.true == first.true and first.true) for each in others]
    testable = [each for each, use in zip(others, usable, strict=True) if each and use]
    tests = iter(
        _compare_errors(first, testable)
        if first.is_regression and testable
        else map(_compare_classes(first), testable)
    )
    return [next(tests) if use else None for use in usable]


def list_comparable_trials(study: StudyRun, champion: RunRecord) -> list[RunRecord]:
    """Return the complete trials that the champion is compared with, best first.

    Trials of the champion's own settings, which version 0.1.0 trained again, are left out; in a
    grid or list also those of its setting with other seeds.
    """
    ranked = [run for run in study.rank_trials() if run.uid != champion.uid and run.best]
    others = [run for run in ranked if run.spec != champion.spec]
    if study.is_grid_or_list:
        setting = replace(champion.spec, seed=0)
        others = [run for run in others if replace(run.spec, seed=0) != setting]
    return others


def find_runner_up(tracker: Tracker, study: StudyRun, champion: RunRecord) -> RunnerUp | None:
    """Return the best of the comparable trials, tested against the champion; None without any."""
    run = next(iter(list_comparable_trials(study, champion)), None)
    if run is None:
        return None
    predictions = read_predictions(tracker, champion), read_predictions(tracker, run)
    return RunnerUp(run, run_paired_test(*predictions))


def _compare_classes(first: Predictions) -> Callable[[Predictions], PairedTest]:
    true, one = first.to_array()

    def compare(second: Predictions) -> PairedTest:
        other = second.to_array()[1]
        only_first = int(np.count_nonzero((one == true) & (other != true)))
        only_second = int(np.count_nonzero((other == true) & (one != true)))
        p_value = compute_mcnemar_p_value(only_first, only_second)
        return PairedTest(len(true), only_first, only_second, p_value)

    return compare


def _compare_errors(first: Predictions, others: Sequence[Predictions]) -> Iterator[PairedTest]:
    true, predicted = first.to_array().astype(np.float64)
    one = np.square(predicted - true)  # [n]
    many = np.square(np.stack([each.to_array()[1] for each in others]).astype(np.float64) - true)
    for other, p_value in zip(many, compute_paired_p_values(one - many), strict=True):
        nearer = int(np.count_nonzero(one < other)), int(np.count_nonzero(other < one))
        errors = float(one.mean()), float(other.mean())
        yield PairedTest(len(true), *nearer, p_value, errors)
