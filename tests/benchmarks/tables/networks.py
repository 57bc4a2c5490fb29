"""Networks: scikit-learn's MLP in a usual pipeline, RealMLP-TD and TabM-D of pytabkit."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np

from tests.benchmarks.tables.columns import find_categories, prepare_for_networks
from tests.benchmarks.tables.prediction import Prediction
from tests.benchmarks.tables.splits import Task
from tests.benchmarks.tables.trees import predict


def fit_sklearn_mlp(task: Task) -> Prediction:
    """Impute, one-hot, scale; early stopping on 10 % of the outer training part."""
    from sklearn.compose import TransformedTargetRegressor, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    train, test = task.train[task.features], task.test[task.features]
    texts = find_categories(train)
    numbers = [name for name in task.features if name not in texts]
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median", add_indicator=True)), numbers),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts),
    )
    # With the defaults, batches of 200 and a patience of 10 epochs, it stops far too early on a few
    # hundred rows: its validation score is an accuracy of a few dozen rows.
    keys: dict[str, Any] = {
        "batch_size": 32,
        "early_stopping": True,
        "n_iter_no_change": 50,
        "max_iter": 2000,
        "random_state": task.split,
    }
    network: Any = MLPClassifier(**keys)
    if task.table.is_regression:
        network = TransformedTargetRegressor(MLPRegressor(**keys), transformer=StandardScaler())
    model = make_pipeline(columns, StandardScaler(), network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(train, task.y_train)
        values = predict(model, test, task.table.is_regression)
    return Prediction(values)


def fit_realmlp(task: Task) -> Prediction:
    """RealMLP-TD with its defaults: 256 epochs, the best one by 20 % of the training part."""
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    return _fit_pytabkit(task, RealMLP_TD_Classifier, RealMLP_TD_Regressor)


def fit_tabm(task: Task) -> Prediction:
    """TabM-D with its defaults: 32 members, early stopping on 20 % of the training part."""
    from pytabkit import TabM_D_Classifier, TabM_D_Regressor

    return _fit_pytabkit(task, TabM_D_Classifier, TabM_D_Regressor)


def _fit_pytabkit(task: Task, classifier: Any, regressor: Any) -> Prediction:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    train, test, texts = prepare_for_networks(task)
    kind = regressor if task.table.is_regression else classifier
    model = kind(device="cpu", random_state=task.split, n_threads=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(train, task.y_train, cat_col_names=texts)
        values = predict(model, test, task.table.is_regression)
    return Prediction(np.asarray(values, np.float64))
