"""A consistent study is healthy, and the doctor does not write to it."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

from harness.doctor.report import check_studies
from harness.errors import StudyError
from harness.tracking.outbox.messages import LogFile
from harness.tracking.outbox.queue import Outbox
from tests.doctor.example_study import Record

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
    assert "1 writes wait to be sent; --repair sends them" in str(finding)
    lines = dict(report.lines)
    assert lines["1 runs"].startswith("not checked: ")
    assert lines["4 counts"] == "ok"
