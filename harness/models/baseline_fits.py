"""Fit the baselines of a study and evaluate them: models with their default settings.

They are scikit-learn's, and those of `boosters` where these are installed.

They are fitted on the training set, and evaluated on the validation set and, in the same single
opening as the champion, on the test set.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.models.baselines import (
    BOOSTED_TREES,
    LINEAR_REGRESSION,
    LOGISTIC_REGRESSION,
    MAJORITY_CLASS,
    MEAN_BASELINE,
    TRAINING_QUANTILE,
    BaselineMetrics,
    ClassBaselineMetrics,
    Metrics,
)
from harness.models.boosters import fit_boosters
from harness.stats.proportions import compute_interval
from harness.stats.regression import (
    compute_mae_interval,
    compute_regression_metrics,
    compute_rmse_interval,
)

if TYPE_CHECKING:
    from harness.data.torch_datasets import Split, Splits

MAX_WORK = 30_000_000
"""Training examples x features x classes that are fitted; of more examples a random part is used.
60,000 x 50 x 10 take boosted trees 15 s of processor time."""
MAX_ITERATIONS = 200
"""Of the logistic regression; features are standardized, so it rarely needs as many."""
BATCH = 10_000
"""Examples that are converted and predicted at once."""

Values = npt.NDArray[Any]
Predict = Callable[[Values], Values]
"""From inputs [n, D] to values [n] in the target's own units, or class probabilities [n, C]."""


@dataclass(frozen=True)
class FittedBaselines:
    """The prediction functions by name, and how many training examples they were fitted on."""

    models: Mapping[str, Predict]
    fitted_on: int | None
    """None for all."""


def has_baselines(splits: Splits) -> bool:
    """Whether baselines are fitted: for a regression, and for classes of a table's rows.

    The classes of images would take boosted trees too long.
    """
    inputs = splits.train.inputs
    return splits.task == "regression" or (inputs.ndim == 2 and inputs.is_floating_point())


def fit_baselines(splits: Splits, quantile: float | None = None) -> FittedBaselines:
    """Fit the baselines of the task on the raw training set.

    With `quantile`, those of a regression predict the quantile of this level, not the mean.
    """
    x, y = _read_training_set(splits)
    fit = _fit_classifiers if splits.task == "classes" else _fit_regressions
    with _limit_threads():
        models = fit(x, y, splits) if quantile is None else _fit_quantiles(x, y, quantile)
    return FittedBaselines(models, len(y) if len(y) < len(splits.train) else None)


def predict(fitted: FittedBaselines, split: Split) -> dict[str, Values]:
    """Return each baseline's values [n] or class probabilities [n, C] on a split."""
    import torch

    batches = [
        split.inputs[rows].flatten(1).double().numpy() for rows in torch.split(split.rows, BATCH)
    ]
    with _limit_threads():
        return {
            name: np.concatenate([model(batch) for batch in batches])
            for name, model in fitted.models.items()
        }


def measure(outputs: Values, split: Split, fitted_on: int | None = None) -> Metrics:
    """Return the metrics of one baseline's outputs on a split."""
    true = split.labels[split.rows].numpy()
    if outputs.ndim == 1:
        y = true.astype(np.float64)
        rmse, mae, r2 = compute_regression_metrics(outputs, y).values()
        intervals = compute_rmse_interval(outputs, y), compute_mae_interval(outputs, y)
        return BaselineMetrics(rmse, mae, r2, *intervals, fitted_on=fitted_on)
    n, correct = len(true), int((outputs.argmax(1) == true).sum())
    likelihoods = np.maximum(outputs[np.arange(n), true], np.finfo(np.float64).eps)
    return ClassBaselineMetrics(
        accuracy=correct / n,
        log_loss=float(-np.log(likelihoods).mean()),
        interval=compute_interval(correct, n),
        fitted_on=fitted_on,
    )


def _limit_threads() -> AbstractContextManager[Any]:
    """Use one thread, so that the bits do not depend on the number of cores.

    On a busy machine it is faster, too: boosted trees on 364 x 30 take 0.1 s instead of 4 to 6 s,
    because OpenMP's threads wait for each other after every node.
    """
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits


def _fit_regressions(x: Values, y: Values, splits: Splits) -> dict[str, Predict]:
    """Fit the baselines of a regression; only the linear regression is scaled."""
    from sklearn.dummy import DummyRegressor
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import LinearRegression

    inv_std, mean = splits.inv_std.numpy(), splits.mean.numpy()
    linear = LinearRegression().fit((x - mean) * inv_std, y)
    return {
        MEAN_BASELINE: DummyRegressor().fit(x, y).predict,
        LINEAR_REGRESSION: lambda inputs: np.asarray(linear.predict((inputs - mean) * inv_std)),
        BOOSTED_TREES: HistGradientBoostingRegressor(random_state=0).fit(x, y).predict,
        **fit_boosters(x, y, 0),
    }


def _fit_quantiles(x: Values, y: Values, quantile: float) -> dict[str, Predict]:
    """Fit the baselines of a quantile; scikit-learn's linear one takes too long on many rows."""
    from sklearn.dummy import DummyRegressor
    from sklearn.ensemble import HistGradientBoostingRegressor

    constant = DummyRegressor(strategy="quantile", quantile=quantile)
    trees = HistGradientBoostingRegressor(loss="quantile", quantile=quantile, random_state=0)
    return {
        TRAINING_QUANTILE: constant.fit(x, y).predict,
        BOOSTED_TREES: trees.fit(x, y).predict,
    }


def _fit_classifiers(x: Values, y: Values, splits: Splits) -> dict[str, Predict]:
    """Fit the baselines of a classification."""
    from sklearn.dummy import DummyClassifier
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    models: dict[str, Any] = {MAJORITY_CLASS: DummyClassifier().fit(x, y)}
    counts = np.bincount(y, minlength=len(splits.classes))
    if (counts > 0).sum() > 1:
        line = make_pipeline(StandardScaler(), LogisticRegression(max_iter=MAX_ITERATIONS))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            models[LOGISTIC_REGRESSION] = line.fit(x, y)
    # Early stopping, the default from 10,000 examples on, fails for a class of one example; and
    # without it boosting may diverge there.
    rows = counts[y] > 1 if (counts > 1).sum() > 1 else slice(None)
    if len(np.unique(y[rows])) > 1:
        trees = HistGradientBoostingClassifier(random_state=0)
        models[BOOSTED_TREES] = trees.fit(x[rows], y[rows])
    boosters = fit_boosters(x, y, len(counts)) if (counts > 0).sum() > 1 else {}
    fitted = {name: _predict_all_classes(each, len(counts)) for name, each in models.items()}
    return fitted | boosters


def _predict_all_classes(model: Any, classes: int) -> Predict:
    """Return a function to probabilities [n, C], 0 for a class that was not in the training set."""

    def predict_probabilities(inputs: Values) -> Values:
        probabilities = np.zeros((len(inputs), classes))
        probabilities[:, model.classes_] = model.predict_proba(inputs)
        return probabilities

    return predict_probabilities


def _read_training_set(splits: Splits) -> tuple[Values, Values]:
    """Return inputs [n, D], float64, and targets [n] of the training set, or of a random part."""
    train = splits.train
    rows, work = train.rows.numpy(), train.inputs[0].numel() * max(1, len(splits.classes))
    limit = max(1, MAX_WORK // work)
    if len(rows) > limit:
        rows = np.sort(np.random.default_rng(0).choice(rows, limit, replace=False))
    x = train.inputs[rows].flatten(1).double().numpy()
    y = train.labels[rows]
    return x, (y.double() if y.is_floating_point() else y).numpy()
