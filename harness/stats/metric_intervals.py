"""95 % intervals of metrics of n examples: AUC, F1, balanced accuracy, log loss, Brier score, R2.

They cover the chance in drawing these n examples, and not selection bias.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harness.stats.regression import Z_95, compute_mean_interval

LOSS_TAIL = 0.4
"""The tail index of losses before any data: that of absolute errors."""

Values = npt.NDArray[Any]


def compute_share_interval(contributions: Values, smallest: int) -> tuple[float, float] | None:
    """Return the interval of a metric in (0, 1) from each example's contribution [n].

    It is symmetric on the scale of the log odds, so it stays within (0, 1). None at 0 or 1, where
    the examples show no spread. `smallest` is the number of examples of the rarest class, on which
    the estimated spread rests: it sets the degrees of freedom. See
    `harness.engine.class_metrics.compute_contributions`.

    In 800 samples with 10 % of the examples in the rare class it covered in 89 to 96 % at n = 100,
    and in 95 % at n = 500, for AUC, F1 and balanced accuracy.
    """
    from scipy.stats import t

    value, n = float(contributions.mean()), len(contributions)
    if smallest < 2:
        return None
    error = float(contributions.std()) / np.sqrt(n)
    if not 1e-12 < value < 1 - 1e-12 or not error > 0:
        return None
    width = float(t.ppf(0.975, smallest - 1)) * error
    center, half = np.log(value / (1 - value)), width / (value * (1 - value))
    low, high = (1 / (1 + np.exp(-(center + sign * half))) for sign in (-1, 1))
    return float(low), float(high)


def compute_loss_interval(losses: Values) -> tuple[float, float]:
    """Return the interval of the mean of losses [n], none below 0, by the bootstrap of an MAE."""
    return compute_mean_interval(losses.astype(np.float64), LOSS_TAIL)


def compute_r2_interval(predicted: Values, true: Values) -> tuple[float, float] | None:
    """Return the interval of R2, symmetric on the scale of log(1 - R2), so it is below 1.

    In 500 samples each of n = 100 and 1,000 it covered in 94 % with normal errors, and in 78 and
    86 % with lognormal ones, whose tail a sample may lack. None for no error at all, and for
    targets that are all equal.
    """
    parts = compute_unexplained_parts(predicted, true)
    value, error = float(parts.mean()), float(parts.std()) / np.sqrt(len(parts))
    if not value > 0 or not error > 0:
        return None
    factor = np.exp(Z_95 * error / value)
    return float(1 - value * factor), float(1 - value / factor)


def compute_unexplained_parts(predicted: Values, true: Values) -> Values:
    """Return each example's part of 1 - R2, to first order: their mean is 1 - R2.

    `predicted` is [..., n], `true` [n]; targets that are all equal give zeros.
    """
    y = true.astype(np.float64)
    squares = np.square(predicted.astype(np.float64) - y)
    deviations = np.square(y - y.mean())
    variance = float(deviations.mean())
    if not variance:
        return np.zeros_like(squares)
    share = squares.mean(-1, keepdims=True) / variance
    parts: Values = share + (squares - share * deviations) / variance
    return parts
