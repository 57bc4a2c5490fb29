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
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage

from harness.errors import ConfigError, StoreError, StudyError, masked
from harness.search.patient import patient

SPACE = 0x6861726E
"""Our advisory locks' first number, `harn`; the second is the study's."""
KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
"""Seconds: a driver whose machine is gone holds its lock for a minute."""
DRAFT = "being made: "


class Database:
    """A `harness.search.place.Place` at `postgresql://USER@HOST/DATABASE`."""

    def __init__(self, url: str) -> None:
        """Raises ConfigError where it is no such address, or no driver is installed."""
        if not url.startswith("postgresql://"):
            raise ConfigError(
                f"--storage {masked(url)}: is none; write postgresql://USER@HOST/DATABASE"
            )
        try:
            import psycopg
        except ImportError:
            raise ConfigError(
                "--storage: PostgreSQL's driver is not installed; pip install 'harness[postgres]'"
            ) from None
        self._url, self._psycopg = url, psycopg
        self._lock: Any = None
        self._storage: BaseStorage | None = None

    @contextmanager
    def locked(self, study: str, fresh: bool = False) -> Iterator[None]:
        self._take(study)
        try:
            inner = self._reached()
            self._storage = patient(
                inner, masked(self._url), lambda: self._renew(study), longest=300.0
            )
            yield
        finally:
            self._storage = None
            with suppress(self._psycopg.Error):
                self._lock.close()

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

    def storage(self, study: str) -> BaseStorage:
        return self._storage or self._reached()

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
        self._storage = patient(
            self._reached(), masked(self._url), lambda: self._renew(study), longest=300.0
        )

    def suffix(self, study: str) -> str:
        return time.strftime("%Y%m%d-%H%M%S")

    def _reached(self) -> BaseStorage:
        """Optuna's storage; its tables are made where there are none. Raises StoreError."""
        driver = self._url.replace("postgresql://", "postgresql+psycopg://", 1)
        try:
            return _CachedStorage(RDBStorage(driver, engine_kwargs={"pool_size": 2}))
        except Exception as error:  # SQLAlchemy's and alembic's are many
            raise self._away(error) from None

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        try:
            name = f"harness, process {os.getpid()} on {socket.gethostname()}"
            with self._psycopg.connect(
                self._url, autocommit=True, application_name=name, connect_timeout=10, **KEEPALIVE
            ) as connection:
                yield connection
        except self._psycopg.Error as error:
            raise self._away(error) from None

    def _away(self, error: Exception) -> StoreError:
        said = " ".join(str(error).split("\n")[:1])
        return StoreError(f"{masked(self._url)} cannot be used ({said}); start it, or leave --storage out")
