"""A calibrated study: from the study file to the model without harness, and back again."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

import harness
from harness.analysis.calibration_record import CalibrationRecord, load_calibration
from harness.api.result import StudyResult
from harness.checks.report import check_studies
from harness.cli.main import app
from harness.config.loader import load
from harness.config.scaffold import write_new_study
from harness.errors import ConfigError, StoreError, StudyError
from harness.inference.label_sets import join_sets
from harness.inference.score_rows import score_rows
from harness.stats.calibration import compute_ece
from harness.tracking.mlflow.model_registry import _set_global_store
from harness.tracking.predictions import TEST_PREDICTIONS_FILE, TestPredictions
from harness.workspace import Workspace
from tests.inference.test_table_champion import BLOCKER
from tests.support.passengers import make_rows, write_tables

OPTIONS = ["train.epochs=8", "confirm.seeds=0", "study.pruner=none"]
CALIBRATED = "study.calibrated=true"
SCRIPT = """
import mlflow, sys
model = mlflow.pyfunc.load_model("models:/people@champion")
frame = model.predict(__import__("json").load(open(sys.argv[1])), params={"details": True})
assert not any(name == "harness" or name.startswith("harness.") for name in sys.modules)
print(frame.to_json(orient="records"))
"""


def test_a_regression_cannot_be_calibrated(tmp_path: Path) -> None:
    make_rows(60).to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "fare.toml").write_text(
        '[study]\ncalibrated = true\n[data]\nname = "./rows.csv"\ntarget = "fare"\n'
        'task = "regression"\n'
    )
    with pytest.raises(ConfigError, match="calibrated: a regression has no probabilities; leave"):
        load(str(tmp_path / "fare.toml"))


def test_the_definition_of_a_study_stays_as_it_was() -> None:
    plain, calibrated = load("quickstart"), load("quickstart", [CALIBRATED])
    assert calibrated.study.calibrated
    assert plain.definition() == calibrated.definition()
    assert "calibrated" not in plain.definition()["study"]


def test_a_set_is_of_probabilities_that_add_up_to_1() -> None:
    """Those of the losses `bce` and `mse` do not; a row without any has all classes."""
    rows = np.array([[0.2, 0.1, 0.1], [0.04, 0.9, 0.06], [0, 0, 0]], np.float32)
    assert join_sets(["cat", "dog", 7], rows, 0.2499) == ["cat|dog|7", "dog", "cat|dog|7"]


def test_a_damaged_record_is_one_line() -> None:
    for content in (b"{", b"[]", b"{}", b'{"run": "a", "temperature": 0}'):
        with pytest.raises(StoreError, match=r"calibration\.json of a run cannot be read"):
            CalibrationRecord.from_json(content)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study that is not calibrated yet, and one of a number."""
    folder = tmp_path_factory.mktemp("calibrated")
    write_tables(folder)
    before = Path.cwd()
    os.chdir(folder)
    try:
        write_new_study("people.csv", target="survived")
        write_new_study("fares.csv", target="fare")
        run("people")
        run("fares")
    finally:
        os.chdir(before)
    return folder


def run(name: str, *more: str) -> StudyResult:
    overrides = OPTIONS + (["train.loss=bce"] if name == "people" else []) + list(more)
    path = f"./studies/{name}.toml"
    return harness.run_study(
        path, trials=3, workers=0, device="cpu", overrides=overrides, progress=False
    )


@pytest.fixture
def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(folder)
    with _set_global_store(f"sqlite:///{folder}/mlruns/mlflow.db"):
        yield folder


def read_test_predictions(result: StudyResult) -> TestPredictions:
    tracker = Workspace(Path("mlruns")).open_tracker(reading=True)
    content = tracker.read_file(result.summary.model_run.run_id, TEST_PREDICTIONS_FILE)
    assert content is not None
    return TestPredictions.from_bytes(content)


@pytest.mark.slow
def test_a_finished_study_is_calibrated_and_back(store: Path, tmp_path: Path) -> None:
    """The model is registered again, and the test set is not opened again."""
    rows = pd.read_csv("new.csv")
    plain = harness.load("people")
    before = plain.predict(rows, probabilities=True)
    result = run("people", CALIBRATED)
    assert result.summary.study.is_calibrated
    assert result.summary.study.readings == plain.summary.study.readings
    record = result.summary.calibration
    assert record is not None
    assert record == plain.summary.calibration
    assert record.plain.brier == pytest.approx(result.champion.metrics["best/val_brier"])
    assert record.plain.log_loss == pytest.approx(result.champion.metrics["best/val_log_loss"])
    assert record.scaled.log_loss < record.plain.log_loss
    after = result.predict(rows, probabilities=True)
    scaled = before / before.sum(1, keepdims=True)
    scaled = scaled ** (1 / record.temperature)
    assert after == pytest.approx(scaled / scaled.sum(1, keepdims=True), rel=1e-4)
    assert (result.predict(rows) == plain.predict(rows)).all()

    program = f"{BLOCKER}{SCRIPT}"
    (tmp_path / "rows.json").write_text(rows.to_json(orient="records"))
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "rows.json")],
        env=os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{store}/mlruns/mlflow.db"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    served = pd.read_json(io.StringIO(done.stdout.splitlines()[-1]))
    assert served.iloc[:, 1:].to_numpy() == pytest.approx(after)
    assert check_studies(Workspace(store / "mlruns"), "people").studies[0].healthy
    client = MlflowClient()
    assert client.get_registered_model("people").aliases == {"champion": 2}
    metadata = mlflow.models.get_model_info("models:/people@champion").metadata  # type: ignore[attr-defined]
    assert metadata["temperature"] == record.temperature

    again = run("people")
    assert again.predict(rows, probabilities=True) == pytest.approx(before, abs=0)
    assert client.get_registered_model("people").aliases == {"champion": 1}
    assert check_studies(Workspace(store / "mlruns"), "people").studies[0].healthy


@pytest.mark.slow
def test_the_test_set_is_read_with_the_temperature(store: Path) -> None:
    study = "study.name=calibrated"
    result = run("people", CALIBRATED, study)
    stored, reading = read_test_predictions(result), result.test
    assert reading is not None
    assert reading.calibration is not None
    assert stored.probability is not None
    ece = compute_ece(stored.probability.astype(np.float64), stored.true == stored.predicted)
    assert reading.calibration["scaled"]["ece"] == pytest.approx(ece, abs=1e-6)
    assert reading.calibration["plain"]["brier"] == pytest.approx(reading.more["brier"])
    metrics = MlflowClient().get_run(result.mlflow_run_id).data.metrics
    assert metrics["calibration/test_ece"] == reading.calibration["scaled"]["ece"]
    assert 0.75 < metrics["calibration/test_coverage"] <= 1
    facts = {fact.key: fact for fact in result.summary.facts}
    assert "on average (test ECE; " in facts["calibration"].short
    assert facts["calibration"].value["test"]["coverage"] == metrics["calibration/test_coverage"]
    assert check_studies(Workspace(store / "mlruns"), "calibrated").studies[0].healthy


@pytest.mark.slow
def test_rows_have_sets(store: Path) -> None:
    result = harness.load("people")
    record = result.summary.calibration
    assert record is not None
    threshold = record.get_threshold(result.summary.study.is_calibrated)
    assert threshold is not None
    done = CliRunner().invoke(app, ["predict", "people", "new.csv", "--sets", "--out", "s.csv"])
    assert done.exit_code == 0, done.output
    assert "set    holds the true class of 90%" in done.output
    scored = pd.read_csv("s.csv", dtype={"set": str})
    probabilities = scored[["probability 0", "probability 1"]].to_numpy()
    shares = probabilities / probabilities.sum(1, keepdims=True)
    for text, row, prediction in zip(scored["set"], shares, scored["prediction"], strict=True):
        assert text.split("|")[0] == str(prediction)
        assert {int(each) for each in text.split("|")} >= set(np.flatnonzero(row >= threshold))
    frame = pd.read_csv("new.csv")
    assert result.predict(frame, sets=True).tolist() == scored["set"].tolist()
    features = np.zeros((3, *result.load_recorded_model().shape), np.float32)
    assert set(result.predict(features, sets=True)) <= {"0", "1", "0|1", "1|0"}
    with pytest.raises(ConfigError, match="sets: excludes probabilities"):
        result.predict(frame, sets=True, probabilities=True)
    for name, message in {
        "fares": "'fares' predicts a number; it has an interval (low, high), and no sets",
        f"people/{next(r.number for r in result.summary.study.trials if r != result.champion)}": (
            "has no sets: they are measured for the registered champion only; give people"
        ),
    }.items():
        refused = CliRunner().invoke(app, ["predict", name, "new.csv", "--sets"])
        assert refused.exit_code == 2
        assert message in " ".join(refused.output.split())


@pytest.mark.slow
def test_a_record_of_an_earlier_version_stays_as_it_is(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its study has no calibration, and its readings have none."""
    run("people", "study.name=older")
    tracker: Any = Workspace(Path("mlruns")).open_tracker(reading=True)
    study = tracker.read_study("older")
    for path in Path("mlruns").rglob("calibration.json"):
        if study.run_id in str(path):
            path.unlink()
    MlflowClient().delete_tag(study.run_id, "harness.sha256.calibration.json")
    again = run("people", "study.name=older")
    assert load_calibration(tracker, study, again.summary.model_run) is None
    assert again.summary.calibration is None
    assert "calibration" not in dict(again.summary.lines)
    with pytest.raises(StudyError, match="finished before harness recorded what sets need"):
        score_rows(Workspace(Path("mlruns")), "older", "new.csv", None, sets=True)
    run("people", "study.name=older", CALIBRATED)
    score_rows(Workspace(Path("mlruns")), "older", "new.csv", None, sets=True)
