"""The settings beside the champion's: differences, what could be seen, a smaller network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.analysis.contenders import Contenders, compare_settings
from harness.analysis.corrected_score import CorrectedScore
from harness.metrics import ACCURACY, Score
from harness.stats.selection import CorrectedScores
from harness.tracking.types import RunRecord
from harness.trial import TrialSpec

RMSE = Score("regression", "price")


def trial(number: int, parameters: int = 100) -> RunRecord:
    uid = f"s/{number}"
    return RunRecord(uid=uid, run_id=uid, number=number, state="COMPLETE", spec=TrialSpec(),
                     parameters=parameters)  # fmt: skip


def compare(score: Score, *settings: np.ndarray, sizes: tuple[int, ...] = ()) -> Contenders:
    stacked = np.stack(settings)
    trials = [trial(n, size) for n, size in enumerate(sizes or [100] * len(settings))]
    contenders = compare_settings(score, trials, CorrectedScores(stacked, stacked), 0.0)
    assert contenders is not None
    return contenders


def right(wrong: int, n: int = 1000) -> np.ndarray:
    """[1, n] with the first `wrong` examples wrong."""
    return (np.arange(n) >= wrong).astype(np.float64)[None]


def test_a_worse_setting_is_said_to_be_worse() -> None:
    contenders = compare(ACCURACY, right(50), right(120))
    (other,) = contenders.others
    assert other.difference == pytest.approx(0.07)
    assert 0 < other.interval[0] < 0.07 < other.interval[1]
    assert contenders.probability > 0.99
    assert contenders.describe_briefly().startswith("not the other setting: trial 1 is 5.")
    assert contenders.describe_briefly().endswith(" points worse (95 %)")


def test_a_close_setting_may_be_better_and_the_visible_difference_is_told() -> None:
    contenders = compare(ACCURACY, right(50), np.roll(right(52), 500, 1), right(200))
    text = contenders.describe_briefly()
    assert text.startswith("1 of 2 other settings may be as good: trial 1 is between ")
    assert " points worse and " in text
    assert contenders.visible_difference == max(each.half_width for each in contenders.others)
    assert contenders.describe().endswith("are within chance on 1,000 examples")
    assert len(contenders.describe().splitlines()) == 4
    assert contenders.probability + sum(each.probability for each in contenders.others) == (
        pytest.approx(1)
    )


def test_the_champions_lead_is_corrected_for_its_choice() -> None:
    settings = np.stack([right(50), right(60)])
    ranked = np.stack([right(53), right(58)])  # choosing is worth half of the lead
    contenders = compare_settings(
        ACCURACY, [trial(0), trial(1)], CorrectedScores(ranked, settings), 0.0
    )
    assert contenders is not None
    assert contenders.others[0].difference == pytest.approx(0.005)
    assert contenders.others[0].largest_loss > 0.01, "the test of a smaller one is not"


def test_a_regression_compares_rmses() -> None:
    rng = np.random.default_rng(0)
    errors = rng.standard_normal((1, 2000))
    contenders = compare(RMSE, np.square(errors), np.square(1.5 * errors))
    (other,) = contenders.others
    assert other.difference == pytest.approx(0.5 * np.sqrt(np.mean(errors**2)), rel=1e-6)
    assert contenders.probability > 0.99, "a lower RMSE is better"
    scaled = compare(RMSE, np.square(1e4 * errors), np.square(1.5e4 * errors))
    assert scaled.others[0].largest_loss == pytest.approx(other.largest_loss), "a share"


@pytest.mark.parametrize(
    ("extra_wrong", "n", "proven"),
    [(0, 3000, True), (30, 3000, False), (0, 200, False), (300, 10000, False), (10, 20000, True)],
)
def test_a_smaller_network_needs_evidence(extra_wrong: int, n: int, proven: bool) -> None:
    first, second = right(50, n), right(50 + extra_wrong, n)
    contenders = compare(ACCURACY, first, second, right(n, n), sizes=(900, 90, 9))
    corrected = CorrectedScore(
        trial(0, 900), 0.9, (0.8, 0.95), 3, n, contenders, margin=0.5, score=ACCURACY
    )
    smaller = corrected.smaller
    assert (smaller is not None and smaller.trial.number == 1) == proven
    assert (corrected.unproven is None) == proven
    strict = replace(corrected, margin=1e-9)
    assert strict.smaller is None


def test_one_setting_has_no_contenders() -> None:
    alone = CorrectedScores(right(1)[None], right(1)[None])
    assert compare_settings(ACCURACY, [trial(0)], alone, 0.0) is None


def test_more_smaller_networks_need_more_evidence() -> None:
    settings = [right(50, 3000), *(np.roll(right(52, 3000), shift, 1) for shift in (900, 1800))]
    one = compare(ACCURACY, *settings[:2], sizes=(900, 90)).others[0]
    two = compare(ACCURACY, *settings, sizes=(900, 90, 80)).others[0]
    larger = compare(ACCURACY, *settings, sizes=(900, 90, 1000)).others[0]
    assert two.largest_loss > one.largest_loss == pytest.approx(larger.largest_loss)
