"""Regression metrics, the intervals' coverage, and the size and power of the paired test."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from sklearn.metrics import r2_score

from harness.stats.regression import (
    compute_mae_interval,
    compute_paired_p_values,
    compute_regression_metrics,
    compute_rmse_interval,
)
from tests.benchmarks.regression_intervals import (
    DIFFERENCES,
    ERRORS,
    measure_coverage,
    measure_size,
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mae"), [("lognormal", np.exp(0.5)), ("t5", 0.949), ("normal", (2 / np.pi) ** 0.5)]
)
def test_the_intervals_cover_under_heavy_tails(name: str, mae: float) -> None:
    draw, rmse = ERRORS[name]
    measured = measure_coverage(draw, rmse, mae, n=440, repetitions=400)
    assert measured["RMSE"][0] >= 0.91
    assert measured["MAE"][0] >= 0.91
    if name == "lognormal":
        assert measured["percentile"][0] < 0.88, "what older versions used"
    if name == "normal":
        assert measured["RMSE"][1] < 1.25 * measured["percentile"][1], "not wide without need"


@pytest.mark.parametrize(
    "errors",
    [
        np.zeros(1),
        np.zeros(30),
        np.ones(30),
        np.eye(1, 100)[0],
        np.eye(1, 4)[0],
        np.arange(5.0),
        np.arange(50.0) % 2,
        1e-30 * np.arange(60.0),
        1e20 * np.arange(60.0),
    ],
    ids=["one", "no error", "equal", "one error", "four", "five", "ties", "tiny", "huge"],
)
def test_intervals_of_unusual_errors_are_finite_and_hold_the_value(
    errors: npt.NDArray[Any],
) -> None:
    zeros = np.zeros(len(errors))
    metrics = compute_regression_metrics(errors, zeros)
    for name, compute in (("rmse", compute_rmse_interval), ("mae", compute_mae_interval)):
        low, high = compute(errors, zeros)
        assert 0 <= low <= metrics[name] <= high < np.inf
        assert compute(errors, zeros) == (low, high), "the resamples repeat exactly"


@pytest.mark.parametrize("name", ["normal", "exponential", "lognormal", "normal and t5 errors"])
@pytest.mark.parametrize("n", [100, 440])
def test_the_paired_test_holds_its_level_for_skewed_differences(name: str, n: int) -> None:
    assert measure_size(DIFFERENCES[name], n, repetitions=600) <= 0.07


def test_the_paired_test_has_the_power_of_a_t_test() -> None:
    rows = np.random.default_rng(3).normal(0.2, 1, (400, 100))
    p_values = np.array(compute_paired_p_values(rows))
    expected = stats.ttest_1samp(rows, 0, axis=1).pvalue
    assert np.mean(p_values < 0.05) == pytest.approx(np.mean(expected < 0.05), abs=0.03)
    assert np.abs(p_values - expected).max() < 0.05


def test_the_paired_test_in_special_cases() -> None:
    other = PREDICTED + 3
    difference = np.square(PREDICTED - TRUE) - np.square(other - TRUE)
    p_large, p_none, p_constant = compute_paired_p_values(
        np.stack([difference, 0 * difference, np.ones(200)])
    )
    assert p_large == p_constant == pytest.approx(1 / 10_001)
    assert p_none == 1
    assert compute_paired_p_values(np.ones((1, 1))) == [1.0], "one example shows nothing"
