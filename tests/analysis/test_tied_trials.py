"""The tie set: who is tested, who is read, who ties, which of them is the smallest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from harness.analysis.summary import Summary
from harness.analysis.summary_json import to_dict
from harness.analysis.tied_trials import TiedTrials, find_tied_trials
from harness.results import count_correct
from harness.stats.proportions import SIGNIFICANCE_LEVEL, adjust_p_values, compute_mcnemar_p_value, compute_interval
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.types import RunRecord, StudyRun
from tests.support.compared_trials import RECORD, TRUE, finish, wrong_at


class RecordingTracker(InMemoryTracker):
    """Remembers which runs' files were asked for together."""

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
    """The champion errs nowhere; the others in 3, 7, 10 and 12 of 40 places."""
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


def test_who_ties_is_decided_after_holm(small_study: InMemoryTracker) -> None:
    ties = find_ties(small_study)
    p_values = [binomtest(0, wrong).pvalue for wrong in (3, 7, 10, 12)]
    assert (p_values[1] < SIGNIFICANCE_LEVEL, 2 * p_values[1] < SIGNIFICANCE_LEVEL) == (True, True)
    assert [run.number for run in ties.members] == [2, 1], "the champion is of them"
    assert (ties.tested, ties.examples) == (4, 40)
    assert ties.p_values == {1: pytest.approx(p_values[0])}
    assert ties.distinguishable == (4, 3, 0)
    # With ten tests more of trials that are alike, the same difference does not show any more.
    for number in range(5, 15):
        finish(small_study, "u1", number, wrong_at(1), 8, parameters=2000)
    more_ties = find_ties(small_study)
    assert [run.number for run in more_ties.others] == [*range(5, 15), 1, 4]
    assert more_ties.p_values[4] == pytest.approx(12 * p_values[1])


def test_what_is_not_read_changes_nothing() -> None:
    """As the plain way has it: every trial read, all p-values adjusted together."""
    rng = np.random.default_rng(1)
    n = 400
    true = bytes(rng.integers(0, 2, n).tolist())
    tracker = RecordingTracker()
    tracker.open_study(replace(RECORD, validation_labels=true))
    accuracies = [0.95, *rng.uniform(0.6, 0.95, 60)]
    for number, accuracy in enumerate(accuracies):
        is_correct = rng.random(n) < accuracy
        said = bytes(t if r else 1 - t for t, r in zip(true, is_correct, strict=True))
        finish(tracker, "u1", number, said, 8, parameters=100 - number, true=true)
    study = read_study(tracker)
    champion, *others = study.rank_trials()
    ties = find_ties(tracker)
    assert 0 < len(tracker.requested) < len(others), "some are read, others need not be"

    said = {
        run.number: np.frombuffer(tracker.files[run.run_id]["predictions.npy"][-n:], np.uint8)
        == np.frombuffer(true, np.uint8)
        for run in study.trials
    }
    champion_correct = said[champion.number]
    p_values = [
        compute_mcnemar_p_value(int((champion_correct & ~correct).sum()), int((correct & ~champion_correct).sum())) for correct in map(said.get, list_numbers(others))
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


def list_numbers(runs: Sequence[RunRecord]) -> list[int]:
    return [run.number for run in runs]


def test_the_smallest_lies_in_the_champions_interval_too() -> None:
    tracker = InMemoryTracker()
    tracker.open_study(RECORD)
    finish(tracker, "u1", 0, wrong_at(*range(10)), 8, parameters=1000)
    finish(tracker, "u1", 1, wrong_at(*range(10, 21)), 16, parameters=400)
    finish(tracker, "u1", 2, wrong_at(*range(20, 31)), 32, parameters=400)
    finish(tracker, "u1", 3, wrong_at(*range(15, 36)), 64, parameters=3)
    ties = find_ties(tracker)
    assert list_numbers(ties.others) == [1, 2, 3], "no difference shows"
    low, _ = compute_interval(*count_correct(ties.champion.confusion))
    last = ties.others[-1]
    assert last.best is not None
    assert last.best.val_accuracy < low
    assert ties.smallest.number == 1, "the better of equals, and not the one far below"
    assert ties.smallest_share == 0.4
    assert "3 of 3 others cannot be told from it on 40 examples" in ties.describe()
    assert (
        "1, 2, 3; the smallest within its interval is trial 1: 16 · adam 0.001, 40.0 % of its"
        in ties.describe()
    )
    assert ties.metrics() == {
        "ties/trials": 3,
        "ties/tested": 3,
        "ties/smallest_parameters": 400,
        "ties/smallest_share": 0.4,
        "ties/smallest_val_accuracy": 0.725,
    }


def test_the_champion_may_be_the_smallest(small_study: InMemoryTracker) -> None:
    small_study.runs["u1/2"] = replace(small_study.runs["u1/2"], parameters=4)
    assert find_ties(small_study).describe().endswith("; none within its interval is smaller")
    small_study.runs["u1/2"] = replace(small_study.runs["u1/2"], parameters=0)
    ties = find_ties(small_study)
    assert (ties.smallest.number, ties.smallest_share) == (2, 0), "of an unknown size nothing is said"
    small_study.runs["u1/1"] = replace(small_study.runs["u1/1"], parameters=0)
    small_study.runs["u1/2"] = replace(small_study.runs["u1/2"], parameters=1000)
    assert find_ties(small_study).smallest.number == 2, "nor of another's"


def test_nobody_ties() -> None:
    tracker = InMemoryTracker()
    tracker.open_study(RECORD)
    finish(tracker, "u1", 0, wrong_at(), 8)
    study = read_study(tracker)
    assert find_tied_trials(tracker, study, study.trials[0]) is None, "nobody to be compared with"
    finish(tracker, "u1", 1, wrong_at(3), 8)
    assert find_ties(tracker).describe().startswith("the only other trial cannot be told from it on 40")
    finish(tracker, "u1", 1, wrong_at(*range(20)), 8)
    ties = find_ties(tracker)
    assert ties.describe().startswith("none: the only other trial can be told from it on 40 examples")
    assert (ties.metrics()["ties/trials"], ties.smallest.number) == (0, 0)
    finish(tracker, "u1", 2, wrong_at(*range(25)), 8)
    assert find_ties(tracker).describe().startswith("none: each of the 2 others can be told")


def test_without_predictions_nothing_is_known(small_study: InMemoryTracker) -> None:
    del small_study.files["u1/1"]
    ties = find_ties(small_study)
    assert list_numbers(ties.members) == [2]
    assert ties.tested == 3
    del small_study.files["u1/2"]
    study = read_study(small_study)
    assert find_tied_trials(small_study, study, study.rank_trials()[0]) is None, "the champion's"


def test_another_seed_of_the_champions_setting_is_no_rival() -> None:
    tracker = InMemoryTracker()
    list_study = {"study": {"objective": "val/accuracy", "sampler": "list", "seed": 0}}
    tracker.open_study(replace(RECORD, definition=RECORD.definition | list_study))
    finish(tracker, "u1", 0, wrong_at(0), 8, seed=0)
    finish(tracker, "u1", 1, wrong_at(1), 8, seed=1)
    finish(tracker, "u1", 2, wrong_at(2), 16, seed=0)
    assert list_numbers(find_ties(tracker).others) == [2]


def test_one_that_is_better_by_far_is_told_apart_too() -> None:
    tracker = InMemoryTracker()
    by_loss = replace(RECORD, definition=RECORD.definition | {"study": {"objective": "val/loss"}})
    tracker.open_study(by_loss)
    finish(tracker, "u1", 0, wrong_at(*range(20)), 8)
    finish(tracker, "u1", 1, wrong_at(0), 8)
    assert list_numbers(find_ties(tracker).members) == [0]


def test_the_verdict_names_them(small_study: InMemoryTracker) -> None:
    study = read_study(small_study)
    summary = Summary.of(study, study.rank_trials()[0], small_study, Path("r.html"), "http://h/")
    assert dict(summary.lines)["ties"] == (
        "1 of 4 others cannot be told from it on 40 examples (McNemar, adjusted by Holm, 5 %): 1; "
        "the smallest within its interval is trial 1: 8 · adam 0.001, 40.0 % of its parameters, "
        "accuracy 0.9250 (95 %: 0.8014 to 0.9742)"
    )
    assert to_dict(summary)["ties"]["trials"] == [1]
    assert len(TRUE) == to_dict(summary)["ties"]["examples"]
