"""A number predicted, from a table to the verdict: what is on record, quoted, drawn and kept."""

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
from harness.analysis.summary_json import to_dict
from harness.cli.studies_table import format_studies, list_studies
from harness.config.loader import load
from harness.data.torch_datasets import load_splits
from harness.doctor.report import check_studies
from harness.errors import ConfigError, UserError
from harness.inference.test_examples import read_test_predictions
from harness.metrics import Score, format_number
from harness.models import baselines
from harness.reports.again import write_again
from harness.reports.plots import regression
from harness.reports.study_page import report
from harness.results import EpochMetrics
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan
from harness.sweep.progress import Silent
from harness.sweep.replay import replay
from harness.sweep.run import StudyResult, run_study
from harness.sweep.train_once import train_once
from harness.test_set.log import TestSetLog
from harness.tracking.mlflow.model_registry import _set_global_store
from harness.tracking.predictions import TEST_PREDICTIONS_FILE, TestPredictions
from harness.tracking.types import build_trial_document, parse_trial_document
from harness.trial import TrialSpec
from harness.workspace import Workspace
from tests.support import regression_table

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
    inputs, targets = regression_table.table(400)
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
        kept = client.get_run(run.run_id).data.metrics
        assert not [name for name in kept if "accuracy" in name or "class" in name]
        assert run.best is not None
        assert kept["best/val_rmse"] == run.best.val_rmse == run.score
        assert kept["best/val_mae"] == run.best.val_mae
        assert all(map(math.isfinite, kept.values()))
        history = client.get_metric_history(run.run_id, "val/rmse")
        assert [point.value for point in history] == [each.val_rmse for each in run.epochs]
        files = {file.path for file in client.list_artifacts(run.run_id)}
        assert "confusion.csv" not in files
    own = client.get_run(study.run_id).data.metrics
    reading = result.summary.reading
    assert reading is not None
    assert (own["test/rmse"], own["test/mae"], own["test/r2"]) == (
        reading.rmse,
        reading.mae,
        reading.r2,
    )
    assert own["confirm/val_rmse_mean"] == result.summary.confirmed.validation.mean  # type: ignore[union-attr]


def test_the_model_that_was_exported_answers_in_the_targets_own_units(
    folder: Path, workspace: Workspace, result: StudyResult
) -> None:
    prepared = make_plan(folder / "prices.toml", RunOptions(home=folder / "mlruns", device="cpu")).prepare()
    part = load_splits(prepared.training).validation
    with _set_global_store(workspace.local_uri):
        model = mlflow.pytorch.load_model("models:/prices@champion")
        info = mlflow.models.get_model_info("models:/prices@champion")
        signature = info.signature
        assert info.metadata["target"] == "price"
        assert info.metadata["columns"] == [f"f{each}" for each in range(regression_table.FEATURES)]
    said = model(part.inputs[part.rows]).detach().numpy()[:, 0]
    true = part.labels[part.rows].numpy()
    assert root_mean_squared_error(true, said) == pytest.approx(result.summary.kept.score, rel=1e-5)
    assert signature.inputs.inputs[0].type == np.dtype(np.float32)
    assert signature.outputs.inputs[0].shape == (-1, 1)


def test_the_test_figures_are_those_of_what_was_said_of_each_example(
    workspace: Workspace, result: StudyResult
) -> None:
    tracker, reading = workspace.open_tracker(None, reading=True), result.summary.reading
    content = tracker.read_file(result.summary.kept.run_id, TEST_PREDICTIONS_FILE)
    assert content is not None
    assert reading is not None
    said = TestPredictions.from_bytes(content)
    assert reading.rmse == pytest.approx(root_mean_squared_error(said.true, said.predicted))
    assert reading.r2 == pytest.approx(r2_score(said.true, said.predicted))
    assert reading.examples == len(said.true) == 80
    assert reading.interval is not None
    assert reading.interval[0] < reading.score < reading.interval[1]


def test_baselines_are_fitted_on_training_alone_and_read_test_in_the_same_opening(
    folder: Path, workspace: Workspace, result: StudyResult
) -> None:
    prepared = make_plan(folder / "prices.toml", RunOptions(home=folder / "mlruns", device="cpu")).prepare()
    splits = load_splits(prepared.training)
    x, y = (values.double().numpy() for values in (splits.train.inputs, splits.train.labels))
    rows, others = splits.train.rows.numpy(), splits.validation.rows.numpy()
    line = LinearRegression().fit(x[rows], y[rows])
    known = result.summary.baselines
    assert known is not None
    expected = root_mean_squared_error(y[others], line.predict(x[others]))
    assert known.of_split("validation")[baselines.LINEAR_REGRESSION].rmse == pytest.approx(
        expected, rel=1e-6
    )
    assert known.of_split("test").keys() == {
        baselines.MEAN_BASELINE,
        baselines.LINEAR_REGRESSION,
        baselines.BOOSTED_TREES,
    }
    assert (
        known.of_split("test")[baselines.MEAN_BASELINE].r2
        < 0.01
        < known.of_split("test")[baselines.BOOSTED_TREES].r2
    )
    assert len(TestSetLog.of(workspace.test_set_folder, prepared.test_digest).selections()) == 1


def test_the_verdict_speaks_of_rmse(result: StudyResult) -> None:
    lines, reading = dict(result.summary.lines), result.summary.reading
    assert reading is not None
    assert lines["validation"].startswith("RMSE of price ")
    assert lines["test"].startswith(f"RMSE {format_number(reading.score)} (95 %: ")
    assert f"MAE {format_number(reading.mae or 0)}, R2 {reading.r2:.4f} (80 examples" in lines["test"]
    assert "gradient-boosted trees RMSE " in lines["baselines"]
    assert "sign-flip" in lines["ties"]
    whole = result.summary.text() + result.summary.markdown()
    assert "accuracy" not in whole
    assert "McNemar" not in whole
    told = json.loads(json.dumps(to_dict(result.summary), allow_nan=False))
    assert told["test"]["rmse"] == reading.rmse
    assert told["validation"]["r2"] == result.summary.kept.best.val_r2  # type: ignore[union-attr]
    assert "accuracy" not in json.dumps(told)


def test_the_report_shows_predicted_against_true_and_no_classes(
    workspace: Workspace, result: StudyResult
) -> None:
    page = report(result.summary)
    names = [section.name for section in page.sections]
    assert "predicted" in names
    assert not {"classes", "mistakes"} & set(names)
    (section,) = (each for each in page.sections if each.name == "predicted")
    assert [plot.name for plot in section.plots] == ["predicted", "residuals", "errors"]
    validation, test = regression.data(result.summary)
    assert root_mean_squared_error(validation.true, validation.predicted) == pytest.approx(
        result.summary.kept.score
    )
    assert (validation.part, test.part, len(test.true)) == ("validation", "test", 80)
    first, *others = section.values["table"][1:]
    assert first[0] == "this study's model"
    assert {row[0] for row in others} == set(result.summary.baselines.of_split("test"))  # type: ignore[union-attr]
    text = page.inlined()
    assert "validation RMSE of price" in text
    assert "validation accuracy" not in text
    assert write_again(workspace, "prices", None).is_file()


def test_it_is_listed_compared_and_healthy(workspace: Workspace, result: StudyResult) -> None:
    (row,) = list_studies(workspace, None)
    assert row["test"] == result.summary.reading.rmse  # type: ignore[union-attr]
    assert format_number(row["test"]) in format_studies([row])
    worst = result.summary.study.rank_trials()[-1]
    found = compare(
        workspace.open_tracker(None, reading=True), ["prices", f"prices/{worst.number}"]
    )
    lines = dict(found.lines)
    assert "validation RMSE of price" in lines["A"]
    assert "A is nearer on " in lines["A and B"]
    examined = check_studies(workspace, "prices")
    assert examined.healthy, examined.text()


def test_a_trial_replays_to_the_last_bit(
    folder: Path, workspace: Workspace, result: StudyResult
) -> None:
    found = replay(workspace, "prices/0", watcher=Silent(), inline=True)
    assert found.word == "bitwise", found.text()
    assert "64 predictions" in found.text()
    assert "confusion" not in found.text()


def test_train_tells_of_rmse(folder: Path, workspace: Workspace, result: StudyResult) -> None:
    plan = make_plan(folder / "prices.toml", RunOptions(home=folder / "mlruns", device="cpu", workers=0))
    found = train_once(plan, test=True, watcher=Silent())
    assert "RMSE of price " in found.text()
    assert "accuracy" not in found.text()
    assert found.to_dict()["test"]["rmse"] == found.reading.rmse  # type: ignore[union-attr]


def test_there_are_no_pictures_to_look_at(workspace: Workspace, result: StudyResult) -> None:
    with pytest.raises(UserError, match="prices predicts price, a number"):
        read_test_predictions(workspace, "prices", None, 3)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.loss=bce", r"loss: bce is for classification; a regression uses mse, leave it out"),
        ('space.loss=["mse","bce"]', r"loss: bce is for classification"),
        ("train.label_smoothing=0.1", r"label_smoothing: a regression has no classes to smooth"),
        ('data.classes=["a","b"]', r"classes: a regression has none"),
        (
            "study.objective=val/accuracy",
            r"objective: val/accuracy, but this is a regression study; use val/rmse or val/mae",
        ),
    ],
)
def test_what_tells_classes_apart_is_refused(folder: Path, override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(folder / "prices.toml", [override])


def test_a_regressions_objective_is_refused_for_classes() -> None:
    with pytest.raises(ConfigError, match="objective: val/rmse, but this is a classification study"):
        load("quickstart", ["study.objective=val/rmse"])


def test_what_a_file_need_not_say(folder: Path) -> None:
    config = load(folder / "prices.toml")
    assert (config.study.objective, config.train["loss"]) == ("val/rmse", "mse")


@pytest.mark.parametrize(
    ("value", "beside", "told"),
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
def test_numbers_have_four_digits_or_more(value: float, beside: float | None, told: str) -> None:
    assert format_number(value, beside) == told


def test_scores() -> None:
    assert (Score().full_name, Score().is_higher_better) == ("accuracy", True)
    score = Score("regression", "price")
    assert (score.full_name, score.is_higher_better, score.field_name) == ("RMSE of price", False, "val_rmse")


@pytest.mark.parametrize("objective", ["val/mae", "val/loss"])
def test_another_objective_ranks_by_it(result: StudyResult, objective: str) -> None:
    study = result.summary.study
    definition = study.definition | {"study": study.definition["study"] | {"objective": objective}}
    ranked = replace(study, definition=definition).rank_trials()
    name = objective.replace("/", "_")
    values = [getattr(run.best, name) for run in ranked]
    assert values == sorted(values)


def test_a_record_of_classes_is_as_it_was() -> None:
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
def test_ames_housing_beats_a_line_on_the_same_split(real_data: Path, tmp_path: Path) -> None:
    if not (real_data / "ames").is_dir():
        pytest.skip("the Ames table: put AmesHousing.xlsx into ames/ of HARNESS_DATA_DIR")
    result = run_study(
        "ames-housing",
        trials=4,
        device="cpu",
        workers=0,
        data_dir=real_data,
        confirm=False,
        overrides=["train.epochs=15", "study.pruner=none"],
        home=tmp_path / "mlruns",
    )
    known = result.summary.baselines
    assert known is not None
    line, mean = (
        known.of_split("validation")[name]
        for name in (baselines.LINEAR_REGRESSION, baselines.MEAN_BASELINE)
    )
    assert result.champion.score < 0.9 * line.rmse < 0.5 * mean.rmse
    assert "RMSE of SalePrice " in result.summary.text()
    assert result.test is not None
    assert result.test.examples == 440
