"""Baselines that need another package: XGBoost and LightGBM, where they are installed.

They are imported only here, when a study of a table has ended. Their OpenMP may share a process
with torch's: tried on Linux in every order, each with one thread.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.models.baselines import LIGHTGBM, XGBOOST

if TYPE_CHECKING:
    from harness.models.baseline_fits import Predict, Values

MODULES = {XGBOOST: "xgboost", LIGHTGBM: "lightgbm"}
PREFIXES = {XGBOOST: "XGB", LIGHTGBM: "LGBM"}
"""The start of the names of their estimators."""
OPTIONS: dict[str, dict[str, Any]] = {XGBOOST: {"verbosity": 0}, LIGHTGBM: {"verbosity": -1}}


def fit_boosters(x: Values, y: Values, classes: int) -> dict[str, Predict]:
    """Fit each installed booster with its default settings on one thread.

    Args:
        x: [n, D].
        y: [n], targets of a regression, or classes of which at least two occur.
        classes: the number of classes; 0 for a regression.
    """
    fit = _fit_classifier if classes else _fit_regressor
    models = {}
    for name in MODULES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the packages', about versions of others
            create = _load_estimator(name, "Classifier" if classes else "Regressor")
            if create is not None:
                model = create(n_jobs=1, random_state=0, **OPTIONS[name])
                models[name] = _quiet(fit(model, x, y, classes))
    return models


def _load_estimator(name: str, kind: str) -> Callable[..., Any] | None:
    """Return the constructor; None if the package is not installed or cannot be loaded."""
    try:
        module = importlib.import_module(MODULES[name])
    except (ImportError, OSError):  # OSError: without libgomp
        return None
    estimator: Callable[..., Any] = getattr(module, PREFIXES[name] + kind)
    return estimator


def _fit_regressor(model: Any, x: Values, y: Values, classes: int) -> Predict:
    predict: Predict = model.fit(x, y).predict
    return predict


def _fit_classifier(model: Any, x: Values, y: Values, classes: int) -> Predict:
    """Fit on the classes that occur, numbered anew: XGBoost takes no others."""
    present, codes = np.unique(y, return_inverse=True)
    model.fit(x, codes)

    def predict_probabilities(inputs: Values) -> Values:
        probabilities = np.zeros((len(inputs), classes))
        probabilities[:, present] = model.predict_proba(inputs)
        return probabilities

    return predict_probabilities


def _quiet(predict: Predict) -> Predict:
    """Return the function without its warnings."""

    def predict_quietly(inputs: Values) -> Values:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(predict(inputs))

    return predict_quietly
