"""95 % intervals of metrics of n examples: AUC, F1, balanced accuracy, log loss, Brier score, R2.

They cover the chance in drawing these n examples, and not selection bias.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harness.stats.regression import (
    Z_95,
    compute_mean_interval,
    compute_regression_metrics,
    compute_rmse_interval,
)

LOSS_TAIL = 0.4
"""The tail index of losses before any data: that of absolute errors."""

Values = npt.NDArray[Any]


def compute_share_interval(contributions: Values) -> tuple[float, float] | None:
    """Return the interval of a metric in (0, 1) from each example's contribution [n].

    It is symmetric on the scale of the log odds, so it stays within (0, 1). None at 0 or 1, where
    the examples show no spread. See `harness.engine.class_metrics.compute_contributions`.
    """
    value, n = float(contributions.mean()), len(contributions)
    error = float(contributions.std()) / np.sqrt(n)
    if not 1e-12 < value < 1 - 1e-12 or not error > 0:
        return None
    center, half = np.log(value / (1 - value)), Z_95 * error / (value * (1 - value))
    low, high = (1 / (1 + np.exp(-(center + sign * half))) for sign in (-1, 1))
    return float(low), float(high)


def compute_loss_interval(losses: Values) -> tuple[float, float]:
    """Return the interval of the mean of losses [n], none below 0, by the bootstrap of an MAE."""
    return compute_mean_interval(losses.astype(np.float64), LOSS_TAIL)


def compute_r2_interval(predicted: Values, true: Values) -> tuple[float, float] | None:
    """Return the interval of R2: that of the RMSE, for the variance that these targets have."""
    mse = compute_regression_metrics(predicted, true)["rmse"] ** 2
    variance = float(true.astype(np.float64).var())
    if not variance or not mse:
        return None
    low, high = compute_rmse_interval(predicted, true)
    return 1 - high**2 / variance, 1 - low**2 / variance
