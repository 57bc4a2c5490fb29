"""A regression study from a table to the summary: record, report, replay, model."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score, root_mean_squared_error

from harness.analysis.comparison import compare
from harness.api.result import StudyResult
from harness.api.run import run_study
from harness.checks.report import check_studies
from harness.cli.studies_table import format_studies, list_studies
from harness.config.loader import load
from harness.data.torch_datasets import load_splits
from harness.data.training_files import TrainingFiles
from harness.errors import ConfigError, UserError
from harness.inference.test_examples import read_test_predictions
from harness.metrics import Score, format_number
from harness.models import baselines
from harness.reports.live_page import write_study_page
from harness.reports.plots import regression
from harness.reports.study_page import build_study_page
from harness.results import EpochMetrics
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan
from harness.sweep.progress import Silent
from harness.sweep.replay import replay
from harness.sweep.train_once import train_once
from harness.test_set.log import TestSetLog
from harness.tracking.mlflow.model_registry import _set_global_store
from harness.tracking.predictions import TEST_PREDICTIONS_FILE, TestPredictions
from harness.tracking.test_reading import TestReading
from harness.tracking.trial_document import build_trial_document, parse_trial_document
from harness.trial import TrialSpec
from harness.workspace import Workspace
from tests.support import regression_table
from tests.support.installed_boosters import INSTALLED
from tests.support.real_data import find_real_data

STUDY = """
[study]
trials = 6
pruner = "none"
[data]
name = "{table}"
task = "regression"
target = "price"
validation = 0.2
test = 0.2
[train]
epochs = 12
batch_size = 20
[space]
hidden = [[], [8], [32], [32, 16]]
learning_rate = {{ low = 1e-3, high = 1e-1, log = true }}
[confirm]
top = 1
seeds = 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prices")
    inputs, targets = regression_table.make_table(400)
    with (folder / "prices.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow([*(f"f{column}" for column in range(regression_table.FEATURES)), "price"])
        rows.writerows([*x, y] for x, y in zip(inputs.tolist(), targets.tolist(), strict=True))
    (folder / "prices.toml").write_text(STUDY.format(table=folder / "prices.csv"))
    return folder


@pytest.fixture(scope="module")
def result(folder: Path) -> StudyResult:
    return run_study(folder / "prices.toml", home=folder / "mlruns", device="cpu", workers=0)


@pytest.fixture(scope="module")
def workspace(folder: Path, result: StudyResult) -> Workspace:
    return Workspace(folder / "mlruns")


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> MlflowClient:
    return MlflowClient(workspace.local_uri, registry_uri=workspace.local_uri)


def test_the_champion_has_the_least_rmse_and_no_accuracy_is_on_record(
    client: MlflowClient, result: StudyResult
) -> None:
    study = result.summary.study
    ranked = study.rank_trials()
    assert ranked[0].score == min(run.score for run in study.trials if run.best)
    for run in (*study.trials, *study.confirmation_runs):
        recorded = client.get_run(run.run_id).data.metrics
        assert not [name for name in recorded if "accuracy" in name or "class" in name]
        assert run.best is not None
        assert recorded["best/val_rmse"] == run.best.val_rmse == run.score
        assert recorded["best/val_mae"] == run.best.val_mae
        assert all(map(math.isfinite, recorded.values()))
        history = client.get_metric_history(run.run_id, "val/rmse")
        assert [point.value for point in history] == [epoch.val_rmse for epoch in run.epochs]
        files = {file.path for file in client.list_artifacts(run.run_id)}
        assert "confusion.csv" not in files
    metrics = client.get_run(study.run_id).data.metrics
    reading = result.summary.reading
    assert reading is not None
    assert (metrics["test/rmse"], metrics["test/mae"], metrics["test/r2"]) == (
        reading.rmse,
        reading.mae,
        reading.r2,
    )
    assert metrics["confirm/val_rmse_mean"] == result.summary.confirmation.validation.mean  # type: ignore[union-attr]


def test_the_exported_model_predicts_in_the_units_of_the_target(
    folder: Path, workspace: Workspace, result: StudyResult
) -> None:
    prepared = make_plan(
        folder / "prices.toml", RunOptions(home=folder / "mlruns", device="cpu")
    ).prepare()
    part = load_splits(prepared.training).validation
    with _set_global_store(workspace.local_uri):
        model = mlflow.pytorch.load_model("models:/prices@champion")
        info = mlflow.models.get_model_info("models:/prices@champion")
        signature = info.signature
        assert info.metadata["target"] == "price"
        assert info.metadata["columns"] == [
            f"f{number}" for number in range(regression_table.FEATURES)
        ]
    predicted = model(part.inputs[part.rows]).detach().numpy()[:, 0]
    true = part.labels[part.rows].numpy()
    assert root_mean_squared_error(true, predicted) == pytest.approx(
        result.summary.model_run.score, rel=1e-5
    )
    assert signature.inputs.input_names() == list(prepared.training.columns)
    assert not signature.inputs.required_input_names()
    assert str(signature.outputs.inputs[0].type) == "DataType.double"


def test_test_metrics_match_the_recorded_predictions(
    workspace: Workspace, result: StudyResult
) -> None:
    tracker, reading = workspace.open_tracker(None, reading=True), result.summary.reading
    content = tracker.read_file(result.summary.model_run.run_id, TEST_PREDICTIONS_FILE)
    assert content is not None
    assert reading is not None
    predictions = TestPredictions.from_bytes(content)
    assert reading.rmse == pytest.approx(
        root_mean_squared_error(predictions.true, predictions.predicted)
    )
    assert reading.r2 == pytest.approx(r2_score(predictions.true, predictions.predicted))
    assert reading.examples == len(predictions.true) == 80
    assert reading.interval is not None
    assert reading.interval[0] < reading.score < reading.interval[1]


def test_baselines_are_fitted_on_the_training_set_and_tested_in_the_same_opening(
    folder: Path, workspace: Workspace, result: StudyResult
) -> None:
    prepared = make_plan(
        folder / "prices.toml", RunOptions(home=folder / "mlruns", device="cpu")
    ).prepare()
    splits = load_splits(prepared.training)
    x, y = (values.double().numpy() for values in (splits.train.inputs, splits.train.labels))
    rows, others = splits.train.rows.numpy(), splits.validation.rows.numpy()
    line = LinearRegression().fit(x[rows], y[rows])
    recorded_baselines = result.summary.baselines
    assert recorded_baselines is not None
    expected = root_mean_squared_error(y[others], line.predict(x[others]))
    assert recorded_baselines.of_split("validation")[
        baselines.LINEAR_REGRESSION
    ].rmse == pytest.approx(expected, rel=1e-6)
    assert recorded_baselines.of_split("test").keys() == {
        baselines.MEAN_BASELINE,
        baselines.LINEAR_REGRESSION,
        baselines.BOOSTED_TREES,
        *INSTALLED,
    }
    assert (
        recorded_baselines.of_split("test")[baselines.MEAN_BASELINE].r2
        < 0.01
        < recorded_baselines.of_split("test")[baselines.BOOSTED_TREES].r2
    )
    log = TestSetLog.for_test_set(workspace.test_set_folder, prepared.test_digest)
    assert len(log.list_selections()) == 1


def test_the_summary_reports_rmse(result: StudyResult) -> None:
    lines, reading = dict(result.summary.lines), result.summary.reading
    assert reading is not None
    assert lines["validation"].startswith("RMSE of price ")
    assert lines["test"].startswith(f"RMSE {format_number(reading.score)} (95 %: ")
    assert (
        f"MAE {format_number(reading.mae or 0)} (95 %: "
        f"{Score('regression').format_range(reading.mae_interval or (0, 0))}), "
        f"R2 {reading.r2:.4f} (80 examples" in lines["test"]
    )
    assert "gradient-boosted trees RMSE " in lines["baselines"]
    assert "bootstrap-t" in lines["ties"]
    text = result.summary.text() + result.summary.markdown()
    assert "accuracy" not in text
    assert "McNemar" not in text
    document = json.loads(json.dumps(result.summary.to_dict(), allow_nan=False))
    assert document["test"]["rmse"] == reading.rmse
    assert document["test"]["mae_interval"][0] < document["test"]["mae"]
    assert document["validation"]["mae_interval"] == list(
        result.summary.model_run.mae_interval or ()
    )
    assert document["validation"]["r2"] == result.summary.model_run.best.val_r2  # type: ignore[union-attr]
    assert "accuracy" not in json.dumps(document)


def test_older_records_without_an_interval_of_the_mae_stay_readable(result: StudyResult) -> None:
    reading, recorded = result.summary.reading, result.summary.baselines
    assert reading is not None
    assert recorded is not None
    values = json.loads(json.dumps(reading.to_dict()))
    del values["mae_interval"]
    older = TestReading.from_dict(values)
    assert (older.mae_interval, older.interval) == (None, reading.interval)
    score = Score("regression")
    assert score.format_mae(older, 20.0) == "MAE 20.00"
    document = recorded.to_dict()
    for by_name in document.values():
        for metrics in by_name.values():
            del metrics["mae_interval"]
    read = baselines.Baselines.from_json(json.dumps(document).encode())
    line = read.of_split("test")[baselines.LINEAR_REGRESSION]
    assert line.mae_interval is None
    assert line == replace(
        recorded.of_split("test")[baselines.LINEAR_REGRESSION], mae_interval=None
    )
    assert baselines.Baselines.from_json(recorded.to_json()) == recorded


def test_the_report_says_that_a_few_errors_decide_the_rmse() -> None:
    true = np.zeros(200)
    normal = np.random.default_rng(0).normal(size=200)
    even = regression.SplitPredictions("test", true, normal)
    heavy = regression.SplitPredictions("test", true, np.append(normal[:-1], 30.0))
    assert "The largest 1 %" not in even.describe()
    assert "The largest 1 % of the errors make up 8" in heavy.describe()


def test_the_report_shows_predicted_against_true_and_no_classes(
    workspace: Workspace, result: StudyResult
) -> None:
    page = build_study_page(result.summary)
    names = [section.name for section in page.sections]
    assert "predicted" in names
    assert not {"classes", "mistakes"} & set(names)
    (section,) = (section for section in page.sections if section.name == "predicted")
    assert [plot.name for plot in section.plots] == ["predicted", "residuals", "errors"]
    validation, test = regression.load_predictions(result.summary)
    assert root_mean_squared_error(validation.true, validation.predicted) == pytest.approx(
        result.summary.model_run.score
    )
    assert (validation.split, test.split, len(test.true)) == ("validation", "test", 80)
    first, *others = section.values["table"][1:]
    assert first[0] == "this study's model"
    assert {row[0] for row in others} == set(result.summary.baselines.of_split("test"))  # type: ignore[union-attr]
    text = page.render_inline()
    assert "validation RMSE of price" in text
    assert "validation accuracy" not in text
    assert write_study_page(workspace, "prices", None).is_file()


def test_studies_compare_and_doctor_accept_a_regression(
    workspace: Workspace, result: StudyResult
) -> None:
    (row,) = list_studies(workspace, None, pytest.fail)
    assert row["test"] == result.summary.reading.rmse  # type: ignore[union-attr]
    assert format_number(row["test"]) in format_studies([row])
    worst = result.summary.study.rank_trials()[-1]
    comparison = compare(
        workspace.open_tracker(None, reading=True), ["prices", f"prices/{worst.number}"]
    )
    lines = dict(comparison.lines)
    assert "validation RMSE of price" in lines["A"]
    assert "A is nearer on " in lines["A and B"]
    health = check_studies(workspace, "prices")
    assert health.healthy, health.text()


def test_a_trial_replays_bit_for_bit(
    folder: Path, workspace: Workspace, result: StudyResult
) -> None:
    replayed = replay(workspace, "prices/0", watcher=Silent(), inline=True)
    assert replayed.agreement == "bitwise", replayed.text()
    assert "64 predictions" in replayed.text()
    assert "confusion" not in replayed.text()


def test_train_reports_rmse(folder: Path, workspace: Workspace, result: StudyResult) -> None:
    plan = make_plan(
        folder / "prices.toml", RunOptions(home=folder / "mlruns", device="cpu", workers=0)
    )
    trained = train_once(plan, test=True, watcher=Silent())
    assert "RMSE of price " in trained.text()
    assert "accuracy" not in trained.text()
    assert trained.to_dict()["test"]["rmse"] == trained.reading.rmse  # type: ignore[union-attr]


def test_predict_refuses_a_regression(workspace: Workspace, result: StudyResult) -> None:
    with pytest.raises(UserError, match="prices predicts price, a number"):
        read_test_predictions(workspace, "prices", None, 3)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.loss=bce", r"loss: bce is for classification; a regression uses mse, leave it out"),
        ('space.loss=["mse","bce"]', r"loss: bce is for classification"),
        ("train.label_smoothing=0.1", r"label_smoothing: a regression has no classes to smooth"),
        ("train.class_weights=balanced", r"class_weights: a regression has no classes to weight"),
        ('space.class_weights=["none","balanced"]', r"class_weights: a regression has no classes"),
        ('data.classes=["a","b"]', r"classes: a regression has none"),
        (
            "study.objective=val/accuracy",
            r"objective: val/accuracy, but this is a regression study; use one of val/rmse",
        ),
    ],
)
def test_options_for_classes_are_refused(folder: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(folder / "prices.toml", [override])


def test_val_loss_does_not_compare_target_transforms(folder: Path) -> None:
    overrides = ["study.objective=val/loss", 'space.target_transform=["standard","log"]']
    with pytest.raises(
        ConfigError, match=r"\[space\] target_transform: val/loss is not .* use val/rmse"
    ):
        load(folder / "prices.toml", overrides)


def test_log_of_a_target_of_0_or_less_is_refused_before_the_study_starts(tmp_path: Path) -> None:
    """Also where only a confirmation run would train on it."""
    x, y = regression_table.make_table(400)
    (tmp_path / "prices.toml").write_text(STUDY.format(table=tmp_path / "prices.csv"))
    options = RunOptions(
        home=tmp_path / "mlruns", overrides=('space.target_transform=["standard","log"]',)
    )

    def prepare(targets: np.ndarray, redraw: bool) -> TrainingFiles:
        path, rows = tmp_path / "prices.csv", np.column_stack([x, targets])
        np.savetxt(path, rows, delimiter=",", header="a,b,c,d,e,price", comments="")
        plan = make_plan(tmp_path / "prices.toml", options)
        return plan.prepare(tmp_path / "cache", redraw=redraw).training

    files = prepare(y, redraw=True)
    labels = np.load(files.labels)
    for rows, redraw, where in (
        (files.train_rows, False, "training set"),
        (files.validation_rows, True, "training set of a confirmation run"),
    ):
        poisoned = np.where(y == labels[np.load(rows)[0]], -3, y)
        message = f"prices.toml: target_transform: log needs .* the least in the {where} is -3; use"
        with pytest.raises(ConfigError, match=message):
            prepare(poisoned, redraw=redraw)
    assert prepare(poisoned, redraw=False).task == "regression"


@pytest.mark.parametrize(
    "override", ["train.target_transform=log", 'space.target_transform=["log"]']
)
def test_a_target_transform_is_refused_for_classes(override: str) -> None:
    with pytest.raises(ConfigError, match="target_transform: is for a regression; leave it out"):
        load("quickstart", [override])


def test_a_regressions_objective_is_refused_for_classes() -> None:
    with pytest.raises(
        ConfigError, match="objective: val/rmse, but this is a classification study"
    ):
        load("quickstart", ["study.objective=val/rmse"])


def test_objective_and_loss_have_defaults(folder: Path) -> None:
    config = load(folder / "prices.toml")
    assert (config.study.objective, config.train["loss"]) == ("val/rmse", "mse")


@pytest.mark.parametrize(
    ("value", "beside", "text"),
    [
        (23144.6, None, "23,145"),
        (911.9, 23144.6, "912"),
        (912.345, None, "912.3"),
        (0.0234, None, "0.02340"),
        (0.0, None, "0"),
        (1.5e-7, None, "1.5e-07"),
        (-3082.0, None, "-3,082"),
        (math.inf, None, "inf"),
    ],
)
def test_numbers_have_four_digits_or_more(value: float, beside: float | None, text: str) -> None:
    assert format_number(value, beside) == text


def test_a_score_has_a_name_and_a_direction() -> None:
    assert (Score().full_name, Score().is_higher_better) == ("accuracy", True)
    score = Score("regression", "price")
    assert (score.full_name, score.is_higher_better, score.field_name) == (
        "RMSE of price",
        False,
        "val_rmse",
    )


@pytest.mark.parametrize("objective", ["val/mae", "val/loss"])
def test_another_objective_ranks_by_it(result: StudyResult, objective: str) -> None:
    study = result.summary.study
    definition = study.definition | {"study": study.definition["study"] | {"objective": objective}}
    ranked = replace(study, definition=definition).rank_trials()
    name = objective.replace("/", "_")
    values = [getattr(run.best, name) for run in ranked]
    assert values == sorted(values)


def test_a_record_of_classes_has_no_columns_of_a_regression() -> None:
    """No column in trial.json for what only a regression measures, and none needed to read one."""
    epoch = EpochMetrics(
        epoch=1,
        train_loss=1.0,
        train_accuracy=0.5,
        penalty=0.0,
        val_loss=1.5,
        val_accuracy=0.25,
        learning_rate=1e-3,
        seconds=0.5,
        time=1.7e9,
    )
    document = json.loads(json.dumps(build_trial_document(TrialSpec(), [epoch], "worker 0", None)))
    assert not [name for name in document["epochs"] if "rmse" in name or "r2" in name]
    read = parse_trial_document(document)
    assert (read["epochs"], read["interval"], epoch.score) == ((epoch,), None, 0.25)


@pytest.mark.slow
def test_ames_housing_beats_a_linear_regression_on_the_same_split(
    tmp_path: Path,
) -> None:
    result = run_study(
        "ames-housing",
        trials=4,
        device="cpu",
        workers=0,
        data_dir=find_real_data("ames/AmesHousing.xlsx"),
        confirm=False,
        overrides=["train.epochs=15", "study.pruner=none"],
        home=tmp_path / "mlruns",
    )
    recorded_baselines = result.summary.baselines
    assert recorded_baselines is not None
    line, mean = (
        recorded_baselines.of_split("validation")[name]
        for name in (baselines.LINEAR_REGRESSION, baselines.MEAN_BASELINE)
    )
    assert result.champion.score < 0.9 * line.rmse < 0.5 * mean.rmse
    assert "RMSE of SalePrice " in result.summary.text()
    assert result.test is not None
    assert result.test.examples == 440
