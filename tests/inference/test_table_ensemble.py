"""A study's ensemble from the study file to a served model: chosen, tested, recorded, checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import harness
from harness.api.result import StudyResult
from harness.checks.report import check_studies
from harness.cli.main import app
from harness.config.scaffold import write_new_study
from harness.errors import ConfigError, StudyError
from harness.inference.recorded_model import load_recorded_model
from harness.tracking.mlflow.model_registry import _set_global_store
from harness.workspace import Workspace
from tests.inference.test_table_champion import BLOCKER
from tests.support.passengers import make_rows, write_tables

pytestmark = pytest.mark.slow
OPTIONS = ["train.epochs=15", "confirm.seeds=0", "study.pruner=none"]
ENSEMBLE = ["ensemble.size=8", "space.loss=['cross-entropy','bce','mse']"]
NETWORK_SCRIPT = """
import json, mlflow, sys
rows = json.load(open(sys.argv[1]))
model = mlflow.pyfunc.load_model("models:/people@ensemble")
frame = model.predict(rows, params={"details": True})
assert not any(name == "harness" or name.startswith("harness.") for name in sys.modules)
print(frame.to_json(orient="records"))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a classification and a regression, each with an ensemble."""
    folder = tmp_path_factory.mktemp("ensembles")
    write_tables(folder)
    before = Path.cwd()
    os.chdir(folder)
    try:
        for data, target, more in (
            ("people.csv", "survived", ENSEMBLE),
            ("fares.csv", "fare", ENSEMBLE[:1]),
        ):
            study = write_new_study(data, target=target).study
            harness.run_study(study, trials=6, workers=0, device="cpu", overrides=OPTIONS + more)
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(folder)
    with _set_global_store(f"sqlite:///{folder}/mlruns/mlflow.db"):
        yield


def compute_mean(result: StudyResult, rows: pd.DataFrame, column: str) -> np.ndarray:
    """Return the mean of the members' predictions by hand; probabilities add up to 1."""
    assert result.ensemble is not None
    total = np.zeros(len(rows))
    for number, weight in result.ensemble.weights.items():
        scored = harness.predict(f"{result.name}/{number}", rows, probabilities=column != "")
        if column:
            scored = np.maximum(scored, 1e-6)
            scored = (scored / scored.sum(1, keepdims=True))[:, int(column)]
        total += weight * scored
    return total


@pytest.mark.usefixtures("store")
def test_every_way_gives_the_mean_of_the_members() -> None:
    rows = pd.read_csv("new.csv")
    for name, column in (("people", "1"), ("fares", "")):
        result = harness.load(name)
        assert result.ensemble is not None
        assert len(result.ensemble.weights) > 1
        assert sum(result.ensemble.weights.values()) == pytest.approx(1)
        expected = compute_mean(result, rows, column)
        predicted = result.ensemble.predict(rows, probabilities=bool(column))
        mine = predicted[:, 1] if column else predicted
        assert mine == pytest.approx(expected, rel=1e-4)
        model = mlflow.pyfunc.load_model(result.ensemble.model)
        details = model.predict(rows, params={"details": True})
        key = "probability 1" if column else "prediction"
        assert details[key].to_numpy() == pytest.approx(expected, rel=1e-4)
        if not column:
            half = result.ensemble.record.interval
            assert half is not None
            assert (details["high"] - details["low"]).to_numpy() == pytest.approx(2 * half)
        network = mlflow.pytorch.load_model(result.ensemble.model)
        info = mlflow.models.get_model_info(result.ensemble.model)
        inputs = torch.randn(3, len(info.metadata["columns"]))
        torch.testing.assert_close(network(inputs), result.ensemble.load_model()(inputs))
        by_uri = load_recorded_model(Workspace(Path("mlruns")), None, result.ensemble.model)
        assert by_uri.name == f"{name}@ensemble"
    done = CliRunner().invoke(
        app, ["predict", "people", "new.csv", "--ensemble", "--format", "json"]
    )
    assert done.exit_code == 0, done.output
    document = json.loads(done.output.splitlines()[-1])
    assert document["model"] == "people@ensemble"
    assert document["run_id"] == harness.load("people").mlflow_run_id


@pytest.mark.usefixtures("store")
def test_names_that_are_no_ensemble() -> None:
    for arguments, problem in (
        (
            ["predict", "people/1", "new.csv", "--ensemble"],
            "the name of a study, not people/1",
        ),
        (["predict", "people", "--test", "3", "--ensemble"], "--ensemble predicts IMAGE or TABLE"),
        (["replay", "people@ensemble"], "is an ensemble of trials; give one of them"),
        (["predict", "peopl@ensemble", "new.csv"], "did you mean 'people'"),
    ):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 2, done.output
        assert problem in " ".join(done.output.split())


@pytest.mark.usefixtures("store")
def test_the_raw_frame_is_predicted_without_harness(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    rows = [
        {"age": None, "class": 3, "deck": None, "boarded": "07.03.2024"},
        {"age": 31, "class": "1", "deck": "new", "boarded": None},
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    (tmp_path / "predict.py").write_text(NETWORK_SCRIPT)
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path), "MLFLOW_TRACKING_URI": "sqlite:///mlruns/mlflow.db"
    }  # fmt: skip
    command = [sys.executable, str(tmp_path / "predict.py"), str(tmp_path / "rows.json")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    expected = harness.predict("people@ensemble", pd.DataFrame(rows), probabilities=True)
    answered = [[each["probability 0"], each["probability 1"]] for each in answer]
    assert np.array(answered) == pytest.approx(expected, abs=1e-5)


@pytest.mark.usefixtures("store")
def test_one_opening_reads_champion_and_ensemble() -> None:
    result = harness.load("people")
    assert result.ensemble is not None
    record, test = result.ensemble.record, result.ensemble.test
    assert test is not None
    assert result.test is not None
    assert (test.selection, test.look) == (result.test.selection, result.test.look)
    assert record.tested is not None
    assert record.tested.test is not None
    assert record.tested.test.examples == result.test.examples
    assert record.tested.champion_score == result.test.accuracy
    assert record.chosen.examples + record.judged.examples == 72
    assert record.chosen.champion_score is not None
    assert record.chosen.champion_loss is not None
    assert record.chosen.score >= record.chosen.champion_score  # it is a candidate
    client = mlflow.MlflowClient(Workspace(Path("mlruns")).local_uri)
    metrics = client.get_run(result.mlflow_run_id).data.metrics
    assert metrics["ensemble/test_accuracy"] == test.accuracy
    assert metrics["ensemble/val_accuracy"] == record.judged.score
    assert metrics["test/accuracy"] == result.test.accuracy
    fares = harness.load("fares").ensemble
    assert fares is not None
    assert fares.test is not None
    assert fares.record.tested is not None
    assert fares.record.tested.loss == fares.record.tested.score**2  # in the target's units
    assert metrics["ensemble/parameters"] == sum(
        result.summary.study.trials[number].parameters for number in result.ensemble.weights
    )
    text, value = result.summary.text(), result.summary.to_dict()["ensemble"]
    assert "on one half of the validation set (36 examples)" in text
    assert value["test"]["score"] == test.accuracy
    assert [each["trial"] for each in value["members"]] == list(result.ensemble.weights)
    page = result.report.read_text()
    assert "models:/people@ensemble" in page
    champion = client.get_model_version_by_alias("people", "champion")
    logged = client.get_logged_model(champion.source.removeprefix("models:/"))
    assert "test/accuracy" in {metric.key for metric in logged.metrics or ()}


@pytest.mark.usefixtures("store")
def test_the_doctor_checks_the_ensemble() -> None:
    workspace, client = (
        Workspace(Path("mlruns")),
        mlflow.MlflowClient(Workspace(Path("mlruns")).local_uri),
    )

    def list_problems(repair: bool = False) -> list[str]:
        report = check_studies(workspace, "people", repair=repair)
        return [str(finding) for study in report.studies for finding in study.findings]

    assert list_problems() == []
    result = harness.load("people")
    run, version = result.mlflow_run_id, client.get_model_version_by_alias("people", "champion")
    client.set_registered_model_alias("people", "ensemble", version.version)
    client.log_metric(run, "ensemble/test_accuracy", 0.123)
    problems = list_problems()
    assert any("the alias 'ensemble' does not point at version" in each for each in problems)
    assert any("ensemble/test_accuracy is 0.123" in each for each in problems)
    list_problems(repair=True)
    assert list_problems() == []
    folder = Path(client.get_run(run).info.artifact_uri.removeprefix("file://"))
    file = folder / "ensemble.json"
    content = file.read_bytes()
    document = json.loads(content)
    document["members"][0]["weight"] += 0.5
    document["reading"]["look"] = 7
    file.write_text(json.dumps(document))
    problems = list_problems()
    assert any("the weights of its members do not add up to 1" in each for each in problems)
    assert any("was read in opening number 7" in each for each in problems)
    file.write_bytes(content)
    assert list_problems() == []


@pytest.mark.usefixtures("store")
def test_an_ensemble_may_be_added_and_left_out_later() -> None:
    """The choice is another one then, and the test set is opened for it, which counts."""
    frame = make_rows(200).drop(columns="fare")
    frame.to_csv("later.csv", index=False)
    study = write_new_study("later.csv", target="survived").study
    options = {"workers": 0, "device": "cpu"}
    first = harness.run_study(study, trials=4, overrides=OPTIONS, **options)  # type: ignore[arg-type]
    assert first.ensemble is None
    assert first.summary.to_dict()["ensemble"] is None
    with pytest.raises(StudyError, match=r"has no ensemble; run it again with: --set ensemble"):
        harness.predict("later@ensemble", frame)
    more = [*OPTIONS, "ensemble.size=4"]
    second = harness.run_study(study, trials=4, overrides=more, **options)  # type: ignore[arg-type]
    assert second.ensemble is not None
    assert second.ensemble.test is not None
    assert second.test is not None
    assert second.ensemble.test.look == second.test.look + 1
    third = harness.run_study(study, trials=4, overrides=more, **options)  # type: ignore[arg-type]
    assert third.ensemble is not None
    assert third.ensemble.record == second.ensemble.record
    fourth = harness.run_study(study, trials=4, overrides=OPTIONS, **options)  # type: ignore[arg-type]
    assert fourth.ensemble is None
    report = check_studies(Workspace(Path("mlruns")), "later")
    assert not [finding for each in report.studies for finding in each.findings]


@pytest.mark.usefixtures("store")
def test_a_study_by_auc_whose_ensemble_is_replaced() -> None:
    """Its tests compare accuracies; the version of an ensemble is a name of it too."""
    frame = make_rows(300).drop(columns="fare")
    frame.to_csv("auc.csv", index=False)
    study = write_new_study("auc.csv", target="survived").study
    sets = [*OPTIONS, "study.objective=val/auc", "ensemble.size=4"]
    options = {"workers": 0, "device": "cpu", "overrides": sets}
    result = harness.run_study(study, trials=3, **options)  # type: ignore[arg-type]
    assert result.ensemble is not None
    score = result.ensemble.record.tested
    assert score is not None
    assert f"test accuracy {score.score:.4f}" in repr(result.ensemble)
    report = check_studies(Workspace(Path("mlruns")), "auc")
    assert [str(each) for study in report.studies for each in study.findings] == []
    version = mlflow.MlflowClient().get_model_version_by_alias("auc", "ensemble").version
    expected = ("auc", result.ensemble.record.digest)
    for reading in (True, False):
        tracker = Workspace(Path("mlruns")).open_tracker(reading=reading)
        assert tracker.find_ensemble(f"models:/auc/{version}") == expected
    by_version = harness.predict(f"models:/auc/{version}", frame, probabilities=True)
    assert np.array_equal(by_version, result.ensemble.predict(frame, probabilities=True))
    done = CliRunner().invoke(app, ["replay", f"models:/auc/{version}"])
    assert "is an ensemble of trials; give one of them" in " ".join(done.output.split())
    harness.run_study(study, trials=5, **options)  # type: ignore[arg-type]
    with pytest.raises(StudyError, match=r"is an earlier ensemble of 'auc'"):
        harness.predict(f"models:/auc/{version}", frame)


@pytest.mark.usefixtures("store")
def test_a_validation_set_that_cannot_be_halved_is_refused() -> None:
    make_rows(16).drop(columns="fare").to_csv("few.csv", index=False)
    study = write_new_study("few.csv", target="survived").study
    with pytest.raises(ConfigError, match=r"\[ensemble\]: needs 4 validation examples"):
        harness.run_study(study, overrides=[*ENSEMBLE[:1], "train.batch_size=2"], workers=0)
