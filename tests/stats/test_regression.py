"""Regression metrics, the RMSE's interval and the sign-flip test, compared with scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import r2_score

from harness.stats.regression import (
    compute_regression_metrics,
    compute_rmse_interval,
    compute_sign_flip_p_values,
)

RNG = np.random.default_rng(7)
TRUE = RNG.normal(10, 3, 200)
PREDICTED = TRUE + RNG.normal(0, 1, 200)


def test_metrics() -> None:
    assert compute_regression_metrics([1.0, 2.0, 6.0], [1.0, 2.0, 3.0]) == pytest.approx(
        {"rmse": 3**0.5, "mae": 1.0, "r2": r2_score([1, 2, 3], [1, 2, 6])}
    )
    assert compute_regression_metrics([5.0, 5.0], [5.0, 5.0])["r2"] == 1
    assert compute_regression_metrics([5.0, 6.0], [5.0, 5.0])["r2"] == 0


def test_the_rmse_interval_is_scipys_bootstrap() -> None:
    predicted, true = PREDICTED[:30], TRUE[:30]  # few, so that the interval is wide
    squared = np.square(predicted - true)
    expected = stats.bootstrap(
        (squared,),
        lambda x, axis: np.sqrt(x.mean(axis)),
        n_resamples=20_000,
        method="percentile",
        rng=0,
    ).confidence_interval
    low, high = compute_rmse_interval(predicted, true)
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=0.02)
    assert compute_rmse_interval(predicted, true) == (low, high)


def test_the_sign_flip_test_is_scipys_permutation_test() -> None:
    other = PREDICTED + RNG.normal(0, 0.35, 200)
    difference = np.square(PREDICTED - TRUE) - np.square(other - TRUE)
    expected = stats.permutation_test(
        (difference,), np.mean, permutation_type="samples", n_resamples=29_999, rng=0
    ).pvalue
    large = np.square(PREDICTED - TRUE) - np.square(PREDICTED + 3 - TRUE)
    p, p_no_difference, p_large_difference = compute_sign_flip_p_values(
        np.stack([difference, 0 * difference, large])
    )
    assert p == pytest.approx(expected, abs=0.02)
    assert p_no_difference == 1
    assert p_large_difference == pytest.approx(1 / 10_001)
