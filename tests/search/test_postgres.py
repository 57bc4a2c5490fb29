"""Studies in a real PostgreSQL: the lock, putting aside, and a server that goes away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import psycopg
import pytest
from optuna.exceptions import StorageInternalError

from harness.config.schema import StudyConfig
from harness.errors import ConfigError, StoreError, StudyError
from harness.search.open_study import open_search
from harness.search.storage import postgres as postgres_storage
from harness.search.storage.postgres import PostgresStorage
from harness.search.storage.retrying import patient
from tests.search.test_study import STUDY, config, metrics, requeued, result, run  # noqa: F401
from tests.support.postgres import Postgres

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture
def place(postgres: Postgres) -> PostgresStorage:
    return PostgresStorage(postgres.database())


def test_an_interrupted_study_asks_what_a_journal_would_have_asked(
    config: StudyConfig,  # noqa: F811
    place: PostgresStorage,
    tmp_path: Path,
) -> None:
    with open_search(config, tmp_path) as search:
        whole = run(search, 14)
    with open_search(config, place) as search:
        torn = run(search, 8)
        search.ask()  # and the driver dies
    with open_search(config, place) as search:
        assert search.stale == [8]
        assert requeued(search, 8) == 9
        torn += run(search, 6)
        assert search.counts.done == 14
    assert torn == whole


def test_one_driver_a_study(config: StudyConfig, place: PostgresStorage) -> None:  # noqa: F811
    assert not place.held("tiny")
    with open_search(config, place):
        assert place.held("tiny")
        with (
            pytest.raises(StudyError, match=r"'tiny' is being driven by process \d+ on "),
            open_search(config, place),
        ):
            pass
        other = replace(config, study=config.study.model_copy(update={"name": "other"}))
        with open_search(other, place):
            assert place.names() == ["other", "tiny"]
    assert not place.held("tiny")


def test_a_fresh_study_puts_the_old_one_aside(
    config: StudyConfig,  # noqa: F811
    place: PostgresStorage,
) -> None:
    with open_search(config, place) as old:
        run(old, 3)
        old.ask()
    with open_search(config, place, fresh=True) as new:
        assert new.counts.done == 0
        assert new.uid != old.uid
        assert new.set_aside
    assert place.names() == ["tiny", f"tiny.{new.set_aside}"]
    with place.reading() as storage:
        states = [trial.state.name for trial in storage.get_all_trials(1)]
    assert states == ["COMPLETE"] * 3 + ["FAIL"]


def test_a_server_that_is_restarted_costs_a_pause(
    config: StudyConfig,  # noqa: F811
    postgres: Postgres,
    place: PostgresStorage,
) -> None:
    with open_search(config, place) as search:
        run(search, 2)
        postgres.stop()
        threading.Timer(3, postgres.start).start()
        started = time.monotonic()
        run(search, 3)
        assert time.monotonic() - started > 2
        assert place.held("tiny")
        assert search.counts.done == 5
    with open_search(config, place) as search:
        assert search.counts.done == 5
        assert search.stale == []


def test_who_lost_the_lock_stops(
    config: StudyConfig,  # noqa: F811
    postgres: Postgres,
    place: PostgresStorage,
) -> None:
    with open_search(config, place) as search:
        run(search, 2)
        postgres.stop()
        postgres.start()
        with (
            open_search(config, PostgresStorage(place._url)),
            pytest.raises(StudyError, match="driven by"),
        ):
            run(search, 1)


def test_a_lock_that_the_server_ended_is_taken_again_before_the_next_trial(
    config: StudyConfig,  # noqa: F811
    place: PostgresStorage,
) -> None:
    """Only its own connection: those of the storage live, and nothing else would show it."""

    def end_the_lock() -> None:
        with psycopg.connect(place._url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'"
            )

    with open_search(config, place) as search:
        run(search, 2)
        end_the_lock()
        assert not place.held("tiny")
        run(search, 1)
        assert place.held("tiny")
        end_the_lock()
        with (
            open_search(config, PostgresStorage(place._url)),
            pytest.raises(StudyError, match="driven by"),
        ):
            run(search, 1)


def test_a_lock_that_is_let_go_late_is_waited_for(place: PostgresStorage) -> None:
    """As the server does for a driver that died."""
    ask = "SELECT pg_advisory_lock(%s, %s)"
    with psycopg.connect(place._url) as dead:
        dead.execute(ask, postgres_storage._key("tiny"))
        threading.Timer(0.5, dead.close).start()
        with place.locked("tiny"):
            pass


def test_the_server_asks_whether_the_holder_of_a_lock_lives(place: PostgresStorage) -> None:
    with place.locked("tiny"):
        lock = place._locks["tiny"]
        shown = [
            lock.execute(f"SHOW {name}").fetchone()[0]
            for name in ("tcp_keepalives_idle", "tcp_keepalives_count", "idle_session_timeout")
        ]
    assert shown == ["30", "3", "0"]


class Forgetful:
    """A storage whose answers get lost: each call is heard, and fails once."""

    def __init__(self, inner: Any) -> None:
        self._inner, self._lost = inner, set[str]()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def call(*given: Any, **more: Any) -> Any:
            done = method(*given, **more)
            if name not in self._lost:
                self._lost.add(name)
                raise StorageInternalError("the answer was lost")
            return done

        return call


def test_a_lost_answer_doubles_nothing() -> None:
    inner = optuna.storages.InMemoryStorage()
    storage = patient(Forgetful(inner), "here", lambda: None)  # type: ignore[arg-type]
    study = optuna.create_study(storage=inner, study_name="tiny")
    study = optuna.load_study(study_name="tiny", storage=storage)
    first, second = study.ask(), study.ask()
    second.set_user_attr("ordinal", 1)
    study.enqueue_trial({"x": 1.0})
    study.tell(first, 1.0)
    study.tell(second, 2.0)
    assert [trial.state.name for trial in inner.get_all_trials(0)] == [
        "COMPLETE",
        "COMPLETE",
        "WAITING",
    ]


def test_what_does_not_answer_is_told_in_a_line(postgres: Postgres, place: PostgresStorage) -> None:
    with pytest.raises(ConfigError, match="write postgresql://USER@HOST/DATABASE"):
        PostgresStorage("mysql://somebody:secret@somewhere/x")
    gone = f"postgresql://me:secret@127.0.0.1:{postgres.port}/nowhere"
    with (
        pytest.raises(StoreError, match="does not exist") as error,
        PostgresStorage(gone).locked("x"),
    ):
        pass
    assert "secret" not in str(error.value)
    assert str(error.value).endswith("make it with createdb, or mend the address")
    with psycopg.connect(place._url, autocommit=True) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num text)")
        with pytest.raises(ConfigError, match="another program's database"), place.locked("x"):
            pass
        assert connection.execute("SELECT to_regclass('studies')").fetchone() == (None,)

    def away() -> None:
        raise StorageInternalError("away")

    storage = patient(Forgetful(optuna.storages.InMemoryStorage()), "there", away, longest=1)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="there does not answer"):
        storage.get_all_studies()
    with suppress(psycopg.Error):
        psycopg.connect(place._url).close()
