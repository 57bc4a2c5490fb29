"""Scores without selection bias: their values on examples whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.stats.regression import compute_rmse_interval, compute_root_mean_interval
from harness.stats.selection import (
    ValidatedRun,
    compute_best_probabilities,
    compute_difference_interval,
    compute_score_interval,
    correct_for_selection,
    count_scores,
    flatten_scores,
)

N = 200


def draw_runs(
    seed: int, accuracies: tuple[float, ...], epochs: int = 15, n: int = N
) -> list[list[ValidatedRun]]:
    """Runs whose epochs are equally good, on 3 splits: all that differs is chance."""
    rng = np.random.default_rng(seed)
    runs = []
    for accuracy in accuracies:
        right = [(rng.random((epochs, n)) < accuracy).astype(np.float64) for _ in range(3)]
        runs.append([ValidatedRun(1 - each, each) for each in right])
    return runs


def test_the_best_of_equal_settings_and_epochs_is_not_better() -> None:
    plain, corrected = [], []
    for seed in range(20):
        runs = draw_runs(seed, (0.8, 0.8, 0.8))
        plain.append(max(np.mean([run.scores.mean(1).max() for run in each]) for each in runs))
        corrected.append(correct_for_selection(runs).chosen.mean())
    assert np.mean(plain) > 0.84, "the plain score is too good by 4 points"
    error = np.mean(corrected) - 0.8
    assert abs(error) < 3 * np.std(corrected) / math.sqrt(20), "the corrected one is not"


def test_a_much_better_setting_keeps_its_score() -> None:
    scores = correct_for_selection(draw_runs(0, (0.9, 0.5), epochs=1, n=2000))
    assert scores.chosen == pytest.approx(scores.settings[0]), "it is chosen in every resample"
    assert scores.chosen.mean() == pytest.approx(0.9, abs=0.02)


def test_the_choice_is_by_cost_and_the_result_is_the_score() -> None:
    right = np.array([[1.0, 1, 1, 0], [0, 0, 0, 1.0]])
    losses = np.array([[2.0, 2, 2, 2], [1, 1, 1, 1.0]])
    scores = correct_for_selection([[ValidatedRun(losses, right)]])
    assert scores.chosen.tolist() == [[0, 0, 0, 1]], "the epoch with the lowest loss"


def test_the_same_runs_give_the_same_result() -> None:
    runs = draw_runs(1, (0.7, 0.75))
    assert np.array_equal(correct_for_selection(runs).chosen, correct_for_selection(runs).chosen)


def test_the_interval_of_a_difference_is_agresti_and_mins() -> None:
    differences = np.array([[1.0] * 12 + [-1.0] * 5 + [0.0] * 83])
    mean, low, high = compute_difference_interval(differences, 0.0, is_proportion=True)
    center = 7 / 102
    half = 1.959964 * math.sqrt((13.0 + 5) - 102 * center**2) / 102
    assert (mean, low, high) == pytest.approx((0.07, center - half, center + half))
    wider = compute_difference_interval(differences, 0.01, is_proportion=True)
    assert wider[1] < low < high < wider[2], "seeds widen it"
    plain = compute_difference_interval(differences, 0.0, is_proportion=False)
    half = 1.959964 * differences.std() / 10
    assert plain == pytest.approx((0.07, 0.07 - half, 0.07 + half))


def test_settings_that_agree_are_equally_likely_the_best() -> None:
    right = (np.random.default_rng(0).random((1, 3, 100)) < 0.8).astype(np.float64)
    same = np.repeat(right, 4, 0)
    assert compute_best_probabilities(same, 0.0) == pytest.approx([0.25] * 4, abs=0.03)
    assert compute_best_probabilities(right, 0.0) == [1.0]


def test_a_clearly_better_setting_is_the_best() -> None:
    rng = np.random.default_rng(0)
    levels = np.array([0.9, 0.7, 0.6])[:, None, None]
    scores = (rng.random((3, 3, 500)) < levels).astype(np.float64)
    assert compute_best_probabilities(scores, 0.0)[0] > 0.99
    assert compute_best_probabilities(1e6 * scores, 0.0) == (
        compute_best_probabilities(scores, 0.0)
    )


def test_the_interval_of_an_rmse_takes_the_seeds_in() -> None:
    errors = np.random.default_rng(0).standard_normal(400)
    plain = compute_rmse_interval(errors, np.zeros(400))
    assert compute_root_mean_interval(np.square(errors), 0.0) == pytest.approx(plain)
    low, high = compute_root_mean_interval(np.square(errors), 0.05**2)
    assert low < plain[0] < plain[1] < high


def test_seeds_make_the_best_setting_less_certain() -> None:
    """One split, whose scores are means over seeds, as of a grid."""
    rng = np.random.default_rng(0)
    levels = np.array([0.90, 0.88])[:, None, None]
    scores = (rng.random((2, 1, 5000)) < levels).astype(np.float64)
    certain = compute_best_probabilities(scores, 0.0)[0]
    assert certain > 0.99
    assert compute_best_probabilities(scores, 0.02**2)[0] < 0.85


def test_rounding_does_not_decide_which_of_equal_settings_is_the_champion() -> None:
    """3 + 3 + 4 and 1 + 6 + 3 errors in 288 differ by rounding alone."""

    def draw(errors: tuple[int, ...]) -> list[ValidatedRun]:
        wrong = [(np.arange(288) < count).astype(np.float64)[None] for count in errors]
        return [ValidatedRun(each, 1 - each) for each in wrong]

    for first, second in [((3, 3, 4), (1, 6, 3)), ((1, 6, 3), (3, 3, 4))]:
        scores = correct_for_selection([draw(first), draw(second)])
        assert scores.chosen.mean() < 1 - 10 / (3 * 288), "not above the plain mean"


def test_settings_are_ranked_by_the_mean_root_of_each_split_as_the_champion_is() -> None:
    """RMSEs of 2 and 6 have the mean of 4 and 4, and a higher mean square."""
    rng = np.random.default_rng(0)

    def draw(roots: tuple[float, ...]) -> list[ValidatedRun]:
        squares = [root**2 * (1 + 0.1 * rng.standard_normal((1, 50))) for root in roots]
        return [ValidatedRun(each, each) for each in squares]

    runs = [draw((2, 6)), draw((4, 4))]
    by_mean_square, by_mean_root = correct_for_selection(runs), correct_for_selection(runs, True)
    assert by_mean_square.chosen == pytest.approx(by_mean_square.settings[0]), "always the second"
    changed = np.abs(by_mean_root.chosen - by_mean_root.settings[0]).mean(1)
    assert (changed > 1).all(), "either may be the champion"


def test_splits_may_differ_in_their_number_of_examples() -> None:
    """Groups that stay together are of different size. No example of one split counts twice."""
    rng = np.random.default_rng(0)

    def draw(share: float, sizes: tuple[int, ...]) -> list[ValidatedRun]:
        rights = [(rng.random((4, n)) < share).astype(np.float64) for n in sizes]
        return [ValidatedRun(1 - right, right) for right in rights]

    sizes = 90, 40, 120
    scores = correct_for_selection([draw(0.9, sizes), draw(0.6, sizes)])
    assert count_scores(scores.chosen) == sum(sizes) == flatten_scores(scores.chosen).size
    assert flatten_scores(scores.settings).shape == (2, sum(sizes))
    assert scores.settings[0].mean() == pytest.approx(flatten_scores(scores.settings)[0].mean())
    difference, low, high = compute_difference_interval(
        scores.settings[0] - scores.settings[1], scores.seed_variance, is_proportion=True
    )
    assert difference == pytest.approx(0.3, abs=0.08)
    assert low < difference < high
    assert compute_best_probabilities(scores.settings, scores.seed_variance)[0] > 0.99
    low, high = compute_score_interval(scores.chosen, 0.0)
    alone = [correct_for_selection([draw(0.9, (n,))]).chosen for n in (sum(sizes), max(sizes))]
    widths = [np.diff(compute_score_interval(each, 0.0))[0] for each in alone]
    assert high - low == pytest.approx(widths[0], rel=0.3), "as wide as that of as many examples"
    assert high - low < 0.9 * widths[1]
