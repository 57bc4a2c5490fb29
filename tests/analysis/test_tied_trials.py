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
from harness.analysis.tied_trials import TiedTrials, ties
from harness.stats.proportions import LEVEL, holm, mcnemar, wilson
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.types import RunRecord, StudyRun, count_correct
from tests.support.compared_trials import RECORD, TRUE, finish, wrong_at


class Counting(InMemoryTracker):
    """Remembers which runs' files were asked for together."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def read_files(self, run_ids: Sequence[str], name: str) -> dict[str, bytes]:
        self.asked += run_ids
        return super().read_files(run_ids, name)


def read(tracker: InMemoryTracker) -> StudyRun:
    study = tracker.read_study("one")
    assert study is not None
    return study


def found(tracker: InMemoryTracker) -> TiedTrials:
    study = read(tracker)
    made = ties(tracker, study, study.rank_trials()[0])
    assert made is not None
    return made


@pytest.fixture
def few() -> InMemoryTracker:
    """The champion errs nowhere; the others in 3, 7, 10 and 12 of 40 places."""
    made = InMemoryTracker()
    made.open_study(RECORD)
    for number, wrong, parameters in (
        (0, 12, 5),
        (1, 3, 400),
        (2, 0, 1000),
        (3, 10, 30),
        (4, 7, 9),
    ):
        finish(made, "u1", number, wrong_at(*range(wrong)), 8, parameters)
    return made


def test_who_ties_is_decided_after_holm(few: InMemoryTracker) -> None:
    made = found(few)
    p = [binomtest(0, wrong).pvalue for wrong in (3, 7, 10, 12)]
    assert (p[1] < LEVEL, 2 * p[1] < LEVEL) == (True, True)
    assert [run.number for run in made.members] == [2, 1], "the champion is of them"
    assert (made.tested, made.examples) == (4, 40)
    assert made.p == {1: pytest.approx(p[0])}
    assert made.apart == (4, 3, 0)
    # With ten tests more of trials that are alike, the same difference does not show any more.
    for number in range(5, 15):
        finish(few, "u1", number, wrong_at(1), 8, parameters=2000)
    more = found(few)
    assert [run.number for run in more.others] == [*range(5, 15), 1, 4]
    assert more.p[4] == pytest.approx(12 * p[1])


def test_what_is_not_read_changes_nothing() -> None:
    """As the plain way has it: every trial read, all p-values adjusted together."""
    rng = np.random.default_rng(1)
    n = 400
    true = bytes(rng.integers(0, 2, n).tolist())
    tracker = Counting()
    tracker.open_study(replace(RECORD, validation_labels=true))
    heights = [0.95, *rng.uniform(0.6, 0.95, 60)]
    for number, height in enumerate(heights):
        right_ones = rng.random(n) < height
        said = bytes(t if r else 1 - t for t, r in zip(true, right_ones, strict=True))
        finish(tracker, "u1", number, said, 8, parameters=100 - number, true=true)
    study = read(tracker)
    champion, *others = study.rank_trials()
    made = found(tracker)
    assert 0 < len(tracker.asked) < len(others), "some are read, others need not be"

    said = {
        run.number: np.frombuffer(tracker.files[run.run_id]["predictions.npy"][-n:], np.uint8)
        == np.frombuffer(true, np.uint8)
        for run in study.trials
    }
    mine = said[champion.number]
    p = [
        mcnemar(int((mine & ~o).sum()), int((o & ~mine).sum())) for o in map(said.get, _of(others))
    ]
    expected = {
        number: adjusted
        for number, adjusted in zip(_of(others), holm(p), strict=True)
        if adjusted >= LEVEL
    }
    assert 3 < len(expected) < len(tracker.asked)
    assert made.p == pytest.approx(expected)
    assert [run.number for run in made.others] == list(expected)
    assert made.tested == len(others)


def _of(runs: Sequence[RunRecord]) -> list[int]:
    return [run.number for run in runs]


def test_the_smallest_lies_in_the_champions_interval_too() -> None:
    tracker = InMemoryTracker()
    tracker.open_study(RECORD)
    finish(tracker, "u1", 0, wrong_at(*range(10)), 8, parameters=1000)
    finish(tracker, "u1", 1, wrong_at(*range(10, 21)), 16, parameters=400)
    finish(tracker, "u1", 2, wrong_at(*range(20, 31)), 32, parameters=400)
    finish(tracker, "u1", 3, wrong_at(*range(15, 36)), 64, parameters=3)
    made = found(tracker)
    assert _of(made.others) == [1, 2, 3], "no difference shows"
    low, _ = wilson(*count_correct(made.champion.confusion))
    last = made.others[-1]
    assert last.best is not None
    assert last.best.val_accuracy < low
    assert made.smallest.number == 1, "the better of equals, and not the one far below"
    assert made.share == 0.4
    assert "3 of 3 others cannot be told from it on 40 examples" in made.text
    assert (
        "1, 2, 3; the smallest within its interval is trial 1: 16 · adam 0.001, 40.0 % of its"
        in made.text
    )
    assert made.metrics() == {
        "ties/trials": 3,
        "ties/tested": 3,
        "ties/smallest_parameters": 400,
        "ties/smallest_share": 0.4,
        "ties/smallest_val_accuracy": 0.725,
    }


def test_the_champion_may_be_the_smallest(few: InMemoryTracker) -> None:
    few.runs["u1/2"] = replace(few.runs["u1/2"], parameters=4)
    assert found(few).text.endswith("; none within its interval is smaller")
    few.runs["u1/2"] = replace(few.runs["u1/2"], parameters=0)
    made = found(few)
    assert (made.smallest.number, made.share) == (2, 0), "of an unknown size nothing is said"
    few.runs["u1/1"] = replace(few.runs["u1/1"], parameters=0)
    few.runs["u1/2"] = replace(few.runs["u1/2"], parameters=1000)
    assert found(few).smallest.number == 2, "nor of another's"


def test_nobody_ties() -> None:
    tracker = InMemoryTracker()
    tracker.open_study(RECORD)
    finish(tracker, "u1", 0, wrong_at(), 8)
    study = read(tracker)
    assert ties(tracker, study, study.trials[0]) is None, "nobody to be compared with"
    finish(tracker, "u1", 1, wrong_at(3), 8)
    assert found(tracker).text.startswith("the only other trial cannot be told from it on 40")
    finish(tracker, "u1", 1, wrong_at(*range(20)), 8)
    made = found(tracker)
    assert made.text.startswith("none: the only other trial can be told from it on 40 examples")
    assert (made.metrics()["ties/trials"], made.smallest.number) == (0, 0)
    finish(tracker, "u1", 2, wrong_at(*range(25)), 8)
    assert found(tracker).text.startswith("none: each of the 2 others can be told")


def test_without_predictions_nothing_is_known(few: InMemoryTracker) -> None:
    del few.files["u1/1"]
    made = found(few)
    assert _of(made.members) == [2]
    assert made.tested == 3
    del few.files["u1/2"]
    study = read(few)
    assert ties(few, study, study.rank_trials()[0]) is None, "the champion's"


def test_another_seed_of_the_champions_setting_is_no_rival() -> None:
    tracker = InMemoryTracker()
    listed = {"study": {"objective": "val/accuracy", "sampler": "list", "seed": 0}}
    tracker.open_study(replace(RECORD, definition=RECORD.definition | listed))
    finish(tracker, "u1", 0, wrong_at(0), 8, seed=0)
    finish(tracker, "u1", 1, wrong_at(1), 8, seed=1)
    finish(tracker, "u1", 2, wrong_at(2), 16, seed=0)
    assert _of(found(tracker).others) == [2]


def test_one_that_is_better_by_far_is_told_apart_too() -> None:
    tracker = InMemoryTracker()
    by_loss = replace(RECORD, definition=RECORD.definition | {"study": {"objective": "val/loss"}})
    tracker.open_study(by_loss)
    finish(tracker, "u1", 0, wrong_at(*range(20)), 8)
    finish(tracker, "u1", 1, wrong_at(0), 8)
    assert _of(found(tracker).members) == [0]


def test_the_verdict_names_them(few: InMemoryTracker) -> None:
    study = read(few)
    verdict = Summary.of(study, study.rank_trials()[0], few, Path("r.html"), "http://h/")
    assert dict(verdict.lines)["ties"] == (
        "1 of 4 others cannot be told from it on 40 examples (McNemar, adjusted by Holm, 5 %): 1; "
        "the smallest within its interval is trial 1: 8 · adam 0.001, 40.0 % of its parameters, "
        "accuracy 0.9250 (95 %: 0.8014 to 0.9742)"
    )
    assert to_dict(verdict)["ties"]["trials"] == [1]
    assert len(TRUE) == to_dict(verdict)["ties"]["examples"]
