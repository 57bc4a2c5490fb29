"""The `mlruns/` folder: where the records, reports and outboxes of every study are."""

from __future__ import annotations

import os
import socket
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ConfigError, StoreError, StudyError, Unavailable, mask_credentials
from harness.system.signals import StopFlag
from harness.test_set.log import TestSetLog

if TYPE_CHECKING:
    from harness.search.storage.base import StudyStorage
    from harness.tracking.base import Tracker
    from harness.tracking.outbox import OutboxTracker

TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
STORAGE_VARIABLE = "HARNESS_STORAGE"
MAX_URI_LENGTH = 2000
DEFAULT_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}


@dataclass(frozen=True)
class Workspace:
    """The paths inside `mlruns/`, and the stores that are opened from them."""

    root: Path
    storage: str | None = None
    """The PostgreSQL address of the Optuna records; None for journal files in `root`."""

    def study_storage(self, tracking_uri: str) -> StudyStorage:
        """Return the Optuna storage of the studies in a tracking store. Raises ConfigError."""
        from harness.search.storage.journal import JournalFolder

        if self.storage is None:
            return JournalFolder(self.journal_folder(tracking_uri))
        from harness.search.storage.postgres import PostgresStorage

        return PostgresStorage(self.storage)

    def journal_folder(self, tracking_uri: str) -> Path:
        """Return the folder of the Optuna journals of the studies in a tracking store."""
        return self._store_subfolder(self.root / "optuna", tracking_uri)

    @property
    def database(self) -> Path:
        """MLflow's local SQLite file."""
        return self.root / "mlflow.db"

    def report_path(self, study: str, tracking_uri: str) -> Path:
        return self._store_subfolder(self.root / "reports", tracking_uri) / study / "index.html"

    def _store_subfolder(self, folder: Path, tracking_uri: str) -> Path:
        """Return the tracking store's subfolder: studies of one name in two stores differ."""
        if tracking_uri == self.local_uri:
            return folder
        address = mask_credentials(tracking_uri).partition("://")[2].removeprefix("***@")
        return folder / "".join(c if c.isalnum() or c in "-." else "_" for c in address)[:100]

    def resolve_tracking_uri(self, uri: str | None = None) -> str:
        """Return `uri`, else $MLFLOW_TRACKING_URI, else the local database. Raises ConfigError."""
        if uri is not None:
            return _validate_uri(uri)
        return _validate_uri(os.environ.get(TRACKING_VARIABLE) or self.local_uri)

    @property
    def local_uri(self) -> str:
        return f"sqlite:///{self.database.resolve()}"

    def format_uri(self, tracking_uri: str) -> str:
        """Return a tracking URI as the user can type it in this folder, without its password."""
        if tracking_uri == self.local_uri:
            return f"sqlite:///{self.database}"
        return mask_credentials(tracking_uri)

    def test_set_log(self, test_digest: str) -> TestSetLog:
        """Return the log of a test set's readings; studies of all stores share it."""
        return TestSetLog.for_test_set(self.test_set_folder, test_digest)

    @property
    def test_set_folder(self) -> Path:
        """The folder of the test set logs."""
        return self.root / "test-sets"

    def outbox_folder(self, tracking_uri: str) -> Path:
        """Return the folder of the writes that wait to be sent to a tracking store."""
        return self._store_subfolder(self.root / "spool", tracking_uri)

    def open_tracker(self, uri: str | None = None, reading: bool = False) -> Tracker:
        """Open the tracking store directly. Imports mlflow, which takes 3 s.

        Creates a missing local database, unless `reading`.
        Raises ConfigError, StudyError, StoreError.
        """
        return self.tracker_factory(self.resolve_tracking_uri(uri), reading)()

    def open_outbox(
        self,
        name: str,
        uri: str | None = None,
        notify: Callable[[str], None] = lambda _: None,
        stop: StopFlag | None = None,
    ) -> OutboxTracker:
        """Open the tracking store for writing through an outbox; a server may be unreachable.

        Creates a missing local database. Imports mlflow.
        Raises ConfigError, StudyError, StoreError.
        """
        from harness.tracking.outbox import OutboxTracker

        resolved, stop = self.resolve_tracking_uri(uri), stop or StopFlag()
        connect = self.tracker_factory(resolved)
        sync = "harness sync" + (f" --tracking-uri {self.format_uri(resolved)}" if uri else "")
        folder = self.outbox_folder(resolved)
        return OutboxTracker(folder, name, connect, notify, lambda: stop.requested, sync)

    def tracker_factory(self, uri: str, reading: bool = False) -> Callable[[], Tracker]:
        """Return a function that opens a tracker in any thread. Imports mlflow in this thread."""
        local = uri.startswith("sqlite:///")
        if local:
            self._check_database(Path(uri.removeprefix("sqlite:///")), reading)
        artifacts = (self.root / "artifacts").resolve() if local else None
        from harness.tracking.mlflow.environment import configure_mlflow

        configure_mlflow(retries=4 if reading else 0)
        from harness.tracking.mlflow.tracker import MlflowTracker

        def connect() -> Tracker:
            if not local:
                _check_server(uri)
            return MlflowTracker(uri, artifacts)

        return connect

    def _check_database(self, path: Path, reading: bool) -> None:
        """Refuse a damaged file at once: SQLAlchemy retries it for minutes."""
        try:
            if reading and not path.is_file():
                raise StudyError(f"no studies in {path}; start with: harness run-study quickstart")
            if not reading:
                self.root.mkdir(parents=True, exist_ok=True)
            header = _read_header(path)
        except OSError as error:
            raise StoreError(f"{path}: cannot be used ({error.strerror})") from None
        if header and header != b"SQLite format 3\0":
            raise StoreError(
                f"{path} is not an SQLite database, or it is damaged. It was not changed; move it "
                "away, or restore it from a backup"
            )


def resolve_storage(storage: str | None = None) -> str | None:
    """Return `storage`, else $HARNESS_STORAGE; None for journal files in the workspace."""
    return storage or os.environ.get(STORAGE_VARIABLE) or None


def _validate_uri(uri: str) -> str:
    """Return `uri` if it can be a tracking address; connects to nothing. Raises ConfigError."""
    try:
        parts = urllib.parse.urlsplit(uri)
        host = parts.hostname or "" if parts.port != 0 else ""
    except ValueError:  # its message would show the password
        host = ""
    is_known = uri.startswith("sqlite:///") and uri != "sqlite:///"
    is_known |= uri.startswith(("postgresql", "mysql")) and "://" in uri
    is_known |= uri.startswith(("http://", "https://")) and any(map(str.isalnum, host))
    if not is_known or not uri.isprintable() or len(uri) > MAX_URI_LENGTH:
        raise ConfigError(
            f"{mask_credentials(uri)!r} is not a tracking address; write http://HOST:PORT or sqlite:///PATH"
        )
    return uri


def _check_server(uri: str) -> None:
    """Refuse an unreachable address at once: MLflow retries it for more than a minute."""
    address = urllib.parse.urlsplit(uri)
    scheme = address.scheme.partition("+")[0]
    if scheme not in DEFAULT_PORTS or not address.hostname:
        return  # a Unix socket, for example
    try:
        port = address.port or DEFAULT_PORTS[scheme]
        socket.create_connection((address.hostname, port), timeout=10).close()
    except (OSError, ValueError) as error:
        service = "MLflow server" if scheme.startswith("http") else "database"
        raise Unavailable(
            f"no {service} answers at {mask_credentials(uri)} ({error}); start it, or omit the "
            "tracking address to record in this folder"
        ) from None


@contextmanager
def private_files() -> Iterator[None]:
    """Create files with mode 0600 and folders with 0700 inside the block."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _read_header(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as stream:
        return stream.read(16)
