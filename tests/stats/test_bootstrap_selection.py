"""The score of the best of many settings, corrected by the bootstrap."""

from __future__ import annotations

import numpy as np

from harness.stats.bootstrap_selection import CHUNK, SAMPLES, correct_best


def test_each_sample_chooses_inside_and_scores_outside() -> None:
    """As a plain loop over the same samples, in the words of the paper."""
    rng = np.random.default_rng(1)
    costs, scores = rng.random((6, 40)), rng.random((6, 40))
    drawn = np.random.default_rng(0)
    values = []
    for _ in range(0, SAMPLES, CHUNK):
        for counts in drawn.multinomial(40, np.full(40, 1 / 40), CHUNK):
            inside = np.repeat(np.arange(40), counts)
            outside = np.setdiff1d(np.arange(40), inside)
            best = min(range(6), key=lambda setting: costs[setting, inside].mean())
            values.append(scores[best, outside].mean())
    corrected = correct_best(costs, scores)
    assert np.isclose(corrected.value, np.mean(values))
    assert np.allclose(corrected.interval, np.percentile(values, [2.5, 97.5]))


def test_the_best_of_equal_settings_is_corrected_to_their_common_score() -> None:
    """The best of 50 coins is far above one half on 100 flips; corrected, it is not."""
    means, covered, best = [], 0, []
    for seed in range(60):
        right = np.random.default_rng(seed).integers(0, 2, (50, 100))
        corrected = correct_best(1 - right, right)
        means.append(corrected.value)
        best.append(right.mean(1).max())
        covered += corrected.interval[0] < 0.5 < corrected.interval[1]
    assert np.mean(best) > 0.6
    assert abs(np.mean(means) - 0.5) < 0.01
    assert covered >= 56


def test_the_unit_of_a_squared_error_changes_no_choice() -> None:
    """float32 has neither 1e-50 nor 1e50, the squares of errors of 1e-25 and of 1e25."""
    squares = np.random.default_rng(2).random((4, 30)) ** 2
    plain = correct_best(squares, squares)
    for unit in (1e-50, 1e50):
        scaled = correct_best(unit * squares, unit * squares)
        assert np.isclose(scaled.value / unit, plain.value)
        assert np.allclose(np.array(scaled.interval) / unit, plain.interval)
