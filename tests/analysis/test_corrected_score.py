"""The corrected score of recorded confirmation runs: which settings it is computed from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.analysis.confirmation import find_champion
from harness.analysis.corrected_score import CorrectedScore, compute_corrected_score
from harness.tracking.epoch_predictions import EPOCH_PREDICTIONS_FILE, EpochPredictions
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.types import RunRecord
from tests.sweep.test_confirm import record, study

N = 60
TRUE = np.zeros(N, np.uint8)


def confirm(trials: dict[int, list[int | None]]) -> CorrectedScore:
    """Correct the score of trials with so many errors on each split; None: training failed."""
    tracker, searched, runs = InMemoryTracker(), [], []
    for number, errors in trials.items():
        searched.append(replace(record(number, 0.9), parameters=100 - number))
        for split, wrong in enumerate(errors, 1):
            run = confirm_on(number, split, wrong)
            runs.append(run)
            if wrong is not None:
                predicted = (np.arange(N) < wrong).astype(np.uint8)[None]
                file = EpochPredictions(np.array([1], np.int32), TRUE, predicted)
                tracker.log_file(run.run_id, EPOCH_PREDICTIONS_FILE, file.to_bytes())
    example = study(searched, runs, classes=("a", "b"))
    champion = find_champion(example)
    assert champion is not None
    corrected = compute_corrected_score(tracker, example, champion)
    assert corrected is not None
    return corrected


def confirm_on(number: int, split: int, wrong: int | None) -> RunRecord:
    state = "FAILED" if wrong is None else "COMPLETE"
    return replace(record(number, 1 - (wrong or 0) / N, split, state), split=split)


def test_settings_with_a_failed_split_are_counted() -> None:
    none = confirm({0: [1, 1], 1: [2, 2]})
    assert (none.left_out, none.describe_left_out()) == (0, "")
    one = confirm({0: [1, 1], 1: [2, 2], 2: [1, None]})
    assert one.contenders is not None
    assert [each.trial.number for each in one.contenders.others] == [1]
    assert one.to_dict()["left_out"] == 1
    assert one.describe_left_out() == (
        "1 other setting is not compared: no complete run on one of its splits"
    )
    two = confirm({0: [1, 1], 1: [None, 2], 2: [1, None]})
    assert two.contenders is None
    assert two.describe_left_out() == (
        "2 other settings are not compared: no complete run on some of their splits"
    )


def test_a_single_split_does_not_recommend_a_smaller_network() -> None:
    """The seed variance is unknown, however equal the two are."""
    pair = confirm({0: [0, 0], 1: [0, 0]})
    assert replace(pair, margin=90.0).smaller is not None
    single = replace(confirm({0: [0], 1: [0]}), margin=90.0)
    assert single.interval is None
    assert single.contenders is not None
    assert single.contenders.others[0].is_within(single.margin)
    assert single.smaller is None
    assert single.unproven is not None
    assert "(95 %, without seed variance)" in single.contenders.describe_briefly()
    assert single.contenders.to_dict()["others"][0]["includes_seeds"] is False


@pytest.mark.parametrize("wrong", [0, 5])
def test_settings_with_equal_scores_are_called_so(wrong: int) -> None:
    same = confirm({0: [wrong, wrong], 1: [wrong, wrong]})
    assert same.contenders is not None
    text = same.contenders.describe_briefly()
    assert "trial 1 has the champion's score on every example; the two may differ by up to" in text
    assert "worse" not in text
