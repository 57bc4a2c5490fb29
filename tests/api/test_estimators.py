"""`SweepClassifier` and `SweepRegressor`: scikit-learn's own checks, pipelines, pickles."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import harness
from harness.errors import StudyError

SPACE = {"learning_rate": harness.Range(1e-3, 1e-1, log=True)}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("estimators") / "mlruns"


def make(kind: Any, home: Path, **options: Any) -> Any:
    return kind(trials=2, train={"epochs": 20}, space=SPACE, home=home, **options)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [harness.SweepClassifier, harness.SweepRegressor])
def test_scikit_learn_accepts_the_estimator(kind: Any, home: Path) -> None:
    """All checks that need no array API, which scikit-learn skips unless it is installed."""
    results = check_estimator(make(kind, home), on_fail=None, on_skip=None)
    others = {r["check_name"]: r["exception"] for r in results if r["status"] != "passed"}
    assert set(others) == {"check_array_api_input"}, others
    assert len(results) > 45


def test_labels_are_texts_and_probabilities_add_up(home: Path) -> None:
    """`cross_val_score` of a pipeline is a block of docs/reference/python-api.md."""
    table = load_wine(as_frame=True)
    names = table.target_names[table.target]
    pipeline = make_pipeline(StandardScaler(), make(harness.SweepClassifier, home))
    pipeline.fit(table.data, names)
    assert (pipeline.predict(table.data) == names).mean() > 0.85
    np.testing.assert_allclose(pipeline.predict_proba(table.data).sum(1), 1)


def test_no_row_is_held_out_as_a_test_set(home: Path) -> None:
    x, y = load_diabetes(return_X_y=True)
    sweep = make(harness.SweepRegressor, home, validation=0.25).fit(x, y)
    result = sweep.result_
    assert result.test is None
    assert "no test set" in repr(result)
    assert result.summary.study.facts["data"].endswith("(331 train, 111 validation, 0 test)")
    assert "[data] test = 0" in result._repr_html_()
    assert "none held out: [data] test = 0" in result.summary.text()
    with pytest.raises(StudyError, match=r"has no test set: its \[data\] has test = 0"):
        harness.open_test_set(result.name, home=home, progress=False)
    assert harness.doctor(result.name, home=home).healthy


def test_the_same_fit_again_reads_the_record(home: Path) -> None:
    x, y = load_wine(return_X_y=True)
    first = make(harness.SweepClassifier, home).fit(x, y)
    again = make(harness.SweepClassifier, home).fit(x, y)
    assert again.study_name_ == first.study_name_
    assert again.result_.mlflow_run_id == first.result_.mlflow_run_id
    other = make(harness.SweepClassifier, home, seed=1).fit(x, y)
    assert other.study_name_ != first.study_name_
    restored = pickle.loads(pickle.dumps(first))
    assert (restored.predict(x) == first.predict(x)).all()
    assert clone(first).get_params() == first.get_params()


def test_names_of_columns_are_checked(home: Path) -> None:
    table = load_wine(as_frame=True)
    sweep = make(harness.SweepClassifier, home).fit(table.data, table.target)
    assert list(sweep.feature_names_in_) == list(table.data.columns)
    with pytest.raises(ValueError, match="feature names"):
        sweep.predict(table.data.rename(columns={"ash": "ashes"}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": "2"}, "trials: input should be a valid integer, not '2'"),
        ({"train": {"epocs": 3}}, r"\[train\] epocs: unknown key; did you mean 'epochs'"),
    ],
)
def test_mistakes_are_value_errors(options: Any, message: str, home: Path) -> None:
    x = pd.DataFrame({"a": range(20)})
    with pytest.raises(ValueError, match=message):
        harness.SweepClassifier(home=home, **options).fit(x, [0, 1] * 10)
