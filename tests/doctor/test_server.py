"""The same on a server, whose files and curves come over HTTP."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from mlflow import MlflowClient

from harness.checks.report import check_studies
from tests.doctor.example_study import COMPLETE, PATH_COLUMNS, Record
from tests.tracking.test_mlflow_server import find_free_port, wait_for_url

pytestmark = pytest.mark.slow


@pytest.fixture
def server(record: Record) -> Iterator[str]:
    """Serves the record's own database and files."""
    here = (record.root / "artifacts").as_uri()
    for table, column in PATH_COLUMNS.items():
        record.sql(f"UPDATE {table} SET {column} = replace({column}, ?, 'mlflow-artifacts:')", here)
    port = find_free_port()
    command = [
        *("mlflow", "server", "--workers=1", "--host=127.0.0.1", f"--port={port}"),
        f"--backend-store-uri={record.workspace.local_uri}",
        f"--artifacts-destination={record.root / 'artifacts'}",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for_url(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def test_a_study_on_a_server_is_examined_and_mended(record: Record, server: str) -> None:
    folder = record.workspace.journal_folder(server)
    folder.mkdir(parents=True)
    shutil.move(record.journal_path, folder / "tiny.journal")
    report = check_studies(record.workspace, None, server)
    assert report.healthy, report.text()
    assert [study.name for study in report.studies] == ["tiny"]
    (run,) = MlflowClient(server).search_runs(
        ["1"], f"tags.`harness.number` = '{COMPLETE}'", max_results=2
    )
    record.sql(
        "DELETE FROM metrics WHERE run_uuid = ? AND key = 'val/loss' AND step = 2", run.info.run_id
    )
    MlflowClient(server).delete_run(run.info.run_id)
    (damaged,) = check_studies(record.workspace, "tiny", server).studies
    assert [each.invariant for each in damaged.findings] == [1]
    mended = check_studies(record.workspace, "tiny", server, repair=True)
    assert mended.healthy, mended.text()
    assert [each.invariant for each in mended.studies[0].mended] == [1, 2]
