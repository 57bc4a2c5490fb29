"""Studies in a PostgreSQL database: Optuna's own tables, and an advisory lock for each driver."""

from __future__ import annotations

import os
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage, get_storage

from harness.errors import ConfigError, StoreError, StudyError, mask_credentials
from harness.search.storage.cached import CachedStorage
from harness.search.storage.retrying import RetryingStorage
from harness.system.addresses import normalize_storage_uri

LOCK_NAMESPACE = 0x6861726E
"""The first number of our advisory locks, "harn" in ASCII; the second one is the study's."""
CONNECT_SECONDS = 10
KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
"""Seconds, and a number of probes: with these the driver notices that the server is gone."""
SESSION_SETTINGS = (
    *(f"SET tcp_{name} = {value}" for name, value in KEEPALIVE.items()),
    "SET idle_session_timeout = 0",
)
"""With these the server notices after a minute that the driver's machine is gone, and releases its
lock; and it never ends an idle connection, which would release the lock too."""
LOCK_TIMEOUT, LOCK_POLL_SECONDS = 2.0, 0.1
"""The server takes a moment to notice that a driver died; its command may be rerun before that."""
DRAFT_PREFIX = "being made: "
"""Of the names of drafts in the database."""


class PostgresStorage:
    """A `harness.search.storage.base.StudyStorage` at `postgresql://USER@HOST/DATABASE`."""

    def __init__(self, url: str) -> None:
        """Raises ConfigError for another kind of address, or if psycopg is not installed."""
        url = normalize_storage_uri(url)
        if not url.startswith("postgresql://"):
            raise ConfigError(
                f"--storage {mask_credentials(url)}: is not a PostgreSQL address; write "
                "postgresql://USER@HOST/DATABASE"
            )
        try:
            import psycopg
        except ImportError:
            raise ConfigError(
                "--storage: the PostgreSQL driver is not installed; "
                "pip install 'harness-sweep[postgres]'"
            ) from None
        self._url, self._psycopg = url, psycopg
        self._locks: dict[str, Any] = {}
        """By study: the connection that holds its lock."""
        self._storages: dict[str, BaseStorage] = {}

    @contextmanager
    def lock(self, study: str, fresh: bool = False) -> Iterator[None]:
        self._acquire_lock(study)
        try:
            with self._open_optuna_storage() as inner:
                name = mask_credentials(self._url)
                self._storages[study] = CachedStorage(
                    RetryingStorage(inner, name, lambda: self._renew_lock(study))
                )
                yield
        finally:
            self._storages.pop(study, None)
            with suppress(self._psycopg.Error), self._locks.pop(study) as connection:
                connection.execute("SELECT pg_advisory_unlock_all()")

    def is_locked(self, study: str) -> bool:
        with self._connect() as connection:
            return self._find_lock_holder(connection, study) is not None

    def has_study(self, study: str) -> bool:
        return study in self.list_studies()

    def list_studies(self) -> list[str]:
        with self._connect() as connection:
            if connection.execute("SELECT to_regclass('studies')").fetchone() == (None,):
                return []
            rows = connection.execute("SELECT study_name FROM studies").fetchall()
        return sorted(name for (name,) in rows if not name.startswith(DRAFT_PREFIX))

    def describe(self, study: str) -> str:
        return f"study '{study}' in {mask_credentials(self._url)}"

    def get_version(self, study: str) -> object:
        with self._connect() as connection:
            return connection.execute(
                "SELECT count(*), count(datetime_complete), max(trial_id), "
                "(SELECT count(*) FROM trial_intermediate_values), "
                "(SELECT count(*) FROM trial_user_attributes) FROM trials"
            ).fetchone()

    @contextmanager
    def open_read_only(self) -> Iterator[BaseStorage]:
        """Open Optuna's storage without writing to the database."""
        with self._open_optuna_storage(
            skip_compatibility_check=True, skip_table_creation=True
        ) as storage:
            yield storage

    def get_storage(self, study: str) -> BaseStorage:
        return self._storages[study]

    def create_draft(self, study: str) -> tuple[BaseStorage, str]:
        name, storage = f"{DRAFT_PREFIX}{study}", self.get_storage(study)
        with suppress(KeyError):
            optuna.delete_study(study_name=name, storage=storage)
        return storage, name

    def publish(self, study: str, archive_suffix: str | None) -> None:
        rename = "UPDATE studies SET study_name = %s WHERE study_name = %s"
        with self._connect() as connection, connection.transaction():
            if archive_suffix is not None:
                connection.execute(rename, (f"{study}.{archive_suffix}", study))
            connection.execute(rename, (study, f"{DRAFT_PREFIX}{study}"))

    def make_archive_suffix(self, study: str) -> str:
        return time.strftime("%Y%m%d-%H%M%S")

    def _acquire_lock(self, study: str) -> None:
        """Raises StudyError if another driver holds the lock."""
        connection = self._open_connection(f"process {os.getpid()} on {socket.gethostname()}")
        for setting in SESSION_SETTINGS:
            with suppress(self._psycopg.Error):  # PostgreSQL before 14 has no such timeout
                connection.execute(setting)
        query, deadline = "SELECT pg_try_advisory_lock(%s, %s)", time.monotonic() + LOCK_TIMEOUT
        while not (acquired := connection.execute(query, _lock_key(study)).fetchone()[0]):
            if time.monotonic() > deadline:
                break
            time.sleep(LOCK_POLL_SECONDS)
        if not acquired:
            holder = self._find_lock_holder(connection, study) or "another process"
            connection.close()
            raise StudyError(
                f"study '{study}' is being driven by {holder}; wait for it, or choose another name"
            )
        self._locks[study] = connection

    def _renew_lock(self, study: str) -> None:
        """Acquire the lock again if its connection is dead: the server was away, or closed it."""
        try:
            self._locks[study].execute("SELECT 1")
        except self._psycopg.Error:
            self._locks[study].close()
            try:
                self._acquire_lock(study)
            except StoreError as error:
                raise StorageInternalError(str(error)) from None

    def _find_lock_holder(self, connection: Any, study: str) -> str | None:
        row = connection.execute(
            "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE locktype = 'advisory' AND granted AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND classid::bigint = %s AND objid::bigint = %s AND objsubid = 2",
            (LOCK_NAMESPACE, _lock_key(study)[1] % 2**32),
        ).fetchone()
        return str(row[0]) if row else None

    @contextmanager
    def _open_optuna_storage(self, **options: Any) -> Iterator[BaseStorage]:
        """Open Optuna's storage; create its tables if there are none. Raises StoreError."""
        driver_url = self._url.replace("postgresql://", "postgresql+psycopg://", 1)
        with self._connect() as connection:
            query = "SELECT to_regclass('alembic_version'), to_regclass('version_info')"
            alembic, optuna_version = connection.execute(query).fetchone()
        if alembic and not optuna_version:
            raise ConfigError(
                f"--storage {mask_credentials(self._url)}: is another program's database, such as "
                "MLflow's; create a separate one for Optuna with createdb"
            )
        try:
            storage = RDBStorage(driver_url, engine_kwargs={"pool_size": 2}, **options)
        except Exception as error:  # SQLAlchemy and alembic have many
            raise self._map_error(error) from None
        try:
            yield get_storage(storage)
        finally:
            storage.remove_session()
            storage.engine.dispose()

    @contextmanager
    def _connect(self) -> Iterator[Any]:
        """Connect for a few queries. Raises StoreError."""
        try:
            with self._open_connection("harness") as connection:
                yield connection
        except self._psycopg.Error as error:
            raise self._map_error(error) from None

    def _open_connection(self, name: str) -> Any:
        try:
            return self._psycopg.connect(
                self._url,
                autocommit=True,
                application_name=name[:60],
                connect_timeout=CONNECT_SECONDS,
                **KEEPALIVE,
            )
        except self._psycopg.Error as error:
            raise self._map_error(error) from None

    def _map_error(self, error: Exception) -> StoreError:
        reason = str(error).split("\n")[0]
        advice = "start it, or leave --storage out"
        if "password" in reason:
            advice = "set $PGPASSWORD, or correct the user in the address"
        elif "does not exist" in reason:
            advice = "create it with createdb, or correct the address"
        return StoreError(f"{mask_credentials(self._url)} cannot be used ({reason}); {advice}")


def _lock_key(study: str) -> tuple[int, int]:
    """Two signed 32-bit numbers, as PostgreSQL's advisory locks take them."""
    second = zlib.crc32(study.encode())
    return LOCK_NAMESPACE, second - 2**32 if second >= 2**31 else second
