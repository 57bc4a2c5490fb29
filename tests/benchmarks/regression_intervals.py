"""Coverage of the RMSE's and the MAE's 95 % intervals, and the size of the paired test.

    python tests/benchmarks/regression_intervals.py [--repetitions 1000] [--sizes 100 440 2000]

Errors are drawn from a distribution with a known RMSE and MAE. `Ames` are the residuals of
scikit-learn's gradient-boosted trees and of a ridge regression under 10-fold cross-validation,
sampled with replacement; they need HARNESS_DATA_DIR/ames/AmesHousing.xlsx and are left out without
it. `percentile` is the percentile bootstrap of the RMSE, which older versions used. A width is the
median, as a share of the true value. The test's size is the share of p-values of at most 0.05 when
both models have the same RMSE.

Results of 1,000 repetitions (standard error of a coverage of 0.95: 0.007):

    errors            n  percentile         RMSE          MAE   (coverage, width)
    normal          100  0.916  0.26  0.962  0.41  0.954  0.32
    normal          440  0.930  0.13  0.966  0.15  0.934  0.14
    normal         2000  0.953  0.06  0.954  0.06  0.966  0.07
    lognormal       100  0.765  0.51  0.960  1.32  0.963  0.59
    lognormal       440  0.851  0.34  0.971  0.73  0.965  0.26
    lognormal      2000  0.883  0.19  0.959  0.31  0.950  0.12
    t5              100  0.887  0.35  0.973  0.68  0.961  0.41
    t5              440  0.908  0.19  0.967  0.27  0.965  0.18
    t5             2000  0.909  0.10  0.947  0.12  0.947  0.08
    t3              100  0.729  0.42  0.952  0.94  0.956  0.49
    t3              440  0.762  0.28  0.945  0.52  0.950  0.22
    t3             2000  0.789  0.18  0.923  0.28  0.951  0.10
    Ames, trees     100  0.741  0.45  0.959  1.08  0.965  0.53
    Ames, trees     440  0.846  0.32  0.953  0.64  0.958  0.24
    Ames, trees    2000  0.896  0.21  0.955  0.32  0.955  0.11
    Ames, linear    100  0.613  0.43  0.930  1.06  0.956  0.49
    Ames, linear    440  0.728  0.35  0.930  0.88  0.944  0.24
    Ames, linear   2000  0.849  0.31  0.940  0.72  0.957  0.12

    differences                 n  size of the paired test at 5 %
    normal                    100  0.061
    normal                    440  0.042
    normal                   2000  0.050
    exponential               100  0.049
    exponential               440  0.047
    exponential              2000  0.055
    lognormal                 100  0.058
    lognormal                 440  0.049
    lognormal                2000  0.050
    normal and t5 errors      100  0.054
    normal and t5 errors      440  0.067
    normal and t5 errors     2000  0.056
    lognormal errors          100  0.074
    lognormal errors          440  0.059
    lognormal errors         2000  0.055

A test of normal differences has the power of the t test. Squared lognormal errors have so heavy a
tail that the test rejects a little too often.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.stats.regression import (
    compute_mae_interval,
    compute_paired_p_values,
    compute_rmse_interval,
)

Values = npt.NDArray[Any]
Draw = Callable[[np.random.Generator, Any], Values]

ERRORS: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, size: rng.normal(size=size), 1.0),
    "lognormal": (lambda rng, size: rng.lognormal(size=size), float(np.exp(1))),
    "t5": (lambda rng, size: rng.standard_t(5, size), (5 / 3) ** 0.5),
    "t3": (lambda rng, size: rng.standard_t(3, size), 3**0.5),
}
"""How errors are drawn, and their true RMSE."""
DIFFERENCES: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "exponential": lambda rng, n: rng.exponential(size=n) - 1,
    "lognormal": lambda rng, n: rng.lognormal(size=n) - np.exp(0.5),
    "normal and t5 errors": lambda rng, n: (
        np.square(rng.standard_t(5, n)) * 0.6 - np.square(rng.normal(size=n))
    ),
    "lognormal errors": lambda rng, n: (
        np.square(rng.lognormal(0, 0.5, n)) / np.exp(0.5)
        - np.square(rng.lognormal(0, 0.75, n)) / np.exp(1.125)
    ),
}
"""Differences of two models' squared errors, with mean 0."""


def measure_coverage(
    draw: Draw, rmse: float, mae: float, n: int, repetitions: int, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return (coverage, median width as a share of the true value) by interval."""
    rng, zeros = np.random.default_rng(seed), np.zeros(n)
    intervals: dict[str, list[tuple[float, float]]] = {"percentile": [], "RMSE": [], "MAE": []}
    for _ in range(repetitions):
        errors = draw(rng, n)
        squared = np.square(errors)
        means = squared[rng.integers(n, size=(500, n))].mean(1)
        low, high = np.sqrt(np.quantile(means, (0.025, 0.975)))
        intervals["percentile"].append((low, high))
        intervals["RMSE"].append(compute_rmse_interval(errors, zeros))
        intervals["MAE"].append(compute_mae_interval(errors, zeros))
    measured = {}
    for name, bounds in intervals.items():
        true = mae if name == "MAE" else rmse
        covered = [low <= true <= high for low, high in bounds]
        widths = [(high - low) / true for low, high in bounds]
        measured[name] = float(np.mean(covered)), float(np.median(widths))
    return measured


def measure_size(draw: Draw, n: int, repetitions: int, seed: int = 0) -> float:
    """Return the share of p-values of at most 0.05."""
    rng = np.random.default_rng(seed)
    rows = np.stack([draw(rng, n) for _ in range(repetitions)])
    return float(np.mean(np.array(compute_paired_p_values(rows)) <= 0.05))


def list_distributions() -> dict[str, tuple[Draw, float, float]]:
    """Return (draw, true RMSE, true MAE) by name."""
    rng = np.random.default_rng(1)
    known = {
        name: (draw, rmse, float(np.abs(draw(rng, 4_000_000)).mean()))
        for name, (draw, rmse) in ERRORS.items()
    }
    table = Path(os.environ.get("HARNESS_DATA_DIR", "")) / "ames" / "AmesHousing.xlsx"
    if table.exists():
        for name, residuals in _compute_ames_residuals(table).items():
            rmse, mae = np.sqrt(np.square(residuals).mean()), np.abs(residuals).mean()
            known[name] = (_make_sampler(residuals), float(rmse), float(mae))
    return known


def _make_sampler(values: Values) -> Draw:
    return lambda rng, size: rng.choice(values, size)


def _compute_ames_residuals(table: Path) -> dict[str, Values]:
    """Return the cross-validated residuals of two models of the sale price, [houses]."""
    import pandas
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    houses = pandas.read_excel(table)
    prices = houses.pop("SalePrice").to_numpy(float)
    columns = houses.drop(columns=["Order", "PID"], errors="ignore")
    inputs = pandas.get_dummies(columns, dummy_na=True).astype(float)
    inputs = inputs.fillna(inputs.median())
    x = inputs.loc[:, inputs.std() > 0].to_numpy()
    folds = KFold(10, shuffle=True, random_state=0)
    models = {
        "Ames, trees": HistGradientBoostingRegressor(random_state=0),
        "Ames, linear": make_pipeline(StandardScaler(), Ridge(1.0)),
    }
    return {
        name: cross_val_predict(model, x, prices, cv=folds) - prices
        for name, model in models.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--sizes", type=int, nargs="*", default=[100, 440, 2000])
    arguments = parser.parse_args()
    print("errors            n  percentile         RMSE          MAE   (coverage, width)")
    for name, (draw, rmse, mae) in list_distributions().items():
        for n in arguments.sizes:
            measured = measure_coverage(draw, rmse, mae, n, arguments.repetitions)
            cells = "  ".join(f"{share:.3f} {width:5.2f}" for share, width in measured.values())
            print(f"{name:<14}{n:>5}  {cells}", flush=True)
    print("\ndifferences                 n  size of the paired test at 5 %")
    for name, sample in DIFFERENCES.items():
        for n in arguments.sizes:
            print(f"{name:<24}{n:>5}  {measure_size(sample, n, arguments.repetitions):.3f}")


if __name__ == "__main__":
    main()
