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

from harness.errors import ConfigError, StoreError, StudyError, masked
from harness.search.storage.cached import mirrored
from harness.search.storage.retrying import patient

SPACE = 0x6861726E
"""Our advisory locks' first number, `harn`; the second is the study's."""
CONNECT_SECONDS = 10
KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
"""Seconds, and how often: so the driver sees that the server's machine is gone."""
KEEP_LOCK = (
    *(f"SET tcp_{name} = {value}" for name, value in KEEPALIVE.items()),
    "SET idle_session_timeout = 0",
)
"""And so the server sees that the driver's is, which holds its lock for a minute then; but a lock
is not lost to a server's impatience with who says little."""
LET_GO_SECONDS, PAUSE = 2.0, 0.1
"""The server takes a moment to see that a driver died, and the same command may follow at once."""
DRAFT = "being made: "


class PostgresStorage:
    """A `harness.search.storage.base.StudyStorage` at `postgresql://USER@HOST/DATABASE`."""

    def __init__(self, url: str) -> None:
        """Raises ConfigError where it is no such address, or no driver is installed."""
        if not url.startswith("postgresql://"):
            raise ConfigError(
                f"--storage {masked(url)}: is no address of PostgreSQL; write "
                "postgresql://USER@HOST/DATABASE"
            )
        try:
            import psycopg
        except ImportError:
            raise ConfigError(
                "--storage: PostgreSQL's driver is not installed; pip install 'harness[postgres]'"
            ) from None
        self._url, self._psycopg = url, psycopg
        self._locks: dict[str, Any] = {}
        """Of the studies that are ours: the connection that holds it."""
        self._storages: dict[str, BaseStorage] = {}

    @contextmanager
    def locked(self, study: str, fresh: bool = False) -> Iterator[None]:
        self._take(study)
        try:
            with self._reached() as inner:
                name = masked(self._url)
                self._storages[study] = mirrored(patient(inner, name, lambda: self._renew(study)))
                yield
        finally:
            self._storages.pop(study, None)
            with suppress(self._psycopg.Error), self._locks.pop(study) as connection:
                connection.execute("SELECT pg_advisory_unlock_all()")

    def held(self, study: str) -> bool:
        with self._connected() as connection:
            return self._holder(connection, study) is not None

    def names(self) -> list[str]:
        with self._connected() as connection:
            if connection.execute("SELECT to_regclass('studies')").fetchone() == (None,):
                return []
            rows = connection.execute("SELECT study_name FROM studies").fetchall()
        return sorted(name for (name,) in rows if not name.startswith(DRAFT))

    def shown(self, study: str) -> str:
        return f"study '{study}' in {masked(self._url)}"

    def mark(self, study: str) -> object:
        with self._connected() as connection:
            return connection.execute(
                "SELECT count(*), count(datetime_complete), max(trial_id), "
                "(SELECT count(*) FROM trial_intermediate_values), "
                "(SELECT count(*) FROM trial_user_attributes) FROM trials"
            ).fetchone()

    @contextmanager
    def reading(self) -> Iterator[BaseStorage]:
        """To look at, without a byte written."""
        with self._reached(skip_compatibility_check=True, skip_table_creation=True) as storage:
            yield storage

    def storage(self, study: str) -> BaseStorage:
        return self._storages[study]

    def draft(self, study: str) -> tuple[BaseStorage, str]:
        name, storage = f"{DRAFT}{study}", self.storage(study)
        with suppress(KeyError):
            optuna.delete_study(study_name=name, storage=storage)
        return storage, name

    def publish(self, study: str, aside: str | None) -> None:
        rename = "UPDATE studies SET study_name = %s WHERE study_name = %s"
        with self._connected() as connection, connection.transaction():
            if aside is not None:
                connection.execute(rename, (f"{study}.{aside}", study))
            connection.execute(rename, (study, f"{DRAFT}{study}"))

    def suffix(self, study: str) -> str:
        return time.strftime("%Y%m%d-%H%M%S")

    def _take(self, study: str) -> None:
        """Raises StudyError where another driver has the lock."""
        name = f"process {os.getpid()} on {socket.gethostname()}"
        connection = self._open(name)
        for setting in KEEP_LOCK:
            with suppress(self._psycopg.Error):  # PostgreSQL before 14 has no such timeout
                connection.execute(setting)
        ask, deadline = "SELECT pg_try_advisory_lock(%s, %s)", time.monotonic() + LET_GO_SECONDS
        while not (taken := connection.execute(ask, _key(study)).fetchone()[0]):
            if time.monotonic() > deadline:
                break
            time.sleep(PAUSE)
        if not taken:
            who = self._holder(connection, study) or "another process"
            connection.close()
            raise StudyError(
                f"study '{study}' is being driven by {who}; wait for it, or choose another name"
            )
        self._locks[study] = connection

    def _renew(self, study: str) -> None:
        """The lock, unless its connection lives: the server was away, or ended it."""
        try:
            self._locks[study].execute("SELECT 1")
        except self._psycopg.Error:
            self._locks[study].close()
            try:
                self._take(study)
            except StoreError as error:
                raise StorageInternalError(str(error)) from None

    def _holder(self, connection: Any, study: str) -> str | None:
        found = connection.execute(
            "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE locktype = 'advisory' AND granted AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND classid::bigint = %s AND objid::bigint = %s AND objsubid = 2",
            (SPACE, _key(study)[1] % 2**32),
        ).fetchone()
        return str(found[0]) if found else None

    @contextmanager
    def _reached(self, **more: Any) -> Iterator[BaseStorage]:
        """Optuna's storage; its tables are made where there are none. Raises StoreError."""
        driver = self._url.replace("postgresql://", "postgresql+psycopg://", 1)
        with self._connected() as connection:
            others = "SELECT to_regclass('alembic_version'), to_regclass('version_info')"
            alembic, optuna_version = connection.execute(others).fetchone()
        if alembic and not optuna_version:
            raise ConfigError(
                f"--storage {masked(self._url)}: is another program's database, such as MLflow's; "
                "make one for Optuna alone with createdb"
            )
        try:
            storage = RDBStorage(driver, engine_kwargs={"pool_size": 2}, **more)
        except Exception as error:  # SQLAlchemy's and alembic's are many
            raise self._away(error) from None
        try:
            yield get_storage(storage)
        finally:
            storage.remove_session()
            storage.engine.dispose()

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        try:
            with self._open("harness") as connection:
                yield connection
        except self._psycopg.Error as error:
            raise self._away(error) from None

    def _open(self, name: str) -> Any:
        try:
            return self._psycopg.connect(
                self._url,
                autocommit=True,
                application_name=name[:60],
                connect_timeout=CONNECT_SECONDS,
                **KEEPALIVE,
            )
        except self._psycopg.Error as error:
            raise self._away(error) from None

    def _away(self, error: Exception) -> StoreError:
        said = " ".join(str(error).split("\n")[:1])
        advice = "start it, or leave --storage out"
        if "password" in said:
            advice = "set $PGPASSWORD, or mend the user in the address"
        elif "does not exist" in said:
            advice = "make it with createdb, or mend the address"
        return StoreError(f"{masked(self._url)} cannot be used ({said}); {advice}")


def _key(study: str) -> tuple[int, int]:
    """Two numbers of 32 bits, as PostgreSQL has it with signs."""
    second = zlib.crc32(study.encode())
    return SPACE, second - 2**32 if second >= 2**31 else second
