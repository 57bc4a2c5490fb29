"""A new study in a local database: whether it trains before the store answers."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from harness.system.addresses import format_sqlite_uri
from harness.tracking.mlflow.sqlite import create_database
from harness.workspace import Workspace


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "mlruns" / "mlflow.db"
    create_database(format_sqlite_uri(path))
    return path


def test_a_new_or_a_known_database_takes_a_new_study(tmp_path: Path, database: Path) -> None:
    new = Workspace(tmp_path)
    assert new.is_ready_for_new_studies(new.local_uri)
    old = Workspace(database.parent)
    assert old.is_ready_for_new_studies(old.local_uri)


def test_a_store_that_may_refuse_a_study_is_waited_for(tmp_path: Path, database: Path) -> None:
    workspace = Workspace(tmp_path)
    assert not workspace.is_ready_for_new_studies("http://127.0.0.1:5000")
    workspace.database.write_bytes(database.read_bytes())
    with closing(sqlite3.connect(workspace.database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'of another MLflow'")
    assert not workspace.is_ready_for_new_studies(workspace.local_uri)
    workspace.database.write_bytes(database.read_bytes()[:5000])
    assert not workspace.is_ready_for_new_studies(workspace.local_uri)


def test_a_study_is_planned_without_optuna_and_mlflow(tmp_path: Path) -> None:
    """The workers' fork server starts before they are imported."""
    program = (
        "import sys\n"
        "from harness.sweep.options import RunOptions\n"
        "from harness.sweep.plan import make_plan\n"
        "plan = make_plan('quickstart', RunOptions())\n"
        "assert not plan.workspace.may_have_journal(plan.config.study.name)\n"
        "print([name for name in ('torch', 'mlflow', 'optuna', 'pandas') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_recorded_study_is_recognized_without_optuna(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    folder = tmp_path / "optuna" / "of-another-store"
    folder.mkdir(parents=True)
    (folder / "tiny[1].journal").touch()
    assert workspace.may_have_journal("tiny[1]")
    assert not workspace.may_have_journal("tiny1")
