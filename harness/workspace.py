"""The folder that a run leaves things in, and the stores in it."""

from __future__ import annotations

import logging
import os
import socket
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ConfigError, StoreError, StudyError, Unavailable, masked
from harness.system.signals import Stop
from harness.test_set.log import TestSetLog

if TYPE_CHECKING:
    from harness.search.storage.base import StudyStorage
    from harness.tracking.base import Tracker
    from harness.tracking.outbox import OutboxTracker

TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
STORAGE_VARIABLE = "HARNESS_STORAGE"
LONGEST_ADDRESS = 2000
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}


@dataclass(frozen=True)
class Workspace:
    """`mlruns/` in the current folder, unless told otherwise."""

    root: Path
    storage: str | None = None
    """Where studies' Optuna records lie, an address of PostgreSQL; None for journals in here."""

    def place(self, tracking_uri: str) -> StudyStorage:
        """Of the Optuna records of the studies recorded in that store. Raises ConfigError."""
        from harness.search.storage.journal import JournalFolder

        if self.storage is None:
            return JournalFolder(self.journals(tracking_uri))
        from harness.search.storage.postgres import PostgresStorage

        return PostgresStorage(self.storage)

    def journals(self, tracking_uri: str) -> Path:
        """Where the journals of the studies recorded in that store lie."""
        return self._of_store(self.root / "optuna", tracking_uri)

    @property
    def database(self) -> Path:
        return self.root / "mlflow.db"

    def report(self, study: str, tracking_uri: str) -> Path:
        return self._of_store(self.root / "reports", tracking_uri) / study / "index.html"

    def _of_store(self, folder: Path, tracking_uri: str) -> Path:
        """Each store has its own: the same study in another store is another study."""
        if tracking_uri == self.local_uri:
            return folder
        address = masked(tracking_uri).partition("://")[2].removeprefix("***@")
        return folder / "".join(c if c.isalnum() or c in "-." else "_" for c in address)[:100]

    def tracking_uri(self, given: str | None = None) -> str:
        """`given`, else $MLFLOW_TRACKING_URI, else the local database. Raises ConfigError."""
        if given is not None:
            return _checked(given)
        return _checked(os.environ.get(TRACKING_VARIABLE) or self.local_uri)

    @property
    def local_uri(self) -> str:
        return f"sqlite:///{self.database.resolve()}"

    def shown(self, tracking_uri: str) -> str:
        """A tracking URI as the user may give it again from this folder; no password in it."""
        if tracking_uri == self.local_uri:
            return f"sqlite:///{self.database}"
        return masked(tracking_uri)

    def ledger(self, test_digest: str) -> TestSetLog:
        """Of a test set, whichever store its studies are recorded in."""
        return TestSetLog.of(self.ledgers, test_digest)

    @property
    def ledgers(self) -> Path:
        return self.root / "test-sets"

    def spools(self, tracking_uri: str) -> Path:
        """Where writes wait for that store."""
        return self._of_store(self.root / "spool", tracking_uri)

    def open_tracker(self, given: str | None = None, reading: bool = False) -> Tracker:
        """The record itself; makes a local database where there is none, but for `reading`.

        Imports mlflow, 3 s. Raises ConfigError, StudyError, StoreError.
        """
        return self.connection(self.tracking_uri(given), reading)()

    def open_spool(
        self,
        name: str,
        given: str | None = None,
        say: Callable[[str], None] = lambda _: None,
        stop: Stop | None = None,
    ) -> OutboxTracker:
        """The record, for writing: in a local database, which is made where there is none, or on a
        server, which may be away. Imports mlflow. Raises ConfigError, StudyError, StoreError."""
        from harness.tracking.outbox import OutboxTracker

        uri, stop = self.tracking_uri(given), stop or Stop()
        connect = self.connection(uri)
        sync = "harness sync" + (f" --tracking-uri {self.shown(uri)}" if given else "")
        return OutboxTracker(self.spools(uri), name, connect, say, lambda: stop.requested, sync)

    def connection(self, uri: str, reading: bool = False) -> Callable[[], Tracker]:
        """Makes a tracker when called, in whichever thread; mlflow is imported in this one."""
        local = uri.startswith("sqlite:///")
        if local:
            self._check_database(Path(uri.removeprefix("sqlite:///")), reading)
        artifacts = (self.root / "artifacts").resolve() if local else None
        hush_mlflow(retries=4 if reading else 0)
        from harness.tracking.mlflow.tracker import MlflowTracker

        def connect() -> Tracker:
            if not local:
                _check_server(uri)
            return MlflowTracker(uri, artifacts)

        return connect

    def _check_database(self, path: Path, reading: bool) -> None:
        """SQLAlchemy would try a damaged file for minutes before it says so."""
        try:
            if reading and not path.is_file():
                raise StudyError(f"no record in {path}; start with: harness run-study quickstart")
            if not reading:
                self.root.mkdir(parents=True, exist_ok=True)
            head = _head(path)
        except OSError as error:
            raise StoreError(f"{path}: cannot be used ({error.strerror})") from None
        if head and head != b"SQLite format 3\0":
            raise StoreError(
                f"{path} is no SQLite database or is damaged; it was not touched: move it away, or "
                "give back a copy"
            )


def storage_of(given: str | None = None) -> str | None:
    """`given`, else $HARNESS_STORAGE; None for journals in the home."""
    return given or os.environ.get(STORAGE_VARIABLE) or None


def _checked(uri: str) -> str:
    """A tracking address, if it could be one: before anything is asked of it or made for it."""
    try:
        parts = urllib.parse.urlsplit(uri)
        host = parts.hostname or "" if parts.port != 0 else ""
    except ValueError:  # it shows the address, with its password
        host = ""
    known = uri.startswith("sqlite:///") and uri != "sqlite:///"
    known |= uri.startswith(("postgresql", "mysql")) and "://" in uri
    known |= uri.startswith(("http://", "https://")) and any(map(str.isalnum, host))
    if not known or not uri.isprintable() or len(uri) > LONGEST_ADDRESS:
        raise ConfigError(
            f"the tracking address {masked(uri)!r} is none; write http://HOST:PORT or "
            "sqlite:///PATH"
        )
    return uri


def _check_server(uri: str) -> None:
    """MLflow would try an address where nobody answers for more than a minute."""
    address = urllib.parse.urlsplit(uri)
    scheme = address.scheme.partition("+")[0]
    if scheme not in PORTS or not address.hostname:
        return  # a socket of this machine, say
    try:
        port = address.port or PORTS[scheme]
        socket.create_connection((address.hostname, port), timeout=10).close()
    except (OSError, ValueError) as error:
        who = "MLflow server" if scheme.startswith("http") else "database"
        raise Unavailable(
            f"no {who} answers at {masked(uri)} ({error}); start it, or leave the tracking "
            "address out to record here"
        ) from None


@contextmanager
def private() -> Iterator[None]:
    """What is made inside is for the user's eyes alone: files 0600, folders 0700."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _head(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as stream:
        return stream.read(16)


def hush_mlflow(retries: int = 4) -> None:
    """No telemetry, no chatter about migrations; must come before mlflow is imported.

    `retries` of a request over HTTP. None where we write: MLflow's own repeat even the making of a
    run, whose lost answer then makes two; the spool looks first.
    """
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = str(retries)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # Of a locked or full database it prints a traceback; what it raises is told by us.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL + 1)
