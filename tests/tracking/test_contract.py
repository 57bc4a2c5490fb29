"""The contract of `harness.tracking.base.Tracker`, for every implementation."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from mlflow import MlflowClient

from harness.errors import Refused, StoreError
from harness.results import EpochMetrics, TrialFailure, TrialResult
from harness.tracking.base import Tracker
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.mlflow.local_tracker import LocalTracker
from harness.tracking.mlflow.tracker import MlflowTracker
from harness.tracking.outbox import OutboxTracker
from harness.tracking.predictions import Predictions
from harness.tracking.test_reading import TestReading
from harness.tracking.types import RANK_METRIC, StudyRecord, StudyRun
from harness.trial import Trial, TrialSpec

RECORD = StudyRecord(
    name="shirts & <b>ties</b>",
    uid="abc123",
    text="[study]\n",
    definition={"study": {"objective": "val/accuracy"}},
    facts={"device": "CPU, 2 cores", "split": "f00"},
    dataset="fashion-mnist",
    dataset_digest="d1",
    dataset_source="somewhere",
    sizes={"train": 54000, "validation": 6000, "test": 10000},
    classes=("T-shirt/top", "Trouser", "never seen"),
    validation_labels=b"\0\0",
)
READING = TestReading(
    selection="cafe", number=1, time=1.7e9, loss=0.4, confusion=((8, 2, 0), (1, 9, 0), (0, 0, 0))
)


def make_memory(_: Path) -> Callable[[], Tracker]:
    tracker = InMemoryTracker()
    return lambda: tracker


def make_sqlite(folder: Path) -> Callable[[], Tracker]:
    """Every call opens the store again, as another process would."""
    return lambda: MlflowTracker(f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts")


def make_local(folder: Path) -> Callable[[], Tracker]:
    """MLflow writes, and what it wrote is read without it."""
    uri, artifacts = f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts"
    MlflowTracker(uri, artifacts)
    return lambda: cast("Tracker", LocalTracker(uri, folder / "mlflow.db", artifacts))


def make_outbox(folder: Path) -> Callable[[], Tracker]:
    """One driver's outbox, whose reads wait for its writes; a new one after an error."""
    connect, last = make_sqlite(folder), list[OutboxTracker]()

    def reopen() -> Tracker:
        if last and last[0].error is not None:
            with suppress(StoreError):
                last.pop().__exit__(None, None, None)
            (folder / "spool" / "outbox.spool").unlink()
        if not last:
            last.append(OutboxTracker(folder / "spool", "outbox", connect))
        return last[0]

    return reopen


@pytest.fixture(
    scope="module",
    params=[make_memory, make_sqlite, make_local, make_outbox],
    ids=["memory", "mlflow-sqlite", "local", "outbox"],
)
def reopen(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Tracker]:
    factory: Callable[[], Tracker] = request.param(tmp_path_factory.mktemp("store"))
    return factory


def epoch(number: int, accuracy: float = 0.5) -> EpochMetrics:
    return EpochMetrics(
        epoch=number,
        train_loss=1.0 / number,
        train_accuracy=accuracy,
        penalty=0.25,
        val_loss=1.5 / number,
        val_accuracy=accuracy,
        learning_rate=1e-3,
        seconds=0.5,
        time=1.7e9 + number,
    )


def trial(number: int, study: str = "abc123") -> Trial:
    spec = TrialSpec(hidden=(32, 16), learning_rate=0.0123456789, seed=3)
    return Trial(number=number, uid=f"{study}/{number}", spec=spec)


def result(best: EpochMetrics) -> TrialResult:
    return TrialResult(
        best=best,
        epochs=2,
        stopped="finished",
        parameters=1234,
        seconds=1.0,
        confusion=((3, 1, 0), (2, 2, 0), (0, 0, 0)),
        predictions=b"\0\1",
        weights=b"weights",
    )


def test_a_study_reads_back_as_it_was_written(reopen: Callable[[], Tracker]) -> None:
    tracker = reopen()
    assert tracker.read_study(RECORD.name) is None
    tracker.open_study(RECORD)

    complete, pruned, failed, broken = (trial(number) for number in range(4))
    curve = (epoch(1, 0.5), epoch(2, 0.625))
    tracker.start_trial(complete)
    tracker.log_epochs(complete.uid, curve[:1])
    tracker.log_epochs(complete.uid, curve[1:])
    tracker.finish_trial(
        complete, "COMPLETE", worker="worker 1", epochs=curve, outcome=result(curve[1])
    )
    tracker.start_trial(pruned)
    tracker.log_epochs(pruned.uid, curve[:1])
    tracker.finish_trial(pruned, "PRUNED", epochs=curve[:1], outcome=result(curve[0]))
    tracker.start_trial(failed)
    tracker.finish_trial(
        failed, "FAILED", outcome=TrialFailure(reason="diverged"), reason="diverged"
    )
    tracker.finish_trial(
        broken, "INTERRUPTED", reason="the driver died", successor=4
    )  # never started

    study = reopen().read_study(RECORD.name)
    assert study is not None
    assert study.classes == RECORD.classes
    assert study.definition == RECORD.definition
    assert study.facts["device"] == "CPU, 2 cores"
    states = [(run.number, run.state, run.reason) for run in study.trials]
    assert states == [
        (0, "COMPLETE", ""),
        (1, "PRUNED", ""),
        (2, "FAILED", "diverged"),
        (3, "INTERRUPTED", "the driver died"),
    ]
    first = study.trials[0]
    assert first.spec == complete.spec
    assert first.epochs == curve
    assert first.best == curve[1]
    assert (first.worker, first.parameters) == ("worker 1", 1234)
    assert first.class_accuracy[:2] == (0.75, 0.5)
    assert math.isnan(first.class_accuracy[2])
    assert [run.number for run in study.rank_trials()] == [0]
    assert first.ended is not None
    (listed,) = reopen().list_studies()
    assert listed.uid == "abc123"
    assert [run.number for run in listed.trials] == [0, 1, 2, 3], "ties go to the earlier trial"


def test_one_run_is_read_with_its_study(reopen: Callable[[], Tracker]) -> None:
    tracker = reopen()
    tracker.open_study(RECORD)
    mine, other = trial(30), trial(31)
    for each in (mine, other):
        tracker.start_trial(each)
        curve = (epoch(1, 0.5),)
        tracker.finish_trial(each, "COMPLETE", epochs=curve, outcome=result(curve[0]))
    study = read_record(reopen)
    whole = reopen().read_run(study.run_id)
    assert whole is not None
    assert len(whole.trials) == len(study.trials) > 1
    (run,) = (run for run in study.trials if run.number == 31)
    alone = reopen().read_run(run.run_id)
    assert alone is not None
    assert (alone.name, alone.run_id, alone.facts) == (study.name, study.run_id, study.facts)
    assert alone.trials == (run,)
    assert reopen().read_run("0" * 32) is None


def test_confirmation_runs_are_read_apart_from_the_trials(reopen: Callable[[], Tracker]) -> None:
    record = replace(RECORD, name="confirmed", uid="confirmed", facts={"confirm": "yes"})
    tracker = reopen()
    tracker.open_study(record)
    original = trial(7, "confirmed")
    curve = (epoch(1, 0.5),)
    tracker.start_trial(original)
    tracker.finish_trial(original, "COMPLETE", epochs=curve, outcome=result(curve[0]))
    uid = "confirmed/confirm/7.4"
    again = Trial(number=0, uid=uid, spec=replace(original.spec, seed=4), confirms=7)
    tracker.start_trial(again)
    tracker.log_epochs(uid, curve)
    tracker.finish_trial(again, "COMPLETE", epochs=curve, outcome=result(curve[0]), keep=True)
    assert tracker.load_weights(uid) == b"weights"
    reading = replace(READING, number=7, run=uid, look=2)
    tracker.log_test("confirmed", reading)
    study = reopen().read_study("confirmed")
    assert study is not None
    assert [run.number for run in study.trials] == [7]
    (run,) = study.confirmation_runs
    assert (run.uid, run.number, run.spec, run.state) == (uid, 7, again.spec, "COMPLETE")
    assert run.epochs == curve
    assert study.find_reading(run) == reading
    assert study.find_reading(study.trials[0]) is None
    alone = reopen().read_run(run.run_id)
    assert alone is not None
    assert (alone.uid, alone.trials, alone.confirmation_runs) == ("confirmed", (), (run,))
    (listed,) = (each for each in reopen().list_studies() if each.uid == "confirmed")
    assert [each.uid for each in listed.confirmation_runs] == [uid]
    if isinstance(tracker, MlflowTracker):
        metrics = MlflowClient(tracker._store.uri).get_run(run.run_id).data.metrics
        assert metrics["test/accuracy"] == reading.accuracy


def test_the_end_of_a_study_records_metrics_of_trials(reopen: Callable[[], Tracker]) -> None:
    record = replace(RECORD, name="ranked", uid="ranked")
    tracker, curve = reopen(), (epoch(1, 0.5),)
    tracker.open_study(record)
    for number in (0, 1):
        tracker.start_trial(trial(number, "ranked"))
        tracker.finish_trial(
            trial(number, "ranked"), "COMPLETE", epochs=curve, outcome=result(curve[0])
        )
    for ranks in ((1, 2), (2, 1), (2, 1)):
        metrics = {f"ranked/{number}": {RANK_METRIC: rank} for number, rank in enumerate(ranks)}
        tracker.close_study("ranked", "COMPLETE", trial_metrics=metrics)
        study = reopen().read_study("ranked")
        assert study is not None
        assert tuple(run.metrics[RANK_METRIC] for run in study.trials) == ranks
        assert study.trials[0].metrics["best/val_accuracy"] == 0.5
    if isinstance(tracker, MlflowTracker):
        client = MlflowClient(tracker._store.uri)
        assert read_view(client, study.experiment_id)["orderByKey"] == f"metrics.`{RANK_METRIC}`"
        tracker.open_study(replace(record, continued=True))
        view = read_view(client, study.experiment_id)
        assert view["orderByKey"] == "metrics.`best/val_accuracy`", "new trials have no rank"


def read_view(client: MlflowClient, experiment_id: str) -> dict[str, Any]:
    tags = client.get_experiment(experiment_id).tags
    view: dict[str, Any] = json.loads(tags["mlflow.sharedViewState.harness"])
    return view


def test_predictions_are_kept_with_the_true_classes(reopen: Callable[[], Tracker]) -> None:
    tracker = reopen()
    tracker.open_study(RECORD)
    curve, mine = (epoch(1, 0.5),), trial(40)
    tracker.start_trial(mine)
    tracker.finish_trial(mine, "COMPLETE", epochs=curve, outcome=result(curve[0]))
    (run,) = (run for run in read_record(reopen).trials if run.number == 40)
    content = reopen().read_file(run.run_id, "predictions.npy")
    assert content is not None
    assert Predictions.from_bytes(content) == Predictions(true=b"\0\0", predicted=b"\0\1")


def test_a_file_of_a_run_is_read_back_and_replaced(reopen: Callable[[], Tracker]) -> None:
    tracker = reopen()
    tracker.open_study(RECORD)
    run_id = read_record(reopen).run_id
    assert reopen().read_file(run_id, "notes.json") is None
    for content in (b"old", b"new"):
        tracker.log_file(RECORD.uid, "notes.json", content)
    assert reopen().read_file(run_id, "notes.json") == b"new"


def test_a_file_of_many_runs_is_read_at_once(reopen: Callable[[], Tracker]) -> None:
    tracker = reopen()
    tracker.open_study(RECORD)
    curve = (epoch(1, 0.5),)
    for number in (50, 51, 52):
        tracker.start_trial(trial(number))
        tracker.finish_trial(trial(number), "COMPLETE", epochs=curve, outcome=result(curve[0]))
    for number in (50, 52):
        tracker.log_file(trial(number).uid, "notes.json", bytes([number]))
    study = read_record(reopen)
    ids = {run.number: run.run_id for run in study.trials}
    run_ids = [ids[number] for number in (52, 51, 50)]
    files = reopen().read_files(run_ids, "notes.json")
    assert list(files.items()) == [(ids[52], b"4"), (ids[50], b"2")], "ordered, without 51"
    assert reopen().read_files([], "notes.json") == {}


def test_a_run_of_train_reads_as_a_study_of_one_trial(reopen: Callable[[], Tracker]) -> None:
    tracker = reopen()
    tracker.open_study(replace(RECORD, name="alone-train", uid="t", kind="train"))
    only = trial(0, "t")
    tracker.start_trial(only)
    curve = (epoch(1, 0.5),)
    tracker.finish_trial(only, "COMPLETE", epochs=curve, outcome=result(curve[0]))
    if isinstance(tracker, MlflowTracker):
        run_id = (
            MlflowClient(tracker._store.uri)
            .search_runs([reopen().list_experiments()["alone-train"]])[0]
            .info.run_id
        )
        study = reopen().read_run(run_id)
        assert study is not None
        assert (study.name, study.classes) == ("alone-train", RECORD.classes)
        assert study.facts == RECORD.facts
        assert [run.epochs for run in study.trials] == [curve]


def test_weights_are_kept_until_others_displace_them(reopen: Callable[[], Tracker]) -> None:
    tracker = reopen()
    tracker.open_study(RECORD)
    first, second, third = trial(20), trial(21), trial(22)
    curve = (epoch(1),)
    outcomes = [replace(result(curve[0]), weights=f"of {number}".encode()) for number in range(3)]
    tracker.finish_trial(first, "COMPLETE", epochs=curve, outcome=outcomes[0], keep=True)
    tracker.finish_trial(second, "COMPLETE", epochs=curve, outcome=outcomes[1], keep=False)
    assert tracker.load_weights(first.uid) == b"of 0"
    with pytest.raises(StoreError):
        tracker.load_weights(second.uid)
    for _ in range(2):  # a write may be repeated
        tracker.finish_trial(
            third, "COMPLETE", epochs=curve, outcome=outcomes[2], keep=True, displaced=first.uid
        )
    assert tracker.load_weights(third.uid) == b"of 2"
    with pytest.raises(StoreError):
        tracker.load_weights(first.uid)


def test_repeated_writes_are_recorded_once(reopen: Callable[[], Tracker]) -> None:
    tracker = reopen()
    again = replace(RECORD, name="twice", uid="twice")
    reading = replace(READING, number=30)
    only = trial(30, "twice")
    curve = (epoch(1), epoch(2))
    for _ in range(2):
        tracker.open_study(again, at=1.7e9)
        tracker.start_trial(only, at=1.7e9)
        tracker.log_epochs(only.uid, curve)
        tracker.finish_trial(only, "COMPLETE", epochs=curve, outcome=result(curve[0]), at=1.7e9 + 9)
        tracker.log_test(again.uid, reading)
        tracker.close_study(
            again.uid, "COMPLETE", metrics={"best/val_accuracy": 0.5}, at=1.7e9 + 10
        )
    study = reopen().read_study("twice")
    assert study is not None
    assert [(run.number, run.epochs, run.started) for run in study.trials] == [(30, curve, 1.7e9)]
    assert study.readings == (reading,)
    if isinstance(tracker, MlflowTracker):
        client = MlflowClient(tracker._store.uri)
        (run,) = (run for run in study.trials)
        for key in ("val/loss", "best/val_accuracy", "test/accuracy"):
            points = client.get_metric_history(run.run_id, key)
            assert len(points) == (2 if key == "val/loss" else 1), key
        assert (run.started, run.ended) == (1.7e9, 1.7e9 + 9)
        tags = client.get_run(run.run_id).data.tags
        files = {file.path for file in client.list_artifacts(run.run_id)}
        assert files == {"trial.json", "confusion.csv", "predictions.npy"}
        for name in files:
            content = tracker.read_file(run.run_id, name)
            assert content is not None
            assert tags[f"harness.sha256.{name}"] == hashlib.sha256(content).hexdigest()


def test_every_test_set_result_is_kept(reopen: Callable[[], Tracker]) -> None:
    tracker = reopen()
    tracker.open_study(RECORD)
    tracker.start_trial(trial(READING.number))
    tracker.log_test(RECORD.uid, READING)
    again = replace(READING, selection="beef", time=1.7e9 + 60)
    tracker.log_test(RECORD.uid, again)
    study = read_record(reopen)
    assert study.readings == (READING, again)
    assert study.test_set_openings == 2
    assert study.readings[0].accuracy == 17 / 20


def test_a_replay_is_recorded_on_the_trials_run(reopen: Callable[[], Tracker]) -> None:
    tracker = reopen()
    tracker.open_study(replace(RECORD, facts=RECORD.facts | {"slots": "1", "cpu": "a fast one"}))
    mine, curve = trial(70), (epoch(1, 0.5),)
    tracker.start_trial(mine)
    tracker.finish_trial(mine, "COMPLETE", epochs=curve, outcome=result(curve[0]))
    (run,) = (run for run in read_record(reopen).trials if run.uid == mine.uid)
    assert run.environment == {"device": "CPU, 2 cores", "slots": "1", "cpu": "a fast one"}
    assert run.replay == ""
    replays = ("differs", 0.5, 1.8e9), ("bitwise", 0.0, 1.8e9 - 86_400)  # the clock was set back
    for outcome, off, at in replays:
        for _ in range(2):  # each is written twice
            reopen().log_replay(run.run_id, outcome, {"replay/val_loss_difference": off}, at=at)
        (again,) = (run for run in read_record(reopen).trials if run.uid == mine.uid)
        assert again.replay == outcome
    assert again == replace(
        run, replay="bitwise", metrics={**run.metrics, "replay/val_loss_difference": 0.0}
    )


def test_an_unknown_trial_is_an_error(reopen: Callable[[], Tracker]) -> None:
    tracker = reopen()
    tracker.open_study(RECORD)

    if isinstance(tracker, OutboxTracker):
        tracker.log_epochs("abc123/999", [epoch(1)])
        tracker.read_study(RECORD.name)
        assert tracker.refused is not None
        assert "abc123/999" in tracker.refused.reason
        return
    with pytest.raises(Refused, match="abc123/999"):
        tracker.log_epochs("abc123/999", [epoch(1)])


@pytest.mark.parametrize("reopen", [make_sqlite], indirect=True, ids=["mlflow-sqlite"])
def test_the_last_value_counts_though_the_clock_was_set_back(reopen: Callable[[], Tracker]) -> None:
    """Only MLflow orders values by their time."""
    tracker = reopen()
    assert isinstance(tracker, MlflowTracker)
    record = replace(RECORD, name="set back", uid="setback")
    counts = [{"trials/complete": 2.0}, {"trials/complete": 4.0}, {"trials/complete": 3.0}]
    for days, metrics in enumerate(counts):
        for _ in range(2):  # each is written twice
            tracker.open_study(record)
            tracker.close_study(record.uid, "COMPLETE", metrics=metrics, at=1.8e9 - 86_400 * days)
        client, run_id = tracker._store.client, tracker.find_run_id(record.uid)
        assert client.get_run(run_id).data.metrics == metrics


def test_a_study_set_aside_stays_readable_under_another_name(
    reopen: Callable[[], Tracker],
) -> None:
    tracker = reopen()
    old = replace(RECORD, name="again", uid="old")
    tracker.open_study(old)
    tracker.start_trial(trial(0, "old"))
    new = replace(RECORD, name="again", uid="new", set_aside="20260101-120000")
    reopen().open_study(new)
    fresh, kept = reopen().read_study("again"), reopen().read_study("again.20260101-120000")
    assert fresh is not None
    assert kept is not None
    assert (fresh.uid, len(fresh.trials)) == ("new", 0)
    assert (kept.uid, len(kept.trials)) == ("old", 1)
    reopen().open_study(new)  # repeated after a lost response: nothing else is set aside
    again = reopen().read_study("again.20260101-120000")
    assert again is not None
    assert again.uid == "old"


def read_record(reopen: Callable[[], Tracker]) -> StudyRun:
    study = reopen().read_study(RECORD.name)
    assert study is not None
    return study


def test_a_regression_reads_back_as_it_was_written(reopen: Callable[[], Tracker]) -> None:
    record = replace(
        RECORD,
        name="prices",
        uid="def456",
        definition={
            "study": {"objective": "val/rmse"},
            "data": {"task": "regression", "target": "price"},
        },
        classes=(),
        validation_labels=np.array([1.5, 2e5], np.float32).tobytes(),
    )
    tracker = reopen()
    tracker.open_study(record)
    best = EpochMetrics(
        epoch=1,
        train_loss=0.5,
        penalty=0.0,
        val_loss=0.25,
        learning_rate=1e-3,
        seconds=0.5,
        time=1.7e9,
        train_rmse=20_000.5,
        val_rmse=15_000.25,
        val_mae=9_000.125,
        val_r2=-0.5,
    )
    predicted = np.array([3.25, 1.75e5], np.float32).tobytes()
    outcome = replace(result(best), confusion=(), predictions=predicted, interval=(1e4, 2e4))
    tracker.start_trial(trial(0, "def456"))
    tracker.log_epochs("def456/0", [best])
    tracker.finish_trial(trial(0, "def456"), "COMPLETE", epochs=[best], outcome=outcome)
    reading = TestReading(
        selection="cafe",
        number=0,
        time=1.7e9,
        loss=0.3,
        confusion=(),
        rmse=16_000.5,
        mae=9_500.0,
        r2=0.75,
        interval=(1.5e4, 1.75e4),
        foretold=2,
    )
    tracker.log_test("def456", reading)

    study = reopen().read_study("prices")
    assert study is not None
    (run,) = study.trials
    assert (study.score.full_name, study.readings) == ("RMSE of price", (reading,))
    assert (run.best, run.interval, run.confusion) == (best, (1e4, 2e4), ())
    assert (run.score, run.objective_value("val/rmse")) == (15_000.25, 15_000.25)
    assert not [name for name in run.metrics if "accuracy" in name]
    content = reopen().read_file(run.run_id, "predictions.npy")
    assert content is not None
    kept = Predictions.from_bytes(content)
    assert kept is not None
    np.testing.assert_array_equal(kept.to_array(), [[1.5, 2e5], [3.25, 1.75e5]])
