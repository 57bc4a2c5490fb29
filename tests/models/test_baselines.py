"""Baselines of a classification of tables: the fits, their metrics, their record."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from harness.data.torch_datasets import Split, Splits
from harness.models import baseline_fits
from harness.models.baselines import (
    BOOSTED_TREES,
    LOGISTIC_REGRESSION,
    MAJORITY_CLASS,
    Baselines,
    ChampionTest,
    ClassBaselineMetrics,
)
from tests.support.installed_boosters import INSTALLED


def make_splits(inputs: np.ndarray, labels: np.ndarray, validation: int = 50) -> Splits:
    """Return shuffled splits, whose last rows are the validation set."""
    order = np.random.default_rng(0).permutation(len(inputs))
    x = torch.from_numpy(inputs[order].astype(np.float32))
    y = torch.from_numpy(labels[order].astype(np.int64))
    mean, std = torch.zeros(x.shape[1]), torch.ones(x.shape[1])
    train, rest = (
        Split(x, y, rows, mean, std)
        for rows in (torch.arange(len(x) - validation), torch.arange(len(x) - validation, len(x)))
    )
    classes = tuple(map(str, range(int(labels.max()) + 1)))
    return Splits(train, rest, classes, mean, 1 / std)


def read(split: Split) -> tuple[np.ndarray, np.ndarray]:
    return split.inputs[split.rows].double().numpy(), split.labels[split.rows].numpy()


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_baselines_are_those_of_scikit_learn_on_the_same_training_set(load: object) -> None:
    splits = make_splits(*load(return_X_y=True))  # type: ignore[operator]
    (x, y), (others, true) = read(splits.train), read(splits.validation)
    scaler = StandardScaler().fit(x)
    line = LogisticRegression(max_iter=200).fit(scaler.transform(x), y)
    trees = HistGradientBoostingClassifier(random_state=0).fit(x, y)
    shares = np.bincount(y) / len(y)
    expected = {
        MAJORITY_CLASS: np.tile(shares, (len(true), 1)),
        LOGISTIC_REGRESSION: line.predict_proba(scaler.transform(others)),
        BOOSTED_TREES: trees.predict_proba(others),
    }
    outputs = baseline_fits.predict(baseline_fits.fit_baselines(splits), splits.validation)
    assert set(outputs) == {*expected, *INSTALLED}
    for name, probabilities in expected.items():
        np.testing.assert_allclose(outputs[name], probabilities, atol=1e-6)
        metrics = baseline_fits.measure(outputs[name], splits.validation)
        assert isinstance(metrics, ClassBaselineMetrics)
        assert metrics.accuracy == (probabilities.argmax(1) == true).mean()
        assert metrics.log_loss == pytest.approx(log_loss(true, probabilities), rel=1e-4)
        assert metrics.interval[0] < metrics.accuracy < metrics.interval[1] or metrics.accuracy == 1
    again = baseline_fits.predict(baseline_fits.fit_baselines(splits), splits.validation)
    assert all((again[name] == outputs[name]).all() for name in outputs), "they repeat exactly"


def test_a_class_without_training_examples_has_probability_0() -> None:
    inputs, labels = load_wine(return_X_y=True)
    splits = make_splits(inputs, labels)
    rows = splits.train.rows
    kept = rows[splits.train.labels[rows] != 1]
    train = Split(splits.train.inputs, splits.train.labels, kept, 0.0, 1.0)
    fitted = baseline_fits.fit_baselines(replace(splits, train=train))
    for outputs in baseline_fits.predict(fitted, splits.validation).values():
        assert outputs.shape == (50, 3)
        assert (outputs[:, 1] == 0).all()
        metrics = baseline_fits.measure(outputs, splits.validation)
        assert isinstance(metrics, ClassBaselineMetrics)
        assert 1 < metrics.log_loss < 40


def test_one_class_alone_has_the_majority_class_only() -> None:
    splits = make_splits(np.ones((60, 2)), np.zeros(60), 10)
    assert list(baseline_fits.fit_baselines(splits).models) == [MAJORITY_CLASS]


def test_a_class_of_one_example_among_many_is_fitted() -> None:
    """Of more than 10,000 examples, scikit-learn sets some of each class aside."""
    inputs = np.random.default_rng(0).normal(size=(10_200, 2))
    labels = (inputs[:, 0] > 0).astype(int)
    labels[0] = 2
    splits = make_splits(inputs, labels, 1)
    outputs = baseline_fits.predict(baseline_fits.fit_baselines(splits), splits.train)
    metrics = baseline_fits.measure(outputs[BOOSTED_TREES], splits.train)
    assert metrics.score > 0.99


def test_a_large_table_is_fitted_on_a_random_part(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = make_splits(*load_breast_cancer(return_X_y=True))
    assert baseline_fits.fit_baselines(splits).fitted_on is None
    monkeypatch.setattr(baseline_fits, "MAX_WORK", 100 * 30 * 2)
    fitted = baseline_fits.fit_baselines(splits)
    assert fitted.fitted_on == 100
    outputs = baseline_fits.predict(fitted, splits.validation)
    metrics = baseline_fits.measure(outputs[BOOSTED_TREES], splits.validation, fitted.fitted_on)
    assert (metrics.score > 0.85, metrics.fitted_on) == (True, 100)


def test_images_have_no_baselines() -> None:
    splits = make_splits(*load_wine(return_X_y=True))
    assert baseline_fits.has_baselines(splits)
    bytes_ = Split(splits.train.inputs.byte(), splits.train.labels, splits.train.rows, 0.0, 1.0)
    assert not baseline_fits.has_baselines(replace(splits, train=bytes_))
    images = splits.train.inputs[:, :12].reshape(-1, 3, 4)
    assert not baseline_fits.has_baselines(
        replace(splits, train=Split(images, splits.train.labels, splits.train.rows, 0.0, 1.0))
    )


def test_the_record_is_read_again_and_older_ones_stay_readable() -> None:
    test = ChampionTest("study/3", 50, 1, 4, 0.375)
    metrics = ClassBaselineMetrics(0.9, 0.3, (0.8, 0.95), test, 100)
    baselines = Baselines({"test": {BOOSTED_TREES: metrics}})
    assert Baselines.from_json(baselines.to_json()) == baselines
    assert baselines.metrics() == {f"baseline/test_accuracy/{BOOSTED_TREES}": 0.9}
    document = json.loads(baselines.to_json())
    del (
        document["test"][BOOSTED_TREES]["champion_test"],
        document["test"][BOOSTED_TREES]["fitted_on"],
    )
    older = Baselines.from_json(json.dumps(document).encode()).of_split("test")[BOOSTED_TREES]
    assert older == ClassBaselineMetrics(0.9, 0.3, (0.8, 0.95))
