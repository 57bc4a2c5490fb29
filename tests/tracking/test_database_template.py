"""A new MLflow database that is copied from a template is the one that MLflow makes."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from harness.system.addresses import format_sqlite_uri
from harness.tracking.mlflow import database_template
from harness.tracking.mlflow.client import Store
from harness.tracking.mlflow.sqlite import create_database


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A database that MLflow made, for which a template was kept."""
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield create(folder / "made")


@pytest.fixture
def cache(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cache that has the template."""
    shutil.copytree(made.parents[1] / "cache", tmp_path / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "harness" / database_template.FOLDER


def create(folder: Path) -> Path:
    path = folder / "mlflow.db"
    create_database(format_sqlite_uri(path))
    assert [file.name for file in folder.iterdir()] == ["mlflow.db"]
    return path


def dump(path: Path) -> list[str]:
    """Return the content, without creation times and the folder's path."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE experiments SET creation_time = 0, last_update_time = 0")
        return sorted(line.replace(str(path.parent), "FOLDER") for line in database.iterdump())


def test_a_copy_has_the_content_of_a_database_that_mlflow_made(
    made: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlflow.store.db.utils._initialize_tables", None)  # no migrations
    copied = create(tmp_path / "copied")
    assert dump(copied) == dump(made)
    Store(format_sqlite_uri(copied)).client.create_experiment("tiny")


def test_a_damaged_template_or_one_of_another_version_is_not_used(
    made: Path, tmp_path: Path, cache: Path
) -> None:
    (template,) = cache.iterdir()
    content = template.read_bytes()
    template.write_bytes(content[:-4096])
    assert database_template.read_template() is None
    template.write_bytes(content)
    with closing(sqlite3.connect(template)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'of another MLflow'")
    template.replace(cache / database_template._format_name(template.read_bytes()))
    assert database_template.read_template() is not None  # MLflow's own check refuses it
    again = create(tmp_path / "again")
    assert len(dump(again)) == len(dump(made))  # the order of a table's constraints may differ
    Store(format_sqlite_uri(again)).client.create_experiment("tiny")


def test_a_cache_that_cannot_be_used_is_no_error(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert database_template.read_template() is None
    database_template.keep_template(made)


def test_a_template_that_is_kept_by_several_commands_at_once_is_complete(
    made: Path, cache: Path
) -> None:
    (template,) = cache.iterdir()
    template.unlink()
    threads = [
        threading.Thread(target=database_template.keep_template, args=[made]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {file.suffix for file in cache.iterdir()} == {".db"}
    assert database_template.read_template() is not None
