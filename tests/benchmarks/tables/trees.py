"""Boosted trees of three libraries, with their defaults and tuned by random search.

Tuned: 50 random settings, each trained on 80 % of the outer training part with early stopping on
the other 20 %; the setting with the lowest log loss (RMSE for a regression) there is trained
again on all of the outer training part, with the number of trees that was best. The ranges are
those of Grinsztajn et al. 2022 (XGBoost, scikit-learn) and of Prokhorenkova et al. 2018 (LightGBM),
but for the learning rate and the number of trees, which are limited so that a search stays short.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tests.benchmarks.tables.columns import prepare_for_trees
from tests.benchmarks.tables.prediction import Prediction
from tests.benchmarks.tables.splits import Task, split_inner

TRIALS = 50
MOST_TREES = 600
PATIENCE = 20
LEARNING_RATE = (0.02, 0.5)
Settings = dict[str, Any]


@dataclass(frozen=True)
class Library:
    """A library of boosted trees."""

    build: Callable[..., Any]
    """Return a model, from `is_regression`, `seed`, settings, trees and `stopping`."""
    fit_stopping: Callable[..., tuple[int, float]]
    """Fit with early stopping on other rows; return the best number of trees and its loss there."""
    draw: Callable[[np.random.Generator], Settings]


def fit_default(task: Task, library: Library) -> Prediction:
    """Train with the library's defaults on all of the outer training part."""
    train, test = prepare_for_trees(task)
    model = library.build(task.table.is_regression, task.split, {})
    model.fit(train, task.y_train)
    return Prediction(predict(model, test, task.table.is_regression), {}, 1)


def fit_tuned(task: Task, library: Library) -> Prediction:
    """Search, then train the best settings on all of the outer training part."""
    train, test = prepare_for_trees(task)
    y, is_regression = task.y_train, task.table.is_regression
    fit_rows, validation_rows = split_inner(y, is_regression, task.split)
    parts = (train.iloc[fit_rows], y[fit_rows], train.iloc[validation_rows], y[validation_rows])
    rng = np.random.default_rng([task.split, 7])
    best: tuple[float, Settings, int] = (np.inf, {}, 1)
    for _ in range(TRIALS):
        settings = library.draw(rng)
        model = library.build(is_regression, task.split, settings, MOST_TREES, stopping=True)
        trees, loss = library.fit_stopping(model, *parts)
        if loss < best[0]:
            best = loss, settings, trees
    _, settings, trees = best
    model = library.build(is_regression, task.split, settings, max(trees, 1))
    model.fit(train, y)
    values = predict(model, test, is_regression)
    return Prediction(values, settings | {"trees": trees}, TRIALS)


def predict(model: Any, features: pd.DataFrame, is_regression: bool) -> np.ndarray:
    """Return numbers [n] or probabilities [n, classes]."""
    values = model.predict(features) if is_regression else model.predict_proba(features)
    return np.asarray(values)


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _log_integer(rng: np.random.Generator, low: int, high: int) -> int:
    return int(np.clip(round(_log(rng, low - 0.5, high + 0.5)), low, high))


def _draw_histogram(rng: np.random.Generator) -> Settings:
    return {
        "learning_rate": _log(rng, *LEARNING_RATE),
        "max_leaf_nodes": _log_integer(rng, 4, 64),
        "max_depth": [None, 2, 3, 4][rng.integers(4)],
        "min_samples_leaf": _log_integer(rng, 2, 100),
        "l2_regularization": _log(rng, 1e-6, 10),
        "max_features": float(rng.uniform(0.5, 1)),
    }


def _build_histogram(
    is_regression: bool, seed: int, settings: Settings, trees: int = 0, stopping: bool = False
) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if is_regression else HistGradientBoostingClassifier
    more: Settings = {"max_iter": trees} if trees else {}
    if stopping:
        more |= {"early_stopping": True, "n_iter_no_change": PATIENCE}
    return kind(random_state=seed, **settings, **more)


def _fit_histogram(
    model: Any, x: Any, y: Any, x_validation: Any, y_validation: Any
) -> tuple[int, float]:
    model.fit(x, y, X_val=x_validation, y_val=y_validation)
    trees = int(np.argmax(model.validation_score_))  # the first is the score without a tree
    return trees, -float(model.validation_score_[trees])


def _draw_lightgbm(rng: np.random.Generator) -> Settings:
    return {
        "learning_rate": _log(rng, *LEARNING_RATE),
        "num_leaves": _log_integer(rng, 2, 128),
        "colsample_bytree": float(rng.uniform(0.5, 1)),
        "subsample": float(rng.uniform(0.5, 1)),
        "subsample_freq": 1,
        "min_child_samples": _log_integer(rng, 2, 100),
        "min_child_weight": _log(rng, np.exp(-16), np.exp(5)),
        "reg_alpha": _zero_or(rng, np.exp(-16), np.exp(2)),
        "reg_lambda": _zero_or(rng, np.exp(-16), np.exp(2)),
    }


def _zero_or(rng: np.random.Generator, low: float, high: float) -> float:
    return 0.0 if rng.random() < 0.5 else _log(rng, low, high)


def _build_lightgbm(
    is_regression: bool, seed: int, settings: Settings, trees: int = 0, stopping: bool = False
) -> Any:
    import lightgbm

    kind = lightgbm.LGBMRegressor if is_regression else lightgbm.LGBMClassifier
    more: Settings = {"n_estimators": trees} if trees else {}
    return kind(random_state=seed, n_jobs=1, verbosity=-1, **settings, **more)


def _fit_lightgbm(
    model: Any, x: Any, y: Any, x_validation: Any, y_validation: Any
) -> tuple[int, float]:
    import lightgbm

    stop = lightgbm.early_stopping(PATIENCE, verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, y, eval_set=[(x_validation, y_validation)], callbacks=[stop])
    (loss,) = model.best_score_["valid_0"].values()
    return int(model.best_iteration_), float(loss)


def _draw_xgboost(rng: np.random.Generator) -> Settings:
    return {
        "learning_rate": _log(rng, *LEARNING_RATE),
        "max_depth": int(rng.integers(1, 12)),
        "min_child_weight": _log(rng, 1, 100),
        "subsample": float(rng.uniform(0.5, 1)),
        "colsample_bytree": float(rng.uniform(0.5, 1)),
        "colsample_bylevel": float(rng.uniform(0.5, 1)),
        "gamma": _log(rng, 1e-8, 7),
        "reg_lambda": _log(rng, 1, 4),
        "reg_alpha": _log(rng, 1e-8, 100),
    }


def _build_xgboost(
    is_regression: bool, seed: int, settings: Settings, trees: int = 0, stopping: bool = False
) -> Any:
    import xgboost

    kind = xgboost.XGBRegressor if is_regression else xgboost.XGBClassifier
    more: Settings = {"n_estimators": trees} if trees else {}
    if stopping:
        more["early_stopping_rounds"] = PATIENCE
    return kind(random_state=seed, n_jobs=1, enable_categorical=True, **settings, **more)


def _fit_xgboost(
    model: Any, x: Any, y: Any, x_validation: Any, y_validation: Any
) -> tuple[int, float]:
    model.fit(x, y, eval_set=[(x_validation, y_validation)], verbose=False)
    return int(model.best_iteration) + 1, float(model.best_score)


LIBRARIES: Mapping[str, Library] = {
    "histogram boosting": Library(_build_histogram, _fit_histogram, _draw_histogram),
    "LightGBM": Library(_build_lightgbm, _fit_lightgbm, _draw_lightgbm),
    "XGBoost": Library(_build_xgboost, _fit_xgboost, _draw_xgboost),
}
