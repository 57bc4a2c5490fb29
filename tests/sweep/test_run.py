"""A complete study of the digits: sweep, record, champion, test set, report; then resumed."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from harness.analysis.data_quality import read_data_quality
from harness.api.result import StudyResult
from harness.api.run import run_study
from harness.cli.studies_table import format_studies, list_studies
from harness.data.prepare import prepare
from harness.errors import ConfigError, StoreError, StudyError
from harness.reports.live_page import write_study_page
from harness.search.study import Search
from harness.sweep.environment import read_git_commit
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan
from harness.sweep.progress import Silent
from harness.sweep.train_once import train_once
from harness.test_set.sealed import SealedTest
from harness.trial import TrialSpec
from harness.workspace import Workspace
from tests.support.digits_study import STUDY
from tests.support.sealed_test_set import open_test_set, read_test_labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "tiny.toml").write_text(STUDY)
    return folder


def sweep(folder: Path, **options: object) -> StudyResult:
    return run_study(folder / "tiny.toml", home=folder / "mlruns", device="cpu", **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def result(folder: Path) -> StudyResult:
    return sweep(folder)


def test_the_global_state_of_mlflow_is_unchanged(result: StudyResult) -> None:
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert "MLFLOW_REGISTRY_URI" not in os.environ
    assert mlflow.active_run() is None


@pytest.fixture(scope="module")
def client(folder: Path, result: StudyResult) -> MlflowClient:
    uri = Workspace(folder / "mlruns").local_uri
    return MlflowClient(uri, registry_uri=uri)


def test_each_trial_is_a_child_run_with_a_complete_curve(
    client: MlflowClient, result: StudyResult
) -> None:
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = (run for run in runs if run.data.tags["harness.kind"] == "study")
    children = [run for run in runs if run.data.tags["harness.kind"] == "trial"]
    assert len(children) == 6
    assert all(run.info.status == "FINISHED" for run in runs)
    for run in children:
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert set(run.data.params) == set(TrialSpec().to_dict())
        for metric in ("train/loss", "train/accuracy", "val/loss", "val/accuracy"):
            history = client.get_metric_history(run.info.run_id, metric)
            assert [point.step for point in history] == [1, 2, 3]
        best = max(
            client.get_metric_history(run.info.run_id, "val/accuracy"),
            key=lambda point: (point.value, -point.step),
        )
        assert run.data.metrics["best/epoch"] == best.step
        assert run.data.metrics["best/val_accuracy"] == best.value
        classes = [run.data.metrics[f"val_class_accuracy/{digit}"] for digit in range(10)]
        mean = run.data.metrics["best/val_class_mean"]
        assert mean == pytest.approx(sum(classes) / 10)
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {"trial.json", "confusion.csv", "predictions.npy"} <= files


def test_recorded_predictions_are_from_the_best_epoch(
    client: MlflowClient, result: StudyResult
) -> None:
    run_id = result.champion.run_id
    path = client.download_artifacts(run_id, "predictions.npy")
    true, predictions = np.load(path)
    files = prepare("digits", validation=0.2, test=0.2, split_seed=0, normalize=True).training
    labels = np.load(files.labels)[np.load(files.validation_rows)]
    assert predictions.dtype == np.uint8
    np.testing.assert_array_equal(true, labels)
    assert result.champion.best is not None
    assert (predictions == labels).mean() == pytest.approx(result.champion.best.val_accuracy)
    pairs, counts = np.unique(np.stack([labels, predictions]), axis=1, return_counts=True)
    for (true, predicted), count in zip(pairs.T, counts, strict=True):
        assert result.champion.confusion[true][predicted] == count


def test_weights_of_the_best_five_are_kept(client: MlflowClient, result: StudyResult) -> None:
    kept = [
        run.number
        for run in result.summary.study.trials
        if any(f.path == "weights.safetensors" for f in client.list_artifacts(run.run_id))
    ]
    best = [run.number for run in result.summary.study.rank_trials()[:5]]
    assert sorted(kept) == sorted(best)


def test_the_parent_run_holds_what_a_reader_needs(
    client: MlflowClient, result: StudyResult
) -> None:
    parent = client.get_run(result.summary.study.run_id)
    tags = parent.data.tags
    assert len(tags["harness.split_hash"]) == 64
    prepared = prepare("digits", validation=0.2, test=0.2, split_seed=0, normalize=True)
    assert json.loads(tags["harness.splits"])["test"] == [360, prepared.test_digest]
    assert json.loads(tags["harness.balance"])["test"] == [], "recorded before the opening"
    quality = read_data_quality(result.summary.study)
    assert quality is not None
    test_part = replace(quality.parts["test"], by_class=())
    assert replace(quality, parts={**quality.parts, "test": test_part}) == prepared.data_quality
    assert quality.parts["test"].by_class == tuple(np.bincount(read_test_labels(prepared)))
    assert f"torch {torch.__version__.split('+')[0]}" in tags["harness.versions"]
    assert tags["harness.device"].startswith("CPU")
    assert tags["harness.git_commit"] == read_git_commit()
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"study.toml", "report.html", "test_readings.json"} <= files
    text = Path(client.download_artifacts(parent.info.run_id, "study.toml")).read_text()
    assert text == STUDY
    (dataset,) = parent.inputs.dataset_inputs
    assert dataset.dataset.name == "digits"
    assert result.test is not None
    assert parent.data.metrics["test/accuracy"] == pytest.approx(result.test.accuracy)
    assert parent.data.metrics["trials/complete"] == 6


@pytest.mark.slow
def test_the_champion_loads_without_harness_and_gives_the_logged_accuracy(
    folder: Path, result: StudyResult, digits_test: tuple[np.ndarray, np.ndarray]
) -> None:
    """In a fresh process that cannot import harness: pt2 is a graph, not our code."""
    images, labels = digits_test
    np.savez(folder / "test.npz", images=images, labels=labels)
    code = (
        "import sys; sys.modules['harness'] = None\n"
        "import mlflow, numpy as np, torch\n"
        f"mlflow.set_tracking_uri({Workspace(folder / 'mlruns').local_uri!r})\n"
        "model = mlflow.pytorch.load_model('models:/tiny@champion')\n"
        f"test = np.load({str(folder / 'test.npz')!r})\n"
        "batch = model(torch.from_numpy(test['images'])).argmax(1).numpy()\n"
        "one = model(torch.from_numpy(test['images'][:1])).argmax(1).numpy()\n"
        "assert one[0] == batch[0]\n"
        "print((batch == test['labels']).mean())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.test is not None
    assert float(done.stdout) == pytest.approx(result.test.accuracy, abs=1e-6)


@pytest.fixture(scope="module")
def digits_test(isolated: Path) -> tuple[np.ndarray, np.ndarray]:
    prepared = prepare("digits", validation=0.2, test=0.2, split_seed=0, normalize=True)
    part = open_test_set(prepared)
    return part.inputs.numpy(), part.labels.numpy()


def test_the_registered_model_has_tags_and_a_signature(
    client: MlflowClient, result: StudyResult
) -> None:
    version = client.get_model_version_by_alias("tiny", "champion")
    assert version.tags["harness.trial"] == str(result.champion.number)
    assert version.run_id == result.summary.study.run_id
    logged = client.get_logged_model(version.source.removeprefix("models:/"))
    assert logged.source_run_id == version.run_id
    info = mlflow.models.Model.load(logged.artifact_location.removeprefix("file://"))
    assert info.signature is not None
    assert info.signature.inputs.inputs[0].type == np.dtype(np.uint8)
    assert info.signature.inputs.inputs[0].shape == (-1, 8, 8)


def test_nothing_is_written_outside_the_folders_of_the_workspace(
    folder: Path, result: StudyResult
) -> None:
    names = {path.name for path in (folder / "mlruns").iterdir()}
    assert names == {"mlflow.db", "artifacts", "optuna", "reports", "test-sets"}
    assert not Path("mlflow.db").exists()


def test_a_server_that_does_not_answer_is_an_immediate_error(folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://me:canary@127.0.0.1:{port}"
    with pytest.raises(StoreError, match="no MLflow server answers at http://") as raised:
        Workspace(folder / "mlruns").open_tracker(address)
    assert "canary" not in str(raised.value)


def test_a_damaged_database_is_reported_and_not_changed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.database.write_bytes(b"not a database at all")
    with pytest.raises(StoreError, match=r"mlflow\.db is not an SQLite database"):
        workspace.open_tracker()
    assert workspace.database.read_bytes() == b"not a database at all"


def test_the_result_has_a_data_frame_and_a_champion(result: StudyResult) -> None:
    frame = result.trials
    assert list(frame.index) == list(range(6))
    assert {"state", "hidden", "learning_rate", "best_val_accuracy", "parameters"} <= set(frame)
    assert frame["best_val_accuracy"].max() == result.champion.best.val_accuracy  # type: ignore[union-attr]
    assert result.report is not None
    assert result.report.is_file()


def test_a_finished_study_does_nothing_and_more_trials_resume_it(
    folder: Path, result: StudyResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[str] = []

    class Listening(Silent):
        def message(self, text: str) -> None:
            messages.append(text)

    with monkeypatch.context() as patch:
        patch.setattr(Search, "ask", None)  # nothing may be asked
        patch.setattr(SealedTest, "open", None)  # nor the test set opened
        repeated = sweep(folder, progress=Listening())
    assert messages == ["tiny: 6 of 6 trials are done, nothing to train"]
    assert repeated.champion.uid == result.champion.uid
    assert repeated.test == result.test

    more = sweep(folder, trials=8, progress=Listening())
    assert messages[1].startswith("tiny: resuming after 6 of 8 trials")
    states = [run.state for run in more.summary.study.trials]
    assert states == ["COMPLETE"] * 8
    assert [run.spec for run in more.summary.study.trials[:6]] == [
        run.spec for run in result.summary.study.trials
    ]
    changed = more.champion.uid != result.champion.uid
    assert len(more.summary.study.readings) == 1 + changed


def test_a_changed_study_is_refused_and_fresh_starts_over(
    folder: Path, result: StudyResult
) -> None:
    with pytest.raises(StudyError, match=r"\[train\] epochs: 3 -> 2"):
        sweep(folder, overrides=["train.epochs=2"])
    fresh = sweep(folder, overrides=["train.epochs=2"], fresh=True, trials=2)
    assert len(fresh.summary.study.trials) == 2
    tracker = Workspace(folder / "mlruns").open_tracker()
    names = {study.name for study in tracker.list_studies()}
    assert len(names) == 2
    (aside,) = names - {"tiny"}
    old = tracker.read_study(aside)
    assert old is not None
    assert len(old.trials) >= 6


def test_a_batch_larger_than_the_data_is_refused_at_once(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"batch_size 5000 is more than the 1,149 training"):
        sweep(folder, overrides=["space.batch_size=[32,5000]"])


def test_train_is_recorded_separately_and_opens_the_test_set_only_on_request(
    folder: Path, result: StudyResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(
        folder / "tiny.toml",
        RunOptions(
            home=folder / "mlruns",
            device="cpu",
            overrides=["train.hidden=[16]", "study.name=single"],
        ),
    )
    with monkeypatch.context() as patch:
        patch.setattr(SealedTest, "open", None)
        untested = train_once(plan, test=False, watcher=Silent())
    tested = train_once(plan, test=True, watcher=Silent())
    assert untested.reading is None
    assert untested.result.weights == tested.result.weights
    assert tested.reading is not None
    client = MlflowClient(Workspace(folder / "mlruns").local_uri)
    experiment = client.get_experiment_by_name("single-train")
    assert experiment is not None
    latest, first = client.search_runs([experiment.experiment_id])
    study_run = client.get_run(result.summary.study.run_id)
    study_dataset = study_run.inputs.dataset_inputs[0].dataset
    for run in (latest, first):
        assert (run.data.tags["harness.kind"], run.info.status) == ("train", "FINISHED")
        assert run.data.params["hidden"] == "[16]"
        assert "harness.split_hash" in run.data.tags
        (dataset,) = run.inputs.dataset_inputs
        assert dataset.dataset.name == "digits"
        assert dataset.dataset.digest == study_dataset.digest, "as a study's"
    (log,) = (folder / "mlruns" / "test-sets").glob("*.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (trained,) = [
        line for line in lines if line.get("study") == "single-train" and "trained" in line
    ]
    (opened,) = [line for line in lines if line.get("study") == "single-train" and "opened" in line]
    assert trained["training"] == opened["training"], "what it was trained on"
    assert trained["trained"] == first.data.tags["harness.uid"]
    assert "test/accuracy" not in first.data.metrics
    assert math.isclose(latest.data.metrics["test/accuracy"], tested.reading.accuracy)


def test_studies_and_report_read_the_record(folder: Path, result: StudyResult) -> None:
    workspace = Workspace(folder / "mlruns")
    rows = {row["name"]: row for row in list_studies(workspace, None, pytest.fail)}
    assert rows["tiny"]["dataset"] == "digits"
    assert rows["tiny"]["test"] is not None
    assert not any(name.endswith("-train") for name in rows)
    lines = format_studies(list(rows.values())).splitlines()
    assert len(lines) == 1 + len(rows)
    assert lines[0].split() == ["study", "trials", "best", "test", "when"]
    page = workspace.report_path("tiny", workspace.local_uri)
    page.unlink()
    assert write_study_page(workspace, "tiny", None) == page
    assert "Leaderboard" in page.read_text()
    with pytest.raises(StudyError, match=r"no study 'tinny' on record; did you mean 'tiny'\?"):
        write_study_page(workspace, "tinny", None)


@pytest.mark.parametrize("workers", [0, 2])
def test_settings_that_cannot_be_trained_are_refused_before_anything_is_written(
    folder: Path, tmp_path: Path, workers: int
) -> None:
    with pytest.raises(ConfigError, match="batch_size: BatchNorm needs at least 2 examples"):
        run_study(
            folder / "tiny.toml",
            home=tmp_path / "mlruns",
            device="cpu",
            trials=2,
            workers=workers,
            overrides=["train.batch_size=1"],
        )
    assert not list(tmp_path.iterdir())


def test_a_space_with_fewer_settings_than_trials_is_reported(folder: Path, tmp_path: Path) -> None:
    messages: list[str] = []

    class Watcher(Silent):
        def message(self, text: str) -> None:
            messages.append(text)

    (tmp_path / "few.toml").write_text(
        '[study]\ntrials = 8\n[data]\nname = "digits"\n[train]\nepochs = 1\nhidden = [8]\n'
        "[space]\nbatch_size = [32, 64]\n"
    )
    result = run_study(
        tmp_path / "few.toml", home=tmp_path / "mlruns", device="cpu", workers=0, confirm=False,
        progress=Watcher(),
    )  # fmt: skip
    assert (
        "few: [space] has only 2 different settings, not 8; no setting is trained twice" in messages
    )
    assert len(result.trials) == 2
