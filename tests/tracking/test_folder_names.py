"""The record of a folder whose name has signs that mean something in addresses."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from mlflow import MlflowClient

from harness.system.addresses import format_sqlite_uri
from harness.tracking.mlflow.artifact_locations import update_locations
from harness.tracking.mlflow.client import Store
from harness.workspace import Workspace
from tests.system.test_addresses import NAMES

NAME = "-what? #50%41 ü':x\"x"
"""Each sign has a meaning in an address, in SQL or in a shell."""


def check_files(folder: Path) -> None:
    """Write files of two runs in the record of a folder, and read them back."""
    root = folder.resolve() / "mlruns"
    uri = Workspace(root).local_uri
    client = MlflowClient(uri)
    experiment = client.create_experiment("x", (root / "artifacts" / "x").as_uri())
    for run in (client.create_run(experiment), client.create_run("0")):  # 0 is MLflow's own
        client.log_text(run.info.run_id, "a text", "a.txt")
        file = Path(client.download_artifacts(run.info.run_id, "a.txt"))
        assert file.read_text() == "a text"
    assert len([*root.rglob("a.txt")]) == 2
    assert Workspace(root).open_tracker(uri, reading=True).list_studies() == []
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert {path.name for path in root.iterdir()} == {"mlflow.db", "artifacts"}


def test_the_record_is_made_inside_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / NAME
    folder.mkdir()
    monkeypatch.chdir(folder)
    Workspace(Path("mlruns")).open_tracker()
    assert [path.name for path in folder.iterdir()] == ["mlruns"]
    check_files(folder)


@pytest.fixture(scope="module")
def empty_record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("empty") / "mlruns"
    Workspace(root).open_tracker()
    return root.rename(root.parent.with_name("moved"))


@given(NAMES)
@example("漢" * 66)
@example("what?")
@settings(max_examples=12, deadline=None)
def test_files_are_written_and_read_back(empty_record: Path, name: str) -> None:
    with tempfile.TemporaryDirectory() as parent:
        shutil.copytree(empty_record, Path(parent, name, "mlruns"))
        Workspace(Path(parent, name, "mlruns")).open_tracker()
        check_files(Path(parent, name))


def test_an_experiment_of_others_in_a_shared_store_keeps_its_place(tmp_path: Path) -> None:
    """Its folder may be on a drive that is not mounted now."""
    database, elsewhere = tmp_path / "shared.db", "file:///not-mounted/artifacts/theirs"
    client = Store(format_sqlite_uri(database)).client
    theirs = client.create_experiment("theirs", elsewhere)
    assert update_locations(database, tmp_path / "mine" / "mlruns" / "artifacts") == []
    assert client.get_experiment(theirs).artifact_location == elsewhere
