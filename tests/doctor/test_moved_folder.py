"""A study's folder is moved, or copied: its files are where the folder is now."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import mlflow
import pytest

from harness.api.run import run_study
from harness.checks.report import check_studies
from harness.cli.studies_table import list_studies
from harness.errors import Unavailable
from harness.reports.live_page import write_study_page
from harness.sweep.progress import Silent
from harness.sweep.replay import replay
from harness.tracking.mlflow import artifact_locations
from harness.tracking.mlflow.artifact_locations import find_old_folders, update_locations
from harness.tracking.mlflow.model_registry import _set_global_store
from harness.workspace import Workspace
from tests.doctor.example_study import PATH_COLUMNS, copy_record

NAME = "what? #50% ü':x\"x"
"""Of the new folder; each of these signs has a meaning in an address, in SQL or in a shell."""


@pytest.fixture
def moved(prepared: Path, tmp_path: Path) -> Path:
    """The record in a folder that was moved; nothing is left in the old one, `<tmp>/old`."""
    (tmp_path / "old").mkdir()
    copy_record(prepared, tmp_path / "old" / "mlruns")
    shutil.copy(prepared.parent / "tiny.toml", tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / NAME)
    return tmp_path / NAME / "mlruns"


def list_locations(root: Path) -> set[Path]:
    """The `mlruns` folders of all paths in the database."""
    with closing(sqlite3.connect(root / "mlflow.db")) as database:
        queries = (f"SELECT {column} FROM {table}" for table, column in PATH_COLUMNS.items())
        addresses = [str(row[0]) for query in queries for row in database.execute(query)]
    assert len(addresses) > 10
    paths = [urllib.parse.unquote(each.removeprefix("file://")) for each in addresses]
    return {Path(path[: path.index("/mlruns") + len("/mlruns")]) for path in paths}


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_doctor_names_the_move_and_reads_on(moved: Path, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    (report,) = check_studies(Workspace(moved), "tiny").studies
    (finding,) = report.findings
    assert f"records its files in {tmp_path}/old/mlruns/artifacts; they" in str(finding)
    assert "--repair updates the paths" in str(finding)
    assert snapshot(tmp_path) == before
    (repaired,) = check_studies(Workspace(moved), "tiny", repair=True).studies
    assert len(repaired.mended) == 1
    assert not repaired.findings
    assert check_studies(Workspace(moved), "tiny").healthy
    assert list_locations(moved) == {moved}
    assert not (tmp_path / "old").exists()


def test_every_command_reads_and_the_study_continues(
    moved: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = Workspace(moved)
    (row,) = list_studies(workspace, None, pytest.fail)
    assert row["done"] == 6
    assert f"moved from {tmp_path}/old/mlruns/artifacts: updated the paths" in caplog.text
    assert list_locations(moved) == {moved}
    assert write_study_page(workspace, "tiny", None).is_file()
    replay(workspace, "tiny", watcher=Silent(), device="cpu", inline=True)
    result = run_study(moved.parent / "tiny.toml", home=moved, device="cpu", workers=0, trials=7)
    assert len([run for run in result.summary.study.trials if run.best]) >= 4
    assert check_studies(workspace, "tiny").healthy
    with _set_global_store(workspace.local_uri):
        assert mlflow.pytorch.load_model("models:/tiny@champion")
    assert list_locations(moved) == {moved}
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_copy_has_its_own_files(prepared: Path, tmp_path: Path) -> None:
    original, copy = copy_record(prepared, tmp_path / "a" / "mlruns"), tmp_path / "b" / "mlruns"
    shutil.copytree(original, copy)
    before = snapshot(original)
    assert len(check_studies(Workspace(copy), "tiny").studies[0].findings) == 1
    write_study_page(Workspace(copy), "tiny", None)
    assert list_locations(copy) == {copy}
    assert list_locations(original) == {original}
    shutil.rmtree(copy / "artifacts")
    assert check_studies(Workspace(original), "tiny").healthy
    assert snapshot(original) == before


def test_another_folder_with_the_same_database_keeps_its_files(
    prepared: Path, tmp_path: Path
) -> None:
    owner = copy_record(prepared, tmp_path / "a" / "mlruns")
    guest = Workspace(tmp_path / "b" / "mlruns")
    uri = Workspace(owner).local_uri
    guest.open_tracker(uri).list_studies()
    shutil.rmtree(tmp_path / "b")  # away for a moment, as a network drive
    assert list_locations(owner) == {owner}
    with closing(sqlite3.connect(owner / "mlflow.db")) as database, database:
        for table, column in PATH_COLUMNS.items():  # the guest's
            change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            database.execute(change, (f"{owner}/artifacts", f"{guest.root}/artifacts"))
    (owner / "artifacts").rename(tmp_path / "away")
    Workspace(owner).open_tracker(reading=True).list_studies()
    assert guest.root in list_locations(owner)


@pytest.fixture
def busy(moved: Path) -> Iterator[threading.Event]:
    """Another process writes to the database until the event is set."""
    done, started = threading.Event(), threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(moved / "mlflow.db", isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            started.set()
            done.wait(30)
            database.execute("COMMIT")

    thread = threading.Thread(target=write)
    thread.start()
    started.wait(30)
    yield done
    done.set()
    thread.join()


def test_artifacts_on_another_disk_stay_there(prepared: Path, tmp_path: Path) -> None:
    root, disk = copy_record(prepared, tmp_path / "mlruns"), tmp_path / "disk"
    with closing(sqlite3.connect(root / "mlflow.db")) as database, database:
        for table, column in PATH_COLUMNS.items():
            change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            database.execute(change, (f"{root}/artifacts", str(disk)))
    (root / "artifacts").rename(disk)
    (root / "artifacts").symlink_to(disk)
    assert check_studies(Workspace(root), "tiny").healthy
    assert update_locations(root / "mlflow.db", Workspace(root).artifacts) == []


def test_the_doctor_names_a_second_journal(prepared: Path, tmp_path: Path) -> None:
    root = copy_record(prepared, tmp_path / "mlruns")
    folder = root / "optuna" / ("_" + str(root / "mlflow.db").replace("/", "_"))[:100]
    folder.mkdir()
    shutil.copy(root / "optuna" / "tiny.journal", folder)
    (finding,) = check_studies(Workspace(root), "tiny").studies[0].findings
    assert finding.location == str(folder / "tiny.journal")
    assert "another spelling of the address; rename it" in str(finding)


def test_a_busy_database_is_waited_for(
    moved: Path, busy: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact_locations, "LOCK_SECONDS", 0.1)
    with pytest.raises(Unavailable, match=r"mlflow.db: its paths cannot be updated \(database is"):
        update_locations(moved / "mlflow.db", moved / "artifacts")
    assert find_old_folders(moved / "mlflow.db", moved / "artifacts")
    monkeypatch.setattr(artifact_locations, "LOCK_SECONDS", 30)
    threading.Timer(0.3, busy.set).start()
    started = time.monotonic()
    assert update_locations(moved / "mlflow.db", moved / "artifacts")
    assert time.monotonic() - started > 0.2
    assert update_locations(moved / "mlflow.db", moved / "artifacts") == []


def test_a_study_without_files_does_not_write_to_the_old_folder(
    moved: Path, tmp_path: Path
) -> None:
    """Its driver died before it wrote the first one."""
    with closing(sqlite3.connect(moved / "mlflow.db")) as database, database:
        database.execute("DELETE FROM tags WHERE key LIKE 'harness.sha256.%'")
    shutil.rmtree(moved / "artifacts")
    Workspace(moved).open_tracker()
    assert list_locations(moved) == {moved}


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + b"damaged" * 100])
def test_an_unusable_database_is_left_to_mlflow(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mlflow.db").write_bytes(content)
    assert update_locations(tmp_path / "mlflow.db", tmp_path) == []
    assert find_old_folders(tmp_path / "mlflow.db", tmp_path) == []
