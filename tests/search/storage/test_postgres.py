"""Studies in a real PostgreSQL: locking, archiving, and a server that stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from harness.config.schema import StudyConfig
from harness.errors import ConfigError, StoreError, StudyError
from harness.search.open_study import open_search
from harness.search.storage import postgres as postgres_storage
from harness.search.storage.postgres import PostgresStorage
from tests.search.tiny_study import requeue, run_trials
from tests.support.postgres import Postgres

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> PostgresStorage:
    return PostgresStorage(postgres.create_database())


def test_an_interrupted_study_samples_the_same_trials_as_one_in_a_journal(
    config: StudyConfig,
    database: PostgresStorage,
    tmp_path: Path,
) -> None:
    with open_search(config, tmp_path) as search:
        expected = run_trials(search, 14)
    with open_search(config, database) as search:
        interrupted = run_trials(search, 8)
        search.ask()  # and the driver dies
    with open_search(config, database) as search:
        assert search.stale == [8]
        assert requeue(search, 8) == 9
        interrupted += run_trials(search, 6)
        assert search.counts.done == 14
    assert interrupted == expected


def test_one_driver_holds_a_study(config: StudyConfig, database: PostgresStorage) -> None:
    assert not database.is_locked("tiny")
    with open_search(config, database):
        assert database.is_locked("tiny")
        with (
            pytest.raises(StudyError, match=r"'tiny' is being driven by process \d+ on "),
            open_search(config, database),
        ):
            pass
        other = replace(config, study=config.study.model_copy(update={"name": "other"}))
        with open_search(other, database):
            assert database.list_studies() == ["other", "tiny"]
    assert not database.is_locked("tiny")


def test_a_fresh_study_archives_the_old_one(
    config: StudyConfig,
    database: PostgresStorage,
) -> None:
    with open_search(config, database) as old:
        run_trials(old, 3)
        old.ask()
    with open_search(config, database, fresh=True) as new:
        assert new.counts.done == 0
        assert new.uid != old.uid
        assert new.set_aside
    assert database.list_studies() == ["tiny", f"tiny.{new.set_aside}"]
    with database.open_read_only() as storage:
        states = [trial.state.name for trial in storage.get_all_trials(1)]
    assert states == ["COMPLETE"] * 3 + ["FAIL"]


def test_a_driver_waits_for_a_server_that_is_restarted(
    config: StudyConfig,
    postgres: Postgres,
    database: PostgresStorage,
) -> None:
    with open_search(config, database) as search:
        run_trials(search, 2)
        postgres.stop()
        threading.Timer(3, postgres.start).start()
        started = time.monotonic()
        run_trials(search, 3)
        assert time.monotonic() - started > 2
        assert database.is_locked("tiny")
        assert search.counts.done == 5
    with open_search(config, database) as search:
        assert search.counts.done == 5
        assert search.stale == []


def test_a_driver_that_lost_its_lock_to_another_stops(
    config: StudyConfig,
    postgres: Postgres,
    database: PostgresStorage,
) -> None:
    with open_search(config, database) as search:
        run_trials(search, 2)
        postgres.stop()
        postgres.start()
        with (
            open_search(config, PostgresStorage(database._url)),
            pytest.raises(StudyError, match="driven by"),
        ):
            run_trials(search, 1)


def test_a_lock_that_the_server_ended_is_acquired_again_before_the_next_trial(
    config: StudyConfig,
    database: PostgresStorage,
) -> None:
    """The connections of the storage stay open, so only a check before each trial notices."""

    def end_the_lock() -> None:
        with psycopg.connect(database._url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'"
            )

    with open_search(config, database) as search:
        run_trials(search, 2)
        end_the_lock()
        assert not database.is_locked("tiny")
        run_trials(search, 1)
        assert database.is_locked("tiny")
        end_the_lock()
        with (
            open_search(config, PostgresStorage(database._url)),
            pytest.raises(StudyError, match="driven by"),
        ):
            run_trials(search, 1)


def test_a_driver_waits_for_a_lock_that_is_released_soon(database: PostgresStorage) -> None:
    """The server releases the lock of a dead driver a moment later."""
    query = "SELECT pg_advisory_lock(%s, %s)"
    with psycopg.connect(database._url) as dead:
        dead.execute(query, postgres_storage._lock_key("tiny"))
        threading.Timer(0.5, dead.close).start()
        with database.lock("tiny"):
            pass


def test_the_server_checks_that_the_holder_of_a_lock_is_alive(database: PostgresStorage) -> None:
    with database.lock("tiny"):
        lock = database._locks["tiny"]
        settings = [
            lock.execute(f"SHOW {name}").fetchone()[0]
            for name in ("tcp_keepalives_idle", "tcp_keepalives_count", "idle_session_timeout")
        ]
    assert settings == ["30", "3", "0"]


def test_a_database_that_cannot_be_used_is_a_one_line_error(
    postgres: Postgres, database: PostgresStorage
) -> None:
    with pytest.raises(ConfigError, match="write postgresql://USER@HOST/DATABASE"):
        PostgresStorage("mysql://somebody:secret@somewhere/x")
    missing = f"postgresql://me:secret@127.0.0.1:{postgres.port}/nowhere"
    with (
        pytest.raises(StoreError, match="does not exist") as error,
        PostgresStorage(missing).lock("x"),
    ):
        pass
    assert "secret" not in str(error.value)
    assert str(error.value).endswith("create it with createdb, or correct the address")
    with psycopg.connect(database._url, autocommit=True) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num text)")
        with pytest.raises(ConfigError, match="another program's database"), database.lock("x"):
            pass
        assert connection.execute("SELECT to_regclass('studies')").fetchone() == (None,)
