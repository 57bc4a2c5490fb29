"""Studies by AUC, F1, R2 and quantile loss, from the table to the report, the doctor and replay."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn import metrics

from harness.analysis.comparison import compare
from harness.analysis.summary import Summary
from harness.api.run import run_study
from harness.checks.report import check_studies
from harness.models.baselines import BOOSTED_TREES, TRAINING_QUANTILE
from harness.reports.live_page import write_study_page
from harness.sweep.progress import Silent
from harness.sweep.replay import replay
from harness.tracking.predictions import TEST_PREDICTIONS_FILE, TestPredictions
from harness.workspace import Workspace

STUDY = """
[study]
trials = 4
objective = "val/{objective}"
{study}
[data]
name = "{table}"
target = "{target}"
{data}
[train]
epochs = 6
batch_size = 20
{train}
[space]
hidden = [[8], [32]]
learning_rate = {{ low = 3e-3, high = 1e-1, log = true }}
"""
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Case:
    objective: str
    name: str
    """As the summary has it."""
    target: str
    study: str = ""
    data: str = ""
    train: str = ""


REGRESSION = 'task = "regression"'
CASES = [
    Case("auc", "AUC", "ill", data="test = 0.3"),
    Case("f1", "F1", "colour", study='sampler = "random"\npruner = "none"'),
    Case("r2", "R2", "price", data=REGRESSION),
    Case(
        "quantile_loss", "quantile loss", "price",
        data=REGRESSION, train='loss = "quantile"\nquantile = 0.9',
    ),
]  # fmt: skip


@dataclass(frozen=True)
class Finished:
    case: Case
    path: Path
    workspace: Workspace
    summary: Summary


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.objective)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    case, folder = request.param, tmp_path_factory.mktemp("objectives")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4))
    noise = rng.normal(size=(500, 3))
    frame = pd.DataFrame(x, columns=list("abcd"))
    frame["ill"] = np.where(x[:, 0] + noise[:, 0] > 1.5, "yes", "no")
    frame["colour"] = np.array(["red", "green", "blue"])[(x[:, :3] + noise).argmax(1)]
    frame["price"] = 50 + 10 * x[:, 0] + np.abs(x[:, 1]) * noise[:, 0]
    frame[["a", "b", "c", "d", case.target]].to_csv(folder / "rows.csv", index=False)
    path = folder / f"{case.objective}.toml"
    path.write_text(
        STUDY.format(
            objective=case.objective, study=case.study, table=folder / "rows.csv",
            target=case.target, data=case.data, train=case.train,
        )
    )  # fmt: skip
    workspace = Workspace(folder / "mlruns")
    result = run_study(path, home=workspace.root, device="cpu", workers=0)
    return Finished(case, path, workspace, result.summary)


def test_the_test_score_is_the_metric_of_the_registered_model(finished: Finished) -> None:
    case, summary = finished.case, finished.summary
    tracker = finished.workspace.open_tracker(None, reading=True)
    content = tracker.read_file(summary.model_run.run_id, TEST_PREDICTIONS_FILE)
    assert content is not None
    predictions = TestPredictions.from_bytes(content)
    true, predicted = predictions.true, predictions.predicted
    if case.objective == "auc":
        confidence = predictions.probability
        assert confidence is not None
        p = np.where(predicted == 1, confidence, 1 - confidence)
        expected = metrics.roc_auc_score(true, p)
    elif case.objective == "f1":
        expected = metrics.f1_score(true, predicted, average="macro")
    elif case.objective == "r2":
        expected = metrics.r2_score(true, predicted)
    else:
        expected = metrics.mean_pinball_loss(true, predicted, alpha=0.9)
    reading = summary.reading
    assert reading is not None
    assert reading.score == reading.figures[case.objective] == pytest.approx(expected, rel=1e-5)
    assert reading.score_interval is not None
    assert reading.score_interval[0] < reading.score < reading.score_interval[1]


def test_the_summary_and_the_page_name_the_objective(finished: Finished) -> None:
    case, summary = finished.case, finished.summary
    lines = dict(line for line in summary.lines if line[0])
    assert lines["test"].startswith(f"{case.name} ")
    assert lines["validation"].startswith(f"{case.name} of {case.target} ")
    assert "corrected for selection" in lines["validation"]
    corrected = summary.corrected_score
    assert corrected is not None
    assert corrected.interval is not None
    assert corrected.interval[0] < corrected.value < corrected.interval[1]
    tested = "accuracy" if summary.study.classes else "RMSE"
    assert f" by {tested} on " in lines["ties"]
    assert f" by {tested} on " in lines["runner-up"]
    values = summary.to_dict()
    assert summary.reading is not None
    assert values["test"][case.objective] == summary.reading.score
    assert values["validation"][f"{case.objective}_interval"]
    page = write_study_page(finished.workspace, finished.path.stem, None).read_text()
    assert f"validation {case.name} of {case.target}" in page
    assert f"Validation {case.name}" in page


def test_the_baselines_are_measured_and_tested_by_the_objective(finished: Finished) -> None:
    case, summary = finished.case, finished.summary
    assert summary.baselines is not None
    for split in ("validation", "test"):
        by_name = summary.baselines.of_split(split)
        assert BOOSTED_TREES in by_name
        assert (TRAINING_QUANTILE in by_name) == (case.objective == "quantile_loss")
        for each in by_name.values():
            assert each.score_metric == f"val/{case.objective}"
            assert each.champion_test is not None
    verdict = dict(summary.lines)["best baseline"]
    assert f" {case.name} of " in verdict
    assert "bootstrap-t" in verdict


def test_the_champion_and_the_record_follow_the_objective(finished: Finished) -> None:
    case, summary = finished.case, finished.summary
    uri = finished.workspace.local_uri
    client = MlflowClient(uri, registry_uri=uri)
    name = f"best/val_{case.objective}"
    sign = -1 if case.objective == "quantile_loss" else 1
    trials = summary.study.rank_trials()
    values = [sign * run.metrics[name] for run in trials]
    assert values == sorted(values, reverse=True)
    for run in trials:
        curve = client.get_metric_history(run.run_id, f"val/{case.objective}")
        assert len(curve) == len(run.epochs)
        assert run.score == sign * max(sign * point.value for point in curve)
        assert run.score == pytest.approx(run.metrics[name], rel=1e-12)
    recorded = client.get_run(summary.study.run_id).data.metrics
    assert recorded[name] == summary.champion.metrics[name]
    assert summary.reading is not None
    assert recorded[f"test/{case.objective}"] == summary.reading.score
    assert check_studies(finished.workspace, finished.path.stem).healthy


def test_a_trial_is_replayed_and_compared(finished: Finished) -> None:
    case, study = finished.case, finished.path.stem
    numbers = [run.number for run in finished.summary.study.rank_trials()][:2]
    tracker = finished.workspace.open_tracker(None, reading=True)
    lines = dict(compare(tracker, [f"{study}/{number}" for number in numbers]).lines)
    assert f"validation {case.name} of {case.target} " in lines["A"]
    result = replay(finished.workspace, f"{study}/{numbers[0]}", watcher=Silent())
    assert result.is_reproduced
    assert f"val/{case.objective}" not in str(result.first_difference)


def test_a_test_set_of_one_class_has_no_auc(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"a": rng.normal(size=80), "ill": ["yes"] * 4 + ["no"] * 76})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    path = tmp_path / "few.toml"
    values = {"study": "", "data": "validation = 0.4\ntest = 0.08", "train": ""}
    text = STUDY.format(objective="auc", table=tmp_path / "rows.csv", target="ill", **values)
    path.write_text(text)
    options = {"overrides": ["confirm.seeds=0"], "device": "cpu", "workers": 0}
    summary = run_study(path, home=tmp_path / "mlruns", **options).summary  # type: ignore[arg-type]
    text = summary.text()
    assert "AUC undefined" in text
    assert "; AUC needs examples of two classes)" in text
    assert "nan" not in text
    json.dumps(summary.to_dict(), allow_nan=False)
    assert summary.baselines is not None
    tests = [each.champion_test for each in summary.baselines.of_split("test").values()]
    assert tests == [None] * len(tests)
    report = check_studies(Workspace(tmp_path / "mlruns"), "few")
    assert not [finding for each in report.studies for finding in each.findings]
