"""Violations of each invariant, planted in a real record: reported, and repaired where possible."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.parse
from pathlib import Path

import optuna
import pytest
from mlflow.entities import Metric, ViewType
from optuna.storages.journal import JournalFileBackend

from harness.checks.report import check_studies
from harness.errors import StoreError
from harness.reports.live_page import write_study_page
from harness.tracking.outbox.messages import StartTrial
from harness.tracking.outbox.queue import Outbox
from harness.trial import Trial, TrialSpec
from tests.doctor.example_study import CHAMPION, COMPLETE, FAILED, INTERRUPTED, PRUNED, Record

pytestmark = pytest.mark.slow


def test_1_runs_that_do_not_agree_with_the_journal(record: Record) -> None:
    client, run = record.client, record.run
    client.delete_run(run(COMPLETE).info.run_id)
    client.set_tag(run(FAILED).info.run_id, "harness.state", "COMPLETE")
    client.delete_tag(run(FAILED).info.run_id, "harness.reason")
    client.set_tag(run(INTERRUPTED).info.run_id, "harness.successor", "9")
    client.set_terminated(run(2).info.run_id, "FINISHED")
    twin = client.create_run(run(3).info.experiment_id, tags=run(3).data.tags)
    client.set_terminated(record.study_run.info.run_id, "FAILED")
    record.expect_findings(
        (1, "trial 0: its run .* was deleted; --repair restores it"),
        (1, "trial 8: its run's state is COMPLETE, the journal's FAILED"),
        (1, "trial 8: its run's reason is not recorded, the journal's diverged"),
        (1, "trial 1: its run's successor is 9, the journal's 6"),
        (1, "trial 2: its run is FINISHED in MLflow, and INTERRUPTED means KILLED"),
        (1, f"trial 3: it has run {twin.info.run_id} beside"),
        (1, "the study: its run is FAILED in MLflow, and COMPLETE means FINISHED"),
    )
    record.expect_repaired()
    assert run(COMPLETE).info.lifecycle_stage == "active"
    assert run(FAILED).data.tags["harness.reason"].startswith("diverged")
    assert run(2).info.status == "KILLED"
    assert len(record.runs(record.journal.trial_uid(3), ViewType.ALL)) == 2


def test_1_runs_that_were_purged(record: Record) -> None:
    before = record.run(COMPLETE).data.params
    for number in (FAILED, PRUNED, COMPLETE):
        record.sql("DELETE FROM tags WHERE run_uuid = ?", record.run(number).info.run_id)
    again = "it has no run; --repair creates it again"
    record.expect_findings(
        (1, f"trial 0: {again}"), (1, f"trial 7: {again}"), (1, f"trial 8: {again}")
    )
    record.expect_repaired()
    assert record.run(FAILED).data.tags["harness.reason"].startswith("diverged")
    process = record.run(COMPLETE)
    value = record.journal.trials[COMPLETE].value
    assert process.data.metrics["best/val_accuracy"] == value
    assert process.data.params == before
    history = record.client.get_metric_history(process.info.run_id, "val/accuracy")
    assert [point.step for point in history] == [1, 2, 3]
    write_study_page(record.workspace, "tiny", None)  # reports read what was made


def test_1_an_experiment_that_was_deleted(record: Record) -> None:
    record.client.delete_experiment(record.study_run.info.experiment_id)
    record.expect_findings((1, "tiny: its experiment was deleted in MLflow; --repair restores"))
    record.expect_repaired()


def test_1_what_only_a_backup_can_restore(record: Record) -> None:
    run = record.run(2)
    record.client.set_tag(run.info.run_id, "harness.uid", f"{record.journal.uid}/99")
    record.expect_findings(
        (1, f"run {run.info.run_id}: belongs to trial 99, which the journal does not have"),
        (1, "trial 2: it has no run"),
    )
    record.journal_path.unlink()
    (findings,) = check_studies(record.workspace, "tiny").studies
    assert [str(each) for each in findings.findings] == [
        "tiny: it has runs but no journal; restore mlruns/optuna from a backup, or start over with "
        "--fresh"
    ]


def test_2_points_that_are_missing(record: Record) -> None:
    record.lose_points(record.run(COMPLETE), "val/loss", "step = 2")
    record.lose_points(record.run(CHAMPION), "train/loss")
    record.lose_points(record.run(INTERRUPTED), "cost/epoch_seconds")
    record.expect_findings(
        (2, "trial 0: val/loss lacks epoch 2; --repair logs them from trial.json"),
        (2, "trial 6: train/loss lacks epochs 1, 2, 3"),
        (2, "trial 1: cost/epoch_seconds lacks epoch 1"),
    )
    before = record.client.get_metric_history(record.run(COMPLETE).info.run_id, "val/accuracy")
    record.expect_repaired()
    after = record.client.get_metric_history(record.run(COMPLETE).info.run_id, "val/loss")
    assert [(point.step, point.timestamp) for point in after] == [
        (point.step, point.timestamp) for point in before
    ]


def test_2_points_that_cannot_be_deleted(record: Record) -> None:
    run_id = record.run(COMPLETE).info.run_id
    record.client.log_batch(run_id, [Metric("val/loss", 9.5, 1, 2), Metric("train/loss", 1, 1, 7)])
    record.sql(
        "UPDATE metrics SET value = 0.5 WHERE run_uuid = ? AND key = 'val/accuracy' AND step = 1",
        record.run(PRUNED).info.run_id,
    )
    record.expect_findings(
        (
            2,
            r"trial 0: val/loss has epoch 2 twice \(.* and 9.5|9.5 and .*\); MLflow cannot delete",
        ),
        (2, "trial 0: train/loss has a point at epoch 7, which was not evaluated"),
        (2, "trial 7: val/accuracy is 0.5 at epoch 1, trial.json has 0.18"),
    )
    assert len(record.check_study(repair=True).findings) == 3


@pytest.mark.parametrize("step", [2, 3])
def test_2_an_interrupted_attempt_may_be_an_epoch_ahead(record: Record, step: int) -> None:
    """Its driver may have died between the curve and the journal; never two epochs later."""
    run = record.run(INTERRUPTED)
    first = [
        record.client.get_metric_history(run.info.run_id, key)[0]
        for key in run.data.metrics
        if key.startswith(("train/", "val/", "cost/epoch_seconds"))
    ]
    for later in range(2, step + 1):
        points = [Metric(point.key, point.value, point.timestamp, later) for point in first]
        record.client.log_batch(run.info.run_id, metrics=points)
    assert record.check_study().healthy == (step == 2)
    record.file(run, "trial.json").unlink()
    record.sql(
        "DELETE FROM tags WHERE run_uuid = ? AND key = 'harness.sha256.trial.json'", run.info.run_id
    )
    assert record.check_study().healthy == (step == 2)


def test_2_epochs_that_trial_json_lost(record: Record) -> None:
    run = record.run(COMPLETE)
    document = json.loads(record.file(run, "trial.json").read_bytes())
    document["epochs"] = {name: values[:2] for name, values in document["epochs"].items()}
    record.rewrite(run, "trial.json", json.dumps(document).encode())
    findings = [str(each) for each in record.check_study().findings if each.invariant == 2]
    assert "trial 0: trial.json has epochs 1, 2, the journal 1, 2, 3" in findings
    assert "trial 0: was evaluated at epochs 1, 2, not 1, 2, 3" in findings


def test_3_leftovers_of_a_dead_driver(record: Record) -> None:
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(record.journal_path)))
    study = optuna.load_study(study_name="tiny", storage=storage)
    number = study.ask().number
    holder = record.root / "optuna" / "tiny.holder"
    holder.write_text("process 1 on nowhere")
    lock = Path(f"{record.journal_path}.lock")
    lock.symlink_to(record.journal_path)
    record.sql("UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?", record.run(2).info.run_id)
    record.client.update_run(record.study_run.info.run_id, status="RUNNING")
    record.expect_findings(
        (3, f"trial {number}: is RUNNING in the journal, and its driver is dead"),
        (3, "trial 2: its run .* is RUNNING"),
        (3, "the study: its run .* is RUNNING"),
        (3, "tiny.holder: was left behind"),
        (3, "tiny.journal.lock: was left behind; it is a dead driver's, which stalls"),
    )
    record.expect_repaired()
    assert not holder.exists()
    assert not lock.is_symlink()
    closed, queued = record.journal.trials[number:]
    assert record.journal.get_state(closed) == "INTERRUPTED"
    assert closed.user_attrs["successor"] == queued.number
    assert record.run(number).info.status == "KILLED"
    assert record.run(number).data.tags["harness.reason"] == "the driver died"
    assert record.study_run.data.tags["harness.state"] == "INTERRUPTED"
    (note,) = record.check_study().notes
    assert note.startswith("unfinished, 1 trial is waiting; continue with: harness run-study ")


def test_3_a_worker_without_a_driver(record: Record) -> None:
    code = "import sys, time; print(0, flush=True); time.sleep(60)"
    command = (
        '"$0" -c "$1" multiprocessing.forkserver harness.executors.forkserver_preload & echo $!'
    )
    process = subprocess.Popen(
        ["sh", "-c", command, sys.executable, code],
        cwd=record.root.parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        pid = int(process.stdout.readline())
        process.stdout.readline()  # it runs
        process.wait(60)
        record.expect_findings(
            (3, f"process {pid}: is a worker whose driver is dead; end it: kill -9")
        )
    finally:
        subprocess.run(["kill", "-9", str(pid)], check=True)
        process.stdout.close()


def test_4_counts(record: Record) -> None:
    with record.journal_path.open("a") as stream:
        stream.write('{"op_code":2,"worker_id":"w","study_id":0,"user_attr":{"requested":5}}\n')
    record.replace_in_journal('"user_attr":{"successor":6}', '"user_attr":{"successor":7}')
    client, parent = record.client, record.study_run.info.run_id
    client.set_tag(record.run(INTERRUPTED).info.run_id, "harness.successor", "7")
    client.log_metric(parent, "trials/complete", 7, step=3)
    record.expect_findings(
        (4, "tiny: 6 trials ended, but only 5 were requested"),
        (4, "trial 1: was interrupted and names 7 as its successor, which does not name it"),
        (4, "the study: its run's trials/complete is 7, not 2; --repair logs them from"),
    )
    left = record.check_study(repair=True).findings
    assert len(left) == 2, "the journal is never edited"
    assert record.study_run.data.metrics["trials/complete"] == 2


def test_5_settings(record: Record) -> None:
    run, client = record.run(COMPLETE), record.client
    run_id = run.info.run_id
    record.sql("UPDATE params SET value = '9' WHERE run_uuid = ? AND key = 'hidden'", run_id)
    spec = json.loads(run.data.tags["harness.spec"])
    client.set_tag(run_id, "harness.spec", json.dumps(spec | {"learning_rate": 0.4}))
    document = json.loads(record.file(run, "trial.json").read_bytes())
    document["spec"]["batch_norm"] = "after"
    record.rewrite(run, "trial.json", json.dumps(document).encode())
    weights = record.file(record.run(CHAMPION), "weights.safetensors").read_bytes()
    record.rewrite(run, "weights.safetensors", weights)
    record.expect_findings(
        (5, r"trial 0: its run's param hidden is 9, the journal's \[8\]; MLflow cannot change"),
        (5, "trial 0: its run's tag harness.spec: learning_rate is 0.4, the journal has 0.3"),
        (5, "trial 0: trial.json: batch_norm is after, the journal has none"),
        (5, r"trial 0: weights.safetensors: linears.0.bias is missing, the settings give \[8\]"),
    )
    assert len(record.check_study(repair=True).findings) == 3
    assert json.loads(record.run(COMPLETE).data.tags["harness.spec"]) == spec


def test_5_the_best(record: Record) -> None:
    client, parent = record.client, record.study_run.info.run_id
    (version,) = client.search_model_versions("name='tiny'")
    other = client.create_model_version("tiny", str(record.root), run_id=parent)
    client.set_registered_model_alias("tiny", "champion", other.version)
    client.log_metric(parent, "best/val_accuracy", 0.999, step=2)
    client.log_metric(record.run(COMPLETE).info.run_id, "best/val_accuracy", 0.9999)
    record.expect_findings(
        (5, "the model: the alias 'champion' points at version 2, trial 6 is version 1"),
        (5, "the study: its run's best/val_accuracy is 0.999, trial 6's 0.958333"),
        (5, "trial 0: its run's best/val_accuracy is 0.9999, not 0.902778"),
    )
    record.expect_repaired()
    assert client.get_model_version_by_alias("tiny", "champion").version == version.version


def test_5_a_better_trial_than_the_champion(record: Record) -> None:
    value = record.journal.trials[COMPLETE].value
    record.replace_in_journal(f'"values":[{value}]', '"values":[0.99]')
    findings = [str(each) for each in record.check_study().findings]
    assert "trial 0: the journal's value is 0.99, the best it reported 0.902778" in findings
    assert any("no version of the model 'tiny' is trial 0, the best" in each for each in findings)
    assert any(
        "chose trial 6, and the best of its candidates is trial 0" in each for each in findings
    )
    assert any(
        "trial 0: the study finished without reading the test set for it" in each
        for each in findings
    )


def test_6_test_metrics(record: Record) -> None:
    run, client = record.run(CHAMPION), record.client
    record.lose_points(run, "test/accuracy")
    record.sql(
        "DELETE FROM latest_metrics WHERE run_uuid = ? AND key = 'test/accuracy'", run.info.run_id
    )
    client.log_metric(record.study_run.info.run_id, "test/accuracy", 1.0, step=4)
    record.expect_findings(
        (6, "reading of trial 6: the trial's run lacks test/accuracy = 0.9.*; --repair logs"),
        (6, "the study: its run's test/accuracy is 1, the reading of trial 6 0.9"),
    )
    record.expect_repaired()
    figures = record.run(CHAMPION).data.metrics, record.study_run.data.metrics
    assert figures[0]["test/accuracy"] == figures[1]["test/accuracy"] < 1


def test_6_readings_and_selections(record: Record) -> None:
    parent, client = record.study_run, record.client
    (reading,) = json.loads(record.file(parent, "test_readings.json").read_bytes())
    twice = [
        reading,
        reading,
        reading | {"number": COMPLETE, "run": record.journal.trial_uid(COMPLETE)},
    ]
    record.rewrite(parent, "test_readings.json", json.dumps(twice).encode())
    for key, value in record.run(CHAMPION).data.metrics.items():
        if key.startswith("test/"):
            client.log_metric(record.run(COMPLETE).info.run_id, key, value)
    record.expect_findings(
        (6, "reading of trial 6: is there twice for selection"),
        (6, "reading of trial 0: its selection had chosen trial 6"),
    )
    (path,) = record.file(parent, "").glob("selection-*.json")
    frozen = json.loads(path.read_bytes())
    changed = frozen | {"candidates": frozen["candidates"][:1]}
    record.rewrite(parent, path.name, json.dumps(changed).encode())
    messages = [str(each) for each in record.check_study().findings]
    lost = f"selection-{frozen['hash'][:12]}.json is missing, or its hash is another"
    assert sum(lost in each for each in messages) == 3


def test_6_a_missing_reading(record: Record) -> None:
    record.rewrite(record.study_run, "test_readings.json", b"[]")
    record.expect_findings(
        (6, "trial 6: its run has test/accuracy, but no reading in test_readings.json"),
        (6, "trial 6: the study finished without reading the test set for it; continue with: h"),
    )


def test_6_predictions_that_disagree_with_the_reading(record: Record) -> None:
    import io

    import numpy as np

    run = record.run(CHAMPION)
    content = record.file(run, "test-predictions.npz").read_bytes()
    with np.load(io.BytesIO(content)) as stored:
        arrays = {name: stored[name].copy() for name in stored}
    arrays["predicted"][0] = (arrays["predicted"][0] + 1) % 10
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    record.rewrite(run, "test-predictions.npz", stream.getvalue())
    record.expect_findings((6, "trial 6's test-predictions.npz: does not agree with the reading"))


def test_7_files(record: Record) -> None:
    predictions = record.file(record.run(COMPLETE), "predictions.npy")
    predictions.write_bytes(predictions.read_bytes()[:-1])
    record.file(record.run(CHAMPION), "weights.safetensors").unlink()
    record.file(record.run(PRUNED), "trial.json").unlink()
    record.file(record.study_run, "report.html").write_text("another")
    record.expect_findings(
        (7, r"trial 0's predictions.npy: its SHA-256 is \w+..., \w+... was written; restore it"),
        (7, "trial 6's weights.safetensors: is missing; restore it from a backup"),
        (7, "trial 7's trial.json: is missing"),
        (7, "the study's report.html: its SHA-256 is"),
    )


def test_7_tags_that_mlflow_cut(record: Record) -> None:
    run_id = record.study_run.info.run_id
    before = record.workspace.open_tracker(None, reading=True).read_study("tiny")
    record.client.set_tag(run_id, "harness.classes", '["0", "1')
    record.client.set_tag(run_id, "harness.definition", '{"study": ')
    with pytest.raises(StoreError, match="damaged"):
        record.workspace.open_tracker(None, reading=True).read_study("tiny")
    record.expect_findings(
        (7, "harness.classes: cannot be read; --repair sets it to confusion.csv's value"),
        (7, "harness.definition: cannot be read; --repair sets it to the journal's value"),
    )
    record.expect_repaired()
    after = record.workspace.open_tracker(None, reading=True).read_study("tiny")
    assert before is not None
    assert after is not None
    assert (after.classes, after.definition) == (before.classes, before.definition)


def test_5_an_alias_that_another_study_of_the_name_moved(record: Record) -> None:
    """Earlier versions wrote two studies of one name into one experiment."""
    parent = record.study_run
    tags = {"harness.kind": "study", "harness.uid": "other"}
    other = record.client.create_run(parent.info.experiment_id, tags=tags)
    record.client.set_terminated(other.info.run_id)
    record.client.create_model_version("tiny", "file:///nowhere", run_id=other.info.run_id)
    record.client.set_registered_model_alias("tiny", "champion", "2")
    record.expect_findings((5, "alias 'champion' points at version 2.*another study has the same"))
    record.check_study(repair=True)
    assert record.client.get_model_version_by_alias("tiny", "champion").run_id == other.info.run_id


def test_7_a_trial_json_that_cannot_be_read(record: Record) -> None:
    record.rewrite(record.run(COMPLETE), "trial.json", b'{"spec": {}')
    record.expect_findings((7, "trial 0's trial.json: is damaged; restore it from a backup"))


def test_7_a_file_that_cannot_be_opened_is_named_with_plain_paths(record: Record) -> None:
    folder = record.root.rename(record.root.with_name("50% ü"))
    moved = Record(folder)
    moved.workspace.open_tracker(reading=True)
    path = moved.file(moved.run(0), "trial.json")
    path = Path(urllib.parse.unquote(str(path)))
    path.unlink()
    path.symlink_to("nowhere")
    where = f"MLflow at sqlite:///{folder}/mlflow.db: .*'{path}'"
    moved.expect_findings((7, rf"trial 0's trial.json: cannot be read \({where}\); restore it"))


def test_7_a_journal_whose_end_was_cut_off(record: Record) -> None:
    whole = record.journal_path.read_bytes()
    record.journal_path.write_bytes(whole + b'{"op_code":4,"worker')
    record.expect_findings(
        (7, "tiny.journal: its last record is incomplete; --repair cuts the torn")
    )
    record.expect_repaired()
    assert record.journal_path.read_bytes() == whole
    (cut,) = record.journal_path.parent.glob("tiny.journal.cut-*")
    assert cut.read_bytes() == b'{"op_code":4,"worker'


def test_7_a_journal_that_is_damaged_inside(record: Record) -> None:
    lines = record.journal_path.read_bytes().splitlines(keepends=True)
    lines[20] = b"\0" * len(lines[20])
    record.journal_path.write_bytes(b"".join(lines))
    findings = record.check_study(repair=True)
    messages = [str(each) for each in findings.findings if each.invariant == 7]
    assert any(
        "line 21 is damaged, and intact records follow it; restore" in each for each in messages
    )
    assert any("line 21 is damaged" in each for each in findings.failed)


@pytest.mark.parametrize("table", ["metrics", "tags"])
def test_7_a_damaged_database(record: Record, table: str) -> None:
    import sqlite3
    from contextlib import closing

    path = record.root / "mlflow.db"
    with closing(sqlite3.connect(path)) as database:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        (root,) = database.execute(query, (table,)).fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    content = bytearray(path.read_bytes())
    content[(root - 1) * size : root * size] = b"\xff" * size
    path.write_bytes(content)
    findings = record.check_study(repair=True)
    (damage,) = [str(each) for each in findings.findings if each.invariant == 7]
    assert damage.startswith("mlflow.db: fails SQLite's integrity check: ")
    assert damage.endswith("; restore it from a backup")
    assert not findings.mended
    assert path.read_bytes() == bytes(content)


def test_7_a_database_that_is_missing(record: Record) -> None:
    database = record.root / "mlflow.db"
    whole = database.read_bytes()
    database.unlink()
    for repair in (False, True):
        report = record.check_study(repair)
        (finding,) = map(str, report.findings)
        assert (
            finding == "mlflow.db: is missing, and the journal is there; restore it from a backup"
        )
        assert report.unchecked == "the store cannot be read"
    assert not database.exists()
    outbox = Outbox(record.root / "spool" / "tiny.spool")  # of a driver that continued the study
    outbox.append(StartTrial(trial=Trial(number=99, uid="x/99", spec=TrialSpec()), at=0.0))
    outbox.close()
    assert any("backup" in str(each) for each in record.check_study().findings)
    outbox.path.unlink()
    moved = Record(record.root.rename(record.root.with_name("what?")))
    older = moved.root.with_name("what")  # by version 0.1.0
    older.write_bytes(whole)
    (finding,) = map(str, moved.check_study().findings)
    assert finding.endswith(f"move {older} there, where an earlier version wrote it")
    older.rename(moved.root / "mlflow.db")
    moved.check_study(repair=True)
    moved.expect_findings()


def test_8_ordinals(record: Record) -> None:
    assert record.journal.trials[COMPLETE].user_attrs["ordinal"] == 0
    record.replace_in_journal(
        '"trial_id":0,"user_attr":{"ordinal":0}', '"trial_id":0,"user_attr":{"ordinal":1}'
    )
    record.expect_findings(
        (8, "ordinal 0: belongs to no trial that was not interrupted"),
        (8, "ordinal 1: belongs to trials 0 and 6, neither of which was interrupted"),
    )


def test_5_the_calibration(record: Record) -> None:
    study = record.study_run
    record.client.log_metric(study.info.run_id, "calibration/ece", 0.5, step=1)
    record.expect_findings((5, "the calibration: the study's calibration/ece is 0.5, not 0"))
    record.expect_repaired()
    record.client.set_tag(study.info.run_id, "harness.calibrated", "yes")
    record.expect_findings(
        (5, "the calibration: no version of the model has its temperature, "),
        (5, "the calibration: the study's calibration/test_ece is "),
        (5, "the calibration: the study's calibration/test_brier is "),
    )
    other = record.file(study, "calibration.json").read_bytes().replace(b'"run"', b'"runs"')
    record.rewrite(study, "calibration.json", other)
    record.expect_findings((5, "the calibration: calibration.json cannot be read"))
