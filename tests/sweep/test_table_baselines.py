"""A study of a table's classes, from the CSV to the baselines in its record and report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from harness.api.result import StudyResult
from harness.api.run import run_study
from harness.checks.report import check_studies
from harness.data.torch_datasets import load_splits
from harness.models.baselines import (
    BASELINES_FILE,
    BOOSTED_TREES,
    LOGISTIC_REGRESSION,
    MAJORITY_CLASS,
    ClassBaselineMetrics,
)
from harness.reports.live_page import write_study_page
from harness.stats.proportions import compute_mcnemar_p_value
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan
from harness.sweep.progress import Silent
from harness.sweep.sealed_study import open_sealed_test_set
from harness.test_set.log import TestSetLog
from harness.tracking.predictions import PREDICTIONS_FILE, Predictions
from harness.workspace import Workspace
from tests.support.installed_boosters import INSTALLED

STUDY = """
[study]
trials = 3
pruner = "none"
[data]
name = "{table}"
target = "target"
validation = 0.2
test = 0.2
[train]
epochs = 8
batch_size = 20
[space]
hidden = [[], [8], [32]]
learning_rate = {{ low = 1e-3, high = 1e-1, log = true }}
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wine")
    load_wine(as_frame=True).frame.to_csv(folder / "wine.csv", index=False)
    (folder / "wine.toml").write_text(STUDY.format(table=folder / "wine.csv"))
    return folder / "wine.toml"


@pytest.fixture(scope="module")
def workspace(path: Path) -> Workspace:
    return Workspace(path.parent / "mlruns")


@pytest.fixture(scope="module")
def sealed(path: Path, workspace: Workspace) -> StudyResult:
    return run_study(path, home=workspace.root, device="cpu", workers=0, test=False)


def test_on_the_validation_set_the_pairs_are_those_of_the_recorded_predictions(
    path: Path, workspace: Workspace, sealed: StudyResult
) -> None:
    summary = sealed.summary
    assert summary.baselines is not None
    recorded = summary.baselines.of_split("validation")
    assert set(recorded) == {MAJORITY_CLASS, LOGISTIC_REGRESSION, BOOSTED_TREES, *INSTALLED}
    assert not summary.baselines.of_split("test")
    splits = load_splits(make_plan(path, RunOptions(home=workspace.root)).prepare().training)
    x, y = splits.train.inputs.double().numpy(), splits.train.labels.numpy()
    rows, others = splits.train.rows.numpy(), splits.validation.rows.numpy()
    line = make_pipeline(StandardScaler(), LogisticRegression()).fit(x[rows], y[rows])
    content = workspace.open_tracker(None, reading=True).read_file(
        summary.model_run.run_id, PREDICTIONS_FILE
    )
    assert content is not None
    predictions = Predictions.from_bytes(content)
    assert predictions is not None
    true, champion = predictions.to_array()
    np.testing.assert_array_equal(true, y[others])
    right, line_right = champion == true, line.predict(x[others]) == true
    pairs = int((right & ~line_right).sum()), int((line_right & ~right).sum())
    metrics = recorded[LOGISTIC_REGRESSION]
    assert isinstance(metrics, ClassBaselineMetrics)
    assert metrics.accuracy == line_right.mean()
    test = metrics.champion_test
    assert test is not None
    assert (test.run, test.examples) == (summary.model_run.uid, len(true))
    assert (test.only_champion, test.only_baseline) == pairs
    assert test.p_value == compute_mcnemar_p_value(*pairs)
    (sentence,) = (text for label, text in summary.lines if label == "best baseline")
    assert sentence.startswith("on the validation set, ")


def test_on_the_test_set_they_meet_in_the_same_opening(
    path: Path, workspace: Workspace, sealed: StudyResult
) -> None:
    opened = open_sealed_test_set(workspace, "wine", watcher=Silent()).summary
    reading = opened.reading
    assert reading is not None
    assert opened.baselines is not None
    recorded = opened.baselines.of_split("test")
    assert set(recorded) == {MAJORITY_CLASS, LOGISTIC_REGRESSION, BOOSTED_TREES, *INSTALLED}
    for metrics in recorded.values():
        test = metrics.champion_test
        assert test is not None
        assert (test.run, test.examples) == (opened.model_run.uid, reading.examples)
        difference = round((reading.accuracy - metrics.score) * reading.examples)
        assert test.only_champion - test.only_baseline == difference
    prepared = make_plan(path, RunOptions(home=workspace.root)).prepare()
    log = TestSetLog.for_test_set(workspace.test_set_folder, prepared.test_digest)
    assert len(log.list_selections()) == 1
    document = json.loads(json.dumps(opened.to_dict(), allow_nan=False))
    assert document["best_baseline"]["champion_score"] == reading.accuracy
    assert document["baselines"]["test"][MAJORITY_CLASS]["log_loss"] > 0.5
    uri = workspace.local_uri
    recorded_metrics = MlflowClient(uri, registry_uri=uri).get_run(opened.study.run_id).data.metrics
    name = f"baseline/test_accuracy/{LOGISTIC_REGRESSION}"
    assert recorded_metrics[name] == recorded[LOGISTIC_REGRESSION].score
    assert check_studies(workspace, "wine").healthy
    page = write_study_page(workspace, "wine", None).read_text()
    assert "Compared with simpler models" in page
    assert "the majority class" in page
    assert "LightGBM&#39;s with their default settings" in page


def test_the_doctor_reports_a_lost_file_and_the_page_is_still_written(
    workspace: Workspace, sealed: StudyResult
) -> None:
    """A study that never had the file is healthy: see test_sealed_study."""
    (file,) = workspace.root.rglob(BASELINES_FILE)
    content = file.read_bytes()
    file.unlink()
    try:
        assert "baselines.json: is missing" in check_studies(workspace, "wine").text()
        page = write_study_page(workspace, "wine", None).read_text()
        assert "Compared with simpler models" not in page
    finally:
        file.write_bytes(content)
