"""How well numbers are foretold: RMSE, MAE and R2, how sure an RMSE is, whether two differ.

Source: B. Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 7, 1979;
R. A. Fisher, "The Design of Experiments", 1935, section 21 (the sign-flip test); B. Phipson and
G. K. Smyth, 2010 (its p-value from random flips is never 0).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
FLIPS = 10_000
CHUNK = 2**21
"""So many numbers drawn are in memory at once."""

Values = npt.NDArray[Any]


def fitted(predicted: npt.ArrayLike, true: npt.ArrayLike) -> dict[str, float]:
    """`rmse`, `mae` in the units of `true`, and `r2`; both [n].

    R2 is 1 - SSE / SST about the mean of `true`, as scikit-learn's r2_score: at most 1, below 0
    where that mean foretells better. Where all of `true` are equal it is 1 for no error, else 0.
    """
    y = np.asarray(true, np.float64)
    off = np.asarray(predicted, np.float64) - y
    squared, about = float(off @ off), float(np.square(y - y.mean()).sum())
    r2 = 1 - squared / about if about else float(squared == 0)
    return {
        "rmse": float(np.sqrt(squared / len(y))),
        "mae": float(np.abs(off).mean()),
        "r2": r2,
    }


def rmse_interval(predicted: Values, true: Values) -> tuple[float, float]:
    """95 % for the RMSE: the bootstrap's percentiles over the examples, RESAMPLES with one seed.

    It says what chance in drawing these n examples leaves open; not what choosing the best of many
    trials by them adds. A few large errors make it wide.
    """
    squared = np.square(predicted.astype(np.float64) - true.astype(np.float64))
    rng, n = np.random.default_rng(0), len(squared)
    rows, means = max(1, CHUNK // n), []
    for start in range(0, RESAMPLES, rows):
        drawn = rng.integers(n, size=(min(rows, RESAMPLES - start), n))
        means.append(squared[drawn].mean(1))
    low, high = np.sqrt(np.quantile(np.concatenate(means), (0.025, 0.975)))
    return float(low), float(high)


def sign_flips(differences: Values) -> list[float]:
    """Two-sided p-values that the mean of each row of `differences` [T, n] is 0 but for chance.

    A difference is of two models' squared errors on one example: were they alike, its sign would be
    a coin's. FLIPS random flips of all signs, with one seed, the same for every row; so no p-value
    is below 1 / (FLIPS + 1).
    """
    rows = np.asarray(differences, np.float64)
    rng, n = np.random.default_rng(0), rows.shape[1]
    seen = np.abs(rows.sum(1))
    as_far = np.zeros(len(rows))
    at_once = max(1, CHUNK // max(n, len(rows)))
    for start in range(0, FLIPS, at_once):
        signs = rng.integers(0, 2, (min(at_once, FLIPS - start), n), np.int8) * 2.0 - 1
        sums = np.abs(np.einsum("tn,fn->tf", rows, signs))
        as_far += (sums >= seen[:, None] * (1 - 1e-9)).sum(1)
    return [float(p) for p in (as_far + 1) / (FLIPS + 1)]
