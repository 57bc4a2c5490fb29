"""Metrics of a regression (RMSE, MAE, R2), the RMSE's interval, and a test of two models.

Sources: B. Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 7, 1979;
R. A. Fisher, "The Design of Experiments", 1935, section 21 (the sign-flip test); B. Phipson and
G. K. Smyth, 2010 (the p-value of random flips is never 0).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
FLIPS = 10_000
CHUNK = 2**21
"""Random numbers that are in memory at once."""

Values = npt.NDArray[Any]


def compute_regression_metrics(predicted: npt.ArrayLike, true: npt.ArrayLike) -> dict[str, float]:
    """Return `rmse`, `mae` (both in the units of `true`) and `r2` of predictions [n].

    R2 is 1 - SSE / SST about the mean of `true`, as scikit-learn's r2_score: at most 1, and below 0
    if that mean would predict better. If all of `true` are equal it is 1 for no error, else 0.
    """
    y = np.asarray(true, np.float64)
    errors = np.asarray(predicted, np.float64) - y
    sse, sst = float(errors @ errors), float(np.square(y - y.mean()).sum())
    r2 = 1 - sse / sst if sst else float(sse == 0)
    return {
        "rmse": float(np.sqrt(sse / len(y))),
        "mae": float(np.abs(errors).mean()),
        "r2": r2,
    }


def compute_rmse_interval(predicted: Values, true: Values) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the RMSE, from a fixed seed.

    It covers the chance in drawing these n examples, and not selection bias, which choosing the
    best of many trials adds. A few large errors make it wide.
    """
    squared = np.square(predicted.astype(np.float64) - true.astype(np.float64))
    rng, n = np.random.default_rng(0), len(squared)
    rows, means = max(1, CHUNK // n), []
    for start in range(0, RESAMPLES, rows):
        samples = rng.integers(n, size=(min(rows, RESAMPLES - start), n))
        means.append(squared[samples].mean(1))
    low, high = np.sqrt(np.quantile(np.concatenate(means), (0.025, 0.975)))
    return float(low), float(high)


def compute_sign_flip_p_values(differences: Values) -> list[float]:
    """Return for each row of `differences` [T, n] the two-sided p-value that its mean is 0.

    A difference is that of two models' squared errors on one example. If the models were equally
    good, each sign would be a coin toss. The test flips all signs FLIPS times at random, with a
    fixed seed and the same flips for every row, so that no p-value is below 1 / (FLIPS + 1).
    """
    rows = np.asarray(differences, np.float64)
    rng, n = np.random.default_rng(0), rows.shape[1]
    observed = np.abs(rows.sum(1))
    counts = np.zeros(len(rows))  # flips whose sum is at least as far from 0 as the observed one
    chunk = max(1, CHUNK // max(n, len(rows)))
    for start in range(0, FLIPS, chunk):
        signs = rng.integers(0, 2, (min(chunk, FLIPS - start), n), np.int8) * 2.0 - 1
        sums = np.abs(np.einsum("tn,fn->tf", rows, signs))
        counts += (sums >= observed[:, None] * (1 - 1e-9)).sum(1)
    return [float(p) for p in (counts + 1) / (FLIPS + 1)]
