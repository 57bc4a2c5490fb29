"""Tied trials: which trials are tested, read and tied, and which of them is the smallest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from harness.analysis.summary import load_summary
from harness.analysis.tied_trials import TiedTrials, find_tied_trials
from harness.stats.proportions import (
    SIGNIFICANCE_LEVEL,
    adjust_p_values,
    compute_mcnemar_p_value,
)
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.types import RunRecord, StudyRun
from tests.support.compared_trials import RECORD, TRUE, finish, wrong_at


class RecordingTracker(InMemoryTracker):
    """Records whose files are requested together."""

    def __init__(self) -> None:
        super().__init__()
        self.requested: list[str] = []

    def read_files(self, run_ids: Sequence[str], name: str) -> dict[str, bytes]:
        self.requested += run_ids
        return super().read_files(run_ids, name)


def read_study(tracker: InMemoryTracker) -> StudyRun:
    study = tracker.read_study("one")
    assert study is not None
    return study


def find_ties(tracker: InMemoryTracker) -> TiedTrials:
    study = read_study(tracker)
    ties = find_tied_trials(tracker, study, study.rank_trials()[0])
    assert ties is not None
    return ties


@pytest.fixture
def small_study() -> InMemoryTracker:
    """The champion makes no mistake; the others make 3, 7, 10 and 12 of 40."""
    tracker = InMemoryTracker()
    tracker.open_study(RECORD)
    for number, wrong, parameters in (
        (0, 12, 5),
        (1, 3, 400),
        (2, 0, 1000),
        (3, 10, 30),
        (4, 7, 9),
    ):
        finish(tracker, "u1", number, wrong_at(*range(wrong)), 8, parameters)
    return tracker


def test_ties_are_decided_by_adjusted_p_values(small_study: InMemoryTracker) -> None:
    ties = find_ties(small_study)
    p_values = [binomtest(0, wrong).pvalue for wrong in (3, 7, 10, 12)]
    assert (p_values[1] < SIGNIFICANCE_LEVEL, 2 * p_values[1] < SIGNIFICANCE_LEVEL) == (True, True)
    assert [run.number for run in ties.members] == [2, 1], "with the champion"
    assert (ties.tested, ties.examples) == (4, 40)
    assert ties.p_values == {1: pytest.approx(p_values[0])}
    assert ties.distinguishable == (4, 3, 0)
    # With ten more tests, the same difference is no longer significant.
    for number in range(5, 15):
        finish(small_study, "u1", number, wrong_at(1), 8, parameters=2000)
    more_ties = find_ties(small_study)
    assert [run.number for run in more_ties.others] == [*range(5, 15), 1, 4]
    assert more_ties.p_values[4] == pytest.approx(12 * p_values[1])


def test_ties_equal_those_of_tests_of_all_trials() -> None:
    """The expected result reads every trial and adjusts all p-values together."""
    rng = np.random.default_rng(1)
    n = 400
    true = bytes(rng.integers(0, 2, n).tolist())
    tracker = RecordingTracker()
    tracker.open_study(replace(RECORD, validation_labels=true))
    accuracies = [0.95, *rng.uniform(0.6, 0.95, 60)]
    for number, accuracy in enumerate(accuracies):
        is_correct = rng.random(n) < accuracy
        predictions = bytes(t if r else 1 - t for t, r in zip(true, is_correct, strict=True))
        finish(tracker, "u1", number, predictions, 8, parameters=100 - number, true=true)
    study = read_study(tracker)
    champion, *others = study.rank_trials()
    ties = find_ties(tracker)
    assert 0 < len(tracker.requested) < len(others), "not all are read"

    is_correct_by_number = {
        run.number: np.frombuffer(tracker.files[run.run_id]["predictions.npy"][-n:], np.uint8)
        == np.frombuffer(true, np.uint8)
        for run in study.trials
    }
    champion_correct = is_correct_by_number[champion.number]
    p_values = [
        compute_mcnemar_p_value(
            int((champion_correct & ~correct).sum()), int((correct & ~champion_correct).sum())
        )
        for correct in map(is_correct_by_number.get, list_numbers(others))
    ]
    expected = {
        number: adjusted
        for number, adjusted in zip(list_numbers(others), adjust_p_values(p_values), strict=True)
        if adjusted >= SIGNIFICANCE_LEVEL
    }
    assert 3 < len(expected) < len(tracker.requested)
    assert ties.p_values == pytest.approx(expected)
    assert [run.number for run in ties.others] == list(expected)
    assert ties.tested == len(others)


@pytest.mark.parametrize(("wrong", "is_tied"), [(5, True), (6, False)])
def test_a_trial_that_is_worse_by_the_visible_difference_is_distinguished(
    small_study: InMemoryTracker, wrong: int, is_tied: bool
) -> None:
    """Seven wrong of 40 are distinguished there, so the visible difference cannot be eight."""
    visible = find_ties(small_study).visible_difference
    finish(small_study, "u1", 1, wrong_at(*range(wrong)), 8, parameters=400)
    assert [run.number for run in find_ties(small_study).others] == [1] * is_tied
    assert visible == 6 / 40


def list_numbers(runs: Sequence[RunRecord]) -> list[int]:
    return [run.number for run in runs]


def test_what_can_be_told_apart_follows_from_the_test() -> None:
    tracker = InMemoryTracker()
    tracker.open_study(RECORD)
    finish(tracker, "u1", 0, wrong_at(), 8)
    finish(tracker, "u1", 1, wrong_at(*range(6)), 16)
    ties = find_ties(tracker)
    # Of two tests, each at 2.5 %: 6 examples that one trial alone has wrong are 3.1 %.
    finish(tracker, "u1", 2, wrong_at(*range(6)), 32)
    more = find_ties(tracker)
    assert (len(ties.others), len(more.others)) == (0, 2)
    assert (ties.visible_difference, more.visible_difference) == (6 / 40, 7 / 40)
    assert more.metrics() == {"ties/trials": 2, "ties/tested": 2, "ties/visible_difference": 7 / 40}
    assert more.describe_briefly() == (
        "2 of 2 other trials may be as good; a trial must be at least 17.50 points worse to be "
        "distinguished"
    )


def test_studies_without_ties() -> None:
    tracker = InMemoryTracker()
    tracker.open_study(RECORD)
    finish(tracker, "u1", 0, wrong_at(), 8)
    study = read_study(tracker)
    assert find_tied_trials(tracker, study, study.trials[0]) is None, "there is no other trial"
    finish(tracker, "u1", 1, wrong_at(3), 8)
    text = find_ties(tracker).describe()
    assert text.startswith("the only other trial is statistically indistinguishable from the champ")
    finish(tracker, "u1", 1, wrong_at(*range(20)), 8)
    ties = find_ties(tracker)
    assert ties.describe().startswith(
        "none: the only other trial differs significantly from the champion on 40 examples"
    )
    assert ties.metrics()["ties/trials"] == 0
    finish(tracker, "u1", 2, wrong_at(*range(25)), 8)
    assert find_ties(tracker).describe().startswith("none: all 2 other trials differ significantly")


def test_trials_without_predictions_are_not_tested(small_study: InMemoryTracker) -> None:
    del small_study.files["u1/1"]
    ties = find_ties(small_study)
    assert list_numbers(ties.members) == [2]
    assert ties.tested == 3
    del small_study.files["u1/2"]
    study = read_study(small_study)
    assert find_tied_trials(small_study, study, study.rank_trials()[0]) is None, (
        "the champion has no predictions"
    )


def test_other_seeds_of_the_champions_setting_are_not_tested() -> None:
    tracker = InMemoryTracker()
    list_study = {"study": {"objective": "val/accuracy", "sampler": "list", "seed": 0}}
    tracker.open_study(replace(RECORD, definition=RECORD.definition | list_study))
    finish(tracker, "u1", 0, wrong_at(0), 8, seed=0)
    finish(tracker, "u1", 1, wrong_at(1), 8, seed=1)
    finish(tracker, "u1", 2, wrong_at(2), 16, seed=0)
    assert list_numbers(find_ties(tracker).others) == [2]


def test_the_champions_own_settings_trained_again_are_not_tested() -> None:
    """As version 0.1.0 did in small spaces."""
    tracker = InMemoryTracker()
    tracker.open_study(RECORD)
    for number in range(4):
        finish(tracker, "u1", number, wrong_at(0), 8, seed=0)
    study = read_study(tracker)
    assert find_tied_trials(tracker, study, study.rank_trials()[0]) is None
    finish(tracker, "u1", 4, wrong_at(2), 16, seed=0)
    assert list_numbers(find_ties(tracker).others) == [4]


def test_a_much_better_trial_is_distinguishable() -> None:
    tracker = InMemoryTracker()
    by_loss = replace(RECORD, definition=RECORD.definition | {"study": {"objective": "val/loss"}})
    tracker.open_study(by_loss)
    finish(tracker, "u1", 0, wrong_at(*range(20)), 8)
    finish(tracker, "u1", 1, wrong_at(0), 8)
    assert list_numbers(find_ties(tracker).members) == [0]


def test_the_summary_lists_tied_trials(small_study: InMemoryTracker) -> None:
    study = read_study(small_study)
    summary = load_summary(study, study.rank_trials()[0], small_study, Path("r.html"), "http://h/")
    assert dict(summary.lines)["ties"] == (
        "1 of 4 other trials is statistically indistinguishable from the champion on 40 examples "
        "(McNemar, adjusted by Holm, 5 %): 1; "
        "a trial must be at least 15.00 points worse to be distinguished"
    )
    assert summary.to_dict()["ties"]["trials"] == [1]
    assert len(TRUE) == summary.to_dict()["ties"]["examples"]
