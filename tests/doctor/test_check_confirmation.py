"""Violations planted in confirmation runs: each reported, and repaired where possible."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow.entities import Run

from harness.api.run import run_study
from harness.tracking.epoch_predictions import EPOCH_PREDICTIONS_FILE
from harness.tracking.types import SPLIT_TAG
from tests.doctor.example_study import Record, copy_record

pytestmark = pytest.mark.slow
STUDY = """
[study]
trials = 2
sampler = "random"
pruner = "none"
[confirm]
top = 2
seeds = 2
[data]
name = "digits"
validation = 0.2
[train]
epochs = 2
[space]
learning_rate = { low = 1e-3, high = 1e-1, log = true }
"""


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory, isolated: Path) -> Path:
    folder = tmp_path_factory.mktemp("confirmed")
    (folder / "tiny.toml").write_text(STUDY)
    run_study(folder / "tiny.toml", home=folder / "mlruns", device="cpu", workers=0)
    return folder / "mlruns"


@pytest.fixture
def record(confirmed: Path, tmp_path: Path) -> Record:
    return Record(copy_record(confirmed, tmp_path / "mlruns"))


def again(record: Record, number: int, seed: int) -> Run:
    (run,) = record.runs(f"{record.journal.uid}/confirm/{number}.{seed}")
    return run


def test_it_is_healthy_as_it_is(record: Record) -> None:
    record.expect_findings()


def test_1_two_runs_and_a_wrong_state(record: Record) -> None:
    first = again(record, 0, 1)
    tags = {key: value for key, value in first.data.tags.items() if key.startswith("harness.")}
    twin = record.client.create_run(first.info.experiment_id, tags=tags)
    record.client.set_terminated(twin.info.run_id, "FINISHED")
    record.client.set_terminated(again(record, 1, 2).info.run_id, "KILLED")
    record.expect_findings(
        (1, f"confirm 0.1: it has run {twin.info.run_id} beside {first.info.run_id}; --repair"),
        (1, "confirm 1.2: its run is KILLED in MLflow, and its state is COMPLETE"),
    )
    record.expect_repaired()
    assert again(record, 0, 1).info.run_id == first.info.run_id
    assert again(record, 1, 2).info.status == "FINISHED"


def test_1_a_run_that_was_deleted(record: Record) -> None:
    run_id = again(record, 0, 1).info.run_id
    record.client.delete_run(run_id)
    problem = f"confirm 0.1: its run {run_id} was deleted; --repair restores it"
    findings = [(each.invariant, str(each)) for each in record.check_study().findings]
    assert (1, problem) in findings
    record.expect_repaired()


def test_2_points_that_are_missing(record: Record) -> None:
    record.lose_points(again(record, 0, 2), "val/loss", "step = 2")
    record.expect_findings((2, "confirm 0.2: val/loss lacks epoch 2; --repair logs them"))
    record.expect_repaired()


def test_3_what_a_dead_driver_left_running(record: Record) -> None:
    run_id = again(record, 1, 1).info.run_id
    record.client.set_tag(run_id, "harness.state", "RUNNING")
    record.client.update_run(run_id, status="RUNNING")
    findings = [str(each) for each in record.check_study().findings]
    assert any(f"confirm 1.1: its run {run_id} is RUNNING; --repair" in each for each in findings)
    done = record.check_study(repair=True)
    assert not done.failed
    closed = again(record, 1, 1)
    assert (closed.info.status, closed.data.tags["harness.state"]) == ("KILLED", "INTERRUPTED")


def test_5_settings_of_another_trial(record: Record) -> None:
    run = again(record, 0, 1)
    spec = json.loads(run.data.tags["harness.spec"])
    text = json.dumps(spec | {"learning_rate": 0.5})
    record.client.set_tag(run.info.run_id, "harness.spec", text)
    record.expect_findings(
        (5, "confirm 0.1: does not have the settings of trial 0 with a new seed")
    )
    record.client.set_tag(run.info.run_id, "harness.spec", json.dumps(spec | {"seed": 0}))
    record.expect_findings(
        (5, "confirm 0.1: does not have the settings of trial 0 with a new seed")
    )


def test_5_and_6_another_one_has_the_best_mean(record: Record) -> None:
    """The model, the selection and the reading are those of who led before."""
    study = record.workspace.open_tracker(None, reading=True).read_study("tiny")
    assert study is not None
    (reading,) = study.readings
    other = 1 - reading.number
    for seed in (1, 2):
        run_id = again(record, other, seed).info.run_id
        record.client.log_metric(run_id, "best/val_accuracy", 1.0, step=1)
    findings = [str(each) for each in record.check_study().findings]
    assert any(f"no version of the model 'tiny' is trial {other}, the best" in e for e in findings)
    assert any(f"and the best of its candidates is trial {other}" in e for e in findings)
    assert any(
        f"trial {other}: the study finished without reading the test set for it" in e
        for e in findings
    )


def test_6_on_one_split_the_best_seed_is_the_model(record: Record) -> None:
    """As version 0.1.0 chose it: here the model is that of the search."""
    study = record.workspace.open_tracker(None, reading=True).read_study("tiny")
    assert study is not None
    (reading,) = study.readings
    for run in (again(record, number, seed) for number in (0, 1) for seed in (1, 2)):
        record.client.delete_tag(run.info.run_id, SPLIT_TAG)
    run_id = again(record, reading.number, 2).info.run_id
    record.client.log_metric(run_id, "best/val_accuracy", 1.0, step=1)
    findings = [str(each) for each in record.check_study().findings]
    uid = f"{record.journal.uid}/confirm/{reading.number}.2"
    assert any(
        f"kept the model of {reading.run}, and the best is {uid}" in each for each in findings
    )
    assert any("names another run than the model's of trial" in each for each in findings)


def test_5_what_a_run_on_a_new_split_needs(record: Record) -> None:
    missing, damaged, unnumbered = (again(record, *each) for each in ((0, 1), (0, 2), (1, 1)))
    record.file(missing, EPOCH_PREDICTIONS_FILE).unlink()
    record.file(damaged, EPOCH_PREDICTIONS_FILE).write_bytes(b"PK")
    record.client.set_tag(unnumbered.info.run_id, SPLIT_TAG, "two")
    messages = [str(each) for each in record.check_study().findings]
    for expected in (
        f"confirm 0.1: it has no {EPOCH_PREDICTIONS_FILE}, so the champion's score cannot be",
        f"confirm 0.2: {EPOCH_PREDICTIONS_FILE} of a run cannot be read",
        f"confirm 1.1: its tag {SPLIT_TAG} is not a number",
    ):
        assert any(message.startswith(expected) for message in messages), messages


def test_6_figures_on_the_test_set(record: Record) -> None:
    study = record.workspace.open_tracker(None, reading=True).read_study("tiny")
    assert study is not None
    (reading,) = study.readings
    (run,) = record.runs(reading.run)
    record.lose_points(run, "test/accuracy")
    record.sql(
        "DELETE FROM latest_metrics WHERE run_uuid = ? AND key = 'test/accuracy'", run.info.run_id
    )
    record.expect_findings(
        (6, f"reading of trial {reading.number}: the trial's run lacks test/acc")
    )
    record.expect_repaired()


def test_confirmation_runs_that_cannot_be_read(record: Record) -> None:
    first, second, third, fourth = (again(record, n, seed) for n in (0, 1) for seed in (1, 2))
    record.file(first, "trial.json").unlink()
    record.client.set_tag(second.info.run_id, "harness.spec", '{"hidden": ')
    record.client.set_tag(third.info.run_id, "harness.number", "77")
    record.client.set_tag(fourth.info.run_id, "harness.state", "FAILED")
    record.client.set_terminated(fourth.info.run_id, "FAILED")
    messages = [str(each) for each in record.check_study().findings]
    for expected in (
        "confirm 0.1: it is complete, but its trial.json cannot be read",
        "confirm 0.2: its settings cannot be read",
        "confirm 1.1: confirms trial 77, which the journal does not have",
        "confirm 1.2: it failed without a recorded reason",
    ):
        assert expected in messages, messages
