"""Baselines of XGBoost and LightGBM: as by the packages themselves, and absent without them."""

from __future__ import annotations

import importlib
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_wine

from harness.data.torch_datasets import Splits
from harness.models import baseline_fits, boosters
from harness.models.baselines import (
    BOOSTED_TREES,
    LIGHTGBM,
    LOGISTIC_REGRESSION,
    MAJORITY_CLASS,
    XGBOOST,
)
from tests.models.test_baselines import make_splits, read
from tests.support import regression_table
from tests.support.installed_boosters import INSTALLED

BOTH = pytest.mark.parametrize("name", [LIGHTGBM, XGBOOST])


def create(name: str, kind: str) -> object:
    """Return the package's estimator with its default settings."""
    module = pytest.importorskip(boosters.MODULES[name])
    estimator = getattr(module, boosters.PREFIXES[name] + kind)
    return estimator(n_jobs=1, random_state=0, **boosters.OPTIONS[name])


def predict(splits: Splits, name: str) -> np.ndarray:
    fitted = baseline_fits.fit_baselines(splits)
    return baseline_fits.predict(fitted, splits.validation)[name]


@BOTH
def test_the_probabilities_are_those_of_the_package_for_the_classes_that_occur(name: str) -> None:
    """No example has class 1, which XGBoost's own interface refuses."""
    inputs, labels = load_wine(return_X_y=True)
    labels = np.array([0, 2, 3])[labels]
    splits = make_splits(inputs, labels)
    (x, y), (others, _) = read(splits.train), read(splits.validation)
    model = create(name, "Classifier").fit(x, np.searchsorted([0, 2, 3], y))  # type: ignore[attr-defined]
    outputs = predict(splits, name)
    np.testing.assert_array_equal(outputs[:, [0, 2, 3]], model.predict_proba(others))
    assert (outputs[:, 1] == 0).all()
    metrics = baseline_fits.measure(outputs, splits.validation)
    assert metrics.score > 0.9
    np.testing.assert_array_equal(predict(splits, name), outputs)


@BOTH
def test_the_values_of_a_regression_are_those_of_the_package(name: str) -> None:
    splits = regression_table.make_splits()
    (x, y), (others, _) = read(splits.train), read(splits.validation)
    model = create(name, "Regressor").fit(x, y.astype(np.float64))  # type: ignore[attr-defined]
    outputs = predict(splits, name)
    np.testing.assert_array_equal(outputs, model.predict(others))
    assert baseline_fits.measure(outputs, splits.validation).score < 20_000


def test_without_the_packages_there_are_three_baselines(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = make_splits(*load_wine(return_X_y=True))
    three = [MAJORITY_CLASS, LOGISTIC_REGRESSION, BOOSTED_TREES]
    assert set(baseline_fits.fit_baselines(splits).models) == {*three, *INSTALLED}
    assert LIGHTGBM in INSTALLED
    for module in boosters.MODULES.values():
        monkeypatch.setitem(sys.modules, module, None)
    assert list(baseline_fits.fit_baselines(splits).models) == three


def test_a_package_that_cannot_be_loaded_counts_as_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(name: str) -> None:
        raise OSError(f"{name}: libgomp.so.1: cannot open shared object file")

    monkeypatch.setattr(importlib, "import_module", fail)
    assert boosters.fit_boosters(np.zeros((9, 2)), np.arange(9.0), 0) == {}


TOGETHER = """
import os, sys
import numpy as np, torch
import harness.models.baseline_fits, harness.sweep.test_opening
assert not {"xgboost", "lightgbm"} & sys.modules.keys()
from harness.models.boosters import fit_boosters
x = np.random.default_rng(0).normal(size=(2000, 8))
y = (x[:, 0] > 0).astype(int)

def use_both():
    a = torch.randn(500, 500)
    for _ in range(5):
        a = torch.tanh(a @ a / 100)
    return [model(x).shape for model in fit_boosters(x, y, 2).values()]

torch.set_num_threads(2)
shapes = use_both()
assert shapes and use_both() == shapes
assert torch.get_num_threads() == 2
if os.fork() == 0:
    torch.set_num_threads(1)
    os._exit(0 if use_both() == shapes else 1)
assert os.wait()[1] == 0
"""


@pytest.mark.slow
def test_they_share_a_process_with_torch_and_are_imported_only_to_be_fitted() -> None:
    """The parent's threads of torch do not exist in the fork, so that trains on one."""
    subprocess.run([sys.executable, "-c", TOGETHER], check=True, timeout=120)
