"""`harness doctor` in a folder whose tracking store has studies of other folders too."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from harness.checks.report import check_studies
from harness.sweep.environment import collect_origin
from harness.workspace import Workspace
from tests.doctor.example_study import PATH_COLUMNS, Record


def set_origin(record: Record, **origin: str) -> None:
    for key, value in origin.items():
        record.client.set_tag(record.study_run.info.run_id, f"harness.{key}", value)


def test_a_study_of_another_folder_is_named_and_not_a_problem(
    record: Record, tmp_path: Path
) -> None:
    guest, uri = Workspace(tmp_path / "guest" / "mlruns"), record.workspace.local_uri
    for host, folder, expected in (
        ("lab", "/home/ann/mlruns", "on host lab from /home/ann/mlruns; check it there"),
        (collect_origin(tmp_path)["host"], str(record.root), f"from {record.root}; check it there"),
        (
            collect_origin(tmp_path)["host"],
            "/gone",
            "from /gone, which does not exist now; restore",
        ),
    ):
        set_origin(record, user="ann", host=host, folder=folder)
        for repair in (False, True):
            report = check_studies(guest, "tiny", uri, repair)
            assert report.healthy
            assert f"tiny  is recorded by ann on host {host} " in report.text()
            assert expected in report.text()
            assert expected in report.to_dict()["studies"][0]["elsewhere"]
    assert not guest.root.exists()
    assert check_studies(record.workspace, None).healthy  # in its own folder


def test_a_copied_folder_is_named_and_the_paths_of_the_first_one_stay(
    record: Record, tmp_path: Path
) -> None:
    set_origin(record, **collect_origin(record.root))
    shared, copy = tmp_path / "shared.db", Workspace(tmp_path / "copy")
    uri = f"sqlite:///{shared}"
    folder = record.workspace.journal_folder(uri)
    folder.mkdir()
    shutil.move(record.journal_path, folder)
    shutil.move(record.root / "mlflow.db", shared)
    shutil.copytree(record.root, copy.root)
    before = shared.read_bytes()
    report = check_studies(copy, None, uri)
    assert report.healthy
    assert f"a copy: {record.root} ran it last and still has it; continue it" in report.text()
    assert "a copy" not in check_studies(record.workspace, None, uri).text()
    copy.open_tracker(uri, reading=True).list_studies()
    assert shared.read_bytes() == before
    shutil.rmtree(record.root)  # now it was moved
    assert "a copy" not in check_studies(copy, None, uri).text()
    copy.open_tracker(uri, reading=True).list_studies()
    with closing(sqlite3.connect(shared)) as database:
        for table, column in PATH_COLUMNS.items():
            (address,) = database.execute(f"SELECT max({column}) FROM {table}").fetchone()
            assert address.startswith(copy.artifacts.as_uri())
