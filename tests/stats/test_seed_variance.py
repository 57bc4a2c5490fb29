"""The variance over seeds, intervals of a score, and leads without selection bias."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from harness.stats.selection import (
    ValidatedRun,
    compute_score_interval,
    correct_for_selection,
    estimate_seed_variance,
)

Values = npt.NDArray[np.float64]
SPLITS, N, EPOCHS = 3, 100, 8


def draw_runs(
    rng: np.random.Generator, accuracies: Sequence[float], deviation: float = 0.0
) -> list[list[ValidatedRun]]:
    """Draw runs of settings with these true accuracies; all epochs of a run are equally good."""
    difficulty = rng.random((SPLITS, N))
    runs = []
    for accuracy in accuracies:
        row = []
        for split in range(SPLITS):
            share = accuracy + deviation * rng.normal()
            noise = 0.3 * (rng.random((EPOCHS, N)) - 0.5)
            right = (difficulty[split] + noise < share).astype(float)
            row.append(ValidatedRun(1 - right, right))
        runs.append(row)
    return runs


def test_the_lead_of_the_best_is_corrected_for_both_ends() -> None:
    """Three settings are equally good: the best of them leads by chance of the examples."""
    rng, raw, corrected = np.random.default_rng(0), [], []
    for _ in range(60):
        runs = draw_runs(rng, [0.8, 0.8, 0.8])
        means = [np.mean([run.scores.mean(1).max() for run in row]) for row in runs]
        runs = [runs[index] for index in np.argsort(means)[::-1]]
        scores = correct_for_selection(runs)
        assert (scores.chosen == scores.ranked[0]).all()
        raw.append(float((scores.settings[0] - scores.settings[2]).mean()))
        corrected.append(float((scores.ranked[0] - scores.ranked[2]).mean()))
    assert np.mean(raw) > 0.01
    assert abs(np.mean(corrected)) < np.mean(raw) / 2


def test_a_clear_lead_stays() -> None:
    scores = correct_for_selection(draw_runs(np.random.default_rng(1), [0.9, 0.6]))
    assert (scores.ranked == scores.settings).all()
    assert (scores.ranked[0] - scores.ranked[1]).mean() == pytest.approx(0.3, abs=0.1)


def test_ranks_follow_the_settings_and_not_their_order() -> None:
    """The first setting may be the worse one: a setting with a failed seed is listed later."""
    better, worse = draw_runs(np.random.default_rng(1), [0.9, 0.6])
    scores = correct_for_selection([worse, better])
    assert scores.chosen.mean() == pytest.approx(0.6, abs=0.1)
    assert (scores.ranked == scores.settings).all()


@pytest.mark.parametrize("deviation", [0.0, 0.02, 0.05])
def test_the_seed_variance_is_near_the_truth_and_never_zero(deviation: float) -> None:
    rng = np.random.default_rng(2)
    estimates = [
        estimate_seed_variance(
            correct_for_selection(draw_runs(rng, [0.8, 0.8, 0.8], deviation)).settings
        )
        for _ in range(80)
    ]
    assert min(estimates) > 0
    # Of few splits: above the truth on average, by no more than the chance of the examples.
    assert deviation**2 * 0.8 < np.mean(estimates) < deviation**2 * 1.6 + 0.03**2


def test_the_seed_variance_in_special_cases() -> None:
    scores = np.random.default_rng(3).random((1, 3, 50))
    assert estimate_seed_variance(scores[:, :1]) == 0, "one split"
    assert estimate_seed_variance(np.zeros((3, 3, 50))) == 0, "no differences"
    assert estimate_seed_variance(np.repeat(scores, 3, axis=0)) == pytest.approx(0, abs=1e-12)
    apart = scores + np.array([0.0, 0.2, 0.4])[:, None]
    assert estimate_seed_variance(apart) == pytest.approx(0.04, abs=0.01), "one setting"
    many = np.random.default_rng(4).random((100, 50, 20))
    assert 0 <= estimate_seed_variance(many) < 1e-3


def test_the_interval_of_a_score_covers() -> None:
    rng, hits = np.random.default_rng(5), []
    for _ in range(1000):
        share = 0.85 + 0.02 * rng.normal(size=(3, 1))
        right = (rng.random((3, 100)) < share).astype(float)
        low, high = compute_score_interval(right, 0.02**2)
        hits.append(low <= 0.85 <= high)
    assert 0.93 <= np.mean(hits) <= 0.975


def test_the_interval_of_a_score_keeps_a_width() -> None:
    for value in (0.0, 1.0):
        low, high = compute_score_interval(np.full((3, 100), value), 0.0)
        assert 0 <= low <= value <= high <= 1
        assert 0.01 < high - low < 0.03
    means = np.full((3, 100), 0.9)
    low, high = compute_score_interval(means, 0.0)
    assert high - low < 0.03, "scores that are means vary less than a proportion"
