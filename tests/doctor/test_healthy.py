"""A consistent study is healthy, and the doctor does not write to it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from mlflow import MlflowClient

from harness.api.run import run_study
from harness.checks.findings import SendOutbox
from harness.checks.repair import apply_fix
from harness.checks.report import check_studies
from harness.checks.snapshot import take_snapshot
from harness.errors import HarnessError, StoreError, StudyError
from harness.tracking.mlflow.raw_reader import MlflowRawReader
from harness.tracking.outbox.messages import LogFile, OpenStudy
from harness.tracking.outbox.queue import Outbox
from harness.workspace import Workspace
from tests.doctor.example_study import STUDY, Record
from tests.faults.test_outbox import RECORD

pytestmark = pytest.mark.slow


def everything(root: Path) -> dict[str, tuple[int, str]]:
    """When each file and folder was changed, and what is in it."""
    return {
        str(path): (
            path.lstat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in [root, *root.rglob("*")]
    }


def test_a_healthy_study_is_told_in_one_line(record: Record) -> None:
    report = check_studies(record.workspace, None)
    assert report.healthy
    assert report.text() == (
        "tiny  healthy: 6 trials, 2 complete, 3 pruned, 1 failed; 5 interrupted and retried"
    )
    (study,) = json.loads(json.dumps(report.to_dict()))["studies"]
    assert study["healthy"]
    assert study["findings"] == []


def test_looking_changes_nothing(record: Record) -> None:
    (record.root / "optuna" / "tiny.holder").write_text("process 1 on nowhere")
    (record.root / "optuna" / "tiny.lock").unlink()
    record.journal_path.write_bytes(record.journal_path.read_bytes() + b'{"op_code":')
    before = everything(record.root)
    assert not record.check_study().healthy
    assert everything(record.root) == before


def test_an_interrupted_transaction_is_healthy(record: Record) -> None:
    """SQLite rolls it back at the next opening, which is not the doctor's to do."""
    path, beside = record.root / "mlflow.db", record.root / "while"
    beside.mkdir()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA cache_size = 1")  # so that it writes before it commits
        database.execute("UPDATE tags SET value = 'lost' WHERE key = 'harness.state'")
        database.execute("UPDATE metrics SET value = 0")
        for name in ("mlflow.db", "mlflow.db-journal"):
            shutil.copy(record.root / name, beside / name)
        database.rollback()
    for name in ("mlflow.db", "mlflow.db-journal"):
        (beside / name).rename(record.root / name)
    beside.rmdir()
    before = everything(record.root)
    assert record.check_study().healthy
    assert everything(record.root) == before


def test_a_study_at_work_is_left_alone(record: Record) -> None:
    with FileLock(record.root / "optuna" / "tiny.lock"):
        before = everything(record.root)
        report = record.check_study(repair=True)
        assert everything(record.root) == before
    assert report.driven
    assert report.healthy
    assert "is running now" in report.lines[0][1]


def test_an_unknown_study_is_told_of(record: Record) -> None:
    with pytest.raises(StudyError, match="no study 'tinny' on record; did you mean 'tiny'"):
        check_studies(record.workspace, "tinny")


def test_an_unfinished_study_is_noted_and_healthy(record: Record) -> None:
    with record.journal_path.open("a") as stream:
        stream.write('{"op_code":2,"worker_id":"w","study_id":0,"user_attr":{"requested":9}}\n')
    report = record.check_study()
    assert report.healthy
    (note,) = report.notes
    assert note.startswith("unfinished, 6 of 9 trials; continue with: harness run-study ")


def test_a_record_of_an_older_version_has_no_digests(record: Record) -> None:
    record.sql("DELETE FROM tags WHERE key LIKE 'harness.sha256.%'")
    report = record.check_study()
    assert report.healthy
    assert "files were recorded by a version that kept no SHA-256" in report.notes[0]


def test_what_waits_in_the_spool_is_told_and_the_store_not_judged(record: Record) -> None:
    record.sql("UPDATE runs SET status = 'RUNNING'")  # as it may be, until they are sent
    outbox = Outbox(record.workspace.outbox_folder(record.workspace.local_uri) / "tiny.spool")
    outbox.append(LogFile(uid="any", name="note.txt", content=b"aGVsbG8="))
    outbox.close()
    report = record.check_study()
    assert not report.healthy
    (finding,) = report.findings
    assert finding.invariant == 3
    assert "1 write waits to be sent; --repair sends them" in str(finding)
    lines = dict(report.lines)
    assert lines["1 runs"].startswith("not checked: ")
    assert lines["4 counts"] == "ok"


def test_refused_writes_are_a_note(record: Record) -> None:
    outbox = Outbox(record.workspace.outbox_folder(record.workspace.local_uri) / "tiny.spool")
    outbox.append(LogFile(uid="any", name="note.txt", content=b"aGVsbG8="))
    outbox.refuse(outbox.size, "no run for trial any")
    outbox.close(remove=True)
    report = record.check_study()
    assert report.healthy
    (note,) = report.notes
    assert note.startswith("the tracking store refused 1 write (no run for trial any); kept in ")


def test_writes_to_a_deleted_experiment_are_sent_once_it_is_restored(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "mlruns")
    uri = workspace.local_uri
    with workspace.open_outbox("tiny") as tracker:
        tracker.open_study(RECORD)
        run_id = tracker.find_run_id(RECORD.uid)
    client = MlflowClient(uri)
    client.delete_experiment(client.get_run(run_id).info.experiment_id)
    outbox = Outbox(workspace.outbox_folder(uri) / "tiny.spool")
    outbox.append(OpenStudy.from_record(replace(RECORD, continued=True), at=1.7e9))
    outbox.append(LogFile(uid=RECORD.uid, name="note.txt", content=b"aGVsbG8="))
    outbox.close()
    with pytest.raises(StoreError, match="the experiment 'tiny' was deleted"):
        workspace.open_outbox("tiny").send()
    reader = MlflowRawReader(uri, workspace.artifacts, True)
    snapshot = take_snapshot(workspace, "tiny", uri, reader, "")
    assert snapshot.unsent == 2
    apply_fix(workspace, "tiny", uri, reader, snapshot, SendOutbox())
    assert take_snapshot(workspace, "tiny", uri, reader, "").unsent == 0
    assert "note.txt" in {file.path for file in client.list_artifacts(run_id)}


def test_a_study_whose_trials_all_failed_is_not_told_to_rerun_the_same_command(
    tmp_path: Path,
) -> None:
    study, overrides = tmp_path / "tiny.toml", ["space.learning_rate=[1e30]"]
    study.write_text(STUDY.replace('pruner = "successive-halving"', 'pruner = "none"'))
    expected = r"no trial is complete, .* diverged: .* run more trials \(--trials\), or change "
    for _ in range(2):
        with pytest.raises(HarnessError, match=expected):
            run_study(
                study,
                home=tmp_path / "home",
                device="cpu",
                workers=0,
                trials=2,
                overrides=overrides,
            )
    (report,) = check_studies(Workspace(tmp_path / "home"), None).studies
    assert report.healthy
    assert report.summary == "2 trials, 2 failed"
    (note,) = report.notes
    assert re.match(expected, note)
